"""Figures of sweep tables over a plane of two columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from twomode._typing import FloatArray
from twomode.checks import checked
from twomode.errors import require, require_columns, shown
from twomode.plotting._style import MAP
from twomode.theory import VERDICTS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["phase_diagram", "verdict_map"]

#: Largest number of cells of a phase diagram that have their numbers written in them.
_MOST_WRITTEN = 100
#: Of the verdicts, from Okabe and Ito's palette where something was learned.
_COLOURS = {
    "collapsed": "#D55E00",
    "both-modes": "#0072B2",
    "one-mode": "#E69F00",
    "averaged": "#CC79A7",
    "unmoved": "0.85",
    "diverged": "0.15",
    "mixed": "0.6",
}


@checked
def phase_diagram(
    axes: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    value: str,
    *,
    limits: tuple[float, float] | None = (0.0, 1.0),
    label: str | None = None,
) -> Axes:
    """Mean of a column over replicas, for each pair of two other columns' values.

    Parameters
    ----------
    axes : Axes
    table : DataFrame
        A row a replica.
    x, y, value : str
        Columns.  An axis is logarithmic if all its values are positive.
    limits : (float, float), optional
        Of the colours; those of a share by default, the data's own if None.
    label : str, optional
        Of the colour bar; none is drawn if it is empty.

    Returns
    -------
    Axes
        The same.  Cells are numbered if there are at most 100; those without data are hatched.

    Raises
    ------
    InputError
        If the table has no such column.

    Examples
    --------
    >>> import pandas as pd
    >>> from matplotlib.figure import Figure
    >>> import twomode as tm
    >>> rows = [(16, 0.2, True), (16, 0.2, False), (64, 0.2, True), (64, 0.4, False)]
    >>> table = pd.DataFrame(rows, columns=["d", "ratio", "collapsed"])
    >>> axes = tm.plotting.phase_diagram(Figure().subplots(), table, "d", "ratio", "collapsed")
    >>> [text.get_text() for text in axes.texts]
    ['.50', '1', '.00']
    """
    require_columns(table, x, y, value)
    means = table.assign(**{value: table[value].astype(float)}).pivot_table(
        index=y, columns=x, values=value, aggfunc="mean"
    )
    at_x, at_y = (index.to_numpy(dtype=float) for index in (means.columns, means.index))
    cells = means.to_numpy(dtype=float)
    low, high = limits or (np.nanmin(cells), np.nanmax(cells))
    axes.patch.set(facecolor="white", edgecolor="0.6", hatch="////")  # a grey would be a share
    masked = np.ma.masked_invalid(cells)
    mesh = axes.pcolormesh(
        _edges(at_x),
        _edges(at_y),
        masked,
        cmap=MAP,
        vmin=low,
        vmax=high,
        rasterized=True,
    )
    _name_axes(axes, x, y, at_x, at_y)
    if label != "":
        axes.figure.colorbar(mesh, ax=axes, label=value if label is None else label)
    if cells.size <= _MOST_WRITTEN:
        middle = (low + high) / 2
        for (row, column), cell in np.ndenumerate(cells):
            if np.isfinite(cell):
                axes.text(
                    at_x[column],
                    at_y[row],
                    _cell(cell),
                    color="white" if cell < middle else "black",
                    horizontalalignment="center",
                    verticalalignment="center",
                    fontsize=7,
                )
    return axes


@checked
def verdict_map(axes: Axes, table: pd.DataFrame, x: str, y: str, verdict: str = "verdict") -> Axes:
    """The most frequent verdict for each pair of two columns' values, paler the fewer share it.

    Parameters
    ----------
    axes : Axes
    table : DataFrame
        A row a replica, as `sweep` makes it.
    x, y : str
        Columns.  An axis is logarithmic if all its values are positive.
    verdict : str
        Column of the verdicts, keys of `twomode.theory.VERDICTS`.

    Returns
    -------
    Axes
        The same, with a legend of the verdicts that there are.

    Raises
    ------
    InputError
        If the table has no such column, or anything but verdicts in that one.

    Examples
    --------
    >>> import twomode as tm
    >>> from matplotlib.figure import Figure
    >>> table = tm.sweep({"opt": ["nsgda"], "d": [16, 64], "ratio": [0.2, 4]}, replicas=4)
    >>> axes = tm.plotting.verdict_map(Figure().subplots(), table, "d", "ratio")
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['both-modes', 'mixed']
    """
    require_columns(table, x, y, verdict)
    unknown = sorted(set(map(str, table[verdict])) - VERDICTS.keys())
    require(
        not unknown and len(table) > 0, f"{verdict!r} has {shown(unknown)}: verdicts are needed"
    )
    shares = table.groupby([y, x])[verdict].value_counts(normalize=True).unstack(fill_value=0.0)
    words = [word for word in VERDICTS if word in shares]
    most = shares[words].idxmax(axis=1).unstack()
    share = shares[words].max(axis=1).unstack().fillna(0.0).to_numpy()[..., None]
    colours = most.map(lambda word: to_rgb(_COLOURS.get(word, "1")))
    colours = np.array(colours.to_numpy().tolist())
    at_x, at_y = (index.to_numpy(dtype=float) for index in (most.columns, most.index))
    axes.pcolormesh(_edges(at_x), _edges(at_y), 1 - share * (1 - colours), rasterized=True)
    _name_axes(axes, x, y, at_x, at_y)
    seen = [word for word in words if (most == word).any(axis=None)]
    axes.legend([Patch(color=_COLOURS[word]) for word in seen], seen, fontsize=8)
    return axes


def _name_axes(axes: Axes, x: str, y: str, at_x: FloatArray, at_y: FloatArray) -> None:
    axes.set(xlabel=x, ylabel=y)
    axes.set_xscale("log" if (at_x > 0).all() else "linear")
    axes.set_yscale("log" if (at_y > 0).all() else "linear")


def _edges(values: FloatArray) -> FloatArray:
    """Borders of the cells about sorted values, half-way between them (on the axis drawn)."""
    positive = bool((values > 0).all())
    at = np.log(values) if positive else values
    middles = (at[1:] + at[:-1]) / 2
    first, last = (at[1] - at[0], at[-1] - at[-2]) if len(at) > 1 else (1.0, 1.0)
    edges = np.concatenate([[at[0] - first / 2], middles, [at[-1] + last / 2]])
    return np.exp(edges) if positive else edges


def _cell(share: float) -> str:
    """Two decimals, without the zero before the point; a whole share as 1."""
    text = f"{share:.2f}"
    return "1" if text == "1.00" else text.removeprefix("0") if text[0] == "0" else text
