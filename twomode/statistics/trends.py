"""Trends of medians and of proportions, with bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from twomode._typing import FloatArray
from twomode.errors import require, require_whole
from twomode.statistics.levels import require_confidence, tails

__all__ = ["LogisticTrend", "PowerTrend", "fit_logistic", "fit_power"]


@dataclass(frozen=True)
class PowerTrend:
    """median(y) = coefficient * x^exponent, fitted on logarithms, with a bootstrap over seeds.

    Attributes
    ----------
    x : ndarray, shape (n,)
    medians : ndarray, shape (n,)
        Of y at each x.
    exponent, coefficient : float
    exponent_interval : tuple of float
    draws : ndarray, shape (B, 2)
        Intercept and slope of the line in (ln x, ln y) for each bootstrap draw.
    confidence : float

    Examples
    --------
    >>> import twomode as tm
    >>> trend = tm.statistics.fit_power([1, 10, 100], [[2.0], [20.0], [200.0]])
    >>> trend([1000]).round(6).tolist(), trend.band([1000]).round(6).tolist()
    ([2000.0], [[2000.0], [2000.0]])
    """

    x: FloatArray
    medians: FloatArray
    exponent: float
    coefficient: float
    exponent_interval: tuple[float, float]
    draws: FloatArray
    confidence: float

    def __call__(self, x: ArrayLike) -> FloatArray:
        """The fitted curve."""
        return self.coefficient * np.asarray(x, dtype=float) ** self.exponent

    def band(self, x: ArrayLike) -> FloatArray:
        """Pointwise confidence band of the curve, shape (2, len(x)).

        Examples
        --------
        Wider away from what was measured:

        >>> import numpy as np, twomode as tm
        >>> trend = tm.statistics.fit_power([1, 2, 4], [[1, 2, 3], [2, 4, 6], [4, 8, 12]])
        >>> low, high = trend.band([2, 200])
        >>> ratio = high / low
        >>> bool(ratio[1] > ratio[0])
        True
        """
        log = np.log(np.asarray(x, dtype=float))
        curves = self.draws[:, :1] + self.draws[:, 1:] * log
        return np.exp(np.quantile(curves, tails(self.confidence), axis=0))


def fit_power(
    x: ArrayLike,
    samples: Sequence[ArrayLike],
    *,
    confidence: float = 0.95,
    draws: int = 4000,
    seed: int = 0,
) -> PowerTrend:
    """Fit a power law to the medians of samples, with bands from a bootstrap over seeds.

    Medians, because a few replicas that do something else entirely must not decide the trend; the
    bootstrap (percentile, Efron 1979) resamples the seeds at each x.

    Parameters
    ----------
    x : array_like, shape (n,)
        Positive, at least two different values.
    samples : sequence of n array_like
        Positive values of y, one a seed.  They may differ in length.
    confidence : float
        Of the interval of the exponent, and of the band.
    draws, seed : int
        Of the bootstrap.

    Returns
    -------
    PowerTrend

    Raises
    ------
    InputError
        If a median is not positive and finite, or there are fewer than two points.

    Examples
    --------
    How T_0 grows with d: here as sqrt(d), whatever one seed in three does.

    >>> import numpy as np, twomode as tm
    >>> d = np.array([256, 1024, 4096])
    >>> T0 = [[9 * x**0.5, 10 * x**0.5, 1e6] for x in d]
    >>> trend = tm.statistics.fit_power(d, T0)
    >>> round(trend.exponent, 6), round(trend.coefficient, 6)
    (0.5, 10.0)
    """
    require_confidence(confidence)
    draws = require_whole("draws", draws, 1)
    x = _positions(x)
    require(bool((x > 0).all()), f"x={x.min():g} must be positive for a power law")
    values = [np.asarray(sample, dtype=float) for sample in samples]
    require(
        len(x) == len(values) and len(np.unique(x)) > 1,
        f"a trend needs at least two different x and as many samples, not {len(x)}, {len(values)}",
    )
    require(all(v.size for v in values), "a trend needs at least one sample at each x")
    medians = np.array([np.median(v) for v in values])
    for at, median in zip(x, medians, strict=True):
        require(
            0 < median < math.inf,
            f"the median at x={at:g} is {median:g}: a power law needs positive finite medians",
        )
    rng = np.random.default_rng(seed)
    resampled = np.stack(
        [np.median(rng.choice(v, size=(draws, len(v))), axis=1) for v in values], axis=1
    )
    log = np.log(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(resampled)
    lines = _lines(log, logs[np.isfinite(logs).all(axis=1)])
    intercept, slope = _lines(log, np.log(medians)[None])[0]
    low, high = np.quantile(lines[:, 1], tails(confidence))
    return PowerTrend(
        x=x,
        medians=medians,
        exponent=float(slope),
        coefficient=math.exp(intercept),
        exponent_interval=(float(low), float(high)),
        draws=lines,
        confidence=confidence,
    )


@dataclass(frozen=True)
class LogisticTrend:
    """logit(p) = intercept + slope * x, by maximum likelihood.

    Attributes
    ----------
    intercept, slope : float
    covariance : ndarray, shape (2, 2)
        Inverse Fisher information.
    slope_interval : tuple of float
    confidence : float

    Examples
    --------
    >>> import numpy as np, twomode as tm
    >>> trend = tm.statistics.fit_logistic([0, 1, 2], [1, 4, 7], [8, 8, 8])
    >>> low, high = trend.band([1])
    >>> trend([1]).round(3).tolist(), bool(low < 0.5 < high)
    ([0.5], True)
    """

    intercept: float
    slope: float
    covariance: FloatArray
    slope_interval: tuple[float, float]
    confidence: float

    def __call__(self, x: ArrayLike) -> FloatArray:
        """The fitted probability."""
        return _expit(self.intercept + self.slope * np.asarray(x, dtype=float))

    def band(self, x: ArrayLike) -> FloatArray:
        """Pointwise confidence band, shape (2, len(x)), symmetric on the logit scale.

        Examples
        --------
        Within (0, 1) even where every seed succeeded:

        >>> import twomode as tm
        >>> trend = tm.statistics.fit_logistic([0, 1, 2], [4, 12, 16], [16, 16, 16])
        >>> low, high = trend.band([2])
        >>> bool(0.5 < low < high < 1)
        True
        """
        x = np.atleast_1d(np.asarray(x, dtype=float))
        design = np.stack([np.ones_like(x), x], axis=1)
        spread = np.sqrt(np.einsum("ni,ij,nj->n", design, self.covariance, design))
        center = self.intercept + self.slope * x
        width = _normal_quantile(self.confidence) * spread
        return np.stack([_expit(center - width), _expit(center + width)])


def fit_logistic(
    x: ArrayLike, successes: ArrayLike, trials: ArrayLike, *, confidence: float = 0.95
) -> LogisticTrend:
    """Fit the trend of a proportion in x, with half a success and half a failure added at each x.

    The added halves (Haldane 1956) keep the fit finite where every seed succeeds; they pull the
    slope towards zero.

    Parameters
    ----------
    x : array_like, shape (n,)
        At least two different values.
    successes, trials : array_like of int, shape (n,)
    confidence : float
        Of the interval of the slope (Wald), and of the band.

    Returns
    -------
    LogisticTrend

    Raises
    ------
    InputError
        If there are fewer than two different x, or more successes than trials.

    Examples
    --------
    Does the collapse become more frequent with ln d?

    >>> import twomode as tm
    >>> trend = tm.statistics.fit_logistic([6, 8, 10], [2, 11, 16], [16, 16, 16])
    >>> tm.statistics.against(trend.slope_interval, 0.0)
    'holds'
    """
    from scipy.optimize import minimize

    require_confidence(confidence)
    x = _positions(x)
    k = np.asarray(successes, dtype=float) + 0.5
    n = np.asarray(trials, dtype=float) + 1.0
    require(
        k.shape == n.shape == x.shape and bool(((k > 0) & (k < n)).all()),
        f"successes={successes!r} must lie between 0 and trials={trials!r}, one of each at each x",
    )
    require(len(np.unique(x)) > 1, f"a trend needs at least two different x, not {np.unique(x)}")
    origin, unit = x.mean(), x.std()  # the fit does not see the user's
    design = np.stack([np.ones_like(x), (x - origin) / unit], axis=1)

    def surprise(beta: FloatArray) -> tuple[float, FloatArray]:
        logit = design @ beta
        value = float(np.sum(n * np.logaddexp(0, logit) - k * logit))
        return value, design.T @ (n * _expit(logit) - k)

    beta = minimize(surprise, np.zeros(2), jac=True, method="BFGS").x
    p = _expit(design @ beta)
    information = design.T @ (design * (n * p * (1 - p))[:, None])
    to_user = np.array([[1.0, -origin / unit], [0.0, 1 / unit]])
    beta = to_user @ beta
    covariance = to_user @ np.linalg.inv(information) @ to_user.T
    width = _normal_quantile(confidence) * math.sqrt(covariance[1, 1])
    return LogisticTrend(
        intercept=float(beta[0]),
        slope=float(beta[1]),
        covariance=np.asarray(covariance, dtype=float),
        slope_interval=(float(beta[1]) - width, float(beta[1]) + width),
        confidence=confidence,
    )


def _lines(x: FloatArray, y: FloatArray) -> FloatArray:
    """Least-squares intercept and slope of each row of y, shape (rows, 2)."""
    return np.asarray(np.polynomial.polynomial.polyfit(x, y.T, 1).T, dtype=float)


def _positions(x: ArrayLike) -> FloatArray:
    x = np.asarray(x, dtype=float)
    require(bool(np.isfinite(x).all()), f"x={x} must be finite")
    return x


def _normal_quantile(confidence: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + confidence) / 2))


def _expit(x: FloatArray) -> FloatArray:
    from scipy.special import expit

    return np.asarray(expit(x))
