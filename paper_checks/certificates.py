"""Instances of both theorems, proved by ball arithmetic, counted over seeds.

    python paper_checks/certificates.py [--full]

`twomode.certify` of independent starts: whether balls decide each, whether what is proved is what
the card measures in double precision, and in how many the card's inequality is proved.  A count of
proved instances is measured over seeds, like everything else here: it is no proof of the theorem.
"""

from __future__ import annotations

import twomode_program

from collections import Counter
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pandas as pd
from claims import Check, Claim, Finding, Settings, main

import twomode as tm
from twomode.theory import Card


class Case(NamedTuple):
    """A rule at a dimension, 2 to the k, over some seeds.

    A normalized step costs balls a bit or more: there most runs take the recipe's steps ten times
    as long, and a tenth of them.  Along a frame they are the recipe's own.
    """

    rule: str
    k: int
    seeds: int
    step_scale: float = 1.0
    frame: bool = False

    @property
    def cell(self) -> dict[str, object]:
        """Of a sweep; SGDA is recorded at each iteration, for the maximum over t <= T_0."""
        every = 1 if self.rule == "sgda" else 10**9
        steps = {"step_scale": self.step_scale, "record_every": every}
        return {"d": 2**self.k, "opt": self.rule, **steps}

    @property
    def words(self) -> str:
        """As findings name it."""
        rule = "nSGDA per neuron" if self.rule == "nsgda" else "SGDA"
        steps = "" if self.step_scale == 1 else f", steps {self.step_scale:g} times the recipe's"
        how = ", along a frame" if self.frame else ""
        return f"{rule}, d = 2^{self.k}{steps}{how}"


def cases(full: bool) -> list[Case]:
    """What is proved; those of as many seeds, proved alike, stand together, and run together."""
    if full:
        return [
            *(Case("sgda", k, 64) for k in (8, 12)),
            *(Case("nsgda", k, 64, 10.0) for k in (8, 12, 20, 40)),
            Case("nsgda", 8, 16),
            Case("nsgda", 8, 32, frame=True),
            Case("nsgda", 12, 16, frame=True),
        ]
    return [Case("sgda", 8, 12), Case("nsgda", 8, 8, 10.0)]


def findings(full: bool) -> int:
    """Of each case whether balls decide, whether the card agrees, and how many are proved.

    What doubles decide along a frame is counted beside them: it is about doubles.
    """
    return 3 * sum(not case.frame for case in cases(full))


def run(settings: Settings) -> Claim:
    """Prove, measure and count."""
    claim = Claim(
        "Instances of both theorems can be proved, and are what double precision measures",
        "Theorems 4.1 and 4.2",
        "for all t <= T_0 and all z ..., after T_1 iterations ...: here of one exact start each",
    )
    for (seeds, frame), alike in groupby(
        cases(settings.full), lambda case: (case.seeds, case.frame)
    ):
        together = list(alike)
        cells = [case.cell for case in together]
        measure = along_a_frame if frame else by_balls
        table = settings.sweep(f"{seeds} starts each", cells, seeds, measure=measure, together=1)
        for n, case in enumerate(together):
            count(case, table[n * seeds : (n + 1) * seeds], settings, claim)
    claim.answer = f"Proved are instances, never the theorems. {'; '.join(claim.notes)}."
    return claim


def count(case: Case, table: pd.DataFrame, settings: Settings, claim: Claim) -> None:
    """Add what is found of a case."""
    if not case.frame:
        decided = table["verdict"] != "undecided"
        for words, happened in (
            ("enclosures decide", decided),
            ("what is proved is what the cards measure", table["agrees"] & decided),
            ("the cards' inequalities are proved", table["verdict"] == "proved"),
        ):
            share = settings.proportion(happened)
            claim.findings.append(Finding.share(f"{case.words}: {words}", share, 0.5, above=True))
    counts = ", ".join(f"{n} {word}" for word, n in sorted(Counter(table["verdict"]).items()))
    bits = "doubles" if case.frame else f"{int(table['bits'].max())} bits at most"
    claim.notes.append(
        f"{case.words}: {counts}; {bits}, median {np.median(table['seconds']):.1f} s"
    )
    claim.tables[f"Every certificate: {case.words}"] = table.dropna(axis=1, how="all")


def by_balls(result: tm.Result) -> dict[str, np.ndarray]:
    """`certified`, in balls: a measure of a sweep."""
    return certified(result, frame=False)


def along_a_frame(result: tm.Result) -> dict[str, np.ndarray]:
    """`certified`, along a frame: a measure of a sweep."""
    return certified(result, frame=True)


def certified(result: tm.Result, frame: bool) -> dict[str, np.ndarray]:
    """What is proved of each replica's start, and whether the cards agree."""
    made = result.provenance
    seed = np.random.SeedSequence(made["seed"], spawn_key=made["spawn_key"])
    cards = [tm.theory.theorem_4_1(result), tm.theory.theorem_4_1_collapse(result)]
    rows = []
    for n, replica in enumerate(made["replicas"]):
        certificate = tm.certify(
            result.game,
            result.opt,
            int(result.steps[-1]),
            seed=seed,
            replica=replica,
            frame=frame,
        )
        rows.append(
            {
                "verdict": certificate.verdict,
                "agrees": agree(certificate, result, cards, n),
                "T0": -1 if certificate.T0 is None else certificate.T0,
                "bits": certificate.bits,
                "seconds": certificate.made["seconds"],
                **{f"margin {claim.name}": claim.margin for claim in certificate.claims},
            }
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def agree(certificate: tm.proofs.Certificate, result: tm.Result, cards: list[Card], n: int) -> bool:
    """Whether T_0 and the cards' left sides are those measured in replica n, to nine digits."""
    if certificate.theorem == "4.2":
        measured = result.coverage()[n, -1]
        return near([claim.left.low for claim in certificate.claims], measured)
    at = tm.first_stationary(result)[n]
    if at < 0 or certificate.T0 is None:
        return bool(at < 0 and certificate.T0 is None)
    lefts = [largest(card, n) for card in cards]
    same = int(result.steps[at]) == certificate.T0
    return same and near([claim.left.low for claim in certificate.claims], lefts)


def largest(card: Card, n: int) -> float:
    """The largest left side of a replica where the card asks."""
    return float(card.left[n][card.asked[n]].max())


def near(found: list[float], measured: object) -> bool:
    """Whether both are equal to nine digits."""
    return bool(np.allclose(found, measured, rtol=1e-9, atol=1e-12))


CHECK = Check("certificates", findings, run, needs="flint")

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
