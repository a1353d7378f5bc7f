"""The talk: the adversarial data set is continuous in theta, so "only need one inner step".

    python paper_checks/one_langevin_step.py [--full]

How far the data set that one Langevin step per step of SGD maintains lags behind p_adv*, which in
two dimensions is known exactly, against the learning rate.  The sampler is folded MALA, which has
p_adv* as its stationary law: the lag is all of its error.  How much one step does is a matter of
its size: h = 0.5 is among those that mix best here, and the table has smaller ones too.  The long
form also holds Algorithm 1 against PGD-7 on the digits, at two learning rates.
"""

from __future__ import annotations

import twomode_program

from dataclasses import replace

import pandas as pd
from adversarial_runs import budget, curves, ends, median_range
from claims import Check, Claim, Finding, Settings, main
from matplotlib.figure import Figure

import twomode as tm
from twomode.adversarial import Method, Model, fit, load_data, method, sampler, tracking_lag
from twomode.statistics import fit_power

RATES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
#: The step of the findings, in eps^2, and smaller ones for the table.
H, SMALLER = 0.5, (0.1, 0.2)
SLOW_RATES = RATES[1:4]  #: where the lag is above its noise and far from its limit
#: The lag that "one step suffices" allows: a tenth of what p_adv* gains over uniform noise.
SUFFICES = 0.1
#: Two learning rates on the digits, and how far behind PGD-7 is behind.
SLOW, FAST, BEHIND = 0.2, 0.7, 0.01


def findings(full: bool) -> int:
    """Two lags, their trend, and a control; two comparisons with PGD-7 in the long form."""
    return 6 if full else 4


def lag(learning_rate: float, steps: int, h: float, copies: int, seed: int) -> float:
    """`tracking_lag` on two moons, from a model that was trained naturally for a while."""
    data = load_data("moons", 32, seed)
    natural = {"eps": 0.3, "steps": 200, "batch": len(data.x), "learning_rate": 1.0, "seed": seed}
    model = fit(Model.random(data, seed, hidden=16), data, method("natural"), **natural)
    langevin = Method(sampler("mala-folded", h=h), steps=steps, copies=copies)
    return tracking_lag(
        model, data, langevin, eps=0.3, lam=10.0, learning_rate=learning_rate, seed=seed
    )


def run(settings: Settings) -> Claim:
    """Measure the lag at each learning rate."""
    claim = Claim(
        "One Langevin step for each step of SGD suffices",
        "the talk, Practical implementation",
        "the adversarial dataset is a continuous function of theta (because of the regularization);"
        " only need one inner step of Langevin",
    )
    seeds = settings.pick(16, 32)
    slowest, fastest = RATES[0], RATES[-1]
    cells = [(rate, 1, H) for rate in RATES] + [(slowest, 0, H)]
    cells += [(slowest, 1, h) for h in SMALLER]
    copies = settings.pick(16, 64)
    jobs = [(*cell, copies, settings.seed + k) for cell in cells for k in range(seeds)]
    lags = settings.map("lag behind p_adv*", lag, *zip(*jobs, strict=True))
    columns = ["learning_rate", "inner_steps", "h", "copies", "seed"]
    table = pd.DataFrame(jobs, columns=columns).assign(lag=lags)
    of = {cell: group["lag"] for cell, group in table.groupby(columns[:3])}
    for rate in (slowest, fastest):
        share = settings.proportion(of[rate, 1, H] < SUFFICES)
        statement = f"learning rate {rate:g}, h = {H:g}: the lag is below {SUFFICES:g}"
        claim.findings.append(Finding.share(statement, share, 0.5, above=True))
    lags_of_slow = [of[rate, 1, H] for rate in SLOW_RATES]
    trend = fit_power(SLOW_RATES, lags_of_slow, confidence=settings.confidence)
    claim.findings.append(
        Finding(
            "the lag vanishes with the learning rate: its exponent is positive",
            trend.exponent,
            trend.exponent_interval,
            0.0,
            above=True,
            seeds=seeds,
        )
    )
    claim.findings.append(
        Finding.share(
            f"learning rate {slowest:g}, no inner step: the lag is below {SUFFICES:g}",
            settings.proportion(of[slowest, 0, H] < SUFFICES),
            0.5,
            above=False,
            control=True,
        )
    )
    claim.tables[f"Lag behind p_adv*, two moons, {seeds} seeds; median (range)"] = pd.DataFrame(
        {
            "learning rate": rate,
            "inner steps": steps,
            "h": h,
            "lag": median_range(of[rate, steps, h]),
            f"below {SUFFICES:g}": f"{(of[rate, steps, h] < SUFFICES).sum()} of {seeds}",
        }
        for rate, steps, h in cells
    )
    claim.figures["Lag behind p_adv* against the learning rate"] = picture(table)
    claim.answer = (
        "It depends on the learning rate and on the step. Of what p_adv* gains over uniform noise"
        f" the data set lacks {median_range(of[slowest, 1, H])} at learning rate {slowest:g} and"
        f" {median_range(of[fastest, 1, H])} at {fastest:g} with h = {H:g}; from"
        f" {SLOW_RATES[0]:g} to {SLOW_RATES[-1]:g} it grows with the power {trend.exponent:.2f}"
        f" ({trend.exponent_interval[0]:.2f} to {trend.exponent_interval[1]:.2f}) of the learning"
        f" rate. At {slowest:g} it is "
        + ", ".join(f"{median_range(of[slowest, 1, h])} with h = {h:g}" for h in SMALLER)
        + "."
    )
    if settings.full:
        digits(settings, claim)
    return claim


def digits(settings: Settings, claim: Claim) -> None:
    """Algorithm 1 beside PGD-7 at a slow and at a fast learning rate."""
    rows = []
    for rate in (SLOW, FAST):
        problem, seeds = budget(settings, "digits")
        problem = replace(problem, learning_rate=rate)
        names = ("algorithm-1", "pgd-7")
        table = curves(settings, problem, {name: method(name) for name in names}, seeds)
        strong = ends(table, "strong_error")
        behind = strong["algorithm-1"] - strong["pgd-7"]
        share = settings.proportion(behind < BEHIND)
        statement = f"digits, learning rate {rate:g}: less than {BEHIND:g} behind PGD-7"
        claim.findings.append(Finding.share(statement, share, 0.5, above=True))
        rows.append(
            {"learning rate": rate}
            | {name: median_range(strong[name]) for name in names}
            | {"difference": median_range(behind, "+.3f")}
        )
    claim.tables[f"Digits, error under PGD-100, {seeds} seeds; median (range)"] = pd.DataFrame(rows)
    claim.answer += (
        " On the digits Algorithm 1 ends "
        + " and ".join(f"{r['difference']} at {r['learning rate']:g}" for r in rows)
        + " behind PGD-7, in error under PGD-100 with ten restarts."
    )


def picture(table: pd.DataFrame) -> Figure:
    """The lag against the learning rate, with the range over seeds."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    one = table[(table["inner_steps"] == 1) & (table["h"] == H)].assign(
        sampler="one folded MALA step"
    )
    tm.plotting.seed_bands(axes, one, "learning_rate", "lag", by="sampler")
    axes.set_xscale("log")
    axes.axhline(SUFFICES, color="black", linestyle=":", linewidth=1)
    axes.set(xlabel="learning rate", ylabel="lag, share of the gain over uniform")
    return figure


CHECK = Check("one_langevin_step", findings, run, needs="sklearn")

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
