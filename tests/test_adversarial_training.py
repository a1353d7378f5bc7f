"""Algorithm 1 and what it is compared with: one loop, its parts against the talk's own words."""

from itertools import pairwise

import numpy as np
import pytest

import twomode as tm
from twomode import engines
from twomode.adversarial import Data, Method, Model, SignStep, fit, method, sampler, train

EPS = 0.25


@pytest.fixture
def data():
    x = np.random.default_rng(1).uniform(0, 1, (24, 3))
    return Data(x, (x.sum(axis=1) > 1.5).astype(int), (0.0, 1.0))


@pytest.fixture
def model(data):
    return Model.random(data, 2, hidden=5)


def run(model, data, how, steps=7, **changes):
    options = {"eps": EPS, "steps": steps, "batch": 10, "learning_rate": 0.3, "seed": 4} | changes
    return list(train(model, data, how, **options))


def snapshots(model, data, how, **changes):
    """The adversarial data set after each step: a state shows the live one."""
    options = {"eps": EPS, "steps": 7, "batch": 10, "learning_rate": 0.3, "seed": 4} | changes
    return [state.attacks.copy() for state in train(model, data, how, **options)]


def algorithm_1(model, data, steps, batch, learning_rate, eta, sigma, T, K, start, seed):
    """The talk's Algorithm 1, line by line, with loops over i and k (one gradient at a time)."""
    n, d = data.x.shape
    order_rng, rng = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(2))
    tilde = np.stack([data.x] * K)
    order, visited = [], []
    for _ in range(steps):
        if len(order) < batch:
            order = list(order_rng.permutation(n))
        B, order = order[:batch], order[batch:]
        visited.append(B)
        if start == "data":
            tilde[:, B] = data.x[B]
        for _ in range(T):
            xi = rng.standard_normal((K, batch, d))
            for j, i in enumerate(B):
                for k in range(K):
                    x, y = tilde[k, i][None], data.y[i : i + 1]
                    x = x + eta * EPS * np.sign(model.loss_grad(x, y)[1])
                    x = np.clip(x + sigma * EPS * xi[k, j], data.x[i] - EPS, data.x[i] + EPS)
                    tilde[k, i] = np.clip(x, *data.domain)[0]
        g = {name: np.zeros_like(array) for name, array in model.theta.items()}
        for i in B:
            for k in range(K):
                one = model.theta_grad(tilde[k, i][None], data.y[i : i + 1])[1]
                g = {name: g[name] + one[name] / (batch * K) for name in g}
        model = model.step(g, learning_rate)
    return model, tilde, visited


@pytest.mark.parametrize(
    ("T", "K", "start"), [(1, 1, "warm"), (3, 2, "warm"), (2, 3, "data"), (1, 2, "data")]
)
def test_it_is_the_talks_algorithm(model, data, T, K, start):
    how = method("algorithm-1", steps=T, copies=K, start=start)
    end = run(model, data, how)[-1]
    theirs, tilde, visited = algorithm_1(model, data, 7, 10, 0.3, 0.5, 0.3, T, K, start, 4)
    np.testing.assert_allclose(end.attacks, tilde, rtol=0, atol=1e-12)
    for name, array in theirs.theta.items():
        np.testing.assert_allclose(end.model.theta[name], array, rtol=0, atol=1e-12)
    assert len({i for B in visited[:2] for i in B}) == 20  # an epoch meets no point twice


def test_a_warm_start_remembers_and_a_cold_one_does_not(model, data):
    """One step of half an eps leaves a cold start within it; a warm one comes to the faces."""
    far = {}
    for start in ("warm", "data"):
        how = method("algorithm-1", sampler=SignStep(0.5, 0.0), start=start)
        *_, last = snapshots(model, data, how, steps=12, batch=24)
        far[start] = np.abs(last - data.x).max()
    assert far["data"] == pytest.approx(0.5 * EPS)
    assert far["warm"] == pytest.approx(EPS)


def test_only_the_minibatch_moves(model, data):
    before, after = snapshots(model, data, method("algorithm-1", copies=2), steps=1)
    moved = (before != after).any(axis=(0, 2))
    assert moved.sum() == 10


@pytest.mark.parametrize(
    ("name", "each"),
    [("natural", 1), ("fgsm", 2), ("pgd-7", 8), ("pgd-40", 41), ("algorithm-1", 2)],
)
def test_cost_is_counted_as_it_is_spent(model, data, name, each, monkeypatch):
    spent = 0
    climb, step = engines.climb, engines.Descent.step

    def counted_climb(net, points, places, y, low, high, size, noise):
        nonlocal spent
        spent += len(noise) * len(places)
        climb(net, points, places, y, low, high, size, noise)

    def counted_step(self, places, rate):
        nonlocal spent
        spent += len(places)
        return step(self, places, rate)

    monkeypatch.setattr(engines, "climb", counted_climb)
    monkeypatch.setattr(engines.Descent, "step", counted_step)
    states = run(model, data, method(name))
    assert [state.gradients for state in states] == [10 * each * k for k in range(8)]
    assert spent == states[-1].gradients


@pytest.mark.parametrize("name", ["reflected", "mala-folded", "mala", "projected"])
def test_any_sampler_inside_counts_its_gradients(model, data, name):
    how = Method(sampler(name), steps=3, copies=2)
    end = run(model, data, how, lam=2.0)[-1]
    assert end.gradients == 7 * 10 * 2 * (3 + 1 + name.startswith("mala"))
    low, high = np.maximum(data.x - EPS, 0), np.minimum(data.x + EPS, 1)
    assert ((end.attacks >= low) & (end.attacks <= high)).all()
    assert (end.attacks != data.x).any()


def test_langevin_steps_see_lambda_and_the_sign_step_does_not(model, data):
    def end(how, lam):
        return run(model, data, how, lam=lam)[-1].model.A

    np.testing.assert_array_equal(*(end(method("algorithm-1"), lam) for lam in (1.0, 50.0)))
    one, other = (end(Method(sampler("reflected")), lam) for lam in (1.0, 50.0))
    assert (one != other).any()


def test_fgsm_and_pgd_are_what_their_papers_say(model, data):
    """Goodfellow et al. 2015: x + eps sign(g).  Madry et al. 2018: projected, from anywhere."""
    batch = {"steps": 1, "batch": 24}
    _, after = snapshots(model, data, method("fgsm"), **batch)
    gradient = model.loss_grad(data.x, data.y)[1]
    fgsm = np.clip(data.x + EPS * np.sign(gradient), 0, 1)
    np.testing.assert_allclose(after[0], fgsm, atol=1e-15)

    _, after = snapshots(model, data, method("pgd-5"), **batch)
    order_rng, rng = map(np.random.default_rng, np.random.SeedSequence(4).spawn(2))
    rows = order_rng.permutation(24)
    x, y = data.x[rows], data.y[rows]
    low, high = np.maximum(x - EPS, 0), np.minimum(x + EPS, 1)
    point = rng.uniform(low, high)
    for _ in range(5):
        point = np.clip(point + 0.5 * EPS * np.sign(model.loss_grad(point, y)[1]), low, high)
    np.testing.assert_allclose(after[0, rows], point, atol=1e-15)


def test_attacks_start_where_the_method_says(model, data):
    """Five steps of PGD end in a corner wherever they start, so here there is none."""
    assert method("pgd-5").sampler == SignStep(eta=0.5, sigma=0.0)
    shots = {}
    for start in ("data", "uniform"):
        how = Method(SignStep(), steps=0, copies=2, start=start)
        _, shots[start] = snapshots(model, data, how, steps=1, batch=24)
    np.testing.assert_array_equal(shots["data"], [data.x] * 2)
    order_rng, rng = map(np.random.default_rng, np.random.SeedSequence(4).spawn(2))
    rows = order_rng.permutation(24)
    low, high = np.maximum(data.x - EPS, 0)[rows], np.minimum(data.x + EPS, 1)[rows]
    drawn = rng.uniform(low, high, size=(2, 24, 3))
    np.testing.assert_array_equal(shots["uniform"][:, rows], drawn)


def test_methods_with_one_seed_see_the_same_minibatches(model, data):
    """Reflected noise moves every point of a minibatch, wherever it starts."""
    orders = []
    for how in (Method(sampler("reflected")), Method(sampler("reflected"), 2, 3, "uniform")):
        shots = snapshots(model, data, how)
        orders.append([set(np.flatnonzero((a != b).any(axis=(0, 2)))) for a, b in pairwise(shots)])
    assert orders[0] == orders[1]
    assert orders[0][0] != orders[0][1]


@pytest.mark.parametrize("batch", [8, 10])
def test_an_epoch_visits_every_point_that_fills_a_minibatch(model, data, batch):
    """24 points in 3 minibatches of 8, or in 2 of 10: then a new order."""
    how = Method(sampler("reflected"))
    shots = snapshots(model, data, how, steps=6, batch=batch)
    visits = np.array([(a != b).any(axis=(0, 2)) for a, b in pairwise(shots)])
    whole = 24 // batch
    assert (visits.sum(axis=1) == batch).all()
    for epoch in range(0, 6, whole):
        assert visits[epoch : epoch + whole].any(axis=0).sum() == whole * batch


def test_a_seed_is_a_run(model, data):
    ends = [run(model, data, method("algorithm-1"), seed=seed)[-1] for seed in (4, 4, 5)]
    np.testing.assert_array_equal(ends[0].model.A, ends[1].model.A)
    assert (ends[0].model.A != ends[2].model.A).any()
    sequence = run(model, data, method("algorithm-1"), seed=np.random.SeedSequence(4))[-1]
    np.testing.assert_array_equal(sequence.model.A, ends[0].model.A)


def test_training_waits_for_whoever_looks(model, data):
    """`seconds` has the training alone: what is done between two states does not count."""
    import time

    states = train(model, data, method("natural"), eps=EPS, steps=3, seed=0)
    for _ in states:
        time.sleep(0.05)
        last = _
    assert last.seconds < 0.05


def test_fit_is_the_end_of_training(model, data):
    options = {"eps": EPS, "steps": 7, "batch": 10, "learning_rate": 0.3, "seed": 4}
    fitted = fit(model, data, method("algorithm-1"), **options)
    np.testing.assert_array_equal(fitted.A, run(model, data, method("algorithm-1"))[-1].model.A)
    assert fit(model, data, method("natural"), **(options | {"steps": 0})) is model


# Bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": 0.0}, "eps=0.0 must be positive"),
        ({"lam": np.inf}, "lam=inf must be a finite number"),
        ({"steps": 1.5}, "steps=1.5 must be a whole number of at least 0"),
        ({"batch": 0}, "batch=0 must be a whole number of at least 1"),
        ({"learning_rate": -1.0}, r"learning_rate=-1\.0 must be positive"),
        ({"learning_rate": np.nan}, "learning_rate=nan must be positive"),
    ],
)
def test_bad_numbers_are_named_before_anything_runs(model, data, changes, message):
    options = {"eps": EPS, "steps": 3} | changes
    with pytest.raises(tm.InputError, match=message):
        train(model, data, method("natural"), **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"y": np.full(24, 7)}, "label 7 is out of range"), ({"domain": (2.0, 3.0)}, "anchor 0 has")],
)
def test_bad_data_are_named(model, data, changes, message):
    with pytest.raises(tm.InputError, match=message):
        train(model, data._replace(**changes), method("fgsm"), eps=EPS, steps=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: method("pgd"), "unknown method 'pgd'"),
        (lambda: method("pgd-0"), "unknown method 'pgd-0': did you mean pgd-K"),
        (lambda: method("pgd-K"), "say how many steps, as in pgd-7"),
        (lambda: method("fgsm", copies=0), "copies=0 must be a whole number"),
        (lambda: method("fgsm", steps=-1), "steps=-1 must be a whole number"),
        (lambda: method("fgsm", start="hot"), "unknown start 'hot'"),
    ],
)
def test_bad_methods_are_named(make, message):
    with pytest.raises(tm.InputError, match=message):
        make()


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_theta_that_is_no_longer_finite_names_the_learning_rate(data):
    model = Model.random(data, 2, hidden=5, activation="softplus")
    states = train(model, data, method("natural"), eps=EPS, steps=50, learning_rate=1e200)
    with pytest.raises(tm.InputError, match=r"finite .* after step \d+: reduce learning_rate=1e"):
        list(states)
