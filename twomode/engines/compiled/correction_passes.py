"""Corrected gradients in R^d: passes over the coordinates, as in `passes`."""

from __future__ import annotations

import numba
import numpy as np

from twomode.engines.compiled import corrections, gradient, moves
from twomode.engines.compiled import records as enc
from twomode.engines.compiled.parts import part
from twomode.engines.compiled.passes import (
    SLICE,
    DerivativeShares,
    Shares,
    add_shares,
    neurons_slice,
    sliced,
)
from twomode.engines.compiled.products import clear


@part(forceinline=False, parallel=True)
def project_field(
    share_D: float,
    share_G: float,
    D: enc.Neurons,
    G: enc.Neurons,
    U: np.ndarray,
    A: np.ndarray,
    C: np.ndarray,
    norms_D: np.ndarray,
    norms_G: np.ndarray,
    dy: np.ndarray,
    dh: np.ndarray,
) -> None:
    """Pass: shares of derivatives along the field; before the first product, the field itself."""
    replicas, slices, m_D = norms_D.shape[:3]
    m_G = norms_G.shape[2]
    for task in numba.prange(replicas * slices):
        replica, place = task // slices, task % slices
        D_slice = neurons_slice(D, replica, place, True)
        G_slice = neurons_slice(G, replica, place, True)
        U_slice = sliced(U[replica], place)
        if share_D != 0.0:
            W, V = D_slice.X, G_slice.X
            gradient.discriminator_gradient(A[replica], C[replica], V, U_slice, D_slice.G)
            gradient.generator_gradient(C[replica], W, G_slice.G)
            moves.gradient_norms(m_D, D_slice.G, norms_D[replica, place])
            moves.gradient_norms(m_G, G_slice.G, norms_G[replica, place])
        own_dy, own_dh = dy[replica, place], dh[replica, place]
        corrections.project_derivative(share_D, share_G, D_slice, G_slice, U_slice, own_dy, own_dh)


@part(forceinline=False)
def raise_peaks(
    stage: enc.StageCode, bias: enc.Neurons, work: enc.Work, shares: Shares, pace: np.ndarray
) -> None:
    """The largest norms of gradients so far."""
    for replica in range(len(pace)):
        norms_D, norms_G = work.norms_D[replica], work.norms_G[replica]
        if stage.D:
            own_bias = enc.neurons_at(bias, replica)
            add_shares(shares.norms_D[replica], norms_D)
            moves.gradient_norms(1, own_bias.G, norms_D[len(norms_D) - 1 :])
            corrections.raise_peak(norms_D, pace[replica, 0:1])
        if stage.G:
            add_shares(shares.norms_G[replica], norms_G)
            corrections.raise_peak(norms_G, pace[replica, 1:2])


@part(forceinline=False)
def answer_along(
    share_D: float,
    game: enc.GameCode,
    bias: enc.Neurons,
    work: enc.Work,
    shares: DerivativeShares,
    correction: enc.Correction,
    product: np.ndarray,
) -> None:
    """From the shares of derivatives to those of the coefficients and the bias's gradient."""
    for replica in range(len(work.y)):
        own_bias, own_work = enc.neurons_at(bias, replica), enc.work_at(work, replica)
        own, b = enc.correction_at(correction, replica), product[replica]
        add_shares(shares.dy[replica], own.dy)
        add_shares(shares.dh[replica], own.dh)
        corrections.answer_derivative(game, share_D, own_bias, own_work, own, b)


@part(forceinline=False, parallel=True)
def multiply_field(
    share_D: float,
    share_G: float,
    D: enc.Neurons,
    G: enc.Neurons,
    U: np.ndarray,
    C: np.ndarray,
    dA: np.ndarray,
    dC: np.ndarray,
    product_W: np.ndarray,
    product_V: np.ndarray,
) -> None:
    """Pass: K's product with the shares of the field, in W and V."""
    replicas, slices = len(U), -(-U.shape[2] // SLICE)
    for task in numba.prange(replicas * slices):
        replica, place = task // slices, task % slices
        D_slice = neurons_slice(D, replica, place, True)
        G_slice = neurons_slice(G, replica, place, True)
        U_slice, own_C, own_dC = sliced(U[replica], place), C[replica], dC[replica]
        W, V = sliced(product_W[replica], place), sliced(product_V[replica], place)
        corrections.discriminator_product(share_G, own_C, dA[replica], own_dC, G_slice, U_slice, W)
        corrections.generator_product(share_D, own_C, own_dC, D_slice, V)


@part(forceinline=False, parallel=True)
def align(
    F_W: np.ndarray,
    F_V: np.ndarray,
    correction: enc.Correction,
    m_D: int,
    m_G: int,
    dots: np.ndarray,
) -> None:
    """Pass: shares of the inner products that choose the sign of sga's weight."""
    replicas, slices = dots.shape[:2]
    for task in numba.prange(replicas * slices):
        replica, place = task // slices, task % slices
        own, share = enc.correction_at(correction, replica), dots[replica, place]
        clear(share)
        W, V = sliced(F_W[replica], place), sliced(F_V[replica], place)
        own_W, product_W = sliced(own.own_W, place), sliced(own.product_W, place)
        own_V, product_V = sliced(own.own_V, place), sliced(own.product_V, place)
        corrections.add_alignment(m_D, 1.0, W, own_W, product_W, share)
        corrections.add_alignment(m_G, -1.0, V, own_V, product_V, share)


@part(forceinline=False, parallel=True)
def combine(
    rule: enc.RuleCode,
    F_W: np.ndarray,
    F_V: np.ndarray,
    correction: enc.Correction,
    m_D: int,
    m_G: int,
) -> None:
    """Pass: the corrected gradients of W and V."""
    replicas, slices = len(F_W), -(-F_W.shape[2] // SLICE)
    for task in numba.prange(replicas * slices):
        replica, place = task // slices, task % slices
        own = enc.correction_at(correction, replica)
        weight = corrections.correction_weight(rule, own.dots)
        W, V = sliced(F_W[replica], place), sliced(F_V[replica], place)
        corrections.correct(m_D, rule, 1.0, weight, W, sliced(own.product_W, place))
        corrections.correct(m_G, rule, -1.0, weight, V, sliced(own.product_V, place))


@part(forceinline=False)
def correct(
    stage: enc.StageCode,
    game: enc.GameCode,
    rule: enc.RuleCode,
    players: enc.Players,
    work: enc.Work,
    shares: Shares,
    correction: enc.Correction,
    derivative_shares: DerivativeShares,
    pace: np.ndarray,
) -> None:
    """Leave the corrected gradients of both players."""
    D, G, bias, U = players
    m_D, m_G, sga = game.m_D, game.m_G, rule.correction == corrections.SGA
    A, C, norms_D, norms_G = work.A, work.C, shares.norms_D, shares.norms_G
    dy, dh, dots = derivative_shares.dy, derivative_shares.dh, derivative_shares.dots
    for product in range(2 if sga else 1):
        share_D, share_G = corrections.shares(rule, product)
        W, b, V = corrections.places(correction, share_D, share_G)
        project_field(share_D, share_G, D, G, U, A, C, norms_D, norms_G, dy, dh)
        if product == 0:
            raise_peaks(stage, bias, work, shares, pace)
        answer_along(share_D, game, bias, work, derivative_shares, correction, b)
        multiply_field(share_D, share_G, D, G, U, C, correction.dA, correction.dC, W, V)
    if sga:
        align(D.G, G.G, correction, m_D, m_G, dots)
    for replica in range(len(U)):
        own = enc.correction_at(correction, replica)
        if sga:
            add_shares(dots[replica], own.dots)
            corrections.add_alignment(1, 1.0, bias.G[replica], own.own_b, own.product_b, own.dots)
        weight = corrections.correction_weight(rule, own.dots)
        corrections.correct(1, rule, 1.0, weight, bias.G[replica], own.product_b)
    combine(rule, D.G, G.G, correction, m_D, m_G)
