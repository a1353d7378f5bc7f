"""Instances of both theorems, proved by ball arithmetic, counted over seeds.

    python paper_checks/certificates.py [--full]

`twomode.certify` of independent starts: whether balls decide each, whether what is proved is what
the card measures in double precision, and in how many the card's inequality is proved.  A count of
proved instances is measured over seeds, like everything else here: it is no proof of the theorem.
"""

from __future__ import annotations

import twomode_program

from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd
from claims import Check, Claim, Finding, Settings, main

import twomode as tm
from twomode.theory import Card

#: A normalized step costs balls about a bit: the recipe's steps, so many times as long.
LONGER = {"sgda": 1.0, "nsgda": 10.0}


class Case(NamedTuple):
    """A rule at a dimension, 2 to the k, over some seeds."""

    rule: str
    k: int
    seeds: int

    @property
    def words(self) -> str:
        """As findings name it."""
        return f"{'nSGDA per neuron' if self.rule == 'nsgda' else 'SGDA'}, d = {2**self.k:,}"


def cases(full: bool) -> list[Case]:
    """What is proved."""
    if full:
        large = (Case("nsgda", 20, 16), Case("nsgda", 40, 16))
        return [*(Case(rule, k, 64) for rule in LONGER for k in (8, 12)), *large]
    return [Case("sgda", 8, 12), Case("nsgda", 8, 8)]


def findings(full: bool) -> int:
    """Of each case whether balls decide, whether the card agrees, and how many are proved."""
    return 3 * len(cases(full))


def run(settings: Settings) -> Claim:
    """Prove, measure and count."""
    claim = Claim(
        "Instances of both theorems can be proved, and are what double precision measures",
        "Theorems 4.1 and 4.2",
        "for all t <= T_0 and all z ..., after T_1 iterations ...: here of one exact start each",
    )
    frames = []
    for case in cases(settings.full):
        arguments = [[x] * case.seeds for x in (case.rule, case.k, settings.seed)]
        rows = settings.map(case.words, certified, *arguments, list(range(case.seeds)))
        table = pd.DataFrame(rows)
        decided = table["verdict"] != "undecided"
        for words, happened in (
            ("balls decide", decided),
            ("what is proved is what the cards measure", table["agrees"] & decided),
            ("the cards' inequalities are proved", table["verdict"] == "proved"),
        ):
            share = settings.proportion(happened)
            claim.findings.append(Finding.share(f"{case.words}: {words}", share, 0.5, above=True))
        counts = ", ".join(f"{n} {word}" for word, n in sorted(Counter(table["verdict"]).items()))
        claim.notes.append(
            f"{case.words}: {counts}; {int(table['bits'].max())} bits at most, median"
            f" {np.median(table['seconds']):.1f} s"
        )
        frames.append(table.assign(rule=case.rule, d=2.0**case.k))
    claim.tables["Every certificate"] = pd.concat(frames, ignore_index=True)
    claim.answer = f"Proved are instances, never the theorems. {'; '.join(claim.notes)}."
    return claim


def certified(rule: str, k: int, seed: int, replica: int) -> dict[str, object]:
    """A row: what is proved of one start, and whether the cards agree."""
    game = tm.Game.preset(2**k)
    opt, steps = tm.recipe(game, rule, step_scale=LONGER[rule])
    certificate = tm.certify(game, opt, steps, seed=seed, replica=replica)
    until = max(1, certificate.until)
    every = 1 if certificate.theorem == "4.1" else until
    result = tm.simulate(game, opt, until, seed=seed, replicas=[replica], record_every=every)
    return {
        "replica": replica,
        "verdict": certificate.verdict,
        "agrees": agree(certificate, result),
        "T0": certificate.T0,
        "bits": certificate.bits,
        "seconds": certificate.made["seconds"],
        **{f"margin {claim.name}": claim.margin for claim in certificate.claims},
    }


def agree(certificate: tm.proofs.Certificate, result: tm.Result) -> bool:
    """Whether T_0 and the cards' left sides are those that were measured, to nine digits."""
    if certificate.theorem == "4.2":
        measured = result.coverage()[0, -1]
        return near([claim.left.low for claim in certificate.claims], measured)
    at = tm.first_stationary(result)[0]
    if at < 0 or certificate.T0 is None:
        return at < 0 and certificate.T0 is None
    cards = tm.theory.theorem_4_1(result), tm.theory.theorem_4_1_collapse(result)
    lefts = [largest(card) for card in cards]
    same = int(result.steps[at]) == certificate.T0
    return same and near([claim.left.low for claim in certificate.claims], lefts)


def largest(card: Card) -> float:
    """The largest left side where the card asks."""
    return float(card.left[0][card.asked[0]].max())


def near(found: list[float], measured: object) -> bool:
    """Whether both are equal to nine digits."""
    return bool(np.allclose(found, measured, rtol=1e-9, atol=1e-12))


CHECK = Check("certificates", findings, run, needs="flint")

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
