"""What determines a run, checked before anything is computed."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from twomode._typing import JSON
from twomode.engines import ReducedEngine
from twomode.errors import require, require_choice, require_whole
from twomode.game import Game, GaussianStart, State
from twomode.rules import Optimizer

__all__ = ["ENGINES", "Run"]

ENGINES = ("auto", "reduced", "dense", "array", "cupy")


@dataclass(frozen=True)
class Run:
    """Everything that a run follows from, to the last bit, and what is recorded of it.

    Made by `Run.of`, which completes what is left open; the parameters are those of
    `twomode.simulate`.

    Raises
    ------
    InputError
        If a value is unusable, alone or with the others, or the run does not fit into memory.
    """

    game: Game
    opt: Optimizer
    steps: int
    replicas: tuple[int, ...]
    seed: np.random.SeedSequence
    batch_size: int | None
    engine: str
    record_every: int
    resolve: float | None
    start: GaussianStart | State
    dtype: str

    def __post_init__(self) -> None:
        if self.resolve is not None:
            require(
                1 < self.resolve < math.inf,
                f"resolve={self.resolve!r} must be a factor greater than 1",
            )
        require_choice("dtype", self.dtype, ("float64", "float32"))
        if self.engine == "reduced":
            ReducedEngine.check(self.opt)
        require(
            self.dtype == "float64" or self.engine == "dense",
            f"dtype={self.dtype!r} needs engine='dense', not {self.engine!r}",
        )
        require(
            isinstance(self.start, (GaussianStart, State)),
            f"start={self.start!r} must be a GaussianStart or a State",
        )
        self._require_memory()

    @classmethod
    def of(
        cls,
        game: Game,
        opt: Optimizer,
        steps: int,
        *,
        replicas: int | Iterable[int] = 1,
        seed: int | np.random.SeedSequence = 0,
        batch_size: int | None = None,
        engine: str = "auto",
        record_every: int | None = None,
        resolve: float | None = None,
        start: State | GaussianStart | None = None,
        dtype: str = "float64",
    ) -> Run:
        """The run that the arguments of `twomode.simulate` describe."""
        steps, chosen = require_whole("steps", steps, 0), _replica_indices(replicas)
        if batch_size is not None:
            batch_size = require_whole("batch_size", batch_size, 1)
            require(batch_size < 2**63, f"batch_size={batch_size} must be less than 2^63")
        require_choice("engine", engine, ENGINES)
        if engine == "auto":
            engine = "reduced" if opt.equivariant else "dense"
        if not isinstance(seed, np.random.SeedSequence):
            seed = np.random.SeedSequence(require_whole("seed", seed, 0))
        return cls(
            game=game,
            opt=opt,
            steps=steps,
            replicas=chosen,
            seed=seed,
            batch_size=batch_size,
            engine=engine,
            record_every=_interval(game, engine, steps, record_every),
            resolve=resolve,
            start=GaussianStart() if start is None else start,
            dtype=dtype,
        )

    def changed(self, **changes: Any) -> Run:
        """The run with other steps, replicas, seed or records."""
        if "replicas" in changes:
            changes["replicas"] = _replica_indices(changes["replicas"])
        steps = changes["steps"] = require_whole("steps", changes.get("steps", self.steps), 0)
        if "record_every" in changes:
            every = changes["record_every"]
            changes["record_every"] = _interval(self.game, self.engine, steps, every)
        return replace(self, **changes)

    def provenance(self) -> JSON:
        """Plain-JSON form of all but game, rule and an explicit start; see `from_provenance`."""
        return {
            "seed": np.asarray(self.seed.entropy, dtype=object).tolist(),
            "spawn_key": list(self.seed.spawn_key),
            "replicas": list(self.replicas),
            "steps": self.steps,
            "batch_size": self.batch_size,
            "engine": self.engine,
            "record_every": self.record_every,
            "resolve": self.resolve,
            "start": self.start.to_dict() if isinstance(self.start, GaussianStart) else "explicit",
        }

    @classmethod
    def from_provenance(cls, game: Game, opt: Optimizer, source: JSON, start: State | None) -> Run:
        """The run again; `start` is the explicit one, if it was one."""
        explicit = source["start"] == "explicit"
        require(not (explicit and start is None), "its explicit start is in its result.npz alone")
        return cls.of(
            game,
            opt,
            seed=np.random.SeedSequence(source["seed"], spawn_key=source["spawn_key"]),
            replicas=list(source["replicas"]),
            start=GaussianStart(**source["start"]) if start is None else start,
            dtype=source["dtype"] if source["engine"] == "dense" else "float64",
            **{k: source[k] for k in ("steps", "batch_size", "engine", "record_every", "resolve")},
        )

    def _require_memory(self) -> None:
        """Refuse a run in R^d that would not fit, instead of being killed half-way."""
        game, vector = self.game, 8.0 * (self.game.m_D + self.game.m_G + 2) * self.game.d
        shared = isinstance(self.start, GaussianStart) and self.start.shared
        if self.engine != "reduced":
            # The state, the steps, a gradient and a copy to record from, and the rule's memory.
            need = (4 + self.opt.memory) * len(self.replicas) * vector
            what = f" with {len(self.replicas)} replicas"
        else:
            need, what = 3 * vector if shared else 0.0, ""
        have = _memory()
        require(
            need <= 0.9 * have,
            f"d={game.d}{what} needs about {need / 2**30:.3g} GiB in R^d, and this"
            f" machine has {have / 2**30:.3g}: use a smaller d, fewer replicas, or a"
            " rotation-equivariant rule, which the reduced engine runs at any d",
        )


def _memory() -> float:
    """Bytes of this machine; infinite where it does not say (Windows)."""
    if not hasattr(os, "sysconf"):
        return math.inf
    return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")


def _interval(game: Game, engine: str, steps: int, every: int | None) -> int:
    """Iterations between records: as many as asked for, by default by the engine."""
    if every is not None:
        return require_whole("record_every", every, 1)
    points = max(150, len(game.latent_points[1]))
    records = 150_000 / points if engine == "reduced" else 200
    return max(1, math.ceil(steps / records))


def _replica_indices(replicas: int | Iterable[int]) -> tuple[int, ...]:
    if isinstance(replicas, np.ndarray):
        replicas = replicas.tolist()
    if isinstance(replicas, Iterable):
        chosen = tuple(require_whole("replica", k, 0) for k in replicas)
        require(bool(chosen), "replicas=[] must name at least one")
        return chosen
    return tuple(range(require_whole("replicas", replicas, 1)))
