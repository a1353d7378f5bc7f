"""T_0, and one word for what each replica did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from twomode._typing import BoolArray, FloatArray, IntArray
from twomode.errors import require
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
    "modes_covered",
    "moved",
]

#: Cosine of two directions at distance sqrt(0.2), the delta of the coverage.
NEAR = 1 - COVERAGE_DELTA**2 / 2

VERDICTS = {
    "collapsed": "at T_0 the generator points along u_1 + u_2: E_z of the cosine is at least 0.9",
    "both-modes": "at the end each mode is covered with probability at least 1/(2 m_G)",
    "one-mode": "at the end exactly one mode is covered so",
    "unmoved": "at the end the generator's norm is within a factor of 2 of its start",
    "diverged": "a number of the state overflowed",
    "mixed": "none of these; of several replicas: no verdict has a majority",
}


def first_stationary(result: Result, nu: float = NU) -> np.ndarray:
    """T_0 of each replica, as an index into ``result.steps``; -1 where there is none.

    The theorem's T_0 is the first iteration at an approximate first-order stationary point after
    the discriminator has learned.  Here: the first recorded iteration at which the norm of each
    player's gradient has fallen to `nu` times its largest value so far.  The discriminator's falls
    when it tells data from noise; the generator's rises from almost nothing and falls only once
    it has answered, so a plateau on which the generator has not moved yet does not count.

    Parameters
    ----------
    result : Result
        The largest values are known to the iteration, T_0 itself to the spacing of the records.
    nu : float
        In (0, 1).

    Returns
    -------
    ndarray of int, shape (R,)
    """
    require(0 < nu < 1, f"nu={nu!r} must lie in (0, 1)")
    still = at_rest(result.grad_norms, result.peak_grad_norms, nu)
    return np.where(np.any(still, axis=1), np.argmax(still, axis=1), -1)


def coverage_bound(game: Game) -> float:
    """1/(2 m_G), the Omega~(1) of Theorem 4.2: half of one neuron's share of the latents."""
    return 1 / (2 * game.m_G)


def modes_covered(game: Game, coverage: FloatArray) -> IntArray:
    """How many modes are covered with probability at least `coverage_bound`, from (..., 2)."""
    covered: IntArray = (coverage >= coverage_bound(game)).sum(axis=-1)
    return covered


def covers_both(result: Result) -> BoolArray:
    """Whether each generator covers both modes at each record, shape (R, T)."""
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
    judged_at : ndarray of int, shape (R,)
        Iteration at which the numbers below were taken: T_0 for a collapse, else the last one
        (the last finite one, if the replica diverged).
    collapse_cosine : ndarray, shape (R,)
        E_z of the cosine between G(z) and u_1 + u_2.
    asymmetry, residual : ndarray, shape (R,)
        Largest over all nonzero z in {0,1}^m_G (over the law's support if m_G > 20).
    coverage : ndarray, shape (R, 2)
        P_1 and P_2.
    """

    verdict: str
    verdicts: list[str]
    share: float
    interval: tuple[float, float]
    T0: FloatArray
    judged_at: np.ndarray
    collapse_cosine: FloatArray
    asymmetry: FloatArray
    residual: FloatArray
    coverage: FloatArray


def judge(result: Result, nu: float = NU) -> Judgement:
    """Say of each replica what it did; see `VERDICTS` for the words.

    They are tried in this order: ``collapsed`` (judged at T_0, whatever the replica does later),
    ``diverged``, ``both-modes``, ``one-mode``, ``unmoved``, ``mixed``.
    """
    game, probabilities = result.game, result.game.latent_points[1]
    T0 = first_stationary(result, nu)
    last = _last_finite(result)
    collapse_cosine = result.outputs_at(T0).collapse_cosine @ probabilities
    collapsed = (T0 >= 0) & (collapse_cosine >= NEAR)
    at = np.where(collapsed, T0, last)

    outputs = result.outputs_at(at)
    extremes = result.extremes_at(at)
    coverage = outputs.coverage(probabilities)
    covered = modes_covered(game, coverage)
    has_moved = moved(result, at)
    verdicts = [
        _verdict(collapsed[k], result.diverged[k], covered[k], has_moved[k])
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
        T0=np.where(T0 >= 0, result.steps[T0], np.nan),
        judged_at=result.steps[at],
        collapse_cosine=outputs.collapse_cosine @ probabilities,
        asymmetry=extremes.asymmetry,
        residual=extremes.residual,
        coverage=coverage,
    )


def _verdict(collapsed: bool, diverged: bool, covered: int, moved: bool) -> str:
    if collapsed:
        return "collapsed"
    if diverged:
        return "diverged"
    if covered:
        return "both-modes" if covered == 2 else "one-mode"
    return "mixed" if moved else "unmoved"


def moved(result: Result, at: np.ndarray) -> np.ndarray:
    """Whether each generator's norm is over a factor of 2 from its start, at one record each."""
    with np.errstate(over="ignore"):  # of a replica that is about to diverge
        squared = np.trace(result.gram_V, axis1=-2, axis2=-1)
        first, now = squared[:, 0], squared[np.arange(len(at)), at]
        return ~((first / 4 <= now) & (now <= 4 * first))


def _last_finite(result: Result) -> np.ndarray:
    """Index of the last record before each replica diverged, shape (R,)."""
    ends = np.searchsorted(result.steps, result.diverged_at) - 1
    return np.where(result.diverged, np.maximum(ends, 0), len(result.steps) - 1)
