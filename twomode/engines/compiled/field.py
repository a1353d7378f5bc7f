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
from twomode.engines.compiled import alone as single
from twomode.engines.compiled import corrections, gradient
from twomode.engines.compiled.alone import Alone
from twomode.engines.compiled.lanes import (
    LANES,
    Lanes,
    absolute,
    add_across,
    clamp,
    fill,
    lane_zeros,
    larger,
    largest_across,
    load,
    sigmoid,
    square_root,
    store,
    transposed,
    where_less,
    within,
)
from twomode.engines.compiled.parts import part
from twomode.engines.compiled.products import multiply, padded
from twomode.engines.compiled.records import Correction, GameCode, RuleCode, Work
from twomode.game import Game

#: Sums over neurons that `data_half` takes.
SUMS = 4
#: A number that has a reciprocal.
LEAST = 1e-300


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
    over_lanes: bool  #: whether a player's neurons lie across the lanes, see `alone`
    at_V: int  #: the row in which V begins


def halves(game: Game) -> FloatArray:
    """<u_l, e_1> and <u_1, e_2> = -<u_2, e_2>, of which u_1 + u_2 and u_1 - u_2 have twice."""
    return np.sqrt([(1 + game.gamma) / 2, (1 - game.gamma) / 2])


def turn(game: Game, U: FloatArray) -> FloatArray:
    """What takes rows in the plane of the modes, wherever U has them there, to e_1 and e_2.

    Shapes (R, 2, 2).
    """
    sums = np.array([[1, 1], [1, -1]]) @ U
    return (sums / (2 * halves(game)[:, None])).mT


def places(game: Game, over_lanes: bool) -> tuple[int, int]:
    """The rows in which V and b begin, in a state that holds W, V and b one below the other."""
    rows = single.groups if over_lanes else padded
    return rows(game.m_D), rows(game.m_D) + rows(game.m_G)


def field_work(work: Work) -> Work:
    """Scratch with room for all that `data_half` leaves."""
    leading, rows_D = work.y.shape[:-3], work.y.shape[-2]
    y, right = lane_zeros((*leading, 3 + SUMS, rows_D)), lane_zeros((*leading, 1, 6))
    return work._replace(y=y, right=right)


def encode_field(game: Game, speed_D: float, speed_G: float, over_lanes: bool) -> FieldCode:
    """A game and its players' speeds as numbers."""
    support, probabilities = game.data_points
    weight = {tuple(point): float(p) for point, p in zip(support, probabilities, strict=True)}
    points = (weight.get(point, 0.0) for point in ((0, 0), (1, 0), (0, 1), (1, 1)))
    at_V, _ = places(game, over_lanes)
    return FieldCode._make([speed_D, speed_G, *halves(game).tolist(), *points, over_lanes, at_V])


@part
def data_half(game: GameCode, code: FieldCode, W: np.ndarray, b: np.ndarray, work: Work) -> None:
    """The sum and the difference of the modes' coefficients A, rows 0 and 1 of `work.A`."""
    clip, three, two = fill(W, game.clip), fill(W, 3.0), fill(W, 2.0)
    rows = W.shape[0] if code.over_lanes else game.m_D
    for i in range(rows):
        p, q = fill(W, code.along) * load(W, i, 0), fill(W, code.across) * load(W, i, 1)
        x_1, x_2 = p + q, p - q
        c_1, c_2, c_both = clamp(x_1, clip), clamp(x_2, clip), clamp(p + p, clip)
        apart = clamped_difference(x_1, x_2, c_1, c_2, q + q, clip)
        store(work.y, 0, i, c_1)
        store(work.y, 1, i, c_2)
        store(work.y, 2, i, apart)
        store(work.slopes, 0, i, c_both * c_both)
        store(work.y, 3, i, c_1 * c_1 * (three * x_1 - two * c_1))
        store(work.y, 4, i, c_2 * c_2 * (three * x_2 - two * c_2))
        store(work.y, 5, i, c_both * c_both * (three * (p + p) - two * c_both))
        # 3 (c_1^2 x_1 - c_2^2 x_2) - 2 (c_1^3 - c_2^3), each as a product with a difference
        difference = three * (c_1 * c_1 * (q + q) + x_2 * apart * (c_1 + c_2))
        difference -= two * apart * (c_1 * c_1 + c_1 * c_2 + c_2 * c_2)
        store(work.y, 6, i, difference)
    cubes_1, cubes_2 = (
        row_sum(work.y, 3, rows, code.over_lanes),
        row_sum(work.y, 4, rows, code.over_lanes),
    )
    cubes_both = row_sum(work.y, 5, rows, code.over_lanes)
    difference = row_sum(work.y, 6, rows, code.over_lanes)
    a, offset = fill(W, game.a), fill(W, game.lam) * load(b, 0, 0)
    wrong_1, wrong_2 = sigmoid(-(a * cubes_1 + offset)), sigmoid(-(a * cubes_2 + offset))
    store(work.right, 0, 0, a * difference)
    expm1_in_place(work.right, 1 if code.over_lanes else LANES)
    # sigmoid(-x) - sigmoid(-y) = -sigmoid(-x) sigmoid(y) (exp(x - y) - 1)
    wrong_apart = -wrong_1 * sigmoid(a * cubes_2 + offset) * load(work.right, 0, 0)
    wrong_both, wrong_neither = sigmoid(-(a * cubes_both + offset)), sigmoid(-offset)
    for n, wrong in enumerate((wrong_1, wrong_2, wrong_both, wrong_neither, wrong_apart)):
        store(work.right, 0, 1 + n, wrong)
    half, first, second = fill(W, 0.5), fill(W, code.first), fill(W, code.second)
    omega_1, omega_2 = first * wrong_1, second * wrong_2
    omega_both = fill(W, code.both) * wrong_both
    omega_apart = half * ((first - second) * (wrong_1 + wrong_2) + (first + second) * wrong_apart)
    for i in range(rows):
        c_1, c_2, apart = load(work.y, 0, i), load(work.y, 1, i), load(work.y, 2, i)
        slopes_1, slopes_2, slopes_both = c_1 * c_1, c_2 * c_2, load(work.slopes, 0, i)
        total = slopes_1 * omega_1 + slopes_2 * omega_2 + two * slopes_both * omega_both
        unlike = half * apart * (c_1 + c_2) * (omega_1 + omega_2)
        unlike += half * (slopes_1 + slopes_2) * omega_apart
        store(work.A, 0, i, three * a * total)
        store(work.A, 1, i, three * a * unlike)
    neither = fill(W, code.neither) * wrong_neither
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
def row_sum(array: np.ndarray, row: int, columns: int, across: bool) -> Lanes:
    """Over a row's columns, and `across` the lanes."""
    total = fill(array, 0.0)
    for i in range(columns):
        x = load(array, row, i)
        total = add_across(total, x) if across else total + x
    return total


@part
def expm1_in_place(array: np.ndarray, different: int) -> None:
    """exp(x) - 1 without loss where x is small; lanes beyond the first few are like the first."""
    for lane in range(different):
        array[0, 0, lane] = math.expm1(array[0, 0, lane])
    for lane in range(different, LANES):
        array[0, 0, lane] = array[0, 0, 0]


@part
def layers(Y: np.ndarray, at_V: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W, V and b of a state; see `places`."""
    at_b = Y.shape[0] - 1
    return Y[:at_V], Y[at_V:at_b], Y[at_b:]


@part
def data_derivative(
    game: GameCode,
    code: FieldCode,
    W: np.ndarray,
    to_W: np.ndarray,
    db: Lanes,
    share_D: float,
    work: Work,
    correction: Correction,
) -> Lanes:
    """Derivatives of what `data_half` leaves along (share_D to_W, db); of the sum, returned."""
    clip, plus, two, half = fill(W, game.clip), fill(W, share_D), fill(W, 2.0), fill(W, 0.5)
    along, across = fill(W, code.along), fill(W, code.across)
    d_1 = d_2 = d_both = d_apart = fill(W, 0.0)
    for i in range(game.m_D):
        p, dp = along * load(W, i, 0), plus * along * load(to_W, i, 0)
        dq = plus * across * load(to_W, i, 1)
        c_1, c_2, apart = load(work.y, 0, i), load(work.y, 1, i), load(work.y, 2, i)
        c_both = clamp(p + p, clip)
        d_1 += c_1 * c_1 * (dp + dq)
        d_2 += c_2 * c_2 * (dp - dq)
        d_both += c_both * c_both * (dp + dp)
        d_apart += (c_1 * c_1 + c_2 * c_2) * dq + apart * (c_1 + c_2) * dp
    three_a, offset, one = fill(W, 3.0 * game.a), fill(W, game.lam) * db, fill(W, 1.0)
    l_1, l_2, l_both = three_a * d_1 + offset, three_a * d_2 + offset, three_a * d_both + offset
    wrong_1, wrong_2, wrong_both = (
        load(work.right, 0, 1),
        load(work.right, 0, 2),
        load(work.right, 0, 3),
    )
    wrong_neither, wrong_apart = load(work.right, 0, 4), load(work.right, 0, 5)
    s_1, s_2 = wrong_1 * (one - wrong_1), wrong_2 * (one - wrong_2)
    s_apart = wrong_apart * (one - wrong_1 - wrong_2)  # s_1 - s_2
    dw_1, dw_2 = -s_1 * l_1, -s_2 * l_2
    dw_apart = -half * (s_apart * (l_1 + l_2) + (s_1 + s_2) * three_a * d_apart)
    first, second, both = fill(W, code.first), fill(W, code.second), fill(W, code.both)
    omega_1, omega_2, omega_both = first * wrong_1, second * wrong_2, both * wrong_both
    do_1, do_2 = first * dw_1, second * dw_2
    do_both = -both * wrong_both * (one - wrong_both) * l_both
    do_neither = -fill(W, code.neither) * wrong_neither * (one - wrong_neither) * offset
    omega_apart = half * ((first - second) * (wrong_1 + wrong_2) + (first + second) * wrong_apart)
    do_apart = half * ((first - second) * (dw_1 + dw_2) + (first + second) * dw_apart)
    for i in range(game.m_D):
        p, q = along * load(W, i, 0), across * load(W, i, 1)
        dp, dq = plus * along * load(to_W, i, 0), plus * across * load(to_W, i, 1)
        c_1, c_2, apart = load(work.y, 0, i), load(work.y, 1, i), load(work.y, 2, i)
        c_both = clamp(p + p, clip)
        dc_1, dc_2 = within(p + q, clip, dp + dq), within(p - q, clip, dp - dq)
        dc_both = within(p + p, clip, dp + dp)
        dc_apart = clamped_difference(p + q, p - q, dc_1, dc_2, dq + dq, clip)
        total = two * (
            c_1 * dc_1 * omega_1 + c_2 * dc_2 * omega_2 + two * c_both * dc_both * omega_both
        )
        total += c_1 * c_1 * do_1 + c_2 * c_2 * do_2 + two * c_both * c_both * do_both
        unlike = (dc_apart * (c_1 + c_2) + apart * (dc_1 + dc_2)) * (omega_1 + omega_2)
        unlike += apart * (c_1 + c_2) * (do_1 + do_2)
        unlike += two * (c_1 * dc_1 + c_2 * dc_2) * omega_apart
        unlike += (c_1 * c_1 + c_2 * c_2) * do_apart
        store(correction.dA, 0, i, three_a * total)
        store(correction.dA, 1, i, half * three_a * unlike)
    return do_1 + do_2 + do_both + do_neither


@part
def product(
    game: GameCode,
    code: FieldCode,
    shares: tuple[float, float],
    work: Work,
    correction: Correction,
    Y: np.ndarray,
    F: np.ndarray,
    out_W: np.ndarray,
    out_b: np.ndarray,
    out_V: np.ndarray,
) -> None:
    """K times shares of the gradients F, as the reduced engine has it."""
    W, V, _ = layers(Y, code.at_V)
    to_W, to_V, to_b = layers(F, code.at_V)
    share_D, share_G = shares
    db = fill(W, share_D) * load(to_b, 0, 0)
    right = data_derivative(game, code, W, to_W, db, share_D, work, correction)
    if share_D != 0.0:
        multiply(V, to_W, share_D, False, correction.dh)
    if share_G != 0.0:
        multiply(to_V, W, share_G, share_D != 0.0, correction.dh)
    corrections.coefficient_derivatives(
        game,
        game.latents,
        work.at_latents,
        -1.0,
        work.h,
        correction.dh,
        db,
        correction.slopes,
        correction.dC,
        work.wrong,
    )
    multiply(transposed(correction.dC), transposed(V), -1.0, False, out_W)
    if share_G != 0.0:
        multiply(transposed(work.C), transposed(to_V), -share_G, True, out_W)
    along, across = fill(W, code.along), fill(W, code.across)
    for i in range(game.m_D):
        store(out_W, i, 0, load(out_W, i, 0) + along * load(correction.dA, 0, i))
        store(out_W, i, 1, load(out_W, i, 1) + across * load(correction.dA, 1, i))
    multiply(correction.dC, transposed(W), 1.0, False, out_V)
    if share_D != 0.0:
        multiply(work.C, transposed(to_W), share_D, True, out_V)
    store(out_b, 0, 0, fill(W, game.lam) * (right - load(work.wrong, 0, 0)))


@part
def correct(
    game: GameCode,
    code: FieldCode,
    rule: RuleCode,
    work: Work,
    correction: Correction,
    Y: np.ndarray,
    F: np.ndarray,
) -> None:
    """Replace the gradients F by the corrected ones; see `twomode.rules.corrected`."""
    for n in range(2 if rule.correction == corrections.SGA else 1):
        share_D, share_G = corrections.shares(rule, n)
        W, b, V = corrections.places(correction, share_D, share_G)
        product(game, code, (share_D, share_G), work, correction, Y, F, W, b, V)
    to_W, to_V, to_b = layers(F, code.at_V)
    weight = corrections.correction_weight(rule, correction.dots)
    corrections.correct(to_W.shape[0], rule, 1.0, weight, to_W, correction.product_W)
    corrections.correct(to_V.shape[0], rule, -1.0, weight, to_V, correction.product_V)
    corrections.correct(1, rule, 1.0, weight, to_b, correction.product_b)


@part(forceinline=False)
def velocities(
    game: GameCode,
    code: FieldCode,
    latents: np.ndarray,
    rule: RuleCode,
    work: Work,
    correction: Correction | None,
    alone: Alone | None,
    Y: np.ndarray,
    norms: np.ndarray,
    out: np.ndarray,
) -> None:
    """dY/dt, t in iterations; `norms` becomes those of the gradients of (D, G), and of the moves.

    The moves are the gradients but for rules that correct them.
    """
    W, V, b = layers(Y, code.at_V)
    to_W, to_V, to_b = layers(out, code.at_V)
    if alone is None:
        multiply(V, W, 1.0, False, work.h)
        gradient.coefficients(
            game,
            game.latents,
            latents,
            -1.0,
            work.h,
            b,
            work.slopes,
            work.C,
            work.wrong,
            work.at_latents,
        )
        multiply(transposed(work.C), transposed(V), -1.0, False, to_W)
        multiply(work.C, transposed(W), 1.0, False, to_V)
    else:
        single.products_of_rows(game.m_G, V, W, work.h)
        points, own_b = alone.game.latents, b[0, 0, 0]
        wrong = single.coefficients(
            alone.game, points, latents, 0, -1.0, work.h, own_b, alone, work.C
        )
        store(work.wrong, 0, 0, fill(b, wrong))
        single.combine_rows(game.m_G, work.C, V, -1.0, False, to_W)
        single.generator_gradient(alone, W, to_V)
    data_half(game, code, W, b, work)
    along, across = fill(W, code.along), fill(W, code.across)
    for i in range(to_W.shape[0]):
        store(to_W, i, 0, load(to_W, i, 0) + along * load(work.A, 0, i))
        store(to_W, i, 1, load(to_W, i, 1) + across * load(work.A, 1, i))
    surplus = load(work.right, 0, 0) - load(work.wrong, 0, 0)
    store(to_b, 0, 0, fill(b, game.lam) * surplus)
    put_norms(to_W, to_V, to_b, code.over_lanes, norms, 0)
    if correction is not None:
        correct(game, code, rule, work, correction, Y, out)
        put_norms(to_W, to_V, to_b, code.over_lanes, norms, 2)
    else:
        for player in range(2):
            store(norms, 0, 2 + player, load(norms, 0, player))
    times(to_W, code.speed_D)
    times(to_V, code.speed_G)
    times(to_b, code.speed_D)


@part
def put_norms(
    W: np.ndarray, V: np.ndarray, b: np.ndarray, across: bool, norms: np.ndarray, column: int
) -> None:
    """Norms of (W, b) and of V."""
    store(norms, 0, column, norm(W, load(b, 0, 0), across))
    store(norms, 0, column + 1, norm(V, fill(V, 0.0), across))


@part
def norm(X: np.ndarray, other: Lanes, across: bool) -> Lanes:
    """Of all entries of X and one other number, over the largest, whose square may be no number."""
    largest = absolute(other)
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            largest = larger(absolute(load(X, i, k)), largest)
    if across:
        largest = largest_across(largest)
    size = larger(largest, fill(X, LEAST))
    scale = fill(X, 1.0) / size
    total = (scale * other) * (scale * other)
    for i in range(X.shape[0]):
        row = fill(X, 0.0)
        for k in range(X.shape[1]):
            x = scale * load(X, i, k)
            row += x * x
        total = add_across(total, row) if across else total + row
    return size * square_root(total)


@part
def times(X: np.ndarray, factor: float) -> None:
    """X *= factor."""
    scale = fill(X, factor)
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            store(X, i, k, scale * load(X, i, k))
