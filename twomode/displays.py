"""What a notebook shows: a result's verdict and picture, a card's ticks, a game's parameters."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from twomode import shown
from twomode.runs import Result
from twomode.summary import tell
from twomode.theory import Card, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["card_html", "result_html"]

#: Of a verdict: a colour that is readable on white and on black.
_COLOURS = {"holds": "#2a8a4a", "fails": "#c2472f", "undecided": "#8a7a2a"}


def show_figures() -> None:
    """Let a notebook draw a Matplotlib figure that a cell ends with, however it was made."""
    shell = shown.ipython()
    if shell is not None:
        png = shell.display_formatter.formatters["image/png"]
        png.for_type_by_name("matplotlib.figure", "Figure", drawn)


@shown.figure.register(Result)
def _(result: Result, **options: Any) -> Figure:
    from twomode.plotting import mode_alignment  # Matplotlib, which a run does not need

    above, _ = mode_alignment(result, **options)
    return above.figure  # type: ignore[return-value]


@shown.html.register(Result)
def result_html(result: Result) -> str:
    """The verdict with its numbers, and the picture."""
    text = tell(result, judge(result))
    return f"<pre>{escape(text)}</pre>{image(result.plot())}"


@shown.html.register(Card)
def card_html(card: Card) -> str:
    """The headline, the hypotheses with ticks, the inequality, and the constants' sensitivity."""
    hypotheses = (
        (f"{'✓' if h.met else '✗'} {h.name}", h.requires, h.found) for h in card.hypotheses
    )
    constants = (
        (name, str(share), share.against(card.probability)) for name, share in card.sensitivity
    )
    colour = _COLOURS[card.verdict] if card.applies else _COLOURS["undecided"]
    return (
        f"<div><b style='color:{colour}'>{escape(card.headline)}</b>"
        f"<p>{escape(card.statement)}</p>"
        f"{table(('hypothesis', 'the theorem asks', 'here'), hypotheses)}"
        f"<p>{escape(card.inequality)}: held in <b>{card.proportion}</b> of replicas, to exceed"
        f" {100 * card.probability:g} %; margin {card.margin:+.3g} of the right side.</p>"
        f"{f'<p>By ball arithmetic, at every iteration: {card.proved}.</p>' if card.proofs else ''}"
        "<details><summary>other choices of the constants, and what is apart from the theorem"
        "</summary>"
        f"{table(('constant', 'held in', 'verdict'), constants)}"
        f"{table(('apart from the theorem', ''), card.apart)}</details></div>"
    )


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of texts, in HTML."""
    head = "".join(f"<th style='text-align:left'>{escape(cell)}</th>" for cell in heads)
    body = "".join(
        "<tr>"
        + "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def image(figure: Figure, alt: str = "", dpi: int = 90) -> str:
    """A figure as an image that stands in the page itself."""
    data = base64.b64encode(drawn(figure, dpi)).decode()
    return f"<img alt='{escape(alt, quote=True)}' src='data:image/png;base64,{data}'>"


def drawn(figure: Figure, dpi: int = 90) -> bytes:
    """A figure as PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()


show_figures()
