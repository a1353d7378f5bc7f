"""Values are checked and converted once, where they enter, by what a signature says of them.

A parameter's annotation says what it may be, a note what bounds it: ``steps: Annotated[int,
"[0, inf)"]`` is a whole number of at least 0, ``x: Annotated[FloatArray, "(n, d)", "finite"]`` an
array of finite numbers with as many rows as any other ``n`` of the call.  `checked` holds the
arguments of a call to it, `check_fields` the fields of a dataclass.  What comes in is Python's own:
0-d arrays and NumPy's numbers become int, float and bool, so that whatever is accepted can be
saved, too.
"""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import functools
import inspect
import numbers
import operator
import sys
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    NamedTuple,
    ParamSpec,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import numpy as np
import numpy.typing as npt

from twomode._typing import BoolArray, FloatArray, IntArray
from twomode.errors import InputError, plain, shown

__all__ = ["changed", "check_fields", "checked", "take"]

P = ParamSpec("P")
T = TypeVar("T")

#: Lengths of the axes that the shapes of a call name.
Sizes: TypeAlias = dict[str, int]


class _Unfit(Exception):
    """A value is not of the kind that is asked for."""


class _Kind(NamedTuple):
    """What a value may be."""

    must: str  #: in words, after "must"
    take: Callable[[Any, Sizes], Any]  #: turns a value into a plain one, or raises `_Unfit`


_ANYTHING = _Kind("be anything", lambda value, sizes: value)


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Check and convert the arguments of each call by the function's annotations.

    Whatever has no type at run time (a name that is imported for type checkers alone, keywords
    that go through) is left to the function.

    Examples
    --------
    >>> from typing import Annotated
    >>> import numpy as np
    >>> from twomode.checks import checked
    >>> @checked
    ... def half(x: Annotated[float, "[0, 1]"]) -> float:
    ...     return x / 2
    >>> half(np.array(1))
    0.5
    >>> half("1")
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: x='1' must lie in [0, 1]
    """
    parameters = inspect.signature(function).parameters.values()
    positional = [
        p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]

    @functools.cache
    def kinds() -> dict[str, _Kind]:
        namespace = vars(sys.modules[function.__module__])
        hints = {
            p.name: p.annotation
            for p in parameters
            if p.annotation is not p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        }
        return _kinds(hints, namespace)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> T:
        # What is missing, unknown or there twice is so in the call below, too: Python says that.
        given, sizes = {**dict(zip(positional, args, strict=False)), **kwargs}, Sizes()
        for name, kind in kinds().items():
            if name in given:
                given[name] = _settle(name, given[name], kind, sizes)
        first = [given[name] for name in positional[: len(args)]]
        return function(*first, *args[len(first) :], **{name: given[name] for name in kwargs})

    return call


def check_fields(instance: Any) -> None:
    """Check and convert the fields of a dataclass, frozen or not, by their annotations.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> from twomode.checks import check_fields
    >>> @dataclass(frozen=True)
    ... class Switch:
    ...     on: bool
    ...     def __post_init__(self):
    ...         check_fields(self)
    >>> Switch(np.bool_(True))
    Switch(on=True)
    """
    sizes = Sizes()
    for name, kind in _field_kinds(instance.__class__).items():
        value = _settle(name, getattr(instance, name), kind, sizes)
        object.__setattr__(instance, name, value)


def changed(instance: T, **changes: Any) -> T:
    """A copy of a dataclass with other values in some fields, which nothing checks.

    For a loop that makes one from another, whose fields were checked, thousands of times.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from twomode.checks import changed
    >>> @dataclass(frozen=True)
    ... class Switch:
    ...     on: bool
    >>> changed(Switch(True), on=False)
    Switch(on=False)
    """
    copy = object.__new__(type(instance))
    for field in dataclasses.fields(instance):  # type: ignore[arg-type]
        value = changes.get(field.name, getattr(instance, field.name))
        object.__setattr__(copy, field.name, value)
    return copy


def take(name: str, value: object, hint: Any) -> Any:
    """One value, checked and converted.

    Examples
    --------
    >>> from typing import Annotated
    >>> from twomode.checks import take
    >>> take("seeds", range(3), list[int])
    [0, 1, 2]
    >>> take("eta_D", 1 + 2j, Annotated[float, "[0, inf)"])
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: eta_D=(1+2j) must be a finite number and at least 0
    """
    return _settle(name, value, _kind(hint), Sizes())


def _settle(name: str, value: object, kind: _Kind, sizes: Sizes) -> Any:
    try:
        return kind.take(value, sizes)
    except _Unfit:
        raise InputError(f"{name}={shown(value)} must {kind.must}") from None


@functools.cache
def _field_kinds(cls: type) -> dict[str, _Kind]:
    hints = {field.name: field.type for field in dataclasses.fields(cls)}
    return _kinds(hints, vars(sys.modules[cls.__module__]))


def _kinds(hints: Mapping[str, Any], namespace: dict[str, Any]) -> dict[str, _Kind]:
    kinds = {}
    for name, hint in hints.items():
        try:
            hint = eval(hint, namespace) if isinstance(hint, str) else hint
        except NameError:  # imported for type checkers alone
            continue
        kinds[name] = _kind(hint)
    return kinds


def _kind(hint: Any) -> _Kind:
    """What an annotation asks for."""
    hint, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    origin, args = get_origin(hint) or hint, get_args(hint)
    if hint is Any:
        return _Kind("be an array of numbers", _any_array) if notes == ["array"] else _ANYTHING
    for array, (of, kinds, dtype) in _ARRAYS:
        if hint is array or hint == array:
            return _array(of, kinds, dtype, notes)
    if hint in (int, float):
        return _number(hint, *notes)
    if hint is bool:
        return _Kind("be True or False", _flag)
    if hint is str:
        return _Kind("be text", _text)
    if origin in (Union, UnionType):
        return _one_of(args)
    if origin is tuple and args[-1:] != (...,):
        return _row([_kind(each) for each in args])
    if origin in (list, tuple, abc.Sequence, abc.Iterable, abc.Collection):
        return _list(tuple if origin is tuple else list, _kind(args[0] if args else Any))
    if origin in (dict, abc.Mapping):
        return _mapping(_kind(args[1] if args else Any))
    if origin is abc.Callable:
        return _instance(abc.Callable, "be callable")
    if isinstance(origin, type):
        an = "an" if origin.__name__[0] in "AEIOU" else "a"
        like = f", like {origin.EXAMPLE}" if hasattr(origin, "EXAMPLE") else ""
        return _instance(origin, f"be {an} {origin.__name__}{like}")
    return _ANYTHING


def _number(of: type[int] | type[float], interval: str = "(-inf, inf)") -> _Kind:
    """A number in an interval, in which it is finite unless that ends with "inf]"."""
    low, high = map(float, interval[1:-1].split(","))
    above = operator.ge if interval[0] == "[" else operator.gt
    below = operator.le if interval[-1] == "]" else operator.lt
    abstract: Any = numbers.Integral if of is int else numbers.Real

    def number(value: Any, sizes: Sizes) -> int | float:
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, abstract):
            raise _Unfit
        try:
            found = of(value)
        except OverflowError:  # 10^400
            raise _Unfit from None
        if not (above(found, low) and below(found, high)):
            raise _Unfit
        return found

    what = "a whole number" if of is int else "a finite number"
    unbounded = high == np.inf and interval[-1] == ")"
    if unbounded and interval[0] == "[":
        join = "of" if of is int else "and"
        return _Kind(f"be {what} {join} at least {low:g}", number)
    if unbounded and low == -np.inf:
        return _Kind(f"be {what}", number)
    if low == 0 and high == np.inf:
        return _Kind("be positive and finite" if unbounded else "be positive", number)
    if low == 0 and interval[0] == "(" and high > 1e6:
        return _Kind(f"be positive and at most {high:g}", number)
    if of is int:
        return _Kind(f"be {what} of at least {low:g} and at most {high:g}", number)
    return _Kind(f"lie in {interval}", number)


def _flag(value: object, sizes: Sizes) -> bool:
    value = plain(value)
    if not isinstance(value, bool):
        raise _Unfit
    return value


def _text(value: object, sizes: Sizes) -> str:
    if not isinstance(value, str):
        raise _Unfit
    return str(value)


def _any_array(value: object, sizes: Sizes) -> Any:
    """An array of whichever library, or what NumPy makes one of."""
    numpys = isinstance(value, (np.ndarray, np.generic)) and value.__array_namespace__() is np
    foreign = hasattr(value, "device") and not numpys
    return value if foreign else _array("", "biuf", None, []).take(value, sizes)


#: Annotations of arrays: of what in words, which kinds of NumPy's, as which of them.
_ARRAYS: tuple[tuple[Any, tuple[str, str, Any]], ...] = (
    (FloatArray, ("numbers", "biuf", np.float64)),
    (IntArray, ("whole numbers", "iu", np.int64)),
    (BoolArray, ("truth values", "b", np.bool_)),
    (np.ndarray, ("numbers", "biuf", None)),
    (npt.ArrayLike, ("numbers", "biuf", None)),
)


def _array(of: str, kinds: str, dtype: Any, notes: list[str]) -> _Kind:
    """An array, of a shape like "(..., n, 2)" if there is such a note, and not empty then."""
    finite = "finite" in notes
    shape = next((note for note in notes if note[0] == "("), "(...)")
    axes = [axis.strip() for axis in shape[1:-1].split(",") if axis.strip()]
    free, named = axes[:1] == ["..."], [axis for axis in axes if axis != "..."]

    def array(value: object, sizes: Sizes) -> np.ndarray:
        try:
            found = np.asarray(value)
        except Exception:  # whatever an array protocol of someone else raises
            raise _Unfit from None
        if found.dtype.kind not in kinds:
            raise _Unfit
        lengths = found.shape[len(found.shape) - len(named) :] if named else ()
        if len(found.shape) < len(named) or not (free or len(found.shape) == len(named)):
            raise _Unfit
        for axis, length in zip(named, lengths, strict=True):
            wanted = int(axis) if axis.isdigit() else sizes.setdefault(axis, length)
            if length != wanted or length == 0:
                raise _Unfit
        if finite and not np.isfinite(found).all():
            raise _Unfit
        return found if dtype is None else found.astype(dtype, copy=False)

    words = f"be an array of {'finite ' if finite else ''}{of}"
    return _Kind(words if shape == "(...)" else f"{words} of shape {shape}", array)


def _one_of(hints: tuple[Any, ...]) -> _Kind:
    kinds = [_kind(hint) for hint in hints if hint is not NoneType]

    def one_of(value: object, sizes: Sizes) -> Any:
        if value is None and NoneType in hints:
            return None
        for kind in kinds:
            try:
                return kind.take(value, sizes)
            except _Unfit:
                continue
        raise _Unfit

    return _Kind(" or ".join(dict.fromkeys(kind.must for kind in kinds)), one_of)


def _row(kinds: list[_Kind]) -> _Kind:
    """A tuple of a fixed length."""
    every = _list(tuple, _ANYTHING)

    def row(value: object, sizes: Sizes) -> tuple[Any, ...]:
        values = every.take(value, sizes)
        if len(values) != len(kinds):
            raise _Unfit
        return tuple(kind.take(x, sizes) for kind, x in zip(kinds, values, strict=True))

    words = dict.fromkeys(kind.must for kind in kinds)
    return _Kind(f"be {len(kinds)} values, each to {' or '.join(words)}", row)


def _list(of: type[list] | type[tuple], each: _Kind) -> _Kind:
    def listed(value: object, sizes: Sizes) -> Any:
        if not isinstance(value, abc.Iterable) or isinstance(value, (str, bytes)):
            raise _Unfit
        try:
            values = list(value)
        except TypeError:  # an array of no axes
            raise _Unfit from None
        return of(each.take(x, sizes) for x in values)

    words = "" if each.must == _ANYTHING.must else f", of which each must {each.must}"
    return _Kind(f"be a list{words}", listed)


def _mapping(each: _Kind) -> _Kind:
    def mapping(value: object, sizes: Sizes) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _Unfit
        return {_text(name, sizes): each.take(x, sizes) for name, x in value.items()}

    words = "" if each.must == _ANYTHING.must else f", of which each value must {each.must}"
    return _Kind(f"be a mapping of names{words}", mapping)


def _instance(cls: Any, must: str) -> _Kind:
    def instance(value: object, sizes: Sizes) -> Any:
        if not isinstance(value, cls):
            raise _Unfit
        return value

    return _Kind(must, instance)
