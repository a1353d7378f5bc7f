"""Many runs: sweeps over grids, tuned step sizes, rules compared from the same starts."""

from twomode.studies.cell import NAMES
from twomode.studies.comparison import FINE, SETTINGS, Comparison, compare_rules, outcome
from twomode.studies.replayed import StoredBlock, stored_blocks
from twomode.studies.store import Store
from twomode.studies.sweeps import (
    JobsFailedError,
    cell_key,
    cells,
    observe,
    plan,
    processes,
    run_cell,
    sweep,
)
from twomode.studies.tuning import STEP_SCALES, ratios_of, tune
from twomode.studies.workers import LostJobError

__all__ = [
    "FINE",
    "NAMES",
    "SETTINGS",
    "STEP_SCALES",
    "Comparison",
    "JobsFailedError",
    "LostJobError",
    "Store",
    "StoredBlock",
    "cell_key",
    "cells",
    "compare_rules",
    "observe",
    "outcome",
    "plan",
    "processes",
    "ratios_of",
    "run_cell",
    "stored_blocks",
    "sweep",
    "tune",
]
