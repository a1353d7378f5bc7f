"""Cells, their random streams, and tables that depend on nothing else."""

import dataclasses
import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import twomode as tm
from twomode.runs import Run
from twomode.studies import JobsFailedError, cell_key, cells, observe, plan, processes, run_cell

TINY = {"d": 64, "opt": "nsgda", "steps": 20}
GRID = {"d": [64], "opt": ["sgda", "nsgda"], "steps": [20], "batch_size": [3, 8]}
same = functools.partial(assert_frame_equal, check_exact=True)


def ends(result):
    """Everything that a run depends on shows in its first record and in its last."""
    first, last = result.gram_V[:, 0].sum(axis=(1, 2)), result.gram_V[:, -1].sum(axis=(1, 2))
    value = result.objective[:, 0]
    return {"start": first, "end": last, "end_b": result.bias[:, -1], "value": value}


MEASURED = ["start", "end", "end_b", "value"]


# Cells


def test_cells_are_every_combination_the_last_axis_fastest():
    found = cells(d=[1, 2], opt=iter("ab"), q=(0.5,))
    assert [tuple(cell.values()) for cell in found] == [
        (1, "a", 0.5),
        (1, "b", 0.5),
        (2, "a", 0.5),
        (2, "b", 0.5),
    ]
    assert list(found[0]) == ["d", "opt", "q"]


#: Each name that a cell may have, with a value and where it must arrive in the plan.
NAMES = {
    "d": (81, lambda run: run.game.d),
    "opt": ("sgda", lambda run: run.opt.name),
    "m_D": (2, lambda run: run.game.m_D),
    "m_G": (3, lambda run: run.game.m_G),
    "gamma": (0.5, lambda run: run.game.gamma),
    "a": (0.7, lambda run: run.game.a),
    "lam": (0.3, lambda run: run.game.lam),
    "clip": (9.0, lambda run: run.game.clip),
    "latents": (tm.Bernoulli(0.25), lambda run: run.game.latents),
    "data": (tm.CorrelatedCoefficients(0.25), lambda run: run.game.data),
    "eta_D": (0.125, lambda run: run.opt.eta_D),
    "eta_G": (0.125, lambda run: run.opt.eta_G),
    "direction": ("momentum", lambda run: run.opt.direction),
    "magnitude": ("gradient", lambda run: run.opt.magnitude),
    "granularity": ("layer", lambda run: run.opt.granularity),
    "schedule": ("alternating-D-first", lambda run: run.opt.schedule),
    "beta1": (0.5, lambda run: run.opt.beta1),
    "beta2": (0.5, lambda run: run.opt.beta2),
    "eps": (0.25, lambda run: run.opt.eps),
    "norm_eps": (0.25, lambda run: run.opt.norm_eps),
    "bias_correction": (False, lambda run: run.opt.bias_correction),
    "heavy_ball": (True, lambda run: run.opt.heavy_ball),
    "constant": (2.5, lambda run: run.opt.constant),
    "correction": ("consensus", lambda run: run.opt.correction),
    "correction_weight": (0.25, lambda run: run.opt.correction_weight),
    "aligned": (False, lambda run: run.opt.aligned),
    "anchor": (0.25, lambda run: run.opt.anchor),
    "decay_D": (0.5, lambda run: run.opt.decay_D),
    "decay_G": (0.25, lambda run: run.opt.decay_G),
    "first_step": ("double", lambda run: run.opt.first_step),
    "past_scale": ("today", lambda run: run.opt.past_scale),
    "nesterov": (True, lambda run: run.opt.nesterov),
    "polar": ("newton-schulz", lambda run: run.opt.polar),
    "max_norm": (0.5, lambda run: run.opt.max_norm),
    "weight_decay": (0.5, lambda run: run.opt.weight_decay),
    "std_W": (0.25, lambda run: run.start.std_W),
    "std_V": (0.25, lambda run: run.start.std_V),
    "bias": (0.25, lambda run: run.start.bias),
    "modes": ("axis", lambda run: run.start.modes),
    "shared": (True, lambda run: run.start.shared),
    "batch_size": (7, lambda run: run.batch_size),
    "engine": ("array", lambda run: run.engine),
    "dtype": ("float32", lambda run: run.dtype),
    "record_every": (4, lambda run: run.record_every),
    "resolve": (1.5, lambda run: run.resolve),
    "rtol": (1e-3, lambda run: run.rtol),
    "steps": (30, lambda run: run.steps),
    "q": (0.75, lambda run: run.game.latents.q),
    "ratio": (0.5, lambda run: run.opt.eta_G / run.opt.eta_D),
    "horizon": (0.5, lambda run: run.steps / 5000),
    "step_scale": (4, lambda run: run.opt.eta_D / 0.005),
}
#: What else a cell must have for a name to mean something.
NEEDS = {
    **{name: {"direction": "adam"} for name in ("beta1", "beta2", "eps", "bias_correction")},
    "heavy_ball": {"direction": "momentum"},
    "constant": {"magnitude": "constant"},
    "nesterov": {"direction": "momentum"},
    "polar": {"granularity": "spectral"},
    "max_norm": {"magnitude": "clipped"},
    "correction_weight": {"correction": "sga"},
    "aligned": {"correction": "sga"},
    "first_step": {"schedule": "optimistic"},
    "rtol": {"opt": "sgda", "engine": "flow"},
    "past_scale": {"schedule": "optimistic", "direction": "adam", "magnitude": "own"},
}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_acts(name):
    value, where = NAMES[name]
    run = plan({"d": 64, "opt": "nsgda", "engine": "dense", **NEEDS.get(name, {}), name: value})
    assert where(run) == value
    # and on nothing else than it says
    canonical = plan({"d": 64, "opt": "nsgda"})
    if name in {f.name for f in dataclasses.fields(tm.Game)} - {"d", "data"}:
        assert run.game == dataclasses.replace(canonical.game, **{name: value})
        assert run.opt == canonical.opt
    if name in ("std_W", "std_V", "bias", "modes", "shared"):
        assert run.start == dataclasses.replace(canonical.start, **{name: value})
        assert (run.game, run.opt, run.steps) == (canonical.game, canonical.opt, canonical.steps)


def test_every_name_is_among_these():
    with pytest.raises(tm.InputError, match="unknown nothing: choose from") as refusal:
        plan(TINY | {"nothing": 1})
    assert set(str(refusal.value).partition("choose from ")[2].split(", ")) == NAMES.keys() | {
        "label"
    }


def test_what_a_cell_does_not_name_is_canonical():
    run, game = plan({"d": 256, "opt": "sgda"}), tm.Game.preset(256)
    wanted = Run.of(game, *tm.recipe(game, "sgda"))
    assert {**vars(run), "seed": None} == {**vars(wanted), "seed": None}
    assert run.seed.state == wanted.seed.state


def test_ratio_and_horizon_follow_the_recipe():
    for rule in ("sgda", "nsgda", "adam"):
        base = plan({"d": 256, "opt": rule})
        run = plan({"d": 256, "opt": rule, "ratio": 3.0, "horizon": 0.3})
        assert run.opt == dataclasses.replace(base.opt, eta_G=3.0 * base.opt.eta_D)
        assert run.steps == -(-3 * base.steps // 10)
        # the horizon is a time, in units of 1/eta_D
        half = plan({"d": 256, "opt": rule, "eta_D": base.opt.eta_D / 2, "horizon": 1})
        assert abs(half.steps - 2 * base.steps) <= 1
        run = plan({"d": 256, "opt": rule, "eta_D": 0.25, "ratio": 3.0, "steps": 7})
        assert (run.opt.eta_D, run.opt.eta_G, run.steps) == (0.25, 0.75, 7)


def test_step_scale_and_ratio_are_two_axes():
    """Steps so many times as long and as few, whatever the ratio; horizon is a time of its own."""
    for rule in ("sgda", "nsgda", "anchored", "adam", "ttur"):
        base = plan({"d": 256, "opt": rule})
        for scale, ratio in ((0.25, 0.5), (4, 0.125)):
            run = plan({"d": 256, "opt": rule, "step_scale": scale, "ratio": ratio})
            length = scale ** (1 - base.opt.decay_D)
            assert run.opt.eta_D == pytest.approx(length * base.opt.eta_D)
            assert run.opt.eta_G == pytest.approx(ratio * run.opt.eta_D)
            assert run.steps == pytest.approx(base.steps / scale, abs=2)
            half = plan({"d": 256, "opt": rule, "step_scale": scale, "horizon": 0.5})
            assert half.steps == pytest.approx(base.steps / scale / 2, abs=2)
    assert plan(TINY | {"step_scale": 4}).steps == 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name, (value, _) in NAMES.items()
            if name not in ("dtype", "resolve", "rtol")
        ),
        pytest.param("dtype", "float32", marks=pytest.mark.slow),
    ],
)
def test_every_name_reaches_the_rows(name, value):
    """Adam in R^d looks at everything (momentum at heavy_ball); what else it is, is kept."""
    cell = {"d": 64, "opt": "adam", "steps": 20, "eta_D": 0.05, "eta_G": 0.05} | {
        "batch_size": 5,
        "schedule": "simultaneous",
    }
    if name in ("magnitude", "granularity", "norm_eps", "constant"):
        cell |= {"magnitude": "constant"}
    if name == "shared":  # only the reduced engine draws otherwise
        cell |= {"opt": "nsgda"}
    cell |= NEEDS.get(name, {})
    if name == "first_step":
        cell |= {"direction": "gradient"}
    replaced = {
        "ratio": ["eta_G"],
        "horizon": ["steps"],
        "step_scale": ["eta_D", "eta_G"],
    }
    for other in replaced.get(name, []):
        del cell[other]
    if name == "horizon":
        value = 0.1
    paired = {*cell, name}  # the same random numbers
    before = run_cell(cell, range(2), 0, ends, paired)
    after = run_cell(cell | {name: value}, range(2), 0, ends, paired)
    if name in ("engine", "record_every"):  # the same run, otherwise
        np.testing.assert_allclose(after[MEASURED], before[MEASURED], rtol=1e-9)
        seen = [
            run_cell(c, range(2), 0, lambda r: {"x": r.provenance["engine"], "T": len(r.steps)})
            for c in (cell, cell | {name: value})
        ]
        assert seen[0][["x", "T"]].iloc[0].tolist() != seen[1][["x", "T"]].iloc[0].tolist()
    else:
        assert not np.array_equal(after[MEASURED], before[MEASURED])


# Keys


def test_a_key_stands_for_the_content():
    key = cell_key(TINY)
    assert len(key) == 8
    assert all(isinstance(word, int) and 0 <= word < 2**32 for word in key)
    assert key == cell_key(dict(reversed(TINY.items())))
    assert key == cell_key({"d": 64.0, "opt": np.str_("nsgda"), "steps": np.int32(20)})
    assert cell_key(TINY | {"q": 0.5}) == cell_key(TINY | {"q": np.float32(0.5)})
    assert cell_key(TINY | {"heavy_ball": True}) == cell_key(TINY | {"heavy_ball": np.True_})
    law = tm.ExplicitLatents(np.eye(5), np.full(5, 0.2))
    again = tm.ExplicitLatents(np.eye(5).tolist(), [0.2] * 5)
    assert cell_key(TINY | {"latents": law}) == cell_key(TINY | {"latents": again})


def test_a_key_changes_with_anything():
    others = [{name: value} for name, (value, _) in NAMES.items()]
    others += [{"eta_D": 0.125 + 1e-15}, {"eta_D": 0.0625}, {"eta_G": 0.0625}, {"q": None}]
    others += [{"latents": tm.Bernoulli(0.5)}, {"latents": tm.SparsePairs(0.25)}]
    others += [
        {"latents": tm.ExplicitLatents(np.eye(5)[k:], [1 / (5 - k)] * (5 - k))} for k in (0, 1)
    ]
    keys = [cell_key(TINY), *(cell_key(TINY | other) for other in others)]
    assert len(set(keys)) == len(keys)


def test_paired_names_are_not_part_of_a_key():
    paired = ("ratio", "steps", "latents")
    plain = cell_key({"d": 64, "opt": "nsgda"})
    assert cell_key(TINY | {"ratio": 0.5, "latents": tm.Bernoulli(0.5)}, paired) == plain
    assert cell_key(TINY | {"gamma": 0.5}, paired) != plain
    assert cell_key(TINY, paired) != cell_key(TINY)


def test_a_law_is_its_content_too():
    def key(q):
        return cell_key(TINY | {"latents": tm.SparsePairs(q)})

    assert key(np.float32(0.5)) == key(0.5)
    assert key(0) == key(0.0)


# Tables


@pytest.fixture(scope="module")
def table():
    return tm.sweep(GRID, 3, seed=7)


def test_a_table_is_tidy(table):
    assert list(table.columns) == [
        *GRID,
        "replica",
        "eta_D",
        "eta_G",
        *observe(tm.simulate(tm.Game.preset(64), plan(TINY).opt, 2)),
    ]
    assert len(table) == 2 * 2 * 3
    assert table["opt"].tolist() == ["sgda"] * 6 + ["nsgda"] * 6
    assert table["batch_size"].tolist() == ([3] * 3 + [8] * 3) * 2
    assert table["replica"].tolist() == [0, 1, 2] * 4
    assert table.index.tolist() == list(range(12))
    sgda, nsgda = (tm.recipe(tm.Game.preset(64), name).opt for name in ("sgda", "nsgda"))
    assert table["eta_D"].tolist() == [sgda.eta_D] * 6 + [nsgda.eta_D] * 6
    assert table["eta_G"].tolist() == [sgda.eta_G] * 6 + [nsgda.eta_G] * 6


def test_rows_are_what_simulate_and_judge_say(table):
    game, (opt, _) = tm.Game.preset(64), tm.recipe(tm.Game.preset(64), "nsgda")
    cell = {"d": 64, "opt": "nsgda", "steps": 20, "batch_size": 8}
    seed = np.random.SeedSequence(7, spawn_key=cell_key(cell))
    result = tm.simulate(game, opt, 20, replicas=3, seed=seed, batch_size=8)
    judgement, rows = tm.judge(result), table[9:]
    assert rows["verdict"].tolist() == judgement.verdicts
    for name in ("T0", "collapse_cosine", "asymmetry", "residual"):
        assert np.array_equal(rows[name], getattr(judgement, name), equal_nan=True)
    coverage = rows[["coverage_1", "coverage_2"]]
    assert np.array_equal(coverage, judgement.coverage)
    assert rows["diverged"].tolist() == result.diverged.tolist()


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_make_the_same_table(table, workers):
    with ThreadPoolExecutor(workers) as executor:
        same(tm.sweep(GRID, 3, executor, seed=7), table)


def test_processes_make_the_same_table(table):
    with processes(2) as executor:
        same(tm.sweep(GRID, 3, executor, seed=7), table)


def test_an_error_in_a_process_arrives():
    with ThreadPoolExecutor(2) as executor, pytest.raises(JobsFailedError) as raised:
        tm.sweep(GRID, 1, executor, measure=lambda result: {"x": 1 / 0})
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_rows_do_not_depend_on_the_other_cells(table):
    listed = cells(**GRID)
    backwards = tm.sweep([dict(reversed(cell.items())) for cell in listed[::-1]], 3, seed=7)
    for n, cell in enumerate(listed):
        expected = table[3 * n : 3 * n + 3].reset_index(drop=True)
        same(tm.sweep([cell], 3, seed=7), expected)
        same(run_cell(cell, range(3), 7), expected)
        rows = backwards[9 - 3 * n : 12 - 3 * n].reset_index(drop=True)
        same(rows[expected.columns], expected)
    few = tm.sweep(GRID, 2, seed=7)  # replicas are a prefix
    same(few, table[table["replica"] < 2].reset_index(drop=True))
    twice = tm.sweep([TINY, TINY], 2, measure=ends)
    assert np.array_equal(twice[:2], twice[2:])


@pytest.mark.parametrize(
    "spelt",
    [
        {"d": 64.0, "steps": 20.0},
        {"d": np.int64(64), "steps": np.float64(20), "opt": np.str_("nsgda")},
        {"gamma": np.float64(0.25), "bias": np.float32(0)},
    ],
    ids=str,
)
def test_rows_do_not_depend_on_how_numbers_are_spelt(spelt):
    plain = TINY | {"gamma": 0.25, "bias": 0}
    expected, found = (tm.sweep([cell], 2, measure=ends) for cell in (plain, plain | spelt))
    assert np.array_equal(found[MEASURED], expected[MEASURED])
    for name in plain:
        assert (found[name] == expected[name]).all()


def test_seeds_differ():
    frames = [tm.sweep([TINY], 3, seed=seed, measure=ends) for seed in (0, 1)]
    assert len(set(pd.concat(frames)["start"])) == 6
    other = tm.sweep([TINY | {"gamma": 0.25}], 3, measure=ends)
    assert not set(other["start"]) & set(tm.sweep([TINY], 3, measure=ends)["start"])


def test_paired_cells_start_alike():
    grid = {"d": [64], "opt": ["sgda", "nsgda"], "steps": [20], "ratio": [0.2, 0.9]}
    unpaired = tm.sweep(grid, 2, measure=ends)
    assert len(set(unpaired["start"])) == 8
    one = tm.sweep(grid, 2, measure=ends, paired=["ratio"])
    groups = one.groupby(["opt", "replica"])["start"]
    assert groups.nunique().tolist() == [1] * 4
    assert len(set(one["start"])) == 4
    both = tm.sweep(grid, 2, measure=ends, paired={"ratio", "opt"})
    assert both.groupby("replica")["start"].nunique().tolist() == [1, 1]
    assert len(set(both["end"])) == 8


def test_paired_cells_draw_the_same_minibatches():
    grid = {**{name: [x] for name, x in TINY.items()}, "batch_size": [3], "record_every": [1, 5]}
    for paired, different in (([], 4), (["record_every"], 2)):
        ends_alike = tm.sweep(grid, 2, measure=ends, paired=paired)["end"]
        assert len(set(ends_alike)) == different


def test_measures():
    frame = tm.sweep([TINY], 3, measure=lambda result: {"one": 5, "many": result.bias[:, -1]})
    assert frame["one"].tolist() == [5, 5, 5]
    assert frame["many"].nunique() == 3
    assert list(frame.columns[-2:]) == ["one", "many"]
    assert len(tm.sweep([TINY], 3, measure=lambda result: {})) == 3


def test_cells_of_different_names_share_a_table():
    law = tm.Bernoulli(0.25)
    frame = tm.sweep([TINY, TINY | {"gamma": 0.5}, TINY | {"latents": law}], 1, measure=ends)
    assert frame["gamma"].tolist() == pytest.approx([np.nan, 0.5, np.nan], nan_ok=True)
    assert frame["latents"].tolist()[2] == repr(law)
    frame = tm.sweep({name: [x] for name, x in TINY.items()} | {"batch_size": [None, 3]}, 1)
    assert frame["batch_size"].isna().tolist() == [True, False]


@pytest.mark.parametrize("workers", [0, 2])
def test_progress_counts_cells(workers):
    calls = []
    options = {"measure": ends, "progress": calls.append}
    if workers:
        with ThreadPoolExecutor(workers) as executor:
            tm.sweep(GRID, 1, executor, **options)
    else:
        tm.sweep(GRID, 1, **options)
    assert calls == [tm.Progress(done, 4, "job") for done in range(5)]


@pytest.mark.parametrize(("opt", "m_G"), [("sgda", 9), ("adam", 5)])
def test_rows_do_not_depend_on_which_replicas_run_together(opt, m_G):
    """To the last bit: a study goes on from blocks of any length."""
    cell = {"d": 64, "opt": opt, "steps": 300, "m_G": m_G, "record_every": 10}
    whole = run_cell(cell, range(16), 0)
    for first, last in [*((0, n) for n in (1, 2, 3, 5, 7, 11)), (7, 16), (3, 14)]:
        part = run_cell(cell, range(first, last), 0)
        same(part, whole[first:last].reset_index(drop=True))


# Errors


def refused(grid, message, **options):
    """One line, before anything runs."""
    ran = []

    def record(result):
        ran.append(result)
        return {}

    with pytest.raises(tm.InputError, match=message) as refusal:
        tm.sweep(grid, **({"replicas": 1, "measure": record} | options))
    assert not ran
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stepz": 3}, "unknown stepz: choose from a, aligned, anchor, batch_size"),
        ({"name": "mine"}, "unknown name: choose"),
        ({"ratio": 1, "eta_G": 0.1}, "ratio and eta_G exclude each other"),
        ({"horizon": 1}, "horizon and steps exclude each other"),
        ({"q": 0.1, "latents": tm.Bernoulli(0.1)}, "q and latents exclude each other"),
        ({"d": 2}, "d=2 must be a whole number of at least 3"),
        ({"d": 64.5}, "d=64.5 must be a whole number"),
        ({"d": None}, "d=None must be a whole number"),
        ({"opt": "sgdaa"}, "unknown optimizer 'sgdaa': did you mean sgda"),
        ({"steps": 0}, "steps=0 must be a whole number of at least 1"),
        ({"steps": 2.5}, "steps=2.5 must be a whole number"),
        ({"gamma": 1}, r"gamma=1 must lie in \[0, 1\)"),
        ({"gamma": [0.1]}, r"gamma=\[0\.1\] must lie in \[0, 1\)"),
        ({"q": 2}, "q=2 must lie in"),
        ({"latents": 3}, "latents=3 must be a Law, like SparsePairs"),
        ({"m_G": 17, "latents": tm.Bernoulli(0.1)}, "m_G=17 is too large for Bernoulli"),
        ({"eta_D": float("nan")}, "eta_D=nan must be a finite number"),
        ({"ratio": -1}, r"ratio=-1 must be a finite number and at least 0"),
        ({"granularity": "neurone"}, "unknown granularity 'neurone': did you mean neuron"),
        ({"std_V": -1}, "std_V=-1 must be a finite number"),
        ({"modes": "ax"}, "unknown modes 'ax': did you mean axis"),
        ({"step_scale": 0}, "step_scale=0 must be positive"),
        ({"step_scale": float("nan")}, "step_scale=nan must be positive"),
        ({"correction": "SGA"}, "unknown correction 'SGA'"),
        ({"correction_weight": 0.5}, r"correction_weight=0\.5 needs a correction"),
        ({"aligned": False}, "aligned=False chooses the sign of sga's lambda"),
        ({"anchor": 1, "decay_D": 1, "eta_D": 0.1}, r"which is 0 for decay_D=1"),
        ({"decay_G": 2}, r"decay_G=2 must lie in \[0, 1\]"),
        ({"first_step": "double"}, "'double' is about the optimistic schedule"),
        ({"past_scale": "today"}, "past_scale='today' rescales the moments"),
        ({"opt": "ttur", "eta_D": 0.1, "eta_G": 0.2}, "ttur needs eta_D > eta_G"),
    ],
    ids=str,
)
def test_unusable_cells_are_named(changes, message):
    text = refused([TINY, TINY | changes], message)
    cell = TINY | changes
    assert text.startswith("cell " + ", ".join(f"{name}={x!r}" for name, x in cell.items()) + ": ")
    with pytest.raises(tm.InputError, match=message):
        run_cell(cell, range(1), 0)


def test_a_ratio_that_the_rule_is_not_about():
    refused([TINY, TINY | {"opt": "ttur", "ratio": 2}], "ttur needs eta_D > eta_G")


def test_a_shared_start_that_cannot_fit():
    refused([TINY, {"d": 2**40, "opt": "sgda", "steps": 1, "shared": True}], "GiB")


@pytest.mark.parametrize("horizon", [0, -1, float("inf"), float("nan"), "long", None])
def test_unusable_horizons(horizon):
    cell = {"d": 64, "opt": "nsgda", "horizon": horizon}
    refused([TINY, cell], r"cell d=64, opt='nsgda', horizon=.*: ")


@pytest.mark.parametrize("name", ["d", "opt"])
def test_what_a_cell_must_have(name):
    refused([TINY, {k: x for k, x in TINY.items() if k != name}], f": {name} is missing")


@pytest.mark.parametrize(
    "changes",
    [
        {"engine": "densee"},
        {"engine": "reduced", "opt": "adam"},
        {"dtype": "float16"},
        {"dtype": "float32"},
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"record_every": 0},
        {"resolve": 1},
        {"opt": "adam", "d": 2**40},
    ],
    ids=str,
)
def test_unusable_options_are_named(changes):
    refused([TINY, TINY | changes], "^cell d=")


@pytest.mark.parametrize("changes", [{"a": 0}, {"eta_D": 0}], ids=str)
def test_a_ratio_needs_no_time_scale_where_steps_are_given(changes):
    assert plan(TINY | {"opt": "sgda", "ratio": 2} | changes).steps == 20


@pytest.mark.parametrize("paired", ["gamma", ["gama"]])
def test_unusable_names_to_pair(paired):
    refused([TINY | {"gamma": 0.2}, TINY | {"gamma": 0.3}], "paired", paired=paired)


@pytest.mark.parametrize("grid", [[], {"d": [], "opt": ["sgda"]}, iter(())])
def test_an_empty_grid(grid):
    refused(grid, "the grid has no cell")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replicas": 0}, "replicas=0 must be a whole number of at least 1"),
        ({"replicas": 1.5}, "replicas=1.5 must be"),
        ({"seed": -1}, "seed=-1 must be a whole number"),
        ({"seed": None}, "seed=None must be"),
    ],
    ids=str,
)
def test_unusable_arguments(options, message):
    refused([TINY], message, **options)


@pytest.mark.parametrize("name", ["d", "opt", "replica", "eta_G", "steps"])
def test_a_measure_may_not_take_the_name_of_a_column(name):
    with pytest.raises(tm.InputError, match=f"measure returns {name}, which the cell has"):
        tm.sweep([TINY], 1, measure=lambda result: {name: 1, "x": 2})


@pytest.mark.parametrize("axis", [64, "sgda"])
def test_an_axis_is_a_list(axis):
    name = "d" if axis == 64 else "opt"
    refused(
        {**{n: [x] for n, x in TINY.items()}, name: axis}, f"{name}=.* must be a list of values"
    )


def test_a_measure_has_a_value_for_each_replica():
    def too_few(result):
        return {"odd": np.zeros(result.replicas + 1)}

    with pytest.raises(tm.InputError, match=r"measure returns odd of shape \(3,\)"):
        tm.sweep([TINY], 2, measure=too_few)


def test_many_replicas_are_several_jobs():
    """Forty are blocks of sixteen, and no row of them is lost, doubled or out of place."""
    seen = []
    table = tm.sweep([TINY], 40, progress=seen.append)
    assert seen == [tm.Progress(n, 3, "job") for n in range(4)]
    assert table["replica"].tolist() == list(range(40))
    assert_frame_equal(tm.sweep([TINY], 5), table.head(5))
    late = run_cell(TINY, [39], 0)
    assert_frame_equal(late, table.tail(1).reset_index(drop=True))


def test_an_axis_may_follow_from_the_others_and_a_label_is_a_column_alone():
    grid = {
        "opt": ["nsgda"],
        "d": [16, 64],
        "steps": [4],
        "m_G": lambda cell: cell["d"] // 8,
        "label": lambda cell: f"m_G = {cell['m_G']}",
    }
    table = tm.sweep(grid, 2)
    assert table["label"].tolist() == ["m_G = 2", "m_G = 2", "m_G = 8", "m_G = 8"]
    plain = tm.sweep([{"opt": "nsgda", "d": 64, "steps": 4, "m_G": 8}], 2)
    assert plain.equals(table[2:].drop(columns="label").reset_index(drop=True))
    with pytest.raises(tm.InputError, match="m_G='x'"):
        tm.sweep(grid | {"m_G": lambda cell: "x"}, 2)


@pytest.mark.parametrize("steps", [{}, {"eta_D": 0.01, "eta_G": 0.02}])
def test_a_rule_in_a_cell_is_the_cell_that_names_its_fields(steps):
    named = {"d": 16, "opt": "nsgda", "granularity": "layer", "steps": 20} | steps
    layer = tm.rules.named_rule("nsgda", granularity="layer")
    rule = dataclasses.replace(layer, name="mine")
    opt = rule.with_steps(**steps) if steps else rule
    mine = {"d": 16, "opt": opt, "steps": 20}
    paired, columns = sorted(named), [*MEASURED, "eta_D", "eta_G"]
    one, other = (tm.sweep([cell], 2, measure=ends, paired=paired) for cell in (named, mine))
    assert one[columns].equals(other[columns])
    assert other["opt"].tolist() == ["mine with magnitude='unit', granularity='layer'"] * 2
    called = mine | {"opt": dataclasses.replace(opt, name="yours")}
    assert cell_key(mine) == cell_key(called) != cell_key(mine | {"opt": "nsgda"})


@pytest.mark.parametrize("more", [{"eta_D": 0.1}, {"eta_G": 0.1}])
def test_an_optimizer_in_a_cell_has_its_step_sizes(more):
    opt = tm.optimizer("nsgda", eta_D=0.01, eta_G=0.02)
    refused([TINY | {"opt": opt} | more], "change them by step_scale and ratio, or give a Rule")


def test_an_optimizer_in_a_cell_is_scaled_like_a_recipe():
    game, opt = tm.Game.preset(d=16), tm.optimizer("nsgda", eta_D=0.01, eta_G=0.02)
    for more, eta_D, eta_G, steps in (
        ({}, 0.01, 0.02, 2500),
        ({"step_scale": 2}, 0.02, 0.04, 1250),
        ({"step_scale": 2, "ratio": 0.5}, 0.02, 0.01, 1250),
    ):
        for made in (tm.recipe(game, opt, **more), plan({"d": 16, "opt": opt} | more)):
            assert (made.opt.eta_D, made.opt.eta_G, made.steps) == (eta_D, eta_G, steps)
