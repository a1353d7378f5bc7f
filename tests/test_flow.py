"""The flow: against fifty digits, against the engine it is the limit of, and what it promises."""

import dataclasses
import json
import math
from pathlib import Path

import numba
import numpy as np
import pytest

import twomode as tm
from twomode.engines import FlowEngine
from twomode.engines import flow as flow_module
from twomode.engines.compiled.alone import FEW
from twomode.runs.streams import draw_start

RECORDED = json.loads((Path(__file__).parent / "data" / "flow.json").read_text())
GAME = tm.Game.preset(2**12)


def engine(game, start, rtol=1e-6, ratio=1.0, horizon=1e300):
    opt = tm.optimizer("sgda", eta_D=1.0, eta_G=ratio)
    return FlowEngine(game, opt, start, horizon, rtol)


def drawn(game, replicas=1, seed=0):
    root = np.random.SeedSequence(seed)
    return draw_start(game, tm.GaussianStart(), root, range(replicas), reduced=True)


def step(flow, h):
    """Attempt a step of length h in the changed time."""
    flow._all.steps.next_h[:] = h
    flow.advance(FlowEngine.PLACES)


def of_record(case):
    """The game and the start of a recorded flow."""
    log_d, m = case["log_d"], len(case["W"])
    game = tm.Game(
        *(2**log_d, m, m),
        gamma=1 / 8,
        a=1 / 8,
        lam=2.0 ** (-log_d // 2),
        clip=math.inf,
        latents=tm.SparsePairs(1 / 16),
    )
    U = np.zeros((1, 2, game.reduced_dimension))
    U[0, 0, 0], U[0, 1, :2] = 1, (game.gamma, math.sqrt(1 - game.gamma**2))
    start = tm.State(np.array([case["W"]]), np.array([case["V"]]), np.zeros(1), U)
    return game, start


@pytest.mark.parametrize("case", RECORDED)
@pytest.mark.parametrize("rtol", [1e-6, 1e-8, 1e-10])
def test_fifty_digits_through_the_merger(case, rtol):
    """The largest error of a neuron, over its norm, is below 10 rtol at every recorded time."""
    recorded = RECORDED[case]
    game, start = of_record(recorded)
    flow, s = engine(game, start, rtol, recorded["ratio"]), 0.0
    steps = flow._all.steps
    for until, values in recorded["states"].items():
        while s < float(until):
            step(flow, min(steps.next_h[0, 0, 0, 0], float(until) - s))
            s += float(steps.taken[0, 0, 0, 0] * steps.h[0, 0, 0, 0])
        found = np.concatenate([flow.state.W[0], flow.state.V[0]])
        expected = np.array(values[:-1], dtype=float).reshape(found.shape)
        sizes = np.linalg.norm(expected, axis=1)
        assert np.max(np.linalg.norm(found - expected, axis=1) / sizes) < 10 * rtol
        # The difference of the modes, far below the rounding of their sum at d = 2^100.
        across = np.abs(expected[:, 1])
        assert np.max(np.abs(found[:, 1] - expected[:, 1]) / (across + sizes / game.d**0.5)) < 1e-3


def test_order_of_the_step():
    """Halving the step divides the error of a stretch by at least 2^8 (a pair of order 8)."""
    start, errors = drawn(GAME), []
    ends = []
    for n in (64, 2, 4, 8):
        flow = engine(GAME, start, rtol=1e-2)
        for _ in range(n):
            step(flow, 4.0 / n)
        assert flow._all.steps.accepted[0, 0, 0, 0] == n
        ends.append(flow._all.steps.after[0, ..., 0])
    errors = [np.abs(end - ends[0]).max() for end in ends[1:]]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (orders > 7.5).all()


@pytest.mark.parametrize("log_d", [8, 12, pytest.param(16, marks=pytest.mark.slow)])
def test_the_stepping_engine_approaches_it_at_first_order(log_d):
    game, seed = tm.Game.preset(2**log_d), 3
    start, errors = drawn(game, seed=seed), []
    limit = tm.simulate(game, tm.recipe(game, "sgda").opt, 10**9, start=start, engine="flow")
    T0 = limit.times[0, -1]
    for scale in (1 / 8, 1 / 16):
        opt, steps = tm.recipe(game, "sgda", step_scale=scale)
        run = tm.simulate(game, opt, steps, start=start, resolve=1.05)
        at = tm.first_stationary(run)
        steps = int(run.steps[at][0])
        short = run.again(steps=steps, record_every=max(1, steps // 20_000))
        at = tm.first_stationary(short)
        residual = short.extremes_at(at).residual - limit.extremes_at(-1).residual
        errors.append([scale * short.steps[at][0] / T0 - 1, residual[0]])
    ratios = np.divide(*errors)
    assert (np.abs(np.log2(ratios) - 1) < 0.35).all(), ratios


def test_what_the_tolerance_changes_is_of_its_size():
    """T_0 and the residual there; a peak between places is known to their spacing only."""
    start, found = drawn(GAME, replicas=4), []
    opt = tm.optimizer("sgda", eta_D=1.0, eta_G=math.log(GAME.d))
    tolerances = (1e-6, 1e-8, 1e-11)
    for rtol in tolerances:
        run = tm.simulate(
            GAME, opt, 10**9, start=start, replicas=4, engine="flow", rtol=rtol, record_every=1
        )
        asymmetry = run.extremes.asymmetry.max(axis=1)
        found.append((run.times[:, -1], run.extremes_at(-1).residual, asymmetry))
    for rtol, numbers in zip(tolerances, found[:2], strict=False):
        T0, residual, asymmetry = (
            np.abs(x / y - 1).max() for x, y in zip(numbers, found[-1], strict=True)
        )
        assert max(T0, residual) < 10 * rtol
        assert asymmetry < 2e-4


def test_the_clip_is_crossed_without_a_loss_that_the_tolerance_does_not_see():
    """Order 8 ends at the kink, and the error control takes shorter steps there."""
    game = tm.Game.preset(2**12, clip=0.5)
    start, ends = drawn(game), []
    for rtol in (1e-6, 1e-12):
        opt = tm.optimizer("sgda", eta_D=1.0, eta_G=8.0)
        run = tm.simulate(game, opt, 10**9, start=start, engine="flow", rtol=rtol)
        assert np.abs(run.projections_W).max() > 2 * game.clip
        ends.append(run.times[0, -1])
    assert abs(ends[0] / ends[1] - 1) < 1e-4


FLOW_TRACE = ("intervals", "differences_V", "gram_V", "peak_grad_norms", "norms_W", "bias")


def test_a_replica_is_the_same_beside_any_others_and_on_any_number_of_threads():
    opt = tm.optimizer("sgda", eta_D=1.0, eta_G=8.0)
    many = tm.simulate(GAME, opt, 10**9, replicas=20, seed=1, engine="flow")
    one = tm.simulate(GAME, opt, 10**9, replicas=[13], seed=1, engine="flow")
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = tm.simulate(GAME, opt, 10**9, replicas=20, seed=1, engine="flow")
    finally:
        numba.set_num_threads(threads)
    T = len(one.steps)
    for name in FLOW_TRACE:
        x, y = getattr(many, name), getattr(one, name)
        assert np.array_equal(x[13, :T], y[0])
        assert np.array_equal(x, getattr(alone, name))
    assert (many.intervals[13, T:] == 0).all()  # it has ended, and waits for the others


@pytest.mark.parametrize(
    ("m_D", "m_G", "latents"), [(8, 19, tm.SparsePairs(0.5)), (3, 5, tm.Bernoulli(0.4))]
)
def test_a_few_replicas_with_neurons_in_the_lanes_are_those_of_many(m_D, m_G, latents):
    """Neurons that fill a row of lanes, or two and a part; latents with two ones, or many."""
    game = tm.Game.preset(2**30, m_D=m_D, m_G=m_G, latents=latents)
    opt, steps = tm.recipe(game, "sgda")
    many = tm.simulate(game, opt, steps, replicas=FEW + 1, engine="flow")
    few = tm.simulate(game, opt, steps, replicas=FEW, engine="flow")
    for name in FLOW_TRACE:
        x, y = getattr(many, name), getattr(few, name)
        assert np.array_equal(x[:FEW, : y.shape[1]], y), name


def test_what_a_flow_leaves_behind(tmp_path):
    opt, steps = tm.recipe(GAME, "sgda")
    run = tm.simulate(GAME, opt, steps, replicas=6, seed=0, engine="flow")
    assert run.provenance["flow"]["ended"] == ["at rest"] * 6
    assert tm.first_stationary(run).tolist() == [
        int(np.argmax(row == row[-1])) for row in run.times
    ]
    stepped = tm.simulate(
        GAME, tm.recipe(GAME, "sgda", step_scale=1 / 8).opt, 8 * steps, replicas=6, resolve=2
    )
    flowing, stepping = tm.judge(run), tm.judge(stepped)
    assert flowing.verdict == stepping.verdict == "collapsed"
    card = tm.theory.theorem_4_1_collapse(run)
    assert card.applies
    card.assert_holds()
    assert all("0.005" not in name for name, _ in card.sensitivity)  # it ended before
    run.save(tmp_path / "run.npz")
    loaded = tm.load(tmp_path / "run.npz")
    assert np.array_equal(loaded.times, run.times)
    assert np.array_equal(loaded.extremes.asymmetry, run.extremes.asymmetry)
    again = loaded.again(replicas=[4])
    T = len(again.steps)
    assert np.array_equal(again.times[0], run.times[4, :T])
    assert tm.theory.explain(run).followed_to == ["u_1 + u_2"] * 6
    above, _ = tm.plotting.mode_alignment(run)
    assert above.get_xscale() == "log"
    assert run.to_frame()["step"].max() == run.times.max()
    T0 = tm.first_stationary(run)
    assert (
        run.times_at(T0).tolist() == [run.times[k, T0[k]] for k in range(6)] == flowing.T0.tolist()
    )
    assert np.array_equal(run.times_at(-1), run.times[:, -1])
    assert np.array_equal(stepped.times_at([0, 1, 2, 3, 4, -1]), stepped.steps[[0, 1, 2, 3, 4, -1]])


def test_a_flow_goes_on_from_where_another_ended():
    """Its states are in another basis than a drawn start's; what they mean is not."""
    opt = tm.optimizer("sgda", eta_D=0.5, eta_G=4.0)
    whole = tm.simulate(GAME, opt, 400, replicas=3, engine="flow", rtol=1e-9)
    half = tm.simulate(GAME, opt, 200, replicas=3, engine="flow", rtol=1e-9)
    rest = tm.simulate(GAME, opt, 200, replicas=3, start=half.state, engine="flow", rtol=1e-9)
    for name in ("projections_W", "projections_V", "gram_V"):
        x, y, z = (getattr(run, name) for run in (half, rest, whole))
        np.testing.assert_allclose(y[:, 0], x[:, -1], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(y[:, -1], z[:, -1], rtol=1e-5, atol=1e-9)


def test_a_flow_ends_at_its_horizon():
    opt = tm.optimizer("sgda", eta_D=0.5, eta_G=4.0)
    run = tm.simulate(GAME, opt, 200, replicas=3, engine="flow")
    assert run.provenance["flow"]["ended"] == ["horizon"] * 3
    assert np.allclose(run.times[:, -1], 200, rtol=1e-9)
    assert tm.first_stationary(run).tolist() == [-1] * 3


def test_too_many_steps_and_too_many_rejected_are_ends(monkeypatch):
    flow = engine(GAME, drawn(GAME))
    flow._all.steps.accepted[:] = flow_module.MOST_STEPS
    flow.advance(4)
    assert flow.notes["ended"] == ["too many steps"]
    flow = engine(GAME, drawn(GAME))
    flow._all.steps.in_a_row[:] = flow_module.MOST_REJECTED
    flow.advance(4)
    assert flow.notes["ended"] == ["stalled"]


def test_modes_of_unequal_probability_and_points_with_both():
    """The right-hand side with its differences is the game's own gradient."""
    for data, gamma in (
        (tm.CorrelatedModes(), 0.3),
        (tm.CorrelatedCoefficients(0.4), 0.0),
        (tm.ExplicitLatents([[0, 0], [1, 0], [0, 1], [1, 1]], [0.1, 0.5, 0.15, 0.25]), 0.3),
    ):
        for clip in (0.05, math.inf):
            game = tm.Game.preset(2**8, data=data, gamma=gamma, clip=clip)
            rng = np.random.default_rng(1)
            start = drawn(game, replicas=FEW + 1)
            start = dataclasses.replace(
                start, W=3 * start.W, V=50 * start.V, b=rng.standard_normal(FEW + 1)
            )
            flow = engine(game, start, ratio=7.0)
            gradient, r = game.evaluate(flow.state), game.reduced_dimension
            K = np.moveaxis(flow._all.steps.K[0, 0], -1, 0)[: FEW + 1, :, :r]
            time = np.moveaxis(flow._all.steps.K[0, 0], -1, 0)[: FEW + 1, -1, 1]
            slope = K / time[:, None, None]  # back to iterations
            at_V = -(-game.m_D // 3) * 3
            scale = np.abs(gradient.W).max()
            assert np.allclose(slope[:, : game.m_D], gradient.W, rtol=1e-12, atol=1e-13 * scale)
            V = slope[:, at_V : at_V + game.m_G]
            assert np.allclose(V, 7 * gradient.V, rtol=1e-12, atol=1e-13 * np.abs(V).max())
            assert np.allclose(slope[:, -1, 0], gradient.b, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    ("rule", "speed"),
    [
        ({}, 1),
        ({"direction": "momentum"}, 1),
        ({"direction": "momentum", "heavy_ball": True, "beta1": 0.75}, 4),
        ({"schedule": "extragradient"}, 1),
        ({"schedule": "past-extragradient"}, 1),
        ({"schedule": "optimistic"}, 1),
        ({"schedule": "alternating-D-first"}, 1),
        ({"magnitude": "momentum", "heavy_ball": True, "beta1": 0.5}, 2),
    ],
)
def test_what_short_steps_of_a_rule_follow(rule, speed):
    """So many short steps end where the flow is after their number times its speed."""
    game, start = tm.Game.preset(2**8), drawn(tm.Game.preset(2**8))
    opt, n = tm.Optimizer(1e-3, 2e-3, **rule), 4000
    assert opt.flow_speeds() == (1e-3 * speed, 2e-3 * speed)
    stepped = tm.simulate(game, opt, n, start=start)
    flow = tm.simulate(game, opt, n, start=start, engine="flow")
    moved = np.abs(stepped.projections_W[0, -1] - stepped.projections_W[0, 0]).max()
    error = np.abs(stepped.projections_W[0, -1] - flow.projections_W[0, -1]).max()
    assert error < 0.02 * moved


@pytest.mark.parametrize(
    "rule",
    [
        {"correction": "hamiltonian"},
        {"correction": "consensus", "correction_weight": 2.0},
        {"correction": "sga", "correction_weight": 2.0, "aligned": False},
    ],
    ids=lambda rule: rule["correction"],
)
def test_corrected_steps_approach_their_flow_at_first_order(rule):
    game, start = tm.Game.preset(2**8), drawn(tm.Game.preset(2**8))
    opt, n = tm.Optimizer(0.01, 0.02, **rule), 1500
    flow = tm.simulate(game, opt, n, start=start, engine="flow", rtol=1e-9)
    errors = []
    for finer in (2, 4):
        short = tm.Optimizer(0.01 / finer, 0.02 / finer, **rule)
        stepped = tm.simulate(game, short, finer * n, start=start)
        errors.append(np.abs(stepped.projections_W[0, -1] - flow.projections_W[0, -1]).max())
        errors.append(np.abs(stepped.bias[0, -1] - flow.bias[0, -1]))
    orders = np.log2(np.divide(errors[:2], errors[2:]))
    assert (np.abs(orders - 1) < 0.1).all(), orders
    assert errors[0] < 1e-3 * np.abs(flow.projections_W).max()


def test_a_corrected_flow_keeps_the_difference_of_the_modes():
    """J^T xi along e_2 is linear in a difference far below the rounding of the projections."""
    game, start = of_record(next(case for case in RECORDED.values() if case["log_d"] == 100))
    opt = tm.Optimizer(1.0, 1.0, correction="hamiltonian")
    U = engine(game, start).state.U  # the sum and the difference of the modes as axes
    rates = []
    for tiny in (1e-30, 1e-20):
        W = np.zeros_like(start.W)
        W[0, :, 0] = np.linspace(0.5, 1.5, game.m_D)
        W[0, :, 1] = tiny * np.linspace(1, -2, game.m_D)
        V = 0.1 * np.ones_like(start.V)
        V[0, :, 1] = 0  # nothing of the generator's along e_2
        flow = FlowEngine(game, opt, tm.State(W, V, np.zeros(1), U), 1e300, 1e-6)
        steps = flow._all.steps
        slope = steps.K[0, 0, : game.m_D, :, 0] / steps.K[0, 0, -1, 1, 0]  # dY/dt
        rates.append(slope[:, 1] / tiny)
    assert np.abs(rates[0]).min() > 1e-6
    np.testing.assert_allclose(*rates, rtol=1e-8)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("nsgda", "steps of one length"),
        ("adam", "depends on the coordinates"),
        ("sga", "turns its correction round"),
        ("anchored", "pulled to its start"),
    ],
)
def test_rules_without_a_flow_are_refused(rule, words):
    opt, _ = tm.recipe(GAME, rule)
    with pytest.raises(tm.InputError, match=words):
        tm.simulate(GAME, opt, 10, engine="flow")
    decaying, _ = tm.recipe(GAME, "sgda", decay_D=0.5)
    with pytest.raises(tm.InputError, match="step sizes that depend on time"):
        tm.simulate(GAME, decaying, 10, engine="flow")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 4}, "a flow has not"),
        ({"resolve": 2.0}, "no effect on a flow"),
        ({"engine": "reduced", "rtol": 1e-6}, "an integrator"),
        ({"rtol": 1e-15}, r"rtol=1e-15 must lie in \[1e-13, 1e-2\]"),
        ({"dtype": "float32"}, "needs engine='dense'"),
    ],
)
def test_what_means_nothing_to_a_flow_is_refused(changes, words):
    opt, steps = tm.recipe(GAME, "sgda")
    with pytest.raises(tm.InputError, match=words):
        tm.simulate(GAME, opt, steps, **{"engine": "flow"} | changes)
    with pytest.raises(tm.InputError, match="two players that move"):
        tm.simulate(GAME, tm.optimizer("sgda", eta_D=0.1, eta_G=0.0), 10, engine="flow")


def test_a_plateau_that_nobody_steps_through_is_refused_with_the_remedy():
    game = tm.Game.preset(2**100, m_D=3, m_G=3)
    with pytest.raises(tm.InputError, match="engine='flow' goes so far"):
        tm.simulate(game, *tm.recipe(game, "sgda"))
    run = tm.simulate(game, *tm.recipe(game, "sgda"), engine="flow")
    assert run.extremes.asymmetry[0, 0] < 1e-12  # of the start, far below the rounding of a cosine
