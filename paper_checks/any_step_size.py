"""Theorem 4.1 says "for any step sizes": a hunt for a counterexample.

    python paper_checks/any_step_size.py [--full]

Searches six decades of eta_G/eta_D, step lengths, both parts of the clipped cubic, several presets
and both data laws for runs of SGDA whose generator turns to one mode before T_0, zooms in on the
worst ratio of each, and confirms the worst of the canonical preset on fresh seeds at growing d.
"""

from __future__ import annotations

import twomode_program

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from claims import LEARNS_NO_MODE, Check, Claim, Finding, Settings, main
from matplotlib.figure import Figure

import twomode as tm
from twomode.statistics import fit_power

#: An asymmetry that no slowly falling o(1) excuses: half of the largest that there can be.
HALFWAY = 0.3

#: T_0 is taken at this nu, the end of the range that the cards report on: the earliest T_0 asks
#: least of the theorem, so what violates it here violates it for every smaller nu.
EARLY = 0.5

#: Presets besides the canonical one, by name.
VARIANTS: dict[str, dict[str, Any]] = {
    "canonical": {},
    "linear from 0.5 (Lambda)": {"clip": 0.5},
    "never linear": {"clip": math.inf},
    "gamma = 0.4": {"gamma": 0.4},
    "u_1 + u_2 in 10 % of the data": {"data": tm.CorrelatedCoefficients(0.1)},
    "u_1 + u_2 in 40 % of the data": {"data": tm.CorrelatedCoefficients(0.4)},
    "lambda = 1": {"lam": 1.0},
    "a = 1": {"a": 1.0},
    "m_D = 3, m_G = 12": {"m_D": 3, "m_G": 12},
    "m_D = 16, m_G = 3": {"m_D": 16, "m_G": 3},
}
QUICK_VARIANTS = ("canonical", "linear from 0.5 (Lambda)", "u_1 + u_2 in 10 % of the data")


def dimensions(full: bool) -> list[int]:
    """Where the worst ratio of the canonical preset is confirmed."""
    return [2**k for k in ((8, 10, 12, 14, 16) if full else (8, 10, 12))]


def findings(full: bool) -> int:
    """The card below the window, the card at the worst ratio of each d, the trend."""
    return len(dimensions(full)) + 2


def run(settings: Settings) -> Claim:
    """Map, zoom, confirm."""
    claim = Claim(
        "SGDA learns no single mode, for any step sizes",
        "Theorem 4.1, and 'for any step size' of the talk",
        "for any step size choice, with high probability, SGDA suffers from mode collapse",
    )
    table = hunt(settings)
    claim.tables["Worst ratio found for each preset (largest asymmetry up to T_0)"] = worst(table)
    claim.findings.append(modest_ratios(settings))

    rows, largest = [], []
    for d in dimensions(settings.full):
        cell, seen = worst_ratio(settings, d)
        rows.append(confirm(settings, cell))
        claim.tables[f"The window at d = {d:,}"] = summary(seen, ["ratio", "step"])
        largest.append(rows[-1]["asymmetry"].to_numpy())
        claim.findings.append(
            Finding.share(
                f"SGDA, d = {d:,}, eta_G/eta_D = {cell['ratio'] / math.sqrt(d):.3g} sqrt(d):"
                f" {LEARNS_NO_MODE}",
                settings.proportion(rows[-1]["within"]),
                0.5,
                above=True,
            )
        )
    trend = fit_power(dimensions(settings.full), largest, confidence=settings.confidence)
    claim.findings.append(
        Finding(
            "SGDA, at the worst ratio of each d: asymmetry falls with d (exponent of its median)",
            trend.exponent,
            trend.exponent_interval,
            0.0,
            above=False,
            seeds=sum(map(len, largest)),
        )
    )
    confirmed = pd.concat(rows, ignore_index=True)
    claim.tables["The worst ratio of each d, on fresh seeds"] = summary(confirmed, ["d", "ratio"])
    claim.figures["Largest asymmetry up to T_0 against the ratio of the step sizes"] = picture(
        table, trend
    )
    claim.answer = answer(confirmed, trend)
    return claim


def observe(result: tm.Result) -> dict[str, Any]:
    """Largest asymmetry up to T_0, and what the generator is at T_0 (at the end without one)."""
    card = tm.theory.theorem_4_1(result, nu=EARLY)
    at = tm.first_stationary(result, EARLY)
    when = tm.mechanism.explain(result)
    game, ends = result.game, np.where(at >= 0, at, -1)
    outputs = result.outputs_at(ends)
    covered = tm.theory.modes_covered(game, outputs.coverage(game.latent_points[1]))
    return {
        "asymmetry": np.nanmax(np.where(card.asked, card.left, np.nan), axis=1),
        "within": card.held,
        "T0_found": at >= 0,
        "collapsed": outputs.mean_collapse_cosine(game.latent_points[1]) >= tm.theory.NEAR,
        "one_mode": covered == 1,
        "both_modes": covered == 2,
        "G_before_merger": (when.learned <= when.followed) & when.in_time,
        "diverged": result.diverged,
    }


def cell(d: int, ratio: float, length: float = 1.0, **changes: Any) -> dict[str, Any]:
    """SGDA with eta_G/eta_D = ratio, run until T_0 should have come.

    The larger step is about `length` (0.2 `length` for the discriminator): a tenth of what makes
    the players overshoot.  The discriminator needs sqrt(d)/(a eta_D) iterations, and a generator
    that is slower than it about 1/ratio times as many.
    """
    game = tm.Game.preset(d, **changes)
    eta_D = length * min(0.2, 3 / ratio)
    steps = math.ceil((1.3 + 2.5 / ratio) * math.sqrt(d) / (game.a * eta_D))
    return {
        "opt": "sgda",
        "d": d,
        "ratio": ratio,
        "eta_D": eta_D,
        "steps": steps,
        "record_every": max(1, steps // 300),
        "resolve": 1.5,
        **changes,
    }


def hunt(settings: Settings) -> pd.DataFrame:
    """Map six decades of the ratio for each preset, then zoom in on the worst ratio twice."""
    d, replicas = settings.pick((2**8, 8), (2**8, 16))
    ratios = np.geomspace(1e-2, 1e4, settings.pick(7, 19))
    lengths = settings.pick((1.0,), (1.0, 3.0))
    names = QUICK_VARIANTS if not settings.full else tuple(VARIANTS)
    found = []
    spacing = float(ratios[1] / ratios[0])
    wanted = {name: list(ratios) for name in names}
    for stage in ("map", "zoom", "zoom again"):
        grid = [
            (name, length, cell(d, ratio, length, **VARIANTS[name]))
            for name in names
            for length in lengths
            for ratio in wanted[name]
        ]
        table = settings.sweep(f"hunt: {stage}", [c for _, _, c in grid], replicas, measure=observe)
        table["preset"] = np.repeat([name for name, _, _ in grid], replicas)
        table["step"] = np.repeat([length for _, length, _ in grid], replicas)
        found.append(table)
        table = pd.concat(found, ignore_index=True)
        worst_ratios = worst(table).set_index("preset")["ratio"]
        spacing = math.sqrt(spacing)
        wanted = {
            name: [worst_ratios[name] / spacing, worst_ratios[name] * spacing] for name in names
        }
    return table


def worst_ratio(settings: Settings, d: int) -> tuple[dict[str, Any], pd.DataFrame]:
    """The ratio near sqrt(d) with the largest median asymmetry, found on seeds of its own."""
    multiples = settings.pick((1, 2, 3), (1, 1.5, 2, 2.5, 3, 4, 5) if d < 2**16 else (2, 3, 4, 5))
    grid = [cell(d, c * math.sqrt(d)) for c in multiples]
    table = settings.sweep(f"window at d = {d:,}", grid, settings.pick(16, 32), measure=observe)
    table["step"] = 1.0
    medians = table.groupby("ratio")["asymmetry"].median()
    chosen = next(c for c in grid if c["ratio"] == medians.idxmax())
    return chosen, table


def confirm(settings: Settings, chosen: dict[str, Any]) -> pd.DataFrame:
    """The chosen ratio on fresh seeds: what was selected for being bad is measured anew."""
    fresh = replace(settings, seed=settings.seed + 1)
    return fresh.sweep("fresh seeds", [chosen], settings.pick(96, 128), measure=observe)


def modest_ratios(settings: Settings) -> Finding:
    """The inequality over all ratios up to sqrt(d)/ln(d), at the middle d."""
    d = 2**12 if settings.full else 2**10
    top = math.sqrt(d) / math.log(d)
    grid = [cell(d, ratio) for ratio in top / np.geomspace(1, 300, settings.pick(4, 8))]
    table = settings.sweep("ratios below the window", grid, settings.pick(16, 32), measure=observe)
    return Finding.share(
        f"SGDA, d = {d:,}, eta_G/eta_D from {top / 300:.2g} to {top:.2g} = sqrt(d)/ln(d):"
        f" {LEARNS_NO_MODE}",
        settings.proportion(table["within"]),
        0.5,
        above=True,
    )


def summary(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Medians and shares over the replicas of each cell."""
    grouped = table.groupby([name for name in by if name in table], sort=True)
    out = grouped.agg(
        asymmetry_median=("asymmetry", "median"),
        above_halfway=("asymmetry", lambda x: (x > HALFWAY).mean()),
        within_bound=("within", "mean"),
        collapsed=("collapsed", "mean"),
        one_mode=("one_mode", "mean"),
        both_modes=("both_modes", "mean"),
        G_before_merger=("G_before_merger", "mean"),
        T0_found=("T0_found", "mean"),
        diverged=("diverged", "mean"),
        seeds=("within", "size"),
    )
    return out.reset_index()


def worst(table: pd.DataFrame) -> pd.DataFrame:
    """For each preset the cell with the largest median asymmetry."""
    cells = summary(table, ["preset", "ratio", "step"])
    return cells.loc[cells.groupby("preset")["asymmetry_median"].idxmax()].reset_index(drop=True)


def picture(table: pd.DataFrame, trend: Any) -> Figure:
    """The map of each preset, and the worst of each d."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    for name, rows in table[table["step"] == 1.0].groupby("preset", sort=False):
        medians = rows.groupby("ratio")["asymmetry"].median()
        style = {"color": "black", "linewidth": 2} if name == "canonical" else {"linewidth": 1}
        left.plot(medians.index, medians, label=name, marker=".", **style)
    d = int(table["d"].iloc[0])
    left.axvline(math.sqrt(d), color="0.6", linestyle=":", label=r"$\sqrt{d}$")
    left.set(
        xscale="log",
        ylim=(0, None),
        xlabel=r"$\eta_G / \eta_D$",
        ylabel="largest asymmetry up to $T_0$, median",
        title=f"SGDA, d = {d:,}",
    )
    left.legend(fontsize=7, frameon=False)
    right.plot(trend.x, trend.medians, "o", color="black", label="worst ratio, fresh seeds")
    right.plot(trend.x, np.log(trend.x) / np.sqrt(trend.x), color="0.5", label=r"$\ln d/\sqrt{d}$")
    right.fill_between(trend.x, *trend.band(trend.x), color="black", alpha=0.15, linewidth=0)
    right.set_xscale("log", base=2)
    right.set(ylim=(0, None), xlabel="d", title="at the worst ratio of each d")
    right.legend(fontsize=7, frameon=False)
    return figure


def answer(confirmed: pd.DataFrame, trend: Any) -> str:
    """The result in words, from the numbers."""
    rows = summary(confirmed, ["d", "ratio"])
    words = [
        f"d = {row.d:,}: eta_G/eta_D = {row.ratio / math.sqrt(row.d):.3g} sqrt(d), median"
        f" {row.asymmetry_median:.2f}, above {HALFWAY} in {100 * row.above_halfway:.0f} %,"
        f" a single mode at T_0 in {100 * row.one_mode:.0f} %, the generator between learning and"
        f" merger in {100 * row.G_before_merger:.0f} %"
        for row in rows.itertuples()
    ]
    low, high = trend.exponent_interval
    return (
        "There is a window of ratios near sqrt(d) in which the generator follows after the"
        " discriminator's neurons have turned to single modes and before one of them has merged"
        " both; there SGDA does tell the modes apart before T_0. Worst ratios, on fresh seeds: "
        + "; ".join(words)
        + f". The median asymmetry at the worst ratio goes as d^s with s = {trend.exponent:.2f}"
        f" ({low:.2f} to {high:.2f})."
    )


CHECK = Check("any_step_size", findings, run)

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
