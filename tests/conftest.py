"""Fixtures of several test modules."""

import contextlib
import importlib.util
import sys
from pathlib import Path

import pytest

import twomode as tm
from twomode import cli

SIMS = Path(__file__).parents[1] / "sims"


@pytest.fixture
def play(tmp_path, monkeypatch, capsys):
    """Run a program in this process, in an empty folder: status, stdout and stderr."""
    processes = tm.sweeps.processes

    def run(program, *arguments):
        path = SIMS / program
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        with pytest.raises(SystemExit) as leave:
            cli.run(module.main)
        return leave.value.code, *capsys.readouterr()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        *(tm.sweeps, "processes"),
        # none, where there would be some
        lambda workers: processes(workers) if workers == 0 else contextlib.nullcontext(),
    )
    return run
