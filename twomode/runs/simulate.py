"""One call from a game and a rule to a result: picks the engine, draws, advances, records."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from twomode._typing import FloatArray
from twomode.engines import ArrayEngine, DenseEngine, ReducedEngine
from twomode.errors import InputError, require, require_choice, require_whole
from twomode.game import Game, GaussianStart, State
from twomode.rules import Optimizer
from twomode.runs.result import Result
from twomode.runs.trace import Recorder, to_host

__all__ = ["ENGINES", "Progress", "checked_engine", "simulate"]

ENGINES = ("auto", "reduced", "dense", "array", "cupy")

#: Seconds between two reports of progress, about.
_REPORT_EVERY = 0.1
#: Largest number of minibatch weights that are drawn at once.
_WEIGHTS_AT_ONCE = 2_000_000
#: What a replica's random numbers are for, the last word of its stream's key.
_START, _DATA, _LATENT = range(3)


@dataclass(frozen=True)
class Progress:
    """How far a run is, and what its last record shows."""

    step: int
    steps: int
    collapse_cosine: float  #: median over replicas of E_z
    coverage: tuple[float, float]  #: medians over replicas


def simulate(
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
    progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Run replicas of a game under one rule.

    Parameters
    ----------
    game : Game
    opt : Optimizer
    steps : int
        Iterations.
    replicas : int or iterable of int
        How many, or which: replica k of a seed is the same run however it is asked for.
    seed : int or SeedSequence
        Root of all randomness.  Replica k draws from streams of its own.
    batch_size : int, optional
        Points of data and of z in a minibatch, drawn anew each iteration and shared by both
        players; the population gradient by default.  The cost does not depend on it.
    engine : {"auto", "reduced", "dense", "array", "cupy"}
        ``auto`` is ``reduced`` for rotation-equivariant rules, else ``dense``.  ``array`` and
        ``cupy`` work in R^d with whole arrays.
    record_every : int, optional
        Iterations between records; the first and the last iteration always are.  The default
        makes 1000 records with the reduced engine, fewer if the latent law has more than 150
        points, and 200 with the others.
    resolve : float, optional
        Record more often, up to 64 times, where a gradient norm changes by more than this factor
        between records, until its replica has come to rest for the first time (at T_0, see
        `twomode.first_stationary`).  What happens around T_0 may take some thirty iterations in
        a million.
    start : GaussianStart or State, optional
        How to draw each replica's start (the canonical one by default), or an explicit one.  The
        reduced engine draws in R^r: the same law as in R^d, not the same numbers.
    dtype : {"float64", "float32"}
        Precision of the dense engine.  The reduced one uses float64, ``array`` and ``cupy`` that of
        the start.
    progress : callable, optional
        Called with a `Progress` about ten times a second.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        For an unusable value, or a problem that does not fit into memory.

    Notes
    -----
    Results do not depend, to the last bit, on the number of threads, on how the work is cut into
    chunks, or on the other replicas; with `resolve`, the iterations that are recorded do, since
    the replicas share them.
    """
    steps = require_whole("steps", steps, 0)
    chosen = _replica_indices(replicas)
    engine = checked_engine(
        game,
        opt,
        replicas=len(chosen),
        batch_size=batch_size,
        engine=engine,
        dtype=dtype,
        record_every=record_every,
        resolve=resolve,
        start=start,
    )
    batch_size, record_every = (None if n is None else int(n) for n in (batch_size, record_every))
    if not isinstance(seed, np.random.SeedSequence):
        seed = np.random.SeedSequence(require_whole("seed", seed, 0))
    start = GaussianStart() if start is None else start
    require(
        isinstance(start, (GaussianStart, State)),
        f"start={start!r} must be a GaussianStart or a State",
    )
    runner = _make_engine(game, opt, engine, dtype, _draw_start(game, start, engine, seed, chosen))
    batches = None if batch_size is None else _Batches(game, batch_size, seed, chosen)
    if record_every is None:
        points = max(150, len(game.latent_points[1]))
        records = 150_000 / points if engine == "reduced" else 200
        record_every = max(1, math.ceil(steps / records))

    began = time.perf_counter()
    runner.advance(0, None if batches is None else batches.draw(0))  # compiles, where needed
    compiled = time.perf_counter()
    recorder = Recorder(game, runner, steps, record_every, resolve)
    _run(runner, recorder, batches, progress)
    ended = time.perf_counter()

    done, last = int(recorder.steps[-1]), runner.state
    return Result(
        game=game,
        opt=opt,
        steps=recorder.steps,
        **recorder.arrays(),
        state=State(**{name: to_host(x) for name, x in last.arrays().items()}),
        diverged_at=recorder.diverged_at,
        provenance={
            "seed": np.asarray(seed.entropy, dtype=object).tolist(),
            "spawn_key": list(seed.spawn_key),
            "replicas": chosen,
            "batch_size": batch_size,
            "engine": engine,
            "dtype": str(last.b.dtype),
            "start": start.to_dict() if isinstance(start, GaussianStart) else "explicit",
            "wall_seconds": ended - began,
            "compile_seconds": compiled - began,
            "steps_per_second": done * len(chosen) / max(ended - compiled, 1e-9),
            "versions": _versions(),
        },
    )


def checked_engine(
    game: Game,
    opt: Optimizer,
    *,
    replicas: int = 1,
    batch_size: int | None = None,
    engine: str = "auto",
    dtype: str = "float64",
    record_every: int | None = None,
    resolve: float | None = None,
    start: State | GaussianStart | None = None,
) -> str:
    """The engine that these options of `simulate` stand for.

    Raises
    ------
    InputError
        If one of them is unusable, alone or with the others, or the run does not fit into memory.
    """
    if batch_size is not None:
        batch_size = require_whole("batch_size", batch_size, 1)
        require(batch_size < 2**63, f"batch_size={batch_size} must be less than 2^63")
    if record_every is not None:
        require_whole("record_every", record_every, 1)
    if resolve is not None:
        require(1 < resolve < math.inf, f"resolve={resolve!r} must be a factor greater than 1")
    require_choice("engine", engine, ENGINES)
    require_choice("dtype", dtype, ("float64", "float32"))
    if engine == "auto":
        engine = "reduced" if opt.equivariant else "dense"
    if engine == "reduced":
        ReducedEngine.check(opt)
    require(
        dtype == "float64" or engine == "dense",
        f"dtype={dtype!r} needs engine='dense', not {engine!r}",
    )
    if engine == "reduced" and isinstance(start, GaussianStart) and start.shared:
        _require_memory(game, 3 * 8.0 * (game.m_D + game.m_G + 2) * game.d)
    if engine != "reduced":
        copies = 4 + opt.memory  # the state, the steps, a gradient and a copy to record from
        need = 8.0 * copies * replicas * (game.m_D + game.m_G + 2) * game.d
        _require_memory(game, need, f" with {replicas} replicas")
    return engine


def _run(
    runner: Any,
    recorder: Recorder,
    batches: _Batches | None,
    progress: Callable[[Progress], None] | None,
) -> None:
    """Advance from record to record, in pieces of about `_REPORT_EVERY` seconds."""

    def report() -> None:
        if progress is not None:
            progress(Progress(runner.t, recorder.last_step, *recorder.last()))

    recorder.record()
    piece, reported = 16, time.perf_counter()
    while (target := recorder.next_step) is not None:
        while runner.t < target:
            n = min(piece, target - runner.t)
            if batches is not None:
                n = min(n, batches.at_once)
            began = time.perf_counter()
            runner.advance(n, None if batches is None else batches.draw(n))
            now = time.perf_counter()
            growth = _REPORT_EVERY / max(now - began, 1e-9)
            if growth < 1 or n == piece:
                piece = max(1, round(n * min(2.0, growth)))
            if now - reported >= _REPORT_EVERY:
                report()
                reported = now
        recorder.record()
    report()


class _Batches:
    """Minibatches of every replica, step by step, from streams of their own."""

    def __init__(
        self, game: Game, size: int, root: np.random.SeedSequence, replicas: Sequence[int]
    ) -> None:
        self.size = size
        self._laws = (game.data_points[1], game.latent_points[1])
        self._streams = [
            [_stream(root, k, purpose) for k in replicas] for purpose in (_DATA, _LATENT)
        ]
        weights_a_step = len(replicas) * sum(map(len, self._laws))
        #: Steps that are drawn together, for speed and within memory.
        self.at_once = max(1, min(1024, _WEIGHTS_AT_ONCE // weights_a_step))
        self._drawn, self._given = self._draw(0), 0

    def draw(self, steps: int) -> tuple[FloatArray, FloatArray]:
        """Weights counts/size of the next iterations, shapes (R, steps, S) of data and latents."""
        left = self._drawn[0].shape[1] - self._given
        if steps > left:
            old = [x[:, self._given :] for x in self._drawn]
            new = self._draw(max(self.at_once, steps - left))
            self._drawn = [np.concatenate(pair, axis=1) for pair in zip(old, new, strict=True)]
            self._given = 0
        chosen = slice(self._given, self._given + steps)
        self._given += steps
        data, latents = (x[:, chosen] for x in self._drawn)
        return data, latents

    def _draw(self, steps: int) -> list[FloatArray]:
        return [
            np.stack([s.multinomial(self.size, p, size=steps) for s in streams]) / self.size
            for streams, p in zip(self._streams, self._laws, strict=True)
        ]


def _stream(root: np.random.SeedSequence, replica: int, purpose: int) -> np.random.Generator:
    key = (*root.spawn_key, replica, purpose)
    sequence = np.random.SeedSequence(root.entropy, spawn_key=key)
    return np.random.Generator(np.random.Philox(sequence))


def _draw_start(
    game: Game,
    start: State | GaussianStart,
    engine: str,
    root: np.random.SeedSequence,
    replicas: Sequence[int],
) -> State:
    """The start of every replica, with a replica axis."""
    if isinstance(start, State):
        game.check(start)
        return start.replicated(len(replicas))
    reduced = engine == "reduced"

    def draw(stream: np.random.Generator) -> State:
        if not start.shared:
            return start.draw_reduced(game, stream) if reduced else start.draw(game, stream)
        drawn = start.draw(game, stream)
        return drawn.reduce()[0] if reduced else drawn

    starts = [draw(_stream(root, k, _START)) for k in replicas]
    names = starts[0].arrays()
    return State(**{name: np.stack([getattr(s, name) for s in starts]) for name in names})


def _make_engine(game: Game, opt: Optimizer, engine: str, dtype: str, start: State) -> Any:
    if engine == "reduced":
        return ReducedEngine(game, opt, start)
    if engine == "dense":
        return DenseEngine(game, opt, start, dtype)
    if engine == "cupy":
        start = _on_gpu(start)
    return ArrayEngine(game, opt, start)


def _on_gpu(start: State) -> State:
    try:
        import cupy

        cupy.cuda.runtime.getDevice()
    except Exception as error:  # a missing library, driver or device, each with its own exception
        raise InputError(
            f"engine 'cupy' needs CuPy and a CUDA GPU ({str(error).splitlines()[0]}):"
            ' pip install "twomode[gpu]", or use another engine'
        ) from error
    return State(**{name: cupy.asarray(x) for name, x in start.arrays().items()})


def _require_memory(game: Game, need: float, what: str = "") -> None:
    """Refuse a run in R^d that would not fit, instead of being killed half-way."""
    have = float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    require(
        need <= 0.9 * have,
        f"d={game.d}{what} needs about {need / 2**30:.3g} GiB in R^d, and this"
        f" machine has {have / 2**30:.3g}: use a smaller d, fewer replicas, or a"
        " rotation-equivariant rule, which the reduced engine runs at any d",
    )


def _replica_indices(replicas: int | Iterable[int]) -> list[int]:
    if isinstance(replicas, np.ndarray):
        replicas = replicas.tolist()
    if isinstance(replicas, Iterable):
        chosen = [require_whole("replica", k, 0) for k in replicas]
        require(bool(chosen), "replicas=[] must name at least one")
        return chosen
    return list(range(require_whole("replicas", replicas, 1)))


def _versions() -> dict[str, str]:
    versions = {name: metadata.version(name) for name in ("twomode", "numpy", "numba")}
    return versions | {"python": platform.python_version(), "machine": platform.machine()}
