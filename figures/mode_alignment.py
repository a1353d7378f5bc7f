"""The two figures of the README: mode alignment over time under SGDA and under nSGDA.

    python figures/mode_alignment.py

A collapse is shown closer, too: each iteration about T_0.  Writes mode_alignment_sgda and
mode_alignment_nsgda, PNG and PDF.
"""

from __future__ import annotations

import twomode_program

import common

import twomode as tm

D, REPLICAS = 4096, 16


def main() -> None:
    """Simulate with both rules (or load), draw, save."""
    args = common.parse(__doc__, "results to draw instead of fresh runs, .npz")
    for result in common.results(args, [("sgda", D), ("nsgda", D)], REPLICAS):
        name = result.opt.name
        closer = None
        if tm.judge(result).verdict == "collapsed" and not args.source:
            closer = common.closer(result)
        above, _ = tm.plotting.mode_alignment(result, closer=closer)
        common.save(above.figure, args, f"mode_alignment_{name}")


if __name__ == "__main__":
    twomode_program.run(main)
