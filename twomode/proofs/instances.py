"""What is proved: a run whose every number is exact, from a start or from a box of starts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any

import numpy as np

from twomode._typing import JSON, FloatArray, Whole
from twomode.checks import checked
from twomode.engines import ArrayEngine
from twomode.errors import require
from twomode.game import Evaluation, Game, State, player_norms
from twomode.proofs.balls import Balls, Undecided, ball, exactly, hulls, widened
from twomode.proofs.forms import Forms, forms_of, in_frame
from twomode.rules import Optimizer
from twomode.runs import Result, Run, draw_start

__all__ = ["Enclosed", "Framed", "Instance", "exact_law", "in_reduced_form", "instance_of"]


@dataclass(frozen=True)
class Instance:
    """A game, a rule and starts in R^r; each number is the exact value of its float.

    The probabilities of z and of the data are those floats over their sum.  The modes are
    u_1 = e_1 and u_2 = gamma e_1 + sqrt(1 - gamma^2) e_2 exactly.

    Attributes
    ----------
    game : Game
    opt : Optimizer
    start : State
        In R^r, without a replica axis.
    radius : float
        All starts are meant in which each coordinate is off by at most this share of itself.
    """

    game: Game
    opt: Optimizer
    start: State
    radius: float

    def to_dict(self) -> JSON:
        """Plain-JSON form, the start in hexadecimal; `from_dict` is its inverse."""
        start = {name: _hex(getattr(self.start, name)) for name in ("W", "V", "b")}
        return {
            "game": self.game.to_dict(),
            "rule": self.opt.to_dict(),
            "start": start,
            "radius": self.radius.hex(),
        }

    @classmethod
    def from_dict(cls, values: JSON) -> Instance:
        """Rebuild an instance from `to_dict`."""
        game = Game.from_dict(values["game"])
        W, V, b = (_from_hex(values["start"][name]) for name in ("W", "V", "b"))
        start = State(W, V, b, _modes(game, W.shape[-1]))
        game.check(start)
        return cls(game, Optimizer(**values["rule"]), start, float.fromhex(values["radius"]))


def in_reduced_form(game: Game, start: State) -> State:
    """A start of R^d or R^r, without a replica axis, with u_1 = e_1 and u_2 in span(e_1, e_2).

    It is these coordinates, as floats, that are exact from then on.
    """
    r = game.reduced_dimension
    if start.dimension != r or not np.allclose(start.U, _modes(game, r), rtol=0, atol=1e-6):
        start = start.reduce()[0]
    return replace(start, U=_modes(game, r))


@checked
def instance_of(result: Result, replica: Whole) -> Instance:
    """The exact run that a replica of a result stands for, by its place.

    Raises
    ------
    InputError
        For a result of minibatches, of the flow or in R^d, or a replica that it does not have.
    """
    game, source = result.game, result.provenance
    require(
        source["batch_size"] is None and source["engine"] != "flow",
        "balls are about iterations with the population gradient, not minibatches or the flow",
    )
    require(
        result.state.dimension == game.reduced_dimension,
        "the result is one in R^d: balls need engine='reduced', or engine='array' from a start in"
        " R^r",
    )
    require(
        replica < result.replicas, f"replica={replica} is none of the {result.replicas} there are"
    )
    run = Run.from_provenance(game, result.opt, source, result.start)
    starts = draw_start(game, run.start, run.seed, run.replicas, reduced=True)
    return Instance(game, result.opt, in_reduced_form(game, starts.replica(replica)), 0.0)


def _modes(game: Game, r: int) -> FloatArray:
    U = np.zeros((2, r))
    U[0, 0], U[1, 0], U[1, 1] = 1, game.gamma, np.sqrt(1 - game.gamma**2)
    return U


def exact_law(points: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, list[Fraction]]:
    """The support of a law, and its probabilities as fractions that sum to 1."""
    weights = [Fraction(p) for p in points[1].tolist()]
    total = sum(weights)
    return points[0], [p / total for p in weights]


class Enclosed(ArrayEngine):
    """The `array` engine on balls: its state encloses that of every start of an instance.

    It is the engine's own code, and the game's own formulas, with balls for all numbers.
    """

    game: Game

    def __init__(self, instance: Instance) -> None:
        game, opt, number = copy.copy(instance.game), instance.opt, self._number
        for name in ("data_points", "latent_points"):
            law = exact_law(getattr(instance.game, name))
            vars(game)[name] = tuple(number(exactly(part)) for part in law)
        vars(game)["evaluate"] = _remembering(game.evaluate)
        gamma = ball(instance.game.gamma)
        U = exactly(instance.start.U)
        U[1, 1] = (1 - gamma * gamma).sqrt()
        box = {
            name: number(widened(exactly(getattr(instance.start, name)), instance.radius)[None])
            for name in ("W", "V", "b")
        }
        super().__init__(game, opt, State(**box, U=number(U[None])))
        numbers = [f.name for f in fields(opt) if isinstance(getattr(opt, f.name), float)]
        self.opt = self._rule = _with_balls(opt, numbers)
        length = ball(opt.constant)
        vars(self.opt)["block_length"] = lambda n: length * ball(n).sqrt()

    @staticmethod
    def _number(balls: Any) -> Any:
        """What stands for such numbers in all that follows."""
        return balls

    def _step(self, player: str, field: dict[str, Any]) -> dict[str, Any]:
        """A number over its own size is its sign, of which balls would lose more and more."""
        taken = super()._step(player, field)
        opt = self.opt
        alone = player == "D" and opt.granularity not in ("global", "spectral") and not opt.norm_eps
        if alone and opt.magnitude in ("unit", "constant"):
            length = opt.block_length(1) if opt.magnitude == "constant" else 1
            taken["b"] = length * self.xp.sign(taken["b"])
        return taken

    @property
    def gradient(self) -> Evaluation:
        """Objective and gradient of the population where the players are."""
        found: Evaluation = self.game.evaluate(self.state)
        return found

    def norms(self) -> tuple[Any, Any]:
        """Norms of the gradient of (D, G), and the largest so far, this one included."""
        now = player_norms(self.gradient)
        return now[0], self.xp.maximum(self.peak_grad_norms, now)[0]

    def at_rest(self, nu: float) -> bool:
        """Whether both norms are at most nu times their largest so far; see `first_stationary`."""
        pairs = list(zip(*self.norms(), strict=True))
        if any(norm > nu * peak or peak == 0 for norm, peak in pairs):
            return False
        if not all(norm <= nu * peak and peak > 0 for norm, peak in pairs):
            raise Undecided("a gradient may be at rest")
        left = [_differ(self, names) for names in (("W", "b"), ("V",))]
        if None in left:
            raise Undecided("a player may be where it started")
        return all(left)

    def numbers(self, projections: Balls) -> dict[str, Any]:
        """What a certificate keeps of an iteration."""
        norms, peaks = self.norms()
        return {
            "t": self.t,
            "grad_norms": hulls(norms),
            "peak_grad_norms": hulls(peaks),
            "projections_V": projections,
            "bias": hulls(self.state.b),
        }

    def step(self) -> None:
        """Take an iteration; raise `Undecided` if nothing is known any more of a number."""
        self.advance(1)
        if not all(np.all(self.xp.isfinite(layer)) for layer in self._X.values()):
            raise Undecided("a norm may be 0, or the balls have grown beyond all bounds")


class Framed(Enclosed):
    """The same on affine forms, whose frame of symbols follows the run.

    Doubles do where balls need thousands of bits, and boxes of starts may be wide.
    """

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance)
        self._follow()

    @staticmethod
    def _number(balls: Any) -> Forms:
        return forms_of(balls)

    def step(self) -> None:
        """Take an iteration; see `Enclosed.step`."""
        super().step()
        self._follow()

    def _follow(self) -> None:
        """Make symbols of the errors of all that is kept."""
        kept = (self._X, self._M, self._S, self._past, *self._own.values(), self._peaks)
        places = [(arrays, name) for arrays in kept for name in arrays]
        framed = in_frame([arrays[name] for arrays, name in places])
        for (arrays, name), x in zip(places, framed, strict=True):
            arrays[name] = x
        # What nothing depends on knows no symbols.
        self._lengths = {name: forms_of(hulls(x)) for name, x in self._lengths.items()}


def _with_balls(thing: Any, names: Any) -> Any:
    """A copy of a frozen dataclass with balls for its numbers of these names; 0 stays."""
    changed = copy.copy(thing)
    vars(changed).update({name: ball(x) for name in names if (x := getattr(thing, name))})
    return changed


def _remembering(evaluate: Callable[..., Evaluation]) -> Callable[..., Evaluation]:
    """An `evaluate` that knows what it found last; arrays are replaced, never written to."""
    last: list[tuple[State, Evaluation]] = []

    def again(state: State, *weights: Any) -> Evaluation:
        if not last or any(getattr(state, n) is not getattr(last[0][0], n) for n in "WVb"):
            last[:] = [(state, evaluate(state, *weights))]
        return last[0][1]

    return again


def _differ(run: Enclosed, names: tuple[str, ...]) -> bool | None:
    """Whether a player's layers are other than at the start; None if balls do not tell."""
    same = [np.ravel(getattr(run.state, n) == getattr(run._start, n)) for n in names]
    answers = {answer for layer in same for answer in layer}
    if False in answers:
        return True
    return None if None in answers else False


def _hex(array: FloatArray) -> Any:
    return array.tolist().hex() if array.ndim == 0 else [_hex(row) for row in array]


def _from_hex(values: Any) -> FloatArray:
    if isinstance(values, str):
        return np.array(float.fromhex(values))
    return np.array([_from_hex(row) for row in values])
