"""Rules from the same starts, each at its best: what ran, on which starts, and what follows."""

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pandas as pd
import pytest
from helpers import made_comparison
from pandas.testing import assert_frame_equal

import twomode as tm
from twomode.statistics import clopper_pearson, compare_paired
from twomode.studies import (
    FINE,
    SETTINGS,
    STEP_SCALES,
    cell_key,
    outcome,
    plan,
    ratios_of,
    sweeps,
    tune,
    tuning,
)
from twomode.studies import comparison as comparison_module
from twomode.summary import answers
from twomode.theory import covers_both, explain

TINY = {"d": 16, "steps": 3}
SCALES, RATIOS = (1.0, 2.0), (0.2, 1.0, 4.0)
RULES = ["nsgda", "sgda", "ttur-nsgda", "extragradient"]
RUN = {"step_scales": SCALES, "ratios": RATIOS, "replicas": 6, "tuning": 4, "seed": 5}
CELL = {"d": 32, "horizon": 0.3}


@pytest.fixture(scope="module")
def compared():
    return tm.compare_rules(RULES, CELL, **RUN)


def seen_by(monkeypatch):
    """The results that the tuning and the fresh starts measure."""
    seen = {"tuning": [], "fresh": []}

    def watch(module, name, to):
        measure = getattr(module, name)

        def record(result):
            to.append(result)
            return measure(result)

        monkeypatch.setattr(module, name, record)

    watch(tuning, "_recovered", seen["tuning"])
    watch(comparison_module, "outcome", seen["fresh"])
    return seen


def planted_recovery(monkeypatch, share):
    """Tuning finds that `share` of the replicas recovers, a function of the rule's step sizes."""

    def recovered(result):
        return {"recovered": np.arange(result.replicas) < share(result.opt) * result.replicas}

    monkeypatch.setattr(tuning, "_recovered", recovered)


def no_run(monkeypatch):
    def run_cell(*job):
        raise AssertionError("ran")

    monkeypatch.setattr(sweeps, "run_cell", run_cell)


# The grid


def test_grid_of_ratios_has_those_of_the_recipes():
    ratios = ratios_of(256)
    for name in ("sgda", "nsgda", "adam"):
        opt = tm.recipe(tm.Game.preset(256), name).opt
        assert min(abs(math.log(opt.eta_G / opt.eta_D / x)) for x in ratios) < 1e-12
    assert list(ratios) == sorted(ratios)
    assert 1.0 in STEP_SCALES


def test_tried_is_the_share_that_recovers_at_each_point():
    cell = {"d": 64, "horizon": 0.3}
    cells = [{**cell, "opt": "nsgda"}, {**cell, "opt": "sgda", "gamma": 0.3}]
    best, tried = tune(cells, 10, step_scales=SCALES, ratios=RATIOS, seed=3)
    points = list(product((0, 1), SCALES, RATIOS))
    assert tried.columns.tolist() == ["cell", "step_scale", "ratio", "recovered"]
    assert [tuple(row) for row in tried.iloc[:, :3].to_numpy()] == points
    for number, cell in enumerate(cells):
        mine = tried[tried["cell"] == number]
        for _, row in mine.iterrows():
            point = {**cell, "step_scale": row["step_scale"], "ratio": row["ratio"]}
            run = plan(point)
            content = {**cell, "record_every": 10**9}
            root = tuning._apart(3)
            result = tm.simulate(
                *(run.game, run.opt, run.steps),
                replicas=10,
                seed=np.random.SeedSequence(root, spawn_key=cell_key(content)),
                record_every=10**9,
            )
            assert row["recovered"] == covers_both(result)[:, -1].mean()
        chosen = mine[
            (mine["step_scale"] == best[number]["step_scale"])
            & (mine["ratio"] == best[number]["ratio"])
        ]
        assert chosen["recovered"].item() == mine["recovered"].max()
        assert best[number].items() >= cell.items()
        assert best[number].keys() - cell.keys() == {"step_scale", "ratio"}
    assert 0 < tried["recovered"].max() < 1  # the comparisons above are about something


def test_the_point_with_most_recoveries_is_chosen(monkeypatch):
    recipe = plan(TINY | {"opt": "nsgda"}).opt
    for scale, ratio in ((4.0, 8.0), (0.25, 1.0), (4.0, 0.2)):

        def share(opt, scale=scale, ratio=ratio):
            near = np.isclose([opt.eta_D, opt.eta_G], recipe.eta_D * scale * np.array([1, ratio]))
            return 1.0 if near.all() else 0.75

        planted_recovery(monkeypatch, share)
        grid = {"step_scales": (0.25, 1.0, 4.0), "ratios": (0.2, 1.0, 8.0)}
        (best,), tried = tune([TINY | {"opt": "nsgda"}], 4, **grid)
        assert (best["step_scale"], best["ratio"]) == (scale, ratio)
        assert sorted(tried["recovered"]) == [0.75] * 8 + [1.0]


@pytest.mark.parametrize(
    ("rule", "grid", "chosen"),
    [
        ("nsgda", {}, (1.0, 0.2)),
        ("sgda", {}, (1.0, math.log(16))),
        # nearest as a factor, which is not nearest as a difference: 16 against 1.9, 6 against 2.5
        ("sgda", {"step_scales": (1 / 2.2, 2.0)}, (2.0, math.log(16))),
        ("sgda", {"ratios": (1.5, 4.6)}, (1.0, 4.6)),
        # both together: (1.5, 0.3) is nearer than (1, 1), and (1, 0.6) than (4, 0.2)
        ("nsgda", {"step_scales": (4.0, 1.0), "ratios": (0.2, 0.6)}, (1.0, 0.2)),
        ("nsgda", {"step_scales": (4.0,), "ratios": (0.6, 0.1)}, (4.0, 0.1)),
        # the recipe of a rule about the ratio has its own
        ("ttur-nsgda", {"ratios": (0.1, 0.24, 3.0)}, (1.0, 0.24)),
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_among_equals_the_nearest_to_the_recipe_is_chosen(monkeypatch, rule, grid, chosen, share):
    planted_recovery(monkeypatch, lambda opt: share)
    (best,), tried = tune([TINY | {"opt": rule}], 2, **grid)
    assert (best["step_scale"], best["ratio"]) == chosen
    assert (tried["recovered"] == share).all()


def test_nearness_decides_among_the_best_only(monkeypatch):
    recipe = plan(TINY | {"opt": "nsgda"}).opt
    planted_recovery(monkeypatch, lambda opt: 0.5 if opt.eta_D > 1.5 * recipe.eta_D else 0.25)
    (best,), _ = tune([TINY | {"opt": "nsgda"}], 4, step_scales=(1.0, 2.0, 4.0), ratios=(0.2, 1.0))
    assert (best["step_scale"], best["ratio"]) == (2.0, 0.2)


def test_a_rule_about_the_ratio_skips_those_that_are_not_two_time_scales(monkeypatch):
    planted_recovery(monkeypatch, lambda opt: opt.eta_G / opt.eta_D >= 1)
    cells = [TINY | {"opt": rule} for rule in ("ttur", "sgda")]
    best, tried = tune(cells, 2, step_scales=(1.0,), ratios=(0.25, 0.99, 1.0, 2.0))
    assert tried.loc[tried["cell"] == 0, "ratio"].tolist() == [0.25, 0.99]
    assert tried.loc[tried["cell"] == 1, "ratio"].tolist() == [0.25, 0.99, 1.0, 2.0]
    assert (best[0]["ratio"], best[1]["ratio"]) == (0.25, 2.0)


def test_tuning_sees_the_last_record_only(monkeypatch):
    seen = seen_by(monkeypatch)
    tune([{"d": 16, "opt": "nsgda", "horizon": 0.01}], 2, step_scales=(1.0,), ratios=(0.2,))
    (result,) = seen["tuning"]
    assert result.steps.tolist() == [0, 50]


# Streams


def first(results):
    """What an engine records of the starts, whatever its coordinates, one array for each result."""
    names = ("projections_W", "projections_V", "gram_V", "norms_W")
    return [
        np.concatenate([getattr(r, n)[:, 0].reshape(r.replicas, -1) for n in names], axis=1)
        for r in results
    ]


@pytest.mark.parametrize(
    "changes",
    # the last one records as the tuning does
    [{}, {"batch_size": 4}, {"record_every": 10**9}],
    ids=str,
)
def test_all_rules_start_alike_and_afresh_after_the_tuning(monkeypatch, changes):
    seen = seen_by(monkeypatch)
    cell = TINY | changes
    rules = ["adam", "sgda", "extragradient-nsgda"]
    tm.compare_rules(rules, cell, step_scales=(1.0,), ratios=(0.2, 4.0), replicas=3, tuning=3)
    engines = [[r.provenance["engine"] for r in seen[name]] for name in ("tuning", "fresh")]
    by_recipe = best = ["dense", "reduced", "reduced"]
    assert engines == [["dense"] * 2 + ["reduced"] * 4, [*by_recipe, "reduced", *best]]
    tuned, fresh = first(seen["tuning"]), first(seen["fresh"])
    for starts in (tuned, fresh):
        for other in starts:
            np.testing.assert_allclose(other, starts[0], rtol=1e-10, atol=1e-14)
        assert not np.isclose(starts[0][0], starts[0][1]).any()
    for one, other in product(tuned[0], fresh[0]):
        assert not np.isclose(one, other).any()


def test_rules_go_their_own_ways_from_there(monkeypatch):
    seen = seen_by(monkeypatch)
    rules = ["sgda", "nsgda", "extragradient"]
    tm.compare_rules(rules, TINY, step_scales=(0.5,), ratios=(0.2,), replicas=1, tuning=1)
    ends = [r.gram_V[0, -1].sum() for r in seen["fresh"][:6]]
    assert len(set(ends)) == 6


def test_another_seed_starts_elsewhere(monkeypatch):
    seen = seen_by(monkeypatch)
    run = {"step_scales": (1.0,), "ratios": (0.2,), "replicas": 1, "tuning": 1}
    for seed in (0, 1, 0):
        tm.compare_rules(["sgda"], TINY, seed=seed, **run)
    starts = first(seen["fresh"])[::3]
    np.testing.assert_array_equal(starts[0], starts[2])
    assert not np.isclose(starts[0], starts[1]).any()


def test_fresh_starts_do_not_depend_on_the_rules_compared(compared):
    alone = tm.compare_rules(["nsgda"], CELL, **RUN)
    rows = compared.runs[compared.runs["opt"] == "nsgda"].reset_index(drop=True)
    assert_frame_equal(alone.runs[rows.columns], rows)


# What runs


def test_each_rule_runs_by_recipe_and_at_its_best_and_plain_ones_finer(compared):
    runs, game = compared.runs, tm.Game.preset(32)
    assert compared.rules == RULES
    plain = ["sgda", "extragradient"]
    assert runs["setting"].tolist() == np.repeat(SETTINGS, [4 * 6, 2 * 6, 4 * 6]).tolist()
    assert runs["opt"].tolist() == np.repeat([*RULES, *plain, *RULES], 6).tolist()
    assert runs["replica"].tolist() == list(range(6)) * 10
    for rule in RULES:
        recipe, steps = tm.recipe(game, rule)
        mine = {s: runs[(runs["opt"] == rule) & (runs["setting"] == s)] for s in SETTINGS}
        tried = compared.tuning[compared.tuning["opt"] == rule]
        top = tried[tried["recovered"] == tried["recovered"].max()]
        ratio = recipe.eta_G / recipe.eta_D
        for setting, scales, ratios in (
            ("recipe", [1.0], [ratio]),
            *([("fine", [FINE], [ratio])] if rule in plain else []),
            ("best", top["step_scale"].tolist(), top["ratio"].tolist()),
        ):
            rows = mine[setting]
            scale, ratio = rows["step_scale"].iloc[0], rows["ratio"].iloc[0]
            assert rows["step_scale"].nunique() == rows["eta_D"].nunique() == 1
            assert any((scale, ratio) == pytest.approx(x) for x in zip(scales, ratios, strict=True))
            np.testing.assert_allclose(rows["eta_D"], scale * recipe.eta_D)
            np.testing.assert_allclose(rows["eta_G"], ratio * rows["eta_D"])
            assert rows["steps"].iloc[0] == pytest.approx(0.3 * steps / scale, abs=2 + 1 / scale)
        assert len(tried) == 2 * (1 if rule == "ttur-nsgda" else 3)
    assert compared.cell == CELL | {"shared": True}


def test_rows_are_outcomes_of_runs_that_anyone_can_repeat(compared):
    rows = compared.runs[(compared.runs["opt"] == "nsgda") & (compared.runs["setting"] == "best")]
    step_sizes = {name: rows[name].iloc[0] for name in ("step_scale", "ratio")}
    run = plan(CELL | {"opt": "nsgda"} | step_sizes)
    key = cell_key(CELL | {"shared": True})
    result = tm.simulate(
        *(run.game, run.opt, run.steps),
        replicas=6,
        seed=np.random.SeedSequence(5, spawn_key=key),
        start=tm.GaussianStart(shared=True),
    )
    for name, values in outcome(result).items():
        assert np.array_equal(rows[name], values, equal_nan=name != "verdict"), name
    assert rows["recovered"].any()


def test_executors_make_the_same_comparison(compared):
    with ThreadPoolExecutor(2) as executor:
        again = tm.compare_rules(iter([*RULES, "sgda"]), CELL, executor=executor, **RUN)
    assert_frame_equal(again.runs, compared.runs, check_exact=True)
    assert_frame_equal(again.tuning, compared.tuning, check_exact=True)


def test_progress_counts_two_sweeps():
    calls = []
    tm.compare_rules(
        *(["sgda", "nsgda"], TINY),
        step_scales=(1.0,),
        ratios=(0.2,),
        replicas=20,
        tuning=1,
        progress=lambda p: calls.append((p.done, p.total)),
    )
    # twenty are two jobs; both rules by recipe and at their best, one with fine steps
    assert calls == [*((n, 2) for n in range(3)), *((n, 10) for n in range(11))]


def test_all_rules_at_256_by_default(monkeypatch):
    planned = []

    def stop(cells, replicas, **options):
        planned.append((cells, replicas, options))
        raise tm.InputError("enough")

    monkeypatch.setattr(comparison_module, "tune", stop)
    with pytest.raises(tm.InputError, match="enough"):
        tm.compare_rules()
    ((cells, replicas, options),) = planned
    assert cells == [{"d": 256, "shared": True, "opt": name} for name in tm.RULES]
    assert replicas == 16
    assert (options["step_scales"], options["ratios"]) == (STEP_SCALES, None)


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rules": []}, "no rule to compare"),
        ({"rules": ["sgda", "sgdaa"]}, "unknown optimizer 'sgdaa': did you mean sgda"),
        ({"rules": "sgda"}, "rules='sgda' must be a list"),
        ({"cell": {"d": 2}}, "d=2 must be a whole number of at least 3"),
        ({"cell": {"d": 16, "gama": 0.1}}, "unknown gama"),
        ({"cell": {"d": 16, "opt": "sgda"}}, "opt cannot be fixed: it is what a comparison varies"),
        ({"cell": {"d": 16, "ratio": 1}}, "ratio cannot be fixed"),
        (
            {"cell": {"d": 16, "ratio": 1, "step_scale": 1}},
            "ratio, step_scale cannot be fixed",
        ),
        ({"cell": {"d": 16, "eta_G": 0.1}}, "eta_G cannot be fixed"),
        ({"cell": {"d": 16, "eta_D": 0.0, "steps": 3}}, "eta_D cannot be fixed"),
        ({"cell": {"d": 16, "a": 0}}, "leaves no time scale"),
        ({"step_scales": ()}, r"step_scales=\[\] must hold at least one"),
        (
            {"step_scales": [1.0, 0.0]},
            r"step_scales=\[1.0, 0.0\] must be a list, of which each",
        ),
        (
            {"step_scales": [math.nan]},
            r"step_scales=\[nan\] must be a list, of which each",
        ),
        ({"ratios": []}, r"ratios=\[\] must hold at least one"),
        (
            {"ratios": [math.inf]},
            r"ratios=\[inf\] must be a list, of which each must be pos",
        ),
        (
            {"ratios": [-1.0, 1.0]},
            r"ratios=\[-1.0, 1.0\] must be a list, of which each must",
        ),
        (
            {"rules": ["sgda", "ttur"], "ratios": [1.0, 2.0]},
            r"ttur needs a ratio below 1 in ratios=\[1.0, 2.0\]",
        ),
        ({"replicas": 0}, "replicas=0 must be a whole number of at least 1"),
        ({"replicas": 2.5}, "replicas=2.5 must be a whole number"),
        ({"tuning": 0}, "tuning=0 must be a whole number of at least 1"),
        ({"tuning": None}, "tuning=None must be a whole number"),
        ({"seed": -1}, "seed=-1 must be a whole number of at least 0"),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_refused_before_anything_runs(monkeypatch, arguments, message):
    no_run(monkeypatch)
    with pytest.raises(tm.InputError, match=message) as refusal:
        tm.compare_rules(**({"rules": ["sgda"], "cell": {"d": 16}} | arguments))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([], r"cells=\[\] must hold at least one"),
        ([{"d": 16}], "opt is missing"),
        ([{"opt": "sgda"}], "d is missing"),
        ([{"d": 16, "opt": "sgda"}, {"d": 16, "opt": "sgda", "ratio": 2}], "ratio cannot be fixed"),
    ],
)
def test_what_cannot_be_tuned(monkeypatch, cells, message):
    no_run(monkeypatch)
    with pytest.raises(tm.InputError, match=message):
        tune(cells, 2)


# Outcomes


GAME = tm.Game.preset(64, m_D=3, m_G=4, gamma=0.2)
T, EVERY = 6, 5
U = np.array([[1, 0, 0, 0, 0, 0], [0.2, math.sqrt(0.96), 0, 0, 0, 0]])


@pytest.fixture(scope="module")
def tiny():
    opt = tm.optimizer("nsgda", eta_D=0.5, eta_G=0.1)
    return tm.simulate(GAME, opt, EVERY * (T - 1), replicas=4, record_every=EVERY)


def planted(tiny, *, covers=(), turns=()):
    """Generators orthogonal to both modes, but for the given records of replicas.

    In each (replica, records) of `covers`, two neurons point along each mode; in those of `turns`,
    one points along u_1, which is too little to cover the other.
    """
    V = np.zeros((tiny.replicas, T, 4, 6)) + np.eye(6)[2:]
    for replica, records in covers:
        V[replica, records] = U[[0, 0, 1, 1]]
    for replica, records in turns:
        V[replica, records, 0] = U[0]
    return dataclasses.replace(tiny, projections_V=V @ U.T, gram_V=V @ V.mT)


def test_recovery_is_at_the_end_and_its_time_is_the_first(tiny):
    steady, lost = (0, slice(3, None)), (1, slice(2, 4))
    result = planted(tiny, covers=[steady, lost, (3, slice(T - 1, None))], turns=[(2, slice(None))])
    found = outcome(result)
    assert found["recovered"].tolist() == [True, False, False, True]
    np.testing.assert_array_equal(found["recovered_at"], [3 * EVERY, 2 * EVERY, np.nan, 5 * EVERY])
    assert covers_both(result).sum(axis=1).tolist() == [3, 2, 0, 1]
    assert (result.coverage()[2].max(axis=0) > 0.1).tolist() == [True, False]


def test_the_verdict_and_T0_are_the_judges():
    game = tm.Game.preset(64)
    result = tm.simulate(game, *tm.recipe(game, "sgda"), replicas=4, seed=0)
    found, judgement = outcome(result), tm.judge(result)
    assert found["verdict"].tolist() == judgement.verdicts
    assert found["collapsed"].tolist() == [v == "collapsed" for v in judgement.verdicts]
    assert found["collapsed"].any()
    np.testing.assert_array_equal(found["T0"], judgement.T0)
    np.testing.assert_array_equal(found["recovered"], covers_both(result)[:, -1])


def test_a_discriminator_that_knew_a_mode(tiny):
    """Once is enough, and towards the mode: 0.9 of the mean length at the start is 1.8 here."""
    norms, projections = np.full((4, T, 3), 2.0), np.zeros((4, T, 3, 2))
    norms[:, 1:] = 50  # lengths change later
    projections[0, 2, 1, 1] = 1.81
    projections[1, 2, 1, 1] = 1.79
    projections[2, 2:, :, 0] = -30
    projections[3, 0, 2, 0] = 1.81
    result = dataclasses.replace(planted(tiny), norms_W=norms, projections_W=projections)
    assert outcome(result)["learned"].tolist() == [True, False, False, True]


def test_apart_is_the_median_factor_until_the_generator_follows(tiny):
    result = planted(tiny, turns=[(0, slice(3, None)), (1, slice(3, None)), (3, slice(0, None))])
    norms = np.ones((4, T, 2))  # eta_D/eta_G = 5
    norms[:, 0] = np.nan
    norms[0, 1:4, 0] = 4 / 5, 10 / 5, 7 / 5
    norms[1, 1:4, 0] = 1 / 4 / 5, 1 / 10 / 5, 1 / 7 / 5  # the other player's are longer
    norms[:2, 4:, 0] = 1e6  # after the generator has followed
    norms[2, 1:, 0] = [x / 5 for x in (1 / 9, 1 / 3, 1, 3, 9)]
    norms[2, 4] = 0.0, 0.0  # no step at all
    result = dataclasses.replace(result, update_norms=norms)
    assert explain(result).followed.tolist()[:2] == [15, 15]
    found = outcome(result)["apart"]
    # replica 2 never follows: 9, 3, 1, 9 are all of it; 3 follows at once, and no step counts
    np.testing.assert_allclose(found, [7, 7, math.sqrt(27), np.nan])


def test_apart_is_a_finite_number_or_none(tiny):
    norms = np.ones((4, T, 2))
    norms[0, :, 0] = norms[1, :, 1] = 0  # a player that does not move
    found = outcome(dataclasses.replace(planted(tiny), update_norms=norms))["apart"]
    assert not np.isinf(found).any()


# Answers


def test_a_proportion_counts_the_rows_of_its_rule_and_setting():
    counts = {
        "sgda": {"recipe": (1, 2), "fine": (3, 4), "best": (5, 6)},
        "extragradient": {"recipe": (7, 8), "fine": (9, 10), "best": (11, 12)},
    }
    made = made_comparison(counts)
    for rule, setting in product(counts, SETTINGS):
        for what, count in zip(("recovered", "collapsed"), counts[rule][setting], strict=True):
            found = made.proportion(rule, setting, what)
            assert (found.successes, found.trials) == (count, 40)


@pytest.mark.parametrize("rules", [["sgda"], ["sgda", "extragradient"], list(tm.RULES)], ids=len)
@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_all_intervals_hold_together(rules, confidence):
    """The sum of the errors of all that a comparison can state is what it allows (Bonferroni)."""
    made = made_comparison(dict.fromkeys(rules, (2, 1)), replicas=4, confidence=confidence)
    proportions = [
        made.proportion(rule, setting, what)
        for rule, setting, what in product(rules, SETTINGS, ("recovered", "collapsed"))
    ]
    error = sum(1 - p.confidence for p in proportions)
    error += sum(  # a difference errs as often as a proportion
        1 - p.confidence
        for p, (rule, _, _) in zip(
            proportions, product(rules, SETTINGS, ("recovered", "collapsed")), strict=True
        )
        if tm.RULES[rule].base in rules
    )
    assert error <= (1 - confidence) * (1 + 1e-9)
    assert error >= 0.4 * (1 - confidence)  # and no wider than they need to be


def test_a_difference_to_the_base_is_of_the_same_starts():
    """The made-up rules recover on the first starts, and collapse on the last."""
    made = made_comparison({"sgda": (5, 30), "extragradient": (35, 2)})
    k = np.arange(40)
    for what, first, second in (
        ("recovered", k < 35, k < 5),
        ("collapsed", k >= 38, k >= 10),
    ):
        confidence = made.proportion("sgda", "best", what).confidence
        expected = compare_paired(first, second, confidence)
        assert made.difference("extragradient", "best", what) == expected
        assert expected[0] < first.mean() - second.mean() < expected[1]
    assert made.difference("extragradient", "best", "recovered")[0] > 0
    assert made.difference("extragradient", "best", "collapsed")[1] < 0


@pytest.mark.parametrize("rule", ["sgda", "extragradient-nsgda"])
def test_no_difference_without_a_base(rule):
    made = made_comparison({"sgda": (1, 1), "extragradient-nsgda": (1, 1)})
    with pytest.raises(tm.InputError, match=f"{rule} has no base among the rules compared"):
        made.difference(rule, "best", "recovered")


def line_about(made, start):
    (line,) = [line for line in answers(made) if line.startswith(start)]
    return line


def each_neuron(gradient, state, memory):
    """Normalized by each neuron's own norm."""
    return {
        name: g / (np.abs(g) if g.ndim == 1 else np.linalg.norm(g, axis=-1, keepdims=True))
        for name, g in gradient.items()
    }


def test_fine_steps_can_be_left_out():
    rules, cell = ["sgda", "extragradient", "nsgda"], {"d": 16, "steps": 20}
    run = {"step_scales": [1], "ratios": [0.2], "replicas": 3, "tuning": 1}
    whole, less = (tm.compare_rules(rules, cell, **run, fine=fine) for fine in (True, False))
    kept = whole.runs[whole.runs["setting"] != "fine"].reset_index(drop=True)
    assert_frame_equal(less.runs, kept)
    assert set(whole.runs["setting"]) > set(less.runs["setting"])
    assert less.table()["collapsed_fine"].tolist() == [None] * 3


def test_rules_of_ones_own_are_compared_like_named_ones():
    """The same rule under four names, one of them a function's."""
    game = tm.Game.preset(16)
    recipe = tm.recipe(game, "nsgda").opt
    rule = dataclasses.replace(tm.rules.named_rule("nsgda"), name="rule")
    given = dataclasses.replace(recipe, name="optimizer")
    own = tm.OwnRule(recipe.eta_D, recipe.eta_G, each_neuron, equivariant=True)
    run = {"step_scales": [1, 4], "ratios": [0.2], "replicas": 8, "tuning": 2}
    made = tm.compare_rules(["nsgda", rule, given, own], {"d": 16, "steps": 2000}, **run)
    name, others = made.rules[0], made.rules[1:]
    assert others[-1] == "each_neuron"
    for setting in ("recipe", "best"):
        first = made.of(name, setting)
        for other in others:
            same = made.of(other, setting)
            for what in ("step_scale", "ratio", "recovered", "verdict"):
                assert first[what].tolist() == same[what].tolist()
            assert made.difference(other, setting, "recovered", name)[0] < 0
    assert made.of(name, "best")["recovered"].any()
    assert made.table()["cost_gradients"].tolist() == [1, 1, 1, 1]
    assert answers(made) == []  # of the four, none builds on another
    with pytest.raises(tm.InputError, match=r"two rules are called rule .*: rename one"):
        tm.compare_rules([rule, rule.with_steps(0.1, 0.1)], {"d": 16})
    with pytest.raises(tm.InputError, match="each_neuron had no run with fine steps"):
        made.difference("each_neuron", "fine", "recovered", name)


def test_answers_tell_the_better_from_the_worse():
    best = {
        "sgda": 100,
        "extragradient": 200,
        "sga": 110,
        "consensus": 4,
        "nsgda": 190,
        "optimistic-nsgda": 10,
        "optimistic": 198,
    }
    counts = {rule: {"recipe": (100, 0), "best": (count, 0)} for rule, count in best.items()}
    counts |= {rule: counts[rule] | {"fine": (100, 0)} for rule in ("sgda", "extragradient", "sga")}
    counts |= {rule: counts[rule] | {"fine": (100, 0)} for rule in ("consensus", "optimistic")}
    made = made_comparison(counts, replicas=200)
    line = line_about(made, "on sgda, each at its best: ")
    own = made.proportion("sgda", "best", "recovered")
    assert f"sgda recovers both modes in {own}" in line
    assert "the 4 methods in 2 (consensus) to 100 % (extragradient)" in line
    assert "more than sgda: extragradient, optimistic;" in line
    assert line.endswith("less: consensus")
    line = line_about(made, "on nsgda, each at its best: ")
    assert "more than nsgda: none; less: optimistic-nsgda" in line
    assert len(answers(made)) == 3  # and one with fine steps, on sgda


def test_answers_say_who_collapses_less_with_fine_steps():
    fines = {"sgda": 34, "extragradient": 3, "sga": 30, "consensus": 29, "optimistic": 40}
    counts = {
        rule: {"recipe": (0, 40), "fine": (0, fine), "best": (20, 40)}
        for rule, fine in fines.items()
    }
    without = ("nsgda", "ttur-nsgda", "clipped-sgda")  # the last builds on one that has such a run
    counts |= {rule: {"recipe": (0, 40), "best": (20, 40)} for rule in without}
    made = made_comparison(counts)
    line = line_about(made, "on sgda, with fine steps: ")
    assert f"sgda collapses in {made.proportion('sgda', 'fine', 'collapsed')};" in line
    assert "90 % of the same starts: sga;" in line  # of the 40, all but 4; the others all but 5, 6
    assert line.endswith("less often: extragradient")
    assert not [line for line in answers(made) if line.startswith("on nsgda, with fine steps")]


def test_agreement_is_of_the_same_starts():
    made = made_comparison(dict.fromkeys(["sgda", "sga", "extragradient", "optimistic"], (0, 20)))
    assert math.isnan(made.agreement("sgda"))
    assert made.agreement("sga") == 1
    runs, fine = made.runs, made.runs["setting"] == "fine"
    # as often, from the other starts; and other settings do not matter
    runs.loc[fine & (runs["opt"] == "extragradient"), "collapsed"] ^= True
    runs.loc[fine & (runs["opt"] == "optimistic") & (runs["replica"] % 4 == 1), "collapsed"] ^= True
    runs.loc[~fine & (runs["opt"] == "sga"), "collapsed"] ^= True
    found = [made.agreement(rule) for rule in made.rules[1:]]
    assert found == [1, 0, 0.75]
    np.testing.assert_array_equal(made.table()["agreement"], [np.nan, *found])
    line = line_about(made, "on sgda, with fine steps: ")
    assert "of the same starts: sga; less often: none" in line
    alone = made_comparison({"sgda": (1, 1), "extragradient-nsgda": (1, 1)})
    assert math.isnan(alone.agreement("extragradient-nsgda"))
    rest = made_comparison({"sgda": {"recipe": (1, 1), "best": (1, 1)}, "sga": (1, 1)})
    assert math.isnan(rest.agreement("sga"))
    assert rest.table()["collapsed_fine"].tolist() == [
        None,
        rest.proportion("sga", "fine", "collapsed"),
    ]


def test_rules_that_discretize_the_same_flow_do_the_same_with_fine_steps():
    """By their recipes they do not."""
    rules = ["sgda", "extragradient", "optimistic"]
    run = {"step_scales": (1.0,), "ratios": (1.0,), "replicas": 4, "tuning": 1}
    made = tm.compare_rules(rules, {"d": 64}, **run)
    verdicts = made.runs.groupby(["setting", "opt"])["verdict"].agg(tuple)
    assert verdicts["fine"].nunique() == 1
    assert verdicts["recipe"].nunique() == 3
    assert len(set(verdicts["fine"].iloc[0])) > 1
    assert [made.agreement(rule) for rule in rules[1:]] == [1, 1]


def test_answers_name_recoveries_without_a_discriminator_that_knew():
    rules = ["sgda", "extragradient", "sga", "nsgda", "optimistic-nsgda"]
    made = made_comparison(dict.fromkeys(rules, (20, 0)) | {"optimistic-nsgda": (0, 0)})
    assert not [line for line in answers(made) if "never knew" in line]
    runs = made.runs
    for rule, setting, knew in (
        ("sgda", "fine", 0),  # of other settings nothing is said
        ("extragradient", "best", 9),  # of 20 that recovered
        ("sga", "best", 10),
        ("nsgda", "best", 20),  # only in some that did not recover
    ):
        at = (runs["opt"] == rule) & (runs["setting"] == setting)
        runs.loc[at, "learned"] = runs.loc[at, "replica"] < knew
    (line,) = [line for line in answers(made) if "never knew a mode" in line]
    assert line.startswith("on sgda, ")
    assert line.endswith(": extragradient")
    shares = made.table().set_index("rule")["learned"]
    expected = [1, 9 / 20, 0.5, 1, np.nan]
    np.testing.assert_array_equal(shares, expected)


def test_equal_rules_are_told_apart_by_nothing():
    made = made_comparison(dict.fromkeys(["sgda", "extragradient", "sga", "nsgda"], (25, 12)))
    line = line_about(made, "on sgda, each at its best: ")
    assert line.endswith("more than sgda: none; less: none")
    assert line_about(made, "on sgda, with fine steps: ").endswith("less often: none")
    assert not [line for line in answers(made) if line.startswith("on nsgda")]  # nothing on it


def test_chance_alone_is_no_difference():
    """Fifty comparisons of five rules that are all alike.

    With probability at least 95 % none of the differences of a comparison is wrong, so more than
    nine wrong comparisons have a probability below 1e-4; the intervals are wider than that.
    """
    rng, wrong = np.random.default_rng(0), 0
    rules = ["sgda", "extragradient", "optimistic", "sga", "anchored"]
    for p in rng.uniform(0.1, 0.9, 50):
        made = made_comparison(dict.fromkeys(rules, (0, 0)))
        made.runs["recovered"] = rng.random(len(made.runs)) < p
        wrong += any(
            not low <= 0 <= high
            for rule in rules[1:]
            for low, high in [made.difference(rule, "best", "recovered")]
        )
    assert wrong <= 9
    # Power: a rule that recovers in 95 % instead of 40 % is seen every time.
    made = made_comparison(
        {"sgda": (16, 0), "extragradient": (38, 0)} | dict.fromkeys(rules[2:], (16, 0))
    )
    assert "more than sgda: extragradient;" in line_about(made, "on sgda, each")


def test_rules_without_their_base_have_a_table_and_no_answers():
    made = made_comparison({"extragradient": (4, 4), "optimistic-adam": (30, 0)})
    assert answers(made) == []
    assert made.table()["base"].tolist() == ["sgda", "adam"]


# The table


def test_a_table_has_a_row_for_each_rule():
    counts = {
        "sgda": {"recipe": (0, 12), "fine": (0, 30), "best": (5, 3)},
        "sga": {"recipe": (0, 1), "fine": (2, 2), "best": (4, 0)},
        "extragradient": {"recipe": (0, 0), "fine": (0, 0), "best": (1, 1)},
    }
    made = made_comparison(counts)
    table = made.table().set_index("rule")
    assert table.index.tolist() == list(counts)
    assert table["base"].tolist() == ["sgda", "sgda", "sgda"]
    assert table["cost_gradients"].tolist() == [1, 1, 2]
    assert table["cost_jacobian_products"].tolist() == [0, 2, 0]
    for column, setting, what in (
        ("collapsed", "recipe", "collapsed"),
        ("collapsed_fine", "fine", "collapsed"),
        ("recovered", "best", "recovered"),
        ("collapsed_best", "best", "collapsed"),
    ):
        for rule in counts:
            assert table.loc[rule, column] == made.proportion(rule, setting, what)
    np.testing.assert_array_equal(table["T0"], [50 + 5.5, 50, np.nan])
    np.testing.assert_array_equal(table["iterations"], [120, 115, 100])
    np.testing.assert_array_equal(table["gradients"], [120, 115, 200])
    np.testing.assert_array_equal(table["jacobian_products"], [0, 230, 0])
    assert set(table["step_scale"]) == {4.0}
    assert set(table["ratio"]) == {2.5}
    assert set(table["apart"]) == {3.0}  # without those that have none


def test_nobody_recovers():
    made = made_comparison(dict.fromkeys(["sgda", "sga"], (0, 0)))
    made.runs["apart"] = np.nan
    table = made.table()
    for column in ("T0", "iterations", "gradients", "jacobian_products", "apart"):
        assert table[column].isna().all(), column
    assert [p.successes for p in table["recovered"]] == [0, 0]
    line = line_about(made, "on sgda, each at its best: ")
    assert "sga in 0 %" in line
    assert line.endswith("more than sgda: none; less: none")


def test_a_table_of_real_runs(compared):
    table = compared.table().set_index("rule")
    best = compared.runs[compared.runs["setting"] == "best"]
    for rule, rows in best.groupby("opt"):
        when = rows.loc[rows["recovered"], "recovered_at"].median()
        np.testing.assert_equal(table.loc[rule, "iterations"], when)
        assert table.loc[rule, "recovered"].successes == rows["recovered"].sum()
        low, high = clopper_pearson(int(rows["recovered"].sum()), 6, 1 - 0.05 / (12 * len(RULES)))
        assert table.loc[rule, "recovered"].interval == pytest.approx((low, high))
    assert all(isinstance(line, str) and "\n" not in line for line in answers(compared))
    assert isinstance(compared.runs, pd.DataFrame)


def test_too_many_replicas_are_refused_before_the_tuning():
    heard = []
    with pytest.raises(tm.InputError, match="replicas=1000000000000"):
        tm.compare_rules(["sgda"], {"d": 64}, replicas=10**12, progress=heard.append)
    assert not heard
