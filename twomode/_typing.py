"""The kinds of values that pass between modules.

What has no type of its own is `Any` here, by name, and nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    *("JSON", "Array", "BoolArray", "FloatArray", "IntArray", "Namespace", "Rows", "Seed"),
    *("Count", "Horizon", "Level", "SeedNumber", "NotNegative", "Positive", "Probability", "Whole"),
]

# Numbers, with the bounds that `twomode.checks` holds them to.
# Whatever is counted fits into 64 bits.
Whole: TypeAlias = Annotated[int, "[0, 9e18]"]
# Iterations of a flow are not counted: as many as a float can hold.
Horizon: TypeAlias = Annotated[int, "[0, 1e300]"]
Count: TypeAlias = Annotated[int, "[1, 9e18]"]
SeedNumber: TypeAlias = Annotated[int, "[0, inf)"]
NotNegative: TypeAlias = Annotated[float, "[0, inf)"]
Positive: TypeAlias = Annotated[float, "(0, inf)"]
Probability: TypeAlias = Annotated[float, "[0, 1]"]
Level: TypeAlias = Annotated[float, "(0, 1)"]

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

#: An array of NumPy, CuPy or any library that follows the Python array API standard.
Array: TypeAlias = Annotated[Any, "array"]
#: Such a library.
Namespace: TypeAlias = Any

#: Names and what plain JSON can hold.
JSON: TypeAlias = dict[str, Any]

#: What chooses some of an array's first axis.
Rows: TypeAlias = slice | list[int] | IntArray | BoolArray

#: What `numpy.random.default_rng` takes.
Seed: TypeAlias = SeedNumber | np.random.SeedSequence | np.random.Generator
