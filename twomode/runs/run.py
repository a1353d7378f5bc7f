"""What determines a run, checked before anything is computed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeAlias

import numpy as np

from twomode import engines
from twomode._typing import JSON, Count, Horizon, SeedNumber, Whole
from twomode.checks import check_fields, checked, take
from twomode.errors import require, require_choice, require_memory, shown
from twomode.game import Game, GaussianStart, State
from twomode.rules import Optimizer

__all__ = ["ENGINES", "Run"]

ENGINES = ("auto", "reduced", "dense", "array", "cupy", "flow")
#: By which a gradient may change between records.
Factor: TypeAlias = Annotated[float, "(1, inf)"]
#: Of an integrator of order 8 in double precision.
Tolerance: TypeAlias = Annotated[float, "[1e-13, 1e-2]"]
#: More iterations than this no stepping engine takes.
MOST_STEPS = 10**12
#: Largest error of a flow's step by default.
RTOL = 1e-6


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
    steps: Horizon
    replicas: tuple[Whole, ...]
    seed: np.random.SeedSequence
    batch_size: Count | None
    engine: str
    record_every: Count
    resolve: Factor | None
    start: GaussianStart | State
    dtype: str
    rtol: Tolerance | None

    def __post_init__(self) -> None:
        check_fields(self)
        require(bool(self.replicas), "replicas=[] must name at least one")
        alike = isinstance(self.start, State) and self.start.W.ndim == 2 and not self.batch_size
        require(
            not alike or len(self.replicas) == 1,
            f"replicas={shown(self.replicas)} would be one run {len(self.replicas)} times: an"
            " explicit start without minibatches draws nothing; leave replicas out",
        )
        entropy = take("seed", self.seed.entropy, SeedNumber | list[SeedNumber])
        key = take("spawn_key", self.seed.spawn_key, tuple[SeedNumber, ...])
        object.__setattr__(self, "seed", np.random.SeedSequence(entropy, spawn_key=key))
        require_choice("dtype", self.dtype, ("float64", "float32"))
        self._require_effect()
        if self.engine == "reduced":
            engines.ReducedEngine.check(self.opt)
        if self.engine == "flow":
            engines.FlowEngine.check(self.opt)
        require(
            self.dtype == "float64" or self.engine == "dense",
            f"dtype={self.dtype!r} needs engine='dense', not {self.engine!r}",
        )
        if isinstance(self.start, GaussianStart) and self.in_span:
            require(
                self.start.modes == "random" or self.start.shared,
                f"modes={self.start.modes!r} has no effect on {self.opt.name} in R^r: it needs a"
                " coordinate-wise rule, as adam is, or shared=True",
            )
        self._require_memory()

    @property
    def in_span(self) -> bool:
        """Whether it is played in R^r."""
        own = not self.opt.compiled and self.opt.equivariant and self.engine in ("array", "cupy")
        return own or self.engine in ("reduced", "flow")

    def _require_effect(self) -> None:
        """Refuse what means nothing to the engine."""
        flow = self.engine == "flow"
        for name, of_flows, words in (
            ("rtol", True, "is the tolerance of an integrator, engine='flow'"),
            ("batch_size", False, "needs minibatches, which a flow has not: use engine='reduced'"),
            ("resolve", False, "has no effect on a flow: its steps are as short as they need be"),
        ):
            value = getattr(self, name)
            require(value is None or flow == of_flows, f"{name}={value!r} {words}")
        require(
            self.opt.compiled or self.engine in ("array", "cupy"),
            f"engine={self.engine!r} does not know the step of {self.opt.name!r}: use"
            " engine='array'",
        )
        remedy = "engine='flow' goes so far" if self.opt.has_flow else "choose fewer"
        require(
            flow or self.steps <= MOST_STEPS,
            f"steps={shown(self.steps)} are more than an engine takes one by one, {MOST_STEPS:.0e}:"
            f" {remedy}",
        )

    @classmethod
    @checked
    def of(
        cls,
        game: Game,
        opt: Optimizer,
        steps: Horizon,
        *,
        replicas: Count | Iterable[Whole] = 1,
        seed: SeedNumber | np.random.SeedSequence | None = None,
        batch_size: Count | None = None,
        engine: str = "auto",
        record_every: Count | None = None,
        resolve: Factor | None = None,
        start: State | GaussianStart | None = None,
        dtype: str = "float64",
        rtol: Tolerance | None = None,
    ) -> Run:
        """The run that the arguments of `twomode.simulate` describe."""
        require_choice("engine", engine, ENGINES)
        require(
            batch_size is not None or not (isinstance(seed, int) and isinstance(start, State)),
            f"seed={seed!r} has no effect: an explicit start without minibatches draws nothing",
        )
        if engine == "auto":
            compiled = "reduced" if opt.equivariant else "dense"
            engine = compiled if opt.compiled else "array"
        if not isinstance(seed, np.random.SeedSequence):
            seed = np.random.SeedSequence(seed or 0)
        return cls(
            game=game,
            opt=opt,
            steps=steps,
            replicas=_replica_indices(replicas),
            seed=seed,
            batch_size=batch_size,
            engine=engine,
            record_every=_interval(game, engine, steps, record_every),
            resolve=resolve,
            start=GaussianStart() if start is None else start,
            dtype=dtype,
            rtol=RTOL if rtol is None and engine == "flow" else rtol,
        )

    def changed(self, **changes: Any) -> Run:
        """The run with other steps, replicas, seed or records."""
        if "replicas" in changes:
            changes["replicas"] = _replica_indices(changes["replicas"])
        steps = changes["steps"] = take("steps", changes.get("steps", self.steps), Horizon)
        if "record_every" in changes:
            every = changes["record_every"]
            changes["record_every"] = _interval(self.game, self.engine, steps, every)
        return replace(self, **changes)

    def provenance(self) -> JSON:
        """Plain-JSON form of all but game, rule and an explicit start; see `from_provenance`."""
        return {
            "seed": self.seed.entropy,
            "spawn_key": list(self.seed.spawn_key),
            "replicas": list(self.replicas),
            "steps": self.steps,
            "batch_size": self.batch_size,
            "engine": self.engine,
            "record_every": self.record_every,
            "resolve": self.resolve,
            **({} if self.rtol is None else {"rtol": self.rtol}),
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
            rtol=source.get("rtol"),
            **{k: source[k] for k in ("steps", "batch_size", "engine", "record_every", "resolve")},
        )

    def _require_memory(self) -> None:
        """Refuse a run in R^d that would not fit, instead of being killed half-way."""
        game, vector = self.game, 8.0 * (self.game.m_D + self.game.m_G + 2) * self.game.d
        shared = isinstance(self.start, GaussianStart) and self.start.shared
        if not self.in_span:
            # The state, the steps, a gradient and a copy to record from, and the rule's memory.
            need = (4 + self.opt.memory) * len(self.replicas) * vector
            what = f" with {len(self.replicas)} replicas"
        else:
            need, what = 3 * vector if shared else 0.0, ""
        require_memory(
            need,
            f"d={game.d}{what}",
            "in R^d use a smaller d, fewer replicas, or a rotation-equivariant rule, which the"
            " reduced engine runs at any d",
        )
        # What is recorded, and a state in R^r and its gradient.
        record = 2.0 * game.m_G**2 + 2 * game.m_G + 4 * game.m_D
        length = engines.FlowEngine.USUAL if self.engine == "flow" else self.steps
        each = record * (2 + length / self.record_every) + 4.0 * (
            (game.m_D + game.m_G + 2) * game.reduced_dimension
        )
        require_memory(
            8 * each * len(self.replicas),
            f"m_D={game.m_D}, m_G={game.m_G} with {len(self.replicas)} replicas and"
            f" record_every={self.record_every}",
            "use fewer neurons, replicas or records",
        )


def _interval(game: Game, engine: str, steps: int, every: int | None) -> int:
    """Iterations between records: as many as asked for, by default by the engine."""
    if every is not None:
        return int(take("record_every", every, Count))
    if engine == "flow":
        return engines.FlowEngine.PLACES
    points = max(150, len(game.latent_points[1]))
    records = 150_000 / points if engine == "reduced" else 200
    return max(1, math.ceil(min(steps, MOST_STEPS) / records))


def _replica_indices(replicas: int | Iterable[int]) -> tuple[int, ...]:
    replicas = take("replicas", replicas, Count | Iterable[Whole])
    if isinstance(replicas, int):
        # A stream, a state and a record of each.
        require_memory(1024.0 * replicas, f"replicas={replicas}", "use fewer")
        return tuple(range(replicas))
    for replica, times in Counter(replicas).most_common(1):
        require(
            times == 1,
            f"replicas names replica {replica} {times} times: each is one run, name it once",
        )
    return tuple(replicas)
