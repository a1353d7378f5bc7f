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

import twomode.displays  # noqa: F401 (it fills in how things are shown)
from twomode import statistics, theory
from twomode.errors import InputError
from twomode.game import (
    Bernoulli,
    Bilinear,
    CorrelatedCoefficients,
    CorrelatedModes,
    ExplicitLatents,
    Game,
    GaussianStart,
    Outputs,
    SparsePairs,
    State,
    Vector,
    all_latents,
)
from twomode.progress import Progress, ProgressBar
from twomode.rules import RULES, Optimizer, OwnRule, Recipe, corrections, optimizer, recipe
from twomode.runs import ENGINES, Result, load, resume, simulate
from twomode.studies import Comparison, compare_rules, sweep, sweeps, tuning
from twomode.theory import Judgement, first_stationary, judge, mechanism

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
    "OwnRule",
    "Progress",
    "ProgressBar",
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
    "resume",
    "simulate",
    "statistics",
    "sweep",
    "sweeps",
    "theory",
    "tuning",
]


_LAZY = {
    "adversarial": "twomode.adversarial",
    "plotting": "twomode.plotting",
    "proofs": "twomode.proofs",
    "robustness": "twomode.adversarial.robustness",
    "sampling": "twomode.adversarial.sampling",
}
_PROOFS = ("certify", "precision_horizon")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_PROOFS})


def __getattr__(name: str) -> _Any:
    """Import these on first use: they need Matplotlib, python-flint or more of SciPy."""
    if name in _LAZY:
        return _import_module(_LAZY[name])
    if name in _PROOFS:
        return getattr(_import_module("twomode.proofs"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
