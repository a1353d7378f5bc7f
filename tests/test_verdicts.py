import dataclasses

import numpy as np
import pytest

import twomode as tm
from twomode.runs import TRACE
from twomode.summary import summarize, tell

GAME = tm.Game.preset(64, m_D=2, m_G=2, gamma=0.2)
ALONG = {  # V in the plane of the modes, by the projections it should end with
    "collapsed": [[1.0, 1.0], [1.0, 1.0]],
    "both-modes": [[1.0, 0.2], [0.2, 1.0]],
    "one-mode": [[1.0, 0.2], [1.0, 0.2]],
    "mixed": [[1.0, -1.0], [1.0, -1.0]],
}


def result_with(projections, *, settles=True, scale=1.0, diverged=False, later=None, gram=None):
    """A result of one replica that starts small and ends with these projections, in the plane.

    `later` are those after T_0, `gram` the Gram matrix of generators that leave the plane.
    """
    P = np.array(projections) * scale
    T = 5
    first = np.full((T, 2, 2), 0.01)
    PV, GV = first.copy(), np.broadcast_to(0.01 * np.eye(2), (T, 2, 2)).copy()
    PV[2:], GV[2:] = P, in_the_plane(P) if gram is None else gram
    if later is not None:
        PV[4], GV[4] = later, in_the_plane(np.array(later))
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


def in_the_plane(P):
    """The Gram matrix of generators in the plane of the modes with these projections."""
    return P @ np.linalg.inv([[1, GAME.gamma], [GAME.gamma, 1]]) @ P.T


def together(*results):
    """Several results of one replica as one."""
    arrays = {
        name: np.concatenate([getattr(r, name) for r in results])
        for name in (*TRACE, "diverged_at")
    }
    provenance = results[0].provenance | {"replicas": list(range(len(results)))}
    return dataclasses.replace(results[0], **arrays, provenance=provenance)


@pytest.mark.parametrize("word", ALONG)
def test_words(word):
    judgement = tm.judge(result_with(ALONG[word]))
    assert judgement.verdicts == [word]
    assert judgement.T0.tolist() == [3]


def test_collapse_is_judged_only_at_T0():
    assert tm.judge(result_with(ALONG["collapsed"], settles=False)).verdict == "averaged"
    assert tm.judge(result_with(ALONG["collapsed"], diverged=True)).verdict == "collapsed"
    later = tm.judge(result_with(ALONG["mixed"], later=ALONG["collapsed"]))
    assert (later.verdict, later.judged_at.tolist()) == ("averaged", [4])


@pytest.mark.parametrize("word", ["both-modes", "one-mode", "mixed"])
def test_all_else_is_judged_at_the_end(word):
    """... and its numbers are of the end, though there is a T_0."""
    judgement, end = (
        tm.judge(result_with(ALONG[first], later=ALONG[word])) for first in ("mixed", word)
    )
    assert (judgement.verdict, judgement.T0.tolist()) == (word, [3])
    assert judgement.judged_at.tolist() == [4]
    for name in ("collapse_cosine", "asymmetry", "residual", "coverage"):
        np.testing.assert_array_equal(getattr(judgement, name), getattr(end, name))


def test_divergence_and_standing_still():
    gone = tm.judge(result_with(ALONG["mixed"], diverged=True))
    assert (gone.verdict, gone.judged_at.tolist()) == ("diverged", [3])  # the last that it had
    assert tm.judge(result_with(ALONG["mixed"], scale=0.1)).verdict == "unmoved"


@pytest.mark.parametrize(("cosine", "word"), [(0.9 + 1e-9, "collapsed"), (0.9 - 1e-9, "mixed")])
def test_a_collapse_is_a_cosine_of_at_least_nine_tenths(cosine, word):
    """Of both v_j, equal and of length 1, with the rest orthogonal to both modes."""
    along = cosine * (1 + GAME.gamma) / np.sqrt(2 + 2 * GAME.gamma)
    judgement = tm.judge(result_with(np.full((2, 2), along), gram=np.ones((2, 2))))
    assert judgement.verdict == word
    assert judgement.collapse_cosine.tolist() == pytest.approx([cosine], abs=1e-12)


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (0.49, True),
        (0.5, False),
        (0.51, False),
        (1.0, False),
        (1.99, False),
        (2, False),
        (2.01, True),
    ],
)
def test_to_move_is_to_change_the_norm_by_more_than_a_factor_of_two(factor, expected):
    result = result_with(ALONG["mixed"])
    result.gram_V[:, 4] = factor**2 * result.gram_V[:, 0]
    assert tm.theory.moved(result, np.array([4])).tolist() == [expected]


def test_T0_depends_on_nu():
    result = result_with(ALONG["collapsed"])
    assert tm.first_stationary(result, nu=0.6).tolist() == [2]
    assert tm.first_stationary(result, nu=0.1).tolist() == [3]
    assert tm.first_stationary(result, nu=0.01).tolist() == [-1]
    with pytest.raises(tm.InputError, match="nu=1"):
        tm.first_stationary(result, nu=1)


@pytest.mark.parametrize(
    ("norms", "peaks", "T0"),
    [
        ((0.1, 0.1), (1.0, 1.0), 3),  # at a tenth counts
        ((0.1, 0.100001), (1.0, 1.0), -1),
        ((0.0, 0.0), (1.0, 1e-300), 3),  # it underflowed
        ((0.05, 0.0), (1.0, 0.0), -1),
        ((0.0, 0.05), (0.0, 1.0), -1),
        ((0.05, np.inf), (1.0, 1.0), -1),
        ((np.nan, 0.05), (1.0, 1.0), -1),
        ((0.05, 0.05), (1.0, np.inf), -1),
    ],
)
def test_T0_is_a_rest_in_numbers_after_a_peak(norms, peaks, T0):
    result = result_with(ALONG["collapsed"])
    result.grad_norms[0, 3], result.peak_grad_norms[0, 3] = norms, peaks
    assert tm.first_stationary(result).tolist() == [T0]


@pytest.mark.parametrize("player", ["D", "G"])
def test_T0_is_not_before_both_players_have_moved(player):
    result = result_with(ALONG["collapsed"])
    still = {"D": ("projections_W", "norms_W", "bias"), "G": ("projections_V", "gram_V")}[player]
    for name in still:
        recorded = getattr(result, name)
        recorded[:, :4] = recorded[:, :1]
    assert tm.first_stationary(result).tolist() == [-1]
    getattr(result, still[-1])[:, 3] += 1e-12
    assert tm.first_stationary(result).tolist() == [3]


def test_several_replicas_need_a_majority():
    words = ["collapsed", "both-modes", "both-modes", "mixed"]
    results = [result_with(ALONG[word]) for word in words]
    three, two, four = (tm.judge(together(*results[:n])) for n in (3, 2, 4))
    seven = together(*results, results[0], *2 * results[-1:])
    assert (three.verdict, three.share) == ("both-modes", 2 / 3)
    assert (two.verdict, two.share) == ("mixed", 0)  # a tie is none
    assert (four.verdict, four.share) == ("mixed", 1 / 4)
    assert "both-modes in 2 of 3 replicas (" in tell(together(*results[:3]), three)
    for judgement, result in (
        (two, together(*results[:2])),
        (four, together(*results)),
        (tm.judge(seven), seven),
    ):
        first, *rest = tell(result, judgement).splitlines()
        assert first.endswith(f"mixed: no verdict has a majority of {len(judgement.T0)} replicas")
        assert not any("none of these" in line for line in rest)
        assert "  medians over replicas, at T_0 for a collapse, else at the end:" in rest


def test_the_summary_says_how_many_diverged_after_T0():
    collapsed, gone = (result_with(ALONG[x], diverged=True) for x in ("collapsed", "mixed"))
    early = result_with(ALONG["mixed"], diverged=True, settles=False)
    for results, words in (
        ([collapsed, collapsed], "2 of 2 replicas diverged, all after T_0"),
        ([collapsed, gone, early], "3 of 3 replicas diverged, 2 after T_0"),
        ([early, early], "2 of 2 replicas diverged, none after T_0"),
    ):
        result = together(*results)
        assert f"  {words}, the first at iteration 4" in tell(result, tm.judge(result))


def test_summary_has_none_where_a_number_is_missing():
    result = result_with(ALONG["mixed"], settles=False)
    judgement = tm.judge(result)
    summary = summarize(result, judgement)
    assert summary["T0"] is None
    assert summary["per_replica"]["T0"] == [None]
    assert "found in 0 of 1" in tell(result, judgement)
