"""Eight numbers as one, on NumPy arrays: what the kernels do under NUMBA_DISABLE_JIT."""

from __future__ import annotations

import numpy as np

#: How many numbers a Lanes holds.
LANES = 8


class Lanes(np.ndarray):
    """Eight numbers that behave as one: ``x += y`` makes a new value and leaves the old alone."""

    __iadd__ = np.ndarray.__add__  # type: ignore[assignment]
    __isub__ = np.ndarray.__sub__  # type: ignore[assignment]
    __imul__ = np.ndarray.__mul__  # type: ignore[assignment]
    __itruediv__ = np.ndarray.__truediv__  # type: ignore[assignment]


def load(array: np.ndarray, row: int, column: int) -> np.ndarray:
    """array[row, column, :] as Lanes."""
    return array[row, column].copy().view(Lanes)


def store(array: np.ndarray, row: int, column: int, x: np.ndarray) -> None:
    """array[row, column, :] = x."""
    array[row, column] = x


def fill(like: np.ndarray, value: float) -> np.ndarray:
    """Lanes that all hold `value`, in the precision of the array `like`."""
    return np.full(LANES, value, dtype=like.dtype).view(Lanes)


def lane_sum(x: np.ndarray) -> np.ndarray:
    """Lanes that all hold the sum of the lanes of `x`."""
    return np.full_like(x, x.sum())


def square_root(x: np.ndarray) -> np.ndarray:
    """Lane by lane."""
    return np.sqrt(x)


def clamp(x: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """`x` limited to [-bound, bound], lane by lane."""
    return np.clip(x, -bound, bound)


def within(x: np.ndarray, bound: np.ndarray, y: np.ndarray) -> np.ndarray:
    """y where x lies in [-bound, bound], else 0, lane by lane."""
    return np.where(np.abs(x) <= bound, y, np.zeros_like(y))


def larger(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The larger of x and y, lane by lane; y if either is NaN."""
    return np.where(x > y, x, y)


def divide_or_zero(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x / y, and 0 where y is 0."""
    return np.divide(x, y, out=np.zeros_like(x), where=y != 0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), accurate in both tails."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)
