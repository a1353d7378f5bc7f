"""Tables that programs write into pages, between markers, so that no number drifts.

    <!-- speed: written by sims/bench.py --write -->
    | engine | ns |
    ...
    *2026-11-25, 2 cores of ..., commit ...: `python sims/bench.py --write`*
    <!-- end of speed, 1f3a... -->

The second marker holds a hash of what stands between them: an edit by hand is noticed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from twomode.errors import require
from twomode.names import save_text
from twomode.runs import commit, origin

__all__ = ["Block", "blocks", "markdown_table", "measured_by", "require_block", "write_block"]

_BLOCK = re.compile(
    r"<!-- (?P<name>[\w-]+): written by (?P<program>[^\n]+) -->\n"
    r"(?P<text>.*?)"
    r"<!-- end of (?P=name), (?P<digest>\w+) -->",
    re.DOTALL,
)


class Block(NamedTuple):
    """What stands between two markers of a page."""

    name: str
    program: str
    text: str
    intact: bool  #: whether it is as the program wrote it


def blocks(page: str) -> list[Block]:
    r"""The marked blocks of a page.

    Examples
    --------
    >>> from twomode.pages import blocks
    >>> page = "<!-- t: written by x -->\n| 1 |\n<!-- end of t, 0 -->"
    >>> [(block.name, block.intact) for block in blocks(page)]
    [('t', False)]
    """
    return [
        Block(m["name"], m["program"], m["text"], m["digest"] == _digest(m["text"]))
        for m in _BLOCK.finditer(page)
    ]


def require_block(path: Path, name: str) -> None:
    """Raise `InputError` unless a page has a block of this name."""
    require(
        name in (block.name for block in blocks(path.read_text(encoding="utf-8"))),
        f"{path} has no block {name}: put its two markers, <!-- {name}: written by PROGRAM --> and"
        f" <!-- end of {name}, none -->, where it shall stand",
    )


def write_block(path: Path, name: str, text: str) -> None:
    """Replace a marked block of a page.

    Raises
    ------
    InputError
        If the page has no such block.
    """
    require_block(path, name)
    page, text = path.read_text(encoding="utf-8"), text.strip() + "\n"

    def renewed(match: re.Match[str]) -> str:
        if match["name"] != name:
            return match[0]
        head, _ = match[0].split("\n", 1)
        return f"{head}\n{text}<!-- end of {name}, {_digest(text)} -->"

    save_text(path, _BLOCK.sub(renewed, page), overwrite=True)


def measured_by(command: str) -> str:
    """The line under a table that says when, where and how it was measured."""
    machine, day = origin(), datetime.now(UTC).date().isoformat()
    where = f"{machine['cores']} cores of {machine['cpu']}"
    return f"*{day}, {where}, commit {commit() or 'unknown'}: `{command}`*"


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""A table of Markdown.

    Examples
    --------
    >>> from twomode.pages import markdown_table
    >>> print(markdown_table(["d", "held"], [[64, "3 | 4"]]))
    | d | held |
    |---|---|
    | 64 | 3 \| 4 |
    """

    def line(cells: Iterable[object]) -> str:
        return "| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |"

    return "\n".join([line(heads), "|---" * len(heads) + "|", *map(line, rows)])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
