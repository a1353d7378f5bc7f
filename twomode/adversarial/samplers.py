"""Markov chains for p_adv*: the talk's step and Langevin steps, and what they really sample.

A step of every chain is a drift, Gaussian noise, and what a wall of the box does:

| name | drift | noise | wall | then |
|---|---|---|---|---|
| sign | eta eps sign(grad l) | sigma eps | projection | |
| projected | h eps^2 lam grad l | eps sqrt(2 h) | projection | |
| reflected | the same | the same | reflection | |
| mala | the same | the same | none | accept by Metropolis: never outside |
| mala-folded | the same | the same | reflection | accept by Metropolis |

Only the last two leave p_adv* as it is.  With h -> 0 the reflected and projected chains come to it,
with errors of orders h and sqrt(h).  The sign step, that of the talk's Algorithm 1, knows no lam:
in one dimension its law comes to exp(2 eta / (sigma^2 eps) V) with V' = sign(l'), which is p_adv*
only where the loss has one and the same slope everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from twomode import engines
from twomode._typing import Count, FloatArray, IntArray, NotNegative, Positive, Seed, Whole
from twomode.adversarial.closed_form import Target
from twomode.adversarial.walls import fold, log_folded, log_normal
from twomode.checks import check_fields, checked
from twomode.errors import require, require_choice, require_memory, shown
from twomode.progress import Progress, Report, watched

__all__ = [
    "SAMPLERS",
    "Advance",
    "Chains",
    "Langevin",
    "Mixing",
    "Sampler",
    "SignStep",
    "Suited",
    "advance",
    "effective_sample_size",
    "mixing",
    "sample",
    "sampler",
    "suited",
]

#: Of the search for a step: rounds of so many steps, and what shall be accepted, of a Metropolis
#: chain for the sake of its pace (Roberts and Rosenthal 1998), of another for that of its bias.
ROUNDS, EACH = 40, 10
GOALS = {True: 0.6, False: 0.98}


@dataclass(frozen=True)
class SignStep:
    """The inner step of the talk's Algorithm 1, lines 8 to 10; with sigma = 0 that of PGD.

    Parameters
    ----------
    eta : float
        Length of a coordinate's step, in units of eps.
    sigma : float
        Standard deviation of the noise, in units of eps.
    law : str
        Of the noise: normal, or uniform as the published code draws it.

    Raises
    ------
    InputError
        If a size is negative or not finite, or the law is unknown.

    Examples
    --------
    A step of eps without noise is FGSM, the worst case of a linear loss:

    >>> import numpy as np
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("mixture", n=4, noise=0)
    >>> model = tm.adversarial.Model(np.ones((1, 1)), np.zeros(1), loss="linear")
    >>> target = tm.adversarial.Target.of(model, data, eps=0.5, lam=0)
    >>> fgsm, rng = tm.adversarial.SignStep(eta=1, sigma=0), np.random.default_rng(0)
    >>> tm.adversarial.advance(target, fgsm, target.x, 1, rng).x.ravel().tolist()
    [-2.5, -1.5, 1.5, 2.5]
    """

    EXAMPLE: ClassVar[str] = 'tm.adversarial.sampler("sign")'

    eta: NotNegative = 0.5
    sigma: NotNegative = 0.3
    law: str = "normal"
    wall: ClassVar[str] = "project"
    metropolis: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_fields(self)
        require_choice("law", self.law, ("normal", "uniform"))

    def drift(self, target: Target, gradient: FloatArray) -> FloatArray:
        """Mean of a step, in units of x."""
        return self.eta * target.eps * np.sign(gradient)

    def noise(self, target: Target) -> float:
        """Standard deviation of each coordinate of a step, in units of x."""
        return self.sigma * target.eps


@dataclass(frozen=True)
class Langevin:
    """x + h lam grad l + sqrt(2 h) xi, with h in units of eps^2.

    Euler's step for Langevin's diffusion, whose law on the box is p_adv*.

    Parameters
    ----------
    wall : str
        project, reflect or, with Metropolis, reject.
    metropolis : bool
        Whether a step is accepted by Metropolis and Hastings' rule (MALA: Roberts and Tweedie
        1996).
    h : float or ndarray, shape (n, 1)
        Positive; of all anchors or of each.

    Raises
    ------
    InputError
        If h is not positive, or the wall and Metropolis do not go together.

    Examples
    --------
    Where the loss is flat, only the noise moves a chain:

    >>> import numpy as np
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("moons", n=4)
    >>> model = tm.adversarial.Model.random(data)
    >>> target = tm.adversarial.Target.of(model, data, eps=0.5, lam=10)
    >>> step = tm.adversarial.Langevin(h=0.02)
    >>> round(step.noise(target), 3), step.drift(target, np.array([0.0, 1.0])).round(3).tolist()
    (0.1, [0.0, 0.05])
    """

    EXAMPLE: ClassVar[str] = 'tm.adversarial.sampler("reflected")'
    law: ClassVar[str] = "normal"

    wall: str = "reflect"
    metropolis: bool = False
    h: Positive | Annotated[FloatArray, "(n, 1)"] = 0.01

    def __post_init__(self) -> None:
        check_fields(self)
        require_choice("wall", self.wall, ("project", "reflect", "reject"))
        require(bool(np.all(self.h > 0)), f"h={shown(self.h)} must be positive")
        require(
            self.wall == "reflect" or self.metropolis == (self.wall == "reject"),
            f"wall={self.wall!r} with metropolis={self.metropolis}: a projected step has no density"
            " to accept it by, and only Metropolis can reject; choose wall='reflect'",
        )

    def drift(self, target: Target, gradient: FloatArray) -> FloatArray:
        """Mean of a step, in units of x."""
        return self.h * target.eps**2 * target.lam * gradient

    def noise(self, target: Target) -> float | FloatArray:
        """Standard deviation of each coordinate of a step, in units of x."""
        return target.eps * (2 * self.h) ** 0.5


Sampler: TypeAlias = SignStep | Langevin

#: By name, with their default step sizes.
SAMPLERS: dict[str, Sampler] = {
    "sign": SignStep(),
    "projected": Langevin("project"),
    "reflected": Langevin("reflect"),
    "mala": Langevin("reject", metropolis=True),
    "mala-folded": Langevin("reflect", metropolis=True),
}


def sampler(name: str, **sizes: Any) -> Sampler:
    """A named sampler: sign takes eta and sigma (in eps), the others h (in eps^2).

    Parameters
    ----------
    name : str
        A key of `SAMPLERS`.
    **sizes : float
        In place of its default step sizes.

    Raises
    ------
    InputError
        If the name is unknown, or it has no such step size.

    Examples
    --------
    >>> import twomode as tm
    >>> tm.adversarial.sampler("sign", eta=0.25)
    SignStep(eta=0.25, sigma=0.3, law='normal')
    >>> tm.adversarial.sampler("mala", eta=0.25)
    Traceback (most recent call last):
        ...
    twomode.errors.InputError: eta=0.25: sampler mala takes h
    """
    require_choice("sampler", name, SAMPLERS)
    takes = [f.name for f in fields(SAMPLERS[name]) if f.name in ("eta", "sigma", "h")]
    for size, value in sizes.items():
        require(size in takes, f"{size}={shown(value)}: sampler {name} takes {' and '.join(takes)}")
    return replace(SAMPLERS[name], **sizes)


class Advance(NamedTuple):
    """Where chains are after some steps.

    Examples
    --------
    Ten steps evaluate ten gradients, of a Metropolis chain eleven:

    >>> import numpy as np
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("moons", n=4)
    >>> target = tm.adversarial.Target.of(tm.adversarial.Model.random(data), data, eps=0.3, lam=10)
    >>> kinds, rng = map(tm.adversarial.sampler, ("reflected", "mala")), np.random.default_rng(0)
    >>> [tm.adversarial.advance(target, kind, target.x, 10, rng).gradients for kind in kinds]
    [10, 11]
    """

    x: FloatArray  #: shape (..., n, d)
    acceptance: FloatArray  #: share of steps that were accepted, shape (..., n); 1 if unadjusted
    gradients: int  #: evaluations of each chain


def _see_nothing(t: int, x: FloatArray, loss: FloatArray) -> None:
    pass


@checked
def advance(
    target: Target,
    sampler: Sampler,
    x: Annotated[FloatArray, "(..., n, d)"],
    steps: Whole,
    rng: np.random.Generator,
    visit: Callable[[int, FloatArray, FloatArray], None] = _see_nothing,
) -> Advance:
    """So many steps of chains, in the boxes.

    A step evaluates one gradient, and the first of a Metropolis chain another one.

    Parameters
    ----------
    target : Target
        Of n anchors.
    sampler : Sampler
    x : ndarray, shape (..., n, d)
        Where they start, in the boxes: nothing checks it.
    steps : int
    rng : Generator
    visit : callable
        Sees t, x and its losses, shape (..., n), before each step.

    Returns
    -------
    Advance

    Examples
    --------
    >>> import numpy as np
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("moons", n=4)
    >>> model = tm.adversarial.Model.random(data)
    >>> target = tm.adversarial.Target.of(model, data, eps=0.3, lam=10)
    >>> mala, rng = tm.adversarial.sampler("mala"), np.random.default_rng(0)
    >>> there = tm.adversarial.advance(target, mala, target.x, 100, rng)
    >>> bool((abs(there.x - target.x) <= 0.3).all()), bool((there.acceptance > 0.5).all())
    (True, True)
    """
    n, d = target.x.shape
    require(x.shape[-2:] == (n, d), f"x has shape {x.shape}: (..., {n}, {d}) is needed")
    h = np.asarray(getattr(sampler, "h", 1.0))
    require(h.ndim == 0 or h.shape == (n, 1), f"h has shape {h.shape}: ({n}, 1) is needed")
    if isinstance(sampler, SignStep) and visit is _see_nothing:
        points = x.reshape(-1, d).copy()
        climb(target.model.network, points, np.arange(len(points)), target, sampler, steps, rng)
        return Advance(points.reshape(x.shape), np.ones(x.shape[:-1]), steps)
    low, high, sd = target.low, target.high, sampler.noise(target)
    accepted, known, noisy = np.zeros(x.shape[:-1]), None, bool(np.any(sd))
    for t in range(steps):
        loss, gradient = target.loss_grad(x) if known is None else known
        visit(t, x, loss)
        mean = y = x + sampler.drift(target, gradient)
        if noisy:
            y = mean + sd * _drawn(sampler.law, x.shape, rng)
        if sampler.wall == "project":  # to the box, then to the domain, is to their intersection
            y = np.clip(y, low, high)
        elif sampler.wall == "reflect":
            y = fold(y, low, high)
        if not sampler.metropolis:
            x = y
            continue
        inside = np.asarray(((y >= low) & (y <= high)).all(axis=-1))
        y = np.where(inside[..., None], y, x)
        loss_y, gradient_y = target.loss_grad(y)
        back = y + sampler.drift(target, gradient_y)
        log_q = log_folded if sampler.wall == "reflect" else log_normal
        log_ratio = (log_q(x, back, sd, low, high) - log_q(y, mean, sd, low, high)).sum(axis=-1)
        log_ratio += target.lam * (loss_y - loss)
        yes = inside & (np.log1p(-rng.random(inside.shape)) < log_ratio)
        accepted += yes
        x, gradient = np.where(yes[..., None], (y, gradient_y), (x, gradient))
        known = np.where(yes, loss_y, loss), gradient
    share = accepted / max(steps, 1) if sampler.metropolis else np.ones_like(accepted)
    return Advance(x, share, steps + (sampler.metropolis and steps > 0))


def _drawn(law: str, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Noise of standard deviation 1."""
    root = np.sqrt(3)
    return rng.uniform(-root, root, shape) if law == "uniform" else rng.standard_normal(shape)


def climb(
    net: "engines.Network",
    points: FloatArray,
    places: IntArray,
    target: Target,
    sampler: SignStep,
    steps: int,
    rng: np.random.Generator,
) -> None:
    """Sign steps of some points, shape (copies * n, d), which change in place.

    The network may have moved on from the target's own.
    """
    size, sd = sampler.eta * target.eps, sampler.noise(target)
    boxes, shape = (target.y, target.low, target.high), (1, len(places), points.shape[1])
    if sd == 0:
        engines.climb(net, points, places, *boxes, size, np.empty((steps, 0, shape[-1])))
        return
    for _ in range(steps):
        noise = sd * _drawn(sampler.law, shape, rng)
        engines.climb(net, points, places, *boxes, size, noise)


class Mixing(NamedTuple):
    """What `mixing` returns, each of shape (...); NaN where f, or a tail, is constant.

    Examples
    --------
    >>> import numpy as np
    >>> import twomode as tm
    >>> tm.adversarial.mixing(np.random.default_rng(0).random((99, 4)))._fields
    ('rhat', 'bulk', 'tail')
    """

    rhat: FloatArray  #: below 1.01 if the chains agree
    bulk: FloatArray  #: effective sample size of the middle
    tail: FloatArray  #: and of the 5 % and 95 % quantiles, whichever is less


class Chains(NamedTuple):
    """What `sample` returns.

    Examples
    --------
    Neighbouring states are alike, so that 1,600 of them count as fewer than 100:

    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("moons", n=4)
    >>> model = tm.adversarial.Model.random(data)
    >>> target = tm.adversarial.Target.of(model, data, eps=0.3, lam=10)
    >>> chains = tm.adversarial.sample(target, tm.adversarial.sampler("reflected"), 400, chains=4)
    >>> chains.losses.shape, bool((chains.ess < 100).all())
    ((400, 4, 4), True)
    """

    x: FloatArray  #: shape (kept, chains, n, d)
    losses: FloatArray  #: shape (kept, chains, n)
    acceptance: FloatArray  #: share of steps that were accepted, shape (n,); 1 if unadjusted
    gradients: int  #: evaluations of each chain

    def __repr__(self) -> str:
        kept, chains, n, d = self.x.shape
        return f"<Chains: {kept} states of {chains} chains of {n} anchors, d = {d}>"

    @property
    def ess(self) -> FloatArray:
        """Effective sample size of the loss over all chains of an anchor, shape (n,)."""
        return effective_sample_size(self.losses)


class Suited(NamedTuple):
    """What `suited` returns.

    Examples
    --------
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("moons", n=4)
    >>> target = tm.adversarial.Target.of(tm.adversarial.Model.random(data), data, eps=0.3, lam=10)
    >>> found = tm.adversarial.suited(target, tm.adversarial.sampler("mala-folded"))
    >>> found.sampler.h.shape, found.x.shape, found.gradients
    ((4, 1), (8, 4, 2), 440)
    """

    sampler: Langevin  #: with a step for each anchor
    x: FloatArray  #: where its chains have come to, shape (chains, n, d)
    gradients: int  #: evaluations of each chain


@checked
def suited(target: Target, sampler: Langevin, chains: Count = 8, seed: Seed = 0) -> Suited:
    """The sampler with a step for each anchor, as long as its target allows.

    Chains of short runs, with Metropolis' rule, start uniformly; h becomes longer or shorter as
    they accept more or less often than 60 %, or 98 % for a sampler without that rule, whose bias
    would otherwise be large.  No anchor's h is longer than 1, a step across the box.

    Parameters
    ----------
    target : Target
    sampler : Langevin
        Its own h does not matter.
    chains : int
        Of each anchor.
    seed : int or Generator

    Returns
    -------
    Suited

    Examples
    --------
    The steeper the target, the shorter the steps, as 1 / lam^2 where it is steep enough:

    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("moons", n=4)
    >>> model, kind = tm.adversarial.Model.random(data), tm.adversarial.sampler("reflected")
    >>> for lam in (10, 1000):
    ...     target = tm.adversarial.Target.of(model, data, eps=0.3, lam=lam)
    ...     print(bool((tm.adversarial.suited(target, kind).sampler.h > 1e-3).all()))
    True
    False
    """
    rng, goal = np.random.default_rng(seed), GOALS[sampler.metropolis]
    x = rng.uniform(target.low, target.high, (chains, *target.x.shape))
    h, gradients = np.ones((len(target.x), 1)), 0
    for n in range(ROUNDS):
        end = advance(target, adjusted(replace(sampler, h=h)), x, EACH, rng)
        x, gradients = end.x, gradients + end.gradients
        gain = 2.0 if n < ROUNDS / 2 else 0.7
        h = np.minimum(h * np.exp(gain * (end.acceptance.mean(axis=0) - goal))[:, None], 1.0)
    return Suited(replace(sampler, h=h), x, gradients)


def adjusted(sampler: Langevin) -> Langevin:
    """The Metropolis chain of the same steps; of projected ones, that of reflected."""
    wall = "reject" if sampler.wall == "reject" else "reflect"
    return replace(sampler, wall=wall, metropolis=True)


@checked
def sample(
    target: Target,
    sampler: Sampler,
    steps: Count,
    *,
    chains: Count = 1,
    burn: Whole = 0,
    every: Count = 1,
    start: Annotated[FloatArray, "(chains, n, d)"] | None = None,
    seed: Seed = 0,
    progress: Report | bool | None = None,
) -> Chains:
    """Run chains of every anchor at once.

    Parameters
    ----------
    target : Target
    sampler : Sampler
    steps : int
        Of each chain.
    chains : int
        Of each anchor.
    burn, every : int
        The states before steps `burn`, `burn` + `every`, ... are kept.
    start : ndarray, shape (chains, n, d), optional
        In the boxes; by default the anchors.
    seed : int or Generator
    progress : callable, optional
        True for a bar, or called with a `Progress` in steps.

    Returns
    -------
    Chains

    Raises
    ------
    InputError
        If a number is out of range, a start lies outside its box, or no step was accepted.

    Examples
    --------
    The mean loss under p_adv*, by Metropolis chains and by quadrature:

    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("mixture", n=4)
    >>> model = tm.adversarial.Model.random(data, hidden=8)
    >>> target = tm.adversarial.Target.of(model, data, eps=0.5, lam=10)
    >>> mala = tm.adversarial.sampler("mala-folded", h=0.1)
    >>> chains = tm.adversarial.sample(target, mala, 400, chains=8, burn=50)
    >>> exact = tm.adversarial.Quadrature(target)
    >>> bool(abs(chains.losses.mean() - exact.mean_loss.mean()) < 0.01)
    True
    """
    require(burn < steps, f"burn={burn} leaves none of steps={steps}: make it smaller")
    shape = (chains, *target.x.shape)
    kept = 4 + 2 * (steps - burn) / every
    what = f"chains={chains} of {len(target.x)} anchors with {kept / 2 - 2:,.0f} states kept"
    require_memory(16 * kept * chains * target.x.size, what, "keep fewer, with every")
    start = np.broadcast_to(target.x, shape) if start is None else start
    require(start.shape == shape, f"start has shape {start.shape}: {shape} is needed")
    inside = bool(((start >= target.low) & (start <= target.high)).all())
    require(inside, "a start lies outside its box: clip it to target.low and target.high")
    x, losses = [], []
    with watched(progress, "chains") as report:

        def visit(t: int, here: FloatArray, loss: FloatArray) -> None:
            if t >= burn and (t - burn) % every == 0:
                x.append(here)
                losses.append(loss)
            report(Progress(t, steps, "step"))

        end = advance(target, sampler, start, steps, np.random.default_rng(seed), visit)
        report(Progress(steps, steps, "step"))
    total = steps * end.acceptance.size
    remedy = "make h smaller" + (", or reflect" if sampler.wall == "reject" else "")
    require(bool(end.acceptance.any()), f"{sampler} accepted none of {total:,} steps: {remedy}")
    return Chains(np.stack(x), np.stack(losses), end.acceptance.mean(axis=0), end.gradients)


@checked
def effective_sample_size(f: Annotated[FloatArray, "(...)"]) -> FloatArray:
    """How many independent draws have a mean of the same variance.

    Parameters
    ----------
    f : ndarray, shape (T, chains, ...)
        A function along each chain.

    Returns
    -------
    ndarray, shape (...)
        T chains / (1 + 2 sum of the autocorrelations), of halves of chains and against the variance
        of all, in pairs while these are positive, none larger than the one before (Geyer 1992;
        Vehtari et al. 2021); at most N log10 N of N states; NaN where f is constant.

    Examples
    --------
    4,000 independent draws count as about that many, and still so if each is seen ten times:

    >>> import numpy as np
    >>> import twomode as tm
    >>> draws = np.random.default_rng(0).standard_normal((1000, 4))
    >>> seen = draws, draws.repeat(10, axis=0)
    >>> [bool(3000 < tm.adversarial.effective_sample_size(f) < 5000) for f in seen]
    [True, True]
    """
    return _ess(_split(f))


def _split(f: FloatArray) -> FloatArray:
    """Both halves of every chain as chains of their own, without a middle state."""
    require(f.ndim >= 2 and f.size > 0, f"f has shape {f.shape}: (T, chains, ...) is needed")
    half = len(f) // 2
    return np.concatenate([f[:half], f[len(f) - half :]], axis=1) if half else f


def _normal(f: FloatArray) -> FloatArray:
    """Normal scores of the ranks among all states of all chains."""
    flat = f.reshape(-1, *f.shape[2:])
    return ndtri((rankdata(flat, axis=0) - 0.375) / (len(flat) + 0.25)).reshape(f.shape)


def _ess(f: FloatArray) -> FloatArray:
    """Geyer's initial monotone sequence, over the variance within and between the chains."""
    T, chains = f.shape[:2]
    moves, centred = np.ptp(f, axis=(0, 1)) > 0, f - f.mean(axis=0)
    power = np.abs(np.fft.rfft(centred, n=2 * T, axis=0)) ** 2
    covariance = np.fft.irfft(power, n=2 * T, axis=0)[:T].mean(axis=1) / T
    between = f.mean(axis=0).var(axis=0, ddof=1) if chains > 1 else 0.0
    within = covariance[0] * T / max(T - 1, 1)
    rho = 1 - (within - covariance) / np.where(moves, covariance[0] + between, np.nan)
    rho[0] = 1
    rho = np.concatenate([rho, np.zeros_like(rho[:1])])[: 2 * max((T - 1) // 2, 1)]
    even, pairs = rho[::2], rho[::2] + rho[1::2]
    alive = np.cumprod(pairs > 0, axis=0)
    alive[-1] = 0  # the last pair is seen, and counts as the one that ends them
    last = np.take_along_axis(even, alive.sum(axis=0)[None], axis=0)[0]
    time = 2 * (np.minimum.accumulate(pairs, axis=0) * alive).sum(axis=0) + np.maximum(last, 0) - 1
    return T * chains / np.maximum(time, 1 / np.log10(max(T * chains, 2)))


def _rhat(f: FloatArray) -> FloatArray:
    T, moves = len(f), np.ptp(f, axis=(0, 1)) > 0
    within = np.where(moves, f.var(axis=0, ddof=1).mean(axis=0), np.nan)
    with np.errstate(divide="ignore"):  # of chains that stand, each elsewhere
        return np.sqrt((T - 1) / T + f.mean(axis=0).var(axis=0, ddof=1) / within)


@checked
def mixing(f: Annotated[FloatArray, "(...)"]) -> Mixing:
    """Whether chains agree: rank-normalized split R-hat, bulk and tail ESS (Vehtari et al. 2021).

    Parameters
    ----------
    f : ndarray, shape (T, chains, ...)
        A function along each chain.

    Returns
    -------
    Mixing
        NaN of chains of fewer than 4 states.

    Raises
    ------
    InputError
        For another shape.

    Examples
    --------
    Independent draws agree; chains of which one is elsewhere do not:

    >>> import numpy as np
    >>> import twomode as tm
    >>> draws = np.random.default_rng(0).standard_normal((1000, 4))
    >>> seen = draws, draws + [0, 0, 0, 2]
    >>> [bool(tm.adversarial.mixing(f).rhat < 1.01) for f in seen]
    [True, False]
    """
    halves = _split(f)
    if len(f) < 4:
        return Mixing(*np.full((3, *f.shape[2:]), np.nan))
    ends = np.quantile(f, (0.05, 0.95), axis=(0, 1))
    scores, apart = _normal(halves), np.abs(halves - np.median(halves, axis=(0, 1)))
    return Mixing(
        np.maximum(_rhat(scores), _rhat(_normal(apart))),
        _ess(scores),
        np.minimum(*(_ess((halves <= end).astype(float)) for end in ends)),
    )
