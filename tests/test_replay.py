"""A saved result is the one that its run leaves behind, or it is told where it is not.

What is in `tests/data/saved` was made by the programs that its results name.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import call_here

import twomode as tm
from twomode.__main__ import main
from twomode.io import load_arrays, save_arrays
from twomode.runs import TRACE, SavedResult, drawn, origin, replay, replay_all, saved_results

SAVED = Path(__file__).parent / "data" / "saved"
GAME = tm.Game.preset(32)


@pytest.fixture
def verify(tmp_path):
    """Status, output and errors of the command, in an empty folder."""

    def run(*arguments):
        done = call_here(main, "verify", *arguments, cwd=tmp_path)
        return done.returncode, done.stdout, done.stderr

    return run


def made(path, rule="sgda-momentum", **options):
    options = {"replicas": [4, 2], "record_every": 10, **options}
    result = tm.simulate(GAME, *tm.recipe(GAME, rule, steps=60), **options)
    result.save(path)
    return result


def planted(path, name, index, change, **noted):
    """Change one number and renew the checksum."""
    arrays, notes = load_arrays(path)
    arrays[name][index] = change(arrays[name][index])
    notes["provenance"] |= noted
    save_arrays(path, arrays, notes, overwrite=True)


# What is the same


def test_saved_runs_of_this_repository_are_what_they_were(verify):
    """Of the reduced engine with minibatches, the dense one, and a flow."""
    status, output, errors = verify(SAVED)
    assert (status, errors) == (0, "")
    *lines, last = output.splitlines()
    verdicts = [line.partition(": ")[2].partition(",")[0] for line in lines]
    assert len(verdicts) == 3
    assert set(verdicts) <= {"identical", "equal"}
    assert last.startswith("3: 3 ") or ("identical" in verdicts and "equal" in verdicts)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 3, "seed": np.random.SeedSequence(7, spawn_key=(1,))},
        {"rule": "adam"},
        {"rule": "sga", "engine": "array"},
        {"resolve": 1.2},
        {"engine": "flow", "record_every": None},
        {"rule": "anchored", "start": tm.GaussianStart().draw(GAME, np.random.default_rng(0)),
         "replicas": 1},
    ],
)  # fmt: skip
def test_a_run_is_identical_where_it_was_made(tmp_path, options):
    made(tmp_path / "a.npz", **options)
    (item,) = saved_results(tmp_path)
    assert str(replay(item)) == f"{tmp_path / 'a.npz'}: identical, to the last bit"


def test_of_a_replica_that_diverged_nothing_is_a_number_and_the_same(tmp_path):
    opt = tm.optimizer("consensus", eta_D=100.0, eta_G=100.0)
    result = tm.simulate(GAME, opt, 90, replicas=12, batch_size=2, record_every=10)
    assert result.diverged.any()
    result.save(tmp_path / "a.npz")
    assert replay(SavedResult(tmp_path / "a.npz")).verdict == "identical"


def test_a_flow_of_other_steps_is_compared_at_its_end(tmp_path, monkeypatch):
    """Another tolerance stands for another rounding, after which a step is rejected or not."""
    path = tmp_path / "a.npz"
    made(path, "sgda", engine="flow", record_every=1)
    made(tmp_path / "b.npz", "sgda", engine="flow", record_every=1, rtol=1.01e-6)
    again, item = SavedResult(tmp_path / "b.npz").numbers, SavedResult(path)
    monkeypatch.setattr(SavedResult, "again", lambda self, progress: again)
    assert replay(item).verdict == "different"
    planted(path, "bias", (0, 0), lambda x: x, cpu="another")
    found = replay(SavedResult(path))
    assert (found.verdict, found.reason.partition(",")[0]) == ("equal", "at its end")
    planted(path, "state_b", (0,), lambda x: 1.1 * x)
    assert replay(SavedResult(path)).verdict == "different"


# What is not


@pytest.mark.parametrize("kind", ["minibatches", "dense", "flow"])
@pytest.mark.parametrize(
    ("name", "index"),
    [("gram_V", (1, 3, 0, 2)), ("objective", (0, 2)), ("grad_norms", (1, 1, 1)),
     ("state_W", (1, 0, 5)), ("state_b", (0,))],
)  # fmt: skip
def test_one_number_that_was_changed_is_found(verify, tmp_path, kind, name, index):
    path = tmp_path / "result.npz"
    if kind == "flow":  # elsewhere its integrator may come to other steps
        made(path, "sgda", engine="flow", record_every=20, replicas=2)
    else:
        path.write_bytes((SAVED / kind / "result.npz").read_bytes())
    size = np.abs(load_arrays(path)[0][name][index[0]]).max()
    planted(path, name, index, lambda x: x + 1e-3 * size)
    status, output, errors = verify(path)
    assert (status, errors) == (1, "")
    assert output.count("\n") == 1
    found = tm.load(path)
    words = f"replica {index[0]}"
    if not name.startswith("state"):
        words += f", iteration {found.times[index[:2]]:.17g}"
    rest = ", ".join(map(str, index[1 if name.startswith("state") else 2 :]))
    words += f", entry {rest}" if rest else ""
    changed = f"{load_arrays(path)[0][name][index]:.17g}"
    expected = f"different, first {name.replace('_', '.') if 'state' in name else name}, {words}"
    assert output.startswith(f"{path}: {expected}: {changed} saved, ")


@pytest.mark.parametrize("name", [*TRACE, "state_V", "state_U"])
def test_where_nothing_else_differs_a_last_bit_does(tmp_path, name):
    path = tmp_path / "a.npz"
    made(path)
    last = (1, -1) + (0,) * (load_arrays(path)[0][name].ndim - 2)
    planted(path, name, last, lambda x: np.nextafter(x, np.inf))
    found = replay(SavedResult(path))
    assert found.verdict == "different"
    assert f"first {name.replace('state_', 'state.')}, replica 2" in found.reason


def test_the_earliest_difference_is_named(tmp_path):
    path = tmp_path / "a.npz"
    made(path)
    for name, index in (("gram_V", (0, 4, 1, 1)), ("bias", (1, 3)), ("norms_W", (0, 3, 0))):
        planted(path, name, index, lambda x: x + 1)
    planted(path, "state_b", (0,), lambda x: x + 1)
    assert "first norms_W, replica 4, iteration 30, entry 0: " in replay(SavedResult(path)).reason


ELSEWHERE = {"cpu": "Z80", "versions": origin()["versions"] | {"numpy": "1.0"}}


def test_what_was_rounded_elsewhere_is_equal_within_a_tolerance(verify, tmp_path):
    path = tmp_path / "a.npz"
    size = np.abs(made(path).gram_V[1]).max()
    planted(path, "gram_V", (1, 3, 0, 0), lambda x: x + 0.9e-6 * size, **ELSEWHERE)
    status, output, errors = verify(path)
    assert (status, errors) == (0, "")
    within = "equal, within 1e-06 of each quantity's largest size in its replica; not to the last"
    assert output.startswith(f"{path}: {within} bit, perhaps because of cpu Z80 (here ")
    assert "; numpy 1.0 (here " in output
    planted(path, "gram_V", (1, 3, 0, 0), lambda x: x + 0.3e-6 * size)
    planted(path, "gram_V", (0, 2, 0, 0), lambda x: np.nextafter(x, 9))
    status, output, _ = verify(path)
    assert status == 1
    assert "different, first gram_V, replica 2, iteration 30, entry 0, 0: " in output


def test_other_records_are_different(tmp_path):
    path = tmp_path / "a.npz"
    made(path)
    arrays, notes = load_arrays(path)
    notes["provenance"]["steps"] = 50
    save_arrays(path, arrays, notes, overwrite=True)
    assert replay(SavedResult(path)).reason == "first times, shape (2, 7) saved, (2, 6) again"


# Many


@pytest.fixture
def folder(tmp_path):
    for n in range(5):
        made(tmp_path / f"{n}" / "result.npz", seed=n, replicas=1)
    return tmp_path


def test_a_folder_is_verified_run_by_run(verify, folder):
    status, output, _ = verify(folder)
    assert (status, output.splitlines()[-1]) == (0, "5: 5 identical")
    (folder / "3" / "result.npz").write_text("damaged")
    status, output, errors = verify(folder)
    assert (status, errors) == (2, "")
    assert f"{folder}/3/result.npz: unusable, {folder}/3/result.npz is damaged" in output
    assert output.endswith("5: 4 identical, 1 unusable\n")
    planted(folder / "1" / "result.npz", "bias", (0, 2), lambda x: x + 1)
    status, output, _ = verify(folder)
    assert status == 1
    assert output.endswith("5: 3 identical, 1 different, 1 unusable\n")


def test_a_sample_is_drawn_and_stated(verify, folder):
    seen = []
    for seed in ([], ["--seed", 0], ["--seed", 1]):
        status, output, _ = verify(folder, "--sample", 2, *seed)
        *lines, last = output.splitlines()
        number = seed[-1] if seed else 0
        assert (status, last) == (0, f"2 of 5, drawn with seed {number}: 2 identical")
        seen.append([line.partition("/result.npz")[0] for line in lines])
    assert seen[0] == seen[1] != seen[2]
    assert {n for s in range(99) for n in drawn(range(9), 3, seed=s)} == set(range(9))
    assert drawn(range(9), 9, seed=5) == list(range(9))


class Job:
    """What else can be verified: a row of numbers that says how it was made."""

    recorded = ()

    def __init__(self, name, seed, wrong=0.0, verdict="b", **elsewhere):
        self.name, self.seed, self.origin = name, seed, origin() | elsewhere
        T0 = self.again(lambda _: None)["T0"] + np.array([0.0, wrong])
        self.numbers = {"verdict": np.array(["a", verdict]), "T0": T0}

    def again(self, progress):
        progress(tm.Progress(1, 1))
        T0 = np.random.default_rng(self.seed).random(2)
        return {"verdict": np.array(["a", "b"]), "T0": T0}

    def where(self, name, index):
        return f"replica {index[0]}"


def test_anything_that_can_be_made_again_can_be_replayed():
    told = []
    found = list(replay_all([Job("one", 1), Job("two", 2, wrong=0.5)], told.append))
    assert [replayed.verdict for replayed in found] == ["identical", "different"]
    assert found[1].reason.startswith("first T0, replica 1: ")
    assert [progress.task for progress in told] == ["one", "two"]
    assert replay(Job("three", 3, wrong=1e-9, cpu="Z80")).verdict == "equal"
    text = replay(Job("four", 4, wrong=1e-9, verdict="mixed", cpu="Z80"))
    assert text.verdict == "different"
    assert text.reason == "first verdict, replica 1: mixed saved, b again"


# The command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "nowhere"], "nowhere does not exist"),
        (["verify", "."], "no result in .: a run is saved as result.npz"),
        (["verify", SAVED / "flow", "--sample", "2"], "sample=2 of 1 that are there"),
        (["verify", SAVED / "flow", "--sample", "0"], "sample=0 must be"),
        (["verify", SAVED, "--seed", "2"], "seed=2 has no effect without --sample"),
        (["verify", SAVED / "flow", "--smaple", "2"], "did you mean --sample"),
        (["verify", Path(__file__)], "test_replay.py is damaged or of another kind"),
        (["verify", SAVED.parent / "result-0.1.0-drawn.npz"], "saved by a version that did not"),
        (["verify"], "FILE|FOLDER"),
        (["very"], "invalid choice: 'very'"),
        ([], "no command: verify runs saved results again"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, arguments, message):
    done = call_here(main, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr


def test_the_package_runs_as_a_module(tmp_path):
    def run(*words):
        command = [sys.executable, "-m", "twomode", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        return done.returncode, done.stdout, done.stderr

    assert run("--version") == (0, f"twomode {tm.__version__}\n", "")
    help_ = call_here(main, "--help", cwd=tmp_path)
    assert (help_.returncode, help_.stderr) == (0, "")
    assert help_.stdout.startswith("usage: twomode [-h] [--version] COMMAND")
    assert run("verify", "nowhere") == (2, "", "twomode: error: nowhere does not exist\n")
