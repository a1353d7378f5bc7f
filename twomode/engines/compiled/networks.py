"""Networks of at most one hidden layer, eight points in the lanes: losses, gradients, sign steps.

The formulas are those of `twomode.adversarial.Model`.  What a block of points needs stands in the
rows of one small array, which stays in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numba
import numpy as np
from numpy.typing import DTypeLike

from twomode._typing import FloatArray, IntArray
from twomode.engines.compiled.blocks import each_block
from twomode.engines.compiled.jit import kernel
from twomode.engines.compiled.lanes import (
    LANES,
    Lanes,
    both_sigmoids,
    exp_of_minus_abs,
    fill,
    lane_of,
    lane_zeros,
    larger,
    load,
    log_sigmoid,
    store,
    where_equal,
    where_less,
)
from twomode.engines.compiled.parts import part

__all__ = ["Network", "climb", "loss_and_gradient"]

#: Steps of a point below which another thread costs more than it saves.
WORTH_A_THREAD = 20_000
#: Sums that are added up together: a multiply-add takes four cycles, and begins at each.
TILE = 8
Sums: TypeAlias = tuple[Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes]
#: Rows of the work array.
ROWS = 8
X, G, HIDDEN, SLOPES, SCORES, LABEL, LOW, HIGH = range(ROWS)


class Network(NamedTuple):
    """A model's arrays as kernels take them, and which of its formulas are meant."""

    A: np.ndarray  #: shape (k, d) or (k, hidden)
    c: np.ndarray  #: shape (k,)
    B: np.ndarray  #: shape (hidden, d), or (0, 0) without a hidden layer
    b: np.ndarray  #: shape (hidden,), or (0,)
    softplus: bool  #: or tanh
    linear: bool  #: or logistic, if k is 1; else softmax

    @classmethod
    def of(
        cls,
        A: FloatArray,
        c: FloatArray,
        B: FloatArray | None,
        b: FloatArray | None,
        *,
        softplus: bool,
        linear: bool,
    ) -> Network:
        """Of a model's arrays, however they lie in memory."""
        if B is None or b is None:
            B, b = np.empty((0, 0)), np.empty(0)
        return cls(_whole(A), _whole(c), _whole(B), _whole(b), softplus, linear)


def _whole(x: np.ndarray, dtype: DTypeLike = np.float64) -> np.ndarray:
    """The array in the one type and order that the kernels are compiled for, copied if it must."""
    x = np.ascontiguousarray(x, dtype)
    return x if x.flags.writeable else x.copy()


def loss_and_gradient(
    net: Network, x: FloatArray, y: IntArray, losses: FloatArray, gradients: FloatArray
) -> None:
    """The loss of each point, and its gradient in the point.

    Parameters
    ----------
    net : Network
    x : ndarray, shape (n, d)
    y : ndarray of int, shape (n,)
        The loss of a label that softmax has no score for is NaN.
    losses : ndarray, shape (n,)
    gradients : ndarray, shape (n, d) or (n, 0)
        Both in row-major order.  Written to.
    """
    x, y = _whole(x), _whole(y, np.int64)

    def take(rows: slice) -> None:
        _loss_and_gradient(net, x[rows], y[rows], losses[rows], gradients[rows], _work(net, x))

    _divided(take, len(x), 1)


def climb(
    net: Network,
    x: FloatArray,
    y: IntArray,
    low: FloatArray,
    high: FloatArray,
    size: float,
    steps: int,
) -> None:
    """Move points by steps of `size` times the sign of the loss's gradient, clipped to boxes.

    Parameters
    ----------
    net, y
        See `loss_and_gradient`.
    x : ndarray, shape (n, d)
        In row-major order.  Written to.
    low, high : ndarray, shape (n, d)
        Faces of the boxes.
    size : float
    steps : int
    """
    y, low, high = _whole(y, np.int64), _whole(low), _whole(high)

    def take(rows: slice) -> None:
        _climb(net, x[rows], y[rows], low[rows], high[rows], size, steps, _work(net, x))

    _divided(take, len(x), steps)


def _work(net: Network, x: FloatArray) -> np.ndarray:
    return lane_zeros((ROWS, max(x.shape[1], *net.A.shape)))


def _divided(take: Callable[[slice], None], points: int, steps: int) -> None:
    """All points, as many to each thread, or where they are few at once."""
    parts = min(numba.get_num_threads(), 1 + points * steps // WORTH_A_THREAD)
    each = -(-points // parts)
    each_block(lambda n: take(slice(n * each, (n + 1) * each)), parts, points * steps)


@kernel(nogil=True)
def _loss_and_gradient(
    net: Network,
    x: np.ndarray,
    y: np.ndarray,
    losses: np.ndarray,
    gradients: np.ndarray,
    work: np.ndarray,
) -> None:
    for first in range(0, len(x), LANES):
        _gather(x, first, work, X)
        _labels(y, first, work)
        _forward(net, work)
        _compare(net, work, losses, first)
        if gradients.shape[1] > 0:
            _backward(net, work)
            _scatter(work, G, gradients, first)


@kernel(nogil=True)
def _climb(
    net: Network,
    x: np.ndarray,
    y: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    size: float,
    steps: int,
    work: np.ndarray,
) -> None:
    zero, one, far = fill(work, 0.0), fill(work, 1.0), fill(work, size)
    unseen = x[0, :0]
    for first in range(0, len(x), LANES):
        _gather(x, first, work, X)
        _gather(low, first, work, LOW)
        _gather(high, first, work, HIGH)
        _labels(y, first, work)
        for _ in range(steps):
            _forward(net, work)
            _compare(net, work, unseen, 0)
            _backward(net, work)
            for k in range(x.shape[1]):
                slope = load(work, G, k)
                sign = where_less(zero, slope, one, where_less(slope, zero, -one, slope))
                there = load(work, X, k) + far * sign
                low_k, high_k = load(work, LOW, k), load(work, HIGH, k)
                there = where_less(high_k, there, high_k, there)
                store(work, X, k, where_less(there, low_k, low_k, there))
        _scatter(work, X, x, first)


@part
def _gather(points: np.ndarray, first: int, work: np.ndarray, row: int) -> None:
    """Points from `first` on, one to a lane; the last one again where there are no more."""
    for lane in range(LANES):
        n = min(first + lane, len(points) - 1)
        for k in range(points.shape[1]):
            work[row, k, lane] = points[n, k]


@part
def _labels(y: np.ndarray, first: int, work: np.ndarray) -> None:
    for lane in range(LANES):
        work[LABEL, 0, lane] = y[min(first + lane, len(y) - 1)]


@part
def _scatter(work: np.ndarray, row: int, points: np.ndarray, first: int) -> None:
    for lane in range(min(LANES, len(points) - first)):
        for k in range(points.shape[1]):
            points[first + lane, k] = work[row, k, lane]


@part
def _forward(net: Network, work: np.ndarray) -> None:
    """From the points to the scores."""
    if len(net.b) == 0:
        _weigh(net.A, False, work, X, SCORES)
    else:
        _weigh(net.B, False, work, X, HIDDEN)
        for j in range(len(net.b)):
            _activate(net.softplus, load(work, HIDDEN, j) + fill(work, net.b[j]), work, j)
        _weigh(net.A, False, work, HIDDEN, SCORES)
    for n in range(len(net.c)):
        store(work, SCORES, n, load(work, SCORES, n) + fill(work, net.c[n]))


@part
def _activate(softplus: bool, z: Lanes, work: np.ndarray, j: int) -> None:
    one, zero = fill(z, 1.0), fill(z, 0.0)
    if softplus:
        store(work, HIDDEN, j, -log_sigmoid(-z))
        store(work, SLOPES, j, both_sigmoids(z)[0])
    else:
        e = exp_of_minus_abs(z + z)
        size = (one - e) / (one + e)
        tanh = where_less(z, zero, -size, size)
        store(work, HIDDEN, j, tanh)
        store(work, SLOPES, j, one - tanh * tanh)


@part
def _compare(net: Network, work: np.ndarray, losses: np.ndarray, first: int) -> None:
    """From the scores to the losses, as far as there is room, and to their gradient in the scores.

    The gradient comes in the place of the scores.
    """
    count = min(LANES, len(losses) - first)
    if len(net.c) > 1:
        _softmax(net, work, losses, first, count)
        return
    y = load(work, LABEL, 0)
    sign = y + y - fill(y, 1.0)
    m = sign * load(work, SCORES, 0)
    if net.linear:
        store(work, SCORES, 0, -sign)
    else:
        store(work, SCORES, 0, -sign * both_sigmoids(m)[1])
    if count > 0:
        loss = -m if net.linear else -log_sigmoid(m)
        for lane in range(count):
            losses[first + lane] = lane_of(loss, lane)


@part
def _softmax(net: Network, work: np.ndarray, losses: np.ndarray, first: int, count: int) -> None:
    """`_compare` for more than one score: probabilities, that of the label less 1."""
    y, one, zero = load(work, LABEL, 0), fill(work, 1.0), fill(work, 0.0)
    largest, total, own = load(work, SCORES, 0), zero, fill(work, math.nan)
    for n in range(1, len(net.c)):
        largest = larger(load(work, SCORES, n), largest)
    for n in range(len(net.c)):
        below = load(work, SCORES, n) - largest
        own = where_equal(y, fill(work, n), below, own)
        e = exp_of_minus_abs(below)
        store(work, SCORES, n, e)
        total += e
    for n in range(len(net.c)):
        less = where_equal(y, fill(work, n), one, zero)
        store(work, SCORES, n, load(work, SCORES, n) / total - less)
    for lane in range(count):
        losses[first + lane] = math.log(lane_of(total, lane)) - lane_of(own, lane)


@part
def _backward(net: Network, work: np.ndarray) -> None:
    """From the gradient in the scores to that in the points."""
    if len(net.b) == 0:
        _weigh(net.A, True, work, SCORES, G)
        return
    _weigh(net.A, True, work, SCORES, HIDDEN)
    for j in range(len(net.b)):
        store(work, HIDDEN, j, load(work, HIDDEN, j) * load(work, SLOPES, j))
    _weigh(net.B, True, work, HIDDEN, G)


@part
def _weigh(M: np.ndarray, turned: bool, work: np.ndarray, row: int, out: int) -> None:
    """work[out, i] = sum_k M[i, k] work[row, k], or with M[k, i]."""
    rows, columns = M.shape
    if turned:
        rows, columns = columns, rows
    whole, zero = rows - rows % TILE, fill(work, 0.0)
    for i in range(0, whole, TILE):
        sums = (zero, zero, zero, zero, zero, zero, zero, zero)
        for k in range(columns):
            sums = _add_column(M, turned, i, k, load(work, row, k), sums)
        for n in range(TILE):
            store(work, out, i + n, sums[n])
    for i in range(whole, rows):
        even = odd = zero
        for k in range(0, columns - 1, 2):
            even += _entry(M, turned, i, k, even) * load(work, row, k)
            odd += _entry(M, turned, i, k + 1, odd) * load(work, row, k + 1)
        if columns % 2 == 1:
            even += _entry(M, turned, i, columns - 1, even) * load(work, row, columns - 1)
        store(work, out, i, even + odd)


@part
def _entry(M: np.ndarray, turned: bool, i: int, k: int, like: Lanes) -> Lanes:
    return fill(like, M[k, i] if turned else M[i, k])


@part
def _add_column(M: np.ndarray, turned: bool, i: int, k: int, x: Lanes, sums: Sums) -> Sums:
    """Sums of the tile that begins in row i, with M[:, k] x added."""
    return (
        sums[0] + _entry(M, turned, i, k, x) * x,
        sums[1] + _entry(M, turned, i + 1, k, x) * x,
        sums[2] + _entry(M, turned, i + 2, k, x) * x,
        sums[3] + _entry(M, turned, i + 3, k, x) * x,
        sums[4] + _entry(M, turned, i + 4, k, x) * x,
        sums[5] + _entry(M, turned, i + 5, k, x) * x,
        sums[6] + _entry(M, turned, i + 6, k, x) * x,
        sums[7] + _entry(M, turned, i + 7, k, x) * x,
    )
