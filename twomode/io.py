"""What stands in files: arrays with metadata and strict JSON, checked when they are read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from twomode._typing import JSON
from twomode.errors import InputError, require
from twomode.names import new_file

__all__ = [
    "from_json",
    "load_arrays",
    "read_arrays",
    "read_json",
    "reading",
    "save_arrays",
    "to_json",
]

_METADATA, _DIGEST = "metadata", "sha256"


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


def _digest(members: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(members):
        array = np.asarray(members[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
