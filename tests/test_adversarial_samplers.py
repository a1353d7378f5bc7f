"""Chains for p_adv*: each step replayed by hand, exact starts that stay exact, stationary laws.

Statistical tests start independent chains, and look at them once: averages along one chain would
need its autocorrelation time.  Seeds are fixed.  At another seed a p-value would raise a false
alarm with probability `ALARM`, and one of a test of the plane, with its 15 of them, with 15 times
that; a mean within 4.5 standard errors, with 7e-6.  Planted bugs must fail the same tests.
"""

import functools
import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from adversarial_oracles import (
    ALARM,
    ANCHORS,
    UNIT,
    bottleneck,
    linear,
    mlp,
    p_values,
    panels,
    random_model,
    rejection_sample,
    target,
    without_layer,
)
from scipy.optimize import brentq, minimize_scalar
from scipy.signal import lfilter
from scipy.stats import kstest, norm

import twomode as tm
from twomode.adversarial import (
    SAMPLERS,
    Langevin,
    Model,
    Quadrature,
    SignStep,
    Stationary,
    Target,
    advance,
    closed_form,
    effective_sample_size,
    face_atom,
    sample,
    sampler,
    samplers,
    stationary,
    suited,
)
from twomode.adversarial.walls import fold, log_folded

LINE = target(linear(3.0, c=0.2), [[0.1]], 4.0)  # lam g = 12, on a box of width 1
HILL = target(random_model(1, hidden=6, seed=1, scale=2.0), [[0.0]], 8.0, eps=1.0)

# The step


def loss_and_slope(t, p, i):
    loss, slope = t.model.loss_grad(p[None], t.y[i : i + 1])
    return loss[0], slope[0]


def folded(y, low, high):
    while not low <= y <= high:
        y = 2 * low - y if y < low else 2 * high - y
    return y


def density(y, mean, sd, low, high, wall):
    """Of a coordinate of a step, seen from the inside."""
    if wall == "reject":
        return norm.pdf(y, mean, sd)
    k = 2 * (high - low) * np.arange(-40, 41)
    return (norm.pdf(y + k, mean, sd) + norm.pdf(2 * low - y + k, mean, sd)).sum()


def replay(t, chain, x, steps, rng):
    """One coordinate at a time, no gradient kept."""
    x, accepted = x.copy(), np.zeros(x.shape[:-1])

    def means(p, i):
        slope = loss_and_slope(t, p, i)[1]
        if isinstance(chain, SignStep):
            return p + chain.eta * t.eps * np.sign(slope)
        return p + chain.h * t.eps**2 * t.lam * slope

    sd = t.eps * (chain.sigma if isinstance(chain, SignStep) else math.sqrt(2 * chain.h))
    for _ in range(steps):
        xi = rng.standard_normal(x.shape) if sd else np.zeros(x.shape)
        u = rng.random(x.shape[:-1]) if chain.metropolis else None
        for c, i in np.ndindex(x.shape[:-1]):
            p, faces = x[c, i], list(zip(t.low[i], t.high[i], strict=True))
            m = means(p, i)
            q = m + sd * xi[c, i]
            if chain.wall == "project":
                # The talk's lines 9 and 10: to the ball of the anchor, then to the domain.
                q = np.clip(q, t.x[i] - t.eps, t.x[i] + t.eps)
                x[c, i] = np.clip(q, *UNIT)
                continue
            if chain.wall == "reflect":
                q = np.array([folded(v, *f) for v, f in zip(q, faces, strict=True)])
            if chain.metropolis:
                if not all(a <= v <= b for v, (a, b) in zip(q, faces, strict=True)):
                    continue
                ratio = math.exp(t.lam * (loss_and_slope(t, q, i)[0] - loss_and_slope(t, p, i)[0]))
                for j, back in enumerate(means(q, i)):
                    ratio *= density(p[j], back, sd, *faces[j], chain.wall)
                    ratio /= density(q[j], m[j], sd, *faces[j], chain.wall)
                if 1 - u[c, i] >= ratio:
                    continue
                accepted[c, i] += 1
            x[c, i] = q
    return x, accepted / steps if chain.metropolis else accepted + 1


@pytest.mark.parametrize(
    "chain",
    [
        SignStep(),
        SignStep(eta=0.2, sigma=0.7),
        sampler("projected", h=0.05),
        sampler("reflected", h=0.05),
        sampler("reflected", h=2.0),
        sampler("mala", h=0.03),
        sampler("mala-folded", h=0.1),
        sampler("mala-folded", h=1.0),
    ],
    ids=str,
)
def test_every_step_replayed_by_hand(chain):
    t, rng = mlp(2, 2.0), np.random.default_rng(5)
    x = rng.uniform(t.low, t.high, size=(12, 3, 2))
    steps = 12 if chain.metropolis else 4  # long steps uphill blow rounding up
    end = advance(t, chain, x, steps, np.random.default_rng(8))
    expected, acceptance = replay(t, chain, x, steps, np.random.default_rng(8))
    np.testing.assert_allclose(end.x, expected, atol=1e-9)
    np.testing.assert_allclose(end.acceptance, acceptance, atol=1e-12)
    assert end.gradients == steps + chain.metropolis
    assert not np.allclose(end.x, x)
    if chain.metropolis:  # there are rejections and steps after them
        assert 0.05 < end.acceptance.mean() < 0.95
    if chain.wall == "project":
        assert (end.x == t.low).any()
        assert (end.x == t.high).any()


@pytest.mark.parametrize("k", [1, 7])
def test_sign_step_without_noise_is_pgd(k):
    t, rng = mlp(2, 0.0), np.random.default_rng(2)
    x = start = rng.uniform(t.low, t.high, size=(4, 3, 2))
    for _ in range(k):
        slope = t.loss_grad(x)[1]
        x = np.clip(x + 2.5 * t.eps / k * np.sign(slope), t.x - t.eps, t.x + t.eps).clip(*UNIT)
    found = advance(t, SignStep(eta=2.5 / k, sigma=0.0), start, k, np.random.default_rng(0)).x
    np.testing.assert_allclose(found, x, atol=1e-14)
    assert t.losses(found).mean() > t.losses(start).mean() + 0.05


def test_sign_step_sees_no_lam_and_langevin_steps_do():
    t, rng = mlp(2, 1.0), np.random.default_rng(0)
    x = rng.uniform(t.low, t.high, size=(4, 3, 2))
    for name, chain in SAMPLERS.items():
        one, other = (
            advance(replace(t, lam=lam), chain, x, 2, np.random.default_rng(0)).x
            for lam in (1.0, 2.0)
        )
        assert np.array_equal(one, other) == (name == "sign")


# Exact starts stay exact


def eight_dimensions():
    """Boxes cut in some coordinates only."""
    rng = np.random.default_rng(4)
    g = rng.standard_normal(8)
    model = linear(*3 * g / np.linalg.norm(g), loss="logistic")
    return target(model, rng.random((2, 8)), 6, y=np.array([0, 1]), eps=0.3, domain=UNIT)


TARGETS = {
    "linear": without_layer(2, "linear", 4.0),
    "logistic": without_layer(2, "logistic", 5),
    "mlp": mlp(2, 2.0),
    "8-d": eight_dimensions(),
}
LAWS = {name: closed_form(t) for name, t in TARGETS.items()}
CHAINS = 10_000


@functools.cache
def exact_draws(case, seed):
    law, rng = LAWS[case], np.random.default_rng(seed)
    if isinstance(law, Quadrature):
        return rejection_sample(law.target, CHAINS, rng)
    return law.sample(CHAINS, rng)


def after_steps(case, chain, believed=None, steps=5):
    """P-values of chains that start from the exact law, and acceptances."""
    law = LAWS[case]
    believed = law.target if believed is None else believed
    end = advance(believed, chain, exact_draws(case, 1), steps, np.random.default_rng(3))
    return p_values(end.x, law, exact_draws(case, 2)), end.acceptance.mean(axis=0)


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize(
    ("name", "sizes"),
    [("mala", {"h": 0.05}), ("mala-folded", {"h": 0.1}), ("mala-folded", {"h": 0.2})],
)
def test_metropolis_leaves_p_adv_as_it_is(name, sizes, case):
    if (case, name) == ("8-d", "mala"):
        sizes = {"h": 0.01}  # it gets stuck in corners
    found, acceptance = after_steps(case, sampler(name, **sizes))
    assert min(found.values()) > ALARM, found
    assert ((acceptance > 0.1) & (acceptance < 0.95)).all(), acceptance


def test_small_reflected_steps_nearly_do():
    """Their bias, of order h, is below what the test sees: the control of planted drifts."""
    for case in TARGETS:
        found, _ = after_steps(case, sampler("reflected", h=2e-4), steps=50)
        assert min(found.values()) > ALARM, found


class NoEnergy(Target):
    """Metropolis that accepts by the proposals only."""

    def loss_grad(self, x):
        loss, gradient = super().loss_grad(x)
        return 0 * loss, gradient


def made(kind, t):
    return kind(**vars(t))


def clip_instead(y, low, high):
    return np.clip(y, low, high)


FOLDED, REFLECTED = sampler("mala-folded", h=0.3), sampler("reflected", h=2e-4)
UPHILL = Langevin.drift
#: By name: sampler, steps, what the chains believe, and what is replaced where.
PLANTED = {
    "twice lam": (FOLDED, 5, lambda t: replace(t, lam=2 * t.lam), None),
    "batch mean": (FOLDED, 5, lambda t: replace(t, lam=t.lam / len(t.x)), None),
    "labels flipped": (FOLDED, 5, lambda t: replace(t, y=1 - t.y), None),
    "energy forgotten": (FOLDED, 5, lambda t: made(NoEnergy, t), None),
    "accepted by the unfolded density": (
        FOLDED, 5, None, (samplers, "log_folded", samplers.log_normal)),
    "accepted without a density": (
        FOLDED, 5, None, (samplers, "log_folded", lambda y, *_: 0 * y)),
    "mala without a density": (
        sampler("mala", h=0.05), 5, None, (samplers, "log_normal", lambda y, *_: 0 * y)),
    "clip and accept": (FOLDED, 5, None, (samplers, "fold", clip_instead)),
    "unadjusted, projected": (sampler("projected", h=0.05), 5, None, None),
    "unadjusted, reflected": (sampler("reflected", h=0.3), 5, None, None),
    "sign step": (SignStep(), 5, None, None),
    "drift downhill": (
        REFLECTED, 50, None, (Langevin, "drift", lambda self, t, g: -UPHILL(self, t, g))),
    "drift without lam": (
        REFLECTED, 50, None, (Langevin, "drift", lambda self, t, g: UPHILL(self, t, g) / t.lam)),
    "noise of h": (
        REFLECTED, 50, None, (Langevin, "noise", lambda self, t: t.eps * math.sqrt(self.h))),
}  # fmt: skip


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_are_found(bug, monkeypatch):
    chain, steps, belief, patch = PLANTED[bug]
    if patch:
        monkeypatch.setattr(*patch)
    found, _ = after_steps("mlp", chain, belief and belief(TARGETS["mlp"]), steps)
    assert min(found.values()) < ALARM**2


def test_metropolis_reaches_p_adv_from_anywhere():
    """From the anchors: the law that stays is the only one."""
    t = mlp(2, 1.0)
    law, start = Quadrature(t), np.broadcast_to(t.x, (2000, 3, 2))
    fresh = rejection_sample(t, 2000, np.random.default_rng(1))
    for steps, there in ((40, True), (2, False)):
        end = advance(t, sampler("mala-folded", h=0.2), start, steps, np.random.default_rng(0))
        p = min(p_values(end.x, law, fresh).values())
        assert p > ALARM if there else p < ALARM**2


# Walls


def test_fold_reflects_as_often_as_it_takes():
    low, high = np.array([-0.3, 2.0]), np.array([0.5, 2.1])
    rng = np.random.default_rng(0)
    inside = rng.uniform(low, high, size=(50, 2))
    np.testing.assert_allclose(fold(inside, low, high), inside, atol=1e-14)
    for far in (0.01, 1.0, 30.0, 1e6):
        y = rng.normal(0.5, far, size=(200, 2))
        z = fold(y, low, high)
        assert ((z >= low) & (z <= high)).all()
        np.testing.assert_allclose(fold(2 * low - y, low, high), z, atol=1e-13 * max(1, far))
        np.testing.assert_allclose(fold(2 * high - y, low, high), z, atol=1e-13 * max(1, far))
        # What is even around a face and has its period does not see the fold.
        phase = np.pi / (high - low)
        even = [np.cos(phase * (v - low)) for v in (y, z)]
        np.testing.assert_allclose(*even, atol=1e-12 * max(1, far))
    low, high = np.sort(rng.standard_normal((2, 1000)), axis=0)
    for y in (low, high):  # though low + (high - low) may be more than high
        z = fold(y, low, high)
        assert ((z >= low) & (z <= high)).all()
    low, high = np.array([-0.3, 2.0]), np.array([0.5, 2.1])
    y = rng.uniform(high, high + 0.05, size=(9, 2))
    np.testing.assert_allclose(fold(y, low, high), 2 * high - y, atol=1e-14)


@pytest.mark.parametrize("width", [1.0, 0.2])
@pytest.mark.parametrize("sd", [0.01, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 100.0])
def test_folded_density_is_that_of_the_fold(sd, width):
    """`sd` in widths; beyond three it may be the uniform law, to 1e-19."""
    low, high = np.array([0.3]), np.array([0.3 + width])
    y, w = panels(low, high, order=24, count=40)
    for mean in (low, low + 0.37 * width, high, high + 0.6 * width, low - 7.3 * width):
        p = np.exp(log_folded(y, mean, sd * width, low, high))[:, 0]
        assert w @ p == pytest.approx(1, abs=1e-12)
        k = 2 * width * np.arange(-30, 31)[:, None]
        images = np.concatenate([y.T + k, 2 * low - y.T + k])
        expected = norm.pdf(images, mean, sd * width).sum(axis=0) if sd < 3 else 1 / width
        np.testing.assert_allclose(p, expected, rtol=1e-10, atol=1e-12 / width)
    some = np.linspace(low, high, 9)
    kernel = log_folded(some, some[:, None], sd * width, low, high)[..., 0]
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-9)  # where it does not drift


def test_folded_density_in_boxes_of_different_widths():
    low, high = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.01], [1.2, 5.0]])
    rng, sd = np.random.default_rng(0), 0.15
    y, mean = rng.uniform(low, high, size=(2, 7, 2, 2))
    together = log_folded(y, mean, sd, low, high)
    for c, i, j in np.ndindex(y.shape):
        one = density(y[c, i, j], mean[c, i, j], sd, low[i, j], high[i, j], "reflect")
        if sd < 3 * (high - low)[i, j]:
            assert together[c, i, j] == pytest.approx(math.log(one), rel=1e-10, abs=1e-12)
        else:
            uniform = -math.log(high[i, j] - low[i, j])
            assert together[c, i, j] == pytest.approx(uniform, abs=1e-12)


# Stationary laws


def exact_density(t, x):
    return np.exp(Quadrature(t).log_density(x[:, None, None])[:, 0])


def mean_loss(t, law):
    return law.mass @ t.losses(law.x[:, None, None])[:, 0]


@pytest.mark.parametrize(("name", "order"), [("projected", 0.5), ("reflected", 1.0)])
@pytest.mark.parametrize("t", [replace(LINE, lam=1.0), replace(LINE, lam=2.0), HILL])
def test_order_of_the_bias_in_h(name, order, t):
    exact, h = Quadrature(t).mean_loss[0], 2e-4 if name == "projected" else 8e-4
    bias = [mean_loss(t, stationary(t, sampler(name, h=h))) - exact for h in (2 * h, h)]
    assert abs(math.log2(bias[0] / bias[1]) - order) < 0.02
    assert abs(bias[1]) > 1e-6


def test_reflected_law_comes_to_p_adv_faster_than_the_projected_one():
    for t in (LINE, HILL):
        last = {}
        for name, fall in (("reflected", 4), ("projected", 2)):
            laws = [stationary(t, sampler(name, h=h)) for h in (2e-3, 5e-4)]
            first, last[name] = (u.total_variation(exact_density(t, u.x)) for u in laws)
            assert first / last[name] == pytest.approx(fall, rel=0.15)
        assert last["reflected"] < 0.1 * last["projected"]


@pytest.mark.parametrize("beta", [0.25, 1.0, 2.0])
def test_atom_of_a_face_under_constant_drift(beta):
    """Of a Langevin chain and of a sign step; on a box of 24 decay lengths of p_adv*."""
    t = replace(LINE, lam=16.0)  # lam g eps = 24
    h = 2 * (beta / 24) ** 2
    law = stationary(t, sampler("projected", h=h))
    assert t.eps * 16 * 3 * math.sqrt(h / 2) == pytest.approx(beta)
    assert law.x[-1] == t.high
    assert law.mass[-1] == pytest.approx(face_atom(beta), abs=1e-9)
    assert law.mass[-2] < 1e-9
    sign = stationary(t, SignStep(eta=0.05 * beta, sigma=0.05))
    assert sign.mass[-1] == pytest.approx(face_atom(beta), abs=1e-5)
    downhill = stationary(replace(t, y=1 - t.y), sampler("projected", h=h))
    assert downhill.mass[-2] == pytest.approx(face_atom(beta), abs=1e-9)


@pytest.mark.parametrize("beta", [0.2, 0.5, 1.0])
def test_atom_is_how_often_a_walk_is_at_its_wall(beta):
    """20,000 independent walks that a wall holds up, at the end of 400 steps and more."""
    rng, n = np.random.default_rng(6), 20_000
    w = np.zeros(n)
    for _ in range(int(40 / beta**2)):  # the slowest forgets as exp(-beta^2 t / 2)
        w = np.maximum(0, w - beta + rng.standard_normal(n))
    p = face_atom(beta)
    assert abs((w == 0).mean() - p) < 4.5 * math.sqrt(p * (1 - p) / n)
    for wrong in (0.9 * beta, 1.1 * beta):
        assert abs((w == 0).mean() - face_atom(wrong)) > 4.5 * math.sqrt(p * (1 - p) / n)


def smooth_panels(t):
    """Nodes and weights between the zeros of the slope, where a sign step jumps."""
    fine = np.linspace(t.low.item(), t.high.item(), 4000)

    def slope(x):
        return t.loss_grad(np.full((1, 1), x))[1].item()

    signs = np.sign([slope(x) for x in fine])
    turns = [brentq(slope, *fine[k : k + 2], xtol=1e-14) for k in np.nonzero(np.diff(signs))[0]]
    edges = [t.low.item(), *turns, t.high.item()]
    parts = [panels([a], [b], count=20) for a, b in pairwise(edges)]
    return (np.concatenate([np.ravel(part[k]) for part in parts]) for k in (0, 1))


@pytest.mark.parametrize(
    "t",
    [LINE, HILL, replace(HILL, lam=20.0), mlp(1, 3.0).take([0])],
    ids=["line", "hill", "steep hill", "mlp"],
)
@pytest.mark.parametrize(
    "chain",
    [SignStep(), SignStep(0.02, 0.1), sampler("projected"), sampler("reflected"),
     sampler("reflected", h=0.5)],
    ids=str,
)  # fmt: skip
def test_stationary_law_is_a_fixed_point(chain, t):
    """On a grid of its own: the density that a step leaves, cosine moments that another one does.

    These are in closed form where the wall reflects.
    """
    law = stationary(t, chain)
    assert law.mass.sum() == pytest.approx(1, abs=1e-12)
    assert (law.mass > -1e-12).all()
    assert law.x[[-2, -1]].tolist() == [t.low.item(), t.high.item()]
    assert (law.mass[-2:] > 0).all() == (chain.wall == "project")
    assert law.weights.sum() == pytest.approx(np.ptp(law.x))
    low, high, sd = t.low.item(), t.high.item(), chain.noise(t)

    def means(x):
        return x + chain.drift(t, t.loss_grad(x[:, None, None])[1])[:, 0, 0]

    x, w = smooth_panels(t)
    images = [x] if chain.wall == "project" else [
        z + 2 * k * (high - low) for k in range(-15, 16) for z in (x, 2 * low - x)
    ]  # fmt: skip
    mass = w * sum(law.mass @ norm.pdf(z, means(law.x)[:, None], sd) for z in images)
    x, mass = np.append(x, law.x[-2:]), np.append(mass, law.mass[-2:])
    assert mass.sum() == pytest.approx(1, abs=1e-9)
    y, w = (a.ravel() for a in panels(t.low[0], t.high[0], order=20, count=40))
    for k in range(1, 6):
        phase = k * np.pi / (high - low)
        if chain.wall == "reflect":
            after = np.exp(-((phase * sd) ** 2) / 2) * np.cos(phase * (means(x) - low))
        else:
            after = norm.pdf(y, means(x)[:, None], sd) @ (w * np.cos(phase * (y - low)))
            after += norm.cdf(low, means(x), sd) + (-1) ** k * norm.sf(high, means(x), sd)
        before = law.mass @ np.cos(phase * (law.x - low))
        assert mass @ after == pytest.approx(before, abs=1e-8)


def test_stationary_law_where_a_slope_is_zero_at_the_middle():
    """An even loss, whose sign turns exactly where one may look, and right beside it."""
    model = Model(np.array([[1.0, -1.0]]), np.zeros(1), np.array([[2.0], [2.0]]),
                  np.array([1.0, -1.0]), loss="linear")  # fmt: skip
    at, beside = (
        stationary(target(model, [[x]], 1.0, eps=1.0), SignStep(0.3, 0.31)) for x in (0.0, 1e-10)
    )
    np.testing.assert_allclose(at.mass[-2:], beside.mass[-2:], rtol=1e-8)
    assert at.mass @ at.x**2 == pytest.approx(beside.mass @ beside.x**2, rel=1e-8)


@pytest.mark.parametrize(
    "chain", [SignStep(0.05, 0.3), sampler("projected", h=0.02), sampler("reflected", h=0.02)],
    ids=str,
)  # fmt: skip
def test_long_chains_have_the_stationary_law(chain):
    """4000 independent ones: the inner law, the atoms and the mean loss."""
    law = stationary(HILL, chain)
    x = sample(HILL, chain, 400, chains=4000, burn=399, seed=1).x[0, :, 0, 0]
    inner = x[(x > HILL.low.item()) & (x < HILL.high.item())]

    def p_value(law):
        nodes, mass = law.x[:-2], law.mass[:-2]
        order = np.argsort(nodes)
        cdf = np.cumsum(mass[order]) - mass[order] / 2
        return kstest(inner, lambda v: np.interp(v, nodes[order], cdf / cdf[-1])).pvalue

    def z(f, expected):
        return abs(f.mean() - expected) / (f.std(ddof=1) / math.sqrt(4000))

    loss = HILL.losses(x[:, None, None])[:, 0]
    assert p_value(law) > ALARM
    assert z(loss, mean_loss(HILL, law)) < 4.5
    if chain.wall == "project":
        assert all(z(x == face, p) < 4.5 for face, p in zip(law.x[-2:], law.mass[-2:], strict=True))
    else:
        assert len(inner) == 4000
    other = stationary(replace(HILL, y=1 - HILL.y), chain)
    assert p_value(other) < ALARM**2
    assert z(loss, mean_loss(HILL, other)) > 9


# What the sign step samples


def potential(t, x):
    """V with V' = sign(l'), at increasing numbers."""
    sign = np.sign(t.loss_grad(x[:, None, None])[1][:, 0, 0])
    return np.concatenate([[0], np.cumsum((sign[1:] + sign[:-1]) / 2 * np.diff(x))])


def limit(t, eta, sigma):
    """The density of the sign step's law where steps get small."""
    x = np.linspace(t.low.item(), t.high.item(), 20_001)
    p = np.exp(2 * eta / (sigma**2 * t.eps) * potential(t, x))
    return lambda y: np.interp(y, x, p / np.trapezoid(p, x))


def least_distance(t, law):
    """From p_adv* at the best lam: total variation, and where."""
    y, w = panels(t.low[0], t.high[0], order=10, count=60)
    l_y, l_x = (t.losses(z.reshape(-1, 1, 1))[:, 0] for z in (y, law.x))

    def distance(log_lam):
        lam = math.exp(log_lam)
        return law.total_variation(np.exp(lam * l_x) / (w @ np.exp(lam * l_y)))

    grid = np.linspace(-4, 5, 60)
    best = grid[np.argmin([distance(u) for u in grid])]
    found = minimize_scalar(distance, bounds=(best - 0.2, best + 0.2), method="bounded")
    return found.fun, math.exp(found.x)


ETA, SIGMA = 0.125, 0.3


@pytest.mark.parametrize("t", [LINE, HILL], ids=["linear", "mlp"])
def test_sign_steps_law_at_small_steps(t):
    """exp(2 eta / (sigma^2 eps) V), with an error of order sigma: the walls project."""
    tv = []
    for shrink in (1, 4, 16, 64):
        law = stationary(t, SignStep(ETA / shrink, SIGMA / math.sqrt(shrink)))
        tv.append(law.total_variation(limit(t, ETA, SIGMA)(law.x)))
    assert tv[3] < 0.08
    assert tv[2] / tv[3] == pytest.approx(2, rel=0.06)
    wrong = stationary(t, SignStep(ETA / 64, SIGMA / 8)).total_variation(
        limit(t, ETA / 2, SIGMA)(law.x)
    )
    assert wrong > 0.12


def test_sign_step_samples_p_adv_only_where_slopes_are_equal():
    """Line: at lam = 2 eta / (sigma^2 eps |g|).  Hill: .207 away at the best lam, 7.6."""
    far, best = {}, {}
    for name, t in (("line", LINE), ("hill", HILL)):
        y, w = (a.ravel() for a in panels(t.low[0], t.high[0], order=10, count=60))
        far[name], best[name] = least_distance(t, Stationary(y, w, w * limit(t, ETA, SIGMA)(y)))
        chains = [SignStep(ETA / s, SIGMA / math.sqrt(s)) for s in (1, 16, 64)]
        far[name, "steps"] = [least_distance(t, stationary(t, chain))[0] for chain in chains]
    assert far["line"] < 1e-5
    assert best["line"] == pytest.approx(2 * ETA / (SIGMA**2 * LINE.eps * 3), rel=1e-4)
    _, second, third = far["line", "steps"]
    assert second / third == pytest.approx(2, rel=0.1)  # of order sigma, as the walls project
    assert far["hill"] == pytest.approx(0.2068, abs=1e-3)
    assert best["hill"] == pytest.approx(7.57, abs=0.05)
    assert min(far["hill", "steps"]) > far["hill"]


@pytest.mark.parametrize(
    ("t", "chain", "message"),
    [
        (mlp(2, 1.0), SignStep(), "d=2: stationary laws are for d = 1"),
        (LINE, sampler("mala"), "has p_adv\\* itself"),
        (LINE, sampler("projected", h=1e-5), "crosses the box in 447 noises: at most 300"),
        (LINE, SignStep(sigma=0.0), "has no noise, so no stationary law"),
    ],
)
def test_stationary_refuses_by_value(t, chain, message):
    with pytest.raises(tm.InputError, match=message):
        stationary(t, chain)


def test_stationary_refuses_an_anchor_that_there_is_not():
    n = len(LINE.x)
    assert stationary(LINE, sampler("projected"), n - 1).mass.sum() == pytest.approx(1)
    with pytest.raises(tm.InputError, match=f"anchor={n} is none of the {n}, from 0"):
        stationary(LINE, sampler("projected"), n)


@pytest.mark.parametrize("beta", [0.0, 0.001, -1.0, math.nan, math.inf])
def test_face_atom_refuses_by_value(beta):
    with pytest.raises(tm.InputError, match=f"beta={beta!r} must be"):
        face_atom(beta)


# Sampling


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_is_kept(name, monkeypatch):
    t, calls, seen = mlp(2, 2.0), [], []
    plain = Model.loss_grad
    monkeypatch.setattr(
        Model, "loss_grad", lambda self, x, y: (calls.append(len(x)), plain(self, x, y))[1]
    )
    every = sample(
        t, SAMPLERS[name], 20, chains=5, seed=3, progress=lambda p: seen.append((p.done, p.total))
    )
    assert calls == [15] * (20 + SAMPLERS[name].metropolis)
    assert every.gradients == len(calls)
    assert seen[0][1] == 20
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (20, 20)
    assert every.x.shape == (20, 5, 3, 2)
    assert repr(every) == "<Chains: 20 states of 5 chains of 3 anchors, d = 2>"
    assert (every.losses.shape, every.acceptance.shape) == ((20, 5, 3), (3,))
    np.testing.assert_array_equal(every.x[0], np.broadcast_to(t.x, (5, 3, 2)))
    np.testing.assert_allclose(every.losses, t.losses(every.x), rtol=1e-13)
    some = sample(t, SAMPLERS[name], 20, chains=5, burn=6, every=4, seed=np.random.default_rng(3))
    np.testing.assert_array_equal(some.x, every.x[6::4])
    np.testing.assert_array_equal(some.losses, every.losses[6::4])
    assert some.gradients == every.gradients
    np.testing.assert_array_equal(some.acceptance, every.acceptance)
    assert (sample(t, SAMPLERS[name], 20, chains=5, seed=4).x[-1] != every.x[-1]).any()
    moved = (every.x[1:] != every.x[:-1]).any(axis=-1)
    if SAMPLERS[name].metropolis:  # the last step is not among those kept
        assert (np.abs(moved.mean(axis=(0, 1)) * 19 - every.acceptance * 20) <= 1 + 1e-9).all()
    else:
        assert (every.acceptance == 1).all()
    start = rng_points(t, (5, 3, 2))
    np.testing.assert_array_equal(sample(t, SAMPLERS[name], 1, chains=5, start=start).x[0], start)


def rng_points(t, shape):
    return np.random.default_rng(9).uniform(t.low, t.high, size=shape)


@pytest.mark.parametrize("name", SAMPLERS)
def test_chains_stay_in_their_boxes_and_move_no_point_by_more_than_eps(name):
    """And those of boxes wider by a tenth do not."""
    anchors = np.stack(np.meshgrid(range(4), range(4)), -1).reshape(-1, 2) / 3
    model = linear(60.0, -40.0)
    for factor in (1.0, 1.1):
        t = target(model, anchors, 1.0, eps=0.1 * factor, domain=UNIT)
        x = sample(t, SAMPLERS[name], 30, chains=3, burn=29, seed=1).x[0]
        assert ((x >= t.low) & (x <= t.high)).all()
        copies = np.tile(anchors, (3, 1))
        moved = bottleneck(np.random.default_rng(0).permutation(x.reshape(-1, 2)), copies)
        assert (moved <= 0.1 * (1 + 1e-12)) == (factor == 1)


def test_chains_know_their_effective_size():
    chains = sample(mlp(2, 2.0), sampler("mala-folded", h=0.1), 200, chains=4)
    np.testing.assert_array_equal(chains.ess, effective_sample_size(chains.losses))
    assert ((chains.ess > 20) & (chains.ess < 800)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps=0 must be a whole number of at least 1"),
        ({"steps": 2.5}, r"steps=2\.5"),
        ({"chains": 0}, "chains=0"),
        ({"burn": -1}, "burn=-1"),
        ({"burn": 10}, "burn=10 leaves none of steps=10"),
        ({"every": 0}, "every=0"),
        ({"start": np.zeros((2, 3, 2))}, r"start has shape \(2, 3, 2\): \(1, 3, 2\)"),
        ({"start": np.full((1, 3, 2), 0.4)}, "a start lies outside its box: clip it"),
        ({"start": ANCHORS[None] - [[[0, 0], [0.11, 0], [0, 0]]]}, "a start lies outside its box"),
        ({"start": np.full((1, 3, 2), np.nan)}, "a start lies outside its box"),
        ({"sampler": sampler("mala", h=1e7)}, r"h=10000000\.0\) accepted none of 30 .* h smaller"),
    ],
)  # fmt: skip
def test_sample_refuses_by_value(changes, message):
    given = {"sampler": SignStep(), "steps": 10} | changes
    with pytest.raises(tm.InputError, match=message):
        sample(mlp(2, 2.0), **given)


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("malla", {}, "unknown sampler 'malla': did you mean mala"),
        ("sign", {"h": 0.1}, r"h=0\.1: sampler sign takes eta and sigma"),
        ("mala", {"eta": 0.1}, r"eta=0\.1: sampler mala takes h"),
        ("mala", {"wall": "reflect"}, "wall='reflect': sampler mala takes h"),
        ("mala", {"h": 0.0}, r"h=0\.0 must be positive"),
        ("mala", {"h": math.nan}, "h=nan must be positive"),
        ("sign", {"eta": -0.5}, r"eta=-0\.5 must be a finite number and at least 0"),
        ("sign", {"sigma": math.inf}, "sigma=inf must be a finite number"),
    ],
)
def test_sampler_refuses_by_value(name, sizes, message):
    with pytest.raises(tm.InputError, match=message):
        sampler(name, **sizes)


@pytest.mark.parametrize(
    ("wall", "metropolis", "message"),
    [
        ("project", True, "a projected step has no density"),
        ("reject", False, "only Metropolis can reject"),
        ("absorb", False, "unknown wall 'absorb'"),
    ],
)
def test_walls_that_do_not_fit(wall, metropolis, message):
    with pytest.raises(tm.InputError, match=re.escape(message)):
        Langevin(wall, metropolis)


# Effective sample size


def autoregressive(phi, T, chains, seed=0):
    """f_t = phi f_{t-1} + noise, stationary from the start: autocorrelations phi^t."""
    noise = np.random.default_rng(seed).standard_normal((T, chains))
    noise[0] /= math.sqrt(1 - phi**2)
    return lfilter([1], [1, -phi], noise, axis=0)


@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.5, 0.9])
def test_effective_sample_size_of_an_autoregression(phi):
    """N (1 - phi) / (1 + phi), to 10 %: the standard deviation is below 3 % at any of these."""
    f = autoregressive(phi, 10_000, 16)
    expected = f.size * (1 - phi) / (1 + phi)
    assert effective_sample_size(f) == pytest.approx(expected, rel=0.1)
    several = np.stack([f, autoregressive(0.5, 10_000, 16, seed=1)], axis=-1)
    found = effective_sample_size(several)
    assert found.shape == (2,)
    assert found[0] == pytest.approx(effective_sample_size(f))
    assert found[1] == pytest.approx(f.size / 3, rel=0.1)
    assert effective_sample_size(5 - 3 * f) == pytest.approx(effective_sample_size(f))


def test_effective_sample_size_is_what_means_of_chains_vary_by():
    """The variance of 4000 means over 200 steps, itself within 10 % (4.5 of its 2.2 %)."""
    f = autoregressive(0.7, 200, 4000)
    assert f.mean(axis=0).var() == pytest.approx(f.var() * 4000 / effective_sample_size(f), rel=0.1)


def test_autocorrelations_do_not_wrap_around():
    """Of a ramp, by their definition: the end of a chain is no neighbour of its start.

    Its halves are two chains, which do not agree.
    """
    f = np.linspace(-1, 1, T := 100)
    halves = f.reshape(2, T // 2)
    centred, n = halves - halves.mean(axis=1, keepdims=True), T // 2
    covariance = np.array([(centred[:, k:] * centred[:, : n - k]).sum() for k in range(n)]) / T
    total = covariance[0] + halves.mean(axis=1).var(ddof=1)
    rho = 1 - (covariance[0] * n / (n - 1) - covariance) / total
    rho[0] = 1
    pairs = np.minimum.accumulate(rho[: n - 2 : 2] + rho[1 : n - 1 : 2])
    time = 2 * pairs[:-1].sum() + rho[n - 4 + n % 2 : n - 3 + n % 2].sum() - 1
    assert effective_sample_size(f[:, None]) == pytest.approx(T / time)


def test_chains_that_disagree_count_as_one_draw_each():
    f = autoregressive(0.0, 500, 4) * 0.01 + np.arange(4)
    assert effective_sample_size(f) < 8
    assert effective_sample_size(f - np.arange(4)) > 1000


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 7.7, -1e6])
@pytest.mark.parametrize("shape", [(1000, 3), (7, 1), (64, 4)])
def test_constants_have_no_effective_sample_size(value, shape):
    assert np.isnan(effective_sample_size(np.full(shape, value)))
    f = np.stack([np.full(shape, value), autoregressive(0.0, *shape)], axis=-1)
    assert np.isnan(effective_sample_size(f)).tolist() == [True, False]


# A step for each anchor


def test_steps_suit_their_anchors():
    """Of a linear loss in one dimension they are as 1/lam^2, where that is steep enough."""
    flat = target(linear(3.0), [[0.0], [0.1]], 20.0)
    steep = replace(flat, lam=200.0)
    wide, narrow = (suited(t, sampler("mala-folded"), seed=3) for t in (flat, steep))
    assert wide.sampler.h.shape == (2, 1)
    ratio = np.log(wide.sampler.h.mean() / narrow.sampler.h.mean()) / np.log(100)
    assert ratio == pytest.approx(1, abs=0.15)
    for found, t in ((wide, flat), (narrow, steep)):
        there = advance(t, found.sampler, found.x, 200, np.random.default_rng(0))
        assert there.acceptance.mean() == pytest.approx(0.6, abs=0.1)
        unadjusted = suited(t, sampler("reflected"), seed=3)
        assert (unadjusted.sampler.h < found.sampler.h / 3).all()
        assert not unadjusted.sampler.metropolis
    assert (suited(replace(flat, lam=0.0), sampler("mala-folded")).sampler.h == 1).all()


def test_a_step_for_each_anchor_is_that_of_each_alone():
    """Of unadjusted steps, whose noise is all that is drawn."""
    t = mlp(2, 2.0)
    h = np.full((len(t.x), 1), 0.05)
    ends = [
        advance(t, sampler("reflected", h=size), t.x, 5, np.random.default_rng(0)).x
        for size in (0.05, h)
    ]
    np.testing.assert_array_equal(*ends)
    with pytest.raises(tm.InputError, match=r"h has shape \(1, 1\): \(\d, 1\) is needed"):
        advance(t, sampler("reflected", h=h[:1]), t.x, 5, np.random.default_rng(0))
    with pytest.raises(tm.InputError, match="must be positive"):
        sampler("reflected", h=-h)
