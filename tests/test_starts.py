import math
from dataclasses import replace

import numpy as np
import pytest
from helpers import explicit_start
from scipy import stats

import twomode as tm

GAME = tm.Game(d=12, m_D=3, m_G=2, gamma=0.3, a=0.5, lam=0.5, clip=1.0, latents=tm.SparsePairs(0.3))
DIMENSIONS = (12, 5)  # above and below 2 + m_D + m_G = 7
DRAWS = 5000


def gram_entries(state):
    """Entries of the Gram matrix of u_1, u_2, w_i, v_j that are random, shape (R, 25)."""
    rows = np.concatenate([state.U, state.W, state.V], axis=-2)
    row, column = np.tril_indices(rows.shape[-2])
    random = row >= 2  # the modes' own entries are 1 and gamma
    return (rows @ rows.mT)[..., row[random], column[random]]


def reduced_draws(game, seed, **scales):
    rng, start = np.random.default_rng(seed), tm.GaussianStart(**scales)
    draws = [start.draw_reduced(game, rng).arrays() for _ in range(DRAWS)]
    return tm.State(**{name: np.stack([draw[name] for draw in draws]) for name in draws[0]})


def least_p_value(first, second):
    """Two-sample Kolmogorov-Smirnov over all Gram entries, Bonferroni-corrected."""
    first, second = gram_entries(first), gram_entries(second)
    return first.shape[-1] * stats.ks_2samp(first, second, axis=0, method="asymp").pvalue.min()


@pytest.mark.parametrize("d", DIMENSIONS)
def test_draw_reduced_has_the_law_of_draw(d):
    """False-alarm rate at most 1e-3 for each d (25 tests, Bonferroni)."""
    game = replace(GAME, d=d)
    in_R_d = explicit_start(game, DRAWS, seed=1)
    assert least_p_value(in_R_d.reduce()[0], reduced_draws(game, seed=2)) > 1e-3


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize(
    ("wrong_d", "rescaled"),
    [(lambda d: d + 1, False), (lambda d: d - 1, False), (lambda d: 2 * d, True)],
    ids=["one too many", "one too few", "twice as many, same mean square"],
)
def test_wrong_degrees_of_freedom_are_rejected(d, wrong_d, rescaled):
    """Negative control of the test above, at the same size."""
    game, wrong = replace(GAME, d=d), replace(GAME, d=wrong_d(d))
    shrink = math.sqrt(d / wrong.d) if rescaled else 1
    std_W, std_V = (shrink * std for std in tm.GaussianStart().scales(game))
    in_R_d = explicit_start(game, DRAWS, seed=1)
    assert least_p_value(in_R_d, reduced_draws(wrong, 2, std_W=std_W, std_V=std_V)) < 1e-3


@pytest.mark.parametrize("d", DIMENSIONS)
def test_draw_reduced_is_in_the_coordinates_of_reduce(d):
    game = replace(GAME, d=d)
    state = tm.GaussianStart(bias=0.4).draw_reduced(game, np.random.default_rng(0))
    game.check(state)
    rows = np.concatenate([state.U, state.W, state.V])
    r = min(d, 7)
    assert rows.shape == (7, r)
    np.testing.assert_array_equal(np.triu(rows[:r], 1), 0)
    assert (np.diagonal(rows) > 0).all()
    assert state.U[0, 0] == 1
    assert state.b == 0.4


def test_draw_is_gaussian_with_the_given_scales():
    """False-alarm rate 2e-3: two Kolmogorov-Smirnov tests at 1e-3.

    A scale 20% too large is rejected.
    """
    game = replace(GAME, d=5000)
    state = tm.GaussianStart(std_W=0.5, std_V=3.0).draw(game, np.random.default_rng(0))
    for coordinates, std in ((state.W.ravel(), 0.5), (state.V.ravel(), 3.0)):
        assert stats.kstest(coordinates, stats.norm(scale=std).cdf).pvalue > 1e-3
        assert stats.kstest(coordinates, stats.norm(scale=1.2 * std).cdf).pvalue < 1e-3


def test_default_scales_are_the_canonical_ones():
    assert tm.GaussianStart().scales(replace(GAME, d=64)) == (1 / 8, 1 / 64)
    assert tm.GaussianStart(std_V=0).scales(replace(GAME, d=64)) == (1 / 8, 0)


@pytest.mark.parametrize("method", ["draw", "draw_reduced"])
def test_same_seed_same_start_and_another_seed_another(method):
    first, same, other = (
        getattr(tm.GaussianStart(), method)(GAME, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.W, same.W)
    np.testing.assert_array_equal(first.V, same.V)
    assert (first.W != other.W).any()
    assert (first.V != other.V).any()


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("modes", ["random", "axis"])
def test_modes_are_unit_vectors_with_inner_product_gamma(modes, gamma):
    game = replace(GAME, gamma=gamma)
    state = tm.GaussianStart(modes=modes).draw(game, np.random.default_rng(0))
    np.testing.assert_allclose(state.U @ state.U.T, [[1, gamma], [gamma, 1]], atol=1e-14)
    game.check(state)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.99])
def test_axis_modes_are_mirror_images(gamma):
    game, start = replace(GAME, gamma=gamma), tm.GaussianStart(modes="axis")
    u_1, u_2 = start.draw(game, np.random.default_rng(0)).U
    np.testing.assert_array_equal(u_1[[1, 0]], u_2[[0, 1]])
    np.testing.assert_array_equal([u_1[2:], u_2[2:]], 0)
    assert u_1[0] > u_1[1] >= 0
    if gamma == 0:
        np.testing.assert_array_equal([u_1, u_2], np.eye(12)[:2])


def test_random_modes_point_anywhere():
    """Uniform on the sphere: <u, e>^2 ~ Beta(1/2, (d-1)/2) for a fixed e; false-alarm rate 4e-3.

    Axis modes, which never leave a plane, are rejected.
    """
    e = np.full(12, 12**-0.5)
    law = stats.beta(1 / 2, 11 / 2)
    for modes, accepted in (("random", True), ("axis", False)):
        squares = (explicit_start(GAME, 1000, seed=3, modes=modes).U @ e) ** 2
        for mode in (0, 1):
            assert (stats.kstest(squares[:, mode], law.cdf).pvalue > 2e-3) == accepted


def test_dimension_two_to_the_forty():
    """Norms concentrate: 1e-5 is 15 standard deviations of a norm, 1e-4 is 100 of a cosine."""
    game = tm.Game.preset(2**40)
    state = tm.GaussianStart().draw_reduced(game, np.random.default_rng(0))
    assert state.dimension == game.reduced_dimension == 2 + 28 + 28
    game.check(state)
    np.testing.assert_allclose(np.linalg.norm(state.W, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(state.V, axis=1), 2.0**-20, rtol=1e-5)
    assert 0 < np.abs(state.W @ state.U.T).max() < 1e-4
    assert 0 < np.abs(state.W @ state.V.T).max() < 1e-4 * 2.0**-20


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"std_W": -1}, "std_W=-1 must be a finite number and at least 0"),
        ({"std_V": math.nan}, "std_V=nan must be a finite number"),
        ({"std_V": math.inf}, "std_V=inf must be a finite number"),
        ({"bias": math.inf}, "bias=inf must be a finite number"),
        ({"modes": "axes"}, "unknown modes 'axes': did you mean axis"),
        ({"modes": "zzz"}, "unknown modes 'zzz': choose from random, axis"),
        ({"bias": math.nan, "shared": True}, "bias=nan must be a finite number"),
    ],
)
def test_bad_fields_are_refused_by_name(fields, message):
    with pytest.raises(tm.InputError, match=message):
        tm.GaussianStart(**fields)


def test_round_trip():
    start = tm.GaussianStart(std_W=0.5, bias=-1.0, modes="axis", shared=True)
    assert tm.GaussianStart(**start.to_dict()) == start
    assert tm.GaussianStart(**{**start.to_dict(), "shared": False}) != start


# Shared by engines


ENGINES = ("reduced", "dense", "array")


def first_record(engine, game=GAME, seed=4, **fields):
    """What is recorded of a start and does not depend on coordinates."""
    opt = tm.optimizer("sgda", eta_D=0.1, eta_G=0.1)
    start = tm.GaussianStart(**fields)
    run = tm.simulate(game, opt, 0, replicas=[0, 3], seed=seed, engine=engine, start=start)
    U, W, V = run.state.U, run.state.W, run.state.V
    return {
        "W U": run.projections_W[:, 0],
        "V U": run.projections_V[:, 0],
        "V V": run.gram_V[:, 0],
        "W W": W @ W.mT,
        "W V": W @ V.mT,
        "U U": U @ U.mT,
        "objective": run.objective[:, 0],
    }, (U, W, V)


def alike(one, other):
    return {name: np.allclose(x, other[name], rtol=1e-10, atol=1e-13) for name, x in one.items()}


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("modes", ["random", "axis"])
def test_a_shared_start_is_the_same_for_all_engines(d, modes):
    game = replace(GAME, d=d)
    fields = {"modes": modes, "std_W": 0.7, "std_V": 0.4, "bias": 0.3, "shared": True}
    found = {engine: first_record(engine, game, **fields) for engine in ENGINES}
    for engine in ENGINES[1:]:
        assert all(alike(found["reduced"][0], found[engine][0]).values())
        for x, y in zip(found[engine][1], found["array"][1], strict=True):
            np.testing.assert_array_equal(x, y)  # in R^d the numbers are the same, too
    assert found["reduced"][1][0].shape[-1] == min(d, game.reduced_dimension)
    assert not np.isclose(*found["reduced"][0]["W U"]).any()  # replicas differ
    others = first_record("dense", game, seed=5, **fields)[0]
    assert not alike(found["reduced"][0], others)["W U"]


@pytest.mark.parametrize("shared", [False, True])
def test_only_the_reduced_engine_draws_otherwise_unless_shared(shared):
    plain, other = (
        {engine: first_record(engine, shared=s)[0] for engine in ENGINES} for s in (False, shared)
    )
    for engine in ("dense", "array"):
        assert all(alike(plain["dense"], other[engine]).values())
    assert all(alike(other["reduced"], plain["dense"]).values()) == shared
    if not shared:  # the same law, not the same numbers
        same = alike(plain["reduced"], plain["dense"])
        assert [name for name, x in same.items() if x] == ["U U"]


@pytest.mark.parametrize("rule", ["sgda", "extragradient-nsgda"])
def test_runs_from_shared_starts_agree(rule):
    """Not only at the start: the engines play the same game from it, with the same minibatches."""
    opt = tm.optimizer(rule, eta_D=0.02, eta_G=0.01)
    run = {"replicas": 2, "seed": 4, "start": tm.GaussianStart(std_V=0.3, shared=True)}
    for batch_size in (None, 3):
        reduced, dense = (
            tm.simulate(GAME, opt, 30, engine=e, batch_size=batch_size, record_every=10, **run)
            for e in ("reduced", "dense")
        )
        np.testing.assert_allclose(reduced.gram_V, dense.gram_V, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(reduced.bias, dense.bias, rtol=1e-8, atol=1e-12)


def test_a_start_whose_gradient_is_no_number_is_refused():
    scales = tm.GaussianStart().scales(tm.Game.preset(2**480, m_D=2, m_G=2))
    assert scales == (2.0**-240, 2.0**-480)
    opt = tm.optimizer("nsgda", eta_D=0.1, eta_G=0.1)
    for d, start in ((2**500, tm.GaussianStart()), (2**20, tm.GaussianStart(std_V=1e-150))):
        with pytest.raises(tm.InputError, match=r"start has <w_i, v_j> of some (3.1|1.0)e-15[01]"):
            tm.simulate(tm.Game.preset(d), opt, 1, start=start)


def test_one_explicit_start_is_one_run_and_counted_once():
    game, opt = tm.Game.preset(16), tm.optimizer("sgda", eta_D=0.1, eta_G=0.1)
    start = tm.GaussianStart().draw(game, np.random.default_rng(0))
    with pytest.raises(tm.InputError, match=r"replicas=\(0, 1\) would be one run 2 times"):
        tm.simulate(game, opt, 1, replicas=2, start=start)
    drawn = tm.simulate(game, opt, 1, replicas=2, start=start, batch_size=2)
    assert (drawn.projections_W[0, 1] != drawn.projections_W[1, 1]).any()
