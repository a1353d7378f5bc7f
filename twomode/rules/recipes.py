"""Step sizes and horizons for a rule at any dimension, where the user gives none.

Chosen at the canonical preset, from seeds 0-63 at d = 2^8, ..., 2^20, so that SGDA reaches its
first approximate stationary point and shows the collapse, and per-neuron normalized SGDA recovers
both modes.  The README has the proportions measured on other seeds.
"""

import math
from dataclasses import replace
from typing import Any, NamedTuple

from twomode._typing import Horizon, NotNegative, Positive
from twomode.checks import checked
from twomode.errors import require
from twomode.game import Game
from twomode.rules.algebra import Optimizer, Rule
from twomode.rules.named import RULES, named_rule, optimizer

__all__ = ["UNTIL_T0", "Recipe", "recipe"]

#: More iterations than this nobody steps through.
_MOST = 1e12
#: As a number of iterations: what only a flow can be given, which ends at its T_0.
UNTIL_T0 = 10**300
_EULER = 0.5772156649015329  #: 1 + 1/2 + ... + 1/n is about ln n + this


class Recipe(NamedTuple):
    """A rule with its step sizes, and a number of iterations that shows what it does.

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=64)
    >>> result = tm.simulate(game, *tm.recipe(game, "nsgda"), record_every=500)
    >>> result.steps[-1].item()
    5000
    """

    opt: Optimizer
    steps: int


@checked
def recipe(
    game: Game,
    name: str | Rule,
    *,
    eta_D: NotNegative | None = None,
    eta_G: NotNegative | None = None,
    ratio: NotNegative | None = None,
    steps: Horizon | None = None,
    step_scale: Positive = 1.0,
    **changes: Any,
) -> Recipe:
    """Complete a rule: whatever is not given is chosen for this game.

    Parameters
    ----------
    game : Game
    name : str or Rule
        A key of `twomode.rules.RULES`, a rule, or an `Optimizer`, which has step sizes.
    eta_D, eta_G : float, optional
        The default eta_G follows from eta_D.
    ratio : float, optional
        eta_G/eta_D, in place of eta_G.
    steps : int, optional
        The default follows from eta_D: a time of 3 sqrt(d)/a for rules whose step is as long as
        the gradient (the discriminator learns in about sqrt(d)/(a eta_D) iterations), 25 for
        normalized rules, whose neurons travel eta_D an iteration.  Where that is more than
        10^12, and the rule has a flow, `UNTIL_T0`.
    step_scale : float
        Makes the default steps, or those of an `Optimizer`, so many times as long, and their
        default number as many times smaller.
    **changes
        Fields of `Rule`.

    Returns
    -------
    Recipe

    Raises
    ------
    InputError
        For an unknown name or an unusable value, if no number of iterations can be chosen, or for
        other step sizes than those of an `Optimizer`.

    Notes
    -----
    ====================  ==============================  ==============
    length of the step    eta_D                           eta_G / eta_D
    ====================  ==============================  ==============
    that of the gradient  0.2 (256/d)^(1/8)               ln d
    1 for each block      0.005                           0.2
    that of Adam's step   0.005/sqrt(d)                   0.2
    ====================  ==============================  ==============

    A rule that is about eta_G/eta_D has its own.  Heavy-ball steps add up to 1/(1 - beta1) of a
    plain one and overshoot when the gradient turns within that many iterations, so for beta1 > 0
    theirs are (1 - beta1)^2 as long.  Decaying steps begin so long that all of them together are
    as long as the constant ones.

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=256)
    >>> opt, steps = tm.recipe(game, "sgda")
    >>> opt.eta_D, round(opt.eta_G / opt.eta_D, 2), steps
    (0.2, 5.55, 1331)
    >>> tm.recipe(game, "nsgda", step_scale=0.5).steps  # half as long, twice as many
    10000
    """
    require(eta_G is None or ratio is None, "ratio and eta_G exclude each other")
    if isinstance(name, Optimizer):
        require(
            eta_D is eta_G is None,
            f"{name!r} has step sizes: change them by step_scale and ratio, or give a Rule, which"
            " has none",
        )
        eta_D = step_scale * name.eta_D
        eta_G = step_scale * name.eta_G if ratio is None else None
    rule = named_rule(name, **changes) if isinstance(name, str) else replace(name, **changes)
    if rule.as_long_as_gradient:
        length, usual = 0.2 * (256 / game.d) ** 0.125, math.log(game.d)
        time = 3 * math.sqrt(game.d) / abs(game.a) if game.a else math.inf
        if rule.heavy_ball and rule.uses_first_moment:
            length, time = length * (1 - max(0.0, rule.beta1)) ** 2, time * (1 - rule.beta1)
    else:
        length, usual, time = 0.005, 0.2, 25.0
        if rule.magnitude != "unit":
            length, time = length / math.sqrt(game.d), time / math.sqrt(game.d)
    if isinstance(name, str):
        usual = RULES[name].ratio or usual
    length *= step_scale
    if eta_D is None:
        eta_D = _first(length, rule.decay_D, time / length)
        if eta_G is None and ratio is None:
            eta_G = _first(usual * length, rule.decay_G, time / length)
    if eta_G is None:
        eta_G = (usual if ratio is None else ratio) * eta_D
    if isinstance(name, str):
        opt = optimizer(name, eta_D=eta_D, eta_G=eta_G, **changes)
    else:
        opt = rule.with_steps(eta_D, eta_G)
    if steps is None:
        needed = _steps(eta_D, rule.decay_D, time)
        decays = f", decay_D={rule.decay_D!r}" if rule.decay_D else ""
        steps = UNTIL_T0 if opt.discretizes_flow and math.isfinite(needed) else 0
        require(
            needed < _MOST or steps > 0,
            f"eta_D={eta_D!r}{decays} with a={game.a!r} leaves no time scale to choose from: give"
            " steps",
        )
        if needed < _MOST:
            steps = math.ceil(needed)
    return Recipe(opt, steps)


def _first(length: float, decay: float, steps: float) -> float:
    """eta such that the sum of eta/t^decay over so many steps is `length` times their number."""
    if not math.isfinite(steps):
        return length
    if decay == 1:
        return length * steps / (math.log(steps) + _EULER)
    return length * (1 - decay) * steps**decay


def _steps(eta: float, decay: float, time: float) -> float:
    """The number of steps over which the sum of eta/t^decay is `time`."""
    if eta == 0 or not math.isfinite(time):
        return math.inf
    if decay == 0:
        return time / eta
    if decay == 1:
        logarithm = time / eta - _EULER
    else:
        logarithm = math.log((1 - decay) * time / eta) / (1 - decay)
    return math.exp(logarithm) if logarithm < math.log(_MOST) else math.inf
