"""The talk's graft: AdaLR is as good as Adam, AdaDir is not.

    python paper_checks/adalr_adadir.py [--full]

AdaLR has Adam's norm and the gradient's direction, AdaDir the reverse.  Each rule runs at its own
best of a small grid of step sizes, chosen on seeds of their own; the same starts for all.
"""

from __future__ import annotations

import twomode_program

from dataclasses import replace
from typing import Any

import pandas as pd
from claims import Check, Claim, Finding, Settings, main
from granularity import observe

import twomode as tm
from twomode.statistics import compare_paired

#: Recovery may be smaller by this much and still count as being as good.
AS_GOOD = 0.25

RULES: dict[str, dict[str, Any]] = {
    "Adam": {"opt": "adam"},
    "AdaLR": {"opt": "adalr"},
    "AdaLR, per neuron": {"opt": "adalr", "granularity": "neuron"},
    "AdaDir": {"opt": "adadir"},
}


def findings(full: bool) -> int:
    """AdaLR against Adam in two granularities, AdaDir against Adam."""
    return 3


def run(settings: Settings) -> Claim:
    """Tune each rule on its own seeds, compare on fresh ones."""
    claim = Claim(
        "The gradient's direction with Adam's norm (AdaLR) is as good as Adam, the reverse (AdaDir)"
        " is not",
        "the talk, Results, item 1",
        "AdaLR is as good as Adam, i.e. the direction does not matter",
    )
    d = settings.pick(2**8, 2**10)
    grid = settings.pick((1.0,), (0.5, 1.0, 2.0))
    rows, shares, recovered = [], {}, {}
    for name, rule in RULES.items():
        cell, tuned = tune(settings, d, rule, grid)
        fresh = replace(settings, seed=settings.seed + 1)
        table = fresh.sweep(name, [cell], 128, measure=observe, paired=cell)
        recovered[name] = table["both_modes"]
        shares[name] = settings.proportion(recovered[name])
        rows.append(
            {
                "rule": name,
                "eta_D": cell["eta_D"],
                "eta_G / eta_D": cell["eta_G"] / cell["eta_D"],
                "recovery at each multiple of the recipe's step": tuned,
                "both modes, fresh seeds": str(shares[name]),
                "one mode": f"{100 * table['one_mode'].mean():.0f} %",
                "the average": f"{100 * table['average'].mean():.0f} %",
            }
        )
    as_good = f"at most {100 * AS_GOOD:.0f} points less often than Adam"
    for name, threshold, above, words in (
        ("AdaLR", -AS_GOOD, True, as_good),
        ("AdaLR, per neuron", -AS_GOOD, True, as_good),
        ("AdaDir", 0.0, False, "less often than Adam"),
    ):
        claim.findings.append(
            Finding(
                f"{name} recovers both modes {words}",
                shares[name].share - shares["Adam"].share,
                compare_paired(recovered[name], recovered["Adam"], settings.confidence),
                threshold,
                above,
                seeds=shares[name].trials,
                percent=True,
            )
        )
    claim.tables[f"Recovery of both modes at d = {d:,}"] = pd.DataFrame(rows)
    claim.answer = (
        f"At d = {d:,} with random modes, each rule at its best of the steps tried, both modes are"
        " recovered by " + ", ".join(f"{name} in {p}" for name, p in shares.items()) + " of seeds."
    )
    return claim


def tune(
    settings: Settings, d: int, rule: dict[str, Any], grid: tuple[float, ...]
) -> tuple[dict[str, Any], str]:
    """The cell of the rule's best step size, and what each of the grid reached."""
    changes = {name: value for name, value in rule.items() if name != "opt"}
    base, steps = tm.recipe(tm.Game.preset(d), rule["opt"], **changes)
    cells = [
        {
            **rule,
            "d": d,
            "eta_D": factor * base.eta_D,
            "eta_G": factor * base.eta_G,
            "steps": round(steps / min(factor, 1.0)),
            "record_every": 10**9,
        }
        for factor in grid
    ]
    if len(cells) == 1:
        return cells[0], "the recipe's step alone"
    table = settings.sweep(f"{rule['opt']}: step sizes", cells, 16, measure=observe)
    reached = table.groupby("eta_D", sort=False)["both_modes"].mean().tolist()
    words = ", ".join(f"{f:g}: {100 * r:.0f} %" for f, r in zip(grid, reached, strict=True))
    return cells[reached.index(max(reached))], words


CHECK = Check("adalr_adadir", findings, run)

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
