"""What normalizing a whole matrix does: the second singular value of nabla_W over the first.

    python figures/singular_values.py

SGDA's gradient comes to have rank one before any mode is told from the other, and so does that of
a norm for the layer; a norm for each neuron, or the polar factor of the matrix, keeps both values
alike.  Medians over independent seeds, and their quartiles.
"""

from __future__ import annotations

import twomode_program

import common
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import twomode as tm
from twomode.errors import require_columns
from twomode.theory import covers_both

D, REPLICAS, TIMES = 4096, 64, 40
RULES = {
    "sgda": "SGDA",
    "l-nsgda": "a norm per layer",
    "nsgda": "a norm per neuron",
    "spectral-nsgda": "polar factor",
    "muon": "polar factor, momentum (muon)",
}


def main() -> None:
    """Simulate (or load), draw, save."""
    args = common.parse(__doc__, "table to draw instead of fresh runs, .csv")
    table = common.table(args, ratios, "rule", RULES)
    require_columns(table, "rule", "t", "replica", "ratio", "recovered")
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for rule, words in RULES.items():
        one = table[table["rule"] == rule]
        low, median, high = (one.groupby("t")["ratio"].quantile(q) for q in (0.25, 0.5, 0.75))
        share = 100 * one.groupby("replica")["recovered"].first().mean()
        (line,) = axes.plot(median, label=f"{words}: {share:.0f} % recover both")
        axes.fill_between(low.index, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xscale="log", yscale="log", xlabel="iteration", ylim=(None, 1))
    axes.set_ylabel(r"$\sigma_2 / \sigma_1$ of $\nabla_W L$")
    axes.set_title(f"d = {D:,}, {REPLICAS} seeds each, by recipe", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    common.save(figure, args, "singular_values")


def ratios() -> pd.DataFrame:
    """A row a rule, iteration and replica; up to the median T_0, where each replica has one."""
    game, frames = tm.Game.preset(D), []
    for rule in RULES:
        opt, steps = tm.recipe(game, rule)
        run = tm.simulate(game, opt, steps, replicas=REPLICAS, progress=True)
        recovered, T0 = covers_both(run)[:, -1], tm.judge(run).T0
        last = steps if np.isnan(T0).any() else int(np.median(T0))
        for t in np.unique(np.geomspace(1, last, TIMES).astype(int)):
            short = run.again(steps=int(t))
            going = short.diverged_at < 0  # SGDA may diverge after T_0
            values = np.linalg.svd(game.evaluate(short.state).W[going], compute_uv=False)
            ratio = np.full(REPLICAS, np.nan)
            ratio[going] = values[:, 1] / values[:, 0]
            frames.append(
                {"rule": rule, "t": t, "replica": range(REPLICAS), "ratio": ratio}
                | {"recovered": recovered}
            )
    return pd.concat(map(pd.DataFrame, frames), ignore_index=True)


if __name__ == "__main__":
    twomode_program.run(main)
