"""How far the adversarial data set lags behind p_adv*, against the learning rate.

    python figures/tracking_lag.py

One and ten steps of folded MALA, which has p_adv* as its law, for each step of SGD on two moons.
"""

from __future__ import annotations

import twomode_program

import itertools

import common
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import twomode as tm
from twomode import adversarial
from twomode.adversarial import Data, Method, Model, robustness

EPS, LAM, H, N, COPIES, SEEDS = 0.3, 10.0, 0.5, 32, 16, 4
RATES = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
INNER = {"one step": 1, "ten steps": 10}


def main() -> None:
    """Train (or load), draw, save."""
    args = common.parse(__doc__, "table to draw instead of fresh runs, .csv")
    table = common.table(args, lags, "sampler", INNER)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    tm.plotting.seed_bands(axes, table, "learning_rate", "lag", by="sampler")
    at = np.geomspace(RATES[0], RATES[3])
    one = table[table["sampler"] == "one step"].groupby("learning_rate")["lag"].median()
    axes.plot(at, one[RATES[1]] * at / RATES[1], ":", color="black", label="proportional")
    axes.set(xscale="log", xlabel="learning rate", ylabel="lag / gain over the uniform law")
    axes.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
    axes.minorticks_off()
    axes.set_title(
        rf"two moons, {N} points, {COPIES} copies of each, $\lambda$ = {LAM:g},"
        rf" $\varepsilon$ = {EPS:g}; median and range"
        "\n"
        rf"folded MALA, h = {H:g} $\varepsilon^2$, for each step of SGD",
        fontsize=9,
    )
    axes.legend(frameon=False, fontsize=8)
    common.save(figure, args, "tracking_lag")


def lags() -> pd.DataFrame:
    """A row a learning rate, number of steps and seed."""
    model, data = common.classifier("moons", N)
    cells = list(itertools.product(INNER, RATES, range(SEEDS)))
    rows = []
    with tm.sweeps.processes() as executor, tm.ProgressBar("tracking_lag") as bar:
        found = executor.map(lag, *zip(*((model, data, *cell) for cell in cells), strict=True))
        for cell, value in zip(cells, found, strict=True):
            rows.append((*cell, value))
            bar(tm.Progress(len(rows), len(cells), "run"))
    return pd.DataFrame(rows, columns=["sampler", "learning_rate", "seed", "lag"])


def lag(model: Model, data: Data, inner: str, learning_rate: float, seed: int) -> float:
    """That of one run."""
    method = Method(adversarial.sampler("mala-folded", h=H), INNER[inner], COPIES)
    law = {"eps": EPS, "lam": LAM}
    return robustness.tracking_lag(
        model, data, method, learning_rate=learning_rate, seed=seed, **law
    )


if __name__ == "__main__":
    twomode_program.run(main)
