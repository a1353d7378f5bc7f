"""Matrix products of arrays of lanes, whose sums are held in registers a tile at a time.

Arrays have shape (rows, columns, LANES) and are padded with zeros to multiples of TILE in rows and
columns; zeros stay zeros.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from twomode.engines.compiled.lanes import Lanes, fill, load, store
from twomode.engines.compiled.parts import part

#: Rows and columns of a tile; `Three` and what has it in its signature are written for it.
TILE = 3
Three: TypeAlias = tuple[Lanes, Lanes, Lanes]


def padded(size: int) -> int:
    """The least multiple of TILE that is at least `size`."""
    return -(-size // TILE) * TILE


@part
def clear(array: np.ndarray) -> None:
    """Set an array of lanes to zero."""
    zero = fill(array, 0.0)
    for i in range(array.shape[0]):
        for j in range(array.shape[1]):
            store(array, i, j, zero)


@part
def three(X: np.ndarray, i: int, k: int) -> Three:
    """Column k of the tile that begins in row i."""
    return load(X, i, k), load(X, i + 1, k), load(X, i + 2, k)


@part
def add_products(sums: Three, x: Lanes, y: Three) -> Three:
    """A row of a tile, with x y added."""
    return sums[0] + x * y[0], sums[1] + x * y[1], sums[2] + x * y[2]


@part
def put(out: np.ndarray, i: int, j: int, scale: Lanes, sums: Three, add: bool) -> None:
    """A row of out's tile that begins at [i, j]: scale * sums, or += to `add`."""
    for n in range(TILE):
        x = scale * sums[n]
        store(out, i, j + n, load(out, i, j + n) + x if add else x)


@part
def multiply(X: np.ndarray, Y: np.ndarray, alpha: float, add: bool, out: np.ndarray) -> None:
    """out[i, j] = alpha * sum_k X[i, k] Y[j, k], or += to `add`, in blocks of TILE x TILE.

    Rows and columns that only one of the arrays has are left alone.
    """
    scale, zero = fill(out, alpha), fill(out, 0.0)
    for i in range(0, min(X.shape[0], out.shape[0]), TILE):
        for j in range(0, min(Y.shape[0], out.shape[1]), TILE):
            first = second = third = (zero, zero, zero)
            for k in range(min(X.shape[1], Y.shape[1])):
                x, y = three(X, i, k), three(Y, j, k)
                first = add_products(first, x[0], y)
                second = add_products(second, x[1], y)
                third = add_products(third, x[2], y)
            put(out, i, j, scale, first, add)
            put(out, i + 1, j, scale, second, add)
            put(out, i + 2, j, scale, third, add)
