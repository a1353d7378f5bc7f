"""How much each axis of a factorial decides."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from twomode._typing import FloatArray, Level
from twomode.checks import checked
from twomode.errors import require
from twomode.statistics.levels import tails

__all__ = ["main_effects"]


@checked
def main_effects(
    samples: Annotated[FloatArray, "(..., m, n, R)", "finite"], confidence: Level = 0.95
) -> tuple[FloatArray, FloatArray]:
    """How much of the variance between the cells of a factorial each axis decides by itself.

    Parameters
    ----------
    samples : array_like, shape (n_1, ..., n_k, R)
        What each seed gave in each cell of a full factorial with k axes; seed r is the same start
        in every cell.
    confidence : float
        Of each interval.

    Returns
    -------
    shares : ndarray, shape (k,)
        Mean square of each axis' main effect over that of all cells; what is missing to 1 are
        interactions.  NaN where the cells differ by no more than noise may.
    intervals : ndarray, shape (k, 2)
        Within [0, 1], and all of it where the shares are NaN; NaN themselves where all cells are
        alike.

    Raises
    ------
    InputError
        Unless there are at least two axes besides the seeds and three seeds, or for an unusable
        confidence.

    Notes
    -----
    A mean square of cell means over seeds also contains their noise.  Products of two different
    seeds do not: the mean squares here are averages over such pairs (Hoeffding 1948).  Intervals
    are Student's, on the scale of arcsin(sqrt(share)), with the jackknife's error over whole
    seeds (Arvesen 1969): approximate.  At the worst that was simulated, four cells and 16 seeds
    whose noise nearly hides all effects, intervals of 95 % miss 8 %; with 64 seeds, 4 to 6 %.

    Examples
    --------
    Direction and magnitude of a step, two words each, three seeds: the magnitude decides all.

    >>> import numpy as np, twomode as tm
    >>> collapsed = np.array([[[1, 1, 1], [0, 0, 0]], [[1, 1, 1], [0, 0, 0]]])
    >>> shares, intervals = tm.statistics.main_effects(collapsed)
    >>> shares.tolist(), intervals.tolist()
    ([0.0, 1.0], [[0.0, 0.0], [1.0, 1.0]])
    """
    from scipy.special import stdtrit

    y = samples
    axes, seeds = range(y.ndim - 1), y.shape[-1]
    require(seeds > 2, f"samples has shape {y.shape}: at least three seeds are needed")
    cells, unknown = y.reshape(-1, seeds), np.full(len(axes), np.nan)
    if np.abs(cells - cells.mean(axis=0)).max() <= 1e-12 * np.abs(y).max():  # alike, but rounding
        return unknown, np.full((len(axes), 2), np.nan)
    total = _mean_squares(cells)
    quantile = float(stdtrit(seeds - 1, tails(confidence)[1]))
    if total[0] <= quantile * _error(total):
        return unknown, np.tile([0.0, 1.0], (len(axes), 1))
    of_axis = [_mean_squares(y.mean(axis=tuple(a for a in axes if a != axis))) for axis in axes]
    shares = np.clip(np.divide(of_axis, total), -1, 2)
    angles = _angle(shares)
    ends = angles[:, :1] + quantile * np.outer(_error(angles), [-1, 1])
    return np.clip(shares[:, 0], 0, 1), np.sin(np.clip(ends, 0, np.pi / 2)) ** 2


def _angle(share: FloatArray) -> FloatArray:
    """arcsin(sqrt(share)), whose error hardly depends on the share; odd about 0 and about 1.

    An estimate without the noise's share may be below 0 or above 1.
    """
    turn = np.where(share > 1, np.pi, 0.0)
    rest = np.where(share > 1, share - 2, share)
    return np.asarray(turn + np.sign(rest) * np.arcsin(np.sqrt(np.abs(rest))))


def _error(estimates: FloatArray) -> FloatArray:
    """The jackknife's standard error of an estimate, which those without a seed each follow."""
    without = estimates[..., 1:]
    return np.asarray(np.sqrt((without.shape[-1] - 1) * without.var(axis=-1)))


def _mean_squares(y: FloatArray) -> FloatArray:
    """Mean square between the cells of y, shape (cells, seeds), of all seeds and without each.

    Averages of e_r . e_s / cells over pairs r != s, where e_r is a seed's deviation from its mean.
    """
    effects = y - y.mean(axis=0)
    n = effects.shape[1]
    products = effects.T @ effects / len(effects)
    of_seed = products.sum(axis=1) - np.diag(products)
    pairs = of_seed.sum()
    return np.array([pairs / (n * (n - 1)), *(pairs - 2 * of_seed) / ((n - 1) * (n - 2))])
