"""Theorem 4.2 with one norm per neuron, per layer, or per player.

    python paper_checks/granularity.py [--full]

The talk does not say which one it means.  At the canonical preset the three readings are told
apart, the mechanism says why, and a map of the parameters, one at a time and at random over a box,
says where each reading recovers both modes.
"""

from __future__ import annotations

import twomode_program

from typing import Any

import numpy as np
import pandas as pd
from claims import Check, Claim, Finding, Settings, main
from matplotlib.figure import Figure
from scipy.stats import qmc

import twomode as tm

READINGS = {"nsgda": "per neuron", "l-nsgda": "per layer", "g-nsgda": "per player"}
D = 2**12

#: One at a time, around the canonical preset at d = 4096 (ln d = 8.3).
AXES: dict[str, tuple[Any, ...]] = {
    "ratio": (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1, 2, 4),
    "m_G": (2, 3, 4, 6, 9, 14),
    "m_D": (2, 4, 9, 16, 32),
    "a": (0.01, 0.03, 0.12, 0.5, 2),
    "gamma": (0.01, 0.05, 0.12, 0.25, 0.5),
    "lam": (0, 0.0156, 0.1, 1),
    "std_W": (1 / 4096, 1 / 1024, 1 / 256, 1 / 64, 1 / 16),
    "std_V": (1e-6, 1 / 4096, 1 / 512, 1 / 64),
    "batch_size": (1, 2, 4, 8, 16, 64),
}
QUICK_AXES = ("ratio", "std_W", "batch_size")

#: The box of the random map: log-uniform between these ends.
BOX = {
    "ratio": (0.02, 2.0),
    "m_G": (2, 16),
    "m_D": (2, 16),
    "a": (0.01, 1.0),
    "gamma": (0.01, 0.5),
    "lam": (1e-3, 1.0),
    "std_W": (1 / 4096, 1 / 16),
    "std_V": (1e-5, 1 / 64),
}


def findings(full: bool) -> int:
    """Three readings, two mechanisms, two starts and two batches that change the answer."""
    return 9


def run(settings: Settings) -> Claim:
    """Tell the readings apart, explain, map."""
    claim = Claim(
        "Normalized SGDA recovers both modes, with a norm per neuron, per layer or per player",
        "Theorem 4.2, and the talk's l-nSGDA and g-nSGDA",
        "normalized SGDA learns both modes; the talk names layer-wise and global normalization",
    )
    replicas = settings.pick(128, 256)
    canonical = recoveries(settings, [{"opt": name} for name in READINGS], replicas)
    for name, reading in READINGS.items():
        p = settings.proportion(canonical.loc[canonical["opt"] == name, "both_modes"])
        claim.findings.append(
            Finding.share(f"nSGDA {reading} recovers both modes at d = {D:,}", p, 0.5, above=True)
        )
    claim.findings += mechanisms(settings)
    for opt, changes, words in (
        ("l-nsgda", {"std_W": 1 / D}, "with w_i(0) as small as v_j(0) (std 1/d)"),
        ("g-nsgda", {"std_W": 1 / D}, "with w_i(0) as small as v_j(0) (std 1/d)"),
        ("l-nsgda", {"batch_size": 1}, "with single-sample gradients"),
        ("g-nsgda", {"batch_size": 1}, "with single-sample gradients"),
    ):
        table = recoveries(settings, [{"opt": opt, **changes}], replicas)
        claim.findings.append(
            Finding.share(
                f"nSGDA {READINGS[opt]} recovers both modes {words}",
                settings.proportion(table["both_modes"]),
                0.5,
                above=True,
            )
        )
    axes = AXES if settings.full else {name: AXES[name] for name in QUICK_AXES}
    add_map(claim, settings, axes, READINGS)
    if settings.full:
        claim.tables["Recovery over a random box"] = random_box(settings)
    claim.answer = answer(claim)
    return claim


def observe(result: tm.Result) -> dict[str, Any]:
    """Which modes each replica's generator covers at the end, or whether it is their average."""
    outputs, probabilities = result.outputs_at(-1), result.game.latent_points[1]
    coverage = outputs.coverage(probabilities)
    covered = tm.theory.modes_covered(result.game, coverage)
    average = outputs.mean_collapse_cosine(probabilities) >= tm.theory.NEAR
    return {"both_modes": covered == 2, "one_mode": covered == 1, "average": average}


def recoveries(settings: Settings, grid: list[dict[str, Any]], replicas: int) -> pd.DataFrame:
    """Rows of cells at d = 4096, recorded at the start and the end only."""
    full = [{"d": D, "record_every": 10**9, **cell} for cell in grid]
    return settings.sweep("recovery", full, replicas, measure=observe, paired=("opt",))


def mechanisms(settings: Settings) -> list[Finding]:
    """Whether the generator follows before or after one discriminator neuron holds both modes."""
    found = []
    game = tm.Game.preset(D)
    for name, before in (("nsgda", True), ("l-nsgda", False)):
        when = tm.mechanism.explain(settings.simulate(name, game, 48, record_every=10))
        order = "before" if before else "after"
        found.append(
            Finding.share(
                f"nSGDA {READINGS[name]}: the generator follows {order} a discriminator neuron has"
                " merged both modes",
                settings.proportion(when.in_time if before else ~when.in_time),
                0.5,
                above=True,
            )
        )
    return found


def add_map(
    claim: Claim, settings: Settings, axes: dict[str, tuple[Any, ...]], readings: dict[str, str]
) -> None:
    """A table and a picture of recovery along each axis."""
    one = one_at_a_time(settings, axes, readings)
    claim.tables["Recovery, one parameter at a time"] = one
    claim.figures["Recovery of both modes, one parameter at a time"] = picture(one)


def one_at_a_time(
    settings: Settings, axes: dict[str, tuple[Any, ...]], readings: dict[str, str]
) -> pd.DataFrame:
    """Recovery of each reading along each axis."""
    grid = [
        {"opt": opt, name: value}
        for name, values in axes.items()
        for value in values
        for opt in readings
    ]
    table = recoveries(settings, grid, settings.pick(16, 64))
    rows = []
    for name in axes:
        part = table[table[name].notna()]
        for (value, opt), cell in part.groupby([name, "opt"]):
            p = settings.proportion(cell["both_modes"])
            low, high = p.interval
            rows.append(
                {
                    "parameter": name,
                    "value": value,
                    "normalization": readings[opt],
                    "both modes": p.share,
                    "low": low,
                    "high": high,
                    "one mode": cell["one_mode"].mean(),
                    "seeds": p.trials,
                }
            )
    return pd.DataFrame(rows)


def random_box(settings: Settings) -> pd.DataFrame:
    """Each reading over a Sobol sample of the box: its recovery, and where it recovers."""
    points = qmc.Sobol(len(BOX), seed=settings.seed).random_base2(7)
    low, high = (np.log([ends[side] for ends in BOX.values()]) for side in (0, 1))
    grid = []
    for point in np.exp(low + points * (high - low)):
        cell: dict[str, Any] = dict(zip(BOX, point.tolist(), strict=True))
        cell |= {"m_G": round(cell["m_G"]), "m_D": round(cell["m_D"])}
        grid += [{"opt": opt, **cell} for opt in READINGS]
    table = recoveries(settings, grid, 16)
    rows = []
    for opt, reading in READINGS.items():
        cells = (
            table[table["opt"] == opt]
            .groupby(list(BOX), sort=False)["both_modes"]
            .mean()
            .reset_index()
        )
        recovers = cells["both_modes"] > 0.5
        best = cells.loc[cells["both_modes"].idxmax()]
        log = np.log(cells[list(BOX)])
        strongest = log.corrwith(cells["both_modes"], method="spearman").dropna()
        order = strongest.abs().sort_values(ascending=False).index[:3]
        rows.append(
            {
                "normalization": reading,
                "mean recovery": cells["both_modes"].mean(),
                "cells where more than half recover": f"{recovers.sum()} of {len(cells)}",
                "best cell": f"{best['both_modes']:.2f} at "
                + ", ".join(f"{n} = {best[n]:.3g}" for n in BOX),
                "rank correlation with": ", ".join(f"{n} {strongest[n]:+.2f}" for n in order),
            }
        )
    return pd.DataFrame(rows)


def picture(table: pd.DataFrame) -> Figure:
    """Recovery with intervals, one panel a parameter, one line a reading."""
    names, readings = (list(dict.fromkeys(table[x])) for x in ("parameter", "normalization"))
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.4 * rows + 0.4), layout="constrained")
    panels = np.ravel(figure.subplots(rows, columns, sharey=True))
    for axes, name in zip(panels, names, strict=False):
        part = table[table["parameter"] == name]
        for reading, marker in zip(readings, "os^v", strict=False):
            cells = part[part["normalization"] == reading]
            error = [cells["both modes"] - cells["low"], cells["high"] - cells["both modes"]]
            axes.errorbar(
                cells["value"], cells["both modes"], error, label=reading, marker=marker, capsize=2
            )
        axes.set_xscale("symlog", linthresh=1e-3) if name == "lam" else axes.set_xscale("log")
        if name in ("m_G", "m_D"):  # less than a decade, which would have no label but at 10
            ticks = sorted(part["value"].unique())
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.set_xticks([], minor=True)
        axes.set(xlabel=name, ylim=(-0.03, 1.03))
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    panels[0].set_ylabel("both modes recovered")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def answer(claim: Claim) -> str:
    """Which reading the numbers support."""
    words = [f"{f.statement}: {f.measured} ({f.between})" for f in claim.findings]
    canonical = zip(READINGS.values(), claim.findings, strict=False)
    holding = [reading for reading, f in canonical if f.verdict == "holds"]
    return (
        f"At the canonical preset the theorem's conclusion holds {' and '.join(holding) or 'never'}"
        " among the three readings. " + "; ".join(words) + "."
    )


CHECK = Check("granularity", findings, run)

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
