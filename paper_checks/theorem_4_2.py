"""Theorem 4.2: normalized SGDA recovers both modes after T_1 = c/eta_D iterations.

    python paper_checks/theorem_4_2.py [--full]

Read with one norm for each neuron; granularity.py asks about the other readings.  The card over
growing d, to 2^40 (2^60 with --full), and the trend of the recovery.  SGDA is the negative control.
"""

from __future__ import annotations

import twomode_program

import numpy as np
import pandas as pd
from claims import RECOVERS, Check, Claim, Finding, Settings, main
from matplotlib.figure import Figure

import twomode as tm
from twomode.statistics import LogisticTrend, fit_logistic


def dimensions(full: bool) -> list[int]:
    """Where the card is held against nSGDA."""
    return [2**k for k in ((6, 8, 10, 12, 16, 20, 24, 32, 40, 50, 60) if full else (8, 12, 20, 40))]


def findings(full: bool) -> int:
    """A card at each d, the trend, the control."""
    return len(dimensions(full)) + 2


def run(settings: Settings) -> Claim:
    """Hold the card against per-neuron nSGDA at each d, and against SGDA."""
    claim = Claim(
        "Normalized SGDA, with one norm per neuron, recovers both modes",
        "Theorem 4.2",
        "after T_1 = Theta~(1/eta_D) iterations, Pr_z(|G(z)/|G(z)| - u_l| = o(1)) = Omega~(1)",
    )
    rows = []
    for d in (d_all := dimensions(settings.full)):
        game = tm.Game.preset(d)
        replicas = settings.pick(128, 512 if d < 2**32 else 128)
        result = settings.simulate("nsgda", game, replicas, record_every=250)
        card = tm.theory.theorem_4_2(result, confidence=settings.confidence)
        claim.findings.append(Finding.card(card, f"nSGDA per neuron, d = {d:,}: {RECOVERS}"))
        claim.notes.append(f"d = {d:,}\n{card}")
        rows.append((d, game.m_G, int(card.held.sum()), replicas))
    table = pd.DataFrame(rows, columns=["d", "m_G", "recovered", "replicas"])
    table["1 - 2^(1 - m_G)"] = 1 - 0.5 ** (table["m_G"] - 1.0)
    trend = fit_logistic(
        np.log(d_all), table["recovered"], table["replicas"], confidence=settings.confidence
    )
    claim.findings.append(
        Finding(
            "nSGDA per neuron: recovery rises with d (slope of its logit in ln(d))",
            trend.slope,
            trend.slope_interval,
            0.0,
            above=True,
            seeds=int(table["replicas"].sum()),
        )
    )
    claim.figures["Recovery of both modes against d"] = picture(table, trend, settings)
    control = settings.simulate("sgda", tm.Game.preset(2**12), 48)
    card = tm.theory.theorem_4_2(control, confidence=settings.confidence)
    claim.findings.append(
        Finding.card(card, f"SGDA, d = 4,096, violates: {RECOVERS}", control=True)
    )
    claim.tables["Recovery of both modes"] = table
    claim.answer = (
        "With one norm for each neuron, both modes are recovered in "
        + ", ".join(f"{100 * k / n:.0f} % (d = {d:,})" for d, _, k, n in rows)
        + " of seeds. The failures put all neurons on one mode; choosing independently, m_G neurons"
        " would do so with probability 2^(1 - m_G)."
    )
    return claim


def picture(table: pd.DataFrame, trend: LogisticTrend, settings: Settings) -> Figure:
    """Recovery with intervals, its logistic trend, and the independent choice for comparison."""
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    d = table["d"].astype(float)
    each = pd.DataFrame(
        {
            "d": np.repeat(d, table["replicas"]),
            "both": np.concatenate(
                [
                    np.arange(n) < k
                    for n, k in zip(table["replicas"], table["recovered"], strict=True)
                ]
            ),
        }
    )
    tm.plotting.proportions(
        axes, each, "d", "both", confidence=settings.confidence, joined=False, label="nSGDA"
    )
    x = np.geomspace(d.min(), d.max(), 200)
    tm.plotting.fitted(axes, x, trend(np.log(x)), trend.band(np.log(x)), label="logistic in ln d")
    axes.plot(d, table["1 - 2^(1 - m_G)"], ":", color="0.5", label="$1 - 2^{1 - m_G}$")
    axes.legend(frameon=False, fontsize=8)
    axes.set_xscale("log", base=2)
    axes.set(xlabel="d", ylabel="both modes recovered")
    return figure


CHECK = Check("theorem_4_2", findings, run)

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
