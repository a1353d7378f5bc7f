"""What a run needs to go on, kept in one file that is replaced as a whole now and then."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from twomode._typing import JSON, Array
from twomode.errors import require
from twomode.game import Game, State
from twomode.io import load_arrays, reading, save_arrays
from twomode.names import check_writable
from twomode.rules import rule_from_dict
from twomode.runs.provenance import differences, origin
from twomode.runs.run import Run
from twomode.runs.trace import to_host

__all__ = ["EVERY", "Checkpoint", "Part"]

_FORMAT = "twomode checkpoint, version 1"
#: Seconds of computing between two writes by default, and the largest share that writing may take.
EVERY, _SHARE = 30.0, 0.05


class Part(Protocol):
    """A part of a run that remembers something: its engine, its recorder, its minibatches."""

    @property
    def memory(self) -> dict[str, Array]:
        """All that going on depends on besides the run itself, by name (not copied)."""

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Go on from where a part of the same making had this memory."""


class Checkpoint:
    """The file of one run: made by `new` for a run that begins, by `read` for one that goes on."""

    def __init__(self, run: Run, path: Path, every: float) -> None:
        self.run, self.path, self.every = run, path, every
        self.seconds = 0.0  #: of computing, before this process
        self.resumed: list[JSON] = []  #: at which iteration, and what was different there
        self._arrays: dict[str, np.ndarray] = {}  #: what was read
        self._written, self._took = -math.inf, 0.0

    @classmethod
    def new(cls, run: Run, path: Path, every: float | None = None) -> Checkpoint:
        """For a run that begins.

        Raises
        ------
        InputError
            If there is something at `path`, or nothing can be written there.
        """
        require(
            not os.path.lexists(path),
            f"checkpoint={str(path)!r} exists already: resume goes on with a run that it holds;"
            " to begin anew delete it, or choose another name",
        )
        check_writable(Path(path).parent)
        return cls(run, Path(path), EVERY if every is None else every)

    @classmethod
    def read(cls, path: Path, *, anyway: bool = False) -> Checkpoint:
        """For a run that goes on.

        Parameters
        ----------
        path : Path
        anyway : bool
            Where something is different that the last bit depends on, too.

        Raises
        ------
        InputError
            If the file is missing, damaged or of another kind, or something is different.
        """
        arrays, notes = load_arrays(path)
        with reading(path):
            require(notes.get("format") == _FORMAT, f"not a {_FORMAT}")
            names = [name for name in arrays if name.startswith("start.")]
            start = {name.removeprefix("start."): arrays.pop(name) for name in names}
            run = Run.from_provenance(
                Game.from_dict(notes["game"]),
                rule_from_dict(notes["opt"]),
                notes["run"],
                State(**start) if start else None,
            )
            found = cls(run, Path(path), float(notes["every"]))
            other = differences(notes["origin"])
            ended = bool(arrays["records.next_step"] < 0)
            require(
                anyway or ended or not other,
                f"it would not go on to the last bit, as it was written with {'; '.join(other)}:"
                " resume it where it was written, or by tm.resume(..., anyway=True) all the same",
            )
            found.seconds, found.resumed = float(notes["seconds"]), list(notes["resumed"])
            if not ended:
                found.resumed.append({"at": int(arrays["engine.t"]), "different": other})
            found._arrays, found._written = arrays, time.perf_counter()
        return found

    def restore(self, parts: Mapping[str, Part]) -> None:
        """Let the parts go on from what was read, if something was."""
        if not self._arrays:
            return
        with reading(self.path):
            for name, part in parts.items():
                mine = f"{name}."
                found = self._arrays.items()
                memory = {n.removeprefix(mine): x for n, x in found if n.startswith(mine)}
                alike = name != "engine" or _forms(memory) == _forms(part.memory)
                require(alike, "not the memory of this run's engine")
                part.restore(memory)
        self._arrays = {}

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return time.perf_counter() - self._written >= max(self.every, self._took / _SHARE)

    def write(self, parts: Mapping[str, Part], seconds: float) -> None:
        """Put the parts' memories, after so many seconds of computing, in the place of the last."""
        began, run = time.perf_counter(), self.run
        arrays = {
            f"{p}.{n}": _plain(x) for p, part in parts.items() for n, x in part.memory.items()
        }
        if isinstance(run.start, State):
            arrays |= {f"start.{name}": _plain(x) for name, x in run.start.arrays().items()}
        notes = {
            "format": _FORMAT,
            "game": run.game.to_dict(),
            "opt": run.opt.to_dict(),
            "run": run.provenance() | {"dtype": run.dtype},
            "origin": origin(),
            "every": self.every,
            "seconds": seconds,
            "resumed": self.resumed,
        }
        save_arrays(self.path, arrays, notes, overwrite=self._written > -math.inf)
        self._written = time.perf_counter()
        self._took = self._written - began


def _forms(memory: Mapping[str, Array]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    # What a rule of the user's keeps is known to nobody before its first step.
    plain = {n: _plain(array) for n, array in memory.items() if not n.startswith("own_")}
    return {name: (array.shape, array.dtype) for name, array in plain.items()}


def _plain(array: Array) -> np.ndarray:
    """A NumPy array of the same numbers, whichever library holds them."""
    return array if isinstance(array, np.ndarray) else to_host(array, array.dtype)
