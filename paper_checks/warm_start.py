"""The talk: "by maintaining an adversarial dataset, warm start the sampling".

    python paper_checks/warm_start.py [--full]

Algorithm 1 without its noise, and started from the data at each step: which of the two does the
work?  Beside them Algorithm 1 with Langevin steps, which do know lambda.
"""

from __future__ import annotations

import twomode_program

from dataclasses import replace

import pandas as pd
from adversarial_runs import DATA, budget, curves, ends, median_range
from claims import Check, Claim, Finding, Settings, main

from twomode.adversarial import SignStep, method, sampler

WARM = method("algorithm-1")
VARIANTS = {
    "Algorithm 1": WARM,
    "no noise": replace(WARM, sampler=SignStep(sigma=0.0)),
    "cold start": replace(WARM, start="data"),
    "PGD-7": method("pgd-7"),
}
#: The best of three h, a factor of three apart, at each problem's lambda, on seeds 0 to 3.
LANGEVIN = {
    "digits": {"projected": 0.03, "reflected": 0.001},
    "moons": {"projected": 0.1, "reflected": 0.01},
}
#: A difference in robust error that matters: five points.
MATTERS = 0.05


def findings(full: bool) -> int:
    """Three and a control on each data set."""
    return 4 * len(DATA)


def run(settings: Settings) -> Claim:
    """Train every variant on the same seeds."""
    claim = Claim(
        "The warm start does the work",
        "the talk, Conclusion (part 2)",
        "by maintaining an adversarial dataset, warm start the sampling",
    )
    answers = []
    for name in DATA:
        problem, seeds = budget(settings, name)
        variants = VARIANTS.copy()
        if settings.full:
            for wall, h in LANGEVIN[name].items():
                variants[f"{wall} Langevin, h = {h:g}"] = replace(WARM, sampler=sampler(wall, h=h))
        table = curves(settings, problem, variants, seeds)
        error = ends(table, "robust_error")
        over = error.sub(error["Algorithm 1"], axis=0)
        for statement, holds, above, control in (
            (
                f"a cold start costs more than {MATTERS:g} in robust error",
                over["cold start"] > MATTERS,
                True,
                False,
            ),
            (
                "a cold start costs more than leaving out the noise",
                over["cold start"] > over["no noise"],
                True,
                False,
            ),
            (
                f"leaving out the noise costs more than {MATTERS:g}",
                over["no noise"] > MATTERS,
                False,
                False,
            ),
            (
                f"PGD-7, cold too but with seven steps, costs more than {MATTERS:g}",
                over["PGD-7"] > MATTERS,
                False,
                True,
            ),
        ):
            share = settings.proportion(holds)
            finding = Finding.share(
                f"{name}: {statement}", share, 0.5, above=above, control=control
            )
            claim.findings.append(finding)
        strong = ends(table, "strong_error")
        claim.tables[
            f"{name}: {seeds} seeds, {problem.steps:,} steps of SGD, eps = {problem.eps:g},"
            f" lambda = {problem.lam:g} for Langevin steps; median (range)"
        ] = pd.DataFrame(
            {
                "variant": variant,
                "PGD-40 error": median_range(error[variant]),
                "less that of Algorithm 1": median_range(over[variant], "+.3f"),
                "PGD-100, 10 restarts": median_range(strong[variant]),
            }
            for variant in variants
        )
        others = (v for v in variants if v != "Algorithm 1")
        words = ", ".join(f"{v} {median_range(over[v], '+.3f')}" for v in others)
        answers.append(f"{name}: {words}")
    claim.answer = f"Robust error less that of Algorithm 1: {'; '.join(answers)}."
    return claim


CHECK = Check("warm_start", findings, run, needs="sklearn")

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
