"""Shared by several test modules."""

import twomode_program

import contextlib
import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pandas as pd

import twomode as tm
import twomode.names
from twomode.studies import FINE, SETTINGS


def explicit_start(game, replicas, seed, **scales):
    """Gaussian starts in R^d, stacked along a replica axis."""
    rng = np.random.default_rng(seed)
    draws = [tm.GaussianStart(**scales).draw(game, rng).arrays() for _ in range(replicas)]
    return tm.State(**{name: np.stack([draw[name] for draw in draws]) for name in draws[0]})


def made_comparison(counts, replicas=40, confidence=0.95):
    """A comparison that nobody ran.

    Counts maps rules to the numbers of replicas (recovered, collapsed), in each setting or in all;
    a setting that is not there did not run.
    The first replicas recover, at iterations 100, 110, ..., and the last collapse, at 50, 51, ...,
    counted from the first of them; those that do not have numbers that must not count.
    """
    k, frames = np.arange(replicas), []
    for n, setting in enumerate(SETTINGS):
        for rule, given in counts.items():
            if isinstance(given, dict) and setting not in given:
                continue
            recovered, collapsed = given[setting] if isinstance(given, dict) else given
            frame = {
                "setting": setting,
                "opt": rule,
                "d": 64,
                "replica": k,
                "step_scale": [1.0, FINE, 4.0][n],
                "ratio": [0.2, 0.2, 2.5][n],
                "verdict": np.where(k >= replicas - collapsed, "collapsed", "mixed"),
                "recovered": k < recovered,
                "recovered_at": np.where(k < recovered, 100 + 10 * k, np.where(k % 2, 1, np.nan)),
                "collapsed": k >= replicas - collapsed,
                "T0": np.where(k >= replicas - collapsed, 50 + k - (replicas - collapsed), 7e6),
                "learned": True,
                "apart": np.where(k % 4, 3.0, np.nan),
            }
            frames.append(pd.DataFrame(frame))
    tuning = pd.DataFrame({"opt": list(counts), "step_scale": 1.0, "ratio": 0.2, "recovered": 0.5})
    return tm.Comparison({"d": 64}, tuning, pd.concat(frames, ignore_index=True), confidence)


def strictly(text):
    """JSON as any reader takes it: without NaN and Infinity."""

    def refuse(word):
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


@contextlib.contextmanager
def program_here(program, **constants):
    """What a program runs, loaded into a module of its own as it is in a process of its own.

    With other constants, if given.
    """
    path, before, known = Path(program), sys.argv, set(sys.modules)
    threads = numba.get_num_threads()
    sys.path.insert(0, str(path.parent))
    sys.argv = [str(path)]
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where dataclasses look for their types
        spec.loader.exec_module(module)
        vars(module).update(constants)
        check = getattr(module, "CHECK", None)
        yield module.main if check is None else lambda: module.main(check, module.__doc__)
    finally:
        sys.argv = before
        # Its neighbours, too: what they have imported may be patched.
        for name in {path.stem, *(sys.modules.keys() - known)}:
            if name == path.stem or Path(_file(name)).parent == path.parent:
                sys.modules.pop(name, None)
        sys.path.remove(str(path.parent))
        numba.set_num_threads(threads)


def _file(module):
    return getattr(sys.modules[module], "__file__", None) or ""


def call_here(main, *arguments, cwd):
    """The status of a loaded program with these arguments, and what it prints."""
    out, err = io.StringIO(), io.StringIO()
    twomode.names._written.clear()
    sys.argv = [sys.argv[0], *map(str, arguments)]
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            twomode_program.run(main)
        except SystemExit as leave:
            status = leave.code
    return subprocess.CompletedProcess(sys.argv, status, out.getvalue(), err.getvalue())


def run_here(program, *arguments, cwd, **constants):
    """What a program does, run in this process: its status, and what it prints.

    What a process costs besides are two seconds of imports.
    """
    with program_here(program, **constants) as main:
        return call_here(main, *arguments, cwd=cwd)


def alive(pid):
    """Whether a process is not gone, nor only waiting for somebody to ask how it ended (Linux)."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
