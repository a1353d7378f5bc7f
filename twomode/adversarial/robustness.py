"""What adversarial training gives and costs: robust errors, learning curves, lag behind p_adv*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

import numpy as np

from twomode._typing import Count, NotNegative, Positive, Seed, SeedNumber, Whole
from twomode.adversarial.closed_form import Quadrature, Target
from twomode.adversarial.problems import DATA, Data, Model, load_data
from twomode.adversarial.samplers import advance
from twomode.adversarial.training import Method, method, train
from twomode.checks import check_fields, checked
from twomode.errors import require, require_choice, require_columns, shown
from twomode.progress import Progress, Report, watched

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "PROBLEMS",
    "Problem",
    "cost_to",
    "learning_curve",
    "learning_curves",
    "robust_error",
    "tracking_lag",
]

#: Of a learning curve.
Evaluations: TypeAlias = Annotated[int, "[1, 1e6]"]


@checked
def robust_error(
    model: Model,
    data: Data,
    eps: Positive,
    *,
    steps: Count = 40,
    restarts: Count = 1,
    start: str = "uniform",
    seed: Seed = 0,
) -> tuple[float, float]:
    """Shares of points that a model gets wrong: as they are, and under PGD.

    Parameters
    ----------
    model : Model
    data : Data
    eps : float
        Half width of the boxes, in units of x.
    steps, restarts : int
        PGD-`steps` (Madry et al. 2018) from so many uniform starts.  A point that any of its
        attacks, or none, makes wrong counts.
    start : str
        uniform in the boxes, or data: PGD-1 from there is FGSM (Goodfellow et al. 2015).
    seed : int, SeedSequence or Generator
        Of the starts.

    Returns
    -------
    (float, float)
        Natural and robust error, the second never less.

    Raises
    ------
    InputError
        If a number is out of range or the data do not fit.

    Examples
    --------
    Points at (1, 1) / sqrt(2) and its negative, and a model that goes by the sign of x_1 + x_2: it
    is right on boxes that do not reach the origin.

    >>> import numpy as np
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("blobs", n=8, noise=0)
    >>> model = tm.adversarial.Model(np.ones((1, 2)), np.zeros(1))
    >>> [tm.robustness.robust_error(model, data, eps) for eps in (0.6, 0.8)]
    [(0.0, 0.0), (0.0, 1.0)]
    """
    require_choice("start", start, ("uniform", "data"))
    target = Target.of(model, data, eps, 0.0)
    rng, right = np.random.default_rng(seed), np.flatnonzero(model.predict(target.x) == target.y)
    natural, pgd = len(right), method(f"pgd-{steps}").sampler
    for _ in range(restarts):
        if len(right) == 0:
            break
        here = target.take(right)
        first = here.x if start == "data" else rng.uniform(here.low, here.high)
        x = advance(here, pgd, first, steps, rng).x
        right = right[model.predict(x) == here.y]
    return 1 - natural / len(target.y), 1 - len(right) / len(target.y)


@checked
def tracking_lag(
    model: Model,
    data: Data,
    method: Method,
    *,
    eps: Positive,
    lam: NotNegative,
    learning_rate: Positive,
    duration: Positive = 10.0,
    seed: SeedNumber = 0,
) -> float:
    """How far the adversarial data set lags behind p_adv* of the model that learns from it.

    Of what p_adv* gains in mean loss over the uniform law on the boxes, the share that the data set
    lacks: 0 if it follows at once, 1 if it is no better than uniform noise.  The mean is over the
    second half of the training; few points or copies make it noisy, below 0 and above 1 too.

    Parameters
    ----------
    model : Model
        To start from.
    data : Data
        In one or two dimensions, all of them in each minibatch.
    method : Method
    eps, lam
        See `train`.
    learning_rate : float
        At most `duration`.
    duration : float
        The number of steps times their length.
    seed : int

    Raises
    ------
    InputError
        If a number is out of range, or there is no quadrature.

    Examples
    --------
    Points that are moved one step at a time follow a model better if it learns in small steps:

    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("mixture", n=8)
    >>> model = tm.adversarial.Model.random(data, hidden=8)
    >>> how = tm.adversarial.Method(tm.adversarial.Langevin(h=0.1), copies=256)
    >>> options = {"eps": 0.5, "lam": 10, "duration": 4}
    >>> lag = tm.robustness.tracking_lag
    >>> lags = [lag(model, data, how, learning_rate=rate, **options) for rate in (0.5, 0.05)]
    >>> lags[0] > lags[1]
    True
    """
    require(learning_rate <= duration, f"{learning_rate=} must lie in (0, {duration:g}]")
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
    require(gains > 0, f"lam={lam:g} is too small: p_adv* gains nothing over the uniform law")
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

    Examples
    --------
    A named one, made smaller:

    >>> from dataclasses import replace
    >>> import twomode as tm
    >>> problem = replace(tm.robustness.PROBLEMS["moons"], steps=20)
    >>> problem.n_train, problem.eps, problem.steps
    (1000, 0.3, 20)
    """

    EXAMPLE: ClassVar[str] = 'tm.robustness.PROBLEMS["moons"]'

    data: str
    n_train: Count
    n_test: Count
    hidden: Count | None
    eps: Positive
    lam: NotNegative = 10.0
    batch: Count = 50
    learning_rate: Positive = 0.5
    steps: Count = 3200

    def __post_init__(self) -> None:
        check_fields(self)
        require_choice("data", self.data, DATA)


#: A problem of each data set, on which PGD-40 trains a model that is neither perfect nor useless.
PROBLEMS = {
    p.data: p
    for p in (
        Problem("digits", 1200, 597, 64, 0.2, lam=1000.0, learning_rate=0.2, steps=4800),
        Problem("moons", 1000, 1000, 32, 0.3),
        Problem("circles", 1000, 1000, 32, 0.15),
        Problem("blobs", 1000, 1000, None, 0.3),
        Problem("mixture", 1000, 1000, 32, 0.6),
    )
}


@checked
def learning_curve(
    problem: Problem,
    method: Method,
    seed: SeedNumber = 0,
    evaluations: Evaluations = 32,
    *,
    progress: Report | bool | None = None,
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
        True for a bar, or called with a `Progress` in steps.

    Returns
    -------
    list of dict
        ``step``, ``gradients``, ``seconds`` and ``loss`` (see `TrainingState`), and the errors on
        the test points: ``natural_error``, ``fgsm_error``, ``robust_error`` (PGD-40) and, in the
        last row only, ``strong_error`` (PGD-100, ten restarts).

    Raises
    ------
    InputError
        If a field of the problem is out of range.

    Examples
    --------
    >>> import twomode as tm
    >>> problem = tm.robustness.Problem("moons", 100, 50, hidden=8, eps=0.3, steps=20)
    >>> fgsm = tm.adversarial.method("fgsm")
    >>> rows = tm.robustness.learning_curve(problem, fgsm, evaluations=3)
    >>> [(row["step"], row["gradients"]) for row in rows]
    [(1, 100), (4, 400), (20, 2000)]
    >>> rows[0]["robust_error"] > rows[-1]["robust_error"]
    True
    """
    of_data, of_model, of_training, of_attacks = np.random.SeedSequence(seed).spawn(4)
    data = load_data(problem.data, problem.n_train + problem.n_test, of_data)
    points, test = data.take(slice(problem.n_train)), data.take(slice(problem.n_train, None))
    first = min(problem.steps, max(1, problem.n_train // (4 * problem.batch)))
    at = set(np.geomspace(first, problem.steps, evaluations).round().astype(int).tolist())
    rows = []
    with watched(progress, problem.data) as report:
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
            report(Progress(state.step, problem.steps, "step"))
            if state.step not in at:
                continue
            row = {name: getattr(state, name) for name in ("step", "gradients", "seconds", "loss")}
            natural, robust = robust_error(state.model, test, problem.eps, seed=of_attacks)
            fgsm = robust_error(state.model, test, problem.eps, steps=1, start="data")[1]
            errors = {"natural_error": natural, "fgsm_error": fgsm, "robust_error": robust}
            rows.append(row | errors)
    rows[-1]["strong_error"] = robust_error(
        state.model, test, problem.eps, steps=100, restarts=10, seed=of_attacks
    )[1]
    return rows


@checked
def learning_curves(
    problem: Problem,
    methods: Mapping[str, Method],
    seeds: Sequence[Whole],
    executor: Executor | None = None,
    *,
    longer: Mapping[str, Count] = MappingProxyType({}),
    evaluations: Evaluations = 32,
    progress: Report | bool | None = None,
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
        True for a bar, or called with a `Progress` in runs.

    Returns
    -------
    DataFrame
        A row an evaluation, with columns ``method`` and ``seed`` first.

    Examples
    --------
    >>> import twomode as tm
    >>> problem = tm.robustness.Problem("moons", 100, 50, hidden=8, eps=0.3, steps=20)
    >>> methods = {name: tm.adversarial.method(name) for name in ("natural", "fgsm")}
    >>> table = tm.robustness.learning_curves(problem, methods, seeds=[0, 1], evaluations=2)
    >>> table.groupby("method", sort=False)["gradients"].max().to_dict()
    {'natural': 1000, 'fgsm': 2000}
    """
    import pandas as pd

    require(bool(methods) and bool(seeds), "learning curves need at least one method and one seed")
    runs, frames = [(seed, name) for seed in seeds for name in methods], []
    curves = (map if executor is None else executor.map)(
        learning_curve,
        [replace(problem, steps=problem.steps * longer.get(name, 1)) for _, name in runs],
        [methods[name] for _, name in runs],
        [seed for seed, _ in runs],
        [evaluations] * len(runs),
    )
    with watched(progress, f"{problem.data}, {len(methods)} methods") as report:
        for (seed, name), rows in zip(runs, curves, strict=True):
            frames.append(pd.DataFrame([{"method": name, "seed": seed} | row for row in rows]))
            report(Progress(len(frames), len(runs), "run"))
    return pd.concat(frames, ignore_index=True)


@checked
def cost_to(
    table: pd.DataFrame, level: pd.Series, cost: str = "gradients", error: str = "robust_error"
) -> pd.DataFrame:
    """What it cost to come down to each seed's level for the first time, inf if it never did.

    Parameters
    ----------
    table : DataFrame
        Of `learning_curves`.
    level : Series
        An error for each seed.
    cost : str
        ``gradients`` or ``seconds``.
    error : str
        The column of errors: ``robust_error``, or ``fgsm_error``.

    Returns
    -------
    DataFrame
        A row a seed, a column a method.

    Examples
    --------
    >>> import pandas as pd
    >>> import twomode as tm
    >>> rows = [("natural", 200, 0.8), ("fgsm", 200, 0.5), ("fgsm", 400, 0.2)]
    >>> table = pd.DataFrame(rows, columns=["method", "gradients", "robust_error"]).assign(seed=0)
    >>> tm.robustness.cost_to(table, pd.Series({0: 0.3})).loc[0].to_dict()
    {'natural': inf, 'fgsm': 400.0}
    """
    import pandas as pd

    require(isinstance(level, pd.Series), f"level={shown(level)} must be a Series, by seed")
    require_columns(table, "seed", "method", error, cost)
    reached = table[table[error] <= table["seed"].map(level)]
    first = reached.groupby(["seed", "method"])[cost].first().unstack()
    return first.reindex(index=level.index, columns=table["method"].unique()).fillna(np.inf)
