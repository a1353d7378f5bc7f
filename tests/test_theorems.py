"""What the theorems predict, at the canonical preset, over independent seeds.

Each claim is a proportion of replicas.  Its lower bound is the smallest count that a true
proportion of `FLOOR` would reach with probability 1 - `ALARM`, so the false-alarm rate of a test
is at most `ALARM` whenever the true proportion is at least `FLOOR`; the proportions measured for
the README are above it.  Each has a negative control: the other rule must fail the same bound.
"""

import numpy as np
import pytest
from scipy.stats import binom

import twomode as tm

FLOOR, ALARM, REPLICAS = 0.75, 1e-4, 48
LEAST = int(binom.ppf(ALARM, REPLICAS, FLOOR))


def verdicts(name, d, seed):
    game = tm.Game.preset(d)
    opt, steps = tm.recipe(game, name)
    return tm.judge(tm.simulate(game, opt, steps, replicas=REPLICAS, seed=seed)).verdicts


@pytest.mark.parametrize("d", [2**8, 2**12, pytest.param(2**16, marks=pytest.mark.slow)])
def test_sgda_collapses_and_nsgda_recovers(d):
    sgda, nsgda = verdicts("sgda", d, seed=11), verdicts("nsgda", d, seed=12)
    assert sgda.count("collapsed") >= LEAST
    assert nsgda.count("both-modes") >= LEAST
    # Negative controls.
    assert sgda.count("both-modes") < LEAST
    assert nsgda.count("collapsed") < LEAST


def test_asymmetry_shrinks_with_d():
    """Theorem 4.1: o(1).  Medians of 48 seeds at d = 2^8 and 2^14; ratio of d is 64.

    If the asymmetry did not depend on d, the two medians would be in either order with
    probability 1/2, and a factor of 2 between medians of 48 would be far out: the quartiles of
    one seed's value, measured, lie within a factor of 2 of the median.
    """
    medians = []
    for d in (2**8, 2**14):
        game = tm.Game.preset(d)
        opt, steps = tm.recipe(game, "sgda")
        judgement = tm.judge(tm.simulate(game, opt, steps, replicas=48, seed=13))
        collapsed = np.array(judgement.verdicts) == "collapsed"
        medians.append(np.median(judgement.asymmetry[collapsed]))
    assert medians[1] < medians[0] / 2


def test_nsgda_in_a_dimension_that_no_memory_holds():
    assert verdicts("nsgda", 2**40, seed=14).count("both-modes") >= LEAST
