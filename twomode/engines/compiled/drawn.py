"""Minibatches, drawn by counting: an iteration's points are a function of its number and a key.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw, Parallel random numbers: as easy as 1, 2, 3, 2011) turns
a counter and a key into four words of 32 bits; a word chooses a point by an alias table (Walker
1977; Vose 1991), which takes as long for any number of points.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twomode._typing import FloatArray
from twomode.engines.compiled.blocks import each_block
from twomode.engines.compiled.jit import kernel
from twomode.engines.compiled.lanes import LANES
from twomode.engines.compiled.parts import part

__all__ = ["AliasTable", "alias_table", "draw_points"]

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_WORD, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


class AliasTable(NamedTuple):
    """Slots of equal probability, each of which two points share."""

    shares: np.ndarray  #: shape (S,), of 2^32: what the point of the slot's own number has of it
    others: np.ndarray  #: shape (S,): the point that has the rest


def alias_table(probabilities: FloatArray) -> AliasTable:
    """The table of a law, whose probabilities words of 32 bits have to within 2^-32 a slot.

    Examples
    --------
    >>> import numpy as np
    >>> from twomode.engines.compiled.drawn import alias_table
    >>> table = alias_table(np.array([0.75, 0.25]))
    >>> (table.shares / 2.0**32).tolist(), table.others.tolist()
    ([1.0, 0.5], [0, 0])
    """
    left = probabilities * len(probabilities)
    shares, others = np.full(len(left), 2**32, dtype=np.uint64), np.arange(len(left))
    poor = [int(k) for k in np.flatnonzero(left < 1)]
    rich = [int(k) for k in np.flatnonzero(left >= 1)]
    while poor and rich:
        k, giver = poor.pop(), rich[-1]
        shares[k], others[k] = round(left[k] * 2**32), giver
        left[giver] -= 1 - left[k]
        if left[giver] < 1:
            poor.append(rich.pop())
    return AliasTable(shares, others)


def draw_points(
    weights: FloatArray, size: int, first: int, keys: np.ndarray, table: AliasTable
) -> None:
    """Counts/size of `size` points in each of some iterations, of every replica.

    Parameters
    ----------
    weights : ndarray, shape (R, steps, S)
        Written to.
    size : int
    first : int
        Number of the first iteration.
    keys : ndarray of uint64, shape (R, 2)
        Words of 32 bits.
    table : AliasTable
    """
    calls, points = -(-size // 4), len(table.others)

    def draw(block: int) -> None:
        mine = slice(block * LANES, (block + 1) * LANES)
        words, counts = np.empty((4, calls), dtype=np.uint64), np.empty(points, dtype=np.int64)
        _draw(weights[mine], size, np.uint64(first), keys[mine], table, words, counts)

    each_block(draw, -(-len(weights) // LANES), weights.shape[1])


@kernel(nogil=True)
def _draw(
    weights: np.ndarray,
    size: int,
    first: np.uint64,
    keys: np.ndarray,
    table: AliasTable,
    words: np.ndarray,
    counts: np.ndarray,
) -> None:
    replicas, steps, points = weights.shape
    slots, calls = np.uint64(points), words.shape[1]
    for replica in range(replicas):
        for n in range(steps):
            _fill(words, first + np.uint64(n), keys[replica])
            counts[:] = 0
            for k in range(4):
                for call in range(min(calls, size - k * calls)):
                    place = words[k, call] * slots
                    slot = np.int64(place >> _WORD)
                    own = (place & _LOW) < table.shares[slot]
                    counts[slot if own else table.others[slot]] += 1
            for point in range(points):
                weights[replica, n, point] = counts[point] / size


@part
def _fill(words: np.ndarray, t: np.uint64, key: np.ndarray) -> None:
    """words[:, n] = Philox4x32-10 of the counter (n, 0, low word of t, high word of t)."""
    for n in range(words.shape[1]):
        x = np.uint64(n), np.uint64(0), t & _LOW, t >> _WORD
        k0, k1 = key[0], key[1]
        # Written out, so that LLVM does several counters at once.
        x, k0, k1 = _round(x, k0, k1)
        x, k0, k1 = _round(x, k0, k1)
        x, k0, k1 = _round(x, k0, k1)
        x, k0, k1 = _round(x, k0, k1)
        x, k0, k1 = _round(x, k0, k1)
        x, k0, k1 = _round(x, k0, k1)
        x, k0, k1 = _round(x, k0, k1)
        x, k0, k1 = _round(x, k0, k1)
        x, k0, k1 = _round(x, k0, k1)
        x, k0, k1 = _round(x, k0, k1)
        words[0, n], words[1, n], words[2, n], words[3, n] = x


@part
def _round(x: tuple, k0: np.uint64, k1: np.uint64) -> tuple:
    """One round, and the next round's keys."""
    a, b = _M0 * x[0], _M1 * x[2]
    mixed = (b >> _WORD) ^ x[1] ^ k0, b & _LOW, (a >> _WORD) ^ x[3] ^ k1, a & _LOW
    return mixed, (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
