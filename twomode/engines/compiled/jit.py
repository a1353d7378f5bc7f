"""How kernels are compiled, and where their machine code is cached.

Numba's cache notices an edit of the file that a kernel stands in, but not of the files whose
functions it calls, so an edited helper would silently run old code.  Here the folder is named
after a hash of every source that kernels depend on: any edit starts a new one.

A cache is a convenience: where it cannot be written, or a file of it is damaged, kernels are
compiled anew, with a RuntimeWarning of one sentence.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import secrets
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba.core import config as numba_config
from numba.core.caching import FunctionCache, IndexDataCacheFile

from twomode.engines.compiled.parts import ARITHMETIC

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
                with contextlib.suppress(FileNotFoundError):  # another first start was faster
                    if time.time() - other.stat().st_mtime > _STALE:  # no process uses it any more
                        shutil.rmtree(other, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        return str(folder) if os.access(folder, os.W_OK) else ""
    except OSError:
        return ""


CACHE_FOLDER = cache_folder()


class _Files(IndexDataCacheFile):
    """Numba's files, with a checksum of the machine code, which damaged would run all the same.

    Two processes that compile at once write different files: by Numba's own names, one might find
    the other's code, for other types, under the name of its own.
    """

    def save(self, key: Any, data: Any) -> None:
        code = self._dump(data)
        super().save(key, (hashlib.sha256(code).digest(), code))

    def load(self, key: Any) -> Any:
        found = super().load(key)
        if found is None:
            return None
        digest, code = found
        if digest != hashlib.sha256(code).digest():
            raise ValueError("its checksum does not match")
        return pickle.loads(code)

    def _data_name(self, number: int) -> str:
        return super()._data_name(number).replace(".nbc", f".{secrets.token_hex(8)}.nbc")


class _Cache(FunctionCache):
    """Numba's cache of a kernel; what cannot be read or written there is compiled anew."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _Files(
            self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp()
        )

    @contextlib.contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:
        """Around every use of the files; Numba compiles where nothing is found."""
        try:
            yield
        except Exception as error:  # damaged bytes make pickle raise anything
            _warn(f"{self.cache_path} is damaged or cannot be written ({error})")
            with contextlib.suppress(OSError):
                self.flush()


def _warn(reason: str) -> None:
    warnings.warn(f"cache of kernels: {reason}; compiling anew", RuntimeWarning, stacklevel=2)


def kernel(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
    """Compile with Numba, cached on disk; used as ``@kernel`` or ``@kernel(parallel=True)``."""
    if function is None:
        return lambda function: kernel(function, **options)
    compiled = numba.njit(**ARITHMETIC, **options)(function)
    before = numba_config.CACHE_DIR
    try:  # the cache's place is fixed when it is made
        numba_config.CACHE_DIR = CACHE_FOLDER or before
        compiled._cache = _Cache(function)
    except RuntimeError:
        _warn("no folder can be written: set NUMBA_CACHE_DIR to one")
    finally:
        numba_config.CACHE_DIR = before
    return compiled
