"""Confidence levels."""

from __future__ import annotations

from twomode.errors import require

__all__ = ["require_confidence", "tails"]


def require_confidence(confidence: float) -> None:
    """Raise `InputError` unless it lies in (0, 1)."""
    require(0 < confidence < 1, f"confidence={confidence!r} must lie in (0, 1)")


def tails(confidence: float) -> list[float]:
    """The two quantiles between which a share `confidence` lies."""
    return [(1 - confidence) / 2, (1 + confidence) / 2]
