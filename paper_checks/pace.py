"""The talk's mechanism: SGDA's discriminator runs ahead, normalized gradients keep the same pace.

    python paper_checks/pace.py [--full]

Who takes the longer steps, who turns to a mode first, and what the generator then follows: a single
mode, or u_1 + u_2 after one discriminator neuron has merged both.
"""

from __future__ import annotations

import twomode_program

import numpy as np
import pandas as pd
from claims import Check, Claim, Finding, Settings, main

import twomode as tm

D = 2**12

#: Players whose steps differ by less than this factor keep the same pace.
SAME_PACE = 10.0


def findings(full: bool) -> int:
    """Pace, order and target, for both rules."""
    return 6


def run(settings: Settings) -> Claim:
    """Compare SGDA with per-neuron nSGDA up to the generator's first turn."""
    claim = Claim(
        "SGDA's discriminator runs ahead; normalized gradients keep both players' pace",
        "the talk, mechanism",
        "normalizing forces the discriminator and generator to be updated at the same pace",
    )
    game, replicas = tm.Game.preset(D), settings.pick(48, 128)
    rows, results = [], []
    for name, apart in (("SGDA", True), ("nSGDA", False)):
        result = settings.simulate(name.lower(), game, replicas, resolve=2.0)
        results.append(result)
        when = tm.mechanism.explain(result)
        before = result.steps <= np.where(np.isnan(when.followed), np.inf, when.followed)[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = np.where(before, np.abs(np.log10(when.step_ratio)), np.nan)
        typical = 10 ** np.nanmedian(ratios[:, 1:], axis=1)
        p = settings.proportion(typical > SAME_PACE if apart else typical < SAME_PACE)
        claim.findings.append(
            Finding.share(
                f"{name}: the players' steps differ {'more' if apart else 'less'} than"
                f" {SAME_PACE:g}-fold until the generator follows (median in time)",
                p,
                0.5,
                above=True,
            )
        )
        claim.findings.append(
            Finding.share(
                f"{name}: the discriminator turns to a mode before the generator does",
                settings.proportion(when.learned < when.followed),
                0.5,
                above=True,
            )
        )
        to = np.array(when.followed_to)
        target = "u_1 + u_2" if apart else "a single mode"
        hit = to == "u_1 + u_2" if apart else np.isin(to, ("u_1", "u_2"))
        claim.findings.append(
            Finding.share(
                f"{name}: the generator first turns to {target}",
                settings.proportion(hit),
                0.5,
                above=True,
            )
        )
        rows.append(
            {
                "rule": name,
                "steps differ by, median": np.median(typical),
                "D turns to a mode at": np.nanmedian(when.learned),
                "D has merged both at": np.nanmedian(when.merged),
                "G follows at": np.nanmedian(when.followed),
                "G follows / D turns": np.nanmedian(when.lag),
                "D merges / D turns": np.nanmedian(when.merged / when.learned),
                "D merges first": np.mean(when.merged < when.followed),
                "seeds": replicas,
            }
        )
    claim.tables["When what happens (iterations, medians)"] = pd.DataFrame(rows)
    for caption, draw in (
        ("The pace of both players", tm.plotting.pace),
        ("Alignment of a discriminator and a generator neuron", tm.plotting.neuron_alignment),
    ):
        claim.figures[caption] = draw(results).flat[0].figure
    sgda, nsgda = rows
    claim.answer = (
        f"At d = {D:,} SGDA's players take steps that differ by a factor of"
        f" {sgda['steps differ by, median']:.0f} until the generator follows, normalized SGDA's by"
        f" {nsgda['steps differ by, median']:.1f}. The discriminator turns to single modes first"
        f" under both rules, and the generator follows at {sgda['G follows / D turns']:.2f} times"
        f" the discriminator's time under SGDA, {nsgda['G follows / D turns']:.2f} times under"
        " nSGDA. What differs is how long the discriminator's neurons stay with one mode: one of"
        f" them has merged both at {sgda['D merges / D turns']:.2f} times that time under SGDA,"
        f" before the generator follows in {100 * sgda['D merges first']:.0f} % of seeds; at"
        f" {nsgda['D merges / D turns']:.1f} times under nSGDA, before the generator in"
        f" {100 * nsgda['D merges first']:.0f} %."
    )
    return claim


CHECK = Check("pace", findings, run)

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
