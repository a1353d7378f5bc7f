"""Where a run was made: by which command, code, libraries and machine."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np

from twomode._typing import JSON

__all__ = ["commit", "origin"]


def origin() -> JSON:
    """What a result notes besides what it follows from.

    Results are the same to the last bit on one machine; another processor or another BLAS may
    round differently.
    """
    return {"command": shlex.join(sys.argv), "commit": commit(), **_machine()}


@cache
def commit() -> str | None:
    """The commit of the package's checkout, with ``-dirty`` if it was edited; None outside one."""
    folder = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
            cwd=folder,
        )
        inside = subprocess.run(  # not of some other checkout that the package is installed in
            ["git", "ls-files", "--error-unmatch", Path(__file__).name],
            capture_output=True,
            check=False,
            cwd=folder,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() if inside.returncode == 0 else None


@cache
def _machine() -> JSON:
    versions = {name: metadata.version(name) for name in ("twomode", "numpy", "numba")}
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "versions": versions | {"python": platform.python_version(), "machine": platform.machine()},
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "blas": f"{blas['name']} {blas['version']}",
    }


def _cpu() -> str:
    """The processor's own name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
