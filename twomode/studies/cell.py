"""A cell of a sweep: what it may name, the run that it is, and the rows of its replicas.

What its numbers follow from stands here and in the rooms above, and nowhere else in `studies`:
a store notes these sources.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from twomode._typing import Positive, SeedNumber, Whole
from twomode.checks import checked, take
from twomode.errors import InputError, plain, require, require_memory, shown
from twomode.game import Game, GaussianStart, Law, SparsePairs, law_from_dict
from twomode.rules import UNTIL_T0, Optimizer, OwnRule, Rule, label, recipe, rule_from_dict
from twomode.runs import Result, Run
from twomode.theory import judge

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    *("NAMES", "PLANNED", "Cell", "Measure", "cell_from", "cell_key", "cells", "content", "named"),
    *("observe", "plan", "run_cell", "show"),
]

Cell: TypeAlias = Mapping[str, Any]
Measure: TypeAlias = Callable[[Result], Mapping[str, npt.ArrayLike]]

_GAME = {f.name for f in fields(Game)}
_RULE = {f.name for f in fields(Rule)} - {"name"}
_START = {f.name for f in fields(GaussianStart)}
_RUN = {"batch_size", "engine", "dtype", "record_every", "resolve", "rtol"}
_OWN = {"opt", "eta_D", "eta_G", "ratio", "steps", "step_scale", "q", "horizon", "label"}
#: Columns that are of the run and not as the cell spelled them, if it did.
PLANNED = ("eta_D", "eta_G", "steps")
NAMES = _GAME | _RULE | _START | _RUN | _OWN


def cells(**axes: Iterable[Any] | Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:
    """Every combination of the values of each axis, the last axis fastest.

    Parameters
    ----------
    **axes : list, or callable
        A function makes its value of a cell's others, and of those derived before it.

    Raises
    ------
    InputError
        If an axis is not a list of values, nor a function.

    Examples
    --------
    A list of cells, to drop some or to add others before it is swept:

    >>> import twomode as tm
    >>> grid = tm.sweeps.cells(d=[256, 4096], opt=["sgda", "adam"])
    >>> [cell for cell in grid if cell != {"d": 4096, "opt": "adam"}]
    [{'d': 256, 'opt': 'sgda'}, {'d': 256, 'opt': 'adam'}, {'d': 4096, 'opt': 'sgda'}]

    A width that follows another one:

    >>> tm.sweeps.cells(m_D=[9, 16], m_G=lambda cell: 2 * cell["m_D"])
    [{'m_D': 9, 'm_G': 18}, {'m_D': 16, 'm_G': 32}]
    """
    derived = {name: axis for name, axis in axes.items() if callable(axis)}
    given = {name: axis for name, axis in axes.items() if not callable(axis)}
    for name, axis in given.items():
        fine = isinstance(plain(axis), Iterable) and not isinstance(plain(axis), str)
        fine &= axis is not np.ma.masked
        require(fine, f"{name}={shown(axis)} must be a list of values: [{shown(axis)}]")
    values = [list(axis) for axis in given.values()]
    number = math.prod(map(len, values))
    require_memory(1024.0 * number, f"a grid of {number} cells", "use shorter axes")
    listed = [dict(zip(given, point, strict=True)) for point in itertools.product(*values)]
    for cell in listed:
        for name, function in derived.items():
            cell[name] = function(cell)
    return listed


@checked
def plan(cell: Cell) -> Run:
    """Turn a cell into a run, of replica 0 of seed 0; whatever it does not name is canonical.

    Parameters
    ----------
    cell : mapping
        ``opt`` (a named rule, a `Rule`, or an `Optimizer`, which has step sizes) and ``d`` are
        required.  Others: any field of `Game`, `Rule` and
        `GaussianStart`; ``eta_D``, ``eta_G``, or ``ratio`` for eta_G/eta_D; ``q`` for
        ``latents=SparsePairs(q)``; ``steps``, or ``horizon``, a multiple of the recipe's;
        ``step_scale``, how many times as long the recipe's steps are; ``batch_size``, ``engine``,
        ``dtype``, ``record_every``, ``resolve``, ``rtol``.  A ``label`` is a column of the
        table and nothing else: rows do not depend on it.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        For an unknown name or an unusable value; the message names the cell.

    Examples
    --------
    >>> import twomode as tm
    >>> run = tm.sweeps.plan({"opt": "sgda", "d": 16, "lam": 0, "ratio": 0.5, "steps": 40})
    >>> run.game.lam, run.opt.eta_G / run.opt.eta_D, run.steps
    (0.0, 0.5, 40)
    >>> tm.sweeps.plan({"opt": "sgda", "d": 16, "q": 2})
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: cell opt='sgda', d=16, q=2: q=2 must lie in [0, 1]
    """
    given = {name: _plain(value) for name, value in cell.items()}
    try:
        unknown = sorted(given.keys() - NAMES)
        require(
            not unknown, f"unknown {', '.join(unknown)}: choose from {', '.join(sorted(NAMES))}"
        )
        for name in ("opt", "d"):
            require(name in given, f"{name} is missing")
        for one, other in (("horizon", "steps"), ("q", "latents")):
            require(not {one, other} <= given.keys(), f"{one} and {other} exclude each other")
        game_fields = _pick(given, _GAME - {"d"})
        if "q" in given:
            game_fields["latents"] = SparsePairs(given["q"])
        game = Game.preset(given["d"], **game_fields)
        rule = _pick(given, _RULE)
        chosen = _pick(given, {"eta_D", "eta_G", "ratio", "steps", "step_scale"})
        if given.get("engine") == "flow" and not {"steps", "horizon"} & given.keys():
            chosen["steps"] = UNTIL_T0
        opt, steps = recipe(game, given["opt"], **chosen, **rule)
        if "horizon" in given:
            steps = math.ceil(take("horizon", given["horizon"], Positive) * steps)
        steps = take("steps", steps, Annotated[int, "[1, 1e300]"])
        start = GaussianStart(**_pick(given, _START))
        return Run.of(game, opt, steps, start=start, **_pick(given, _RUN))
    except (InputError, TypeError) as error:
        raise InputError(f"cell {show(given)}: {error}") from error


@checked
def observe(result: Result) -> dict[str, npt.ArrayLike]:
    """The default measure: what `judge` says of each replica.

    ``verdict``, ``T0``, ``collapse_cosine``, ``asymmetry``, ``residual``, ``coverage_1``,
    ``coverage_2`` and ``diverged``.

    Examples
    --------
    A measure of one's own adds to it:

    >>> import twomode as tm
    >>> def measure(result):
    ...     return tm.sweeps.observe(result) | {"last_pace": result.pace()[:, -1]}
    >>> table = tm.sweep([{"opt": "sgda", "d": 16, "steps": 40}], replicas=2, measure=measure)
    >>> list(table.columns[-2:])
    ['diverged', 'last_pace']
    """
    judgement = judge(result)
    return {
        "verdict": judgement.verdicts,
        "T0": judgement.T0,
        "collapse_cosine": judgement.collapse_cosine,
        "asymmetry": judgement.asymmetry,
        "residual": judgement.residual,
        "coverage_1": judgement.coverage[:, 0],
        "coverage_2": judgement.coverage[:, 1],
        "diverged": result.diverged,
    }


@checked
def run_cell(
    cell: Cell,
    replicas: Sequence[Whole],
    seed: SeedNumber,
    measure: Measure = observe,
    paired: Collection[str] = (),
) -> pd.DataFrame:
    """The rows of some replicas of a cell: a function of its arguments alone.

    Parameters
    ----------
    cell : mapping
        As for `plan`.
    replicas : sequence of int
        Their numbers, each with a stream of its own.
    seed, measure, paired
        As for `sweep`.

    Returns
    -------
    pandas.DataFrame
        A row a replica.

    Raises
    ------
    InputError
        If the cell is unusable, or what was measured has a name of the cell or a wrong shape.

    Examples
    --------
    Replica 1 of a sweep, without the others:

    >>> import twomode as tm
    >>> cell = {"opt": "sgda", "d": 16, "steps": 40}
    >>> row = tm.sweeps.run_cell(cell, [1], seed=0)
    >>> row.equals(tm.sweep([cell], replicas=2)[1:].reset_index(drop=True))
    True
    """
    import pandas as pd

    root = np.random.SeedSequence(seed, spawn_key=cell_key(cell, paired))
    run = plan(cell).changed(replicas=replicas, seed=root)
    result = Result.of(run)
    columns = named(cell) | {"replica": np.array(replicas)}
    columns |= dict(zip(PLANNED, (run.opt.eta_D, run.opt.eta_G, run.steps), strict=True))
    measured = dict(measure(result))
    taken = sorted(measured.keys() & columns.keys())
    require(not taken, f"measure returns {', '.join(taken)}, which the cell has already")
    for name, values in measured.items():
        require(
            np.ndim(values) == 0 or np.shape(values) == (len(replicas),),
            f"measure returns {name} of shape {np.shape(values)}: one value a replica is needed",
        )
    return pd.DataFrame(columns | measured)


@checked
def cell_key(cell: Cell, paired: Collection[str] = ()) -> tuple[int, ...]:
    """Eight 32-bit words that stand for a cell's content, whatever the order of its names.

    Of its SHA-256: the ``spawn_key`` of the cell's random stream.

    Parameters
    ----------
    cell : mapping
    paired : collection of str
        Names that do not count.

    Examples
    --------
    >>> import twomode as tm
    >>> one, other = {"opt": "sgda", "d": 16}, {"d": 16.0, "opt": "adam"}
    >>> [tm.sweeps.cell_key(one, p) == tm.sweeps.cell_key(other, p) for p in ((), ("opt",))]
    [False, True]
    """
    counted = {name: x for name, x in content(cell).items() if name not in paired}
    digest = hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).digest()
    return tuple(int.from_bytes(digest[n : n + 4], "big") for n in range(0, 32, 4))


def content(cell: Cell) -> dict[str, Any]:
    """What a cell's rows follow from, in plain JSON, in which what is equal is spelled alike."""
    return {name: _json(value) for name, value in cell.items() if name != "label"}


def cell_from(content: Mapping[str, Any]) -> dict[str, Any]:
    """The cell of a `content`."""

    def value(name: str, x: Any) -> Any:
        if not isinstance(x, dict):
            return x
        if name != "opt":
            return law_from_dict(x)
        return rule_from_dict(x) if "eta_D" in x else Rule(**x)

    return {name: value(name, x) for name, x in content.items()}


def named(cell: Cell) -> dict[str, Any]:
    """The columns in which a table shows a cell: laws and rules as text, the rest as given."""

    def text(x: Any) -> Any:
        if isinstance(x, Law):
            return repr(x)
        return label(x) if isinstance(x, Rule) else x

    return {name: text(x) for name, x in cell.items()}


def _pick(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}


def _plain(value: Any) -> Any:
    """Python's own numbers, whole ones as int: 1, 1.0 and np.float64(1) are one cell."""
    value = plain(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _json(value: Any) -> Any:
    """Plain JSON, in which what is equal is spelled alike."""
    if isinstance(value, Law):
        value = value.to_dict()
    if isinstance(value, OwnRule):
        value = value.to_dict() | {"name": ""}
    if isinstance(value, Rule):  # rows do not depend on what it is called
        steps = {"eta_D", "eta_G"} if isinstance(value, Optimizer) else ()
        value = value.differences(Rule()) | {name: getattr(value, name) for name in steps}
    if isinstance(value, Mapping):
        return {name: _json(x) for name, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(x) for x in value]
    return _plain(value)


def show(cell: Cell) -> str:
    """A cell in a message."""
    return ", ".join(f"{name}={shown(value)}" for name, value in cell.items())
