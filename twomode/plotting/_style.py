"""Colours, and the parts that several figures share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from twomode.errors import require
from twomode.runs import Result
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


def end_of_view(result: Result, judgement: Judgement, replica: int) -> float:
    """Where the time axis of a replica ends: at 1.3 T_0 if it collapsed there.

    The theorem is silent past T_0, and what follows would hide what led to it.
    """
    end = max(1, int(result.steps[-1]))
    if judgement.verdicts[replica] == "collapsed":
        return min(end, 1.3 * judgement.T0[replica])
    return end


def which_replica(result: Result, judgement: Judgement, replica: int) -> str:
    """Rule, dimension, seed and verdict of one replica, in two lines."""
    provenance = result.provenance
    return (
        f"{result.opt.name}, d = {result.game.d:,}\n"
        f"seed {provenance['seed']}, replica {provenance['replicas'][replica]}:"
        f" {judgement.verdicts[replica]}"
    )


def which_replicas(result: Result) -> str:
    """Rule, dimension, seed and number of replicas, in two lines."""
    seeds = "replica" if result.replicas == 1 else "replicas"
    return (
        f"{result.opt.name}, d = {result.game.d:,}\n"
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
