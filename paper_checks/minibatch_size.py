"""The talk's first open question: "not too large mini batches seem critical".

    python paper_checks/minibatch_size.py [--full]

Recovery of both modes against the batch size, for the three granularities of normalized SGDA.
"""

from __future__ import annotations

import twomode_program

import pandas as pd
from claims import Check, Claim, Finding, Settings, main
from granularity import READINGS, D, observe
from matplotlib.figure import Figure

import twomode as tm
from twomode.statistics import compare

SMALL, LARGE = 1, 256


def findings(full: bool) -> int:
    """A small against a large batch, for each granularity; SGDA stays collapsed."""
    return len(READINGS) + 1


def run(settings: Settings) -> Claim:
    """Sweep the batch size."""
    claim = Claim(
        "Small minibatches help normalized SGDA",
        "the talk, Next questions, item 1",
        "importance of the minibatch size (not too large mini batches seem critical)",
    )
    sizes = settings.pick((1, 4, 16, 256), (1, 2, 4, 8, 16, 32, 64, 256))
    grid = [
        {"opt": opt, "d": D, "batch_size": n, "record_every": 10**9}
        for opt in READINGS
        for n in sizes
    ]
    replicas = settings.pick(64, 256)
    table = settings.sweep("batch sizes", grid, replicas, measure=observe)
    shares = {
        (opt, n): settings.proportion(cell["both_modes"])
        for (opt, n), cell in table.groupby(["opt", "batch_size"])
    }
    for opt, reading in READINGS.items():
        small, large = shares[opt, SMALL], shares[opt, LARGE]
        claim.findings.append(
            Finding(
                f"nSGDA {reading} recovers both modes more often at batch size {SMALL} than at"
                f" {LARGE}",
                small.share - large.share,
                compare(small, large),
                0.0,
                above=True,
                seeds=2 * replicas,
                percent=True,
            )
        )
    control = settings.sweep(
        "SGDA", [{"opt": "sgda", "d": D, "batch_size": SMALL}], replicas, measure=observe
    )
    claim.findings.append(
        Finding.share(
            f"SGDA at batch size {SMALL} does not recover both modes",
            settings.proportion(control["both_modes"]),
            0.5,
            above=False,
            control=True,
        )
    )
    rows = [
        {"normalization": READINGS[opt], "batch size": n, "both modes": str(p)}
        for (opt, n), p in shares.items()
    ]
    claim.tables[f"Recovery of both modes, d = {D:,}"] = pd.DataFrame(rows)
    claim.figures["Recovery against the batch size"] = picture(table, settings.confidence)
    best = {
        reading: max(sizes, key=lambda n: shares[opt, n].share) for opt, reading in READINGS.items()
    }
    claim.answer = "; ".join(
        f"{reading}: {100 * shares[opt, SMALL].share:.0f} % at batch size {SMALL},"
        f" {100 * shares[opt, LARGE].share:.0f} % at {LARGE}, most at {best[reading]}"
        for opt, reading in READINGS.items()
    )
    single = table[table["batch_size"] == SMALL].groupby("opt")["average"].mean()
    claim.answer = (
        f"Recovery of both modes, {claim.answer}. With single samples the generator ends at the"
        " average of the modes in "
        + ", ".join(f"{100 * single[opt]:.0f} % ({reading})" for opt, reading in READINGS.items())
        + " of seeds: what helps the coarse normalizations harms the fine one."
    )
    return claim


def picture(table: pd.DataFrame, confidence: float) -> Figure:
    """Recovery with intervals, a line for each granularity."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    named = table.assign(normalization=table["opt"].map(READINGS))
    tm.plotting.proportions(
        axes, named, "batch_size", "both_modes", by="normalization", confidence=confidence
    )
    axes.set_xscale("log", base=2)
    axes.set(xlabel="batch size", ylabel="both modes recovered")
    return figure


CHECK = Check("minibatch_size", findings, run)

if __name__ == "__main__":
    twomode_program.run(lambda: main(CHECK, __doc__))
