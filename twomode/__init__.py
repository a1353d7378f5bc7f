"""twomode: an exact simulator of the two-mode GAN game, to verify what its theorems predict.

>>> import twomode as tm
>>> game = tm.Game.preset(d=4096)
>>> opt, steps = tm.recipe(game, "sgda")
>>> result = tm.simulate(game, opt, steps, replicas=16, seed=0)
>>> tm.judge(result).verdict
'collapsed'
"""

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from typing import Any as _Any

from twomode import corrections, mechanism, statistics, sweeps, theory, tuning
from twomode.bilinear import Bilinear
from twomode.comparison import Comparison, compare_rules
from twomode.errors import InputError
from twomode.game import Game, Vector
from twomode.laws import (
    Bernoulli,
    CorrelatedCoefficients,
    CorrelatedModes,
    ExplicitLatents,
    SparsePairs,
)
from twomode.observables import Outputs, all_latents
from twomode.optimizers import Optimizer
from twomode.recipes import Recipe, recipe
from twomode.result import Result, load
from twomode.rules import RULES, optimizer
from twomode.simulate import ENGINES, Progress, simulate
from twomode.starts import GaussianStart
from twomode.state import State
from twomode.sweeps import sweep
from twomode.verdicts import Judgement, first_stationary, judge

__version__ = _version("twomode")

__all__ = [
    "ENGINES",
    "RULES",
    "Bernoulli",
    "Bilinear",
    "Comparison",
    "CorrelatedCoefficients",
    "CorrelatedModes",
    "ExplicitLatents",
    "Game",
    "GaussianStart",
    "InputError",
    "Judgement",
    "Optimizer",
    "Outputs",
    "Progress",
    "Recipe",
    "Result",
    "SparsePairs",
    "State",
    "Vector",
    "all_latents",
    "compare_rules",
    "corrections",
    "first_stationary",
    "judge",
    "load",
    "mechanism",
    "optimizer",
    "recipe",
    "simulate",
    "statistics",
    "sweep",
    "sweeps",
    "theory",
    "tuning",
]


def __getattr__(name: str) -> _Any:
    """Import these on first use: they need Matplotlib, or more of SciPy than the game does."""
    if name in ("adversarial", "plotting", "robustness", "sampling"):
        return _import_module(f"twomode.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
