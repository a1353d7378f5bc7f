"""The hypotheses of the theorems, each as a function of a result.

Source: G. Gidel, "Beyond minimax optimization" (Simons Institute, 2022), Theorems 4.1 and 4.2.
"""

from __future__ import annotations

import math

import numpy as np

from twomode._typing import IntArray
from twomode.game import CorrelatedCoefficients, CorrelatedModes, GaussianStart
from twomode.rules import Optimizer
from twomode.runs import Result
from twomode.theory.cards import Hypothesis
from twomode.theory.verdicts import left_start

__all__ = [
    "any_step_sizes",
    "both_moved",
    "fast_generator",
    "normalized_sgda",
    "plain_sgda",
    "reached_T0",
    "setting",
    "slower_generator",
]


def _describe(opt: Optimizer) -> str:
    blocks = {"neuron": "w_i, v_j and b", "layer": "W, V and b", "global": "player"}
    if not opt.compiled:
        return f"a step of its own, {opt.schedule}"
    words = [f"{opt.direction} with magnitude {opt.magnitude}"]
    if opt.spectral:
        words.append(f"{opt.polar} polar factors of W, V and b")
    elif opt.uses_norms:
        words.append(f"one norm for each {blocks[opt.granularity]}")
    if opt.corrected:
        words.append(f"corrected by {opt.correction}")
    if opt.anchor:
        words.append(f"anchored with {opt.anchor:g}")
    if opt.weight_decay:
        words.append(f"weights decaying by {opt.weight_decay:g}")
    if opt.decay_D or opt.decay_G:
        words.append(f"steps decaying as t^-{opt.decay_D:g} and t^-{opt.decay_G:g}")
    return ", ".join([*words, opt.schedule])


def _along_gradients(opt: Optimizer, magnitude: str) -> bool:
    """Whether simultaneous steps of this magnitude go along gradients, and nothing else moves."""
    return (opt.direction, opt.magnitude) == ("gradient", magnitude) and (
        opt.plain and not opt.spectral
    )


def plain_sgda(result: Result) -> Hypothesis:
    """Theorem 4.1: the rule.

    Examples
    --------
    >>> import twomode as tm
    >>> from twomode.theory.hypotheses import plain_sgda
    >>> opt = tm.optimizer("sgda-momentum", eta_D=0.1, eta_G=0.1)
    >>> plain_sgda(tm.simulate(tm.Game.preset(d=16), opt, 1)).found
    'sgda-momentum: momentum with magnitude own, simultaneous'
    """
    opt = result.opt
    return Hypothesis(
        "rule",
        "simultaneous SGDA",
        f"{opt.name}: {_describe(opt)}",
        _along_gradients(opt, "own"),
    )


def normalized_sgda(result: Result) -> Hypothesis:
    """Theorem 4.2: the rule.

    Examples
    --------
    Per layer is one of its readings:

    >>> import twomode as tm
    >>> from twomode.theory.hypotheses import normalized_sgda
    >>> opt = tm.optimizer("l-nsgda", eta_D=0.005, eta_G=0.001)
    >>> normalized_sgda(tm.simulate(tm.Game.preset(d=16), opt, 1)).met
    True
    """
    opt = result.opt
    return Hypothesis(
        "rule",
        "simultaneous SGDA with normalized gradients, per neuron, layer or player",
        f"{opt.name}: {_describe(opt)}",
        _along_gradients(opt, "unit"),
    )


def setting(result: Result) -> tuple[Hypothesis, ...]:
    """Hypotheses on data, latents, width and start that both theorems share.

    Examples
    --------
    Independent coordinates, each 1 with probability 1/2, are on far too often:

    >>> import twomode as tm
    >>> from twomode.theory.hypotheses import setting
    >>> game = tm.Game.preset(d=64, m_G=10, latents=tm.Bernoulli(0.5))
    >>> result = tm.simulate(game, tm.optimizer("sgda", eta_D=0.1, eta_G=0.1), 1)
    >>> [(h.name, h.met) for h in setting(result)]
    [('data', True), ('latents', False), ('width', True), ('start', True)]
    """
    game = result.game
    correlated = isinstance(game.data, CorrelatedModes) and game.gamma > 0
    together = isinstance(game.data, CorrelatedCoefficients) and game.data.p_12 > 0
    support, probabilities = game.latent_points
    moments = (support * probabilities[:, None]).T @ support
    singles = np.diag(moments) * game.m_G
    pairs = (moments - np.diag(np.diag(moments))).max() * game.m_G**2
    log = math.log(game.d)
    return (
        Hypothesis(
            "data",
            "u_1 or u_2 with <u_1, u_2> > 0, or sometimes u_1 + u_2",
            f"{game.data.kind}, gamma = {game.gamma:.3g}",
            correlated or together,
        ),
        Hypothesis(
            "latents",
            "Pr[z_i = 1] = Theta(1/m_G), read as 1/4 to 4; the largest Pr[z_i = z_j = 1] positive,"
            " at most 1/m_G^2",
            f"{singles.min():.3g} to {singles.max():.3g}, and {pairs:.3g}/m_G^2",
            bool(singles.min() >= 0.25 and singles.max() <= 4 and 0 < pairs <= 1 + 1e-9),
        ),
        Hypothesis(
            "width",
            "m_D, m_G = polylog(d), read as 2 to (ln d)^2",
            f"m_D = {game.m_D}, m_G = {game.m_G}",
            all(2 <= m <= log**2 for m in (game.m_D, game.m_G)),
        ),
        _canonical_start(result),
    )


def _canonical_start(result: Result) -> Hypothesis:
    start, game = result.provenance["start"], result.game
    found, met = "an explicit start", False
    if isinstance(start, dict):
        drawn = GaussianStart(**start)
        std_W, std_V = drawn.scales(game)
        found = f"standard deviations {std_W:.3g}, {std_V:.3g}, b(0) = {drawn.bias:g}"
        met = drawn.bias == 0 and np.allclose(
            (std_W, std_V), GaussianStart().scales(game), rtol=1e-9, atol=0
        )
    return Hypothesis("start", "w_i ~ N(0, I/d), v_j ~ N(0, I/d^2), b = 0", found, bool(met))


def reached_T0(nu: float, at: IntArray, probability: float) -> Hypothesis:
    """The horizon of Theorem 4.1: T_0 comes.

    Parameters
    ----------
    nu : float
        Of `first_stationary`, which found T_0.
    at : ndarray of int, shape (R,)
        Its record in each replica, or -1.
    probability : float
        The share of replicas to exceed.

    Examples
    --------
    >>> import numpy as np
    >>> from twomode.theory.hypotheses import reached_T0
    >>> horizon = reached_T0(0.1, np.array([146, -1, 112, -1]), probability=0.5)
    >>> horizon.found, horizon.met
    ('in 2 of 4 replicas', False)
    """
    found = int((at >= 0).sum())
    return Hypothesis(
        "horizon",
        f"the run comes to T_0 (both gradients at {nu:g} of their peak)",
        f"in {found} of {len(at)} replicas",
        found > probability * len(at),
    )


def both_moved(result: Result, at: IntArray, probability: float) -> Hypothesis:
    """Both theorems: a run in numbers, in which something happens before it is judged.

    Parameters
    ----------
    result : Result
    at : ndarray of int, shape (R,)
        The record at which each replica is judged; -1 is the last.
    probability : float
        The share of replicas to exceed.

    Examples
    --------
    A generator of zero has a gradient of zero, and stays:

    >>> import numpy as np, twomode as tm
    >>> from twomode.theory.hypotheses import both_moved
    >>> game, start = tm.Game.preset(d=64), tm.GaussianStart(std_V=0)
    >>> result = tm.simulate(game, *tm.recipe(game, "sgda"), start=start)
    >>> motion = both_moved(result, np.array([-1]), probability=0.5)
    >>> motion.found, motion.met
    ('finite in 1, and both have moved in 0 of 1 replicas', False)
    """
    finite = ~result.diverged | (result.steps[at] < result.diverged_at)
    there = left_start(result)[np.arange(result.replicas), at].all(axis=-1) & finite
    return Hypothesis(
        "motion",
        "where it is judged the run is finite, and both players have moved",
        f"finite in {finite.sum()}, and both have moved in {there.sum()} of {len(at)} replicas",
        bool(there.sum() > probability * len(at)),
    )


def any_step_sizes(result: Result) -> Hypothesis:
    """Theorem 4.1: any, so long as both players move.

    Examples
    --------
    >>> import twomode as tm
    >>> from twomode.theory.hypotheses import any_step_sizes
    >>> opt = tm.optimizer("sgda", eta_D=0.1, eta_G=0.0)
    >>> any_step_sizes(tm.simulate(tm.Game.preset(d=16), opt, 1)).met
    False
    """
    met = result.opt.eta_D > 0 and result.opt.eta_G > 0
    return Hypothesis("step sizes", "any", _step_sizes(result), met)


def fast_generator(result: Result) -> Hypothesis:
    """Theorem 4.1, special case: eta_G = sqrt(d) eta_D / polylog(d).

    Examples
    --------
    Equal step sizes meet it at d = 1024, where sqrt(d) is (ln d)^1.79:

    >>> import twomode as tm
    >>> from twomode.theory.hypotheses import fast_generator
    >>> game, opt = tm.Game.preset(d=1024), tm.optimizer("sgda", eta_D=0.1, eta_G=0.1)
    >>> hypothesis = fast_generator(tm.simulate(game, opt, 1))
    >>> hypothesis.found, hypothesis.met
    ('k = 1.79', True)
    """
    k = _polylog_exponent(result)
    return Hypothesis(
        "step sizes",
        "eta_G = sqrt(d) eta_D / (ln d)^k with k in (0, 3]",
        f"k = {k:.2f}",
        0 < k <= 3,
    )


def slower_generator(result: Result) -> Hypothesis:
    """Theorem 4.2: the generator's steps are no longer than the discriminator's.

    Examples
    --------
    >>> import twomode as tm
    >>> from twomode.theory.hypotheses import slower_generator
    >>> opt = tm.optimizer("nsgda", eta_D=0.001, eta_G=0.005)
    >>> slower_generator(tm.simulate(tm.Game.preset(d=16), opt, 1)).met
    False
    """
    met = 0 < result.opt.eta_G <= result.opt.eta_D
    return Hypothesis("step sizes", "0 < eta_G <= eta_D", _step_sizes(result), met)


def _step_sizes(result: Result) -> str:
    return f"eta_D = {result.opt.eta_D:g}, eta_G = {result.opt.eta_G:g}"


def _polylog_exponent(result: Result) -> float:
    """The k of eta_G = sqrt(d) eta_D / (ln d)^k."""
    opt, d = result.opt, result.game.d
    if not (opt.eta_D > 0 and opt.eta_G > 0):
        return math.nan
    return math.log(math.sqrt(d) * opt.eta_D / opt.eta_G) / math.log(math.log(d))
