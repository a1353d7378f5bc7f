"""Eight numbers as one: the vocabulary in which the kernels are written.

A kernel reads like the recurrence of a single run, and each of its scalars is a `Lanes`, eight
floating-point numbers side by side: eight replicas in the reduced engine, eight coordinates in the
dense one.  A lane's result does not depend on the other lanes.  Arrays hold lanes innermost, with
shape (rows, columns, LANES), and are read and written by `load` and `store`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.core import config

from twomode.engines.compiled.lanes_numpy import LANES

if config.DISABLE_JIT:
    from twomode.engines.compiled.lanes_numpy import (
        clamp,
        divide_or_zero,
        fill,
        lane_sum,
        larger,
        load,
        sigmoid,
        square_root,
        store,
        within,
    )
else:
    from twomode.engines.compiled.lanes_llvm import (
        clamp,
        divide_or_zero,
        fill,
        lane_sum,
        larger,
        load,
        sigmoid,
        square_root,
        store,
        within,
    )

__all__ = [
    "LANES",
    "clamp",
    "divide_or_zero",
    "fill",
    "lane_sum",
    "lane_zeros",
    "larger",
    "load",
    "sigmoid",
    "square_root",
    "store",
    "within",
]


def lane_zeros(shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """Zeros of shape (*shape, LANES), aligned so that no Lanes straddles two cache lines."""
    count = math.prod(shape) * LANES
    buffer = np.zeros(count + 64, dtype=dtype)
    offset = -buffer.ctypes.data % 64 // buffer.itemsize
    return buffer[offset : offset + count].reshape(*shape, LANES)
