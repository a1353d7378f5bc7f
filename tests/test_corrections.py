"""Jacobian products and the corrections made of them, against finite differences and papers."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from helpers import explicit_start
from recurrences import balduzzi, grad_H, mescheder

import twomode as tm
from twomode.game import Bilinear, Evaluation, Vector
from twomode.rules import corrected, corrections, jacobian_product, transposed_jacobian_product

SMALL = tm.Game(d=5, m_D=3, m_G=3, gamma=0.3, a=0.7, lam=0.5, clip=1.0, latents=tm.SparsePairs(0.3))
LATENTS = {"sparse-pairs": tm.SparsePairs(0.3), "bernoulli": tm.Bernoulli(0.4)}
DATA = {
    "modes": {"data": tm.CorrelatedModes()},
    "coefficients": {"data": tm.CorrelatedCoefficients(0.25), "gamma": 0.0},
}
CASES = [
    pytest.param(replace(SMALL, latents=LATENTS[z], **DATA[x]), minibatch, id=f"{x}-{z}-{batch}")
    for x, z in product(DATA, LATENTS)
    for batch, minibatch in (("population", False), ("minibatch", True))
]
everywhere = pytest.mark.parametrize(("game", "minibatch"), CASES)


def make_start(game, replicas=None):
    """Neurons of which some are clipped and some are not, at data and at generated points."""
    start = explicit_start(game, replicas or 1, seed=3, std_W=1.2, std_V=0.5, bias=0.4)
    for (support, _), basis in ((game.data_points, start.U), (game.latent_points, start.V)):
        beyond = np.abs(start.W @ (support @ basis).mT) > game.clip
        assert 0.1 < beyond.mean() < 0.9
    return start if replicas else start.replica(0)


def make_weights(game, minibatch, replicas=()):
    rng = np.random.default_rng(5)
    laws = (game.data_points, game.latent_points)
    return [rng.multinomial(32, p, size=replicas) / 32 for _, p in laws] if minibatch else []


def make_vector(state, seed):
    rng = np.random.default_rng(seed)
    return Vector(*(rng.standard_normal(np.shape(x)) for x in (state.W, state.b, state.V)))


def flat(vector):
    """The parameters of one replica side by side: W, b, V."""
    return np.concatenate([np.ravel(x) for x in (vector.W, vector.b, vector.V)])


def unflat(x, state):
    W, b, V = np.split(x, [state.W.size, state.W.size + 1])
    return Vector(W.reshape(state.W.shape), b[0], V.reshape(state.V.shape))


def xi(game, state, *weights):
    """Each player's gradient of its own loss: the opposite of its improving direction."""
    return -flat(game.evaluate(state, *weights))


def moved(state, x):
    step = unflat(x, state)
    return replace(state, W=state.W + step.W, b=state.b + step.b, V=state.V + step.V)


def difference(function, state, direction, h=1e-5):
    """Central difference of a function of the state."""
    return (function(moved(state, h * direction)) - function(moved(state, -h * direction))) / (
        2 * h
    )


def dense_jacobian(game, state, *weights):
    """J column by column, by finite differences of xi alone."""
    columns = np.eye(flat(state).size)
    return np.stack(
        [difference(lambda s: xi(game, s, *weights), state, column) for column in columns], axis=1
    )


def products(product, game, state, *weights):
    """The matrix of a product, column by column."""
    columns = np.eye(flat(state).size)
    return np.stack(
        [flat(product(game, state, unflat(column, state), *weights)) for column in columns], axis=1
    )


def assert_close(found, expected, tolerance):
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


# Jacobian products


@everywhere
def test_products_are_the_derivatives_of_the_field(game, minibatch):
    state, weights = make_start(game), make_weights(game, minibatch)
    J = dense_jacobian(game, state, *weights)
    assert np.abs(J - J.T).max() > 0.1 * np.abs(J).max()  # the players do interact
    assert_close(products(jacobian_product, game, state, *weights), J, 1e-8)
    assert_close(products(transposed_jacobian_product, game, state, *weights), J.T, 1e-8)


@everywhere
def test_products_are_adjoint(game, minibatch):
    state, weights = make_start(game), make_weights(game, minibatch)
    for seed in range(5):
        u, v = make_vector(state, seed), make_vector(state, seed + 100)
        left = flat(u) @ flat(jacobian_product(game, state, v, *weights))
        right = flat(transposed_jacobian_product(game, state, u, *weights)) @ flat(v)
        size = np.linalg.norm(flat(u)) * np.linalg.norm(
            flat(jacobian_product(game, state, v, *weights))
        )
        assert abs(left - right) <= 1e-13 * size


@everywhere
def test_hessian_is_symmetric(game, minibatch):
    state, weights = make_start(game), make_weights(game, minibatch)
    H = products(type(game).hessian_product, game, state, *weights)
    assert_close(H, H.T, 1e-14)


@everywhere
def test_transposed_product_with_the_field_is_the_gradient_of_half_its_square(game, minibatch):
    state, weights = make_start(game), make_weights(game, minibatch)
    field = unflat(xi(game, state, *weights), state)
    found = flat(transposed_jacobian_product(game, state, field, *weights))

    def half_square(s):
        return np.sum(xi(game, s, *weights) ** 2) / 2

    expected = [difference(half_square, state, column) for column in np.eye(found.size)]
    assert_close(found, np.array(expected), 1e-8)


@pytest.mark.parametrize("product", [jacobian_product, transposed_jacobian_product])
@pytest.mark.parametrize("minibatch", [False, True])
def test_products_stay_in_the_span_and_commute_with_the_reduction(product, minibatch):
    game = replace(SMALL, d=20)
    state, weights = make_start(game, replicas=2), make_weights(game, minibatch, replicas=2)
    reduced, basis = state.reduce()
    v = make_vector(reduced, seed=1)
    small = product(game, reduced, v, *weights)
    lifted = Vector(v.W @ basis.mT, v.b, v.V @ basis.mT)
    full = product(game, state, lifted, *weights)
    for name in ("W", "V"):
        found, expected = getattr(full, name), getattr(small, name)
        assert_close(found @ basis @ basis.mT, found, 1e-13)  # nothing outside the span
        assert_close(expected @ basis.mT, found, 1e-13)
    np.testing.assert_allclose(small.b, full.b, rtol=1e-12)


def test_every_replica_has_its_own_products():
    game = SMALL
    state, weights = make_start(game, replicas=3), make_weights(game, True, replicas=3)
    v = make_vector(state, seed=1)
    together = jacobian_product(game, state, v, *weights)
    for index in range(3):
        alone = jacobian_product(
            game, state.replica(index), Vector(*(x[index] for x in v)), *(w[index] for w in weights)
        )
        for found, expected in zip(together, alone, strict=True):
            np.testing.assert_allclose(found[index], expected, rtol=1e-12, atol=1e-14)


def test_products_of_the_bilinear_game_are_its_matrix():
    A = np.random.default_rng(0).standard_normal((3, 3))
    game = Bilinear(A)
    state = game.state(np.ones(3), np.ones(3))
    v = make_vector(state, seed=1)
    x, y = v.W[0, 0], v.V[0, 0]
    found = jacobian_product(game, state, v)
    np.testing.assert_allclose(found.W[0, 0], -A @ y, rtol=1e-13)
    np.testing.assert_allclose(found.V[0, 0], A.T @ x, rtol=1e-13)
    back = transposed_jacobian_product(game, state, v)
    np.testing.assert_allclose(back.W[0, 0], A @ y, rtol=1e-13)
    np.testing.assert_allclose(back.V[0, 0], -A.T @ x, rtol=1e-13)
    assert (found.b == 0).all()
    assert (back.b == 0).all()


# Corrections, as the papers write them with a dense Jacobian


PAPERS = [
    ("sga", {}, balduzzi),
    ("sga", {"aligned": False}, balduzzi),
    ("sga", {"correction_weight": 0.3}, balduzzi),
    ("sga", {"correction_weight": -0.3}, balduzzi),
    ("consensus", {}, mescheder),
    ("consensus", {"correction_weight": 0.3}, mescheder),
    ("hamiltonian", {}, grad_H),
    ("sgda", {}, lambda xi, J: xi),
]
papers = pytest.mark.parametrize(
    ("name", "changes", "paper"), PAPERS, ids=["-".join([n, *c]) for n, c, _ in PAPERS]
)


def apply_correction(game, opt, state, *weights):
    """What takes xi's place, as one vector."""
    gradient = game.evaluate(state, *weights)
    return -flat(corrected(game, opt, state, gradient, tuple(weights)))


def paper_arguments(changes):
    return {{"correction_weight": "weight"}.get(name, name): x for name, x in changes.items()}


@papers
@everywhere
def test_corrections_are_those_of_the_papers(game, minibatch, name, changes, paper):
    state, weights = make_start(game), make_weights(game, minibatch)
    opt = tm.optimizer(name, eta_D=1, eta_G=1, **changes)
    found = apply_correction(game, opt, state, *weights)
    field = xi(game, state, *weights)
    for J, tolerance in (
        (products(jacobian_product, game, state, *weights), 1e-13),
        (dense_jacobian(game, state, *weights), 1e-8),
    ):
        assert_close(found, paper(field, J, **paper_arguments(changes)), tolerance)


class Quadratic:
    """L = z^T H z / 2, with z = (w, b, v) of one coordinate each: the Jacobian is chosen."""

    d, m_D, m_G, parameters = 1, 1, 1, 3

    def __init__(self, H):
        self.H = np.array(H, dtype=float)

    @staticmethod
    def shaped(z):
        return Vector(z[..., :1, None], z[..., 1], z[..., 2:, None])

    @staticmethod
    def stacked(v):
        return np.stack([v.W[..., 0, 0], v.b, v.V[..., 0, 0]], axis=-1)

    def state(self, z):
        return tm.State(**self.shaped(np.array(z, dtype=float))._asdict(), U=np.zeros((2, 1)))

    def hessian_product(self, state, v, *weights):
        return self.shaped(self.stacked(v) @ self.H)

    def evaluate(self, state, *weights):
        slope = self.hessian_product(state, state)
        return Evaluation(np.zeros_like(state.b), slope.W, slope.b, -slope.V)


def quadratic_case(H, z):
    """The game, its state, and xi, J and the alignment at it from their definitions."""
    game, turn = Quadratic(H), np.diag([-1.0, -1.0, 1.0])
    J = turn @ game.H
    field = J @ np.array(z, dtype=float)
    grad_H, adjustment = J.T @ field, (J.T - J) @ field / 2
    return game, game.state(z), field, J, (field @ grad_H) * (adjustment @ grad_H) / 3


# L = -w^2 is stable for D, who ascends it, and L = v^2 for G; their opposites are not.
STABLE = [[-1.0, 0.0, 2.0], [0.0, -0.5, 0.3], [2.0, 0.3, 1.0]]
UNSTABLE = [[1.0, 0.0, 2.0], [0.0, 0.5, 0.3], [2.0, 0.3, -1.0]]


@pytest.mark.parametrize(
    ("H", "z", "sign"),
    [
        (STABLE, [1, 2, 3], +1),
        (UNSTABLE, [1, 2, 3], -1),
        (
            UNSTABLE,
            [0.064, 0.128, 0.192],
            +1,
        ),  # within 0.1 of 0, thanks to the 1/n
        ([[0, 0, 0], [0, 1, 1], [0, 1, 0]], [1, -1, -1], -1),  # positive without b
        ([[0, 0, 1], [0, 0, 0], [1, 0, 0]], [1, 0, 2], +1),  # L = w v: exactly zero
    ],
)
@papers
def test_alignment_chooses_the_sign_of_lambda(H, z, sign, name, changes, paper):
    game, state, field, J, alignment = quadratic_case(H, z)
    assert np.sign(alignment + 0.1) == sign
    opt = tm.optimizer(name, eta_D=1, eta_G=1, **changes)
    found = apply_correction(game, opt, state)
    assert_close(found, paper(field, J, **paper_arguments(changes)), 1e-14)
    if (name, changes) == ("sga", {}):
        assert_close(found, field + sign * (J.T - J) @ field / 2, 1e-14)


def test_each_replica_has_its_own_sign():
    cases = [quadratic_case(UNSTABLE, z) for z in ([1, 2, 3], [0.064, 0.128, 0.192])]
    game, opt = cases[0][0], tm.optimizer("sga", eta_D=1, eta_G=1)
    both = game.state([[1, 2, 3], [0.064, 0.128, 0.192]])
    found = -game.stacked(corrected(game, opt, both, game.evaluate(both), ()))
    for row, (_, _, field, J, _), sign in zip(found, cases, (-1, +1), strict=True):
        assert_close(row, field + sign * (J.T - J) @ field / 2, 1e-14)


def test_without_the_constant_lambda_vanishes_where_the_alignment_does(monkeypatch):
    game, state, field, _, alignment = quadratic_case([[0, 0, 1], [0, 0, 0], [1, 0, 0]], [1, 0, 2])
    assert alignment == 0
    opt = tm.optimizer("sga", eta_D=1, eta_G=1)
    assert not np.array_equal(apply_correction(game, opt, state), field)
    monkeypatch.setattr(corrections, "ALIGNMENT", 0.0)
    np.testing.assert_array_equal(apply_correction(game, opt, state), field)


def test_minibatch_weights_reach_the_correction():
    state, weights = make_start(SMALL), make_weights(SMALL, True)
    opt = tm.optimizer("consensus", eta_D=1, eta_G=1)
    gradient = SMALL.evaluate(state, *weights)
    with_them, without = (flat(corrected(SMALL, opt, state, gradient, w)) for w in (weights, ()))
    assert np.abs(with_them - without).max() > 1e-3
