"""Oracles of the adversarial tests: integrals, exact draws and matchings of another making."""

import functools
import itertools
from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial.distance import cdist
from scipy.stats import chisquare, ks_2samp, kstest, norm

from twomode.adversarial import Data, Model, Quadrature, Target

#: A test of a sample rejects below this; a mean is then off by 4.4 standard errors.
ALARM = 1e-5
#: Three boxes of half width 0.3 in the unit square: whole, and cut on one side and on two.
ANCHORS = np.array([[0.4, 0.55], [0.1, 0.45], [0.95, 0.8]])
LABELS = np.array([0, 1, 0])
UNIT = (0.0, 1.0)


def target(model, x, lam, *, y=None, eps=0.5, domain=(-np.inf, np.inf)):
    """The target of some anchors, labelled 0 unless `y` says otherwise."""
    x = np.asarray(x, float)
    return Target.of(model, Data(x, np.zeros(len(x), int) if y is None else y, domain), eps, lam)


def linear(*g, c=0.0, loss="linear"):
    """A model whose score has the gradient g; of label 0, that of the linear loss."""
    return Model(np.array([g], float), np.array([c]), loss=loss)


def random_model(d, loss="logistic", activation="tanh", hidden=8, k=1, seed=0, scale=1.0):
    """Every parameter N(0, scale^2): biases too, which `Model.random` leaves 0."""
    rng = np.random.default_rng(seed)
    shapes = {"A": (k, hidden or d), "c": (k,)}
    shapes |= {"B": (hidden, d), "b": (hidden,)} if hidden else {}
    theta = {name: scale * rng.standard_normal(shape) for name, shape in shapes.items()}
    return Model(**theta, loss=loss, activation=activation)


def mlp(d, lam):
    """Three boxes, in one dimension or two, with hills inside and slopes of either sign."""
    model = random_model(d, hidden=6, seed={1: 11, 2: 4}[d], scale=2.0)
    return target(model, ANCHORS[:, :d], lam, y=LABELS, eps=0.3, domain=UNIT)


def without_layer(d, loss, lam):
    """The same boxes where the exponentials are exact."""
    model = linear(*(3.0, -2.0)[:d], c=0.4, loss=loss)
    return target(model, ANCHORS[:, :d], lam, y=LABELS, eps=0.3, domain=UNIT)


# Integrals


def panels(low, high, order=24, count=4):
    """Nodes (m, d) and weights (m,) of composite Gauss-Legendre on a box."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    axes = []
    for a, b in zip(low, high, strict=True):
        edges = np.linspace(a, b, count + 1)
        half = np.diff(edges)[:, None] / 2
        axes.append(((edges[:-1, None] + half * (1 + nodes)).ravel(), (half * weights).ravel()))
    x = np.array(list(itertools.product(*(x for x, _ in axes))))
    return x, np.array(list(itertools.product(*(w for _, w in axes)))).prod(axis=1)


def for_one(f, x, anchor, n=3):
    """A function of points (m, n, d), at points (m, d) of one anchor."""
    return f(np.repeat(x[:, None], n, axis=1))[:, anchor]


# Exact draws


def cells(target, count):
    """The boxes cut into count^d equal parts: faces of shape (count^d, n, d)."""
    d = target.x.shape[1]
    corner = np.array(list(itertools.product(range(count), repeat=d)))[:, None]
    width = (target.high - target.low) / count
    return target.low + corner * width, target.low + (corner + 1) * width


def loss_bound(target, low, high):
    """No smaller than the loss anywhere on parts of the boxes (..., n, d): interval arithmetic."""

    def affine(matrix, offset, low, high):
        middle, half = (low + high) / 2 @ matrix.T + offset, (high - low) / 2 @ np.abs(matrix).T
        return middle - half, middle + half

    model, phi = target.model, {"tanh": np.tanh, "softplus": lambda z: np.logaddexp(0, z)}
    if model.B is not None:
        low, high = (phi[model.activation](z) for z in affine(model.B, model.b, low, high))
    low, high = affine(model.A, model.c, low, high)
    wrong = np.where(target.y == 0, high[..., 0], -low[..., 0])  # the largest -m
    return {"linear": wrong, "logistic": np.logaddexp(0, wrong)}[model.loss]


def rejection_sample(target, size, rng, count=24):
    """Independent draws (size, n, d), under an envelope that is constant on each cell."""
    low, high = cells(target, count)
    bound = loss_bound(target, low, high)
    drawn = np.empty((size, *target.x.shape))
    for i in range(len(target.x)):
        one, have = target.take([i]), 0
        p = np.exp(target.lam * (bound[:, i] - bound[:, i].max()))
        while have < size:
            cell = rng.choice(len(p), size=size, p=p / p.sum())
            x = rng.uniform(low[cell, i], high[cell, i])
            excess = one.losses(x[:, None])[:, 0] - bound[cell, i]
            x = x[np.log1p(-rng.random(size)) < target.lam * excess][: size - have]
            drawn[have : have + len(x), i] = x
            have += len(x)
    return drawn


# Tests of a sample


@functools.cache
def marginals(law, points=100):
    """The cdf of each coordinate, shape (n, d): splines, off by 1e-5 where a test sees 1e-2."""
    t, splines = law.target, np.empty(law.target.x.shape, object)
    for i, j in np.ndindex(splines.shape):
        x = np.linspace(t.low[:, j], t.high[:, j], points)
        splines[i, j] = CubicSpline(x[:, i], law.cdf(x, j)[:, i])
    return splines


def mean_p_value(f, expected):
    """Of independent numbers that should have this mean."""
    return 2 * norm.sf(abs(f.mean() - expected) / (f.std(ddof=1) / np.sqrt(len(f))))


def two_means_p_value(f, g):
    """Of independent numbers that should have one mean."""
    se = np.sqrt(f.var(ddof=1) / len(f) + g.var(ddof=1) / len(g))
    return 2 * norm.sf(abs(f.mean() - g.mean()) / se)


def counts_p_value(counts, expected):
    """Chi squared, the rare cells taken together."""
    order = np.argsort(expected)
    rare = np.cumsum(expected[order]) < 10
    counts, expected = (
        np.append(a[order][~rare], a[order][rare].sum()) for a in (counts, expected)
    )
    if expected[-1] < 5:
        counts, expected = (np.append(a[1:-1], a[0] + a[-1]) for a in (counts, expected))
    return chisquare(counts, expected * (counts.sum() / expected.sum())).pvalue


@functools.cache
def in_the_plane(law):
    """Mean losses (n,), and probabilities of 8 x 8 cells (64, n)."""
    exact = law if isinstance(law, Quadrature) else Quadrature(law.target)
    return exact.mean_loss, exact.probability(*cells(law.target, 8))


def p_values(x, law, fresh):
    """Is x, independent states (N, n, d), of this law?  By name and anchor; `fresh` is, surely.

    Each coordinate against its cdf and the loss against that of fresh draws, by Kolmogorov and
    Smirnov; the mean loss; in two dimensions the counts of 8 x 8 cells, by chi squared.
    """
    t, found = law.target, {}
    losses, fresh_losses = t.losses(x), t.losses(fresh)
    for i, j in np.ndindex(t.x.shape):
        found[f"coordinate {j}", i] = kstest(x[:, i, j], marginals(law)[i, j]).pvalue
    for i in range(len(t.x)):
        found["loss", i] = ks_2samp(losses[:, i], fresh_losses[:, i], method="asymp").pvalue
        found["mean", i] = two_means_p_value(losses[:, i], fresh_losses[:, i])
    if t.x.shape[1] == 2:
        mean, expected = in_the_plane(law)
        for i in range(len(t.x)):
            found["mean", i] = mean_p_value(losses[:, i], mean[i])
            cell = ((x[:, i] - t.low[i]) / (t.high[i] - t.low[i]) * 8).astype(int).clip(0, 7)
            counts = np.bincount(cell @ [8, 1], minlength=64)
            found["cells", i] = counts_p_value(counts, expected[:, i] * len(x))
    return found


# Matchings


def bottleneck(a, b):
    """W_infinity of two equally large clouds (m, d), by their best matching, in the max norm."""
    distance = cdist(a, b, "chebyshev")
    levels = np.unique(distance)
    least, most = 0, len(levels) - 1
    while least < most:
        middle = (least + most) // 2
        within = csr_array(distance <= levels[middle])
        if (maximum_bipartite_matching(within, perm_type="column") >= 0).all():
            most = middle
        else:
            least = middle + 1
    return levels[least]


def over(target, **changes):
    """The target with some fields replaced: what a wrong chain would believe."""
    return replace(target, **changes)
