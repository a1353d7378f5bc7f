"""Both theorems with correlated coefficients: orthogonal modes, and sometimes u_1 + u_2 as data.

python paper_checks/correlated_coefficients.py [--full]
"""

from __future__ import annotations

import twomode_program

import pandas as pd
from claims import COLLAPSES, LEARNS_NO_MODE, RECOVERS, Check, Claim, Finding, Settings, main

import twomode as tm

CARD_AT = 0.1
ASKED = (f"SGDA: {LEARNS_NO_MODE}", f"SGDA: {COLLAPSES}", f"nSGDA: {RECOVERS}")


def dimensions(full: bool) -> list[int]:
    """Where the cards are held."""
    return [2**k for k in ((8, 10, 12, 14, 16) if full else (8, 12))]


def findings(full: bool) -> int:
    """Three cards at each d, two controls."""
    return 3 * len(dimensions(full)) + 2


def run(settings: Settings) -> Claim:
    """Hold the cards at p_12 = 0.1, and map p_12."""
    claim = Claim(
        "Both theorems hold where some data are u_1 + u_2",
        "Theorems 4.1 and 4.2",
        "X = s_1 u_1 + s_2 u_2 with orthogonal modes: SGDA collapses, nSGDA recovers both",
    )
    replicas = settings.pick(64, 96)
    level = settings.confidence
    rows = []
    for d in dimensions(settings.full):
        for p_12 in settings.pick((CARD_AT, 0.6), (CARD_AT, 0.3, 0.6)):
            game = tm.Game.preset(d, data=tm.CorrelatedCoefficients(p_12))
            records = settings.records(d, tm.recipe(game, "sgda").steps)
            sgda = settings.simulate("sgda", game, replicas, **records)
            nsgda = settings.simulate("nsgda", game, replicas)
            cards = {
                "SGDA: 4.1": tm.theory.theorem_4_1(sgda, confidence=level),
                "SGDA: collapse": tm.theory.theorem_4_1_collapse(sgda, confidence=level),
                "nSGDA: 4.2": tm.theory.theorem_4_2(nsgda, confidence=level),
            }
            rows.append(
                {"d": d, "p_12": p_12, **{name: str(c.proportion) for name, c in cards.items()}}
            )
            if p_12 == CARD_AT:
                data = f"u_1 + u_2 in {100 * p_12:.0f} % of the data, d = {d:,}"
                claim.findings += [
                    Finding.card(card, f"{data}, {asked}")
                    for card, asked in zip(cards.values(), ASKED, strict=True)
                ]
                claim.notes += [str(card) for card in cards.values()]
                last = (sgda, nsgda, data)
    sgda, nsgda, data = last
    for theorem, result, violated in (
        (tm.theory.theorem_4_2, sgda, f"SGDA violates: {RECOVERS}"),
        (tm.theory.theorem_4_1, nsgda, f"nSGDA violates: {LEARNS_NO_MODE}"),
    ):
        card = theorem(result, confidence=level)
        claim.findings.append(Finding.card(card, f"{data}, {violated}", control=True))
    table = pd.DataFrame(rows)
    claim.tables["Share of seeds in which each card's inequality holds"] = table
    claim.answer = (
        f"With u_1 + u_2 in {100 * CARD_AT:.0f} % of the data: "
        + "; ".join(
            f"d = {row['d']:,}: {', '.join(f'{k} {row[k]}' for k in row if ':' in k)}"
            for row in rows
            if row["p_12"] == CARD_AT
        )
        + ". In 60 %: "
        + "; ".join(
            f"d = {row['d']:,}: {', '.join(f'{k} {row[k]}' for k in row if ':' in k)}"
            for row in rows
            if row["p_12"] == 0.6
        )
        + "."
    )
    return claim


CHECK = Check("correlated_coefficients", findings, run)

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
