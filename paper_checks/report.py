"""The paper checks as one self-contained HTML page: no network, no other file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

import pandas as pd
from claims import Claim, Finding, Settings
from matplotlib.figure import Figure
from pages import symbols

import twomode as tm
from twomode.displays import image

__all__ = ["page"]

COLOURS = {
    "supported": "#1b7837",
    "holds": "#1b7837",
    "contradicted": "#b2182b",
    "fails": "#b2182b",
    "broken check": "#b2182b",
    "undecided": "#8a6d00",
}

STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --faint: #555; --line: #ddd;
        --block: #f6f6f6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ddd; --paper: #16181c; --faint: #aaa; --line: #3a3d44; --block: #22252b; }
  a { color: #8ab4f8; }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: var(--ink); background: var(--paper); overflow-wrap: break-word; }
h1 { font-size: 1.6rem; }
h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .85rem; display: block;
        overflow-x: auto; }
th, td { padding: .25rem .6rem; text-align: left; vertical-align: top;
         border-bottom: 1px solid var(--line); }
th { border-bottom: 2px solid var(--faint); } td.n { text-align: right; white-space: nowrap; }
.verdict { color: #fff; border-radius: .3rem; padding: .1rem .5rem; font-weight: 600;
           font-size: .85rem; white-space: nowrap; }
.said { border-left: 4px solid var(--line); margin: 1rem 0; padding-left: 1rem;
        color: var(--faint); }
figure { margin: 1.5rem 0; } img { max-width: 100%; border-radius: .3rem; }
figcaption { font-size: .85rem; color: var(--faint); }
pre { font-size: .75rem; line-height: 1.35; background: var(--block); padding: .8rem;
      overflow-x: auto; }
@media (max-width: 40rem) {  /* a row becomes a paragraph, each number with its name */
  .stack, .stack tbody, .stack tr, .stack td { display: block; text-align: left; }
  .stack tr.heads { display: none; } .stack tr { padding: .6rem 0; }
  .stack td { border: 0; padding: .1rem 0; white-space: normal; }
  .stack td.n { display: inline-block; margin-right: 1rem; }
  .stack td.n::before { content: attr(data-name) " "; color: var(--faint); }
}
"""

#: What `symbols` leaves, as a browser can show it; on escaped text, in this order.
MATHEMATICS = (
    (r"\{0,1\}\^m_G", "{0,1}<sup><i>m</i><sub>G</sub></sup>"),
    (r"\bp_adv\*", "<i>p</i>*<sub>adv</sub>"),
    (r"η_([DG])\b", r"η<sub>\1</sub>"),
    (r"\b([uvwmTzP])_(\w+)\b", r"<i>\1</i><sub>\2</sub>"),
    (r"(\w|\))\^\(([^()]*)\)", r"\1<sup>\2</sup>"),
    (r"(\w|\))\^(-?[\w.]*\w)", r"\1<sup>\2</sup>"),
)

#: Says at the end of the page whether the browser could draw every figure.
DRAWN = """
const images = [...document.images];
Promise.all(images.map(i => i.decode().then(() => 1, () => 0))).then(drawn => {
  const n = drawn.reduce((a, b) => a + b, 0);
  document.getElementById('drawn').textContent = `${n} of ${images.length} figures drawn`;
});
"""


def page(claims: Mapping[str, Claim], settings: Settings, count: int, seconds: float) -> str:
    """The whole page.

    Parameters
    ----------
    claims : mapping of str to Claim
        By the name of their check.
    settings : Settings
    count : int
        Findings in the family.
    seconds : float
        The whole run took.
    """
    form = "full" if settings.full else "quick"
    sections = "".join(_section(name, claim) for name, claim in claims.items())
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>twomode: the paper's claims, checked</title><style>{STYLE}</style></head><body>"
        "<h1>The paper's claims, checked</h1>"
        "<p>Claims of Jelassi, Dobre, Mensch, Li and Gidel, <em>Dissecting adaptive methods in"
        " GANs</em> (arXiv 2210.04319), and of G. Gidel's talk <em>Beyond minimax optimization</em>"
        " (2022), held against exact simulations of the two-mode game and, for the talk's second"
        " half, against the closed form of <i>p</i>*<sub>adv</sub> and training runs.</p>"
        f"<p>{form.capitalize()} form, root seed {settings.seed}, twomode {tm.__version__},"
        f" {seconds:.0f} s. {count} findings, each interval at {100 * settings.confidence:.2f} %,"
        " so that all of them hold together with probability 0.95. A claim is supported if every"
        " finding holds, contradicted if one fails, undecided otherwise; negative controls must"
        " hold or the check itself is broken.</p>"
        f"{_overview(claims)}{sections}"
        f"<p id='drawn'></p><script>{DRAWN}</script></body></html>\n"
    )


def _overview(claims: Mapping[str, Claim]) -> str:
    rows = "".join(
        f"<tr><td>{_badge(claim.verdict)}</td>"
        f"<td><a href='#{escape(name)}'>{_words(claim.title)}</a></td>"
        f"<td>{_words(claim.source)}</td>"
        f"{_number('findings that hold', _holding(claim))}"
        f"{_number('time', f'{claim.seconds:.1f} s')}</tr>"
        for name, claim in claims.items()
    )
    return (
        "<table class='stack'><tr class='heads'><th>verdict</th><th>claim</th><th>source</th>"
        f"<th>findings that hold</th><th>time</th></tr>{rows}</table>"
    )


def _section(name: str, claim: Claim) -> str:
    parts = [
        f"<h2 id='{escape(name)}'>{_words(claim.title)} {_badge(claim.verdict)}</h2>",
        f"<p class='said'>{_words(claim.source)}: {_words(claim.said)}</p>",
        f"<p>{_words(claim.answer)}</p>",
        _findings(claim.findings),
    ]
    parts += [_figure(caption, figure) for caption, figure in claim.figures.items()]
    parts += [_table(caption, table) for caption, table in claim.tables.items()]
    if claim.notes:
        cards = "".join(f"<pre>{escape(note)}</pre>" for note in claim.notes)
        parts.append(f"<details><summary>Cards and other evidence</summary>{cards}</details>")
    return "".join(parts)


def _findings(findings: list[Finding]) -> str:
    rows = "".join(
        f"<tr><td>{_badge(f.verdict)}</td><td>{_words(f.asserted)}</td>"
        f"{_number('measured', f.measured)}"
        f"{_number('interval', f.between)}{_number('asked', f.asked)}"
        f"{_number('margin', f'{f.margin:+.3f}')}{_number('seeds', str(f.seeds))}</tr>"
        for f in findings
    )
    return (
        "<table class='stack'><tr class='heads'><th></th><th>finding</th><th>measured</th>"
        f"<th>interval</th><th>asked</th><th>margin</th><th>seeds</th></tr>{rows}</table>"
    )


def _table(caption: str, table: pd.DataFrame) -> str:
    body = table.to_html(index=False, border=0, float_format=lambda x: f"{x:.4g}", escape=True)
    return f"<h3>{_words(caption)}</h3>{body}"


def _figure(caption: str, figure: Figure) -> str:
    drawn = image(figure, caption, dpi=130)
    return f"<figure>{drawn}<figcaption>{_words(caption)}</figcaption></figure>"


def _words(text: str) -> str:
    """Text with its mathematics."""
    shown = escape(symbols(text))
    for ascii_form, mathematics in MATHEMATICS:
        shown = re.sub(ascii_form, mathematics, shown)
    return shown


def _number(name: str, text: str) -> str:
    """A cell that says its column's name where there is no room for columns."""
    return f"<td class='n' data-name='{name}'>{escape(symbols(text))}</td>"


def _holding(claim: Claim) -> str:
    return f"{sum(f.verdict == 'holds' for f in claim.findings)} of {len(claim.findings)}"


def _badge(verdict: str) -> str:
    return f"<span class='verdict' style='background:{COLOURS[verdict]}'>{escape(verdict)}</span>"
