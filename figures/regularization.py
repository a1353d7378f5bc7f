"""p_adv* between the uniform law and the worst case, as lambda grows.

    python figures/regularization.py

E[l] under p_adv*, and the largest E[l] - KL / lambda of any plan, which p_adv* attains.
"""

from __future__ import annotations

import twomode_program

from dataclasses import replace

import common
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import twomode as tm
from twomode import adversarial
from twomode.adversarial import Target, largest_loss

N, EPS = 16, 0.3
LAMS = np.geomspace(0.01, 200, 33)


def main() -> None:
    """Integrate (or load), draw, save."""
    args = common.parse(__doc__, "table to draw instead of a fresh one, .csv")
    table = common.table(args, path, "of", ("uniform", "p_adv*", "dual", "largest"))
    found = {name: rows.sort_values("lam") for name, rows in table.groupby("of")}
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes = figure.subplots()
    tm.plotting.regularization_path(
        axes,
        *(found["p_adv*"][column] for column in ("lam", "loss")),
        found["dual"]["loss"],
        uniform=found["uniform"]["loss"].item(),
        largest=found["largest"]["loss"].item(),
    )
    axes.set_title(
        rf"{N} points of two moons, d = 2, $\varepsilon$ = {EPS:g}, by quadrature", fontsize=10
    )
    common.save(figure, args, "regularization")


def path() -> pd.DataFrame:
    """For each lambda E[l] and the dual value, averages over the points, and their two ends."""
    target = Target.of(*common.classifier("moons", N), EPS, 0.0)
    rows = [
        ("uniform", 0.0, adversarial.Quadrature(target).mean_loss.mean()),
        ("largest", np.inf, largest_loss(target).mean()),
    ]
    with tm.ProgressBar("regularization") as bar:
        for k, lam in enumerate(LAMS):
            bar(tm.Progress(k, len(LAMS), "law"))
            law = adversarial.Quadrature(replace(target, lam=lam))
            rows += [("p_adv*", lam, law.mean_loss.mean()), ("dual", lam, law.dual)]
    return pd.DataFrame(rows, columns=["of", "lam", "loss"])


if __name__ == "__main__":
    twomode_program.run(main)
