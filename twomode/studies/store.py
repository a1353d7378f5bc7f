"""A study on disk: a folder with each finished block of replicas, written the moment it is there.

    study/KEY/0-15.npz

KEY is of the SHA-256 of what the rows follow from: the cell, the seed, the paired names, and the
measure with its source.  A file says all of that itself, beside the version of what computed it.

These are files and not a database: a damaged one costs a block and not the study, whatever the file
system, also one that several machines share, and they need no format of their own: a checksum,
strict reading, and a name that only whole files have are those of results (`twomode.io`).
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twomode._typing import JSON
from twomode.checks import checked
from twomode.errors import InputError, require, shown
from twomode.io import load_arrays, reading, save_arrays
from twomode.names import NameTakenError, check_writable, remove_left
from twomode.runs import SOURCES, origin, sources
from twomode.studies.cell import Cell, content, show

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    *("Block", "Store", "differences", "key_of", "read_block", "study_of", "version"),
]

#: What rows follow from: rooms, and a file of this one.  A measure has a hash of its own.
_SOURCES = (*SOURCES, "statistics", "theory", "studies/cell.py")
#: What of a version matters to numbers.
_TELLING = ("sources", "numpy", "numba")
#: Bytes that a block takes on disk, about, and seconds to wait for another process to write one.
_BLOCK, _PATIENCE = 2**13, 60.0


@dataclass(frozen=True)
class Block:
    """Some replicas of a study, as `Store` keeps them.

    Attributes
    ----------
    study : dict
        What the rows follow from, as `study_of` says it.
    replicas : list of int
    columns : dict of str to Series
        All but the cell's names, which whoever asks may have spelled in another way.
    version : dict
        Of what computed it; see `version`.
    seconds : float
        That it took.
    """

    study: JSON
    replicas: list[int]
    columns: dict[str, Any]
    version: JSON
    seconds: float

    def of(self, replicas: Collection[int]) -> dict[str, Any]:
        """The columns, of some replicas alone."""
        kept = np.isin(self.replicas, list(replicas))
        return {name: x[kept].reset_index(drop=True) for name, x in self.columns.items()}


class Store:
    """A folder of finished blocks of sweeps; each of its names is given to a whole file only.

    Parameters
    ----------
    folder : str or Path
        Made when the first block is saved.
    any_version : bool
        Take blocks that other sources, or another NumPy or Numba, have computed.

    Raises
    ------
    InputError
        If `folder` is a file, or no name.

    Examples
    --------
    What is there is not computed again, and of more replicas only those that are missing:

    >>> import twomode as tm
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> grid = {"opt": ["sgda", "nsgda"], "d": [16], "steps": [40]}
    >>> with TemporaryDirectory() as folder:
    ...     few = tm.sweep(grid, 2, store=folder)
    ...     more = tm.sweep(grid, 20, store=folder)
    ...     Store(folder).table()[["cell", "replicas"]].values.tolist()
    [["d=16, opt='nsgda', steps=40", 20], ["d=16, opt='sgda', steps=40", 20]]
    """

    @checked
    def __init__(self, folder: str | Path, *, any_version: bool = False) -> None:
        self.folder, self.any_version = Path(folder), any_version
        self._damaged: set[Path] = set()
        try:
            named = str(folder) != "" and "\0" not in str(folder)
            fits = named and (self.folder.is_dir() or not self.folder.exists())
        except (OSError, ValueError):  # too long, or with a null in it
            fits = False
        require(fits, f"store={shown(str(folder))} must be a folder, or a name for one")

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r}{', any_version=True' if self.any_version else ''})"

    def require_room(self, blocks: int) -> None:
        """Raise `InputError` if it is known that so many more cannot be saved."""
        check_writable(self.folder)
        remove_left(self.folder)
        above = next(p for p in (self.folder, *self.folder.absolute().parents) if p.is_dir())
        need, free = _BLOCK * blocks / 2**20, shutil.disk_usage(above).free / 2**20
        require(
            need < free,
            f"cannot write to {self.folder}: {blocks} blocks need about {need:.3g} MiB, and"
            f" {free:.3g} are free",
        )

    def find(
        self, study: JSON, blocks: Sequence[range], *, whole: bool = False
    ) -> tuple[list[dict[str, Any]], list[range]]:
        """What there is of some blocks of a study, and which replicas are missing.

        Parameters
        ----------
        study : dict
            As `study_of` says it.
        blocks : sequence of range
        whole : bool
            Take a block only as a whole, for rows that depend on what ran together.

        Raises
        ------
        InputError
            If another version computed what is there.
        """
        held = list(self._read_all(self.folder / key_of(study)))
        for block in held:
            self._require_version(block)
        found, missing = [], []
        # By their first replica, so that what is new of each has no gap.
        for asked in blocks:
            left = set(asked)
            for block in held:
                taken = left.intersection(block.replicas)
                if taken and (not whole or block.replicas == list(asked)):
                    found.append(block.of(taken))
                    left -= taken
            missing += _ranges(left)
        return found, missing

    def put(self, block: Block) -> dict[str, Any]:
        """Save a block, unless another process has: the columns that are there in the end.

        Raises
        ------
        InputError
            If it cannot be written, or holds what a file cannot.
        """
        replicas = block.replicas
        path = self.folder / key_of(block.study) / f"{replicas[0]}-{replicas[-1]}.npz"
        arrays, columns = _packed(block.columns)
        told = {name: getattr(block, name) for name in ("study", "replicas", "version", "seconds")}
        told["columns"], until = columns, time.monotonic() + _PATIENCE
        while True:
            try:
                save_arrays(
                    path, arrays, told | {"columns": columns}, overwrite=path in self._damaged
                )
                break
            except NameTakenError:
                if path.exists() and (other := self._read(path)):
                    return other.columns
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)  # until the other one has written it
            except OSError as error:
                raise InputError(f"cannot write to {self.folder}: {error.strerror}") from error
        self._remove_damaged(path, replicas)
        return block.columns

    def files(self) -> list[Path]:
        """Those of all blocks, damaged ones too."""
        return [path for folder in self._folders() for path in _files(folder)]

    def table(self) -> pd.DataFrame:
        """What is in it.

        Returns
        -------
        DataFrame
            A row for each study and version: ``cell``, ``replicas`` (how many), ``seed``,
            ``paired``, ``measure``, ``seconds``, ``sources``, ``numpy``, ``numba``.
        """
        import pandas as pd

        rows: dict[tuple[str, ...], Any] = {}
        for folder in self._folders():
            for block in self._read_all(folder):
                made = {name: block.version[name] for name in _TELLING}
                key = folder.name, *made.values()
                row = rows.setdefault(key, [block.study, made, set(), 0.0])
                row[2] |= set(block.replicas)
                row[3] += block.seconds
        table = pd.DataFrame(
            {
                "cell": show(study["cell"]),
                "replicas": len(replicas),
                "seed": study["seed"],
                "paired": ", ".join(study["paired"]),
                "measure": study["measure"]["name"],
                "seconds": seconds,
                **made,
            }
            for study, made, replicas, seconds in rows.values()
        )
        return table.sort_values(list(table.columns), ignore_index=True) if len(table) else table

    def merge(self, other: Store) -> int:
        """Copy what is missing here from another store: the number of blocks that are new.

        Parameters
        ----------
        other : Store

        Raises
        ------
        InputError
            If it has blocks of another version than those here, or than what runs now if there
            are none here, and neither store takes any.
        """
        held = {folder.name: list(self._read_all(folder)) for folder in self._folders()}
        known = next((block.version for blocks in held.values() for block in blocks), version())
        new = []
        for folder in other._folders():
            have = {k for block in held.get(folder.name, ()) for k in block.replicas}
            for block in other._read_all(folder):
                if not have.issuperset(block.replicas):
                    if not self.any_version:
                        other._require_version(block, known)
                    new.append(block)
                    have.update(block.replicas)
        if new:
            self.require_room(len(new))
        for block in new:
            self.put(block)
        return len(new)

    def _folders(self) -> list[Path]:
        require(self.folder.is_dir(), f"{self.folder} does not exist")
        return sorted(path for path in self.folder.iterdir() if len(path.name) == _KEY)

    def _read_all(self, folder: Path) -> Iterator[Block]:
        """The sound blocks of a folder, which is rid of what killed processes have left."""
        remove_left(folder)
        for path in _files(folder):
            if (block := self._read(path)) is not None:
                yield block

    def _read(self, path: Path) -> Block | None:
        """None if it is damaged, which is said."""
        try:
            block = read_block(path)
            self._damaged.discard(path)
            return block
        except InputError as error:
            if path not in self._damaged:
                warnings.warn(f"{error}; it counts as missing", RuntimeWarning, stacklevel=2)
            self._damaged.add(path)
            return None

    def _remove_damaged(self, path: Path, replicas: list[int]) -> None:
        """Damaged files all of whose replicas are now in another."""
        self._damaged.discard(path)
        for other in list(self._damaged):
            first, last, _ = _range(other) or (-1, -1, None)
            if other.parent == path.parent and replicas[0] <= first <= last <= replicas[-1]:
                other.unlink(missing_ok=True)
                self._damaged.discard(other)

    def _require_version(self, block: Block, known: JSON | None = None) -> None:
        other = differences(block.version, known or version())
        require(
            self.any_version or not other,
            f"{self.folder} has results of another version ({other}): use another folder, or take"
            " them as they are, by any_version",
        )


def study_of(cell: Cell, seed: int, measure: JSON, paired: Collection[str]) -> JSON:
    """What the rows of a cell follow from, in plain JSON; the measure by its `identity`."""
    names = sorted(cell.keys() & set(paired))
    return {"cell": content(cell), "seed": seed, "paired": names, "measure": measure}


@functools.cache
def version() -> JSON:
    """What computes here: a hash of the sources that rows follow from, libraries, and the origin.

    Examples
    --------
    >>> from twomode.studies.store import version
    >>> list(version())
    ['sources', 'numpy', 'numba', 'origin']
    """
    noted = origin()
    libraries = {name: noted["versions"][name] for name in ("numpy", "numba")}
    return {"sources": sources(_SOURCES)} | libraries | {"origin": noted}


def differences(one: JSON, other: JSON) -> str:
    """In which parts that matter to numbers two versions differ, in words.

    Examples
    --------
    >>> from twomode.studies.store import differences
    >>> known = {"sources": "4f6", "numpy": "2.4.6", "numba": "0.68.1"}
    >>> differences({**known, "numpy": "2.4.5"}, known)
    'numpy 2.4.5, not 2.4.6'
    """
    return ", ".join(
        f"{name} {one[name]}, not {other[name]}" for name in _TELLING if one[name] != other[name]
    )


#: Letters of a key.
_KEY = 32


def key_of(study: JSON) -> str:
    """The name of its folder."""
    return hashlib.sha256(json.dumps(study, sort_keys=True).encode()).hexdigest()[:_KEY]


def _range(path: Path) -> tuple[int, int, Path] | None:
    """The first and the last replica in a file, by its name."""
    first, _, last = path.stem.partition("-")
    return (int(first), int(last), path) if first.isdecimal() and last.isdecimal() else None


def _files(folder: Path) -> list[Path]:
    """Those of its blocks, in the order of their replicas."""
    found = (_range(path) for path in folder.glob("*.npz"))
    return [path for *_, path in sorted(place for place in found if place is not None)]


def _ranges(numbers: Collection[int]) -> list[range]:
    """Numbers as ranges, as few as can be."""
    found: list[range] = []
    for k in sorted(numbers):
        if found and found[-1].stop == k:
            found[-1] = range(found[-1].start, k + 1)
        else:
            found.append(range(k, k + 1))
    return found


def _packed(columns: dict[str, Any]) -> tuple[dict[str, np.ndarray], list[Any]]:
    """Columns as arrays, numbers as they are and the rest as JSON; their names and dtypes."""
    arrays, told = {}, []
    for n, (name, column) in enumerate(columns.items()):
        kept = isinstance(name, str) and str(column.dtype) in ("object", "str", "string")
        if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biufc":
            arrays[str(n)] = np.asarray(column)
        else:
            values = column.tolist()
            kept &= all(x is None or type(x) in (str, bool, int, float) for x in values)
            require(
                kept,
                f"measure returns {shown(name)} of {column.dtype}: what a store keeps are numbers,"
                " truth values and text",
            )
            arrays[str(n)] = np.frombuffer(json.dumps(values).encode(), np.uint8)
        told.append([name, str(column.dtype)])
    return arrays, told


def read_block(path: Path) -> Block:
    """What `Store.put` wrote.

    Raises
    ------
    InputError
        If it is damaged, or not that.
    """
    import pandas as pd

    arrays, told = load_arrays(path)
    with reading(path):
        columns: dict[str, Any] = {}
        for n, (name, dtype) in enumerate(told.pop("columns")):
            x = arrays[str(n)]
            text = str(x.dtype) != dtype
            column = pd.Series(json.loads(x.tobytes()), dtype=dtype) if text else pd.Series(x)
            columns[str(name)] = column  # "inf" was read as a number
        block = Block(columns=columns, **told)
        first, last, _ = _range(path) or (-1, -1, None)
        whole = block.replicas == list(range(first, last + 1))
        whole &= set(_TELLING) <= block.version.keys() and block.seconds >= 0
        whole &= all(len(column) == len(block.replicas) for column in columns.values())
        require(whole and key_of(block.study) == path.parent.name, "it is not what its name says")
        return block
