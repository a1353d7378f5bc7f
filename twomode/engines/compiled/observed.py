"""What is recorded of a state, in the kernels; the formulas are those of `twomode.game`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from twomode.engines.compiled import gradient
from twomode.engines.compiled.field import put_norms
from twomode.engines.compiled.lanes import (
    LANES,
    Lanes,
    fill,
    load,
    log_sigmoid,
    square_root,
    store,
    transposed,
)
from twomode.engines.compiled.parts import part
from twomode.engines.compiled.products import multiply
from twomode.engines.compiled.records import GameCode, Players, Weights, Work


class Seen(NamedTuple):
    """What is recorded, shapes (R, T, rows, columns); see `twomode.runs.TRACE`."""

    projections_V: np.ndarray
    gram_V: np.ndarray
    projections_W: np.ndarray
    norms_W: np.ndarray
    bias: np.ndarray
    grad_norms: np.ndarray  #: of the population gradients of (D, G)
    peak_grad_norms: np.ndarray  #: so far
    update_norms: np.ndarray  #: lengths of the last steps
    objective: np.ndarray

    @classmethod
    def of(cls, trace: Mapping[str, np.ndarray]) -> Seen:
        """Views of a run's trace: its numbers and vectors are columns here."""
        whole = (trace[name] for name in cls._fields)
        return cls(*(x if x.ndim == 4 else x.reshape(*x.shape[:2], -1, 1) for x in whole))


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
    replica: int,
    game: GameCode,
    population: Weights,
    players: Players,
    work: Work,
    room: np.ndarray,
    pace: np.ndarray,
    seen: Seen,
) -> None:
    """Fill a record of the replicas from `replica` on, as many as there are lanes.

    Of the players only the gradients change, which every look takes anew.
    """
    D, G, bias, U = players
    W, V, b = D.X, G.X, bias.X
    gradient.project(W, V, U, work.y, work.h)
    gradient.answer(game, population, bias, work)
    gradient.discriminator_gradient(work.A, work.C, V, U, D.G)
    gradient.generator_gradient(work.C, W, G.G)
    put_norms(D.G, G.G, bias.G, False, room, 0)
    keep(transposed(room), record, replica, seen.grad_norms)
    real = half(game, game.data, population.data, 1.0, work.y, b, work.slopes)
    fake = half(game, game.latents, population.latents, -1.0, work.h, b, work.slopes)
    store(room, 0, 0, real + fake)
    keep(room, record, replica, seen.objective)
    keep(b, record, replica, seen.bias)
    keep(transposed(work.y), record, replica, seen.projections_W)
    multiply(V[:, : U.shape[1]], U, 1.0, False, room)
    keep(room, record, replica, seen.projections_V)
    multiply(V, V, 1.0, False, room)
    keep(room, record, replica, seen.gram_V)
    for i in range(game.m_D):
        square = fill(W, 0.0)
        for k in range(W.shape[1]):
            square += load(W, i, k) * load(W, i, k)
        store(room, i, 0, square_root(square))
    keep(room, record, replica, seen.norms_W)
    keep(pace[:, :1], record, replica, seen.update_norms)
    keep(pace[:, 1:], record, replica, seen.peak_grad_norms)


@part
def keep(X: np.ndarray, record: int, replica: int, out: np.ndarray) -> None:
    """Copy what the lanes hold to a record of their replicas."""
    for i in range(out.shape[2]):
        for k in range(out.shape[3]):
            for lane in range(min(LANES, len(out) - replica)):
                out[replica + lane, record, i, k] = X[i, k, lane]
