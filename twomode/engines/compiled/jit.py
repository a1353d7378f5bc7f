"""How kernels are compiled, and where their machine code is cached.

Numba's cache notices an edit of the file that a kernel stands in, but not of the files whose
functions it calls, so an edited helper would silently run old code.  Here the folder is named
after a hash of every source that kernels depend on: any edit starts a new one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config as numba_config

# GNU OpenMP's threads spin while they wait for each other, by default for so long that on a busy
# machine a short parallel loop costs milliseconds.  Read when the first parallel kernel starts.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")

_PACKAGE = Path(__file__).parents[2]
#: Seconds after which the kernels of other versions of the sources are deleted.
_STALE = 7 * 24 * 3600


def kernel_sources(package: Path = _PACKAGE) -> list[Path]:
    """What a kernel's machine code depends on: the engines, and the order of a rule's axes."""
    return [*sorted((package / "engines").rglob("*.py")), package / "rules" / "algebra.py"]


def source_hash(package: Path = _PACKAGE) -> str:
    """A word that any edit of `kernel_sources` changes."""
    digest = hashlib.sha256()
    for source in kernel_sources(package):
        name = source.relative_to(package).as_posix()
        digest.update(name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder(package: Path = _PACKAGE) -> str:
    """The folder for this version of the sources, or "" to leave the place to Numba.

    Inside the package where that can be written, else wherever Numba puts it for this user.
    NUMBA_CACHE_DIR, where set, wins.
    """
    name = f"kernels-{source_hash(package)}"
    if numba_config.CACHE_DIR:
        return str(Path(numba_config.CACHE_DIR) / name)
    parent = package / "engines" / "__pycache__"
    folder = parent / name
    try:
        if not folder.is_dir():
            for other in parent.glob("kernels-*"):
                if time.time() - other.stat().st_mtime > _STALE:  # no process uses it any more
                    shutil.rmtree(other, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        return str(folder) if os.access(folder, os.W_OK) else ""
    except OSError:
        return ""


CACHE_FOLDER = cache_folder()


def part(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile as a part of other kernels, always inlined."""
    return kernel(function, forceinline=True)


def kernel(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
    """Compile with Numba, cached on disk; used as ``@kernel`` or ``@kernel(parallel=True)``.

    Division follows IEEE 754 (no ZeroDivisionError), multiply-adds may fuse, and nothing else
    about the arithmetic is relaxed.
    """
    if function is None:
        return lambda function: kernel(function, **options)
    before = numba_config.CACHE_DIR
    try:  # the cache's place is fixed when the dispatcher is made
        numba_config.CACHE_DIR = CACHE_FOLDER or before
        return numba.njit(cache=True, error_model="numpy", fastmath={"contract"}, **options)(
            function
        )
    finally:
        numba_config.CACHE_DIR = before
