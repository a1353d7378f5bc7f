"""Which rule does better: all of them from the same starts, each at its own best step sizes.

The talk's "inconvenient truth" is that principled methods for games did not by themselves make
GANs work as Adam does.  Here each rule runs three times on the same fresh starts: by its recipe;
rules whose steps are as long as the gradient also with steps so fine that those that discretize
the same flow do the same; and with the best step sizes of a small grid, chosen beforehand on starts
of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from twomode._typing import Count, Positive, SeedNumber
from twomode.checks import checked
from twomode.errors import require, require_memory
from twomode.progress import Report
from twomode.rules import RULES, Cost, Rule, label
from twomode.runs import Result
from twomode.statistics import Proportion, against, compare_paired
from twomode.studies.cell import Cell, plan
from twomode.studies.store import Store
from twomode.studies.sweeps import sweep
from twomode.studies.tuning import STEP_SCALES, tune
from twomode.theory import ALIGNED, covers_both, explain, judge

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FINE", "SETTINGS", "Comparison", "compare_rules", "outcome"]

#: The runs of each rule.
SETTINGS = ("recipe", "fine", "best")
#: How long the steps of ``fine`` are, in those of the recipe.  At d = 256, with a quarter the
#: extragradient method still leaves the collapse that with these it shares with SGDA.
FINE = 1 / 64


@checked
def outcome(result: Result) -> dict[str, npt.ArrayLike]:
    """What a comparison measures of each replica.

    Parameters
    ----------
    result : Result
        Of R replicas.

    Returns
    -------
    dict
        ``verdict``; ``recovered``, whether both modes are covered at the end, and
        ``recovered_at``, the first recorded iteration with both covered (NaN if there is none);
        ``collapsed``, and ``T0``; ``learned``, whether the discriminator ever knew a mode: whether
        some <w_i, u_l> came to 0.9 of the neurons' mean length at the start; ``apart``, the
        factor by which the players' steps differ until the generator follows (median in time).
        Each has shape (R,).

    Examples
    --------
    The steps of nSGDA are as long as its step sizes, which differ by 5, times the root of the
    number of blocks: D has its bias beside three neurons, G has three neurons only.

    >>> import twomode as tm
    >>> game = tm.Game.preset(d=16)
    >>> seen = tm.studies.outcome(tm.simulate(game, *tm.recipe(game, "nsgda"), replicas=2, seed=0))
    >>> seen["apart"].round(2).tolist(), seen["learned"].tolist()
    ([5.77, 5.77], [True, True])
    """
    judgement, when, covered = judge(result), explain(result), covers_both(result)
    until = np.where(np.isnan(when.followed), np.inf, when.followed)
    asked = (result.steps <= until[:, None]) & (result.steps > 0)
    asked &= np.isfinite(when.step_ratio) & (when.step_ratio > 0)  # while both players move
    apart = np.full(result.replicas, np.nan)
    for k in np.flatnonzero(asked.any(axis=1)):
        apart[k] = np.exp(np.median(np.abs(np.log(when.step_ratio[k, asked[k]]))))
    verdicts = np.array(judgement.verdicts)
    first = result.steps[covered.argmax(axis=1)]
    reached = np.nanmax(result.projections_W, axis=(1, 2, 3))
    return {
        "verdict": verdicts,
        "recovered": covered[:, -1],
        "recovered_at": np.where(covered.any(axis=1), first, np.nan),
        "collapsed": verdicts == "collapsed",
        "T0": judgement.T0,
        "learned": reached >= ALIGNED * result.norms_W[:, 0].mean(axis=-1),
        "apart": apart,
    }


@dataclass(frozen=True)
class Comparison:
    """What each rule did, and at which step sizes.

    Attributes
    ----------
    cell : dict
        The game and the run, as `twomode.sweeps.plan` takes them.
    tuning : DataFrame
        A row for each rule and point of the grid: ``opt``, ``step_scale``, ``ratio`` and the share
        ``recovered``.
    runs : DataFrame
        A row for each rule, ``setting`` (recipe, fine or best) and replica, with `outcome`.
    confidence : float
        With which all intervals of `table` and of each `difference` hold together.
    costs : dict
        What an iteration of a rule costs that is not one of `RULES`, by name.

    Examples
    --------
    With steps so fine that both follow the same flow, the extragradient method collapses on the
    same starts as SGDA:

    >>> import twomode as tm
    >>> comparison = tm.compare_rules(
    ...     ["sgda", "extragradient"],
    ...     {"d": 16, "record_every": 20},
    ...     replicas=8, tuning=1, step_scales=[1], ratios=[0.2],
    ... )
    >>> comparison.agreement("extragradient")
    1.0
    >>> comparison.side("extragradient", "fine", "collapsed")
    'neither'
    """

    cell: dict[str, Any]
    tuning: pd.DataFrame
    runs: pd.DataFrame
    confidence: float = 0.95
    costs: Mapping[str, Cost] = field(default_factory=dict)

    @property
    def rules(self) -> list[str]:
        """In the order given."""
        return list(dict.fromkeys(self.runs["opt"]))

    def proportion(self, rule: str, setting: str, what: str) -> Proportion:
        """How often a rule ``recovered`` or ``collapsed`` on the fresh starts.

        Parameters
        ----------
        rule : str
            One of `rules`.
        setting : str
            One of `SETTINGS`: recipe, fine or best.
        what : str
            A column of `runs` that holds truth values.
        """
        return Proportion.of(self.of(rule, setting)[what], self._of_each)

    def base(self, rule: str) -> str | None:
        """What a rule builds on, if it is one of `RULES`."""
        return RULES[rule].base if rule in RULES else None

    def difference(
        self, rule: str, setting: str, what: str, base: str | None = None
    ) -> tuple[float, float]:
        """Interval of how much more often than its base a rule ``recovered`` or ``collapsed``.

        Both run from the same starts, and are compared start by start.

        Parameters
        ----------
        rule, setting, what : str
            As for `proportion`.
        base : str, optional
            Another rule to compare it with.

        Raises
        ------
        InputError
            If its base is not among the rules compared, or one of the two had no such run.
        """
        base = base or self.base(rule)
        require(base in self.rules, f"{rule} has no base among the rules compared")
        for name in (rule, str(base)):
            require(len(self.of(name, setting)) > 0, f"{name} had no run with {setting} steps")
        mine, of_base = (self.of(name, setting)[what] for name in (rule, str(base)))
        return compare_paired(mine, of_base, self._of_each)

    @property
    def _of_each(self) -> float:
        """Confidence of an interval: of two outcomes, and their differences, of each run."""
        return 1 - (1 - self.confidence) / (4 * len(SETTINGS) * len(self.rules))

    def agreement(self, rule: str) -> float:
        """Share of the starts on which, with fine steps, a rule collapsed just when its base did.

        NaN for a rule without a base here, or without such a run.
        """
        mine, base = (self.of(name, "fine") for name in (rule, self.base(rule) or ""))
        if not (len(mine) and len(base)):
            return math.nan
        return float(np.mean(mine["collapsed"].to_numpy() == base["collapsed"].to_numpy()))

    def table(self) -> pd.DataFrame:
        """One row a rule.

        Its base, and its cost in gradients and Jacobian products per iteration; ``collapsed`` by
        the recipe, with the median ``T0`` of those, and ``gradients_to_T0``; ``collapsed_fine``
        (None without such a run) and `agreement` with its base; with its best ``step_scale`` and
        ``ratio``: ``recovered``, ``collapsed_best``, the median ``iterations``, ``gradients`` and
        ``jacobian_products`` to recovery (over those that recovered), ``learned`` (the share of
        those whose discriminator knew a mode), and ``apart``.
        """
        import pandas as pd

        rows = []
        for rule in self.rules:
            recipe, best = (self.of(rule, setting) for setting in ("recipe", "best"))
            cost = self.costs[rule] if rule in self.costs else RULES[rule].cost
            T0 = _median(recipe.loc[recipe["collapsed"], "T0"])
            covering = best[best["recovered"]]
            when = _median(covering["recovered_at"])
            rows.append(
                {
                    "rule": rule,
                    "base": self.base(rule) or rule,
                    "cost_gradients": cost.gradients,
                    "cost_jacobian_products": cost.jacobian_products,
                    "collapsed": self.proportion(rule, "recipe", "collapsed"),
                    "T0": T0,
                    "gradients_to_T0": T0 * cost.gradients,
                    "collapsed_fine": self.proportion(rule, "fine", "collapsed")
                    if len(self.of(rule, "fine"))
                    else None,
                    "agreement": self.agreement(rule),
                    "step_scale": best["step_scale"].iloc[0],
                    "ratio": best["ratio"].iloc[0],
                    "recovered": self.proportion(rule, "best", "recovered"),
                    "collapsed_best": self.proportion(rule, "best", "collapsed"),
                    "iterations": when,
                    "gradients": when * cost.gradients,
                    "jacobian_products": when * cost.jacobian_products,
                    "learned": covering["learned"].mean(),
                    "apart": _median(best["apart"]),
                }
            )
        return pd.DataFrame(rows)

    def of(self, rule: str, setting: str) -> pd.DataFrame:
        """The rows of `runs` of a rule in a setting; none if it had no such run."""
        return self.runs[(self.runs["opt"] == rule) & (self.runs["setting"] == setting)]

    def side(self, rule: str, setting: str, what: str) -> str:
        """Whether a rule does ``more`` or ``less`` often than its base what it does, or neither."""
        verdict = against(self.difference(rule, setting, what), 0.0)
        return {"holds": "more", "fails": "less"}.get(verdict, "neither")

    def knew_no_mode(self, rule: str) -> bool:
        """Whether most recoveries at a rule's best were with a discriminator that knew no mode."""
        best = self.of(rule, "best")
        return bool(best[best["recovered"]]["learned"].mean() < 0.5)


@checked
def compare_rules(
    rules: Iterable[str | Rule] = RULES,
    cell: Cell | None = None,
    *,
    step_scales: Sequence[Positive] = STEP_SCALES,
    ratios: Sequence[Positive] | None = None,
    replicas: Count = 64,
    tuning: Count = 16,
    fine: bool = True,
    seed: SeedNumber = 0,
    executor: Executor | None = None,
    store: Store | str | Path | None = None,
    progress: Report | bool | None = None,
) -> Comparison:
    """Run rules from the same starts, by recipe, with fine steps, and at the best of a grid.

    Parameters
    ----------
    rules : iterable of str or Rule
        Named rules, all of them by default, and any of your own, an `OwnRule` among them: a
        `Rule` has the recipe's steps, an `Optimizer` its own, and both are tuned like the others.
    cell : mapping, optional
        The game and the run, as `twomode.sweeps.plan` takes them; ``d`` is 256 by default.
    step_scales, ratios : sequence of float, optional
        The grid, as for `twomode.tuning.tune`.
    replicas : int
        Fresh starts.
    tuning : int
        Starts on which the best point of the grid is chosen.
    fine : bool
        Run those with plain steps with fine ones too, which takes longer than all the rest.
    seed : int
        Root of all randomness.
    executor, store, progress
        As for `twomode.sweep`; there are two sweeps, the tuning and the fresh starts.

    Raises
    ------
    InputError
        Before anything runs, if a rule, the cell or the grid is unusable, or two rules have one
        name.

    Examples
    --------
    Of these two at their best, only nSGDA recovers both modes:

    >>> import twomode as tm
    >>> options = {"replicas": 8, "tuning": 1, "step_scales": [4], "ratios": [0.2]}
    >>> cell = {"d": 16, "steps": 2000, "record_every": 100}
    >>> comparison = tm.compare_rules(["sgda", "nsgda"], cell, **options)
    >>> shares = [comparison.proportion(rule, "best", "recovered") for rule in comparison.rules]
    >>> [share.successes > 0 for share in shares]
    [False, True]
    """
    listed: dict[str, str | Rule] = {}
    for rule in rules:
        name = rule if isinstance(rule, str) else label(rule)
        require(listed.setdefault(name, rule) == rule, f"two rules are called {name}: rename one")
    names = list(listed)
    require(bool(names), "no rule to compare")
    # Drawn in R^d for all engines: the reduced one would have others of the same law.
    cell = {"d": 256, "shared": True, **(cell or {})}
    require("opt" not in cell, "opt cannot be fixed: it is what a comparison varies")
    require(
        cell["shared"], "shared=False cannot be: a comparison has the same starts for all rules"
    )
    cells = [{**cell, "opt": rule} for rule in listed.values()]
    # Here already, before the tuning: at the recipe and at the best of it, as `sweep` asks.
    require_memory(2048.0 * replicas * len(cells), f"replicas={replicas}", "use fewer")
    options: dict[str, Any] = {
        "executor": executor,
        "seed": seed,
        "store": store,
        "progress": progress,
    }
    best, tried = tune(
        cells, tuning, step_scales=step_scales, ratios=ratios, paired=["opt"], **options
    )
    flows = [one for one in cells if fine and plan(one).opt.discretizes_flow]
    settings = {"recipe": cells, "fine": [{**one, "step_scale": FINE} for one in flows]}
    settings |= {"best": best}
    runs = sweep(
        [one for some in settings.values() for one in some],
        replicas,
        measure=outcome,
        paired=("opt", "step_scale", "ratio"),
        **options,
    )
    counts = [len(some) * replicas for some in settings.values()]
    runs.insert(0, "setting", np.repeat(list(settings), counts))
    runs["ratio"] = runs["eta_G"] / runs["eta_D"]
    runs["step_scale"] = runs["step_scale"].fillna(1.0)
    tried.insert(0, "opt", [names[number] for number in tried.pop("cell")])
    costs = {name: rule.cost for name, rule in listed.items() if isinstance(rule, Rule)}
    return Comparison(cell, tried, runs, costs=costs)


def _median(values: npt.ArrayLike) -> float:
    """Median of the numbers that are there; NaN if none is."""
    present = np.asarray(values, dtype=float)
    present = present[~np.isnan(present)]
    return float(np.median(present)) if len(present) else math.nan
