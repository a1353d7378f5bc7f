"""How often per-neuron nSGDA recovers both modes, against the generator's number of neurons.

    python figures/recovery_width.py

If each v_j chose its mode by tossing a fair coin, both would be chosen with probability
1 - 2^(1 - m_G): the line, for comparison.
"""

from __future__ import annotations

import twomode_program

import common
import numpy as np
from matplotlib.figure import Figure

import twomode as tm

D, REPLICAS, WIDTHS = 4096, 256, range(2, 13)


def main() -> None:
    """Sweep (or load), draw, save."""
    args = common.parse(__doc__, "table to draw instead of a fresh sweep, .csv", sweeps=True)
    cells = tm.sweeps.cells(opt=["nsgda"], d=[D], m_G=WIDTHS, record_every=[common.ENDS])
    table = common.sweep(args, {"width": cells}, REPLICAS, measure=common.outcome)
    figure = Figure(figsize=(5.6, 4), layout="constrained")
    axes = figure.subplots()
    m_G = np.unique(table["m_G"])
    coins = "$1 - 2^{1 - m_G}$: fair coins"
    axes.plot(m_G, 1 - 2.0 ** (1 - m_G), color="0.5", linestyle="--", label=coins)
    tm.plotting.proportions(axes, table, "m_G", "recovered", joined=False)
    axes.set(xlabel="generator neurons $m_G$", ylabel="share that recovers both modes")
    axes.set_title(f"nsgda (per neuron), d = {D:,}, bars: 95 % Clopper-Pearson", fontsize=10)
    common.save(figure, args, "recovery_width")


if __name__ == "__main__":
    twomode_program.run(main)
