"""Eight numbers as one: the vocabulary in which the kernels are written.

A kernel reads like the recurrence of a single run, and each of its scalars is a `Lanes`, eight
floating-point numbers side by side: eight replicas in the reduced engine, eight coordinates in the
dense one.  A lane's result does not depend on the other lanes.  Arrays hold lanes innermost, with
shape (rows, columns, LANES), and are read and written by `load` and `store`.
"""

from __future__ import annotations

import math

import numpy as np
from numba.core import config
from numpy.typing import DTypeLike

from twomode.engines.compiled.lanes_numpy import LANES, Lanes
from twomode.engines.compiled.parts import part

if config.DISABLE_JIT:
    from twomode.engines.compiled.lanes_numpy import (
        absolute,
        any_less,
        fill,
        lane_of,
        lane_sum,
        load,
        narrowed,
        power_of_two,
        square_root,
        store,
        transposed,
        where_equal,
        where_less,
        widened,
    )
else:
    from twomode.engines.compiled.lanes_llvm import (
        absolute,
        any_less,
        fill,
        lane_of,
        lane_sum,
        load,
        narrowed,
        power_of_two,
        square_root,
        store,
        transposed,
        where_equal,
        where_less,
        widened,
    )

__all__ = [
    "LANES",
    "Lanes",
    "add_across",
    "any_less",
    "both_sigmoids",
    "clamp",
    "divide_or_zero",
    "exp_of_minus_abs",
    "fill",
    "lane_of",
    "lane_sum",
    "lane_zeros",
    "larger",
    "largest_across",
    "load",
    "log_sigmoid",
    "sigmoid",
    "square_root",
    "store",
    "transposed",
    "where_equal",
    "where_less",
    "within",
]


def lane_zeros(shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> np.ndarray:
    """Zeros of shape (*shape, LANES), aligned so that no Lanes straddles two cache lines."""
    count = math.prod(shape) * LANES
    buffer = np.zeros(count + 64, dtype=dtype)
    offset = -buffer.ctypes.data % 64 // buffer.itemsize
    return buffer[offset : offset + count].reshape(*shape, LANES)


@part
def clamp(x: Lanes, bound: Lanes) -> Lanes:
    """`x` limited to [-bound, bound]; `bound` if x is NaN."""
    x = where_less(x, bound, x, bound)
    return where_less(-bound, x, x, -bound)


@part
def within(x: Lanes, bound: Lanes, y: Lanes) -> Lanes:
    """y where x lies in [-bound, bound], else 0; y if x is NaN."""
    return where_less(bound, absolute(x), fill(y, 0.0), y)


@part
def larger(x: Lanes, y: Lanes) -> Lanes:
    """The larger of x and y; y if either is NaN."""
    return where_less(y, x, x, y)


@part
def add_across(total: Lanes, x: Lanes) -> Lanes:
    """`total`, the same in all lanes, plus the lanes of x, one after the other."""
    for lane in range(LANES):
        total += fill(x, lane_of(x, lane))
    return total


@part
def largest_across(x: Lanes) -> Lanes:
    """The largest of the lanes, in all of them."""
    largest = x
    for lane in range(LANES):
        largest = larger(fill(x, lane_of(x, lane)), largest)
    return largest


@part
def divide_or_zero(x: Lanes, y: Lanes) -> Lanes:
    """x / y, and 0 where y is 0; where y is NaN it stays so."""
    zero = fill(y, 0.0)
    return where_equal(y, zero, zero, x / y)


#: Taylor coefficients of exp up to x^13; the rest is below rounding for abs(x) <= ln(2)/2.
TAYLOR = tuple(1 / math.factorial(k) for k in range(14))
#: ln 2, in two parts; a small whole number times the first is exact.
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
#: Added to a number, it rounds to an integer and leaves that in the low bits.
ROUNDER = 1.5 * 2.0**52


@part
def quartet(first: float, second: float, third: float, fourth: float, r: Lanes) -> Lanes:
    """first + second r + third r^2 + fourth r^3."""
    low, high = fill(r, first) + fill(r, second) * r, fill(r, third) + fill(r, fourth) * r
    return low + high * (r * r)


@part
def exp_of_minus_abs(x: Lanes) -> Lanes:
    """exp(-abs(x)) in double precision: 2^n exp(r), n whole and abs(r) <= ln(2)/2.

    Below exp(-708), where it would be subnormal, the result is 0.
    """
    exponent, least = -absolute(x), fill(x, -708.0)
    y = where_less(exponent, least, least, exponent)
    shifted = y * fill(x, 1.4426950408889634) + fill(x, ROUNDER)
    n = shifted - fill(x, ROUNDER)
    r = y - n * fill(x, LN2_HIGH) - n * fill(x, LN2_LOW)
    r_4 = (r * r) * (r * r)
    # Estrin's scheme: pairs, pairs of pairs and so on have less to wait for than Horner's.
    low = quartet(*TAYLOR[:4], r) + quartet(*TAYLOR[4:8], r) * r_4
    last = fill(r, TAYLOR[12]) + fill(r, TAYLOR[13]) * r
    high = quartet(*TAYLOR[8:12], r) + last * r_4
    result = (low + high * (r_4 * r_4)) * power_of_two(shifted)
    return where_less(exponent, least, fill(x, 0.0), result)


@part
def sigmoid(x: Lanes) -> Lanes:
    """1 / (1 + exp(-x)), accurate in both tails, in double precision inside."""
    return both_sigmoids(x)[0]


@part
def both_sigmoids(x: Lanes) -> tuple[Lanes, Lanes]:
    """`sigmoid` of x and of -x."""
    wide = widened(x)
    e, one, zero = exp_of_minus_abs(wide), fill(wide, 1.0), fill(wide, 0.0)
    of_x, of_minus_x = where_less(wide, zero, e, one), where_less(wide, zero, one, e)
    return narrowed(of_x / (one + e), x), narrowed(of_minus_x / (one + e), x)


#: Of log1p(e) / (2 s) = 1 + s^2/3 + s^4/5 + ..., s = e/(2 + e), from the last that counts at e = 1.
ATANH = tuple(1 / (2 * k + 1) for k in reversed(range(17)))


@part
def log_sigmoid(x: Lanes) -> Lanes:
    """ln(1 / (1 + exp(-x))), accurate in both tails."""
    e, zero = exp_of_minus_abs(x), fill(x, 0.0)
    s = e / (fill(x, 2.0) + e)
    square, series = s * s, zero
    for coefficient in ATANH:
        series = series * square + fill(x, coefficient)
    return where_less(x, zero, x, zero) - (s + s) * series
