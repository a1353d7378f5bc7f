"""p_adv* in closed form: exponentials against quadrature, quadrature against 30 digits, duality.

Tests of samples have fixed seeds; each of their p-values would raise a false alarm at another seed
with probability `ALARM`.
"""

import itertools
import math

import mpmath as mp
import numpy as np
import pytest
from adversarial_oracles import (
    ALARM,
    ANCHORS,
    LABELS,
    UNIT,
    bottleneck,
    cells,
    counts_p_value,
    for_one,
    linear,
    loss_bound,
    marginals,
    mlp,
    over,
    p_values,
    panels,
    random_model,
    rejection_sample,
    target,
    without_layer,
)
from scipy.stats import kstest, norm

import twomode as tm
from twomode import errors
from twomode.adversarial import Data, Quadrature, Target, TruncatedExponentials, closed_form

# Exact forms


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize(
    ("loss", "lam"),
    [("linear", 0), ("linear", 0.7), ("linear", 9.0), ("linear", 1e-5)]
    + [("logistic", lam) for lam in (0, 1, 2, 5, 20)],
)
def test_exponentials_are_what_quadrature_finds(d, loss, lam):
    t, rng = without_layer(d, loss, lam), np.random.default_rng(d)
    exact, by_nodes = TruncatedExponentials(t), Quadrature(t)
    for name in ("log_Z", "log_mean", "mean", "mean_loss", "var_loss", "kl"):
        np.testing.assert_allclose(
            getattr(exact, name), getattr(by_nodes, name), rtol=1e-11, atol=1e-11
        )
    corners = np.sort(rng.uniform(-0.3, 1.3, size=(2, 200, 3, d)), axis=0)  # some lie outside
    found = exact.probability(*corners)
    inside = np.maximum(corners[0], t.low), np.minimum(corners[1], t.high)
    np.testing.assert_array_equal(found, exact.probability(*inside))  # cut on either side
    np.testing.assert_allclose(found, by_nodes.probability(*corners), rtol=1e-11, atol=1e-11)
    assert (found == 0).any()
    assert np.ptp(found) > 0.4
    for j in range(d):
        x = rng.uniform(-0.3, 1.3, size=(100, 3))
        found = exact.cdf(x, j)
        np.testing.assert_allclose(found, by_nodes.cdf(x, j), rtol=1e-11, atol=1e-11)
        np.testing.assert_array_equal(found[x <= t.low[:, j]], 0)
        np.testing.assert_allclose(found[x >= t.high[:, j]], 1, rtol=1e-14)
    if lam:
        assert exact.dual == pytest.approx(by_nodes.dual, rel=1e-11, abs=1e-14 / lam)
    x = rng.uniform(t.low, t.high, size=(50, 3, d))
    np.testing.assert_allclose(exact.log_density(x), by_nodes.log_density(x), atol=1e-11)


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_quadrature_matches_thirty_digits(activation):
    model, lam, eps = random_model(1, "logistic", activation, hidden=4, scale=2.0), 11.0, 0.8
    t = target(model, [[0.3]], lam, y=np.array([1]), eps=eps, domain=(-1.0, 0.9))
    law = Quadrature(t)
    with mp.workdps(30):
        phi = {"tanh": mp.tanh, "softplus": lambda z: mp.log1p(mp.exp(z))}[activation]

        def loss(x):
            layer = [phi(w * x + b) for w, b in zip(model.B[:, 0], model.b, strict=True)]
            return mp.log1p(mp.exp(-mp.fdot(model.A[0], layer) - model.c[0]))

        def integral(f, low=-0.5, high=0.9):
            faces = mp.linspace(mp.mpf(low), mp.mpf(high), 6)
            return mp.quad(lambda x: f(x) * mp.exp(lam * loss(x)), faces)

        Z = integral(lambda x: 1)
        mean_loss = integral(loss) / Z
        var_loss = integral(lambda x: (loss(x) - mean_loss) ** 2) / Z
        exact = {
            "log_Z": mp.log(Z),
            "log_mean": mp.log(Z / mp.mpf(1.4)),
            "mean_loss": mean_loss,
            "var_loss": var_loss,
            "kl": lam * mean_loss - mp.log(Z / mp.mpf(1.4)),
            "mean": integral(lambda x: x) / Z,
        }
        cdf = [float(integral(lambda x: 1, high=x) / Z) for x in (-0.4, 0.1, 0.7)]
    for name, value in exact.items():
        assert getattr(law, name).item() == pytest.approx(float(value), rel=1e-12, abs=1e-13), name
    assert law.cdf(np.array([[-0.4], [0.1], [0.7]]))[:, 0] == pytest.approx(cdf, rel=1e-12)
    assert law.kl[0] > 0.1


@pytest.mark.parametrize(("loss", "lam"), [("linear", 3.7), ("logistic", 0), ("logistic", 20)])
def test_many_dimensions_match_thirty_digits(loss, lam):
    rng, d = np.random.default_rng(0), 64
    g, x = rng.standard_normal(d), rng.random((2, d))
    g[0], g[1] = 0, 1e-5  # where sinh(z) / z needs its series
    t = target(linear(*g, c=0.3, loss=loss), x, lam, y=np.array([0, 1]), eps=0.2, domain=UNIT)
    law = TruncatedExponentials(t)
    with mp.workdps(30):

        def log_mean(i, rate):
            """Of exp(rate m), m the score of the wrong label."""
            sign, total = (1, -1)[i], mp.mpf(0)
            for j in range(d):
                low, high = max(mp.mpf(x[i, j]) - 0.2, 0), min(mp.mpf(x[i, j]) + 0.2, 1)
                z = rate * g[j] * (high - low) / 2
                total += sign * rate * g[j] * (high + low) / 2
                total += mp.log(mp.sinh(z) / z) if z else 0
            return total + sign * rate * mp.mpf("0.3")

        for i in range(2):
            if loss == "linear":
                expected = log_mean(i, mp.mpf(lam))
                slope, bend = (mp.diff(lambda rate, i=i: log_mean(i, rate), lam, n) for n in (1, 2))
                assert law.mean_loss[i] == pytest.approx(float(slope), rel=1e-12)
                assert law.var_loss[i] == pytest.approx(float(bend), rel=1e-12)
            else:  # (1 + e^m)^lam
                terms = [mp.binomial(lam, k) * mp.exp(log_mean(i, k)) for k in range(lam + 1)]
                expected = mp.log(mp.fsum(terms))
            assert law.log_mean[i] == pytest.approx(float(expected), rel=1e-13, abs=1e-13)


def test_coordinates_that_the_loss_ignores_stay_uniform():
    """In 64 dimensions, of which the loss sees two: they have the law of the plane."""
    plane = without_layer(2, "logistic", 5)
    x = np.full((3, 64), 0.5)
    x[:, [10, 40]] = ANCHORS
    g = np.zeros(64)
    g[[10, 40]] = plane.model.A[0]
    t = target(linear(*g, c=0.4, loss="logistic"), x, 5, y=LABELS, eps=0.3, domain=UNIT)
    law, by_nodes = closed_form(t), Quadrature(plane)
    np.testing.assert_allclose(law.log_mean, by_nodes.log_mean, rtol=1e-12)
    np.testing.assert_allclose(law.mean[:, [10, 40]], by_nodes.mean, rtol=1e-11)
    np.testing.assert_allclose(law.mean[:, 20], 0.5)
    for name in ("mean_loss", "var_loss", "kl"):
        np.testing.assert_allclose(getattr(law, name), getattr(by_nodes, name), rtol=1e-11)
    at = np.linspace(-0.1, 1.1, 30)[:, None].repeat(3, axis=1)
    np.testing.assert_allclose(law.cdf(at, 40), by_nodes.cdf(at, 1), atol=1e-12)
    np.testing.assert_allclose(law.cdf(at, 20), ((at - 0.2) / 0.6).clip(0, 1), atol=1e-12)


# The domain


@pytest.mark.parametrize("d", [1, 2])
def test_law_is_normalized_over_the_box_within_the_domain(d):
    t = mlp(d, 1.0)
    whole = over(t, low=t.x - t.eps, high=t.x + t.eps)
    np.testing.assert_array_equal(t.low, np.maximum(whole.low, 0))
    np.testing.assert_array_equal(t.high, np.minimum(whole.high, 1))
    law, wrong = Quadrature(t), Quadrature(whole)
    cut = ((t.high - t.low) < (whole.high - whole.low) - 1e-9).any(axis=1)
    assert cut.tolist() == [False, True, True]
    for i in range(3):
        x, w = panels(whole.low[i], whole.high[i])
        # Cut at the domain's faces, where the density jumps.
        inside, w_inside = panels(t.low[i], t.high[i])
        assert w_inside @ np.exp(for_one(law.log_density, inside, i)) == pytest.approx(1, abs=1e-11)
        outside = ((x < 0) | (x > 1)).any(axis=1)
        assert outside.any() == cut[i]
        assert (for_one(law.log_density, x, i)[outside] == -np.inf).all()
        mistaken = w_inside @ np.exp(for_one(wrong.log_density, inside, i))
        assert (mistaken < 0.9) == cut[i]
        assert w @ np.exp(for_one(wrong.log_density, x, i)) == pytest.approx(1, abs=1e-11)


# What the talk says of it


@pytest.mark.parametrize(("d", "lam"), [(1, 0.5), (1, 12.0), (2, 4.0)])
def test_slope_of_the_mean_loss_in_lam_is_its_variance(d, lam):
    h, t = 1e-3 * lam, mlp(d, lam)

    def mean_loss(lam):
        return Quadrature(over(t, lam=lam)).mean_loss

    near, far = (mean_loss(lam + k * h) - mean_loss(lam - k * h) for k in (1, 2))
    law = Quadrature(t)
    np.testing.assert_allclose((8 * near - far) / (12 * h), law.var_loss, rtol=1e-7)
    assert (law.var_loss > 1e-4).all()


def plans(t, law, rng):
    """Log densities on the boxes up to constants, by name: p_adv*, and others."""
    x, _ = zip(*(panels(*faces) for faces in zip(t.low, t.high, strict=True)), strict=True)
    losses = [for_one(t.losses, z, i) for i, z in enumerate(x)]
    found = {"p_adv*": [for_one(law.log_density, z, i) for i, z in enumerate(x)]}
    for name, lam in (("uniform", 0.0), ("twice lam", 2 * t.lam), ("99 % of lam", 0.99 * t.lam)):
        found[name] = [lam * loss for loss in losses]
    for k, size in enumerate((0.01, 0.3, 3.0)):
        found[f"bent {k}"] = [
            t.lam * loss
            + size * np.cos(z @ rng.standard_normal((z.shape[1], 5)) * 5) @ rng.standard_normal(5)
            for z, loss in zip(x, losses, strict=True)
        ]
    return losses, found


@pytest.mark.parametrize(("d", "lam"), [(1, 0.5), (1, 12.0), (2, 4.0)])
def test_no_plan_does_better_than_p_adv(d, lam):
    """E[l] - KL / lam is the dual value less KL(plan | p_adv*) / lam, on a finer grid."""
    t = mlp(d, lam)
    law, grids = Quadrature(t), [panels(*faces) for faces in zip(t.low, t.high, strict=True)]
    losses, found = plans(t, law, np.random.default_rng(1))
    values = {}
    for name, log_densities in found.items():
        value, to_p_adv = [], []
        for i, log_q in enumerate(log_densities):
            w, volume = grids[i][1], (t.high[i] - t.low[i]).prod()
            if name != "p_adv*":
                log_q = log_q - log_q.max() - np.log(w @ np.exp(log_q - log_q.max()))
            q = w * np.exp(log_q)
            assert q.sum() == pytest.approx(1, abs=1e-11)
            kl = q @ (log_q + np.log(volume))
            value.append(q @ losses[i] - kl / lam)
            to_p_adv.append(q @ (log_q - found["p_adv*"][i]))
            if name == "p_adv*":
                assert q @ losses[i] == pytest.approx(law.mean_loss[i], rel=1e-11)
                assert kl == pytest.approx(law.kl[i], rel=1e-10, abs=1e-11)
        values[name] = np.mean(value)
        assert values[name] == pytest.approx(law.dual - np.mean(to_p_adv) / lam, abs=1e-10)
    assert values["p_adv*"] == pytest.approx(law.dual, abs=1e-10)
    others = [value for name, value in values.items() if name != "p_adv*"]
    assert max(others) < law.dual - 1e-8
    assert law.dual == pytest.approx((law.mean_loss - law.kl / lam).mean(), abs=1e-10)


@pytest.mark.parametrize("d", [1, 2])
def test_no_lam_is_uniform(d):
    """For a loss so sharp that 16 nodes, enough for the volume, miss its mean by 1e-7."""
    t = over(mlp(d, 0.0), model=random_model(d, hidden=6, seed={1: 11, 2: 4}[d], scale=4.0))
    law, volumes = Quadrature(t), (t.high - t.low).prod(axis=1)
    x = np.random.default_rng(0).uniform(t.low, t.high, size=(20, 3, d))
    np.testing.assert_allclose(law.log_density(x), np.log(1 / volumes)[None].repeat(20, 0))
    np.testing.assert_allclose(law.mean, (t.low + t.high) / 2, atol=1e-13)
    np.testing.assert_allclose(law.kl, 0, atol=1e-13)
    np.testing.assert_allclose(law.log_mean, 0, atol=1e-13)
    for i in range(3):
        x, w = panels(t.low[i], t.high[i])
        uniform = w @ for_one(t.losses, x, i) / volumes[i]
        assert law.mean_loss[i] == pytest.approx(uniform, rel=1e-11)
    with pytest.raises(tm.InputError, match="lam=0 has no dual value"):
        _ = law.dual
    lam, small = 1e-4, Quadrature(over(t, lam=1e-4))
    expected = law.mean_loss + lam * law.var_loss
    np.testing.assert_allclose(small.mean_loss, expected, atol=10 * lam**2)
    np.testing.assert_allclose(small.kl, lam**2 * law.var_loss / 2, rtol=1e-2, atol=1e-14)
    assert small.dual == pytest.approx((law.mean_loss + lam * law.var_loss / 2).mean(), abs=1e-7)


def test_large_lam_is_the_worst_case_of_a_linear_loss():
    """The dual is below it by sum_j log(2 z_j) / lam, z = lam |g| times half widths."""
    g, x = np.array([3.0, -2.0, 0.5]), np.array([[0.5, 0.1, 0.9], [0.3, 0.6, 0.5]])
    for lam in (2e3, 1e5, 1e8):
        t = target(linear(*g, c=0.4), x, lam, y=np.array([0, 1]), eps=0.2, domain=UNIT)
        uphill = np.where(np.array([[1], [-1]]) * g > 0, t.high, t.low)
        worst, z = t.losses(uphill), lam * np.abs(g) * (t.high - t.low) / 2
        law, below = closed_form(t), np.log(2 * z).sum(axis=1) / lam
        assert worst.mean() - law.dual == pytest.approx(below.mean(), rel=1e-8, abs=1e-14)
        np.testing.assert_allclose(law.mean, uphill - np.sign(uphill - t.x) / (lam * np.abs(g)),
                                   atol=1e-8)  # fmt: skip


def test_dual_rises_in_lam_from_the_mean_to_the_largest_loss():
    t = mlp(1, 1.0)
    fine = np.linspace(t.low, t.high, 4001)
    losses, slopes = t.loss_grad(fine)
    largest, width, L = losses.max(axis=0), (t.high - t.low)[:, 0], np.abs(slopes).max(axis=(0, 2))
    mean, before = Quadrature(over(t, lam=0.0)).mean_loss.mean(), -np.inf
    for lam in (1e-3, 0.1, 1.0, 10.0, 100.0, 1000.0):
        dual = Quadrature(over(t, lam=lam)).dual
        assert max(before, mean) < dual < largest.mean()
        # A loss falls from its largest value no faster than L, on a side of half the box at least.
        ramp = -np.expm1(-lam * L * width / 2) / (lam * L * width)
        assert largest.mean() - dual <= (-np.log(ramp) / lam).mean()
        before = dual


# How


def test_order_doubles_with_lam():
    orders = [Quadrature(without_layer(2, "linear", lam)).order for lam in (0.1, 20.0, 200.0)]
    assert orders[0] == 16 < orders[1] < orders[2]
    t = mlp(2, 40.0)
    loose, exact = Quadrature(t, tolerance=1e-2), Quadrature(t)
    assert loose.order < exact.order
    assert 0 < np.abs(loose.log_Z - exact.log_Z).max() < 1e-2
    assert exact.points.shape == (exact.order**2, 3, 2)
    np.testing.assert_allclose(exact.weights.sum(axis=0), 1, rtol=1e-12)


def test_too_sharp_a_law_is_refused():
    with pytest.raises(tm.InputError, match=r"lam=10000 and eps=0\.3 make .* reduce"):
        Quadrature(mlp(2, 1e4))


def test_boxes_that_rounding_closes_are_refused():
    data = Data(np.array([[0.0], [1e16]]), np.array([0, 1]))
    with pytest.raises(tm.InputError, match=r"eps=0\.5 is too small for the precision of x"):
        Target.of(linear(1.0), data, 0.5, 1.0)


@pytest.mark.parametrize(
    ("lam", "memory", "match"),
    [(1e4, 2.0**40, "too sharp; reduce them"), (200.0, 2.0**24, "30 anchors needs .* fewer")],
)
def test_it_is_refused_by_its_sharpest_anchor_alone(monkeypatch, lam, memory, match):
    """Of thirty only one is looked at with more than 16 nodes a side, however sharp they are."""
    asked, losses = [], Target.losses

    def counted(self, x):
        asked.append(x.shape[:2])
        return losses(self, x)

    monkeypatch.setattr(Target, "losses", counted)
    monkeypatch.setattr(errors, "_memory", lambda: memory)
    with pytest.raises(tm.InputError, match=match):
        Quadrature(mlp(2, lam).take(np.arange(30) % 3))
    assert {side for side, n in asked if n == 30} == {8**2, 16**2}
    assert max(asked)[0] > 16**2


def test_many_nodes_find_what_exponentials_are():
    t = without_layer(1, "linear", 1e4)
    law, by_nodes = TruncatedExponentials(t), Quadrature(t)
    assert by_nodes.order > 256
    np.testing.assert_allclose(by_nodes.log_Z, law.log_Z, rtol=1e-13)
    np.testing.assert_allclose(by_nodes.mean_loss, law.mean_loss, rtol=1e-10)


def test_kind_of_law():
    assert isinstance(closed_form(without_layer(2, "linear", 0.3)), TruncatedExponentials)
    assert isinstance(closed_form(without_layer(2, "logistic", 3.0)), TruncatedExponentials)
    for t in (without_layer(2, "logistic", 2.5), mlp(2, 1.0)):
        assert isinstance(closed_form(t), Quadrature)
        with pytest.raises(tm.InputError, match=f"the logistic loss at lam={t.lam:g}"):
            TruncatedExponentials(t)
    soft = target(random_model(2, "softmax", hidden=None, k=3), ANCHORS, 1.0)
    assert isinstance(closed_form(soft), Quadrature)
    for model in (random_model(3), linear(1, 2, 3, loss="logistic")):
        with pytest.raises(tm.InputError, match="d=3 is too much for quadrature: at most 2"):
            closed_form(target(model, np.zeros((2, 3)), 0.5))


def test_take_is_the_law_of_some_anchors():
    t, rows = mlp(2, 3.0), [2, 0]
    some, law = t.take(rows), Quadrature(t)
    for name in ("x", "y", "low", "high"):
        np.testing.assert_array_equal(getattr(some, name), getattr(t, name)[rows])
    assert (some.model, some.eps, some.lam) == (t.model, t.eps, t.lam)
    np.testing.assert_allclose(Quadrature(some).log_Z, law.log_Z[rows], rtol=1e-11)
    x = np.random.default_rng(0).uniform(t.low, t.high, size=(4, 5, 3, 2))
    loss, gradient = t.loss_grad(x)
    assert (loss.shape, gradient.shape) == ((4, 5, 3), x.shape)
    for i, label in enumerate(LABELS):
        one = t.model.loss_grad(x[3, 2, i : i + 1], np.array([label]))
        assert loss[3, 2, i] == pytest.approx(one[0][0])
        assert gradient[3, 2, i] == pytest.approx(one[1][0])
    np.testing.assert_allclose(t.losses(x), loss)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": 0.0}, r"eps=0\.0 must be positive"),
        ({"eps": -1.0}, r"eps=-1\.0 must be positive"),
        ({"eps": math.nan}, "eps=nan must be positive"),
        ({"lam": -0.1}, r"lam=-0\.1 must be a finite number and at least 0"),
        ({"lam": math.nan}, "lam=nan"),
        ({"lam": math.inf}, "lam=inf"),
        ({"x": [[0.5, 0.5], [0.1, 1.25]]},
         r"anchor 1 has coordinate 1 at 1\.25, outside the domain \[0, 1\]"),
        ({"x": [[-0.5, 0.5], [0.1, 0.2]]}, r"anchor 0 has coordinate 0 at -0\.5"),
        ({"x": [[0.5], [0.5]]}, r"shapes \(2, 1\)"),
        ({"x": [[0.5, math.nan], [0.1, 0.2]]}, r"data.x=.* must be an array of finite numbers"),
        ({"y": [0, 2]}, "label 2 is out of range"),
        ({"y": [0, 0.5]}, r"label 0\.5 is out of range"),
    ],
)  # fmt: skip
def test_target_refuses_by_value(changes, message):
    given = {"x": [[0.5, 0.5], [0.0, 1.0]], "y": [0, 1], "eps": 0.1, "lam": 1.0}
    Target.of(linear(1, 2), Data(np.array(given["x"]), np.array([0, 1]), UNIT), 0.1, 1.0)
    given |= changes
    data = Data(np.array(given["x"]), np.array(given["y"]), UNIT)
    with pytest.raises(tm.InputError, match=message):
        Target.of(linear(1, 2), data, given["eps"], given["lam"])


# Draws


@pytest.mark.parametrize(("loss", "lam"), [("linear", 4.0), ("logistic", 5), ("linear", 0.0)])
def test_draws_are_of_the_law(loss, lam):
    t, rng = without_layer(2, loss, lam), np.random.default_rng(7)
    law = TruncatedExponentials(t)
    draws = law.sample(20_000, rng)
    assert draws.shape == (20_000, 3, 2)
    assert ((draws >= t.low) & (draws <= t.high)).all()
    for reference in (law, Quadrature(t)):
        found = p_values(draws, reference, rejection_sample(t, 20_000, rng))
        assert min(found.values()) > ALARM, found
    wrong = TruncatedExponentials(over(t, lam=lam + 1)).sample(20_000, rng)
    assert min(p_values(wrong, law, draws).values()) < ALARM**2
    # Anchors are independent, and where the law is a product coordinates too.
    corr = np.corrcoef(draws.reshape(-1, 6).T) - np.eye(6)
    if loss == "logistic":
        corr[[0, 1, 2, 3, 4, 5], [1, 0, 3, 2, 5, 4]] = 0
    assert np.abs(corr).max() < norm.isf(ALARM / 2) / math.sqrt(20_000)


@pytest.mark.parametrize(("loss", "lam"), [("linear", 4.0), ("logistic", 4)])
def test_draws_in_many_dimensions(loss, lam):
    """128 p-values of coordinates; the mean of exp(-l) is Z at one lam less over Z."""
    rng, d, N = np.random.default_rng(3), 64, 4000
    t = target(linear(*rng.standard_normal(d), loss=loss), rng.random((2, d)), lam,
               y=np.array([0, 1]), eps=0.3, domain=UNIT)  # fmt: skip
    law, other = closed_form(t), closed_form(over(t, lam=lam - 1))

    def smallest(draws):
        ps = [kstest(draws[:, i, j], marginals(law)[i, j]).pvalue for i, j in np.ndindex(2, d)]
        f = np.exp(-t.losses(draws) - (other.log_Z - law.log_Z))
        return min(ps), np.abs((f.mean(axis=0) - 1) / (f.std(axis=0, ddof=1) / math.sqrt(N))).max()

    draws = law.sample(N, rng)
    p, z = smallest(draws)
    assert p > ALARM
    assert z < 4.5
    losses = t.losses(draws)
    errors = np.sqrt(law.var_loss / N)
    assert (np.abs(losses.mean(axis=0) - law.mean_loss) < 4.5 * errors).all()
    assert (np.abs(losses.mean(axis=0) - other.mean_loss) > 9 * errors).any()
    p, z = smallest(other.sample(N, rng))
    assert p < ALARM
    assert z > 9


@pytest.mark.parametrize("kind", ["tanh", "softplus", "linear"])
def test_rejection_sampler_is_exact(kind):
    """The oracle itself, whose envelope must lie above the loss: 3 p-values of 64 cells."""
    t = {
        "tanh": mlp(2, 6.0),
        "softplus": target(random_model(2, activation="softplus", scale=2), ANCHORS, 6.0, eps=0.3),
        "linear": without_layer(2, "linear", 6.0),
    }[kind]
    low, high = cells(t, 24)
    bound = loss_bound(t, low, high)
    for share in np.random.default_rng(0).random((50, 2)):
        assert (t.losses(low + share * (high - low)) <= bound + 1e-12).all()
    draws = rejection_sample(t, 20_000, np.random.default_rng(1))
    low, high = cells(t, 8)
    expected, counts = Quadrature(t).probability(low, high), np.zeros((64, 3))
    for k in range(64):
        counts[k] = ((draws >= low[k]) & (draws < high[k])).all(axis=-1).sum(axis=0)
    for i in range(3):
        assert counts_p_value(counts[:, i], expected[:, i] * 20_000) > ALARM
        assert counts_p_value(counts[:, i], np.full(64, 20_000 / 64)) < ALARM**2


# Matchings


def test_bottleneck_is_the_best_of_all_matchings():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.random((2, 6, 2))
        every = (np.abs(a - b[list(p)]).max() for p in itertools.permutations(range(6)))
        assert bottleneck(a, b) == min(every)


def test_bottleneck_finds_a_shift_of_shuffled_points():
    rng = np.random.default_rng(0)
    anchors = np.array(list(itertools.product(range(20), range(20))), float)
    shifts = rng.uniform(-0.3, 0.3, anchors.shape)
    moved = rng.permutation(anchors + shifts)
    assert bottleneck(moved, anchors) == pytest.approx(np.abs(shifts).max(), rel=1e-12)


def test_draws_move_no_point_by_more_than_eps():
    rng = np.random.default_rng(2)
    anchors = np.array(list(itertools.product(range(5), range(5))), float)
    for factor in (1.0, 1.1):  # the second is too far
        t = target(linear(3, -2), anchors, 8.0, eps=0.3 * factor)
        draws = rng.permutation(closed_form(t).sample(4, rng).reshape(-1, 2))
        moved = bottleneck(draws, np.tile(anchors, (4, 1)))
        assert (moved <= 0.3 * (1 + 1e-12)) == (factor == 1)
        assert moved > 0.25
