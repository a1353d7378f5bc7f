"""The laws that unadjusted chains really have in one dimension, without Monte Carlo."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from twomode._typing import FloatArray, Whole
from twomode.adversarial.closed_form import Target
from twomode.adversarial.samplers import Langevin, Sampler
from twomode.adversarial.walls import log_folded, log_normal
from twomode.checks import checked
from twomode.errors import require

__all__ = ["Stationary", "face_atom", "stationary"]


class Stationary(NamedTuple):
    """The stationary law of an unadjusted chain in one dimension, at N nodes and the two faces.

    Examples
    --------
    Projection leaves atoms on the faces, which p_adv* has not; reflection leaves none:

    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("mixture", n=4)
    >>> model = tm.adversarial.Model.random(data)
    >>> target = tm.adversarial.Target.of(model, data, eps=0.5, lam=10)
    >>> kinds = map(tm.adversarial.sampler, ("projected", "reflected"))
    >>> [bool((tm.adversarial.stationary(target, k).mass[-2:] > 0.01).all()) for k in kinds]
    [True, False]
    """

    x: FloatArray  #: shape (N + 2,), the lower and the upper face last
    weights: FloatArray  #: of quadrature, shape (N + 2,), 0 at the faces
    mass: FloatArray  #: probabilities, shape (N + 2,): weight times density, and the faces' atoms

    def total_variation(self, density: FloatArray) -> float:
        """From a law that has this density, shape (N + 2,), at the x; 0 to 1."""
        return float(np.abs(self.mass - self.weights * density).sum()) / 2


@checked
def stationary(target: Target, sampler: Sampler, anchor: Whole = 0) -> Stationary:
    """Without Monte Carlo, by Nystrom's method.

    Parameters
    ----------
    target : Target
        In one dimension.
    sampler : Sampler
        Not a Metropolis chain: that has p_adv* itself.
    anchor : int

    Returns
    -------
    Stationary

    Raises
    ------
    InputError
        If d > 1, the sampler is a Metropolis chain, or its noise is too small for its steps or the
        box.

    Examples
    --------
    The reflected chain's mean of x is off by an error of order h:

    >>> import numpy as np
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("mixture", n=1, noise=0)
    >>> model = tm.adversarial.Model(np.ones((1, 1)), np.zeros(1), loss="linear")
    >>> target = tm.adversarial.Target.of(model, data, eps=0.5, lam=4)
    >>> kinds = [tm.adversarial.Langevin(h=h) for h in (0.1, 0.01)]
    >>> laws = [tm.adversarial.stationary(target, kind) for kind in kinds]
    >>> exact = tm.adversarial.closed_form(target).mean.item()
    >>> [round(float(law.mass @ law.x) - exact, 3) for law in laws]
    [-0.048, -0.005]
    """
    require(target.x.shape[1] == 1, f"d={target.x.shape[1]}: stationary laws are for d = 1")
    require(not sampler.metropolis, f"{sampler} has p_adv* itself as its stationary law")
    require(anchor < len(target.x), f"anchor={anchor} is none of the {len(target.x)}, from 0")
    target = target.take([anchor])
    if isinstance(sampler, Langevin) and not isinstance(sampler.h, float):
        sampler = replace(sampler, h=float(sampler.h[anchor, 0]))
    low, high, sd = target.low.item(), target.high.item(), float(sampler.noise(target))
    require(sd > 0, f"{sampler} has no noise, so no stationary law of this kind")

    def slope(x: float) -> float:
        return target.loss_grad(np.full((1, 1), x))[1].item()

    # Panels in which neither x nor the mean of a step moves further than the noise; they also end
    # where the slope changes its sign: there the sign step jumps.
    fine = np.linspace(low, high, 2001)
    gradient = target.loss_grad(fine[:, None, None])[1]
    mean = fine + sampler.drift(target, gradient).ravel()
    way = np.append(0, np.maximum(np.abs(np.diff(mean)), np.diff(fine)).cumsum()) / sd
    require(way[-1] < 300, f"{sampler} crosses the box in {way[-1]:.0f} noises: at most 300")
    there, signs = fine[gradient.ravel() != 0], np.sign(gradient[gradient != 0])
    turns = [brentq(slope, *there[k : k + 2]) for k in np.nonzero(np.diff(signs))[0]]
    edges = np.interp(np.linspace(0, way[-1], int(way[-1]) + 2), way, fine)
    edges = np.sort([*edges, *turns])
    nodes, weights = np.polynomial.legendre.leggauss(10)
    half = np.diff(edges)[:, None] / 2
    x = np.append(edges[:-1, None] + half * (1 + nodes), [low, high])
    weights = np.append(half * weights, [0.0, 0.0])

    mean = (x[:, None, None] + sampler.drift(target, target.loss_grad(x[:, None, None])[1]))[:, 0]
    log_q = log_folded if sampler.wall == "reflect" else log_normal
    P = weights * np.exp(log_q(x, mean, sd, target.low, target.high))
    if sampler.wall == "project":
        P[:, -2:] = ndtr(np.concatenate([low - mean, mean - high], axis=1) / sd)
    equations = P.T - np.eye(len(P))
    equations[0] = 1.0
    return Stationary(x, weights, np.linalg.solve(equations, np.eye(len(P))[0]))


@checked
def face_atom(beta: float) -> float:
    """Probability of a face to which a constant drift presses the projected chain.

    exp(-sum_n Phi(-beta sqrt(n)) / n), beta the drift over the noise, the other face far away
    (Spitzer 1956: how likely a random walk never rises above its start).

    Parameters
    ----------
    beta : float
        At least 0.01.

    Raises
    ------
    InputError
        If it is less.

    Examples
    --------
    >>> import twomode as tm
    >>> [round(tm.adversarial.face_atom(beta), 3) for beta in (0.1, 1, 3)]
    [0.133, 0.801, 0.999]
    """
    require(beta >= 0.01, f"beta={beta!r} must be at least 0.01: below, the atom is sqrt(2) beta")
    n = np.arange(1, int((9 / beta) ** 2) + 2)
    return float(np.exp(-(ndtr(-beta * np.sqrt(n)) / n).sum()))
