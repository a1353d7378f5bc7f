"""Intervals, tests and trends for what is measured over independent seeds."""

from twomode.statistics.intervals import (
    LogisticTrend,
    PowerTrend,
    Proportion,
    against,
    clopper_pearson,
    compare,
    fit_logistic,
    fit_power,
    main_effects,
)

__all__ = [
    "LogisticTrend",
    "PowerTrend",
    "Proportion",
    "against",
    "clopper_pearson",
    "compare",
    "fit_logistic",
    "fit_power",
    "main_effects",
]
