"""How the theorems' quantities change with d: asymmetry, residual, recovery.

    python figures/scaling.py           # d = 2^6, ..., 2^14
    python figures/scaling.py --full    # to 2^20 (SGDA) and 2^60 (nSGDA), a few minutes

Asymmetry and residual are those of SGDA at T_0, their largest values over all z; recovery is that
of nSGDA at the end: each mode covered with probability at least 1/(2 m_G).
"""

from __future__ import annotations

import twomode_program

from typing import Any

import common
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import twomode as tm

REPLICAS = 64


def cells(full: bool) -> dict[str, list[dict[str, Any]]]:
    """SGDA and nSGDA with their recipes."""
    small = [2**k for k in range(6, 15)]
    sgda = []
    for d in small + [2**k for k in (16, 18, 20) if full]:
        steps = tm.recipe(tm.Game.preset(d), "sgda").steps
        sgda.append({"opt": "sgda", "d": d, "record_every": steps // 150, "resolve": 1.3})
    larger = [2**k for k in (16, 20, 30, 40, 50, 60) if full]
    nsgda = tm.sweeps.cells(opt=["nsgda"], d=small + larger, record_every=[common.ENDS])
    return {"sgda": sgda, "nsgda": nsgda}


def power(axes: Axes, table: Any, name: str, symbol: str, bound: Any, formula: str) -> None:
    """Asymmetry or residual, the power law, and the o(1) of the theorem cards for comparison."""
    groups = [(float(d), rows[name].to_numpy()) for d, rows in table.dropna().groupby("d")]
    d, samples = (list(column) for column in zip(*groups, strict=True))
    x = np.log(d) if "ln" in symbol else np.array(d)
    trend = tm.statistics.fit_power(x, samples)
    bounds = [bound(tm.Game.preset(int(value))) for value in d]
    axes.plot(x, bounds, color="0.5", linestyle="--", label=f"{formula}, for comparison")
    tm.plotting.scaling(axes, trend, samples, name, symbol=symbol)
    axes.set_ylabel(f"{name} at $T_0$, largest over all $z$")
    found = f"{sum(map(len, samples))} of {len(table)} seeds with $T_0$"
    axes.set_title(f"sgda, {found}", fontsize=10)


def main() -> None:
    """Sweep (or load), fit, draw, save."""
    args = common.parse(
        __doc__, "table to draw instead of a fresh sweep, .csv", "larger d", sweeps=True
    )
    table = common.sweep(args, cells(args.full), REPLICAS, measure=common.outcome)
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    sgda, nsgda = (
        table.loc[table["panel"] == rule, ["d", "asymmetry", "residual", "recovered"]]
        for rule in ("sgda", "nsgda")
    )
    power(left, sgda, "asymmetry", "d", tm.theory.asymmetry_bound, r"$\ln d \,/\, \sqrt{d}$")
    power(
        middle,
        sgda,
        "residual",
        r"(\ln d)",
        tm.theory.slow_residual_bound,
        r"$2.5 \,/\, (\ln d)^{2/3}$",
    )
    left.set_xscale("log", base=2)
    middle.set_xticks(ticks := [4, 6, 8, 10, 14], map(str, ticks))
    middle.minorticks_off()
    middle.set(
        xlabel=r"$\ln d$", xlim=(np.log(sgda["d"].min()) - 0.3, np.log(sgda["d"].max()) + 0.5)
    )

    nsgda = nsgda.astype({"d": float})
    counts = nsgda.groupby("d")["recovered"].agg(["sum", "count"])
    at = np.geomspace(counts.index.min(), counts.index.max(), 200)
    trend = tm.statistics.fit_logistic(np.log(counts.index), counts["sum"], counts["count"])
    low, high = trend.slope_interval
    label = rf"logit slope {trend.slope:.2f} in $\ln d$, 95 %: {low:.2f} to {high:.2f}"
    tm.plotting.fitted(right, at, trend(np.log(at)), trend.band(np.log(at)), label=label)
    tm.plotting.proportions(right, nsgda, "d", "recovered", joined=False)
    right.set_xscale("log", base=2)
    right.set(xlabel="$d$", ylabel="share that recovers both modes", ylim=(0, 1.03))
    right.set_title("nsgda (per neuron), all seeds", fontsize=10)
    common.save(figure, args, "scaling")


if __name__ == "__main__":
    twomode_program.run(main)
