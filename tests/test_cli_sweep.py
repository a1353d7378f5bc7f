"""sims/sweep.py, and the stores that sims/runs.py lists and merges."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import strictly
from pandas.testing import assert_frame_equal

import twomode as tm
from twomode import cli, names
from twomode.studies import Store
from twomode.studies.sweeps import run_cell

SWEEP = Path(__file__).parents[1] / "sims" / "sweep.py"
FEW = ("--d", 16, 64, "--opt", "sgda", "nsgda", "--steps", 40, "--replicas", 3, "--seed", 7)
GRID = {"d": [16, 64], "opt": ["sgda", "nsgda"], "steps": [40]}


@pytest.fixture(scope="module")
def table():
    return tm.sweep(GRID, 3, seed=7)


def saved(name="sweep-seed7", what="table"):
    return pd.read_csv(f"runs/{name}/{what}.csv")


def test_a_grid_is_swept_and_saved(play, table):
    status, output, errors = play("sweep.py", *FEW)
    assert (status, errors) == (0, "")
    assert_frame_equal(saved(), table, check_dtype=False)
    lines = output.splitlines()
    assert lines[0].split()[:3] == ["d", "opt", "replicas"]
    assert [line.split()[:3] for line in lines[1:5]] == [
        [d, opt, "3"] for d in ("16", "64") for opt in ("sgda", "nsgda")
    ]
    assert lines[5] == "saved summary.csv, table.csv in runs/sweep-seed7"
    summary = saved(what="summary")
    for n in range(4):
        rows = table[3 * n : 3 * n + 3]
        for word in set(table["verdict"]):
            seen = tm.statistics.Proportion.of(rows["verdict"] == word)
            found = summary.loc[n, [word, f"{word}_low", f"{word}_high"]].tolist()
            assert found == pytest.approx([seen.share, *seen.interval])
            low, high = (round(100 * x) for x in seen.interval)
            assert f"{100 * seen.share:.0f} % ({low}-{high})" in lines[1 + n]


def test_the_summary_as_json(play):
    status, output, errors = play("sweep.py", *FEW, "--json", "--name", "mine")
    assert (status, errors) == (0, "")
    cells = strictly(output)["cells"]
    assert [(cell["d"], cell["opt"]) for cell in cells] == [
        (16, "sgda"), (16, "nsgda"), (64, "sgda"), (64, "nsgda")
    ]  # fmt: skip


FILE = """
replicas = 3
seed = 7
paired = ["opt"]
store = "runs/study"
[grid]
d = 16
opt = ["sgda", "nsgda"]
steps = 40
gamma = [0.25]
latents = [{ kind = "bernoulli", p = 0.25 }]
"""


def test_a_study_from_a_file_and_flags_that_replace_what_it_says(play):
    Path("study.toml").write_text(FILE)
    cell = {"d": [16], "opt": ["sgda", "nsgda"], "steps": [40], "gamma": [0.25]}
    cell |= {"latents": [tm.Bernoulli(0.25)]}
    for flags, seed, changes in (((), 7, {}), (("--seed", 1, "--d", 17), 1, {"d": [17]})):
        status, _, errors = play("sweep.py", "study.toml", *flags)
        assert (status, errors) == (0, "")
        expected = tm.sweep(cell | changes, 3, seed=seed, paired=["opt"])
        assert_frame_equal(saved(f"sweep-seed{seed}"), expected, check_dtype=False)
    assert Store("runs/study").table()["seed"].tolist() == [7, 7, 1, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("replicas = ", "study.toml is damaged or of another kind: TOMLDecodeError"),
        ("[grd]\nd = 3", "unknown grd: choose from grid, replicas, seed, paired, store"),
        ("grid = 3", "grid must be a table of axes"),
        ("seed = 'x'\n[grid]\nd=16\nopt='sgda'", "seed='x' must be"),
        ("store = 3\n[grid]\nd=16\nopt='sgda'", "folder=3 must be text"),
        ("replicas = 1.5\n[grid]\nd=16\nopt='sgda'", "replicas=1.5 must be"),
        ("[grid]\nd=16\nopt='sgda'\nlatents = {kind = 'x'}", "study.toml"),
        ("[grid]\nd=16\nopt='sgda'\nstepz = 3", "unknown stepz"),
        ("[grid]\nd=[]\nopt='sgda'", "the grid has no cell"),
    ],
)
def test_a_file_of_anything_is_one_line(play, tmp_path, text, said):
    Path("study.toml").write_text(text)
    status, output, errors = play("sweep.py", "study.toml")
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("sweep.py: error: ")
    assert said in errors
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


def test_values_of_a_cell():
    found = [
        cli.cell_value(text) for text in ("4096", "2^10", "1e6", "0.5", "true", "false", "inf")
    ]
    assert found == [4096, 1024, 10**6, 0.5, True, False, np.inf]
    assert [type(x) for x in found] == [int, int, int, float, bool, bool, float]
    assert cli.cell_value("sgda") == "sgda"


def test_flags_of_every_kind_reach_the_cells(play, monkeypatch):
    calls = []

    def record(cells, **options):
        calls.append((cells, options))
        return tm.Result.of  # whatever; what follows fails

    monkeypatch.setattr(tm, "sweep", record)
    with pytest.raises(TypeError):
        play(
            *(
                "sweep.py",
                "--d",
                "2^10",
                "--opt",
                "adam",
                "sgda",
                "--m-D",
                3,
                "--heavy-ball",
                "true",
            ),
            *("--eta-D", 0.5, "--paired", "opt", "d", "--replicas", "1e2", "--seed", 3),
            *("--store", "runs/s", "--any-version", "--beta1", -0.5),
        )
    ((cells, options),) = calls
    cell = {"d": 1024, "m_D": 3, "heavy_ball": True, "eta_D": 0.5, "beta1": -0.5}
    assert cells == [cell | {"opt": opt} for opt in ("adam", "sgda")]
    assert (options["replicas"], options["seed"], options["paired"]) == (100, 3, ["opt", "d"])
    assert repr(options["store"]) == "Store('runs/s', any_version=True)"


def test_what_is_in_a_store_is_not_run_again(play, monkeypatch, table):
    assert play("sweep.py", *FEW, "--store", "runs/study")[0] == 0

    def again(*call):
        raise AssertionError

    monkeypatch.setattr(tm.sweeps, "run_cell", again)
    status, output, errors = play("sweep.py", *FEW, "--store", "runs/study")
    assert (status, errors) == (0, "")
    assert output.endswith("saved summary.csv, table.csv in runs/sweep-seed7-2\n")
    assert_frame_equal(saved("sweep-seed7-2"), table, check_dtype=False)


def test_an_interrupt_keeps_what_is_done_and_says_how_to_go_on(play, monkeypatch, tmp_path):
    def interrupted(cell, *rest):
        if cell["d"] == 64:
            raise KeyboardInterrupt
        return run_cell(cell, *rest)

    monkeypatch.setattr(tm.sweeps, "run_cell", interrupted)
    status, output, errors = play("sweep.py", *FEW, "--store", "runs/study", "--name", "a b")
    assert (status, output, errors.count("\n")) == (130, "", 1)
    assert errors.startswith("sweep.py: interrupted, saved 0-2.npz in runs/study/")
    program = str(SWEEP)
    flags = " ".join(map(str, FEW))
    assert errors.endswith(
        f"; to go on: python {program} {flags} --store runs/study --name 'a b'\n"
    )
    assert len(list(Path("runs/study").rglob("*.npz"))) == 2
    assert [path.name for path in Path("runs").iterdir()] == ["study"]
    status, _, errors = play("sweep.py", *FEW)
    assert (status, errors) == (130, "sweep.py: interrupted, nothing saved\n")


def test_a_disk_that_is_full_is_one_line_that_says_what_is_saved(play, monkeypatch):
    save = tm.studies.store.save_arrays

    def full(path, *rest, **options):
        if len(names.saved()) == 2:
            raise OSError(28, "No space left on device")
        save(path, *rest, **options)

    monkeypatch.setattr(tm.studies.store, "save_arrays", full)
    status, output, errors = play("sweep.py", *FEW, "--store", "runs/study")
    assert (status, output, errors.count("\n")) == (2, "", 1)
    said = "sweep.py: error: cannot write to runs/study: No space left on device; saved 0-2.npz in"
    assert errors.startswith(said)


def test_many_saved_files_are_said_by_their_number(monkeypatch):
    made = [Path(f"runs/study/{k // 2}/{k}.npz") for k in range(8)] + [Path("runs/a/table.csv")]
    monkeypatch.setattr(cli, "saved", lambda: made)
    assert cli.told() == "saved 8 files in runs/study; table.csv in runs/a"
    monkeypatch.setattr(cli, "saved", lambda: [Path(f"runs/a/{k}") for k in range(9)])
    assert cli.told() == "saved 9 files in runs/a"
    monkeypatch.setattr(cli, "saved", lambda: made[:3])
    assert cli.told() == "saved 0.npz, 1.npz in runs/study/0; 2.npz in runs/study/1"


# sims/runs.py


def test_a_store_is_listed_and_merged(play):
    assert play("sweep.py", *FEW, "--store", "runs/one")[0] == 0
    assert play("sweep.py", *FEW, "--opt", "adam", "--replicas", 20, "--store", "other")[0] == 0
    status, output, errors = play("runs.py", "one")
    assert (status, errors) == (0, "")
    lines = output.splitlines()
    assert lines[0].split()[:4] == ["cell", "replicas", "seed", "paired"]
    assert len(lines) == 5
    assert lines[1].startswith("d=16, opt='nsgda', steps=40         3     7")
    status, output, errors = play("runs.py", "runs/one", "--merge", "other")
    assert (status, errors) == (0, "")
    assert output.startswith("4 blocks copied from other\n\ncell ")
    assert len(output.splitlines()) == 9
    assert play("runs.py", "runs/one", "--merge", "other")[1].startswith("0 blocks copied")


@pytest.mark.slow
def test_a_sweep_as_a_user_runs_it(tmp_path, table):
    """With processes: interrupted, and whole, in one store."""
    flags = [*map(str, FEW), "--store", "study", "--workers", "2", "--steps", "3000000"]
    program = f"""if True:
        import signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = [{str(SWEEP)!r}, *{flags!r}]
        sys.path.insert(0, {str(SWEEP.parent)!r})
        import runpy
        runpy.run_path(sys.argv[0], run_name="__main__")"""
    running = subprocess.Popen(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(8)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert errors.count("\n") == 1
    assert "to go on: python" in errors
    done = subprocess.run(
        [sys.executable, SWEEP, *map(str, FEW), "--store", "study", "--workers", "2"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = pd.read_csv(tmp_path / "runs/sweep-seed7/table.csv")
    assert_frame_equal(found, table, check_dtype=False)
