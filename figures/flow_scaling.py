"""How Theorem 4.1's quantities change with d, in the limit of short steps, up to d = 2^200.

    python figures/flow_scaling.py           # a minute
    python figures/flow_scaling.py --full    # more seeds and more d

SGDA's flow at m = 9, at eta_G = eta_D ln d and at eta_G = 2 sqrt(d) eta_D, in the window of step
sizes.  Medians and quartiles over replicas; the bounds of the cards
(dashed), and those that hold for all d (dotted).
"""

from __future__ import annotations

import twomode_program

import math

import common
import numpy as np
from matplotlib.figure import Figure

import twomode as tm
from twomode import theory
from twomode.plotting import GROUP_COLOURS, GROUP_MARKERS


def main() -> None:
    """Sweep (or load), draw, save."""
    args = common.parse(
        __doc__, "table to draw instead of a fresh sweep, .csv", "more seeds and d", sweeps=True
    )
    exponents = [8, 12, 16, 20, 24, 32, 50, 100, 150, 200] if args.full else [8, 16, 24, 50, 200]
    panels = {
        r"$\eta_G = \eta_D \ln d$": [common.flow_cell(k, k * math.log(2)) for k in exponents],
        r"$\eta_G = 2 \sqrt{d}\,\eta_D$": [
            common.flow_cell(k, 2 * 2.0 ** (k / 2)) for k in exponents
        ],
    }
    table = common.sweep(args, panels, 64 if args.full else 24, measure=common.until_T0)
    table["k"] = np.log2(table["d"].astype(float)).round().astype(int)
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, name, words in (
        (left, "largest", "largest asymmetry up to $T_0$"),
        (right, "residual", "residual at $T_0$, largest over all $z$"),
    ):
        looks = zip(panels, GROUP_COLOURS, GROUP_MARKERS, strict=False)
        for panel, colour, marker in looks:
            of_k = table[table["panel"] == panel].groupby("k")[name]
            low, middle, high = (of_k.quantile(q) for q in (0.25, 0.5, 0.75))
            axes.plot(middle.index, middle, marker=marker, color=colour, linewidth=1.2, label=panel)
            axes.fill_between(middle.index, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set(yscale="log", xlabel=r"$\log_2 d$", ylabel=words)
    ks = np.arange(min(exponents), max(exponents) + 1)
    games = [tm.Game.preset(2 ** int(k), m_D=3, m_G=3) for k in ks]

    def at_twice_the_root(game: tm.Game) -> float:
        return theory.ratio_bound(game, 2 * math.sqrt(game.d))

    for axes, bound, style, formula in (
        (left, theory.asymmetry_bound, "--", r"$\ln d / \sqrt{d}$"),
        (left, at_twice_the_root, ":", r"bound at $\eta_G = 2 \sqrt{d}\,\eta_D$"),
        (right, theory.residual_bound, "--", r"$5 / \ln d$"),
        (right, theory.slow_residual_bound, ":", r"$2.5 / (\ln d)^{2/3}$"),
    ):
        axes.plot(ks, [bound(game) for game in games], style, color="0.3", label=formula)
        axes.legend(frameon=False, fontsize=8)
    right.set_ylim(0.02, 3)  # a generator that runs off has none to show
    figure.suptitle("sgda in the limit of short steps, m = 9", fontsize=10)
    common.save(figure, args, "flow_scaling")


if __name__ == "__main__":
    twomode_program.run(main)
