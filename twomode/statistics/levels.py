"""Confidence levels."""

from __future__ import annotations

__all__ = ["tails"]


def tails(confidence: float) -> list[float]:
    """The two quantiles between which a share `confidence` lies.

    Examples
    --------
    >>> from twomode.statistics.levels import tails
    >>> tails(0.5)
    [0.25, 0.75]
    """
    return [(1 - confidence) / 2, (1 + confidence) / 2]
