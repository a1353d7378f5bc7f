"""Step sizes and horizons for a rule at any dimension, where the user gives none.

Chosen at the canonical preset, from seeds 0-63 at d = 2^8, ..., 2^20, so that SGDA reaches its
first approximate stationary point and shows the collapse, and per-neuron normalized SGDA recovers
both modes.  The README has the proportions measured on other seeds.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

from twomode.errors import require
from twomode.game import Game
from twomode.optimizers import Optimizer, optimizer

__all__ = ["Recipe", "recipe"]


class Recipe(NamedTuple):
    """A rule with its step sizes, and a number of iterations that shows what it does."""

    opt: Optimizer
    steps: int


def recipe(
    game: Game,
    name: str,
    *,
    eta_D: float | None = None,
    eta_G: float | None = None,
    steps: int | None = None,
    **changes: Any,
) -> Recipe:
    """Complete a named rule: whatever is not given is chosen for this game.

    Parameters
    ----------
    game : Game
    name : str
        A key of `twomode.optimizers.RULES`.
    eta_D, eta_G : float, optional
        The default eta_G follows from eta_D.
    steps : int, optional
        The default follows from eta_D: a time of 3 sqrt(d)/a for rules whose step is as long as
        the gradient (the discriminator learns in about sqrt(d)/(a eta_D) iterations), 25 for
        normalized rules, whose neurons travel eta_D an iteration.
    **changes
        Other fields of `Optimizer`.

    Notes
    -----
    ====================  ==============================  ==============
    length of the step    eta_D                           eta_G / eta_D
    ====================  ==============================  ==============
    that of the gradient  0.2 (256/d)^(1/8)               ln d
    1 for each block      0.005                           0.2
    that of Adam's step   0.005/sqrt(d)                   0.2
    ====================  ==============================  ==============

    Heavy-ball steps add up to 1/(1 - beta1) of a plain one and overshoot when the gradient turns
    within that many iterations, so theirs are (1 - beta1)^2 as long.
    """
    rule = optimizer(name, eta_D=0.0, eta_G=0.0, **changes)
    if _as_long_as_gradient(rule):
        length, ratio = 0.2 * (256 / game.d) ** 0.125, math.log(game.d)
        time = 3 * math.sqrt(game.d) / abs(game.a) if game.a else math.inf
        if rule.heavy_ball and rule.uses_first_moment:
            length, time = length * (1 - rule.beta1) ** 2, time * (1 - rule.beta1)
    else:
        length, ratio, time = 0.005, 0.2, 25.0
        if rule.magnitude != "unit":
            length, time = length / math.sqrt(game.d), time / math.sqrt(game.d)
    eta_D = length if eta_D is None else eta_D
    eta_G = ratio * eta_D if eta_G is None else eta_G
    opt = replace(rule, eta_D=eta_D, eta_G=eta_G)
    if steps is None:
        require(
            eta_D > 0 and time < math.inf,
            f"eta_D={eta_D!r} with a={game.a!r} leaves no time scale to choose from: give steps",
        )
        steps = math.ceil(time / eta_D)
    return Recipe(opt, steps)


def _as_long_as_gradient(rule: Optimizer) -> bool:
    """Whether the rule's step shrinks and grows with the gradient."""
    if rule.magnitude == "own":
        return rule.direction != "adam"
    return rule.magnitude in ("gradient", "momentum")
