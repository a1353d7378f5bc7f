"""How things are shown: the hooks that `twomode.displays` fills from above.

A result cannot know its verdict or its figure, which stand on higher floors; it can say that it
has them.
"""

from __future__ import annotations

from functools import singledispatch
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Shown", "figure", "html"]


@singledispatch
def html(thing: object) -> str:
    """What a notebook shows of a thing."""
    return f"<pre>{escape(str(thing))}</pre>"


@singledispatch
def figure(thing: object, **options: Any) -> Figure:
    """The picture of a thing."""
    raise NotImplementedError(f"{type(thing).__name__} has no picture")


class Shown:
    """What has a picture, and a face of its own in a notebook."""

    def _repr_html_(self) -> str:
        return html(self)
