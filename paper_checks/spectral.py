"""Normalizing the matrix itself: the polar factor of the gradient, between neuron and layer.

    python paper_checks/spectral.py [--full]

Whether it recovers both modes by recipe, and with other data, batches, widths and starts; and how
far the gradient's second singular value falls behind the first.
"""

from __future__ import annotations

import twomode_program

from typing import Any

import numpy as np
import pandas as pd
from claims import Check, Claim, Finding, Settings, main
from granularity import AXES, READINGS, D, add_map, recoveries

import twomode as tm

FOUR = READINGS | {"spectral-nsgda": "polar factor"}
DIMENSIONS = (2**8, 2**10, 2**12)
#: What else a theorist would ask, at d = 4096.
CHANGES: dict[str, dict[str, Any]] = {
    "with u_1 + u_2 in 10 % of the data": {"data": tm.CorrelatedCoefficients(0.1)},
    "with single-sample gradients": {"batch_size": 1},
    "with m_G = 2 ln m_D": {"m_G": 4},
    "with w_i(0) as small as v_j(0) (std 1/d)": {"std_W": 1 / D},
}
#: Of the map, one at a time at d = 4096 (a pair of latents on with probability q, 0.015 else).
MAP: dict[str, tuple[Any, ...]] = {
    **{name: AXES[name] for name in ("ratio", "m_G", "m_D", "gamma", "std_W", "batch_size")},
    "q": (0.001, 0.015, 0.1, 0.3, 1.0),
}
#: The gradient has lost its second direction below this ratio of singular values, until then.
LOST, UNTIL = 0.1, 500
#: Of the ratios: whose second direction is lost, and whose is not.
LOSES = {"l-nsgda": True, "nsgda": False, "spectral-nsgda": False}


def findings(full: bool) -> int:
    """Recovery by recipe and otherwise, a paired difference, three ratios."""
    return len(DIMENSIONS) + 1 + len(CHANGES) + len(LOSES)


def run(settings: Settings) -> Claim:
    """Recover, compare from the same starts, look at singular values."""
    claim = Claim(
        "Normalized by its polar factor, a layer's gradient recovers both modes",
        "beside Theorem 4.2: a question of 2026",
        "normalized SGDA learns both modes; the norm of a whole layer is one number",
    )
    replicas, polar = settings.pick(64, 256), "spectral-nsgda"
    grid = [{"d": d, "opt": opt} for d in DIMENSIONS for opt in (polar, "l-nsgda", "nsgda", "muon")]
    canonical = recoveries(settings, grid, replicas)
    for d in DIMENSIONS:
        rows = canonical[(canonical["d"] == d) & (canonical["opt"] == polar)]
        claim.findings.append(recovers(settings, f"polar factors, d = {d:,}", rows))
    both = canonical[canonical["d"] == D].pivot(index="replica", columns="opt", values="both_modes")
    alone = settings.proportion(both[polar] & ~both["l-nsgda"])
    words = f"from the same start polar factors recover both modes and l-nsgda does not, d = {D:,}"
    claim.findings.append(Finding.share(words, alone, 0.5, above=True))
    for words, change in CHANGES.items():
        rows = recoveries(settings, [{"d": D, "opt": polar, **change}], replicas)
        claim.findings.append(recovers(settings, f"polar factors {words}, d = {D:,}", rows))
    for opt, loses in LOSES.items():
        lost = least_ratio(settings, opt, settings.pick(32, 128)) < LOST
        words = f"{FOUR[opt]}: sigma_2 of nabla_W falls below {LOST:g} sigma_1 within {UNTIL} its"
        share = settings.proportion(lost)
        claim.findings.append(Finding.share(words, share, 0.5, above=loses, control=not loses))
    table = canonical.groupby(["d", "opt"])["both_modes"].agg(["mean", "size"]).reset_index()
    claim.tables["Recovery by recipe"] = table
    if settings.full:
        add_map(claim, settings, MAP, FOUR)
    claim.answer = "; ".join(f"{f.statement}: {f.measured} ({f.between})" for f in claim.findings)
    claim.answer += "."
    return claim


def recovers(settings: Settings, words: str, rows: pd.DataFrame) -> Finding:
    """More than half of the seeds recover both modes."""
    share = settings.proportion(rows["both_modes"])
    return Finding.share(f"{words}: both modes recovered", share, 0.5, above=True)


def least_ratio(settings: Settings, name: str, replicas: int) -> np.ndarray:
    """The least of sigma_2 / sigma_1 of nabla_W over some iterations, shape (R,)."""
    game = tm.Game.preset(D)
    ratios = []
    for t in np.geomspace(10, UNTIL, 12).astype(int):
        state = settings.simulate(name, game, replicas, steps=int(t), record_every=10**9).state
        values = np.linalg.svd(game.evaluate(state).W, compute_uv=False)
        ratios.append(values[:, 1] / values[:, 0])
    return np.min(ratios, axis=0)


CHECK = Check("spectral", findings, run)

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
