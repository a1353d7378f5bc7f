r"""What is measured of a generator: collapse, asymmetry, residual, coverage.

Everything follows from the projections <v_j, u_l> and the Gram matrix <v_j, v_k>, because
G(z) = \sum_j z_j v_j: no function here needs a vector of length d.  For a latent z, with
s = u_1 + u_2 and G(z) = alpha(z) s + xi(z), <xi, s> = 0,

    alpha = <G, s> / norm(s)^2,  asymmetry = max_l abs(<xi, u_l>) / norm(xi),
    residual = norm(xi) / abs(alpha),  collapse cosine = <G, s> / (norm(G) norm(s)).

Theorem 4.1 says that the asymmetry is o(1) up to T_0 for every z, and in its special case the
residual too; Theorem 4.2 says that the coverage of both modes is bounded below.

Source: G. Gidel, "Beyond minimax optimization" (Simons Institute, 2022), Theorems 4.1 and 4.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from twomode._typing import Count, FloatArray, Level
from twomode.checks import check_fields, checked
from twomode.errors import require, require_memory
from twomode.game.laws import binary_vectors

__all__ = [
    "COVERAGE_DELTA",
    "LARGEST_CHECKED",
    "NU",
    "EveryOutput",
    "Outputs",
    "all_latents",
    "at_rest",
    "mode_cosines",
]

#: delta of the coverage, sqrt(0.2): the distance between directions of cosine 0.9.
COVERAGE_DELTA = math.sqrt(0.2)

#: Largest m_G for which "every z in {0,1}^m_G" is checked point by point.
LARGEST_CHECKED = 20

#: Default nu of `at_rest`.
NU = 0.1


@checked
def at_rest(
    grad_norms: Annotated[FloatArray, "(..., 2)"],
    peak_grad_norms: Annotated[FloatArray, "(..., 2)"],
    nu: Level,
) -> np.ndarray:
    """Whether both players' gradients are at most nu times their largest so far, shape (...).

    A gradient that was not finite, or zero from the start, has no such share: it is not at rest.
    (One that is zero after a peak is: a discriminator that is certain lets it underflow.)

    Parameters
    ----------
    grad_norms, peak_grad_norms : ndarray, shape (..., 2)
        Norms of the gradients in (W, b) and in V; the peaks are those of the iterations before.
    nu : float
        In (0, 1).

    Examples
    --------
    The discriminator has come to rest first; T_0 waits for the generator.

    >>> import numpy as np
    >>> from twomode.game import at_rest
    >>> norms = np.array([[1.0, 0.1], [0.05, 1.0], [0.05, 0.05]])
    >>> at_rest(norms, np.ones((3, 2)), nu=0.1).tolist()
    [False, False, True]
    """
    require(
        grad_norms.shape == peak_grad_norms.shape,
        f"the norms have shapes {grad_norms.shape} and {peak_grad_norms.shape}: alike are needed",
    )
    with np.errstate(invalid="ignore"):
        peaks = np.fmax(peak_grad_norms, grad_norms)
        small = (grad_norms <= nu * peaks) & (peaks > 0) & (peaks < math.inf)
    return np.asarray(np.all(small, axis=-1))


@checked
def all_latents(m_G: Count) -> FloatArray:
    """Every nonzero z in {0,1}^m_G, shape (2^m_G - 1, m_G).

    Raises
    ------
    InputError
        If m_G > 20.

    Examples
    --------
    >>> import twomode as tm
    >>> tm.all_latents(2).tolist()
    [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    """
    _require_few(m_G)
    return binary_vectors(m_G)[1:]


@checked
def mode_cosines(
    projections_V: Annotated[FloatArray, "(..., m_G, 2)"],
    gram_V: Annotated[FloatArray, "(..., m_G, m_G)"],
) -> FloatArray:
    """Cosines <v_j, u_l> / norm(v_j), shape (..., m_G, 2); 0 where v_j is 0.

    Parameters
    ----------
    projections_V, gram_V : ndarray, shapes (..., m_G, 2) and (..., m_G, m_G)
        As for `Outputs`.

    Examples
    --------
    v_1 = 3 u_1 and v_2 = u_1 + u_2, for orthogonal modes:

    >>> import numpy as np
    >>> from twomode.game import mode_cosines
    >>> mode_cosines(np.array([[3, 0], [1, 1]]), np.array([[9, 3], [3, 2]])).round(2).tolist()
    [[1.0, 0.0], [0.71, 0.71]]
    """
    norms = np.sqrt(np.diagonal(gram_V, axis1=-2, axis2=-1))
    return _ratio(projections_V, norms[..., None])


@dataclass(frozen=True)
class Outputs:
    """The generator's outputs G(z) at given latents, as far as the two modes see them.

    Parameters
    ----------
    projections_V : ndarray, shape (..., m_G, 2)
        <v_j, u_l>.
    gram_V : ndarray, shape (..., m_G, m_G)
        <v_j, v_k>.
    gamma : float
        <u_1, u_2>.
    latents : ndarray, shape (S, m_G)
        The z of interest.
    differences_V : ndarray, shape (..., m_G), optional
        <v_j, u_1 - u_2>, where it is known better than as a difference of projections.

    Notes
    -----
    Every measured quantity has shape (..., S), and is 0 where G(z) or its residual vanishes
    (except `residual`, infinite where only alpha does).

    Examples
    --------
    A generator whose first neuron is u_1 and whose second is the average of the modes:

    >>> import numpy as np, twomode as tm
    >>> projections, gram = np.array([[1, 0], [0.5, 0.5]]), np.array([[1, 0.5], [0.5, 0.5]])
    >>> outputs = tm.Outputs(projections, gram, gamma=0.0, latents=np.eye(2))
    >>> outputs.asymmetry.round(2).tolist(), outputs.residual.round(2).tolist()
    ([0.71, 0.0], [1.41, 0.0])
    >>> outputs.collapse_cosine.round(2).tolist(), outputs.coverage([0.5, 0.5]).tolist()
    ([0.71, 1.0], [0.5, 0.0])
    """

    projections_V: Annotated[FloatArray, "(..., m_G, 2)"]
    gram_V: Annotated[FloatArray, "(..., m_G, m_G)"]
    gamma: Annotated[float, "[0, 1)"]
    latents: Annotated[FloatArray, "(S, m_G)"]
    differences_V: Annotated[FloatArray, "(..., m_G)"] | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    @cached_property
    def projections(self) -> FloatArray:
        """<G(z), u_l>, shape (..., S, 2)."""
        return self.latents @ self.projections_V

    @cached_property
    def differences(self) -> FloatArray:
        """<G(z), u_1 - u_2>, shape (..., S)."""
        if self.differences_V is None:
            difference: FloatArray = self.projections[..., 0] - self.projections[..., 1]
            return difference
        return _by_row(self.differences_V, self.latents.T)

    @cached_property
    def squared_norms(self) -> FloatArray:
        """norm(G(z))^2, a linear function of the Gram matrix."""
        z, gram = self.latents, self.gram_V
        require_memory(
            24.0 * z.size * z.shape[1],
            f"every pair of m_G={z.shape[1]} neurons",
            "use a smaller m_G",
        )
        pairs = (z[:, :, None] * z[:, None, :]).reshape(len(z), -1)
        with np.errstate(over="ignore", invalid="ignore"):  # of a replica that diverged
            return np.maximum(_by_row(gram.reshape(*gram.shape[:-2], -1), pairs.T), 0.0)

    @cached_property
    def _sums(self) -> FloatArray:
        """<G(z), u_1 + u_2>."""
        p = self.projections  # NumPy's sum over two takes thirty times as long
        return p[..., 0] + p[..., 1]

    @cached_property
    def alpha(self) -> FloatArray:
        """Coefficient of u_1 + u_2."""
        return self._sums / self._squared_norm_of_sum

    @cached_property
    def residual_norms(self) -> FloatArray:
        """norm(xi(z)).

        A difference of squares, and 0 below 1e-7 norm(G(z)), where nothing of it is left.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # of a replica that diverged
            collapsed = self.alpha**2 * self._squared_norm_of_sum
            difference = self.squared_norms - collapsed
            return np.sqrt(np.where(difference <= 1e-14 * self.squared_norms, 0.0, difference))

    @property
    def asymmetry(self) -> FloatArray:
        """max_l abs(<xi, u_l>) / norm(xi) = abs(<G, u_1 - u_2>) / (2 norm(xi))."""
        return _ratio(np.abs(self.differences), 2 * self.residual_norms)

    @property
    def residual(self) -> FloatArray:
        """norm(xi) / abs(alpha)."""
        alpha = np.abs(self.alpha)
        infinite = (alpha == 0) & (self.residual_norms > 0)
        return np.where(infinite, np.inf, _ratio(self.residual_norms, alpha))

    @property
    def collapse_cosine(self) -> FloatArray:
        """Cosine between G(z) and u_1 + u_2."""
        norm = math.sqrt(self._squared_norm_of_sum)
        return _ratio(self._sums, np.sqrt(self.squared_norms) * norm)

    def mean_collapse_cosine(self, probabilities: ArrayLike) -> FloatArray:
        """E_z of the collapse cosine over z != 0, since G(0) = 0 has no direction; shape (...).

        Parameters
        ----------
        probabilities : array_like, shape (S,)
            Of the latents.

        Examples
        --------
        >>> import numpy as np, twomode as tm
        >>> latents = np.array([[0], [1]])
        >>> outputs = tm.Outputs(np.array([[1.0, 1.0]]), np.array([[2.0]]), 0.0, latents)
        >>> round(float(outputs.mean_collapse_cosine([0.75, 0.25])), 12)
        1.0
        """
        p, on = np.asarray(probabilities, dtype=float), self.latents.any(axis=-1)
        share = p[on].sum() / p.sum()
        mean: FloatArray = _by_row(self.collapse_cosine, p) / (share or 1.0)  # z = 0 adds 0
        return mean

    @cached_property
    def cosines(self) -> FloatArray:
        """Cosines between G(z) and u_1, u_2, shape (..., S, 2)."""
        return _ratio(self.projections, np.sqrt(self.squared_norms)[..., None])

    @checked
    def coverage(
        self,
        probabilities: Annotated[ArrayLike, "(S)"],
        delta: Annotated[float, "(0, 1e100]"] = COVERAGE_DELTA,
    ) -> FloatArray:
        """P_l(delta) = Pr_z(norm(G(z)/norm(G(z)) - u_l) <= delta), shape (..., 2).

        The distance of two unit vectors is at most delta when their cosine is at least
        1 - delta^2 / 2.

        Parameters
        ----------
        probabilities : array_like, shape (S,)
            Of the latents.
        delta : float
            The o(1) of Theorem 4.2; sqrt(0.2), a cosine of 0.9, by default.

        Examples
        --------
        With gamma = 0.7 the default delta takes the average of the modes for both of them.

        >>> import numpy as np, twomode as tm
        >>> outputs = tm.Outputs(np.array([[1.7, 1.7]]), np.array([[3.4]]), 0.7, np.eye(1))
        >>> outputs.coverage([1.0]).tolist(), outputs.coverage([1.0], delta=0.1).tolist()
        ([1.0, 1.0], [0.0, 0.0])
        """
        S = len(self.latents)
        require(np.size(probabilities) == S, f"probabilities must be those of the {S} latents")
        near = self.cosines >= 1 - delta**2 / 2
        return np.einsum("...sl,s->...l", near.astype(float), np.asarray(probabilities))

    @property
    def _squared_norm_of_sum(self) -> float:
        return 2 + 2 * self.gamma


class EveryOutput(Outputs):
    """The generator's outputs at every nonzero z in {0,1}^m_G, in the order of `all_latents`.

    The same quantities as `Outputs`, by doubling: the latents below 2^(k+1) are those below 2^k,
    without and with v_k, so each costs a few additions instead of m_G^2 products.

    Parameters
    ----------
    projections_V, gram_V, gamma, differences_V
        As for `Outputs`.

    Raises
    ------
    InputError
        If m_G > 20.

    Examples
    --------
    v_1 = u_1 and v_2 = u_2: each alone is a mode, both together are their sum.

    >>> import numpy as np
    >>> from twomode.game import EveryOutput
    >>> EveryOutput(np.eye(2), np.eye(2), gamma=0.0).asymmetry.round(2).tolist()
    [0.71, 0.71, 0.0]
    """

    @checked
    def __init__(
        self,
        projections_V: Annotated[FloatArray, "(..., m_G, 2)"],
        gram_V: Annotated[FloatArray, "(..., m_G, m_G)"],
        gamma: Annotated[float, "[0, 1)"],
        differences_V: Annotated[FloatArray, "(..., m_G)"] | None = None,
    ) -> None:
        _require_few(projections_V.shape[-2])
        for name, value in (
            ("projections_V", projections_V),
            ("gram_V", gram_V),
            ("gamma", gamma),
            ("differences_V", differences_V),
        ):
            object.__setattr__(self, name, value)

    @cached_property
    def latents(self) -> FloatArray:  # made on demand: nothing here needs it
        """The z, shape (2^m_G - 1, m_G)."""
        return all_latents(self.projections_V.shape[-2])

    @cached_property
    def projections(self) -> FloatArray:
        """<G(z), u_l>, shape (..., S, 2)."""
        p = self.projections_V
        return np.stack([_subset_sums(p[..., mode])[..., 1:] for mode in (0, 1)], axis=-1)

    @cached_property
    def differences(self) -> FloatArray:
        """<G(z), u_1 - u_2>, shape (..., S)."""
        if self.differences_V is None:
            return super().differences
        return _subset_sums(self.differences_V)[..., 1:]

    @cached_property
    def squared_norms(self) -> FloatArray:
        """norm(G(z))^2."""
        gram, added = self.gram_V, []
        with np.errstate(over="ignore", invalid="ignore"):  # of a replica that diverged
            for k in range(gram.shape[-1]):
                added.append(2 * _subset_sums(gram[..., k, :k]) + gram[..., k, k, None])
            return np.maximum(_doubled(added)[..., 1:], 0.0)


def _require_few(m_G: int) -> None:
    require(
        m_G <= LARGEST_CHECKED,
        f"m_G={m_G} is too large to check all 2^m_G latents: use m_G <= {LARGEST_CHECKED}",
    )


def _subset_sums(values: FloatArray) -> FloatArray:
    """Sums over every subset of the last axis, shape (..., 2^n); subset s has the digits of s."""
    return _doubled([values[..., k, None] for k in range(values.shape[-1])])


def _doubled(added: list[FloatArray]) -> FloatArray:
    """From 0 on, each time the sums so far without and with what is added, one or one for each."""
    lead = added[0].shape[:-1] if added else ()
    sums = np.zeros((*lead, 2 ** len(added)))
    for k, more in enumerate(added):
        np.add(sums[..., : 2**k], more, out=sums[..., 2**k : 2 ** (k + 1)])
    return sums


def _by_row(x: FloatArray, y: FloatArray) -> FloatArray:
    """x @ y, in which a row of two axes does not depend on the others.

    BLAS rounds a row of a matrix according to how many there are; further axes are looped over.
    """
    product: FloatArray = (x[:, None] @ y)[:, 0] if x.ndim == 2 else x @ y
    return product


def _ratio(x: FloatArray, y: FloatArray) -> FloatArray:
    """x / y, and 0 where y is 0."""
    return np.divide(x, y, out=np.zeros(np.broadcast_shapes(x.shape, y.shape)), where=y != 0)
