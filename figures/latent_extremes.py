"""The nearest to each mode that any output comes, and the farthest, under SGDA and under nSGDA.

    python figures/latent_extremes.py

Over every z in {0,1}^m_G.  A fresh run that collapses is shown close to T_0, each iteration of it.
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
        runs = [common.closer(run) for run in runs]
    axes = tm.plotting.latent_extremes(runs)
    for ax, run in zip(axes, runs, strict=True):
        if (judgement := tm.judge(run)).verdict == "collapsed" and not args.source:
            ax.set_xlim(0.95 * judgement.T0[0], 1.01 * judgement.T0[0])
    common.save(axes[0].figure, args, "latent_extremes")


if __name__ == "__main__":
    twomode_program.run(main)
