"""Theorem 4.1 in the limit of short steps, where d goes far enough for an o(1) to be seen.

    python paper_checks/continuous_time.py [--full]

SGDA's flow at m_D = m_G = 9 and d = 2^8, ..., 2^200: does the window of ratios eta_G/eta_D near
sqrt(d), in which SGDA tells the modes apart before T_0, close?  How fast do the asymmetry and the
residual fall, and which bounds hold for all d?  The worst ratio of each d is chosen on other seeds;
with --full it is also asked what a ratio that is chosen after the seed finds.

Why: with x = xi/sqrt(d) and <w_i, v_j> = zeta/d at the start and c = eta_G/(eta_D sqrt(d)), the
plateau is a race of two equations that know nothing of d, xi' = 3/4 (xi_1^2 + gamma xi_2^2) and
zeta' = 3 c zeta^2/(2 m), in the time a t/sqrt(d).  So the discriminator learns at
4 sqrt(d)/(3 a eta_D max xi), and the generator goes first where c > m max(xi)/(2 max(zeta)); for
both to come at once, to a factor that a logarithm can bridge, takes a seed that is rare, and rarer
with d.
"""

from __future__ import annotations

import twomode_program

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from any_step_size import HALFWAY
from claims import COLLAPSES, LEARNS_NO_MODE, Check, Claim, Finding, Settings, main
from matplotlib.figure import Figure

import twomode as tm
from twomode.statistics import fit_power
from twomode.theory import (
    asymmetry_bound,
    critical_ratio,
    formula,
    ratio_bound,
    residual_bound,
    slow_residual_bound,
)

NEURONS = 9
#: Ratios eta_G/(eta_D sqrt(d)) among which the worst is sought.
WINDOW = (0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
#: From here on d counts as large: every window before is on the way.
LARGE = 24
#: Ratios at which it is told who goes first.
RACE = (1.0, 3.0, 6.0)
#: Distances in ln(c) from which on a window is seen, and below which it is narrow.
NEAREST, NARROW = 1e-6, 0.05
#: Where the ratio is chosen after the seed, for so many seeds.
AFTERWARDS, AFTERWARDS_SEEDS = (12, 16, 20, 24), 16


def exponents(full: bool) -> tuple[int, ...]:
    """Of 2."""
    return (8, 12, 16, 20, 24, 28, 32, 50, 100, 150, 200) if full else (8, 16, 24, 50, 100)


def findings(full: bool) -> int:
    """The window at each large d, its control, three trends, five bounds, the race, the time.

    In full also whether there is a window after the seed, and how narrow it becomes.
    """
    return sum(k > LARGE for k in exponents(full)) + 11 + 2 * full


def run(settings: Settings) -> Claim:
    """Sweep the ratios, confirm the worst, and ask what holds for all d."""
    claim = Claim(
        "In the limit of short steps SGDA learns no single mode, for any step sizes",
        "Theorem 4.1, and 'for any step size' of the talk, up to d = 2^200",
        "for any step size choice, with high probability, SGDA suffers from mode collapse",
    )
    all_k = exponents(settings.full)
    seeds, few = settings.pick((64, 16), (96, 32))
    hunted = sweep(settings, "window", all_k, WINDOW, few)
    chosen = hunted.groupby(["k", "c"])["asymmetry"].median().groupby("k").idxmax()
    worst_c = dict(chosen.tolist())
    fresh = replace(settings, seed=settings.seed + 2)  # its sentences were written after + 1
    worst = pd.concat(
        [sweep(fresh, "worst ratio", [k], [worst_c[k]], seeds) for k in all_k], ignore_index=True
    )
    slow = sweep(fresh, "eta_G = eta_D ln(d)", all_k, [None], seeds)
    race = sweep(fresh, "who goes first", [k for k in all_k if k >= LARGE], RACE, few)

    for k in all_k:
        rows = worst[worst["k"] == k]
        if k > LARGE or k == all_k[0]:
            control = k <= LARGE
            claim.findings.append(
                Finding.share(
                    f"flow, d = 2^{k}, eta_G/eta_D = {worst_c[k]:.3g} sqrt(d), the worst:"
                    f" asymmetry up to T_0 above {HALFWAY}",
                    settings.proportion(rows["asymmetry"] > HALFWAY),
                    0.1,
                    above=control,
                    control=control,
                )
            )
    trends = {
        "asymmetry at the worst ratio falls with d": (worst, "asymmetry", "d"),
        "asymmetry at eta_G = eta_D ln(d) falls with d": (slow, "asymmetry", "d"),
        "residual at eta_G = eta_D ln(d) falls with ln(d)": (slow, "residual", "ln(d)"),
    }
    found = {}
    for words, (table, name, of) in trends.items():
        found[words] = power(settings, table, name, of)
        claim.findings.append(
            Finding(
                f"flow, d = 2^{LARGE} and more: {words} (exponent of its median)",
                found[words].exponent,
                found[words].exponent_interval,
                0.0,
                above=False,
                seeds=int((table["k"] >= LARGE).sum()),
            )
        )
    large = worst["k"] >= LARGE
    last = slow[slow["k"] == all_k[-1]]
    claim.findings += [
        Finding.share(
            f"flow, d = 2^{LARGE} and more, worst ratio: asymmetry up to T_0"
            f" <= {formula(asymmetry_bound)}",
            settings.proportion(worst["learns_none"][large]),
            0.5,
            above=False,
        ),
        Finding.share(
            f"flow, worst ratio of every d from 2^20 on: {LEARNS_NO_MODE}",
            settings.proportion(worst["in_ratio_bound"][worst["k"] >= 20]),
            0.5,
            above=True,
        ),
        Finding.share(
            f"flow, ratios {WINDOW[0]} to {WINDOW[-1]} sqrt(d), every d from 2^20 on:"
            f" {LEARNS_NO_MODE}",
            settings.proportion(hunted["in_ratio_bound"][hunted["k"] >= 20]),
            0.5,
            above=True,
        ),
        Finding.share(
            f"flow, eta_G = eta_D ln(d), d = 2^{all_k[-1]}: residual at T_0"
            f" <= {formula(residual_bound)}",
            settings.proportion(last["collapses"]),
            0.5,
            above=settings.pick(True, False),
        ),
        Finding.share(
            f"flow, eta_G = eta_D ln(d), d = 2^12 and more: {COLLAPSES}",
            settings.proportion(slow["collapses_slowly"][slow["k"] >= 12]),
            0.5,
            above=True,
        ),
        Finding.share(
            f"flow, d = 2^{LARGE} and more: the generator goes first if c > m max(xi)/(2 max zeta)",
            settings.proportion(race["foretold"]),
            0.9,
            above=True,
        ),
        Finding.share(
            f"flow, d = 2^{LARGE} and more: the discriminator learns within 5 % of"
            " 4 sqrt(d)/(3 a eta_D max(xi))",
            settings.proportion(np.abs(slow["learned"][slow["k"] >= LARGE] - 1) < 0.05),
            0.9,
            above=True,
        ),
    ]
    if settings.full:
        windows = after_the_seed(settings)
        first, last = (windows["width"][windows["k"] == k] for k in (AFTERWARDS[0], AFTERWARDS[-1]))
        claim.findings += [
            Finding.share(
                f"flow, a ratio chosen after the seed, d = 2^{AFTERWARDS[0]}:"
                f" asymmetry up to T_0 above {HALFWAY}",
                settings.proportion(first > 0),
                0.5,
                above=True,
            ),
            Finding.share(
                f"flow, a ratio chosen after the seed, d = 2^{AFTERWARDS[-1]}: only within"
                f" {100 * NARROW:.0f} % of one ratio",
                settings.proportion(last < NARROW),
                0.5,
                above=True,
            ),
        ]
        claim.tables["A ratio chosen after the seed"] = widths(windows)
    claim.tables["At the worst ratio c sqrt(d) of each d, fresh seeds"] = summary(worst)
    claim.tables["At eta_G = eta_D ln(d)"] = summary(slow)
    claim.tables["The ratios among which the worst was sought"] = summary(hunted)
    claim.figures["Asymmetry and residual against d"] = picture(worst, slow)
    claim.answer = answer(worst, slow, found)
    return claim


def sweep(settings: Settings, label: str, all_k: Any, ratios: Any, replicas: int) -> pd.DataFrame:
    """The flow at every d and c = eta_G/(eta_D sqrt(d)); None is eta_G = eta_D ln(d)."""
    grid = []
    for k in all_k:
        d = 2**k
        for c in ratios:
            ratio = math.log(d) if c is None else c * math.sqrt(d)
            grid.append(
                {
                    "opt": "sgda",
                    "d": d,
                    "m_D": NEURONS,
                    "m_G": NEURONS,
                    "eta_D": 1.0,
                    "ratio": ratio,
                    "steps": 10**60,
                    "engine": "flow",
                }
            )
    table = settings.sweep(label, grid, replicas, measure=observe)
    table["k"] = np.log2(table["d"].astype(float)).round().astype(int)
    table["c"] = np.repeat([math.nan if c is None else c for _ in all_k for c in ratios], replicas)
    return table


def observe(result: tm.Result) -> dict[str, Any]:
    """What the flow did up to T_0, and what was foretold of it at its start."""
    game, extremes = result.game, result.extremes
    last = np.where(extremes.alpha[:, -1] > 0, extremes.residual[:, -1], np.inf)
    moved, learned = moved_at(result), tm.theory.explain(result).learned
    c = ratio_of(result)
    asymmetry = extremes.asymmetry.max(axis=1)
    return {
        "asymmetry": asymmetry,
        "start": extremes.asymmetry[:, 0],
        "at_T0": extremes.asymmetry[:, -1],
        "residual": last,
        "T0_found": tm.first_stationary(result) >= 0,
        "moved": np.isfinite(moved),
        "learns_none": asymmetry <= asymmetry_bound(game),
        "in_ratio_bound": asymmetry <= ratio_bound(game, c * math.sqrt(game.d)),
        "collapses": last <= residual_bound(game),
        "collapses_slowly": last <= slow_residual_bound(game),
        "foretold": generator_first(result) == (c > critical(result)),
        "learned": learned * result.opt.eta_D / learning_time(result),
    }


def ratio_of(result: tm.Result) -> float:
    """c = eta_G/(eta_D sqrt(d))."""
    return result.opt.eta_G / result.opt.eta_D / math.sqrt(result.game.d)


def critical(result: tm.Result) -> np.ndarray:
    """The c from which the generator should go first: m max(xi)/(2 max(zeta))."""
    return critical_ratio(result.starts) / math.sqrt(result.game.d)


def learning_time(result: tm.Result) -> np.ndarray:
    """When the discriminator should learn: eta_D t = 4 sqrt(d)/(3 a max(xi))."""
    game, start = result.game, result.starts
    xi = (start.W @ start.U.mT).max(axis=(1, 2)) * math.sqrt(game.d)
    return 4 * math.sqrt(game.d) / (3 * game.a * xi)


def moved_at(result: tm.Result) -> np.ndarray:
    """When the generator has doubled its norm, inf if it does not."""
    squares = np.trace(result.gram_V, axis1=-2, axis2=-1)
    grown = squares > 4 * squares[:, :1]
    return np.where(grown.any(axis=1), result.times_at(grown.argmax(axis=1)), np.inf)


def generator_first(result: tm.Result) -> np.ndarray:
    """Whether the generator moved before the discriminator knew a mode."""
    learned = tm.theory.explain(result).learned
    return moved_at(result) < np.where(np.isnan(learned), np.inf, learned)


def after_the_seed(settings: Settings) -> pd.DataFrame:
    """The widths of the window of each seed, for a ratio that is chosen when the seed is known."""
    jobs = [(k, replica) for k in AFTERWARDS for replica in range(AFTERWARDS_SEEDS)]
    k, replicas = ([job[n] for job in jobs] for n in range(2))
    seeds = [settings.seed + 2] * len(jobs)
    found = settings.map("a ratio after the seed", width, k, replicas, seeds)
    return pd.DataFrame({"k": k, "replica": replicas, "width": found})


def width(k: int, replica: int, seed: int) -> float:
    """Over which length of ln(c) the asymmetry of one seed exceeds HALFWAY.

    It rises with c until the generator goes first, and then drops to next to nothing.  Bisection
    finds the drop; from there the distances that are looked at grow geometrically, to either side.
    """
    game = tm.Game.preset(2**k, m_D=NEURONS, m_G=NEURONS)

    def at(log_c: float) -> tm.Result:
        opt = tm.optimizer("sgda", eta_D=1.0, eta_G=math.exp(log_c) * math.sqrt(game.d))
        return tm.simulate(game, opt, 10**60, replicas=[replica], seed=seed, engine="flow")

    def asymmetry(log_c: float) -> float:
        return float(at(log_c).extremes.asymmetry.max())

    drop = math.log(float(critical(at(0.0))[0]))
    low, high = drop - 1.5, drop + 1.5
    between = math.sqrt(asymmetry(low) * asymmetry(high))
    while high - low > NEAREST:
        drop = (low + high) / 2
        low, high = (drop, high) if asymmetry(drop) > between else (low, drop)
    distances = np.geomspace(NEAREST, 1, 24)
    each = np.diff(np.sqrt(distances[1:] * distances[:-1]), prepend=0, append=1)
    return sum(
        float(share)
        for x, share in zip(distances, each, strict=True)
        for side in (-1, 1)
        if asymmetry(drop + side * x) > HALFWAY
    )


def power(settings: Settings, table: pd.DataFrame, name: str, of: str) -> Any:
    """The power of d, or of ln(d), by which medians fall from 2^LARGE on."""
    rows = table[table["k"] >= LARGE]
    groups = [(k, group[name].to_numpy()) for k, group in rows.groupby("k")]
    d = [2.0**k if of == "d" else k * math.log(2) for k, _ in groups]
    return fit_power(d, [values for _, values in groups], confidence=settings.confidence)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Medians and shares over the seeds of each cell, and the local power of the asymmetry."""
    out = table.groupby(["k", "c"], sort=True, dropna=False).agg(
        asymmetry_median=("asymmetry", "median"),
        above_halfway=("asymmetry", lambda x: (x > HALFWAY).mean()),
        start=("start", "median"),
        at_T0=("at_T0", "median"),
        residual=("residual", "median"),
        learns_none=("learns_none", "mean"),
        in_ratio_bound=("in_ratio_bound", "mean"),
        collapses=("collapses", "mean"),
        collapses_slowly=("collapses_slowly", "mean"),
        foretold=("foretold", "mean"),
        learned=("learned", "median"),
        T0_found=("T0_found", "mean"),
        moved=("moved", "mean"),
        seeds=("k", "size"),
    )
    return out.reset_index()


def widths(windows: pd.DataFrame) -> pd.DataFrame:
    """In how many seeds there is a window, and how wide it is in ln(c)."""
    return (
        windows.groupby("k")["width"]
        .agg(found=lambda x: (x > 0).mean(), median="median", largest="max", seeds="size")
        .reset_index()
    )


def picture(worst: pd.DataFrame, slow: pd.DataFrame) -> Figure:
    """Medians at the worst ratio and at eta_G = eta_D ln(d), and the bounds."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    k = np.array(sorted(set(worst["k"])))
    log = k * math.log(2)
    for axes, name in ((left, "asymmetry"), (right, "residual")):
        for table, words, look in (
            (worst, "worst ratio", {"marker": "o", "color": "black"}),
            (slow, r"$\eta_G = \eta_D \ln d$", {"marker": "s", "color": "#0072B2"}),
        ):
            medians = table.groupby("k")[name].median()
            axes.plot(medians.index, medians, label=words, markersize=4, linewidth=1, **look)
        axes.set(yscale="log", xlabel=r"$\log_2 d$", ylabel=f"{name}, median over seeds")
    left.plot(k, log * 2.0 ** (-k / 2), "--", color="0.5", label=r"$\ln d / \sqrt{d}$")
    at_worst = [
        ratio_bound(tm.Game.preset(2**k, m_D=NEURONS, m_G=NEURONS), c * 2 ** (k / 2))
        for k, c in worst.groupby("k")["c"].first().items()
    ]
    left.plot(k, at_worst, ":", color="0.3", label="the card's bound at the worst ratio")
    right.plot(k, 5 / log, "--", color="0.5", label=r"$5 / \ln d$")
    right.plot(k, 2.5 / log ** (2 / 3), ":", color="0.3", label=r"$2.5 / (\ln d)^{2/3}$")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
    return figure


def answer(worst: pd.DataFrame, slow: pd.DataFrame, found: dict[str, Any]) -> str:
    """The result in words, from the numbers."""
    rows = summary(worst)
    words = ", ".join(
        f"{100 * row.above_halfway:.0f} % at 2^{row.k} ({row.c:.3g} sqrt(d))"
        for row in rows.itertuples()
    )
    powers = "; ".join(
        f"the {words} with the power {trend.exponent:.2f} ({trend.exponent_interval[0]:.2f} to"
        f" {trend.exponent_interval[1]:.2f})"
        for words, trend in found.items()
    )
    last = summary(slow).iloc[-1]
    return (
        f"With m = {NEURONS}, at the worst of the ratios tried, the asymmetry exceeds {HALFWAY} in"
        f" {words} of seeds: the window closes. From 2^{LARGE} on {powers}. At 2^{last.k:.0f} and"
        f" eta_G = eta_D ln(d) the residual is {last.residual:.3f}."
    )


CHECK = Check("continuous_time", findings, run)

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
