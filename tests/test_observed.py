"""Records that the kernels make: as `Game.evaluate` has them, and however many at a time."""

import numpy as np
import pytest

import twomode as tm
from twomode.engines import ReducedEngine
from twomode.game import player_norms
from twomode.runs import TRACE, Recorder, snapshot
from twomode.runs.trace import room

#: An extreme dimension, points with more than two ones, and a cubic that is clipped.
GAMES = {
    "plain": tm.Game.preset(d=64),
    "far": tm.Game.preset(d=2**400, m_D=3, m_G=3),
    "wide": tm.Game.preset(d=64, m_G=5, latents=tm.Bernoulli(0.5)),
    "clipped": tm.Game.preset(d=64, clip=0.1),
}


def engine_of(game, opt, replicas=3):
    starts = [
        tm.GaussianStart().draw_reduced(game, np.random.default_rng(k)) for k in range(replicas)
    ]
    names = starts[0].arrays()
    start = tm.State(**{name: np.stack([getattr(s, name) for s in starts]) for name in names})
    return ReducedEngine(game, opt, start)


@pytest.mark.parametrize("name", GAMES)
def test_observed_is_what_the_game_says(name):
    game = GAMES[name]
    engines = [engine_of(game, tm.optimizer("nsgda", eta_D=0.1, eta_G=0.1)) for _ in range(2)]
    trace = room(game, engines[0], 5)
    for x in trace.values():
        x[:] = 1e300
    engines[0].observe(3, 7, trace, 1)
    assert engines[0].t == 21
    assert all((x[:, [0, 4]] == 1e300).all() for x in trace.values())
    for n in range(3):
        engines[1].advance(7)
        state = engines[1].state
        said = game.evaluate(state)
        expected = {
            "projections_V": state.V @ state.U.mT,
            "gram_V": state.V @ state.V.mT,
            "projections_W": state.W @ state.U.mT,
            "norms_W": np.linalg.norm(state.W, axis=-1),
            "bias": state.b,
            "grad_norms": player_norms(said),
            "peak_grad_norms": engines[1].peak_grad_norms,
            "update_norms": engines[1].update_norms,
            "objective": said.objective,
        }
        assert trace.keys() == expected.keys() == TRACE.keys()
        for name, x in expected.items():
            size, found = np.abs(x).max(), trace[name][:, 1 + n]
            np.testing.assert_allclose(found / size, x / size, atol=1e-13, err_msg=name)
    for last, whole in zip(*(e.state.arrays().values() for e in engines), strict=True):
        np.testing.assert_array_equal(last, whole)


@pytest.mark.parametrize(
    ("eta", "records"), [(0.1, 60), (1e200, 60)], ids=["none diverges", "all diverge"]
)
def test_records_are_the_same_however_many_are_made_at_once(eta, records):
    """Where all have diverged the run ends, its state with it."""
    opt = tm.optimizer("sgda", eta_D=eta, eta_G=eta, decay_D=0.1)

    def recorded(at_once):
        engine = engine_of(GAMES["plain"], opt)
        recorder = Recorder(GAMES["plain"], engine, 5 * records + 2, every=5)
        recorder.record()
        while recorder.next_step is not None:
            foreseen = min(at_once, recorder.foreseen)
            if foreseen:
                recorder.record_ahead(foreseen)
            else:
                engine.advance(recorder.next_step - engine.t)
                recorder.record()
        return recorder, engine.state

    one, state = recorded(1)
    assert (one.diverged_at >= 0).all() == (eta == 1e200)
    for at_once in (2, 7, 60):
        other, there = recorded(at_once)
        assert other.steps.tolist() == one.steps.tolist()
        np.testing.assert_array_equal(other.diverged_at, one.diverged_at)
        for name in TRACE:
            np.testing.assert_array_equal(other.arrays()[name], one.arrays()[name], name)
        for name, x in state.arrays().items():
            np.testing.assert_array_equal(there.arrays()[name], x, name)


def test_records_are_foreseen_from_a_record_on():
    """On the way to the next one, that alone is."""
    engine = engine_of(GAMES["plain"], tm.optimizer("sgda", eta_D=0.1, eta_G=0.1))
    recorder = Recorder(GAMES["plain"], engine, 300, every=5)
    recorder.record()
    assert recorder.foreseen == 60
    engine.advance(2)
    assert recorder.foreseen == 1
    recorder.record_ahead(1)
    assert recorder.steps.tolist() == [0, 5]
    assert recorder.foreseen == 59


def test_a_trace_grows_as_records_are_made():
    """Sooner than planned, since gradients change; what was recorded stays as it was."""
    game = GAMES["plain"]
    engine = engine_of(game, tm.optimizer("sgda", eta_D=0.5, eta_G=0.5), replicas=11)
    recorder = Recorder(game, engine, 640, every=64, resolve=1.01)
    recorder.record()
    made = []
    while recorder.next_step is not None:
        made.append(recorder.arrays())
        recorder.record_ahead(1)
    whole = recorder.arrays()
    assert len(recorder.steps) > 2 * (640 // 64 + 1)
    for count, arrays in enumerate(made, start=1):
        for name, x in arrays.items():
            np.testing.assert_array_equal(x, whole[name][:, :count], name)


def test_a_gradient_of_zero_is_recorded_as_zero():
    """A discriminator as sure as this leaves nothing for the generator."""
    game = GAMES["plain"]
    engine = engine_of(game, tm.optimizer("nsgda", eta_D=0.0, eta_G=0.0))
    engine._players.bias.X[:] = -1e4 / game.lam
    norms = snapshot(game, engine)["grad_norms"]
    assert (norms[:, 1] == 0).all()
    assert (norms[:, 0] > 0).all()
