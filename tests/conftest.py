"""Fixtures of several test modules."""

import contextlib
import os
from pathlib import Path

import pytest
from helpers import run_here

import twomode as tm

ROOT = Path(__file__).parents[1]
SIMS = ROOT / "sims"


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Run a program of sims/ here, in an empty folder: status, stdout and stderr."""
    processes = tm.sweeps.processes

    def run(program, *arguments):
        done = run_here(SIMS / program, *arguments, cwd=tmp_path)
        return done.returncode, done.stdout, done.stderr

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        *(tm.sweeps, "processes"),
        # none, where there would be some
        lambda workers: processes(workers) if workers == 0 else contextlib.nullcontext(),
    )
    return run


def pytest_configure(config):
    """What this repository calls must not be deprecated; what other libraries call may be."""
    folders = ("tests", "sims", "figures", "paper_checks")
    names = sorted(path.stem for folder in folders for path in (ROOT / folder).glob("*.py"))
    ours = "|".join(["twomode", *names])
    for kind in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning"):
        config.addinivalue_line("filterwarnings", rf"error::{kind}:({ours})(\.|$)")


def pytest_sessionstart(session):
    """Let workers that run side by side compile different kernels, not each of them all."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return
    game = tm.Game.preset(8)
    number, count = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    kernels = (("adam", "dense"), ("sga-adam", "dense"), ("sgda", "reduced"), ("sga", "reduced"))
    for rule, engine in kernels[number % count :: count]:
        tm.simulate(game, *tm.recipe(game, rule, steps=1), engine=engine)
