"""Polar factors of matrices, for steps that are short in the spectral norm."""

from __future__ import annotations

from twomode._typing import Array
from twomode.errors import require
from twomode.game import array_namespace
from twomode.rules.algebra import NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS, RANK, Rule

__all__ = ["polar_factor"]


def polar_factor(X: Array, rule: Rule) -> tuple[Array, Array]:
    """What a spectral rule makes of matrices, and their nuclear norms.

    Parameters
    ----------
    X : array, shape (..., rows, columns)
    rule : Rule
        Its `polar` and `norm_eps` count.

    Returns
    -------
    tuple of array, shapes (..., rows, columns) and (..., 1, 1)
        P Q^T of X = P diag(s) Q^T, on the range of X, and the sum of s; or what Newton-Schulz
        steps make of X, and its inner product with X (Jordan et al. 2024).

    Raises
    ------
    InputError
        If the exact factor is asked of a library without a singular value decomposition.

    Examples
    --------
    >>> import numpy as np
    >>> from twomode.rules import Rule, polar_factor
    >>> factor, norm = polar_factor(np.diag([3.0, -4.0]), Rule(granularity="spectral"))
    >>> factor.round(12).tolist(), norm.item()
    ([[1.0, 0.0], [0.0, -1.0]], 7.0)
    """
    xp = array_namespace(X)
    if rule.polar == "newton-schulz":
        length = xp.sqrt(xp.sum(X * X, axis=(-2, -1), keepdims=True)) + rule.norm_eps
        some = xp.where(length == 0, xp.ones_like(length), length)
        factor, (a, b, c) = X / some, NEWTON_SCHULZ
        for _ in range(NEWTON_SCHULZ_STEPS):
            gram = xp.matmul(factor, factor.mT)
            factor = a * factor + xp.matmul(b * gram + c * xp.matmul(gram, gram), factor)
        return factor, xp.sum(X * factor, axis=(-2, -1), keepdims=True)
    require(
        hasattr(xp, "linalg"),
        "polar='exact' needs singular values, which balls do not have: use polar='newton-schulz'",
    )
    # One diverged replica must not stop the others.
    finite = xp.all(xp.isfinite(X), axis=(-2, -1), keepdims=True)
    P, s, Q = xp.linalg.svd(xp.where(finite, X, xp.zeros_like(X)), full_matrices=False)
    least = RANK * xp.finfo(X.dtype).eps * xp.max(s, axis=-1, keepdims=True)
    share = xp.where(s > least, s, xp.zeros_like(s)) / (
        xp.where(s > least, s, xp.ones_like(s)) + rule.norm_eps
    )
    factor = xp.matmul(P * share[..., None, :], Q)
    norm = xp.sum(s, axis=-1)[..., None, None]
    nothing = xp.full_like(X, float("nan"))
    return xp.where(finite, factor, nothing), xp.where(finite, norm, nothing[..., :1, :1])
