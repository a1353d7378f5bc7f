"""Blocks of a store, made again from what they say of themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from twomode._typing import JSON
from twomode.checks import checked
from twomode.functions import imported
from twomode.progress import Report
from twomode.studies.cell import cell_from, run_cell
from twomode.studies.store import Block, Store, read_block

__all__ = ["StoredBlock", "stored_blocks"]


class StoredBlock:
    """A file of a `Store`; a `twomode.runs.Replayable`."""

    recorded: Collection[str] = ()

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)

    @cached_property
    def _block(self) -> Block:
        return read_block(self.path)

    @property
    def origin(self) -> JSON:
        """Where it was made."""
        noted: JSON = self._block.version["origin"]
        return noted

    @property
    def numbers(self) -> dict[str, np.ndarray]:
        """The columns, a row a replica."""
        return {name: np.asarray(column) for name, column in self._block.columns.items()}

    def again(self, progress: Report) -> Mapping[str, np.ndarray]:
        """The same columns; the cell runs anew."""
        study, names = self._block.study, self._block.columns
        cell = cell_from(study["cell"])
        measure = imported("measure", study["measure"])
        frame = run_cell(cell, self._block.replicas, study["seed"], measure, study["paired"])
        return {name: np.asarray(frame[name]) for name in frame if name in names}

    def where(self, name: str, index: tuple[int, ...]) -> str:
        """In words, where a number stands."""
        return f"replica {self._block.replicas[index[0]]}"


@checked
def stored_blocks(folder: str | Path) -> list[StoredBlock]:
    """The blocks of a store, whose numbers are read when they are asked for; none of what is none.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import twomode as tm
    >>> from twomode.runs import replay
    >>> from twomode.studies import stored_blocks
    >>> with TemporaryDirectory() as folder:
    ...     table = tm.sweep([{"opt": "sgda", "d": 16, "steps": 40}], 20, store=folder)
    ...     [replay(block).verdict for block in stored_blocks(folder)]
    ['identical', 'identical']
    """
    path = Path(folder)
    return [StoredBlock(file) for file in Store(path).files()] if path.is_dir() else []
