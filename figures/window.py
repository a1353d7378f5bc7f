"""The window of step sizes in which SGDA learns single modes closes: its flow, up to d = 2^200.

    python figures/window.py           # d = 2^8, 2^16, 2^24, 2^100
    python figures/window.py --full    # and 2^12, 2^20, 2^200: some minutes

Left, the share of replicas whose asymmetry, largest over all z, exceeds 0.3 at some t <= T_0;
right, the median of that largest asymmetry.
"""

from __future__ import annotations

import twomode_program

import common
import numpy as np
from matplotlib.figure import Figure

import twomode as tm
from twomode.plotting import GROUP_COLOURS, GROUP_MARKERS

REPLICAS = 64
SCALED = [2.0**k for k in (-6, -4, -3, -2, -1, 0, 0.5, 1, 1.5, 2, 3, 4)]  #: eta_G/(eta_D sqrt(d))


def main() -> None:
    """Sweep (or load), draw, save."""
    args = common.parse(
        __doc__, "table to draw instead of a fresh sweep, .csv", "larger d", sweeps=True
    )
    exponents = (8, 12, 16, 20, 24, 100, 200) if args.full else (8, 16, 24, 100)
    cells = [common.flow_cell(k, c * 2.0 ** (k / 2)) for k in exponents for c in SCALED]
    table = common.sweep(args, {"flow": cells}, REPLICAS, measure=common.until_T0)
    k = np.log2(table["d"].astype(float)).round().astype(int)
    table["scaled"] = table["ratio"] / 2.0 ** (k / 2)
    table["group"] = [f"d = $2^{{{n}}}$" for n in k]
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    tm.plotting.proportions(left, table, "scaled", "exceeds", by="group")
    left.set_ylabel(r"asymmetry above 0.3 at some $t \leq T_0$")
    looks = zip(table.groupby(k), GROUP_COLOURS, GROUP_MARKERS, strict=False)
    for (_, rows), colour, marker in looks:
        medians = rows.groupby("scaled")["largest"].median()
        right.plot(medians.index, medians, marker=marker, color=colour, markersize=4, linewidth=1)
    right.set(yscale="log", ylabel="largest asymmetry up to $T_0$, median")
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xlabel(r"$(\eta_G / \eta_D) \,/\, \sqrt{d}$")
    figure.suptitle(
        f"sgda in the limit of short steps, m = 9, {REPLICAS} seeds; bars: 95 % Clopper-Pearson",
        fontsize=10,
    )
    common.save(figure, args, "window")


if __name__ == "__main__":
    twomode_program.run(main)
