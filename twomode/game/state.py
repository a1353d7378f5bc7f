"""The state of the game, in whichever space and array library it lives."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from twomode._typing import Array, Count, FloatArray, Namespace
from twomode.checks import checked, take
from twomode.errors import require, require_memory

__all__ = ["State", "array_namespace", "as_array"]


def array_namespace(array: Array) -> Namespace:
    """The library whose functions take this array, as the Python array API standard names it.

    CuPy follows the standard's functions, but up to version 14 not this method.

    Examples
    --------
    >>> import numpy as np
    >>> from twomode.game import array_namespace
    >>> array_namespace(np.ones(3)).__name__
    'numpy'
    """
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    return sys.modules[type(array).__module__.partition(".")[0]]


def as_array(values: npt.ArrayLike, like: Array) -> Array:
    """`values` as an array of the library, device and precision of `like`.

    Examples
    --------
    >>> import numpy as np
    >>> from twomode.game import as_array
    >>> as_array([1.0, 2.0], like=np.zeros(3, dtype="float32")).dtype.name
    'float32'
    """
    options = {"device": like.device} if hasattr(like, "__array_namespace__") else {}
    with np.errstate(invalid="ignore"):  # NaN among whole numbers: `Game.check` refuses those
        return array_namespace(like).asarray(values, dtype=like.dtype, **options)


@dataclass(frozen=True)
class State:
    """Discriminator (W, b), generator V and the two modes U, for one replica or many.

    Parameters
    ----------
    W : array, shape (m_D, d) or (R, m_D, d)
        The discriminator's neurons w_i.
    V : array, shape (m_G, d) or (R, m_G, d)
        The generator's neurons v_j.
    b : float or array, shape () or (R,)
        The discriminator's bias.
    U : array, shape (2, d) or (R, 2, d)
        The modes u_1, u_2: unit vectors with inner product gamma.

    Notes
    -----
    The same class holds a state in R^d and its exact reduction to R^r (see `reduce`); only the
    length of the last axis differs.

    Examples
    --------
    An explicit start: a discriminator that knows u_1 and a generator that is nearly 0.

    >>> import numpy as np, twomode as tm
    >>> game = tm.Game.preset(d=16, m_D=1, m_G=1, gamma=0.0, latents=tm.SparsePairs(0.0))
    >>> U = np.eye(2, 16)
    >>> start = tm.State(W=U[:1], V=1e-3 * np.eye(1, 16, 2), b=0.0, U=U)
    >>> tm.simulate(game, tm.optimizer("sgda", eta_D=0.1, eta_G=0.1), 1, start=start).replicas
    1
    """

    W: Array
    V: Array
    b: Array
    U: Array

    def __post_init__(self) -> None:
        for name in ("W", "V", "U"):
            if not hasattr(getattr(self, name), "device"):
                object.__setattr__(self, name, take(name, getattr(self, name), FloatArray))
        if not getattr(self.b, "shape", ()):  # a number, of all replicas
            numpy = isinstance(self.b, (np.ndarray, np.generic))  # NaN too, of one that diverged
            if numpy or not hasattr(self.b, "device"):
                b = take("b", self.b, npt.ArrayLike if numpy else float)
                b = as_array(np.full(tuple(self.W.shape[:-2]), float(b)), like=self.W)
                object.__setattr__(self, "b", b)

    @property
    def xp(self) -> Namespace:
        """The array library that holds the state."""
        return array_namespace(self.W)

    @property
    def dimension(self) -> int:
        """Length of each neuron: d, or r after a reduction."""
        return int(self.W.shape[-1])

    def arrays(self) -> dict[str, Array]:
        """The four arrays by name.

        Examples
        --------
        >>> import numpy as np, twomode as tm
        >>> start = tm.GaussianStart().draw(tm.Game.preset(d=16), np.random.default_rng(0))
        >>> {name: array.shape for name, array in start.arrays().items()}
        {'W': (3, 16), 'V': (3, 16), 'b': (), 'U': (2, 16)}
        """
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @checked
    def replicated(self, replicas: Count) -> State:
        """With a leading axis of `replicas` on every array (copied; modes as well).

        Raises
        ------
        InputError
            If the state holds another number of replicas already.

        Examples
        --------
        >>> import numpy as np, twomode as tm
        >>> start = tm.GaussianStart().draw(tm.Game.preset(d=16), np.random.default_rng(0))
        >>> start.replicated(5).W.shape, start.replicated(5).b.shape
        ((5, 3, 16), (5,))
        """
        batched = self.W.ndim == 3
        require(
            not batched or self.W.shape[0] == replicas,
            f"start holds {self.W.shape[0]} replicas but {replicas} were asked for:"
            f" pass replicas={self.W.shape[0]}",
        )
        size = sum(math.prod(array.shape[-2:]) for array in self.arrays().values())
        require_memory(8.0 * replicas * size, f"replicas={replicas}", "use fewer")
        xp = self.xp
        base = {"W": 3, "V": 3, "b": 1, "U": 3}

        def spread(name: str, array: Array) -> Array:
            full = array if array.ndim == base[name] else array[None, ...]
            shape = (replicas, *full.shape[1:])
            return xp.asarray(xp.broadcast_to(full, shape), copy=True)

        return State(**{name: spread(name, array) for name, array in self.arrays().items()})

    def replica(self, index: int) -> State:
        """One replica of a state that has a replica axis.

        Examples
        --------
        The last state of a run, as the start of another:

        >>> import twomode as tm
        >>> game, opt = tm.Game.preset(d=16), tm.optimizer("nsgda", eta_D=0.005, eta_G=0.001)
        >>> result = tm.simulate(game, opt, 20, replicas=3)
        >>> tm.simulate(game, opt, 20, start=result.state.replica(2)).replicas
        1
        """
        return State(**{name: array[index] for name, array in self.arrays().items()})

    def reduce(self) -> tuple[State, np.ndarray]:
        """The same state in coordinates of an orthonormal basis of span{u_l, w_i, v_j}.

        Returns
        -------
        reduced : State
            With last axis r = min(d, 2 + m_D + m_G).
        basis : ndarray, shape (..., d, r)
            Orthonormal columns; ``reduced.W @ basis.mT`` is the state in R^d again.

        Notes
        -----
        Every gradient lies in that span, so a rotation-equivariant rule never leaves it.  The QR
        factorization is made unique by a nonnegative diagonal of R, which puts u_1 on the first
        axis and u_2 in the plane of the first two.

        Examples
        --------
        >>> import numpy as np, twomode as tm
        >>> start = tm.GaussianStart().draw(tm.Game.preset(d=64), np.random.default_rng(0))
        >>> reduced, basis = start.reduce()
        >>> reduced.dimension, bool(np.allclose(reduced.W @ basis.T, start.W))
        (12, True)
        """
        m_D, m_G = self.W.shape[-2], self.V.shape[-2]
        U = np.broadcast_to(self.U, (*self.W.shape[:-2], *self.U.shape[-2:]))
        rows = np.concatenate([U, self.W, self.V], axis=-2)
        basis, R = np.linalg.qr(rows.mT)
        diagonal = np.diagonal(R, axis1=-2, axis2=-1)
        sign = np.where(diagonal < 0, -1.0, 1.0)
        coordinates = (R * sign[..., None]).mT
        W, V = coordinates[..., 2 : 2 + m_D, :], coordinates[..., 2 + m_D : 2 + m_D + m_G, :]
        return State(W, V, self.b, coordinates[..., :2, :]), basis * sign[..., None, :]
