"""Playing a run: makes the engine, draws, advances, records."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from twomode import engines
from twomode._typing import JSON, FloatArray, IntArray
from twomode.engines import ArrayEngine, Engine, Flow
from twomode.errors import InputError
from twomode.game import State
from twomode.progress import Progress, Report, unreported, watched
from twomode.runs.checkpoint import Checkpoint, Part
from twomode.runs.run import Run
from twomode.runs.streams import Minibatches, draw_start
from twomode.runs.trace import Recorder

__all__ = ["Played", "RunProgress", "play"]

#: Seconds between two reports of progress, about.
_REPORT_EVERY = 0.1


@dataclass(frozen=True)
class RunProgress(Progress):
    """How far a run is, and what its last record shows."""

    collapse_cosine: float = float("nan")  #: median over replicas of the mean over z != 0
    coverage: tuple[float, float] = (float("nan"), float("nan"))  #: medians over replicas

    @property
    def note(self) -> str:
        """The collapse cosine and the coverage."""
        first, second = self.coverage
        return f"cos={self.collapse_cosine:.3f} coverage={first:.2f}/{second:.2f}"


class Played(NamedTuple):
    """What a run leaves: the fields of a `Result` that it did not have before."""

    steps: IntArray
    trace: dict[str, FloatArray]
    state: State
    diverged_at: IntArray
    wall_seconds: float
    compile_seconds: float
    notes: JSON  #: what the engine has to say


def play(
    run: Run, progress: Report | bool | None = None, checkpoint: Checkpoint | None = None
) -> Played:
    """Play a run from its start, or from where its checkpoint has it, to its end.

    `progress` takes a `RunProgress`, True is a bar.
    """
    start = draw_start(run.game, run.start, run.seed, run.replicas, reduced=run.in_span)
    batches = None
    if run.batch_size is not None:
        batches = Minibatches(run.game, run.batch_size, run.seed, run.replicas)
    began = time.perf_counter()
    engine = _make_engine(run, start)
    engine.advance(0, None if batches is None else batches.draw(0, 0))  # compiles, where needed
    compiled = time.perf_counter()
    last = None if isinstance(engine, Flow) else run.steps
    recorder = Recorder(run.game, engine, last, run.record_every, run.resolve)
    parts: dict[str, Part] = {"engine": engine, "records": recorder}
    before = 0.0 if checkpoint is None else checkpoint.seconds

    def keep(last: bool = False) -> None:
        if checkpoint is not None and (last or checkpoint.due):
            checkpoint.write(parts, before + time.perf_counter() - compiled)

    if checkpoint is not None:
        checkpoint.restore(parts)
    with watched(progress, f"{run.opt.name} d={run.game.d}") as report:
        _advance(engine, recorder, batches, report, keep)
    return Played(
        steps=recorder.steps,
        trace=recorder.arrays(),
        state=engine.state,
        diverged_at=recorder.diverged_at,
        wall_seconds=before + time.perf_counter() - began,
        compile_seconds=compiled - began,
        notes=engine.notes if isinstance(engine, Flow) else {},
    )


def _advance(
    engine: Engine,
    recorder: Recorder,
    batches: Minibatches | None,
    progress: Report,
    keep: Callable[..., None],
) -> None:
    """Advance from record to record, in pieces of about `_REPORT_EVERY` seconds.

    A checkpoint may lie between any two pieces: records may be hours apart.
    """

    def report() -> None:
        if progress is unreported:
            return
        cosine, coverage = recorder.last()
        done, total, unit = engine.t, recorder.last_step, "it"
        if total is None:  # a flow comes to its end when it does
            done, total, unit = int(np.sum(engine.ended)), engine.replicas, "replicas"
        progress(RunProgress(done, total, unit, collapse_cosine=cosine, coverage=coverage))

    over, piece, reported = recorder.next_step is None, 16, time.perf_counter()
    while (target := recorder.next_step) is not None:
        left = target - engine.t
        if not left:
            recorder.record()
            continue
        ahead = min(piece // left, recorder.foreseen) if batches is None else 0
        began = time.perf_counter()
        if ahead:
            n = ahead * left
            recorder.record_ahead(ahead)
        elif batches is None:
            engine.advance(n := min(piece, left))
        else:
            n = min(piece, left, batches.at_once)
            engine.advance(n, batches.draw(engine.t, n))
        now = time.perf_counter()
        growth = _REPORT_EVERY / max(now - began, 1e-9)
        longer = round(n * min(2.0, growth))
        if growth < 1 or longer > piece:
            piece = max(1, longer)
        if now - reported >= _REPORT_EVERY:
            report()
            reported = now
        keep()
    if not over:
        keep(last=True)
    report()


def _make_engine(run: Run, start: State) -> Engine:
    if run.engine == "reduced":
        return engines.ReducedEngine(run.game, run.opt, start)
    if run.engine == "flow":
        assert run.rtol is not None
        return engines.FlowEngine(run.game, run.opt, start, run.steps, run.rtol)
    if run.engine == "dense":
        return engines.DenseEngine(run.game, run.opt, start, run.dtype)
    if run.engine == "cupy":
        start = _on_gpu(start)
    return ArrayEngine(run.game, run.opt, start)


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
