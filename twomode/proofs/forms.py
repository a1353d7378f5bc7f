"""Arrays of affine forms: doubles that know what they owe to one another, so that errors cancel.

A form stands for the numbers

    centre + sum_k coefs[k] e_k + e,  norm(e_1, e_2, ...) <= 1,  abs(e) <= radius,

where the symbols e_k are common to all forms.  A ball knows how far a number may be off, a form
together with which others, too.  Operations are linear in the symbols; what that neglects, second
order and rounding, goes into the radius (de Figueiredo and Stolfi, Affine arithmetic: concepts and
applications, 2004).  `in_frame` turns radii into symbols again: as the symbols lie in a ball, all
errors lie in an ellipsoid, and a linear map of an ellipsoid is an ellipsoid, where boxes wrap
(Neumaier, The wrapping effect, ellipsoid arithmetic, stability and confidence regions, 1993).

All is done in doubles, rounded to nearest: errors are bounded by what IEEE 754 says of them.
`Forms` have the functions of the array API that the game and the `array` engine call, as `Balls`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from flint import arb

from twomode._typing import FloatArray
from twomode.proofs.balls import Ball, Balls, Truths, Undecided, bounds, truths

__all__ = ["Forms", "forms_of", "in_frame"]

#: A double operation is off by at most this share of its result.
_UNIT = 2.0**-53
#: Times a sum of up to 2^16 products of numbers that are not negative: an upper bound of it.
_UP = 1 + 2.0**-36
#: More than an operation loses where products are below the least normal double.
_TINY, _ROOT_OF_TINY = 2.0**-1000, 2.0**-500
_WIDE = "the enclosures have grown beyond all bounds"


class Forms:
    """An array of affine forms.

    Parameters
    ----------
    centre, radius : ndarray
        Of the array's shape.
    coefs : ndarray, optional
        Of the symbols, along an axis before those of the array; None where no symbol counts.
    """

    __array_ufunc__ = None  # NumPy's arrays leave operations with forms to them
    __hash__ = None  # type: ignore[assignment]
    device, dtype = "cpu", np.dtype(object)

    def __init__(
        self, centre: npt.ArrayLike, radius: npt.ArrayLike, coefs: FloatArray | None = None
    ) -> None:
        self.centre, self.radius = np.asarray(centre, dtype=float), np.asarray(radius, dtype=float)
        self.coefs = None if coefs is None or len(coefs) == 0 else coefs

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.centre.shape

    @property
    def ndim(self) -> int:
        """Its number of axes."""
        return self.centre.ndim

    @property
    def mT(self) -> Forms:
        """With its last two axes changed."""
        return self._each(lambda x: x.mT)

    @functools.cached_property
    def spread(self) -> FloatArray:
        """At least what the symbols together can add."""
        if self.coefs is None:
            return np.zeros(self.shape)
        squares = np.einsum("k...,k...->...", self.coefs, self.coefs)
        some = squares > 0 if np.all(squares) else self.coefs.any(axis=0)
        return np.asarray(np.sqrt(squares) * _UP + _ROOT_OF_TINY * some)

    @functools.cached_property
    def reach(self) -> FloatArray:
        """At least how far a number may be from the centre."""
        return np.asarray((self.spread + self.radius) * _UP)

    @property
    def high(self) -> FloatArray:
        """What no number is above."""
        top = np.nextafter(self.centre + self.reach, np.inf)
        return np.where(self.reach == 0, self.centre, top)

    @property
    def low(self) -> FloatArray:
        """What no number is below."""
        return -(-self).high

    def balls(self) -> Balls:
        """Alone, without what they owe to the start."""
        found = np.frompyfunc(arb, 2, 1)(self.centre, self.reach)
        return np.asarray(found, dtype=object).view(Balls)

    def reshape(self, shape: int | tuple[int, ...]) -> Forms:
        """The same numbers in another shape."""
        centre = self.centre.reshape(shape)
        coefs = None if self.coefs is None else self.coefs.reshape(-1, *centre.shape)
        return Forms(centre, self.radius.reshape(shape), coefs)

    def _each(self, f: Callable[[Any], Any]) -> Forms:
        """With a function that only moves numbers, along axes counted from the last."""
        return Forms(f(self.centre), f(self.radius), None if self.coefs is None else f(self.coefs))

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return _Library

    def __getitem__(self, key: Any) -> Forms:
        key = key if isinstance(key, tuple) else (key,)
        coefs = None if self.coefs is None else self.coefs[(slice(None), *key)]
        return Forms(self.centre[key], self.radius[key], coefs)

    def __iter__(self) -> Iterator[Forms]:
        return (self[n] for n in range(len(self.centre)))

    def __neg__(self) -> Forms:
        coefs = None if self.coefs is None else -self.coefs
        return Forms(-self.centre, self.radius, coefs)

    def __add__(self, other: Any) -> Forms:
        x, y = _broadcast(self, forms_of(other))
        centre = x.centre + y.centre
        radius = x.radius + y.radius + _UNIT * abs(centre)
        if x.coefs is None or y.coefs is None:
            return Forms(centre, radius * _UP, y.coefs if x.coefs is None else x.coefs)
        radius = radius + _UNIT * (x.spread + y.spread)
        return Forms(centre, radius * _UP, x.coefs + y.coefs)

    def __mul__(self, other: Any) -> Forms:
        return _product(np.multiply, 1, *_alike(self, forms_of(other)))

    def __sub__(self, other: Any) -> Forms:
        return self + -forms_of(other)

    def __rsub__(self, other: Any) -> Forms:
        return forms_of(other) + -self

    def __truediv__(self, other: Any) -> Forms:
        return self * _reciprocal(forms_of(other))

    def __rtruediv__(self, other: Any) -> Forms:
        return forms_of(other) * _reciprocal(self)

    __radd__, __rmul__ = __add__, __mul__

    def __lt__(self, other: Any) -> Truths:
        return _compared(self, other, lambda low, high: (high < 0, low >= 0))

    def __le__(self, other: Any) -> Truths:
        return _compared(self, other, lambda low, high: (high <= 0, low > 0))

    def __gt__(self, other: Any) -> Truths:
        return _compared(self, other, lambda low, high: (low > 0, high <= 0))

    def __ge__(self, other: Any) -> Truths:
        return _compared(self, other, lambda low, high: (low >= 0, high < 0))

    def __eq__(self, other: Any) -> Truths:  # type: ignore[override]
        def equal(low: FloatArray, high: FloatArray) -> tuple[Any, Any]:
            return (low == 0) & (high == 0), (low > 0) | (high < 0)

        return _compared(self, other, equal)


def forms_of(values: Any) -> Forms:
    """Forms without symbols: of floats, which are exact, or of balls."""
    if isinstance(values, Forms):
        return values
    array = np.asarray(values)
    if array.dtype != object:
        return Forms(array, np.zeros(array.shape))
    split = np.frompyfunc(_centre_and_radius, 1, 2)(array)
    return Forms(*(np.asarray(part, dtype=float) for part in split))


def in_frame(arrays: list[Forms]) -> list[Forms]:
    """The same numbers and more, their radii turned into symbols.

    Parameters
    ----------
    arrays : list of Forms
        All forms that will ever meet again.

    Returns
    -------
    list of Forms
        With as many symbols as there are numbers that are not exact, and no radii.

    Raises
    ------
    Undecided
        If they have grown beyond all bounds.

    Notes
    -----
    With coefficients M and radii r the errors are M e + diag(r) e', and for any share p in (0, 1)

        M e + diag(r) e' = [M / sqrt(1 - p), sqrt(n) diag(r) / sqrt(p)] y,  norm(y) <= 1:

    an ellipsoid that is L y just as well if L L^T is that matrix times its transpose, or larger.
    p is the share that makes the sum of its squared axes least; L comes of a Cholesky factorization
    of doubles, after so much was added to the diagonal that its rounding errors are covered.
    """
    flat = [x.reshape(-1) for x in arrays]
    centre, radius, spread = (
        np.concatenate([getattr(x, part) for x in flat]) for part in ("centre", "radius", "spread")
    )
    coefs = np.concatenate(_coefs(flat), axis=1)
    if not np.isfinite(centre + radius + spread).all():
        raise Undecided(_WIDE)
    inexact = np.flatnonzero((radius > 0) | (spread > 0))
    framed = np.zeros((len(inexact), len(centre)))
    if len(inexact):
        framed[:, inexact] = _axes(coefs[:, inexact].T, radius[inexact], spread[inexact]).T
    ends = np.cumsum([len(x.centre) for x in flat])[:-1]
    parts = (np.split(part, ends, axis=-1) for part in (centre, np.zeros(len(centre)), framed))
    return [Forms(*part).reshape(x.shape) for x, *part in zip(arrays, *parts, strict=True)]


def _axes(M: FloatArray, r: FloatArray, lengths: FloatArray) -> FloatArray:
    """L of `in_frame`, given the lengths of M's rows besides."""
    n, symbols = M.shape
    # Rows are divided by about their length, a power of two: nothing is rounded.
    scale = 2.0 ** np.ceil(np.log2(lengths + np.sqrt(n) * r))
    A, B = M / scale[:, None], np.sqrt(n) * _UP * r / scale
    a, b = (np.sqrt((x * x).sum()) for x in (A, B))
    p = b / (a + b)
    S = A @ A.T / (1 - p) if a else np.zeros((n, n))
    S += np.diag(B * B / p * _UP if b else B)
    slack = 4 * (n + symbols + 8) * _UNIT * np.trace(S)
    S += slack * np.eye(n)
    try:
        L = np.linalg.cholesky(S)
    except np.linalg.LinAlgError:
        raise Undecided(_WIDE) from None
    # Sums of products of rows are off by less than n + symbols + 8 units of the trace.
    if not np.linalg.norm(S - L @ L.T) * _UP <= slack / 2:
        raise Undecided(_WIDE)
    return np.asarray(L * scale[:, None])


# What operations share


def _alike(x: Forms, y: Forms) -> tuple[Forms, Forms]:
    """With as many axes each."""
    ndim = max(x.ndim, y.ndim)
    return _of_axes(x, ndim), _of_axes(y, ndim)


def _of_axes(x: Forms, ndim: int) -> Forms:
    return x if x.ndim == ndim else x.reshape((1,) * (ndim - x.ndim) + x.shape)


def _broadcast(x: Forms, y: Forms) -> tuple[Forms, Forms]:
    """Of one shape."""
    x, y = _alike(x, y)
    shape = np.broadcast_shapes(x.shape, y.shape)
    if x.shape == y.shape:
        return x, y
    return tuple(  # type: ignore[return-value]
        z._each(lambda part: np.broadcast_to(part, (*part.shape[: part.ndim - len(shape)], *shape)))
        for z in (x, y)
    )


def _product(multiply: Callable[..., Any], terms: int, x: Forms, y: Forms) -> Forms:
    """A product of two arrays with sums of so many terms, linear in each."""
    size_x, size_y, error = abs(x.centre), abs(y.centre), (terms + 2) * _UNIT
    some_x, some_y = ((abs(z.centre) + z.reach > 0).astype(float) for z in (x, y))
    radius = (
        multiply(x.radius + error * (size_x + x.spread), size_y)
        + multiply(size_x, y.radius + error * y.spread)
        + multiply(x.reach, y.reach)
        + _TINY * multiply(some_x, some_y)
    )
    parts = [multiply(x.coefs, y.centre)] if x.coefs is not None else []
    parts += [multiply(x.centre, y.coefs)] if y.coefs is not None else []
    return Forms(multiply(x.centre, y.centre), radius * _UP, sum(parts) if parts else None)


def _smooth(
    value: Callable[[Ball], Ball], slope: Callable[[Ball], Ball], curve: Callable[[Ball], Ball]
) -> Callable[[Forms], Forms]:
    """A function of balls as one of forms, given its first two derivatives.

    f(c + h) = f(c) + f'(c) h + f''(...) h^2 / 2.  What is written as powers of one ball has a tight
    upper bound, however wide that is.
    """

    def parts(centre: float, reach: float) -> tuple[float, ...]:
        here = arb(centre)
        if reach == 0:
            return *_centre_and_radius(value(here)), 0.0, 0.0, 0.0
        bent = bounds(abs(curve(arb(centre, reach)))).high
        return *_centre_and_radius(value(here)), *_centre_and_radius(slope(here)), bent

    loop = np.frompyfunc(parts, 2, 5)

    def applied(x: Forms) -> Forms:
        found = loop(x.centre, x.reach)
        centre, off, along, along_off, bent = (np.asarray(part, dtype=float) for part in found)
        size = abs(along)
        radius = (
            off
            + size * x.radius
            + (along_off + _UNIT * size) * x.reach
            + bent / 2 * x.reach**2
            + _TINY * (x.reach > 0)
        ) * _UP
        return Forms(centre, radius, None if x.coefs is None else along * x.coefs)

    return applied


def _centre_and_radius(x: Any) -> tuple[float, float]:
    x = arb(x)
    centre = float(x.mid())
    return centre, bounds(abs(x - arb(centre))).high


_reciprocal = _smooth(lambda x: 1 / x, lambda x: -1 / (x * x), lambda x: 2 * (1 / x) ** 3)


def _compared(x: Forms, other: Any, answers: Callable[..., tuple[Any, Any]]) -> Truths:
    """What the difference says; of a float, without any."""
    if isinstance(other, (int, float)):
        return truths(*answers(_sign_below(x.low, other), _sign_below(x.high, other)))
    difference = x - other
    return truths(*answers(difference.low, difference.high))


def _sign_below(x: FloatArray, y: float) -> FloatArray:
    """The sign of x - y."""
    return np.where(x == y, 0.0, np.where(x < y, -1.0, np.where(x > y, 1.0, np.nan)))


def _where(condition: Any, x: Forms, y: Forms) -> Forms:
    """x where it is true, else y."""
    if np.all(condition):
        return x
    if not np.any(condition):
        return y
    return Forms(
        np.where(condition, x.centre, y.centre),
        np.where(condition, x.radius, y.radius),
        np.where(condition, *_coefs([x, y])),
    )


def _coefs(forms: list[Forms]) -> list[FloatArray]:
    """Of each, zeros where it has none."""
    symbols = max((len(x.coefs) for x in forms if x.coefs is not None), default=0)
    return [np.zeros((symbols, *x.shape)) if x.coefs is None else x.coefs for x in forms]


def _widened(x: Forms, by: FloatArray) -> Forms:
    return Forms(x.centre, (x.radius + by) * _UP, x.coefs)


class _Library:
    """The functions of the array API that take forms, as far as they are called."""

    float64 = np.float64  # which forms are not
    exp = staticmethod(_smooth(arb.exp, arb.exp, arb.exp))
    log1p = staticmethod(_smooth(arb.log1p, lambda x: 1 / (1 + x), lambda x: -((1 / (1 + x)) ** 2)))
    _root = staticmethod(
        _smooth(arb.sqrt, lambda x: x.rsqrt() / 2, lambda x: -(x.rsqrt() ** 3) / 4)
    )

    @staticmethod
    def sqrt(x: Forms) -> Forms:
        """Of numbers none of which is negative, as sums of squares, whatever a form may say."""
        far_from_0 = (x.low > 0) | (x.reach == 0)
        half = np.sqrt(np.maximum(x.high, 0)) / 2 * _UP
        return _where(far_from_0, _Library._root(x), Forms(half, half))

    @staticmethod
    def matmul(x: Any, y: Any) -> Forms:
        x, y = _alike(forms_of(x), forms_of(y))
        return _product(np.matmul, x.shape[-1], x, y)

    @staticmethod
    def sum(x: Forms, axis: Any, keepdims: bool = False) -> Forms:
        def added(part: FloatArray) -> FloatArray:
            return np.asarray(part.sum(axis=axis, keepdims=keepdims))

        terms = x.centre.size
        lost = (terms + 2) * _UNIT * added(abs(x.centre) + x.spread)
        return _widened(x._each(added), lost)

    @staticmethod
    def maximum(x: Any, y: Any) -> Forms:
        """y + max(0, x - y); where nobody knows which is larger, enclosed about a line."""
        x, y = _broadcast(forms_of(x), forms_of(y))
        difference = x - y
        low, high = difference.low, difference.high
        larger, smaller = low >= 0, high <= 0
        chosen = _where(larger, x, y)
        if np.all(larger | smaller):
            return chosen
        with np.errstate(all="ignore"):  # where it is not needed
            slope = high / (high - low)
            half = np.maximum(-slope * low, (1 - slope) * high) / 2 * _UP
            bent = _widened(y + slope * difference + half, half)
        return _where(larger | smaller, chosen, bent)

    @staticmethod
    def minimum(x: Any, y: Any) -> Forms:
        return -_Library.maximum(-forms_of(x), -forms_of(y))

    @staticmethod
    def abs(x: Forms) -> Forms:
        return _Library.maximum(x, -x)

    @staticmethod
    def clip(x: Forms, low: float, high: float) -> Forms:
        above = _Library.maximum(x, low) if np.isfinite(low) else x
        return _Library.minimum(above, high) if np.isfinite(high) else above

    @staticmethod
    def where(condition: Truths, x: Any, y: Any) -> Forms:
        """The hull of both where nobody knows: half their sum, and half their difference off."""
        x, y = _broadcast(forms_of(x), forms_of(y))
        true, unknown = (
            np.reshape([answer is what for answer in condition.flat], condition.shape)
            for what in (True, None)
        )
        known = _where(true, x, y)
        if not unknown.any():
            return known
        half = (x - y) * 0.5
        far = np.maximum(abs(half.low), abs(half.high))
        return _where(unknown, _widened(y + half, far), known)

    @staticmethod
    def sign(x: Forms) -> Forms:
        one = _Library.ones_like(x)
        return _Library.where(x == 0, one * 0.0, _Library.where(x > 0, one, -one))

    @staticmethod
    def max(x: Forms, axis: tuple[int, ...]) -> Forms:
        low, high = x.low.max(axis=axis), x.high.max(axis=axis)
        return Forms(centre := (low + high) / 2, np.maximum(high - centre, centre - low) * _UP)

    @staticmethod
    def stack(arrays: list[Any], axis: int) -> Forms:
        forms = [forms_of(x) for x in arrays]
        parts = [x.centre for x in forms], [x.radius for x in forms], _coefs(forms)
        return Forms(*(np.stack(part, axis) for part in parts))

    @staticmethod
    def reshape(x: Forms, shape: tuple[int, ...]) -> Forms:
        return x.reshape(shape)

    @staticmethod
    def any(x: Truths) -> bool:
        return any(truth is True for truth in x.flat)

    @staticmethod
    def isfinite(x: Forms) -> Any:
        return np.isfinite(x.reach + abs(x.centre))

    @staticmethod
    def zeros_like(x: Forms) -> Forms:
        return _Library.full_like(x, 0.0)

    @staticmethod
    def ones_like(x: Forms) -> Forms:
        return _Library.full_like(x, 1.0)

    @staticmethod
    def full_like(x: Forms, value: Any) -> Forms:
        return forms_of(value)._each(lambda part: np.full(x.shape, part))

    @staticmethod
    def asarray(values: Any, **kind: Any) -> Forms:
        return forms_of(values)
