"""The random numbers of a run: streams of each replica, its start, its minibatches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from twomode._typing import FloatArray
from twomode.engines import Batches
from twomode.errors import require
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


#: Of a Philox generator besides its key: the lengths of what its state holds.
_PHILOX = {"counter": 4, "buffer": 4, "buffer_pos": 1, "has_uint32": 1, "uinteger": 1}


def _place(generator: np.random.Generator) -> np.ndarray:
    """Where a stream is, in eleven numbers."""
    state: Any = generator.bit_generator.state
    state = state | {"counter": state["state"]["counter"]}
    return np.concatenate([np.atleast_1d(np.uint64(state[name])) for name in _PHILOX])


def _move_to(generator: np.random.Generator, place: np.ndarray) -> None:
    """Put a stream where `_place` found it."""
    state: Any = generator.bit_generator.state
    parts = dict(zip(_PHILOX, np.split(place, np.cumsum(list(_PHILOX.values()))[:-1]), strict=True))
    state["state"]["counter"] = parts.pop("counter")
    state["buffer"] = parts.pop("buffer")
    state |= {name: int(number[0]) for name, number in parts.items()}
    generator.bit_generator.state = state


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

    @property
    def memory(self) -> dict[str, np.ndarray]:
        """Where the streams are, and what was drawn and not yet given."""
        left = dict(
            zip(("data", "latents"), (x[:, self._given :] for x in self._drawn), strict=True)
        )
        return left | {"streams": np.array([[_place(s) for s in each] for each in self._streams])}

    def restore(self, memory: Mapping[str, np.ndarray]) -> None:
        """Go on from where others of the same streams had this memory."""
        drawn = [memory["data"], memory["latents"]]
        shapes = [(x.shape[0], drawn[0].shape[1], x.shape[2]) for x in self._drawn]
        require([x.shape for x in drawn] == shapes, "not the minibatches of this run")
        self._drawn, self._given = drawn, 0
        for streams, places in zip(self._streams, memory["streams"], strict=True):
            for each, place in zip(streams, places, strict=True):
                _move_to(each, place)

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
