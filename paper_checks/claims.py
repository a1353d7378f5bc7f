"""What the paper checks share: findings, claims, settings, and running one check alone."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

import twomode as tm
from twomode import cli
from twomode.errors import require
from twomode.names import check_writable, new_file, save_text
from twomode.progress import ProgressBar, Report, of_task
from twomode.statistics import Proportion, against
from twomode.tables import Column, Table
from twomode.theory import Card, coverage_bound, formula, slow_residual_bound

__all__ = ["TABLE", "Check", "Claim", "Finding", "Settings", "main", "table_lines"]

#: What the cards ask, with their default bounds, in a reader's words.
LEARNS_NO_MODE = "asymmetry up to T_0 within its o(1)"
COLLAPSES = f"residual at T_0 <= {formula(slow_residual_bound)}"
RECOVERS = f"coverage of each mode >= {formula(coverage_bound)}"

#: Which of twomode's extras have what a check needs.
_EXTRAS = {"sklearn": "digits", "flint": "proof"}

#: Error of a whole family of findings: all its intervals hold together with probability 0.95.
FAMILY_ERROR = 0.05


@dataclass(frozen=True)
class Finding:
    """One measured number with an interval, held against a threshold.

    Parameters
    ----------
    statement : str
        What is asserted, so that ``holds`` means that it is so.
    estimate : float
    interval : tuple of float
        At the family's confidence.
    threshold : float
    above : bool
        Whether the number is asserted to be above the threshold; else below.
    seeds : int
        Independent seeds behind it.
    control : bool
        Whether this is a negative control: something that a check able to fail must tell apart.
    percent : bool
        Whether the number is a share, or the difference of two, and is written in percent.
    """

    statement: str
    estimate: float
    interval: tuple[float, float]
    threshold: float
    above: bool
    seeds: int
    control: bool = False
    percent: bool = False

    @classmethod
    def share(
        cls, statement: str, p: Proportion, threshold: float, *, above: bool, control: bool = False
    ) -> Finding:
        """A proportion over seeds is above, or below, a threshold."""
        return cls(statement, p.share, p.interval, threshold, above, p.trials, control, True)

    @classmethod
    def card(cls, card: Card, statement: str, *, control: bool = False) -> Finding:
        """A theorem's inequality holds in more than the card's share of seeds.

        As a control, in less: of a run that the theorem is not about.
        """
        above = not control
        return cls.share(statement, card.proportion, card.probability, above=above, control=control)

    @property
    def asserted(self) -> str:
        """The statement, and whether it is a control's."""
        return f"control: {self.statement}" if self.control else self.statement

    @property
    def measured(self) -> str:
        """The number."""
        return self._written(self.estimate)

    @property
    def between(self) -> str:
        """Its interval."""
        low, high = map(self._written, self.interval)
        return f"{low.removesuffix(' %')} to {high}"

    @property
    def asked(self) -> str:
        """What is asserted of it."""
        return f"{'>' if self.above else '<'} {self._written(self.threshold)}"

    def _written(self, number: float) -> str:
        return f"{100 * number:.0f} %" if self.percent else f"{number:.3g}"

    @property
    def margin(self) -> float:
        """Distance of the interval's near end from the threshold; positive if it holds."""
        low, high = self.interval
        return low - self.threshold if self.above else self.threshold - high

    @property
    def verdict(self) -> str:
        """``holds``, ``fails`` or ``undecided``: the interval beyond, short of or across."""
        return against(self.interval, self.threshold, above=self.above)


@dataclass
class Claim:
    """One claim of the paper or the talk, and what was found about it.

    Parameters
    ----------
    title : str
    source : str
        Where it is claimed.
    said : str
        What is claimed, in its words.
    findings : list of Finding
    answer : str
        In plain words, for a reader of the paper.
    notes : list of str
        Full text of cards and other evidence.
    tables : dict of str to DataFrame
        By caption.
    figures : dict of str to Figure
        By caption.
    seconds : float
    """

    title: str
    source: str
    said: str
    findings: list[Finding] = field(default_factory=list)
    answer: str = ""
    notes: list[str] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """``supported`` if every finding holds, ``contradicted`` if one fails, else ``undecided``.

        A negative control that does not hold makes it ``broken check``.
        """
        verdicts = {f.verdict for f in self.findings if not f.control}
        if any(f.verdict != "holds" for f in self.findings if f.control):
            return "broken check"
        if "fails" in verdicts:
            return "contradicted"
        return "supported" if verdicts == {"holds"} else "undecided"


@dataclass(frozen=True)
class Settings:
    """How a check is run.

    Parameters
    ----------
    full : bool
        The long form: more seeds, larger d.
    seed : int
        Root of all randomness.
    confidence : float
        Of each interval, so that the family's error is kept.
    executor : Executor, optional
        Where sweeps run.
    progress : callable
        Takes a `Progress`.
    store : Path, optional
        Folder that keeps the rows of sweeps.
    """

    full: bool
    seed: int
    confidence: float
    executor: Executor | None
    progress: Report
    store: Path | None = None

    def pick(self, quick: Any, full: Any) -> Any:
        """The quick or the full value."""
        return full if self.full else quick

    def proportion(self, successes: Any) -> Proportion:
        """The share of true entries, with an interval at the family's confidence."""
        return Proportion.of(successes, self.confidence)

    def simulate(self, name: str, game: tm.Game, replicas: int, **changes: Any) -> tm.Result:
        """A named rule with its recipe (or the given step sizes), with progress."""
        run = {"steps"} | set(tm.Optimizer.__dataclass_fields__)
        opt, steps = tm.recipe(game, name, **{k: v for k, v in changes.items() if k in run})
        options = {k: v for k, v in changes.items() if k not in run}
        label = f"{name} d=2^{game.d.bit_length() - 1}"
        return tm.simulate(
            game,
            opt,
            steps,
            replicas=replicas,
            seed=self.seed,
            progress=of_task(label, self.progress),
            **options,
        )

    def map(self, label: str, f: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
        """``f`` of each set of arguments, on this check's executor, with progress."""
        each = map if self.executor is None else self.executor.map
        self.progress(tm.Progress(0, len(arguments[0]), "job", label))
        results = []
        for result in each(f, *arguments):
            results.append(result)
            self.progress(tm.Progress(len(results), len(arguments[0]), "job", label))
        return results

    @staticmethod
    def records(d: int, steps: int) -> dict[str, Any]:
        """Options of a run whose T_0 matters: fine about T_0 where 2^m_G latents are not many."""
        return {"record_every": max(1, steps // 250), "resolve": 2.0 if d < 2**14 else None}

    def sweep(self, label: str, grid: Any, replicas: int, **options: Any) -> pd.DataFrame:
        """`tm.sweep` on this check's executor, with progress."""
        return tm.sweep(
            grid,
            replicas,
            self.executor,
            seed=self.seed,
            progress=of_task(label, self.progress),
            store=self.store,
            **options,
        )


@dataclass(frozen=True)
class Check:
    """A claim's check: how many findings it makes, and the function that makes them.

    The number is declared before anything is run, because it sets the confidence of the intervals.
    `needs` is a package that is not among twomode's own dependencies.
    """

    name: str
    findings: Callable[[bool], int]
    run: Callable[[Settings], Claim]
    needs: str | None = None

    def require_ready(self) -> None:
        """Raise `InputError` unless what the check needs is installed."""
        there = self.needs is None or importlib.util.find_spec(self.needs) is not None
        extra = _EXTRAS.get(self.needs or "", "test")
        require(there, f"{self.name} needs {self.needs}: pip install 'twomode[{extra}]'")

    def __call__(self, settings: Settings) -> Claim:
        """Run it, timed; the findings must be as many as declared."""
        began = time.perf_counter()
        claim = self.run(settings)
        claim.seconds = time.perf_counter() - began
        declared = self.findings(settings.full)
        if len(claim.findings) != declared:
            raise AssertionError(
                f"{self.name} made {len(claim.findings)} findings and declared {declared}:"
                " the family's error would not be kept"
            )
        return claim


def family_confidence(count: int) -> float:
    """Confidence of each of `count` intervals that together err with at most FAMILY_ERROR."""
    return 1 - FAMILY_ERROR / count


TABLE = Table(
    Column("", 12, "<"),
    Column("interval", 20),
    Column("asked", 9),
    Column("margin", 9),
    Column("seeds", 7),
    Column("time", 8),
    Column("  claim", 0, "<"),
)


def table_lines(name: str, claim: Claim) -> list[str]:
    """What the printed table says of a claim: a line for it and one for each of its findings."""
    lines = [f"{claim.verdict:<57}{claim.seconds:>6.1f} s  {claim.title} ({name}.py)"]
    for f in claim.findings:
        lines.append(
            TABLE.row(
                f"  {f.verdict}",
                f.between,
                f.asked,
                f"{f.margin:+.3f}",
                f.seeds,
                "",
                f"    {f.asserted}",
            )
        )
    return lines


def parser(description: str | None) -> cli.Parser:
    """Flags of every check, alone or together."""
    p = cli.Parser(description=description)
    p.add_argument("--full", action="store_true", help="more seeds and larger d: minutes, not s")
    p.add_argument("--seed", type=cli.natural, default=2026, help="root of all randomness [2026]")
    p.add_argument("--out", type=cli.path, help="folder for figures and tables")
    cli.add_store_flag(p)  # of the rows of sweeps; single runs are made anew
    return p


def main(check: Check, description: str | None) -> None:
    """Run one check alone: print its findings and evidence, save what it made."""
    args = parser(description).parse_args()
    check.require_ready()
    if args.out is not None:
        check_writable(args.out)
    confidence = family_confidence(check.findings(args.full))
    with tm.sweeps.processes() as executor, ProgressBar(check.name) as bar:
        claim = check(Settings(args.full, args.seed, confidence, executor, bar, args.store))
    print("\n".join([*TABLE.heads, *table_lines(check.name, claim)]))
    print(f"\n{claim.source}: {claim.said}\n\n{claim.answer}\n")
    print("\n\n".join(claim.notes))
    if args.out is not None:
        save(claim, check.name, args.out)
        print(f"saved in {args.out}")


def save(claim: Claim, name: str, folder: Path) -> None:
    """Figures as PNG and tables as CSV, numbered."""
    for n, figure in enumerate(claim.figures.values(), start=1):
        with new_file(folder / f"{name}-{n}.png", overwrite=True) as file:
            figure.savefig(file, dpi=150)
    for n, table in enumerate(claim.tables.values(), start=1):
        save_text(folder / f"{name}-{n}.csv", table.to_csv(index=False), overwrite=True)
