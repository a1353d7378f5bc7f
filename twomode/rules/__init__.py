"""Update rules: their algebra, the named ones, their step sizes, their corrections."""

from twomode.rules.algebra import (
    ALIGNMENT,
    CHOICES,
    CORRECTIONS,
    DIRECTIONS,
    FIRST_STEPS,
    GRANULARITIES,
    MAGNITUDES,
    NEWTON_SCHULZ,
    NEWTON_SCHULZ_STEPS,
    PAST_SCALES,
    POLARS,
    RANK,
    SCHEDULES,
    Cost,
    Optimizer,
    Rule,
    Stage,
)
from twomode.rules.corrections import corrected, jacobian_product, transposed_jacobian_product
from twomode.rules.named import RULES, NamedRule, label, named_rule, optimizer
from twomode.rules.own import OwnRule, rule_from_dict
from twomode.rules.polar import polar_factor
from twomode.rules.recipes import UNTIL_T0, Recipe, recipe

__all__ = [
    "ALIGNMENT",
    "CHOICES",
    "CORRECTIONS",
    "DIRECTIONS",
    "FIRST_STEPS",
    "GRANULARITIES",
    "MAGNITUDES",
    "NEWTON_SCHULZ",
    "NEWTON_SCHULZ_STEPS",
    "PAST_SCALES",
    "POLARS",
    "RANK",
    "RULES",
    "SCHEDULES",
    "UNTIL_T0",
    "Cost",
    "NamedRule",
    "Optimizer",
    "OwnRule",
    "Recipe",
    "Rule",
    "Stage",
    "corrected",
    "jacobian_product",
    "label",
    "named_rule",
    "optimizer",
    "polar_factor",
    "recipe",
    "rule_from_dict",
    "transposed_jacobian_product",
]
