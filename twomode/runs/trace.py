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
#: Records that are made at once, at most: those after the end of all replicas are made in vain.
_AT_ONCE = 128

#: Those that are finite as long as the state is.
_TELLTALES = ("projections_V", "gram_V", "projections_W", "norms_W", "bias", "objective")


def recorded(flow: bool) -> dict[str, tuple[str | int, ...]]:
    """`TRACE`, and of flows `OF_FLOWS` too."""
    return TRACE | OF_FLOWS if flow else TRACE


def is_finite(trace: Mapping[str, np.ndarray]) -> np.ndarray:
    """Where the state is finite, as far as the trace tells, of the shape of ``trace["bias"]``."""
    axes, parts = trace["bias"].ndim, [np.isfinite(trace[name]) for name in _TELLTALES]
    if all(x.all() for x in parts):
        return np.ones(trace["bias"].shape, dtype=bool)
    return np.logical_and.reduce([x.all(axis=tuple(range(axes, x.ndim))) for x in parts])


def room(game: Game, engine: Engine, records: int) -> dict[str, np.ndarray]:
    """Arrays for so many records of an engine, each with shape (R, T, ...), not filled."""
    sizes: dict[str | int, int] = {"m_D": game.m_D, "m_G": game.m_G, 2: 2}
    whole, names = (engine.replicas, records), recorded(isinstance(engine, Flow))
    return {name: np.empty((*whole, *(sizes[n] for n in rest))) for name, rest in names.items()}


def snapshot(game: Game, engine: Engine) -> dict[str, Array]:
    """Everything of `TRACE` at an engine's present state, each with shape (R, ...).

    The gradient norms are those of the population gradient, also in a minibatch run.
    """
    if isinstance(engine, Observer):
        trace = room(game, engine, 1)
        engine.observe(1, 0, trace, 0)
        return {name: x[:, 0] for name, x in trace.items()}
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
        self._trace = room(game, engine, 0)  # may have room for more than there are
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
        require(trace.keys() == self._trace.keys(), "not the records of a run")
        R, T = self.engine.replicas, len(steps)
        shapes = {name: (R, T, *x.shape[2:]) for name, x in self._trace.items()}
        whole = all(x.shape == shapes[name] and x.dtype == float for name, x in trace.items())
        require(whole, f"not the records of {R} replicas at {T} iterations")
        self._trace = trace  # without room, so that nothing is written to it
        self._steps, self._interval = steps.tolist(), int(interval)
        self.next_step = None if next_step < 0 else int(next_step)

    def record(self) -> None:
        """Record the present state.  A replica that is not finite ends here, as NaN."""
        trace, now = self._with_room(1), len(self._steps)
        with np.errstate(over="ignore", invalid="ignore"):
            for name, x in snapshot(self.game, self.engine).items():
                trace[name][:, now] = to_host(x)
        self._keep(np.array([self.engine.t]))

    @property
    def foreseen(self) -> int:
        """How many records from the next one on the engine could make at once, if any.

        More than one if they are an interval apart, whatever they show, but that replicas may end
        in any of them.
        """
        engine = self.engine
        if self.last_step is None or not (isinstance(engine, Observer) and engine.foresees):
            return 0
        if self._watched.any() or self.next_step != engine.t + self._interval:
            return 1
        return min(_AT_ONCE, (self.last_step - engine.t) // self._interval)

    def record_ahead(self, records: int) -> None:
        """Advance the engine to so many of the foreseen records, and make them."""
        engine, began = self.engine, self.engine.t
        assert isinstance(engine, Observer)
        assert self.next_step is not None
        every, before = self.next_step - began, {}
        if records > 1:
            before = {name: to_host(x, x.dtype) for name, x in engine.memory.items()}
        engine.observe(records, every, self._with_room(records), len(self._steps))
        self._keep(began + every * np.arange(1, records + 1))
        if engine.t != self._steps[-1]:  # all have diverged: the run ends with the last of them
            engine.restore(before)
            engine.advance(self._steps[-1] - began)

    def _with_room(self, records: int) -> dict[str, np.ndarray]:
        """The trace, with room for so many more: for all that are planned, or for half more."""
        made, there = len(self._steps), self._trace["bias"].shape[1]
        if made + records > there:
            planned = -(-(self.last_step or 0) // self._every) + 1
            longer = max(made + records, planned, there + there // 2)
            old, self._trace = self._trace, room(self.game, self.engine, longer)
            for name, x in old.items():
                self._trace[name][:, :made] = x[:, :made]
        return self._trace

    def _keep(self, steps: np.ndarray) -> None:
        """Take what was recorded at some iterations, up to where all replicas have ended."""
        made = slice(len(self._steps), len(self._steps) + len(steps))
        trace = {name: x[:, made] for name, x in self._trace.items()}
        broken = ~is_finite(trace)
        if broken.any() or (self.diverged_at >= 0).any():
            ends = np.where(broken.any(axis=1), steps[broken.argmax(axis=1)], -1)
            self.diverged_at = np.where(self.diverged_at < 0, ends, self.diverged_at)
            over = (self.diverged_at[:, None] >= 0) & (steps >= self.diverged_at[:, None])
            for x in trace.values():
                x[over] = np.nan
            if over[:, -1].all():
                steps = steps[: over.all(axis=0).argmax() + 1]
        self._steps += steps.tolist()
        if self._resolve is not None:
            self._interval = self._next_interval(self._resolve)
        self.next_step = self._after()

    def _after(self) -> int | None:
        over = (self.diverged_at >= 0) | self.engine.ended
        if self.engine.t == self.last_step or over.all():
            return None
        after = self.engine.t + self._interval
        return after if self.last_step is None else min(after, self.last_step)

    def _next_interval(self, resolve: float) -> int:
        """Shorter after a change that was too large, at most twice as long after a small one."""
        now = len(self._steps) - 1
        norms, peaks = (self._trace[name][:, now] for name in ("grad_norms", "peak_grad_norms"))
        self._watched &= ~at_rest(norms, peaks, NU) & (self.diverged_at < 0)
        if now == 0 or not self._watched.any():
            return self._every
        before = self._trace["grad_norms"][:, now - 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            changes = np.abs(np.log(norms / before))[self._watched]
        change = float(np.max(changes, initial=0.0, where=np.isfinite(changes)))
        factor = min(2.0, max(0.25, math.log(resolve) / max(change, 1e-9)))
        least = max(1, self._every // FINEST)
        return max(least, min(self._every, math.floor(self._interval * factor)))

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything recorded so far, each with shape (R, T, ...)."""
        count = len(self._steps)
        return {name: np.ascontiguousarray(x[:, :count]) for name, x in self._trace.items()}

    def last(self) -> tuple[float, tuple[float, float]]:
        """Collapse cosine and coverage of the last record, medians over the finite replicas."""
        now, game = len(self._steps) - 1, self.game
        finite = self.diverged_at < 0
        if not finite.any():
            return float("nan"), (float("nan"), float("nan"))
        outputs = Outputs(
            self._trace["projections_V"][finite, now],
            self._trace["gram_V"][finite, now],
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
