"""The three engines agree with each other and with themselves; `test_formulas` has the rules."""

import ast
import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from itertools import pairwise, product
from pathlib import Path

import array_api_strict
import mpmath
import numba
import numpy as np
import pytest
from adversarial_oracles import random_model
from helpers import explicit_start

import twomode as tm
from twomode.engines import Descent, climb, dense
from twomode.engines.array import ArrayEngine
from twomode.engines.compiled import blocks, lanes_llvm, lanes_numpy
from twomode.engines.compiled.alone import FEW
from twomode.engines.compiled.blocks import APART
from twomode.engines.compiled.lanes import (
    LANES,
    add_across,
    clamp,
    divide_or_zero,
    lane_zeros,
    larger,
    largest_across,
    load,
    sigmoid,
    store,
    within,
)
from twomode.engines.dense import DenseEngine
from twomode.engines.reduced import ReducedEngine
from twomode.game import Evaluation
from twomode.rules import (
    CORRECTIONS,
    DIRECTIONS,
    FIRST_STEPS,
    GRANULARITIES,
    MAGNITUDES,
    PAST_SCALES,
    SCHEDULES,
)
from twomode.runs import TRACE, snapshot, to_host

EQUIVARIANT = [name for name in tm.RULES if tm.optimizer(name, eta_D=0.2, eta_G=0.1).equivariant]


def make_rule(name, d, scale=1.0, **changes):
    """Steps of lengths that do not grow with d, for all rules."""
    opt = tm.optimizer(name, eta_D=0.2, eta_G=0.1, **changes)
    own = opt.magnitude == "own" and opt.direction == "adam"
    scale *= d**-0.5 if own or opt.magnitude in ("adam", "constant") else 1.0
    return replace(opt, eta_D=0.01 * scale, eta_G=0.003 * scale)


def make_start(game, replicas=2, seed=0):
    """Neurons long enough that the game moves: <w_i, u_l> and <w_i, v_j> of order 1."""
    return explicit_start(game, replicas, seed, std_W=1.0, std_V=game.d**-0.5, bias=0.1)


def minibatches(game, replicas, steps, size=64, seed=1):
    rng = np.random.default_rng(seed)
    laws = (game.data_points[1], game.latent_points[1])
    return tuple(rng.multinomial(size, p, size=(replicas, steps)) / size for p in laws)


def invariants(state):
    """What the game sees of a state: it is the same in R^d and in R^r."""
    W, V, U = state.W, state.V, state.U
    products = {"WU": (W, U), "VU": (V, U), "WW": (W, W), "VV": (V, V), "WV": (W, V)}
    return {name: X @ Y.mT for name, (X, Y) in products.items()} | {"b": state.b}


def assert_close(found, expected, tolerance):
    """Within `tolerance` of the largest entry of each array."""
    assert found.keys() == expected.keys()
    for name, x in expected.items():
        error = np.abs(found[name] - x).max() / np.abs(x).max()
        assert error <= tolerance, f"{name} is off by {error:.2g}"


def agreement(game, opt, steps, tolerance, *, minibatch=True, replicas=2):
    """Run every engine that can from one start; return how far the least moved array moved."""
    start = make_start(game, replicas)
    batches = minibatches(game, replicas, steps) if minibatch else None
    oracle = ArrayEngine(game, opt, start)
    oracle.advance(steps, batches)
    end = invariants(oracle.state)
    for Engine in (DenseEngine, ReducedEngine) if opt.equivariant else (DenseEngine,):
        engine = Engine(game, opt, start)
        engine.advance(steps, batches)
        assert engine.t == oracle.t == steps
        assert_close(invariants(engine.state), end, tolerance)
        np.testing.assert_allclose(engine.update_norms, oracle.update_norms, rtol=tolerance)
        np.testing.assert_allclose(engine.peak_grad_norms, oracle.peak_grad_norms, rtol=tolerance)
    begin = invariants(start)
    return min(np.abs(x - begin[name]).max() / np.abs(x).max() for name, x in end.items())


def variations(opt):
    """Granularities that matter to a rule and, if it is plain, schedules: the alternating ones
    with each granularity, all others with the rule's own.
    """
    own = opt.magnitude == "own" or opt.polar != "exact"
    # Adam's vector, as a matrix, is of lower rank nearly: there the factor is rounding.
    matrices = GRANULARITIES[:-1] if opt.uses_second_moment else GRANULARITIES
    granularities = [opt.granularity] if own else matrices
    if not opt.plain:
        return product(granularities, [opt.schedule])
    alternating = [schedule for schedule in SCHEDULES if schedule.startswith("alternating")]
    everywhere = product(granularities, [opt.schedule, *alternating])
    return dict.fromkeys([*everywhere, *product([opt.granularity], SCHEDULES)])


def long_runs():
    """Every rule, and at d = 37 its variations; no rule twice because it has two names."""
    runs = {}
    for d, name in product((37, 256, 1000), tm.RULES):
        own = make_rule(name, d)
        for granularity, schedule in (
            variations(own) if d == 37 else [(own.granularity, own.schedule)]
        ):
            # A small singular value has vectors of few right digits, and its step is as long.
            if granularity == "spectral" and own.polar == "exact":
                continue
            opt = replace(own, granularity=granularity, schedule=schedule)
            case = pytest.param(d, opt, id=f"{d}-{name}-{granularity}-{schedule}")
            runs.setdefault((d, replace(opt, name="any")), case)
    return list(runs.values())


@cache
def clipping_game(d):
    """The preset with a threshold that half of the products <w_i, Vz> exceed."""
    return tm.Game.preset(d, clip=1.0)


def test_long_runs_use_both_parts_of_the_activation():
    for d in (37, 256, 1000):
        game = clipping_game(d)
        start = make_start(game)
        products = np.abs(start.W @ (game.latent_points[0] @ start.V).mT)
        assert 0.2 < (products > game.clip).mean() < 0.8


@pytest.mark.parametrize("batch", ["population", "minibatch"])
@pytest.mark.parametrize(("d", "opt"), long_runs())
def test_engines_agree_over_long_runs(d, opt, batch):
    # Descent on H comes to where its gradient vanishes, and from there rounding errors grow.
    steps = 50 if opt.corrected else 200
    minibatch, replicas = batch == "minibatch", 1 if d == 1000 else 2
    moved = agreement(clipping_game(d), opt, steps, 1e-10, minibatch=minibatch, replicas=replicas)
    assert moved > 1e-5


def rule_of_effect(**fields):
    """A rule with those of the fields that have an effect on it."""
    while True:
        try:
            return tm.Optimizer(0.01, 0.02, **fields)
        except tm.InputError as error:
            name, _, reason = str(error).partition("=")
            if "has no effect" not in reason:
                raise
            del fields[name]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_engines_agree_for_every_pair_of_direction_and_magnitude(direction, magnitude):
    game = clipping_game(37)
    # Adam's first vector is of signs: as a matrix of lower rank nearly, its factor is rounding.
    for granularity in GRANULARITIES[: -1 if direction == "adam" else None]:
        opt = rule_of_effect(
            direction=direction,
            magnitude=magnitude,
            granularity=granularity,
            beta1=-0.4,
            beta2=0.9,
            eps=1e-3,
            norm_eps=0.01,
            constant=0.3,
            max_norm=0.05,
            bias_correction=granularity == "layer",
            heavy_ball=granularity == "neuron",
        )
        # A small singular value has vectors of few right digits: rounding grows from step to step.
        steps = 4 if granularity == "spectral" else 20
        assert agreement(game, opt, steps, 1e-12) > 1e-4


STEPS = {
    "momentum": {"direction": "momentum", "beta1": -0.4},
    "adam": {"direction": "adam"},
    "layers": {"magnitude": "unit", "granularity": "layer"},
    "adalr": {"direction": "momentum", "magnitude": "adam", "granularity": "global"},
}
PACES = {
    "constant": {},
    "decaying": {"decay_D": 0.5, "decay_G": 1.0},
    "anchored": {"anchor": 2.5, "decay_D": 0.7, "decay_G": 0.3},
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("correction", CORRECTIONS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_engines_agree_for_every_pair_of_schedule_and_correction(schedule, correction, step):
    game = clipping_game(37)
    changes = STEPS[step] | {"schedule": schedule, "correction": correction}
    if correction in ("sga", "consensus"):
        changes["correction_weight"] = 0.4
    for pace in PACES.values():
        opt = make_rule("sgda", game.d, **changes, **pace)
        assert agreement(game, opt, 20, 1e-11) > 1e-4


@pytest.mark.parametrize("changes", [{}, {"heavy_ball": True}, {"bias_correction": False}], ids=str)
@pytest.mark.parametrize("past_scale", PAST_SCALES)
@pytest.mark.parametrize("first_step", FIRST_STEPS)
@pytest.mark.parametrize("direction", ["momentum", "adam"])
def test_engines_agree_for_every_kind_of_optimism(direction, first_step, past_scale, changes):
    game = clipping_game(37)
    changes |= {"direction": direction, "first_step": first_step, "past_scale": past_scale}
    for correction in ("none", "sga"):
        opt = make_rule("optimistic", game.d, correction=correction, **changes)
        assert agreement(game, opt, 20, 1e-11) > 1e-4


@pytest.mark.parametrize("name", tm.RULES)
def test_engines_agree_on_one_step_to_rounding(name):
    # from a state in the middle of a run, with the moments it has by then
    game = clipping_game(256)
    opt = make_rule(name, 256)
    oracle = ArrayEngine(game, opt, make_start(game))
    oracle.advance(100)
    for Engine in (DenseEngine, ReducedEngine) if opt.equivariant else (DenseEngine,):
        at_once = replace(opt, beta1=0.0) if opt.uses_first_moment else opt
        ends = [Runner(game, at_once, oracle.state) for Runner in (ArrayEngine, Engine)]
        for end in ends:
            end.advance(1)
        expected, found = (invariants(end.state) for end in ends)
        assert_close(found, expected, 1e-12)


GAMES = {
    "d = r, where the modes fill more than two coordinates": tm.Game.preset(8),
    "d < 2 + m_D + m_G": tm.Game.preset(5, m_D=4, m_G=3),
    "latents with any number of ones": tm.Game.preset(37, m_G=5, latents=tm.Bernoulli(0.3)),
    "explicit latents": tm.Game.preset(
        37, m_G=3, latents=tm.ExplicitLatents([(1, 1, 1), (0, 1, 0)], [0.25, 0.75])
    ),
    "correlated coefficients": tm.Game.preset(37, data=tm.CorrelatedCoefficients(0.2)),
    "one neuron each": tm.Game.preset(37, m_D=1, m_G=1, latents=tm.SparsePairs(0)),
    "more discriminator neurons": tm.Game.preset(100, m_D=11, m_G=2, lam=2.0),
    "more generator neurons": tm.Game.preset(100, m_D=2, m_G=10, lam=-2.0),
    "no clipping": tm.Game.preset(37, clip=float("inf")),
}


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
@pytest.mark.parametrize("name", ["sgda", "g-nsgda", "adam", "sga-nsgda", "consensus-adam"])
def test_engines_agree_on_every_kind_of_game(game, name):
    opt = make_rule(name, game.d, schedule="alternating-D-first")
    # In 50 steps sga-nsgda grows another processor's rounding to 2e-11.
    assert agreement(game, opt, 30, 1e-11) > 1e-3


# Single iterations


def lifted(engine, basis):
    """An engine's W, b, V in R^d."""
    state = engine.state
    if state.dimension < engine.game.d:
        state = replace(state, W=state.W @ basis.mT, V=state.V @ basis.mT)
    return {"W": state.W, "b": state.b, "V": state.V}


@pytest.mark.parametrize("Engine", [ArrayEngine, DenseEngine, ReducedEngine])
def test_who_sees_whose_move(Engine):
    game, eta = clipping_game(37), 0.5
    start = make_start(game)
    _, basis = start.reduce()
    before = game.evaluate(start)
    W, b = start.W + eta * before.W, start.b + eta * before.b
    V = start.V + eta * before.V
    V_after_D = start.V + eta * game.evaluate(replace(start, W=W, b=b)).V
    answer = game.evaluate(replace(start, V=V))
    W_after_G, b_after_G = start.W + eta * answer.W, start.b + eta * answer.b
    expected = {
        "simultaneous": {"W": W, "b": b, "V": V},
        "alternating-D-first": {"W": W, "b": b, "V": V_after_D},
        "alternating-G-first": {"W": W_after_G, "b": b_after_G, "V": V},
    }
    # far enough apart that mistaking one for another cannot pass
    assert np.abs(V - V_after_D).max() > 0.01
    assert np.abs(W - W_after_G).max() > 0.01
    for schedule, end in expected.items():
        engine = Engine(game, tm.Optimizer(eta, eta, schedule=schedule), start)
        engine.advance(1)
        assert_close(lifted(engine, basis), end, 1e-12)


@pytest.mark.parametrize("Engine", [ArrayEngine, DenseEngine, ReducedEngine])
def test_both_players_share_the_minibatch_of_an_iteration(Engine):
    game = clipping_game(37)
    start, batches = make_start(game), minibatches(game, 2, 2, size=3)
    opt = tm.Optimizer(0.5, 0.5, schedule="alternating-D-first")
    _, basis = start.reduce()
    state = start
    for n in range(2):
        weights = [batch[:, n] for batch in batches]
        g = game.evaluate(state, *weights)
        state = replace(state, W=state.W + 0.5 * g.W, b=state.b + 0.5 * g.b)
        state = replace(state, V=state.V + 0.5 * game.evaluate(state, *weights).V)
    engine = Engine(game, opt, start)
    engine.advance(2, batches)
    assert_close(lifted(engine, basis), {"W": state.W, "b": state.b, "V": state.V}, 1e-12)


@pytest.mark.parametrize("Engine", [ArrayEngine, DenseEngine, ReducedEngine])
def test_a_block_without_gradient_stays(Engine):
    # a neuron at right angles to everything has slope zero, and so has a block of zero norm
    game = tm.Game.preset(37)
    start = make_start(game)
    W, V = start.W.copy(), start.V.copy()
    W[:, 0] = 0
    engine = Engine(game, tm.optimizer("nsgda", eta_D=0.1, eta_G=0.1), replace(start, W=W, V=V))
    engine.advance(3)
    assert np.isfinite(engine.state.W).all()
    assert np.array_equal(engine.state.W[:, 0], np.zeros_like(engine.state.W[:, 0]))
    moved = (
        engine.state.W[:, 1] - (start if Engine is not ReducedEngine else start.reduce()[0]).W[:, 1]
    )
    assert np.abs(moved).max() > 0.01


def test_blocks_lie_apart():
    """Whatever a core reads ahead of one is not what another core writes."""

    def arrays(of):
        return [of] if isinstance(of, np.ndarray) else [x for one in of or () for x in arrays(one)]

    game = tm.Game.preset(37)
    engine = ReducedEngine(game, make_rule("sga", game.d), make_start(game, 3 * LANES))
    for first, second in pairwise(arrays(block) for block in engine._blocks):
        for x, y in zip(first, second, strict=True):
            assert x.flags.c_contiguous
            assert not x.size or y.ctypes.data - x.ctypes.data >= x.nbytes + APART


# Norms


def engines_of(opt):
    return [ArrayEngine, DenseEngine, *[ReducedEngine] * opt.equivariant]


MOVES = {name: make_rule(name, 37) for name in tm.RULES} | {
    "anchored, decaying, extragradient": make_rule(
        "extragradient", 37, anchor=2.5, decay_D=0.7, decay_G=0.3
    ),
    "decaying, alternating": make_rule("alternating-adam", 37, decay_D=0.5, decay_G=1.0),
    "a double first step": make_rule("optimistic-nsgda", 37, first_step="double", anchor=0.5),
    "moments of today": make_rule("optimistic-adam", 37, past_scale="today", decay_G=0.5),
    "no steps": replace(make_rule("anchored", 37), eta_D=0.0),
}


@pytest.mark.parametrize("opt", MOVES.values(), ids=MOVES)
def test_update_norms_are_those_of_the_whole_move(opt):
    """Of the last of three iterations, from two engines, one of which stops before it."""
    game, eta = clipping_game(37), np.array([opt.eta_D, opt.eta_G])
    batches = minibatches(game, 2, 3)
    for Engine in engines_of(opt):
        engines = [Engine(game, opt, make_start(game)) for _ in range(2)]
        for engine, steps in zip(engines, (2, 3), strict=True):
            engine.advance(steps, tuple(x[:, :steps] for x in batches))
        before, after = (engine.state for engine in engines)
        W, b, V = after.W - before.W, after.b - before.b, after.V - before.V
        moved = np.sqrt([(W**2).sum(axis=(1, 2)) + b**2, (V**2).sum(axis=(1, 2))]).T
        assert (moved[:, eta > 0] > 0).all()
        np.testing.assert_allclose(engines[1].update_norms * eta, moved, rtol=1e-10)


ONE_LOOK = ["sgda", "nsgda", "l-nsgda", "g-nsgda", "nsgda-momentum", "optimistic-nsgda"]
ONE_LOOK += ["alternating-nsgda", "adam", "adalr", "adadir"]


@pytest.mark.parametrize("name", ONE_LOOK)
def test_gradients_whose_squares_are_no_numbers(name):
    """From V 2^-300 times as long, gradients of V are 2^-600 times as long, and digits the same."""
    game = tm.Game.preset(37)
    opt = make_rule(name, 37)
    opt = replace(opt, eps=0.0) if opt.uses_second_moment else opt
    small = explicit_start(game, 2, 0, std_W=1.0, std_V=2.0**-100, bias=0.1)
    less = 2.0**-600 if opt.as_long_as_gradient else 1.0
    for Engine in engines_of(opt):
        ends, records = [], []
        for start in (small, replace(small, V=2.0**-300 * small.V)):
            engine = Engine(game, opt, start)
            records.append(snapshot(game, engine)["grad_norms"])
            engine.advance(1)
            ends.append(engine)
        assert 0 < records[1].min() < 1e-200
        for a, b in (records, [end.peak_grad_norms for end in ends]):
            np.testing.assert_allclose(b, a * (1, 2.0**-600), rtol=1e-12)
        a, b = (end.update_norms for end in ends)
        np.testing.assert_allclose(b, a * (1, less), rtol=1e-12)
        assert (b > 0).all()
        a, b = (end.state.arrays() for end in ends)
        for layer in "WVb":
            np.testing.assert_allclose(b[layer], a[layer], atol=1e-12)


def test_normalized_steps_recover_at_any_dimension():
    shares = []
    for d in (2**200, 2**400, 2**480):
        game = tm.Game.preset(d, m_D=9, m_G=9)
        result = tm.simulate(game, *tm.recipe(game, "nsgda"), replicas=64, seed=1)
        assert np.isfinite(result.grad_norms).all()
        assert (result.grad_norms > 0).all()
        shares.append(np.mean([word == "both-modes" for word in tm.judge(result).verdicts]))
    # Each difference of two shares of 64 within 3.9 of its standard errors, at most: all three
    # are for 99.97 % of seeds.  Seeds that underflow stay where they are.
    assert np.ptp(shares) < 3.9 * (0.5 / 64) ** 0.5 < shares[0]


class Louder:
    """A game whose objective is 8 times that of another."""

    def __init__(self, game):
        self._game = game

    def __getattr__(self, name):
        return getattr(self._game, name)

    def evaluate(self, state, *weights):
        return Evaluation(*(8 * x for x in self._game.evaluate(state, *weights)))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_a_rescaled_rule_moves_alike(direction, magnitude):
    game, eps = clipping_game(37), {"eps": 0.1, "norm_eps": 0.2, "constant": 0.3}
    opt = rule_of_effect(direction=direction, magnitude=magnitude, **eps)
    engines = [ArrayEngine(game, opt, make_start(game))]
    engines.append(ArrayEngine(Louder(game), opt.rescaled(8.0), make_start(game)))
    for engine in engines:
        engine.advance(5)
    assert_identical(*(engine.state for engine in engines))
    ratio = engines[1].update_norms / engines[0].update_norms
    assert (ratio == (8 if opt.as_long_as_gradient else 1)).all()


# Bit for bit


def assert_identical(a, b):
    """Every array of two states."""
    for name, x in a.arrays().items():
        assert np.array_equal(x, b.arrays()[name]), name


def assert_same_record(a, rows_a, b, rows_b):
    """The trace of some replicas of two results, at the iterations that both recorded."""
    _, at_a, at_b = np.intersect1d(a.steps, b.steps, return_indices=True)
    assert len(at_a) > 1
    for name in TRACE:
        x, y = getattr(a, name)[rows_a][:, at_a], getattr(b, name)[rows_b][:, at_b]
        assert np.array_equal(x, y, equal_nan=name == "update_norms"), name
    assert_identical(
        tm.State(**{name: x[rows_a] for name, x in a.state.arrays().items()}),
        tm.State(**{name: x[rows_b] for name, x in b.state.arrays().items()}),
    )


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize(
    ("engine", "name", "replicas", "chosen"),
    [
        ("reduced", "nsgda", 64, 17),
        ("reduced", "sgda-momentum", 64, 63),
        ("dense", "adam", 5, 3),
        ("dense", "l-nsgda", 5, 4),
        ("reduced", "sga", 64, 17),
        ("dense", "sga-adam", 5, 3),
        ("dense", "past-extragradient-nsgda", 5, 4),
        ("reduced", "spectral-nsgda", 20, 17),
        ("dense", "muon", 5, 3),
    ],
)
def test_a_replica_is_the_same_alone_and_among_others(engine, name, replicas, chosen, batch_size):
    game = tm.Game.preset(256)
    opt = make_rule(name, game.d)
    options = {"engine": engine, "batch_size": batch_size, "seed": 3, "record_every": 20}
    together = tm.simulate(game, opt, 100, replicas=replicas, **options)
    alone = tm.simulate(game, opt, 100, replicas=[chosen], **options)
    assert_same_record(together, [chosen], alone, [0])
    some = tm.simulate(game, opt, 100, replicas=[chosen, 0], **options)
    assert_same_record(together, [chosen, 0], some, [0, 1])


@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("name", EQUIVARIANT)
def test_a_few_replicas_with_neurons_in_the_lanes_are_those_of_many(name, batch_size):
    """Neurons that fill a row of lanes, or two and a part; latents with two ones, or many."""
    for m_D, m_G, latents in ((8, 19, tm.SparsePairs(0.5)), (3, 5, tm.Bernoulli(0.4))):
        game = tm.Game.preset(256, m_D=m_D, m_G=m_G, latents=latents)
        options = {"engine": "reduced", "batch_size": batch_size, "seed": 3, "record_every": 20}
        many = tm.simulate(game, make_rule(name, game.d), 60, replicas=FEW + 1, **options)
        few = tm.simulate(game, make_rule(name, game.d), 60, replicas=FEW, **options)
        assert_same_record(many, list(range(FEW)), few, list(range(FEW)))


@pytest.mark.parametrize("batch", ["population", "minibatch"])
@pytest.mark.parametrize("chunks", [[37, 63], [1] * 100, [0, 99, 1]])
@pytest.mark.parametrize(
    ("Engine", "name", "changes"),
    [
        (ReducedEngine, "nsgda-momentum", {"schedule": "alternating-G-first"}),
        (DenseEngine, "sgda-momentum", {"schedule": "alternating-G-first"}),
        (DenseEngine, "alternating-adam", {}),
        (ReducedEngine, "extragradient-nsgda", {"direction": "momentum"}),
        (DenseEngine, "extra-adam", {}),
        (ReducedEngine, "past-extragradient", {}),
        (DenseEngine, "past-extra-adam", {}),
        (ReducedEngine, "optimistic-nsgda", {"first_step": "double"}),
        (DenseEngine, "optimistic-adam", {"past_scale": "today"}),
        (ReducedEngine, "sga", PACES["decaying"]),
        (DenseEngine, "consensus-adam", {}),
        (ReducedEngine, "anchored-nsgda", {}),
        (DenseEngine, "anchored-adam", {"schedule": "extragradient"}),
        (ReducedEngine, "muon", {}),
        (ReducedEngine, "spectral-nsgda", {"schedule": "alternating-G-first"}),
        (DenseEngine, "spectral-nsgda", {}),
    ],
    ids=lambda x: x if isinstance(x, str) else None,
)
def test_chunks_do_not_matter(Engine, name, changes, chunks, batch):
    game = tm.Game.preset(256)
    opt = make_rule(name, game.d, **changes)
    start = make_start(game)
    batches = minibatches(game, 2, 100)
    whole, pieces = Engine(game, opt, start), Engine(game, opt, start)
    whole.advance(100, batches if batch == "minibatch" else None)
    done = 0
    for n in chunks:
        some = tuple(x[:, done : done + n] for x in batches)
        pieces.advance(n, some if batch == "minibatch" else None)
        done += n
    assert_identical(whole.state, pieces.state)
    assert np.array_equal(whole.update_norms, pieces.update_norms)
    assert np.array_equal(whole.peak_grad_norms, pieces.peak_grad_norms)


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize(
    ("engine", "name"),
    [
        *(("reduced", "nsgda"), ("dense", "adam"), ("reduced", "sga"), ("reduced", "muon")),
        *(("dense", "past-extra-adam"), ("dense", "spectral-nsgda")),
    ],
)
def test_recording_does_not_matter(engine, name, batch_size):
    game = tm.Game.preset(256)
    opt = make_rule(name, game.d)
    runs = [
        tm.simulate(
            game, opt, 210, replicas=3, engine=engine, batch_size=batch_size, record_every=every
        )
        for every in (1, 30, 210)
    ]
    assert_same_record(runs[0], [0, 1, 2], runs[1], [0, 1, 2])
    assert_same_record(runs[0], [0, 1, 2], runs[2], [0, 1, 2])


@pytest.mark.parametrize(
    ("engine", "name", "replicas"),
    [
        ("reduced", "nsgda", 40),
        ("dense", "adam", 2),
        ("dense", "adalr", 2),
        ("dense", "sgda", 2),
        ("reduced", "sga", 40),
        ("dense", "sga-adam", 2),
        ("dense", "extragradient-nsgda", 2),
        ("dense", "optimistic-adam", 2),
        ("reduced", "spectral-nsgda", 20),
        ("dense", "muon", 2),
    ],
)
def test_threads_do_not_matter(engine, name, replicas):
    game = tm.Game.preset(4096)  # several slices of the dense engine
    opt = make_rule(name, game.d)
    before = numba.get_num_threads()
    runs = []
    try:
        for threads in (1, numba.config.NUMBA_NUM_THREADS):
            numba.set_num_threads(threads)
            runs.append(tm.simulate(game, opt, 300, replicas=replicas, engine=engine, batch_size=8))
    finally:
        numba.set_num_threads(before)
    everyone = list(range(replicas))
    assert_same_record(runs[0], everyone, runs[1], everyone)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs a second thread")
def test_a_step_that_fails_leaves_the_number_of_threads_alone(monkeypatch):
    def fail(*_):
        raise MemoryError

    game = tm.Game.preset(37)  # so small that it runs on one thread
    engine = DenseEngine(game, make_rule("adam", 37), make_start(game))
    monkeypatch.setattr(dense, "_advance", fail)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(2)
        with pytest.raises(MemoryError):
            engine.advance(1)
        assert numba.get_num_threads() == 2
    finally:
        numba.set_num_threads(before)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs a second thread")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_every_block_is_taken_once_and_after_an_error_none(error):
    taken, busy = [], []

    def advance(block):
        busy.append(block)
        time.sleep(0.01)
        if block == fails:
            raise error
        taken.append(block)
        busy.remove(block)

    fails = None
    blocks.each_block(advance, 20, 1000)
    assert sorted(taken) == list(range(20))
    fails = 3
    taken.clear()
    with pytest.raises(error):
        blocks.each_block(advance, 20, 1000)
    assert busy == [3]  # what was begun has ended
    assert len(taken) < 8
    fails = None
    busy.clear()
    blocks.each_block(advance, 20, 1000)  # and the threads are still there
    assert not busy


# What the engines refuse, and where they may start


@pytest.mark.parametrize("name", [name for name in tm.RULES if name not in EQUIVARIANT])
def test_reduced_engine_refuses_coordinate_wise_rules(name):
    game = tm.Game.preset(37)
    with pytest.raises(tm.InputError, match=f"{name}.*use engine='dense'") as refusal:
        ReducedEngine(game, make_rule(name, 37), make_start(game))
    assert "\n" not in str(refusal.value)


def test_dense_engine_refuses_a_reduced_start():
    game = tm.Game.preset(37)
    reduced, _ = make_start(game).reduce()
    with pytest.raises(tm.InputError, match=r"needs a start in R\^d, d=37, not in R\^10"):
        DenseEngine(game, make_rule("sgda", 37), reduced)


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_equivariant_rules_run_in_any_coordinates(name):
    game = clipping_game(256)
    opt = make_rule(name, game.d)
    start = make_start(game)
    reduced, _ = start.reduce()
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((reduced.dimension,) * 2))
    turned = tm.State(reduced.W @ turn, reduced.V @ turn, reduced.b, reduced.U @ turn)
    oracle = ArrayEngine(game, opt, start)
    oracle.advance(50)
    for Engine in (ArrayEngine, ReducedEngine):
        for place in (reduced, turned):
            engine = Engine(game, opt, place)
            engine.advance(50)
            assert_close(invariants(engine.state), invariants(oracle.state), 1e-11)


def test_array_engine_refuses_adam_on_a_reduced_start():
    game = tm.Game.preset(37)
    reduced, _ = make_start(game).reduce()
    with pytest.raises(tm.InputError, match=r"'adam'.*R\^d, d=37, not in R\^10"):
        ArrayEngine(game, make_rule("adam", 37), reduced)


@pytest.mark.parametrize("Engine", [ArrayEngine, DenseEngine, ReducedEngine])
def test_engines_leave_the_start_alone(Engine):
    game = tm.Game.preset(37)
    start, untouched = make_start(game), make_start(game)
    engine = Engine(game, make_rule("nsgda", 37), start)
    first = engine.state
    assert np.isnan(engine.update_norms).all()
    assert (engine.peak_grad_norms == 0).all()
    engine.advance(5)
    assert_identical(start, untouched)
    assert_close(invariants(first), invariants(start), 1e-14)  # a state handed out stays as it was


# Other arrays, other precisions


@pytest.mark.parametrize("batch", ["population", "minibatch"])
@pytest.mark.parametrize("name", tm.RULES)
def test_array_engine_runs_on_any_array_library(name, batch):
    """On a device whose arrays refuse to become NumPy's, as a GPU's do."""
    device = array_api_strict.Device("device1")
    game = clipping_game(37)
    start = make_start(game)
    strict = {n: array_api_strict.asarray(x, device=device) for n, x in start.arrays().items()}
    with pytest.raises(RuntimeError):
        np.asarray(strict["W"])
    own = make_rule(name, 37)
    fixed = own.magnitude == "own" or own.polar != "exact"
    for granularity in [own.granularity] if fixed else GRANULARITIES:
        opt = make_rule(name, 37, granularity=granularity)
        engines = [ArrayEngine(game, opt, s) for s in (start, tm.State(**strict))]
        for engine in engines:
            engine.advance(10, minibatches(game, 2, 10) if batch == "minibatch" else None)
        expected, found = (snapshot(game, engine) for engine in engines)
        assert {x.device for x in found.values()} == {device}
        assert_close({n: to_host(x) for n, x in found.items()}, expected, 1e-12)
        state = {n: to_host(x) for n, x in engines[1].state.arrays().items()}
        assert_close(state, engines[0].state.arrays(), 1e-12)


def test_a_run_on_any_array_library():
    """`simulate` itself, from an explicit start on that device to a result in NumPy."""
    device = array_api_strict.Device("device1")
    game = clipping_game(37)
    start = make_start(game)
    strict = {n: array_api_strict.asarray(x, device=device) for n, x in start.arrays().items()}
    opt = make_rule("nsgda", 37)
    expected, found = (
        tm.simulate(game, opt, 10, replicas=2, engine="array", start=s, batch_size=4)
        for s in (start, tm.State(**strict))
    )
    for name in TRACE:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12)
    assert_close(found.state.arrays(), expected.state.arrays(), 1e-12)


def test_bias_as_a_number_joins_the_other_arrays_device():
    device = array_api_strict.Device("device1")
    W = array_api_strict.ones((2, 3, 5), device=device)
    assert tm.State(W, W, 0.5, W[:, :2, :]).b.device == device


@pytest.mark.slow  # kernels of its own to compile, and of sga-adam others
@pytest.mark.parametrize("name", ["sgda", "nsgda", "adam", "adalr", "extra-adam", "sga-adam"])
def test_float32(name):
    game = clipping_game(256)
    opt = make_rule(name, game.d)
    start = make_start(game)
    double, single = DenseEngine(game, opt, start), DenseEngine(game, opt, start, "float32")
    for engine in (double, single):
        engine.advance(5)
    assert {x.dtype for x in single.state.arrays().values()} == {np.dtype("float32")}
    assert_close(invariants(single.state), invariants(double.state), 1e-4)
    # it computes in float32, rather than rounding a float64 run at the end
    assert np.abs(single.state.W - double.state.W.astype("float32")).max() > 0


@pytest.mark.slow
def test_float32_results_are_recorded_as_such():
    run = tm.simulate(tm.Game.preset(37), make_rule("adam", 37), 3, engine="dense", dtype="float32")
    assert run.provenance["dtype"] == "float32"
    assert run.bias.dtype == np.float64  # what is recorded can be computed with


# Lanes


@numba.njit
def _sigmoids(x, out):
    for i in range(x.shape[0]):
        store(out, i, 0, sigmoid(load(x, i, 0)))


@numba.njit
def _derived(x, y, z, out):
    a, b, c = load(x, 0, 0), load(y, 0, 0), load(z, 0, 0)
    store(out, 0, 0, clamp(a, b))
    store(out, 1, 0, within(a, b, c))
    store(out, 2, 0, larger(a, b))
    store(out, 3, 0, divide_or_zero(a, b))


@numba.njit
def _across(x, y, out):
    a, b = load(x, 0, 0), load(y, 0, 0)
    store(out, 0, 0, add_across(a, b))
    store(out, 1, 0, largest_across(b))


@numba.njit
def _primitives(x, y, out):
    a, b = lanes_llvm.load(x, 0, 0), lanes_llvm.load(y, 0, 0)
    lanes_llvm.store(out, 0, 0, lanes_llvm.absolute(a))
    lanes_llvm.store(out, 1, 0, lanes_llvm.square_root(b))
    lanes_llvm.store(out, 2, 0, lanes_llvm.lane_sum(b))
    lanes_llvm.store(out, 3, 0, lanes_llvm.where_less(a, b, -b, a))
    lanes_llvm.store(out, 4, 0, lanes_llvm.where_equal(a, b, -b, a))
    lanes_llvm.store(out, 5, 0, lanes_llvm.fill(a, lanes_llvm.lane_of(a, 3)))


@numba.njit
def _powers(x, out):
    lanes_llvm.store(out, 0, 0, lanes_llvm.power_of_two(lanes_llvm.load(x, 0, 0)))


def lanes(values, dtype=np.float64):
    """Numbers as rows of lanes, shape (rows, 1, LANES)."""
    x = lane_zeros((len(values) // LANES, 1), dtype)
    x[:] = np.reshape(values, x.shape)
    return x


def sigmoids(values, dtype=np.float64):
    x = lanes(values, dtype)
    out = np.full_like(x, -1)
    _sigmoids(x, out)
    return out.ravel()


def exact_sigmoids(values):
    with mpmath.workdps(30):
        return np.array([float(1 / (1 + mpmath.exp(-mpmath.mpf(float(x))))) for x in values])


def test_sigmoid_is_accurate_in_both_tails():
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [np.linspace(-700, 700, 1401), rng.uniform(-40, 40, 2000), rng.normal(0, 1e-3, 695)]
    )
    exact = exact_sigmoids(x)
    assert (np.abs(sigmoids(x) - exact) / np.spacing(exact)).max() <= 4


def test_sigmoid_in_single_precision():
    x = np.linspace(-80, 80, 1600).astype("float32")
    exact = exact_sigmoids(x).astype("float32")
    assert (np.abs(sigmoids(x, np.float32) - exact) / np.spacing(exact)).max() <= 1


def test_sigmoid_saturates():
    found = sigmoids([-1e300, 1e300, -np.inf, np.inf, 0.0, -0.0, -745.0, 745.0])
    assert (found[[0, 2, 6]] >= 0).all()
    assert (found[[0, 2, 6]] < 1e-300).all()
    assert found[[1, 3, 7]].tolist() == [1, 1, 1]
    assert found[[4, 5]].tolist() == [0.5, 0.5]


def test_sigmoid_keeps_lanes_apart():
    x = np.linspace(-3, 3, LANES)
    clean = sigmoids(x)
    for lane in range(LANES):
        for bad in (np.nan, np.inf, -np.inf, 1e300):
            spoiled = x.copy()
            spoiled[lane] = bad
            found = sigmoids(spoiled)
            assert np.isnan(found[lane]) == np.isnan(bad)
            others = np.arange(LANES) != lane
            assert np.array_equal(found[others], clean[others])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_lanes_do_what_numpy_does(dtype):
    x = np.array([-5, -1, 0.5, 3, 1e9, -np.inf, 0, 7], dtype)
    y = np.array([2, 1, 0, 0, 1e-9, 4, 0, np.inf], dtype)
    z = np.arange(1, 9).astype(dtype)
    out = np.full((4, 1, LANES), -1, dtype)
    _derived(*(lanes(a, dtype) for a in (x, y, z)), out)
    expected = [
        np.clip(x, -y, y),
        np.where(np.abs(x) <= y, z, 0),
        np.maximum(x, y),
        np.divide(x, y, out=np.zeros_like(x), where=y != 0),
    ]
    assert np.array_equal(out[:, 0], expected)


def test_sums_across_lanes_have_an_order():
    """One after the other, all of these are lost in the rounding of the first."""
    x, small = np.full(LANES, 1.0), np.full(LANES, 1e-16)
    out = np.full((2, 1, LANES), -1.0)
    _across(lanes(x), lanes(small), out)
    assert (out[0, 0] == 1).all()
    _across(lanes(0 * x), lanes([3, -1, 7, 1e16, 2, -1e16, 5, 1]), out)
    assert (out[0, 0] == ((((3 - 1 + 7 + 1e16) + 2) - 1e16) + 5) + 1).all()
    assert (out[1, 0] == 1e16).all()


def test_what_diverged_stays_nan():
    x, y = np.ones(LANES), np.where(np.arange(LANES) < 4, np.nan, 2)
    out = np.full((4, 1, LANES), -1.0)
    _derived(lanes(x), lanes(y), lanes(x), out)
    np.testing.assert_array_equal(out[3, 0], x / y)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_compiled_lanes_do_what_the_readable_ones_do(dtype):
    x = np.array([-5, -1, 0, 3, np.nan, -np.inf, 0, 7], dtype)
    y = np.array([2, 1, -0.0, 3, 1e-9, 4, 1, 8], dtype).clip(0)
    out = np.full((6, 1, LANES), -1, dtype)
    _primitives(lanes(x, dtype), lanes(y, dtype), out)
    a, b = (lanes_numpy.load(lanes(z, dtype), 0, 0) for z in (x, y))
    expected = [
        lanes_numpy.absolute(a),
        lanes_numpy.square_root(b),
        lanes_numpy.lane_sum(b),
        lanes_numpy.where_less(a, b, -b, a),
        lanes_numpy.where_equal(a, b, -b, a),
        lanes_numpy.fill(a, lanes_numpy.lane_of(a, 3)),
    ]
    np.testing.assert_array_equal(out[:, 0], expected)


def test_powers_of_two():
    n = np.array([-1022, -708, -1, 0, 1, 3, 10, 1023])
    x = lanes(n + 1.5 * 2.0**52)
    out = np.zeros_like(x)
    _powers(x, out)
    assert np.array_equal(out[0, 0], 2.0**n)
    assert np.array_equal(lanes_numpy.power_of_two(lanes_numpy.load(x, 0, 0)), 2.0**n)


# Compilation


UNCOMPILED = [
    ("reduced", "nsgda", "alternating-D-first"),
    ("dense", "l-nsgda", "alternating-D-first"),
    ("dense", "adam", "alternating-D-first"),
    ("reduced", "sga", "extragradient"),
    ("dense", "sga-adam", "simultaneous"),
    ("dense", "anchored-nsgda", "optimistic"),
]


def three_steps(folder):
    """Short runs of the compiled engines, saved; also called by an uncompiled interpreter."""
    game = clipping_game(37)
    for engine, name, schedule in UNCOMPILED:
        opt = make_rule(name, 37, schedule=schedule)
        run = tm.simulate(
            game, opt, 3, replicas=2, batch_size=8, engine=engine, start=make_start(game)
        )
        run.save(Path(folder) / f"{engine}-{name}.npz")


def gradients():
    """Of small networks of every kind, and where points end; also by an uncompiled interpreter."""
    x, y = np.random.default_rng(0).standard_normal((9, 4)), np.arange(9) % 2
    for loss, k in (("linear", 1), ("logistic", 1), ("softmax", 3)):
        for hidden, activation in ((None, "tanh"), (9, "tanh"), (9, "softplus")):
            model = random_model(4, loss, activation, hidden, k=k)
            yield from map(np.ravel, model.loss_grad(x, y))
            points, all_of_them = x.copy(), np.arange(9)
            descent = Descent(model.network, points, y, 9)
            noise = 0.05 * np.ones((6, 9, 4))
            climb(descent.net, points, all_of_them, y, x - 0.3, x + 0.3, 0.07, noise)
            descent.step(all_of_them, 0.1)
            yield from map(np.ravel, (points, *descent.theta.values()))


def run_here(code, **environment):
    """Run code in a new interpreter that can import this module."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=Path(__file__).parent,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_engines_run_uncompiled(tmp_path):
    code = "import numba, test_engines; assert numba.config.DISABLE_JIT;"
    code += f"test_engines.three_steps({str(tmp_path / 'uncompiled')!r})"
    run_here(code, NUMBA_DISABLE_JIT="1")
    three_steps(tmp_path / "compiled")
    files = sorted((tmp_path / "compiled").iterdir())
    assert len(files) == len(UNCOMPILED)
    for file in files:
        compiled, uncompiled = tm.load(file), tm.load(tmp_path / "uncompiled" / file.name)
        assert_close(uncompiled.state.arrays(), compiled.state.arrays(), 1e-12)
        for name in TRACE:
            x, y = getattr(uncompiled, name), getattr(compiled, name)
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14)


def test_networks_run_uncompiled():
    code = "import numpy, test_engines; print(numpy.hstack([*test_engines.gradients()]).tolist())"
    uncompiled = ast.literal_eval(run_here(code, NUMBA_DISABLE_JIT="1"))
    np.testing.assert_allclose(uncompiled, np.hstack([*gradients()]), rtol=1e-12, atol=1e-14)
