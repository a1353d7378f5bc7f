"""The talk's two illustrations: SGDA learns the average, normalized SGDA learns both modes.

    python figures/illustrations.py

Writes illustration_sgda (at T_0) and illustration_nsgda (at the end), PNG and PDF.
"""

from __future__ import annotations

import twomode_program

import common
import numpy as np
from matplotlib.figure import Figure

import twomode as tm

D, REPLICAS = 4096, 16


def main() -> None:
    """Simulate with both rules (or load), draw, save."""
    args = common.parse(__doc__, "results to draw instead of fresh runs, .npz")
    for result in common.results(args, [("sgda", D), ("nsgda", D)], REPLICAS):
        name = result.opt.name
        if not args.source:
            result = common.closer(result)
        at = int(np.searchsorted(result.steps, tm.judge(result).judged_at[0]))
        figure = Figure(figsize=(4.6, 4.8), layout="constrained")
        axes = figure.subplots()
        tm.plotting.modes_plane(axes, result, record=at, directions=True)
        common.save(figure, args, f"illustration_{name}")


if __name__ == "__main__":
    twomode_program.run(main)
