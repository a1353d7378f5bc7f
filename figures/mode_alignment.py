"""The two figures of the README: mode alignment over time under SGDA and under nSGDA.

    python figures/mode_alignment.py

Writes mode_alignment_sgda and mode_alignment_nsgda, PNG and PDF.
"""

from __future__ import annotations

import common

import twomode as tm
from twomode import cli

D, REPLICAS = 4096, 16


def main() -> None:
    """Simulate with both rules (or load), draw, save."""
    args = common.parse(__doc__, "results to draw instead of fresh runs, .npz")
    for result in common.results(args, [("sgda", D), ("nsgda", D)], REPLICAS):
        above, _ = tm.plotting.mode_alignment(result)
        common.save(above.figure, args, f"mode_alignment_{result.opt.name}")


if __name__ == "__main__":
    cli.run(main)
