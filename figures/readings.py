"""Which reading of Theorem 4.2 recovers both modes, over the sizes of both players' starts.

    python figures/readings.py

The theorem starts the discriminator at a standard deviation of d^(-1/2) and the generator at 1/d; a
norm is one of each neuron, of a layer or of a player, or the matrix becomes its polar factor.
"""

from __future__ import annotations

import twomode_program

import common
from matplotlib.figure import Figure

import twomode as tm
from twomode.errors import require_columns

D, REPLICAS = 4096, 32
READINGS = {
    "nsgda": "a norm per neuron",
    "l-nsgda": "per layer",
    "g-nsgda": "per player",
    "spectral-nsgda": "polar factor",
}
#: Standard deviations of both starts, as powers of d.
POWERS = (-1.25, -1.0, -0.75, -0.5, -0.25)


def main() -> None:
    """Sweep (or load), draw, save."""
    args = common.parse(__doc__, "table to draw instead of a fresh sweep, .csv", sweeps=True)
    sizes = [float(D**power) for power in POWERS]
    panels = {
        words: [
            {"opt": opt, "d": D, "std_W": w, "std_V": v, "record_every": common.ENDS}
            for w in sizes
            for v in sizes
        ]
        for opt, words in READINGS.items()
    }
    table = common.sweep(args, panels, REPLICAS, measure=common.outcome, paired=("opt",))
    require_columns(table, "std_W", "std_V", "recovered")
    figure = Figure(figsize=(11, 3), layout="constrained")
    for axes, words in zip(figure.subplots(1, len(panels)), panels, strict=True):
        label = "both modes recovered" if words == list(panels)[-1] else ""
        part = table[table["panel"] == words]
        tm.plotting.phase_diagram(axes, part, "std_W", "std_V", "recovered", label=label)
        axes.set(xlabel="std of $w_i(0)$", ylabel="std of $v_j(0)$")
        axes.set_title(words, fontsize=10)
    figure.suptitle(f"d = {D:,}, {table['replica'].max() + 1} seeds a cell", fontsize=10)
    common.save(figure, args, "readings")


if __name__ == "__main__":
    twomode_program.run(main)
