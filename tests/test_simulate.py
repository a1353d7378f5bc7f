"""From a game and a rule to a result: arguments, recording, divergence, minibatches, limits."""

import importlib
import os
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import explicit_start

import twomode as tm
from twomode.runs import TRACE, Minibatches, Run

play_module = importlib.import_module("twomode.runs.play")  # the name is also a function's
trace_module = importlib.import_module("twomode.runs.trace")

GAME = tm.Game.preset(37)
SGDA = tm.optimizer("sgda", eta_D=0.3, eta_G=0.1)
NSGDA = tm.optimizer("nsgda", eta_D=0.01, eta_G=0.003)
ADAM = tm.optimizer("adam", eta_D=0.01, eta_G=0.003)
#: Without clipping a huge step is cubed at every iteration.
EXPLOSIVE = replace(GAME, clip=float("inf"))
HUGE = tm.optimizer("sgda", eta_D=1e30, eta_G=1e30)
LONG_NEURONS = tm.GaussianStart(std_W=1.0, std_V=1.0)


def assert_same_trace(a, b):
    assert np.array_equal(a.steps, b.steps)
    for name in TRACE:
        assert np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True), name


# Arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": -1}, "steps=-1 must be a whole number of at least 0"),
        ({"steps": 2.5}, r"steps=2\.5 must be a whole number of at least 0"),
        ({"steps": True}, "steps=True must be a whole number"),
        ({"seed": -1}, "seed=-1 must be a whole number of at least 0"),
        ({"seed": 1.5}, "seed=1.5 must be a whole number"),
        ({"batch_size": 0}, "batch_size=0 must be a whole number of at least 1"),
        ({"batch_size": 1.5}, r"batch_size=1\.5 must be a whole number"),
        ({"record_every": 0}, "record_every=0 must be a whole number of at least 1"),
        ({"replicas": 0}, "replicas=0 must be a whole number of at least 1"),
        ({"replicas": 2.0}, r"replicas=2\.0 must be a whole number"),
        ({"replicas": []}, r"replicas=\[\] must name at least one"),
        (
            {"replicas": [1] * 16},
            "replicas names replica 1 16 times: each is one run, name it once",
        ),
        ({"replicas": np.array([3, 0, 3])}, "replicas names replica 3 2 times"),
        (
            {"replicas": [3, -1]},
            r"replicas=\[3, -1\] must .* each must be a whole number of at least 0",
        ),
        ({"replicas": [1.5]}, r"replicas=\[1\.5\] must be a whole number"),
        ({"replicas": "two"}, "replicas='two' must be a whole number"),
        ({"batch_size": 2**63}, "batch_size=9223372036854775808 must be a whole .* at most 9e"),
        ({"start": "gauss"}, "start='gauss' must be a State or be a GaussianStart"),
        ({"engine": "densee"}, "unknown engine 'densee': did you mean dense"),
        ({"dtype": "float16"}, "unknown dtype 'float16': did you mean float"),
        ({"dtype": "float32"}, "dtype='float32' needs engine='dense', not 'reduced'"),
        ({"dtype": "float32", "engine": "array"}, "dtype='float32' needs engine='dense'"),
        ({"opt": ADAM, "engine": "reduced"}, "cannot run 'adam'.*use engine='dense'"),
        (
            {"start": explicit_start(tm.Game.preset(50), 1, seed=0)},
            "start has neurons of length 50, the game has d=37",
        ),
        (
            {"start": explicit_start(GAME, 3, seed=0), "replicas": 2},
            "start holds 3 replicas but 2 were asked for: pass replicas=3",
        ),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, message):
    with pytest.raises(tm.InputError, match=message) as refusal:
        tm.simulate(**({"game": GAME, "opt": SGDA, "steps": 3} | arguments))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", tm.RULES)
def test_auto_takes_the_reduced_engine_where_it_can(name):
    run = tm.simulate(GAME, tm.optimizer(name, eta_D=0.01, eta_G=0.005), 1)
    coordinate_wise = name.endswith("adam") or name in ("adalr", "adadir", "adamw", "signsgd")
    assert run.provenance["engine"] == ("dense" if coordinate_wise else "reduced")


def test_cupy_engine_without_cupy_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # import cupy raises ImportError
    with pytest.raises(
        tm.InputError, match=r"needs CuPy and a CUDA GPU.*twomode\[gpu\]"
    ) as refusal:
        tm.simulate(GAME, SGDA, 3, engine="cupy")
    assert "\n" not in str(refusal.value)


def test_seed_sequences_and_numbers_are_the_same_seeds():
    by_number = tm.simulate(GAME, NSGDA, 20, replicas=2, seed=7, batch_size=4)
    by_sequence = tm.simulate(
        GAME, NSGDA, 20, replicas=2, seed=np.random.SeedSequence(7), batch_size=4
    )
    assert_same_trace(by_number, by_sequence)
    children = np.random.SeedSequence(7).spawn(2)
    runs = [tm.simulate(GAME, NSGDA, 20, seed=child, batch_size=4) for child in children]
    others = [by_number, *runs]
    for i, run in enumerate(others):
        for other in others[:i]:
            assert not np.array_equal(run.bias[0], other.bias[0])
    again = np.random.SeedSequence(
        runs[1].provenance["seed"], spawn_key=runs[1].provenance["spawn_key"]
    )
    assert_same_trace(tm.simulate(GAME, NSGDA, 20, seed=again, batch_size=4), runs[1])


def test_numpy_numbers_are_numbers(tmp_path):
    plain = tm.simulate(GAME, NSGDA, 10, replicas=2, seed=3, batch_size=5, record_every=2)
    numpys = tm.simulate(
        GAME,
        NSGDA,
        np.int64(10),
        replicas=np.arange(2),
        seed=np.int64(3),
        batch_size=np.int64(5),
        record_every=np.int64(2),
    )
    assert_same_trace(plain, numpys)
    numpys.save(tmp_path / "run.npz")
    assert_same_trace(tm.load(tmp_path / "run.npz"), plain)


# Starts


@pytest.mark.parametrize("engine", ["reduced", "dense", "array"])
def test_explicit_start(engine):
    start = explicit_start(GAME, 3, seed=0, std_W=1.0, std_V=0.3)
    run = tm.simulate(GAME, NSGDA, 20, replicas=3, engine=engine, start=start, record_every=5)
    np.testing.assert_allclose(run.projections_W[:, 0], start.W @ start.U.mT, atol=1e-14)
    np.testing.assert_allclose(run.gram_V[:, 0], start.V @ start.V.mT, atol=1e-14)
    one = tm.simulate(GAME, NSGDA, 20, engine=engine, start=start.replica(1), record_every=5)
    for name in TRACE:
        np.testing.assert_allclose(getattr(one, name)[0], getattr(run, name)[1], rtol=1e-12)
    assert one.provenance["start"] == "explicit"


def test_replicas_of_one_start_differ_by_their_minibatches_only():
    start = explicit_start(GAME, 1, seed=0).replica(0)
    run = tm.simulate(GAME, NSGDA, 20, replicas=2, start=start, batch_size=2)
    assert np.array_equal(run.gram_V[0, 0], run.gram_V[1, 0])
    assert not np.array_equal(run.gram_V[0, -1], run.gram_V[1, -1])


def test_a_run_goes_on_from_its_last_state():
    whole = tm.simulate(GAME, NSGDA, 20, replicas=2, record_every=10)
    first = tm.simulate(GAME, NSGDA, 10, replicas=2)
    second = tm.simulate(GAME, NSGDA, 10, replicas=2, start=first.state, record_every=10)
    for name in ("projections_V", "gram_V", "norms_W", "objective"):
        np.testing.assert_allclose(
            getattr(second, name)[:, -1], getattr(whole, name)[:, -1], rtol=1e-12
        )


# Records


@pytest.mark.parametrize(
    ("steps", "every", "recorded"),
    [
        (10, 3, [0, 3, 6, 9, 10]),
        (9, 3, [0, 3, 6, 9]),
        (2, 5, [0, 2]),
        (0, 1, [0]),
        (3, 1, [0, 1, 2, 3]),
    ],
)
def test_first_and_last_iterations_are_recorded(steps, every, recorded):
    run = tm.simulate(GAME, NSGDA, steps, replicas=2, record_every=every)
    assert run.steps.tolist() == recorded
    assert run.bias.shape == (2, len(recorded))
    assert all(getattr(run, name).shape[:2] == run.bias.shape for name in TRACE)


@pytest.mark.parametrize(("engine", "records"), [("reduced", 1000), ("dense", 200)])
def test_default_number_of_records(engine, records):
    run = tm.simulate(GAME, NSGDA, 3001, engine=engine)
    assert 0.5 * records < len(run.steps) <= records + 1


def test_last_record_is_the_last_state():
    run = tm.simulate(GAME, NSGDA, 30, replicas=3)
    W, V, b, U = (run.state.arrays()[name] for name in "WVbU")
    np.testing.assert_allclose(run.projections_V[:, -1], V @ U.mT, rtol=1e-14)
    np.testing.assert_allclose(run.gram_V[:, -1], V @ V.mT, rtol=1e-14)
    np.testing.assert_allclose(run.projections_W[:, -1], W @ U.mT, rtol=1e-14)
    np.testing.assert_allclose(run.norms_W[:, -1], np.linalg.norm(W, axis=-1), rtol=1e-14)
    assert np.array_equal(run.bias[:, -1], b)
    said = GAME.evaluate(run.state).objective
    np.testing.assert_allclose(run.objective[:, -1], said, rtol=1e-14)


@pytest.mark.parametrize("engine", ["reduced", "dense", "array"])
def test_gradients_recorded_and_met_agree(engine):
    run = tm.simulate(GAME, SGDA, 40, replicas=3, engine=engine, start=LONG_NEURONS, record_every=1)
    # SGDA's step is the gradient at the state before it
    np.testing.assert_allclose(run.update_norms[:, 1:], run.grad_norms[:, :-1], rtol=1e-12)
    assert np.isnan(run.update_norms[:, 0]).all()
    highest = np.maximum.accumulate(run.grad_norms, axis=1)
    np.testing.assert_allclose(run.peak_grad_norms[:, 1:], highest[:, :-1], rtol=1e-12)
    assert (run.peak_grad_norms[:, 0] == 0).all()


def test_peaks_see_what_is_not_recorded():
    opt, steps = tm.recipe(GAME, "sgda")  # the gradient is largest somewhere in the middle
    often = tm.simulate(GAME, opt, steps, record_every=1)
    rarely = tm.simulate(GAME, opt, steps, record_every=steps)
    highest = often.grad_norms[:, :-1].max(axis=1)
    assert (highest > 1.1 * rarely.grad_norms.max(axis=1)).any()
    np.testing.assert_allclose(rarely.peak_grad_norms[:, -1], highest, rtol=1e-12)


def test_minibatch_runs_record_the_population_gradient():
    run = tm.simulate(GAME, SGDA, 5, batch_size=2, start=LONG_NEURONS, engine="array")
    g = GAME.evaluate(run.state)
    squares = (g.W**2).sum(axis=(1, 2)) + g.b**2, (g.V**2).sum(axis=(1, 2))
    np.testing.assert_allclose(run.grad_norms[:, -1], np.sqrt(squares).T, rtol=1e-14)


def test_progress_counts_up_to_the_last_step(monkeypatch):
    monkeypatch.setattr(play_module, "_REPORT_EVERY", 0.0)
    reports = []
    run = tm.simulate(GAME, NSGDA, 50, replicas=2, record_every=20, progress=reports.append)
    steps = [report.done for report in reports]
    assert steps == sorted(steps)
    assert len(set(steps)) > 10
    assert steps[-1] == 50
    assert {report.total for report in reports} == {50}
    last = reports[-1]
    assert last.collapse_cosine == pytest.approx(np.median(run.collapse_cosine()[:, -1]))
    assert last.coverage == pytest.approx(tuple(np.median(run.coverage()[:, -1], axis=0)))


def test_progress_of_a_flow_counts_replicas_that_have_ended():
    reports = []
    tm.simulate(GAME, SGDA, 20, replicas=3, engine="flow", progress=reports.append)
    assert {(report.total, report.unit) for report in reports} == {(3, "replicas")}
    assert reports[-1].done == 3


def test_a_run_says_how_long_it_took():
    began = time.perf_counter()
    found = tm.simulate(GAME, SGDA, 50, replicas=2).provenance
    assert 0 < found["compile_seconds"] < found["wall_seconds"] < time.perf_counter() - began
    running = found["wall_seconds"] - found["compile_seconds"]
    assert found["steps_per_second"] == pytest.approx(50 * 2 / running)


def test_progress_leaves_the_run_as_it_is(monkeypatch):
    quiet = tm.simulate(GAME, NSGDA, 50, batch_size=3)
    monkeypatch.setattr(play_module, "_REPORT_EVERY", 0.0)
    assert_same_trace(tm.simulate(GAME, NSGDA, 50, batch_size=3, progress=str), quiet)


def test_a_result_says_where_it_came_from():
    run = tm.simulate(GAME, NSGDA, 20, replicas=[4, 2], seed=9, batch_size=3)
    expected = {
        "seed": 9,
        "replicas": [4, 2],
        "batch_size": 3,
        "engine": "reduced",
        "dtype": "float64",
        "start": tm.GaussianStart().to_dict(),
    }
    assert {name: run.provenance[name] for name in expected} == expected
    assert run.provenance["versions"].keys() >= {"twomode", "numpy", "numba", "python"}
    assert run.provenance["steps_per_second"] > 0
    assert (run.game, run.opt) == (GAME, NSGDA)


# Divergence


@pytest.mark.parametrize("every", [1, 20])
@pytest.mark.parametrize(
    ("engine", "opt"),
    [
        ("reduced", HUGE),
        ("dense", HUGE),
        ("array", HUGE),
        ("dense", replace(ADAM, eta_D=1e200, eta_G=1e200)),
    ],
    ids=["reduced", "dense", "array", "dense-adam"],
)
def test_divergence_ends_a_trace_not_a_run(engine, opt, every):
    run = tm.simulate(
        EXPLOSIVE, opt, 40, replicas=4, engine=engine, start=LONG_NEURONS, record_every=every
    )
    assert run.diverged.any()
    for replica, at in enumerate(run.diverged_at):
        after = run.steps >= at if at >= 0 else np.zeros(len(run.steps), dtype=bool)
        assert at == -1 or at in run.steps
        for name in TRACE:
            trace = getattr(run, name)[replica]
            assert np.isnan(trace[after]).all(), name
            # no step leads to the first record; a squared gradient may overflow before the state
            assert not np.isnan(trace[~after][int(name == "update_norms") :]).any(), name


def test_divergence_of_some_leaves_the_others_alone():
    options = {"start": LONG_NEURONS, "record_every": 1}
    run = tm.simulate(EXPLOSIVE, HUGE, 40, replicas=8, **options)
    survivors = np.flatnonzero(~run.diverged)
    assert 0 < len(survivors) < 8
    assert run.steps[-1] == 40
    alone = tm.simulate(EXPLOSIVE, HUGE, 40, replicas=survivors, **options)
    for name in TRACE:
        expected, found = getattr(alone, name), getattr(run, name)[survivors]
        assert np.array_equal(found, expected, equal_nan=True), name


def test_a_run_stops_when_all_have_diverged():
    opt = replace(HUGE, eta_D=1e200, eta_G=1e200)
    reports = []
    run = tm.simulate(
        EXPLOSIVE,
        opt,
        10**7,
        replicas=3,
        start=LONG_NEURONS,
        record_every=10,
        progress=reports.append,
    )
    assert run.diverged.all()
    assert run.steps[-1] == run.diverged_at.max() == 10
    assert np.isnan(reports[-1].collapse_cosine)


# Minibatches


@pytest.mark.parametrize("size", [10, 1000])  # drawn one by one, and by NumPy
def test_minibatch_weights_average_to_the_probabilities(size):
    # counts of n independent points: each weight has mean p and variance p(1 - p)/n
    steps, replicas = 4000, 2
    root = np.random.SeedSequence(0)
    batches = Minibatches(GAME, size, root, range(replicas))
    laws = (GAME.data_points[1], GAME.latent_points[1])
    for weights, p in zip(batches.draw(0, steps), laws, strict=True):
        assert weights.shape == (replicas, steps, len(p))
        np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-14)
        assert np.array_equal(weights * size, np.round(weights * size))
        deviation = np.sqrt(p * (1 - p) / (size * steps))
        assert (np.abs(weights.mean(axis=1) - p) < 5 * deviation).all()
        spread = weights.var(axis=1) * size / (p * (1 - p))
        assert (np.abs(spread - 1) < 0.3).all()
        assert not np.array_equal(weights[0], weights[1])


@pytest.mark.parametrize("size", [10, 1000])
def test_data_and_latents_are_drawn_apart(size):
    """Where both laws have two equal points, their counts are independent, in every replica."""
    latents = tm.ExplicitLatents(np.eye(2), [0.5, 0.5])
    game = replace(GAME, m_G=2, latents=latents)
    batches = Minibatches(game, size, np.random.SeedSequence(0), range(3))
    counts = np.concatenate([weights[..., 0] for weights in batches.draw(0, 4000)])
    apart = np.corrcoef(counts) - np.eye(6)
    assert np.abs(apart).max() < 5 / np.sqrt(4000)


@pytest.mark.parametrize("size", [10, 1000])
def test_minibatches_do_not_depend_on_how_they_are_asked_for(size):
    """Nor on who else is drawn for."""
    root = np.random.SeedSequence(0)
    batches = Minibatches(GAME, size, root, range(9))
    steps = [20, 0, 1, 64, 127, 300, 5]
    whole = batches.draw(0, sum(steps))
    several = [batches.draw(sum(steps[:k]), n) for k, n in enumerate(steps)]
    for k, weights in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([x[k] for x in several], axis=1), weights)
        alone = Minibatches(GAME, size, root, [7]).draw(0, sum(steps))
        np.testing.assert_array_equal(alone[k][0], weights[7])


def philox(counter, key):
    """Four words of 32 bits, as Salmon et al. 2011 write it."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (q >> 32) ^ b ^ k0, q % 2**32, (p >> 32) ^ d ^ k1, p % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return a, b, c, d


def test_minibatches_are_those_of_philox_and_an_alias_table():
    """By Random123's known answers, and point by point."""
    for counter, key, answer in (
        (4 * (0,), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ):
        assert philox(counter, key) == answer
    p, size, first = np.array([0.1, 0.2, 0.3, 0.4]), 7, 2**33 - 1
    table = tm.engines.alias_table(p)
    weights = np.empty((1, 3, 4))
    tm.engines.draw_points(weights, size, first, np.array([[12, 34]], dtype=np.uint64), table)
    for n in range(3):
        t = first + n
        calls = [philox((call, 0, t % 2**32, t >> 32), (12, 34)) for call in range(2)]
        words = [call[k] for k in range(4) for call in calls][:size]
        places = [4 * word for word in words]
        points = [
            slot if place % 2**32 < table.shares[slot] else table.others[slot]
            for place in places
            for slot in [place >> 32]
        ]
        np.testing.assert_array_equal(weights[0, n], np.bincount(points, minlength=4) / size)


@pytest.mark.parametrize("points", [1, 2, 7, 45, 2000])
def test_alias_tables_have_the_probabilities(points):
    rng = np.random.default_rng(points)
    for p in (np.full(points, 1 / points), rng.dirichlet(np.full(points, 0.1))):
        table = tm.engines.alias_table(p)
        own = table.shares / 2.0**32
        found = own + np.bincount(table.others, weights=1 - own, minlength=points)
        np.testing.assert_allclose(found / points, p, rtol=0, atol=2.0**-32)


def test_minibatch_cost_does_not_depend_on_its_size():
    # 10^12 points could be neither stored nor drawn one by one
    options = {"replicas": 2, "start": LONG_NEURONS, "record_every": 10}
    huge = tm.simulate(GAME, SGDA, 40, batch_size=10**12, **options)
    population = tm.simulate(GAME, SGDA, 40, **options)
    for name in ("projections_V", "gram_V", "bias"):
        found, expected = getattr(huge, name), getattr(population, name)
        assert 0 < np.abs(found - expected).max() < 1e-4


# Limits


@pytest.mark.parametrize("name", ["sgda", "nsgda"])
def test_dimension_two_to_the_forty(name):
    game = tm.Game.preset(2**40)
    opt = tm.optimizer(name, eta_D=0.1, eta_G=0.1)
    run = tm.simulate(game, opt, 100, replicas=3, start=tm.GaussianStart(std_W=1.0))
    assert run.provenance["engine"] == "reduced"
    assert all(np.isfinite(getattr(run, name)[:, 1:]).all() for name in TRACE)
    # <v_j, u_l> starts at 2^-40; the w_i that it follows have length 2^20, projections of order 1
    assert np.abs(run.projections_V[:, 0]).max() < 1e-10
    assert np.abs(run.projections_V[:, -1]).max() > 1e-6
    np.testing.assert_allclose(run.norms_W[:, 0], 2**20, rtol=1e-4)


def test_a_run_that_cannot_fit_is_refused():
    with pytest.raises(tm.InputError, match=r"d=1099511627776.*GiB.*reduced engine") as refusal:
        tm.simulate(tm.Game.preset(2**40), ADAM, 10)
    assert "\n" not in str(refusal.value)


def test_a_shared_start_that_cannot_fit_is_refused():
    """The reduced engine runs at any d, and draws at any d only what it need not share."""
    opt, steps = tm.recipe(tm.Game.preset(2**40), "sgda", steps=1)
    shared = tm.GaussianStart(shared=True)
    with pytest.raises(tm.InputError, match=r"d=1099511627776 needs about .* GiB") as refusal:
        tm.simulate(tm.Game.preset(2**40), opt, steps, start=shared)
    assert "\n" not in str(refusal.value)
    assert tm.simulate(tm.Game.preset(2**40), opt, steps).provenance["engine"] == "reduced"
    fits = tm.simulate(tm.Game.preset(2**14), opt, steps, start=shared)
    assert fits.provenance["engine"] == "reduced"
    assert fits.provenance["start"]["shared"] is True


def test_memory_is_asked_for_by_rules_that_keep_more(monkeypatch):
    """At this d there is room for SGDA in R^d, and not for what a rule keeps besides the state."""
    monkeypatch.setattr(os, "sysconf", lambda name: 2**15)  # 1 GiB in all
    game = tm.Game.preset(2**20, m_D=2, m_G=2)
    check = {"replicas": 3, "engine": "dense"}  # 0.14 GiB a copy, and 0.9 GiB to be had
    for changes, fits in (
        ({}, True),
        ({"direction": "momentum"}, True),
        ({"anchor": 1.0}, True),
        ({"correction": "consensus"}, True),
        ({"direction": "adam"}, True),
        ({"direction": "adam", "schedule": "extragradient"}, False),
        ({"correction": "sga", "direction": "momentum"}, False),
        ({"correction": "sga", "anchor": 1.0}, False),
    ):
        opt = tm.Optimizer(1, 1, **changes)
        if fits:
            assert Run.of(game, opt, 1, **check).engine == "dense"
        else:
            with pytest.raises(tm.InputError, match=r"needs about .* GiB.* in R\^d"):
                Run.of(game, opt, 1, **check)


def test_resolve_finds_what_happens_between_two_records():
    """A generator ten times slower than the discriminator: its escape and the rest after it take
    some hundred of the iterations, and a record each 1000 misses them."""
    game = tm.Game.preset(2**12)
    opt = tm.optimizer("sgda", eta_D=0.2, eta_G=0.02)
    run = {"steps": 60_000, "replicas": 8, "seed": 9, "record_every": 1000}
    coarse, fine, every = (
        tm.simulate(game, opt, **run),
        tm.simulate(game, opt, **run, resolve=1.5),
        tm.simulate(game, opt, **(run | {"record_every": 20})),
    )
    assert len(coarse.steps) < len(fine.steps) < len(every.steps)
    assert np.diff(fine.steps).max() <= 1000
    assert np.diff(fine.steps).min() >= 1000 // 64
    T0 = [r.steps[tm.first_stationary(r)] for r in (coarse, fine, every)]
    both = (tm.first_stationary(fine) >= 0) & (tm.first_stationary(every) >= 0)
    assert both.sum() >= 5
    late = [np.median(np.abs(t - T0[2])[both]) for t in T0[:2]]
    assert late[1] <= 60 < 200 < late[0]


def test_resolve_changes_records_only():
    game = tm.Game.preset(256)
    opt, steps = tm.recipe(game, "sgda", steps=1000)
    plain = tm.simulate(game, opt, steps, replicas=3, record_every=100)
    resolved = tm.simulate(game, opt, steps, replicas=3, record_every=100, resolve=1.2)
    assert resolved.steps[0] == 0
    assert resolved.steps[-1] == steps
    np.testing.assert_array_equal(plain.state.V, resolved.state.V)
    assert len(resolved.steps) > len(plain.steps)


def resolved(monkeypatch, norms, at_rest):
    """The recorder, and its intervals, of replicas with these gradient norms at each record."""
    engine = SimpleNamespace(t=0, replicas=len(norms[0]), ended=False)
    recorder = trace_module.Recorder(GAME, engine, 10_000, every=64, resolve=2.0)

    def snapshot(game, engine):
        alive = np.array(norms[len(recorder.steps)])
        both = np.stack([alive, alive], axis=1)
        peaks = both * np.where(at_rest, 20.0, 1.0)[:, None]
        return dict.fromkeys(TRACE, np.zeros(())) | {
            "bias": alive,
            "grad_norms": both,
            "peak_grad_norms": peaks,
        }

    monkeypatch.setattr(trace_module, "snapshot", snapshot)
    intervals = []
    for _ in norms:
        recorder.record()
        intervals.append(recorder.next_step - engine.t)
        engine.t = recorder.next_step
    return recorder, intervals


def test_resolve_watches_no_replica_that_has_diverged(monkeypatch):
    """One is at rest, the other's gradients grow tenfold between records, until it is no more."""
    norms = [[1.0, 1.0], [1.0, 10.0], [1.0, 100.0], [1.0, np.nan], [1.0, np.nan]]
    recorder, intervals = resolved(monkeypatch, norms, [True, False])
    assert intervals == [64, 19, 5, 64, 64]
    assert recorder.diverged_at.tolist() == [-1, 88]


def test_a_replica_that_has_ended_is_recorded_no_more(monkeypatch):
    """Not even if its numbers, too large for once, are finite again."""
    recorder, _ = resolved(monkeypatch, [[1.0, 1.0], [1.0, np.nan], [1.0, 1.0]], [True, True])
    assert np.isnan(recorder.arrays()["bias"]).tolist() == [[False] * 3, [False, True, True]]


def test_resolve_takes_at_most_a_quarter_and_at_most_twice_the_interval(monkeypatch):
    _, intervals = resolved(monkeypatch, [[x] for x in [1, 1e9, 1e9, 1e9, 1e9]], [False])
    assert intervals == [64, 16, 32, 64, 64]


@pytest.mark.parametrize("resolve", [1.0, 0.5, -2, float("inf"), float("nan")])
def test_resolve_must_be_a_factor(resolve):
    game = tm.Game.preset(64)
    with pytest.raises(tm.InputError, match=r"resolve=.* must lie in \(1, inf\)"):
        tm.simulate(game, *tm.recipe(game, "sgda", steps=1), resolve=resolve)
