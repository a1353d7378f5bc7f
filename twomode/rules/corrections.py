r"""Jacobian products of a game's field, and the corrections that methods make of them.

\xi = (\nabla_D L_D, \nabla_G L_G) holds each player's gradient of its own loss, side by side; in a
zero-sum game L_D = -L and L_G = L, so \xi = \Sigma \nabla L with \Sigma = diag(-1, +1), and its
Jacobian is J = \Sigma \nabla^2 L.  Balduzzi et al. 2018 (The mechanics of n-player differentiable
games) write all of these corrections with \xi and J.
"""

from __future__ import annotations

from twomode._typing import Array
from twomode.checks import checked
from twomode.errors import require
from twomode.game import Evaluation, Field, State, Vector, array_namespace
from twomode.rules.algebra import ALIGNMENT, Optimizer

__all__ = ["corrected", "jacobian_product", "transposed_jacobian_product"]


@checked
def jacobian_product(game: Field, state: State, v: Vector, *weights: Array) -> Vector:
    """J v at a state.

    Parameters
    ----------
    game : Game or Bilinear
    state : State
    v : Vector
        With the state's leading axes.
    *weights : array
        Of a minibatch, as for `Game.evaluate`.

    Returns
    -------
    Vector

    Examples
    --------
    In a bilinear game xi = (-y, x), and J turns by a right angle:

    >>> import numpy as np, twomode as tm
    >>> game = tm.Bilinear([[1.0]])
    >>> v = tm.Vector(W=np.ones((1, 1, 1)), b=np.zeros(1), V=np.zeros((1, 1, 1)))
    >>> J_v = tm.corrections.jacobian_product(game, game.state([0.0], [0.0]), v)
    >>> J_v.V.item()
    1.0
    """
    _require_fit(game, state, v)
    return _turn_D(game.hessian_product(state, v, *weights))


@checked
def transposed_jacobian_product(game: Field, state: State, v: Vector, *weights: Array) -> Vector:
    """J^T v at a state; arguments and result as for `jacobian_product`.

    Examples
    --------
    In a bilinear game J is antisymmetric, J^T = -J: all of it is rotation.

    >>> import numpy as np, twomode as tm
    >>> game = tm.Bilinear([[1.0]])
    >>> v = tm.Vector(W=np.ones((1, 1, 1)), b=np.zeros(1), V=np.zeros((1, 1, 1)))
    >>> tm.corrections.transposed_jacobian_product(game, game.state([0.0], [0.0]), v).V.item()
    -1.0
    """
    _require_fit(game, state, v)
    return game.hessian_product(state, _turn_D(v), *weights)


def corrected(
    game: Field, opt: Optimizer, state: State, gradient: Evaluation, weights: tuple[Array, ...]
) -> Vector:
    """What the rule follows in place of the gradient, in the players' improving directions.

    Parameters
    ----------
    game : Game or Bilinear
    opt : Optimizer
    state : State
    gradient : Evaluation
        Of the game at this state.
    weights : tuple of arrays
        Those of the gradient.

    Returns
    -------
    Vector

    Examples
    --------
    Hamiltonian descent goes straight to the equilibrium about which plain steps turn:

    >>> import twomode as tm
    >>> game, opt = tm.Bilinear([[1.0]]), tm.optimizer("hamiltonian", eta_D=0.1, eta_G=0.1)
    >>> here = game.state([3.0], [4.0])
    >>> step = tm.corrections.corrected(game, opt, here, game.evaluate(here), ())
    >>> step.W.item(), step.V.item()
    (-3.0, -4.0)
    """
    xi = Vector(-gradient.W, -gradient.b, -gradient.V)
    field = xi
    if opt.corrected:
        grad_H = transposed_jacobian_product(game, state, xi, *weights)
        weight = state.xp.full_like(state.b, opt.correction_weight)
        if opt.correction == "hamiltonian":
            field = grad_H
        elif opt.correction == "consensus":
            field = _add(xi, weight, grad_H)
        else:
            J_xi = jacobian_product(game, state, xi, *weights)
            adjustment = Vector(*((x - y) / 2 for x, y in zip(grad_H, J_xi, strict=True)))
            if opt.aligned:
                alignment = _inner(xi, grad_H) * _inner(adjustment, grad_H) / game.parameters
                weight = weight * state.xp.sign(alignment + ALIGNMENT)
            field = _add(xi, weight, adjustment)
    return Vector(-field.W, -field.b, -field.V)


def _require_fit(game: Field, state: State, v: Vector) -> None:
    needed = ((game.m_D, state.dimension), (game.m_G, state.dimension))
    for what, x in (("state", state), ("v", v)):
        found = tuple(x.W.shape[-2:]), tuple(x.V.shape[-2:])
        require(found == needed, f"{what} has W and V of shapes {found}: {needed} are needed")


def _turn_D(v: Vector) -> Vector:
    """Sigma v."""
    return Vector(-v.W, -v.b, v.V)


def _inner(x: Vector, y: Vector) -> Array:
    """Inner product, with the leading axes of the vectors."""
    xp = array_namespace(x.W)
    rows = xp.sum(x.W * y.W, axis=(-2, -1)) + xp.sum(x.V * y.V, axis=(-2, -1))
    return rows + x.b * y.b


def _add(x: Vector, weight: Array, y: Vector) -> Vector:
    """x + weight y, with a weight of the vectors' leading axes."""
    rows = weight[..., None, None]
    return Vector(x.W + rows * y.W, x.b + weight * y.b, x.V + rows * y.V)
