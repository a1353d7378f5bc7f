"""What is recorded of a run, and the recorder that collects it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from twomode._typing import Array
from twomode.engines import Engine, Flow, Observer
from twomode.errors import require
from twomode.game import NU, Game, Outputs, at_rest, player_norms

__all__ = ["OF_FLOWS", "TRACE", "Recorder", "is_finite", "snapshot", "to_host"]

#: The recorded quantities, each with shape (R, T, ...) in a `Result`, and what stands for the dots.
TRACE: dict[str, tuple[str | int, ...]] = {
    "projections_V": ("m_G", 2),
    "gram_V": ("m_G", "m_G"),
    "projections_W": ("m_D", 2),
    "norms_W": ("m_D",),
    "bias": (),
    "grad_norms": (2,),
    "peak_grad_norms": (2,),
    "update_norms": (2,),
    "objective": (),
}
#: What is recorded of a flow besides.
OF_FLOWS: dict[str, tuple[str | int, ...]] = {"intervals": (), "differences_V": ("m_G",)}
#: With `resolve`, the interval between records may be this much shorter than asked for.
FINEST = 64
#: Numbers of records that are made at once, at most.
_AT_ONCE = 2**20

#: Those that are finite as long as the state is.
_TELLTALES = ("projections_V", "gram_V", "projections_W", "norms_W", "bias", "objective")


def is_finite(trace: Mapping[str, np.ndarray]) -> np.ndarray:
    """Where the state is finite, as far as the trace tells, of the shape of ``trace["bias"]``."""
    axes = trace["bias"].ndim
    parts = (np.isfinite(trace[name]) for name in _TELLTALES)
    return np.logical_and.reduce([x.all(axis=tuple(range(axes, x.ndim))) for x in parts])


def snapshot(game: Game, engine: Engine) -> dict[str, Array]:
    """Everything of `TRACE` at an engine's present state, each with shape (R, ...).

    The gradient norms are those of the population gradient, also in a minibatch run.
    """
    if isinstance(engine, Observer):
        return {name: x[0] for name, x in engine.observe(1, 0).items()}
    state = engine.state
    xp, W, V, U = state.xp, state.W, state.V, state.U
    gradient = game.evaluate(state)
    record = {
        "projections_V": xp.matmul(V, U.mT),
        "gram_V": xp.matmul(V, V.mT),
        "projections_W": xp.matmul(W, U.mT),
        "norms_W": xp.sqrt(xp.sum(W * W, axis=-1)),
        "bias": state.b,
        "grad_norms": player_norms(gradient),
        "peak_grad_norms": engine.peak_grad_norms,
        "update_norms": engine.update_norms,
        "objective": gradient.objective,
    }
    if isinstance(engine, Flow):
        differences = xp.matmul(V, (U[:, :1] - U[:, 1:]).mT)[..., 0]
        record |= {"intervals": engine.take_lap(), "differences_V": differences}
    return record


class Recorder:
    """Collects the trace of all replicas of an engine at the planned iterations.

    Parameters
    ----------
    game : Game
    engine : Engine
        What runs.
    steps : int, optional
        The last iteration; None if the engine knows when to end.
    every : int
        Iterations between records; the first and the last iteration always are recorded.
    resolve : float, optional
        Record sooner where a gradient norm would change by more than this factor from one record
        to the next, until its replica has come to rest for the first time.
    """

    def __init__(
        self,
        game: Game,
        engine: Engine,
        steps: int | None,
        every: int,
        resolve: float | None = None,
    ) -> None:
        self.game, self.engine = game, engine
        self.last_step, self._every = steps, every
        self._resolve, self._interval = resolve, every
        self._watched = np.full(engine.replicas, resolve is not None)
        self._records: list[dict[str, np.ndarray]] = []  # of some iterations each, (N, R, ...)
        self._steps: list[int] = []
        self.diverged_at = np.full(engine.replicas, -1)
        #: The next iteration to record; None at the end, or when nothing moves any more.
        self.next_step: int | None = engine.t

    @property
    def steps(self) -> np.ndarray:
        """The recorded iterations, shape (T,)."""
        return np.array(self._steps)

    @property
    def memory(self) -> dict[str, np.ndarray]:
        """Everything recorded so far, and when to record next."""
        return {
            **self.arrays(),
            "steps": self.steps,
            "diverged_at": self.diverged_at,
            "watched": self._watched,
            "interval": np.array(self._interval),
            "next_step": np.array(-1 if self.next_step is None else self.next_step),
        }

    def restore(self, memory: Mapping[str, np.ndarray]) -> None:
        """Go on from where another recorder of the same run had this memory."""
        notes = ("steps", "diverged_at", "watched", "interval", "next_step")
        steps, self.diverged_at, self._watched, interval, next_step = (memory[n] for n in notes)
        trace = {name: x for name, x in memory.items() if name not in notes}
        flow = isinstance(self.engine, Flow)
        require(trace.keys() == {*TRACE, *(OF_FLOWS if flow else ())}, "not the records of a run")
        shape = (self.engine.replicas, len(steps))
        whole = all(x.shape[:2] == shape and x.dtype == float for x in trace.values())
        require(whole, f"not the records of {shape[0]} replicas at {shape[1]} iterations")
        self._records = [{name: np.moveaxis(x, 1, 0).copy() for name, x in trace.items()}]
        self._steps, self._interval = steps.tolist(), int(interval)
        self.next_step = None if next_step < 0 else int(next_step)

    def record(self) -> None:
        """Record the present state.  A replica that is not finite ends here, as NaN."""
        with np.errstate(over="ignore", invalid="ignore"):
            record = {n: to_host(x)[None] for n, x in snapshot(self.game, self.engine).items()}
        self._keep(record, np.array([self.engine.t]))

    @property
    def foreseen(self) -> int:
        """How many records from the next one on the engine could make at once, if any.

        They are an interval apart, whatever they show, but that replicas may end in any of them.
        """
        engine, game = self.engine, self.game
        if self.last_step is None or self._watched.any() or not isinstance(engine, Observer):
            return 0
        if not engine.foresees or self.next_step != engine.t + self._interval:
            return 0
        each = engine.replicas * (game.m_G + 4) * (game.m_G + game.m_D)
        return min((self.last_step - engine.t) // self._interval, _AT_ONCE // each)

    def record_ahead(self, records: int) -> None:
        """Advance the engine to so many of the foreseen records, and make them."""
        engine, every, began = self.engine, self._interval, self.engine.t
        assert isinstance(engine, Observer)
        before = {name: to_host(x, x.dtype) for name, x in engine.memory.items()}
        self._keep(engine.observe(records, every), began + every * np.arange(1, records + 1))
        if engine.t != self._steps[-1]:  # all have diverged: the run ends with the last of them
            engine.restore(before)
            engine.advance(self._steps[-1] - began)

    def _keep(self, made: dict[str, np.ndarray], steps: np.ndarray) -> None:
        """Records of some iterations, arrays of shape (N, R, ...), up to where all have ended."""
        broken = ~is_finite(made)
        ends = np.where(broken.any(axis=0), steps[broken.argmax(axis=0)], -1)
        self.diverged_at = np.where(self.diverged_at < 0, ends, self.diverged_at)
        over = (self.diverged_at >= 0) & (steps[:, None] >= self.diverged_at)
        for x in made.values():
            x[over] = np.nan
        if self._resolve is not None:
            self._interval = self._next_interval(made, self._resolve)
        count = int(over.all(axis=1).argmax()) + 1 if over[-1].all() else len(steps)
        self._records.append({name: x[:count] for name, x in made.items()})
        self._steps += steps[:count].tolist()
        self.next_step = self._after()

    def _after(self) -> int | None:
        over = (self.diverged_at >= 0) | self.engine.ended
        if self.engine.t == self.last_step or over.all():
            return None
        after = self.engine.t + self._interval
        return after if self.last_step is None else min(after, self.last_step)

    def _next_interval(self, made: dict[str, np.ndarray], resolve: float) -> int:
        """Shorter after a change that was too large, at most twice as long after a small one."""
        norms, peaks = made["grad_norms"][-1], made["peak_grad_norms"][-1]
        self._watched &= ~at_rest(norms, peaks, NU) & (self.diverged_at < 0)
        if not self._records or not self._watched.any():
            return self._every
        with np.errstate(divide="ignore", invalid="ignore"):
            changes = np.abs(np.log(norms / self._records[-1]["grad_norms"][-1]))[self._watched]
        change = float(np.max(changes, initial=0.0, where=np.isfinite(changes)))
        factor = min(2.0, max(0.25, math.log(resolve) / max(change, 1e-9)))
        least = max(1, self._every // FINEST)
        return max(least, min(self._every, math.floor(self._interval * factor)))

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything recorded so far, each with shape (R, T, ...)."""
        names = self._records[0]
        whole = {name: np.concatenate([r[name] for r in self._records]) for name in names}
        return {name: np.ascontiguousarray(np.moveaxis(x, 0, 1)) for name, x in whole.items()}

    def last(self) -> tuple[float, tuple[float, float]]:
        """Collapse cosine and coverage of the last record, medians over the finite replicas."""
        record, game = self._records[-1], self.game
        finite = self.diverged_at < 0
        if not finite.any():
            return float("nan"), (float("nan"), float("nan"))
        outputs = Outputs(
            record["projections_V"][-1, finite],
            record["gram_V"][-1, finite],
            game.gamma,
            game.latent_points[0],
        )
        cosine = outputs.mean_collapse_cosine(game.latent_points[1])
        first, second = np.median(outputs.coverage(game.latent_points[1]), axis=0)
        return float(np.median(cosine)), (float(first), float(second))


def to_host(array: Array, dtype: npt.DTypeLike = float) -> np.ndarray:
    """A writable NumPy copy, of float64 by default, whichever library and device hold the array."""
    if not isinstance(array, np.ndarray):
        # CuPy refuses implicit copies to the host and offers `get`; the standard has DLPack.
        array = array.get() if hasattr(array, "get") else np.from_dlpack(array, device="cpu")
    return np.array(array, dtype=dtype)
