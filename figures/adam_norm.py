"""Whether Adam's updates have a constant norm in time, as normalized gradients have.

python figures/adam_norm.py
"""

from __future__ import annotations

import twomode_program

import common

import twomode as tm

D, REPLICAS = 1024, 4


def main() -> None:
    """Simulate (or load), draw, save."""
    args = common.parse(__doc__, "the result to draw instead of a fresh run, .npz")
    (result,) = common.results(args, [("adam", D)], REPLICAS, record_every=10)
    axes = tm.plotting.update_norms(result)
    common.save(axes[0].figure, args, "adam_norm")


if __name__ == "__main__":
    twomode_program.run(main)
