"""Colours, and the parts that several figures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from twomode._typing import FloatArray
from twomode.errors import require
from twomode.runs import Result
from twomode.tables import counted
from twomode.theory import Judgement

#: Colours of modes 1 and 2 that differ in lightness too (Okabe and Ito 2008).
MODE_COLOURS = ("#0072B2", "#E69F00")
MODE_STYLES = ("-", (0, (4, 1.5)))
#: Of the two players, D and G, from the same palette.
PLAYER_COLOURS = ("#D55E00", "#009E73")
#: Of the groups of a table, with a marker each.
GROUP_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
GROUP_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
OTHERS = "0.75"
#: Perceptually uniform, and made for colour-blind readers.
MAP = "cividis"


def as_list(results: Result | Sequence[Result]) -> list[Result]:
    """A list, of one result too."""
    listed = [results] if isinstance(results, Result) else list(results)
    require(bool(listed), "results=[] must hold at least one")
    return listed


def typical(judgement: Judgement, replica: int | None) -> int:
    """The given replica, or that which stands for the run (see `Judgement.typical`)."""
    if replica is None:
        return judgement.typical
    R = len(judgement.verdicts)
    require(-R <= replica < R, f"replica={replica} is none of the run's {R}, from 0")
    return replica


def clock(result: Result, replica: int) -> FloatArray:
    """Where a replica's records stand on the time axis, shape (T,): see `time_axis`."""
    if result.intervals is None:
        return result.times[replica].astype(float)
    left = np.append(np.cumsum(result.intervals[replica, :0:-1])[::-1], 0.0)
    return np.where(left > 0, left, np.nan)  # the end itself is nowhere on a logarithmic axis


def time_axis(result: Result, judgement: Judgement, replica: int) -> dict[str, Any]:
    """What makes an axis that of a replica's time, for ``Axes.set``.

    A collapse is shown up to 1.3 T_0: the theorem is silent past it, and what follows would hide
    what led to it.  A flow ends at T_0; what leads there has all scales, and is shown by how long
    before it happens.
    """
    if result.intervals is not None:
        left = clock(result, replica)
        at_T0 = np.isfinite(judgement.T0[replica])
        words = "iterations before $T_0$" if at_T0 else "iterations before the end"
        return {"xscale": "log", "xlim": (np.nanmax(left), np.nanmin(left)), "xlabel": words}
    end = max(1, int(result.steps[-1]))
    if judgement.verdicts[replica] == "collapsed":
        return {"xlim": (0, min(end, 1.3 * judgement.T0[replica])), "xlabel": "iteration"}
    return {"xlim": (0, end), "xlabel": "iteration"}


def which_replica(result: Result, judgement: Judgement, replica: int) -> str:
    """Rule, dimension, seed and verdict of one replica, in two lines."""
    provenance = result.provenance
    return (
        f"{result.opt.name}, d = {counted(result.game.d)}\n"
        f"seed {provenance['seed']}, replica {provenance['replicas'][replica]}:"
        f" {judgement.verdicts[replica]}"
    )


def which_replicas(result: Result) -> str:
    """Rule, dimension, seed and number of replicas, in two lines."""
    seeds = "replica" if result.replicas == 1 else "replicas"
    return (
        f"{result.opt.name}, d = {counted(result.game.d)}\n"
        f"{result.replicas} {seeds} of seed {result.provenance['seed']}"
    )


def mark_T0(axes: Axes, T0: float, height: float | None = None) -> None:
    """A dotted line at T_0, named at the given height (in data coordinates) if there is one."""
    if not np.isfinite(T0):
        return
    axes.axvline(T0, color="black", linestyle=":", linewidth=1.2)
    if height is not None:
        axes.annotate(
            rf"$T_0$ = {T0:,.0f}",
            (T0, height),
            xytext=(-4, 0),
            textcoords="offset points",
            horizontalalignment="right",
            bbox={"color": (1, 1, 1, 0.8), "pad": 1},
        )
