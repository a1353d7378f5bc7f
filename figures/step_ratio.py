"""How often methods on normalized gradients recover both modes, against eta_G/eta_D.

    python figures/step_ratio.py

Left the schedules, which discretize nSGDA's flow in other ways; right what changes the flow.
"""

from __future__ import annotations

import twomode_program

import common
from matplotlib.figure import Figure

import twomode as tm

D, REPLICAS = 4096, 64
RATIOS = {"1/16": 1 / 16, "1/8": 1 / 8, "1/4": 1 / 4, "1/2": 1 / 2, "1": 1, "2": 2, "4": 4, "8": 8}
PANELS = {
    "schedules": ["alternating", "extragradient", "optimistic", "negative-momentum"],
    "corrections and anchoring": ["sga", "consensus", "anchored"],
}


def main() -> None:
    """Sweep (or load), draw, save."""
    args = common.parse(__doc__, "table to draw instead of a fresh sweep, .csv", sweeps=True)
    axes = {"d": [D], "ratio": RATIOS.values(), "record_every": [common.ENDS]}
    panels = {
        panel: tm.sweeps.cells(opt=["nsgda", *(f"{name}-nsgda" for name in methods)], **axes)
        for panel, methods in PANELS.items()
    }
    table = common.sweep(args, panels, REPLICAS, measure=common.outcome, paired=("opt", "ratio"))
    figure = Figure(figsize=(9, 5), layout="constrained")
    drawn = figure.subplots(1, len(PANELS), sharey=True)
    for axes, panel in zip(drawn, PANELS, strict=True):
        mine = table[table["panel"] == panel]
        tm.plotting.proportions(axes, mine, "ratio", "recovered", by="opt")
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(RATIOS.values()), RATIOS)
        axes.minorticks_off()
        axes.set(xlabel=r"$\eta_G/\eta_D$", ylabel="share that recovers both modes")
        axes.label_outer()
        axes.set_title(panel, fontsize=10)
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False)
    figure.suptitle(f"on normalized gradients, d = {D:,}, bars: 95 % Clopper-Pearson", fontsize=10)
    common.save(figure, args, "step_ratio")


if __name__ == "__main__":
    twomode_program.run(main)
