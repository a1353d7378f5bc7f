"""Toy data and models: every loss and gradient against formulas written again and differences."""

import math
import sys

import numpy as np
import pytest
from adversarial_oracles import random_model
from sklearn.datasets import load_digits

import twomode as tm
from twomode import engines
from twomode.adversarial import Data, Model, load_data

LAYERS = [(None, "tanh"), (5, "tanh"), (5, "softplus")]
KINDS = [("linear", 1), ("logistic", 1), ("softmax", 3)]


@pytest.fixture(params=LAYERS, ids=["no-hidden", "tanh", "softplus"])
def layer(request):
    return request.param


@pytest.fixture(params=KINDS, ids=[loss for loss, _ in KINDS])
def case(request, layer):
    """A model in R^4, and seven points of every label."""
    loss, k = request.param
    model = random_model(4, loss, layer[1], layer[0], k=k, seed=k)
    x = np.random.default_rng(1).standard_normal((7, 4))
    return model, x, np.arange(7) % max(2, k)


def affine(matrix, offset, x):
    """In Python's numbers, as is what uses it."""
    return [
        math.fsum([c, *(w * v for w, v in zip(row, x, strict=True))])
        for row, c in zip(matrix, offset, strict=True)
    ]


def loss_again(model, x, y):
    """Of one point."""
    h = list(x)
    if model.B is not None:
        z = affine(model.B, model.b, h)
        h = [math.tanh(v) if model.activation == "tanh" else math.log(1 + math.exp(v)) for v in z]
    f = affine(model.A, model.c, h)
    if model.loss == "softmax":
        return math.log(sum(math.exp(v) for v in f)) - f[y]
    margin = f[0] if y == 1 else -f[0]
    return -margin if model.loss == "linear" else math.log(1 + math.exp(-margin))


def differences(f, at, h=1e-3):
    """Central ones of order h^6: the gradient of f, a number or one of each sample, at an array."""
    columns = []
    for index in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[index] = h
        weights = ((1, 0.75), (2, -0.15), (3, 1 / 60))
        total = sum(w * (f(at + k * step) - f(at - k * step)) for k, w in weights)
        columns.append(total / h)
    return np.stack(columns, axis=-1)


def assert_close(found, expected, tolerance):
    """Relative to the largest entry."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


# Models


def test_losses_are_their_formulas(case):
    model, x, y = case
    again = np.array([loss_again(model, *point) for point in zip(x, y, strict=True)])
    for found in (model.losses(x, y), model.loss_grad(x, y)[0], model.theta_grad(x, y)[0]):
        assert_close(found, again, 1e-14)


def test_gradient_in_x_is_each_samples_own(case):
    model, x, y = case
    expected = np.concatenate(
        [
            differences(lambda z, i=i: model.losses(z[None], y[i : i + 1])[0], x[i])[None]
            for i in range(len(x))
        ]
    )
    assert_close(model.loss_grad(x, y)[1], expected, 1e-10)
    for i in range(len(x)):  # a mean over the batch would be 7 times less
        loss, gradient = model.loss_grad(x[i : i + 1], y[i : i + 1])
        assert_close(model.loss_grad(x, y)[1][i], gradient[0], 1e-14)
        assert loss[0] == pytest.approx(model.losses(x, y)[i], rel=1e-14)


def test_gradient_in_theta_is_that_of_the_mean(case):
    model, x, y = case
    gradient = model.theta_grad(x, y)[1]
    assert list(gradient) == list(model.theta)
    for name, at in model.theta.items():

        def mean_loss(array, name=name):
            return (
                Model(**(model.theta | {name: array}), loss=model.loss, activation=model.activation)
                .losses(x, y)
                .mean()
            )

        assert_close(gradient[name], differences(mean_loss, at).reshape(at.shape), 1e-10)


def test_a_step_goes_against_the_gradient(case):
    model, x, y = case
    loss, gradient = model.theta_grad(x, y)
    size = 1e-4
    after = model.step(gradient, size)
    for name, array in model.theta.items():
        np.testing.assert_array_equal(after.theta[name], array - size * gradient[name])
    fall = size * sum((g**2).sum() for g in gradient.values())
    assert loss.mean() - after.losses(x, y).mean() == pytest.approx(fall, rel=0.01)
    assert (after.loss, after.activation) == (model.loss, model.activation)


def test_two_classes_of_softmax_are_logistic_with_the_difference(layer):
    hidden, activation = layer
    soft = random_model(3, "softmax", activation, hidden, k=2, seed=4)
    difference = Model(
        soft.A[1:] - soft.A[:1], soft.c[1:] - soft.c[:1], soft.B, soft.b, "logistic", activation
    )
    x, y = np.random.default_rng(2).standard_normal((9, 3)), np.arange(9) % 2
    for one, other in zip(soft.loss_grad(x, y), difference.loss_grad(x, y), strict=True):
        assert_close(one, other, 1e-13)
    np.testing.assert_array_equal(soft.predict(x), difference.predict(x))


def boxed(case, n):
    """n points of a case's model, in boxes whose faces some steps reach."""
    model, *_ = case
    x = np.random.default_rng(n).uniform(-1, 1, (n, 4))
    return model, x, np.arange(n) % max(2, len(model.c)), x - 0.3, x + np.linspace(0.1, 0.5, 4)


def climbed(model, x, y, low, high, steps=6, noise=None):
    """Where points are after steps of 0.07."""
    there = np.array(x, order="C")
    noise = np.empty((steps, 0, x.shape[1])) if noise is None else noise
    engines.climb(model.network, there, np.arange(len(x)), y, low, high, 0.07, noise)
    return there


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("n", [7, 8, 9, 40])
def test_climbing_is_steps_by_the_sign_of_the_gradient(case, n, noisy):
    model, x, y, low, high = boxed(case, n)
    noise = 0.05 * np.random.default_rng(1).standard_normal((6, n, 4)) if noisy else None
    there = x
    for t in range(6):
        there = there + 0.07 * np.sign(model.loss_grad(there, y)[1])
        there = np.clip(there if noise is None else there + noise[t], low, high)
    np.testing.assert_array_equal(climbed(model, x, y, low, high, noise=noise), there)
    assert ((there > low) & (there < high)).any()
    assert ((there == low) | (there == high)).any()
    np.testing.assert_array_equal(climbed(model, x, y, low, high, steps=0), x)


def test_where_the_loss_is_flat_a_sign_step_stays_and_a_nan_is_not_hidden():
    model, x, y = Model(np.array([[1.0, 0.0, -0.0]]), np.zeros(1)), np.zeros((3, 3)), [0, 1, 1]
    x[2, 0] = math.nan
    there = climbed(model, x, np.array(y), x - 0.2, x + 0.2, steps=2)
    expected = [[0.14, 0, 0], [-0.14, 0, 0], [math.nan] * 3]
    np.testing.assert_allclose(there, expected, rtol=1e-15)


def test_points_know_nothing_of_each_other_or_of_threads(case, monkeypatch):
    model, x, y, low, high = boxed(case, 37)

    def found(*chosen):
        x, y, low, high = chosen
        return *model.loss_grad(x, y), climbed(model, x, y, low, high)

    together = found(x, y, low, high)
    one_by_one = [found(*(a[k : k + 1] for a in (x, y, low, high))) for k in range(37)]
    monkeypatch.setattr("twomode.engines.compiled.networks.WORTH_A_THREAD", 1)
    threaded = found(x, y, low, high)
    for k, array in enumerate(together):
        np.testing.assert_array_equal(np.concatenate([each[k] for each in one_by_one]), array)
        np.testing.assert_array_equal(threaded[k], array)


def test_only_the_places_climb_each_with_its_anchors_label_and_box(case):
    model, x, y, low, high = boxed(case, 12)
    points, places = np.concatenate([x, x[::-1]]), np.array([3, 20, 12, 11])
    there = points.copy()
    engines.climb(model.network, there, places, y, low, high, 0.07, np.empty((6, 0, 4)))
    anchors = places % 12
    expected = climbed(model, points[places], y[anchors], low[anchors], high[anchors])
    np.testing.assert_array_equal(there[places], expected)
    still = np.delete(np.arange(24), places)
    np.testing.assert_array_equal(there[still], points[still])


@pytest.mark.parametrize("n", [7, 8, 9, 40])
def test_a_descent_steps_against_the_gradient_in_theta(case, n):
    model, x, y, *_ = boxed(case, n)
    points = np.concatenate([np.full((3, 4), np.nan), x])  # of which three are not seen
    places, labels = 3 + np.arange(n), np.concatenate([y[:3], y])
    descent = engines.Descent(model.network, points, labels, n)
    for _ in range(3):
        losses, gradient = model.theta_grad(x, y)
        loss, sound = descent.step(places, 0.3)
        assert sound
        assert loss == pytest.approx(losses.mean(), rel=1e-13, abs=1e-14)
        model = model.step(gradient, 0.3)
        assert list(descent.theta) == list(model.theta)
        for name, array in descent.theta.items():
            np.testing.assert_allclose(array, model.theta[name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("where", "hidden"), [("A", None), ("c", None), ("c", 5)])
def test_a_descent_says_when_theta_is_not_finite(where, hidden):
    """One number is the largest there is, and a step of 1e308 takes it beyond or back."""
    x, said = np.full((9, 4), 0.5), []
    for sign in (1, -1):
        model = random_model(4, "linear", "tanh", hidden)
        descent = engines.Descent(model.network, x, np.zeros(9, dtype=int), 9)
        getattr(descent.net, where).flat[0] = sign * np.finfo(float).max
        said.append(descent.step(np.arange(9), 1e308)[1])
        finite = {name: np.isfinite(array).all() for name, array in descent.theta.items()}
        assert all(finite[name] for name in finite if name != where)
        assert said[-1] == finite[where]
    assert sorted(said) == [False, True]


def test_arrays_may_lie_in_memory_in_any_order(case):
    model, x, y, low, high = boxed(case, 9)
    theta = {name: np.asfortranarray(array) for name, array in model.theta.items()}
    other = Model(**theta, loss=model.loss, activation=model.activation)
    turned = [np.asfortranarray(array) for array in (x, low, high)]
    for array in (*theta.values(), *turned):
        array.setflags(write=False)
    small = y.astype(np.int8)
    pairs = zip(other.loss_grad(turned[0], small), model.loss_grad(x, y), strict=True)
    for found, expected in pairs:
        np.testing.assert_array_equal(found, expected)
    found = climbed(other, turned[0], small, *turned[1:])
    np.testing.assert_array_equal(found, climbed(model, x, y, low, high))


def test_labels_and_shapes_that_do_not_fit():
    model, x = random_model(4, "softmax", "tanh", 5, k=3), np.zeros((2, 4))
    losses, gradient = model.loss_grad(x, np.array([3, 0]))
    assert math.isnan(losses[0])
    assert np.isfinite([losses[1], *gradient[1]]).all()
    two, none = np.array([0, 1]), np.empty(0, dtype=int)
    for x, y in ((2, 3), two), ((2, 5), two), ((3, 4), two), ((2, 4), none):
        for act in (model.losses, model.loss_grad):
            with pytest.raises(tm.InputError, match=r"x, y have shapes .*: \(n, 4\) and n labels"):
                act(np.zeros(x), y)


def test_fewer_labels_are_those_of_the_points_in_turn(case):
    model, x, y = case
    twice = np.concatenate([x, -x])
    for found, expected in zip(
        model.loss_grad(twice, y), model.loss_grad(twice, np.tile(y, 2)), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("score", [1e3, -1e3])
@pytest.mark.parametrize(("loss", "k"), KINDS)
def test_extreme_scores_do_not_overflow(loss, k, score):
    A, y = np.full((k, 1), 0.0), np.array([0, 1])
    A[-1] = 1.0  # the score of label 1, or of the last of three
    model = Model(A, np.zeros(k), loss=loss)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        losses, gradient = model.loss_grad(np.full((2, 1), score), y)
    push = 1 if score > 0 else -1
    if loss == "linear":
        expected, slopes = [score, -score], [1, -1]
    elif loss == "logistic":
        expected, slopes = ([1e3, 0], [1, 0]) if push > 0 else ([0, 1e3], [0, -1])
    else:
        expected, slopes = ([1e3] * 2, [1] * 2) if push > 0 else ([math.log(2)] * 2, [0] * 2)
    np.testing.assert_allclose(losses, expected, atol=1e-300)
    np.testing.assert_allclose(gradient[:, 0], slopes, atol=1e-300)


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_extreme_layers_do_not_overflow(activation):
    model = Model(np.ones((1, 2)), np.zeros(1), np.array([[1e3], [-1e3]]), np.zeros(2), "linear",
                  activation)  # fmt: skip
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, gradient = model.loss_grad(np.ones((1, 1)), np.array([0]))
    assert (loss[0], gradient[0, 0]) == {"tanh": (0, 0), "softplus": (1e3, 1e3)}[activation]


def test_predictions_have_the_least_loss(case):
    model, x, _ = case
    labels = range(max(2, len(model.c)))
    losses = np.stack([model.losses(x, np.full(len(x), label)) for label in labels])
    np.testing.assert_array_equal(model.predict(x), losses.argmin(axis=0))
    assert len(set(model.predict(x))) > 1


@pytest.mark.parametrize(
    ("data", "options", "loss", "shapes"),
    [
        ("moons", {}, "logistic", {"A": (1, 2), "c": (1,)}),
        ("digits", {}, "softmax", {"A": (10, 64), "c": (10,)}),
        ("moons", {"loss": "softmax"}, "softmax", {"A": (2, 2), "c": (2,)}),
        ("moons", {"loss": "linear", "hidden": 7}, "linear",
         {"A": (1, 7), "c": (1,), "B": (7, 2), "b": (7,)}),
    ],
)  # fmt: skip
def test_random_models_fit_their_data(data, options, loss, shapes):
    points = load_data(data, 100)
    model = Model.random(points, 3, **options)
    assert model.loss == loss
    assert {name: array.shape for name, array in model.theta.items()} == shapes
    model.check(points.x, points.y)
    for name, array in Model.random(points, 3, **options).theta.items():
        np.testing.assert_array_equal(array, model.theta[name])
    assert (Model.random(points, 4, **options).A != model.A).all()


def test_random_weights_have_variance_one_over_fan_in():
    """Of 16,000 and 64,000: a sample variance is off by 5 standard errors once in 2e6."""
    model = Model.random(Data(np.zeros((2, 16)), np.array([0, 3])), hidden=4000, scale=3.0)
    for weights in (model.A, model.B):
        ratio = weights.var() * weights.shape[1] / 9
        assert abs(ratio - 1) < 5 * math.sqrt(2 / weights.size)
    assert not model.c.any()
    assert not model.b.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "hinge"}, "unknown loss 'hinge'"),
        ({"activation": "relu"}, "unknown activation 'relu'"),
        ({"A": np.ones((2, 3))}, r"logistic loss: A \(2, 3\)"),
        ({"loss": "softmax"}, r"softmax loss: A \(1, 3\)"),
        ({"c": np.ones(2)}, r"do not fit .*c \(2,\)"),
        ({"B": np.ones((4, 5)), "b": np.ones(4)}, r"A \(1, 3\), c \(1,\), B \(4, 5\)"),
        ({"B": np.ones((3, 5)), "b": np.ones(5)}, r"B \(3, 5\), b \(5,\)"),
        ({"B": np.ones((3, 5))}, r"do not fit .*B \(3, 5\)"),
        ({"B": np.ones(3), "b": np.ones(3)}, r"do not fit .*B \(3,\)"),
        ({"b": np.ones(3)}, r"do not fit .*b \(3,\)"),
        ({"A": np.ones(3)}, r"do not fit .*A \(3,\)"),
        ({"A": np.array([[1.0, np.nan, 1.0]])}, r"A=.* must be an array of finite numbers"),
        ({"c": np.array([np.inf])}, r"c=.* must be an array of finite numbers"),
    ],
)
def test_model_refuses_by_name(changes, message):
    with pytest.raises(tm.InputError, match=message):
        Model(**({"A": np.ones((1, 3)), "c": np.ones(1)} | changes))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((2, 3)), [0, 2], r"label 2 is out of range: 0 to 1"),
        (np.zeros((2, 3)), [-1, 1], "label -1 is out of range"),
        (np.zeros((2, 3)), [0.5, 1.0], r"label 0\.5 is out of range"),
        (np.zeros((2, 3)), [0.0, np.nan], "label nan is out of range"),
        (np.zeros((2, 4)), [0, 1], r"shapes \(2, 4\), \(2,\): \(n, 3\)"),
        (np.zeros((2, 3)), [0, 1, 1], r"shapes \(2, 3\), \(3,\)"),
        (np.zeros(3), [0], r"shapes \(3,\), \(1,\)"),
        (np.full((2, 3), np.nan), [0, 1], "x holds a NaN"),
    ],
)
@pytest.mark.parametrize("hidden", [None, 5])
def test_check_refuses_by_value(hidden, x, y, message):
    model = random_model(3, hidden=hidden)
    with pytest.raises(tm.InputError, match=message):
        model.check(x, np.array(y))


def test_check_accepts_every_label_of_softmax():
    model = random_model(3, "softmax", k=4)
    model.check(np.zeros((4, 3)), np.arange(4))
    with pytest.raises(tm.InputError, match="label 4 is out of range: 0 to 3"):
        model.check(np.zeros((5, 3)), np.arange(5))


# Data


@pytest.mark.parametrize(
    ("name", "d"), [("blobs", 2), ("moons", 2), ("circles", 2), ("mixture", 1)]
)
def test_toy_data(name, d):
    data = load_data(name, 101, seed=5)
    assert data.x.shape == (101, d)
    assert np.bincount(data.y).tolist() == [51, 50]
    assert np.issubdtype(data.y.dtype, np.integer)
    assert data.domain == (-math.inf, math.inf)
    np.testing.assert_array_equal(data.x, load_data(name, 101, seed=5).x)
    assert (data.x != load_data(name, 101, seed=6).x).all()
    rows = [7, 3]
    some = data.take(rows)
    np.testing.assert_array_equal(some.x, data.x[rows])
    np.testing.assert_array_equal(some.y, data.y[rows])
    assert some.domain == data.domain


def test_moons_and_circles_without_noise():
    x, y = load_data("moons", 400, noise=0.0)[:2]
    z = np.where(y[:, None] == 1, [1.0, 0.5] - x, x)  # the upper half circle, for both
    np.testing.assert_allclose(np.hypot(*z.T), 1)
    assert z[:, 1].min() > -1e-15
    assert np.ptp(z[:, 0]) > 1.9
    x, y = load_data("circles", 400, noise=0.0)[:2]
    np.testing.assert_allclose(np.hypot(*x.T), (1 + y) / 2)
    assert (np.ptp(x, axis=0) > 1.9).all()


@pytest.mark.parametrize("name", ["blobs", "moons", "circles", "mixture"])
def test_noise_moves_coordinates_by_so_much(name):
    """A mean square of 400 or more is within 40 % of its mean but once in 1e7."""
    plain, blurred = (load_data(name, 400, noise=noise) for noise in (0.0, 0.05))
    assert ((blurred.x - plain.x) ** 2).mean() == pytest.approx(0.05**2, rel=0.4)
    np.testing.assert_array_equal(blurred.y, plain.y)


def test_mixture_has_four_alternating_components():
    data = load_data("mixture", 8, noise=0.0)
    labelled = set(zip(data.x[:, 0], data.y, strict=True))
    assert labelled == {(-3.0, 0), (-1.0, 1), (1.0, 0), (3.0, 1)}


def test_blobs_take_a_dimension():
    data = load_data("blobs", 10, d=9, noise=0.0)
    np.testing.assert_allclose(np.linalg.norm(data.x, axis=1), 1)
    np.testing.assert_allclose(data.x[:, 0], (2 * data.y - 1) / 3)


def test_digits_fill_the_domain():
    data = load_data("digits", 1797, seed=1)
    assert data.x.shape == (1797, 64)
    assert data.domain == (0.0, 1.0) == (data.x.min(), data.x.max())
    counts = np.bincount(data.y)
    assert len(counts) == 10
    assert counts.min() > 150
    assert len(np.unique(data.x, axis=0)) == 1797
    x, y = load_digits(return_X_y=True)
    label = dict(zip(map(bytes, x / 16), y, strict=True))
    assert [label[bytes(row)] for row in data.x] == data.y.tolist()
    few, other = load_data("digits", 20, seed=1), load_data("digits", 20, seed=2)
    np.testing.assert_array_equal(few.x, data.x[:20])
    assert (few.x != other.x).any(axis=1).all()


def test_without_scikit_learn_digits_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(tm.InputError, match=r"scikit-learn: pip install 'twomode\[digits\]'"):
        load_data("digits", 10)
    assert len(load_data("moons", 10).y) == 10


@pytest.mark.parametrize(
    ("name", "n", "message"),
    [
        ("moon", 10, "unknown data 'moon': did you mean moons"),
        ("moons", 0, "n=0 must be a whole number of at least 1"),
        ("moons", 2.5, r"n=2\.5 must be a whole number"),
        ("digits", 1798, "n=1798 is more than the 1797 digits"),
    ],
)
def test_load_data_refuses_by_value(name, n, message):
    with pytest.raises(tm.InputError, match=message):
        load_data(name, n)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("moons", {"d": 3}, "d=3: data 'moons' takes noise"),
        ("digits", {"noise": 0.1}, r"noise=0\.1: data 'digits' takes no options"),
        ("blobs", {"dim": 2}, "dim=2: data 'blobs' takes d and noise"),
        ("blobs", {"d": 0}, "d=0 must be a whole number of at least 1"),
        ("circles", {"noise": -1.0}, r"noise=-1\.0 must be a finite number and at least 0"),
    ],
)
def test_load_data_knows_its_options(name, options, message):
    with pytest.raises(tm.InputError, match=message):
        load_data(name, 10, **options)
