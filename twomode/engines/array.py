"""The readable engine: whole arrays, on the CPU or a GPU, in whichever library holds the start.

It is written with the Python array API standard, so NumPy, CuPy and their like run it unchanged,
and it is the oracle for the compiled engines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType

import numpy as np

from twomode._typing import Array
from twomode.engines.norms import MovesMeasured, objective_factor
from twomode.engines.protocol import Batches
from twomode.errors import require
from twomode.game import Field, State, as_array, player_norms
from twomode.rules import Optimizer, OwnRule, Stage, corrected, polar_factor

__all__ = ["ArrayEngine"]

#: The layers of each player.
LAYERS = {"D": ("W", "b"), "G": ("V",)}


class ArrayEngine(MovesMeasured):
    """Advances replicas of a game, in R^d or in R^r, as whole arrays.

    Parameters
    ----------
    game : Field
        `Game`, `Bilinear` or one of your own.
    opt : Optimizer
    start : State
        With a replica axis; its arrays' library and device run the computation.
    """

    name = "array"
    ended = False

    def __init__(self, game: Field, opt: Optimizer, start: State) -> None:
        require(
            opt.equivariant or start.dimension == game.d,
            f"{opt.name!r} acts on each coordinate of R^d, so it needs a start in"
            f" R^d, d={game.d}, not in R^{start.dimension}",
        )
        self.game, self.opt, self.t = game, opt, 0
        self._objective_factor = objective_factor(opt, start, start.W.dtype)
        self._rule = opt.rescaled(self._objective_factor)
        self.xp, self._start = start.xp, start
        self._X = {"W": start.W, "V": start.V, "b": start.b}
        self._M, self._S, self._past = (
            {name: self.xp.zeros_like(x) for name, x in self._X.items()} for _ in range(3)
        )
        self._updates = dict.fromkeys("DG", 0)
        self._own: dict[str, dict[str, Array]] = {"D": {}, "G": {}}
        nothing = self.xp.zeros_like(start.b)
        self._lengths = dict.fromkeys("DG", nothing + float("nan"))
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
    def _step_norms(self) -> Array:
        return self.xp.stack([self._lengths["D"], self._lengths["G"]], axis=-1)

    @property
    def peak_grad_norms(self) -> Array:
        """Largest norm of the gradient of (D, G) over all iterations so far, shape (R, 2)."""
        return self.xp.stack([self._peaks["D"], self._peaks["G"]], axis=-1)

    @property
    def _arrays(self) -> dict[str, Array]:
        layers = {"X": self._X, "M": self._M, "S": self._S, "past": self._past}
        layers |= {"length": self._lengths, "peak": self._peaks}
        layers |= {f"own_{player}": kept for player, kept in self._own.items()}
        named = {f"{kind}_{name}": x for kind, of in layers.items() for name, x in of.items()}
        return named | {f"updates_{name}": np.array(n) for name, n in self._updates.items()}

    def _recall(self, memory: Mapping[str, Array]) -> None:
        def layers(kind: str, names: Iterable[str]) -> dict[str, Array]:
            return {name: as_array(memory[f"{kind}_{name}"], like=self._start.b) for name in names}

        self._X, self._M, self._S, self._past = (layers(k, "WVb") for k in ("X", "M", "S", "past"))
        self._lengths, self._peaks = (layers(kind, "DG") for kind in ("length", "peak"))
        self._updates = {name: int(memory[f"updates_{name}"]) for name in "DG"}
        for player, kept in self._own.items():
            names = [n.removeprefix(f"own_{player}_") for n in memory if n[:5] == f"own_{player}"]
            kept.update(layers(f"own_{player}", names))

    def _take(self, steps: int, batches: Batches | None) -> None:
        # A replica that diverges overflows in silence, as in the compiled engines.
        with np.errstate(over="ignore", invalid="ignore"):
            self._advance(steps, batches)

    def _advance(self, steps: int, batches: Batches | None) -> None:
        for n in range(steps):
            weights = () if batches is None else tuple(batch[:, n] for batch in batches)
            self.t += 1
            base = dict(self._X)  # arrays are replaced, never written to
            for stage in self.opt.stages:
                movers = [player for player in "DG" if getattr(stage, player)]
                taken = self._steps(movers, stage, weights) if stage.looks else {}
                for player in movers:
                    self._move(player, stage, base, taken)

    def _steps(
        self, movers: list[str], stage: Stage, weights: tuple[Array, ...]
    ) -> dict[str, Array]:
        """The step Delta of each layer of the players who move, where they stand."""
        gradient = self.game.evaluate(self.state, *weights)
        field = corrected(self.game, self.opt, self.state, gradient, weights)
        norms, factor = player_norms(gradient), self._objective_factor
        taken: dict[str, Array] = {}
        for player in movers:
            norm = norms[:, "DG".index(player)]
            self._peaks[player] = self.xp.maximum(self._peaks[player], norm)
            self._updates[player] += 1
            layers = {layer: factor * getattr(field, layer) for layer in LAYERS[player]}
            taken |= self._step(player, layers)
        return taken

    def _step(self, player: str, field: dict[str, Array]) -> dict[str, Array]:
        """Delta of one player's layers, by the rule's algebra or by a function of the user's."""
        if isinstance(self.opt, OwnRule):
            state = {layer: self._X[layer] for layer in field}
            taken = self.opt.step(field, state, self._own[player])
        else:
            taken = self._composed(player, field)
        squares = [_sum_of_squares(self.xp, step) for step in taken.values()]
        self._lengths[player] = self.xp.sqrt(sum(squares))
        return taken

    def _composed(self, player: str, field: dict[str, Array]) -> dict[str, Array]:
        """Delta = magnitude * direction / norm(direction)."""
        directions, sources = {}, {}
        for layer, g in field.items():
            vectors = self._vectors(layer, g, self._updates[player])
            directions[layer] = vectors[self.opt.direction]
            sources[layer] = vectors.get(self.opt.magnitude, g)
        norms, magnitudes = self._block_norms(directions), self._block_norms(sources)
        if self.opt.spectral:
            for layer, x in directions.items():
                matrix = x if x.ndim > 1 else x[:, None, None]
                factor, norm = polar_factor(matrix, self._rule)
                directions[layer] = self.xp.reshape(factor, x.shape)
                norms[layer] = self.xp.reshape(norm, (-1, *(1 for _ in x.shape[1:])))
        return {
            layer: self._factor(layer, norms[layer], magnitudes[layer]) * direction
            for layer, direction in directions.items()
        }

    def _move(
        self, player: str, stage: Stage, base: dict[str, Array], taken: dict[str, Array]
    ) -> None:
        """theta <- base + eta (new Delta + old Delta_before - decay base) + pull (start - base)."""
        opt = self._rule
        eta, pull = opt.step_sizes(self.t)[player], opt.pulls(self.t)[player]
        for layer in LAYERS[player]:
            place = base[layer] if stage.back else self._X[layer]
            here = place
            if stage.looks:
                place = place + eta * stage.new * taken[layer]
            if stage.old:
                before = self._past[layer]
                if self.t == 1 and stage.looks and opt.first_step == "plain":
                    before = taken[layer]
                place = place + eta * stage.old * before
            if opt.anchor:
                place = place + pull * (getattr(self._start, layer) - here)
            if opt.weight_decay:
                place = place - eta * opt.weight_decay * here
            self._X[layer] = place
            if opt.keeps_step and stage.looks:
                self._past[layer] = taken[layer]

    def _vectors(self, layer: str, g: Array, update: int) -> dict[str, Array]:
        """The gradient, the first moment and Adam's vector, the moments advanced by g."""
        opt = self._rule
        vectors = {"gradient": g}
        if opt.uses_first_moment:
            if opt.past_scale == "today":
                self._past[layer] = self._scaled_moments(layer, update)[opt.direction]
            self._M[layer] = opt.beta1 * self._M[layer] + (1 - opt.beta1) * g
            if opt.uses_second_moment:
                self._S[layer] = opt.beta2 * self._S[layer] + (1 - opt.beta2) * (g * g)
            vectors |= self._scaled_moments(layer, update, g)
        return vectors

    def _scaled_moments(self, layer: str, update: int, g: Array | None = None) -> dict[str, Array]:
        """The first moment and Adam's vector, with the bias correction of this update."""
        opt, xp = self._rule, self.xp
        first, second = opt.moment_scales(update)
        vectors = {"momentum": first * self._M[layer]}
        if opt.nesterov and g is not None:
            ahead, _ = opt.moment_scales(update + 1)
            old, new = opt.beta1 * ahead, (1 - opt.beta1) * first
            vectors["momentum"] = old * self._M[layer] + new * g
        if opt.uses_second_moment:
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
        opt, xp = self._rule, self.xp
        if opt.magnitude == "own":
            return norm if opt.spectral else xp.ones_like(norm)
        if opt.magnitude == "unit":
            magnitude = xp.ones_like(norm)
        elif opt.magnitude == "constant":
            size = opt.block_sizes(self.game.d, self.game.m_D, self.game.m_G)[layer]
            magnitude = xp.full_like(norm, opt.block_length(size))
        elif opt.magnitude == "clipped":
            magnitude = xp.minimum(norm, xp.full_like(norm, opt.max_norm))
        return magnitude if opt.spectral else _divide_or_zero(xp, magnitude, norm + opt.norm_eps)


def _rows(xp: ModuleType, x: Array) -> Array:
    """Squared norm of each row; a bias is a row of its own."""
    return x * x if x.ndim == 1 else xp.sum(x * x, axis=-1, keepdims=True)


def _sum_of_squares(xp: ModuleType, x: Array) -> Array:
    """Squared norm of each replica's layer, shape (R,)."""
    return x * x if x.ndim == 1 else xp.sum(x * x, axis=(-2, -1))


def _divide_or_zero(xp: ModuleType, x: Array, y: Array) -> Array:
    """x / y, and 0 where y is 0."""
    zero = y == 0
    return xp.where(zero, xp.zeros_like(x), x / xp.where(zero, xp.ones_like(y), y))
