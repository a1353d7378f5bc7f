"""A result plays its run again, to the last bit, whatever is recorded of it."""

from pathlib import Path

import numpy as np
import pytest

import twomode as tm
from twomode.io import load_arrays, save_arrays
from twomode.runs import TRACE

GAME = tm.Game.preset(32)
DATA = Path(__file__).parent / "data"


def recorded(result, replica, step):
    """Everything that is recorded of a replica at an iteration, as one vector."""
    t = int(np.flatnonzero(result.steps == step)[0])
    return np.concatenate([np.ravel(getattr(result, name)[replica, t]) for name in TRACE])


def play(rule, **options):
    return tm.simulate(GAME, *tm.recipe(GAME, rule, steps=60), **{"replicas": 3, **options})


RUNS = {
    "reduced": ("sgda", {"seed": 4}),
    "minibatches": (
        "nsgda",
        {"seed": np.random.SeedSequence(7, spawn_key=(1, 2)), "batch_size": 3},
    ),
    "named replicas": ("sgda-momentum", {"replicas": [5, 2], "seed": 1}),
    "dense": ("adam", {"seed": 2}),
    "float32": ("adam", {"seed": 2, "dtype": "float32"}),
    "array": ("sga", {"engine": "array", "batch_size": 2}),
    "resolved": ("sgda", {"resolve": 1.2, "record_every": 16}),
    "another start": ("optimistic", {"start": tm.GaussianStart(std_V=0.3, shared=True)}),
    "explicit start": (
        "adam",
        {"start": tm.GaussianStart().draw(GAME, np.random.default_rng(0)), "replicas": 1},
    ),
}


@pytest.fixture(
    params=[pytest.param(n, marks=pytest.mark.slow) if n == "float32" else n for n in RUNS]
)
def run(request):
    rule, options = RUNS[request.param]
    return play(rule, **options)


def test_again_is_the_same_to_the_last_bit(run, tmp_path):
    run.save(tmp_path / "run.npz")
    for result in (run, tm.load(tmp_path / "run.npz")):
        again = result.again()
        np.testing.assert_array_equal(again.steps, run.steps)
        for name in TRACE:
            np.testing.assert_array_equal(getattr(again, name), getattr(run, name))
        for name, array in run.state.arrays().items():
            np.testing.assert_array_equal(again.state.arrays()[name], array)
        times = {"wall_seconds", "compile_seconds", "steps_per_second"}
        same = run.provenance.keys() - times
        assert {k: again.provenance[k] for k in same} == {k: run.provenance[k] for k in same}


def test_again_with_other_records(run):
    last = run.replicas - 1
    index = run.provenance["replicas"][last]
    closer = run.again(replicas=[index], steps=40, record_every=1, resolve=None)
    assert closer.steps.tolist() == list(range(41))
    assert closer.provenance["replicas"] == [index]
    for step in set(run.steps.tolist()) & set(range(41)):
        np.testing.assert_array_equal(recorded(closer, 0, step), recorded(run, last, step))
    usual = closer.again(steps=1000, record_every=None)
    every = {"reduced": 1}.get(run.provenance["engine"], 5)  # the default of `simulate`
    assert usual.steps[:2].tolist() == [0, every]


def test_another_run_is_refused():
    with pytest.raises(tm.InputError, match=r"eta_D would make another run: again\(\) can change"):
        play("sgda").again(eta_D=1)
    with pytest.raises(tm.InputError, match="record_every=0 must be"):
        play("sgda").again(record_every=0)


@pytest.mark.parametrize("start", ["drawn", "explicit"])
def test_results_of_the_first_version_load(start):
    """They were saved before a result noted how it was recorded: all of it but `again` is there."""
    old = tm.load(DATA / f"result-0.1.0-{start}.npz")
    assert old.opt.name == {"drawn": "sgda", "explicit": "optimistic-adam"}[start]
    assert (old.game.latents, old.steps.tolist()) == (tm.Bernoulli(0.3), [0, 10, 20, 30, 40])
    assert str(tm.theory.theorem_4_1(old)).startswith("Theorem 4.1")
    if start == "drawn":
        new = tm.simulate(
            old.game,
            old.opt,
            40,
            replicas=old.provenance["replicas"],
            seed=old.provenance["seed"],
            start=tm.GaussianStart(**old.provenance["start"]),
            record_every=10,
        )
        for name in TRACE:
            np.testing.assert_allclose(
                getattr(new, name), getattr(old, name), rtol=1e-9, atol=1e-12
            )
    with pytest.raises(tm.InputError, match="saved by a version that did not note"):
        old.again()


@pytest.mark.parametrize(
    ("saved", "read"),
    [
        ({"beta1": 0.5, "granularity": "layer", "bias_correction": False}, {}),
        ({"heavy_ball": True, "beta2": 0.5, "eps": 1.0, "norm_eps": 1.0, "constant": 2.0}, {}),
        (
            {"direction": "momentum", "heavy_ball": True, "bias_correction": False, "beta1": 0.5},
            {"direction": "momentum", "heavy_ball": True, "beta1": 0.5},
        ),
        (
            *({"magnitude": "unit", "granularity": "layer", "norm_eps": 0.5, "beta2": 0.5},),
            {"magnitude": "unit", "granularity": "layer", "norm_eps": 0.5},
        ),
    ],
)
def test_what_has_no_effect_on_an_old_rule_is_left_out(tmp_path, saved, read):
    """The first version let `--opt sgda --beta1 0.5` pass, and saved it."""
    arrays, notes = load_arrays(DATA / "result-0.1.0-drawn.npz")
    before = notes["opt"]
    save_arrays(tmp_path / "old.npz", arrays, notes | {"opt": before | saved})
    assert tm.load(tmp_path / "old.npz").opt == tm.Optimizer(**before | read)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beta1", 2.0),
        ("granularity", "row"),
        ("heavy_ball", "no"),
        ("direction", "up"),
        ("eps", -1),
    ],
)
def test_what_no_rule_takes_is_refused_of_an_old_one(tmp_path, name, value):
    arrays, notes = load_arrays(DATA / "result-0.1.0-drawn.npz")
    save_arrays(tmp_path / "old.npz", arrays, notes | {"opt": notes["opt"] | {name: value}})
    with pytest.raises(tm.InputError, match=rf"old\.npz: .*{name}"):
        tm.load(tmp_path / "old.npz")
