"""The named rules: one entry each, as fields of `Rule`, with formula and source.

g is the gradient in the player's improving direction, Delta the step that the rule's direction,
magnitude and granularity make of it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from twomode._typing import NotNegative
from twomode.checks import checked
from twomode.errors import require, require_choice
from twomode.rules.algebra import Cost, Optimizer, Rule

__all__ = ["RULES", "NamedRule", "label", "named_rule", "optimizer"]


@dataclass(frozen=True)
class NamedRule:
    """A named row of the algebra: the fields it fixes, its formula and its source.

    Examples
    --------
    >>> import twomode as tm
    >>> tm.RULES["extragradient"].formula
    'theta_half = theta + eta Delta(theta),  theta + eta Delta(theta_half);  Delta = g'
    >>> tm.RULES["nsgda"].source
    'the talk, Theorem 4.2'
    """

    fields: dict[str, Any]
    formula: str
    source: str
    #: The rule that it builds on.
    base: str | None = None
    #: eta_G/eta_D, for a rule that is about it; `optimizer` refuses those of 1 or more.
    ratio: float | None = None

    @property
    def cost(self) -> Cost:
        """What an iteration evaluates.

        Examples
        --------
        >>> import twomode as tm
        >>> tm.RULES["extragradient"].cost.gradients  # compare rules per gradient, not per step
        2.0
        """
        return Rule(**self.fields).cost


_NSGDA = {"magnitude": "unit", "granularity": "neuron"}
_ADAM = {"direction": "adam"}
_NEGATIVE = {"beta1": -0.5, "schedule": "alternating-G-first"}
_NEGATIVE_SOURCE = "Gidel et al. 2019 (Negative momentum for improved game dynamics)"
_NORMALIZED = "; on normalized gradients: the talk, 'an inconvenient truth'"
_WITH_ADAM = "; with Adam: the talk, 'beyond the anecdote'"


def _method(
    name: str,
    fields: dict[str, Any],
    formula: str,
    source: str,
    *,
    adam: str | None = None,
    **more: Any,
) -> dict[str, NamedRule]:
    """A method for games on three steps: the plain one, the normalized one and Adam's."""
    return {
        name: NamedRule(fields, f"{formula};  Delta = g", source, "sgda", **more),
        f"{name}-nsgda": NamedRule(
            _NSGDA | fields,
            f"{formula};  Delta = g/norm(g), one norm for each w_i, v_j and b",
            f"{source}{_NORMALIZED}",
            "nsgda",
            **more,
        ),
        adam or f"{name}-adam": NamedRule(
            _ADAM | fields, f"{formula};  Delta = A", f"{source}{_WITH_ADAM}", "adam", **more
        ),
    }


#: Every named rule.
RULES: dict[str, NamedRule] = {
    "sgda": NamedRule(
        {},
        "theta + eta g",
        "simultaneous (stochastic) gradient descent ascent; the talk, Theorem 4.1",
    ),
    "sgda-momentum": NamedRule(
        {"direction": "momentum", "heavy_ball": True},
        "theta + eta g + beta1 (theta - theta_before)",
        "Polyak 1964",
        "sgda",
    ),
    "nsgda": NamedRule(
        _NSGDA,
        "theta + eta g/norm(g), one norm for each w_i, v_j and b",
        "the talk, Theorem 4.2",
    ),
    "l-nsgda": NamedRule(
        {"magnitude": "unit", "granularity": "layer"},
        "theta + eta g/norm(g), one norm for each of W, b and V",
        "the talk, 'layer normalized SGDA'",
    ),
    "g-nsgda": NamedRule(
        {"magnitude": "unit", "granularity": "global"},
        "theta + eta g/norm(g), one norm for each player",
        "the talk, 'normalized SGDA'",
    ),
    "nsgda-momentum": NamedRule(
        {"direction": "momentum", "magnitude": "unit", "granularity": "neuron"},
        "theta + eta M/norm(M), one norm for each w_i, v_j and b",
        "the talk, 'Hypothesis', with neurons as blocks",
        "nsgda",
    ),
    "adam": NamedRule(
        _ADAM,
        "theta + eta A,  A = M/(sqrt(S) + eps)",
        "Kingma and Ba 2015",
    ),
    "adalr": NamedRule(
        {"direction": "momentum", "magnitude": "adam", "granularity": "layer"},
        "theta + eta norm(A) M/norm(M)",
        "the talk, 'AdaLR'",
    ),
    "adadir": NamedRule(
        {"direction": "adam", "magnitude": "momentum", "granularity": "layer"},
        "theta + eta norm(M) A/norm(A)",
        "the talk, 'AdaDir'",
    ),
    "ada-nsgda": NamedRule(
        {"magnitude": "constant", "granularity": "layer"},
        "theta + eta c sqrt(n) g/norm(g), n coordinates in the block",
        "the talk, 'Hypothesis': the norm of Adam's update is constant in time",
    ),
    "spectral-sgda": NamedRule(
        {"granularity": "spectral"},
        "theta + eta nuclear_norm(g) polar(g), polar factors of the matrices W, V and b",
        "steepest descent in the spectral norm, Carlson et al. 2015",
        "sgda",
    ),
    "spectral-nsgda": NamedRule(
        {"magnitude": "unit", "granularity": "spectral"},
        "theta + eta polar(g), polar factors of the matrices W, V and b",
        "Carlson et al. 2015, normalized; Muon without its momentum",
        "nsgda",
    ),
    "muon": NamedRule(
        {
            "direction": "momentum",
            "magnitude": "unit",
            "granularity": "spectral",
            "polar": "newton-schulz",
            "beta1": 0.95,
            "nesterov": True,
            "bias_correction": False,
            "norm_eps": 1e-7,
        },
        "theta + eta NS5(beta1 M + (1 - beta1) g), five Newton-Schulz steps towards polar factors",
        "Jordan et al. 2024, whose scale max(1, rows/columns)^(1/2) is 1 here",
        "spectral-nsgda",
    ),
    "clipped-sgda": NamedRule(
        {"magnitude": "clipped"},
        "theta + eta min(1, c/norm(g)) g, one norm for each w_i, v_j and b",
        "gradient clipping, Pascanu et al. 2013, by neurons",
        "sgda",
    ),
    "signsgd": NamedRule(
        _ADAM | {"beta1": 0.0, "beta2": 0.0, "eps": 0.0},
        "theta + eta sign(g), coordinate by coordinate: A without memory",
        "Bernstein et al. 2018 (signSGD)",
    ),
    "adamw": NamedRule(
        _ADAM | {"weight_decay": 0.01},
        "theta + eta A - eta lambda theta,  lambda = 0.01",
        "decoupled weight decay, Loshchilov and Hutter 2019",
        "adam",
    ),
    **_method(
        "alternating",
        {"schedule": "alternating-G-first"},
        "theta_G + eta Delta(theta),  then theta_D + eta Delta(theta) where G stands by then",
        "the talk, 'Training: the deep learning way!'",
    ),
    **_method(
        "ttur",
        {},
        "theta + eta Delta,  eta_D > eta_G",
        "two time-scale updates, Heusel et al. 2017",
        ratio=0.25,
    ),
    **_method(
        "extragradient",
        {"schedule": "extragradient"},
        "theta_half = theta + eta Delta(theta),  theta + eta Delta(theta_half)",
        "Korpelevich 1976, Gidel et al. 2019 (A variational inequality perspective on GANs)",
        adam="extra-adam",
    ),
    **_method(
        "past-extragradient",
        {"schedule": "past-extragradient"},
        "theta_half = theta + eta Delta(theta_half before),  theta + eta Delta(theta_half)",
        "Popov 1980",
        adam="past-extra-adam",
    ),
    **_method(
        "optimistic",
        {"schedule": "optimistic"},
        "theta + 2 eta Delta_t - eta Delta_{t-1}",
        "optimistic gradient descent ascent (OGDA), Popov 1980, Daskalakis et al. 2018",
    ),
    "negative-momentum": NamedRule(
        _NEGATIVE | {"direction": "momentum", "heavy_ball": True},
        "theta_G + eta g + beta1 (theta_G - theta_G before),  then theta_D likewise,  beta1 = -1/2",
        _NEGATIVE_SOURCE,
        "sgda",
    ),
    "negative-momentum-nsgda": NamedRule(
        _NSGDA | _NEGATIVE | {"direction": "momentum"},
        "theta_G + eta M/norm(M),  then theta_D likewise,  beta1 = -1/2",
        f"{_NEGATIVE_SOURCE}{_NORMALIZED}",
        "nsgda",
    ),
    "negative-momentum-adam": NamedRule(
        _ADAM | _NEGATIVE,
        "theta_G + eta A,  then theta_D likewise,  beta1 = -1/2",
        f"{_NEGATIVE_SOURCE}{_WITH_ADAM}",
        "adam",
    ),
    **_method(
        "sga",
        {"correction": "sga"},
        "xi + lambda A^T xi for xi,  A^T xi = (J^T xi - J xi)/2,  lambda = +-1 by alignment",
        "symplectic gradient adjustment, Balduzzi et al. 2018",
    ),
    **_method(
        "consensus",
        {"correction": "consensus"},
        "xi + gamma grad H for xi,  grad H = J^T xi",
        "Mescheder et al. 2017",
    ),
    **_method(
        "hamiltonian",
        {"correction": "hamiltonian"},
        "grad H for xi,  H = norm(xi)^2/2,  grad H = J^T xi",
        "Hamiltonian gradient descent, Balduzzi et al. 2018",
    ),
    **_method(
        "anchored",
        {"anchor": 2.0, "decay_D": 0.6, "decay_G": 0.6},
        "theta + eta/t^p Delta + (1 - p) gamma/t (theta_0 - theta),  p = 0.6, gamma = 2",
        "Ryu et al. 2019",
    ),
}


def named_rule(name: str, **changes: Any) -> Rule:
    """A named rule without step sizes, and any field replaced by keyword.

    Parameters
    ----------
    name : str
        A key of `RULES`.
    **changes
        Fields of `Rule`.

    Raises
    ------
    InputError
        For an unknown name (the nearest ones are named) or an unusable value.

    Examples
    --------
    >>> from twomode.rules import named_rule
    >>> rule = named_rule("nsgda", granularity="layer")
    >>> rule.magnitude, rule.granularity
    ('unit', 'layer')
    """
    require_choice("optimizer", name, RULES)
    unknown = changes.keys() - {f.name for f in fields(Rule)}
    require(not unknown, f"Optimizer has no field {', '.join(sorted(unknown))}")
    return Rule(**{**RULES[name].fields, "name": name, **changes})


@checked
def label(rule: Rule) -> str:
    """A rule in a few words: its name, and where it is not the rule of that name.

    Examples
    --------
    >>> from twomode.rules import label, named_rule
    >>> label(named_rule("sgda", magnitude="unit"))
    "sgda with magnitude='unit'"
    """
    known = named_rule(rule.name) if rule.name in RULES else Rule()
    changes = ", ".join(f"{name}={value!r}" for name, value in rule.differences(known).items())
    return f"{rule.name} with {changes}" if changes else rule.name


@checked
def optimizer(name: str, *, eta_D: NotNegative, eta_G: NotNegative, **changes: Any) -> Optimizer:
    """A named rule with its step sizes, and any other field replaced by keyword.

    Parameters
    ----------
    name : str
        A key of `RULES`.
    eta_D, eta_G : float
        Step sizes.  `twomode.recipe` chooses them for a game.
    **changes
        Fields of `Rule`.

    Raises
    ------
    InputError
        For an unknown name (the nearest ones are named) or an unusable value.

    Examples
    --------
    >>> import twomode as tm
    >>> tm.optimizer("adam", eta_D=0.001, eta_G=0.0002, beta1=0.5).beta1
    0.5
    >>> tm.optimizer("adamm", eta_D=0.1, eta_G=0.1)
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: unknown optimizer 'adamm': did you mean adam or adamw or sga-adam?
    """
    rule = named_rule(name, **changes)
    require(
        RULES[name].ratio is None or eta_D > eta_G,
        f"{name} needs eta_D > eta_G, and eta_D={eta_D!r}, eta_G={eta_G!r}: use the rule without"
        " two time-scales, or a smaller eta_G",
    )
    return rule.with_steps(eta_D, eta_G)
