"""Where a run was made: by which command, code, libraries and machine."""

from __future__ import annotations

import hashlib
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

__all__ = ["SOURCES", "commit", "differences", "origin", "sources"]

#: The rooms whose files a run's numbers depend on.
SOURCES = ("game", "rules", "engines", "runs")
_PACKAGE = Path(__file__).parents[1]


def origin() -> JSON:
    """What a result notes besides what it follows from.

    Results are the same to the last bit on one machine; another processor or another BLAS may
    round differently.
    """
    return {
        "command": shlex.join(sys.argv),
        "commit": commit(),
        "sources": sources(SOURCES),
        **_machine(),
    }


def differences(noted: JSON) -> list[str]:
    """In what this place differs from one that `origin` noted, of all that the last bit depends on.

    Each in words, as ``numpy 2.1.0 (here 2.2.0)``; with what differed where it was resumed.
    """

    def said(origin: JSON) -> JSON:
        names = ("sources", "cpu", "blas")
        return origin.get("versions", {}) | {name: origin.get(name) for name in names}

    here, there = said(origin()), said(noted)
    names = sorted(n for n in here.keys() | there.keys() if here.get(n) != there.get(n))
    found = [f"{n} {there.get(n) or 'not noted'} (here {here.get(n) or 'none'})" for n in names]
    return found + [words for note in noted.get("resumed", []) for words in note["different"]]


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
def sources(places: tuple[str, ...]) -> str:
    """A word that any edit changes of files of the package, or of files in rooms of it."""
    digest = hashlib.sha256()
    for place in sorted(_PACKAGE / place for place in places):
        for path in [place] if place.suffix else sorted(place.rglob("*.py")):
            name = path.relative_to(_PACKAGE).as_posix()
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


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
