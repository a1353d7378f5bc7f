"""How often normalized SGDA recovers both modes, against the size of the minibatch.

    python figures/recovery_batch.py

With one norm per neuron (nsgda), per layer (l-nsgda) and per player (g-nsgda).
"""

from __future__ import annotations

import twomode_program

import common
from matplotlib.figure import Figure

import twomode as tm

D, REPLICAS = 4096, 64
SIZES = [2**k for k in range(9)]
POPULATION = 4 * SIZES[-1]  #: where the axis has the population gradient


def main() -> None:
    """Sweep (or load), draw, save."""
    args = common.parse(__doc__, "table to draw instead of a fresh sweep, .csv", sweeps=True)
    rules = ["nsgda", "l-nsgda", "g-nsgda"]
    cells = tm.sweeps.cells(opt=rules, d=[D], batch_size=[*SIZES, None], record_every=[common.ENDS])
    table = common.sweep(args, {"batch": cells}, REPLICAS, measure=common.outcome)
    table["batch"] = table["batch_size"].astype(float).fillna(POPULATION)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    tm.plotting.proportions(axes, table, "batch", "recovered", by="opt")
    axes.set_xscale("log", base=2)
    axes.set_xticks([*SIZES, POPULATION], [*map(str, SIZES), "population"])
    axes.minorticks_off()
    axes.set(xlabel="points in a minibatch", ylabel="share that recovers both modes")
    axes.set_title(f"normalized SGDA, d = {D:,}, bars: 95 % Clopper-Pearson", fontsize=10)
    common.save(figure, args, "recovery_batch")


if __name__ == "__main__":
    twomode_program.run(main)
