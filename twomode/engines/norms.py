"""What the engines share about norms."""

from __future__ import annotations

from twomode._typing import Array
from twomode.game import LARGE, State, array_namespace
from twomode.rules import Optimizer

__all__ = ["objective_factor"]

#: The generator's gradient is made of squares of products <w_i, v_j>: with products below this,
#: squares of it come close to the smallest numbers.
LEAST_PRODUCT = 2.0**-125


def objective_factor(opt: Optimizer, start: State, dtype: object) -> float:
    """A power of two by which engines multiply the objective, so that no gradient's square is 0.

    At d = 2^400 a gradient is of some 2^-800.  Where the start is as small as that, all gradients
    are multiplied, by way of the weights of the points, and the rule is `rescaled`: it moves alike,
    to the last bit, and kernels know nothing of it.  A correction multiplies gradients by one
    another, and goes without.

    Parameters
    ----------
    opt : Optimizer
    start : State
        With a replica axis.
    dtype : data type
        Of the arithmetic; float32 has no room for it.

    Returns
    -------
    float
    """
    xp = array_namespace(start.W)
    products: Array = xp.max(xp.abs(xp.matmul(start.W, start.V.mT)), axis=(-2, -1))
    small = bool(xp.any((products > 0) & (products < LEAST_PRODUCT)))
    return LARGE if small and dtype == xp.float64 and not opt.corrected else 1.0
