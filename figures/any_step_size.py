"""Does SGDA learn no single mode for any step sizes?  A window of eta_G/eta_D where it does.

    python figures/any_step_size.py           # d = 2^8, 2^10, 2^12
    python figures/any_step_size.py --full    # and 2^14, 2^16: several minutes

Share of replicas whose asymmetry, largest over all z, exceeds 0.3 at any recorded t <= T_0 (or at
any at all, where there is no T_0); and share of those collapsed at T_0.
"""

from __future__ import annotations

import twomode_program

import common
import numpy as np
from matplotlib.figure import Figure

import twomode as tm

REPLICAS, ETA_G = 32, 2.0
SCALED = [2.0**k for k in range(-6, 4)]  #: (eta_G/eta_D) / sqrt(d)


def main() -> None:
    """Sweep (or load), draw, save."""
    args = common.parse(
        __doc__, "table to draw instead of a fresh sweep, .csv", "larger d", sweeps=True
    )
    dimensions = [2**k for k in (8, 10, 12, *((14, 16) if args.full else ()))]
    points = [(d, x * d**0.5) for d in dimensions for x in SCALED]
    cells = [common.sgda_cell(d, eta_D := min(0.1, ETA_G / r), r * eta_D) for d, r in points]
    table = common.sweep(args, {"ratio": cells}, REPLICAS, measure=common.until_T0)
    table["scaled"] = np.round(table["eta_G"] / table["eta_D"] / np.sqrt(table["d"]), 9)
    table["group"] = [f"d = {d:,}" for d in table["d"]]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, value, title in (
        (left, "exceeds", r"asymmetry above 0.3 at some $t \leq T_0$"),
        (right, "collapsed", "collapsed at $T_0$"),
    ):
        tm.plotting.proportions(axes, table, "scaled", value, by="group")
        axes.set_xscale("log", base=2)
        axes.set_xlabel(r"$(\eta_G / \eta_D) \,/\, \sqrt{d}$")
        axes.set_title(title, fontsize=10)
    right.get_legend().remove()
    right.set_ylabel("")
    steps = r"$\eta_D = \min(0.1,\ 2 \eta_D / \eta_G)$"
    figure.suptitle(f"sgda, {steps}; bars: 95 % Clopper-Pearson", fontsize=10)
    common.save(figure, args, "any_step_size")


if __name__ == "__main__":
    twomode_program.run(main)
