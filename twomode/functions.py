"""Functions of the user's in what is saved: by name, with a hash of their source."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
from collections.abc import Callable
from types import FunctionType
from typing import Any

from twomode._typing import JSON
from twomode.errors import InputError, require, shown

__all__ = ["identity", "imported"]


def identity(name: str, function: Callable[..., Any]) -> JSON:
    """Where a function is found, and a hash of its source and of what it uses of its own module.

    Parameters
    ----------
    name : str
        Of the parameter that it was given as, for a message.
    function : callable

    Raises
    ------
    InputError
        If it cannot be told from another one.

    Examples
    --------
    >>> import twomode as tm
    >>> from twomode.functions import identity
    >>> identity("measure", tm.sweeps.observe)["name"]
    'twomode.studies.cell.observe'
    """
    try:
        place = f"{function.__module__}.{function.__qualname__}"
        seen = _texts(function, {})
    except (AttributeError, TypeError, OSError) as error:
        raise InputError(
            f"{name}={shown(function)} cannot be told from another one by its source ({error}):"
            " give a function that is defined in a file, and holds plain values at most"
        ) from error
    digest = hashlib.sha256(json.dumps(seen, sort_keys=True).encode())
    return {"name": place, "sha256": digest.hexdigest()[:16]}


def _texts(function: Callable[..., Any], seen: dict[str, Any]) -> dict[str, Any]:
    """Sources of a function and of those of its module that it uses; its other values, if plain."""
    function = inspect.unwrap(function)
    if function.__qualname__ in seen:
        return seen
    used = inspect.getclosurevars(function)
    values = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    values += [x for x in used.nonlocals.values() if not isinstance(x, FunctionType)]
    json.dumps(values)  # TypeError for what has no text
    constants = {name: x for name, x in used.globals.items() if isinstance(x, (int, float, str))}
    seen[function.__qualname__] = [inspect.getsource(function), values, constants]
    for other in [*used.nonlocals.values(), *used.globals.values()]:
        if isinstance(other, FunctionType) and other.__module__ == function.__module__:
            _texts(other, seen)
    return seen


def imported(name: str, noted: JSON) -> Callable[..., Any]:
    """The function of an `identity`, if it is the same today.

    Raises
    ------
    InputError
        If it cannot be found, or has been edited.
    """
    place = str(noted["name"])
    module, _, attribute = place.rpartition(".")
    try:
        function: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"its {name} {place} cannot be imported here ({error})") from error
    require(identity(name, function) == noted, f"its {name} {place} has been edited since")
    return function
