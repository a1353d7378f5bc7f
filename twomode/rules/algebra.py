"""Update rules as one algebra: what an iteration looks at, which way it goes, and how far.

Every rule is built on a *step* for each block of parameters,

    Delta(theta) = magnitude * direction / (norm(direction) + norm_eps),

along the player's own improving direction.  What differs between rules is which vector gives the
direction, which gives the magnitude, and over which block the norms are taken (Agarwal et al. 2020
call the first two a graft; the talk's AdaLR and AdaDir are two of them).  A *schedule* says where
steps are taken and how they add up, a *correction* replaces the gradient by a combination with
the game's Jacobian, an *anchor* pulls back to the start, and step sizes may *decay*.  Any of these
goes with any other: extragradient on normalized gradients is a rule like all the rest.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, ClassVar, NamedTuple

from twomode._typing import JSON, NotNegative, Positive, Probability
from twomode.checks import check_fields
from twomode.errors import require, require_choice, shown

__all__ = [
    "ALIGNMENT",
    "CHOICES",
    "CORRECTIONS",
    "DIRECTIONS",
    "FIRST_STEPS",
    "GRANULARITIES",
    "MAGNITUDES",
    "NEWTON_SCHULZ",
    "NEWTON_SCHULZ_STEPS",
    "PAST_SCALES",
    "POLARS",
    "RANK",
    "SCHEDULES",
    "Cost",
    "Optimizer",
    "Rule",
    "Stage",
]

DIRECTIONS = ("gradient", "momentum", "adam")
MAGNITUDES = ("own", "unit", "constant", "clipped", "gradient", "momentum", "adam")
GRANULARITIES = ("neuron", "layer", "global", "spectral")
POLARS = ("exact", "newton-schulz")
#: Jordan et al. 2024: x <- a x + b x^3 + c x^5 on singular values, this often.
NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS = (3.4445, -4.7750, 2.0315), 5
#: Singular values below this many roundings of the largest are 0: their vectors are rounding.
RANK = 2.0**12
CORRECTIONS = ("none", "sga", "consensus", "hamiltonian")
FIRST_STEPS = ("plain", "double")
PAST_SCALES = ("own", "today")
#: What symplectic gradient adjustment adds inside the sign of lambda (Balduzzi et al. 2018).
ALIGNMENT = 0.1


class Stage(NamedTuple):
    """One part of an iteration, in which one or both players move.

    theta <- base + eta (new * Delta + old * Delta_before), with the step Delta taken where the
    players stand, if `new` is not 0, and Delta_before that of the iteration before.

    Examples
    --------
    >>> from twomode.rules import SCHEDULES
    >>> [stage.back for stage in SCHEDULES["extragradient"]]  # look ahead, step from the base
    [False, True]
    >>> [(stage.new, stage.old) for stage in SCHEDULES["optimistic"]]
    [(2, -1)]
    """

    D: bool  #: whether the discriminator moves
    G: bool  #: whether the generator moves
    new: float = 1.0
    old: float = 0.0
    back: bool = False  #: base is where the iteration began, not where the players stand

    @property
    def looks(self) -> bool:
        """Whether gradients are taken.

        Examples
        --------
        >>> from twomode.rules import SCHEDULES
        >>> [stage.looks for stage in SCHEDULES["past-extragradient"]]
        [False, True]
        """
        return self.new != 0


#: What an iteration of each schedule consists of.
SCHEDULES: dict[str, tuple[Stage, ...]] = {
    "simultaneous": (Stage(True, True),),
    "alternating-D-first": (Stage(True, False), Stage(False, True)),
    "alternating-G-first": (Stage(False, True), Stage(True, False)),
    "extragradient": (Stage(True, True), Stage(True, True, back=True)),
    "past-extragradient": (Stage(True, True, new=0, old=1), Stage(True, True, back=True)),
    "optimistic": (Stage(True, True, new=2, old=-1),),
}


#: The fields of a rule that are words, and what they may be.
CHOICES: dict[str, tuple[str, ...]] = {
    "direction": DIRECTIONS,
    "magnitude": MAGNITUDES,
    "granularity": GRANULARITIES,
    "polar": POLARS,
    "schedule": tuple(SCHEDULES),
    "correction": CORRECTIONS,
    "first_step": FIRST_STEPS,
    "past_scale": PAST_SCALES,
}


class Cost(NamedTuple):
    """What an iteration evaluates; both players' gradients together count as one.

    Examples
    --------
    >>> from twomode.rules import RULES
    >>> RULES["sga"].cost
    Cost(gradients=1, jacobian_products=2)
    """

    gradients: float
    jacobian_products: float


@dataclass(frozen=True, kw_only=True, repr=False)
class Rule:
    """One update rule, whatever its step sizes.

    Parameters
    ----------
    direction : {"gradient", "momentum", "adam"}
        g; the first moment M; or A = M / (sqrt(S) + eps), coordinate by coordinate, with the
        moments M <- beta1 M + (1 - beta1) g and S <- beta2 S + (1 - beta2) g^2.
    magnitude : {"own", "unit", "constant", "clipped", "gradient", "momentum", "adam"}
        ``own`` is the plain rule (the direction with its own norm), ``unit`` the normalized one;
        ``constant`` is `constant` times the square root of the block's number of coordinates;
        ``clipped`` is the direction's own norm, but at most `max_norm` (Pascanu et al. 2013);
        the others are norm(g), norm(M), norm(A) over the block.
    granularity : {"neuron", "layer", "global", "spectral"}
        The blocks over which norms are taken: each w_i, v_j and b; or W, V and b; or each player,
        (W, b) and V.  ``spectral``: the matrices W, V and b (of one entry), whose polar factor
        P Q^T takes the place of direction/norm, P diag(s) Q^T the direction; its own norm is then
        the nuclear one, the sum of s, which makes ``own`` steepest descent in the spectral norm
        (Carlson et al. 2015), and the others are those of layers.  As it only combines rows, it
        is equivariant.
    polar : {"exact", "newton-schulz"}
        ``spectral``: singular values become 1 (s/(s + norm_eps)), but 0 below 2^-40 of the
        largest; or what five steps of Newton-Schulz make of s/(sqrt(sum of s^2) + norm_eps),
        roughly 1, as in Muon (Jordan et al. 2024).
    schedule : {"simultaneous", "alternating-D-first", "alternating-G-first", "extragradient", \
"past-extragradient", "optimistic"}
        ``simultaneous``: theta + eta Delta(theta), both gradients taken before either player
        moves.  ``alternating``: the second player answers the first one's move.  ``extragradient``
        (Korpelevich 1976): with theta_half = theta + eta Delta(theta), theta + eta
        Delta(theta_half); moments are shared by the two and advance twice.  ``past-extragradient``
        (Popov 1980): theta_half takes the step of the theta_half before (none at first).
        ``optimistic``: theta + 2 eta Delta_t - eta Delta_{t-1}.  All of an iteration uses the same
        minibatch.
    beta1, beta2 : float
        Decay of the moments; beta1 in (-1, 1), beta2 in [0, 1).
    eps : float
        Adam's epsilon, outside the root.
    norm_eps : float
        Added to a norm before dividing by it; a block of zero norm stays where it is, so 0 is fine.
    bias_correction : bool
        Divide M and S by 1 - beta^t, t the number of their updates, from 1 (Kingma and Ba 2015).
    heavy_ball : bool
        Scale M by 1/(1 - beta1) instead, which makes a plain momentum step
        theta <- theta + eta g + beta1 (theta - theta_before) (Polyak 1964).
    nesterov : bool
        Look ahead: beta1 M + (1 - beta1) g in place of M, M with the factor of the next update
        and g with that of this one (Dozat 2016; with ``heavy_ball`` Nesterov's momentum as in
        Sutskever et al. 2013).
    constant : float
        Root mean square of a coordinate of the step when ``magnitude="constant"`` (of a matrix
        of full rank, if ``spectral``).
    max_norm : float
        Length of the longest step of a block, before eta, when ``magnitude="clipped"``.
    correction : {"none", "sga", "consensus", "hamiltonian"}
        What takes the place of xi, the players' loss gradients side by side, wherever one is
        taken; J is the Jacobian of xi, H = norm(xi)^2 / 2 and grad H = J^T xi.  ``sga``:
        xi + lambda A^T xi, A^T xi = (J^T xi - J xi)/2 (Balduzzi et al. 2018).  ``consensus``:
        xi + gamma grad H (Mescheder et al. 2017).  ``hamiltonian``: grad H.
    correction_weight : float
        lambda of ``sga``, gamma of ``consensus``.
    aligned : bool
        ``sga``: give lambda the sign of <xi, grad H> <A^T xi, grad H> / n + 0.1, n the number of
        parameters (Balduzzi et al. 2018).  Without the 0.1, lambda is 0 in a bilinear game.
    anchor : float
        Strength of the pull to the start that every move gets besides its step:
        (1 - p) anchor/t (theta_0 - theta), p the player's decay (Ryu et al. 2019).
    weight_decay : float
        Strength of the pull to 0 that every move gets besides its step: -eta weight_decay theta,
        apart from the gradient and its moments (Loshchilov and Hutter 2019).
    decay_D, decay_G : float
        Iteration t, from 1, has the step size eta / t^p; p in [0, 1].
    first_step : {"plain", "double"}
        ``optimistic``: the step before the first is the first one, or 0, which doubles it.
    past_scale : {"own", "today"}
        ``optimistic`` with moments: Delta_{t-1} as it was taken, or scaled by today's bias
        correction.
    name : str
        Shown in summaries.

    Raises
    ------
    InputError
        For a value outside these ranges, or a combination that means nothing.

    Examples
    --------
    Extragradient on gradients that are normalized by layer:

    >>> from twomode.rules import Rule
    >>> rule = Rule(magnitude="unit", granularity="layer", schedule="extragradient")
    >>> rule.cost.gradients, rule.equivariant, rule.as_long_as_gradient
    (2.0, True, False)
    """

    direction: str = "gradient"
    magnitude: str = "own"
    granularity: str = "neuron"
    polar: str = "exact"
    schedule: str = "simultaneous"
    beta1: Annotated[float, "(-1, 1)"] = 0.9
    beta2: Annotated[float, "[0, 1)"] = 0.999
    eps: NotNegative = 1e-8
    norm_eps: NotNegative = 0.0
    bias_correction: bool = True
    heavy_ball: bool = False
    nesterov: bool = False
    constant: NotNegative = 1.0
    max_norm: Positive = 1.0
    correction: str = "none"
    correction_weight: float = 1.0
    aligned: bool = True
    anchor: NotNegative = 0.0
    weight_decay: NotNegative = 0.0
    decay_D: Probability = 0.0
    decay_G: Probability = 0.0
    first_step: str = "plain"
    past_scale: str = "own"
    name: str = "custom"

    #: Whether the compiled engines know it.
    compiled: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields(self)
        for name, choices in CHOICES.items():
            require_choice(name, getattr(self, name), choices)
        self._refuse_the_meaningless()

    def _refuse_the_meaningless(self) -> None:
        """Raise `InputError` for a field that would have no effect on this rule."""
        M, S = self.uses_first_moment, self.uses_second_moment
        of_M, of_S = "direction or magnitude momentum or adam", "direction or magnitude adam"
        for name, effect, needed in (
            ("beta1", M, f"{of_M}, as sgda-momentum has"),
            ("heavy_ball", M, f"{of_M}, as sgda-momentum has"),
            ("nesterov", M, f"{of_M}, as sgda-momentum has"),
            ("bias_correction", S or (M and not self.heavy_ball), f"{of_M}, and no heavy_ball"),
            ("beta2", S, f"{of_S}, as adam has"),
            ("eps", S, f"{of_S}, as adam has"),
            ("granularity", self.uses_norms, "a magnitude other than own, as nsgda has"),
            ("polar", self.spectral, "granularity spectral, as muon has"),
            ("norm_eps", self.uses_norms, "a magnitude other than own, as nsgda has"),
            ("constant", self.magnitude == "constant", "magnitude constant, as ada-nsgda has"),
            ("max_norm", self.magnitude == "clipped", "magnitude clipped, as clipped-sgda has"),
        ):
            value = getattr(self, name)
            require(
                effect or value == getattr(Rule, name),
                f"{name}={value!r} has no effect on {shown(self.name)}: it needs {needed}",
            )
        weighted = self.correction in ("sga", "consensus")
        require(
            weighted or self.correction_weight == 1,
            f"correction_weight={self.correction_weight!r} needs a correction that has a weight,"
            f" sga or consensus, not {self.correction}",
        )
        require(
            self.aligned or self.correction == "sga",
            f"aligned=False chooses the sign of sga's lambda, and the correction is"
            f" {self.correction}",
        )
        for name in ("decay_D", "decay_G"):
            require(
                not self.anchor or getattr(self, name) < 1,
                f"anchor={self.anchor!r} pulls with strength (1 - p) anchor/t, which is 0 for"
                f" {name}=1: choose p below 1",
            )
        require(
            self.first_step == "plain" or self.schedule == "optimistic",
            f"first_step={self.first_step!r} is about the optimistic schedule, not {self.schedule}",
        )
        moments = self.direction != "gradient" and self.magnitude == "own"
        require(
            self.past_scale == "own" or (self.schedule == "optimistic" and moments),
            "past_scale='today' rescales the moments in the old step of an optimistic momentum or"
            f" adam rule with magnitude own, not of {self.schedule} {self.direction} with"
            f" magnitude {self.magnitude}",
        )
        require(
            self.past_scale == "own" or not self.nesterov,
            "past_scale='today' rescales moments, and nesterov=True adds a gradient that is gone:"
            " choose one of them",
        )

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
        """Whether rotating R^d rotates the run: true of every rule without Adam's vector A.

        Examples
        --------
        The reduced engine, exact at any d, needs it.

        >>> from twomode.rules import RULES, named_rule
        >>> [name for name in ("sgda", "nsgda", "adam") if named_rule(name).equivariant]
        ['sgda', 'nsgda']
        """
        return not self.uses_second_moment

    @property
    def as_long_as_gradient(self) -> bool:
        """Whether the step shrinks and grows with the gradient.

        Examples
        --------
        Theorem 4.1 is about a rule for which it does, Theorem 4.2 about one for which it does not.

        >>> from twomode.rules import named_rule
        >>> named_rule("sgda").as_long_as_gradient, named_rule("nsgda").as_long_as_gradient
        (True, False)
        """
        if self.magnitude in ("own", "clipped"):
            return self.direction != "adam"
        return self.magnitude in ("gradient", "momentum")

    @property
    def discretizes_flow(self) -> bool:
        """Whether short steps follow a smooth flow: in the direction of gradients, and as long."""
        along = not (self.spectral or self.magnitude == "clipped")
        return self.equivariant and self.as_long_as_gradient and along

    @property
    def has_flow(self) -> bool:
        """Whether `FlowEngine` follows the limit of short steps, at constant step sizes."""
        return self.discretizes_flow and not (self.pulled or self._turns_round)

    @property
    def pulled(self) -> bool:
        """Whether moves are more than steps: pulled to the start, or to 0."""
        return self.anchor > 0 or self.weight_decay > 0

    @property
    def _turns_round(self) -> bool:
        """Whether a sign that may change at any state decides where it goes."""
        return self.correction == "sga" and self.aligned

    @property
    def _moved_by_momentum(self) -> bool:
        """Whether M gives the step its length."""
        return "momentum" in (self.magnitude, self.direction if self.magnitude == "own" else "")

    @property
    def spectral(self) -> bool:
        """Whether polar factors of matrices give the direction."""
        return self.granularity == "spectral"

    @property
    def uses_norms(self) -> bool:
        """Whether the step needs norms over whole blocks before it can be taken."""
        return self.magnitude != "own" or self.spectral

    @property
    def corrected(self) -> bool:
        """Whether the rule uses the game's Jacobian."""
        return self.correction != "none"

    @property
    def rescalable(self) -> bool:
        """Whether `Optimizer.rescaled` moves alike."""
        return not self.corrected

    @property
    def plain(self) -> bool:
        """Whether nothing but steps of constant size move the players, both at once."""
        decays = self.decay_D or self.decay_G
        return self.schedule == "simultaneous" and not (self.corrected or self.pulled or decays)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What an iteration consists of."""
        return SCHEDULES[self.schedule]

    @property
    def keeps_step(self) -> bool:
        """Whether a step is used again in the next iteration."""
        return any(stage.old != 0 for stage in self.stages)

    @property
    def keeps_base(self) -> bool:
        """Whether the place where an iteration began is used again within it."""
        return any(stage.back for stage in self.stages)

    @property
    def moves_by_steps(self) -> bool:
        """Whether an iteration moves the players by eta Delta, with no old step and no pull.

        Examples
        --------
        >>> from twomode.rules import named_rule
        >>> [named_rule(name).moves_by_steps for name in ("extragradient", "optimistic")]
        [True, False]
        """
        return not (self.pulled or self.stages[-1].old)

    @property
    def memory(self) -> int:
        """How many vectors as long as the state the rule keeps or works with besides it.

        Examples
        --------
        >>> from twomode.rules import named_rule
        >>> named_rule("adam").memory, named_rule("extra-adam").memory  # M and S; and the base
        (2, 3)
        """
        kept = [self.uses_first_moment, self.uses_second_moment, self.keeps_step, self.keeps_base]
        products = {"none": 0, "sga": 2}.get(self.correction, 1)
        return sum(kept) + (self.anchor > 0) + products

    @property
    def updates(self) -> int:
        """How often the moments of each player advance in an iteration.

        Examples
        --------
        >>> from twomode.rules import named_rule
        >>> named_rule("adam").updates, named_rule("extra-adam").updates
        (1, 2)
        """
        return sum(stage.looks and stage.D for stage in self.stages)

    @property
    def cost(self) -> Cost:
        """What an iteration evaluates.

        Examples
        --------
        >>> from twomode.rules import Rule
        >>> [Rule(schedule=s).cost.gradients for s in ("past-extragradient", "extragradient")]
        [1.0, 2.0]
        """
        looks = [stage for stage in self.stages if stage.looks]
        if self.corrected:  # it needs the gradients of both players, whoever moves
            return Cost(len(looks), len(looks) * (2 if self.correction == "sga" else 1))
        return Cost(sum(stage.D + stage.G for stage in looks) / 2, 0)

    def pulls(self, t: int) -> dict[str, float]:
        """Share of the way to the start by which the anchor moves the players in iteration t.

        Parameters
        ----------
        t : int
            From 1.

        Returns
        -------
        dict of str to float
            Keys D and G: (1 - p) anchor/t (Ryu et al. 2019).

        Examples
        --------
        >>> from twomode.rules import Rule
        >>> Rule(anchor=2.0, decay_D=0.5, decay_G=0.5).pulls(10)
        {'D': 0.1, 'G': 0.1}
        """
        return {
            "D": (1 - self.decay_D) * self.anchor / t,
            "G": (1 - self.decay_G) * self.anchor / t,
        }

    def moment_scales(self, t: int) -> tuple[float, float]:
        """Factors that turn the moments M and S after update t (from 1) into those of the step.

        Examples
        --------
        At the first update M = (1 - beta1) g, which its factor makes g again.

        >>> from twomode.rules import Rule
        >>> Rule(direction="adam", beta1=0.5, beta2=0.75).moment_scales(1)
        (2.0, 4.0)
        """
        second = 1 / (1 - self.beta2**t) if self.bias_correction else 1.0
        if self.heavy_ball:
            return 1 / (1 - self.beta1), second
        return (1 / (1 - self.beta1**t) if self.bias_correction else 1.0), second

    def block_sizes(self, d: int, m_D: int, m_G: int) -> dict[str, int]:
        """Number of coordinates of R^d in the blocks of W, b and V; of matrices, over the rank.

        Parameters
        ----------
        d, m_D, m_G : int
            Of the game.

        Returns
        -------
        dict of str to int
            Keys W, b and V.

        Examples
        --------
        >>> from twomode.rules import Rule
        >>> rule = Rule(magnitude="unit", granularity="global")  # W and b are one block
        >>> rule.block_sizes(d=16, m_D=2, m_G=3)
        {'W': 33, 'b': 33, 'V': 48}
        """
        W, V = m_D * d, m_G * d
        return {
            "neuron": {"W": d, "b": 1, "V": d},
            "layer": {"W": W, "b": 1, "V": V},
            "global": {"W": W + 1, "b": W + 1, "V": V},
            "spectral": {"W": max(m_D, d), "b": 1, "V": max(m_G, d)},
        }[self.granularity]

    def block_length(self, coordinates: int) -> float:
        """Length of a ``magnitude="constant"`` step over a block of this many coordinates.

        Examples
        --------
        >>> from twomode.rules import Rule
        >>> Rule(magnitude="constant", constant=0.5).block_length(16)
        2.0
        """
        return self.constant * math.sqrt(coordinates)

    def differences(self, other: Rule) -> dict[str, float | str | bool]:
        """The fields (step sizes apart) in which it is not as another rule.

        Examples
        --------
        >>> from twomode.rules import named_rule
        >>> named_rule("l-nsgda").differences(named_rule("nsgda"))
        {'granularity': 'layer'}
        """
        names = [f.name for f in fields(Rule) if f.name != "name"]
        return {n: getattr(self, n) for n in names if getattr(self, n) != getattr(other, n)}

    def __repr__(self) -> str:
        numbers = {f.name: getattr(self, f.name) for f in fields(self) if f.name[:3] == "eta"}
        named = {} if self.name == Rule().name else {"name": self.name}
        shown = numbers | self.differences(Rule()) | named
        words = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"{type(self).__name__}({words})"

    def with_steps(self, eta_D: float, eta_G: float) -> Optimizer:
        """The rule with step sizes.

        Examples
        --------
        >>> from twomode.rules import named_rule
        >>> rule = named_rule("nsgda")
        >>> [rule.with_steps(0.005, eta_G).eta_G for eta_G in (0.001, 0.005)]
        [0.001, 0.005]
        """
        return Optimizer(eta_D, eta_G, **{f.name: getattr(self, f.name) for f in fields(Rule)})


@dataclass(frozen=True, repr=False)
class Optimizer(Rule):
    """A rule with its step sizes.

    Parameters
    ----------
    eta_D, eta_G : float
        Step sizes of the discriminator (W, b) and the generator (V); nonnegative.
    **fields
        Those of `Rule`, by keyword.

    Raises
    ------
    InputError
        For a negative step size, or as `Rule`.

    Examples
    --------
    >>> import twomode as tm
    >>> opt = tm.Optimizer(0.1, 0.01, magnitude="unit", name="mine")
    >>> opt.eta_G, opt.plain
    (0.01, True)
    """

    EXAMPLE: ClassVar[str] = 'tm.optimizer("sgda", eta_D=0.1, eta_G=0.1)'

    eta_D: NotNegative
    eta_G: NotNegative

    def with_steps(self, eta_D: float, eta_G: float) -> Optimizer:
        """The same rule, an `OwnRule` too, with other step sizes.

        Examples
        --------
        >>> import twomode as tm
        >>> tm.optimizer("nsgda", eta_D=0.1, eta_G=0.1).with_steps(0.1, 0.02).eta_G
        0.02
        """
        return replace(self, eta_D=eta_D, eta_G=eta_G)

    def step_sizes(self, t: int) -> dict[str, float]:
        """Step sizes of the players in iteration t, from 1.

        Examples
        --------
        >>> import twomode as tm
        >>> tm.optimizer("sgda", eta_D=0.5, eta_G=0.25, decay_D=0.5).step_sizes(100)
        {'D': 0.05, 'G': 0.25}
        """
        return {"D": self.eta_D / t**self.decay_D, "G": self.eta_G / t**self.decay_G}

    def rescaled(self, factor: float) -> Optimizer:
        """What moves alike, without a correction, where the objective is multiplied by a factor.

        Examples
        --------
        >>> import twomode as tm
        >>> tm.optimizer("sgda", eta_D=0.5, eta_G=0.25).rescaled(2.0).eta_G
        0.125
        >>> opt = tm.optimizer("adam", eta_D=0.5, eta_G=0.25, eps=0.25).rescaled(2.0)
        >>> opt.eta_G, opt.eps
        (0.25, 0.5)
        """
        longer = factor if self.as_long_as_gradient else 1.0
        normed = self.uses_norms and self.direction != "adam"
        return replace(
            self,
            eta_D=self.eta_D / longer,
            eta_G=self.eta_G / longer,
            eps=self.eps * (factor if self.uses_second_moment else 1.0),
            norm_eps=self.norm_eps * (factor if normed else 1.0),
            weight_decay=self.weight_decay * longer,
            max_norm=self.max_norm * (longer if self.magnitude == "clipped" else 1.0),
        )

    def flow_speeds(self) -> tuple[float, float]:
        """Distance over gradient that each iteration goes in the limit of short steps, (D, G).

        Over the corrected gradient, for rules that correct it by the Jacobian.  Every schedule
        discretizes the same flow: extragradient looks ahead by as much as it steps, optimistic
        steps add up to one, and the second of two that alternate answers a move that vanishes.
        Heavy-ball momentum repeats each step 1/(1 - beta1) times.

        Raises
        ------
        InputError
            If the rule has no such limit, or one that jumps or depends on time.

        Examples
        --------
        >>> import twomode as tm
        >>> tm.optimizer("sgda-momentum", eta_D=0.25, eta_G=0.5, beta1=0.5).flow_speeds()
        (0.5, 1.0)
        """
        for refused, why in (
            (not self.equivariant, "depends on the coordinates of R^d"),
            (not self.as_long_as_gradient, "takes steps of one length, which chatter in the limit"),
            (self._turns_round, "turns its correction round where a sign changes (aligned=True)"),
            (self.magnitude == "clipped", "clips its steps"),
            (self.spectral, "goes along polar factors, not along gradients"),
            (self.anchor > 0, "is pulled to its start by a force that depends on time"),
            (self.weight_decay > 0, "is pulled to 0"),
            (self.decay_D or self.decay_G, "has step sizes that depend on time"),
        ):
            require(not refused, f"{self.name} {why}: it has no flow; use engine='reduced'")
        repeats = 1 / (1 - self.beta1) if self.heavy_ball and self._moved_by_momentum else 1.0
        return self.eta_D * repeats, self.eta_G * repeats

    def to_dict(self) -> JSON:
        """Plain-JSON form; the keyword arguments of the constructor.

        Examples
        --------
        >>> import twomode as tm
        >>> opt = tm.optimizer("adam", eta_D=0.001, eta_G=0.0002)
        >>> tm.Optimizer(**opt.to_dict()) == opt
        True
        """
        return {"eta_D": self.eta_D, "eta_G": self.eta_G} | asdict(self)
