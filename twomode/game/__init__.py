"""The object itself: laws, state, objective and gradient, starts, observables."""

from twomode.game.bilinear import Bilinear
from twomode.game.every_latent import Extremes, extremes, over_latents
from twomode.game.field import LARGE, Evaluation, Field, Vector, player_norms
from twomode.game.laws import (
    Bernoulli,
    CorrelatedCoefficients,
    CorrelatedModes,
    ExplicitLatents,
    Law,
    SparsePairs,
    binary_vectors,
    law_from_dict,
)
from twomode.game.observables import (
    COVERAGE_DELTA,
    LARGEST_CHECKED,
    NU,
    EveryOutput,
    Outputs,
    all_latents,
    at_rest,
    mode_cosines,
)
from twomode.game.starts import MODES, GaussianStart
from twomode.game.state import State, array_namespace, as_array
from twomode.game.two_mode import (
    Dimension,
    Game,
    clipped_cubic,
    clipped_cubic_curvature,
    clipped_cubic_slope,
)

__all__ = [
    "COVERAGE_DELTA",
    "LARGE",
    "LARGEST_CHECKED",
    "MODES",
    "NU",
    "Bernoulli",
    "Bilinear",
    "CorrelatedCoefficients",
    "CorrelatedModes",
    "Dimension",
    "Evaluation",
    "EveryOutput",
    "ExplicitLatents",
    "Extremes",
    "Field",
    "Game",
    "GaussianStart",
    "Law",
    "Outputs",
    "SparsePairs",
    "State",
    "Vector",
    "all_latents",
    "array_namespace",
    "as_array",
    "at_rest",
    "binary_vectors",
    "clipped_cubic",
    "clipped_cubic_curvature",
    "clipped_cubic_slope",
    "extremes",
    "law_from_dict",
    "mode_cosines",
    "over_latents",
    "player_norms",
]
