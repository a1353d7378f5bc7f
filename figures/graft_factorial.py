"""The graft factorial: which of direction, magnitude and granularity decides recovery.

    python figures/graft_factorial.py

Every combination from the same starts, each at its best of a grid of step sizes.
"""

from __future__ import annotations

import twomode_program

from pathlib import Path

import common
import numpy as np
import pandas as pd

import twomode as tm
from twomode.errors import require
from twomode.rules import DIRECTIONS
from twomode.statistics import main_effects
from twomode.studies import tune
from twomode.theory import covers_both

D, FULL_D = 2**8, 2**10
AXES = ("direction", "magnitude", "granularity")
#: Of grafts; clipped steps and polar factors are none.
MAGNITUDES = ("own", "unit", "constant", "gradient", "momentum", "adam")
GRANULARITIES = ("neuron", "layer", "global")


def recovered(result: tm.Result) -> dict[str, np.ndarray]:
    """Whether both modes are covered at the end."""
    return {"recovered": covers_both(result)[:, -1]}


def sweep(d: int, store: Path | None) -> pd.DataFrame:
    """A row for each combination and seed."""
    cells = [
        {"d": d, "opt": "sgda", **combination, "shared": True}
        for combination in tm.sweeps.cells(
            direction=DIRECTIONS, magnitude=MAGNITUDES, granularity=GRANULARITIES
        )
        # A rule of its own length has no norms: it runs once and stands in every panel.
        if combination["magnitude"] != "own" or combination["granularity"] == GRANULARITIES[0]
    ]
    with tm.sweeps.processes() as executor, tm.ProgressBar("graft_factorial") as bar:
        kept = {"executor": executor, "store": store, "progress": bar}
        best, _ = tune(cells, 16, paired=AXES, **kept)
        fresh = tm.sweep(
            [{**cell, "record_every": common.ENDS} for cell in best],
            64,
            measure=recovered,
            paired=(*AXES, "step_scale", "ratio"),
            **kept,
        )
    own = fresh[fresh["magnitude"] == "own"]
    copies = [own.assign(granularity=name) for name in GRANULARITIES[1:]]
    return pd.concat([fresh, *copies], ignore_index=True)


def main() -> None:
    """Sweep or load, draw, and print the shares of the axes."""
    source = "table to draw instead of a fresh sweep, .csv"
    args = common.parse(
        __doc__, source, f"d = {FULL_D} instead of {D}: a quarter of an hour", sweeps=True
    )
    d = FULL_D if args.full else D
    table = common.table(args, lambda: sweep(d, args.store), "magnitude", MAGNITUDES)
    missing = {*AXES, "replica", "recovered"} - set(table)
    require(not missing, f"{args.source or 'the table'} has no column {', '.join(sorted(missing))}")
    order = pd.MultiIndex.from_product([DIRECTIONS, MAGNITUDES, GRANULARITIES])
    by_cell = table.pivot(index=AXES, columns="replica", values="recovered").reindex(order)
    sizes = [len(values) for values in (DIRECTIONS, MAGNITUDES, GRANULARITIES)]
    samples = by_cell.to_numpy(dtype=float).reshape(*sizes, -1)
    shares, intervals = main_effects(samples)
    panels = tm.plotting.factorial(table, label="share that recovers both modes")
    words = ", ".join(
        f"{axis} {100 * share:.0f} % ({100 * low:.0f}-{100 * high:.0f})"
        for axis, share, (low, high) in zip(AXES, shares, intervals, strict=True)
    )
    seeds = samples.shape[-1]
    panels[0].figure.suptitle(
        f"d = {table['d'].iloc[0]:,}, {seeds} seeds; decided by {words}", fontsize=9
    )
    print(f"variance between cells that each axis decides by itself: {words}")
    common.save(panels[0].figure, args, "graft_factorial")


if __name__ == "__main__":
    twomode_program.run(main)
