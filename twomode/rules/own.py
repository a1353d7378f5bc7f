"""A rule of your own: a function of gradient, state and memory."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import asdict, dataclass
from typing import Annotated, ClassVar, TypeAlias  # noqa: F401 (of inherited fields)

import numpy as np

from twomode._typing import JSON, Array, NotNegative, Positive, Probability  # noqa: F401 (likewise)
from twomode.checks import checked
from twomode.errors import InputError, require, shown
from twomode.functions import identity, imported
from twomode.rules.algebra import Optimizer, Rule

__all__ = ["OwnRule", "rule_from_dict"]

#: Arrays of one player, by layer: W, of shape (R, m_D, d), and b, of shape (R,), or V.
Layers: TypeAlias = dict[str, Array]
#: Takes the gradient, where the player is, and what it keeps, empty at first.
OwnStep: TypeAlias = Callable[[Layers, Layers, MutableMapping[str, Array]], Layers]
#: Fields that say what a step is made of, which is the function's affair.
_TAKEN = (
    *("direction", "magnitude", "granularity", "beta1", "beta2", "eps", "norm_eps"),
    *("bias_correction", "heavy_ball", "nesterov", "constant", "max_norm", "polar", "past_scale"),
)
#: By how much, of the largest number, two steps that should be the same may differ.
_ALIKE = 1e-6


@dataclass(frozen=True, repr=False)
class OwnRule(Optimizer):
    """A rule whose step is a function of yours; the `array` engine runs it.

    ``step(gradient, state, memory)`` is called for one player at a time.  ``gradient`` and
    ``state`` are dicts of arrays with a replica axis in front: ``W`` (R, m_D, d) and ``b`` (R,) of
    the discriminator, ``V`` (R, m_G, d) of the generator; the gradient points where the player
    improves.  It returns the step Delta, a dict like the gradient, and the player moves by eta
    times that.  ``memory`` is the player's own dict, empty at first: arrays with a replica axis
    that it puts there are kept from one call to the next.

    Schedules, corrections, decay and the anchor of `Rule` go with it.

    Parameters
    ----------
    eta_D, eta_G : float
        Step sizes.
    step : callable
        Of a file that can be imported, if results are to be loaded.  Gives the rule its name, if
        no other is given.
    equivariant : bool
        Rotating R^d rotates the step, as it does where rows are only combined: then it runs in
        R^r, at any d.  Checked on random rotations.
    as_long_as_gradient : bool
        The step of twice the gradient is twice as long, from which `recipe` takes its horizon.
    **fields
        Those of `Rule` that are not about what a step is made of, by keyword.

    Raises
    ------
    InputError
        If the function raises, returns arrays of other names or shapes, mixes replicas, or is not
        equivariant though it says so; for fields that have no effect.

    Examples
    --------
    Normalized by the longest neuron of each layer, instead of by each neuron itself:

    >>> import numpy as np, twomode as tm
    >>> def longest(gradient, state, memory):
    ...     step = {}
    ...     for name, g in gradient.items():
    ...         rows = np.abs(g) if g.ndim == 1 else np.linalg.norm(g, axis=-1).max(axis=-1)
    ...         step[name] = g / rows.reshape(rows.shape + (1,) * (g.ndim - 1))
    ...     return step
    >>> opt = tm.OwnRule(0.005, 0.001, longest, equivariant=True)
    >>> result = tm.simulate(tm.Game.preset(d=2**40, m_D=9, m_G=9), opt, 100, replicas=4)
    >>> result.provenance["engine"], result.state.dimension
    ('array', 20)
    """

    compiled: ClassVar[bool] = False
    has_flow: ClassVar[bool] = False
    discretizes_flow: ClassVar[bool] = False
    plain: ClassVar[bool] = False
    rescalable: ClassVar[bool] = False

    step: OwnStep
    equivariant: bool = False
    as_long_as_gradient: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.name, str) and self.name == Rule.name and callable(self.step):
            object.__setattr__(self, "name", getattr(self.step, "__name__", Rule.name))
        super().__post_init__()
        taken = [name for name in _TAKEN if getattr(self, name) != getattr(Rule, name)]
        require(
            not taken,
            f"{taken and taken[0]} has no effect on {shown(self.name)}: its step is its own",
        )
        self._try()

    @property
    def memory(self) -> int:
        """As if it kept two vectors."""
        return super().memory + 2

    def _try(self) -> None:
        """Two calls in a row, on small arrays: shapes, replicas and rotations."""
        rng = np.random.default_rng(0)
        d, Q = 5, np.linalg.qr(rng.normal(size=(5, 5)))[0]
        for shapes in ({"W": (2, 3, d), "b": (2,)}, {"V": (2, 4, d)}):
            draws = [{n: rng.normal(size=s) for n, s in shapes.items()} for _ in range(4)]
            steps = self._twice(draws)
            alone = self._twice([{n: x[:1] for n, x in draw.items()} for draw in draws])
            apart = _apart({n: x[:1] for n, x in steps.items()}, alone)
            require(
                apart < _ALIKE,
                f"step of {shown(self.name)} mixes replicas: alone, the first one's differs by"
                f" {apart:.2g} of itself",
            )
            if self.equivariant:
                turned = self._twice([_turned(draw, Q) for draw in draws])
                apart = _apart(_turned(steps, Q), turned)
                require(
                    apart < _ALIKE,
                    f"step of {shown(self.name)} is not equivariant: a rotation of R^{d} changes it"
                    f" by {apart:.2g} of itself; leave equivariant out",
                )

    def _twice(self, draws: list[Layers]) -> Layers:
        """The second of two steps, with the memory of the first."""
        memory: dict[str, Array] = {}
        for gradient, state in (draws[:2], draws[2:]):
            step = self._checked(gradient, dict(state), memory)
        return step

    def _checked(self, gradient: Layers, state: Layers, memory: dict[str, Array]) -> Layers:
        name = shown(self.name)
        try:
            step = self.step(dict(gradient), state, memory)
        except Exception as error:
            raise InputError(
                f"step of {name} fails on {', '.join(gradient)}: {type(error).__name__}: {error}"
            ) from error
        shapes = {n: x.shape for n, x in gradient.items()}
        found = {n: np.shape(x) for n, x in step.items()} if isinstance(step, dict) else shown(step)
        require(found == shapes, f"step of {name} returns {found}: it must return {shapes}")
        kept = {n: np.shape(x)[:1] for n, x in memory.items()}
        wrong = sorted(n for n, size in kept.items() if size != gradient[min(gradient)].shape[:1])
        require(
            not wrong, f"step of {name} keeps {', '.join(wrong)} without a replica axis in front"
        )
        return step

    def to_dict(self) -> JSON:
        """Plain-JSON form, the step by its name and a hash; see `rule_from_dict`."""
        return asdict(self) | {"step": identity("step", self.step)}


@checked
def rule_from_dict(fields: JSON) -> Optimizer:
    """The rule of an `Optimizer.to_dict`.

    Parameters
    ----------
    fields : dict

    Raises
    ------
    InputError
        For values that it refuses, or a step that cannot be found, or has been edited.

    Examples
    --------
    >>> import twomode as tm
    >>> opt = tm.optimizer("nsgda", eta_D=0.01, eta_G=0.002)
    >>> tm.rules.rule_from_dict(opt.to_dict()) == opt
    True
    """
    try:
        if "step" not in fields:
            return Optimizer(**fields)
        return OwnRule(**fields | {"step": imported("step", fields["step"])})
    except (KeyError, TypeError) as error:
        raise InputError(f"{shown(fields)} has not the fields of a rule: {error}") from None


def _turned(layers: Layers, Q: np.ndarray) -> Layers:
    return {n: x if x.ndim == 1 else x @ Q for n, x in layers.items()}


def _apart(one: Layers, other: Layers) -> float:
    """Largest difference over the largest number; NaN counts as far."""
    size = max(float(np.abs(x).max()) for x in one.values()) or 1.0
    found = max(float(np.abs(one[n] - other[n]).max()) for n in one) / size
    return found if found == found else np.inf
