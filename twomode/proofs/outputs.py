"""What holds of a generator's outputs for every latent, proved with balls.

Everything follows, as in `twomode.game.Outputs`, from the projections <v_j, u_l> and the Gram
matrix: with s = u_1 + u_2, G = G(z), xi = G - <G, s> s / norm(s)^2,

    norm(xi)^2 = z^T N z,  N = V V^T - V s (V s)^T / (2 + 2 gamma),  <xi, u_l> = +-<G, u_1 - u_2>/2.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from twomode._typing import BoolArray, FloatArray, IntArray
from twomode.game import LARGEST_CHECKED, Game, State, all_latents
from twomode.proofs.balls import Ball, Balls, Between, Undecided, ball, bounds, hulls, total
from twomode.proofs.instances import exact_law

__all__ = ["LargestAsymmetry", "Rows", "coverage", "largest_residual", "latents_of"]

#: Cosine of two directions at distance sqrt(1/5), the delta of the coverage.
NEAR = Fraction(9, 10)
#: Rounding of a sum of n floats is less than n times this of the sum of their sizes.
_ROUNDING = 2.0**-51


def latents_of(game: Game) -> FloatArray:
    """Every nonzero z in {0,1}^m_G; those of the law's support if m_G > 20."""
    if game.m_G <= LARGEST_CHECKED:
        return all_latents(game.m_G)
    support = game.latent_points[0]
    return support[support.any(axis=1)]


class Rows:
    """What there is to know of v_j, as balls: projections, their sums and differences, N."""

    def __init__(self, game: Game, state: State) -> None:
        V, U, xp = state.V[0], state.U[0], state.xp
        projections, gram = xp.matmul(V, U.mT), xp.matmul(V, V.mT)
        self.square = 2 + 2 * ball(game.gamma)
        sums = projections[:, 0] + projections[:, 1]
        differences = projections[:, 0] - projections[:, 1]
        N = gram - sums[:, None] * sums[None, :] / self.square
        self.projections, self.gram, self.N = hulls(projections), hulls(gram), hulls(N)
        self.sums, self.differences = hulls(sums), hulls(differences)

    def squared_asymmetry(self, on: IntArray) -> Ball:
        """max_l <xi, u_l>^2 / norm(xi)^2 for the z with these coordinates on; 0 where xi is 0."""
        difference = total(self.differences[on])
        if difference == 0:
            return ball(0)
        return difference**2 / (4 * total(self.N[np.ix_(on, on)]))


class LargestAsymmetry:
    """The largest asymmetry over all z and all iterations looked at so far, between two bounds.

    Floats exclude most z, with a bound of their errors; balls are asked about the rest.
    """

    def __init__(self, game: Game) -> None:
        self._game, self._z = game, latents_of(game)
        self.between, self.where = Between(0.0, 0.0), (0, 0)
        self.asked = 0  #: how often balls were

    def look(self, t: int, rows: Rows) -> None:
        """Take iteration t into account."""
        for s in np.flatnonzero(~self._certainly_smaller(rows)):
            self.asked += 1
            low, high = bounds(rows.squared_asymmetry(np.flatnonzero(self._z[s])))
            if np.isnan(high) or high == np.inf:
                raise Undecided(f"xi(z) may be 0 at z = {_digits(self._z[s])}")
            low, high = _roots(low, high)
            if low > self.between.low:
                self.where = t, int(s)
            self.between = Between(max(low, self.between.low), max(high, self.between.high))

    def _certainly_smaller(self, rows: Rows) -> BoolArray:
        """For which z floats prove that the asymmetry is not above the present upper bound."""
        z, m = self._z, self._z.shape[1]
        N, N_error = _floats(rows.N)
        delta, delta_error = _floats(rows.differences)
        with np.errstate(all="ignore"):  # what is no number excludes nothing
            squares = ((z @ N) * z).sum(axis=1)
            least = 4 * (squares - N_error - _ROUNDING * 4 * m**2 * abs(N).sum())
            largest = abs(z @ delta) + delta_error + _ROUNDING * 2 * m * abs(delta).sum()
            bound = self.between.high**2 * (1 - 2.0**-40)
            smaller: BoolArray = largest**2 <= bound * least
            return smaller & (least > 1e-290) & (largest > 1e-140)  # no square underflows

    @property
    def z(self) -> str:
        """The z at which the lower bound was found, as digits z_1 z_2 ..."""
        return _digits(self._z[self.where[1]])


def largest_residual(game: Game, rows: Rows) -> Between:
    """max over z of norm(xi)/alpha; raises `Undecided` unless every alpha is proved positive."""
    low = high = 0.0
    for z in latents_of(game):
        on = np.flatnonzero(z)
        along, square = total(rows.sums[on]), total(rows.N[np.ix_(on, on)])
        if not along > 0:
            if along <= 0:  # along -(u_1 + u_2) is no collapse to the average
                return Between(np.inf, np.inf)
            raise Undecided(f"alpha(z) may be 0 at z = {_digits(z)}")
        found = _roots(*bounds(square * rows.square**2 / along**2))
        low, high = max(low, found[0]), float(np.maximum(high, found[1]))
    return Between(low, high)


def coverage(game: Game, rows: Rows) -> tuple[tuple[Fraction, Fraction], ...]:
    """Bounds of Pr_z(cos(G(z), u_l) >= 9/10) for l = 1, 2, each a sum of exact probabilities."""
    support, probabilities = exact_law(game.latent_points)
    found = [[Fraction(0), Fraction(0)] for _ in (1, 2)]
    for z, p in zip(support, probabilities, strict=True):
        on = np.flatnonzero(z)
        square = total(rows.gram[np.ix_(on, on)])
        for mode in (0, 1):
            along = total(rows.projections[on, mode])
            beyond = along**2 - ball(NEAR**2) * square
            near = bool(along > 0 and beyond >= 0)
            far = bool(along <= 0 or beyond < 0)
            found[mode][0] += p * near
            found[mode][1] += p * (not far)
    return tuple((low, high) for low, high in found)


def _floats(x: Balls) -> tuple[FloatArray, float]:
    """Midpoints, and a bound of what all are off together: the radii, and half of last digits."""
    middle = np.asarray(x.astype(float))
    radii = bounds(sum(y.rad() for y in x.flat)).high
    return middle, radii + _ROUNDING * float(abs(middle).sum()) + x.size * 1e-300


def _roots(low: float, high: float) -> tuple[float, float]:
    """Bounds of the root of what is between low and high."""
    down, up = np.sqrt(max(low, 0.0)) * (1 - 2.0**-50), np.sqrt(high) * (1 + 2.0**-50)
    return float(down), float(up)


def _digits(z: FloatArray) -> str:
    return "".join(str(int(x)) for x in z)
