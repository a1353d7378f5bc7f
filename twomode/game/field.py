"""What a game is to a rule: an objective, its gradient, and products with its Hessian."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from twomode._typing import Array
from twomode.game.state import State, array_namespace

__all__ = ["LARGE", "Evaluation", "Field", "Vector", "player_norms"]

#: Numbers from 1e-290 to 1e10 times this have squares in range; a power of two rounds nothing.
LARGE = 2.0**470


class Vector(NamedTuple):
    """A direction in the space of all parameters; every array has the state's leading axes.

    Examples
    --------
    >>> import numpy as np, twomode as tm
    >>> game = tm.Bilinear([[2.0]])
    >>> v = tm.Vector(W=np.zeros((1, 1, 1)), b=np.zeros(1), V=np.ones((1, 1, 1)))
    >>> game.hessian_product(game.state([0.0], [0.0]), v).W.item()
    2.0
    """

    W: Array  #: shape (..., m_D, d)
    b: Array  #: shape (...)
    V: Array  #: shape (..., m_G, d)


class Evaluation(NamedTuple):
    """Objective and gradient at a state; every array has the state's leading axes.

    The gradients are written as the steps that improve each player: ascent for the
    discriminator, descent for the generator.

    Examples
    --------
    A discriminator whose neurons and bias are 0 says 1/2 of every point: L = -2 ln 2.

    >>> import numpy as np, twomode as tm
    >>> game = tm.Game.preset(d=16)
    >>> start = tm.GaussianStart(std_W=0.0).draw(game, np.random.default_rng(0))
    >>> round(float(game.evaluate(start).objective), 4)
    -1.3863
    """

    objective: Array  #: E log D(X) + E log(1 - D(G(z))), in nats, shape (...)
    W: Array  #: ascent direction for W, shape (..., m_D, d)
    b: Array  #: ascent direction for b, shape (...)
    V: Array  #: descent direction for V, shape (..., m_G, d)


def player_norms(v: Vector | Evaluation) -> Array:
    """Norms of (W, b) and of V, shape (..., 2), also where squares would underflow.

    Examples
    --------
    >>> import numpy as np, twomode as tm
    >>> from twomode.game import player_norms
    >>> player_norms(tm.Vector(W=np.array([[3e-200]]), b=np.array(4e-200), V=np.eye(1))).tolist()
    [5e-200, 1.0]
    """
    xp = array_namespace(v.W)

    def norms(factor: float) -> Array:
        W, b, V = factor * v.W, factor * v.b, factor * v.V
        D, G = xp.sum(W * W, axis=(-2, -1)) + b * b, xp.sum(V * V, axis=(-2, -1))
        return xp.sqrt(xp.stack([D, G], axis=-1)) / factor

    plain = norms(1.0)
    small = plain < LARGE**-0.5
    if v.W.dtype == xp.float64 and xp.any(small):
        with np.errstate(over="ignore"):  # of those that are not
            return xp.where(small, norms(LARGE), plain)
    return plain


@runtime_checkable
class Field(Protocol):
    """A zero-sum game as `ArrayEngine` and the Jacobian corrections see it.

    `Game` and `Bilinear` are two.  Whoever writes another provides its sizes and two functions of
    a `State`, with any leading axes, in whichever array library holds it.  Both take the weights
    of a minibatch after the state, one array a law, or none for the population; a game without
    minibatches may ignore them.

    Examples
    --------
    Of every field, `hessian_product` is the derivative of `evaluate`, whose V is -grad_V:

    >>> import twomode as tm
    >>> game = tm.Bilinear([[2.0]])
    >>> here, there = game.state([1.0], [3.0]), game.state([1.5], [3.0])
    >>> v = tm.Vector(there.W - here.W, there.b - here.b, there.V - here.V)
    >>> change = game.evaluate(there).V - game.evaluate(here).V
    >>> change.item(), -game.hessian_product(here, v).V.item()
    (-1.0, -1.0)
    """

    @property
    def d(self) -> int:
        """Length of each neuron in R^d."""

    @property
    def m_D(self) -> int:
        """Rows of W."""

    @property
    def m_G(self) -> int:
        """Rows of V."""

    @property
    def parameters(self) -> int:
        """Number of parameters of both players in R^d."""

    def evaluate(self, state: State, *weights: Array) -> Evaluation:
        """Objective L, which the discriminator ascends, and both players' improving directions."""

    def hessian_product(self, state: State, v: Vector, *weights: Array) -> Vector:
        """Hessian of L times a vector."""
