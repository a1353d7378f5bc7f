"""Theorem cards: what a theorem says, whether a run is one that it speaks of, and whether it holds.

A card takes a `Result` and runs nothing.  It states the hypotheses and whether the run meets them,
the inequality with both its sides and its margin at every recorded iteration, and a verdict: the
share of independent replicas in which the inequality held wherever the theorem asks for it, with
its exact interval.

    tm.theory.theorem_4_1(result).assert_holds()

The theorems leave their rates open (o(1), polylog(d)), and finite d has no o(1).  The functions of
d below fix a choice; each is an argument too.

Source: G. Gidel, "Beyond minimax optimization" (Simons Institute, 2022), Theorems 4.1 and 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np

from twomode._typing import FloatArray, Level, Positive
from twomode.checks import checked, take
from twomode.game import (
    COVERAGE_DELTA,
    LARGEST_CHECKED,
    NU,
    Game,
)
from twomode.runs import Result
from twomode.statistics import Proportion
from twomode.theory.cards import Card, Hypothesis, margins_of, worst_of
from twomode.theory.hypotheses import (
    any_step_sizes,
    both_moved,
    fast_generator,
    normalized_sgda,
    plain_sgda,
    reached_T0,
    setting,
    slower_generator,
)
from twomode.theory.verdicts import NEAR, coverage_bound, first_stationary, moved, overshot

__all__ = [
    "HORIZON",
    "Card",
    "Hypothesis",
    "asymmetry_bound",
    "coverage_bound",
    "formula",
    "ratio_bound",
    "residual_bound",
    "slow_residual_bound",
    "theorem_4_1",
    "theorem_4_1_collapse",
    "theorem_4_2",
]

#: Default c of T_1 = c/eta_D in `theorem_4_2`: each neuron may travel a length of 25.
HORIZON = 25.0


@checked
def asymmetry_bound(game: Game) -> float:
    """ln(d)/sqrt(d), the o(1) of Theorem 4.1: polylog(d) times what a random direction has.

    The asymmetry of a generator that never moved is about 1/sqrt(d) for one z.

    Examples
    --------
    >>> import twomode as tm
    >>> [round(tm.theory.asymmetry_bound(tm.Game.preset(d=d)), 3) for d in (2**8, 2**16)]
    [0.347, 0.043]
    """
    return math.log(game.d) / math.sqrt(game.d)


@checked
def residual_bound(game: Game) -> float:
    """5/ln(d), the o(1) of Theorem 4.1's special case.

    Examples
    --------
    >>> import twomode as tm
    >>> [round(tm.theory.residual_bound(tm.Game.preset(d=d)), 3) for d in (2**8, 2**16)]
    [0.902, 0.451]
    """
    return 5 / math.log(game.d)


@checked
def ratio_bound(game: Game, ratio: Positive) -> float:
    """An o(1) for Theorem 4.1 that every ratio of step sizes supports, from the flow's d on.

    The larger of `asymmetry_bound` and ratio (ln d)^(5/2) / (4 d), but at most half of the
    asymmetry that one mode alone has: more is no o(1).

    Parameters
    ----------
    game : Game
    ratio : float
        eta_G/eta_D.  Below 4 sqrt(d)/(ln d)^(3/2) it does not matter.

    Notes
    -----
    The generator answers sqrt(d)/ratio times as late as the discriminator learns, and by then what
    its neurons still have of one mode more than of the other has died like one over the time (see
    ``paper_checks/README.md``): a ratio near sqrt(d) costs powers of ln d.

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=2**24)
    >>> [round(tm.theory.ratio_bound(game, ratio), 3) for ratio in (16, 2**12, 2**20)]
    [0.004, 0.069, 0.343]
    """
    return _ratio_bound(game, ratio)[0]


@checked
def slow_residual_bound(game: Game) -> float:
    """2.5 / (ln d)^(2/3), an o(1) for the special case of Theorem 4.1 that every d supports.

    The residual falls more slowly than `residual_bound`, which it exceeds at d = 2^200.

    Examples
    --------
    >>> import twomode as tm
    >>> [round(tm.theory.slow_residual_bound(tm.Game.preset(d=d)), 3) for d in (2**16, 2**200)]
    [0.503, 0.093]
    """
    return 2.5 / math.log(game.d) ** (2 / 3)


@checked
def formula(bound: Callable[[Game], float]) -> str:
    """How a bound is written: as a formula if it is one of these, else by the function's name.

    Examples
    --------
    >>> import twomode as tm
    >>> tm.theory.formula(tm.theory.residual_bound)
    '5/ln(d)'
    """
    formulas: dict[Callable[[Game], float], str] = {
        asymmetry_bound: "ln(d)/sqrt(d)",
        residual_bound: "5/ln(d)",
        slow_residual_bound: "2.5/(ln(d))^(2/3)",
        coverage_bound: "1/(2 m_G)",
    }
    return formulas.get(bound, getattr(bound, "__name__", repr(bound)))


@checked
def theorem_4_1(
    result: Result,
    *,
    bound: Callable[[Game], float] | None = None,
    nu: Level = NU,
    probability: Level = 0.5,
    confidence: Level = 0.95,
) -> Card:
    """Theorem 4.1: under SGDA the generator sees both modes alike up to T_0, for any step sizes.

    For all t <= T_0 and all z in {0,1}^m_G, max_l abs(<xi, u_l>) <= o(1) norm(xi).

    Parameters
    ----------
    result : Result
    bound : callable, optional
        The o(1), as a function of the game, such as `asymmetry_bound`; by default `ratio_bound` at
        the run's eta_G/eta_D.
    nu : float
        Of `first_stationary`, which finds T_0.  A replica without T_0 is held to the inequality
        at all its records (until it diverges), since t <= T_0 for all of them.
    probability, confidence : float
        See `Card`.

    Returns
    -------
    Card

    Raises
    ------
    InputError
        If nu, a probability or a confidence is outside (0, 1), or a bound is not positive.

    Notes
    -----
    The inequality alone does not say that anything was learned: the random start satisfies it.
    The card therefore says how many generators moved before T_0, and `theorem_4_1_collapse`
    asks for the collapse itself.

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=1024)
    >>> opt, steps = tm.recipe(game, "sgda", steps=2000)
    >>> card = tm.theory.theorem_4_1(tm.simulate(game, opt, steps, replicas=6, seed=0))
    >>> card.applies, card.verdict, dict(card.apart)["generators that moved before T_0"]
    (True, 'holds', '6 of 6')
    """
    game, opt = result.game, result.opt
    ratio = opt.eta_G / opt.eta_D if opt.eta_D > 0 and opt.eta_G > 0 else math.inf
    right, words = _ratio_bound(game, ratio)
    if bound is not None:
        right, words = _positive(bound(game)), formula(bound)
    asymmetry = result.extremes.asymmetry
    at = first_stationary(result, nu)
    return _card_about_T0(
        result,
        asked=_until,
        nu=nu,
        step_sizes=any_step_sizes(result),
        theorem="Theorem 4.1 (SGDA learns no single mode)",
        statement=(
            "For any step sizes, with probability 1 - o(1), for all t <= T_0 and all z:"
            " G(z) = alpha(z) (u_1 + u_2) + xi(z) with |<xi, u_l>| = o(1) |xi|."
        ),
        inequality=f"asymmetry, largest over {_which_latents(game)}, <= {words}",
        left=asymmetry,
        right=right,
        probability=probability,
        confidence=confidence,
        apart=(
            ("largest asymmetry that there can be", f"{_one_mode(game):.3f}"),
            ("the start's own asymmetry, median", f"{np.median(asymmetry[:, 0]):.4g}"),
            ("generators that moved before T_0", _moved(result, at)),
            *_overshot(result, at, nu),
            *_after(result, at, right),
        ),
    )


@checked
def theorem_4_1_collapse(
    result: Result,
    *,
    bound: Callable[[Game], float] = slow_residual_bound,
    nu: Level = NU,
    probability: Level = 0.5,
    confidence: Level = 0.95,
) -> Card:
    """Theorem 4.1, special case: with eta_G = sqrt(d) eta_D / polylog(d), SGDA collapses.

    norm(xi(T_0)) = o(alpha(T_0)) for every z; alpha must be positive.

    Parameters
    ----------
    result, nu, probability, confidence
        As for `theorem_4_1`.  A replica without T_0 does not collapse at T_0.
    bound : callable
        The o(1), as a function of the game.

    Returns
    -------
    Card

    Raises
    ------
    InputError
        As for `theorem_4_1`.

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=1024)
    >>> opt, steps = tm.recipe(game, "sgda", steps=2000)
    >>> result = tm.simulate(game, opt, steps, replicas=6, seed=0)
    >>> tm.theory.theorem_4_1_collapse(result).assert_holds()
    """
    game, right = result.game, _positive(bound(result.game))
    # Along -(u_1 + u_2) is no collapse to the average, however small xi is.
    residual = np.where(result.extremes.alpha <= 0, np.inf, result.extremes.residual)
    start = result.extremes.residual[:, 0]
    return _card_about_T0(
        result,
        asked=_only,
        nu=nu,
        step_sizes=fast_generator(result),
        theorem="Theorem 4.1, special case (SGDA collapses)",
        statement=(
            "If eta_G = sqrt(d) eta_D / polylog(d), then with probability 1 - o(1) and for all z,"
            " |xi(T_0)| = o(alpha(T_0)): the generator points along u_1 + u_2."
        ),
        inequality=(
            f"residual at T_0 (alpha > 0), largest over {_which_latents(game)}, <= {formula(bound)}"
        ),
        left=residual,
        right=right,
        probability=probability,
        confidence=confidence,
        apart=(
            ("the start's own residual, median", f"{np.median(start):.4g}"),
            ("residual at the end, median of the finite", _median_at_end(result, residual)),
            *_overshot(result, first_stationary(result, nu), nu),
        ),
    )


@checked
def theorem_4_2(
    result: Result,
    *,
    bound: Callable[[Game], float] = coverage_bound,
    delta: Annotated[float, "(0, 2)"] = COVERAGE_DELTA,
    c: Positive = HORIZON,
    probability: Level = 0.5,
    confidence: Level = 0.95,
) -> Card:
    """Theorem 4.2: after T_1 = c/eta_D iterations normalized SGDA has learned both directions.

    Pr_z(norm(G(z)/norm(G(z)) - u_l) <= delta) >= bound for l = 1 and 2.

    Parameters
    ----------
    result : Result
    bound : callable
        The Omega~(1), as a function of the game.
    delta : float
        The o(1) distance between directions, in (0, 2); sqrt(0.2) is a cosine of 0.9.
    c : float
        T_1 = c/eta_D; judged at the last record up to it.
    probability, confidence : float
        See `Card`.

    Returns
    -------
    Card

    Raises
    ------
    InputError
        If a probability or a confidence is outside (0, 1), delta outside (0, 2), or a bound or c
        not positive.

    Notes
    -----
    About directions only: neither norms nor the weights of the modes.  The theorem as stated in
    the talk does not say over which blocks the gradients are normalized; the card names the ones
    of the run.

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=4096)
    >>> result = tm.simulate(game, *tm.recipe(game, "nsgda"), replicas=6, record_every=50)
    >>> card = tm.theory.theorem_4_2(result)
    >>> card.applies, card.verdict, dict(card.apart)["replicas by modes covered at T_1"]
    (True, 'holds', '6 cover 2, 0 cover 1, 0 cover 0')
    """
    game, opt, right = result.game, result.opt, _positive(bound(result.game))
    probabilities, outputs = game.latent_points[1], result.outputs()
    coverage = outputs.coverage(probabilities, delta)
    left = coverage.min(axis=-1)

    def share(smaller: FloatArray, horizon: float) -> Proportion:
        margins = margins_of(smaller, right, at_most=False)
        held = worst_of(margins, _only(result, _record_at(result, horizon))) >= 0
        return Proportion.of(held, confidence)

    def nearer(value: float) -> Proportion:
        return share(outputs.coverage(probabilities, value).min(axis=-1), c)

    at = _record_at(result, c)
    judged = int(result.steps[at[0]])
    best = outputs.cosines[np.arange(result.replicas), at].max(axis=-2).min(axis=-1)
    closest = np.sqrt(np.maximum(2 - 2 * np.where(np.isnan(best), -1, best), 0))
    covered = (coverage[np.arange(result.replicas), at] >= right).sum(axis=-1)
    return Card(
        theorem="Theorem 4.2 (normalized SGDA recovers both modes)",
        statement=(
            "For suitable step sizes, after T_1 = Theta~(1/eta_D) iterations,"
            " Pr_z(|G(z)/|G(z)| - u_l| = o(1)) = Omega~(1) for l = 1 and 2."
        ),
        inequality=(
            f"at T_1 = {c:g}/eta_D, the smaller of P_1, P_2 within delta = {delta:.3g},"
            f" >= {formula(bound)}"
        ),
        at_most=False,
        hypotheses=(
            normalized_sgda(result),
            slower_generator(result),
            *setting(result),
            both_moved(result, at, probability),
            Hypothesis(
                "horizon",
                f"a record within a tenth of T_1 = {c:g}/eta_D iterations, and none is later",
                f"t = {judged:,} = {judged * opt.eta_D:.4g}/eta_D",
                bool(judged * opt.eta_D >= 0.9 * c),
            ),
        ),
        steps=result.steps,
        times=result.times,
        left=left,
        right=right,
        asked=_only(result, at),
        probability=probability,
        confidence=confidence,
        sensitivity=(
            *((f"delta = {x:.2g}", nearer(x)) for x in (delta / 4, delta / 2, 1.5 * delta)),
            *((f"T_1 = {x:g}/eta_D", share(left, x)) for x in (c / 4, c / 2)),
        ),
        apart=(
            (
                "replicas by modes covered at T_1",
                ", ".join(f"{(covered == n).sum()} cover {n}" for n in (2, 1, 0)),
            ),
            (
                "distance from the farther mode to the nearest output, median",
                f"{np.median(closest):.3g}",
            ),
        ),
    )


def _card_about_T0(
    result: Result,
    *,
    asked: Callable[[Result, np.ndarray], np.ndarray],
    nu: float,
    step_sizes: Hypothesis,
    left: FloatArray,
    right: float,
    probability: float,
    confidence: float,
    **words: Any,
) -> Card:
    """A card of SGDA whose inequality, left <= right, is asked for relative to T_0.

    `asked` turns the record of T_0 in each replica into the records that count.
    """
    margins = margins_of(left, right, at_most=True)
    at = first_stationary(result, nu)
    sensitivity = []
    ended = result.intervals is not None  # a flow, at the T_0 of NU
    for value in _two_decades(nu):
        if ended and value < NU:
            continue
        other = first_stationary(result, value)
        held = worst_of(margins, asked(result, other)) >= 0
        name = f"nu = {value:.2g} (T_0 found in {(other >= 0).sum()})"
        sensitivity.append((name, Proportion.of(held, confidence)))
    return Card(
        at_most=True,
        hypotheses=(
            plain_sgda(result),
            step_sizes,
            *setting(result),
            both_moved(result, at, probability),
            reached_T0(nu, at, probability),
        ),
        steps=result.steps,
        times=result.times,
        left=left,
        right=right,
        asked=asked(result, at),
        probability=probability,
        confidence=confidence,
        sensitivity=tuple(sensitivity),
        **words,
    )


def _until(result: Result, at: np.ndarray) -> np.ndarray:
    """Records up to the given one of each replica; all the finite ones where it is -1."""
    records = np.arange(len(result.steps))
    last = np.where(result.diverged, result.diverged_at, result.steps[-1] + 1)
    finite = result.steps < last[:, None]
    return np.where(at[:, None] >= 0, records <= at[:, None], finite)


def _only(result: Result, at: np.ndarray) -> np.ndarray:
    """The given record of each replica, none where it is -1."""
    return np.arange(len(result.steps)) == np.where(at >= 0, at, -1)[:, None]


def _record_at(result: Result, c: float) -> np.ndarray:
    """The last record up to iteration c/eta_D, the same for each replica."""
    T1 = c / result.opt.eta_D if result.opt.eta_D > 0 else math.inf
    record = int(np.searchsorted(result.steps, T1 * (1 + 1e-9), side="right")) - 1
    return np.full(result.replicas, record)


def _two_decades(nu: float) -> FloatArray:
    """Two decades of nu around the given one, below 1."""
    highest = min(5 * nu, 0.9)
    return np.geomspace(highest / 100, highest, 5)


def _positive(right: float) -> float:
    return float(take("bound(game)", right, Positive))


def _one_mode(game: Game) -> float:
    """The asymmetry of u_1 alone, which none exceeds."""
    return math.sqrt((1 - game.gamma) / 2)


def _ratio_bound(game: Game, ratio: float) -> tuple[float, str]:
    """`ratio_bound`, and what it is here."""
    far = asymmetry_bound(game), formula(asymmetry_bound)
    near = ratio * math.log(game.d) ** 2.5 / (4 * game.d), "eta_G/eta_D (ln(d))^(5/2)/(4 d)"
    return min(max(far, near), (_one_mode(game) / 2, "half of what one mode alone has"))


def _which_latents(game: Game) -> str:
    if game.m_G <= LARGEST_CHECKED:
        return f"all {2**game.m_G - 1:,} nonzero z"
    return f"the {len(game.latent_points[0]):,} z of the support"


def _moved(result: Result, at: np.ndarray) -> str:
    """How many generators changed their norm by more than a factor of 2 before T_0."""
    return f"{(moved(result, at) & (at >= 0)).sum()} of {(at >= 0).sum()}"


def _overshot(result: Result, at: np.ndarray, nu: float) -> tuple[tuple[str, str], ...]:
    """A warning where the records are too coarse for T_0."""
    late = int(overshot(result, at, nu).sum())
    name = "T_0 may be late, after a peak between two records (resolve=2 follows it)"
    return ((name, f"{late} of {(at >= 0).sum()}"),) if late else ()


def _after(result: Result, at: np.ndarray, right: float) -> tuple[tuple[str, str], ...]:
    """What happened after T_0, of which the theorem says nothing."""
    later = ~_until(result, at) & (at[:, None] >= 0)
    reached = at >= 0
    if not later.any():
        return (("after T_0", "nothing was recorded"),)
    asymmetry = result.extremes.asymmetry
    largest = np.nanmax(np.where(later, asymmetry, np.nan)[later.any(axis=1)], axis=1, initial=0)
    above = int((largest > right).sum())
    cosine = result.collapse_cosine()
    collapsed = int((cosine[reached, -1] >= NEAR).sum())
    return (
        ("after T_0, replicas whose asymmetry exceeds the bound", f"{above} of {len(largest)}"),
        ("after T_0, largest asymmetry, median over replicas", f"{np.median(largest):.3g}"),
        ("at the end, collapse cosine at least 0.9", f"{collapsed} of {reached.sum()}"),
        ("at the end, diverged", f"{(result.diverged & reached).sum()} of {reached.sum()}"),
    )


def _median_at_end(result: Result, values: FloatArray) -> str:
    finite = values[~result.diverged, -1]
    return f"{np.median(finite):.3g}" if len(finite) else "none is finite"
