"""The form of a theorem card: hypotheses, inequality, margins, verdict, interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from twomode._typing import BoolArray, FloatArray, IntArray, Positive
from twomode.checks import checked
from twomode.shown import Shown
from twomode.statistics import Proportion
from twomode.tables import counted

__all__ = ["Card", "Hypothesis", "margins_of", "worst_of"]


@dataclass(frozen=True)
class Hypothesis:
    """One condition of a theorem, and what the run has instead."""

    name: str
    requires: str
    found: str
    met: bool


@dataclass(frozen=True, repr=False)
class Card(Shown):
    """One theorem held against one result of R replicas and T records.

    Attributes
    ----------
    theorem, statement : str
    inequality : str
        In words, left side first.
    at_most : bool
        Whether it reads left <= right; left >= right otherwise.
    hypotheses : tuple of Hypothesis
    steps : ndarray, shape (T,)
        Recorded iterations.
    times : ndarray, shape (R, T)
        `Result.times`.
    left : ndarray, shape (R, T)
    right : float
    asked : ndarray of bool, shape (R, T)
        Where the theorem asks for the inequality; nowhere in a replica that never came so far.
    probability : float
        The theorem's 1 - o(1), or certainty, read at finite d: the share of replicas to exceed.
    confidence : float
        Of the interval.
    sensitivity : tuple of (str, Proportion)
        The same share under other choices of the constants.
    apart : tuple of (str, str)
        What the theorem does not speak of, and is worth knowing.
    proofs : tuple of (int, str)
        Replicas of which `twomode.proofs.prove_card` has tried to prove the inequality: ``proved``,
        ``disproved`` or ``undecided``.
    """

    theorem: str
    statement: str
    inequality: str
    at_most: bool
    hypotheses: tuple[Hypothesis, ...]
    steps: np.ndarray
    times: FloatArray | IntArray
    left: FloatArray
    right: float
    asked: np.ndarray
    probability: float
    confidence: float
    sensitivity: tuple[tuple[str, Proportion], ...]
    apart: tuple[tuple[str, str], ...]
    proofs: tuple[tuple[int, str], ...] = ()

    @property
    def margins(self) -> FloatArray:
        """By what part of the right side the inequality holds, shape (R, T); negative if not."""
        return margins_of(self.left, self.right, self.at_most)

    @property
    def worst(self) -> FloatArray:
        """Smallest margin of each replica where the theorem asks, shape (R,); -inf if nowhere."""
        return worst_of(self.margins, self.asked)

    @property
    def held(self) -> np.ndarray:
        """In which replicas the inequality held wherever the theorem asks for it, shape (R,)."""
        return self.worst >= 0

    @property
    def margin(self) -> float:
        """The worst margin that a share `probability` of the replicas attain or exceed."""
        return float(np.quantile(self.worst, 1 - self.probability, method="lower"))

    @property
    def proportion(self) -> Proportion:
        """Share of the replicas in which the inequality held, with its interval."""
        return Proportion.of(self.held, self.confidence)

    @property
    def verdict(self) -> str:
        """``holds``, ``fails`` or ``undecided``: the interval above, below or across.

        Of the inequality alone: see `applies` for the hypotheses.
        """
        return self.proportion.against(self.probability)

    @property
    def holds(self) -> bool:
        """Whether the verdict is ``holds``."""
        return self.verdict == "holds"

    @property
    def applies(self) -> bool:
        """Whether the run meets every hypothesis."""
        return all(h.met for h in self.hypotheses)

    @property
    def proved(self) -> str:
        """What balls say of the replicas that were tried, in words; empty without any."""
        words = [word for _, word in self.proofs]
        kinds = [word for word in ("proved", "disproved", "undecided") if word in words]
        counts = ", ".join(f"{word} in {words.count(word)}" for word in kinds)
        otherwise = [
            k for k, word in self.proofs if word == ("disproved" if self.held[k] else "proved")
        ]
        measured = f"measured otherwise in {otherwise}" if otherwise else "none measured otherwise"
        return f"{counts} of {len(words)} replicas tried; {measured}" if words else ""

    @property
    def headline(self) -> str:
        """The theorem and the verdict, in one line."""
        words = self.verdict if self.applies else f"{self.verdict}, outside its hypotheses"
        return f"{self.theorem}: {words}"

    def __bool__(self) -> bool:
        raise TypeError(
            "a card is not a truth value: ask card.holds (the inequality), card.applies (the"
            " hypotheses), or call card.assert_holds()"
        )

    def __repr__(self) -> str:
        return f"<{self.headline}; held in {self.proportion} of replicas>"

    def assert_holds(self, *, conclusion_only: bool = False) -> None:
        """Raise `AssertionError` with the whole card, its headline first, unless it holds.

        Parameters
        ----------
        conclusion_only : bool
            Ask for the inequality alone, of a run that need not meet the hypotheses: whether
            Adam, say, does what the theorem promises of another rule.
        """
        __tracebackhide__ = True  # pytest shows the test's own line
        if not (self.holds and (self.applies or conclusion_only)):
            raise AssertionError(str(self))

    def __str__(self) -> str:
        proportion, R = self.proportion, len(self.held)
        lines = [
            self.headline,
            f"  {self.statement}",
            "  hypotheses:",
            *(
                f"    [{'x' if h.met else ' '}] {h.name}: {h.requires}; here {h.found}"
                for h in self.hypotheses
            ),
            f"  inequality: {self.inequality}",
            *self._sides(),
            f"  held in {proportion} of replicas, {100 * self.confidence:.4g} % interval;"
            f" to exceed {100 * self.probability:g} %",
            f"  margin {self.margin:+.3g} of the right side"
            f" (attained in {100 * self.probability:g} % of replicas;"
            f" worst {self.worst.min():+.3g})",
        ]
        if self.proved:
            lines.append(f"  by ball arithmetic, at every iteration: {self.proved}")
        if self.verdict == "undecided":
            enough = math.ceil(math.log((1 - self.confidence) / 2) / math.log(self.probability))
            lines.append(
                f"    {R} replicas do not decide: at least {enough} are needed, all holding"
                if enough > R
                else f"    the interval contains {self.probability:g}: more replicas would decide"
            )
        lines += [
            "  other choices of the constants:",
            *(f"    {name}: {p}, {p.against(self.probability)}" for name, p in self.sensitivity),
            "  apart from the theorem:",
            *(f"    {name}: {value}" for name, value in self.apart),
        ]
        return "\n".join(lines)

    def _sides(self) -> list[str]:
        """Both sides, at a few of the recorded iterations at which the inequality is asked for."""
        lines = [f"    right side {self.right:.4g}; left side"]
        if not self.asked.any():
            return [lines[0] + ": asked for nowhere, no replica came so far"]
        if (self.asked.sum(axis=1) <= 1).all():  # at one moment, each replica's own
            low, middle, high = np.quantile(
                self.left[self.asked], [0.25, 0.5, 0.75], method="inverted_cdf"
            )
            first, last = (counted(f(self.times[self.asked])) for f in (np.min, np.max))
            when = first + (f" to {last}" if last != first else "")
            return [f"{lines[0]}, quartiles at t = {when}: {low:.4g}, {middle:.4g}, {high:.4g}"]
        columns = np.flatnonzero(self.asked.any(axis=0))
        few = np.unique(columns[np.linspace(0, len(columns) - 1, 6).round().astype(int)])
        lines[0] += ", medians over the replicas asked:"
        for t in few:
            left = self.left[self.asked[:, t], t]
            margin = np.median(margins_of(left, self.right, self.at_most))
            middle = np.median(self.times[self.asked[:, t], t])
            lines.append(
                f"      t = {counted(middle):>10}: {np.median(left):<9.4g} margin {margin:+.2f}"
                f"  ({len(left)} replicas)"
            )
        return lines


@checked
def margins_of(left: FloatArray, right: Positive, at_most: bool) -> FloatArray:
    """By what part of the right side left <= right (or >=) holds; negative if it does not."""
    return 1 - left / right if at_most else left / right - 1


@checked
def worst_of(
    margins: Annotated[FloatArray, "(R, T)"], asked: Annotated[BoolArray, "(R, T)"]
) -> FloatArray:
    """Smallest margin of each replica where it is asked for; -inf if nowhere, or not a number."""
    margins = np.where(np.isnan(margins), -np.inf, margins)
    worst = np.where(asked, margins, np.inf).min(axis=1)
    return np.where(asked.any(axis=1), worst, -np.inf)
