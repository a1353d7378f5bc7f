"""The atom that projected Langevin chains put on a face of the box.

    python figures/face_atom.py

With a constant drift towards a face: closed form, stationary laws, and chains.
"""

from __future__ import annotations

import twomode_program

import common
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import twomode as tm
from twomode import adversarial
from twomode.adversarial import Data, Model, Target

H = 1e-3  #: in eps^2; a box is 45 times as wide as the noise
STEPS, BURN, CHAINS = 4000, 1000, 64
BETAS = np.array([0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0, 1.4, 2.0, 2.8])
TICKS = (0.1, 0.2, 0.5, 1, 2)


def main() -> None:
    """Solve and sample (or load), draw, save."""
    args = common.parse(__doc__, "table to draw instead of a fresh one, .csv")
    table = common.table(args, atoms, "of", ("stationary law", "chains"))
    figure = Figure(figsize=(6, 5), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    exact, sampled = (table[table["of"] == name] for name in ("stationary law", "chains"))
    tm.plotting.face_atoms(
        panels,
        adversarial.face_atom,
        (exact["beta"], exact["atom"]),
        (sampled["beta"], sampled["atom"], sampled["error"]),
    )
    panels[1].set_xscale("log")
    panels[1].set_xticks(TICKS, map(str, TICKS))
    panels[1].minorticks_off()
    panels[0].set_title(
        f"projected chains with a constant drift, d = 1, h = {H:g} $\\varepsilon^2$,"
        f" {CHAINS * (STEPS - BURN):,} states",
        fontsize=10,
    )
    common.save(figure, args, "face_atom")


def atoms() -> pd.DataFrame:
    """The upper face's, for each drift, of the stationary law and of chains that start there."""
    sampler, rows = adversarial.sampler("projected", h=H), []
    with tm.ProgressBar("face_atom") as bar:
        for beta in BETAS:
            # Linear loss of slope 1 in a box of eps = 1: drift / noise is lam sqrt(h / 2).
            model = Model(np.array([[-1.0]]), np.zeros(1), loss="linear")
            target = Target.of(
                model, Data(np.zeros((1, 1)), np.ones(1)), 1.0, beta * np.sqrt(2 / H)
            )
            start = np.ones((CHAINS, 1, 1))
            options = {"chains": CHAINS, "burn": BURN, "start": start, "progress": bar}
            x = adversarial.sample(target, sampler, STEPS, **options).x
            there = (x == target.high).all(axis=-1).astype(float)
            error = np.sqrt(there.var() / adversarial.effective_sample_size(there))
            atom = adversarial.stationary(target, sampler).mass[-1]
            rows.append(("stationary law", beta, atom, 0.0))
            rows.append(("chains", beta, there.mean(), error.item()))
    return pd.DataFrame(rows, columns=["of", "beta", "atom", "error"])


if __name__ == "__main__":
    twomode_program.run(main)
