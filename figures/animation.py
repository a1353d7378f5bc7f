"""The neurons of both players in the plane of the two modes, under SGDA and under nSGDA: a GIF.

python figures/animation.py
"""

from __future__ import annotations

import twomode_program

import tempfile
from pathlib import Path

import common
from matplotlib.animation import PillowWriter

import twomode as tm
from twomode.names import new_file

D, REPLICAS, DPI, FRAMES_A_SECOND = 4096, 16, 80, 12


def main() -> None:
    """Simulate with both rules (or load), draw, save."""
    args = common.parse(__doc__, "results to draw instead of fresh runs, .npz")
    runs = common.results(args, [("sgda", D), ("nsgda", D)], REPLICAS)
    if not args.source:
        runs = [common.closer(run) for run in runs]
    animation = tm.plotting.animate(runs)
    path = args.out / "animation.gif"
    with tempfile.TemporaryDirectory() as folder, tm.ProgressBar("drawing") as bar:
        drawn = Path(folder, path.name)
        animation.save(
            drawn,
            PillowWriter(FRAMES_A_SECOND),
            dpi=DPI,
            progress_callback=lambda n, total: bar(tm.Progress(n, total, "frame")),
        )
        with new_file(path, overwrite=True) as file:
            file.write(drawn.read_bytes())
    print(path)


if __name__ == "__main__":
    twomode_program.run(main)
