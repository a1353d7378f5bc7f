"""The game L(x, y) = x^T A y, on which every rule's behaviour is known."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from twomode._typing import Array
from twomode.checks import checked
from twomode.errors import require
from twomode.game.field import Evaluation, Vector
from twomode.game.state import State, as_array

__all__ = ["Bilinear"]


class Bilinear:
    """min_y max_x x^T A y: the oracle of the update rules.

    Its one equilibrium is 0 (for an invertible A).  It has the interface of `Game` that
    `twomode.engines.array.ArrayEngine` needs, so the rules that run on it are those that train the
    two-mode game, not copies.  A rule without norms or second moments acts on it as a matrix.

    Parameters
    ----------
    A : array_like, shape (n, n)

    Raises
    ------
    InputError
        Unless A is a square matrix of finite numbers.

    Examples
    --------
    Each player's step is at right angles to where both stand: plain steps turn about 0.

    >>> import twomode as tm
    >>> game = tm.Bilinear([[1.0]])
    >>> steps = game.evaluate(game.state([3.0], [4.0]))
    >>> steps.W.item(), steps.V.item()
    (4.0, -3.0)
    """

    m_D = m_G = 1

    @checked
    def __init__(self, A: Annotated[ArrayLike, "(n, n)", "finite"]) -> None:
        self.A = np.asarray(A, dtype=float)

    @property
    def d(self) -> int:
        """Length of x, and of y."""
        return len(self.A)

    @cached_property
    def parameters(self) -> int:
        """Number of parameters of both players."""
        return 2 * self.d

    @checked
    def state(
        self,
        x: Annotated[ArrayLike, "(..., n)", "finite"],
        y: Annotated[ArrayLike, "(..., n)", "finite"],
    ) -> State:
        """A start of `ArrayEngine`: x as the discriminator's one neuron, y as the generator's.

        Parameters
        ----------
        x, y : array_like, shape (n,) or (R, n)

        Returns
        -------
        State
            With a replica axis; its bias and its modes are 0 and play no part.

        Raises
        ------
        InputError
            If x and y differ in shape, or from A in length.

        Examples
        --------
        >>> import numpy as np, twomode as tm
        >>> state = tm.Bilinear(np.eye(2)).state([[1, 0], [0, 1]], [[0, 0], [0, 0]])
        >>> state.W.shape  # two starts, one neuron, two coordinates
        (2, 1, 2)
        """
        W, V = (np.array(p, dtype=float, ndmin=2)[:, None, :] for p in (x, y))
        require(
            W.shape == V.shape and W.ndim == 3 and W.shape[-1] == self.d,
            f"x and y have shapes {np.shape(x)} and {np.shape(y)}: (R, {self.d}) is needed",
        )
        return State(W, V, np.zeros(len(W)), np.zeros((len(W), 2, self.d)))

    def evaluate(self, state: State, *weights: Array) -> Evaluation:
        """Objective and the steps that improve each player; it has no minibatches.

        Parameters
        ----------
        state : State
        *weights
            Not used.

        Returns
        -------
        Evaluation
            x^T A y, A y for W and -A^T x for V.

        Examples
        --------
        >>> import twomode as tm
        >>> game = tm.Bilinear([[0.0, 2.0], [0.0, 0.0]])
        >>> game.evaluate(game.state([3, 0], [0, 1])).objective.item()
        6.0
        """
        A, xp = as_array(self.A, like=state.W), state.xp
        W = xp.matmul(state.V, A.mT)
        return Evaluation(
            objective=xp.sum(state.W * W, axis=(-2, -1)),
            W=W,
            b=xp.zeros_like(state.b),
            V=-xp.matmul(state.W, A),
        )

    def hessian_product(self, state: State, v: Vector, *weights: Array) -> Vector:
        """Hessian of the objective times a vector, (A v_y, A^T v_x), the same at every state.

        Parameters
        ----------
        state : State
            For its array library.
        v : Vector
            With the state's leading axes.
        *weights
            Not used.

        Returns
        -------
        Vector

        Examples
        --------
        >>> import numpy as np, twomode as tm
        >>> game = tm.Bilinear([[2.0]])
        >>> along_x = tm.Vector(W=np.ones((1, 1, 1)), b=np.zeros(1), V=np.zeros((1, 1, 1)))
        >>> product = game.hessian_product(game.state([0.0], [0.0]), along_x)
        >>> product.W.item(), product.V.item()
        (0.0, 2.0)
        """
        A, xp = as_array(self.A, like=state.W), state.xp
        return Vector(xp.matmul(v.V, A.mT), xp.zeros_like(v.b), xp.matmul(v.W, A))
