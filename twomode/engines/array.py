"""The readable engine: whole arrays, on the CPU or a GPU, in whichever library holds the start.

It is written with the Python array API standard, so NumPy, CuPy and their like run it unchanged,
and it is the oracle for the compiled engines.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from twomode.errors import require
from twomode.game import Game
from twomode.optimizers import Optimizer
from twomode.state import Array, State

__all__ = ["ArrayEngine"]


class ArrayEngine:
    """Advances replicas of a game, in R^d or in R^r, as whole arrays.

    Parameters
    ----------
    game : Game
    opt : Optimizer
    start : State
        With a replica axis; its arrays' library and device run the computation.
    """

    name = "array"

    def __init__(self, game: Game, opt: Optimizer, start: State) -> None:
        require(
            opt.equivariant or start.dimension == game.d,
            f"{opt.name!r} acts on each coordinate of R^d, so it needs a start in"
            f" R^d, d={game.d}, not in R^{start.dimension}",
        )
        self.game, self.opt, self.t = game, opt, 0
        self.xp, self._start = start.xp, start
        self._X = {"W": start.W, "V": start.V, "b": start.b}
        self._M = {name: self.xp.zeros_like(x) for name, x in self._X.items()}
        self._S = {name: self.xp.zeros_like(x) for name, x in self._X.items()}
        nothing = self.xp.zeros_like(start.b)
        self._update_norms = dict.fromkeys("DG", nothing + float("nan"))
        self._peaks = dict.fromkeys("DG", nothing)

    @property
    def replicas(self) -> int:
        """Number of replicas."""
        return int(self._X["b"].shape[0])

    @property
    def state(self) -> State:
        """The state where it lives, with a replica axis."""
        return State(**self._X, U=self._start.U)

    @property
    def update_norms(self) -> Array:
        """Length of the last step over eta for (D, G), shape (R, 2); NaN before any step."""
        return self.xp.stack([self._update_norms["D"], self._update_norms["G"]], axis=-1)

    @property
    def peak_grad_norms(self) -> Array:
        """Largest norm of the gradient of (D, G) over all iterations so far, shape (R, 2)."""
        return self.xp.stack([self._peaks["D"], self._peaks["G"]], axis=-1)

    def advance(self, steps: int, batches: tuple[np.ndarray, np.ndarray] | None = None) -> None:
        """Take `steps` iterations; see `ReducedEngine.advance`."""
        # A replica that diverges overflows in silence, as in the compiled engines.
        with np.errstate(over="ignore", invalid="ignore"):
            self._advance(steps, batches)

    def _advance(self, steps: int, batches: tuple[np.ndarray, np.ndarray] | None) -> None:
        for n in range(steps):
            weights = () if batches is None else [batch[:, n] for batch in batches]
            self.t += 1
            for D_moves, G_moves in self.opt.turns:
                gradient = self.game.evaluate(self.state, *weights)
                if D_moves:
                    self._move("D", self.opt.eta_D, {"W": gradient.W, "b": gradient.b})
                if G_moves:
                    self._move("G", self.opt.eta_G, {"V": gradient.V})

    def _move(self, player: str, eta: float, gradients: dict[str, Array]) -> None:
        """One step of one player: theta + eta * magnitude * direction / norm(direction)."""
        directions, sources = {}, {}
        for layer, g in gradients.items():
            vectors = self._vectors(layer, g)
            directions[layer] = vectors[self.opt.direction]
            sources[layer] = vectors.get(self.opt.magnitude, g)
        norms, magnitudes = self._block_norms(directions), self._block_norms(sources)
        squares = [_sum_of_squares(self.xp, g) for g in gradients.values()]
        self._peaks[player] = self.xp.maximum(self._peaks[player], self.xp.sqrt(sum(squares)))
        squared_length = 0.0
        for layer, direction in directions.items():
            factor = self._factor(layer, norms[layer], magnitudes[layer])
            step = factor * direction
            self._X[layer] = self._X[layer] + eta * step
            squared_length = squared_length + _sum_of_squares(self.xp, step)
        self._update_norms[player] = self.xp.sqrt(squared_length)

    def _vectors(self, layer: str, g: Array) -> dict[str, Array]:
        """The gradient, the first moment and Adam's vector, the moments advanced by g."""
        opt, xp = self.opt, self.xp
        vectors = {"gradient": g}
        if opt.uses_first_moment:
            first, second = opt.moment_scales(self.t)
            self._M[layer] = opt.beta1 * self._M[layer] + (1 - opt.beta1) * g
            vectors["momentum"] = first * self._M[layer]
            if opt.uses_second_moment:
                self._S[layer] = opt.beta2 * self._S[layer] + (1 - opt.beta2) * (g * g)
                scale = xp.sqrt(second * self._S[layer]) + opt.eps
                vectors["adam"] = _divide_or_zero(xp, vectors["momentum"], scale)
        return vectors

    def _block_norms(self, layers: dict[str, Array]) -> dict[str, Array]:
        """Norm of the block that each row belongs to, shaped to multiply the layer."""
        xp, granularity = self.xp, self.opt.granularity
        if granularity == "neuron":
            squares = {name: _rows(xp, x) for name, x in layers.items()}
        else:
            squares = {name: _sum_of_squares(xp, x) for name, x in layers.items()}
            if granularity == "global":
                player = sum(squares.values())
                squares = dict.fromkeys(squares, player)
            squares = {
                name: xp.reshape(s, (*s.shape, *(1 for _ in layers[name].shape[1:])))
                for name, s in squares.items()
            }
        return {name: xp.sqrt(s) for name, s in squares.items()}

    def _factor(self, layer: str, norm: Array, magnitude: Array) -> Array:
        """What multiplies the direction, before eta."""
        opt, xp = self.opt, self.xp
        if opt.magnitude == "own":
            return xp.ones_like(norm)
        if opt.magnitude == "unit":
            magnitude = xp.ones_like(norm)
        elif opt.magnitude == "constant":
            size = opt.block_sizes(self.game.d, self.game.m_D, self.game.m_G)[layer]
            magnitude = xp.full_like(norm, opt.block_length(size))
        return _divide_or_zero(xp, magnitude, norm + opt.norm_eps)


def _rows(xp: Any, x: Array) -> Array:
    """Squared norm of each row; a bias is a row of its own."""
    return x * x if x.ndim == 1 else xp.sum(x * x, axis=-1, keepdims=True)


def _sum_of_squares(xp: Any, x: Array) -> Array:
    """Squared norm of each replica's layer, shape (R,)."""
    return x * x if x.ndim == 1 else xp.sum(x * x, axis=(-2, -1))


def _divide_or_zero(xp: Any, x: Array, y: Array) -> Array:
    """x / y, and 0 where y is 0."""
    zero = y == 0
    return xp.where(zero, xp.zeros_like(x), x / xp.where(zero, xp.ones_like(y), y))
