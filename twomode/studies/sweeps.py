"""Many runs as one table: a grid of cells, replicas in the vector lanes, cells over processes.

    with tm.sweeps.processes() as executor:
        table = tm.sweep({"d": [256, 4096], "opt": ["sgda", "nsgda"]}, 64, executor)

A cell is a mapping of names to values: a rule (``opt``), a game (``d`` and any field of `Game`),
step sizes, a start, a batch size.  Its random streams come from one root and the cell's content,
so a row of the table does not depend on the other cells, on their order, or on the executor.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import fields
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from twomode._typing import Count, Positive, SeedNumber, Whole
from twomode.checks import checked, take
from twomode.errors import InputError, plain, require, require_memory, shown
from twomode.game import Game, GaussianStart, Law, SparsePairs
from twomode.progress import Progress, Report, watched
from twomode.rules import UNTIL_T0, Rule, recipe
from twomode.runs import Result, Run
from twomode.theory import judge

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cell_key", "cells", "observe", "plan", "processes", "run_cell", "sweep"]

Cell: TypeAlias = Mapping[str, Any]
Measure: TypeAlias = Callable[[Result], Mapping[str, npt.ArrayLike]]

_GAME = {f.name for f in fields(Game)}
_RULE = {f.name for f in fields(Rule)} - {"name"}
_START = {f.name for f in fields(GaussianStart)}
_RUN = {"batch_size", "engine", "dtype", "record_every", "resolve", "rtol"}
_OWN = {"opt", "eta_D", "eta_G", "ratio", "steps", "step_scale", "q", "horizon"}
#: Replicas of a cell that run together: two blocks of vector lanes.  Few, so that processes share
#: the work of a large cell, and so that with `resolve` the records that one replica needs are not
#: made of too many others.
TOGETHER = 16
_NAMES = _GAME | _RULE | _START | _RUN | _OWN


def cells(**axes: Iterable[Any]) -> list[dict[str, Any]]:
    """Every combination of the values of each axis, the last axis fastest.

    Raises
    ------
    InputError
        If an axis is not a list of values.

    Examples
    --------
    A list of cells, to drop some or to add others before it is swept:

    >>> import twomode as tm
    >>> grid = tm.sweeps.cells(d=[256, 4096], opt=["sgda", "adam"])
    >>> [cell for cell in grid if cell != {"d": 4096, "opt": "adam"}]
    [{'d': 256, 'opt': 'sgda'}, {'d': 256, 'opt': 'adam'}, {'d': 4096, 'opt': 'sgda'}]
    """
    for name, axis in axes.items():
        listed = isinstance(plain(axis), Iterable) and not isinstance(plain(axis), str)
        listed &= axis is not np.ma.masked
        require(listed, f"{name}={shown(axis)} must be a list of values: [{shown(axis)}]")
    values = [list(axis) for axis in axes.values()]
    number = math.prod(map(len, values))
    require_memory(1024.0 * number, f"a grid of {number} cells", "use shorter axes")
    return [dict(zip(axes, point, strict=True)) for point in itertools.product(*values)]


@checked
def plan(cell: Cell) -> Run:
    """Turn a cell into a run, of replica 0 of seed 0; whatever it does not name is canonical.

    Parameters
    ----------
    cell : mapping
        ``opt`` (a named rule) and ``d`` are required.  Others: any field of `Game`, `Rule` and
        `GaussianStart`; ``eta_D``, ``eta_G``, or ``ratio`` for eta_G/eta_D; ``q`` for
        ``latents=SparsePairs(q)``; ``steps``, or ``horizon``, a multiple of the recipe's;
        ``step_scale``, how many times as long the recipe's steps are; ``batch_size``, ``engine``,
        ``dtype``, ``record_every``, ``resolve``, ``rtol``.

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
        unknown = sorted(given.keys() - _NAMES)
        require(
            not unknown, f"unknown {', '.join(unknown)}: choose from {', '.join(sorted(_NAMES))}"
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
        raise InputError(f"cell {_show(given)}: {error}") from error


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
def sweep(
    grid: Mapping[str, Any] | Iterable[Cell],
    replicas: Count = 16,
    executor: Executor | None = None,
    *,
    seed: SeedNumber = 0,
    measure: Measure = observe,
    paired: Collection[str] = (),
    progress: Report | bool | None = None,
) -> pd.DataFrame:
    """Run every cell of a grid and collect a tidy table.

    Parameters
    ----------
    grid : mapping or iterable of mappings
        Axes whose combinations are the cells, or the cells themselves; see `plan` for the names.
    replicas : int
        Independent seeds in each cell.
    executor : concurrent.futures.Executor, optional
        Where the cells run: `processes` makes one, and so do Dask and MPI.  In this process, one
        after the other, by default.
    seed : int
        Root of all randomness.
    measure : callable
        Takes a `Result`, returns a mapping of column names to R values (or one value for all).
        It must be picklable for an executor of processes.
    paired : collection of str
        Names that do not enter a cell's random stream: cells that differ only in these start
        alike (and draw the same minibatches).
    progress : callable, optional
        True for a bar, or called with a `Progress` in jobs; a job is up to 16 replicas of a cell.

    Returns
    -------
    pandas.DataFrame
        A row for each cell and replica, in the order of the grid: the cell's names, ``replica``,
        ``eta_D``, ``eta_G``, ``steps``, and what was measured.

    Raises
    ------
    InputError
        Before anything runs, if any cell is unusable.

    Examples
    --------
    A cell's rows do not depend on what else is in the grid:

    >>> import twomode as tm
    >>> table = tm.sweep({"opt": ["sgda", "nsgda"], "d": [16], "steps": [40]}, replicas=2)
    >>> table[["opt", "replica"]].values.tolist()
    [['sgda', 0], ['sgda', 1], ['nsgda', 0], ['nsgda', 1]]
    >>> alone = tm.sweep([{"opt": "nsgda", "d": 16, "steps": 40}], replicas=2)
    >>> alone.equals(table[2:].reset_index(drop=True))
    True
    """
    import pandas as pd

    listed = cells(**grid) if isinstance(grid, Mapping) else [dict(cell) for cell in grid]
    require(bool(listed), "the grid has no cell")
    unknown = sorted(set(paired) - _NAMES)
    require(not unknown, f"paired={shown(paired)} must be names that cells may have")
    need = 1024.0 * replicas * len(listed)
    require_memory(need, f"replicas={replicas} of {len(listed)} cells", "use fewer")
    for cell in listed:
        plan(cell)
    blocks = [range(k, min(k + TOGETHER, replicas)) for k in range(0, replicas, TOGETHER)]
    jobs = [(cell, block, seed, measure, tuple(paired)) for cell in listed for block in blocks]
    frames: list[pd.DataFrame | None] = [None] * len(jobs)
    with watched(progress, "sweep") as report:
        report(Progress(0, len(jobs), "job"))
        for done, (n, frame) in enumerate(_run_all(jobs, executor), start=1):
            frames[n] = frame
            report(Progress(done, len(jobs), "job"))
    return pd.concat(frames, ignore_index=True)


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
    columns = {name: _cell_text(value) for name, value in cell.items()}
    columns |= {"replica": np.array(replicas)}
    columns |= {"eta_D": run.opt.eta_D, "eta_G": run.opt.eta_G, "steps": run.steps}
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
    content = {name: _json(x) for name, x in cell.items() if name not in paired}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
    return tuple(int.from_bytes(digest[n : n + 4], "big") for n in range(0, 32, 4))


_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
@checked
def processes(workers: Annotated[int, "[1, 1024]"] | None = None) -> Iterator[ProcessPoolExecutor]:
    """An executor of processes for `sweep`, each with one thread; one a core by default.

    Parameters
    ----------
    workers : int, optional
        Processes.

    Yields
    ------
    ProcessPoolExecutor
        As in ``with tm.sweeps.processes() as executor: tm.sweep(grid, 64, executor)``.

    Raises
    ------
    InputError
        If `workers` is less than 1.

    Examples
    --------
    The processes inherit that BLAS has one thread too:

    >>> import os
    >>> import twomode as tm
    >>> with tm.sweeps.processes(2) as executor:
    ...     os.environ["OPENBLAS_NUM_THREADS"]
    '1'
    """
    executor = ProcessPoolExecutor(workers, mp_context=_Context(), initializer=_one_thread)
    # They inherit these and read them with NumPy: small matrix products by several threads, each
    # of which spins while it waits, took three times as long.
    before = {name: os.environ.get(name) for name in _BLAS_THREADS}
    os.environ.update(dict.fromkeys(_BLAS_THREADS, "1"))
    try:
        yield executor
    except KeyboardInterrupt:
        # What they compute is for nobody.  The thread lets go of what it has not begun before it
        # looks whether they live, as long as there is an executor.
        running = list(executor._processes.values())
        thread: Any = executor._executor_manager_thread
        executor.shutdown(wait=False, cancel_futures=True)
        for process in running:
            process.terminate()
        if thread is not None:
            thread.join()
        raise
    finally:
        executor.shutdown()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


class _Process(SpawnProcess):
    """A process that leaves Ctrl-C, which a terminal sends to all of them, to its parent."""

    def start(self) -> None:
        """Start it with the signal blocked, so that it is from its first instruction on."""
        if not hasattr(signal, "pthread_sigmask"):  # Windows
            return super().start()
        resource_tracker.ensure_running()  # to start that would unblock the signal
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Context(SpawnContext):
    """As that of ``spawn``, with such processes."""

    Process = _Process


def _one_thread() -> None:
    import numba

    numba.set_num_threads(1)


def _run_all(jobs: list[Any], executor: Executor | None) -> Iterator[tuple[int, Any]]:
    """Each job's position and rows, as they come."""
    if executor is None:
        for n, job in enumerate(jobs):
            yield n, run_cell(*job)
        return
    positions = {executor.submit(run_cell, *job): n for n, job in enumerate(jobs)}
    try:
        for future in as_completed(positions):
            yield positions[future], future.result()
    finally:
        for future in positions:
            future.cancel()


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
    if isinstance(value, Mapping):
        return {name: _json(x) for name, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(x) for x in value]
    return _plain(value)


def _cell_text(value: Any) -> Any:
    """How a table shows a value: laws as text, numbers as they are."""
    return repr(value) if isinstance(value, Law) else value


def _show(cell: Cell) -> str:
    return ", ".join(f"{name}={shown(value)}" for name, value in cell.items())
