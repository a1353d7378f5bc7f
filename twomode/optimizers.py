"""Update rules as one algebra: direction x magnitude x granularity x schedule.

Every rule moves each block of parameters by

    theta <- theta + eta * magnitude * direction / (norm(direction) + norm_eps)

along the player's own improving direction.  What differs between rules is only which vector
gives the direction, which gives the magnitude, and over which block the norms are taken
(Agarwal et al. 2020 call the first two a graft; the talk's AdaLR and AdaDir are two of them).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from twomode.errors import InputError, require, require_choice, require_finite

__all__ = [
    "DIRECTIONS",
    "GRANULARITIES",
    "MAGNITUDES",
    "RULES",
    "SCHEDULES",
    "Optimizer",
    "optimizer",
]

DIRECTIONS = ("gradient", "momentum", "adam")
MAGNITUDES = ("own", "unit", "constant", "gradient", "momentum", "adam")
GRANULARITIES = ("neuron", "layer", "global")
SCHEDULES = ("simultaneous", "alternating-D-first", "alternating-G-first")


@dataclass(frozen=True)
class Optimizer:
    """One update rule with its step sizes.

    Parameters
    ----------
    eta_D, eta_G : float
        Step sizes of the discriminator (W, b) and the generator (V); nonnegative, constant.
    direction : {"gradient", "momentum", "adam"}
        g; the first moment M; or A = M / (sqrt(S) + eps), coordinate by coordinate, with the
        moments M <- beta1 M + (1 - beta1) g and S <- beta2 S + (1 - beta2) g^2.
    magnitude : {"own", "unit", "constant", "gradient", "momentum", "adam"}
        ``own`` is the plain rule (the direction with its own norm), ``unit`` the normalized one;
        ``constant`` is `constant` times the square root of the block's number of coordinates;
        the others are norm(g), norm(M), norm(A) over the block.
    granularity : {"neuron", "layer", "global"}
        The blocks over which norms are taken: each w_i, v_j and b; or W, V and b; or each player,
        (W, b) and V.
    schedule : {"simultaneous", "alternating-D-first", "alternating-G-first"}
        Whether both gradients are taken before either player moves, or the second player answers
        the first one's move (on the same minibatch).
    beta1, beta2 : float
        Decay of the moments; beta1 in (-1, 1), beta2 in [0, 1).
    eps : float
        Adam's epsilon, outside the root.
    norm_eps : float
        Added to a norm before dividing by it; a block of zero norm stays where it is, so 0 is fine.
    bias_correction : bool
        Divide M and S by 1 - beta^t, t from 1 (Kingma and Ba 2015).
    heavy_ball : bool
        Scale M by 1/(1 - beta1) instead, which makes a plain momentum step
        theta <- theta + eta g + beta1 (theta - theta_before) (Polyak 1964).
    constant : float
        Root mean square of a coordinate of the step when ``magnitude="constant"``.
    name : str
        Shown in summaries.

    Raises
    ------
    InputError
        For a value outside these ranges.
    """

    eta_D: float
    eta_G: float
    direction: str = "gradient"
    magnitude: str = "own"
    granularity: str = "neuron"
    schedule: str = "simultaneous"
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    norm_eps: float = 0.0
    bias_correction: bool = True
    heavy_ball: bool = False
    constant: float = 1.0
    name: str = "custom"

    def __post_init__(self) -> None:
        for name in ("eta_D", "eta_G", "eps", "norm_eps", "constant"):
            require_finite(name, getattr(self, name), least=0)
        require_choice("direction", self.direction, DIRECTIONS)
        require_choice("magnitude", self.magnitude, MAGNITUDES)
        require_choice("granularity", self.granularity, GRANULARITIES)
        require_choice("schedule", self.schedule, SCHEDULES)
        require(-1 < self.beta1 < 1, f"beta1={self.beta1!r} must lie in (-1, 1)")
        require(0 <= self.beta2 < 1, f"beta2={self.beta2!r} must lie in [0, 1)")
        for name in ("eta_D", "eta_G", "beta1", "beta2", "eps", "norm_eps", "constant"):
            object.__setattr__(self, name, float(getattr(self, name)))  # NumPy's floats too

    @property
    def uses_first_moment(self) -> bool:
        """Whether the rule keeps M."""
        return bool({self.direction, self.magnitude} & {"momentum", "adam"})

    @property
    def uses_second_moment(self) -> bool:
        """Whether the rule keeps S, and so depends on the choice of coordinates."""
        return "adam" in (self.direction, self.magnitude)

    @property
    def equivariant(self) -> bool:
        """Whether rotating R^d rotates the run: true of every rule without Adam's vector A."""
        return not self.uses_second_moment

    @property
    def uses_norms(self) -> bool:
        """Whether the step needs norms over whole blocks before it can be taken."""
        return self.magnitude != "own"

    @property
    def turns(self) -> tuple[tuple[bool, bool], ...]:
        """Who moves in each part of an iteration, as (discriminator, generator) pairs."""
        return {
            "simultaneous": ((True, True),),
            "alternating-D-first": ((True, False), (False, True)),
            "alternating-G-first": ((False, True), (True, False)),
        }[self.schedule]

    def moment_scales(self, t: int) -> tuple[float, float]:
        """Factors that turn the moments M and S after update t (from 1) into those of the step."""
        second = 1 / (1 - self.beta2**t) if self.bias_correction else 1.0
        if self.heavy_ball:
            return 1 / (1 - self.beta1), second
        return (1 / (1 - self.beta1**t) if self.bias_correction else 1.0), second

    def block_sizes(self, d: int, m_D: int, m_G: int) -> dict[str, int]:
        """Number of coordinates of R^d in the blocks of W, b and V."""
        W, V = m_D * d, m_G * d
        return {
            "neuron": {"W": d, "b": 1, "V": d},
            "layer": {"W": W, "b": 1, "V": V},
            "global": {"W": W + 1, "b": W + 1, "V": V},
        }[self.granularity]

    def block_length(self, coordinates: int) -> float:
        """Length of a ``magnitude="constant"`` step over a block of this many coordinates."""
        return self.constant * math.sqrt(coordinates)

    def to_dict(self) -> dict[str, Any]:
        """Plain-JSON form; the keyword arguments of the constructor."""
        return asdict(self)


@dataclass(frozen=True)
class Rule:
    """A named row of the algebra: the fields it fixes, its formula and its source."""

    fields: dict[str, Any]
    formula: str
    source: str


#: Every named rule.  A step size is never part of a rule.
RULES: dict[str, Rule] = {
    "sgda": Rule(
        {},
        "theta + eta g",
        "simultaneous (stochastic) gradient descent ascent; the talk, Theorem 4.1",
    ),
    "sgda-momentum": Rule(
        {"direction": "momentum", "heavy_ball": True},
        "theta + eta g + beta1 (theta - theta_before)",
        "Polyak 1964",
    ),
    "nsgda": Rule(
        {"magnitude": "unit", "granularity": "neuron"},
        "theta + eta g/norm(g), one norm for each w_i, v_j and b",
        "the talk, Theorem 4.2",
    ),
    "l-nsgda": Rule(
        {"magnitude": "unit", "granularity": "layer"},
        "theta + eta g/norm(g), one norm for each of W, b and V",
        "the talk, 'layer normalized SGDA'",
    ),
    "g-nsgda": Rule(
        {"magnitude": "unit", "granularity": "global"},
        "theta + eta g/norm(g), one norm for each player",
        "the talk, 'normalized SGDA'",
    ),
    "nsgda-momentum": Rule(
        {"direction": "momentum", "magnitude": "unit", "granularity": "neuron"},
        "theta + eta M/norm(M), one norm for each w_i, v_j and b",
        "the talk, 'Hypothesis', with neurons as blocks",
    ),
    "adam": Rule(
        {"direction": "adam"},
        "theta + eta A,  A = M/(sqrt(S) + eps)",
        "Kingma and Ba 2015",
    ),
    "adalr": Rule(
        {"direction": "momentum", "magnitude": "adam", "granularity": "layer"},
        "theta + eta norm(A) M/norm(M)",
        "the talk, 'AdaLR'",
    ),
    "adadir": Rule(
        {"direction": "adam", "magnitude": "momentum", "granularity": "layer"},
        "theta + eta norm(M) A/norm(A)",
        "the talk, 'AdaDir'",
    ),
    "ada-nsgda": Rule(
        {"magnitude": "constant", "granularity": "layer"},
        "theta + eta c sqrt(n) g/norm(g), n coordinates in the block",
        "the talk, 'Hypothesis': the norm of Adam's update is constant in time",
    ),
}


def optimizer(name: str, *, eta_D: float, eta_G: float, **changes: Any) -> Optimizer:
    """A named rule with its step sizes, and any other field replaced by keyword.

    Parameters
    ----------
    name : str
        A key of `RULES`.
    eta_D, eta_G : float
        Step sizes.  `twomode.recipe` chooses them for a game.
    **changes
        Fields of `Optimizer`.

    Raises
    ------
    InputError
        For an unknown name (the nearest ones are named) or an unusable value.
    """
    require_choice("optimizer", name, RULES)
    unknown = changes.keys() - {f.name for f in fields(Optimizer)}
    if unknown:
        raise InputError(f"Optimizer has no field {', '.join(sorted(unknown))}")
    return replace(Optimizer(eta_D, eta_G, **RULES[name].fields, name=name), **changes)
