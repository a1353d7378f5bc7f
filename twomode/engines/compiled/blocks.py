"""Replicas in blocks of LANES, each block on one thread.

A replica's numbers depend neither on how many others run nor on how many threads there are.  The
threads are Python's (the kernels hold no lock): they sleep when done, where OpenMP's would spin
and, on a busy machine, keep each other waiting.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from twomode.engines.compiled.lanes import LANES, lane_zeros

#: Iterations times blocks below which starting threads costs more than it saves.
WORTH_THREADS = 200
#: Bytes between what one block has and what the next has.  A core reads ahead, and so took from
#: another, again and again, what that was about to write: a fifth of the time of two threads.
APART = 4096


def block_zeros(*shape: int) -> np.ndarray:
    """`lane_zeros` of shape (*shape, LANES), each place of the first axis apart from the next."""
    each = math.prod(shape[1:])
    spaced = lane_zeros((shape[0], each + APART // (8 * LANES) if each else 0))
    return spaced[:, :each].reshape(*shape, LANES)


def pack(array: np.ndarray) -> np.ndarray:
    """(R, rows, columns) to (blocks, rows, columns, LANES); spare lanes repeat replica 0."""
    replicas = len(array)
    blocks = -(-replicas // LANES)
    spare = np.broadcast_to(array[:1], (blocks * LANES - replicas, *array.shape[1:]))
    full = np.concatenate([array, spare]).reshape(blocks, LANES, *array.shape[1:])
    packed = block_zeros(blocks, *array.shape[1:])
    packed[:] = np.moveaxis(full, 1, -1)
    return packed


def unpack(packed: np.ndarray, replicas: int) -> np.ndarray:
    """The first `replicas` of (blocks, rows, columns, LANES), a copy."""
    flat = np.moveaxis(packed, -1, 1).reshape(-1, *packed.shape[1:3])
    return flat[:replicas].copy()


def each_block(advance: Callable[[int], None], blocks: int, steps: int) -> None:
    """Call `advance` with every block's number, on threads if so many steps are worth them."""
    threads = min(numba.get_num_threads(), blocks)
    if threads > 1 and steps * blocks >= WORTH_THREADS:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(advance, range(blocks)):
                pass
    else:
        for block in range(blocks):
            advance(block)
