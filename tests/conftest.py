"""Fixtures of several test modules."""

import contextlib
from pathlib import Path

import pytest
from helpers import run_here

import twomode as tm

SIMS = Path(__file__).parents[1] / "sims"


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
