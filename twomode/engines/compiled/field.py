"""The flow's right-hand side, in a basis in which the modes differ in the sign of one coordinate.

With e_1 along u_1 + u_2 and e_2 along u_1 - u_2 a neuron's projections on the modes are p + q and
p - q, p and q each a coordinate times a number.  SGDA's plateau ends at a difference q far smaller
than the rounding of p, so whatever is a difference of the two modes is formed from q, never as a
difference of two numbers that are nearly the same.  The formulas are those of `twomode.game`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from twomode._typing import FloatArray
from twomode.engines.compiled import gradient
from twomode.engines.compiled.jit import kernel, part
from twomode.engines.compiled.lanes import (
    LANES,
    Lanes,
    absolute,
    clamp,
    divide_or_zero,
    fill,
    larger,
    load,
    sigmoid,
    square_root,
    store,
    transposed,
    where_less,
)
from twomode.engines.compiled.products import TILE, multiply, padded
from twomode.engines.compiled.records import GameCode, Work
from twomode.game import Game


class FieldCode(NamedTuple):
    """What the right-hand side needs besides the game: numbers only."""

    speed_D: float  #: of W and b in each iteration, over their gradient
    speed_G: float
    along: float  #: <u_l, e_1>
    across: float  #: <u_1, e_2> = -<u_2, e_2>
    neither: float  #: probability of the data point 0
    first: float  #: of u_1
    second: float  #: of u_2
    both: float  #: of u_1 + u_2


def halves(game: Game) -> FloatArray:
    """<u_l, e_1> and <u_1, e_2> = -<u_2, e_2>, of which u_1 + u_2 and u_1 - u_2 have twice."""
    return np.sqrt([(1 + game.gamma) / 2, (1 - game.gamma) / 2])


def turn(game: Game, U: FloatArray) -> FloatArray:
    """What takes rows in the plane of the modes, wherever U has them there, to e_1 and e_2.

    Shapes (R, 2, 2).
    """
    sums = np.array([[1, 1], [1, -1]]) @ U
    return (sums / (2 * halves(game)[:, None])).mT


def places(game: Game) -> tuple[int, int]:
    """The rows in which V and b begin, in a state that holds W, V and b one below the other."""
    return padded(game.m_D), padded(game.m_D) + padded(game.m_G)


def encode_field(game: Game, speed_D: float, speed_G: float) -> FieldCode:
    """A game and its players' speeds as numbers."""
    support, probabilities = game.data_points
    weight = {tuple(point): float(p) for point, p in zip(support, probabilities, strict=True)}
    points = (weight.get(point, 0.0) for point in ((0, 0), (1, 0), (0, 1), (1, 1)))
    return FieldCode(speed_D, speed_G, *halves(game).tolist(), *points)


@part
def data_half(game: GameCode, code: FieldCode, W: np.ndarray, b: np.ndarray, work: Work) -> None:
    """The sum and the difference of the modes' coefficients A, rows 0 and 1 of `work.A`."""
    clip, three, two = fill(W, game.clip), fill(W, 3.0), fill(W, 2.0)
    cubes_1 = cubes_2 = cubes_both = difference = fill(W, 0.0)
    for i in range(game.m_D):
        p, q = fill(W, code.along) * load(W, i, 0), fill(W, code.across) * load(W, i, 1)
        x_1, x_2 = p + q, p - q
        c_1, c_2, c_both = clamp(x_1, clip), clamp(x_2, clip), clamp(p + p, clip)
        apart = clamped_difference(x_1, x_2, c_1, c_2, q + q, clip)
        store(work.y, 0, i, c_1)
        store(work.y, 1, i, c_2)
        store(work.y, 2, i, apart)
        store(work.slopes, 0, i, c_both * c_both)
        cubes_1 += c_1 * c_1 * (three * x_1 - two * c_1)
        cubes_2 += c_2 * c_2 * (three * x_2 - two * c_2)
        cubes_both += c_both * c_both * (three * (p + p) - two * c_both)
        # 3 (c_1^2 x_1 - c_2^2 x_2) - 2 (c_1^3 - c_2^3), each as a product with a difference
        difference += three * (c_1 * c_1 * (q + q) + x_2 * apart * (c_1 + c_2))
        difference -= two * apart * (c_1 * c_1 + c_1 * c_2 + c_2 * c_2)
    a, offset = fill(W, game.a), fill(W, game.lam) * load(b, 0, 0)
    wrong_1, wrong_2 = sigmoid(-(a * cubes_1 + offset)), sigmoid(-(a * cubes_2 + offset))
    store(work.right, 0, 0, a * difference)
    expm1_in_place(work.right)
    # sigmoid(-x) - sigmoid(-y) = -sigmoid(-x) sigmoid(y) (exp(x - y) - 1)
    wrong_apart = -wrong_1 * sigmoid(a * cubes_2 + offset) * load(work.right, 0, 0)
    half, first, second = fill(W, 0.5), fill(W, code.first), fill(W, code.second)
    omega_1, omega_2 = first * wrong_1, second * wrong_2
    omega_both = fill(W, code.both) * sigmoid(-(a * cubes_both + offset))
    omega_apart = half * ((first - second) * (wrong_1 + wrong_2) + (first + second) * wrong_apart)
    for i in range(game.m_D):
        c_1, c_2, apart = load(work.y, 0, i), load(work.y, 1, i), load(work.y, 2, i)
        slopes_1, slopes_2, slopes_both = c_1 * c_1, c_2 * c_2, load(work.slopes, 0, i)
        total = slopes_1 * omega_1 + slopes_2 * omega_2 + two * slopes_both * omega_both
        unlike = half * apart * (c_1 + c_2) * (omega_1 + omega_2)
        unlike += half * (slopes_1 + slopes_2) * omega_apart
        store(work.A, 0, i, three * a * total)
        store(work.A, 1, i, three * a * unlike)
    neither = fill(W, code.neither) * sigmoid(-offset)
    store(work.right, 0, 0, omega_1 + omega_2 + omega_both + neither)


@part
def clamped_difference(
    x_1: Lanes, x_2: Lanes, c_1: Lanes, c_2: Lanes, apart: Lanes, clip: Lanes
) -> Lanes:
    """c_1 - c_2: `apart`, which is x_1 - x_2, where neither is clamped."""
    clamped = c_1 - c_2
    inside = where_less(absolute(x_2), clip, apart, clamped)
    return where_less(absolute(x_1), clip, inside, clamped)


@part
def expm1_in_place(array: np.ndarray) -> None:
    """exp(x) - 1 without loss where x is small."""
    for lane in range(LANES):
        array[0, 0, lane] = math.expm1(array[0, 0, lane])


@part
def layers(Y: np.ndarray, m_D: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W, V and b of a state; see `places`."""
    at_V, at_b = TILE * ((m_D + TILE - 1) // TILE), Y.shape[0] - 1
    return Y[:at_V], Y[at_V:at_b], Y[at_b:]


@kernel(nogil=True)
def velocities(
    game: GameCode,
    code: FieldCode,
    latents: np.ndarray,
    work: Work,
    Y: np.ndarray,
    norms: np.ndarray,
    out: np.ndarray,
) -> None:
    """dY/dt, t in iterations; row 0 of `norms` becomes the norms of the gradients of (D, G)."""
    W, V, b = layers(Y, game.m_D)
    to_W, to_V, to_b = layers(out, game.m_D)
    multiply(V, W, 1.0, False, work.h)
    gradient.coefficients(
        game, game.latents, latents, -1.0, work.h, b, work.slopes, work.C, work.wrong
    )
    data_half(game, code, W, b, work)
    multiply(transposed(work.C), transposed(V), -1.0, False, to_W)
    along, across = fill(W, code.along), fill(W, code.across)
    for i in range(game.m_D):
        store(to_W, i, 0, load(to_W, i, 0) + along * load(work.A, 0, i))
        store(to_W, i, 1, load(to_W, i, 1) + across * load(work.A, 1, i))
    multiply(work.C, transposed(W), 1.0, False, to_V)
    surplus = load(work.right, 0, 0) - load(work.wrong, 0, 0)
    store(to_b, 0, 0, fill(b, game.lam) * surplus)
    store(norms, 0, 0, norm(to_W, load(to_b, 0, 0)))
    store(norms, 0, 1, norm(to_V, fill(V, 0.0)))
    times(to_W, code.speed_D)
    times(to_V, code.speed_G)
    times(to_b, code.speed_D)


@part
def norm(X: np.ndarray, other: Lanes) -> Lanes:
    """Of all entries of X and one other number, over the largest, whose square may be no number."""
    largest = absolute(other)
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            largest = larger(absolute(load(X, i, k)), largest)
    scale = divide_or_zero(fill(X, 1.0), largest)
    total = (scale * other) * (scale * other)
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            x = scale * load(X, i, k)
            total += x * x
    return largest * square_root(total)


@part
def times(X: np.ndarray, factor: float) -> None:
    """X *= factor."""
    scale = fill(X, factor)
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            store(X, i, k, scale * load(X, i, k))
