"""How things are shown: the hooks that `twomode.displays` fills from above.

A result cannot know its verdict or its figure, which stand on higher floors; it can say that it
has them.
"""

from __future__ import annotations

import sys
from functools import singledispatch
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Shown", "figure", "html", "ipython"]


def ipython() -> Any:
    """The IPython shell that this runs in, which has no types of its own; None without one."""
    return getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()


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
