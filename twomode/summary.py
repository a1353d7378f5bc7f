"""Runs and comparisons in numbers and in words: what a person reads of them."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

from twomode._typing import JSON
from twomode.game import LARGEST_CHECKED, NU
from twomode.rules import label
from twomode.runs import Result
from twomode.studies import Comparison
from twomode.tables import Column, Table, counted
from twomode.theory import VERDICTS, Judgement

__all__ = ["answers", "summarize", "tell"]

#: From this `Comparison.agreement` on, two rules are said to collapse from the same starts.
SAME_FLOW = 0.9

#: Name, value and meaning of a number.
_NUMBERS = Table(Column("", 16, "<"), Column("", 14, "<"), Column("", 0, "<"), gap=1, indent=4)


def summarize(result: Result, judgement: Judgement) -> JSON:
    """Plain-JSON summary: settings, verdict, medians over replicas, and ``per_replica`` lists.

    A number that does not exist (T_0 of a replica that has none) is None.
    """
    source = result.provenance
    measured: dict[str, Any] = {
        "T0": judgement.T0,
        "judged_at": judgement.judged_at,
        "collapse_cosine": judgement.collapse_cosine,
        "asymmetry": judgement.asymmetry,
        "residual": judgement.residual,
        "coverage": judgement.coverage,
    }
    return {
        "d": result.game.d,
        "opt": result.opt.name,
        "label": label(result.opt),
        "engine": source["engine"],
        "seed": source["seed"],
        "replicas": result.replicas,
        "steps": int(result.steps[-1]),
        "eta_D": result.opt.eta_D,
        "eta_G": result.opt.eta_G,
        "batch_size": source["batch_size"],
        "verdict": judgement.verdict,
        "share": judgement.share,
        "interval": list(judgement.interval),
        **{name: _plain(_median(values)) for name, values in measured.items()},
        "diverged": int(result.diverged.sum()),
        "steps_per_second": source["steps_per_second"],
        "wall_seconds": source["wall_seconds"],
        "per_replica": {
            "replica": source["replicas"],
            "verdict": judgement.verdicts,
            **{name: _plain(values) for name, values in measured.items()},
        },
        "game": result.game.to_dict(),
        "start": source["start"],
        "rule": result.opt.to_dict(),
        "provenance": source,
    }


def tell(result: Result, judgement: Judgement) -> str:
    """The verdict and the numbers behind it, a few lines for a person."""
    numbers = summarize(result, judgement)
    R = result.replicas
    tally = Counter(judgement.verdicts)
    count = round(judgement.share * R)
    low, high = (100 * x for x in judgement.interval)
    of = f" in {count} of {R} replicas (95 % interval {low:.0f}-{high:.0f} %)" if R > 1 else ""
    meaning = VERDICTS.get(judgement.verdict, "")
    if 2 * count <= R:
        of, meaning = f": no verdict has a majority of {R} replicas", ""
    lines = [
        f"{label(result.opt)} at d = {counted(result.game.d)}: {judgement.verdict}{of}",
        *([f"  {judgement.verdict}: {meaning}"] if meaning else []),
        f"  eta_D = {result.opt.eta_D:.4g}, eta_G = {result.opt.eta_G:.4g}, seed {numbers['seed']}",
    ]
    if len(tally) > 1:
        lines.append("  replicas: " + ", ".join(f"{n} {word}" for word, n in tally.most_common()))
    found = int(np.isfinite(judgement.T0).sum())
    T0 = "none" if numbers["T0"] is None else counted(numbers["T0"])
    when = {0: "at the end", R: "at T_0"}.get(
        tally["collapsed"], "at T_0 for a collapse, else at the end"
    )
    everywhere = (
        f"largest over all {2**result.game.m_G - 1:,} z"
        if result.game.m_G <= LARGEST_CHECKED
        else "largest over the support of z"
    )
    first, second = numbers["coverage"]
    rows = [
        ("T_0", T0, f"both gradients first at {NU:g} of their peak; found in {found} of {R}"),
        ("collapse cosine", _show(numbers["collapse_cosine"]), "E_z cos(G(z), u_1 + u_2), z != 0"),
        ("asymmetry", _show(numbers["asymmetry"]), everywhere),
        ("residual", _show(numbers["residual"]), everywhere),
        ("coverage", f"{_show(first)}, {_show(second)}", "of u_1 and u_2, cosine at least 0.9"),
    ]
    lines.append(f"  medians over replicas, {when}:" if R > 1 else f"  {when}:")
    lines += [_NUMBERS.row(*row) for row in rows]
    if result.diverged.any():
        gone = result.diverged_at[result.diverged]
        after = int((gone > judgement.T0[result.diverged]).sum())
        later = "all" if after == len(gone) else after or "none"
        lines.append(
            f"  {len(gone)} of {R} replicas diverged, {later} after T_0, the first"
            f" at iteration {gone.min():,}"
        )
    lines.append(_how(result, numbers))
    return "\n".join(lines)


def _how(result: Result, numbers: JSON) -> str:
    """What played the run, and how fast."""
    engine, seconds = numbers["engine"], numbers["wall_seconds"]
    if "flow" in result.provenance:
        taken, ends = result.provenance["flow"], Counter(result.provenance["flow"]["ended"])
        accepted, rejected = (np.median(taken[name]) for name in ("accepted", "rejected"))
        return (
            f"  {engine} engine, rtol {result.provenance['rtol']:g}: {accepted:.0f} steps and"
            f" {rejected:.0f} rejected (medians) in {seconds:.1f} s; ended"
            f" {', '.join(f'{end}: {n}' for end, n in ends.items())}"
        )
    rate = numbers["steps_per_second"]
    steps = f"{result.replicas} x {numbers['steps']:,} iterations"
    return f"  {engine} engine: {steps} in {seconds:.1f} s, {rate:,.0f} steps/s"


def answers(comparison: Comparison) -> list[str]:
    """For each base: whether what builds on it escapes the collapse, and recovers more."""
    rules = comparison.rules
    bases = dict.fromkeys(comparison.base(rule) for rule in rules)
    lines = []
    for base in [base for base in bases if base in rules]:
        methods = [rule for rule in rules if comparison.base(rule) == base]
        lines.append(_recoveries(comparison, base, methods))
        blind = [rule for rule in [base, *methods] if comparison.knew_no_mode(rule)]
        if blind:
            lines.append(
                f"on {base}, most recoveries with a discriminator that never knew a mode:"
                f" {_listed(blind)}"
            )
        fine = [rule for rule in [base, *methods] if len(comparison.of(rule, "fine"))]
        if base in fine:
            lines.append(_same_flow(comparison, base, fine[1:]))
    return lines


def _recoveries(comparison: Comparison, base: str, methods: list[str]) -> str:
    """How often a base and what builds on it recover both modes, each at its best."""

    def share(rule: str) -> float:
        return comparison.proportion(rule, "best", "recovered").share

    own = comparison.proportion(base, "best", "recovered")
    first, last = min(methods, key=share), max(methods, key=share)
    span = f"{methods[0]} in {100 * share(first):.0f} %"
    if len(methods) > 1:
        span = (
            f"the {len(methods)} methods in {100 * share(first):.0f} ({first}) to"
            f" {100 * share(last):.0f} % ({last})"
        )
    more, less = (
        _listed([rule for rule in methods if comparison.side(rule, "best", "recovered") == side])
        for side in ("more", "less")
    )
    return (
        f"on {base}, each at its best: {base} recovers both modes in {own}, {span};"
        f" more than {base}: {more}; less: {less}"
    )


def _same_flow(comparison: Comparison, base: str, methods: list[str]) -> str:
    """What collapses with fine steps as a base does."""
    collapsed = comparison.proportion(base, "fine", "collapsed")
    alike = [rule for rule in methods if comparison.agreement(rule) >= SAME_FLOW]
    fewer = [rule for rule in methods if comparison.side(rule, "fine", "collapsed") == "less"]
    return (
        f"on {base}, with fine steps: {base} collapses in {collapsed}; from at least"
        f" {100 * SAME_FLOW:.0f} % of the same starts: {_listed(alike)}; less often:"
        f" {_listed(fewer)}"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _median(values: np.ndarray) -> np.ndarray:
    """Median over the replicas that have the number; NaN if none has."""
    values = np.asarray(values, dtype=float)
    present = values[~np.isnan(values).reshape(len(values), -1).any(axis=1)]
    if len(present) == 0:
        return np.full(values.shape[1:], np.nan)
    return np.median(present, axis=0)


def _plain(values: np.ndarray) -> Any:
    """Python numbers and lists, None for what is not finite."""
    if np.ndim(values):
        return [_plain(value) for value in values]
    value = float(values)
    if not math.isfinite(value):
        return None
    return int(value) if np.issubdtype(np.asarray(values).dtype, np.integer) else value


def _show(value: float | None) -> str:
    if value is None or value == 0 or 1e-3 <= abs(value) < 1e6:
        return "-" if value is None else f"{value:.3f}"
    return f"{value:.3g}"
