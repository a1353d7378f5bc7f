"""The one exception that means "the input is wrong", and the checks that raise it."""

from __future__ import annotations

import difflib
import math
import os
import reprlib
from collections.abc import Iterable
from typing import Any

import numpy as np


class InputError(ValueError):
    """A value that twomode was given cannot be used.

    The message is one line, whatever it quotes: it names the value and says what would do instead.
    The command-line programs print it on stderr and exit with status 2.

    Examples
    --------
    >>> import twomode as tm
    >>> try:
    ...     tm.Game.preset(d=16, gamma=1.0)
    ... except tm.InputError as error:
    ...     print(error)
    gamma=1.0 must lie in [0, 1)
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def plain(value: object) -> object:
    """A NumPy number, or an array of no axes, as Python's own number; anything else as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from twomode.errors import plain
    >>> plain(np.float64(0.5)), plain(np.array(3)), plain("3")
    (0.5, 3, '3')
    """
    if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0:
        return value if value is np.ma.masked else value.item()
    return value


_LENGTH = 60  #: of a value in a message
_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = _LENGTH


def shown(value: object) -> str:
    """A value in a message: its `repr` within 60 characters, or the shape of an array.

    Examples
    --------
    >>> import numpy as np
    >>> from twomode.errors import shown
    >>> shown("sgda"), shown(np.ones((3, 4))), len(shown(10**100))
    ("'sgda'", '<array of shape (3, 4)>', 60)
    """
    value = plain(value)
    if isinstance(value, np.ndarray):
        return f"<array of shape {value.shape}>"
    try:
        text = " ".join(_repr.repr(value).split())
    except Exception:  # of someone else's class, or of a number of too many digits
        return f"<{type(value).__name__}>"
    return text if len(text) <= _LENGTH else f"{text[: _LENGTH - 3]}..."


def require(condition: bool, message: str) -> None:
    """Raise `InputError` with `message` unless `condition` holds.

    Examples
    --------
    >>> from twomode.errors import require
    >>> require(2 > 3, "2 must exceed 3")
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: 2 must exceed 3
    """
    if not condition:
        raise InputError(message)


def require_columns(table: Any, *names: str) -> None:
    """Raise `InputError` unless a table is a DataFrame that has these columns.

    Examples
    --------
    >>> import pandas as pd
    >>> from twomode.errors import require_columns
    >>> require_columns(pd.DataFrame({"d": [16, 64]}), "d", "opt")
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: the table has no column opt
    """
    frame = hasattr(table, "columns") and hasattr(table, "groupby")
    require(frame, f"table={shown(table)} must be a DataFrame")
    missing = [shown(name).strip("'") for name in names if name not in table.columns]
    require(not missing, f"the table has no column {', '.join(missing)}")
    require(len(table) > 0, "the table has no rows")


def require_memory(need: float, what: str, remedy: str) -> None:
    """Raise `InputError` for what would not fit into memory, before anything is allocated.

    Parameters
    ----------
    need : float
        Bytes.
    what, remedy : str
        What needs them, and what would do instead.

    Examples
    --------
    >>> from twomode.errors import require_memory
    >>> require_memory(8e6, "n=1000000", "use a smaller n")
    """
    have = _memory()
    require(
        need <= 0.9 * have,
        f"{what} needs about {need / 2**30:.3g} GiB, and this machine has {have / 2**30:.3g}:"
        f" {remedy}",
    )


def _memory() -> float:
    """Bytes of this machine; infinite where it does not say (Windows)."""
    if not hasattr(os, "sysconf"):
        return math.inf
    return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")


def require_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise `InputError` unless `value` is among `choices`; name the nearest ones.

    Examples
    --------
    >>> from twomode.errors import require_choice
    >>> require_choice("engine", "redcued", ["reduced", "dense"])
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: unknown engine 'redcued': did you mean reduced?
    """
    choices = list(choices)
    if isinstance(value, str) and value in choices:
        return
    near = nearest(value, choices) if isinstance(value, str) else []
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(choices)}"
    raise InputError(f"unknown {name} {shown(value)}: {hint}")


def nearest(word: str, choices: Iterable[str]) -> list[str]:
    """Up to three of `choices` that are spelled like a word, whatever the case.

    Examples
    --------
    >>> from twomode.errors import nearest
    >>> nearest("NSDGA", ["nsgda", "adam", "ttur"])
    ['nsgda']
    """
    spelled = {choice.lower(): choice for choice in reversed(list(choices))}  # the first stays
    near = difflib.get_close_matches(word.lower(), spelled, n=3, cutoff=0.4)
    return [spelled[word] for word in near]
