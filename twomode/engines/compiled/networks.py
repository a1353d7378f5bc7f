"""Networks of at most one hidden layer, eight points in the lanes: losses, gradients, sign steps.

The formulas are those of `twomode.adversarial.Model`.  What a block of points needs stands in the
rows of one small array, which stays in the cache.
"""

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
ROWS = 9
X, G, HIDDEN, SLOPES, SCORES, LABEL, LOW, HIGH, NOISE = range(ROWS)


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
    ) -> "Network":
        """Of a model's arrays, however they lie in memory."""
        if B is None or b is None:
            B, b = np.empty((0, 0)), np.empty(0)
        return cls(whole(A), whole(c), whole(B), whole(b), softplus, linear)


def whole(x: np.ndarray, dtype: DTypeLike = np.float64) -> np.ndarray:
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
    y : ndarray of int, shape (m,)
        Labels of the points in turn.  The loss of one that softmax has no score for is NaN.
    losses : ndarray, shape (n,)
    gradients : ndarray, shape (n, d) or (n, 0)
        Both in row-major order.  Written to.
    """
    x, y = whole(x), whole(y, np.int64)

    def take(begin: int, end: int) -> None:
        _loss_and_gradient(net, x, begin, end, y, losses, gradients, work_for(net, x))

    divided(take, len(x), 1)


def climb(
    net: Network,
    points: FloatArray,
    places: IntArray,
    y: IntArray,
    low: FloatArray,
    high: FloatArray,
    size: float,
    noise: FloatArray,
) -> None:
    """Move points by steps of `size` times the sign of the loss's gradient and noise, in boxes.

    Parameters
    ----------
    net : Network
    points : ndarray, shape (N, d)
        In row-major order.  Written to.
    places : ndarray of int, shape (n,)
        Which of them.
    y : ndarray of int, shape (m,)
        Labels of all points in turn.
    low, high : ndarray, shape (m, d)
        Faces of their boxes, likewise.
    size : float
    noise : ndarray, shape (steps, n, d) or (steps, 0, d)
        Added in each step.
    """
    y, low, high = whole(y, np.int64), whole(low), whole(high)
    arguments = net, points, places
    boxed = y, low, high, float(size), noise

    def take(begin: int, end: int) -> None:
        _climb(*arguments, begin, end, *boxed, work_for(net, points))

    divided(take, len(places), len(noise))


def work_for(net: Network, x: FloatArray) -> np.ndarray:
    """Rows as long as the longest needs: of points, of hidden neurons or of scores."""
    return lane_zeros((ROWS, max(x.shape[1], *net.A.shape)))


def divided(take: Callable[[int, int], None], points: int, steps: int) -> None:
    """All points, as many to each thread, or where they are few at once."""
    parts = min(numba.get_num_threads(), 1 + points * steps // WORTH_A_THREAD)
    each = -(-points // parts)
    each_block(lambda n: take(n * each, min((n + 1) * each, points)), parts, points * steps)


@kernel(nogil=True)
def _loss_and_gradient(
    net: Network,
    x: np.ndarray,
    begin: int,
    end: int,
    y: np.ndarray,
    losses: np.ndarray,
    gradients: np.ndarray,
    work: np.ndarray,
) -> None:
    for first in range(begin, end, LANES):
        for lane in range(LANES):
            see(x, min(first + lane, end - 1), y, work, lane)
        forward(net, work)
        compare(net, work, losses, first, min(LANES, end - first))
        if gradients.shape[1] > 0:
            backward(net, work)
            for lane in range(min(LANES, end - first)):
                scatter(work, G, lane, gradients, first + lane)


@kernel(nogil=True)
def _climb(
    net: Network,
    points: np.ndarray,
    places: np.ndarray,
    begin: int,
    end: int,
    y: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    size: float,
    noise: np.ndarray,
    work: np.ndarray,
) -> None:
    unseen = points[0, :0]
    for first in range(begin, end, LANES):
        for lane in range(LANES):
            place = places[min(first + lane, end - 1)]
            see(points, place, y, work, lane)
            gather(low, place % len(y), work, LOW, lane)
            gather(high, place % len(y), work, HIGH, lane)
        for t in range(len(noise)):
            forward(net, work)
            compare(net, work, unseen, 0, 0)
            backward(net, work)
            if noise.shape[1] > 0:
                for lane in range(LANES):
                    gather(noise[t], min(first + lane, end - 1), work, NOISE, lane)
            sign_step(points.shape[1], size, work)
        for lane in range(min(LANES, end - first)):
            scatter(work, X, lane, points, places[first + lane])


@part
def sign_step(d: int, size: float, work: np.ndarray) -> None:
    """Move the points by the sign of their gradients and the noise, into their boxes."""
    zero, one, far = fill(work, 0.0), fill(work, 1.0), fill(work, size)
    for k in range(d):
        slope = load(work, G, k)
        sign = where_less(zero, slope, one, where_less(slope, zero, -one, slope))
        there = load(work, X, k) + far * sign + load(work, NOISE, k)
        low, high = load(work, LOW, k), load(work, HIGH, k)
        there = where_less(high, there, high, there)
        store(work, X, k, where_less(there, low, low, there))


@part
def see(points: np.ndarray, n: int, y: np.ndarray, work: np.ndarray, lane: int) -> None:
    """A point and its label; the labels are those of the points in turn."""
    gather(points, n, work, X, lane)
    work[LABEL, 0, lane] = y[n % len(y)]


@part
def gather(points: np.ndarray, n: int, work: np.ndarray, row: int, lane: int) -> None:
    """A row of an array, into a lane."""
    for k in range(points.shape[1]):
        work[row, k, lane] = points[n, k]


@part
def scatter(work: np.ndarray, row: int, lane: int, points: np.ndarray, n: int) -> None:
    """A lane, into a row of an array."""
    for k in range(points.shape[1]):
        points[n, k] = work[row, k, lane]


@part
def forward(net: Network, work: np.ndarray) -> None:
    """From the points to the scores."""
    if len(net.b) == 0:
        weigh(net.A, False, work, X, SCORES)
    else:
        weigh(net.B, False, work, X, HIDDEN)
        for j in range(len(net.b)):
            activate(net.softplus, load(work, HIDDEN, j) + fill(work, net.b[j]), work, j)
        weigh(net.A, False, work, HIDDEN, SCORES)
    for n in range(len(net.c)):
        store(work, SCORES, n, load(work, SCORES, n) + fill(work, net.c[n]))


@part
def activate(softplus: bool, z: Lanes, work: np.ndarray, j: int) -> None:
    """The value and the slope of a hidden neuron."""
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
def compare(net: Network, work: np.ndarray, losses: np.ndarray, first: int, count: int) -> None:
    """From the scores to so many losses, and to the gradient in the scores, in their place."""
    if len(net.c) > 1:
        softmax(net, work, losses, first, count)
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
def softmax(net: Network, work: np.ndarray, losses: np.ndarray, first: int, count: int) -> None:
    """`compare` for more than one score: probabilities, that of the label less 1."""
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
def backward(net: Network, work: np.ndarray) -> None:
    """From the gradient in the scores to that in the points."""
    if len(net.b) == 0:
        weigh(net.A, True, work, SCORES, G)
        return
    into_hidden(net, work, HIDDEN)
    weigh(net.B, True, work, HIDDEN, G)


@part
def into_hidden(net: Network, work: np.ndarray, out: int) -> None:
    """From the gradient in the scores to that where the first layer ends."""
    if len(net.b) > 0:
        weigh(net.A, True, work, SCORES, out)
    for j in range(len(net.b)):
        store(work, out, j, load(work, out, j) * load(work, SLOPES, j))


@part
def weigh(M: np.ndarray, turned: bool, work: np.ndarray, row: int, out: int) -> None:
    """work[out, i] = sum_k M[i, k] work[row, k], or with M[k, i]."""
    rows, columns = M.shape
    if turned:
        rows, columns = columns, rows
    tiled, zero = rows - rows % TILE, fill(work, 0.0)
    for i in range(0, tiled, TILE):
        sums = (zero, zero, zero, zero, zero, zero, zero, zero)
        for k in range(columns):
            sums = add_column(M, turned, i, k, load(work, row, k), sums)
        for n in range(TILE):
            store(work, out, i + n, sums[n])
    for i in range(tiled, rows):
        even = odd = zero
        for k in range(0, columns - 1, 2):
            even += entry(M, turned, i, k, even) * load(work, row, k)
            odd += entry(M, turned, i, k + 1, odd) * load(work, row, k + 1)
        if columns % 2 == 1:
            even += entry(M, turned, i, columns - 1, even) * load(work, row, columns - 1)
        store(work, out, i, even + odd)


@part
def entry(M: np.ndarray, turned: bool, i: int, k: int, like: Lanes) -> Lanes:
    """M[i, k] or M[k, i], in all lanes."""
    return fill(like, M[k, i] if turned else M[i, k])


@part
def add_column(M: np.ndarray, turned: bool, i: int, k: int, x: Lanes, sums: Sums) -> Sums:
    """Sums of the tile that begins in row i, with M[:, k] x added."""
    return (
        sums[0] + entry(M, turned, i, k, x) * x,
        sums[1] + entry(M, turned, i + 1, k, x) * x,
        sums[2] + entry(M, turned, i + 2, k, x) * x,
        sums[3] + entry(M, turned, i + 3, k, x) * x,
        sums[4] + entry(M, turned, i + 4, k, x) * x,
        sums[5] + entry(M, turned, i + 5, k, x) * x,
        sums[6] + entry(M, turned, i + 6, k, x) * x,
        sums[7] + entry(M, turned, i + 7, k, x) * x,
    )
