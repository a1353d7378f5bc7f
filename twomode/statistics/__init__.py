"""Intervals, tests and trends for what is measured over independent seeds."""

from twomode.statistics.factorial import main_effects
from twomode.statistics.proportions import (
    Proportion,
    against,
    clopper_pearson,
    compare,
    compare_paired,
)
from twomode.statistics.trends import LogisticTrend, PowerTrend, fit_logistic, fit_power

__all__ = [
    "LogisticTrend",
    "PowerTrend",
    "Proportion",
    "against",
    "clopper_pearson",
    "compare",
    "compare_paired",
    "fit_logistic",
    "fit_power",
    "main_effects",
]
