"""Saved numbers, made again from what they say of themselves: whether they are the same."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from twomode._typing import JSON, BoolArray, Count, SeedNumber
from twomode.checks import checked
from twomode.errors import InputError, require
from twomode.progress import Report, of_task, unreported
from twomode.runs.provenance import differences
from twomode.runs.result import Result, load
from twomode.runs.trace import recorded

__all__ = [
    "TOLERANCE",
    "VERDICTS",
    "Replayable",
    "Replayed",
    "SavedResult",
    "drawn",
    "replay",
    "replay_all",
    "saved_results",
]

T = TypeVar("T")

#: How far numbers may lie apart that were rounded differently: over the largest size of their
#: quantity in their replica.
TOLERANCE = 1e-6
#: How far apart the ends of a flow may lie whose steps were chosen otherwise, in units of rtol and
#: of those sizes; over 256 starts at d = 2^5 to 2^24 the largest was 86.
ENDS = 1000
#: Of saved numbers and of those that were made again.
VERDICTS = ("identical", "equal", "different", "unusable")
IDENTICAL, EQUAL, DIFFERENT, UNUSABLE = VERDICTS


class Replayable(Protocol):
    """Something saved that can be made again and compared: a result, a job of a sweep."""

    @property
    def name(self) -> str:
        """What it is called where it is reported."""

    @property
    def origin(self) -> JSON:
        """Where it was made, as `origin` notes it."""

    @property
    def numbers(self) -> Mapping[str, np.ndarray]:
        """What was saved, by name, each with the replica as first axis."""

    @property
    def recorded(self) -> Collection[str]:
        """The names of those that have time as second axis."""

    def again(self, progress: Report) -> Mapping[str, np.ndarray]:
        """The same numbers, made again."""

    def where(self, name: str, index: tuple[int, ...]) -> str:
        """In words, where one of them stands."""


class SavedResult:
    """A file that `Result.save` wrote."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)

    @cached_property
    def _result(self) -> Result:
        return load(self.path)

    @property
    def origin(self) -> JSON:
        """Where it was made."""
        return self._result.provenance

    @property
    def numbers(self) -> dict[str, np.ndarray]:
        """Everything that was recorded, and the last state."""
        return self._numbers(self._result)

    @property
    def recorded(self) -> Collection[str]:
        """The trace."""
        return ("times", *recorded(True))

    def again(self, progress: Report) -> dict[str, np.ndarray]:
        """The run again."""
        return self._numbers(self._result.again(progress=progress))

    def where(self, name: str, index: tuple[int, ...]) -> str:
        """Replica, iteration and, of a vector or a matrix, which entry."""
        replica, *rest = index
        words = [f"replica {self.origin['replicas'][replica]}"]
        if name in self.recorded:
            record, *rest = rest
            words.append(f"iteration {self._result.times[replica, record]:.17g}")
        return ", ".join([*words, *([f"entry {', '.join(map(str, rest))}"] if rest else [])])

    @staticmethod
    def _numbers(result: Result) -> dict[str, np.ndarray]:
        names = recorded(result.intervals is not None)
        trace = {name: getattr(result, name) for name in names}
        state = {f"state.{name}": x for name, x in result.state.arrays().items()}
        return {"times": result.times, **trace, "diverged_at": result.diverged_at, **state}


class Replayed(NamedTuple):
    """What came of a comparison."""

    name: str
    verdict: str  #: one of `VERDICTS`
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.verdict}{self.reason and f', {self.reason}'}"


@checked
def saved_results(path: str | Path) -> list[SavedResult]:
    """The results in a file, or in the files ``*.npz`` of a folder and those below it.

    They are read when they are asked for their numbers.

    Raises
    ------
    InputError
        If there is none.

    Examples
    --------
    >>> from twomode.runs import saved_results
    >>> saved_results("nowhere")
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: nowhere does not exist
    """
    path = Path(path)
    require(path.exists(), f"{path} does not exist")
    files = sorted(path.rglob("*.npz")) if path.is_dir() else [path]
    require(bool(files), f"no result in {path}: a run is saved as result.npz")
    return [SavedResult(file) for file in files]


@checked
def drawn(items: Sequence[T], sample: Count | None = None, seed: SeedNumber = 0) -> list[T]:
    """As many of the items, drawn at random, in their order; all of them by default.

    Raises
    ------
    InputError
        If there are fewer.

    Examples
    --------
    >>> from twomode.runs import drawn
    >>> drawn(range(100), 3, seed=0)
    [51, 63, 83]
    """
    if sample is None:
        return list(items)
    require(sample <= len(items), f"sample={sample} of {len(items)} that are there")
    chosen = np.random.default_rng(seed).choice(len(items), sample, replace=False)
    return [items[n] for n in sorted(chosen.tolist())]


def replay_all(items: Sequence[Replayable], report: Report = unreported) -> Iterator[Replayed]:
    """`replay` of each; of several, one that cannot be used does not keep the others from it."""
    for item in items:
        try:
            yield replay(item, of_task(item.name, report))
        except InputError as error:
            if len(items) == 1:
                raise
            yield Replayed(item.name, UNUSABLE, str(error))


def replay(item: Replayable, report: Report = unreported) -> Replayed:
    """Make it again, and compare.

    ``identical`` is to the last bit.  ``equal`` is within `TOLERANCE`, where other sources of
    twomode, other libraries or another processor may round differently; where none of them is
    noted to differ, nothing else than the last bit will do.  A flow whose integrator came to other
    steps by that is recorded at other times: only its end is compared.

    Parameters
    ----------
    item : Replayable
    report : callable, optional
        Of what makes it again.

    Returns
    -------
    Replayed
        The first quantity that differs, and where.

    Raises
    ------
    InputError
        If it cannot be read, or does not say enough to be made again.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import twomode as tm
    >>> from twomode.runs import SavedResult, replay
    >>> game = tm.Game.preset(d=64)
    >>> with TemporaryDirectory() as folder:
    ...     tm.simulate(game, *tm.recipe(game, "sgda")).save(Path(folder, "a.npz"))
    ...     replay(SavedResult(Path(folder, "a.npz"))).verdict
    'identical'
    """
    saved = item.numbers
    again = item.again(report)
    other = differences(item.origin)
    first = _first_difference(saved, again, item.recorded, 0.0)
    if first is None:
        return Replayed(item.name, IDENTICAL, "to the last bit")
    if other:
        beyond = _first_difference(saved, again, item.recorded, TOLERANCE)
        why = f"not to the last bit, perhaps because of {'; '.join(other)}"
        if beyond is None:
            within = f"within {TOLERANCE:g} of each quantity's largest size in its replica"
            return Replayed(item.name, EQUAL, f"{within}; {why}")
        first, rtol = beyond, item.origin.get("rtol")
        if first[0] == "times" and rtol is not None:
            end, other_end = (
                {n: x[n] for n in x if n not in item.recorded} for x in (saved, again)
            )
            if _first_difference(end, other_end, (), ENDS * rtol) is None:
                within = f"at its end, within {ENDS} rtol, and recorded at other times"
                return Replayed(item.name, EQUAL, f"{within}; {why}")
    return Replayed(item.name, DIFFERENT, _told(item, saved, again, *first))


def _told(
    item: Replayable,
    saved: Mapping[str, np.ndarray],
    again: Mapping[str, np.ndarray],
    name: str,
    index: tuple[int, ...] | None,
) -> str:
    """A difference in words."""
    if index is None:
        shapes = [str(x[name].shape) if name in x else "none" for x in (saved, again)]
        return f"first {name}, shape {shapes[0]} saved, {shapes[1]} again"
    values = [x[name][index] for x in (saved, again)]
    one, other = (f"{x:.17g}" if isinstance(x, float) else str(x) for x in values)
    return f"first {name}, {item.where(name, index)}: {one} saved, {other} again"


def _first_difference(
    one: Mapping[str, np.ndarray],
    other: Mapping[str, np.ndarray],
    recorded: Collection[str],
    tolerance: float,
) -> tuple[str, tuple[int, ...] | None] | None:
    """The name and the place of the earliest; no place where the shapes differ."""
    earliest, found = math.inf, None
    for name in {**one, **other}:
        if name not in one or name not in other or one[name].shape != other[name].shape:
            return name, None
        apart = _apart(one[name], other[name], tolerance)
        if not apart.any():
            continue
        time, among = math.inf, np.argwhere(apart)
        if name in recorded:
            time = int(among[:, 1].min())
            among = among[among[:, 1] == time]
        if found is None or time < earliest:
            earliest, found = time, (name, tuple(among[0].tolist()))
    return found


def _apart(one: np.ndarray, other: np.ndarray, tolerance: float) -> BoolArray:
    """Where numbers differ by more than a tolerance times the largest of their replica."""
    same = (one == other) | ((one != one) & (other != other))
    if tolerance and one.dtype.kind == "f":
        axes = tuple(range(1, one.ndim))
        sizes = np.max(np.abs(one), axes, keepdims=True, initial=0.0, where=np.isfinite(one))
        with np.errstate(invalid="ignore"):
            same |= np.abs(one - other) <= tolerance * sizes
    return ~same
