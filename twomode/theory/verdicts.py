"""T_0, and one word for what each replica did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from twomode._typing import BoolArray, FloatArray, IntArray, Level
from twomode.checks import checked
from twomode.game import COVERAGE_DELTA, NU, Game, at_rest
from twomode.runs import Result
from twomode.statistics import clopper_pearson

__all__ = [
    "NEAR",
    "VERDICTS",
    "Judgement",
    "coverage_bound",
    "covers_both",
    "first_stationary",
    "judge",
    "left_start",
    "modes_covered",
    "moved",
    "overshot",
]

#: Cosine of two directions at distance sqrt(0.2), the delta of the coverage.
NEAR = 1 - COVERAGE_DELTA**2 / 2

VERDICTS = {
    "collapsed": "at T_0 the generator points along u_1 + u_2: mean cosine (z != 0) at least 0.9",
    "both-modes": "at the end each mode is covered with probability at least 1/(2 m_G)",
    "one-mode": "at the end exactly one mode is covered so",
    "averaged": "at the end, but not at a T_0, the generator points along u_1 + u_2 so",
    "unmoved": "at the end the generator's norm is within a factor of 2 of its start",
    "diverged": "a number of the state overflowed",
    "mixed": "none of these; of several replicas: no verdict has a majority",
}


@checked
def first_stationary(result: Result, nu: Level = NU) -> np.ndarray:
    """T_0 of each replica, as an index into ``result.steps``; -1 where there is none.

    The theorem's T_0 is the first iteration at an approximate first-order stationary point after
    the discriminator has learned.  Here: the first recorded iteration at which the norm of each
    player's gradient has fallen to `nu` times its largest value so far.  The discriminator's falls
    when it tells data from noise; the generator's rises from almost nothing and falls only once
    it has answered, so a plateau on which the generator has not moved yet does not count.  Nor does
    a record before both players have left their starts, or where a gradient has been nothing but
    zero or was not finite.

    Parameters
    ----------
    result : Result
        The largest values are known to the iteration, T_0 itself to the spacing of the records.
    nu : float
        In (0, 1).

    Returns
    -------
    ndarray of int, shape (R,)

    Raises
    ------
    InputError
        If nu is outside (0, 1).

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=64)
    >>> result = tm.simulate(game, *tm.recipe(game, "sgda"), replicas=4, seed=0)
    >>> tm.first_stationary(result).tolist()  # records; here one an iteration
    [146, 176, 112, 137]
    >>> tm.first_stationary(tm.simulate(game, *tm.recipe(game, "sgda", steps=20))).tolist()
    [-1]
    """
    still = at_rest(result.grad_norms, result.peak_grad_norms, nu)
    still &= left_start(result).all(axis=-1)
    return np.where(np.any(still, axis=1), np.argmax(still, axis=1), -1)


@checked
def overshot(result: Result, at: Annotated[IntArray, "(R)"], nu: Level = NU) -> BoolArray:
    """Where the records are too coarse to tell T_0, shape (R,): it may be found late.

    Both gradients rose to their peaks and fell between T_0 and the record before, which, held
    against these peaks, was at rest already.

    Parameters
    ----------
    result : Result
    at : ndarray of int, shape (R,)
        T_0, from `first_stationary`.
    nu : float
        That it was found with.

    Examples
    --------
    What happens around T_0 takes some twenty iterations here, and `resolve` follows it:

    >>> import twomode as tm
    >>> game = tm.Game.preset(d=1024)
    >>> run = {"steps": 2000, "seed": 0, "record_every": 50}
    >>> for resolve in (None, 2):
    ...     result = tm.simulate(game, tm.recipe(game, "sgda").opt, resolve=resolve, **run)
    ...     at = tm.first_stationary(result)
    ...     print(result.steps[at], tm.theory.overshot(result, at))
    [1400] [ True]
    [1368] [False]
    """
    result.require_records(at)
    k = np.arange(result.replicas)
    before = at_rest(result.grad_norms[k, np.maximum(at - 1, 0)], result.peak_grad_norms[k, at], nu)
    return np.asarray((at > 0) & before)


@checked
def coverage_bound(game: Game) -> float:
    """1/(2 m_G), the Omega~(1) of Theorem 4.2: half of one neuron's share of the latents.

    Examples
    --------
    >>> import twomode as tm
    >>> tm.theory.coverage_bound(tm.Game.preset(d=64, m_G=5))
    0.1
    """
    return 1 / (2 * game.m_G)


@checked
def modes_covered(game: Game, coverage: Annotated[FloatArray, "(..., 2)"]) -> IntArray:
    """How many modes are covered with probability at least `coverage_bound`.

    Parameters
    ----------
    game : Game
    coverage : ndarray, shape (..., 2)
        P_1 and P_2, from `Outputs.coverage`.

    Returns
    -------
    ndarray of int, shape (...)

    Examples
    --------
    >>> import numpy as np, twomode as tm
    >>> game = tm.Game.preset(d=64, m_G=5)
    >>> tm.theory.modes_covered(game, np.array([[0.5, 0.4], [0.9, 0.05], [0.0, 0.0]])).tolist()
    [2, 1, 0]
    """
    covered: IntArray = (coverage >= coverage_bound(game)).sum(axis=-1)
    return covered


@checked
def covers_both(result: Result) -> BoolArray:
    """Whether each generator covers both modes at each record, shape (R, T).

    Examples
    --------
    Normalized SGDA finds the second mode between iterations 500 and 1000 of this run:

    >>> import twomode as tm
    >>> game = tm.Game.preset(d=4096)
    >>> result = tm.simulate(game, *tm.recipe(game, "nsgda", steps=2000), record_every=500)
    >>> tm.theory.covers_both(result).tolist()
    [[False, False, True, True, True]]
    """
    both: BoolArray = modes_covered(result.game, result.coverage()) == 2
    return both


@dataclass(frozen=True)
class Judgement:
    """Verdicts on a result, and the numbers behind them.

    Attributes
    ----------
    verdict : str
        The verdict of more than half of the replicas, else ``mixed``.
    verdicts : list of str
        One a replica, a key of `VERDICTS`.
    share : float
        Proportion of replicas with `verdict`.
    interval : tuple of float
        95 % Clopper-Pearson interval of `share`.
    T0 : ndarray, shape (R,)
        Iteration of `first_stationary`; NaN where there is none.
    at : ndarray of int, shape (R,)
        Record at which the numbers below were taken: T_0's for a collapse, else the last one (the
        last finite one, if the replica diverged).
    judged_at : ndarray, shape (R,)
        The iteration of that record.
    collapse_cosine : ndarray, shape (R,)
        E_z over z != 0 of the cosine between G(z) and u_1 + u_2.
    asymmetry, residual : ndarray, shape (R,)
        Largest over all nonzero z in {0,1}^m_G (over the law's support if m_G > 20).
    coverage : ndarray, shape (R, 2)
        P_1 and P_2.

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=1024)
    >>> opt, steps = tm.recipe(game, "sgda", steps=2000)
    >>> judgement = tm.judge(tm.simulate(game, opt, steps, replicas=4, seed=0))
    >>> judgement.verdicts
    ['collapsed', 'collapsed', 'collapsed', 'collapsed']
    >>> bool((judgement.collapse_cosine > 0.9).all()), judgement.coverage.any().item()
    (True, False)
    """

    verdict: str
    verdicts: list[str]
    share: float
    interval: tuple[float, float]
    T0: FloatArray
    at: IntArray
    judged_at: np.ndarray
    collapse_cosine: FloatArray
    asymmetry: FloatArray
    residual: FloatArray
    coverage: FloatArray

    @property
    def typical(self) -> int:
        """Position of the replica that stands for the run.

        The median one, by asymmetry, of those with the run's verdict; of all, if none has it.
        """
        own = [k for k, word in enumerate(self.verdicts) if word == self.verdict]
        order = sorted(own or range(len(self.verdicts)), key=lambda k: self.asymmetry[k])
        return order[(len(order) - 1) // 2]


@checked
def judge(result: Result, nu: Level = NU) -> Judgement:
    """Say of each replica what it did; see `VERDICTS` for the words.

    They are tried in this order: ``collapsed`` (judged at T_0, whatever the replica does later),
    ``diverged``, ``both-modes``, ``one-mode``, ``averaged``, ``unmoved``, ``mixed``.

    Parameters
    ----------
    result : Result
    nu : float
        Of `first_stationary`.

    Returns
    -------
    Judgement

    Raises
    ------
    InputError
        If nu is outside (0, 1).

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=4096)
    >>> result = tm.simulate(game, *tm.recipe(game, "nsgda"), replicas=4, record_every=50)
    >>> tm.judge(result).verdict, tm.theory.VERDICTS["both-modes"]
    ('both-modes', 'at the end each mode is covered with probability at least 1/(2 m_G)')
    """
    game, probabilities = result.game, result.game.latent_points[1]
    T0 = first_stationary(result, nu)
    last = _last_finite(result)
    near = result.outputs_at(T0).mean_collapse_cosine(probabilities) >= NEAR
    collapsed = (T0 >= 0) & near
    at = np.where(collapsed, T0, last)

    outputs = result.outputs_at(at)
    extremes = result.extremes_at(at)
    coverage = outputs.coverage(probabilities)
    covered = modes_covered(game, coverage)
    collapse_cosine, has_moved = outputs.mean_collapse_cosine(probabilities), moved(result, at)
    averaged = collapse_cosine >= NEAR
    verdicts = [
        _verdict(collapsed[k], result.diverged[k], covered[k], averaged[k], has_moved[k])
        for k in range(result.replicas)
    ]
    word, count = Counter(verdicts).most_common(1)[0]
    if 2 * count <= len(verdicts):
        word = "mixed"
        count = verdicts.count("mixed")
    return Judgement(
        verdict=word,
        verdicts=verdicts,
        share=count / len(verdicts),
        interval=clopper_pearson(count, len(verdicts)),
        T0=np.where(T0 >= 0, result.times_at(T0), np.nan),
        at=at,
        judged_at=result.times_at(at),
        collapse_cosine=collapse_cosine,
        asymmetry=extremes.asymmetry,
        residual=extremes.residual,
        coverage=coverage,
    )


def _verdict(collapsed: bool, diverged: bool, covered: int, averaged: bool, moved: bool) -> str:
    if collapsed:
        return "collapsed"
    if diverged:
        return "diverged"
    if covered:
        return "both-modes" if covered == 2 else "one-mode"
    if averaged:
        return "averaged"
    return "mixed" if moved else "unmoved"


@checked
def left_start(result: Result) -> BoolArray:
    """Whether (D, G) are anywhere but where they started, at each record; shape (R, T, 2).

    Examples
    --------
    >>> import twomode as tm
    >>> opt = tm.optimizer("sgda", eta_D=0.1, eta_G=0.0)
    >>> tm.theory.left_start(tm.simulate(tm.Game.preset(d=64), opt, 1)).tolist()
    [[[False, False], [True, False]]]
    """

    def differs(recorded: FloatArray) -> BoolArray:
        changed = recorded != recorded[:, :1]
        return changed.any(axis=tuple(range(2, changed.ndim)))

    D = differs(result.projections_W) | differs(result.norms_W) | differs(result.bias)
    return np.stack([D, differs(result.projections_V) | differs(result.gram_V)], axis=-1)


@checked
def moved(result: Result, at: Annotated[IntArray, "(R)"]) -> np.ndarray:
    """Whether each generator's norm is over a factor of 2 from its start, at one record each.

    Parameters
    ----------
    result : Result
    at : ndarray of int, shape (R,)
        A record of each replica.

    Returns
    -------
    ndarray of bool, shape (R,)

    Examples
    --------
    >>> import numpy as np, twomode as tm
    >>> game = tm.Game.preset(d=64)
    >>> result = tm.simulate(game, *tm.recipe(game, "sgda"), replicas=2, seed=0)
    >>> [tm.theory.moved(result, np.full(2, t)).tolist() for t in (5, -1)]
    [[False, False], [True, True]]
    """
    result.require_records(at)
    with np.errstate(over="ignore"):  # of a replica that is about to diverge
        squared = np.trace(result.gram_V, axis1=-2, axis2=-1)
        first, now = squared[:, 0], squared[np.arange(len(at)), at]
        return ~((first / 4 <= now) & (now <= 4 * first))


def _last_finite(result: Result) -> np.ndarray:
    """Index of the last record before each replica diverged, shape (R,)."""
    ends = np.searchsorted(result.steps, result.diverged_at) - 1
    return np.where(result.diverged, np.maximum(ends, 0), len(result.steps) - 1)
