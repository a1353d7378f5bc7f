import dataclasses
import importlib
import math
from itertools import product

import numpy as np
import pytest
from helpers import explicit_start
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import twomode as tm
from twomode.game import COVERAGE_DELTA, EveryOutput, mode_cosines

GAME = tm.Game(d=40, m_D=1, m_G=4, gamma=0.3, a=0.5, lam=0.5, clip=1.0, latents=tm.SparsePairs(0.3))


def modes(gamma, d=4):
    U = np.zeros((2, d))
    U[0, 0], U[1, :2] = 1, (gamma, math.sqrt(1 - gamma**2))
    return U


def outputs(V, U, latents):
    gamma = float((U[..., 0, :] * U[..., 1, :]).sum(axis=-1).flat[0])
    return tm.Outputs(V @ U.mT, V @ V.mT, gamma, np.atleast_2d(latents))


# On a grid of quarters a nonzero vector is never so short that rounding decides its direction.
@settings(derandomize=True, deadline=None)
@given(
    V=arrays(np.int8, (3, 4), elements=st.integers(-8, 8)).map(lambda grid: grid / 4),
    gamma=st.sampled_from([0.0, 0.2, 0.6]),
    z=st.tuples(*[st.integers(0, 1)] * 3),
    delta=st.floats(0.05, 1.3),
)
def test_outputs_match_their_definitions_in_R_d(V, gamma, z, delta):
    U = modes(gamma)
    total = U.sum(axis=0)
    found = outputs(V, U, z)

    G = V.T @ np.array(z, dtype=float)
    alpha = G @ total / (total @ total)
    xi = G - alpha * total
    size, rest = np.linalg.norm(G), np.linalg.norm(xi)
    assert xi @ total == pytest.approx(0, abs=1e-13)
    assert found.projections[0] == pytest.approx(U @ G, abs=1e-13)
    assert found.squared_norms[0] == pytest.approx(G @ G, rel=1e-13)
    assert found.alpha[0] == pytest.approx(alpha, abs=1e-13)
    # a difference of squares: below 1e-7 of norm(G) it counts as 0
    assert found.residual_norms[0] == pytest.approx(rest, rel=1e-9, abs=1e-7 * size)

    asymmetry = np.abs(U @ xi).max() / rest if rest > 1e-6 * size else 0
    assert found.asymmetry[0] == pytest.approx(asymmetry, abs=1e-9)
    if abs(alpha) > 1e-9:
        residual = rest / abs(alpha)
        assert found.residual[0] == pytest.approx(residual, rel=1e-9, abs=1e-7 * size / abs(alpha))
    cosine = G @ total / (size * np.linalg.norm(total)) if size else 0
    assert found.collapse_cosine[0] == pytest.approx(cosine, abs=1e-13)

    distances = np.linalg.norm(G / size - U, axis=1) if size else np.full(2, np.inf)
    assume((np.abs(distances - delta) > 1e-9).all())  # else rounding decides
    np.testing.assert_array_equal(found.coverage([1.0], delta), distances <= delta)


def test_outputs_keep_leading_axes_and_one_entry_a_latent():
    start = explicit_start(GAME, 5, seed=0)
    latents = tm.all_latents(4)
    together = outputs(start.V, start.U, latents)
    probabilities = np.full(15, 1 / 15)
    assert together.cosines.shape == (5, 15, 2)
    assert together.coverage(probabilities).shape == (5, 2)
    for replica, s in product(range(5), range(15)):
        alone = outputs(start.V[replica], start.U[replica], latents[s])
        for name in ("alpha", "residual_norms", "asymmetry", "residual", "collapse_cosine"):
            found = getattr(together, name)
            assert found.shape == (5, 15)
            assert found[replica, s] == pytest.approx(getattr(alone, name)[0], rel=1e-9)


def test_coverage_adds_the_probabilities_of_near_latents():
    U = modes(0.3)
    V = np.stack([5 * U[0], -U[1], 0.1 * U[1]])  # a direction has no length, but it has a sign
    found = outputs(V, U, np.eye(3))
    assert found.coverage([0.5, 0.3, 0.2]) == pytest.approx([0.5, 0.2])
    assert found.coverage([0.5, 0.3, 0.2], delta=2) == pytest.approx([1, 1])


def test_default_delta_is_cosine_nine_tenths():
    U = modes(0.0)
    tilts = np.arccos([0.9 + 1e-9, 0.9 - 1e-9])  # away from u_1, in a direction of neither mode
    V = np.array([[math.cos(tilt), 0, math.sin(tilt), 0] for tilt in tilts])
    assert outputs(V, U, np.eye(2)).coverage([0.25, 0.75])[0] == 0.25
    assert pytest.approx(0.2) == COVERAGE_DELTA**2


def test_collapsed_generator_has_residual_zero_and_cosine_one():
    U = explicit_start(GAME, 1, seed=0).U[0]
    V = np.array([[3.0], [0.1], [1e-6], [40.0]]) * U.sum(axis=0)
    latents = tm.all_latents(4)
    found = outputs(V, U, latents)
    np.testing.assert_array_equal(found.residual, 0)
    np.testing.assert_array_equal(found.asymmetry, 0)
    np.testing.assert_allclose(found.collapse_cosine, 1, rtol=1e-14)
    np.testing.assert_allclose(found.alpha, latents @ [3.0, 0.1, 1e-6, 40.0], rtol=1e-13)
    np.testing.assert_allclose(outputs(-V, U, latents).collapse_cosine, -1, rtol=1e-14)


def test_zero_generator_measures_zero():  # and warns of nothing: warnings are errors here
    found = outputs(np.zeros((3, 4)), modes(0.3), tm.all_latents(3))
    for name in ("alpha", "residual_norms", "asymmetry", "residual", "collapse_cosine"):
        np.testing.assert_array_equal(getattr(found, name), np.zeros(7))
    np.testing.assert_array_equal(found.cosines, np.zeros((7, 2)))
    np.testing.assert_array_equal(found.coverage(np.full(7, 1 / 7)), [0, 0])


def test_residual_is_infinite_where_only_alpha_vanishes():
    gamma = 0.25
    found = tm.Outputs(  # v_1 = u_1 - u_2
        np.array([[1 - gamma, gamma - 1]]), np.array([[2 - 2 * gamma]]), gamma, np.ones((1, 1))
    )
    assert found.alpha[0] == 0
    assert found.residual[0] == math.inf
    assert found.asymmetry[0] == pytest.approx(math.sqrt(2 - 2 * gamma) / 2)


def test_mode_cosines():
    U = modes(0.3)
    V = np.stack([2 * U[0], -U[1], np.zeros(4)])
    cosines = mode_cosines(V @ U.T, V @ V.T)
    np.testing.assert_allclose(cosines, [[1, 0.3], [-0.3, -1], [0, 0]], atol=1e-15)


@pytest.mark.parametrize("m_G", [1, 5, 20])
def test_all_latents_are_every_nonzero_binary_vector(m_G):
    latents = tm.all_latents(m_G)
    assert latents.shape == (2**m_G - 1, m_G)
    codes = latents @ 2.0 ** np.arange(m_G)
    np.testing.assert_array_equal(np.sort(codes), np.arange(1, 2**m_G))
    assert ((latents == 0) | (latents == 1)).all()


def test_all_latents_refuses_what_cannot_be_checked():
    with pytest.raises(tm.InputError, match=r"m_G=21 is too large.*use m_G <= 20"):
        tm.all_latents(21)


@pytest.mark.parametrize("axes", [(), (3,), (2, 4)], ids=str)
@pytest.mark.parametrize("m_G", [1, 2, 7, 10])
def test_every_output_is_the_outputs_at_all_latents(m_G, axes):
    # Near the modes, so that no z has an alpha or a residual that is lost to rounding.
    U = modes(0.3, d=16)
    V = np.random.default_rng(m_G).standard_normal((*axes, m_G, 16)) + 2 * U.sum(axis=0)
    found = EveryOutput(V @ U.T, V @ V.mT, 0.3)
    expected = tm.Outputs(V @ U.T, V @ V.mT, 0.3, tm.all_latents(m_G))
    np.testing.assert_array_equal(found.latents, expected.latents)
    exact = ("projections", "squared_norms", "alpha", "residual_norms", "residual")
    for name in (*exact, "collapse_cosine", "cosines", "asymmetry"):
        x, y = getattr(found, name), getattr(expected, name)
        assert x.shape == (*axes, 2**m_G - 1, 2)[: y.ndim]
        # projections are added up in another order, and the asymmetry is a difference of them
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14 * (name == "asymmetry"))
    probabilities = np.random.default_rng(0).dirichlet(np.ones(2**m_G - 1))
    for delta in (0.3, COVERAGE_DELTA, 1.0):
        np.testing.assert_allclose(
            found.coverage(probabilities, delta), expected.coverage(probabilities, delta)
        )


def test_every_output_of_zero_and_of_what_diverged():
    found = EveryOutput(np.zeros((3, 2)), np.zeros((3, 3)), 0.3)
    for name in ("alpha", "residual_norms", "asymmetry", "residual", "collapse_cosine"):
        np.testing.assert_array_equal(getattr(found, name), np.zeros(7))
    nan = EveryOutput(np.full((3, 2), np.nan), np.full((3, 3), np.nan), 0.3)
    assert np.isnan(nan.asymmetry).all()
    assert np.isnan(nan.residual).all()


def test_every_output_refuses_what_cannot_be_checked():
    with pytest.raises(tm.InputError, match=r"m_G=21 is too large.*use m_G <= 20"):
        EveryOutput(np.zeros((21, 2)), np.zeros((21, 21)), 0.3)


@pytest.mark.parametrize("m_G", [1, 3, 21])  # at 21 the law's support stands for all z
def test_extremes_over_latents(m_G):
    game = tm.Game.preset(64, m_G=m_G, latents=tm.SparsePairs(0.0 if m_G == 1 else 0.5))
    opt = tm.optimizer("nsgda", eta_D=0.05, eta_G=0.02)
    run = tm.simulate(game, opt, 30, replicas=3, record_every=10)
    latents = tm.all_latents(m_G) if m_G <= 20 else game.latent_points[0]
    outputs = run.outputs(latents)
    largest = outputs.asymmetry.max(axis=-1), outputs.residual.max(axis=-1)
    expected = (*largest, outputs.alpha.min(axis=-1))
    found = run.extremes
    assert [x.shape for x in found] == [(3, 4)] * 3
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    records = np.array([2, 0, 3])
    np.testing.assert_array_equal(
        run.extremes_at(records), [x[np.arange(3), records] for x in found]
    )


def test_extremes_in_pieces(monkeypatch):
    result = importlib.import_module("twomode.game.every_latent")
    opt = tm.optimizer("nsgda", eta_D=0.05, eta_G=0.02)
    run = tm.simulate(tm.Game.preset(64), opt, 30, replicas=3, record_every=4)
    whole = run.extremes
    records = np.array([0, 8, 4])
    at = run.extremes_at(records)
    for outputs_at_once in (1, 32, 100, 1000):  # one, one, three and thirty-one generators
        monkeypatch.setattr(result, "_OUTPUTS_AT_ONCE", outputs_at_once)
        other = dataclasses.replace(run, gram_V=4 * run.gram_V)
        assert (other.extremes.residual > whole.residual).all()  # and in the memory of the next
        del other
        np.testing.assert_array_equal(dataclasses.replace(run).extremes, whole)
        np.testing.assert_array_equal(run.extremes_at(records), at)
