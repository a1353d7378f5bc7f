"""Every rule on L = x^T A y, where its run can be written down without the package.

x ascends, y descends; z = (x, y) and J = ((0, -A), (A^T, 0)), so that z follows -J z.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

import twomode as tm
from twomode import corrections
from twomode.bilinear import Bilinear
from twomode.engines.array import ArrayEngine
from twomode.state import State

STEPS = 7


class Oracle:
    """A bilinear game with step sizes, and the blocks that update matrices are made of."""

    def __init__(self, A, eta_D, eta_G):
        self.A, self.eta_D, self.eta_G = np.array(A, dtype=float), eta_D, eta_G
        self.n = n = len(self.A)
        self.one, self.none = np.eye(n), np.zeros((n, n))
        self.I, self.O = np.eye(2 * n), np.zeros((2 * n, 2 * n))
        self.J = np.block([[self.none, -self.A], [self.A.T, self.none]])
        self.JTJ = np.block([[self.A @ self.A.T, self.none], [self.none, self.A.T @ self.A]])
        self.E = self.each(eta_D, eta_G)

    def each(self, D, G):
        """A number for each player, on the diagonal."""
        return np.diag(np.repeat([float(D), float(G)], self.n))

    def decayed(self, t, p_D, p_G):
        return self.each(self.eta_D / t**p_D, self.eta_G / t**p_G)

    def gradients(self, x, y):
        """The players' improving directions."""
        return self.A @ y, -self.A.T @ x

    @classmethod
    def random(cls, seed, name, n=4):
        """Step sizes in the order that the rule wants, or any."""
        rng = np.random.default_rng(seed)
        eta = rng.uniform(0.05, 0.6, 2)
        eta_D, eta_G = eta if tm.RULES[name].ratio is None else (eta.max(), eta.min())
        return cls(rng.standard_normal((n, n)) / np.sqrt(n), eta_D, eta_G)

    def starts(self, replicas, seed=0):
        """Random (x, y), one a row."""
        return np.random.default_rng(seed).standard_normal((replicas, 2 * self.n))

    def engine(self, starts, name, changes=None, Engine=ArrayEngine):
        opt = tm.optimizer(name, **({"eta_D": self.eta_D, "eta_G": self.eta_G} | (changes or {})))
        return Engine(Bilinear(self.A), opt, Bilinear(self.A).state(*np.split(starts, 2, axis=1)))


def places(engine):
    """(x, y) of each replica, one a row; its unused bias must stay at 0."""
    assert (engine.state.b == 0).all()
    return np.concatenate([engine.state.W[:, 0], engine.state.V[:, 0]], axis=1)


def assert_close(found, expected, tolerance=1e-12):
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


# Linear rules: closed-form update matrices, on z and whatever a rule remembers besides.
# A matrix takes an oracle and the iteration t, from 1; a start takes z to the first such vector.


def sgda(s, t, p_D=0.0, p_G=0.0):
    return s.I - s.decayed(t, p_D, p_G) @ s.J


def alternating_G_first(s, t):
    return np.block(
        [
            [s.one - s.eta_D * s.eta_G * s.A @ s.A.T, s.eta_D * s.A],
            [-s.eta_G * s.A.T, s.one],
        ]
    )


def alternating_D_first(s, t):
    return np.block(
        [
            [s.one, s.eta_D * s.A],
            [-s.eta_G * s.A.T, s.one - s.eta_D * s.eta_G * s.A.T @ s.A],
        ]
    )


def heavy_ball(s, t, beta):  # z, z before
    return np.block([[(1 + beta) * s.I - s.E @ s.J, -beta * s.I], [s.I, s.O]])


def negative_G_first(s, t, beta):  # x, y, x before, y before
    x, y = s.eta_D * s.A, -s.eta_G * s.A.T
    return np.block(
        [
            [(1 + beta) * s.one + x @ y, (1 + beta) * x, -beta * s.one, -beta * x],
            [y, (1 + beta) * s.one, s.none, -beta * s.one],
            [s.one, s.none, s.none, s.none],
            [s.none, s.one, s.none, s.none],
        ]
    )


def negative_D_first(s, t, beta):
    x, y = s.eta_D * s.A, -s.eta_G * s.A.T
    return np.block(
        [
            [(1 + beta) * s.one, x, -beta * s.one, s.none],
            [(1 + beta) * y, (1 + beta) * s.one + y @ x, -beta * y, -beta * s.one],
            [s.one, s.none, s.none, s.none],
            [s.none, s.one, s.none, s.none],
        ]
    )


def momentum(s, t, beta):  # z, M, with bias correction
    c = 1 / (1 - beta**t)
    return np.block(
        [
            [s.I - c * (1 - beta) * s.E @ s.J, c * beta * s.E],
            [-(1 - beta) * s.J, beta * s.I],
        ]
    )


def extragradient(s, t):
    return s.I - s.E @ s.J + s.E @ s.J @ s.E @ s.J


def extragradient_momentum(s, t, beta):  # z, M, which advances twice
    half = momentum(s, 2 * t - 1, beta)
    M = np.block([-(1 - beta) * s.J, beta * s.I]) @ half
    z = np.block([s.I, s.O]) + s.E @ M / (1 - beta ** (2 * t))
    return np.concatenate([z, M])


def past_extragradient(s, t, p_D=0.0, p_G=0.0):  # z, Delta(z half)
    E = s.decayed(t, p_D, p_G)
    return np.block([[s.I - E @ s.J, -E @ s.J @ E], [-s.J, -s.J @ E]])


def optimistic(s, t, p_D=0.0, p_G=0.0):  # z, Delta before
    E = s.decayed(t, p_D, p_G)
    return np.block([[s.I - 2 * E @ s.J, -E], [-s.J, s.O]])


def optimistic_momentum(s, t, beta):  # z, M, Delta before
    c = 1 / (1 - beta**t)
    M = np.block([-(1 - beta) * s.J, beta * s.I, s.O])
    z = np.block([s.I, s.O, -s.E]) + 2 * c * s.E @ M
    return np.concatenate([z, M, c * M])


def optimistic_momentum_today(s, t, beta):  # z, M: the old step is M scaled as the new one is
    c = 1 / (1 - beta**t)
    M = np.block([-(1 - beta) * s.J, beta * s.I])
    z = np.block([s.I, -c * s.E]) + 2 * c * s.E @ M
    return np.concatenate([z, M])


def corrected(s, t, gamma):
    """SGA as well: the symmetric part of J vanishes, so A^T xi = J^T xi = grad H."""
    return s.I - s.E @ (s.J + gamma * s.JTJ)


def corrected_G_first(s, t, gamma):
    new, D, G = corrected(s, t, gamma), s.each(1, 0), s.each(0, 1)
    return (D @ new + G) @ (D + G @ new)


def corrected_extragradient(s, t, gamma):
    C = s.J + gamma * s.JTJ
    return s.I - s.E @ C + s.E @ C @ s.E @ C


def hamiltonian(s, t):
    return s.I - s.E @ s.JTJ


def anchored(s, t, p_D, p_G, gamma):  # z, z_0
    pull = s.each((1 - p_D) * gamma / t, (1 - p_G) * gamma / t)
    return np.block([[s.I - s.decayed(t, p_D, p_G) @ s.J - pull, pull], [s.O, s.I]])


def anchored_extragradient(s, t, p, gamma):  # both moves start from z, and both are pulled
    pull, EJ = s.each((1 - p) * gamma / t, (1 - p) * gamma / t), s.decayed(t, p, p) @ s.J
    return np.block(
        [
            [s.I - pull - EJ @ (s.I - EJ - pull), pull - EJ @ pull],
            [s.O, s.I],
        ]
    )


def alone(s):
    return s.I


def doubled(s):  # z before and z_0 are z at first
    return np.concatenate([s.I, s.I])


def with_zero(s):
    return np.concatenate([s.I, s.O])


def with_step(s):
    return np.concatenate([s.I, -s.J])


def with_zero_and_step(s):
    return np.concatenate([s.I, s.O, -s.J])


class Linear(NamedTuple):
    name: str  #: of a rule
    changes: dict[str, Any]
    matrix: Callable[..., np.ndarray]
    start: Callable[[Oracle], np.ndarray] = alone

    def run(self, s, starts, steps):
        """The iterates of the matrices, one start a row."""
        z = self.start(s) @ starts.T
        for t in range(1, steps + 1):
            z = self.matrix(s, t) @ z
            yield z[: 2 * s.n].T


DECAY = {"decay_D": 0.5, "decay_G": 0.25}
DECAYED = {"p_D": 0.5, "p_G": 0.25}
D_FIRST, G_FIRST = ({"schedule": f"alternating-{player}-first"} for player in "DG")
LINEAR = [
    Linear("sgda", {}, sgda),
    Linear("sgda", DECAY, partial(sgda, **DECAYED)),
    Linear("sgda", {"decay_D": 1, "decay_G": 0}, partial(sgda, p_D=1)),
    Linear("ttur", {}, sgda),
    Linear("sgda-momentum", {}, partial(heavy_ball, beta=0.9), doubled),
    Linear("sgda-momentum", {"beta1": -0.5}, partial(heavy_ball, beta=-0.5), doubled),
    Linear("sgda-momentum", {"heavy_ball": False}, partial(momentum, beta=0.9), with_zero),
    Linear("alternating", {}, alternating_G_first),
    Linear("alternating", D_FIRST, alternating_D_first),
    Linear("negative-momentum", {}, partial(negative_G_first, beta=-0.5), doubled),
    Linear("negative-momentum", D_FIRST, partial(negative_D_first, beta=-0.5), doubled),
    Linear("negative-momentum", {"beta1": 0.3}, partial(negative_G_first, beta=0.3), doubled),
    Linear(
        "negative-momentum", {"schedule": "simultaneous"}, partial(heavy_ball, beta=-0.5), doubled
    ),
    Linear("extragradient", {}, extragradient),
    Linear(
        "extragradient",
        {"direction": "momentum"},
        partial(extragradient_momentum, beta=0.9),
        with_zero,
    ),
    Linear("past-extragradient", {}, past_extragradient, with_zero),
    Linear("past-extragradient", DECAY, partial(past_extragradient, **DECAYED), with_zero),
    Linear("optimistic", {}, optimistic, with_step),
    Linear("optimistic", {"first_step": "double"}, optimistic, with_zero),
    Linear("optimistic", DECAY, partial(optimistic, **DECAYED), with_step),
    Linear(
        "optimistic",
        {"direction": "momentum"},
        partial(optimistic_momentum, beta=0.9),
        with_zero_and_step,
    ),
    Linear(
        "optimistic",
        {"direction": "momentum", "past_scale": "today", "first_step": "double"},
        partial(optimistic_momentum_today, beta=0.9),
        with_zero,
    ),
    Linear("sga", {}, partial(corrected, gamma=1)),
    Linear("sga", {"aligned": False}, partial(corrected, gamma=1)),
    Linear("sga", {"correction_weight": -0.7}, partial(corrected, gamma=-0.7)),
    Linear("sga", G_FIRST, partial(corrected_G_first, gamma=1)),
    Linear("consensus", {}, partial(corrected, gamma=1)),
    Linear("consensus", {"correction_weight": 0.3}, partial(corrected, gamma=0.3)),
    Linear("consensus", {"correction_weight": -2.0}, partial(corrected, gamma=-2)),
    Linear(
        "consensus",
        {"schedule": "extragradient", "correction_weight": 0.3},
        partial(corrected_extragradient, gamma=0.3),
    ),
    Linear("hamiltonian", {}, hamiltonian),
    Linear("anchored", {}, partial(anchored, p_D=0.6, p_G=0.6, gamma=2), doubled),
    Linear(
        "anchored",
        {"anchor": 3.0, "decay_D": 0.75, "decay_G": 0.55},
        partial(anchored, p_D=0.75, p_G=0.55, gamma=3),
        doubled,
    ),
    Linear(
        "anchored",
        {"schedule": "extragradient"},
        partial(anchored_extragradient, p=0.6, gamma=2),
        doubled,
    ),
]


def assert_runs_as_its_matrices(row, s, Engine=ArrayEngine, tolerance=1e-12):
    """As many random starts as z has coordinates: enough to tell any two linear maps apart."""
    starts = s.starts(2 * s.n)
    engine = s.engine(starts, row.name, row.changes, Engine)
    for z in row.run(s, starts, STEPS):
        engine.advance(1)
        assert_close(places(engine), z, tolerance)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("row", LINEAR, ids=lambda row: "-".join([row.name, *row.changes]))
def test_linear_rules_are_their_matrices(row, seed):
    assert_runs_as_its_matrices(row, Oracle.random(seed, row.name))


def is_linear(name):
    opt = tm.Optimizer(1, 1, **tm.RULES[name].fields)
    return not (opt.uses_norms or opt.uses_second_moment)


def test_every_linear_rule_has_its_matrix_here():
    assert {row.name for row in LINEAR} == {name for name in tm.RULES if is_linear(name)}


# All other rules: recurrences as the papers write them.
# A player's method makes a step of a gradient; a schedule yields (x, y) after each iteration.


def unit(g):
    return g / np.linalg.norm(g)


def constant(g):
    """The step has coordinates of root mean square 1."""
    return np.sqrt(g.size) * unit(g)


class Moments:
    """Kingma and Ba 2015, Algorithm 1, and the steps that are made of its two moments."""

    def __init__(self, form, beta1=0.9):
        self.form, self.beta1 = form, beta1
        self.m = self.v = 0.0
        self.updates = 0

    def __call__(self, g):
        self.before = self.m, self.v
        self.updates += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = 0.999 * self.v + 0.001 * g**2
        return self.form(*self.unbiased(self.m, self.v))

    def unbiased(self, m, v):
        t = self.updates
        return m / (1 - self.beta1**t), v / (1 - 0.999**t)

    def step_before_with_todays_correction(self):
        return self.form(*self.unbiased(*self.before))


def A(m, v):
    return m / (np.sqrt(v) + 1e-8)


def adalr(m, v):
    return np.linalg.norm(A(m, v)) * unit(m)


def adadir(m, v):
    return np.linalg.norm(m) * unit(A(m, v))


def unit_momentum(m, v):
    return unit(m)


def simultaneous(s, x, y, D, G, correct=None):
    while True:
        g_x, g_y = correct(s, x, y) if correct else s.gradients(x, y)
        x, y = x + s.eta_D * D(g_x), y + s.eta_G * G(g_y)
        yield x, y


def generator_first(s, x, y, D, G):
    while True:
        y = y + s.eta_G * G(-s.A.T @ x)
        x = x + s.eta_D * D(s.A @ y)
        yield x, y


def discriminator_first(s, x, y, D, G):
    while True:
        x = x + s.eta_D * D(s.A @ y)
        y = y + s.eta_G * G(-s.A.T @ x)
        yield x, y


def korpelevich(s, x, y, D, G):
    while True:
        x_half, y_half = x + s.eta_D * D(s.A @ y), y + s.eta_G * G(-s.A.T @ x)
        x, y = x + s.eta_D * D(s.A @ y_half), y + s.eta_G * G(-s.A.T @ x_half)
        yield x, y


def popov(s, x, y, D, G):
    d_x, d_y = np.zeros_like(x), np.zeros_like(y)
    while True:
        x_half, y_half = x + s.eta_D * d_x, y + s.eta_G * d_y
        d_x, d_y = D(s.A @ y_half), G(-s.A.T @ x_half)
        x, y = x + s.eta_D * d_x, y + s.eta_G * d_y
        yield x, y


def optimism(s, x, y, D, G, first="plain"):
    d_x = d_y = None
    while True:
        old_x, old_y = d_x, d_y
        d_x, d_y = D(s.A @ y), G(-s.A.T @ x)
        if old_x is None:
            old_x, old_y = (d_x, d_y) if first == "plain" else (0 * d_x, 0 * d_y)
        x = x + 2 * s.eta_D * d_x - s.eta_D * old_x
        y = y + 2 * s.eta_G * d_y - s.eta_G * old_y
        yield x, y


def optimism_with_todays_correction(s, x, y, D, G):
    for t in itertools.count(1):
        d_x, d_y = D(s.A @ y), G(-s.A.T @ x)
        old_x, old_y = (player.step_before_with_todays_correction() for player in (D, G))
        if t == 1:
            old_x, old_y = d_x, d_y
        x = x + 2 * s.eta_D * d_x - s.eta_D * old_x
        y = y + 2 * s.eta_G * d_y - s.eta_G * old_y
        yield x, y


def ryu(s, x, y, D, G, p=0.6, gamma=2.0):
    x_0, y_0 = x, y
    for k in itertools.count():
        size, pull = 1 / (k + 1) ** p, (1 - p) * gamma / (k + 1)
        d_x, d_y = D(s.A @ y), G(-s.A.T @ x)
        x = x + s.eta_D * size * d_x + pull * (x_0 - x)
        y = y + s.eta_G * size * d_y + pull * (y_0 - y)
        yield x, y


def with_grad_H(s, x, y):
    """SGA and consensus: xi + grad H, and a player improves against xi."""
    return s.A @ y - s.A @ s.A.T @ x, -s.A.T @ x - s.A.T @ s.A @ y


def grad_H_alone(s, x, y):
    return -s.A @ s.A.T @ x, -s.A.T @ s.A @ y


class Nonlinear(NamedTuple):
    name: str  #: of a rule
    changes: dict[str, Any]
    method: Callable[[], Callable]  #: a player's; a new one for each player and run
    schedule: Callable = simultaneous

    def run(self, s, start, steps):
        iterates = self.schedule(s, *np.split(start, 2), self.method(), self.method())
        return [np.concatenate(z) for z in itertools.islice(iterates, steps)]


def normalizing():
    return unit


def rescaling():
    return constant


adam = partial(Moments, A)
sga = consensus = partial(simultaneous, correct=with_grad_H)
hamiltonian_flow = partial(simultaneous, correct=grad_H_alone)
NONLINEAR = [
    Nonlinear("nsgda", {}, normalizing),
    Nonlinear("l-nsgda", {}, normalizing),
    Nonlinear("g-nsgda", {}, normalizing),
    Nonlinear("nsgda-momentum", {}, partial(Moments, unit_momentum)),
    Nonlinear("adam", {}, adam),
    Nonlinear("adalr", {}, partial(Moments, adalr)),
    Nonlinear("adadir", {}, partial(Moments, adadir)),
    Nonlinear("ada-nsgda", {}, rescaling),
    Nonlinear("alternating-nsgda", {}, normalizing, generator_first),
    Nonlinear("alternating-nsgda", D_FIRST, normalizing, discriminator_first),
    Nonlinear("alternating-adam", {}, adam, generator_first),
    Nonlinear("alternating-adam", D_FIRST, adam, discriminator_first),
    Nonlinear("ttur-nsgda", {}, normalizing),
    Nonlinear("ttur-adam", {}, adam),
    Nonlinear("extragradient-nsgda", {}, normalizing, korpelevich),
    Nonlinear("extra-adam", {}, adam, korpelevich),
    Nonlinear("past-extragradient-nsgda", {}, normalizing, popov),
    Nonlinear("past-extra-adam", {}, adam, popov),
    Nonlinear("optimistic-nsgda", {}, normalizing, optimism),
    Nonlinear(
        "optimistic-nsgda",
        {"first_step": "double"},
        normalizing,
        partial(optimism, first="double"),
    ),
    Nonlinear("optimistic-adam", {}, adam, optimism),
    Nonlinear("optimistic-adam", {"first_step": "double"}, adam, partial(optimism, first="double")),
    Nonlinear("optimistic-adam", {"past_scale": "today"}, adam, optimism_with_todays_correction),
    Nonlinear(
        "negative-momentum-nsgda",
        {},
        partial(Moments, unit_momentum, beta1=-0.5),
        generator_first,
    ),
    Nonlinear("negative-momentum-adam", {}, partial(Moments, A, beta1=-0.5), generator_first),
    Nonlinear("sga-nsgda", {}, normalizing, sga),
    Nonlinear("sga-adam", {}, adam, sga),
    Nonlinear("consensus-nsgda", {}, normalizing, consensus),
    Nonlinear("consensus-adam", {}, adam, consensus),
    Nonlinear("hamiltonian-nsgda", {}, normalizing, hamiltonian_flow),
    Nonlinear("hamiltonian-adam", {}, adam, hamiltonian_flow),
    Nonlinear("anchored-nsgda", {}, normalizing, ryu),
    Nonlinear("anchored-adam", {}, adam, ryu),
]


def assert_runs_as_its_recurrence(row, s, Engine=ArrayEngine):
    starts = s.starts(2)
    runs = [row.run(s, start, STEPS) for start in starts]
    engine = s.engine(starts, row.name, row.changes, Engine)
    for z in zip(*runs, strict=True):
        engine.advance(1)
        assert_close(places(engine), np.stack(z))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("row", NONLINEAR, ids=lambda row: "-".join([row.name, *row.changes]))
def test_other_rules_are_their_recurrences(row, seed):
    assert_runs_as_its_recurrence(row, Oracle.random(seed, row.name))


def test_every_rule_is_in_a_table_here():
    assert {row.name for row in LINEAR + NONLINEAR} == set(tm.RULES)


# Convergence on L = xy, and on matrices whose largest singular value is 1


def scalar_game(eta):
    return Oracle([[1.0]], eta, eta)


def random_game(eta):
    """Singular values between 1/2 and 1, so that the slowest direction is not too slow to see."""
    rng = np.random.default_rng(3)
    left, right = (np.linalg.qr(rng.standard_normal((4, 4)))[0] for _ in range(2))
    return Oracle(left @ np.diag([1, 0.9, 0.7, 0.5]) @ right, eta, eta)


def radius(row, s):
    return np.abs(np.linalg.eigvals(row.matrix(s, 1))).max()


def growth(row, s, steps=1000):
    """Norm after a run over the norm of its start."""
    starts = s.starts(1)
    engine = s.engine(starts, row.name, row.changes)
    engine.advance(steps)
    return np.linalg.norm(places(engine)) / np.linalg.norm(starts)


def linear(name, **changes):
    """The row of the table with these changes."""
    return next(row for row in LINEAR if (row.name, row.changes) == (name, changes))


RANGES = [
    (linear("extragradient"), 1),
    (linear("past-extragradient"), 3**-0.5),
    (linear("optimistic"), 3**-0.5),
    (linear("optimistic", first_step="double"), 3**-0.5),
    (linear("negative-momentum"), 1),
    (linear("negative-momentum", **D_FIRST), 1),
    (linear("sga"), 1),
    (linear("consensus"), 1),
    (linear("hamiltonian"), 2),
]


@pytest.mark.parametrize("game", [scalar_game, random_game])
@pytest.mark.parametrize(("row", "boundary"), RANGES, ids=lambda x: getattr(x, "name", None))
def test_convergence_range(row, boundary, game):
    inside, outside = 0.1, 3.0
    assert radius(row, game(inside)) < 1 < radius(row, game(outside))
    while outside - inside > 1e-9:
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if radius(row, game(middle)) < 1 else (inside, middle)
    assert inside == pytest.approx(boundary, abs=1e-7)
    assert growth(row, game(0.99 * boundary)) < 1e-3
    assert growth(row, game(1.01 * boundary)) > 1e2


@pytest.mark.parametrize("eta", [0.01, 0.1, 0.5, 1.0, 3.0])
@pytest.mark.parametrize(
    "row",
    [
        linear("sgda"),
        linear("negative-momentum", schedule="simultaneous"),
        linear("negative-momentum", schedule="simultaneous")._replace(
            changes={"schedule": "simultaneous", "beta1": -0.9},
            matrix=partial(heavy_ball, beta=-0.9),
        ),
    ],
    ids=lambda row: "-".join([row.name, *row.changes]),
)
def test_what_never_converges(row, eta):
    s = scalar_game(eta)
    assert radius(row, s) > 1 + 1e-8
    steps = int(np.ceil(3 / np.log(radius(row, s))))  # for a growth by e^3, unless that is too far
    assert steps > 1e4 or growth(row, s, steps) > 5


@pytest.mark.parametrize("row", [linear("alternating"), linear("alternating", **D_FIRST)])
def test_alternation_stays_at_a_bounded_distance_below_eta_2(row):
    for eta in (0.1, 1.0, 1.9):
        s = scalar_game(eta)
        assert np.abs(np.linalg.eigvals(row.matrix(s, 1))) == pytest.approx(1, abs=1e-12)
        _, vectors = np.linalg.eig(row.matrix(s, 1))
        condition = np.linalg.cond(vectors)  # no power of the matrix, or of its inverse, is longer
        for steps in (10, 1000, 1777):
            assert 1 / condition <= growth(row, s, steps) * (1 + 1e-9) <= condition * (1 + 2e-9)
    assert radius(row, scalar_game(2.01)) > 1.2


@pytest.mark.parametrize("game", [scalar_game, random_game])
def test_anchoring_converges_slowly(game):
    """eta/t^p J z comes to balance (1 - p) gamma/t z_0: z falls as J^-1 z_0 / t^(1 - p)."""
    s = game(0.8)
    starts = s.starts(3)
    engine, distances = s.engine(starts, "anchored"), []
    for _ in range(3):
        engine.advance(3000)
        balance = np.linalg.solve(s.J, starts.T).T * 0.4 * 2 / (0.8 * engine.t**0.4)
        assert_close(places(engine), balance, 0.15)  # around it z turns, like t^-0.8
        distances.append(np.linalg.norm(places(engine), axis=1))
    assert (np.diff(distances, axis=0) < 0).all()
    assert (distances[-1] < 0.05 * np.linalg.norm(starts, axis=1)).all()


# Negative controls: the bugs of public codes, which the checks above must reject


class LivePast(ArrayEngine):
    """The stored step is the buffer that the new one is written to."""

    def _move(self, player, stage, base, taken):
        self._past |= taken
        super()._move(player, stage, base, taken)


class MovedDiscriminator(ArrayEngine):
    """G's gradient is taken after D has moved, in a step said to be simultaneous."""

    def _steps(self, movers, stage, weights):
        taken = super()._steps(["D"], stage, weights)
        here = dict(self._X)
        self._move("D", stage, here, taken)
        taken |= super()._steps(["G"], stage, weights)
        self._X = here
        return taken


class UpdateCountedOnce(ArrayEngine):
    """Both of an iteration's updates have the bias correction of iteration t."""

    def _steps(self, movers, stage, weights):
        self._updates = dict.fromkeys("DG", self.t - 1)
        return super()._steps(movers, stage, weights)


def rejects(check, row, s, Engine=ArrayEngine):
    check(row, s)
    with pytest.raises(AssertionError):
        check(row, s, Engine)


def recurrence(name, **changes):
    return next(row for row in NONLINEAR if (row.name, row.changes) == (name, changes))


def test_an_aliased_past_is_rejected():
    s = Oracle.random(0, "optimistic")
    rejects(assert_runs_as_its_matrices, linear("optimistic"), s, LivePast)
    rejects(assert_runs_as_its_recurrence, recurrence("optimistic-nsgda"), s, LivePast)
    rejects(assert_runs_as_its_recurrence, recurrence("optimistic-adam"), s, LivePast)
    # with it, optimism is plain descent ascent
    disguised = linear("sgda")._replace(name="optimistic")
    assert_runs_as_its_matrices(disguised, s, LivePast)


@pytest.mark.parametrize("name", ["sgda", "extragradient", "optimistic", "anchored"])
def test_a_generator_that_answers_in_a_simultaneous_step_is_rejected(name):
    s = Oracle.random(0, name)
    rejects(assert_runs_as_its_matrices, linear(name), s, MovedDiscriminator)
    if name == "sgda":
        disguised = linear("alternating", **D_FIRST)._replace(name=name, changes={})
        assert_runs_as_its_matrices(disguised, s, MovedDiscriminator)


def test_an_alignment_without_its_constant_is_rejected(monkeypatch):
    s = scalar_game(0.5)  # on which <xi, grad H> is 0 without rounding
    assert_runs_as_its_matrices(linear("sga"), s)
    monkeypatch.setattr(corrections, "ALIGNMENT", 0.0)
    with pytest.raises(AssertionError):
        assert_runs_as_its_matrices(linear("sga"), s)
    disguised = linear("sgda")._replace(name="sga")  # lambda = 0
    assert_runs_as_its_matrices(disguised, s)


@pytest.mark.parametrize("name", ["extra-adam"])
def test_an_update_that_is_not_counted_is_rejected(name):
    rejects(
        assert_runs_as_its_recurrence, recurrence(name), Oracle.random(0, name), UpdateCountedOnce
    )


# The game itself


def test_the_oracle_is_its_formula():
    s = Oracle.random(0, "sgda")
    game, (x, y) = Bilinear(s.A), np.split(s.starts(3), 2, axis=1)
    state = game.state(x, y)
    assert (game.d, game.parameters, state.dimension) == (4, 8, 4)
    evaluation = game.evaluate(state)
    np.testing.assert_allclose(
        evaluation.objective, [a @ s.A @ b for a, b in zip(x, y, strict=True)], rtol=1e-12
    )
    for index in range(3):
        g_x, g_y = s.gradients(x[index], y[index])
        np.testing.assert_allclose(evaluation.W[index, 0], g_x, rtol=1e-12)
        np.testing.assert_allclose(evaluation.V[index, 0], g_y, rtol=1e-12)
    assert (evaluation.b == 0).all()


def test_the_oracle_takes_one_start_or_many():
    game = Bilinear([[1, 2], [3, 4]])
    one = game.state([1, 2], [3, 4])
    assert isinstance(one, State)
    for name, array in game.state([[1, 2]], [[3, 4]]).arrays().items():
        np.testing.assert_array_equal(getattr(one, name), array)


@pytest.mark.parametrize(
    ("A", "message"),
    [
        ([[1, 2]], r"A has shape \(1, 2\): it must be a square matrix"),
        ([1.0], r"A has shape \(1,\): it must be a square matrix"),
        ([[np.nan]], "A holds a NaN or an infinity"),
        ([[1, np.inf], [0, 1]], "A holds a NaN or an infinity"),
    ],
)
def test_the_oracle_refuses_what_is_no_square_matrix(A, message):
    with pytest.raises(tm.InputError, match=message):
        Bilinear(A)


@pytest.mark.parametrize(("x", "y"), [([1], [1, 2]), ([1, 2], [[1, 2]] * 2), ([1] * 3, [1] * 3)])
def test_the_oracle_refuses_starts_of_another_shape(x, y):
    with pytest.raises(tm.InputError, match=r"x and y have shapes .*: \(R, 2\) is needed"):
        Bilinear(np.eye(2)).state(x, y)
