"""The two figures of the README: mode alignment over time under SGDA and under nSGDA.

    python figures/mode_alignment.py

Writes figures/mode_alignment_sgda.png and figures/mode_alignment_nsgda.png.
"""

from __future__ import annotations

from pathlib import Path

import twomode as tm
from twomode import cli
from twomode.io import new_file

D, REPLICAS, SEED = 4096, 16, 0


def main() -> None:
    """Simulate with both rules, draw, save."""
    game = tm.Game.preset(D)
    for name in ("sgda", "nsgda"):
        opt, steps = tm.recipe(game, name)
        with cli.Bar(f"{name} d={D}", steps) as bar:
            result = tm.simulate(game, opt, steps, replicas=REPLICAS, seed=SEED, progress=bar)
        above, _ = tm.plotting.mode_alignment(result)
        path = Path(__file__).parent / f"mode_alignment_{name}.png"
        with new_file(path, overwrite=True) as file:
            above.figure.savefig(file, dpi=150)
        print(path)


if __name__ == "__main__":
    cli.run(main)
