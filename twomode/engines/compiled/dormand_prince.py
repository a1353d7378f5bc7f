"""The explicit Runge-Kutta pair of orders 8(5, 3) of Dormand and Prince, a step in every lane.

The tables are SciPy's.  What differs from its solver: replicas in lanes, each with a step of its
own, or one replica `across` them (see `alone`); an error measured by its largest component, not its
mean square; and a step is never compared with the time, which SGDA's plateau makes so large that
adding a step to it changes nothing.

Source: E. Hairer, S. P. Norsett, G. Wanner, "Solving Ordinary Differential Equations I", sections
II.4 to II.6 and the code DOP853.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.integrate import DOP853

from twomode.engines.compiled.lanes import (
    LANES,
    Lanes,
    absolute,
    add_across,
    divide_or_zero,
    fill,
    lane_zeros,
    larger,
    largest_across,
    load,
    square_root,
    store,
    where_less,
)
from twomode.engines.compiled.parts import part

#: Slopes that a step takes, the next one's first among them, and those that its interpolant adds.
STAGES, EXTRA = 12, 3
SLOPES = STAGES + 1 + EXTRA

#: Weights of the slopes before it in the argument of each, of all in the next state (row STAGES).
ARGUMENTS = np.zeros((SLOPES, SLOPES))
ARGUMENTS[:STAGES, :STAGES] = DOP853.A
ARGUMENTS[STAGES, :STAGES] = DOP853.B
ARGUMENTS[STAGES + 1 :] = DOP853.A_EXTRA
#: Weights of the slopes in the two errors, of order 5 and 3.
ERRORS = np.zeros((2, SLOPES))
ERRORS[:, : STAGES + 1] = DOP853.E5, DOP853.E3
#: Weights of the slopes in the coefficients of the interpolant (see `interpolate`), divided by h.
INTERPOLANT = np.zeros((7, SLOPES))
INTERPOLANT[0, :STAGES] = DOP853.B
INTERPOLANT[1] = np.eye(SLOPES)[0] - INTERPOLANT[0]
INTERPOLANT[2] = 2 * INTERPOLANT[0] - np.eye(SLOPES)[0] - np.eye(SLOPES)[STAGES]
INTERPOLANT[3:] = DOP853.D

#: A step is multiplied by at least the first and at most the second of these.
SHORTER, LONGER, SAFETY = 0.2, 6.0, 0.9


class Steps(NamedTuple):
    """The last attempt of each replica; of shape (..., 1, 1, LANES) where nothing is said."""

    K: np.ndarray  #: slopes, shape (..., SLOPES, rows, columns, LANES)
    base: np.ndarray  #: where the step begins, shape (..., rows, columns, LANES)
    after: np.ndarray  #: where it ends, likewise
    point: np.ndarray  #: any state, likewise
    slope: np.ndarray  #: there, likewise
    floor: np.ndarray  #: absolute tolerance over rtol, shape (..., rows, 1, LANES)
    weights: np.ndarray  #: of the slopes, times h, shape (..., SLOPES, 2, LANES)
    h: np.ndarray  #: its length
    next_h: np.ndarray  #: length of the next
    error: np.ndarray  #: over the tolerance
    taken: np.ndarray  #: 1 where it was accepted, else 0
    accepted: np.ndarray  #: how many
    rejected: np.ndarray  #: how many
    in_a_row: np.ndarray  #: rejected since the last that was accepted


def make_steps(base: np.ndarray, floor: np.ndarray) -> Steps:
    """Of blocks of replicas that start at `base`, shape (blocks, rows, columns, LANES)."""
    blocks, rows, columns, _ = base.shape
    numbers = (lane_zeros((blocks, 1, 1)) for _ in range(7))
    K, weights = lane_zeros((blocks, SLOPES, rows, columns)), lane_zeros((blocks, SLOPES, 2))
    return Steps(K, base, base.copy(), base.copy(), base.copy(), floor, weights, *numbers)


@part
def weigh(steps: Steps, row: np.ndarray, column: int) -> None:
    """Weights of one row of a table, the same in all lanes, times each lane's h."""
    for j in range(SLOPES):
        store(steps.weights, j, column, fill(steps.h, row[j]) * load(steps.h, 0, 0))


@part
def interpolate(steps: Steps, x: np.ndarray) -> None:
    """Weights of the interpolant at x in [0, 1] of each lane's step, 0 where it was not taken.

    With F_k the rows of `INTERPOLANT`: x (F_0 + (1 - x) (F_1 + x (F_2 + (1 - x) (F_3 + ...)))).
    """
    here, h = load(x, 0, 0), load(steps.taken, 0, 0) * load(steps.h, 0, 0)
    rest = fill(x, 1.0) - here
    for j in range(SLOPES):
        total = fill(x, 0.0)
        for k in range(6, -1, -1):
            total = (total + fill(x, INTERPOLANT[k, j])) * (here if k % 2 == 0 else rest)
        store(steps.weights, j, 0, h * total)


@part
def combination(steps: Steps, count: int, column: int, i: int, k: int) -> Lanes:
    """Sum of the first `count` slopes of one coordinate, weighted."""
    total = fill(steps.h, 0.0)
    for j in range(count):
        total += load(steps.weights, j, column) * load(steps.K[j], i, k)
    return total


@part
def combine(steps: Steps, count: int, out: np.ndarray) -> None:
    """out = base + the weighted sum of the first `count` slopes."""
    for i in range(out.shape[0]):
        for k in range(out.shape[1]):
            store(out, i, k, load(steps.base, i, k) + combination(steps, count, 0, i, k))


@part
def change_time(steps: Steps, across: bool, Y: np.ndarray, K: np.ndarray) -> None:
    """From dY/dt to dY/ds, ds = norm(dY/dt / sqrt(Y^2 + floor^2)) dt; dt/ds goes beside b.

    In s a state changes at the rate of its own size, on a plateau and where it ends.
    """
    last = K.shape[0] - 1
    total = square(steps, Y, K, last, 0)
    for i in range(last):
        row = fill(K, 0.0)
        for k in range(K.shape[1]):
            row += square(steps, Y, K, i, k)
        total = add_across(total, row) if across else total + row
    rate = divide_or_zero(fill(K, 1.0), square_root(total))
    for i in range(last):
        for k in range(K.shape[1]):
            store(K, i, k, rate * load(K, i, k))
    store(K, last, 0, rate * load(K, last, 0))
    store(K, last, 1, rate)


@part
def square(steps: Steps, Y: np.ndarray, K: np.ndarray, i: int, k: int) -> Lanes:
    """Of one coordinate's rate of change over its size."""
    y, floor, slope = load(Y, i, k), load(steps.floor, i, 0), load(K, i, k)
    return divide_or_zero(slope * slope, y * y + floor * floor)


@part
def combine_row(steps: Steps, s: int, out: np.ndarray) -> None:
    """The argument of slope s."""
    weigh(steps, ARGUMENTS[s], 0)
    combine(steps, s, out)


@part
def choose(taken: np.ndarray, new: np.ndarray, old: np.ndarray) -> None:
    """old = new in the lanes in which `taken` is 1."""
    chosen, half = load(taken, 0, 0), fill(taken, 0.5)
    for i in range(old.shape[0]):
        for k in range(old.shape[1]):
            x = where_less(half, chosen, load(new, i, k), load(old, i, k))
            store(old, i, k, x)


@part
def measure(steps: Steps, across: bool, rtol: float) -> None:
    """The error of the step over the tolerance: Hairer's mixture of two, NaN if one is.

    Of all components the largest.
    """
    weigh(steps, ERRORS[0], 0)
    weigh(steps, ERRORS[1], 1)
    relative, nothing = fill(steps.h, rtol), fill(steps.h, 0.0)
    fifth = third = poison = nothing
    for i in range(steps.base.shape[0]):
        floor = load(steps.floor, i, 0)
        for k in range(steps.base.shape[1]):
            size = larger(absolute(load(steps.base, i, k)), absolute(load(steps.after, i, k)))
            tolerance = relative * (floor + size)
            error = absolute(combination(steps, STAGES + 1, 0, i, k))
            poison += nothing * error
            fifth = larger(fifth, divide_or_zero(error, tolerance))
            error = absolute(combination(steps, STAGES + 1, 1, i, k))
            third = larger(third, divide_or_zero(error, tolerance))
    if across:
        fifth, third = largest_across(fifth), largest_across(third)
        poison = add_across(nothing, poison)
    mixed = square_root(fifth * fifth + fill(steps.h, 0.01) * third * third)
    store(steps.error, 0, 0, divide_or_zero(fifth * fifth, mixed) + poison)


@part
def decide(steps: Steps) -> None:
    """Accept or reject each lane's step, and choose the length of its next."""
    for lane in range(LANES):
        if steps.h[0, 0, lane] == 0.0:  # it has ended
            continue
        error = steps.error[0, 0, lane]
        longest = LONGER if steps.in_a_row[0, 0, lane] == 0.0 else 1.0
        factor = SHORTER
        if error == 0.0:
            factor = longest
        elif error > 0.0:  # a NaN is not
            factor = min(longest, max(SHORTER, SAFETY * error ** (-1 / 8)))
        taken = error < 1.0
        steps.taken[0, 0, lane] = taken
        steps.accepted[0, 0, lane] += taken
        steps.rejected[0, 0, lane] += not taken
        steps.in_a_row[0, 0, lane] = 0.0 if taken else steps.in_a_row[0, 0, lane] + 1.0
        steps.next_h[0, 0, lane] = steps.h[0, 0, lane] * factor
