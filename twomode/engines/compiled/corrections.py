"""From gradients to corrected ones, by products with the game's Jacobian; see `twomode.rules`.

F is the gradient in the players' improving directions, -xi, and K its derivative.  With
Sigma = diag(-1, 1) of (D, G),

    J^T xi = Sigma K Sigma F,    J xi = K F,    A^T xi = (J^T xi - J xi) / 2,

and so A^T xi has of K (-F_D, 0) what it does to G, and of K (0, F_G), negated, what it does to D.
"""

from __future__ import annotations

import numpy as np

from twomode.engines.compiled.lanes import (
    Lanes,
    clamp,
    divide_or_zero,
    fill,
    larger,
    load,
    square_root,
    store,
    transposed,
    within,
)
from twomode.engines.compiled.parts import part
from twomode.engines.compiled.products import clear, multiply
from twomode.engines.compiled.records import Correction, GameCode, Neurons, RuleCode, Work
from twomode.rules import ALIGNMENT, CORRECTIONS

SGA, HAMILTONIAN = CORRECTIONS.index("sga"), CORRECTIONS.index("hamiltonian")


@part
def shares(rule: RuleCode, product: int) -> tuple[float, float]:
    """Of F_D and F_G in the vector that K is multiplied by: both, or for sga one at a time."""
    if rule.correction != SGA:
        return -1.0, 1.0
    return (-1.0, 0.0) if product == 0 else (0.0, 1.0)


@part(_nrt=True)  # without, Numba lets no function return an array
def places(
    correction: Correction, share_D: float, share_G: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where what K makes of these shares goes, of W, b and V."""
    W, b, V = correction.product_W, correction.product_b, correction.product_V
    if share_G == 0.0:
        W, b = correction.own_W, correction.own_b
    if share_D == 0.0:
        V = correction.own_V
    return W, b, V


@part
def raise_peak(norms: np.ndarray, pace: np.ndarray) -> None:
    """Raise ``pace[0, 1]`` to the norm of the gradient."""
    total = fill(norms, 0.0)
    for i in range(norms.shape[0]):
        total += load(norms, i, 2)
    store(pace, 0, 1, larger(load(pace, 0, 1), square_root(total)))


@part
def project_derivative(
    share_D: float,
    share_G: float,
    D: Neurons,
    G: Neurons,
    U: np.ndarray,
    dy: np.ndarray,
    dh: np.ndarray,
) -> None:
    """Derivatives of `project` along (share_D F_D, share_G F_G)."""
    multiply(U, D.G[:, : U.shape[1]], share_D, False, dy)
    if share_D != 0.0:
        multiply(G.X, D.G, share_D, False, dh)
    if share_G != 0.0:
        multiply(G.G, D.X, share_G, share_D != 0.0, dh)


@part
def coefficient_derivatives(
    game: GameCode,
    points: np.ndarray,
    at: np.ndarray,
    sign: float,
    h: np.ndarray,
    dh: np.ndarray,
    db: Lanes,
    slopes: np.ndarray,
    out: np.ndarray,
    wrong_sum: np.ndarray,
) -> None:
    """Derivatives of what `coefficients` returns along dh and db.  See `Game.hessian_product`."""
    clip, three_a, zero = fill(h, game.clip), fill(h, 3.0 * game.a), fill(h, 0.0)
    lam, minus = fill(h, game.lam), fill(h, -sign)
    total = zero
    clear(out)
    for s in range(points.shape[0]):
        d_cubes = zero
        first, second = points[s, 0], points[s, 1]
        for i in range(game.m_D):
            x, dx = load(h, first, i) + load(h, second, i), load(dh, first, i) + load(dh, second, i)
            for n in range(2, points.shape[1]):
                x += load(h, points[s, n], i)
                dx += load(dh, points[s, n], i)
            c = clamp(x, clip)
            store(slopes, 0, i, c * c)
            store(slopes, 1, i, within(x, clip, c + c) * dx)
            d_cubes += c * c * dx
        wrong, right = load(at, 0, 2 * s), load(at, 0, 2 * s + 1)
        d_logit = three_a * d_cubes + lam * db
        d_wrong = minus * wrong * right * d_logit
        total += d_wrong
        wrong *= three_a
        d_wrong *= three_a
        for i in range(game.m_D):
            share = d_wrong * load(slopes, 0, i) + wrong * load(slopes, 1, i)
            store(out, first, i, load(out, first, i) + share)
            store(out, second, i, load(out, second, i) + share)
            for n in range(2, points.shape[1]):
                store(out, points[s, n], i, load(out, points[s, n], i) + share)
    store(wrong_sum, 0, 0, total)


@part
def answer_derivative(
    game: GameCode,
    share_D: float,
    bias: Neurons,
    work: Work,
    correction: Correction,
    product: np.ndarray,
) -> None:
    """Derivatives of `answer`, with that of b's gradient, along what `project_derivative` took."""
    db, slopes = fill(bias.X, share_D) * load(bias.G, 0, 0), correction.slopes
    dy, dh, dA, dC = correction.dy, correction.dh, correction.dA, correction.dC
    coefficient_derivatives(
        game, game.data, work.at_data, 1.0, work.y, dy, db, slopes, dA, work.right
    )
    coefficient_derivatives(
        game, game.latents, work.at_latents, -1.0, work.h, dh, db, slopes, dC, work.wrong
    )
    surplus = load(work.right, 0, 0) - load(work.wrong, 0, 0)
    store(product, 0, 0, fill(product, game.lam) * surplus)


@part
def discriminator_product(
    share_G: float,
    C: np.ndarray,
    dA: np.ndarray,
    dC: np.ndarray,
    G: Neurons,
    U: np.ndarray,
    product: np.ndarray,
) -> None:
    """dA X - dC V - C dV with dV = share_G F_G."""
    multiply(transposed(dC), transposed(G.X), -1.0, False, product)
    if share_G != 0.0:
        multiply(transposed(C), transposed(G.G), -share_G, True, product)
    multiply(transposed(dA), transposed(U), 1.0, True, product[:, : U.shape[1]])


@part
def generator_product(
    share_D: float, C: np.ndarray, dC: np.ndarray, D: Neurons, product: np.ndarray
) -> None:
    """dC^T W + C^T dW with dW = share_D F_D."""
    multiply(dC, transposed(D.X), 1.0, False, product)
    if share_D != 0.0:
        multiply(C, transposed(D.G), share_D, True, product)


@part
def add_alignment(
    rows: int, sign: float, F: np.ndarray, own: np.ndarray, other: np.ndarray, dots: np.ndarray
) -> None:
    """Add a layer's share of <xi, grad H> and <A^T xi, grad H>; `sign` is 1 for D and -1 for G.

    `own` and `other` are what K makes of the player's own share of F and of the other's.
    """
    first, second, signs = load(dots, 0, 0), load(dots, 0, 1), fill(dots, sign)
    for i in range(rows):
        for k in range(F.shape[1]):
            both = load(own, i, k) + load(other, i, k)
            first += signs * load(F, i, k) * both
            second += load(other, i, k) * both
    store(dots, 0, 0, first)
    store(dots, 0, 1, second)


@part
def correction_weight(rule: RuleCode, dots: np.ndarray) -> Lanes:
    """lambda of sga, with its sign, gamma of consensus, or 1."""
    weight = fill(dots, 1.0 if rule.correction == HAMILTONIAN else rule.correction_weight)
    if rule.correction == SGA and rule.aligned:
        alignment = load(dots, 0, 0) * load(dots, 0, 1) / fill(dots, rule.parameters)
        alignment += fill(dots, ALIGNMENT)
        weight *= divide_or_zero(alignment, square_root(alignment * alignment))
    return weight


@part
def correct(
    rows: int, rule: RuleCode, sign: float, weight: Lanes, F: np.ndarray, product: np.ndarray
) -> None:
    """Replace the gradient F by the corrected one; `sign` is 1 for D and -1 for G.

    See `twomode.rules.corrected`.
    """
    weight = fill(F, sign) * weight
    for i in range(rows):
        for k in range(F.shape[1]):
            x = weight * load(product, i, k)
            store(F, i, k, x if rule.correction == HAMILTONIAN else load(F, i, k) + x)
