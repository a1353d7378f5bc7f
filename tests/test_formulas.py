"""The engines against the rules' recurrences, on flat players of the two-mode game."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from helpers import explicit_start
from recurrences import (
    ROWS,
    VARIANTS,
    HeavyBall,
    Moments,
    Row,
    adadir,
    adalr,
    adam,
    along,
    anchoring,
    balduzzi,
    discriminator_first,
    first,
    generator_first,
    grad_H,
    gradient,
    korpelevich,
    mescheder,
    normalized,
    optimism,
    optimism_with_todays_correction,
    popov,
    steps,
    unit_first,
)
from test_engines import assert_close, clipping_game, lifted, make_rule, make_start, minibatches

import twomode as tm
from twomode.engines.array import ArrayEngine
from twomode.engines.dense import DenseEngine
from twomode.engines.reduced import ReducedEngine
from twomode.game import Vector
from twomode.rules import GRANULARITIES

ITERATIONS = 4


class Field:
    """The game of one replica; x is W and then b, y is V."""

    def __init__(self, game, start):
        self.game, self.start, self.weights = game, start, ()
        self.peaks = np.zeros(2)

    @property
    def players(self):
        """(x, y) at the start."""
        return np.append(self.start.W, self.start.b), self.start.V.ravel()

    def state(self, x, y):
        W, V = x[:-1].reshape(self.start.W.shape), y.reshape(self.start.V.shape)
        return replace(self.start, W=W, b=np.asarray(x[-1]), V=V)

    def layers(self, x, y):
        """As engines have them, with an axis of replicas."""
        state = self.state(x, y)
        return {"W": state.W[None], "b": state.b[None], "V": state.V[None]}

    def gradients(self, x, y):
        g = self.game.evaluate(self.state(x, y), *self.weights)
        both = np.append(g.W, g.b), g.V.ravel()
        self.peaks = np.maximum(self.peaks, [np.linalg.norm(g) for g in both])
        return both

    def jacobian(self, x, y):
        """From the Hessian's product with every unit vector at once."""
        n = x.size + y.size
        W, b, V = np.split(np.eye(n), [x.size - 1, x.size], axis=1)
        units = Vector(
            W.reshape(n, *self.start.W.shape), b[:, 0], V.reshape(n, *self.start.V.shape)
        )
        product = self.game.hessian_product(self.state(x, y), units, *self.weights)
        hessian = np.concatenate([a.reshape(n, -1) for a in product], axis=1).T
        return np.repeat([[-1.0], [1.0]], [x.size, y.size], axis=0) * hessian


def blocks(opt, rows, d, bias):
    """Slices of the flat player (rows of length d, then perhaps the bias)."""
    if opt.spectral:
        matrix = np.arange(rows * d).reshape(rows, d)
        return [matrix] + [np.array([[rows * d]])] * bias
    layers = {"neuron": d, "layer": rows * d, "global": rows * d + bias}
    width = layers[opt.granularity]
    cuts = [slice(i, i + width) for i in range(0, rows * d, width)]
    return cuts + ([slice(rows * d, None)] if bias and opt.granularity != "global" else [])


def assert_follows(opt, row):
    """Every engine that can, on a population and on minibatches, with steps far from small."""
    game = clipping_game(37)
    start = make_start(game, replicas=1)
    _, basis = start.reduce()
    cuts = blocks(opt, game.m_D, game.d, 1), blocks(opt, game.m_G, game.d, 0)
    for batches in (None, minibatches(game, 1, ITERATIONS, size=5)):
        field = Field(game, start.replica(0))
        iterates = row.run(field, (opt.eta_D, opt.eta_G), field.players, cuts)
        engines = [ArrayEngine, DenseEngine] + [ReducedEngine] * opt.equivariant
        engines = [Engine(game, opt, start) for Engine in engines]
        for some in (range(1), range(1, ITERATIONS)):  # one iteration, and then several at once
            for n in some:
                field.weights = tuple(batch[0, n] for batch in batches or ())
                x, y = next(iterates)
            for engine in engines:
                engine.advance(len(some), batches and tuple(batch[:, some] for batch in batches))
                assert_close(lifted(engine, basis), field.layers(x, y), 1e-12)
                if not opt.schedule.startswith("alternating"):  # there one of a pair goes unseen
                    np.testing.assert_allclose(engine.peak_grad_norms, [field.peaks], rtol=1e-12)


ALTERNATING = {
    "alternating-D-first": discriminator_first,
    "alternating-G-first": generator_first,
}


def granularities(opt):
    """Those that matter to a rule, other than to change what its recurrence is."""
    if opt.polar != "exact" or not opt.uses_norms or (opt.spectral and opt.magnitude == "own"):
        return [opt.granularity]
    # Adam's first vector is of signs: as a matrix of lower rank nearly, its factor is rounding.
    return GRANULARITIES[:-1] if opt.direction == "adam" else GRANULARITIES


def rules():
    """Every rule with every granularity that matters to it; plain ones alternate as well."""
    for name, row in ROWS.items():
        opt = make_rule(name, 37, scale=7)
        schedules = {opt.schedule: row.schedule} | (ALTERNATING if opt.plain else {})
        for granularity in granularities(opt):
            for schedule, function in schedules.items():
                yield pytest.param(
                    replace(opt, granularity=granularity, schedule=schedule),
                    row._replace(schedule=function),
                    id=f"{name}-{granularity}-{schedule}",
                )


@pytest.mark.parametrize(("opt", "row"), list(rules()))
def test_rules_follow_their_recurrences(opt, row):
    assert_follows(opt, row)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: "-".join([v.name, *v.changes]))
def test_changed_rules_follow_theirs(variant):
    assert_follows(make_rule(variant.name, 37, scale=7, **variant.changes), variant.row)


# Combinations that nobody has named


def anchored_optimism(field, eta_D, eta_G, x, y, D, G, **anchor):
    x_0, y_0, old_x = x, y, None
    for size_D, size_G, pull_D, pull_G in anchoring(eta_D, eta_G, **anchor):
        d_x, d_y = steps(field, x, y, D, G)
        if old_x is None:
            old_x, old_y = d_x, d_y
        x = x + size_D * (2 * d_x - old_x) + pull_D * (x_0 - x)
        y = y + size_G * (2 * d_y - old_y) + pull_G * (y_0 - y)
        old_x, old_y = d_x, d_y
        yield x, y


def anchored_korpelevich(field, eta_D, eta_G, x, y, D, G, **anchor):
    x_0, y_0 = x, y
    for size_D, size_G, pull_D, pull_G in anchoring(eta_D, eta_G, **anchor):
        x_here, y_here = x + pull_D * (x_0 - x), y + pull_G * (y_0 - y)
        d_x, d_y = steps(field, x, y, D, G)
        d_x, d_y = steps(field, x_here + size_D * d_x, y_here + size_G * d_y, D, G)
        x, y = x_here + size_D * d_x, y_here + size_G * d_y
        yield x, y


def anchored_popov(field, eta_D, eta_G, x, y, D, G, **anchor):
    x_0, y_0, d_x, d_y = x, y, 0 * x, 0 * y
    for size_D, size_G, pull_D, pull_G in anchoring(eta_D, eta_G, **anchor):
        x_here, y_here = x + pull_D * (x_0 - x), y + pull_G * (y_0 - y)
        d_x, d_y = steps(field, x_here + size_D * d_x, y_here + size_G * d_y, D, G)
        x, y = x_here + size_D * d_x, y_here + size_G * d_y
        yield x, y


def anchored_generator_first(field, eta_D, eta_G, x, y, D, G, **anchor):
    x_0, y_0 = x, y
    for size_D, size_G, pull_D, pull_G in anchoring(eta_D, eta_G, **anchor):
        _, g_y = field.gradients(x, y)
        y = y + size_G * G(g_y) + pull_G * (y_0 - y)
        g_x, _ = field.gradients(x, y)
        x = x + size_D * D(g_x) + pull_D * (x_0 - x)
        yield x, y


def bounded(form, m, v, norm_eps):
    """A form that divides by norm(m) + norm_eps."""
    return form(m, v) * np.linalg.norm(m) / (np.linalg.norm(m) + norm_eps)


ANCHOR = {"anchor": 2.5, "decay_D": 0.7, "decay_G": 0.3}
RYU = {"p_D": 0.7, "p_G": 0.3, "gamma": 2.5}
DECAYS = {"p_D": 0.5, "p_G": 1.0, "gamma": 0.0}
COMBINATIONS = [
    (
        {"schedule": "extragradient", "correction": "consensus", "correction_weight": 0.3}
        | {"direction": "momentum", "magnitude": "unit", "granularity": "layer"},
        Row(partial(Moments, unit_first), along(partial(mescheder, weight=0.3), korpelevich)),
    ),
    (
        {"schedule": "extragradient", "direction": "momentum", "heavy_ball": True, "beta1": -0.5},
        Row(partial(HeavyBall, beta=-0.5), korpelevich),
    ),
    (
        {"schedule": "extragradient", "direction": "momentum", "beta1": 0.5} | ANCHOR,
        Row(partial(Moments, first, beta1=0.5), partial(anchored_korpelevich, **RYU)),
    ),
    (
        {"schedule": "extragradient", "correction": "sga", "direction": "adam"} | ANCHOR,
        Row(adam, along(balduzzi, partial(anchored_korpelevich, **RYU))),
    ),
    (
        {"schedule": "past-extragradient", "direction": "adam", "magnitude": "momentum"},
        Row(partial(Moments, adadir), popov),
    ),
    (
        {"schedule": "past-extragradient", "magnitude": "unit", "correction": "hamiltonian"}
        | ANCHOR,
        Row(normalized, along(grad_H, partial(anchored_popov, **RYU))),
    ),
    (
        {"schedule": "past-extragradient", "direction": "momentum", "magnitude": "adam"}
        | {"granularity": "global", "decay_D": 0.5, "decay_G": 1},
        Row(partial(Moments, adalr), partial(anchored_popov, **DECAYS)),
    ),
    (
        {"schedule": "optimistic", "direction": "momentum", "magnitude": "adam"}
        | {"granularity": "layer"}
        | ANCHOR,
        Row(partial(Moments, adalr), partial(anchored_optimism, **RYU)),
    ),
    (
        {"schedule": "optimistic", "decay_D": 0.5, "decay_G": 1},
        Row(gradient, partial(anchored_optimism, **DECAYS)),
    ),
    (
        {"schedule": "optimistic", "magnitude": "unit", "granularity": "global"}
        | {"correction": "consensus", "first_step": "double"},
        Row(normalized, along(mescheder, partial(optimism, first="double"))),
    ),
    (
        {"schedule": "optimistic", "direction": "adam", "past_scale": "today"}
        | {"correction": "sga", "first_step": "plain"},
        Row(adam, along(balduzzi, optimism_with_todays_correction)),
    ),
    (
        {"schedule": "alternating-G-first", "correction": "sga"},
        Row(gradient, along(balduzzi, generator_first)),
    ),
    (
        {"schedule": "alternating-D-first", "correction": "sga", "direction": "adam"},
        Row(adam, along(balduzzi, discriminator_first)),
    ),
    (
        {"schedule": "alternating-G-first", "direction": "adam", "correction": "consensus"}
        | ANCHOR,
        Row(adam, along(mescheder, partial(anchored_generator_first, **RYU))),
    ),
    (  # no constant at its default
        {"direction": "momentum", "magnitude": "adam", "granularity": "layer", "beta1": -0.4}
        | {"beta2": 0.9, "eps": 1e-3, "norm_eps": 0.01, "bias_correction": False}
        | {"correction": "sga", "correction_weight": -0.4},
        Row(
            lambda cuts: Moments(
                partial(bounded, partial(adalr, eps=1e-3), norm_eps=0.01),
                cuts,
                beta1=-0.4,
                beta2=0.9,
                unbiased=False,
            ),
            along(partial(balduzzi, weight=-0.4)),
        ),
    ),
]


def label(value):
    """The names among an optimizer's fields."""
    if isinstance(value, dict):
        return "-".join(x for x in value.values() if isinstance(x, str)) + "-anchored" * (
            "anchor" in value
        )
    return ""


@pytest.mark.parametrize(("fields", "row"), COMBINATIONS, ids=label)
def test_combinations_follow_their_recurrences(fields, row):
    scale = 37**-0.5 if "adam" in fields.values() else 1
    assert_follows(tm.Optimizer(0.07 * scale, 0.02 * scale, **fields), row)


# The sign of sga's lambda


def alignment(xi, J, share=1.0):
    """Balduzzi et al. 2018; with a share of each coordinate in the inner products."""
    adjustment, grad_H = (J.T - J) @ xi / 2, J.T @ xi
    return (share * xi @ grad_H) * (share * adjustment @ grad_H) / xi.size + 0.1


@pytest.mark.parametrize("Engine", [ArrayEngine, DenseEngine, ReducedEngine])
def test_each_replica_has_its_own_sign_of_lambda(Engine):
    game = replace(clipping_game(37), lam=3.0)  # so that the bias decides some
    start = explicit_start(game, 40, 0, std_W=1.0, std_V=0.5 * game.d**-0.5, bias=1.0)
    _, basis = start.reduce()
    engine = Engine(game, make_rule("sga", game.d), start)
    engine.advance(1)
    end, signs, without_bias = lifted(engine, basis), [], []
    for k in range(40):
        field = Field(game, start.replica(k))
        expected = field.layers(*next(ROWS["sga"].run(field, (0.01, 0.003), field.players)))
        assert_close({name: x[k : k + 1] for name, x in end.items()}, expected, 1e-12)
        xi, J = -np.concatenate(field.gradients(*field.players)), field.jacobian(*field.players)
        signs.append(alignment(xi, J) > 0)
        without_bias.append(alignment(xi, J, np.arange(xi.size) != field.start.W.size) > 0)
    assert 10 < sum(signs) < 30
    assert signs != without_bias
