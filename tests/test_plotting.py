import numpy as np
import pytest

import twomode as tm


@pytest.fixture(scope="module")
def result():
    game = tm.Game.preset(256)
    opt, steps = tm.recipe(game, "sgda")
    return tm.simulate(game, opt, steps, replicas=3, seed=0)


def test_draws_what_was_recorded(result):
    judgement = tm.judge(result)
    above, below = tm.plotting.mode_alignment(result, judgement, replica=1)
    cosines = tm.observables.mode_cosines(result.projections_V[1], result.gram_V[1])
    drawn = [line.get_ydata() for line in above.lines]
    m_G = result.game.m_G
    np.testing.assert_array_equal(np.transpose(drawn[:m_G]), cosines[..., 0])
    np.testing.assert_array_equal(np.transpose(drawn[m_G : 2 * m_G]), cosines[..., 1])
    np.testing.assert_array_equal(drawn[2 * m_G], result.collapse_cosine()[1])
    assert below.get_yscale() == "log"
    marks = [line.get_xdata()[0] for line in above.lines if line.get_linestyle() == ":"]
    assert marks == [judgement.T0[1]]
    assert len(above.get_legend().get_texts()) == 3


def test_modes_differ_without_colour(result):
    above, _ = tm.plotting.mode_alignment(result)
    styles = {line.get_linestyle() for line in above.lines[: 2 * result.game.m_G]}
    assert styles == {"-", "--"}


def test_draws_a_diverged_and_a_single_replica():
    game = tm.Game.preset(256)
    result = tm.simulate(game, tm.optimizer("sgda", eta_D=0.1, eta_G=30.0), 3000, seed=0)
    assert result.diverged.all()
    above, _ = tm.plotting.mode_alignment(result)
    above.figure.canvas.draw()
