"""How long the digits of a run in floating point are right, against certified enclosures.

    python figures/precision_horizon.py

SGDA and normalized SGDA, each in double and in single precision from one start (that of the single
one rounded): the largest error of a <v_j, u_l>, relative to the largest of them.  Needs
python-flint.
"""

from __future__ import annotations

import twomode_program

import common
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import twomode as tm
from twomode.errors import require_columns
from twomode.progress import of_task
from twomode.runs import draw_start

D, RECORDS = 4096, 300
#: Rule: steps, how many times as long as those of the recipe they are, bits to begin with.
RUNS = {"sgda": (4800, 1.0, 512), "nsgda": (500, 10.0, 2048)}
PRECISIONS = {"float64": "double", "float32": "single"}


def main() -> None:
    """Simulate and enclose (or load), draw, save."""
    args = common.parse(__doc__, "table to draw instead of fresh runs, .csv")
    table = common.table(args, errors, "rule", RUNS)
    require_columns(table, "rule", "dtype", "t", "error", "T0")
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(RUNS), sharey=True)
    for axes, rule in zip(panels, RUNS, strict=True):
        drawn = table[table["rule"] == rule]
        for style, (dtype, word) in zip(("-", "--"), PRECISIONS.items(), strict=True):
            one = drawn[drawn["dtype"] == dtype]
            axes.plot(one["t"], one["error"], style, color="C0", label=f"{word} precision")
        T0 = drawn["T0"].iloc[0]
        if np.isfinite(T0):
            axes.axvline(T0, color="0.4", linestyle=":", label="$T_0$")
        axes.axhline(1, color="0.7", linewidth=0.8)
        axes.set(yscale="log", ylim=(1e-17, 1e3), xlabel="iteration", title=f"{rule}, d = {D:,}")
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    panels[0].set_ylabel(r"relative error of $\langle v_j, u_\ell\rangle$")
    common.save(figure, args, "precision_horizon")


def errors() -> pd.DataFrame:
    """A row a rule, precision and record."""
    game, frames = tm.Game.preset(D), []
    drawn = draw_start(
        game, tm.GaussianStart(), np.random.SeedSequence(0), [0], reduced=True
    ).replica(0)
    with tm.ProgressBar("precision_horizon") as bar:
        for rule, (steps, scale, bits) in RUNS.items():
            opt = tm.recipe(game, rule, step_scale=scale).opt
            for dtype in PRECISIONS:
                start = tm.State(**{n: x.astype(dtype) for n, x in drawn.arrays().items()})
                every = max(1, steps // RECORDS)
                result = tm.simulate(
                    game, opt, steps, start=start, engine="array", record_every=every
                )
                progress = of_task(f"{rule} {dtype}", bar)
                horizon = tm.precision_horizon(result, bits=bits, progress=progress)
                frame = {"t": horizon.steps, "error": horizon.errors["projections_V"]}
                T0 = tm.judge(result).T0[0]
                frames.append(pd.DataFrame(frame | {"rule": rule, "dtype": dtype, "T0": T0}))
    return pd.concat(frames, ignore_index=True)


if __name__ == "__main__":
    twomode_program.run(main)
