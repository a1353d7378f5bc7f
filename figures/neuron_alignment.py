"""What a discriminator neuron and a generator neuron turn to, under SGDA and under nSGDA.

python figures/neuron_alignment.py
"""

from __future__ import annotations

import twomode_program

import common

import twomode as tm

D, REPLICAS = 4096, 16


def main() -> None:
    """Simulate with both rules (or load), draw, save."""
    args = common.parse(__doc__, "results to draw instead of fresh runs, .npz")
    runs = common.results(args, [("sgda", D), ("nsgda", D)], REPLICAS)
    if not args.source:
        runs = [common.closer(run, until=1.3) for run in runs]  # as far as it is shown
    axes = tm.plotting.neuron_alignment(runs)
    common.save(axes[0, 0].figure, args, "neuron_alignment")


if __name__ == "__main__":
    twomode_program.run(main)
