"""sims/mode_collapse.py as a user meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import twomode as tm

PROGRAM = Path(__file__).parents[1] / "sims" / "mode_collapse.py"
SMALL = ("--d", "64", "--steps", "20", "--replicas", "3")


def call(*arguments, cwd, **options):
    return subprocess.run(
        [sys.executable, str(PROGRAM), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        **options,
    )


def test_saves_prints_and_loads_back(tmp_path):
    done = call(*SMALL, "--opt", "nsgda", "--seed", 7, cwd=tmp_path)
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
        check=True,
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
    call(*SMALL, *arguments, "--p-12", 0.2, "--no-plot", cwd=tmp_path, check=True)
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
    "invalid int value: 'x'": ("--d", "x"),
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
        [sys.executable, str(PROGRAM), "--d", "256", "--opt", "nsgda", "--no-plot"],
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
