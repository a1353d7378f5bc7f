"""Proportions over independent seeds: exact intervals, and what an interval says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeAlias

from twomode._typing import BoolArray, Count, Level, Whole
from twomode.checks import check_fields, checked
from twomode.errors import require

#: Of an interval, or what it is held against.
Bound: TypeAlias = Annotated[float, "[-inf, inf]"]
#: One a seed.
Truths: TypeAlias = Annotated[BoolArray, "(R)"]

__all__ = ["Proportion", "against", "clopper_pearson", "compare", "compare_paired"]


@checked
def clopper_pearson(
    successes: Whole, trials: Count, confidence: Level = 0.95
) -> tuple[float, float]:
    """Exact two-sided confidence interval of a binomial proportion (Clopper and Pearson 1934).

    Parameters
    ----------
    successes, trials : int
    confidence : float
        In (0, 1).

    Raises
    ------
    InputError
        Unless 0 <= successes <= trials, there is a trial, and the confidence lies in (0, 1).

    Examples
    --------
    All of six seeds show that it happens in most, all of five do not:

    >>> import twomode as tm
    >>> [round(tm.statistics.clopper_pearson(n, n)[0], 3) for n in (5, 6)]
    [0.478, 0.541]
    """
    from scipy.special import betaincinv

    _require_counts(successes, trials)
    tail = (1 - confidence) / 2
    k, n = successes, trials
    low = float(betaincinv(k, n - k + 1, tail)) if k > 0 else 0.0
    high = float(betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0
    return low, high


@checked
def against(interval: tuple[Bound, Bound], threshold: Bound, *, above: bool = True) -> str:
    """What an interval says of "the number is above (or below) the threshold".

    Parameters
    ----------
    interval : tuple of float
    threshold : float
    above : bool
        Whether the claim is "above".

    Returns
    -------
    str
        ``holds`` if all of the interval is so, ``fails`` if none of it, else ``undecided``.

    Examples
    --------
    >>> import twomode as tm
    >>> [tm.statistics.against((0.4, 0.9), threshold) for threshold in (0.3, 0.5, 0.95)]
    ['holds', 'undecided', 'fails']
    """
    low, high = interval
    if low > threshold:
        return "holds" if above else "fails"
    if high < threshold:
        return "fails" if above else "holds"
    return "undecided"


@dataclass(frozen=True)
class Proportion:
    """How often something happened over independent seeds.

    Parameters
    ----------
    successes, trials : int
    confidence : float
        Of the interval.

    Raises
    ------
    InputError
        As for `clopper_pearson`.

    Examples
    --------
    >>> import twomode as tm
    >>> seen = tm.statistics.Proportion(15, 16)
    >>> print(seen)
    15/16 (70-100 %)
    >>> seen.against(0.5)
    'holds'
    """

    EXAMPLE: ClassVar[str] = "tm.statistics.Proportion(15, 16)"

    successes: Whole
    trials: Count
    confidence: Level = 0.95

    def __post_init__(self) -> None:
        check_fields(self)
        _require_counts(self.successes, self.trials)

    @classmethod
    @checked
    def of(cls, happened: Truths, confidence: Level = 0.95) -> Proportion:
        """How often it happened, from a truth value a seed.

        Parameters
        ----------
        happened : array_like of bool, shape (R,)
        confidence : float
            Of the interval.

        Examples
        --------
        >>> import twomode as tm
        >>> tm.statistics.Proportion.of([True, True, False]).successes
        2
        """
        return cls(int(happened.sum()), len(happened), confidence)

    @property
    def share(self) -> float:
        """successes / trials."""
        return self.successes / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper-Pearson."""
        return clopper_pearson(self.successes, self.trials, self.confidence)

    @checked
    def against(self, threshold: Bound) -> str:
        """``holds`` if the interval lies above `threshold`, ``fails`` if below, else ``undecided``.

        If the true proportion is at most the threshold, ``holds`` comes with probability at most
        (1 - confidence)/2; likewise ``fails`` if it is at least the threshold.

        Examples
        --------
        >>> import twomode as tm
        >>> [tm.statistics.Proportion(k, 8).against(0.5) for k in (0, 6, 8)]
        ['fails', 'undecided', 'holds']
        """
        return against(self.interval, threshold)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.successes}/{self.trials} ({100 * low:.0f}-{100 * high:.0f} %)"


@checked
def compare(first: Proportion, second: Proportion) -> tuple[float, float]:
    """Interval of the difference of two independent proportions, first - second.

    Exact and somewhat wide: each proportion's Clopper-Pearson interval at half the error, so that
    both hold together with at least the smaller confidence of the two.

    Examples
    --------
    Two rules on seeds of their own: the first collapses more often.

    >>> import twomode as tm
    >>> first, second = tm.statistics.Proportion(15, 16), tm.statistics.Proportion(2, 16)
    >>> difference = tm.statistics.compare(first, second)
    >>> tm.statistics.against(difference, 0.0)
    'holds'
    """
    error = (1 - min(first.confidence, second.confidence)) / 2
    a, b = (clopper_pearson(p.successes, p.trials, 1 - error) for p in (first, second))
    return a[0] - b[1], a[1] - b[0]


@checked
def compare_paired(first: Truths, second: Truths, confidence: Level = 0.95) -> tuple[float, float]:
    """Interval of the difference of two shares of the same seeds, first - second.

    Parameters
    ----------
    first, second : array_like of bool, shape (R,)
        Whether it happened, seed by seed.
    confidence : float
        Of the interval.

    Raises
    ------
    InputError
        Unless there are as many of each, at least one, or for an unusable confidence.

    Notes
    -----
    The difference is D (2 pi - 1): the seeds on which the two disagree, D of all, times how far
    those lean to the first.  Given how many disagree, how many lean is binomial, as in McNemar's
    test (1947); D and pi have Clopper-Pearson intervals at half the error each.  Exact, and
    narrower than `compare` where the two mostly agree.

    Examples
    --------
    Both collapse on 14 of 16 seeds, the first also on the other two:

    >>> import twomode as tm
    >>> first, second = [True] * 16, [True] * 14 + [False] * 2
    >>> low, high = tm.statistics.compare_paired(first, second)
    >>> round(low, 2), round(high, 2)
    (-0.33, 0.42)
    """
    half = 1 - (1 - confidence) / 2
    disagree = int((first != second).sum())
    few, many = clopper_pearson(disagree, len(first), half)
    share = (
        clopper_pearson(int((first & ~second).sum()), disagree, half) if disagree else (0.0, 1.0)
    )
    low, high = (2 * pi - 1 for pi in share)
    return low * (few if low > 0 else many), high * (many if high > 0 else few)


def _require_counts(successes: int, trials: int) -> None:
    require(successes <= trials, f"successes={successes} must lie between 0 and trials={trials}")
