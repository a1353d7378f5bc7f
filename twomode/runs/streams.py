"""The random numbers of a run: streams of each replica, its start, its minibatches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twomode._typing import FloatArray
from twomode.engines import Batches
from twomode.game import Game, GaussianStart, State

__all__ = ["Minibatches", "draw_start"]

#: Largest number of minibatch weights that are drawn at once.
_WEIGHTS_AT_ONCE = 2_000_000
#: What a replica's random numbers are for, the last word of its stream's key.
_START, _DATA, _LATENT = range(3)


def stream(root: np.random.SeedSequence, replica: int, purpose: int) -> np.random.Generator:
    """A generator of its own for each replica and purpose."""
    key = (*root.spawn_key, replica, purpose)
    sequence = np.random.SeedSequence(root.entropy, spawn_key=key)
    return np.random.Generator(np.random.Philox(sequence))


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
    """Minibatches of every replica, step by step, from streams of their own."""

    def __init__(
        self, game: Game, size: int, root: np.random.SeedSequence, replicas: Sequence[int]
    ) -> None:
        self.size = size
        self._laws = (game.data_points[1], game.latent_points[1])
        self._streams = [
            [stream(root, k, purpose) for k in replicas] for purpose in (_DATA, _LATENT)
        ]
        weights_a_step = len(replicas) * sum(map(len, self._laws))
        #: Steps that are drawn together, for speed and within memory.
        self.at_once = max(1, min(1024, _WEIGHTS_AT_ONCE // weights_a_step))
        self._drawn, self._given = self._draw(0), 0

    def draw(self, steps: int) -> Batches:
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
