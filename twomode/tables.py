"""Tables in text, whose rows may be printed as they come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Column", "Table", "counted"]


class Column(NamedTuple):
    """A column of a `Table`; one of width 0 takes what there is.

    The heads of one table all have the same number of lines.

    Examples
    --------
    >>> from twomode.tables import Column, Table
    >>> Table(Column("d", 6), Column("rule", 0, "<"), gap=2).row(64, "sgda")
    '    64  sgda'
    """

    head: str | tuple[str, ...]  #: one line, or several
    width: int
    align: str = ">"  #: of heads and cells: "<" or ">"


class Table:
    """Formats rows under heads.

    Parameters
    ----------
    *columns : Column
    gap, indent : int
        Spaces between columns, and before each line.

    Examples
    --------
    >>> from twomode.tables import Column, Table
    >>> table = Table(Column("rule", 5, "<"), Column("T_0", 6), gap=2)
    >>> for line in [*table.heads, table.row("sgda", 1368)]:
    ...     print(line)
    rule      T_0
    sgda     1368
    """

    def __init__(self, *columns: Column, gap: int = 0, indent: int = 0) -> None:
        self.columns, self.gap, self.indent = columns, gap, indent

    @classmethod
    def fitted(cls, heads: Sequence[str], aligns: str, rows: Sequence[Sequence[str]]) -> Table:
        """A table as wide as its rows need; `aligns` has a "<" or ">" for each column.

        Examples
        --------
        >>> from twomode.tables import Table
        >>> rows = [("sgda", "3957"), ("extragradient", "12")]
        >>> table = Table.fitted(("rule", "steps"), "<>", rows)
        >>> for line in [*table.heads, *(table.row(*row) for row in rows)]:
        ...     print(line)
        rule           steps
        sgda            3957
        extragradient     12
        """
        widths = [max(map(len, cells)) for cells in zip(heads, *rows, strict=True)]
        return cls(*map(Column, heads, widths, aligns), gap=2)

    @property
    def heads(self) -> list[str]:
        """The lines above the rows.

        Examples
        --------
        >>> from twomode.tables import Column, Table
        >>> Table(Column(("norm", "of W"), 6), Column(("", "T_0"), 6)).heads
        ['  norm', '  of W   T_0']
        """
        stacks = [(c.head,) if isinstance(c.head, str) else c.head for c in self.columns]
        return [self.row(*line) for line in zip(*stacks, strict=True)]

    def row(self, *cells: object) -> str:
        """One line, of a cell for each column.

        Examples
        --------
        >>> from twomode.tables import Column, Table
        >>> Table(Column("d", 6), Column("T_0", 8), indent=2).row(64, 146)
        '      64     146'
        """
        pairs = zip(cells, self.columns, strict=True)
        parts = [f"{cell!s:{column.align}{column.width}}" for cell, column in pairs]
        return (" " * self.indent + (" " * self.gap).join(parts)).rstrip()


def counted(n: float) -> str:
    """A number of things, as a person reads it: with commas, or by its power where it is huge.

    Examples
    --------
    >>> from twomode.tables import counted
    >>> counted(2**20), counted(2**200), counted(9.7534e56)
    ('1,048,576', '2^200', '9.753e+56')
    """
    if n < 1e15:
        return f"{n:,.0f}"
    mantissa, exponent = math.frexp(n)
    return f"2^{exponent - 1}" if mantissa == 0.5 else f"{n:.4g}"
