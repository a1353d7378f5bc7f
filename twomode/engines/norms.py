"""What the engines share about norms: of gradients, in range, and of whole moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from twomode._typing import Array
from twomode.engines.protocol import Batches
from twomode.game import LARGE, State, Vector, array_namespace, as_array, player_norms
from twomode.rules import Optimizer

__all__ = ["MovesMeasured", "objective_factor"]

#: The generator's gradient is made of squares of products <w_i, v_j>: with products below this,
#: squares of it come close to the smallest numbers.
LEAST_PRODUCT = 2.0**-125


def objective_factor(opt: Optimizer, start: State, dtype: object) -> float:
    """A power of two by which engines multiply the objective, so that no gradient's square is 0.

    At d = 2^400 a gradient is of some 2^-800.  Where the start is as small as that, all gradients
    are multiplied, by way of the weights of the points, and the rule is `rescaled`: it moves alike,
    to the last bit, and kernels know nothing of it.  A correction multiplies gradients by one
    another, and goes without.

    Parameters
    ----------
    opt : Optimizer
    start : State
        With a replica axis.
    dtype : data type
        Of the arithmetic; float32 has no room for it.

    Returns
    -------
    float
    """
    xp = array_namespace(start.W)
    products: Array = xp.max(xp.abs(xp.matmul(start.W, start.V.mT)), axis=(-2, -1))
    small = bool(xp.any((products > 0) & (products < LEAST_PRODUCT)))
    return LARGE if small and dtype == xp.float64 and opt.rescalable else 1.0


class MovesMeasured:
    """What an engine has to do with `update_norms`, given how it takes steps.

    A move that is not a step alone is measured from the state before it and the one after it, and
    so is a part of the memory.
    """

    opt: Optimizer
    t: int
    _objective_factor: float
    _last_move: Array | None = None

    @property
    def state(self) -> State:
        """Where the players are."""
        raise NotImplementedError

    @property
    def _step_norms(self) -> Array:
        """Length of the last step Delta, by the rescaled rule."""
        raise NotImplementedError

    def _take(self, steps: int, batches: Batches | None) -> None:
        """Take steps."""
        raise NotImplementedError

    @property
    def _arrays(self) -> dict[str, Array]:
        """What changes from one iteration to the next and is not taken anew in each."""
        raise NotImplementedError

    @property
    def memory(self) -> dict[str, Array]:
        """All that going on depends on besides game, rule and start; see `Engine.memory`."""
        moves = {} if self.opt.moves_by_steps else {"last_move": self.update_norms}
        return {"t": np.array(self.t), **moves, **self._arrays}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Go on from where an engine of the same making had this memory."""
        self.t = int(memory["t"])
        if not self.opt.moves_by_steps:
            self._last_move = as_array(memory["last_move"], like=self.state.b)
        self._recall(memory)

    def _recall(self, memory: Mapping[str, Array]) -> None:
        for name, array in self._arrays.items():
            array[...] = memory[name]

    def advance(self, steps: int, batches: Batches | None = None) -> None:
        """Take `steps` iterations; see `Engine.advance`."""
        if steps == 0 or self.opt.moves_by_steps:
            self._take(steps, batches)
            return
        self._take(steps - 1, batches and (batches[0][:, :-1], batches[1][:, :-1]))
        before = self.state
        self._take(1, batches and (batches[0][:, -1:], batches[1][:, -1:]))
        after, eta_D, eta_G = self.state, self.opt.eta_D or 1.0, self.opt.eta_G or 1.0
        with np.errstate(over="ignore", invalid="ignore"):
            self._last_move = player_norms(
                Vector(
                    W=(after.W - before.W) / eta_D,
                    b=(after.b - before.b) / eta_D,
                    V=(after.V - before.V) / eta_G,
                )
            )

    @property
    def update_norms(self) -> Array:
        """Length of the last move over eta for (D, G), shape (R, 2); NaN before any."""
        if self._last_move is not None:
            return self._last_move
        return self._over_eta(self._step_norms[:, None, :], [self.t])[:, 0, :]

    def _over_eta(self, norms: Array, times: Sequence[int]) -> Array:
        """Lengths over eta of steps that led to some iterations, from those by the rescaled rule.

        Both of shape (R, T, 2).
        """
        opt = self.opt
        norms = norms / (self._objective_factor if opt.as_long_as_gradient else 1.0)
        if not (opt.decay_D or opt.decay_G):
            return norms
        scales = [[max(1, t) ** opt.decay_D, max(1, t) ** opt.decay_G] for t in times]
        return norms / as_array(scales, like=norms)
