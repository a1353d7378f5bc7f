"""The talk's inconvenient truth: principled methods alone do not do what normalization does.

    python paper_checks/principled_methods.py [--full]

Each method runs on plain and on normalized gradients, at its own best of a grid of step sizes that
was chosen on other seeds; the same starts for all.  `sims/compare.py` has all rules, Adam's too.
"""

from __future__ import annotations

import twomode_program

import pandas as pd
from claims import Check, Claim, Finding, Settings, main

import twomode as tm
from twomode.progress import of_task
from twomode.studies import ratios_of, tune
from twomode.theory import covers_both

#: The talk's list: each alone, and on normalized gradients.
METHODS = ("ttur", "optimistic", "sga", "extragradient", "negative-momentum", "anchored")
ALONE, NORMALIZED = METHODS, tuple(f"{name}-nsgda" for name in METHODS)


def findings(full: bool) -> int:
    """One for each method in each of its two forms, and one for each of the two bases."""
    return 2 * len(METHODS) + 2


def recovered(result: tm.Result) -> dict[str, object]:
    """Whether both modes are covered at the end."""
    return {"recovered": covers_both(result)[:, -1]}


def run(settings: Settings) -> Claim:
    """Tune each rule on its own seeds, run all on the same fresh ones."""
    claim = Claim(
        "Principled methods alone do not recover both modes; on normalized gradients they do",
        "the talk, 'An inconvenient truth'",
        "these principled methods alone could not close this gap; then, principled methods for"
        " minimax optimization can be used",
    )
    d = settings.pick(2**8, 2**12)
    rules = ("sgda", *ALONE, "nsgda", *NORMALIZED)
    ratios = ratios_of(d)
    best, _ = tune(
        [{"d": d, "opt": rule} for rule in rules],
        settings.pick(8, 16),
        step_scales=settings.pick((1.0,), (0.25, 1.0, 4.0)),
        ratios=settings.pick(ratios[::2], ratios),
        executor=settings.executor,
        seed=settings.seed,
        progress=of_task("step sizes", settings.progress),
    )
    fresh = settings.sweep(
        "methods",
        [
            {**cell, "record_every": 10**9}  # the first and the last iteration only
            for cell in best
        ],
        settings.pick(64, 128),
        measure=recovered,
        paired=("opt", "step_scale", "ratio"),
    )
    rows = []
    for cell in best:
        rule = cell["opt"]
        share = settings.proportion(fresh.loc[fresh["opt"] == rule, "recovered"])
        normalized = rule in ("nsgda", *NORMALIZED)
        claim.findings.append(
            Finding.share(
                f"{rule} recovers both modes in {'more' if normalized else 'less'} than half",
                share,
                0.5,
                above=normalized,
                control=rule == "nsgda",
            )
        )
        rows.append(
            {
                "rule": rule,
                "eta_G / eta_D": cell["ratio"],
                "multiple of the recipe's step": cell["step_scale"],
                "both modes, fresh seeds": str(share),
            }
        )
    claim.tables[f"Recovery of both modes at d = {d:,}"] = pd.DataFrame(rows)
    shares = fresh.groupby("opt")["recovered"].mean()

    def span(names: tuple[str, ...]) -> str:
        low, high = shares[list(names)].agg(["min", "max"])
        return f"{100 * low:.0f} to {100 * high:.0f} %"

    claim.answer = (
        f"At d = {d:,}, each rule at its best of the step sizes tried, SGDA recovers both modes in"
        f" {100 * shares['sgda']:.0f} % of seeds and the talk's methods alone in {span(ALONE)};"
        f" nSGDA in {100 * shares['nsgda']:.0f} %, the methods on normalized gradients in"
        f" {span(NORMALIZED)}."
    )
    return claim


CHECK = Check("principled_methods", findings, run)

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
