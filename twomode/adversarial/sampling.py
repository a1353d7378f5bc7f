"""How well chains sample p_adv*: their losses beside the exact law, where it is known."""

import math
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import numpy as np

from twomode._typing import FloatArray
from twomode.adversarial.closed_form import GibbsLaw, Quadrature, Target, TruncatedExponentials
from twomode.adversarial.samplers import Chains, Langevin, Sampler, adjusted, advance, mixing
from twomode.adversarial.stationary_laws import stationary
from twomode.checks import checked
from twomode.errors import InputError, require_memory
from twomode.progress import Progress, Report, unreported

__all__ = ["MIXED", "ExactLoss", "describe_chains", "exact_loss", "largest_loss"]

LOOKS = 20  #: steps after which Metropolis' rule is asked about
INDEPENDENT = 4000  #: uniform draws of an anchor whose mean loss has no closed form


class _Mixed(NamedTuple):
    """What chains must reach that mixed."""

    size: int  #: effective, in the middle and in the tails, at least
    acceptance: float  #: at least
    rhat: float  #: less than this


MIXED = _Mixed(size=50, acceptance=0.1, rhat=1.05)


class ExactLoss(NamedTuple):
    """E[l] of p_adv* itself, the mean over the anchors; NaN, and no law, without a closed form.

    Examples
    --------
    >>> import numpy as np
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("blobs", n=2, d=3)
    >>> model = tm.adversarial.Model.random(data, hidden=8)
    >>> target = tm.adversarial.Target.of(model, data, eps=0.3, lam=10)
    >>> exact = tm.sampling.exact_loss(target, np.random.default_rng(0))
    >>> exact.law, exact.mean, exact.by
    (None, nan, 'none: d=3 is too much for quadrature: at most 2')
    """

    law: GibbsLaw | None
    mean: float
    uniform: float  #: E[l] of the uniform law on the boxes
    by: str  #: how, or why not


@checked
def exact_loss(target: Target, rng: np.random.Generator) -> ExactLoss:
    """By quadrature, or where that is too much in exponentials, in any dimension.

    Parameters
    ----------
    target : Target
        In any dimension: without a closed form the mean is NaN, and ``by`` says why.
    rng : Generator
        Of 4,000 uniform draws an anchor, where even their mean loss has no closed form.

    Returns
    -------
    ExactLoss

    Examples
    --------
    >>> import numpy as np
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("moons", n=4)
    >>> model = tm.adversarial.Model.random(data, hidden=8)
    >>> target = tm.adversarial.Target.of(model, data, eps=0.3, lam=10)
    >>> exact = tm.sampling.exact_loss(target, np.random.default_rng(0))
    >>> exact.by, exact.mean > exact.uniform
    ('by quadrature', True)
    """
    try:
        uniform = float(_law(replace(target, lam=0.0)).mean_loss.mean())
    except InputError:
        draws = rng.uniform(target.low, target.high, (INDEPENDENT, *target.x.shape))
        uniform = float(target.losses(draws).mean())
    try:
        law = _law(target)
    except InputError as error:
        return ExactLoss(None, math.nan, uniform, f"none: {error}")
    by = "by quadrature" if isinstance(law, Quadrature) else "in exponentials"
    return ExactLoss(law, float(law.mean_loss.mean()), uniform, by)


def _law(target: Target) -> Quadrature | TruncatedExponentials:
    try:
        return Quadrature(target)
    except InputError:
        if TruncatedExponentials.applies(target):
            return TruncatedExponentials(target)
        raise


@checked
def largest_loss(target: Target, side: Annotated[int, "[2, 1e9]"] = 65) -> FloatArray:
    """The worst case of each anchor on a grid with its faces, shape (n,); NaN for d > 2.

    Parameters
    ----------
    target : Target
    side : int
        Points along a side of each box.

    Examples
    --------
    The largest loss of slope 1 on boxes of half width 1/2, beside that at the anchors:

    >>> import numpy as np
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("mixture", n=4, noise=0)
    >>> model = tm.adversarial.Model(np.ones((1, 1)), np.zeros(1), loss="linear")
    >>> target = tm.adversarial.Target.of(model, data, eps=0.5, lam=0)
    >>> tm.sampling.largest_loss(target).tolist(), target.losses(target.x).tolist()
    ([-2.5, 1.5, 1.5, -2.5], [-3.0, 1.0, 1.0, -3.0])
    """
    n, d = target.x.shape
    if d > 2:
        return np.full(n, np.nan)
    require_memory(32.0 * side**d * n, f"side={side}", "use a smaller one")
    sides = [np.linspace(0, 1, side)] * d
    grid = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 1, d)
    return target.losses(target.low + (target.high - target.low) * grid).max(axis=0)


@checked
def describe_chains(
    target: Target,
    chains: Chains,
    exact: ExactLoss,
    sampler: Sampler | None = None,
    progress: Report = unreported,
) -> dict[str, Any]:
    """Samples in numbers, means over the anchors; NaN for what does not exist.

    Parameters
    ----------
    target : Target
    chains : Chains
    exact : ExactLoss
    sampler : Sampler, optional
        That made the chains; None of independent draws.
    progress : callable
        Called with a `Progress` in anchors, where stationary laws are solved for.

    Returns
    -------
    dict
        Acceptance (that which Metropolis' rule would have, of Langevin steps without it), effective
        sizes, the largest R-hat and how many anchors did not mix (see `MIXED`); the mean loss with
        its standard error beside the exact one; uniform, largest, dual value and KL; shares on
        faces and in corners; the largest displacement of a coordinate, which bounds W_inf; gradient
        evaluations; bias and total variation of endless chains, in one dimension.

    Examples
    --------
    >>> import numpy as np
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("mixture", n=4)
    >>> target = tm.adversarial.Target.of(tm.adversarial.Model.random(data), data, eps=0.5, lam=10)
    >>> mala = tm.adversarial.sampler("mala-folded", h=0.1)
    >>> chains = tm.adversarial.sample(target, mala, 400, chains=8, burn=50)
    >>> exact = tm.sampling.exact_loss(target, np.random.default_rng(0))
    >>> seen = tm.sampling.describe_chains(target, chains, exact, mala)
    >>> int(seen["unmixed"]), bool(abs(seen["bias_in_errors"]) < 5)
    (0, True)
    """
    law, lam, ess = exact.law, target.lam, chains.ess
    accept = np.array([math.nan])
    if isinstance(sampler, Langevin):
        accept = chains.acceptance
        if not sampler.metropolis:  # what it would accept of the steps from where they are
            rng, x = np.random.default_rng(0), chains.x[-1]
            accept = advance(target, adjusted(sampler), x, LOOKS, rng).acceptance.mean(axis=0)
    mixed = mixing(chains.losses)
    # The tails of what lies on a face, or of what stands, say nothing.
    well = (ess >= MIXED.size) & ~(np.fmin(mixed.bulk, mixed.tail) < MIXED.size)
    well &= (mixed.rhat < MIXED.rhat) & (chains.acceptance >= MIXED.acceptance)
    error, bias = _error(chains.losses, ess), chains.losses.mean() - exact.mean
    on_face = (chains.x == target.low) | (chains.x == target.high)
    endless, apart = _endless(target, exact, sampler, progress)
    return {
        "acceptance": accept.mean(),
        "acceptance_least": accept.min(),
        "ess": np.median(ess),
        "ess_least": ess.min(),
        "ess_bulk": np.median(mixed.bulk),
        "ess_tail": np.median(mixed.tail),
        "rhat": mixed.rhat.max(),
        "unmixed": np.sum(~well),
        "mean_loss": chains.losses.mean(),
        "standard_error": error,
        "exact_mean_loss": exact.mean,
        "exact_by": exact.by,
        "bias": bias,
        "bias_in_errors": bias / error if error > 0 else math.nan,
        "uniform_mean_loss": exact.uniform,
        "largest_loss": largest_loss(target).mean(),
        "dual": law.dual if law is not None and lam > 0 else math.nan,
        "kl": math.nan if law is None else lam * exact.mean - law.log_mean.mean(),
        "on_faces": on_face.any(axis=-1).mean(),
        "in_corners": on_face.all(axis=-1).mean(),
        "displacement": np.abs(chains.x - target.x).max(),
        "gradients": chains.gradients * chains.losses[0].size,
        "stationary_bias": endless,
        "stationary_tv": apart,
    }


def _error(losses: FloatArray, size: FloatArray | float) -> float:
    """Standard error of the mean over all: losses (..., n), of so many independent draws each."""
    variances = losses.var(axis=tuple(range(losses.ndim - 1)))
    return float(np.sqrt((variances / size).sum()) / losses.shape[-1])


def _endless(
    target: Target,
    exact: ExactLoss,
    sampler: Sampler | None,
    progress: Report,
) -> tuple[float, float]:
    """Bias and total variation of an unadjusted chain in one dimension, without Monte Carlo."""
    n, d = target.x.shape
    if d > 1 or sampler is None or sampler.metropolis or exact.law is None:
        return math.nan, math.nan
    mean, apart = 0.0, 0.0
    for k in range(n):
        progress(Progress(k, n, "anchor"))
        try:
            law = stationary(target, sampler, k)
        except InputError:  # too little noise for it
            return math.nan, math.nan
        x = np.broadcast_to(law.x[:, None, None], (len(law.x), n, 1))
        mean += float(law.mass @ target.losses(x)[:, k]) / n
        apart += law.total_variation(np.exp(exact.law.log_density(x)[:, k])) / n
    return mean - exact.mean, apart
