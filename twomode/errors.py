"""The one exception that means "the input is wrong", and the checks that raise it."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable


class InputError(ValueError):
    """A value that twomode was given cannot be used.

    The message is one line: it names the value and says what would do instead.
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


def require_whole(name: str, value: object, least: int) -> int:
    """`value` as an int; raise `InputError` unless it is a whole number of at least `least`.

    Examples
    --------
    >>> import numpy as np
    >>> from twomode.errors import require_whole
    >>> require_whole("steps", np.int64(5), least=0)
    5
    >>> require_whole("steps", 5.0, least=0)
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: steps=5.0 must be a whole number of at least 0
    """
    message = f"{name}={value!r} must be a whole number of at least {least}"
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise InputError(message)
    require(int(value) >= least, message)
    return int(value)


def require_finite(name: str, value: float, *, least: float = -math.inf) -> None:
    """Raise `InputError` unless `value` is a finite number of at least `least`.

    Examples
    --------
    >>> from twomode.errors import require_finite
    >>> require_finite("eta_D", -0.1, least=0)
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: eta_D=-0.1 must be a finite number and at least 0
    """
    bound = "" if least == -math.inf else f" and at least {least:g}"
    require(
        math.isfinite(value) and value >= least, f"{name}={value!r} must be a finite number{bound}"
    )


def require_probability(name: str, value: float, *, below_one: bool = False) -> None:
    """Raise `InputError` unless `value` is a number in [0, 1], or in [0, 1).

    Examples
    --------
    >>> from twomode.errors import require_probability
    >>> require_probability("p_12", 1.0, below_one=True)
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: p_12=1.0 must be a probability, in [0, 1)
    """
    number = isinstance(value, numbers.Real) and 0 <= value <= 1
    interval = "[0, 1)" if below_one else "[0, 1]"
    require(
        number and not (below_one and value == 1),
        f"{name}={value!r} must be a probability, in {interval}",
    )


def require_choice(name: str, value: str, choices: Iterable[str]) -> None:
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
    if value in choices:
        return
    near = nearest(str(value), choices)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(choices)}"
    raise InputError(f"unknown {name} {value!r}: {hint}")


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
