"""Theorem 4.2 as far as d goes: normalized SGDA needs a width that grows with ln d.

    python paper_checks/wide_enough.py [--full]

nSGDA has no plateau, so that its discrete steps reach d = 2^100 (2^200 with --full).  The card at
the canonical width m = ln d, with a norm per neuron, per layer and per player; and the trend of
the recovery with m fixed at 9, per neuron.
"""

from __future__ import annotations

import twomode_program

import math

import numpy as np
import pandas as pd
from claims import RECOVERS, Check, Claim, Finding, Settings, main
from matplotlib.figure import Figure

import twomode as tm
from twomode.statistics import fit_logistic

READINGS = {"nsgda": "per neuron", "l-nsgda": "per layer", "g-nsgda": "per player"}
NEURONS = 9
#: At the canonical width; a run at 2^200, with 139 neurons to a player, takes minutes.
SEEDS = 16


def exponents(full: bool) -> tuple[int, ...]:
    """Of 2: the d of the canonical width, the first one in all readings."""
    return (100, 200) if full else (60,)


def findings(full: bool) -> int:
    """A card per neuron at each d, the other readings at the first, the trend, its last d."""
    return len(exponents(full)) + 4


def run(settings: Settings) -> Claim:
    """The canonical width, then a fixed one."""
    claim = Claim(
        "Normalized SGDA, with one norm per neuron, recovers both modes at any d if m grows",
        "Theorem 4.2, up to d = 2^200",
        "m_D, m_G = polylog(d); after T_1 iterations both modes are learned",
    )
    all_k = exponents(settings.full)
    grid = [{"opt": "nsgda", "d": 2**k} for k in reversed(all_k)]  # the longest first
    grid += [{"opt": opt, "d": 2 ** all_k[0]} for opt in READINGS if opt != "nsgda"]
    canonical = sweep(settings, "m = ln d", grid, SEEDS)
    for k in all_k:
        claim.findings.append(card(settings, canonical, "nsgda", k, above=True))
    for opt in READINGS:
        if opt != "nsgda":
            claim.findings.append(card(settings, canonical, opt, all_k[0], above=False))

    fixed_k = settings.pick((12, 50, 100, 200), (8, 12, 24, 50, 100, 200, 400))
    grid = [{"opt": "nsgda", "d": 2**k, "m_D": NEURONS, "m_G": NEURONS} for k in fixed_k]
    fixed = sweep(settings, f"m = {NEURONS}", grid, settings.pick(64, 256))
    counts = fixed.groupby("k")["recovers"].agg(["sum", "count"])
    large = counts[counts.index >= 12]
    trend = fit_logistic(
        large.index * math.log(2), large["sum"], large["count"], confidence=settings.confidence
    )
    last = fixed[fixed["k"] == fixed_k[-1]]["recovers"]
    claim.findings += [
        Finding(
            f"nSGDA per neuron, m = {NEURONS}: recovery falls with d (slope of its logit in ln(d))",
            trend.slope,
            trend.slope_interval,
            0.0,
            above=False,
            seeds=int(large["count"].sum()),
        ),
        Finding.share(
            f"nSGDA per neuron, m = {NEURONS}, d = 2^{fixed_k[-1]}: recovers less often than"
            " neurons that choose a mode each",
            settings.proportion(last),
            1 - 0.5 ** (NEURONS - 1),
            above=False,
        ),
    ]
    table = pd.concat([canonical, fixed], ignore_index=True)
    claim.tables["Both modes recovered"] = (
        table.groupby(["opt", "width", "k"])["recovers"].agg(["mean", "size"]).reset_index()
    )
    claim.figures["Recovery against d, m fixed and m = ln d"] = picture(settings, canonical, fixed)
    shares = ", ".join(
        f"{100 * row.sum / row.count:.0f} % at 2^{row.Index}" for row in counts.itertuples()
    )
    per_neuron = (
        canonical[canonical["opt"] == "nsgda"].groupby("k")["recovers"].agg(["sum", "size"])
    )
    wide = ", ".join(
        f"{row.sum} of {row.size} seeds at 2^{row.Index}" for row in per_neuron.itertuples()
    )
    claim.answer = (
        f"With m = ln d nSGDA per neuron recovers both modes in {wide}. With m = {NEURONS} in"
        f" {shares}: the width must grow."
    )
    return claim


def sweep(
    settings: Settings, label: str, grid: list[dict[str, object]], seeds: int
) -> pd.DataFrame:
    """Runs to T_1, and whether the card's inequality held."""
    grid = [{"record_every": 500, **cell} for cell in grid]
    table = settings.sweep(label, grid, seeds, measure=observe)
    table["k"] = np.log2(table["d"].astype(float)).round().astype(int)
    return table.drop(columns="d")


def observe(result: tm.Result) -> dict[str, object]:
    """Whether both modes are covered at T_1, and the width."""
    return {"recovers": tm.theory.theorem_4_2(result).held, "width": result.game.m_G}


def card(settings: Settings, table: pd.DataFrame, opt: str, k: int, *, above: bool) -> Finding:
    """The card of one reading at one d."""
    held = table.loc[(table["opt"] == opt) & (table["k"] == k), "recovers"]
    return Finding.share(
        f"nSGDA {READINGS[opt]}, m = ln d, d = 2^{k}: {RECOVERS}",
        settings.proportion(held),
        0.5,
        above=above,
    )


def picture(settings: Settings, canonical: pd.DataFrame, fixed: pd.DataFrame) -> Figure:
    """Shares with intervals."""
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    words = {opt: f"{reading}, m = ln d" for opt, reading in READINGS.items()}
    rows = pd.concat(
        [
            fixed.assign(rule=f"per neuron, m = {NEURONS}"),
            canonical.assign(rule=canonical["opt"].map(words)),
        ],
        ignore_index=True,
    )
    tm.plotting.proportions(axes, rows, "k", "recovers", by="rule", confidence=settings.confidence)
    axes.set(xlabel=r"$\log_2 d$", ylabel="both modes recovered", ylim=(0, 1.03))
    return figure


CHECK = Check("wide_enough", findings, run)

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
