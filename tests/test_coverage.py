"""How often intervals miss, simulated at the confidence and the sizes at which they are used.

Proportions and differences, paired or not, are exact: no data set is left out in
`test_statistics`, which enumerates them, and they miss less often than they say.  What is
asymptotic or a bootstrap is here, over `SETS` planted data sets each (TWOMODE_SETS changes that);
a bootstrap at the confidence of the game's checks has 39,000 draws, and a quarter of the sets.
Either end may miss as often as it says: more is an alarm, of which one in 1 / `ALARM` is false,
by the binomial law of so many sets.  And intervals must not be so wide that they hardly ever do.
"""

import os

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom

from twomode.statistics import fit_logistic, fit_power, main_effects

pytestmark = pytest.mark.slow
SETS, ALARM = int(os.environ.get("TWOMODE_SETS", "10000")), 1e-4
#: The game's checks, and the adversary's, each a family of so many findings (`run_all.py --full`).
GAME, ADVERSARY = 1 - 0.05 / 97, 1 - 0.05 / 28


def assert_covers(intervals, truth, confidence, *, at_least=0.0, excess=1.0):
    """Neither end misses more often than by `excess` of its error, nor less than by `at_least`."""
    lows, highs = np.transpose(intervals)
    assert (lows <= highs).all()
    tail = (1 - confidence) / 2
    for missed in ((lows > truth).sum(), (highs < truth).sum()):
        assert missed <= binom.isf(ALARM, len(lows), excess * tail), missed
        assert missed >= binom.ppf(ALARM, len(lows), at_least * tail), missed


#: ln d and seeds of theorem_4_2.py --full.
LN_D = np.log(2.0) * np.array([6, 8, 10, 12, 16, 20, 24, 32, 40, 50, 60])
SEEDS = np.array([512] * 7 + [128] * 4)


@pytest.mark.parametrize("slope", [0.45, 0.7])
@pytest.mark.parametrize("confidence", [0.95, GAME])
def test_slope_of_a_logistic_trend(slope, confidence):
    """70 % at d = 2^6, and nearly all from d = 2^24 on, as measured."""
    rng = np.random.default_rng(1)
    p = expit(np.log(7 / 3) + slope * (LN_D - LN_D[0]))
    found = [
        fit_logistic(LN_D, rng.binomial(SEEDS, p), SEEDS, confidence=confidence).slope_interval
        for _ in range(SETS)
    ]
    assert_covers(found, slope, confidence, at_least=0.6 if confidence == 0.95 else 0.0)


def test_band_of_a_logistic_trend():
    """As in figures/scaling.py, in the middle."""
    rng, at = np.random.default_rng(2), LN_D[3]
    p = expit(np.log(7 / 3) + 0.5 * (LN_D - LN_D[0]))
    trends = [fit_logistic(LN_D, rng.binomial(SEEDS, p), SEEDS) for _ in range(SETS)]
    assert_covers([t.band(at)[:, 0] for t in trends], p[3], 0.95, at_least=0.6)


def skewed(rng, n):
    """Of median 1, with a long upper tail, as peaks of the asymmetry have."""
    return np.exp(rng.exponential(1, n) - np.log(2))


@pytest.mark.parametrize(
    ("x", "seeds", "confidence", "sets"),
    [
        (2.0 ** np.arange(6, 26, 3), [96] * 5 + [32] * 2, 0.95, SETS),
        (2.0 ** np.arange(8, 18, 2), [96] * 5, GAME, SETS // 4),
        (np.array([0.02, 0.05, 0.1, 0.2]), [32] * 4, ADVERSARY, SETS),
    ],
    ids=["theorem_4_1", "any_step_size", "one_langevin_step"],
)
def test_exponent_of_a_power_law(x, seeds, confidence, sets):
    """The bootstrap of medians misses less often than it may: .5 to .8 times at 95 %."""
    rng, exponents, medians = np.random.default_rng(3), [], []
    for k in range(sets):
        samples = [at**-0.5 * skewed(rng, n) for at, n in zip(x, seeds, strict=True)]
        trend = fit_power(x, samples, confidence=confidence, seed=k)
        exponents.append(trend.exponent_interval)
        medians.append(trend.band(x[3:4])[:, 0])
    least = 0.3 if confidence == 0.95 else 0.0
    assert_covers(exponents, -0.5, confidence, at_least=least)
    # A median of few skewed values is too large by 1/n or so, and a resampled one by twice that:
    # the lower end of a band may miss 1.5 times as often as it says.
    assert_covers(medians, x[3] ** -0.5, confidence, at_least=least / 2, excess=1.5)


def test_main_effects():
    """Directions, magnitudes and granularities as in figures/graft_factorial.py, luck in common.

    Approximate: each end may miss 1.6 times as often as it says.
    """
    rng = np.random.default_rng(4)
    of_magnitude = np.array([0.02, 0.03, 0.6, 0.8, 0.7])[:, None]
    p = np.clip(of_magnitude * rng.uniform(0.6, 1.4, (6, 1, 3)), 0, 1)
    truth = [p.mean(axis=tuple({0, 1, 2} - {axis})).var() / p.var() for axis in range(3)]
    found = []
    for _ in range(SETS):
        luck = np.where(
            rng.random((*p.shape, 64)) < 0.5, rng.random(64), rng.random((*p.shape, 64))
        )
        found.append(main_effects(luck < p[..., None])[1])
    for axis in range(3):
        ends = np.array(found)[:, axis]
        assert_covers(ends, truth[axis], 0.95, at_least=0.4, excess=1.6)
    # Negative control: the magnitude's share is no other axis'.
    assert not (np.array(found)[:, 0, 1] > truth[1]).any()
