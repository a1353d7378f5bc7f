"""The published protocol of Algorithm 1, and the abstract's "speed-up of a factor of 200".

    python paper_checks/published_speed_up.py [--full]

On 8 x 8 digits and two moons, as its authors ran it: one copy, steps of eps/30 with uniform noise,
and PGD-40 from the data points themselves by 40 such steps; batches of 100, learning rate 0.1, 100
epochs; the error is that under FGSM, and the cost is counted in passes over the data.  Beside it
stand PGD-40 and PGD-100 with ten restarts, under which one that FGSM does not fool may still be
fooled.
"""

from __future__ import annotations

import twomode_program

import math
from dataclasses import replace

import pandas as pd
from adversarial_runs import DATA, curves, ends, median_range
from claims import Check, Claim, Finding, Settings, main

from twomode.adversarial import PROBLEMS, SignStep, cost_to, method

ONE, PGD = "published", "pgd-40 from the data"
METHODS = {
    "natural": method("natural"),
    ONE: method(ONE),
    PGD: method("pgd-40", sampler=SignStep(1 / 30, 0.0), start="data"),
}
BATCH, EPOCHS, QUICK_EPOCHS = 100, 100, {"digits": 10, "moons": 100}
#: Of the quick form as few as decide a share of none or all among the findings of every check.
SEEDS, QUICK_SEEDS = 20, 14
HUGE, CLAIMED = 10.0, 200.0
#: "Equal error" in the middle and at the end of training, as in `langevin_speed_up`.
COST_WITHIN, END_WITHIN = 0.01, 0.02


def findings(full: bool) -> int:
    """Three and a control of each data set."""
    return 4 * len(DATA)


def run(settings: Settings) -> Claim:
    """Train with each method on the same seeds."""
    claim = Claim(
        "By its own protocol, Algorithm 1 speeds adversarial training up by a factor of 200",
        "the abstract, and the published code",
        "speed-up of a factor of 200",
    )
    said = [_of_data(name, settings, claim) for name in DATA]
    claim.answer = (
        f"To within {COST_WITHIN:g} of the FGSM error that PGD-40 from the data ends at: times"
        " fewer passes (median and range over seeds, 0 where it never comes there), and errors at"
        f" the end beside PGD-40's, {'; '.join(said)}. An epoch of PGD-40 is 41 passes and one of"
        " Algorithm 1 two."
    )
    return claim


def _of_data(name: str, settings: Settings, claim: Claim) -> str:
    """Findings and a table of one data set, and its part of the answer."""
    seeds, problem = settings.pick(QUICK_SEEDS, SEEDS), PROBLEMS[name]
    epochs = settings.pick(QUICK_EPOCHS[name], EPOCHS)
    steps = epochs * problem.n_train // BATCH
    problem = replace(problem, steps=steps, batch=BATCH, learning_rate=0.1)
    table = curves(settings, problem, METHODS, seeds)
    fgsm, robust, strong = (ends(table, f"{kind}_error") for kind in ("fgsm", "robust", "strong"))
    passes = cost_to(table, fgsm[PGD] + COST_WITHIN, error="fgsm_error") / problem.n_train
    fewer = passes[PGD] / passes[ONE]
    for statement, holds in (
        (f"within {COST_WITHIN:g} of PGD-40's FGSM error in {HUGE:g} times fewer passes",
         fewer >= HUGE),
        (f"in {CLAIMED:g} times fewer passes", fewer >= CLAIMED),
        (f"under PGD-100 with ten restarts it ends within {END_WITHIN:g} of PGD-40",
         strong[ONE] <= strong[PGD] + END_WITHIN),
    ):  # fmt: skip
        share = settings.proportion(holds)
        claim.findings.append(Finding.share(f"{name}: {statement}", share, 0.5, above=True))
    reached = settings.proportion(passes["natural"] < math.inf)
    words = f"{name}: natural training comes down to that level"
    claim.findings.append(Finding.share(words, reached, 0.5, above=False, control=True))
    claim.tables[f"{name}: {seeds} seeds, {epochs} epochs; median (range)"] = pd.DataFrame(
        {
            "method": m,
            "FGSM error": median_range(fgsm[m]),
            "PGD-40 error": median_range(robust[m]),
            "PGD-100, 10 restarts": median_range(strong[m]),
            "passes to the level": median_range(passes[m], ".0f"),
            "reached the level": f"{(passes[m] < math.inf).sum()} of {seeds}",
        }
        for m in METHODS
    )
    return (
        f"{name} {median_range(fewer, '.1f')}, under FGSM {fgsm[ONE].median():.3f} and"
        f" {fgsm[PGD].median():.3f}, under PGD-100 {strong[ONE].median():.3f} and"
        f" {strong[PGD].median():.3f}"
    )


CHECK = Check("published_speed_up", findings, run, needs="sklearn")

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
