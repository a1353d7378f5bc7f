"""The kinds of values that pass between modules.

What has no type of its own is `Any` here, by name, and nowhere else.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["JSON", "Array", "BoolArray", "FloatArray", "IntArray", "Namespace", "Rows", "Seed"]

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

#: An array of NumPy, CuPy or any library that follows the Python array API standard.
Array: TypeAlias = Any
#: Such a library.
Namespace: TypeAlias = Any

#: Names and what plain JSON can hold.
JSON: TypeAlias = dict[str, Any]

#: What chooses some of an array's first axis.
Rows: TypeAlias = slice | list[int] | IntArray | BoolArray

#: What `numpy.random.default_rng` takes.
Seed: TypeAlias = int | np.random.SeedSequence | np.random.Generator
