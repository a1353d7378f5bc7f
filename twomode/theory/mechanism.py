"""Why: who moves first, what each player's neurons turn to and when, how long the steps are.

The talk's explanation of its two theorems is one of pace: SGDA's discriminator learns long before
its generator moves, normalized gradients move both at once.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from twomode._typing import FloatArray, Probability
from twomode.checks import checked
from twomode.game import State
from twomode.runs import Result

__all__ = [
    "ALIGNED",
    "TARGETS",
    "Mechanism",
    "alignments",
    "critical_ratio",
    "explain",
    "spread",
]

#: What a neuron may turn to, in the order of the last axis of `alignments`.
TARGETS = ("u_1", "u_2", "u_1 + u_2")

#: Cosine from which on a neuron counts as turned to a target.  A single mode is at
#: sqrt((1 + gamma)/2) from u_1 + u_2, so no neuron counts for two targets while gamma < 0.6.
ALIGNED = 0.9


@checked
def alignments(result: Result) -> tuple[FloatArray, FloatArray]:
    """Cosines of every w_i and every v_j with `TARGETS`, shapes (R, T, m_D, 3), (R, T, m_G, 3).

    Examples
    --------
    Just before T_0 a discriminator neuron has merged both modes, and a generator neuron follows it:

    >>> import twomode as tm
    >>> game = tm.Game.preset(d=1024)
    >>> result = tm.simulate(game, *tm.recipe(game, "sgda", steps=1360))
    >>> [(cosines[0, -1] > 0.85).any(axis=0).tolist() for cosines in tm.theory.alignments(result)]
    [[False, False, True], [False, False, True]]
    """
    norms_V = np.sqrt(np.diagonal(result.gram_V, axis1=-2, axis2=-1))
    sides = ((result.projections_W, result.norms_W), (result.projections_V, norms_V))
    length = math.sqrt(2 + 2 * result.game.gamma)
    cosines = []
    for projections, norms in sides:
        sums = projections.sum(axis=-1, keepdims=True) / length
        with np.errstate(divide="ignore", invalid="ignore"):
            cosine = np.concatenate([projections, sums], axis=-1) / norms[..., None]
        cosines.append(np.where(norms[..., None] == 0, 0.0, cosine))
    return cosines[0], cosines[1]


@checked
def critical_ratio(start: State) -> FloatArray:
    """The eta_G/eta_D beyond which SGDA's generator moves before the discriminator has learned.

    On the plateau the largest <w_i, u_l> and the largest <w_i, v_j> grow apart from each other, and
    the generator goes first beyond m_G max <w_i, u_l> / (2 max <w_i, v_j>), which is about sqrt(d)
    times a number.  Near it SGDA tells the modes apart; see ``paper_checks/continuous_time.py``,
    where it foretells the order from d = 2^24 on.

    Parameters
    ----------
    start : State
        Any leading axes.

    Returns
    -------
    ndarray, of the leading shape

    Examples
    --------
    >>> import numpy as np, twomode as tm
    >>> from twomode.theory import critical_ratio
    >>> game, rng = tm.Game.preset(d=2**16), np.random.default_rng(0)
    >>> starts = [tm.GaussianStart().draw_reduced(game, rng) for _ in range(5)]
    >>> [round(float(critical_ratio(start)) / 2**8, 1) for start in starts]
    [5.3, 5.3, 4.9, 4.4, 4.3]
    """
    m_G = start.V.shape[-2]
    xi, zeta = ((start.W @ of.mT).max(axis=(-2, -1)) for of in (start.U, start.V))
    return np.asarray(m_G * xi / (2 * zeta))


@dataclass(frozen=True)
class Mechanism:
    """When the neurons turned to what, in iterations; NaN for never.

    Attributes
    ----------
    first_D, first_G : ndarray, shape (R, 3)
        First recorded iteration at which some w_i (v_j) has a cosine of at least 0.9 with each of
        `TARGETS`.
    step_ratio : ndarray, shape (R, T)
        Length of the discriminator's step over that of the generator's.

    Examples
    --------
    SGDA's generator waits until a discriminator neuron has merged both modes:

    >>> import twomode as tm
    >>> game = tm.Game.preset(d=1024)
    >>> result = tm.simulate(game, *tm.recipe(game, "sgda", steps=2000), replicas=3, seed=0)
    >>> why = tm.theory.explain(result)
    >>> why.in_time.any().item(), why.followed_to
    (False, ['u_1 + u_2', 'u_1 + u_2', 'u_1 + u_2'])
    """

    first_D: FloatArray
    first_G: FloatArray
    step_ratio: FloatArray

    @property
    def learned(self) -> FloatArray:
        """When the discriminator first turned to a single mode, shape (R,)."""
        return _earliest(self.first_D[:, :2])

    @property
    def merged(self) -> FloatArray:
        """When the discriminator first had a neuron along u_1 + u_2, shape (R,)."""
        return self.first_D[:, 2]

    @property
    def followed(self) -> FloatArray:
        """When the generator first turned to any target, shape (R,)."""
        return _earliest(self.first_G)

    @property
    def in_time(self) -> np.ndarray:
        """Whether the generator followed before any discriminator neuron merged both, (R,)."""
        return self.followed < np.where(np.isnan(self.merged), np.inf, self.merged)

    @property
    def followed_to(self) -> list[str]:
        """Which target that was, or ``nothing``."""
        return [
            "nothing" if np.isnan(row).all() else TARGETS[int(np.nanargmin(row))]
            for row in self.first_G
        ]

    @property
    def lag(self) -> FloatArray:
        """When the generator followed, in units of the time that the discriminator took."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.followed / self.learned


@checked
def explain(result: Result) -> Mechanism:
    """Find out when each player's neurons turned to what.

    Parameters
    ----------
    result : Result
        Times are known to the spacing of its records.

    Returns
    -------
    Mechanism

    Examples
    --------
    Normalized steps have lengths in a fixed ratio: both players are on their way from the start.

    >>> import numpy as np, twomode as tm
    >>> opt = tm.optimizer("g-nsgda", eta_D=0.005, eta_G=0.001)
    >>> why = tm.theory.explain(tm.simulate(tm.Game.preset(d=64), opt, 100))
    >>> bool(np.allclose(why.step_ratio[0, 1:], 5))
    True
    """
    first_D, first_G = (
        np.stack([_first(result, np.any(c[..., k] >= ALIGNED, axis=2)) for k in range(3)], axis=1)
        for c in alignments(result)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        lengths = result.update_norms * [result.opt.eta_D, result.opt.eta_G]
        step_ratio = lengths[..., 0] / lengths[..., 1]
    return Mechanism(first_D, first_G, step_ratio)


@checked
def spread(
    norms: Annotated[FloatArray, "(R, T, 2)"],
    skip: Annotated[float, "[0, 1)"] = 0.01,
    quantiles: tuple[Probability, Probability] = (0.01, 0.99),
) -> FloatArray:
    """How far a norm is from constant in time: its 99th over its 1st percentile.

    Parameters
    ----------
    norms : ndarray, shape (R, T, 2)
        `Result.update_norms` or `Result.grad_norms`.
    skip : float
        Part of the records at the start to leave out, while moving averages fill.
    quantiles : tuple of float
        The two quantiles in time.

    Returns
    -------
    ndarray, shape (R, 2)
        1 for a norm that is constant; infinite for one that vanishes.

    Examples
    --------
    The talk's hypothesis: the length of a normalized step is constant, whatever the gradient's.

    >>> import twomode as tm
    >>> game = tm.Game.preset(d=64)
    >>> result = tm.simulate(game, *tm.recipe(game, "nsgda"), record_every=50)
    >>> tm.theory.spread(result.update_norms).round(6).tolist()
    [[1.0, 1.0]]
    >>> bool((tm.theory.spread(result.grad_norms) > 2).all())
    True
    """
    kept = norms[:, max(1, math.ceil(skip * norms.shape[1])) :]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)  # diverged early
        low, high = np.nanquantile(kept, quantiles, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(high > 0, high / low, np.nan)


def _first(result: Result, happened: np.ndarray) -> FloatArray:
    """First recorded iteration of each replica at which something happened; NaN for never."""
    times = result.times_at(happened.argmax(axis=1))
    return np.where(happened.any(axis=1), times, np.nan)


def _earliest(times: FloatArray) -> FloatArray:
    return np.where(np.isnan(times).all(axis=1), np.nan, np.fmin.reduce(times, axis=1))
