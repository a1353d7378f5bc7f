"""Cells of a sweep, each at the best point of a grid of step sizes."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from twomode._typing import Count, Positive, SeedNumber
from twomode.checks import checked
from twomode.errors import require, shown
from twomode.game import Dimension
from twomode.progress import Report
from twomode.rules import RULES, Optimizer
from twomode.runs import Result
from twomode.studies.cell import Cell, plan
from twomode.studies.store import Store
from twomode.studies.sweeps import sweep
from twomode.theory import covers_both

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STEP_SCALES", "ratios_of", "tune"]

#: Multiples of the length of the recipe's steps.
STEP_SCALES = (0.25, 1.0, 4.0)
#: As ``record_every``: the first and the last iteration only.
_ENDS = 10**9
#: What a cell must leave open.
_TUNED = {"step_scale", "ratio", "eta_D", "eta_G"}


@checked
def ratios_of(d: Dimension) -> tuple[float, ...]:
    """Values of eta_G/eta_D: the recipes' own, 0.2 and ln d, one between, one beyond.

    Examples
    --------
    >>> import twomode as tm
    >>> [round(ratio, 2) for ratio in tm.tuning.ratios_of(256)]
    [0.2, 1.0, 5.55, 16.0]
    """
    return (0.2, 1.0, math.log(d), math.sqrt(d))


@checked
def tune(
    cells: Sequence[Cell],
    replicas: Count,
    *,
    step_scales: Sequence[Positive] = STEP_SCALES,
    ratios: Sequence[Positive] | None = None,
    executor: Executor | None = None,
    seed: SeedNumber = 0,
    paired: Collection[str] = (),
    store: Store | str | Path | None = None,
    progress: Report | bool | None = None,
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """The cells with the step sizes that recover both modes most often.

    Parameters
    ----------
    cells : sequence of mappings
        As `twomode.sweeps.plan` takes them, without step sizes.
    replicas : int
        Starts on which the choice is made.  No sweep has them: whoever runs the best cells next
        starts afresh.
    step_scales : sequence of float
        Multiples of the length of the recipe's steps, or of an `Optimizer`'s own.
    ratios : sequence of float, optional
        Values of eta_G/eta_D; `ratios_of` by default.  A rule about this ratio (ttur) skips those
        of 1 and more.
    executor, seed, paired, store, progress
        As for `twomode.sweep`; step sizes never enter a cell's stream.

    Returns
    -------
    best : list of dict
        Each cell with ``step_scale`` and ``ratio`` of the point with most recoveries; among
        equals, of the one nearest to the recipe.
    tried : DataFrame
        A row for each cell and point: ``cell`` (its number), ``step_scale``, ``ratio`` and the
        share ``recovered``.

    Raises
    ------
    InputError
        Before anything runs, if a cell or the grid is unusable.

    Examples
    --------
    nSGDA recovers both modes with the ratio of its recipe, and not with equal step sizes:

    >>> import twomode as tm
    >>> cell = {"opt": "nsgda", "d": 16, "steps": 2000}
    >>> best, tried = tm.tuning.tune([cell], 4, step_scales=[4], ratios=[0.2, 1])
    >>> best
    [{'opt': 'nsgda', 'd': 16, 'steps': 2000, 'step_scale': 4.0, 'ratio': 0.2}]
    >>> (tried["recovered"] > 0).tolist()
    [True, False]
    """
    import pandas as pd

    for name, values in (("cells", cells), ("step_scales", step_scales), ("ratios", ratios)):
        require(values is None or len(values) > 0, f"{name}=[] must hold at least one")
    points = []
    for number, cell in enumerate(cells):
        taken = sorted(_TUNED & cell.keys())
        require(not taken, f"{', '.join(taken)} cannot be fixed: step sizes are what is tuned")
        plan(cell)
        about_ratio = cell["opt"] in RULES and RULES[cell["opt"]].ratio is not None
        own = [x for x in ratios or ratios_of(cell["d"]) if x < 1 or not about_ratio]
        require(bool(own), f"{cell['opt']} needs a ratio below 1 in ratios={shown(ratios)}")
        points += [(number, scale, ratio) for scale in step_scales for ratio in own]
    table = sweep(
        [
            {**cells[number], "step_scale": scale, "ratio": ratio, "record_every": _ENDS}
            for number, scale, ratio in points
        ],
        replicas,
        executor,
        seed=_apart(seed),
        measure=_recovered,
        paired={*paired, "step_scale", "ratio"},
        store=store,
        progress=progress,
    )
    tried = pd.DataFrame(points, columns=["cell", "step_scale", "ratio"])
    tried["recovered"] = table["recovered"].to_numpy().reshape(-1, replicas).mean(axis=1)
    best = [
        {**cell, **_best(tried[tried["cell"] == number], plan(cell).opt)}
        for number, cell in enumerate(cells)
    ]
    return best, tried


def _apart(seed: int) -> int:
    """A root of its own for the tuning: 64 bits that follow from the seed."""
    word = int.from_bytes(b"tune", "big")
    return int(np.random.SeedSequence([seed, word]).generate_state(1, np.uint64)[0])


def _recovered(result: Result) -> dict[str, npt.ArrayLike]:
    return {"recovered": covers_both(result)[:, -1]}


def _best(tried: pd.DataFrame, recipe: Optimizer) -> dict[str, float]:
    top = tried[tried["recovered"] == tried["recovered"].max()]
    ratio = math.log(recipe.eta_G / recipe.eta_D)
    distance = np.hypot(np.log(top["step_scale"]), np.log(top["ratio"]) - ratio)
    row = top.loc[distance.idxmin()]
    return {"step_scale": float(row["step_scale"]), "ratio": float(row["ratio"])}
