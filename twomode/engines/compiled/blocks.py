"""Replicas in blocks of LANES, each block on one thread.

A replica's numbers depend neither on how many others run nor on how many threads there are.  The
threads are Python's (the kernels hold no lock): they sleep when done, where OpenMP's would spin
and, on a busy machine, keep each other waiting.
"""

from __future__ import annotations

import functools
import math
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

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
    packed = block_zeros(blocks, *array.shape[1:])
    for block, lanes in enumerate(packed):
        here = array[block * LANES : (block + 1) * LANES]
        for lane in range(LANES):
            lanes[..., lane] = here[lane] if lane < len(here) else array[0]
    return packed


def unpack(packed: np.ndarray, replicas: int) -> np.ndarray:
    """The first `replicas` of (blocks, rows, columns, LANES), a copy."""
    flat = np.moveaxis(packed, -1, 1).reshape(-1, *packed.shape[1:3])
    return flat[:replicas].copy()


def each_block(advance: Callable[[int], None], blocks: int, steps: int) -> None:
    """Call `advance` with every block's number, on threads if so many steps are worth them."""
    threads = min(numba.get_num_threads(), blocks)
    if threads == 1 or steps * blocks < WORTH_THREADS:
        for block in range(blocks):
            advance(block)
        return
    left = deque([*range(blocks), *([None] * threads)])

    def work() -> None:
        try:
            for block in iter(left.popleft, None):
                advance(block)
        finally:  # after an error nothing more is begun
            left.extendleft([None] * threads)

    helpers = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:  # what was begun is not left alone
        wait(helpers)
    for helper in helpers:
        helper.result()


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that stay, asleep: to start some costs as much as hundreds of iterations."""
    return ThreadPoolExecutor(threads, "twomode")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
