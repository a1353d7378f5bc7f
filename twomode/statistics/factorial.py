"""How much each axis of a factorial decides."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from twomode._typing import FloatArray
from twomode.errors import require
from twomode.statistics.levels import require_confidence, tails

__all__ = ["main_effects"]


def main_effects(
    samples: ArrayLike, confidence: float = 0.95, *, draws: int = 2000, seed: int = 0
) -> tuple[FloatArray, FloatArray]:
    """How much of the variance between the cells of a factorial each axis decides by itself.

    Parameters
    ----------
    samples : array_like, shape (n_1, ..., n_k, R)
        What each seed gave in each cell of a full factorial with k axes; seed r is the same start
        in every cell.
    confidence : float
        Of each interval.
    draws, seed : int
        Of the bootstrap over the seeds.

    Returns
    -------
    shares : ndarray, shape (k,)
        Sum of squares of each axis' main effect over that of all cells; what is missing to 1 are
        interactions.  NaN if all cells are alike.
    intervals : ndarray, shape (k, 2)
        Percentiles of the bootstrap; NaN if a draw has all cells alike.

    Raises
    ------
    InputError
        Unless there are at least two axes besides the seeds, or for an unusable confidence.

    Notes
    -----
    Shares of the sums of squares in an analysis of variance of the cell means; the bootstrap (by
    percentiles, Efron 1979) draws whole seeds.

    Examples
    --------
    Direction and magnitude of a step, two words each, three seeds: the magnitude decides all.

    >>> import numpy as np, twomode as tm
    >>> collapsed = np.array([[[1, 1, 1], [0, 0, 0]], [[1, 1, 1], [0, 0, 0]]])
    >>> shares, intervals = tm.statistics.main_effects(collapsed)
    >>> shares.tolist(), intervals.tolist()
    ([0.0, 1.0], [[0.0, 0.0], [1.0, 1.0]])
    """
    y = np.asarray(samples, dtype=float)
    require(y.ndim >= 3, f"samples has shape {y.shape}: two axes and one of seeds are needed")
    require_confidence(confidence)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(y.shape[-1], np.full(y.shape[-1], 1 / y.shape[-1]), size=draws)
    cells = np.concatenate([y.mean(axis=-1)[..., None], y @ weights.T / y.shape[-1]], axis=-1)
    axes = tuple(range(y.ndim - 1))
    total = cells.var(axis=axes)
    total[total <= (1e-12 * np.abs(cells).max()) ** 2] = np.nan  # alike up to rounding
    shares = np.stack(
        [cells.mean(axis=tuple(a for a in axes if a != axis)).var(axis=0) / total for axis in axes]
    )
    if np.isnan(shares).any():
        return shares[:, 0], np.full((len(axes), 2), np.nan)
    return shares[:, 0], np.quantile(shares[:, 1:], tails(confidence), axis=1).T
