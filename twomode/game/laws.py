"""Finite laws on {0,1}^n: of the latent z behind the generator and of the data's coefficients s.

A data point is X = s_1 u_1 + s_2 u_2 and a generated one is G(z) = z_1 v_1 + ... + z_m v_m, so
both are a law over few binary vectors.  That is what makes the population gradient an exact,
finite sum, and a minibatch of any size a reweighting of the same sum.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from twomode._typing import JSON, Count, FloatArray, Probability
from twomode.checks import check_fields, checked, take
from twomode.errors import InputError, require, require_choice, shown

__all__ = [
    "Bernoulli",
    "CorrelatedCoefficients",
    "CorrelatedModes",
    "ExplicitLatents",
    "Law",
    "SparsePairs",
    "binary_vectors",
    "law_from_dict",
]


class Law:
    """A probability law on finitely many points of {0,1}^n.

    Examples
    --------
    >>> import twomode as tm
    >>> support, probabilities = tm.SparsePairs(0.5).points(2)
    >>> support.tolist(), probabilities.tolist()
    ([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.25, 0.25, 0.5])
    """

    EXAMPLE: ClassVar[str] = "SparsePairs(0.01)"
    #: name under which the law is saved; set by each subclass
    kind: ClassVar[str]

    def points(self, n: int) -> tuple[FloatArray, FloatArray]:
        """Support and probabilities.

        Parameters
        ----------
        n : int
            Length of the binary vectors (m_G for a latent law, 2 for a data law).

        Returns
        -------
        support : ndarray, shape (S, n)
            Entries 0.0 and 1.0, one distinct point a row.
        probabilities : ndarray, shape (S,)
            Positive, summing to 1.

        Raises
        ------
        InputError
            If the law does not exist on {0,1}^n.

        Examples
        --------
        >>> import twomode as tm
        >>> support, probabilities = tm.SparsePairs(0.0).points(4)  # no pairs
        >>> len(support), probabilities.tolist()
        (4, [0.25, 0.25, 0.25, 0.25])
        """
        raise NotImplementedError

    def moments(self, n: int) -> FloatArray:
        """Second moments E[z_i z_j] = Pr[z_i = z_j = 1], shape (n, n).

        The diagonal is Pr[z_i = 1].

        Parameters
        ----------
        n : int
            As for `points`.

        Examples
        --------
        >>> import twomode as tm
        >>> tm.SparsePairs(0.5).moments(2).tolist()
        [[0.75, 0.5], [0.5, 0.75]]
        """
        support, probabilities = self.points(n)
        return support.T @ (probabilities[:, None] * support)

    def to_dict(self) -> JSON:
        """Plain-JSON form; `law_from_dict` is its inverse.

        Examples
        --------
        >>> import twomode as tm
        >>> tm.SparsePairs(0.01).to_dict()
        {'kind': 'sparse-pairs', 'q': 0.01}
        """
        return {"kind": self.kind} | dict(vars(self))


@dataclass(frozen=True)
class SparsePairs(Law):
    """One coordinate on, or, with probability q, one pair of coordinates; uniform within each.

    A choice for the talk's "Pr[z_i = 1] = Theta(1/m_G), Pr[z_i = z_j = 1] = 1/(m_G^2 polylog(d))":
    here Pr[z_i = z_j = 1] = 2q / (m_G (m_G - 1)).

    Parameters
    ----------
    q : float
        Probability of a pair, in [0, 1].

    Raises
    ------
    InputError
        If q is no probability.

    Examples
    --------
    The theorems ask for m_G Pr[z_i = 1] of order 1, and m_G^2 Pr[z_i = z_j = 1] much smaller:

    >>> import twomode as tm
    >>> m_G = 8
    >>> moments = tm.SparsePairs(0.01).moments(m_G)
    >>> round(m_G * moments[0, 0].item(), 3), round(m_G**2 * moments[0, 1].item(), 3)
    (1.01, 0.023)
    """

    q: Probability
    kind: ClassVar[str] = "sparse-pairs"

    def __post_init__(self) -> None:
        check_fields(self)

    def points(self, n: int) -> tuple[FloatArray, FloatArray]:
        require(
            n >= 2 or self.q == 0,
            f"m_G={n} has no pairs of coordinates: use m_G >= 2, or q=0 instead of q={self.q!r}",
        )
        _require_room(n, n * (n + 1) // 2)
        singles = np.eye(n)
        first, second = np.triu_indices(n, 1)
        pairs = singles[first] + singles[second]
        probabilities = [np.full(n, (1 - self.q) / n)]
        probabilities += [np.full(len(pairs), self.q / len(pairs))] if len(pairs) else []
        return _drop_impossible(np.concatenate([singles, pairs]), np.concatenate(probabilities))


@dataclass(frozen=True)
class Bernoulli(Law):
    """Independent coordinates, each 1 with probability p.  All 2^n points, so n <= 16.

    Parameters
    ----------
    p : float
        Pr[z_i = 1], in [0, 1].

    Raises
    ------
    InputError
        If p is no probability.

    Examples
    --------
    >>> import twomode as tm
    >>> support, probabilities = tm.Bernoulli(0.5).points(3)
    >>> len(support), probabilities[0].item()
    (8, 0.125)
    """

    p: Probability
    kind: ClassVar[str] = "bernoulli"
    LARGEST: ClassVar[int] = 16

    def __post_init__(self) -> None:
        check_fields(self)

    def points(self, n: int) -> tuple[FloatArray, FloatArray]:
        require(
            n <= self.LARGEST,
            f"m_G={n} is too large for Bernoulli latents, whose expectations sum over all 2^m_G"
            f" latents: use m_G <= {self.LARGEST}, or SparsePairs",
        )
        support = binary_vectors(n)
        ones = support.sum(axis=1)
        return _drop_impossible(support, self.p**ones * (1 - self.p) ** (n - ones))


@dataclass(frozen=True, repr=False)
class ExplicitLatents(Law):
    """Any law given by its points and their probabilities.

    Parameters
    ----------
    Z : array_like, shape (S, m_G)
        Distinct binary vectors.
    prob : array_like, shape (S,)
        Their probabilities; nonnegative, summing to 1 within 1e-9.

    Raises
    ------
    InputError
        For anything else.

    Examples
    --------
    One neuron at a time, the first three times as often as the second:

    >>> import twomode as tm
    >>> law = tm.ExplicitLatents([[1, 0], [0, 1]], [0.75, 0.25])
    >>> tm.Game.preset(d=16, m_G=2, latents=law).latent_points[1].tolist()
    [0.75, 0.25]
    """

    Z: tuple[tuple[int, ...], ...]
    prob: tuple[float, ...]
    kind: ClassVar[str] = "explicit"

    def __init__(self, Z: ArrayLike, prob: ArrayLike) -> None:
        rows = take("Z", Z, Annotated[FloatArray, "(S, m_G)"])
        weights = take("prob", prob, Annotated[FloatArray, "(S)"])
        require(
            len(weights) == len(rows),
            f"Z of shape {rows.shape} and prob of shape {weights.shape} must be (S, m_G) and (S,)",
        )
        require(bool(np.isin(rows, (0, 1)).all()), "Z must hold only zeros and ones")
        require(len(np.unique(rows, axis=0)) == len(rows), "Z must not repeat a row")
        total = float(weights.sum())
        require(
            bool((weights >= 0).all()) and abs(total - 1) <= 1e-9,
            f"prob must be nonnegative and sum to 1, but it sums to {total:.9g}"
            + (f" with least entry {weights.min():.9g}" if (weights < 0).any() else ""),
        )
        object.__setattr__(self, "Z", tuple(tuple(int(x) for x in row) for row in rows))
        object.__setattr__(self, "prob", tuple(float(w) for w in weights))

    def __repr__(self) -> str:
        """The constructor's call; of a law too long for a line, what tells it from others."""
        call = f"ExplicitLatents(Z={self.Z}, prob={self.prob})"
        if len(call) <= 88:
            return call
        digest = hashlib.sha256(call.encode()).hexdigest()[:8]
        return f"ExplicitLatents({len(self.Z)} points of {{0,1}}^{len(self.Z[0])}, {digest})"

    def points(self, n: int) -> tuple[FloatArray, FloatArray]:
        width = len(self.Z[0])
        require(n == width, f"m_G={n} does not fit explicit latents of length {width}")
        weights = np.array(self.prob)
        return _drop_impossible(np.array(self.Z, dtype=float), weights / weights.sum())


@dataclass(frozen=True)
class CorrelatedModes(Law):
    """Data X = u_1 or u_2, each with probability 1/2 (the talk's law; <u_1, u_2> = gamma > 0).

    Examples
    --------
    >>> import twomode as tm
    >>> coefficients, probabilities = tm.CorrelatedModes().points(2)
    >>> coefficients.tolist(), probabilities.tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5])
    """

    kind: ClassVar[str] = "correlated-modes"

    def points(self, n: int) -> tuple[FloatArray, FloatArray]:
        return np.eye(2), np.full(2, 0.5)


@dataclass(frozen=True)
class CorrelatedCoefficients(Law):
    """Data X = u_1, u_2 or u_1 + u_2 with orthogonal modes (gamma = 0).

    Parameters
    ----------
    p_12 : float
        Probability of u_1 + u_2, in [0, 1); each single mode has (1 - p_12)/2.

    Raises
    ------
    InputError
        If p_12 is no probability below 1.

    Examples
    --------
    >>> import twomode as tm
    >>> tm.CorrelatedCoefficients(0.5).points(2)[1].tolist()  # of u_1, u_2, u_1 + u_2
    [0.25, 0.25, 0.5]
    >>> tm.Game.preset(d=16, data=tm.CorrelatedCoefficients(0.5)).gamma
    0.0
    """

    p_12: Annotated[float, "[0, 1)"]
    kind: ClassVar[str] = "correlated-coefficients"

    def __post_init__(self) -> None:
        check_fields(self)

    def points(self, n: int) -> tuple[FloatArray, FloatArray]:
        single = (1 - self.p_12) / 2
        support = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        return _drop_impossible(support, np.array([single, single, self.p_12]))


#: Those that a file can name.
LAWS: dict[str, type[Law]] = {
    law.kind: law
    for law in (SparsePairs, Bernoulli, ExplicitLatents, CorrelatedModes, CorrelatedCoefficients)
}


@checked
def law_from_dict(fields: JSON) -> Law:
    """Rebuild a law from `Law.to_dict`.

    Raises
    ------
    InputError
        For an unknown ``kind``, or values that the law refuses.

    Examples
    --------
    >>> from twomode.game import law_from_dict
    >>> law_from_dict({"kind": "bernoulli", "p": 0.25})
    Bernoulli(p=0.25)
    """
    arguments = dict(fields)
    kind = arguments.pop("kind", None)
    require_choice("law", kind, LAWS)
    try:
        return LAWS[kind](**arguments)
    except TypeError:
        raise InputError(f"{shown(fields)} has not the fields of {LAWS[kind].__name__}") from None


@checked
def binary_vectors(n: Count) -> FloatArray:
    """All of {0,1}^n, shape (2^n, n); row s holds the binary digits of s, lowest first.

    Examples
    --------
    >>> from twomode.game import binary_vectors
    >>> binary_vectors(2).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    """
    _require_room(n, 2.0 ** min(n, 99))
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(float)


#: Numbers in the support of a law, half a gigabyte of them.
_MOST = 2**26


def _require_room(n: int, points: float) -> None:
    require(
        n * points <= _MOST,
        f"m_G={shown(n)} makes more points than can be summed over: use a smaller m_G",
    )


def _drop_impossible(
    support: FloatArray, probabilities: FloatArray
) -> tuple[FloatArray, FloatArray]:
    possible = probabilities > 0
    return support[possible], probabilities[possible]
