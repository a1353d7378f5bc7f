"""The mechanism: how fast each player moves, under SGDA and under nSGDA.

python figures/pace.py
"""

from __future__ import annotations

import twomode_program

import common

import twomode as tm

D, REPLICAS = 4096, 64


def main() -> None:
    """Simulate with both rules (or load), draw, save."""
    args = common.parse(__doc__, "results to draw instead of fresh runs, .npz")
    runs = common.results(args, [("sgda", D), ("nsgda", D)], REPLICAS)
    axes = tm.plotting.pace(runs)
    common.save(axes[0, 0].figure, args, "pace")


if __name__ == "__main__":
    twomode_program.run(main)
