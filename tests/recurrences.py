"""Every named rule, written again as its paper writes it, on flat vectors.

x and y are the parameters of D and of G.  A *step* makes Delta of a player's gradients, one after
the other, with a memory of its own; norms are taken over blocks, the slices `cuts` of the player.
A *schedule* yields (x, y) after each iteration of two such players on a field, which has

    gradients(x, y): the directions that improve the players, whose negatives make xi,
    jacobian(x, y): J, the Jacobian of xi, as a matrix.

A rule that is new in `twomode.RULES` needs its row in `ROWS`, and nothing else in these tests.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

# Steps.  A form makes Delta of a block's gradient, or of its two moments without their bias.


def unit(g):
    """Of a matrix, the polar factor; of one without full rank, on its range."""
    if g.ndim == 2:
        P, s, Q = np.linalg.svd(g, full_matrices=False)
        return P * (s > 2.0**-40 * s.max()) @ Q
    return g / (np.linalg.norm(g) or 1.0)  # a block without a gradient stays


def newton_schulz(m, v):
    """Jordan et al. 2024, as it stands there."""
    X = np.atleast_2d(m)
    X = X / (np.linalg.norm(X) + 1e-7)
    a, b, c = (3.4445, -4.7750, 2.0315)
    for _ in range(5):
        A = X @ X.T
        B = b * A + c * A @ A
        X = a * X + B @ X
    return X


def steepest(g):
    """In the spectral norm."""
    return np.linalg.norm(np.atleast_2d(g), "nuc") * unit(np.atleast_2d(g))


def constant(g):
    """The step has coordinates of root mean square 1."""
    return np.sqrt(max(g.shape) if g.ndim == 2 else g.size) * unit(g)


def clipped(g, max_norm=1.0):
    if g.ndim == 2:
        return min(np.linalg.norm(g, "nuc"), max_norm) * unit(g)
    norm = np.linalg.norm(g)
    return g if norm <= max_norm else max_norm / norm * g


def first(m, v):
    return m


def unit_first(m, v):
    return unit(m)


def A(m, v, eps=1e-8):
    return m / (np.sqrt(v) + eps)


def adalr(m, v, eps=1e-8):
    return np.linalg.norm(A(m, v, eps)) * unit(m)


def adadir(m, v):
    return np.linalg.norm(m) * unit(A(m, v))


def by_blocks(form, cuts, *vectors):
    """Cuts of two axes are of matrices."""
    return np.concatenate([form(*(vector[cut] for vector in vectors)).ravel() for cut in cuts])


def sign(cuts):
    return np.sign


def gradient(cuts):
    return lambda g: g


def normalized(cuts, form=unit):
    return lambda g: by_blocks(form, cuts, g)


class HeavyBall:
    """Polyak 1964: eta Delta = eta g + beta (theta - theta_before), both steps eta Deltas."""

    def __init__(self, cuts, beta=0.9):
        self.beta, self.before = beta, 0.0

    def __call__(self, g):
        self.before = g + self.beta * self.before
        return self.before


class Moments:
    """Kingma and Ba 2015, Algorithm 1, and the steps that are made of its two moments."""

    def __init__(self, form, cuts, beta1=0.9, beta2=0.999, unbiased=True):
        self.form, self.cuts, self.beta1, self.beta2 = form, cuts, beta1, beta2
        self.unbiased = unbiased
        self.m = self.v = 0.0
        self.updates = 0

    def __call__(self, g):
        self.before = self.m * np.ones_like(g), self.v * np.ones_like(g)
        self.updates += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g**2
        return self.with_todays_correction(self.m, self.v)

    def with_todays_correction(self, m, v):
        if self.unbiased:
            m, v = m / (1 - self.beta1**self.updates), v / (1 - self.beta2**self.updates)
        return by_blocks(self.form, self.cuts, m, v)

    def step_before_with_todays_correction(self):
        return self.with_todays_correction(*self.before)


class Nesterov(Moments):
    """A look ahead: what the moment would be after the same gradient once more."""

    def __call__(self, g):
        super().__call__(g)
        return by_blocks(self.form, self.cuts, self.beta1 * self.m + (1 - self.beta1) * g, self.v)


adam = partial(Moments, A)


# Schedules


def steps(field, x, y, D, G):
    """Both players' Deltas at (x, y)."""
    g_x, g_y = field.gradients(x, y)
    return D(g_x), G(g_y)


def simultaneous(field, eta_D, eta_G, x, y, D, G):
    while True:
        d_x, d_y = steps(field, x, y, D, G)
        x, y = x + eta_D * d_x, y + eta_G * d_y
        yield x, y


def generator_first(field, eta_D, eta_G, x, y, D, G):
    while True:
        _, g_y = field.gradients(x, y)
        y = y + eta_G * G(g_y)
        g_x, _ = field.gradients(x, y)
        x = x + eta_D * D(g_x)
        yield x, y


def discriminator_first(field, eta_D, eta_G, x, y, D, G):
    while True:
        g_x, _ = field.gradients(x, y)
        x = x + eta_D * D(g_x)
        _, g_y = field.gradients(x, y)
        y = y + eta_G * G(g_y)
        yield x, y


def korpelevich(field, eta_D, eta_G, x, y, D, G):
    while True:
        d_x, d_y = steps(field, x, y, D, G)
        d_x, d_y = steps(field, x + eta_D * d_x, y + eta_G * d_y, D, G)
        x, y = x + eta_D * d_x, y + eta_G * d_y
        yield x, y


def popov(field, eta_D, eta_G, x, y, D, G):
    d_x, d_y = np.zeros_like(x), np.zeros_like(y)
    while True:
        d_x, d_y = steps(field, x + eta_D * d_x, y + eta_G * d_y, D, G)
        x, y = x + eta_D * d_x, y + eta_G * d_y
        yield x, y


def optimism(field, eta_D, eta_G, x, y, D, G, first="plain"):
    d_x = d_y = None
    while True:
        old_x, old_y = d_x, d_y
        d_x, d_y = steps(field, x, y, D, G)
        if old_x is None:
            old_x, old_y = (d_x, d_y) if first == "plain" else (0 * d_x, 0 * d_y)
        x = x + 2 * eta_D * d_x - eta_D * old_x
        y = y + 2 * eta_G * d_y - eta_G * old_y
        yield x, y


def optimism_with_todays_correction(field, eta_D, eta_G, x, y, D, G):
    for t in itertools.count(1):
        d_x, d_y = steps(field, x, y, D, G)
        old_x, old_y = (player.step_before_with_todays_correction() for player in (D, G))
        if t == 1:
            old_x, old_y = d_x, d_y
        x = x + 2 * eta_D * d_x - eta_D * old_x
        y = y + 2 * eta_G * d_y - eta_G * old_y
        yield x, y


def anchoring(eta_D, eta_G, p_D=0.6, p_G=0.6, gamma=2.0):
    """Step sizes of iterations 1, 2, ... and the strengths of their pull to the start."""
    for t in itertools.count(1):
        yield eta_D / t**p_D, eta_G / t**p_G, (1 - p_D) * gamma / t, (1 - p_G) * gamma / t


def ryu(field, eta_D, eta_G, x, y, D, G, **anchor):
    x_0, y_0 = x, y
    for size_D, size_G, pull_D, pull_G in anchoring(eta_D, eta_G, **anchor):
        d_x, d_y = steps(field, x, y, D, G)
        x = x + size_D * d_x + pull_D * (x_0 - x)
        y = y + size_G * d_y + pull_G * (y_0 - y)
        yield x, y


def decoupled(field, eta_D, eta_G, x, y, D, G, weight):
    """Weight decay apart from the step, as in Loshchilov and Hutter 2019, Algorithm 2."""
    while True:
        d_x, d_y = steps(field, x, y, D, G)
        x, y = x + eta_D * (d_x - weight * x), y + eta_G * (d_y - weight * y)
        yield x, y


# Corrections: what takes xi's place


def balduzzi(xi, J, weight=1.0, aligned=True):
    """Symplectic gradient adjustment, Algorithm 1 of Balduzzi et al. 2018."""
    antisymmetric = (J - J.T) / 2
    adjustment, grad_H = antisymmetric.T @ xi, J.T @ xi
    alignment = (xi @ grad_H) * (adjustment @ grad_H) / xi.size + 0.1
    return xi + (weight * np.sign(alignment) if aligned else weight) * adjustment


def mescheder(xi, J, weight=1.0):
    """xi + gamma grad H."""
    return xi + weight * J.T @ xi


def grad_H(xi, J):
    """Of H = norm(xi)^2 / 2."""
    return J.T @ xi


class Corrected(NamedTuple):
    """A field with another one's correction in place of its xi."""

    field: Any
    correction: Callable

    def gradients(self, x, y):
        xi = -np.concatenate(self.field.gradients(x, y))
        return np.split(-self.correction(xi, self.field.jacobian(x, y)), [x.size])


def along(correction, schedule=simultaneous):
    """The schedule on the corrected field."""
    return lambda field, *run: schedule(Corrected(field, correction), *run)


sga, consensus, hamiltonian_flow = along(balduzzi), along(mescheder), along(grad_H)


# On L = x^T A y rules without norms or second moments are matrices, on z = (x, y) and whatever
# they remember besides.  A matrix takes the field and the iteration t, from 1; a start takes z to
# the first such vector.


class Bilinear:
    """The field of L = x^T A y, with step sizes, and the blocks that matrices are made of.

    x ascends, y descends; J = ((0, -A), (A^T, 0)), so that z follows -J z.
    """

    def __init__(self, A, eta_D, eta_G):
        self.A, self.eta_D, self.eta_G = np.array(A, dtype=float), eta_D, eta_G
        self.n = n = len(self.A)
        self.one, self.none = np.eye(n), np.zeros((n, n))
        self.I, self.O = np.eye(2 * n), np.zeros((2 * n, 2 * n))
        self.J = np.block([[self.none, -self.A], [self.A.T, self.none]])
        self.JTJ = np.block([[self.A @ self.A.T, self.none], [self.none, self.A.T @ self.A]])
        self.E = self.each(eta_D, eta_G)

    def gradients(self, x, y):
        return self.A @ y, -self.A.T @ x

    def jacobian(self, x, y):
        return self.J

    def each(self, D, G):
        """A number for each player, on the diagonal."""
        return np.diag(np.repeat([float(D), float(G)], self.n))

    def decayed(self, t, p_D, p_G):
        return self.each(self.eta_D / t**p_D, self.eta_G / t**p_G)


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


# The rules


class Row(NamedTuple):
    """A rule: its recurrence, its cost and, if the rule is linear, its matrix."""

    step: Callable  #: takes the cuts of a player to its Delta, anew for each run
    schedule: Callable = simultaneous
    cost: tuple[int, int] = (1, 0)  #: gradients and Jacobian products in an iteration
    matrix: Callable | None = None
    start: Callable = alone  #: of the matrix

    def run(self, field, etas, starts, cuts=((slice(None),),) * 2):
        """Iterates (x, y); the triples of arguments are those of D and of G."""
        return self.schedule(field, *etas, *starts, *(self.step(cut) for cut in cuts))


ROWS = {
    "sgda": Row(gradient, matrix=sgda),
    "sgda-momentum": Row(HeavyBall, matrix=partial(heavy_ball, beta=0.9), start=doubled),
    "nsgda": Row(normalized),
    "l-nsgda": Row(normalized),
    "g-nsgda": Row(normalized),
    "nsgda-momentum": Row(partial(Moments, unit_first)),
    "adam": Row(adam),
    "adalr": Row(partial(Moments, adalr)),
    "adadir": Row(partial(Moments, adadir)),
    "ada-nsgda": Row(partial(normalized, form=constant)),
    "spectral-sgda": Row(partial(normalized, form=steepest)),
    "spectral-nsgda": Row(normalized),
    "muon": Row(partial(Nesterov, newton_schulz, beta1=0.95)),
    "clipped-sgda": Row(partial(normalized, form=clipped)),
    "signsgd": Row(sign),
    "adamw": Row(adam, partial(decoupled, weight=0.01)),
    "alternating": Row(gradient, generator_first, matrix=alternating_G_first),
    "alternating-nsgda": Row(normalized, generator_first),
    "alternating-adam": Row(adam, generator_first),
    "ttur": Row(gradient, matrix=sgda),
    "ttur-nsgda": Row(normalized),
    "ttur-adam": Row(adam),
    "extragradient": Row(gradient, korpelevich, (2, 0), extragradient),
    "extragradient-nsgda": Row(normalized, korpelevich, (2, 0)),
    "extra-adam": Row(adam, korpelevich, (2, 0)),
    "past-extragradient": Row(gradient, popov, (1, 0), past_extragradient, with_zero),
    "past-extragradient-nsgda": Row(normalized, popov),
    "past-extra-adam": Row(adam, popov),
    "optimistic": Row(gradient, optimism, (1, 0), optimistic, with_step),
    "optimistic-nsgda": Row(normalized, optimism),
    "optimistic-adam": Row(adam, optimism),
    "negative-momentum": Row(
        partial(HeavyBall, beta=-0.5),
        generator_first,
        matrix=partial(negative_G_first, beta=-0.5),
        start=doubled,
    ),
    "negative-momentum-nsgda": Row(partial(Moments, unit_first, beta1=-0.5), generator_first),
    "negative-momentum-adam": Row(partial(Moments, A, beta1=-0.5), generator_first),
    "sga": Row(gradient, sga, (1, 2), partial(corrected, gamma=1)),
    "sga-nsgda": Row(normalized, sga, (1, 2)),
    "sga-adam": Row(adam, sga, (1, 2)),
    "consensus": Row(gradient, consensus, (1, 1), partial(corrected, gamma=1)),
    "consensus-nsgda": Row(normalized, consensus, (1, 1)),
    "consensus-adam": Row(adam, consensus, (1, 1)),
    "hamiltonian": Row(gradient, hamiltonian_flow, (1, 1), hamiltonian),
    "hamiltonian-nsgda": Row(normalized, hamiltonian_flow, (1, 1)),
    "hamiltonian-adam": Row(adam, hamiltonian_flow, (1, 1)),
    "anchored": Row(gradient, ryu, (1, 0), partial(anchored, p_D=0.6, p_G=0.6, gamma=2), doubled),
    "anchored-nsgda": Row(normalized, ryu),
    "anchored-adam": Row(adam, ryu),
}


class Variant(NamedTuple):
    """A named rule with some of its fields changed, and the row that it then is."""

    name: str
    changes: dict[str, Any]
    row: Row


DOUBLE, D_FIRST = {"first_step": "double"}, {"schedule": "alternating-D-first"}
DECAY = {"decay_D": 0.5, "decay_G": 0.25}
VARIANTS = [
    Variant("alternating-nsgda", D_FIRST, Row(normalized, discriminator_first)),
    Variant("alternating-adam", D_FIRST, Row(adam, discriminator_first)),
    Variant("optimistic", DOUBLE, Row(gradient, partial(optimism, first="double"))),
    Variant("optimistic-nsgda", DOUBLE, Row(normalized, partial(optimism, first="double"))),
    Variant("optimistic-adam", DOUBLE, Row(adam, partial(optimism, first="double"))),
    Variant("optimistic-adam", {"past_scale": "today"}, Row(adam, optimism_with_todays_correction)),
    Variant(
        "optimistic",
        {"past_scale": "today", "direction": "momentum"},
        Row(partial(Moments, first), optimism_with_todays_correction),
    ),
    Variant(
        "clipped-sgda",
        {"max_norm": 0.03},
        Row(partial(normalized, form=partial(clipped, max_norm=0.03))),
    ),
    Variant("nsgda", {"weight_decay": 0.7}, Row(normalized, partial(decoupled, weight=0.7))),
    Variant("nsgda", DECAY, Row(normalized, partial(ryu, p_D=0.5, p_G=0.25, gamma=0))),
    Variant("adam", DECAY, Row(adam, partial(ryu, p_D=0.5, p_G=0.25, gamma=0))),
    Variant(
        "anchored-adam",
        {"anchor": 3.0, "decay_D": 0.75, "decay_G": 0.55},
        Row(adam, partial(ryu, p_D=0.75, p_G=0.55, gamma=3)),
    ),
    Variant(
        "sga-nsgda",
        {"correction_weight": -0.7, "aligned": False},
        Row(normalized, along(partial(balduzzi, weight=-0.7, aligned=False))),
    ),
    Variant(
        "consensus-adam",
        {"correction_weight": 0.3},
        Row(adam, along(partial(mescheder, weight=0.3))),
    ),
]
