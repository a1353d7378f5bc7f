"""The paper checks as one self-contained HTML page: no network, no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape

import pandas as pd
from claims import Claim, Finding, Settings
from matplotlib.figure import Figure

import twomode as tm

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
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
h1 { font-size: 1.6rem; } h2 { margin-top: 3rem; border-top: 1px solid #ddd; padding-top: 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .85rem; display: block;
        overflow-x: auto; }
th, td { padding: .25rem .6rem; text-align: left; vertical-align: top;
         border-bottom: 1px solid #eee; }
th { border-bottom: 2px solid #bbb; } td.n { text-align: right; white-space: nowrap; }
.verdict { color: #fff; border-radius: .3rem; padding: .1rem .5rem; font-weight: 600;
           font-size: .85rem; white-space: nowrap; }
.said { border-left: 4px solid #ccc; margin: 1rem 0; padding-left: 1rem; color: #555; }
figure { margin: 1.5rem 0; } img { max-width: 100%; }
figcaption { font-size: .85rem; color: #555; }
pre { font-size: .75rem; line-height: 1.35; background: #f6f6f6; padding: .8rem;
      overflow-x: auto; }
"""

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
        " half, against the closed form of p_adv* and training runs.</p>"
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
        f"<td><a href='#{escape(name)}'>{escape(claim.title)}</a></td>"
        f"<td>{escape(claim.source)}</td>"
        f"<td class='n'>{sum(f.verdict == 'holds' for f in claim.findings)}"
        f" of {len(claim.findings)}</td><td class='n'>{claim.seconds:.1f} s</td></tr>"
        for name, claim in claims.items()
    )
    return (
        "<table><tr><th>verdict</th><th>claim</th><th>source</th><th>findings that hold</th>"
        f"<th>time</th></tr>{rows}</table>"
    )


def _section(name: str, claim: Claim) -> str:
    parts = [
        f"<h2 id='{escape(name)}'>{escape(claim.title)} {_badge(claim.verdict)}</h2>",
        f"<p class='said'>{escape(claim.source)}: {escape(claim.said)}</p>",
        f"<p>{escape(claim.answer)}</p>",
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
        f"<tr><td>{_badge(f.verdict)}</td><td>{'control: ' if f.control else ''}"
        f"{escape(f.statement)}</td><td class='n'>{f.estimate:.3g}</td>"
        f"<td class='n'>{f.interval[0]:.3g} to {f.interval[1]:.3g}</td>"
        f"<td class='n'>{'&gt;' if f.above else '&lt;'} {f.threshold:.3g}</td>"
        f"<td class='n'>{f.margin:+.3f}</td><td class='n'>{f.seeds}</td></tr>"
        for f in findings
    )
    return (
        "<table><tr><th></th><th>finding</th><th>measured</th><th>interval</th><th>asked</th>"
        f"<th>margin</th><th>seeds</th></tr>{rows}</table>"
    )


def _table(caption: str, table: pd.DataFrame) -> str:
    body = table.to_html(index=False, border=0, float_format=lambda x: f"{x:.4g}", escape=True)
    return f"<h3>{escape(caption)}</h3>{body}"


def _figure(caption: str, figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f"<figure><img alt='{escape(caption, quote=True)}' src='data:image/png;base64,{data}'>"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _badge(verdict: str) -> str:
    return f"<span class='verdict' style='background:{COLOURS[verdict]}'>{escape(verdict)}</span>"
