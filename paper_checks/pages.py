"""The paper checks as tables of this repository's pages: all of them here, the game's in front."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from claims import Claim

from twomode.pages import markdown_table, measured_by, require_block, write_block

__all__ = ["require_blocks", "symbols", "write"]

FOLDER = Path(__file__).parent

#: ASCII as programs print it, and the characters that the pages write.
SYMBOLS = (
    (r"\bsqrt\(([^()]*)\)", r"√\1"),
    (r"\bln\((\w)\)", r"ln \1"),
    (r"(?<![\w.])eta_", "η_"),
    (r"<=", "≤"),
    (r">=", "≥"),
    (r"\blambda\b", "λ"),
    (r"\balpha\b", "\N{GREEK SMALL LETTER ALPHA}"),
    (r"\bxi\b", "ξ"),
    (r"\bgamma\b", "\N{GREEK SMALL LETTER GAMMA}"),
    (r"\btheta\b", "θ"),
    (r"(?<![^\s>(])-(?=[\d.])", "\N{MINUS SIGN}"),
)


def symbols(text: str) -> str:
    """Text with mathematical characters for ASCII."""
    for ascii_form, character in SYMBOLS:
        text = re.sub(ascii_form, character, text)
    return text


def require_blocks(part: str) -> None:
    """Raise `InputError` unless the pages have the blocks that `write` fills."""
    for page, block in _blocks(part).items():
        require_block(page, block)


def write(part: str, done: Mapping[str, Claim]) -> None:
    """The claims of a part, by the name of their check, into the pages."""
    measured = measured_by(f"python paper_checks/run_all.py --full --part {part} --write")
    for page, block in _blocks(part).items():
        table = _every_finding(done) if block == part else _verdicts(done)
        write_block(page, block, f"{_shown(table)}\n\n{measured}")


def _shown(table: str) -> str:
    """With mathematical characters, and an asterisk that is one."""
    return symbols(table).replace("*", r"\*")


def _blocks(part: str) -> dict[Path, str]:
    """Where the claims of a part are written, and in which block."""
    pages = {FOLDER / "README.md": part}
    return pages | ({FOLDER.parent / "README.md": "verdicts"} if part == "game" else {})


def _verdicts(done: Mapping[str, Claim]) -> str:
    """A row for each claim."""
    rows = [(f"{c.title} ({c.source})", c.verdict, _headline(c)) for c in done.values()]
    return markdown_table(("claim", "verdict", "its weakest finding"), rows)


def _headline(claim: Claim) -> str:
    """The weakest finding: the one nearest to failing, or failing most."""
    f = min((f for f in claim.findings if not f.control), key=lambda f: f.margin)
    return f"{f.statement}: {f.measured} over {f.seeds} seeds ({f.between}; asked {f.asked})"


def _every_finding(done: Mapping[str, Claim]) -> str:
    """What was found, in words, and the numbers folded away."""
    claims = [(f"[{c.title}]({name}.py)", c.verdict, c.answer) for name, c in done.items()]
    findings = [
        (f.verdict, f.asserted, f.measured, f.between, f.asked, f.seeds)
        for claim in done.values()
        for f in claim.findings
    ]
    heads = ("", "finding", "measured", "interval", "asked", "seeds")
    return (
        f"{markdown_table(('claim', 'verdict', 'measured'), claims)}\n\n"
        "<details><summary>Every finding</summary>\n\n"
        f"{markdown_table(heads, findings)}\n\n</details>"
    )
