"""What programs share that only time: a table printed, or put into this folder's page too."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from twomode import cli
from twomode.pages import markdown_table, measured_by, require_block, write_block
from twomode.tables import Table

PAGE = Path(__file__).with_name("README.md")


def show(
    description: str | None,
    block: str,
    heads: Sequence[str],
    aligns: str,
    rows: Callable[[], Iterable[Sequence[object]]],
) -> None:
    """Parse, time, print, write."""
    parser = cli.Parser(description=description)
    parser.add_argument("--write", action="store_true", help="put the table into sims/README.md")
    args = parser.parse_args()
    if args.write:
        require_block(PAGE, block)
    table = [[str(cell) for cell in row] for row in rows()]
    shown = Table.fitted(heads, aligns, table)
    print("\n".join([*shown.heads, *(shown.row(*row) for row in table)]))
    if args.write:
        measured = measured_by(f"python sims/{Path(sys.argv[0]).name} --write")
        write_block(PAGE, block, f"{markdown_table(heads, table)}\n\n{measured}")
