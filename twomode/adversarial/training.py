"""Training against an adversary: the talk's Algorithm 1, and what it is compared with.

They are one loop.  At each step of SGD a minibatch's adversarial points start somewhere, make some
steps of a sampler in their boxes, and the model descends the mean of their losses:

| name | starts at | steps | sampler |
|---|---|---|---|
| natural | the data | 0 | |
| fgsm | the data | 1 | eps sign(grad l) |
| pgd-k | uniform in the box | k | (2.5/k) eps sign(grad l), projected |
| algorithm-1 | where the point was last time | 1 | sign step with noise, or any other |

Cost is counted in gradient evaluations: one forward and one backward pass of one sample, be it for
the gradient in x or in theta.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from twomode.adversarial.closed_form import Quadrature, Target
from twomode.adversarial.problems import Data, Model, load_data
from twomode.adversarial.samplers import Sampler, SignStep, advance
from twomode.errors import InputError, require, require_choice, require_finite, require_whole
from twomode.laws import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "METHODS",
    "PROBLEMS",
    "STARTS",
    "Method",
    "Problem",
    "State",
    "cost_to",
    "fit",
    "learning_curve",
    "learning_curves",
    "method",
    "robust_error",
    "tracking_lag",
    "train",
]

Seed: TypeAlias = int | np.random.SeedSequence

STARTS = ("warm", "data", "uniform")
METHODS = ("natural", "fgsm", "pgd-K", "algorithm-1")


@dataclass(frozen=True)
class Method:
    """How the points that a model is trained on are found.

    Parameters
    ----------
    sampler : Sampler
    steps : int
        T, of the sampler for each step of SGD.
    copies : int
        K, adversarial points of each data point.
    start : str
        warm (where they were last time, at first the data), data, or uniform in the box.

    Raises
    ------
    InputError
        If a number is out of range or the start is unknown.
    """

    sampler: Sampler
    steps: int = 1
    copies: int = 1
    start: str = "warm"

    def __post_init__(self) -> None:
        require_whole("steps", self.steps, 0)
        require_whole("copies", self.copies, 1)
        require_choice("start", self.start, STARTS)


def _pgd(k: int) -> SignStep:
    """A step of PGD-k: k of them go 2.5 times as far as a face is (Madry et al. 2018)."""
    return SignStep(eta=2.5 / k, sigma=0.0)


def method(name: str, **changes: Any) -> Method:
    """A named method, any field replaced by keyword; pgd-k for any k.

    Raises
    ------
    InputError
        If there is no such name, or a field is out of range.
    """
    pgd = re.fullmatch(r"pgd-([1-9]\d*)", name)
    if pgd:
        k = int(pgd[1])
        return replace(Method(_pgd(k), steps=k, start="uniform"), **changes)
    require_choice("method", name, METHODS)
    require(name != "pgd-K", "method 'pgd-K': say how many steps, as in pgd-7")
    named = {
        "natural": Method(SignStep(sigma=0.0), steps=0, start="data"),
        "fgsm": Method(SignStep(eta=1.0, sigma=0.0), start="data"),
        "algorithm-1": Method(SignStep()),
    }
    return replace(named[name], **changes)


class State(NamedTuple):
    """Training after some steps of SGD."""

    step: int
    model: Model
    attacks: FloatArray  #: the adversarial data set, shape (K, n, d); the next step changes it
    loss: float  #: mean loss of the points of the step, before it; NaN at first
    gradients: int  #: evaluations so far
    seconds: float  #: of training so far, whatever is done between two states


def train(
    model: Model,
    data: Data,
    method: Method,
    *,
    eps: float,
    lam: float = 1.0,
    steps: int,
    batch: int = 50,
    learning_rate: float = 0.1,
    seed: Seed = 0,
) -> Iterator[State]:
    """The talk's Algorithm 1 with any method inside: a state before the first step and after each.

    Parameters
    ----------
    model : Model
        To start from.
    data : Data
    method : Method
    eps : float
        Half width of the boxes, in units of x.
    lam : float
        Inverse strength of the regularization; the sign step does not see it.
    steps : int
        Of SGD.
    batch : int
        Data points in a minibatch; each epoch has its own order.
    learning_rate : float
    seed : int or SeedSequence
        The order of the data and what the sampler draws have streams of their own, so that methods
        with the same seed see the same minibatches.

    Raises
    ------
    InputError
        If a number is out of range, the data do not fit, or theta is no longer finite.
    """
    target = Target.of(model, data, eps, lam)
    n, steps = len(data.x), require_whole("steps", steps, 0)
    batch = min(require_whole("batch", batch, 1), n)
    require_finite("learning_rate", learning_rate)
    require(learning_rate > 0, f"learning_rate={learning_rate!r} must be positive")
    seeds = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    order_rng, rng = map(np.random.default_rng, seeds.spawn(2))
    return _states(target, method, steps, batch, learning_rate, order_rng, rng)


def _states(
    target: Target,
    method: Method,
    steps: int,
    batch: int,
    learning_rate: float,
    order_rng: np.random.Generator,
    rng: np.random.Generator,
) -> Iterator[State]:
    (n, d), K = target.x.shape, method.copies
    attacks = np.repeat(target.x[None], K, axis=0)
    order = np.empty(0, dtype=np.int64)
    gradients, seconds = 0, 0.0
    yield State(0, target.model, attacks, np.nan, 0, 0.0)
    for step in range(1, steps + 1):
        began = time.perf_counter()
        if len(order) < batch:
            order = order_rng.permutation(n)
        rows, order = order[:batch], order[batch:]
        here = target.take(rows)
        x = attacks[:, rows] if method.start == "warm" else np.repeat(here.x[None], K, axis=0)
        if method.start == "uniform":
            x = rng.uniform(here.low, here.high, size=x.shape)
        x, _, evaluations = advance(here, method.sampler, x, method.steps, rng)
        attacks[:, rows] = x
        losses, gradient = target.model.theta_grad(x.reshape(-1, d), np.tile(here.y, K))
        try:
            target = replace(target, model=target.model.step(gradient, learning_rate))
        except InputError as error:
            raise InputError(f"{error} after step {step}: reduce {learning_rate=}") from error
        gradients += K * batch * (evaluations + 1)
        seconds += time.perf_counter() - began
        yield State(step, target.model, attacks, float(losses.mean()), gradients, seconds)


def fit(model: Model, data: Data, method: Method, **options: Any) -> Model:
    """The model that `train` ends with."""
    for state in train(model, data, method, **options):
        model = state.model
    return model


def robust_error(
    model: Model, data: Data, eps: float, *, steps: int = 40, restarts: int = 1, seed: Any = 0
) -> tuple[float, float]:
    """Shares of points that a model gets wrong: as they are, and under PGD.

    Parameters
    ----------
    steps, restarts : int
        PGD-`steps` from so many uniform starts.  A point that any of its attacks, or none, makes
        wrong counts.

    Raises
    ------
    InputError
        If a number is out of range or the data do not fit.
    """
    target, k = Target.of(model, data, eps, 0.0), require_whole("steps", steps, 1)
    rng, right = np.random.default_rng(seed), np.flatnonzero(model.predict(target.x) == target.y)
    natural = len(right)
    for _ in range(require_whole("restarts", restarts, 1)):
        here = target.take(right)
        x = advance(here, _pgd(k), rng.uniform(here.low, here.high), k, rng).x
        right = right[model.predict(x) == here.y]
    return 1 - natural / len(target.y), 1 - len(right) / len(target.y)


def tracking_lag(
    model: Model,
    data: Data,
    method: Method,
    *,
    eps: float,
    lam: float,
    learning_rate: float,
    duration: float = 10.0,
    seed: Seed = 0,
) -> float:
    """How far the adversarial data set lags behind p_adv* of the model that learns from it.

    Of what p_adv* gains in mean loss over the uniform law on the boxes, the share that the data set
    lacks: 0 if it follows at once, 1 if it is no better than uniform noise.  Data in one or two
    dimensions, all of them in each minibatch; `duration` is the number of steps times their length,
    and the mean is over the second half of it.
    """
    require_finite("learning_rate", learning_rate)
    require(0 < learning_rate <= duration, f"{learning_rate=} must lie in (0, {duration:g}]")
    steps = round(duration / learning_rate)
    lacks, gains = 0.0, 0.0
    for state in train(
        model,
        data,
        method,
        eps=eps,
        lam=lam,
        steps=steps,
        batch=len(data.x),
        learning_rate=learning_rate,
        seed=seed,
    ):
        if state.step > steps / 2 and (steps - state.step) % max(1, steps // 20) == 0:
            target = Target.of(state.model, data, eps, lam)
            exact, uniform = (Quadrature(t).mean_loss for t in (target, replace(target, lam=0.0)))
            lacks += float(exact.mean() - target.losses(state.attacks).mean())
            gains += float((exact - uniform).mean())
    return lacks / gains


@dataclass(frozen=True)
class Problem:
    """All of a training run but its method and its seed.

    Parameters
    ----------
    data : str
        A toy data set.
    n_train, n_test : int
        Points.
    hidden : int or None
        Width of the hidden layer, of tanh; None for no such layer.
    eps, lam, batch, learning_rate, steps
        See `train`.
    """

    data: str
    n_train: int
    n_test: int
    hidden: int | None
    eps: float
    lam: float = 10.0
    batch: int = 50
    learning_rate: float = 0.5
    steps: int = 3200


#: A problem of each data set, on which PGD-40 trains a model that is neither perfect nor useless.
PROBLEMS = {
    p.data: p
    for p in (
        Problem("digits", 1200, 597, 64, 0.2, lam=3000.0, learning_rate=0.2, steps=4800),
        Problem("moons", 1000, 1000, 32, 0.3),
        Problem("circles", 1000, 1000, 32, 0.15),
        Problem("blobs", 1000, 1000, None, 0.3),
        Problem("mixture", 1000, 1000, 32, 0.6),
    )
}


def learning_curve(
    problem: Problem,
    method: Method,
    seed: int = 0,
    evaluations: int = 32,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, float]]:
    """Train and evaluate: what a model gets wrong against the cost of training it.

    Parameters
    ----------
    problem : Problem
    method : Method
    seed : int
        Data, start, order and noise; two methods with one seed differ in nothing but themselves.
    evaluations : int
        How often, in steps that grow geometrically.
    progress : callable, optional
        Called with the steps done and in all.

    Returns
    -------
    list of dict
        ``step``, ``gradients``, ``seconds`` and ``loss`` (see `State`), and the errors on the test
        points: ``natural_error``, ``robust_error`` (PGD-40) and, in the last row only,
        ``strong_error`` (PGD-100, ten restarts).
    """
    for name in ("n_train", "n_test", "batch", "steps"):
        require_whole(name, getattr(problem, name), 1)
    of_data, of_model, of_training, of_attacks = np.random.SeedSequence(seed).spawn(4)
    data = load_data(problem.data, problem.n_train + problem.n_test, of_data)
    points, test = data.take(slice(problem.n_train)), data.take(slice(problem.n_train, None))
    first = min(problem.steps, max(1, problem.n_train // (4 * problem.batch)))
    at = set(np.geomspace(first, problem.steps, evaluations).round().astype(int).tolist())
    rows = []
    for state in train(
        Model.random(data, of_model, hidden=problem.hidden),
        points,
        method,
        eps=problem.eps,
        lam=problem.lam,
        steps=problem.steps,
        batch=problem.batch,
        learning_rate=problem.learning_rate,
        seed=of_training,
    ):
        if progress is not None:
            progress(state.step, problem.steps)
        if state.step not in at:
            continue
        row = {name: getattr(state, name) for name in ("step", "gradients", "seconds", "loss")}
        natural, robust = robust_error(state.model, test, problem.eps, seed=of_attacks)
        rows.append(row | {"natural_error": natural, "robust_error": robust})
    rows[-1]["strong_error"] = robust_error(
        state.model, test, problem.eps, steps=100, restarts=10, seed=of_attacks
    )[1]
    return rows


def learning_curves(
    problem: Problem,
    methods: Mapping[str, Method],
    seeds: Sequence[int],
    executor: Executor | None = None,
    *,
    longer: Mapping[str, int] = MappingProxyType({}),
    evaluations: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """`learning_curve` of each method on each seed.

    Parameters
    ----------
    problem : Problem
    methods : mapping of str to Method
    seeds : sequence of int
    executor : Executor, optional
        Where the runs go; by default here, one after the other.
    longer : mapping of str to int
        Methods that train for so many times the problem's steps.
    evaluations : int
    progress : callable, optional
        Called with the runs done and in all.

    Returns
    -------
    DataFrame
        A row an evaluation, with columns ``method`` and ``seed`` first.
    """
    import pandas as pd

    runs, frames = [(seed, name) for seed in seeds for name in methods], []
    curves = (map if executor is None else executor.map)(
        learning_curve,
        [replace(problem, steps=problem.steps * longer.get(name, 1)) for _, name in runs],
        [methods[name] for _, name in runs],
        [seed for seed, _ in runs],
        [evaluations] * len(runs),
    )
    for (seed, name), rows in zip(runs, curves, strict=True):
        frames.append(pd.DataFrame([{"method": name, "seed": seed} | row for row in rows]))
        if progress is not None:
            progress(len(frames), len(runs))
    return pd.concat(frames, ignore_index=True)


def cost_to(table: pd.DataFrame, level: pd.Series, cost: str = "gradients") -> pd.DataFrame:
    """What it cost to come down to each seed's level for the first time, inf if it never did.

    Parameters
    ----------
    table : DataFrame
        Of `learning_curves`.
    level : Series
        A robust error for each seed.
    cost : str
        ``gradients`` or ``seconds``.

    Returns
    -------
    DataFrame
        A row a seed, a column a method.
    """
    reached = table[table["robust_error"] <= table["seed"].map(level)]
    first = reached.groupby(["seed", "method"])[cost].first().unstack()
    return first.reindex(index=level.index, columns=table["method"].unique()).fillna(np.inf)
