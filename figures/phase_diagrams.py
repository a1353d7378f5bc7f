"""Where in the plane of step sizes, and at which d, SGDA collapses and nSGDA recovers both modes.

    python figures/phase_diagrams.py           # 16 seeds a cell
    python figures/phase_diagrams.py --full    # a finer grid, 32 seeds a cell: several minutes

Above against eta_G/eta_D and d, below against eta_D and eta_G.  For SGDA: of the replicas with a
T_0, the shares that have an asymmetry above 0.3 there, and that are collapsed there.
"""

from __future__ import annotations

import twomode_program

from typing import Any

import common
import pandas as pd
from matplotlib.figure import Figure

import twomode as tm

D, ETA_G = 1024, 2.0
SHOWN = (
    ("sgda", "asymmetric", "SGDA: asymmetry > 0.3 at $T_0$"),
    ("sgda", "collapsed", "SGDA: collapsed at $T_0$"),
    ("nsgda", "recovered", "nSGDA (per neuron): both modes"),
)
PLANES = (("ratio", "r", "d"), ("steps", "eta_D", "eta_G"))


def grids(full: bool) -> dict[str, list[dict[str, Any]]]:
    """The cells of each panel."""
    fine = 2 if full else 1

    def powers(low: int, high: int) -> list[float]:
        return [2.0 ** (k / fine) for k in range(fine * low, fine * high + 1)]

    dimensions = [2**k for k in range(6, 15 if full else 13, 1 if full else 2)]
    lengths = [min(0.1, ETA_G / r) for r in powers(-2, 8)]
    once = {"opt": "nsgda", "record_every": common.ENDS}
    return {
        "sgda ratio": [
            common.sgda_cell(d, eta_D, r * eta_D)
            for d in dimensions
            for r, eta_D in zip(powers(-2, 8), lengths, strict=True)
        ],
        "sgda steps": [common.sgda_cell(D, x, y) for x in powers(-7, 0) for y in powers(-6, 2)],
        "nsgda ratio": tm.sweeps.cells(d=dimensions, ratio=powers(-6, 2), **listed(once)),
        "nsgda steps": tm.sweeps.cells(
            d=[D], eta_D=powers(-12, -4), eta_G=powers(-14, -6), **listed(once)
        ),
    }


def listed(cell: dict[str, Any]) -> dict[str, list[Any]]:
    """Axes of one value each."""
    return {name: [value] for name, value in cell.items()}


def judged(rows: pd.DataFrame) -> pd.DataFrame:
    """The replicas of SGDA with a T_0, in the cells where at least half have one."""
    found = rows.groupby(["d", "eta_D", "eta_G"])["T0"].transform(lambda T0: T0.notna().mean())
    return rows[rows["T0"].notna() & (found >= 0.5)]


def main() -> None:
    """Sweep (or load), draw, save."""
    args = common.parse(
        __doc__, "table to draw instead of a fresh sweep, .csv", "a finer grid", sweeps=True
    )
    table = common.sweep(args, grids(args.full), 32 if args.full else 16, measure=common.outcome)
    table["r"] = (table["eta_G"] / table["eta_D"]).round(9)
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    for column, (rule, value, title) in zip(figure.subplots(2, 3).T, SHOWN, strict=True):
        for axes, (plane, x, y) in zip(column, PLANES, strict=True):
            rows = table[table["panel"] == f"{rule} {plane}"]
            rows = judged(rows) if rule == "sgda" else rows
            bar = "share of replicas" if rule == "nsgda" else ""
            tm.plotting.phase_diagram(axes, rows, x, y, value, label=bar)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log", base=2)
        column[0].set(xlabel=r"$\eta_G / \eta_D$", ylabel="$d$")
        column[0].set_title(title, fontsize=9)
        column[1].set(xlabel=r"$\eta_D$", ylabel=r"$\eta_G$")
        column[1].set_title(f"{title}\nd = {D:,}", fontsize=9)
    seeds = table["replica"].max() + 1
    those = "SGDA: of those with $T_0$, hatched where fewer than half have one"
    figure.suptitle(f"{seeds} seeds a cell; {those}", fontsize=10)
    common.save(figure, args, "phase_diagrams")


if __name__ == "__main__":
    twomode_program.run(main)
