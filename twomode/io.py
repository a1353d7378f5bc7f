"""Files that are written whole or not at all, never replaced silently, and checked when read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from twomode._typing import JSON
from twomode.errors import InputError, require

__all__ = [
    "NameTakenError",
    "check_writable",
    "from_json",
    "load_arrays",
    "new_file",
    "new_folder",
    "read_arrays",
    "read_json",
    "reading",
    "save_arrays",
    "save_text",
    "saved",
    "to_json",
]

_METADATA, _DIGEST = "metadata", "sha256"


class NameTakenError(InputError):
    """Another file or folder has the name, or another process is about to give it to one."""


#: Seconds after which what a process left that was killed is removed by the next one beside it.
_STALE = 60.0
_MARK = ".twomode"

#: What this process put where, as the system knew it then.
_written: dict[Path, os.stat_result] = {}


def saved() -> list[Path]:
    """The files that this process has written and that are in their place, in order.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from twomode.io import save_text, saved
    >>> with TemporaryDirectory() as folder:
    ...     save_text(Path(folder, "a.txt"), "a")
    ...     saved()[-1] == Path(folder, "a.txt")
    True
    """
    return [p for p, then in _written.items() if p.exists() and os.path.samestat(p.stat(), then)]


@contextlib.contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open a binary file that appears at `path` only once it is complete and on disk.

    Parameters
    ----------
    path : Path
        Its folder is made if need be.
    overwrite : bool
        Replace a file that is there.

    Yields
    ------
    binary file

    Raises
    ------
    InputError
        If `path` exists and is not to be overwritten, another process is writing it, or its folder
        cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from twomode.io import new_file
    >>> with TemporaryDirectory() as folder, new_file(Path(folder, "half")) as file:
    ...     file.write(b"not yet"), Path(folder, "half").exists()
    (7, False)
    """
    with _reserved(Path(path), overwrite, folder=False) as (new, put):
        with new.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        put()


@contextlib.contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Reserve a name for a folder, and fill one beside it that takes its place in the end.

    A folder that is there is replaced as a whole.  When the block ends by an exception, what was
    complete by then is kept, if anything was.

    Parameters
    ----------
    path : Path
        The folder above is made if need be.
    overwrite : bool
        Replace a folder that is there.

    Yields
    ------
    Path
        The folder to write into.

    Raises
    ------
    InputError
        As for `new_file`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from twomode.io import new_folder, save_text
    >>> with TemporaryDirectory() as runs:
    ...     with new_folder(Path(runs, "mine")) as folder:
    ...         save_text(folder / "a.txt", "gamma")
    ...     [path.name for path in Path(runs, "mine").iterdir()]
    ['a.txt']
    """
    with _reserved(Path(path), overwrite, folder=True) as (new, put):
        new.mkdir()
        try:
            yield new
        finally:
            if any(new.iterdir()):
                put()


@contextlib.contextmanager
def _reserved(
    path: Path, overwrite: bool, *, folder: bool
) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Keep others off `path`; yields where to build what shall stand there, and what puts it there.

    The reservation is a hidden folder beside it, `.NAME.twomode`, that is locked as long as its
    process lives.  What a killed process leaves is removed by the next one that writes to the same
    name or, a minute later, beside it; what it was about to replace is put back.
    """
    require(path.name not in ("", ".."), f"{path} is no name for a file or a folder")
    hidden = path.with_name(f".{path.name}{_MARK}")
    new = hidden / "new"

    def check() -> None:
        kind, other = ("folder", "file") if folder else ("file", "folder")
        there = os.path.lexists(path)
        fits = not there or path.is_dir() == folder
        require(fits, f"{path} is a {other}, not a {kind}: choose another name")
        if there and not overwrite:
            raise NameTakenError(f"{path} exists already: choose another name, or overwrite")
        foreign = there and folder and any(inner.is_dir() for inner in path.iterdir())
        require(not foreign, f"{path} has folders in it, as no run has: choose another name")

    def put() -> None:
        check()
        made = sorted(new.iterdir(), key=_changed) if folder else [new]
        _written.update({path / x.relative_to(new): x.stat() for x in made})
        if folder and path.exists():
            path.replace(hidden / "old")
        new.replace(path)

    try:
        parents = [p for p in path.absolute().parents if not p.exists()]
        for other in path.parent.glob(f".*{_MARK}"):
            _remove_if_stale(other)
        lock = _claim(hidden)
    except OSError as error:
        raise InputError(f"cannot write to {path.parent}: {error.strerror}") from error
    try:
        check()
        yield new, put
    finally:
        _remove(hidden)
        if lock is not None:
            os.close(lock)
        for parent in parents:  # those that were made for nothing
            with contextlib.suppress(OSError):
                parent.rmdir()


def _claim(hidden: Path) -> int | None:
    """Make a folder and hold its lock; None on file systems without locks."""
    while True:
        fresh = True
        try:
            hidden.mkdir(parents=True)
        except FileExistsError:
            fresh = False
        try:
            lock = _lock(hidden)
        except FileNotFoundError:  # its owner has just finished
            continue
        except (OSError, ImportError) as error:
            if fresh and not isinstance(error, BlockingIOError):
                return None
            raise NameTakenError(
                f"{hidden.with_name(_name(hidden))} is being written by another process: choose"
                f" another name, or wait (should none be running, delete {hidden})"
            ) from error
        if fresh:
            return lock
        _remove(hidden)
        os.close(lock)


def _lock(hidden: Path) -> int:
    """A descriptor that locks a folder until it is closed or its process dies.

    Raises
    ------
    BlockingIOError
        If another one has the lock.
    FileNotFoundError
        If the folder has been removed.
    OSError, ImportError
        If there are no locks here.
    """
    import fcntl  # not on Windows

    lock = os.open(hidden, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(lock), hidden.stat()):
            raise FileNotFoundError
    except BaseException:
        os.close(lock)
        raise
    return lock


def _remove_if_stale(hidden: Path) -> None:
    """Remove what a killed process left; not what another one may be about to lock."""
    with contextlib.suppress(OSError, ImportError):
        if time.time() - hidden.stat().st_mtime > _STALE:
            lock = _lock(hidden)
            _remove(hidden)
            os.close(lock)


def _remove(hidden: Path) -> None:
    """End a reservation; a folder that it was about to replace is put back."""
    path, old = hidden.with_name(_name(hidden)), hidden / "old"
    if os.path.lexists(old) and not os.path.lexists(path):
        old.replace(path)
    shutil.rmtree(hidden, ignore_errors=True)


def _name(hidden: Path) -> str:
    return hidden.name[1 : -len(_MARK)]


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns


def save_text(path: Path, text: str, *, overwrite: bool = False) -> None:
    """Write `text` as UTF-8; see `new_file`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from twomode.io import save_text
    >>> with TemporaryDirectory() as folder:
    ...     save_text(Path(folder, "notes", "a.txt"), "gamma = 1/ln d")
    ...     Path(folder, "notes", "a.txt").read_text()
    'gamma = 1/ln d'
    """
    with new_file(path, overwrite=overwrite) as file:
        file.write(text.encode())


def save_arrays(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    metadata: JSON,
    *,
    overwrite: bool = False,
) -> None:
    """Write arrays and plain-JSON metadata as one ``.npz`` with a checksum; see `new_file`.

    The checksum is there to notice damage.  Who changes a file on purpose can renew it.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from twomode.io import load_arrays, save_arrays
    >>> with TemporaryDirectory() as folder:
    ...     save_arrays(Path(folder, "a.npz"), {"b": np.arange(3)}, {"seed": 0})
    ...     load_arrays(Path(folder, "a.npz"))
    ({'b': array([0, 1, 2])}, {'seed': 0})
    """
    members = dict(arrays) | {_METADATA: np.array(to_json(metadata, sort_keys=True))}
    sealed: dict[str, Any] = members | {_DIGEST: np.array(_digest(members))}
    with new_file(path, overwrite=overwrite) as file:
        np.savez(file, **sealed)


def load_arrays(path: Path) -> tuple[dict[str, np.ndarray], JSON]:
    """Read what `save_arrays` wrote: sound, though its content may be anything.

    Returns
    -------
    arrays : dict of str to ndarray
    metadata : dict

    Raises
    ------
    InputError
        If the file is missing, truncated, altered, or not of this kind; the message says which.

    Examples
    --------
    >>> from pathlib import Path
    >>> from twomode.io import load_arrays
    >>> load_arrays(Path("nowhere.npz"))
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: nowhere.npz does not exist
    """
    members = read_arrays(path)
    with reading(path):
        require({_METADATA, _DIGEST} <= members.keys(), "not a twomode result")
        stored = str(members.pop(_DIGEST))
        require(stored == _digest(members), "altered: its checksum does not match")
        metadata = from_json(str(members.pop(_METADATA)))
    return members, metadata


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` as `numpy.savez` writes it, without pickle.

    Uncompressed, so that nothing takes more memory than its file takes space.

    Raises
    ------
    InputError
        If the file is missing, damaged or of another kind.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from twomode.io import read_arrays
    >>> with TemporaryDirectory() as folder:
    ...     np.savez(Path(folder, "a.npz"), b=np.arange(3))
    ...     read_arrays(Path(folder, "a.npz"))
    {'b': array([0, 1, 2])}
    """
    with reading(path), Path(path).open("rb") as file, zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        size = os.fstat(file.fileno()).st_size
        stored = all(info.compress_type == zipfile.ZIP_STORED for info in infos)
        require(stored, "compressed arrays are not read: write them by numpy.savez")
        require(sum(i.file_size for i in infos) <= size, "it declares more than it holds")
        return {i.filename.removesuffix(".npy"): _read_array(archive, i) for i in infos}


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """One member, if it has the size that its header says: NumPy allocates before it reads."""
    with archive.open(info) as file:
        versions = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        shape, _, dtype = versions[npy.read_magic(file)](file)
        size = file.tell() + math.prod(shape) * dtype.itemsize
        require(size == info.file_size, f"{info.filename} declares more than it holds, or less")
    with archive.open(info) as file:
        array: np.ndarray = npy.read_array(file, allow_pickle=False)
    return array


def read_json(path: Path) -> JSON:
    """The object in a file of JSON; see `from_json`.

    Raises
    ------
    InputError
        If the file is missing or holds anything else.

    Examples
    --------
    >>> from pathlib import Path
    >>> from twomode.io import read_json
    >>> read_json(Path("nowhere.json"))
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: nowhere.json does not exist
    """
    with reading(path):
        return from_json(Path(path).read_text(encoding="utf-8"))


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Make an `InputError` of one line, which names the file, of all that a block raises.

    What stands in a file may be anything, and so may be what is raised where it is used.

    Examples
    --------
    >>> from pathlib import Path
    >>> from twomode.io import reading
    >>> with reading(Path("notes.json")):
    ...     {}["game"]
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: notes.json is damaged or of another kind: KeyError: 'game'
    """
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise InputError(f"{path} is damaged or of another kind: {reason}") from error


#: What JSON has no numbers for, and the texts that stand for it.
_NOT_FINITE = ("inf", "-inf", "nan")


def to_json(value: object, **options: Any) -> str:
    """JSON that any reader takes: infinities and NaN become the texts "inf", "-inf" and "nan".

    Parameters
    ----------
    value : object
        Plain JSON.
    **options
        Of `json.dumps`.

    Examples
    --------
    >>> from twomode.io import to_json
    >>> to_json({"clip": float("inf"), "d": 64})
    '{"clip": "inf", "d": 64}'
    """

    def strict(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return str(float(value))
        return value

    return json.dumps(_mapped(strict, value), allow_nan=False, **options)


def from_json(text: str) -> JSON:
    """The object that `to_json` wrote, numbers again what they were.

    Examples
    --------
    >>> from twomode.io import from_json
    >>> from_json('{"clip": "inf", "d": 64}')
    {'clip': inf, 'd': 64}
    """
    found = _mapped(lambda x: float(x) if x in _NOT_FINITE else x, json.loads(text))
    require(isinstance(found, dict), "no object of JSON")
    return dict(found)


def _mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """Plain JSON with a function applied to all that is neither an object nor a list."""
    if isinstance(value, Mapping):
        return {name: _mapped(function, inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mapped(function, inner) for inner in value]
    return function(value)


def check_writable(folder: Path) -> None:
    """Raise `InputError` unless files can be made in `folder`; leaves nothing behind.

    Worth a call before a long run.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from twomode.io import check_writable
    >>> with TemporaryDirectory() as folder:
    ...     check_writable(Path(folder, "to", "be", "made"))
    ...     list(Path(folder).iterdir())
    []
    """
    folder = Path(folder)
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.TemporaryDirectory(dir=existing):
            pass
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {existing}: {error.strerror}") from error


def _digest(members: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(members):
        array = np.asarray(members[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
