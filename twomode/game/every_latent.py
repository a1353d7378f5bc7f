"""What bounds a generator's outputs over every latent."""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import numpy as np

from twomode._typing import FloatArray
from twomode.checks import checked
from twomode.game.observables import LARGEST_CHECKED, EveryOutput, Outputs
from twomode.game.two_mode import Game

__all__ = ["Extremes", "extremes", "over_latents"]

#: Outputs G(z) that are measured together, for speed and within memory.
_OUTPUTS_AT_ONCE = 2**17


class Extremes(NamedTuple):
    """What bounds a generator's outputs over all latents z."""

    asymmetry: FloatArray  #: the largest
    residual: FloatArray  #: the largest
    alpha: FloatArray  #: the smallest, negative if any output points away from u_1 + u_2


@checked
def over_latents(
    game: Game,
    projections_V: Annotated[FloatArray, "(..., m_G, 2)"],
    gram_V: Annotated[FloatArray, "(..., m_G, m_G)"],
    measure: Callable[[Outputs], FloatArray],
    differences_V: Annotated[FloatArray, "(..., m_G)"] | None = None,
) -> FloatArray:
    """Measure generators at every nonzero z, those of the law's support if m_G > 20.

    Parameters
    ----------
    game : Game
    projections_V, gram_V : ndarray, shapes (..., m_G, 2) and (..., m_G, m_G)
    measure : callable
        Takes the outputs of n generators, returns an array of shape (n, ...) without the latents.
    differences_V : ndarray, shape (..., m_G), optional
        As for `Outputs`.

    Returns
    -------
    ndarray, shape (..., ...)
        The generators' axes, then those of the measure.
    """
    shape = gram_V.shape[:-2]
    projections = projections_V.reshape(-1, *projections_V.shape[-2:])
    gram = gram_V.reshape(-1, *gram_V.shape[-2:])
    differences = None if differences_V is None else differences_V.reshape(len(gram), -1)
    every = game.m_G <= LARGEST_CHECKED
    support = game.latent_points[0]
    support = support[support.any(axis=1)]
    at_once = max(1, _OUTPUTS_AT_ONCE // (2**game.m_G if every else len(support)))
    measured = []
    for begin in range(0, len(gram), at_once):
        piece = slice(begin, begin + at_once)
        known = (projections[piece], gram[piece], game.gamma)
        apart = None if differences is None else differences[piece]
        outputs = EveryOutput(*known, apart) if every else Outputs(*known, support, apart)
        measured.append(measure(outputs))
    found = np.concatenate(measured)
    return found.reshape(*shape, *found.shape[1:])


@checked
def extremes(
    game: Game,
    projections_V: Annotated[FloatArray, "(..., m_G, 2)"],
    gram_V: Annotated[FloatArray, "(..., m_G, m_G)"],
    differences_V: Annotated[FloatArray, "(..., m_G)"] | None = None,
) -> Extremes:
    """Extremes over the latents, with the leading axes of the arguments."""

    def measure(outputs: Outputs) -> FloatArray:
        found = outputs.asymmetry.max(-1), outputs.residual.max(-1), outputs.alpha.min(-1)
        return np.stack(found, axis=-1)

    found = over_latents(game, projections_V, gram_V, measure, differences_V)
    return Extremes(*np.moveaxis(found, -1, 0))
