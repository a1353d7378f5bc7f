"""From where the players are to both their gradients.

Everything goes through the inner products <u_l, w_i> and <v_j, w_i>; the formulas are those of
`twomode.game`.
"""

from __future__ import annotations

import numpy as np

from twomode.engines.compiled.lanes import (
    Lanes,
    both_sigmoids,
    clamp,
    fill,
    load,
    store,
    transposed,
)
from twomode.engines.compiled.parts import part
from twomode.engines.compiled.products import clear, multiply
from twomode.engines.compiled.records import GameCode, Neurons, Weights, Work


@part
def cube(x: Lanes, clip: Lanes, slopes: np.ndarray, i: int) -> Lanes:
    """The clipped cubic of x; a third of its slope goes to ``slopes[0, i]``."""
    c = clamp(x, clip)
    square = c * c
    store(slopes, 0, i, square)
    return square * (fill(slopes, 3.0) * x - (c + c))


@part
def pair_cubes(
    m_D: int, h: np.ndarray, first: int, second: int, clip: Lanes, slopes: np.ndarray
) -> Lanes:
    """Sum over neurons of the clipped cubic at a point with ones at `first` and `second`."""
    total = fill(h, 0.0)
    for i in range(m_D):
        total += cube(load(h, first, i) + load(h, second, i), clip, slopes, i)
    return total


@part
def point_cubes(
    m_D: int, h: np.ndarray, members: np.ndarray, clip: Lanes, slopes: np.ndarray
) -> Lanes:
    """`pair_cubes` for a point with any number of ones."""
    total = zero = fill(h, 0.0)
    for i in range(m_D):
        x = zero
        for member in members:
            x += load(h, member, i)
        total += cube(x, clip, slopes, i)
    return total


@part
def scatter(m_D: int, wrong: Lanes, slopes: np.ndarray, member: int, out: np.ndarray) -> None:
    """Add a point's wrongness times its slopes to the row of one of its ones."""
    for i in range(m_D):
        store(out, member, i, load(out, member, i) + wrong * load(slopes, 0, i))


@part
def scatter_over_pair(
    m_D: int, wrong: Lanes, slopes: np.ndarray, first: int, second: int, out: np.ndarray
) -> None:
    """`scatter` over a point's two ones at once."""
    for i in range(m_D):
        share = wrong * load(slopes, 0, i)
        store(out, first, i, load(out, first, i) + share)
        store(out, second, i, load(out, second, i) + share)


@part
def coefficients(
    game: GameCode,
    points: np.ndarray,
    weights: np.ndarray,
    sign: float,
    h: np.ndarray,
    b: np.ndarray,
    slopes: np.ndarray,
    out: np.ndarray,
    wrong_sum: np.ndarray,
    at: np.ndarray,
) -> None:
    """One half of the objective: A and its share of the bias gradient, or C and its share.

    ``h[j, i]`` is <basis vector j, w_i>, ``weights[0, s]`` the weight of point s, ``sign`` +1 for
    data and -1 for generated points.  ``out[j, i]`` becomes A or C transposed, and `at` is filled
    if there is room (see `Work`).  See `Game.evaluate`.
    """
    clip, a, three = fill(h, game.clip), fill(h, game.a), fill(h, 3.0)
    offset, minus_sign = fill(h, game.lam) * load(b, 0, 0), fill(h, -sign)
    total = fill(h, 0.0)
    clear(out)
    at_most_pairs = points.shape[1] == 2
    for s in range(points.shape[0]):
        if at_most_pairs:
            cubes = pair_cubes(game.m_D, h, points[s, 0], points[s, 1], clip, slopes)
        else:
            cubes = point_cubes(game.m_D, h, points[s], clip, slopes)
        wrong, right = both_sigmoids(minus_sign * (a * cubes + offset))
        wrong *= load(weights, 0, s)
        if at.shape[1] > 0:
            store(at, 0, 2 * s, wrong)
            store(at, 0, 2 * s + 1, right)
        total += wrong
        wrong *= three * a
        if at_most_pairs:
            scatter_over_pair(game.m_D, wrong, slopes, points[s, 0], points[s, 1], out)
        else:
            for member in points[s]:
                scatter(game.m_D, wrong, slopes, member, out)
    store(wrong_sum, 0, 0, total)


@part
def project(W: np.ndarray, V: np.ndarray, U: np.ndarray, y: np.ndarray, h: np.ndarray) -> None:
    """<u_l, w_i> and <v_j, w_i>; U may stop at the last column in which it is not zero."""
    multiply(U, W[:, : U.shape[1]], 1.0, False, y)
    multiply(V, W, 1.0, False, h)


@part
def answer(game: GameCode, weights: Weights, bias: Neurons, work: Work) -> None:
    """From the projections to A, C and the gradient of the bias."""
    b, slopes = bias.X, work.slopes
    data, latents = weights.data, weights.latents
    coefficients(game, game.data, data, 1.0, work.y, b, slopes, work.A, work.right, work.at_data)
    coefficients(
        game, game.latents, latents, -1.0, work.h, b, slopes, work.C, work.wrong, work.at_latents
    )
    surplus = load(work.right, 0, 0) - load(work.wrong, 0, 0)
    store(bias.G, 0, 0, fill(bias.G, game.lam) * surplus)


@part
def discriminator_gradient(
    A: np.ndarray, C: np.ndarray, V: np.ndarray, U: np.ndarray, G: np.ndarray
) -> None:
    """G = A X - C V, an ascent direction for W."""
    multiply(transposed(C), transposed(V), -1.0, False, G)
    multiply(transposed(A), transposed(U), 1.0, True, G[:, : U.shape[1]])


@part
def generator_gradient(C: np.ndarray, W: np.ndarray, G: np.ndarray) -> None:
    """G = C^T W, a descent direction for V."""
    multiply(C, transposed(W), 1.0, False, G)
