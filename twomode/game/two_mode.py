r"""The two-mode game: its parameters, objective and gradient, as the paper writes them.

A linear generator G_V(z) = \sum_j z_j v_j plays against the discriminator

    D(x) = sigmoid(a \sum_i \sigma(<w_i, x>) + lambda b)

with \sigma the cube, continued linearly beyond |z| = Lambda.  This module is the one place where
the formulas stand for whole arrays; the compiled engines are checked against it.

Source: G. Gidel, "Beyond minimax optimization" (Simons Institute, 2022), and Jelassi, Dobre,
Mensch, Li, Gidel, "Dissecting adaptive methods in GANs" (arXiv:2210.04319), section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, TypeAlias

import numpy as np

from twomode._typing import JSON, Array, Count, Namespace
from twomode.checks import check_fields, checked
from twomode.errors import require, shown
from twomode.game.field import Evaluation, Vector
from twomode.game.laws import (
    LAWS,
    CorrelatedCoefficients,
    CorrelatedModes,
    Law,
    SparsePairs,
    law_from_dict,
)
from twomode.game.state import State, array_namespace, as_array

__all__ = [
    "Game",
    "clipped_cubic",
    "clipped_cubic_curvature",
    "clipped_cubic_slope",
]

#: Of R^d: as large as a float can still count.
Dimension: TypeAlias = Annotated[int, "[3, 1e300]"]
#: Lambda; infinity never clips.
Clip: TypeAlias = Annotated[float, "(0, inf]"]


@dataclass(frozen=True)
class Game:
    """Parameters of the two-mode game.

    Parameters
    ----------
    d : int
        Dimension of the data, at least 3.
    m_D, m_G : int
        Number of discriminator and generator neurons.
    gamma : float
        <u_1, u_2>, in [0, 1).
    a : float
        Slope in front of the sum over neurons.
    lam : float
        Weight lambda of the bias b.
    clip : float
        Lambda: the activation is cubic up to |z| = clip and linear beyond; ``inf`` never clips.
    latents : Law
        Law of z on {0,1}^m_G.
    data : Law
        Law of the coefficients s in X = s_1 u_1 + s_2 u_2.

    Raises
    ------
    InputError
        For a value outside these ranges.

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game(d=16, m_D=2, m_G=3, gamma=0.5, a=1.0, lam=0.25, clip=2.0,
    ...                latents=tm.SparsePairs(0.1))
    >>> game.parameters, game.reduced_dimension
    (81, 7)
    """

    EXAMPLE: ClassVar[str] = "tm.Game.preset(d=4096)"

    d: Dimension
    m_D: Count
    m_G: Count
    gamma: Annotated[float, "[0, 1)"]
    a: float
    lam: float
    clip: Clip
    latents: Law
    data: Law = field(default_factory=CorrelatedModes)

    def __post_init__(self) -> None:
        check_fields(self)
        require(
            self.gamma == 0 or not isinstance(self.data, CorrelatedCoefficients),
            f"gamma={self.gamma!r} must be 0 for data with correlated coefficients",
        )
        for name, n in (("latents", self.m_G), ("data", 2)):
            law = getattr(self, name)
            require(
                type(law) in LAWS.values(),
                f"{name}={shown(law)} is a law of your own, which no file can name: give its points"
                " and probabilities to ExplicitLatents",
            )
            support, _ = law.points(n)  # refuses an m_G that the law does not have
            require(
                support.shape[1] == n, f"{name}={shown(law)} is a law on vectors of another length"
            )

    @classmethod
    @checked
    def preset(cls, d: Dimension, **changes: Any) -> Game:
        """The canonical parameters at dimension d, with any field replaced by keyword.

        A choice where the talk leaves constants open: m_D = m_G = ceil(ln d),
        a = gamma = 1/ln d, pairs with probability q = 1/(ln d)^2, lambda = d^(-1/2),
        Lambda = d^(1/5).  With correlated-coefficients data gamma is 0.

        Parameters
        ----------
        d : int
            At least 3.
        **changes
            Fields of `Game`.

        Raises
        ------
        InputError
            For a name that `Game` does not have, or a value outside its range.

        Examples
        --------
        >>> import twomode as tm
        >>> game = tm.Game.preset(d=4096, m_G=5)
        >>> game.m_D, game.m_G, round(game.gamma, 3)
        (9, 5, 0.12)
        """
        log = math.log(d)
        orthogonal = isinstance(changes.get("data"), CorrelatedCoefficients)
        canonical = cls(
            d=d,
            m_D=math.ceil(log),
            m_G=math.ceil(log),
            gamma=0.0 if orthogonal else 1 / log,
            a=1 / log,
            lam=d**-0.5,
            clip=d**0.2,
            latents=SparsePairs(1 / log**2),
        )
        unknown = changes.keys() - {f.name for f in fields(cls)}
        require(not unknown, f"Game has no parameter {', '.join(sorted(unknown))}")
        return replace(canonical, **changes)

    @cached_property
    def latent_points(self) -> tuple[Array, Array]:
        """Support (S, m_G) and probabilities (S,) of z."""
        return self.latents.points(self.m_G)

    @cached_property
    def data_points(self) -> tuple[Array, Array]:
        """Support (S, 2) and probabilities (S,) of the data's coefficients."""
        return self.data.points(2)

    @property
    def parameters(self) -> int:
        """Number of parameters of both players in R^d."""
        return (self.m_D + self.m_G) * self.d + 1

    @property
    def reduced_dimension(self) -> int:
        """r: the dimension of span{u_l, w_i, v_j}, which no equivariant rule leaves."""
        return min(self.d, 2 + self.m_D + self.m_G)

    @checked
    def check(self, state: State) -> None:
        """Raise `InputError` unless `state` is a state of this game in R^d or reduced to R^r.

        Examples
        --------
        >>> import numpy as np, twomode as tm
        >>> start = tm.GaussianStart().draw(tm.Game.preset(d=16), np.random.default_rng(0))
        >>> tm.Game.preset(d=64).check(start)
        Traceback (most recent call last):
            ...
        twomode.errors.InputError: start has neurons of length 16, the game has d=64
        """
        for name, array in state.arrays().items():
            require(
                array.dtype == state.W.dtype and str(array.dtype).endswith(("float64", "float32")),
                f"start.{name} has dtype {array.dtype}: float64 or float32 is needed, of all alike",
            )
            require(
                name == "b" or array.ndim in (2, 3),
                f"start.{name} has shape {tuple(array.shape)}: rows are needed, of each replica",
            )
        n = state.dimension
        require(
            n in (self.d, self.reduced_dimension),
            f"start has neurons of length {n}, the game has d={self.d}",
        )
        for name, rows in (("W", self.m_D), ("V", self.m_G), ("U", 2)):
            array = getattr(state, name)
            require(
                array.ndim in (2, 3) and tuple(array.shape[-2:]) == (rows, n),
                f"start.{name} has shape {tuple(array.shape)}, the game needs (..., {rows}, {n})",
            )
        batch = tuple(state.W.shape[:-2])
        for name, shape in (("V", state.V.shape[:-2]), ("b", state.b.shape)):
            require(
                tuple(shape) == batch,
                f"start.{name} has replica axes {tuple(shape)}, start.W has {batch}",
            )
        require(
            tuple(state.U.shape[:-2]) in ((), batch),
            f"start.U has replica axes {tuple(state.U.shape[:-2])}, start.W has {batch}",
        )
        xp = state.xp
        for name, array in state.arrays().items():
            require(bool(xp.all(xp.isfinite(array))), f"start.{name} holds a NaN or an infinity")
        gram = xp.matmul(state.U, state.U.mT)
        wanted = as_array([[1.0, self.gamma], [self.gamma, 1.0]], like=gram)
        error = float(xp.max(xp.abs(gram - wanted)))
        require(
            error <= 1e-6,
            f"start.U must hold unit vectors with inner product gamma={self.gamma!r}"
            f" (its Gram matrix is off by {error:.2g})",
        )

    def evaluate(
        self, state: State, data_weights: Array = None, latent_weights: Array = None
    ) -> Evaluation:
        r"""Objective and gradient, exact, or of a minibatch when weights are given.

        Parameters
        ----------
        state : State
            With any leading axes.
        data_weights, latent_weights : array, shape (..., S), optional
            Weight of each point of the two laws, counts/n for a minibatch of n; the
            probabilities by default.

        Returns
        -------
        Evaluation

        Notes
        -----
        With A[i,l] = a \sigma'(<w_i,x_l>) (1 - D(x_l)) p_l over the data points and
        C[i,j] = \sum_s p_s D(V z_s) a \sigma'(<w_i,V z_s>) z_sj over the latents,

            grad_W = A X - C V,   grad_b = lambda (\sum_l p_l (1 - D(x_l)) - \sum_s p_s D(V z_s)),
            -grad_V = C^T W:

        one formula serves both, with the modes in place of the v_j and the sign turned.

        Examples
        --------
        At the start the discriminator learns and the generator hardly moves:

        >>> import numpy as np, twomode as tm
        >>> game = tm.Game.preset(d=4096)
        >>> start = tm.GaussianStart().draw(game, np.random.default_rng(0))
        >>> steps = game.evaluate(start)
        >>> bool(np.linalg.norm(steps.W) > 1000 * np.linalg.norm(steps.V))
        True
        """
        W, V, b, U = state.W, state.V, state.b, state.U
        xp = state.xp
        real, A, right = self._half(xp.matmul(W, U.mT), b, +1, self.data_points, data_weights)
        fake, C, wrong = self._half(xp.matmul(W, V.mT), b, -1, self.latent_points, latent_weights)
        return Evaluation(
            objective=real + fake,
            W=xp.matmul(A, U) - xp.matmul(C, V),
            b=self.lam * (right - wrong),
            V=xp.matmul(C.mT, W),
        )

    def _half(
        self, h: Array, b: Array, sign: int, points: tuple[Array, Array], weights: Array
    ) -> tuple[Array, Array, Array]:
        """One expectation of the objective and its coefficients.

        `h` holds <w_i, basis vector>, `sign` is +1 for data and -1 for generated points.  The
        discriminator is wrong about a point with probability 1 - D or D: sigmoid(-sign logit).
        """
        xp = array_namespace(h)
        support = as_array(points[0], like=h)
        weights = as_array(points[1] if weights is None else weights, like=h)
        z = xp.matmul(h, support.mT)
        logits = self.a * xp.sum(clipped_cubic(z, self.clip), axis=-2) + self.lam * b[..., None]
        value = xp.sum(weights * _log_sigmoid(xp, sign * logits), axis=-1)
        wrong = weights * _sigmoid(xp, -sign * logits)
        slopes = self.a * clipped_cubic_slope(z, self.clip)
        coefficients = xp.matmul(slopes * wrong[..., None, :], support)
        return value, coefficients, xp.sum(wrong, axis=-1)

    def hessian_product(
        self, state: State, v: Vector, data_weights: Array = None, latent_weights: Array = None
    ) -> Vector:
        r"""Hessian of the objective L at a state times a vector.

        Parameters
        ----------
        state : State
        v : Vector
            With the state's leading axes.
        data_weights, latent_weights : array, shape (..., S), optional
            As for `evaluate`.

        Returns
        -------
        Vector

        Notes
        -----
        It is the derivative of grad L along v = (dW, db, dV).  With dA and dC those of the
        coefficients of `evaluate`,

            (dA X - dC V - C dV,  \lambda (d right - d wrong),  -dC^T W - C^T dW):

        of modes and neurons again, so it stays in the span of `State.reduce` if v is in it.

        Examples
        --------
        Where all parameters are 0, only the bias has curvature: -lambda^2 D (1 - D), once for
        the data and once for the generator.

        >>> import numpy as np, twomode as tm
        >>> game = tm.Game.preset(d=16)
        >>> zero = tm.GaussianStart(std_W=0.0, std_V=0.0).draw(game, np.random.default_rng(0))
        >>> v = tm.Vector(W=np.ones((3, 16)), b=np.array(1.0), V=np.ones((3, 16)))
        >>> product = game.hessian_product(zero, v)
        >>> bool(product.W.any() or product.V.any()), round(float(product.b / game.lam**2), 6)
        (False, -0.5)
        """
        W, V, b, U = state.W, state.V, state.b, state.U
        xp = state.xp
        h, dh = xp.matmul(W, U.mT), xp.matmul(v.W, U.mT)
        _, dA, d_right = self._half_slope(h, dh, b, v.b, +1, self.data_points, data_weights)
        h, dh = xp.matmul(W, V.mT), xp.matmul(v.W, V.mT) + xp.matmul(W, v.V.mT)
        C, dC, d_wrong = self._half_slope(h, dh, b, v.b, -1, self.latent_points, latent_weights)
        return Vector(
            W=xp.matmul(dA, U) - xp.matmul(dC, V) - xp.matmul(C, v.V),
            b=self.lam * (d_right - d_wrong),
            V=-xp.matmul(dC.mT, W) - xp.matmul(C.mT, v.W),
        )

    def _half_slope(
        self,
        h: Array,
        dh: Array,
        b: Array,
        db: Array,
        sign: int,
        points: tuple[Array, Array],
        weights: Array,
    ) -> tuple[Array, Array, Array]:
        """The coefficients of `_half`, and the derivatives of both it returns along (dh, db)."""
        xp = array_namespace(h)
        support = as_array(points[0], like=h)
        weights = as_array(points[1] if weights is None else weights, like=h)
        z, dz = xp.matmul(h, support.mT), xp.matmul(dh, support.mT)
        slopes = self.a * clipped_cubic_slope(z, self.clip)
        d_slopes = self.a * clipped_cubic_curvature(z, self.clip) * dz
        logits = self.a * xp.sum(clipped_cubic(z, self.clip), axis=-2) + self.lam * b[..., None]
        d_logits = xp.sum(slopes * dz, axis=-2) + self.lam * db[..., None]
        wrong = weights * _sigmoid(xp, -sign * logits)
        d_wrong = -sign * wrong * _sigmoid(xp, sign * logits) * d_logits
        coefficients = xp.matmul(slopes * wrong[..., None, :], support)
        derivatives = d_slopes * wrong[..., None, :] + slopes * d_wrong[..., None, :]
        return coefficients, xp.matmul(derivatives, support), xp.sum(d_wrong, axis=-1)

    def to_dict(self) -> JSON:
        """Plain-JSON form; `from_dict` is its inverse.

        Examples
        --------
        >>> import twomode as tm
        >>> tm.Game.preset(d=64, latents=tm.Bernoulli(0.25)).to_dict()["latents"]
        {'kind': 'bernoulli', 'p': 0.25}
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return values | {"latents": self.latents.to_dict(), "data": self.data.to_dict()}

    @classmethod
    @checked
    def from_dict(cls, values: JSON) -> Game:
        """Rebuild a game from `to_dict`.

        Raises
        ------
        InputError
            For values that `Game` or a law refuses.

        Examples
        --------
        >>> import twomode as tm
        >>> game = tm.Game.preset(d=64)
        >>> tm.Game.from_dict(game.to_dict()) == game
        True
        """
        names = {f.name for f in fields(cls)}
        require(values.keys() == names, f"a game has the fields {', '.join(sorted(names))}")
        laws = {name: law_from_dict(values[name]) for name in ("latents", "data")}
        return cls(**(values | laws))


#: Of a z that is too large, or of a Lambda that its precision does not have.
_overflowing = np.errstate(over="ignore", invalid="ignore")


@checked
@_overflowing
def clipped_cubic(z: Array, clip: Clip) -> Array:
    """z^3 where abs(z) <= clip, continued linearly: +-(3 clip^2 abs(z) - 2 clip^3) beyond.

    With c = z clipped to [-clip, clip] both parts are c^2 (3z - 2c).

    Parameters
    ----------
    z : array
    clip : float
        Lambda; ``inf`` never clips.

    Examples
    --------
    >>> import numpy as np
    >>> from twomode.game import clipped_cubic
    >>> clipped_cubic(np.array([1.0, 2.0, 3.0]), clip=2.0).tolist()  # 3 cubed would be 27
    [1.0, 8.0, 20.0]
    """
    c = array_namespace(z).clip(z, -clip, clip)
    return c * c * (3 * z - 2 * c)


@checked
@_overflowing
def clipped_cubic_slope(z: Array, clip: Clip) -> Array:
    """Derivative of `clipped_cubic`: 3 z^2 up to abs(z) = clip, 3 clip^2 beyond.

    Examples
    --------
    >>> import numpy as np
    >>> from twomode.game import clipped_cubic_slope
    >>> clipped_cubic_slope(np.array([0.0, 1.0, 2.0, 3.0]), clip=2.0).tolist()
    [0.0, 3.0, 12.0, 12.0]
    """
    c = array_namespace(z).clip(z, -clip, clip)
    return 3 * (c * c)


@checked
@_overflowing
def clipped_cubic_curvature(z: Array, clip: Clip) -> Array:
    """Second derivative of `clipped_cubic`: 6z up to abs(z) = clip, 0 beyond.

    Examples
    --------
    >>> import numpy as np
    >>> from twomode.game import clipped_cubic_curvature
    >>> clipped_cubic_curvature(np.array([-1.0, 2.0, 3.0]), clip=2.0).tolist()
    [-6.0, 12.0, 0.0]
    """
    xp = array_namespace(z)
    return xp.where(xp.abs(z) <= clip, 6 * z, xp.zeros_like(z))


def _sigmoid(xp: Namespace, x: Array) -> Array:
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, xp.ones_like(e), e) / (1 + e)


def _log_sigmoid(xp: Namespace, x: Array) -> Array:
    return xp.minimum(x, xp.zeros_like(x)) - xp.log1p(xp.exp(-xp.abs(x)))
