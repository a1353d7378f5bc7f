"""Figures of a comparison of rules, and of a graft factorial."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from twomode.checks import checked
from twomode.errors import require_columns
from twomode.plotting._style import MAP, MODE_COLOURS, PLAYER_COLOURS
from twomode.studies import Comparison

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compared", "factorial"]


@checked
def compared(comparison: Comparison) -> np.ndarray:
    """How often each rule collapsed, by recipe and with fine steps, and recovered at its best.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    ndarray of Axes
        One for each base (the rules that build on nothing together), the rules from top to bottom,
        with Clopper-Pearson bars that all hold together, and the gradients to recovery.

    Examples
    --------
    >>> import twomode as tm
    >>> options = {"replicas": 2, "tuning": 1, "step_scales": [1], "ratios": [0.2]}
    >>> comparison = tm.compare_rules(["sgda", "nsgda"], {"d": 16, "steps": 40}, **options)
    >>> panels = tm.plotting.compared(comparison)
    >>> [label.get_text() for label in panels[0].get_yticklabels()]
    ['sgda', 'nsgda']
    """
    table = comparison.table()
    alone = table["base"].isin(set(table["rule"])) & (table["base"] != table["rule"])
    built_on = set(table.loc[alone, "base"])
    table["group"] = [base if base in built_on else "others" for base in table["base"]]
    groups = dict(list(table.groupby("group", sort=False)))
    heights = [len(rows) + 1.2 for rows in groups.values()]
    figure = Figure(figsize=(7.5, 0.9 + 0.27 * sum(heights)), layout="constrained")
    panels = figure.subplots(
        len(groups), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axes, (name, rows) in zip(panels, groups.items(), strict=True):
        _panel(axes, rows)
        d, seeds = comparison.cell["d"], rows["recovered"].iloc[0].trials
        first = axes is panels[0]
        title = f"d = {d:,}, {seeds} seeds; right: gradients to recovery\n" if first else ""
        on = "other rules" if name == "others" else f"{name} and what builds on it"
        axes.set_title(f"{title}{on}", loc="left", fontsize=9)
    panels[0].legend(
        frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1.0), borderpad=0
    )
    panels[-1].set_xlabel("share of seeds")
    return np.asarray(panels)


def _panel(axes: Axes, rows: pd.DataFrame) -> None:
    at = np.arange(len(rows))[::-1]
    red, blue = PLAYER_COLOURS[0], MODE_COLOURS[0]
    for column, colour, face, marker, shift, label in (
        ("collapsed", red, "white", "s", -0.22, "collapsed at $T_0$, by recipe"),
        ("collapsed_fine", red, red, "s", 0.0, "collapsed at $T_0$, fine steps"),
        ("recovered", blue, blue, "o", 0.22, "recovered both modes, at its best"),
    ):
        there = rows[column].notna().to_numpy()
        found = rows[column][there]
        shares = np.array([p.share for p in found])
        low, high = np.array([p.interval for p in found]).reshape(-1, 2).T
        axes.errorbar(
            shares,
            at[there] + shift,
            xerr=[np.maximum(shares - low, 0), np.maximum(high - shares, 0)],
            color=colour,
            marker=marker,
            markerfacecolor=face,
            linestyle="none",
            markersize=4.5,
            elinewidth=1,
            label=label,
        )
    axes.set(xlim=(-0.03, 1.22), ylim=(-0.6, len(rows) - 0.4), xticks=np.linspace(0, 1, 6))
    axes.set_yticks(at, labels=rows["rule"].tolist(), fontsize=8)
    axes.grid(axis="y", color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    for y, gradients in zip(at, rows["gradients"], strict=True):
        if math.isfinite(gradients):
            axes.text(1.21, y, f"{gradients:,.0f} g", fontsize=7, ha="right", va="center")


@checked
def factorial(
    table: pd.DataFrame, value: str = "recovered", *, label: str = "share of seeds"
) -> np.ndarray:
    """A share over direction x magnitude x granularity, one panel a granularity.

    Parameters
    ----------
    table : DataFrame
        A row a replica, with columns ``direction``, ``magnitude``, ``granularity`` and `value`.
    value : str
        The column whose mean is shown.
    label : str
        Of the colour bar.

    Returns
    -------
    ndarray of Axes
        Directions are columns and magnitudes rows, in the order of the table.

    Examples
    --------
    >>> import pandas as pd
    >>> import twomode as tm
    >>> rows = [("gradient", "own", g, g == "neuron") for g in ("global", "layer", "neuron")]
    >>> columns = ["direction", "magnitude", "granularity", "recovered"]
    >>> panels = tm.plotting.factorial(pd.DataFrame(rows, columns=columns))
    >>> [(axes.get_title(), axes.texts[0].get_text()) for axes in panels]
    [('one norm per player', '0'), ('one norm per layer', '0'), ('one norm per neuron', '100')]
    """
    import seaborn  # half a second that other figures need not wait for

    require_columns(table, "direction", "magnitude", "granularity", value)
    granularities, directions, magnitudes = (
        table[name].unique() for name in ("granularity", "direction", "magnitude")
    )
    figure = Figure(figsize=(2.2 + 2.3 * len(granularities), 3.4), layout="constrained")
    panels = figure.subplots(1, len(granularities), sharey=True, squeeze=False)[0]
    for axes, granularity in zip(panels, granularities, strict=True):
        mine = table[table["granularity"] == granularity]
        shares = mine.astype({value: float}).pivot_table(value, "magnitude", "direction")
        cells = shares.reindex(index=magnitudes, columns=directions)
        seaborn.heatmap(
            cells,
            annot=100 * cells,
            fmt=".0f",
            cmap=MAP,
            vmin=0,
            vmax=1,
            cbar=False,
            ax=axes,
        )
        axes.set_facecolor("0.85")
        block = "player" if granularity == "global" else granularity
        axes.set(title=f"one norm per {block}", xlabel="direction", ylabel="")
        axes.tick_params(length=0, labelsize=8, labelrotation=0)
    panels[0].set_ylabel("magnitude")
    figure.colorbar(panels[0].collections[0], ax=list(panels), label=label)
    return np.asarray(panels)
