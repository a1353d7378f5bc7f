"""Algorithm 1 and what it is compared with: one loop, its parts against the talk's own words."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import twomode as tm
from twomode.adversarial import (
    PROBLEMS,
    Data,
    Method,
    Model,
    Problem,
    Quadrature,
    SignStep,
    Target,
    cost_to,
    fit,
    learning_curve,
    learning_curves,
    load_data,
    method,
    robust_error,
    sampler,
    tracking_lag,
    train,
    training,
)

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
    for grad in ("loss_grad", "theta_grad"):
        original = getattr(Model, grad)

        def counted(self, x, y, original=original):
            nonlocal spent
            spent += len(y)
            return original(self, x, y)

        monkeypatch.setattr(Model, grad, counted)
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


# Evaluation


def by_force(model, data, eps, steps, restarts, seed):
    """PGD on every point and restart, right or wrong: which ones stay right."""
    low, high = np.maximum(data.x - eps, data.domain[0]), np.minimum(data.x + eps, data.domain[1])
    rng, right = np.random.default_rng(seed), model.predict(data.x) == data.y
    for _ in range(restarts):
        x = rng.uniform(low, high)
        for _ in range(steps):
            x = x + 2.5 / steps * eps * np.sign(model.loss_grad(x, data.y)[1])
            x = np.clip(x, low, high)
        right &= model.predict(x) == data.y
    return right


def test_robust_error_is_exact_where_the_worst_case_is_known():
    """Of a linear model the corner against the weights is the worst point, and PGD finds it."""
    data = load_data("blobs", 400, 3, d=3)
    linear = Model(np.array([[1.0, 0.5, -0.2]]), np.zeros(1))
    margin = (2 * data.y - 1) * (data.x @ linear.A[0])
    worst = margin - 0.2 * np.abs(linear.A[0]).sum()
    natural, robust = robust_error(linear, data, 0.2, steps=20)
    assert natural == pytest.approx((margin < 0).mean())
    assert robust == pytest.approx((worst < 0).mean())
    assert robust > natural + 0.05


def test_more_restarts_break_no_fewer_points():
    data = load_data("moons", 300, 1)
    model = fit(Model.random(data, 0, hidden=16), data, method("natural"), eps=0.3, steps=400)
    errors = [robust_error(model, data, 0.3, steps=10, restarts=k, seed=2)[1] for k in (1, 4, 12)]
    assert errors == sorted(errors)
    assert errors[0] == pytest.approx(1 - by_force(model, data, 0.3, 10, 1, 2).mean(), abs=0.02)
    assert errors[-1] == pytest.approx(1 - by_force(model, data, 0.3, 10, 12, 9).mean(), abs=0.02)


# The lag


def small_lag(how, learning_rate, **changes):
    data = load_data("moons", 12, 0)
    natural = {"eps": 0.3, "steps": 100, "batch": 12, "learning_rate": 1.0}
    model = fit(Model.random(data, 0, hidden=8), data, method("natural"), **natural)
    options = {"eps": 0.3, "lam": 5.0, "learning_rate": learning_rate, "seed": 0} | changes
    return tracking_lag(model, data, how, **options)


def test_the_lag_is_zero_for_points_of_p_adv_itself(monkeypatch):
    """Attacks with exactly the mean loss of p_adv*, and with that of the uniform law."""
    original = Target.losses
    for law, wanted in (("exact", 0.0), ("uniform", 1.0)):

        def losses(self, x, law=law):
            if x.shape[:-1] != (1, len(self.x)):  # nodes of quadrature
                return original(self, x)
            target = self if law == "exact" else replace(self, lam=0.0)
            return Quadrature(target).mean_loss[None]

        monkeypatch.setattr(Target, "losses", losses)
        assert small_lag(Method(sampler("reflected")), 2.0) == pytest.approx(wanted, abs=1e-9)


def test_the_lag_is_that_of_the_second_half(monkeypatch):
    """Ten steps of twenty, each against p_adv* and the uniform law."""
    laws = []

    def counted(target):
        laws.append(target.lam)
        return Quadrature(target)

    monkeypatch.setattr(training, "Quadrature", counted)
    small_lag(Method(sampler("reflected")), 0.5)
    assert laws == [5.0, 0.0] * 10


def test_it_grows_with_the_learning_rate_and_shrinks_with_inner_steps():
    """Differences of twenty standard errors and more over seeds; frozen data lag most."""
    chain = Method(sampler("mala-folded", h=0.5), copies=48)
    slow, fast = small_lag(chain, 0.05), small_lag(chain, 0.8)
    patient = small_lag(replace(chain, steps=10), 0.2)
    frozen = small_lag(replace(chain, steps=0), 0.2)
    assert slow < 0.2 < fast < frozen
    assert patient < 0.1
    with pytest.raises(tm.InputError, match=r"learning_rate=20\.0 must lie in \(0, 10\]"):
        small_lag(chain, 20.0)


# What it must show


@pytest.fixture(scope="module")
def curves():
    """Digits, 20 epochs; the errors of 10 other seeds have a standard deviation of 0.02."""
    problem = replace(PROBLEMS["digits"], steps=1000)
    methods = {
        "warm": method("algorithm-1"),
        "cold": method("algorithm-1", start="data"),
        "natural": method("natural"),
    }
    return learning_curves(problem, methods, [0, 1], evaluations=4)


def test_a_warm_start_beats_a_cold_one(curves):
    """By 0.15 to 0.21 over twelve seeds."""
    end = curves.groupby(["seed", "method"])["robust_error"].last().unstack()
    assert (end["cold"] - end["warm"] > 0.1).all()
    assert (end["natural"] - end["cold"] > 0.1).all()


def test_a_curve_is_what_training_costs_and_gives(curves):
    warm = curves[(curves["method"] == "warm") & (curves["seed"] == 0)]
    assert warm["step"].tolist() == [6, 33, 182, 1000]
    np.testing.assert_array_equal(warm["gradients"], warm["step"] * 100)
    assert warm["seconds"].is_monotonic_increasing
    assert warm["strong_error"].notna().tolist() == [False, False, False, True]
    last = warm.iloc[-1]
    assert last["natural_error"] < last["robust_error"] <= last["strong_error"] + 0.02


def test_a_curve_depends_on_its_seed_and_method_alone(curves):
    problem = replace(PROBLEMS["digits"], steps=1000)
    seen = []
    alone = learning_curve(problem, method("natural"), 1, 4, progress=lambda *at: seen.append(at))
    same = curves[(curves["method"] == "natural") & (curves["seed"] == 1)]
    for column in ("step", "gradients", "loss", "natural_error", "robust_error"):
        np.testing.assert_array_equal(same[column], [row[column] for row in alone])
    assert seen[0] == (0, 1000)
    assert seen[-1] == (1000, 1000)


def test_each_seed_has_its_own_order_and_noise(monkeypatch):
    used = []

    def recorded(*args, seed, **options):
        used.append(tuple(seed.generate_state(4)))
        return train(*args, seed=seed, **options)

    monkeypatch.setattr(training, "train", recorded)
    problem = Problem("blobs", 40, 40, None, 0.2, steps=3)
    for seed in (0, 0, 1):
        learning_curve(problem, method("fgsm"), seed, 2)
    assert used[0] == used[1] != used[2]


def test_processes_and_longer_methods():
    problem = Problem("blobs", 40, 40, None, 0.2, steps=10)
    methods = {"a": method("natural"), "b": method("fgsm")}
    done = []
    with tm.sweeps.processes(1) as executor:
        there = learning_curves(
            problem,
            methods,
            [3],
            executor,
            longer={"b": 3},
            evaluations=3,
            progress=lambda *at: done.append(at),
        )
    here = learning_curves(problem, methods, [3], longer={"b": 3}, evaluations=3)
    pd.testing.assert_frame_equal(there.drop(columns="seconds"), here.drop(columns="seconds"))
    assert here.groupby("method")["step"].max().tolist() == [10, 30]
    assert done == [(1, 2), (2, 2)]


def test_the_cost_of_coming_down_to_a_level():
    table = pd.DataFrame(
        {
            "method": ["a"] * 3 + ["b"] * 3 + ["a"] * 2,
            "seed": [0] * 6 + [1] * 2,
            "gradients": [10, 20, 30, 1, 2, 3, 10, 20],
            "robust_error": [0.5, 0.3, 0.4, 0.9, 0.8, 0.7, 0.5, 0.1],
        }
    )
    cost = cost_to(table, pd.Series({0: 0.35, 1: 0.5}))
    assert cost.loc[0].tolist() == [20, np.inf]
    assert cost.loc[1].tolist() == [10, np.inf]


def test_every_problem_can_be_trained():
    for name, problem in PROBLEMS.items():
        small = replace(problem, n_train=60, n_test=30, steps=3)
        rows = learning_curve(small, method("algorithm-1"), evaluations=2)
        assert rows[-1]["step"] == 3
        assert problem.data == name


# Bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": 0.0}, "eps=0.0 must be positive"),
        ({"lam": np.inf}, "lam=inf must be a finite number"),
        ({"steps": 1.5}, "steps=1.5 must be a whole number of at least 0"),
        ({"batch": 0}, "batch=0 must be a whole number of at least 1"),
        ({"learning_rate": -1.0}, r"learning_rate=-1\.0 must be positive"),
        ({"learning_rate": np.nan}, "learning_rate=nan must be a finite number"),
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
    with pytest.raises(tm.InputError, match=r"infinity after step \d+: reduce learning_rate=1e"):
        list(states)
