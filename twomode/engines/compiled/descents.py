"""Steps of SGD on a network: every point of a minibatch is seen, then theta moves in place."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from twomode._typing import FloatArray, IntArray
from twomode.engines.compiled.jit import kernel
from twomode.engines.compiled.lanes import LANES, fill, lane_of, lane_sum, lane_zeros, load, store
from twomode.engines.compiled.networks import (
    HIDDEN,
    SCORES,
    G,
    Network,
    X,
    compare,
    forward,
    into_hidden,
    see,
    whole,
    work_for,
)
from twomode.engines.compiled.parts import part
from twomode.engines.compiled.products import multiply, padded

__all__ = ["Descent"]

#: Of a network, what is learned.
THETA = ("A", "c", "B", "b")


class Seen(NamedTuple):
    """What a step of SGD sees of each point; shapes (rows, blocks, LANES), rows padded."""

    outer: np.ndarray  #: gradient of the loss in the scores
    inner: np.ndarray  #: and where the first layer ends
    hidden: np.ndarray
    x: np.ndarray
    of_A: np.ndarray  #: products of `outer` and what the last layer sees, (k, width, LANES)
    of_B: np.ndarray  #: and of `inner` and x, (hidden, d, LANES)


class Descent:
    """Steps of SGD on a network.

    Parameters
    ----------
    net : Network
        To start from; it is copied.
    points : ndarray, shape (N, d)
        In row-major order.
    y : ndarray of int, shape (m,)
        Labels of the points in turn.
    batch : int
        Points of each step.
    """

    def __init__(self, net: Network, points: FloatArray, y: IntArray, batch: int) -> None:
        self.net = net._replace(**{name: getattr(net, name).copy() for name in THETA})
        self._points, self._y = points, whole(y, np.int64)
        self._losses, self._work = np.empty(batch), work_for(net, points)
        (k, width), (hidden, d), blocks = net.A.shape, net.B.shape, -(-batch // LANES)
        self._seen = Seen(
            outer=lane_zeros((padded(k), blocks)),
            inner=lane_zeros((padded(hidden), blocks)),
            hidden=lane_zeros((padded(hidden), blocks)),
            x=lane_zeros((padded(points.shape[1]), blocks)),
            of_A=lane_zeros((padded(k), padded(width))),
            of_B=lane_zeros((padded(hidden), padded(d))),
        )

    @property
    def theta(self) -> dict[str, FloatArray]:
        """The arrays by name (copied): two, or four with a hidden layer."""
        names = THETA if len(self.net.b) else THETA[:2]
        return {name: getattr(self.net, name).copy() for name in names}

    def step(self, places: IntArray, rate: float) -> tuple[float, bool]:
        """Descend the mean loss of some points: that loss, before, and whether all is finite."""
        state = self._losses, self._work, self._seen
        return _descend(self.net, self._points, places, self._y, rate, *state)


@kernel
def _descend(
    net: Network,
    points: np.ndarray,
    places: np.ndarray,
    y: np.ndarray,
    rate: float,
    losses: np.ndarray,
    work: np.ndarray,
    seen: Seen,
) -> tuple[float, bool]:
    count = len(places)
    for first in range(0, count, LANES):
        for lane in range(LANES):
            see(points, places[min(first + lane, count - 1)], y, work, lane)
        forward(net, work)
        compare(net, work, losses, first, min(LANES, count - first))
        for lane in range(count - first, LANES):  # there is no such point
            for n in range(len(net.c)):
                work[SCORES, n, lane] = 0.0
        into_hidden(net, work, G)
        block = first // LANES
        _keep(work, SCORES, seen.outer, len(net.c), block)
        _keep(work, G, seen.inner, len(net.b), block)
        _keep(work, HIDDEN, seen.hidden, len(net.b), block)
        _keep(work, X, seen.x, points.shape[1], block)
    size = rate / count
    if len(net.b) == 0:
        sound = _move(net.A, net.c, size, seen.outer, seen.x, seen.of_A)
    else:
        sound = _move(net.A, net.c, size, seen.outer, seen.hidden, seen.of_A)
        sound = _move(net.B, net.b, size, seen.inner, seen.x, seen.of_B) and sound
    total = 0.0
    for n in range(count):
        total += losses[n]
    return total / count, sound


@part
def _keep(work: np.ndarray, row: int, kept: np.ndarray, rows: int, block: int) -> None:
    """What a row of the work array holds, as a block's column."""
    for n in range(rows):
        store(kept, n, block, load(work, row, n))


@part
def _move(
    M: np.ndarray,
    v: np.ndarray,
    size: float,
    outer: np.ndarray,
    inside: np.ndarray,
    products: np.ndarray,
) -> bool:
    """M -= size outer^T inside, v -= size outer^T 1; whether both are finite."""
    multiply(outer, inside, 1.0, False, products)
    sound = True
    for i in range(M.shape[0]):
        total = fill(outer, 0.0)
        for block in range(outer.shape[1]):
            total += load(outer, i, block)
        v[i] -= size * lane_of(lane_sum(total), 0)
        sound = sound and abs(v[i]) < math.inf
        for k in range(M.shape[1]):
            M[i, k] -= size * lane_of(lane_sum(load(products, i, k)), 0)
            sound = sound and abs(M[i, k]) < math.inf
    return sound
