import json
import math
import sys
from dataclasses import replace
from itertools import combinations, product

import mpmath as mp
import numpy as np
import pytest
from helpers import explicit_start
from hypothesis import given, settings
from hypothesis import strategies as st

import twomode as tm
from twomode.game import (
    Vector,
    array_namespace,
    clipped_cubic,
    clipped_cubic_curvature,
    clipped_cubic_slope,
)

SMALL = tm.Game(d=6, m_D=4, m_G=3, gamma=0.3, a=0.7, lam=0.5, clip=1.0, latents=tm.SparsePairs(0.3))
LATENTS = {
    "sparse-pairs": tm.SparsePairs(0.3),
    "bernoulli": tm.Bernoulli(0.4),
    "explicit": tm.ExplicitLatents([[1, 1, 1], [0, 1, 0], [1, 0, 1]], [0.5, 0.25, 0.25]),
}
DATA = {
    "modes": {"data": tm.CorrelatedModes()},
    "coefficients": {"data": tm.CorrelatedCoefficients(0.25), "gamma": 0.0},
}
GAMES = [
    pytest.param(replace(SMALL, latents=LATENTS[z], **DATA[x]), id=f"{x}-{z}")
    for x, z in product(DATA, LATENTS)
]


def start_on_both_parts(game):
    """A start whose <w_i, x> and <w_i, Vz> lie on both sides of the clipping threshold."""
    start = explicit_start(game, 1, seed=3, std_W=1.2, std_V=0.5, bias=0.4).replica(0)
    for (support, _), basis in ((game.data_points, start.U), (game.latent_points, start.V)):
        beyond = np.abs(start.W @ basis.T @ support.T) > game.clip
        assert 0.1 < beyond.mean() < 0.9
    return start


def assert_same_gradient(evaluation, derivative, tolerance):
    """The improving directions are +dW, +db and -dV; errors relative to the largest entry."""
    for name, sign in (("W", 1), ("b", 1), ("V", -1)):
        found, expected = getattr(evaluation, name), sign * derivative(name)
        assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


# Parameters


def test_preset_is_the_canonical_one():
    game, log = tm.Game.preset(4096), math.log(4096)
    assert game == tm.Game(
        d=4096,
        m_D=9,
        m_G=9,
        gamma=1 / log,
        a=1 / log,
        lam=1 / 64,
        clip=4096**0.2,
        latents=tm.SparsePairs(1 / log**2),
        data=tm.CorrelatedModes(),
    )
    assert game.reduced_dimension == 20
    assert tm.Game.preset(5).reduced_dimension == 5


def test_preset_takes_any_field():
    changes = {"m_D": 3, "a": 2.0, "clip": math.inf, "latents": tm.Bernoulli(0.1)}
    assert tm.Game.preset(64, **changes) == replace(tm.Game.preset(64), **changes)
    assert tm.Game.preset(64, data=tm.CorrelatedCoefficients(0.1)).gamma == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d": 2}, "d=2 must be a whole number of at least 3"),
        ({"d": True}, "d=True must be a whole number"),
        ({"d": 64.0}, r"d=64\.0 must be a whole number"),
        ({"m_D": 0}, "m_D=0 must be a whole number of at least 1"),
        ({"m_D": True}, "m_D=True must be a whole number"),
        ({"m_D": 2.5}, r"m_D=2\.5 must be a whole number"),
        ({"m_G": 0}, "m_G=0 must be a whole number of at least 1"),
        ({"m_G": 1}, "m_G=1 has no pairs"),
        ({"gamma": -0.1}, r"gamma=-0\.1 must lie in \[0, 1\)"),
        ({"gamma": 1}, r"gamma=1 must lie in \[0, 1\)"),
        ({"gamma": math.nan}, "gamma=nan must lie in"),
        ({"a": math.nan}, "a=nan must be a finite number"),
        ({"lam": math.inf}, "lam=inf must be a finite number"),
        ({"clip": 0}, "clip=0 must be positive"),
        ({"clip": -1.0}, r"clip=-1\.0 must be positive"),
        ({"clip": math.nan}, "clip=nan must be positive"),
        ({"latents": tm.ExplicitLatents([[1, 0]], [1])}, "m_G=3 does not fit explicit latents"),
        ({"data": tm.CorrelatedCoefficients(0.1)}, r"gamma=0\.3 must be 0"),
    ],
)
def test_bad_parameters_are_refused_by_name(changes, message):
    with pytest.raises(tm.InputError, match=message):
        replace(SMALL, **changes)


@pytest.mark.parametrize(
    ("d", "changes", "message"),
    [
        (2, {}, "d=2 must be a whole number of at least 3"),
        (True, {}, "d=True must be a whole number"),
        (64.0, {}, r"d=64\.0 must be a whole number"),
        (64, {"slope": 1, "depth": 2}, "Game has no parameter depth, slope"),
        (64, {"a": math.nan}, "a=nan must be a finite number"),
        (64, {"data": tm.CorrelatedCoefficients(0.1), "gamma": 0.2}, r"gamma=0\.2 must be 0"),
    ],
)
def test_preset_refuses_by_name(d, changes, message):
    with pytest.raises(tm.InputError, match=message):
        tm.Game.preset(d, **changes)


@pytest.mark.parametrize("game", [*GAMES, replace(SMALL, clip=math.inf)])
def test_round_trip_through_json(game):
    assert tm.Game.from_dict(json.loads(json.dumps(game.to_dict()))) == game


# The activation


@settings(derandomize=True, deadline=None)
@given(z=st.floats(-1e3, 1e3), clip=st.floats(1e-2, 1e2))
def test_clipped_cubic_has_both_branches(z, clip):
    within = abs(z) <= clip
    value = z**3 if within else math.copysign(3 * clip**2 * abs(z) - 2 * clip**3, z)
    slope = 3 * z**2 if within else 3 * clip**2
    curvature = 6 * z if within else 0
    functions = (clipped_cubic, clipped_cubic_slope, clipped_cubic_curvature)
    found = tuple(function(np.array(z), clip) for function in functions)
    assert found == pytest.approx((value, slope, curvature), rel=1e-13, abs=1e-300)


@settings(derandomize=True, deadline=None)
@given(clip=st.floats(1e-2, 1e2), sign=st.sampled_from([-1, 1]))
def test_clipped_cubic_and_its_slope_are_continuous_at_the_threshold(clip, sign):
    step = 1e-6
    z = sign * clip * np.array([1 - step, 1, 1 + step])
    value, slope = clipped_cubic(z, clip), clipped_cubic_slope(z, clip)
    np.testing.assert_allclose(value, sign * clip**3, rtol=4 * step)
    np.testing.assert_allclose(slope, 3 * clip**2, rtol=3 * step)
    # one-sided difference quotients agree with the slope: no kink
    np.testing.assert_allclose(np.diff(value) / np.diff(z), 3 * clip**2, rtol=2 * step)


def test_infinite_clip_is_the_plain_cube():
    z = np.array([-1e50, -2.0, 0.0, 3.0, 1e50])
    np.testing.assert_allclose(clipped_cubic(z, math.inf), z**3, rtol=1e-15)
    np.testing.assert_allclose(clipped_cubic_slope(z, math.inf), 3 * z**2, rtol=1e-15)
    np.testing.assert_allclose(clipped_cubic_curvature(z, math.inf), 6 * z, rtol=1e-15)


# Objective and gradient


@pytest.mark.parametrize("minibatch", [False, True])
@pytest.mark.parametrize("game", GAMES)
def test_gradient_is_the_derivative_of_the_objective(game, minibatch):
    start = start_on_both_parts(game)
    laws = (game.data_points, game.latent_points)
    rng = np.random.default_rng(5)
    weights = [rng.multinomial(32, p) / 32 for _, p in laws] if minibatch else []

    def central_difference(name, h=1e-5):
        array = getattr(start, name)
        gradient = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            step = np.zeros(array.shape)
            step[index] = h
            ahead, behind = (
                game.evaluate(replace(start, **{name: moved}), *weights).objective
                for moved in (array + step, array - step)
            )
            gradient[index] = (ahead - behind) / (2 * h)
        return gradient

    assert_same_gradient(game.evaluate(start, *weights), central_difference, 1e-8)


def reference_law(law, n):
    """The law as game.md's definition reads, as (point, probability) pairs."""
    binary = list(product((0, 1), repeat=n))
    if isinstance(law, tm.SparsePairs):
        q, pairs = mp.mpf(law.q), list(combinations(range(n), 2))
        single = [(z, (1 - q) / n) for z in binary if sum(z) == 1]
        return single + [(z, q / len(pairs)) for z in binary if sum(z) == 2]
    if isinstance(law, tm.Bernoulli):
        p = mp.mpf(law.p)
        return [(z, p ** sum(z) * (1 - p) ** (n - sum(z))) for z in binary]
    if isinstance(law, tm.ExplicitLatents):
        return [(z, mp.mpf(p)) for z, p in zip(law.Z, law.prob, strict=True)]
    p_12 = mp.mpf(getattr(law, "p_12", 0))
    return [((1, 0), (1 - p_12) / 2), ((0, 1), (1 - p_12) / 2), ((1, 1), p_12)]


def reference_objective(game, W, b, V, U):
    def activation(z):
        clip = mp.mpf(game.clip)
        if abs(z) <= clip:
            return z**3
        return mp.sign(z) * (3 * clip**2 * abs(z) - 2 * clip**3)

    def expectation(law, basis, improve):
        total = mp.mpf(0)
        for coefficients, probability in reference_law(law, len(basis)):
            x = [mp.fdot(coefficients, axis) for axis in zip(*basis, strict=True)]
            neurons = mp.fsum(activation(mp.fdot(w, x)) for w in W)
            D = 1 / (1 + mp.exp(-(mp.mpf(game.a) * neurons + mp.mpf(game.lam) * b)))
            total += probability * improve(D)
        return total

    return expectation(game.data, U, mp.log) + expectation(game.latents, V, lambda D: mp.log(1 - D))


@pytest.mark.parametrize("game", GAMES)
def test_objective_and_gradient_match_fifty_digits(game):
    start = start_on_both_parts(game)
    with mp.workdps(50):
        exact = {name: array.astype(object) * mp.mpf(1) for name, array in start.arrays().items()}

        def derivative(name):
            h = mp.mpf(10) ** -16  # its square is far below the tolerance
            array = np.asarray(exact[name], dtype=object)
            gradient = np.zeros(array.shape)
            for index in np.ndindex(array.shape):
                values = []
                for sign in (1, -1):
                    moved = array.copy()
                    moved[index] += sign * h
                    values.append(reference_objective(game, **(exact | {name: moved[()]})))
                gradient[index] = (values[0] - values[1]) / (2 * h)
            return gradient

        evaluation = game.evaluate(start)
        objective = reference_objective(game, **exact)
        assert abs(evaluation.objective / objective - 1) <= 1e-13
        assert_same_gradient(evaluation, derivative, 1e-13)


def random_direction(state, seed=7):
    rng = np.random.default_rng(seed)
    return Vector(*(rng.standard_normal(np.shape(getattr(state, name))) for name in Vector._fields))


@pytest.mark.parametrize("game", GAMES)
def test_hessian_product_matches_fifty_digits(game):
    start = start_on_both_parts(game)
    v = random_direction(start)
    with mp.workdps(50):
        exact = {name: array.astype(object) * mp.mpf(1) for name, array in start.arrays().items()}
        h = mp.mpf(10) ** -12  # the differences are off by h^2, and by 10^-50 / h^2

        def objective(sign, name, index, step):
            """The objective at start + sign h v, one coordinate of it `step` further."""
            values = {
                n: np.array(exact[n] + sign * h * getattr(v, n), dtype=object) for n in v._fields
            }
            values[name][index] += step
            return reference_objective(
                game, U=exact["U"], **{n: array[()] for n, array in values.items()}
            )

        product = game.hessian_product(start, v)
        for name in v._fields:
            found = np.asarray(getattr(product, name))
            expected = np.zeros(found.shape)
            for index in np.ndindex(found.shape):
                corners = (
                    s * t * objective(s, name, index, t * h) for s in (1, -1) for t in (1, -1)
                )
                expected[index] = mp.fsum(corners) / (4 * h**2)
            assert np.abs(found - expected).max() <= 1e-13 * np.abs(expected).max()


def test_replicas_are_evaluated_each_by_itself():
    batch = explicit_start(SMALL, 3, seed=1, std_W=0.8, std_V=0.6)
    together = SMALL.evaluate(batch)
    for index in range(3):
        alone = SMALL.evaluate(batch.replica(index))
        for name, array in alone._asdict().items():
            np.testing.assert_allclose(getattr(together, name)[index], array, rtol=1e-13)


def test_replicas_have_each_their_own_hessian_product():
    batch = explicit_start(SMALL, 3, seed=1, std_W=0.8, std_V=0.6)
    v = random_direction(batch)
    together = SMALL.hessian_product(batch, v)
    for index in range(3):
        alone = SMALL.hessian_product(batch.replica(index), Vector(*(x[index] for x in v)))
        for name, array in alone._asdict().items():
            expected = pytest.approx(array, rel=1e-12, abs=1e-14)
            assert getattr(together, name)[index] == expected


@pytest.mark.parametrize("game", GAMES)
def test_minibatch_is_the_game_whose_laws_are_its_frequencies(game):
    start, rng = start_on_both_parts(game), np.random.default_rng(5)
    weights, laws = [], []
    for support, probabilities in (game.data_points, game.latent_points):
        weights.append(rng.multinomial(32, probabilities) / 32)
        laws.append(tm.ExplicitLatents(support, weights[-1]))
    empirical = replace(game, data=laws[0], latents=laws[1]).evaluate(start)
    for name, array in game.evaluate(start, *weights)._asdict().items():
        np.testing.assert_allclose(array, getattr(empirical, name), rtol=1e-13, atol=1e-15)
    assert abs(empirical.objective - game.evaluate(start).objective) > 1e-3
    v = random_direction(start)
    empirical = replace(game, data=laws[0], latents=laws[1]).hessian_product(start, v)
    for name, array in game.hessian_product(start, v, *weights)._asdict().items():
        np.testing.assert_allclose(array, getattr(empirical, name), rtol=1e-12, atol=1e-14)
        assert np.abs(array - getattr(game.hessian_product(start, v), name)).max() > 1e-3


def test_probabilities_are_the_default_weights():
    start = start_on_both_parts(SMALL)
    weights = [SMALL.data_points[1], SMALL.latent_points[1]]
    weighted, default = SMALL.evaluate(start, *weights), SMALL.evaluate(start)
    for name, array in default._asdict().items():
        np.testing.assert_array_equal(getattr(weighted, name), array)


@pytest.mark.parametrize("logit", [-1e300, -800.0, 800.0, 1e300])
def test_saturated_bias_neither_overflows_nor_loses_the_objective(logit):
    game = replace(SMALL, lam=1.0)
    start = replace(start_on_both_parts(game), b=np.float64(logit))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        objective, W, b, V = game.evaluate(start)
        product = game.hessian_product(start, random_direction(start))
    # the discriminator is sure of one answer, right on one side and off by |logit| on the other
    assert objective == pytest.approx(-abs(logit), rel=0.05)
    assert b == pytest.approx(-math.copysign(1, logit), rel=1e-12)
    assert np.isfinite(W).all()
    assert np.isfinite(V).all()
    assert all(np.isfinite(array).all() for array in product)


@pytest.mark.parametrize(("side", "probability"), [("data", 0.5), ("generated", 0.35)])
def test_saturated_neurons_neither_overflow_nor_lose_the_objective(side, probability):
    game = replace(SMALL, gamma=0.0, m_D=2, m_G=2, a=1.0)
    W, U, V = np.zeros((2, 6)), np.eye(6)[:2], np.eye(6)[2:4]
    # beyond the threshold sigma(z) = 3z - 2: the two points get logits of +-1e300
    W[[0, 1], [0, 1] if side == "data" else [2, 3]] = [1e300 / 3, -1e300 / 3]
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        objective, *gradient = game.evaluate(tm.State(W, V, 0.0, U))
    assert objective == pytest.approx(-1e300 * probability, rel=1e-12)
    assert all(np.isfinite(array).all() for array in gradient)


# States


@pytest.mark.parametrize("d", [6, 20])
def test_check_accepts_starts_and_their_reductions(d):
    game = replace(SMALL, d=d)
    batch = explicit_start(game, 2, seed=1)
    for state in (batch, batch.replica(0), batch.reduce()[0]):
        game.check(state)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: tm.State(s.W[:, :5], s.V[:, :5], s.b, s.U[:, :5]), "length 5.* d=6"),
        (lambda s: replace(s, W=s.W[:3]), r"start\.W has shape \(3, 6\).*\(\.\.\., 4, 6\)"),
        (lambda s: replace(s, V=s.V[:2]), r"start\.V has shape \(2, 6\).*\(\.\.\., 3, 6\)"),
        (lambda s: replace(s, V=s.V[0]), r"start\.V has shape \(6,\)"),
        (lambda s: replace(s, U=s.U[:1]), r"start\.U has shape \(1, 6\).*\(\.\.\., 2, 6\)"),
        (lambda s: replace(s, W=s.W * np.nan), r"start\.W holds a NaN"),
        (lambda s: replace(s, V=s.V / 0.0), r"start\.V holds a NaN or an infinity"),
        (lambda s: replace(s, b=np.float64(np.inf)), r"start\.b holds a NaN or an infinity"),
        (lambda s: replace(s, U=s.U * [[1], [-1]]), r"gamma=0\.3 \(its Gram matrix is off by 0\.6"),
        (lambda s: replace(s, U=s.U * [[1], [2]]), r"gamma=0\.3 \(its Gram matrix is off by 3"),
    ],
)
def test_check_refuses_by_name(spoil, message):
    start = explicit_start(SMALL, 1, seed=1).replica(0)
    with np.errstate(divide="ignore"):
        spoiled = spoil(start)
    with pytest.raises(tm.InputError, match=message):
        SMALL.check(spoiled)


def test_replicated_copies_every_array():
    single = explicit_start(SMALL, 1, seed=1).replica(0)
    state = single.replicated(3)
    for name, array in single.arrays().items():
        np.testing.assert_array_equal(getattr(state, name), np.stack([array] * 3))
    state.W[0, 0, 0] = 7
    assert 7 not in state.W[1:]
    assert 7 not in single.W


def test_replicated_keeps_a_batch_and_spreads_shared_modes():
    batch = explicit_start(SMALL, 3, seed=1)
    shared = replace(batch, U=batch.U[0], b=np.float64(0.5)).replicated(3)
    np.testing.assert_array_equal(shared.W, batch.W)
    np.testing.assert_array_equal(shared.U, np.stack([batch.U[0]] * 3))
    np.testing.assert_array_equal(shared.b, [0.5] * 3)
    with pytest.raises(tm.InputError, match="start holds 3 replicas but 4 were asked for"):
        batch.replicated(4)


def test_number_as_bias_is_spread_over_replicas():
    batch = explicit_start(SMALL, 3, seed=1)
    np.testing.assert_array_equal(replace(batch, b=0.5).b, [0.5] * 3)
    assert replace(batch.replica(0), b=1).b.shape == ()


@pytest.mark.parametrize("replicas", [None, 4])
@pytest.mark.parametrize("d", [5, 9, 30])  # below, at and above 2 + m_D + m_G
def test_reduce_is_an_isometry(d, replicas):
    game = replace(SMALL, d=d)
    start = explicit_start(game, replicas or 1, seed=2, std_W=1, std_V=0.1, bias=0.4)
    start = start if replicas else start.replica(0)
    reduced, basis = start.reduce()
    r = min(d, 9)
    assert reduced.dimension == game.reduced_dimension == r

    def rows(state):
        return np.concatenate([state.U, state.W, state.V], axis=-2)

    def gram(state):
        return rows(state) @ rows(state).mT

    np.testing.assert_allclose(gram(reduced), gram(start), atol=1e-12)
    np.testing.assert_allclose(rows(reduced) @ basis.mT, rows(start), atol=1e-12)
    np.testing.assert_allclose(
        basis.mT @ basis, np.broadcast_to(np.eye(r), (*basis.shape[:-2], r, r)), atol=1e-12
    )
    np.testing.assert_array_equal(reduced.b, start.b)
    # u_1 on the first axis, u_2 in the plane of the first two, each row adding one direction
    np.testing.assert_allclose(reduced.U[..., 0, 0], 1, rtol=1e-12)
    np.testing.assert_array_equal(np.triu(rows(reduced)[..., :r, :], 1), 0)
    assert (np.diagonal(rows(reduced), axis1=-2, axis2=-1) >= 0).all()


def test_reduce_accepts_modes_shared_by_the_replicas():
    batch = explicit_start(SMALL, 3, seed=1, modes="axis")
    shared, _ = replace(batch, U=batch.U[0]).reduce()
    for name, array in batch.reduce()[0].arrays().items():
        np.testing.assert_array_equal(getattr(shared, name), array)


def test_reduced_gradient_is_the_gradient():
    game = replace(SMALL, d=20)
    start = explicit_start(game, 2, seed=4, std_W=0.8, std_V=0.3)
    reduced, basis = start.reduce()
    full, small = game.evaluate(start), game.evaluate(reduced)
    np.testing.assert_allclose(small.objective, full.objective, rtol=1e-13)
    np.testing.assert_allclose(small.b, full.b, rtol=1e-12)
    np.testing.assert_allclose(small.W @ basis.mT, full.W, atol=1e-13)
    np.testing.assert_allclose(small.V @ basis.mT, full.V, atol=1e-13)


@pytest.mark.parametrize("module", ["cupy", "cupy._core.core"])
def test_an_array_that_does_not_name_its_library_is_of_the_one_its_type_is_from(
    monkeypatch, module
):
    """As CuPy's up to version 14."""
    monkeypatch.setitem(sys.modules, "cupy", library := object())
    array = type("ndarray", (), {"__module__": module})()
    assert array_namespace(array) is library
