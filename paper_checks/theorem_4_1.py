"""Theorem 4.1: up to T_0 the generator that SGDA trains sees both modes alike.

    python paper_checks/theorem_4_1.py [--full]

Over independent seeds at growing d, with the recipe's step sizes (eta_G = eta_D ln d): the card of
the theorem, over all 2^m_G latents at every record up to T_0, and the trend of the largest
asymmetry in d.  Per-neuron normalized SGDA is the negative control.
"""

from __future__ import annotations

import twomode_program

import numpy as np
from claims import LEARNS_NO_MODE, Check, Claim, Finding, Settings, main
from matplotlib.figure import Figure

import twomode as tm
from twomode.statistics import PowerTrend, fit_power

CONTROL_AT = 2**12


def dimensions(full: bool) -> list[int]:
    """Where the card is held against SGDA."""
    return [2**k for k in ((6, 8, 10, 12, 14, 16, 20, 24) if full else (6, 8, 10, 12))]


def findings(full: bool) -> int:
    """A card at each d, the trend, the control."""
    return len(dimensions(full)) + 2


def run(settings: Settings) -> Claim:
    """Hold the card against SGDA at each d, and against nSGDA."""
    claim = Claim(
        "SGDA with eta_G = eta_D ln(d) learns no single mode up to T_0",
        "Theorem 4.1",
        "for all t <= T_0 and all z, G(z) = alpha(z)(u_1 + u_2) + xi(z), |<xi,u_l>| = o(1)|xi|",
    )
    largest = []
    for d in (d_all := dimensions(settings.full)):
        game = tm.Game.preset(d)
        steps = tm.recipe(game, "sgda").steps
        steps = round(0.6 * steps)  # T_0 comes at about a third of the recipe's iterations
        result = settings.simulate(
            "sgda",
            game,
            settings.pick(96, 96 if d < 2**20 else 32),
            steps=steps,
            **settings.records(d, steps),
        )
        card = tm.theory.theorem_4_1(result, confidence=settings.confidence)
        claim.findings.append(Finding.card(card, f"SGDA, d = {d:,}: {LEARNS_NO_MODE}"))
        claim.notes.append(f"d = {d:,}\n{card}")
        largest.append(largest_up_to_T0(card))
    trend = fit_power(d_all, largest, confidence=settings.confidence)
    claim.findings.append(
        Finding(
            "SGDA: the largest asymmetry up to T_0 falls with d (exponent of its median)",
            trend.exponent,
            trend.exponent_interval,
            0.0,
            above=False,
            seeds=sum(map(len, largest)),
        )
    )
    claim.figures["Largest asymmetry up to T_0, against d"] = picture(trend, largest)
    control = tm.theory.theorem_4_1(
        settings.simulate("nsgda", tm.Game.preset(CONTROL_AT), 48), confidence=settings.confidence
    )
    statement = f"nSGDA per neuron, d = {CONTROL_AT:,}, violates: {LEARNS_NO_MODE}"
    claim.findings.append(Finding.card(control, statement, control=True))
    low, high = trend.exponent_interval
    claim.answer = (
        f"At these step sizes the inequality holds in {shares(claim)} of seeds at d = "
        f"{', '.join(f'{d:,}' for d in d_all)}. The largest asymmetry up to T_0 falls as d^s with"
        f" s = {trend.exponent:.2f} ({low:.2f} to {high:.2f}); at d = {d_all[-1]:,} its median is"
        f" {np.median(largest[-1]):.3g}, the random start's own {np.median(card.left[:, 0]):.3g}."
    )
    claim.notes.append(every_iteration(settings))
    return claim


def largest_up_to_T0(card: tm.theory.Card) -> np.ndarray:
    """Largest left side of each replica where the theorem asks for the inequality."""
    return np.nanmax(np.where(card.asked, card.left, np.nan), axis=1)


def picture(trend: PowerTrend, largest: list[np.ndarray]) -> Figure:
    """The largest asymmetries, their power law and the card's bound."""
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    tm.plotting.scaling(axes, trend, largest, "asymmetry", symbol="d")
    axes.plot(trend.x, np.log(trend.x) / np.sqrt(trend.x), "--", color="0.5")
    axes.annotate(r"$\ln d/\sqrt{d}$", (trend.x[-1], np.log(trend.x[-1]) / np.sqrt(trend.x[-1])))
    axes.set_xscale("log", base=2)
    axes.set(xlabel="d", ylabel="largest asymmetry up to $T_0$")
    return figure


def shares(claim: Claim) -> str:
    """The cards' proportions, in words."""
    cards = [f for f in claim.findings if f.threshold > 0 and not f.control]
    return ", ".join(f"{100 * f.estimate:.0f} %" for f in cards)


def every_iteration(settings: Settings) -> str:
    """Whether anything hides between two records: the same runs recorded at every iteration."""
    game = tm.Game.preset(2**10)
    steps = tm.recipe(game, "sgda").steps // 2
    coarse = settings.records(game.d, steps)
    lines = ["Between the records: d = 1,024, 16 seeds, asymmetry up to T_0 (median), and held in"]
    for words, recorded in (("every iteration", {"record_every": 1}), ("as above", coarse)):
        card = tm.theory.theorem_4_1(settings.simulate("sgda", game, 16, steps=steps, **recorded))
        middle = np.median(largest_up_to_T0(card))
        lines.append(f"  {words}: {middle:.4f}, {card.held.sum()} of 16, {len(card.steps)} records")
    return "\n".join(lines)


CHECK = Check("theorem_4_1", findings, run)

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
