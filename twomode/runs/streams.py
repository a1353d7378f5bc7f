"""The random numbers of a run: streams of each replica, its start, its minibatches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from twomode import engines
from twomode._typing import FloatArray
from twomode.engines import Batches
from twomode.game import Game, GaussianStart, State

__all__ = ["Minibatches", "draw_start"]

#: Largest number of minibatch weights that are drawn at once.
_WEIGHTS_AT_ONCE = 2_000_000
#: Largest minibatch whose points are drawn one by one; beyond it that takes longer.
_COUNTED = 512
#: Iterations of larger ones that have a generator in common.
_TOGETHER = 64
#: What a replica's random numbers are for, the last word of its stream's key.
_START, _DATA, _LATENT = range(3)


def _sequence(root: np.random.SeedSequence, replica: int, purpose: int) -> np.random.SeedSequence:
    """A seed of its own for each replica and purpose."""
    return np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, replica, purpose))


def stream(root: np.random.SeedSequence, replica: int, purpose: int) -> np.random.Generator:
    """Its generator."""
    return np.random.Generator(np.random.Philox(_sequence(root, replica, purpose)))


def _key(root: np.random.SeedSequence, replica: int, purpose: int) -> np.ndarray:
    """Its key, two words of 32 bits."""
    return _sequence(root, replica, purpose).generate_state(2).astype(np.uint64)


def draw_start(
    game: Game,
    start: State | GaussianStart,
    root: np.random.SeedSequence,
    replicas: Sequence[int],
    *,
    reduced: bool,
) -> State:
    """The start of every replica, with a replica axis, in R^d or reduced to R^r."""
    if isinstance(start, State):
        game.check(start)
        return start.replicated(len(replicas))
    how = start

    def draw(rng: np.random.Generator) -> State:
        if not how.shared:
            return how.draw_reduced(game, rng) if reduced else how.draw(game, rng)
        drawn = how.draw(game, rng)
        return drawn.reduce()[0] if reduced else drawn

    starts = [draw(stream(root, k, _START)) for k in replicas]
    names = starts[0].arrays()
    return State(**{name: np.stack([getattr(s, name) for s in starts]) for name in names})


class Minibatches:
    """Minibatches of every replica: a function of the iteration, by streams of their own.

    Up to `_COUNTED` points are drawn one by one, by `draw_points`; the counts of more by NumPy,
    for some iterations together.
    """

    def __init__(
        self, game: Game, size: int, root: np.random.SeedSequence, replicas: Sequence[int]
    ) -> None:
        self.size = size
        laws, counted = (game.data_points[1], game.latent_points[1]), size <= _COUNTED
        self._draw: Callable[..., None] = engines.draw_points if counted else _draw_counts
        self._points = [engines.alias_table(p) if counted else p for p in laws]
        self._lengths = [len(p) for p in laws]
        self._keys = np.array(
            [[_key(root, k, purpose) for k in replicas] for purpose in (_DATA, _LATENT)]
        )
        weights_a_step = len(replicas) * sum(self._lengths)
        #: Steps that are best drawn together, for speed and within memory.
        self.at_once = max(1, min(1024, _WEIGHTS_AT_ONCE // weights_a_step))

    def draw(self, first: int, steps: int) -> Batches:
        """Weights counts/size of iterations, shapes (R, steps, S) of data and latents."""
        data, latents = (np.empty((len(self._keys[0]), steps, n)) for n in self._lengths)
        for weights, keys, points in zip((data, latents), self._keys, self._points, strict=True):
            self._draw(weights, self.size, first, keys, points)
        return data, latents


def _draw_counts(
    weights: FloatArray, size: int, first: int, keys: np.ndarray, p: FloatArray
) -> None:
    """As `draw_points`, by NumPy."""
    steps = weights.shape[1]
    for own, key in zip(weights, keys, strict=True):
        for n in range(first - first % _TOGETHER, first + steps, _TOGETHER):
            # Whatever is asked for, the same iterations are drawn together.
            bits = np.random.Philox(key=key, counter=[0, 0, n, 0])
            counts = np.random.Generator(bits).multinomial(size, p, size=_TOGETHER)
            chosen = counts[max(first - n, 0) : first + steps - n]
            np.divide(chosen, size, out=own[max(n - first, 0) :][: len(chosen)])
