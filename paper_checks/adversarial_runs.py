"""What the checks of Algorithm 1 share: training runs of several methods on the same seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
from claims import Settings

from twomode.adversarial import PROBLEMS, Method, Problem, learning_curves
from twomode.progress import of_task

__all__ = ["DATA", "budget", "curves", "ends", "median_range"]

DATA = ("digits", "moons")
#: The quick form trains for so many times fewer steps.
SHORTER = {"digits": 6, "moons": 2}


def budget(settings: Settings, name: str) -> tuple[Problem, int]:
    """A data set's problem, and the number of seeds."""
    problem = PROBLEMS[name]
    if settings.full:
        return problem, 20
    return replace(problem, steps=problem.steps // SHORTER[name]), 16


def curves(
    settings: Settings,
    problem: Problem,
    methods: Mapping[str, Method],
    seeds: int,
    **options: Mapping[str, int],
) -> pd.DataFrame:
    """`learning_curves` with this check's seeds, executor and progress."""
    label = f"{problem.data}, {len(methods)} methods"
    return learning_curves(
        problem,
        methods,
        range(settings.seed, settings.seed + seeds),
        settings.executor,
        evaluations=settings.pick(16, 32),
        progress=of_task(label, settings.progress),
        **options,
    )


def ends(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column at the end of training: a row a seed, a column a method."""
    return table.groupby(["seed", "method"])[column].last().unstack()


def median_range(values: pd.Series, digits: str = ".3f") -> str:
    """Median and range over seeds, in words."""
    return f"{values.median():{digits}} ({values.min():{digits}} to {values.max():{digits}})"
