"""Evaluation, the lag behind p_adv*, and learning curves; what Algorithm 1 must show."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import twomode as tm
from twomode.adversarial import (
    PROBLEMS,
    Method,
    Model,
    Problem,
    Quadrature,
    Target,
    cost_to,
    fit,
    learning_curve,
    learning_curves,
    load_data,
    method,
    robust_error,
    robustness,
    sampler,
    tracking_lag,
    train,
)

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


def test_one_step_from_the_data_is_fgsm():
    data = load_data("moons", 300, 1)
    model = fit(Model.random(data, 0, hidden=16), data, method("natural"), eps=0.3, steps=400)
    moved = data.x + 0.3 * np.sign(model.loss_grad(data.x, data.y)[1])
    wrong = (model.predict(moved) != data.y) | (model.predict(data.x) != data.y)
    found = robust_error(model, data, 0.3, steps=1, start="data")[1]
    assert found == pytest.approx(wrong.mean())
    assert found <= robust_error(model, data, 0.3)[1]
    with pytest.raises(tm.InputError, match="unknown start 'corner': choose from uniform, data"):
        robust_error(model, data, 0.3, start="corner")


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

    monkeypatch.setattr(robustness, "Quadrature", counted)
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

SHORT = 100  #: steps, where it does not matter what is learned


METHODS = {
    "warm": method("algorithm-1"),
    "cold": method("algorithm-1", start="data"),
    "natural": method("natural"),
}


@pytest.fixture(scope="module")
def curves():
    """Digits, for two epochs."""
    problem = replace(PROBLEMS["digits"], n_test=150, steps=SHORT)
    return learning_curves(problem, METHODS, [0, 1], evaluations=4)


@pytest.mark.slow
def test_a_warm_start_beats_a_cold_one():
    """By 0.15 to 0.21 over twelve seeds; after 20 epochs the errors of ten other seeds have a
    standard deviation of 0.02."""
    curves = learning_curves(replace(PROBLEMS["digits"], steps=1000), METHODS, [0, 1])
    end = curves.groupby(["seed", "method"])["robust_error"].last().unstack()
    assert (end["cold"] - end["warm"] > 0.1).all()
    assert (end["natural"] - end["cold"] > 0.1).all()


def test_a_curve_is_what_training_costs_and_gives(curves):
    warm = curves[(curves["method"] == "warm") & (curves["seed"] == 0)]
    assert warm["step"].tolist() == [6, 15, 39, SHORT]
    np.testing.assert_array_equal(warm["gradients"], warm["step"] * 100)
    assert warm["seconds"].is_monotonic_increasing
    assert warm["strong_error"].notna().tolist() == [False, False, False, True]
    last = warm.iloc[-1]
    assert last["natural_error"] < last["robust_error"] <= last["strong_error"] + 0.02


def test_a_curve_depends_on_its_seed_and_method_alone(curves):
    problem = replace(PROBLEMS["digits"], n_test=150, steps=SHORT)
    seen = []
    alone = learning_curve(
        problem, method("natural"), 1, 4, progress=lambda p: seen.append((p.done, p.total))
    )
    same = curves[(curves["method"] == "natural") & (curves["seed"] == 1)]
    for column in ("step", "gradients", "loss", "natural_error", "fgsm_error", "robust_error"):
        np.testing.assert_array_equal(same[column], [row[column] for row in alone])
    assert seen[0] == (0, SHORT)
    assert seen[-1] == (SHORT, SHORT)


def test_each_seed_has_its_own_order_and_noise(monkeypatch):
    used = []

    def recorded(*args, seed, **options):
        used.append(tuple(seed.generate_state(4)))
        return train(*args, seed=seed, **options)

    monkeypatch.setattr(robustness, "train", recorded)
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
            progress=lambda p: done.append((p.done, p.total)),
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
    levels = pd.Series({0: 0.35, 1: 0.5})
    renamed = table.rename(columns={"robust_error": "fgsm_error"})
    cost = cost_to(renamed, levels, error="fgsm_error")
    assert cost.equals(cost_to(table, levels))
    assert cost.loc[0].tolist() == [20, np.inf]
    assert cost.loc[1].tolist() == [10, np.inf]


def test_every_problem_can_be_trained():
    for name, problem in PROBLEMS.items():
        small = replace(problem, n_train=60, n_test=30, steps=3)
        rows = learning_curve(small, method("algorithm-1"), evaluations=2)
        assert rows[-1]["step"] == 3
        assert problem.data == name
