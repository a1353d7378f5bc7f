"""The parts of a step in R^d: passes over the coordinates, and what is done between them.

A pass is a parallel loop over slices of the coordinates.  Each array given to such a loop costs it
time, used or not: where a record holds others as well, its arrays are given one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from twomode.engines.compiled import gradient, moves
from twomode.engines.compiled import records as enc
from twomode.engines.compiled.jit import kernel
from twomode.engines.compiled.lanes import fill, lane_sum, load, store
from twomode.engines.compiled.parts import part
from twomode.engines.compiled.polars import number_factor, put_norms

#: Columns of LANES coordinates in a slice; a multiple of TILE.  A slice's share of the state and
#: of Adam's moments stays in the second-level cache while it is worked on.
SLICE = 48


class Shares(NamedTuple):
    """What each slice adds to sums over coordinates, and the factors of rules without norms."""

    y: np.ndarray
    h: np.ndarray
    norms_D: np.ndarray
    norms_G: np.ndarray
    plain_D: np.ndarray  #: 1 for every row
    plain_G: np.ndarray  #: 1 for every row


class DerivativeShares(NamedTuple):
    """What each slice adds to the sums of a correction."""

    dy: np.ndarray
    dh: np.ndarray
    dots: np.ndarray


@part(_nrt=True)  # without, Numba lets no function return an array
def sliced(array: np.ndarray, place: int) -> np.ndarray:
    """The columns of a slice."""
    first = place * SLICE
    return array[:, first : min(first + SLICE, array.shape[1])]


@part
def neurons_slice(neurons: enc.Neurons, replica: int, place: int, whole: bool) -> enc.Neurons:
    """A slice of a player; its directions lie there if kept `whole`, else with the thread."""
    X = sliced(neurons.X[replica], place)
    if whole:
        G = sliced(neurons.G[replica], place)
    else:
        G = neurons.G[numba.get_thread_id()][:, : X.shape[1]]
    return enc.Neurons(
        X=X,
        G=G,
        M=sliced(neurons.M[replica], place),
        S=sliced(neurons.S[replica], place),
        past=sliced(neurons.past[replica], place),
        base=sliced(neurons.base[replica], place),
        start=sliced(neurons.start[replica], place),
    )


@part
def keeps_directions(rule: enc.RuleCode) -> bool:
    """Whether directions of all coordinates are needed again after the pass that takes them."""
    return rule.uses_norms or rule.correction != moves.NONE


@part
def add_shares(shares: np.ndarray, total: np.ndarray) -> None:
    """total = sum of `shares` over slices and lanes, the same in every lane."""
    for i in range(shares.shape[1]):
        for j in range(shares.shape[2]):
            x = fill(total, 0.0)
            for share in range(len(shares)):
                x += load(shares[share], i, j)
            store(total, i, j, lane_sum(x))


@part(forceinline=False)
def gather(shares: Shares, work: enc.Work) -> None:
    """The inner products, from their shares."""
    for replica in range(len(work.y)):
        add_shares(shares.y[replica], work.y[replica])
        add_shares(shares.h[replica], work.h[replica])


@kernel(parallel=True)
def project(W: np.ndarray, V: np.ndarray, U: np.ndarray, shares: Shares, work: enc.Work) -> None:
    """The inner products from scratch; during a run `move` takes their shares."""
    y, h = shares.y, shares.h
    replicas, slices = y.shape[:2]
    for task in numba.prange(replicas * slices):
        replica, place = task // slices, task % slices
        gradient.project(
            sliced(W[replica], place),
            sliced(V[replica], place),
            sliced(U[replica], place),
            y[replica, place],
            h[replica, place],
        )
    gather(shares, work)


@part(forceinline=False)
def answer(
    n: int,
    game: enc.GameCode,
    weights: enc.Weights,
    bias: enc.Neurons,
    work: enc.Work,
) -> None:
    """From the inner products to the coefficients of the gradients, in step n of this call."""
    for replica in range(len(work.y)):
        own_bias, own_work = enc.neurons_at(bias, replica), enc.work_at(work, replica)
        gradient.answer(
            game, enc.weights_at(enc.weights_at(weights, replica), n), own_bias, own_work
        )


@part(forceinline=False, parallel=True)
def direct(
    stage: enc.StageCode,
    rule: enc.RuleCode,
    update: int,
    t: int,
    D: enc.Neurons,
    G: enc.Neurons,
    U: np.ndarray,
    A: np.ndarray,
    C: np.ndarray,
    shares: Shares,
) -> None:
    """Pass: gradients, unless corrected ones stand there already, and the rule's directions.

    If the rule needs no norms, the move and the shares of the next inner products as well.
    """
    replicas, slices, m_D = shares.norms_D.shape[:3]
    m_G, whole = shares.norms_G.shape[2], keeps_directions(rule)
    for task in numba.prange(replicas * slices):
        replica, place = task // slices, task % slices
        D_slice = neurons_slice(D, replica, place, whole)
        G_slice = neurons_slice(G, replica, place, whole)
        U_slice = sliced(U[replica], place)
        W, V = D_slice.X, G_slice.X
        if stage.D:
            if rule.correction == moves.NONE:
                gradient.discriminator_gradient(A[replica], C[replica], V, U_slice, D_slice.G)
            if rule.recalls:
                moves.recall(m_D, rule, update, D_slice)
            moves.direct(m_D, rule, update, D_slice, shares.norms_D[replica, place])
        if stage.G:
            if rule.correction == moves.NONE:
                gradient.generator_gradient(C[replica], W, G_slice.G)
            if rule.recalls:
                moves.recall(m_G, rule, update, G_slice)
            moves.direct(m_G, rule, update, G_slice, shares.norms_G[replica, place])
        if not rule.uses_norms:
            moves.move_discriminator(m_D, rule, stage, t, D_slice, shares.plain_D)
            moves.move_generator(m_G, rule, stage, t, G_slice, shares.plain_G)
            gradient.project(W, V, U_slice, shares.y[replica, place], shares.h[replica, place])


@part(forceinline=False)
def scale(
    stage: enc.StageCode,
    rule: enc.RuleCode,
    update: int,
    bias: enc.Neurons,
    work: enc.Work,
    shares: Shares,
    polars: enc.Polars | None,
    pace: np.ndarray,
) -> None:
    """The bias's direction, and the factors that turn directions into steps."""
    for replica in range(len(pace)):
        own_bias, own = enc.neurons_at(bias, replica), enc.work_at(work, replica)
        if stage.D:
            if rule.recalls:
                moves.recall(1, rule, update, own_bias)
            moves.direct(1, rule, update, own_bias, own.norms_D[shares.norms_D.shape[2] :])
            add_shares(shares.norms_D[replica], own.norms_D)
            if polars is not None:
                put_norms(rule, polars.D.numbers[replica], own.norms_D[: shares.norms_D.shape[2]])
                number_factor(rule, own_bias.G, own.norms_D[shares.norms_D.shape[2] :])
            moves.scale_discriminator(rule, own, pace[replica])
        if stage.G:
            add_shares(shares.norms_G[replica], own.norms_G)
            if polars is not None:
                put_norms(rule, polars.G.numbers[replica], own.norms_G)
            moves.scale_generator(rule, own, pace[replica])


@part(forceinline=False)
def move_bias(
    stage: enc.StageCode, rule: enc.RuleCode, t: int, bias: enc.Neurons, factors_D: np.ndarray
) -> None:
    """The bias, which has no coordinates to pass over."""
    for replica in range(len(factors_D)):
        own, factor = enc.neurons_at(bias, replica), factors_D[replica, factors_D.shape[1] - 1 :]
        moves.move_discriminator(1, rule, stage, t, own, factor)


@part(forceinline=False, parallel=True)
def move(
    stage: enc.StageCode,
    rule: enc.RuleCode,
    t: int,
    D: enc.Neurons,
    G: enc.Neurons,
    U: np.ndarray,
    factors_D: np.ndarray,
    factors_G: np.ndarray,
    y: np.ndarray,
    h: np.ndarray,
) -> None:
    """Pass: the move, and shares of the next inner products."""
    replicas, slices, whole = len(y), y.shape[1], keeps_directions(rule)
    m_D, m_G = factors_D.shape[1] - 1, factors_G.shape[1]
    for task in numba.prange(replicas * slices):
        replica, place = task // slices, task % slices
        D_slice = neurons_slice(D, replica, place, whole)
        G_slice = neurons_slice(G, replica, place, whole)
        U_slice = sliced(U[replica], place)
        moves.move_discriminator(m_D, rule, stage, t, D_slice, factors_D[replica])
        moves.move_generator(m_G, rule, stage, t, G_slice, factors_G[replica])
        gradient.project(D_slice.X, G_slice.X, U_slice, y[replica, place], h[replica, place])
