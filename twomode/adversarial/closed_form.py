"""p_adv* in closed form: for each anchor a Gibbs law on a box.

The second half of G. Gidel's talk, joint work with D. Dobre, C. Regniez and H. Berard:

    p_adv*(x~, y) = E_x [ p(y|x) exp(lam l(f(x~), y)) 1{x~ in B(x)} / Z(x) ],

B(x) the box of half width eps around x, Z(x) the integral of exp(lam l) over it.  Here B(x) is cut
by the domain of x, to which the talk's Algorithm 1 projects.  Among all plans that move no point by
more than eps, p_adv* maximizes E[l] - KL(plan | uniform plan) / lam.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Annotated, ClassVar, NamedTuple, TypeAlias

import numpy as np
from scipy.special import gammaln, logsumexp, ndtr, roots_legendre

from twomode._typing import Count, FloatArray, IntArray, NotNegative, Rows
from twomode.adversarial.problems import Data, Model
from twomode.checks import check_fields, checked, take
from twomode.errors import InputError, require, require_memory

__all__ = ["GibbsLaw", "Quadrature", "Target", "TruncatedExponentials", "closed_form"]

#: Of a box, whose square a float still holds.
HalfWidth: TypeAlias = Annotated[float, "(0, 1e100]"]
#: Of a coordinate; infinite where there is none.
Bound: TypeAlias = Annotated[float, "[-inf, inf]"]
#: Of `TruncatedExponentials` in Fourier terms: where a smooth function of the loss has none left
#: (at frequency w the logistic loss has exp(-pi w)), the edge of its window, and 9 of that.
_CUT, _EDGE, _PAD = 13.0, 0.75, 6.75


@dataclass(frozen=True)
class Target:
    """p_adv* of n anchors, up to its normalization: exp(lam l(x, y)) on their boxes.

    Made by `Target.of`, which checks; the fields are as they are.

    Parameters
    ----------
    model : Model
    x : ndarray, shape (n, d)
        The anchors.
    y : ndarray of int, shape (n,)
        Their labels.
    low, high : ndarray, shape (n, d)
        Faces of their boxes, cut by the domain.
    eps : float
        Half width of a box that is not cut, in units of x.
    lam : float
        Inverse strength of the regularization: 0 is uniform on the box, infinity the worst case.

    Examples
    --------
    Boxes around -3, -1, 1 and 3, cut by the domain:

    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("mixture", n=4, noise=0)._replace(domain=(-3, 3))
    >>> model = tm.adversarial.Model.random(data)
    >>> target = tm.adversarial.Target.of(model, data, eps=0.5, lam=10)
    >>> target.low.ravel().tolist(), target.high.ravel().tolist()
    ([-3.0, -1.5, 0.5, 2.5], [-2.5, -0.5, 1.5, 3.0])
    """

    EXAMPLE: ClassVar[str] = "tm.adversarial.Target.of(model, data, eps=0.3, lam=10)"

    model: Model
    x: Annotated[FloatArray, "(n, d)"]
    y: Annotated[IntArray, "(n)"]
    low: Annotated[FloatArray, "(n, d)"]
    high: Annotated[FloatArray, "(n, d)"]
    eps: HalfWidth
    lam: NotNegative

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    @checked
    def of(cls, model: Model, data: Data, eps: HalfWidth, lam: NotNegative) -> Target:
        """The target of each point of some data.

        Parameters
        ----------
        model : Model
        data : Data
            n points in the domain.
        eps : float
            Half width of the boxes, in units of x; positive.
        lam : float
            At least 0, and finite.

        Raises
        ------
        InputError
            If a number is out of range, a point lies outside the domain, or the labels or the
            dimension do not fit the model.
        """
        x, y = data.arrays()
        lowest, highest = take("domain", data.domain, tuple[Bound, Bound])
        model.check(x, y)
        for i, j in np.argwhere((x < lowest) | (x > highest)):
            raise InputError(
                f"anchor {i} has coordinate {j} at {x[i, j]:g}, outside the domain"
                f" [{lowest:g}, {highest:g}]: clip or rescale the data"
            )
        low, high = np.maximum(x - eps, lowest), np.minimum(x + eps, highest)
        require(bool((high > low).all()), f"eps={eps!r} is too small for the precision of x")
        return cls(model, x, y, low, high, eps, lam)

    def take(self, rows: Rows) -> Target:
        """That of some of the anchors."""
        return replace(self, **{k: getattr(self, k)[rows] for k in ("x", "y", "low", "high")})

    def loss_grad(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Losses and their gradients at points of shape (..., n, d), those of each anchor."""
        loss, gradient = self.model.loss_grad(x.reshape(-1, x.shape[-1]), self.y)
        return loss.reshape(x.shape[:-1]), gradient.reshape(x.shape)

    def losses(self, x: FloatArray) -> FloatArray:
        """Losses at points of shape (..., n, d)."""
        return self.model.losses(x.reshape(-1, x.shape[-1]), self.y).reshape(x.shape[:-1])


class GibbsLaw:
    """p_adv* of each anchor: what follows from the integrals of exp(lam l) over parts of its box.

    Attributes
    ----------
    target : Target
    log_Z : ndarray, shape (n,)
        log of the integral over the box.
    log_mean : ndarray, shape (n,)
        log of the mean over the box.

    Examples
    --------
    A loss of slope 1 gives the worse half of each box the odds exp(lam eps) = 3:

    >>> import numpy as np
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("mixture", n=4, noise=0)
    >>> model = tm.adversarial.Model(np.ones((1, 1)), np.zeros(1), loss="linear")
    >>> target = tm.adversarial.Target.of(model, data, eps=0.5, lam=2 * np.log(3))
    >>> law = tm.adversarial.closed_form(target)
    >>> law.probability(target.low, target.x).round(3).tolist()
    [0.25, 0.75, 0.25, 0.75]
    """

    @checked
    def __init__(self, target: Target, log_Z: Annotated[FloatArray, "(n)"]) -> None:
        self.target, self.log_Z = target, log_Z
        self.log_mean = log_Z - np.log(target.high - target.low).sum(axis=1)

    def log_integral(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """log of the integral over parts of the boxes with faces (..., n, d); shape (..., n)."""
        raise NotImplementedError

    @property
    def dual(self) -> float:
        """(1/lam) E_x log mean exp(lam l): the largest E[l] - KL / lam of any plan.

        By Donsker and Varadhan's formula; p_adv* alone attains it.

        Raises
        ------
        InputError
            If lam is 0.
        """
        require(self.target.lam > 0, "lam=0 has no dual value: its limit is the uniform mean loss")
        return float(self.log_mean.mean() / self.target.lam)

    def log_density(self, x: FloatArray) -> FloatArray:
        """log p_adv* of each anchor at points of shape (..., n, d), -inf outside its box."""
        inside = ((x >= self.target.low) & (x <= self.target.high)).all(axis=-1)
        return np.where(inside, self.target.lam * self.target.losses(x) - self.log_Z, -np.inf)

    def probability(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """Of parts of the boxes with faces of shape (..., n, d); shape (..., n)."""
        low, high = np.broadcast_arrays(low, high)
        low, high = np.maximum(low, self.target.low), np.minimum(high, self.target.high)
        there = np.asarray((high > low).all(axis=-1))
        high = np.where(there[..., None], high, low + 1)  # any part, for those that are empty
        return np.where(there, np.exp(self.log_integral(low, high) - self.log_Z), 0.0)

    def cdf(self, x: FloatArray, coordinate: int = 0) -> FloatArray:
        """Of one coordinate, at numbers of shape (..., n)."""
        high = np.broadcast_to(self.target.high, (*np.shape(x), self.target.high.shape[1])).copy()
        high[..., coordinate] = x
        return self.probability(self.target.low, high)


class Quadrature(GibbsLaw):
    """By Gauss-Legendre, in one or two dimensions, for any smooth loss.

    Parameters
    ----------
    target : Target
    tolerance : float
        Of log_Z and of the mean loss, between one order and twice that.

    Attributes
    ----------
    order : int
        Nodes in a dimension: doubled until no log_Z or mean loss changes by the tolerance.
    points, weights : ndarray, shapes (order^d, n, d) and (order^d, n)
        Nodes, and their probabilities.
    mean_loss, var_loss, kl : ndarray, shape (n,)
        Moments of the loss; KL divergence from the uniform law on the box.
    mean : ndarray, shape (n, d)
        Of x.

    Raises
    ------
    InputError
        If d > 2, or the largest order does not reach the tolerance.

    Examples
    --------
    No plan has a larger E[l] - KL / lam than the dual value, and p_adv* has that:

    >>> import numpy as np
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("moons", n=4)
    >>> model = tm.adversarial.Model.random(data, hidden=8)
    >>> law = tm.adversarial.Quadrature(tm.adversarial.Target.of(model, data, eps=0.3, lam=10))
    >>> bool(np.isclose(law.dual, (law.mean_loss - law.kl / 10).mean()))
    True
    """

    LARGEST_ORDER: ClassVar = {1: 4096, 2: 256}

    @checked
    def __init__(self, target: Target, tolerance: Annotated[float, "[1e-14, inf)"] = 1e-10) -> None:
        d = target.x.shape[1]
        require(d in self.LARGEST_ORDER, f"d={d} is too much for quadrature: at most 2")
        self.order, sums, change = self._doubled(target, 8, tolerance, 16)
        if not change.max() < tolerance:
            # The anchor that still changes most says at once, alone, whether and where this ends.
            worst = target.take([int(change.argmax())])
            order, _, _ = self._doubled(worst, 16, tolerance, self.LARGEST_ORDER[d])
            _require_memory(target, order)
            self.order, sums, _ = self._doubled(
                target, order // 2, tolerance, self.LARGEST_ORDER[d]
            )
        self.points, self.weights, loss, log_Z, self.mean_loss = sums
        super().__init__(target, log_Z)
        self.var_loss = (self.weights * (loss - self.mean_loss) ** 2).sum(axis=0)
        self.mean = (self.weights[..., None] * self.points).sum(axis=0)
        self.kl = (self.weights * (target.lam * loss - self.log_mean)).sum(axis=0)

    @classmethod
    def _doubled(
        cls, target: Target, order: int, tolerance: float, until: int
    ) -> tuple[int, _Sums, FloatArray]:
        """Double the order until nothing changes by the tolerance: order, sums, last changes."""
        now = _sums(target, order)
        change = np.full(len(target.x), np.inf)
        while order < until and not change.max() < tolerance:
            order, before = 2 * order, now
            now = _sums(target, order)
            # at lam = 0 log_Z is the volume, at once
            change = np.abs([now.log_Z - before.log_Z, now.mean - before.mean]).max(axis=0)
        require(
            change.max() < tolerance or order < cls.LARGEST_ORDER[target.x.shape[1]],
            f"quadrature still changes by {change.max():.1g} at order {order}: lam="
            f"{target.lam:g} and eps={target.eps:g} make the law too sharp; reduce them",
        )
        return order, now, change

    def log_integral(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """See `GibbsLaw.log_integral`."""
        points, log_weights = _nodes(self.order, low, high)
        return logsumexp(self.target.lam * self.target.losses(points) + log_weights, axis=0)


class _Sums(NamedTuple):
    """Over the nodes of some order."""

    points: FloatArray
    weights: FloatArray
    loss: FloatArray
    log_Z: FloatArray
    mean: FloatArray  #: of the loss


def _sums(target: Target, order: int) -> _Sums:
    _require_memory(target, order)
    points, log_weights = _nodes(order, target.low, target.high)
    loss = target.losses(points)
    log_p = target.lam * loss + log_weights
    largest = log_p.max(axis=0)
    weights = np.exp(log_p - largest)
    total = weights.sum(axis=0)
    weights /= total
    return _Sums(points, weights, loss, largest + np.log(total), (weights * loss).sum(axis=0))


def _require_memory(target: Target, order: int) -> None:
    n, d = target.x.shape
    need = 16.0 * order**d * n * (d + target.model.A.shape[1])
    require_memory(need, f"quadrature of {n} anchors", "take fewer of them")


def _nodes(order: int, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points of shape (order^d, ..., n, d) between faces (..., n, d), and logs of their weights."""
    grid, log_w = _gauss_legendre(order, low.shape[-1])
    shape = (len(grid), *(1,) * (low.ndim - 1))
    half = (high - low) / 2
    points = (low + high) / 2 + half * grid.reshape(*shape, -1)
    return points, log_w.reshape(shape) + np.log(2 * half).sum(axis=-1)


@cache
def _gauss_legendre(order: int, d: int) -> tuple[FloatArray, FloatArray]:
    """Nodes on [-1, 1]^d and logs of their probabilities, shapes (order^d, d) and (order^d,).

    NumPy's are more exact, and take seconds beyond an order of 256.
    """
    rule = np.polynomial.legendre.leggauss if order <= 256 else roots_legendre
    nodes, weights = rule(order)
    grid = np.array(list(itertools.product(nodes, repeat=d)))
    return grid, np.log(list(itertools.product(weights / 2, repeat=d))).sum(axis=1)


class TruncatedExponentials(GibbsLaw):
    """Exactly, in any dimension, where exp(lam l) is a sum of exponentials of linear functions.

    For the linear loss it is one.  For the logistic loss and whole lam it is
    (1 + exp(-m))^lam = sum_k binom(lam, k) exp(-k m).

    Raises
    ------
    InputError
        Unless the model has no hidden layer and such a loss.

    Examples
    --------
    Independent draws in 100 dimensions, beside the exact mean of x:

    >>> import numpy as np
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("blobs", n=2, d=100)
    >>> model = tm.adversarial.Model.random(data)
    >>> target = tm.adversarial.Target.of(model, data, eps=0.3, lam=10)
    >>> law = tm.adversarial.TruncatedExponentials(target)
    >>> draws = law.sample(1000, np.random.default_rng(0))
    >>> bool(abs(draws.mean(axis=0) - law.mean).max() < 0.03)
    True
    >>> bool((abs(target.losses(draws).mean(axis=0) - law.mean_loss) < 0.03).all())
    True
    """

    @checked
    def __init__(self, target: Target) -> None:
        require(
            self.applies(target),
            "exact forms are for the linear loss, and the logistic one at whole lam, without a"
            f" hidden layer: this is the {target.model.loss} loss at lam={target.lam:g}"
            f"{'' if target.model.B is None else ', with one'}",
        )
        lam, sign = target.lam, 2.0 * target.y - 1
        linear = target.model.loss == "linear"
        need = 64 * (1 if linear else lam + 1) * target.x.size
        require_memory(need, f"lam={lam:g}", "use a smaller one, or quadrature")
        k = np.array([lam]) if linear else np.arange(lam + 1)
        log_binomial = 0.0 if linear else gammaln(lam + 1) - gammaln(k + 1) - gammaln(lam - k + 1)
        #: exp(lam l) is the sum over k of exp(constants + <rates, x>), shapes (n, k), (n, k, d).
        self.rates = -sign[:, None, None] * k[:, None] * target.model.A[0]
        self.constants = -sign[:, None] * k * target.model.c[0] + log_binomial
        super().__init__(target, self.log_integral(target.low, target.high))

    @staticmethod
    @checked
    def applies(target: Target) -> bool:
        """Whether the loss is of this kind."""
        model, whole = target.model, float(target.lam).is_integer()
        return model.B is None and (model.loss == "linear" or (model.loss == "logistic" and whole))

    def log_integral(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """See `GibbsLaw.log_integral`."""
        return logsumexp(self._log_integrals(low, high), axis=-1)

    def _log_integrals(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """Of each exponential, shape (..., n, k)."""
        middle, half = (low + high)[..., None, :] / 2, (high - low)[..., None, :] / 2
        each = self.rates * middle + np.log(2 * half) + _log_sinhc(self.rates * half)
        return self.constants + each.sum(axis=-1)

    @property
    def mean(self) -> FloatArray:
        """Of x, shape (n, d)."""
        low, high = self.target.low[:, None], self.target.high[:, None]
        half = (high - low) / 2
        means = (low + high) / 2 + half * _langevin(self.rates * half)
        return (self._shares[..., None] * means).sum(axis=1)

    @cached_property
    def mean_loss(self) -> FloatArray:
        """Of the loss, shape (n,)."""
        return self._mean_of(lambda loss: loss)

    @cached_property
    def var_loss(self) -> FloatArray:
        """Variance of the loss, shape (n,)."""
        return np.maximum(self._mean_of(lambda loss: (loss - self.mean_loss) ** 2), 0.0)

    @property
    def kl(self) -> FloatArray:
        """KL divergence from the uniform law on the box, shape (n,)."""
        return self.target.lam * self.mean_loss - self.log_mean

    @cached_property
    def _shares(self) -> FloatArray:
        """Of each exponential, shape (n, k)."""
        each = self._log_integrals(self.target.low, self.target.high)
        return np.exp(each - self.log_Z[:, None])

    def _mean_of(self, f: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """Mean of a smooth function of the loss, shape (n,).

        The loss is a function of one number v, linear in x, of exact characteristic function.  So
        f is written in waves of v, times a window that is 1 wherever v comes, and the mean of each
        is known.
        """
        t, model = self.target, self.target.model
        sign, half = 2.0 * t.y - 1, (t.high - t.low) / 2
        slopes = -sign[:, None] * model.A[0]
        centre = (slopes * (t.low + half)).sum(axis=1) - sign * model.c[0]
        reach = (np.abs(slopes) * half).sum(axis=1).max()
        period = 2 * (reach + 2 * _PAD)
        N = 2 * int(np.ceil(_CUT * period / (2 * np.pi)))
        v = period * (np.arange(N) / N - 0.5)[:, None]
        window = ndtr((reach + _PAD + v) / _EDGE) * ndtr((reach + _PAD - v) / _EDGE)
        line = Model(np.ones((1, 1)), np.zeros(1), loss=model.loss)  # of label 0: the loss at v
        loss = line.losses((centre + v).reshape(-1, 1), np.zeros(v.size * t.y.size, np.int64))
        waves = np.fft.rfft(f(loss.reshape(N, -1)) * window, axis=0) / N
        waves[1:] *= 2
        waves[1::2] *= -1  # they begin at -period / 2
        tilt, turn = self.rates * half[:, None], (slopes * half)[:, None]
        mean = np.zeros(len(t.x))
        for k, wave in enumerate(waves):
            log_moments = _log_sinhc(tilt + 2j * np.pi * k / period * turn) - _log_sinhc(tilt)
            moments = np.exp(log_moments.sum(axis=-1))
            mean += (wave * (self._shares * moments).sum(axis=-1)).real
        return mean

    @checked
    def sample(self, size: Count, rng: np.random.Generator) -> FloatArray:
        """Independent points of each anchor, shape (size, n, d)."""
        n, k, d = self.rates.shape
        logits = self._log_integrals(self.target.low, self.target.high)
        which = (logits + rng.gumbel(size=(size, n, k))).argmax(axis=-1)
        rates, width = self.rates[np.arange(n), which], self.target.high - self.target.low
        z = np.maximum(np.abs(rates) * width, 1e-12)
        depth = -np.log1p(rng.random((size, n, d)) * np.expm1(-z)) / z * width
        return np.where(rates > 0, self.target.high - depth, self.target.low + depth)


@checked
def closed_form(target: Target) -> Quadrature | TruncatedExponentials:
    """The exact law: in exponentials where there are such, else by quadrature.

    Raises
    ------
    InputError
        If there is neither.

    Examples
    --------
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("moons", n=4)
    >>> for hidden in (None, 8):
    ...     model = tm.adversarial.Model.random(data, hidden=hidden)
    ...     target = tm.adversarial.Target.of(model, data, eps=0.3, lam=10)
    ...     print(type(tm.adversarial.closed_form(target)).__name__)
    TruncatedExponentials
    Quadrature
    """
    kind = TruncatedExponentials if TruncatedExponentials.applies(target) else Quadrature
    return kind(target)


def _log_sinhc(z: np.ndarray) -> np.ndarray:
    """log(sinh(z) / z), of real or complex numbers."""
    z, small = np.where(z.real < 0, -z, z), np.abs(z) < 1e-3
    safe = np.where(small, 1e-3, z)
    with np.errstate(divide="ignore"):  # where sinh(z) is 0
        rest = np.log1p(-np.exp(-2 * safe))
    return np.where(small, z * z / 6, safe + rest - np.log(2 * safe))


def _langevin(z: FloatArray) -> FloatArray:
    """Langevin's function coth(z) - 1/z, the slope of log(sinh(z) / z)."""
    safe = np.where(np.abs(z) < 1e-3, 1.0, z)
    return np.where(np.abs(z) < 1e-3, z / 3, 1 / np.tanh(safe) - 1 / safe)
