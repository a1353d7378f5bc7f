import dataclasses

import numpy as np
import pytest

import twomode as tm
from twomode.summary import summarize, tell

GAME = tm.Game.preset(64, m_D=2, m_G=2, gamma=0.2)
ALONG = {  # V in the plane of the modes, by the projections it should end with
    "collapsed": [[1.0, 1.0], [1.0, 1.0]],
    "both-modes": [[1.0, 0.2], [0.2, 1.0]],
    "one-mode": [[1.0, 0.2], [1.0, 0.2]],
    "mixed": [[1.0, -1.0], [1.0, -1.0]],
}


def result_with(projections, *, settles=True, scale=1.0, diverged=False):
    """A result of one replica that starts small and ends with these projections, in the plane."""
    gram_U = np.array([[1, GAME.gamma], [GAME.gamma, 1]])
    P = np.array(projections) * scale
    gram = P @ np.linalg.inv(gram_U) @ P.T
    T = 5
    first = np.full((T, 2, 2), 0.01)
    PV, GV = first.copy(), np.broadcast_to(0.01 * np.eye(2), (T, 2, 2)).copy()
    PV[2:], GV[2:] = P, gram
    grads = np.array([[1e-3, 1e-6], [1.0, 1.0], [0.5, 0.5], [0.09, 0.09], [0.5, 0.5]])
    if not settles:
        grads[3] = [0.09, 0.5]  # the generator is still moving
    peaks = np.maximum.accumulate(grads)
    if diverged:
        PV[4] = GV[4] = np.nan
    base = tm.simulate(GAME, tm.optimizer("sgda", eta_D=0.1, eta_G=0.1), 4, record_every=1)
    return dataclasses.replace(
        base,
        projections_V=PV[None],
        gram_V=GV[None],
        grad_norms=grads[None],
        peak_grad_norms=peaks[None],
        diverged_at=np.array([4 if diverged else -1]),
    )


@pytest.mark.parametrize("word", ALONG)
def test_words(word):
    judgement = tm.judge(result_with(ALONG[word]))
    assert judgement.verdicts == [word]
    assert judgement.T0.tolist() == [3]


def test_collapse_is_judged_only_at_T0():
    assert tm.judge(result_with(ALONG["collapsed"], settles=False)).verdict == "mixed"
    assert tm.judge(result_with(ALONG["collapsed"], diverged=True)).verdict == "collapsed"


def test_divergence_and_standing_still():
    assert tm.judge(result_with(ALONG["mixed"], diverged=True)).verdict == "diverged"
    assert tm.judge(result_with(ALONG["mixed"], scale=0.1)).verdict == "unmoved"


def test_T0_depends_on_nu():
    result = result_with(ALONG["collapsed"])
    assert tm.first_stationary(result, nu=0.6).tolist() == [2]
    assert tm.first_stationary(result, nu=0.1).tolist() == [3]
    assert tm.first_stationary(result, nu=0.01).tolist() == [-1]
    with pytest.raises(tm.InputError, match="nu=1"):
        tm.first_stationary(result, nu=1)


def test_several_replicas_need_a_majority():
    game = tm.Game.preset(256)
    opt, steps = tm.recipe(game, "nsgda")
    judgement = tm.judge(tm.simulate(game, opt, steps, replicas=12, seed=0))
    count = judgement.verdicts.count(judgement.verdict)
    assert judgement.share == count / 12
    assert judgement.verdict == "mixed" or count > 6


def test_summary_has_none_where_a_number_is_missing():
    result = result_with(ALONG["mixed"], settles=False)
    judgement = tm.judge(result)
    summary = summarize(result, judgement)
    assert summary["T0"] is None
    assert summary["per_replica"]["T0"] == [None]
    assert "found in 0 of 1" in tell(result, judgement)
