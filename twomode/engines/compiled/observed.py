"""What is recorded of a state, in the kernels; the formulas are those of `twomode.game`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twomode.engines.compiled import gradient
from twomode.engines.compiled.field import put_norms
from twomode.engines.compiled.lanes import (
    Lanes,
    fill,
    lane_zeros,
    load,
    log_sigmoid,
    square_root,
    store,
)
from twomode.engines.compiled.parts import part
from twomode.engines.compiled.products import multiply, padded
from twomode.engines.compiled.records import GameCode, Players, Weights, Work
from twomode.game import Game


class Seen(NamedTuple):
    """Records of a block, one after the other along the first axis of each array."""

    projections_V: np.ndarray
    gram_V: np.ndarray
    projections_W: np.ndarray
    norms_W: np.ndarray
    bias: np.ndarray
    grad_norms: np.ndarray  #: of the population gradients of (D, G)
    pace: np.ndarray  #: lengths of the last steps, and the largest norms so far
    objective: np.ndarray


def make_seen(game: Game, blocks: int, records: int) -> Seen:
    """Room for so many records of every block."""
    D, G, U = padded(game.m_D), padded(game.m_G), padded(2)
    shapes = (G, U), (G, G), (D, U), (D, 1), (1, 1), (1, 2), (2, 2), (1, 1)
    return Seen(*(lane_zeros((blocks, records, *shape)) for shape in shapes))


@part(forceinline=False)
def half(
    game: GameCode,
    points: np.ndarray,
    weights: np.ndarray,
    sign: float,
    h: np.ndarray,
    b: np.ndarray,
    slopes: np.ndarray,
) -> Lanes:
    """One half of the objective; the arguments are those of `gradient.coefficients`."""
    clip, a, value = fill(h, game.clip), fill(h, game.a), fill(h, 0.0)
    offset, signs = fill(h, game.lam) * load(b, 0, 0), fill(h, sign)
    for s in range(points.shape[0]):
        cubes = gradient.point_cubes(game.m_D, h, points[s], clip, slopes)
        value += load(weights, 0, s) * log_sigmoid(signs * (a * cubes + offset))
    return value


@part(forceinline=False)
def observe(
    record: int,
    game: GameCode,
    population: Weights,
    players: Players,
    work: Work,
    pace: np.ndarray,
    seen: Seen,
) -> None:
    """Fill a record; of the players only the gradients change, which every look takes anew."""
    D, G, bias, U = players
    W, V, b = D.X, G.X, bias.X
    gradient.project(W, V, U, work.y, work.h)
    gradient.answer(game, population, bias, work)
    gradient.discriminator_gradient(work.A, work.C, V, U, D.G)
    gradient.generator_gradient(work.C, W, G.G)
    put_norms(D.G, G.G, bias.G, False, seen.grad_norms[record], 0)
    real = half(game, game.data, population.data, 1.0, work.y, b, work.slopes)
    fake = half(game, game.latents, population.latents, -1.0, work.h, b, work.slopes)
    store(seen.objective[record], 0, 0, real + fake)
    store(seen.bias[record], 0, 0, load(b, 0, 0))
    multiply(V[:, : U.shape[1]], U, 1.0, False, seen.projections_V[record])
    multiply(W[:, : U.shape[1]], U, 1.0, False, seen.projections_W[record])
    multiply(V, V, 1.0, False, seen.gram_V[record])
    for i in range(game.m_D):
        square = fill(W, 0.0)
        for k in range(W.shape[1]):
            square += load(W, i, k) * load(W, i, k)
        store(seen.norms_W[record], i, 0, square_root(square))
    for player in range(2):
        for k in range(2):
            store(seen.pace[record], player, k, load(pace, player, k))
