"""Many runs: sweeps over grids, tuned step sizes, rules compared from the same starts."""

from twomode.studies.comparison import FINE, SETTINGS, Comparison, compare_rules, outcome
from twomode.studies.sweeps import Run, cell_key, cells, observe, plan, processes, run_cell, sweep
from twomode.studies.tuning import STEP_SCALES, covers_both, ratios_of, tune

__all__ = [
    "FINE",
    "SETTINGS",
    "STEP_SCALES",
    "Comparison",
    "Run",
    "cell_key",
    "cells",
    "compare_rules",
    "covers_both",
    "observe",
    "outcome",
    "plan",
    "processes",
    "ratios_of",
    "run_cell",
    "sweep",
    "tune",
]
