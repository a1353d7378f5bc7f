"""Eight numbers as one, on NumPy arrays: what `lanes_llvm` does, under NUMBA_DISABLE_JIT."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

#: How many numbers a Lanes holds.
LANES = 8
#: What signatures call a value of eight numbers: a register if compiled, else a `Value`.
Lanes: TypeAlias = np.ndarray


class Value(np.ndarray):
    """Eight numbers that behave as one: ``x += y`` makes a new value and leaves the old alone."""

    def __truediv__(self, other: Lanes) -> Lanes:  # type: ignore[override]
        with np.errstate(divide="ignore", invalid="ignore"):  # IEEE 754, as compiled
            return super().__truediv__(other)

    __iadd__ = np.ndarray.__add__  # type: ignore[assignment]
    __isub__ = np.ndarray.__sub__  # type: ignore[assignment]
    __imul__ = np.ndarray.__mul__  # type: ignore[assignment]
    __itruediv__ = __truediv__  # type: ignore[assignment]


def transposed(array: np.ndarray) -> np.ndarray:
    """View of an array with rows and columns exchanged."""
    return array.transpose(1, 0, 2)


def load(array: np.ndarray, row: int, column: int) -> Lanes:
    """array[row, column, :] as Lanes."""
    return array[row, column].copy().view(Value)


def store(array: np.ndarray, row: int, column: int, x: Lanes) -> None:
    """array[row, column, :] = x."""
    array[row, column] = x


def fill(like: np.ndarray, value: float) -> Lanes:
    """Lanes that all hold `value`, in the precision of `like`, an array or Lanes."""
    return np.full(LANES, value, dtype=like.dtype).view(Value)


def lane_sum(x: Lanes) -> Lanes:
    """Lanes that all hold the sum of the lanes of `x`."""
    return fill(x, x.sum())


def lane_of(x: Lanes, lane: int) -> float:
    """One of the eight numbers."""
    return float(x[lane])


def square_root(x: Lanes) -> Lanes:
    """Lane by lane."""
    return np.sqrt(x)


def absolute(x: Lanes) -> Lanes:
    """Lane by lane."""
    return np.abs(x)


def where_less(x: Lanes, y: Lanes, a: Lanes, b: Lanes) -> Lanes:
    """a where x < y, else b, lane by lane."""
    return np.where(x < y, a, b).view(Value)


def where_equal(x: Lanes, y: Lanes, a: Lanes, b: Lanes) -> Lanes:
    """a where x == y, else b, lane by lane."""
    return np.where(x == y, a, b).view(Value)


def any_less(x: Lanes, y: Lanes) -> bool:
    """Whether x < y in some lane."""
    return bool(np.any(x < y))


def power_of_two(x: Lanes) -> Lanes:
    """2^n for the n in the low bits of x, a number to which 1.5 * 2^52 was added."""
    return (x.view(np.int64) + 1023 << 52).view(x.dtype)


def widened(x: Lanes) -> Lanes:
    """`x` in double precision."""
    return x.astype(np.float64)


def narrowed(x: Lanes, like: Lanes) -> Lanes:
    """`x`, of double precision, in that of `like`."""
    return x.astype(like.dtype)
