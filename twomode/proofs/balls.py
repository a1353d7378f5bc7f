"""Arrays of balls: numbers with a rigorous bound of their error, as the array API has them.

A ball is a midpoint and a radius; every operation returns a ball that contains all that comes of
the points of its arguments (python-flint's `arb`, of FLINT).  `Balls` are an array of them with
the functions that the game and the `array` engine call, so that the formulas of both, as they
stand, run on balls.  A comparison that balls do not decide is neither true nor false, and what
is chosen by it is the hull of both choices.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from twomode._typing import BoolArray
from twomode.errors import InputError

try:
    import flint
    from flint import arb, arb_mat, ctx, fmpq
except ImportError:
    raise InputError(
        "proofs need python-flint, for ball arithmetic: pip install 'twomode[proof]'"
    ) from None

__all__ = [
    "Ball",
    "Balls",
    "Between",
    "Truths",
    "Undecided",
    "arithmetic",
    "ball",
    "bits_of_precision",
    "bounds",
    "digits",
    "exactly",
    "hulls",
    "overlap",
    "total",
    "truths",
    "widened",
]

#: Of python-flint, which has no types.
Ball: TypeAlias = Any


class Between(NamedTuple):
    """A number's bounds, both proved."""

    low: float
    high: float


class Undecided(Exception):
    """Balls do not tell, at this precision, whether something is so."""


@contextlib.contextmanager
def bits_of_precision(bits: int) -> Iterator[None]:
    """Balls have midpoints of so many bits within a block."""
    before = ctx.prec
    ctx.prec = bits
    try:
        yield
    finally:
        ctx.prec = before


def ball(x: float | Fraction | Ball) -> Ball:
    """The exact value of a float, a whole number or a fraction, as a ball (rounded if it must)."""
    return arb(fmpq(x.numerator, x.denominator)) if isinstance(x, Fraction) else arb(x)


def bounds(x: Ball) -> Between:
    """The floats next to a ball, below and above all of it."""
    low, high = float(x.lower()), float(x.upper())
    low = low if arb(low) <= x.lower() else math.nextafter(low, -math.inf)
    return Between(low, high if arb(high) >= x.upper() else math.nextafter(high, math.inf))


def digits(x: Ball) -> str:
    """A ball as a text of decimal digits, rounded outwards, which `overlap` reads."""
    return str(x.str(40))


def overlap(x: str, y: str) -> bool:
    """Whether two texts of balls can be of the same number."""
    return bool(arb(x).overlaps(arb(y)))


def arithmetic() -> str:
    """What does it."""
    return f"python-flint {flint.__version__}, FLINT {flint.__FLINT_VERSION__}"


class Balls(np.ndarray):
    """An array of balls."""

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return _Library

    def __lt__(self, other: Any) -> Any:
        return _compared(_less, self, other)

    def __le__(self, other: Any) -> Any:
        return _compared(_at_most, self, other)

    def __gt__(self, other: Any) -> Any:
        return _compared(_less, other, self)

    def __ge__(self, other: Any) -> Any:
        return _compared(_at_most, other, self)

    def __eq__(self, other: Any) -> Any:
        return _compared(_equal, self, other)


class Truths(np.ndarray):
    """What comparisons say: True, False, or None where balls do not tell."""

    def __and__(self, other: Any) -> Any:
        return _of_two(_both)(self, other).view(Truths)


def truths(true: BoolArray, false: BoolArray) -> Truths:
    """From where something is surely so, and where it surely is not."""
    found = np.full(np.shape(true), None, dtype=object)
    found[np.asarray(false)] = False
    found[np.asarray(true)] = True
    return found.view(Truths)


def exactly(values: npt.ArrayLike | list[Fraction]) -> Balls:
    """The balls of radius 0 at the values of floats, whole numbers or fractions."""
    return _elementwise(ball)(np.asarray(values, dtype=object))


def widened(x: Balls, share: float) -> Balls:
    """Each ball wider by a share of its midpoint; 0 stays."""
    return _elementwise(lambda y: y + arb(0, abs(y) * arb(share)))(x)


def hulls(x: Any) -> Balls:
    """The balls of an array of balls, or of affine forms: what each number is between."""
    return x if isinstance(x, Balls) else x.balls()


def total(x: np.ndarray) -> Ball:
    """The sum of all balls of an array."""
    return sum(x.flat, arb(0))


def _function(f: Callable[..., Any], inputs: int) -> Callable[..., Any]:
    """A function of balls, elementwise on arrays of them."""
    loop = np.frompyfunc(f, inputs, 1)
    return lambda *arrays: np.asarray(loop(*arrays), dtype=object).view(Balls)


def _elementwise(f: Callable[[Ball], Ball]) -> Callable[..., Balls]:
    return _function(f, 1)


def _of_two(f: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return _function(f, 2)


# What comparisons say


def _less(x: Ball, y: Ball) -> bool | None:
    return True if x < y else (False if x >= y else None)


def _at_most(x: Ball, y: Ball) -> bool | None:
    return True if x <= y else (False if x > y else None)


def _equal(x: Ball, y: Ball) -> bool | None:
    return True if x == y else (False if x != y else None)


def _both(x: bool | None, y: bool | None) -> bool | None:
    if x is False or y is False:
        return False
    return True if x and y else None


def _compared(f: Callable[[Ball, Ball], bool | None], x: Any, y: Any) -> Any:
    return _of_two(f)(x, y).view(Truths)


def _chosen(condition: bool | None, x: Ball, y: Ball) -> Ball:
    if condition is None:
        return arb(x).union(y)
    return x if condition else y


def _clipped(x: Ball, low: float, high: float) -> Ball:
    return x if low < x < high else x.max(low).min(high)


class _Library:
    """The functions of the array API that take balls, as far as they are called."""

    float64 = np.float64  # which balls are not
    abs = staticmethod(_elementwise(abs))
    exp = staticmethod(_elementwise(arb.exp))
    log1p = staticmethod(_elementwise(arb.log1p))
    sqrt = staticmethod(_elementwise(arb.sqrt))
    sign = staticmethod(_elementwise(arb.sgn))
    minimum = staticmethod(_of_two(lambda x, y: arb(x).min(y)))
    maximum = staticmethod(_of_two(lambda x, y: arb(x).max(y)))
    where = staticmethod(_function(_chosen, 3))
    clip = staticmethod(_function(_clipped, 3))
    sum, stack, reshape = staticmethod(np.sum), staticmethod(np.stack), staticmethod(np.reshape)
    isfinite = staticmethod(np.frompyfunc(arb.is_finite, 1, 1))

    @staticmethod
    def zeros_like(x: Balls) -> Balls:
        return _Library.full_like(x, 0)

    @staticmethod
    def ones_like(x: Balls) -> Balls:
        return _Library.full_like(x, 1)

    @staticmethod
    def full_like(x: Balls, value: Any) -> Balls:
        return np.full(x.shape, arb(value), dtype=object).view(Balls)

    @staticmethod
    def asarray(values: Any, **kind: Any) -> Balls:
        return values if isinstance(values, Balls) else exactly(values)

    @staticmethod
    def max(x: Balls, axis: tuple[int, ...]) -> Balls:
        flat = x.reshape(*x.shape[: -len(axis)], -1)
        return np.asarray(np.frompyfunc(arb.max, 2, 1).reduce(flat, axis=-1)).view(Balls)

    @staticmethod
    def any(x: Truths) -> bool:
        """Whether any is true; what nobody knows counts as false."""
        return any(truth is True for truth in x.flat)

    @staticmethod
    def matmul(x: Balls, y: Balls) -> Balls:
        lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        left = np.broadcast_to(x, (*lead, *x.shape[-2:]))
        right = np.broadcast_to(y, (*lead, *y.shape[-2:]))
        product = np.empty((*lead, x.shape[-2], y.shape[-1]), dtype=object)
        for place in np.ndindex(lead):
            entries = (_matrix(left[place]) * _matrix(right[place])).entries()
            product[place] = np.array(entries, dtype=object).reshape(product.shape[-2:])
        return product.view(Balls)


def _matrix(x: np.ndarray) -> Any:
    rows, columns = x.shape
    return arb_mat(rows, columns, x.ravel().tolist())
