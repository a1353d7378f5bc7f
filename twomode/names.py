"""Names of files and folders: reserved before anything is computed, given to whole things only."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from twomode.errors import InputError, require

__all__ = [
    "NameTakenError",
    "check_writable",
    "new_file",
    "new_folder",
    "remove_left",
    "save_text",
    "saved",
]


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
    >>> from twomode.names import save_text, saved
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
    >>> from twomode.names import new_file
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
    >>> from twomode.names import new_folder, save_text
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
        _sync(path.parent)

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


def _sync(folder: Path) -> None:
    """Have the names in a folder on disk; some systems do that for files alone."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def remove_left(folder: Path) -> None:
    """Remove at once what killed processes left in a folder, whatever the clock says.

    Another one that is about to write there may find its name taken, for a moment.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from twomode.names import remove_left
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, ".a.txt.twomode").mkdir()
    ...     remove_left(folder)
    ...     list(Path(folder).iterdir())
    []
    """
    for hidden in Path(folder).glob(f".*{_MARK}"):
        _remove_unlocked(hidden)


def _remove_if_stale(hidden: Path) -> None:
    """Remove what a killed process left; not what another one may be about to lock."""
    with contextlib.suppress(OSError):
        if time.time() - hidden.stat().st_mtime > _STALE:
            _remove_unlocked(hidden)


def _remove_unlocked(hidden: Path) -> None:
    with contextlib.suppress(OSError, ImportError):
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
    >>> from twomode.names import save_text
    >>> with TemporaryDirectory() as folder:
    ...     save_text(Path(folder, "notes", "a.txt"), "gamma = 1/ln d")
    ...     Path(folder, "notes", "a.txt").read_text()
    'gamma = 1/ln d'
    """
    with new_file(path, overwrite=overwrite) as file:
        file.write(text.encode())


def check_writable(folder: Path) -> None:
    """Raise `InputError` unless files can be made in `folder`; leaves nothing behind.

    Worth a call before a long run.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from twomode.names import check_writable
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
        with tempfile.TemporaryDirectory(prefix=".", suffix=_MARK, dir=existing):
            pass
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {existing}: {error.strerror}") from error
