"""Files that are written whole or not at all, never replaced silently, and checked when read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from twomode._typing import JSON
from twomode.errors import InputError, require

__all__ = ["check_writable", "load_arrays", "new_file", "save_arrays", "save_text"]

_METADATA, _DIGEST = "metadata", "sha256"


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
        If `path` exists and is not to be overwritten, or its folder cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from twomode.io import new_file
    >>> with TemporaryDirectory() as folder, new_file(Path(folder, "half")) as file:
    ...     file.write(b"not yet"), Path(folder, "half").exists()
    (7, False)
    """
    path = Path(path)
    try:
        taken, folder = path.exists(), path.is_dir()
        require(not folder, f"{path} is a folder: choose another name")
        require(overwrite or not taken, f"{path} exists already: choose another name, or overwrite")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        file = temporary.open("xb")
    except OSError as error:
        raise InputError(f"cannot write to {path.parent}: {error.strerror}") from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
    members = dict(arrays) | {_METADATA: np.array(json.dumps(metadata, sort_keys=True))}
    sealed: dict[str, Any] = members | {_DIGEST: np.array(_digest(members))}
    with new_file(path, overwrite=overwrite) as file:
        np.savez(file, **sealed)


def load_arrays(path: Path) -> tuple[dict[str, np.ndarray], JSON]:
    """Read what `save_arrays` wrote, without pickle.

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
    path = Path(path)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            members = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # damaged bytes make the zip and array readers raise anything
        reason = str(error).split("\n")[0]
        raise InputError(f"{path} is truncated or not a twomode result: {reason}") from error
    require({_METADATA, _DIGEST} <= members.keys(), f"{path} is not a twomode result")
    stored = str(members.pop(_DIGEST))
    require(stored == _digest(members), f"{path} was altered: its checksum does not match")
    metadata = json.loads(str(members.pop(_METADATA)))
    return members, metadata


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
