"""Many runs as one table: a grid of cells, replicas in the vector lanes, cells over processes.

    with tm.sweeps.processes() as executor:
        table = tm.sweep({"d": [256, 4096], "opt": ["sgda", "nsgda"]}, 64, executor)

A cell is a mapping of names to values: a rule (``opt``), a game (``d`` and any field of `Game`),
step sizes, a start, a batch size.  Its random streams come from one root and the cell's content,
so a row of the table does not depend on the other cells, on their order, or on the executor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, as_completed
from typing import TYPE_CHECKING, Any

from twomode._typing import Count, SeedNumber
from twomode.checks import checked
from twomode.errors import InputError, require, require_memory, shown
from twomode.progress import Progress, Report, watched
from twomode.studies.cell import (
    NAMES,
    Cell,
    Measure,
    cell_key,
    cells,
    observe,
    plan,
    run_cell,
    show,
)
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

#: Replicas of a cell that run together: two blocks of vector lanes.  Few, so that processes share
#: the work of a large cell, and so that with `resolve` the records that one replica needs are not
#: made of too many others.
TOGETHER = 16
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
        Before anything runs, if any cell is unusable; at the end, if what a cell measured is, or
        the process of a job died again and again.
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
    import pandas as pd

    listed = cells(**grid) if isinstance(grid, Mapping) else [dict(cell) for cell in grid]
    require(bool(listed), "the grid has no cell")
    unknown = sorted(set(paired) - NAMES)
    require(not unknown, f"paired={shown(paired)} must be names that cells may have")
    need = 1024.0 * replicas * len(listed)
    require_memory(need, f"replicas={replicas} of {len(listed)} cells", "use fewer")
    for cell in listed:
        plan(cell)
    blocks = [range(k, min(k + TOGETHER, replicas)) for k in range(0, replicas, TOGETHER)]
    jobs = [(cell, block, seed, measure, tuple(paired)) for cell in listed for block in blocks]
    frames: list[pd.DataFrame | None] = [None] * len(jobs)
    failed: dict[int, Exception] = {}
    with watched(progress, "sweep") as report:
        report(Progress(0, len(jobs), "job"))
        for done, (n, found) in enumerate(_run_all(jobs, executor), start=1):
            if isinstance(found, Exception):
                failed[n] = found
            else:
                frames[n] = found
            report(Progress(done, len(jobs), "job"))
    _require_none_failed([(jobs[n][0], failed[n]) for n in sorted(failed)], len(jobs))
    return pd.concat(frames, ignore_index=True)


def _run_all(jobs: list[Any], executor: Executor | None) -> Iterator[tuple[int, Any]]:
    """Each job's position and rows, or the exception that it raised, as they come."""
    if executor is None:
        for n, job in enumerate(jobs):
            try:
                yield n, run_cell(*job)
            except Exception as error:
                yield n, error
        return
    positions: dict[Future[Any], int] = {}
    try:
        for n, job in enumerate(jobs):
            try:
                positions[executor.submit(run_cell, *job)] = n
            except Exception as error:  # a pool of someone else's that has broken
                yield n, error
        for future in as_completed(positions):
            yield positions.pop(future), future.exception() or future.result()
    finally:
        for future in positions:
            future.cancel()


def _require_none_failed(failed: list[tuple[Cell, Exception]], jobs: int) -> None:
    """Raise one error for all jobs that failed, from the first one's own."""
    if not failed:
        return
    reasons = list(dict.fromkeys(f"cell {show(cell)}: {_said(error)}" for cell, error in failed))
    more = f"; and {len(reasons) - MOST} more" if len(reasons) > MOST else ""
    text = f"{len(failed)} of {jobs} jobs failed: {'; '.join(reasons[:MOST])}{more}"
    expected = all(isinstance(error, _EXPECTED) for _, error in failed)
    raise (InputError if expected else JobsFailedError)(text) from failed[0][1]


def _said(error: Exception) -> str:
    kind = "" if isinstance(error, _EXPECTED) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())
