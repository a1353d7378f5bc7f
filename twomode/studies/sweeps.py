"""Many runs as one table: a grid of cells, replicas in the vector lanes, cells over processes.

    with tm.sweeps.processes() as executor:
        table = tm.sweep({"d": [256, 4096], "opt": ["sgda", "nsgda"]}, 64, executor)

A cell is a mapping of names to values: a rule (``opt``), a game (``d`` and any field of `Game`),
step sizes, a start, a batch size.  Its random streams come from one root and the cell's content,
so a row of the table does not depend on the other cells, on their order, or on the executor.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from twomode._typing import JSON, Count, SeedNumber
from twomode.checks import checked
from twomode.errors import InputError, require, require_memory, shown
from twomode.functions import identity
from twomode.progress import Progress, Report, watched
from twomode.studies.cell import (
    NAMES,
    PLANNED,
    Cell,
    Measure,
    cell_key,
    cells,
    named,
    observe,
    plan,
    run_cell,
    show,
)
from twomode.studies.store import Block, Store, differences, key_of, study_of, version
from twomode.studies.workers import LostJobError, processes

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "JobsFailedError",
    "cell_key",
    "cells",
    "observe",
    "plan",
    "processes",
    "run_cell",
    "sweep",
]

#: Cells that an error names.
MOST = 3
#: What has no need of a traceback.
_EXPECTED = (InputError, LostJobError)


class JobsFailedError(RuntimeError):
    """Some jobs of a sweep raised, and all others are done; see its cause for the first."""


@checked
def sweep(
    grid: Mapping[str, Any] | Iterable[Cell],
    replicas: Count = 16,
    executor: Executor | None = None,
    *,
    seed: SeedNumber = 0,
    measure: Measure = observe,
    paired: Collection[str] = (),
    store: Store | str | Path | None = None,
    together: Count = 16,
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
    store : Store or path, optional
        A folder that keeps each job's rows from the moment that they are there, and from which
        those are taken that it has: a sweep that was ended in whatever way goes on, and one of more
        replicas or cells runs what is missing.  The table is the same, to the last bit.
    together : int
        Replicas of a cell that run as one job.  Two blocks of vector lanes are few enough for
        processes to share a large cell, and for the records that `resolve` adds for one replica not
        to be made of too many others; fewer where each takes a measure long.
    progress : callable, optional
        True for a bar, or called with a `Progress` in jobs.

    Returns
    -------
    pandas.DataFrame
        A row for each cell and replica, in the order of the grid: the cell's names, ``replica``,
        ``eta_D``, ``eta_G``, ``steps``, and what was measured.

    Raises
    ------
    InputError
        Before anything runs, if any cell is unusable, or if the store is of another version or
        cannot be written; as soon as it cannot be written any more; at the end, if what a cell
        measured is unusable, or the process of a job died again and again.
    JobsFailedError
        At the end, if a job raised anything else: it names the cells.

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
    listed = cells(**grid) if isinstance(grid, Mapping) else [dict(cell) for cell in grid]
    require(bool(listed), "the grid has no cell")
    unknown = sorted(set(paired) - NAMES)
    require(not unknown, f"paired={shown(paired)} must be names that cells may have")
    need = 1024.0 * replicas * len(listed)
    require_memory(need, f"replicas={replicas} of {len(listed)} cells", "use fewer")
    for cell in listed:
        plan(cell)
    blocks = [range(k, min(k + together, replicas)) for k in range(0, replicas, together)]
    rows: list[tuple[int, pd.DataFrame]] = []  # with the number of their cell
    jobs = [_Job([n], block) for n in range(len(listed)) for block in blocks]
    failed: list[tuple[_Job, BaseException]] = []
    with watched(progress, "sweep") as report:
        if store is not None:
            store = Store(store) if isinstance(store, (str, Path)) else store
            measured = identity("measure", measure)
            studies = [study_of(cell, seed, measured, paired) for cell in listed]
            rows, jobs = _stored(store, listed, studies, blocks)
        calls = [(listed[job.cells[0]], job.replicas, seed, measure, tuple(paired)) for job in jobs]
        total = max(len(listed) * len(blocks), len(jobs))
        report(Progress(total - len(jobs), total, "job"))
        with closing(_run_all(jobs, calls, executor)) as outcomes:
            kept = outcomes if store is None else _saved(outcomes, store, listed, studies)
            for done, (job, found) in enumerate(kept, start=1):
                if isinstance(found, BaseException):
                    failed.append((job, found))
                elif isinstance(found, _Done):
                    rows.append((job.cells[0], found.frame))
                else:
                    rows += [(n, _frame(listed[n], found)) for n in job.cells]
                report(Progress(total - len(jobs) + done, total, "job"))
    failed.sort(key=lambda one: (one[0].cells, one[0].replicas.start))
    _require_none_failed([(listed[job.cells[0]], error) for job, error in failed], len(jobs))
    return _in_order(rows)


class _Job(NamedTuple):
    """Some replicas of a cell, and of all others that a store does not tell from it."""

    cells: list[int]
    replicas: range


class _Done(NamedTuple):
    """What a job leaves."""

    frame: pd.DataFrame
    seconds: float
    version: JSON

    def block(self, study: JSON, cell: Cell, replicas: range) -> Block:
        """As a store keeps it: without the columns of the cell's names.

        Raises
        ------
        InputError
            If the process that did the job has other sources.
        """
        other = differences(self.version, version())
        require(not other, f"a process of the executor has another version than this one ({other})")
        columns = {n: x for n, x in self.frame.items() if n in PLANNED or n not in cell}
        return Block(study, list(replicas), columns, self.version, self.seconds)


def _stored(
    store: Store, listed: Sequence[Cell], studies: list[JSON], blocks: list[range]
) -> tuple[list[tuple[int, pd.DataFrame]], list[_Job]]:
    """The rows that are in a store, and the jobs that remain."""
    alike: dict[str, list[int]] = {}
    for n, study in enumerate(studies):
        alike.setdefault(key_of(study), []).append(n)
    rows, jobs = [], []
    for numbers in alike.values():
        # The records that `resolve` adds depend on which replicas run together.
        whole = listed[numbers[0]].get("resolve") is not None
        found, missing = store.find(studies[numbers[0]], blocks, whole=whole)
        rows += [(n, _frame(listed[n], columns)) for n in numbers for columns in found]
        jobs += [_Job(numbers, replicas) for replicas in missing]
    if jobs:
        store.require_room(len(jobs))
    return rows, jobs


def _saved(
    outcomes: Iterator[tuple[_Job, _Done | BaseException]],
    store: Store,
    listed: Sequence[Cell],
    studies: list[JSON],
) -> Iterator[tuple[_Job, dict[str, Any] | BaseException]]:
    """Each job with its columns, from when they are in the store, or with its exception.

    A thread writes: while it waits for the disk, the next job runs.
    """
    writing: deque[tuple[_Job, Future[dict[str, Any]]]] = deque()
    with ThreadPoolExecutor(1) as writer:
        for job, found in outcomes:
            if isinstance(found, BaseException):
                yield job, found
            else:
                block = found.block(studies[job.cells[0]], listed[job.cells[0]], job.replicas)
                writing.append((job, writer.submit(store.put, block)))
            while writing and writing[0][1].done():
                job, columns = writing.popleft()
                yield job, columns.result()
        for job, columns in writing:
            yield job, columns.result()


def _frame(cell: Cell, columns: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(named(cell) | columns)


def _in_order(rows: list[tuple[int, pd.DataFrame]]) -> pd.DataFrame:
    """One table, in the order of the cells and of their replicas."""
    import pandas as pd

    rows = sorted(rows, key=lambda row: (row[0], row[1]["replica"].iloc[0]))
    return pd.concat([frame for _, frame in rows], ignore_index=True)


def _noted(*call: Any) -> _Done:
    """Run in a process of the executor."""
    began = time.perf_counter()
    frame = run_cell(*call)
    return _Done(frame, time.perf_counter() - began, version())


def _run_all(
    jobs: list[_Job], calls: list[Any], executor: Executor | None
) -> Generator[tuple[_Job, _Done | BaseException], None, None]:
    """Each job with what it leaves, or with the exception that it raised, as they come."""
    if executor is None:
        for job, call in zip(jobs, calls, strict=True):
            try:
                yield job, _noted(*call)
            except Exception as error:
                yield job, error
        return
    waiting: dict[Future[_Done], _Job] = {}
    try:
        for job, call in zip(jobs, calls, strict=True):
            try:
                waiting[executor.submit(_noted, *call)] = job
            except Exception as error:  # a pool of someone else's that has broken
                yield job, error
        for future in as_completed(waiting):
            yield waiting.pop(future), future.exception() or future.result()
    finally:
        for future in waiting:
            future.cancel()


def _require_none_failed(failed: list[tuple[Cell, BaseException]], jobs: int) -> None:
    """Raise one error for all jobs that failed, from the first one's own."""
    if not failed:
        return
    reasons = list(dict.fromkeys(f"cell {show(cell)}: {_said(error)}" for cell, error in failed))
    more = f"; and {len(reasons) - MOST} more" if len(reasons) > MOST else ""
    text = f"{len(failed)} of {jobs} jobs failed: {'; '.join(reasons[:MOST])}{more}"
    expected = all(isinstance(error, _EXPECTED) for _, error in failed)
    raise (InputError if expected else JobsFailedError)(text) from failed[0][1]


def _said(error: BaseException) -> str:
    kind = "" if isinstance(error, _EXPECTED) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())
