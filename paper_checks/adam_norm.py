"""The talk: "the norm of the Adam direction is constant across time".

    python paper_checks/adam_norm.py [--full]

The norm of Adam's update over eta, in R^d, recorded through the run: its 99th percentile in time
over its 1st.  SGDA's update, which is the gradient, is the negative control.
"""

from __future__ import annotations

import twomode_program

import math

import numpy as np
import pandas as pd
from claims import Check, Claim, Finding, Settings, main

import twomode as tm

#: A norm within this factor, from the 1st to the 99th percentile in time, counts as constant: one
#: order of magnitude, where a gradient may pass through five.
CONSTANT = 10.0


def findings(full: bool) -> int:
    """Both players' updates under both rules."""
    return 4


def run(settings: Settings) -> Claim:
    """Measure the spread in time of the update norms under Adam and under SGDA."""
    claim = Claim(
        "The norm of Adam's update is constant in time",
        "the talk, Results, item 2",
        "the norm of the Adam direction is constant across time",
    )
    game = tm.Game.preset(settings.pick(2**8, 2**10))
    replicas = settings.pick(32, 64)
    result = settings.simulate("adam", game, replicas, record_every=10)
    updates = tm.mechanism.spread(result.update_norms)
    # SGDA's first two fifths: T_0 comes at about a third, and later runs may overflow.
    steps = round(0.4 * tm.recipe(game, "sgda").steps)
    sgda = settings.simulate("sgda", game, replicas, steps=steps)
    others = tm.mechanism.spread(sgda.update_norms)
    rows = []
    sizes = (game.m_D * game.d + 1, game.m_G * game.d)
    for k, player in enumerate(("discriminator", "generator")):
        claim.findings.append(
            Finding.share(
                f"Adam's update of the {player} varies less than {CONSTANT:g}-fold in time",
                settings.proportion(updates[:, k] <= CONSTANT),
                0.5,
                above=True,
            )
        )
        claim.findings.append(
            Finding.share(
                f"SGDA's update of the {player} does not",
                settings.proportion(others[:, k] <= CONSTANT),
                0.5,
                above=False,
                control=True,
            )
        )
        rms = np.nanmedian(result.update_norms[:, 1:, k]) / math.sqrt(sizes[k])
        rows.append(
            {
                "player": player,
                "Adam, median": np.median(updates[:, k]),
                "Adam, largest": updates[:, k].max(),
                "SGDA, median": np.median(others[:, k]),
                "rms of a coordinate": rms,
            }
        )
    shown = settings.simulate("adam", game, 8, record_every=10)
    claim.figures["Norms over time under Adam, 8 seeds"] = tm.plotting.update_norms(shown)[0].figure
    caption = (
        f"99th over 1st percentile in time of the update's norm, d = {game.d:,}, {replicas} seeds"
    )
    claim.tables[caption] = pd.DataFrame(rows)
    claim.answer = f"At d = {game.d:,}, from the 1st to the 99th percentile in time: " + "; ".join(
        f"the {row['player']}'s update varies by a factor of {row['Adam, median']:.2f} under Adam"
        f" and {row['SGDA, median']:.3g} under SGDA; a coordinate of Adam's has a root mean square"
        f" of {row['rms of a coordinate']:.2f}"
        for row in rows
    )
    return claim


CHECK = Check("adam_norm", findings, run)

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
