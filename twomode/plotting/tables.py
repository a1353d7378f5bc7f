"""Figures of sweep tables along one axis: trends, proportions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike

from twomode._typing import FloatArray, Level
from twomode.checks import checked
from twomode.errors import require, require_columns
from twomode.plotting._style import GROUP_COLOURS, GROUP_MARKERS
from twomode.statistics import PowerTrend, Proportion

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["fitted", "proportions", "scaling", "seed_bands"]


@checked
def scaling(
    axes: Axes,
    trend: PowerTrend,
    samples: Sequence[ArrayLike],
    label: str,
    *,
    symbol: str = "x",
    colour: str = GROUP_COLOURS[0],
    marker: str = GROUP_MARKERS[0],
) -> Axes:
    """A power law and the samples that it was fitted to, on logarithmic axes.

    Parameters
    ----------
    axes : Axes
    trend : PowerTrend
        ``fit_power(x, samples)``.
    samples : sequence of n array_like
        Values of y at each of the trend's x, one a seed.
    label : str
        What y is.
    symbol : str
        How the legend calls x, in TeX.
    colour, marker : str

    Returns
    -------
    Axes
        The same, with medians, bars over the middle half of the samples, the fitted line with its
        confidence band, and the exponent with its interval in the legend.

    Examples
    --------
    Times that grow exactly as the root of d:

    >>> from matplotlib.figure import Figure
    >>> import twomode as tm
    >>> samples = [[4, 4], [8, 8], [16, 16]]
    >>> trend = tm.statistics.fit_power([16, 64, 256], samples, draws=100)
    >>> axes = tm.plotting.scaling(Figure().subplots(), trend, samples, "$T_0$", symbol="d")
    >>> axes.get_legend_handles_labels()[1][0].split(", ")[1]
    '95 % of exponents: 0.50 to 0.50'
    """
    require(
        len(samples) == len(trend.x) and all(map(np.size, samples)),
        f"samples has {len(samples)} entries, of which each must hold one of {len(trend.x)} x",
    )
    low, high = np.array(
        [
            np.quantile(np.asarray(sample, dtype=float), [0.25, 0.75], method="inverted_cdf")
            for sample in samples
        ]
    ).T
    axes.errorbar(
        trend.x,
        trend.medians,
        yerr=[np.maximum(trend.medians - low, 0), np.maximum(high - trend.medians, 0)],
        color=colour,
        marker=marker,
        linestyle="none",
        markersize=5,
        capsize=2,
        label=f"{label}: median, middle half",
    )
    at = np.geomspace(trend.x.min(), trend.x.max(), 100)
    from_, to = trend.exponent_interval
    law = rf"$\propto {symbol}^{{{trend.exponent:.2f}}}$"
    name = f"{law}, {100 * trend.confidence:.3g} % of exponents: {from_:.2f} to {to:.2f}"
    fitted(axes, at, trend(at), trend.band(at), label=name, colour=colour)
    axes.set(xscale="log", yscale="log", xlabel=f"${symbol}$")
    bottom, top = axes.get_ylim()
    subs = (1, 2, 5) if top > 15 * bottom else (1, 2, 3, 4, 6, 8)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False, fontsize=8)
    return axes


@checked
def fitted(
    axes: Axes,
    x: Annotated[ArrayLike, "(n)"],
    curve: Annotated[ArrayLike, "(n)"],
    band: Annotated[FloatArray, "(2, n)"],
    *,
    label: str | None = None,
    colour: str = GROUP_COLOURS[0],
) -> Axes:
    """A fitted curve with its confidence band.

    Parameters
    ----------
    axes : Axes
    x, curve : array_like, shape (n,)
    band : ndarray, shape (2, n)
        Its lower and its upper border.
    label : str, optional
        Of the curve, in a legend; nothing draws one here.
    colour : str

    Returns
    -------
    Axes
        The same.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> import twomode as tm
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> axes = tm.plotting.fitted(Figure().subplots(), x, x**2, np.stack([x**2 - 1, x**2 + 1]))
    >>> axes.lines[0].get_ydata().tolist(), len(axes.collections)
    ([1.0, 4.0, 9.0], 1)
    """
    axes.plot(x, curve, color=colour, linewidth=1.4, label=label)
    axes.fill_between(np.asarray(x), band[0], band[1], color=colour, alpha=0.18, linewidth=0)
    return axes


@checked
def proportions(
    axes: Axes,
    table: pd.DataFrame,
    x: str,
    success: str,
    *,
    by: str | None = None,
    confidence: Level = 0.95,
    joined: bool = True,
    label: str | None = None,
) -> Axes:
    """Share of replicas in which something happened, with Clopper-Pearson bars.

    Parameters
    ----------
    axes : Axes
    table : DataFrame
        A row a replica.
    x, success : str
        Columns: what is on the horizontal axis, and whether it happened (true or false).
    by : str, optional
        Column of the groups, each drawn with its own colour and marker, and smaller than the one
        before: where they coincide, all are seen.
    confidence : float
        Of the bars.
    joined : bool
        Whether lines join the points of a group.
    label : str, optional
        What happened, in the legend; by default the group.

    Returns
    -------
    Axes
        The same.  The legend has the number of replicas behind each point.

    Raises
    ------
    InputError
        If the table has no such column.

    Examples
    --------
    >>> import pandas as pd
    >>> from matplotlib.figure import Figure
    >>> import twomode as tm
    >>> table = pd.DataFrame({"d": [16, 16, 64, 64], "collapsed": [False, True, True, True]})
    >>> axes = tm.plotting.proportions(Figure().subplots(), table, "d", "collapsed")
    >>> axes.lines[0].get_ydata().tolist(), axes.get_legend_handles_labels()[1]
    ([0.5, 1.0], ['2 seeds a point'])
    """
    require_columns(table, x, success, *([] if by is None else [by]))
    groups = [(None, table)] if by is None else list(table.groupby(by, sort=False))
    sizes = np.linspace(4, 4 + 1.5 * (len(groups) - 1), len(groups))[::-1]
    for number, ((group, rows), size) in enumerate(zip(groups, sizes, strict=True)):
        counts = rows.groupby(x)[success].agg(["sum", "count"])
        found = [
            Proportion(int(k), int(n), confidence)
            for k, n in zip(counts["sum"], counts["count"], strict=True)
        ]
        shares = np.array([p.share for p in found])
        low, high = np.array([p.interval for p in found]).T
        fewest, most = counts["count"].min(), counts["count"].max()
        trials = f"{fewest}" if fewest == most else f"{fewest}-{most}"
        names = [label] if label else []
        names += [] if group is None else [_plain(group)]
        axes.errorbar(
            counts.index.to_numpy(),
            shares,
            yerr=[np.maximum(shares - low, 0), np.maximum(high - shares, 0)],
            color=GROUP_COLOURS[number % len(GROUP_COLOURS)],
            marker=GROUP_MARKERS[number % len(GROUP_MARKERS)],
            linestyle="-" if joined else "none",
            linewidth=size / 4,
            elinewidth=size / 4,
            markersize=size,
            capsize=size / 2,
            label=", ".join([*names, f"{trials} seeds a point"]),
        )
    axes.set(ylim=(-0.03, 1.03), xlabel=x, ylabel="share of replicas")
    axes.legend(frameon=False, fontsize=8)
    return axes


@checked
def seed_bands(axes: Axes, table: pd.DataFrame, x: str, y: str, *, by: str) -> Axes:
    """A number's median over seeds, and its range as a band, for each group.

    Parameters
    ----------
    axes : Axes
    table : DataFrame
        A row a seed and x.
    x, y : str
        Columns: what is on the axes.
    by : str
        Column of the groups, each drawn with its own colour and marker.

    Returns
    -------
    Axes
        The same.  The legend has the number of seeds.

    Raises
    ------
    InputError
        If the table has no such column.

    Examples
    --------
    >>> import pandas as pd
    >>> from matplotlib.figure import Figure
    >>> import twomode as tm
    >>> table = pd.DataFrame({"cost": [1, 1, 1, 2, 2, 2], "error": [5, 6, 9, 1, 2, 3]})
    >>> table = table.assign(method="fgsm")
    >>> axes = tm.plotting.seed_bands(Figure().subplots(), table, "cost", "error", by="method")
    >>> axes.lines[0].get_ydata().tolist(), axes.get_legend_handles_labels()[1]
    ([6.0, 2.0], ['fgsm, 3 seeds'])
    """
    require_columns(table, x, y, by)
    for number, (group, rows) in enumerate(table.groupby(by, sort=False)):
        at = rows.groupby(x)[y].agg(["median", "min", "max", "count"])
        colour = GROUP_COLOURS[number % len(GROUP_COLOURS)]
        axes.plot(
            at.index,
            at["median"],
            color=colour,
            marker=GROUP_MARKERS[number % len(GROUP_MARKERS)],
            markersize=3.5,
            linewidth=1.2,
            label=f"{_plain(group)}, {at['count'].max()} seeds",
        )
        axes.fill_between(
            at.index.to_numpy(), at["min"], at["max"], color=colour, alpha=0.18, linewidth=0
        )
    axes.set(xlabel=x, ylabel=y)
    axes.legend(frameon=False, fontsize=8)
    return axes


def _plain(group: object) -> str:
    return f"{group:,}" if isinstance(group, (int, np.integer)) else str(group)
