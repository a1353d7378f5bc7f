"""Robust error against gradient evaluations: Algorithm 1 beside natural, FGSM and PGD training.

    python figures/robust_error.py           # ten seeds, half of the steps: a few minutes
    python figures/robust_error.py --full    # all steps

8 x 8 digits and two moons, median and range over seeds.
"""

from __future__ import annotations

import twomode_program

from dataclasses import replace

import common
import pandas as pd
from matplotlib.figure import Figure

import twomode as tm
from twomode.adversarial import PROBLEMS, learning_curves, method

DATA, SEEDS = ("digits", "moons"), 10
METHODS = {name: method(name) for name in ("natural", "fgsm", "pgd-7", "pgd-40", "algorithm-1")}


def main() -> None:
    """Train (or load), draw, save."""
    args = common.parse(
        __doc__, "table to draw instead of fresh runs, .csv", "train for all steps: ten minutes"
    )
    table = common.table(args, lambda: curves(args.full), "data", DATA)
    figure = Figure(figsize=(9, 4.3), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, name in zip(panels, DATA, strict=True):
        tm.plotting.robust_errors(table[table["data"] == name], axes)
        axes.set_title(rf"{name}, $\varepsilon$ = {PROBLEMS[name].eps:g}", fontsize=10)
        axes.get_legend().remove()
    figure.suptitle("median and range over seeds", fontsize=9)
    named = panels[0].get_legend_handles_labels()
    figure.legend(*named, loc="outside lower center", ncols=len(METHODS), fontsize=8, frameon=False)
    common.save(figure, args, "robust_error")


def curves(full: bool) -> pd.DataFrame:
    """A row a data set, method, seed and evaluation."""
    frames = []
    with tm.sweeps.processes() as executor:
        for name in DATA:
            problem = PROBLEMS[name]
            problem = problem if full else replace(problem, steps=problem.steps // 2)
            with tm.ProgressBar(name) as bar:
                frame = learning_curves(problem, METHODS, range(SEEDS), executor, progress=bar)
            frames.append(frame.assign(data=name))
    return pd.concat(frames, ignore_index=True)


if __name__ == "__main__":
    twomode_program.run(main)
