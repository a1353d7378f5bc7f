"""What the theorems say, whether they hold for a result, and why."""

from twomode.theory.cards import Card, Hypothesis, margins_of, worst_of
from twomode.theory.mechanism import ALIGNED, TARGETS, Mechanism, alignments, explain, spread
from twomode.theory.theorems import (
    asymmetry_bound,
    coverage_bound,
    formula,
    ratio_bound,
    residual_bound,
    slow_residual_bound,
    theorem_4_1,
    theorem_4_1_collapse,
    theorem_4_2,
)
from twomode.theory.verdicts import (
    NEAR,
    VERDICTS,
    Judgement,
    covers_both,
    first_stationary,
    judge,
    left_start,
    modes_covered,
    moved,
    overshot,
)

__all__ = [
    "ALIGNED",
    "NEAR",
    "TARGETS",
    "VERDICTS",
    "Card",
    "Hypothesis",
    "Judgement",
    "Mechanism",
    "alignments",
    "asymmetry_bound",
    "coverage_bound",
    "covers_both",
    "explain",
    "first_stationary",
    "formula",
    "judge",
    "left_start",
    "margins_of",
    "modes_covered",
    "moved",
    "overshot",
    "ratio_bound",
    "residual_bound",
    "slow_residual_bound",
    "spread",
    "theorem_4_1",
    "theorem_4_1_collapse",
    "theorem_4_2",
    "worst_of",
]
