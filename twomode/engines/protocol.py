"""What an engine is to whoever runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

from twomode._typing import JSON, Array, BoolArray, FloatArray
from twomode.game import State

__all__ = ["Batches", "Engine", "Flow", "Observer"]

#: Weights of the points of a minibatch, step by step: shapes (R, steps, S) of data and latents.
Batches: TypeAlias = tuple[FloatArray, FloatArray]


class Engine(Protocol):
    """Advances R replicas of a game under one rule; `ArrayEngine` is the oracle of the others.

    Whoever writes a fourth provides this, made from a game, an `Optimizer` and a start with a
    replica axis, and an entry in `twomode.runs.play`.  A replica's numbers may depend neither on
    the other replicas, nor on the number of threads, nor on how iterations are divided into calls
    of `advance`; one that diverges holds infinities or NaN and disturbs no other.  Arrays may
    live in any library that follows the Python array API standard.
    """

    @property
    def t(self) -> int:
        """Iterations so far."""

    @property
    def replicas(self) -> int:
        """R."""

    @property
    def state(self) -> State:
        """Where the players are, with a replica axis, in R^d or reduced to R^r."""

    @property
    def ended(self) -> BoolArray | bool:
        """Which replicas no call of `advance` will move any more, shape (R,), or none or all."""

    @property
    def update_norms(self) -> Array:
        """Length of the last move over eta for (D, G), shape (R, 2); NaN before any.

        Of the whole move, theta_t - theta_{t-1}: decay, old steps and the anchor's pull included.
        Where it is more than a step, what is lost in rounding is no move.
        """

    @property
    def peak_grad_norms(self) -> Array:
        """Largest norm of the gradient of (D, G) over all iterations so far, shape (R, 2).

        Of the gradients that the rule was given: before a correction, and of the minibatch.
        """

    @property
    def memory(self) -> dict[str, Array]:
        """All that going on depends on besides game, rule and start, by name (not copied)."""

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Go on, to the last bit, from where an engine of the same making had this memory."""

    def advance(self, steps: int, batches: Batches | None = None) -> None:
        """Take `steps` iterations; none at all compiles what there is to compile.

        Parameters
        ----------
        steps : int
        batches : pair of ndarray, shapes (R, steps, S_data) and (R, steps, S_latent), optional
            Weights of the points, for minibatches; the population gradient by default.
        """


class Flow:
    """What an engine provides besides if it ends when it is time, and keeps a time of its own."""

    @property
    def notes(self) -> JSON:
        """What it took, and why it ended, replica by replica."""
        raise NotImplementedError

    def take_lap(self) -> FloatArray:
        """Iterations of each replica since the last call, shape (R,)."""
        raise NotImplementedError


class Observer:
    """What an engine provides besides if it takes records itself, faster than `Game` does."""

    @property
    def foresees(self) -> bool:
        """Whether it can take iterations between the records that it observes."""
        raise NotImplementedError

    def observe(
        self, records: int, every: int, trace: Mapping[str, FloatArray], first: int
    ) -> None:
        """Take `every` iterations and observe, `records` times over.

        Parameters
        ----------
        records, every : int
        trace : mapping of str to ndarray
            By the names of `twomode.runs.TRACE`, each with shape (R, T, ...), in row-major order.
            Written to.
        first : int
            The first of the T records to fill.
        """
        raise NotImplementedError
