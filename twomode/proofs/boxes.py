"""The largest box of starts about one start for which its instance is still proved."""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from twomode._typing import Count, Horizon
from twomode.checks import checked
from twomode.game import Game, GaussianStart
from twomode.progress import Report
from twomode.proofs.certificates import Certificate
from twomode.proofs.instances import Instance
from twomode.proofs.proving import certify
from twomode.rules import Optimizer

__all__ = ["Box", "log10_probability", "provable_box"]


class Box(NamedTuple):
    """A box of starts for which an instance is proved.

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=16, m_D=2, m_G=2)
    >>> opt, steps = tm.recipe(game, "sgda", step_scale=2.0)
    >>> box = tm.proofs.provable_box(game, opt, steps, replica=1, most=40)
    >>> box.radius == 2.0**-23, round(box.log10_probability)
    (True, -132)
    """

    certificate: Certificate  #: of the box, or of the start alone
    radius: float  #: 0.0 if the start alone is proved, or nothing
    #: Of the box under the Gaussian start's law; NaN of an explicit start, -inf of a point.
    log10_probability: float


@checked
def provable_box(
    game: Game,
    opt: Optimizer,
    steps: Horizon,
    *,
    most: Count = 100,
    progress: Report | bool | None = None,
    **options: Any,
) -> Box:
    """The largest radius 2^-k for which `certify` proves all starts of the box, by bisection.

    Parameters
    ----------
    game, opt, steps
        As for `certify`.
    most : int
        Largest k; log2 of it runs are made.
    progress : callable, optional
        As for `twomode.simulate`.
    **options
        Of `certify`, but ``radius``.

    Returns
    -------
    Box

    Raises
    ------
    InputError
        As for `certify`.
    """
    options |= {"progress": progress}
    found = certify(game, opt, steps, **options)
    if found.verdict != "proved":
        return Box(found, 0.0, -math.inf)
    if not found.frame:  # a box that is too wide stays so with more bits
        options |= {"bits": found.bits, "most_bits": found.bits}
    wide, narrow = 0, most + 1
    while narrow - wide > 1:
        k = (wide + narrow) // 2
        tried = certify(game, opt, steps, radius=2.0**-k, **options)
        if tried.verdict == "proved":
            narrow, found = k, tried
        else:
            wide = k
    start = found.source["start"]
    law = GaussianStart(**start) if isinstance(start, dict) else None
    return Box(found, found.instance.radius, log10_probability(found.instance, law))


def log10_probability(instance: Instance, law: GaussianStart | None) -> float:
    """Of a small box under the law of `GaussianStart.draw_reduced`; NaN without a law."""
    if law is None:
        return math.nan
    game, start, total = instance.game, instance.start, 0.0
    own = 2  # the coordinate of the direction that a row adds: chi, after normal ones
    for rows, std in zip((start.W, start.V), law.scales(game), strict=True):
        for row in rows / std:
            total += float(_log10_share(stats.norm.logpdf(row[:own]), row[:own], instance.radius))
            if own < game.reduced_dimension:
                chi = stats.chi.logpdf(row[own], float(game.d) - own)
                total += float(_log10_share(chi, row[own], instance.radius))
            own += 1
    return total


def _log10_share(logpdf: Any, x: Any, radius: float) -> Any:
    """log10 of the product of densities times widths."""
    with np.errstate(divide="ignore"):
        return np.sum(logpdf + np.log(2 * radius * np.abs(x))) / math.log(10)
