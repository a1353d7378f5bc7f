"""Confidence levels."""

from __future__ import annotations

from twomode.errors import require

__all__ = ["require_confidence", "tails"]


def require_confidence(confidence: float) -> None:
    """Raise `InputError` unless it lies in (0, 1).

    Examples
    --------
    >>> from twomode.statistics.levels import require_confidence
    >>> require_confidence(95)
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: confidence=95 must lie in (0, 1)
    """
    require(0 < confidence < 1, f"confidence={confidence!r} must lie in (0, 1)")


def tails(confidence: float) -> list[float]:
    """The two quantiles between which a share `confidence` lies.

    Examples
    --------
    >>> from twomode.statistics.levels import tails
    >>> tails(0.5)
    [0.25, 0.75]
    """
    return [(1 - confidence) / 2, (1 + confidence) / 2]
