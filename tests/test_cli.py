"""The programs in sims/ as a user meets them."""

import contextlib
import errno
import inspect
import json
import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import made_comparison, run_here, strictly
from pandas.testing import assert_frame_equal

import twomode as tm
from twomode import cli
from twomode.names import new_folder
from twomode.studies import compare_rules
from twomode.summary import answers

SIMS = Path(__file__).parents[1] / "sims"
PROGRAM = SIMS / "mode_collapse.py"
SMALL = ("--d", "64", "--steps", "20", "--replicas", "3")


def call(*arguments, cwd):
    return run_here(PROGRAM, *arguments, cwd=cwd)


def test_saves_prints_and_loads_back(tmp_path):
    """In a process of its own, as a user runs it."""
    done = subprocess.run(
        [sys.executable, PROGRAM, *SMALL, "--opt", "nsgda", "--seed", "7"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")  # no progress bar when piped
    assert done.stdout.startswith("nsgda at d = 64: ")
    folder = tmp_path / "runs" / "nsgda-d64-seed7"
    assert sorted(p.name for p in folder.iterdir()) == [
        "mode_alignment.png",
        "result.npz",
        "summary.json",
    ]
    result = tm.load(folder / "result.npz")
    assert (result.replicas, result.steps[-1], result.game) == (3, 20, tm.Game.preset(64))
    assert (folder / "mode_alignment.png").read_bytes().startswith(b"\x89PNG")


def test_json_alone_on_stdout_with_all_keys(tmp_path):
    done = call(*SMALL, "--json", "--no-plot", cwd=tmp_path)
    summary = json.loads(done.stdout)
    promised = (
        "d opt engine seed replicas steps eta_D eta_G T0 verdict collapse_cosine asymmetry"
        " residual coverage steps_per_second wall_seconds"
    )
    assert set(promised.split()) <= summary.keys()
    assert len(summary["coverage"]) == 2
    per_replica = summary["per_replica"]
    assert {len(values) for values in per_replica.values()} == {3}
    assert summary["asymmetry"] == pytest.approx(np.median(per_replica["asymmetry"]))
    saved = json.loads((tmp_path / "runs/sgda-d64-seed0/summary.json").read_text())
    assert saved == summary
    assert not (tmp_path / "runs/sgda-d64-seed0/mode_alignment.png").exists()


def test_flags_reach_the_game_the_rule_and_the_start(tmp_path):
    call(
        *SMALL,
        *("--opt", "g-nsgda", "--eta-d", 0.5, "--eta-g", 0.25, "--batch-size", 4),
        *("--m-D", 3, "--m-G", 4, "--gamma", 0.3, "--a", 0.7, "--lam", 0.2, "--clip", 1.5),
        *("--latents", "bernoulli", "--p", 0.4, "--std-W", 0.6, "--std-V", 0.8, "--bias", 0.1),
        *("--engine", "dense", "--modes", "axis", "--schedule", "alternating-G-first"),
        "--no-plot",
        "--name=here",
        cwd=tmp_path,
    )
    result = tm.load(tmp_path / "runs/here/result.npz")
    assert result.game == tm.Game(64, 3, 4, 0.3, 0.7, 0.2, 1.5, tm.Bernoulli(0.4))
    assert result.opt == tm.optimizer(
        "g-nsgda", eta_D=0.5, eta_G=0.25, schedule="alternating-G-first"
    )
    source = result.provenance
    assert source["start"] == tm.GaussianStart(0.6, 0.8, 0.1, "axis").to_dict()
    assert (source["engine"], source["batch_size"]) == ("dense", 4)


def test_other_laws(tmp_path):
    np.savez(tmp_path / "law.npz", Z=[[1, 0, 0], [0, 1, 1]], prob=[0.5, 0.5])
    arguments = ("--latents", "law.npz", "--m-G", 3, "--data", "correlated-coefficients")
    call(*SMALL, *arguments, "--p-12", 0.2, "--no-plot", cwd=tmp_path)
    game = tm.load(tmp_path / "runs/sgda-d64-seed0/result.npz").game
    assert game.latents == tm.ExplicitLatents([[1, 0, 0], [0, 1, 1]], [0.5, 0.5])
    assert (game.data, game.gamma) == (tm.CorrelatedCoefficients(0.2), 0.0)


BAD = {
    "d=2 ": ("--d", 2),
    "m_D=0 ": ("--m-D", 0),
    "gamma=1.0 ": ("--gamma", 1),
    "gamma=-0.1 ": ("--gamma", -0.1),
    "gamma=nan ": ("--gamma", "nan"),
    "eta_D=nan ": ("--eta-d", "nan"),
    "eta_G=-1.0 ": ("--eta-g", -1),
    "m_G=17 is too large": ("--m-G", 17, "--latents", "bernoulli"),
    "prob must be nonnegative and sum to 1, but it sums to 0.9": (
        *("--latents", "{tmp}/bad.npz", "--m-G", 2),
    ),
    "did you mean nsgda": ("--opt", "nsgdaa"),
    "did you mean sga or sgda": ("--opt", "sdga"),
    "replicas=0 ": ("--replicas", 0),
    "steps=-1 ": ("--steps", -1),
    "batch_size=0 ": ("--batch-size", 0),
    "unknown engine 'gpu'": ("--engine", "gpu"),
    "engine 'cupy' needs CuPy": ("--engine", "cupy"),
    "use engine='dense'": ("--engine", "reduced", "--opt", "adam"),
    "GiB": ("--d", 2**40, "--opt", "adam"),
    "cannot write to": ("--out", "{tmp}/a-file/runs"),
    "invalid whole number: 'x'": ("--d", "x"),
    "threads=1000 ": ("--threads", 1000),
    "q=0.1 needs --latents sparse-pairs": ("--latents", "bernoulli", "--q", 0.1),
    "no-such-law": ("--latents", "no-such-law"),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_one_line_status_2_and_no_files(message, tmp_path):
    np.savez(tmp_path / "bad.npz", Z=[[1, 0], [0, 1]], prob=[0.5, 0.4])
    (tmp_path / "a-file").touch()
    before = sorted(tmp_path.rglob("*"))
    arguments = [str(a).replace("{tmp}", str(tmp_path)) for a in BAD[message]]
    done = call("--d", 64, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("mode_collapse.py: error: ")
    assert message in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_finished_run_is_not_overwritten(tmp_path):
    options = {"cwd": tmp_path}
    for expected in ("sgda-d64-seed0", "sgda-d64-seed0-2"):
        assert f"in runs/{expected}\n" in call(*SMALL, "--no-plot", **options).stdout
    named = (*SMALL, "--no-plot", "--name", "mine")
    assert call(*named, **options).returncode == 0
    before = (tmp_path / "runs/mine/result.npz").read_bytes()
    again = call(*named, "--seed", 1, **options)
    assert again.returncode == 2
    assert "runs/mine exists already" in again.stderr
    assert (tmp_path / "runs/mine/result.npz").read_bytes() == before
    assert call(*named, "--seed", 1, "--overwrite", **options).returncode == 0
    assert (tmp_path / "runs/mine/result.npz").read_bytes() != before


def test_a_run_is_repeated_from_strict_json(play):
    flags = ("--clip", "inf", "--no-plot", "--json", "--name", "a")
    status, output, errors = play("mode_collapse.py", *SMALL, *flags)
    assert (status, errors, strictly(output)["game"]["clip"]) == (0, "", "inf")
    again = play("mode_collapse.py", "--config", "runs/a/summary.json", "--no-plot", "--name", "b")
    assert again[0] == 0, again[2]
    assert play("runs.py", "a", "b")[1].endswith("are the same, to the last bit\n")


@pytest.mark.parametrize(
    "text",
    ["", "[1]", "{}", '{"game": 3}', '{"game": {"d": "x"}, "rule": {}}', "\xff", "[" * 10**5],
)
@pytest.mark.parametrize("program", ["mode_collapse.py", "runs.py"])
def test_a_summary_of_anything_is_one_line(play, tmp_path, program, text):
    path = tmp_path / "runs" / "a" / "summary.json"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="latin-1")
    flags = ("--config", path) if program == "mode_collapse.py" else ()
    status, output, errors = play(program, *flags)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert str(path.relative_to(tmp_path)) in errors or "no run of mode_collapse.py" in errors
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["a"]


def test_lists_optimizers(tmp_path):
    done = call("--list-optimizers", cwd=tmp_path)
    assert done.returncode == 0
    assert all(name in done.stdout for name in tm.RULES)
    assert list(tmp_path.iterdir()) == []


def test_progress_on_a_terminal(tmp_path):
    """A pseudo-terminal on stderr shows a bar with steps, cosine and coverage."""
    import pty
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    done = subprocess.Popen(
        [
            *(sys.executable, str(PROGRAM), "--d", "256", "--opt", "nsgda", "--no-plot"),
            *("--replicas", "512"),  # some seconds
        ],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        cwd=tmp_path,
    )
    os.close(theirs)
    shown = b""
    while done.poll() is None or not shown:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # the other end was closed
            break
    done.wait()
    os.close(ours)
    assert b"cos=" in shown
    assert b"coverage=" in shown
    assert b"it/s" in shown


def test_a_reader_that_has_gone_is_no_error(monkeypatch):
    """As of `| head`: 128 and the number of SIGPIPE, and no word."""

    def broken():
        raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", words := StringIO())
    monkeypatch.setattr(words, "close", lambda: None)
    with pytest.raises(SystemExit) as ended:
        cli.run(broken)
    assert (ended.value.code, words.getvalue()) == (128 + signal.SIGPIPE, "")


def test_cards_follow_the_summary(tmp_path):
    done = call(*SMALL, "--cards", "--resolve", 2, "--no-plot", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = tm.load(tmp_path / "runs/sgda-d64-seed0/result.npz")
    for theorem in (
        tm.theory.theorem_4_1,
        tm.theory.theorem_4_1_collapse,
        tm.theory.theorem_4_2,
    ):
        assert str(theorem(result)) in done.stdout


# The rule's own flags


@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        ("--opt sgda --schedule extragradient", {"schedule": "extragradient"}),
        ("--opt nsgda --schedule past-extragradient", {"schedule": "past-extragradient"}),
        (
            "--opt sgda --correction sga --correction-weight 0.5 --no-aligned",
            {"correction": "sga", "correction_weight": 0.5, "aligned": False},
        ),
        ("--opt sga --aligned", {"aligned": True}),
        ("--opt consensus --correction-weight 3", {"correction_weight": 3.0}),
        ("--opt nsgda --correction hamiltonian", {"correction": "hamiltonian"}),
        (
            "--opt sgda --anchor 0.5 --decay-D 0.25 --decay-G 0.75",
            {"anchor": 0.5, "decay_D": 0.25, "decay_G": 0.75},
        ),
        ("--opt anchored --anchor 0", {"anchor": 0.0, "decay_D": 0.6}),
        ("--opt optimistic --first-step double", {"first_step": "double"}),
        ("--opt optimistic-adam --past-scale today", {"past_scale": "today"}),
        ("--opt sgda-momentum --beta1=-0.25", {"beta1": -0.25}),
    ],
)
def test_flags_of_the_methods_reach_the_rule(play, flags, fields):
    status, _, errors = play(
        *("mode_collapse.py", *flags.split(), "--d", 37, "--steps", 2, "--replicas", 1),
        *("--no-plot", "--name", "here"),
    )
    assert (status, errors) == (0, "")
    found = tm.load(Path("runs/here/result.npz")).opt
    name = flags.split()[1]
    assert {key: getattr(found, key) for key in fields} == fields
    plain = tm.recipe(tm.Game.preset(37), name, eta_D=found.eta_D, eta_G=found.eta_G).opt
    changed = {key for key, value in found.to_dict().items() if value != getattr(plain, key)}
    assert changed == {key for key in fields if getattr(plain, key) != fields[key]}
    recipe = tm.recipe(tm.Game.preset(37), name, steps=2, **fields).opt
    assert found == recipe


METHODLESS = {
    "needs a correction that has a weight": "--correction-weight 0.5",
    "sga or consensus, not hamiltonian": "--opt hamiltonian --correction-weight 0.5",
    "aligned=False chooses the sign of sga's lambda": "--opt consensus --no-aligned",
    "which is 0 for decay_D=1": "--anchor 1 --decay-D 1 --decay-G 0 --eta-d 0.1",
    "decay_G=1.5 must lie in [0, 1]": "--decay-G 1.5",
    "anchor=-1.0 must be a finite number": "--anchor -1",
    "'double' is about the optimistic schedule": "--opt extragradient --first-step double",
    "past_scale='today' rescales the moments": "--opt optimistic --past-scale today",
    "invalid choice: 'extra'": "--schedule extra",
    "invalid choice: 'SGA'": "--correction SGA",
    "ttur needs eta_D > eta_G": "--opt ttur --eta-d 0.1 --eta-g 0.1",
    "beta1=-1.0 must lie in (-1, 1)": "--opt negative-momentum --beta1=-1",
}


@pytest.mark.parametrize("message", METHODLESS)
def test_methods_that_mean_nothing_are_one_line_status_2_and_no_files(play, tmp_path, message):
    flags = METHODLESS[message].split()
    status, output, errors = play("mode_collapse.py", "--d", 64, *flags)
    assert (status, output) == (2, "")
    assert message in errors
    assert errors.startswith("mode_collapse.py: error: ")
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_list_of_optimizers_says_what_they_cost():
    lines = cli.list_optimizers().splitlines()
    costs = {line.split()[0]: line.split()[1] for line in lines[3::2]}
    sources = lines[4::2]
    assert list(costs) == list(tm.RULES)
    for name, cost in {
        "sgda": "1g",
        "adam": "1g",
        "extragradient": "2g",
        "past-extragradient-nsgda": "1g",
        "optimistic": "1g",
        "sga-adam": "1g+2J",
        "consensus": "1g+1J",
        "hamiltonian": "1g+1J",
        "alternating": "1g",
    }.items():
        assert costs[name] == cost
    for rule, formula, source in zip(tm.RULES.values(), lines[3::2], sources, strict=True):
        assert formula.endswith(rule.formula)
        assert source.strip() == rule.source


# sims/compare.py


RULES = ("sgda", "extragradient", "sga")
FEW = (
    *("--d", 16, "--rules", *RULES, "--step-scales", 0.5, 1, "--ratios", 0.2, 1),
    *("--replicas", 3, "--tuning", 2, "--seed", 7),
)
FILES = ["answers.txt", "comparison.png", "runs.csv", "table.csv", "tuning.csv"]


@pytest.fixture(scope="module")
def few():
    grid = {"step_scales": [0.5, 1], "ratios": [0.2, 1]}
    return tm.compare_rules(RULES, {"d": 16}, replicas=3, tuning=2, seed=7, **grid)


def test_a_comparison_saves_what_it_prints(tmp_path, few):
    """With processes, as a user runs it."""
    done = subprocess.run(
        [sys.executable, str(SIMS / "compare.py"), *map(str, FEW), "--workers", "1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "runs/compare-d16-seed7"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert done.stdout.endswith("in runs/compare-d16-seed7\n")
    for line in answers(few):
        assert line in done.stdout.splitlines()
    assert (folder / "answers.txt").read_text().splitlines() == answers(few)
    for rule, cost in zip(RULES, ("1g", "2g", "1g+2J"), strict=True):
        (row,) = [line for line in done.stdout.splitlines() if line.split()[:1] == [rule]]
        assert row.split()[1] == cost
    runs, tuning = (pd.read_csv(folder / f"{name}.csv") for name in ("runs", "tuning"))
    assert_frame_equal(runs, few.runs, check_dtype=False)
    assert_frame_equal(tuning, few.tuning, check_dtype=False)
    table = pd.read_csv(folder / "table.csv")
    assert table["rule"].tolist() == list(RULES)
    assert table["recovered"].tolist() == few.table()["recovered"].map(str).tolist()
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_a_comparison_as_json(play, tmp_path, few):
    status, output, errors = play("compare.py", *FEW, "--json", "--no-plot", "--name", "mine")
    assert (status, errors) == (0, "")
    found = strictly(output)
    assert found["answers"] == answers(few)
    table = few.table()
    assert [row["rule"] for row in found["rules"]] == list(RULES)
    assert all(row.keys() == set(table.columns) for row in found["rules"])
    for row, expected in zip(found["rules"], table.to_dict(orient="records"), strict=True):
        for name, value in expected.items():
            if isinstance(value, tm.statistics.Proportion):
                assert (row[name]["successes"], row[name]["trials"]) == (value.successes, 3)
                assert row[name]["interval"] == pytest.approx(list(value.interval))
            elif value != value:
                assert row[name] is None
            else:
                assert row[name] == pytest.approx(value)
    assert sorted(path.name for path in (tmp_path / "runs/mine").iterdir()) == [
        name for name in FILES if not name.endswith("png")
    ]


def test_a_comparison_is_not_overwritten(play, tmp_path, monkeypatch):
    made = [made_comparison(dict.fromkeys(RULES, (n, 3))) for n in range(4)]
    monkeypatch.setattr(tm, "compare_rules", lambda *args, **options: made.pop(0))
    for expected in ("compare-d256-seed0", "compare-d256-seed0-2"):
        assert play("compare.py", "--no-plot")[1].endswith(f"in runs/{expected}\n")
    first = tmp_path / "runs/compare-d256-seed0"
    before = {path: path.read_bytes() for path in first.iterdir()}
    status, output, errors = play("compare.py", "--no-plot", "--name", first.name)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert f"{first.name} exists already" in errors
    assert len(made) == 2  # nothing ran
    assert before == {path: path.read_bytes() for path in first.iterdir()}
    assert play("compare.py", "--no-plot", "--name", first.name, "--overwrite")[0] == 0
    after = {path: path.read_bytes() for path in first.iterdir()}
    assert after.keys() == before.keys()
    assert after[first / "table.csv"] != before[first / "table.csv"]
    # and, without a name, the first folder itself
    assert play("compare.py", "--no-plot", "--overwrite")[1].endswith(f"in runs/{first.name}\n")
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_nobody_recovers_is_a_dash_and_null(play, monkeypatch):
    made = made_comparison(dict.fromkeys(RULES, (0, 0)))
    monkeypatch.setattr(tm, "compare_rules", lambda *args, **options: made)
    status, output, errors = play("compare.py", "--no-plot")
    assert (status, errors) == (0, "")
    (row,) = [line for line in output.splitlines() if line.startswith("sga ")]
    assert row.split().count("-") >= 2
    assert "nan" not in output
    row = strictly(play("compare.py", "--no-plot", "--json")[1])["rules"][0]
    assert (row["iterations"], row["gradients"], row["T0"]) == (None, None, None)
    assert row["recovered"]["successes"] == 0


def test_flags_reach_the_comparison(play, monkeypatch):
    calls = []

    def record(*arguments, **options):
        calls.append((arguments, options))
        return made_comparison({"sgda": (1, 1)})

    monkeypatch.setattr(tm, "compare_rules", record)
    assert play("compare.py", "--no-plot")[0] == 0
    flags = (*FEW, "--batch-size", 5, "--no-plot", "--store", "study")
    assert play("compare.py", *flags)[0] == 0
    (rules, cell), options = calls[0]
    assert (list(rules), cell) == (list(tm.RULES), {"d": 256})
    names = ("step_scales", "ratios", "replicas", "tuning", "seed")
    assert [options[name] for name in names] == [[0.25, 1.0, 4.0], None, 64, 16, 0]
    assert options["store"] is None
    (rules, cell), options = calls[1]
    assert options["store"] == Path("study")
    assert (list(rules), cell) == (list(RULES), {"d": 16, "batch_size": 5})
    assert [options[name] for name in names] == [[0.5, 1.0], [0.2, 1.0], 3, 2, 7]
    defaults = {name: inspect.signature(compare_rules).parameters[name].default for name in names}
    assert {name: calls[0][1][name] for name in names} == defaults | {
        "step_scales": list(defaults["step_scales"])
    }


NO_COMPARISON = {
    "d=2 ": "--d 2",
    "did you mean sga or sgda": "--rules sdga",
    "step_scales=[0.0] must be a list, of which each must be positive": "--step-scales 0",
    "step_scales=[1.0, -1.0] must be a list, of which each must be positive": "--step-scales 1 -1",
    "ratios=[nan] must be a list, of which each must be positive": "--ratios nan",
    "ttur needs a ratio below 1 in ratios=[1.0, 2.0]": "--rules sgda ttur --ratios 1 2",
    "replicas=0 ": "--replicas 0",
    "tuning=0 ": "--tuning 0",
    "'-1' must be a whole number of at least 0": "--seed -1",
    "batch_size=0 ": "--batch-size 0",
    "GiB": f"--d {2**40} --rules adam",
    "workers=0 ": "--workers 0",
    "cannot write to": "--out a-file/runs",
    "invalid whole number: 'x'": "--d x",
    "expected at least one argument": "--rules",
    "unrecognized argument --opt": "--opt sgda",
}


@pytest.mark.parametrize("message", NO_COMPARISON)
def test_no_comparison_is_one_line_status_2_and_no_files(play, tmp_path, monkeypatch, message):
    def run_cell(*job):
        raise AssertionError("ran")

    monkeypatch.setattr(tm.sweeps, "run_cell", run_cell)
    (tmp_path / "a-file").touch()
    status, output, errors = play("compare.py", *NO_COMPARISON[message].split())
    assert (status, output) == (2, "")
    assert errors.count("\n") == 1
    assert errors.startswith("compare.py: error: ")
    assert message in errors
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


def test_output_flags_name_the_default_folder(capsys):
    parser = cli.Parser(prog="x")
    cli.add_output_flags(parser, "OPT-dD")
    args = parser.parse_args([])
    assert (args.out, args.name, args.overwrite, args.no_plot, args.json) == (
        *(Path("runs"), None, False, False, False),
    )
    assert "OPT-dD, numbered" in parser.format_help()


def test_folders_are_numbered_until_one_is_free(tmp_path):
    """And each is reserved, before anything is in it."""
    parser = cli.Parser(prog="x")
    cli.add_output_flags(parser, "base")
    args = parser.parse_args(["--out", str(tmp_path)])
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(cli.run_folder(args, "base")) for _ in range(3)]
        for folder in folders:
            (folder / "file").touch()
    names = ["base", "base-2", "base-3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    args.overwrite = True
    with cli.run_folder(args, "base") as folder:
        (folder / "new").touch()
    assert [path.name for path in (tmp_path / "base").iterdir()] == ["new"]


# What is said of what was saved


def test_a_name_is_refused_before_computing_if_another_process_has_it(play, tmp_path, monkeypatch):
    monkeypatch.setattr(tm.Result, "of", None)
    with new_folder(tmp_path / "runs" / "mine"):
        for more in ((), ("--overwrite",)):
            status, output, errors = play("mode_collapse.py", "--name", "mine", *more)
            assert (status, output, errors.count("\n")) == (2, "", 1)
            assert "runs/mine is being written by another process" in errors


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [(KeyboardInterrupt(), 130, "interrupted, "), (FULL, 2, "error: No space left on device; ")],
)
@pytest.mark.parametrize("where", ["run", "save", "draw"])
def test_the_message_says_what_was_saved(
    play, tmp_path, monkeypatch, error, status, message, where
):
    def fail(*_, **__):
        raise error

    places = {"run": (tm.Result, "of"), "draw": (tm.plotting, "mode_alignment")}
    monkeypatch.setattr(*places.get(where, (os, "fsync")), fail)
    found, _, errors = play("mode_collapse.py", *SMALL, "--name", "mine")
    files = ["result.npz", "summary.json"] if where == "draw" else []
    saved = f"saved {', '.join(files)} in runs/mine" if files else "nothing saved"
    assert (found, errors) == (status, f"mode_collapse.py: {message}{saved}\n")
    left = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(left) == [Path("runs", "mine", name) for name in files]
    assert (tmp_path / "runs").exists() == bool(files)
