"""sims/adversarial_training.py as a user meets it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import strictly

from twomode import adversarial
from twomode.adversarial import PROBLEMS, Problem, learning_curves, method

TINY = ("--n-train", 60, "--n-test", 40, "--steps", 30, "--evaluations", 4, "--seeds", 2)
#: What a summary promises of each method.
PROMISED = {
    *("rule", "natural_error", "robust_error", "strong_error", "gradients", "seconds"),
    *("gradients_to_level", "seconds_to_level", "reached"),
}


def test_saves_prints_and_loads_back(play):
    status, output, errors = play("adversarial_training.py", "--data", "moons", *TINY, "--seed", 5)
    assert (status, errors) == (0, "")
    folder = Path("runs/training-moons-seed5")
    names = {path.name for path in folder.iterdir()}
    assert names == {"curves.csv", "summary.json", "robust_error.png"}
    assert output.endswith(f"saved curves.csv, summary.json, robust_error.png in {folder}\n")
    assert (folder / "robust_error.png").read_bytes().startswith(b"\x89PNG")
    table = pd.read_csv(folder / "curves.csv")
    assert set(table["seed"]) == {5, 6}
    summary = strictly((folder / "summary.json").read_text())
    assert list(summary["methods"]) == ["natural", "fgsm", "pgd-7", "pgd-40", "algorithm-1"]
    last = table.groupby(["method", "seed"]).last()
    for name, found in summary["methods"].items():
        assert found.keys() == PROMISED
        mine = last.loc[name]
        for column in ("natural_error", "robust_error", "strong_error", "gradients"):
            wanted = {
                "median": mine[column].median(),
                "least": mine[column].min(),
                "largest": mine[column].max(),
            }
            assert found[column] == pytest.approx(wanted)
        line = next(line for line in output.splitlines() if line.split()[:1] == [name])
        assert f"{found['robust_error']['median']:.3f}" in line
        assert f"{found['gradients']['median']:,.0f}" in line
        assert line.endswith(f"{found['reached']} of 2")
    best = last["robust_error"].groupby("seed").min()
    reached = table[table["robust_error"] <= table["seed"].map(best + 0.01)]
    for name, found in summary["methods"].items():
        assert found["reached"] == reached.loc[reached["method"] == name, "seed"].nunique()


def test_flags_reach_the_problem_and_the_algorithm(play):
    flags = {
        "eps": 0.15,
        "lam": 7.0,
        "batch": 20,
        "learning-rate": 0.3,
        "hidden": 6,
        "sampler": "mala-folded",
        "h": 0.02,
        "inner-steps": 2,
        "copies": 3,
        "start": "uniform",
    }
    given = [x for name, value in flags.items() for x in (f"--{name}", value)]
    methods = ("--methods", "algorithm-1", "fgsm")
    status, output, _ = play("adversarial_training.py", *TINY, *given, *methods, "--json")
    assert status == 0
    summary = strictly(output)
    for name in ("eps", "lam", "batch", "hidden"):
        assert summary[name] == flags[name]
    assert (summary["learning_rate"], summary["n_train"], summary["data"]) == (0.3, 60, "moons")
    how = method(
        "algorithm-1",
        sampler=adversarial.sampler("mala-folded", h=0.02),
        steps=2,
        copies=3,
        start="uniform",
    )
    assert summary["methods"]["algorithm-1"]["rule"] == repr(how)
    assert summary["methods"]["fgsm"]["rule"] == repr(method("fgsm"))
    problem = Problem("moons", 60, 40, 6, 0.15, 7.0, 20, 0.3, 30)
    table = learning_curves(problem, {"algorithm-1": how}, [0, 1], evaluations=4)
    saved = pd.read_csv("runs/training-moons-seed0/curves.csv")
    mine = saved[saved["method"] == "algorithm-1"]
    np.testing.assert_allclose(mine["robust_error"], table["robust_error"])
    np.testing.assert_allclose(mine["loss"], table["loss"])


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_data_set_trains(play, name):
    flags = ("--methods", "natural", "algorithm-1", "--no-plot", "--json", "--seeds", 1)
    status, output, errors = play("adversarial_training.py", *TINY, "--data", name, *flags)
    assert (status, errors) == (0, "")
    assert strictly(output)["data"] == name
    assert {p.name for p in Path("runs").rglob("*.*")} == {"curves.csv", "summary.json"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--data", "moon"), "unknown data 'moon': did you mean moons"),
        (("--eps", 0), "eps=0.0 must be positive"),
        (("--lam", "nan"), "lam=nan must be a finite number"),
        (("--steps", 0), "steps=0 must be a whole number of at least 1"),
        (("--batch", 0), "batch=0 must be a whole number"),
        (("--n-train", 0), "n_train=0 must be a whole number of at least 1"),
        (("--n-test", 0), "n_test=0 must be a whole number of at least 1"),
        (("--learning-rate", -1), "learning_rate=-1.0 must be positive"),
        (("--seeds", 0), "seeds=0 must be a whole number of at least 1"),
        (("--evaluations", 0), "evaluations=0 must be a whole number"),
        (("--hidden", 0), "hidden=0 must be a whole number of at least 1"),
        (("--methods", "pgd"), "unknown method 'pgd'"),
        (("--methods", "fgsm", "fgsm"), "name each of them once"),
        (("--sampler", "gibbs"), "unknown sampler 'gibbs'"),
        (("--h", 0.1), "h=0.1: sampler sign takes eta and sigma"),
        (("--inner-steps", -1), "steps=-1 must be a whole number"),
        (("--copies", 0), "copies=0 must be a whole number"),
        (("--data", "digits", "--n-train", 1797), "n=1837 is more than the 1797 digits"),
    ],
)
def test_bad_input_is_one_line_status_2_and_no_files(play, tmp_path, flags, message):
    status, output, errors = play("adversarial_training.py", *TINY, *flags)
    assert (status, output) == (2, "")
    assert message in errors
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_training_is_not_overwritten(play):
    flags = (*TINY, "--methods", "natural", "--no-plot", "--name", "mine")
    assert play("adversarial_training.py", *flags)[0] == 0
    status, _, errors = play("adversarial_training.py", *flags, "--seed", 9)
    assert status == 2
    assert "mine exists already" in errors
    assert json.loads(Path("runs/mine/summary.json").read_text())["seeds"] == [0, 1]
    assert play("adversarial_training.py", *flags, "--seed", 9, "--overwrite")[0] == 0
    assert json.loads(Path("runs/mine/summary.json").read_text())["seeds"] == [9, 10]
