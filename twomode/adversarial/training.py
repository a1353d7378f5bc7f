"""Training against an adversary: the talk's Algorithm 1, and what it is compared with.

They are one loop.  At each step of SGD a minibatch's adversarial points start somewhere, make some
steps of a sampler in their boxes, and the model descends the mean of their losses:

| name | starts at | steps | sampler |
|---|---|---|---|
| natural | the data | 0 | |
| fgsm | the data | 1 | eps sign(grad l) (Goodfellow, Shlens and Szegedy 2015) |
| pgd-k | uniform in the box | k | (2.5/k) eps sign(grad l), projected |
| algorithm-1 | where the point was last time | 1 | sign step with noise, or any other |
| published | the same | 1 | eps/30 sign(grad l), and uniform noise: Algorithm 1 as published |

Cost is counted in gradient evaluations: one forward and one backward pass of one sample, be it for
the gradient in x or in theta.
"""

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from twomode import engines
from twomode._typing import Count, FloatArray, NotNegative, Positive, SeedNumber, Whole
from twomode.adversarial.closed_form import Target
from twomode.adversarial.problems import Data, Model
from twomode.adversarial.samplers import Sampler, SignStep, advance, climb
from twomode.checks import changed, check_fields, checked
from twomode.errors import InputError, require, require_choice, require_memory

__all__ = ["METHODS", "STARTS", "Method", "TrainingState", "fit", "method", "train"]

STARTS = ("warm", "data", "uniform")
METHODS = ("natural", "fgsm", "pgd-K", "algorithm-1", "published")
#: Of the published step, in x: x + eta sign(grad l) + s sqrt(2 eta) zeta, zeta uniform on (-1, 1).
PUBLISHED = {"eta": 0.01, "s": 0.2, "eps": 0.3}


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

    Examples
    --------
    Algorithm 1 with Langevin steps, which know lam, in place of the talk's:

    >>> import twomode as tm
    >>> langevin = tm.adversarial.sampler("reflected")
    >>> how = tm.adversarial.Method(langevin, copies=4)
    >>> how == tm.adversarial.method("algorithm-1", sampler=langevin, copies=4)
    True
    """

    EXAMPLE: ClassVar[str] = 'tm.adversarial.method("algorithm-1")'

    sampler: Sampler
    steps: Whole = 1
    copies: Count = 1
    start: str = "warm"

    def __post_init__(self) -> None:
        check_fields(self)
        require_choice("start", self.start, STARTS)


@checked
def method(name: str, **changes: Any) -> Method:
    """A named method, any field replaced by keyword; pgd-k for any k.

    The steps of PGD-k go 2.5 times as far as a face is (Madry et al. 2018).

    Parameters
    ----------
    name : str
        natural, fgsm, algorithm-1, published, or pgd-k with a number for k.
    **changes
        Fields of `Method`.

    Returns
    -------
    Method

    Raises
    ------
    InputError
        If there is no such name, or a field is out of range.

    Examples
    --------
    >>> import twomode as tm
    >>> tm.adversarial.method("pgd-5")
    Method(sampler=SignStep(eta=0.5, sigma=0.0, law='normal'), steps=5, copies=1, start='uniform')
    >>> tm.adversarial.method("algorithm-1", copies=4)
    Method(sampler=SignStep(eta=0.5, sigma=0.3, law='normal'), steps=1, copies=4, start='warm')
    """
    pgd = re.fullmatch(r"pgd-([1-9]\d*)", name)
    if pgd:
        k = int(pgd[1])
        return replace(Method(SignStep(2.5 / k, 0.0), steps=k, start="uniform"), **changes)
    require_choice("method", name, METHODS)
    require(name != "pgd-K", "method 'pgd-K': say how many steps, as in pgd-7")
    eta, s, eps = PUBLISHED.values()
    named = {
        "natural": Method(SignStep(sigma=0.0), steps=0, start="data"),
        "fgsm": Method(SignStep(eta=1.0, sigma=0.0), start="data"),
        "algorithm-1": Method(SignStep()),
        "published": Method(
            SignStep(
                eta / eps, s * math.sqrt(2 * eta / 3) / eps, law="uniform"
            )  # sd of zeta: 1/sqrt 3
        ),
    }
    return replace(named[name], **changes)


class TrainingState(NamedTuple):
    """Training after some steps of SGD.

    Examples
    --------
    The adversarial data set starts at the data and stays in the boxes:

    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("moons", n=50)
    >>> model, how = tm.adversarial.Model.random(data), tm.adversarial.method("algorithm-1")
    >>> for state in tm.adversarial.train(model, data, how, eps=0.3, steps=5):
    ...     moved = abs(state.attacks - data.x).max()
    ...     assert (moved == 0) if state.step == 0 else (0 < moved < 0.3 + 1e-12)
    """

    step: int
    model: Model
    attacks: FloatArray  #: the adversarial data set, shape (K, n, d); the next step changes it
    loss: float  #: mean loss of the points of the step, before it; NaN at first
    gradients: int  #: evaluations so far
    seconds: float  #: of training so far, whatever is done between two states


@checked
def train(
    model: Model,
    data: Data,
    method: Method,
    *,
    eps: Positive,
    lam: NotNegative = 1.0,
    steps: Whole,
    batch: Count = 50,
    learning_rate: Positive = 0.1,
    seed: SeedNumber | np.random.SeedSequence = 0,
) -> Iterator[TrainingState]:
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

    Returns
    -------
    iterator of TrainingState
        ``steps + 1`` of them.

    Raises
    ------
    InputError
        If a number is out of range, the data do not fit, or theta is no longer finite.

    Examples
    --------
    A step on 50 points: Algorithm 1 evaluates two gradients of each, PGD-7 eight.

    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("moons", n=100)
    >>> model = tm.adversarial.Model.random(data, hidden=16)
    >>> for how in map(tm.adversarial.method, ("algorithm-1", "pgd-7")):
    ...     *_, last = tm.adversarial.train(model, data, how, eps=0.3, steps=2)
    ...     print(last.step, last.gradients)
    2 200
    2 800
    """
    target = Target.of(model, data, eps, lam)
    batch = min(batch, len(target.x))
    need = 32.0 * method.copies * (target.x.size + batch * target.model.A.shape[1])
    require_memory(need, f"copies={method.copies}", "use fewer")
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
) -> Iterator[TrainingState]:
    (n, d), K, model = target.x.shape, method.copies, target.model
    attacks, sampler = np.repeat(target.x[None], K, axis=0), method.sampler
    points, copies = attacks.reshape(-1, d), n * np.arange(K)[:, None]
    descent = engines.Descent(model.network, points, target.y, K * batch)
    order = np.empty(0, dtype=np.int64)
    gradients, seconds = 0, 0.0
    yield TrainingState(0, model, attacks, np.nan, 0, 0.0)
    for step in range(1, steps + 1):
        began = time.perf_counter()
        if len(order) < batch:
            order = order_rng.permutation(n)
        rows, order = order[:batch], order[batch:]
        if method.start == "data":
            attacks[:, rows] = target.x[rows]
        elif method.start == "uniform":
            attacks[:, rows] = rng.uniform(target.low[rows], target.high[rows], (K, batch, d))
        places, evaluations = (copies + rows).ravel(), method.steps
        if isinstance(sampler, SignStep):
            climb(descent.net, points, places, target, sampler, method.steps, rng)
        else:
            here = replace(target, model=model).take(rows)
            there = advance(here, sampler, attacks[:, rows], method.steps, rng)
            attacks[:, rows], evaluations = there.x, there.gradients
        loss, sound = descent.step(places, learning_rate)
        model = changed(model, **descent.theta)
        if not sound:
            try:
                check_fields(model)
            except InputError as error:
                raise InputError(f"{error} after step {step}: reduce {learning_rate=}") from error
        gradients += K * batch * (evaluations + 1)
        seconds += time.perf_counter() - began
        yield TrainingState(step, model, attacks, loss, gradients, seconds)


@checked
def fit(model: Model, data: Data, method: Method, **options: Any) -> Model:
    """The model that `train` ends with, which takes the same options.

    Examples
    --------
    On its own points a model is wrong less often under PGD if it was trained against an adversary:

    >>> import twomode as tm
    >>> data, methods = tm.adversarial.load_data("moons", n=64), ("algorithm-1", "natural")
    >>> model, options = tm.adversarial.Model.random(data, hidden=16), {"eps": 0.3, "steps": 200}
    >>> hows, fit = map(tm.adversarial.method, methods), tm.adversarial.fit
    >>> models = [fit(model, data, how, learning_rate=0.5, **options) for how in hows]
    >>> wrong = [tm.robustness.robust_error(trained, data, eps=0.3)[1] for trained in models]
    >>> wrong[0] < wrong[1]
    True
    """
    for state in train(model, data, method, **options):
        model = state.model
    return model
