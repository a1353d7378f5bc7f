"""Few replicas: each by itself, its neurons in the lanes.

Eight replicas in the lanes cost what one does, and one alone would leave seven lanes idle.  Here a
player's arrays have shape (groups, columns, LANES): neuron n is lane n % LANES of row n // LANES,
and what `moves` does to a row it does to LANES neurons at once.  Every sum has the order that it
has in `gradient`, so that a replica's numbers are the same, to the last bit, whichever way it goes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twomode.engines.compiled.gradient import scatter
from twomode.engines.compiled.lanes import (
    LANES,
    Lanes,
    clamp,
    fill,
    lane_zeros,
    load,
    sigmoid,
    store,
)
from twomode.engines.compiled.parts import part
from twomode.engines.compiled.products import TILE, clear, padded
from twomode.engines.compiled.records import (
    GameCode,
    Neurons,
    Players,
    StageCode,
    Weights,
    Work,
    encode_game,
    make_neurons,
    share,
)
from twomode.game import Game
from twomode.rules import Optimizer

#: Replicas beyond which a block of them is faster.
FEW = 3
#: Rows whose products with a row of lanes are taken at once.
AT_ONCE = 4


class Alone(NamedTuple):
    """A replica and its scratch; of scratch, rows are for groups of neurons."""

    game: GameCode
    players: Players
    work: Work  #: norms are of single neurons, the same in all lanes, as in a block of replicas
    norms_D: np.ndarray  #: of groups, shape (groups, 3, LANES)
    norms_G: np.ndarray
    pace: np.ndarray
    terms: np.ndarray  #: what the squares in `Work.slopes` are multiplied by, of LANES points
    wrong: np.ndarray  #: how wrong D is at each of them, shape (1, 1, LANES)
    turned: np.ndarray  #: C transposed, shape (neurons of D, groups of G)


def groups(neurons: int) -> int:
    """Rows that hold so many neurons."""
    return -(-neurons // LANES)


def suits(opt: Optimizer, replicas: int) -> bool:
    """Whether they are few, of a rule without corrections and polar factors, which take a block."""
    return replicas <= FEW and not (opt.corrected or opt.spectral)


def make_alone(game: Game, opt: Optimizer) -> Alone:
    """Room for a replica."""
    D, G, columns = groups(game.m_D), groups(game.m_G), padded(game.reduced_dimension)
    rows_G = LANES * G  # and one of zeros

    def neurons(rows: int, columns: int) -> Neurons:
        X, G = lane_zeros((1, rows, columns)), lane_zeros((1, rows, columns))
        made: Neurons = share(make_neurons(opt, X, G, lambda *n: lane_zeros(n)), 0)
        return made

    code = encode_game(game, absent=rows_G)
    return Alone(
        game=code,
        players=Players(
            D=neurons(D, columns),
            G=neurons(G, columns),
            bias=neurons(1, 1),
            U=lane_zeros((1, padded(2))),
        ),
        work=Work(
            y=lane_zeros((AT_ONCE, D)),
            h=lane_zeros((rows_G + 1, D)),
            A=lane_zeros((AT_ONCE, D)),
            C=lane_zeros((rows_G + 1, D)),
            slopes=lane_zeros((LANES, D)),
            right=lane_zeros((1, 1)),
            wrong=lane_zeros((1, 1)),
            norms_D=lane_zeros((game.m_D + 1, 3)),
            norms_G=lane_zeros((game.m_G, 3)),
            at_data=lane_zeros((1, 0)),
            at_latents=lane_zeros((1, 0)),
        ),
        norms_D=lane_zeros((D, 3)),
        norms_G=lane_zeros((G, 3)),
        pace=lane_zeros((2, 2)),
        terms=lane_zeros((LANES, D)),
        wrong=lane_zeros((1, 1)),
        turned=lane_zeros((LANES * D, G)),
    )


# --- In and out -----------------------------------------------------------------------------------


def pack(X: np.ndarray) -> np.ndarray:
    """(R, neurons, columns) to (R, groups, columns, LANES); spare lanes are 0."""
    R, neurons, columns = X.shape
    full = np.pad(X, [(0, 0), (0, LANES * groups(neurons) - neurons), (0, 0)])
    return np.moveaxis(full.reshape(R, -1, LANES, columns), 2, -1)


def unpack(packed: np.ndarray) -> np.ndarray:
    """(R, groups, columns, LANES) to (R, neurons, columns), with spare ones, a copy."""
    R, _, columns, _ = packed.shape
    return np.array(np.moveaxis(packed, -1, 2), order="C").reshape(R, -1, columns)


@part(forceinline=False)
def take(lane: int, rows: np.ndarray, own: np.ndarray) -> None:
    """From the lane of a replica to lanes of neurons."""
    for i in range(min(rows.shape[0], own.shape[0] * LANES)):
        for k in range(own.shape[1]):
            own[i // LANES, k, i % LANES] = rows[i, k, lane]


@part(forceinline=False)
def give(lane: int, own: np.ndarray, rows: np.ndarray) -> None:
    """From lanes of neurons to the lane of a replica."""
    for i in range(min(rows.shape[0], own.shape[0] * LANES)):
        for k in range(own.shape[1]):
            rows[i, k, lane] = own[i // LANES, k, i % LANES]


@part
def take_number(lane: int, numbers: np.ndarray, out: np.ndarray) -> None:
    """From the lane of a replica to all lanes."""
    for i in range(out.shape[0]):
        for k in range(out.shape[1]):
            store(out, i, k, fill(out, numbers[i, k, lane]))


@part
def give_number(lane: int, numbers: np.ndarray, out: np.ndarray) -> None:
    """From any lane to that of a replica."""
    for i in range(numbers.shape[0]):
        for k in range(numbers.shape[1]):
            out[i, k, lane] = numbers[i, k, 0]


@part
def enter(lane: int, players: Players, pace: np.ndarray, alone: Alone) -> None:
    """Take a replica from its lane of a block, with the memory of its rule."""
    own = alone.players
    take(lane, players.U, own.U)
    take_number(lane, pace, alone.pace)
    for k in range(len(own.bias)):
        take(lane, players.D[k], own.D[k])
        take(lane, players.G[k], own.G[k])
        take_number(lane, players.bias[k], own.bias[k])


@part
def leave(lane: int, alone: Alone, players: Players, pace: np.ndarray) -> None:
    """Put it back."""
    own = alone.players
    give_number(lane, alone.pace, pace)
    for k in range(len(own.bias)):
        give(lane, own.D[k], players.D[k])
        give(lane, own.G[k], players.G[k])
        give_number(lane, own.bias[k], players.bias[k])


# --- From the players to their gradients ----------------------------------------------------------


@part(forceinline=False)
def products_of_rows(rows: int, X: np.ndarray, Y: np.ndarray, out: np.ndarray) -> None:
    """out[n, g] = sum_k x_n[k] Y[g, k], for the first `rows` neurons x_n of X."""
    zero = fill(out, 0.0)
    for first in range(0, rows, AT_ONCE):
        at, lane = first // LANES, first % LANES
        for g in range(Y.shape[0]):
            s_0 = s_1 = s_2 = s_3 = zero
            for k in range(min(X.shape[1], Y.shape[1])):
                y = load(Y, g, k)
                s_0 += fill(y, X[at, k, lane]) * y
                s_1 += fill(y, X[at, k, lane + 1]) * y
                s_2 += fill(y, X[at, k, lane + 2]) * y
                s_3 += fill(y, X[at, k, lane + 3]) * y
            store(out, first, g, s_0)
            store(out, first + 1, g, s_1)
            store(out, first + 2, g, s_2)
            store(out, first + 3, g, s_3)


@part(forceinline=False)
def combine_rows(
    rows: int, C: np.ndarray, X: np.ndarray, sign: float, add: bool, out: np.ndarray
) -> None:
    """out[g, k] = sign * sum_n C[n, g] x_n[k] over the first `rows` neurons of X; += to `add`."""
    zero, signs = fill(out, 0.0), fill(out, sign)
    for g in range(out.shape[0]):
        for k in range(0, X.shape[1], TILE):
            s_0 = s_1 = s_2 = zero
            for n in range(rows):
                at, lane, c = n // LANES, n % LANES, load(C, n, g)
                s_0 += c * fill(c, X[at, k, lane])
                s_1 += c * fill(c, X[at, k + 1, lane])
                s_2 += c * fill(c, X[at, k + 2, lane])
            s_0, s_1, s_2 = signs * s_0, signs * s_1, signs * s_2
            store(out, g, k, load(out, g, k) + s_0 if add else s_0)
            store(out, g, k + 1, load(out, g, k + 1) + s_1 if add else s_1)
            store(out, g, k + 2, load(out, g, k + 2) + s_2 if add else s_2)


@part
def cubes(
    m_D: int,
    points: np.ndarray,
    clip: Lanes,
    slopes: np.ndarray,
    terms: np.ndarray,
    h: np.ndarray,
    wrong: np.ndarray,
) -> None:
    """The sum over neurons of the clipped cubic at each point, in the order of the neurons."""
    three = fill(h, 3.0)
    for s in range(points.shape[0]):
        for g in range(h.shape[1]):
            x = load(h, points[s, 0], g) + load(h, points[s, 1], g)
            for n in range(2, points.shape[1]):
                x += load(h, points[s, n], g)
            c = clamp(x, clip)
            store(slopes, s, g, c * c)
            store(terms, s, g, three * x - (c + c))
    for s in range(0, points.shape[0], AT_ONCE):
        s_0 = s_1 = s_2 = s_3 = 0.0
        for i in range(m_D):
            g, lane = i // LANES, i % LANES
            s_0 += slopes[s, g, lane] * terms[s, g, lane]
            s_1 += slopes[s + 1, g, lane] * terms[s + 1, g, lane]
            s_2 += slopes[s + 2, g, lane] * terms[s + 2, g, lane]
            s_3 += slopes[s + 3, g, lane] * terms[s + 3, g, lane]
        for n, total in enumerate((s_0, s_1, s_2, s_3)):
            wrong[0, 0, s + n] = total


@part
def scatter_pairs(
    points: np.ndarray, wrong: np.ndarray, slopes: np.ndarray, out: np.ndarray
) -> None:
    """`gradient.scatter_over_pair` of every point; the row of its first one stays in a register."""
    for g in range(out.shape[1]):
        first = points[0, 0]
        total = load(out, first, g)
        for s in range(points.shape[0]):
            if points[s, 0] != first:
                store(out, first, g, total)
                first = points[s, 0]
                total = load(out, first, g)
            second = points[s, 1]
            share = fill(out, wrong[0, 0, s]) * load(slopes, s, g)
            total += share
            store(out, second, g, load(out, second, g) + share)
        store(out, first, g, total)


@part(forceinline=False)
def scatter_points(
    points: np.ndarray, wrong: np.ndarray, slopes: np.ndarray, out: np.ndarray
) -> None:
    """`gradient.scatter` of every point over all of its ones."""
    for s in range(points.shape[0]):
        share = fill(out, wrong[0, 0, s])
        for n in range(points.shape[1]):
            scatter(out.shape[1], share, slopes[s:], points[s, n], out)


@part(forceinline=False)
def coefficients(
    game: GameCode,
    points: np.ndarray,
    weights: np.ndarray,
    lane: int,
    sign: float,
    h: np.ndarray,
    bias: float,
    alone: Alone,
    out: np.ndarray,
) -> float:
    """`gradient.coefficients` with the weights of one lane; returns the sum of what is wrong."""
    slopes, wrong, many = alone.work.slopes, alone.wrong, points.shape[1] > 2
    a, offset, minus_sign = fill(h, game.a), fill(h, game.lam * bias), fill(h, -sign)
    total, three_a = 0.0, 3.0 * game.a
    clear(out)
    for begin in range(0, points.shape[0], LANES):
        chunk = points[begin : begin + LANES]
        cubes(game.m_D, chunk, fill(h, game.clip), slopes, alone.terms, h, wrong)
        store(wrong, 0, 0, sigmoid(minus_sign * (a * load(wrong, 0, 0) + offset)))
        for s in range(chunk.shape[0]):
            w = weights[0, begin + s, lane] * wrong[0, 0, s]
            total += w
            wrong[0, 0, s] = w * three_a
        if many:
            scatter_points(chunk, wrong, slopes, out)
        else:
            scatter_pairs(chunk, wrong, slopes, out)
    return total


@part
def generator_gradient(alone: Alone, W: np.ndarray, out: np.ndarray) -> None:
    """`gradient.generator_gradient`, C^T W."""
    m_D, C, turned = alone.game.m_D, alone.work.C, alone.turned
    for i in range(m_D):
        for j in range(alone.game.m_G):
            turned[i, j // LANES, j % LANES] = C[j, i // LANES, i % LANES]
    combine_rows(m_D, turned, W, 1.0, False, out)


@part
def gradients(stage: StageCode, weights: Weights, lane: int, alone: Alone) -> None:
    """What `gradient.project`, `answer` and the two gradients leave."""
    game, work = alone.game, alone.work
    D, G, bias, U = alone.players
    products_of_rows(2, U, D.X, work.y)
    products_of_rows(game.m_G, G.X, D.X, work.h)
    b = bias.X[0, 0, 0]
    right = coefficients(game, game.data, weights.data, lane, 1.0, work.y, b, alone, work.A)
    fake = coefficients(game, game.latents, weights.latents, lane, -1.0, work.h, b, alone, work.C)
    store(bias.G, 0, 0, fill(bias.G, game.lam * (right - fake)))
    if stage.D:
        combine_rows(game.m_G, work.C, G.X, -1.0, False, D.G)
        combine_rows(2, work.A, U, 1.0, True, D.G)
    if stage.G:
        generator_gradient(alone, D.X, G.G)


# --- Norms, which blocks of neurons share ---------------------------------------------------------


@part
def spread(norms: np.ndarray, out: np.ndarray, neurons: int) -> None:
    """From lanes of neurons to a row for each of them."""
    for i in range(neurons):
        for k in range(norms.shape[1]):
            store(out, i, k, fill(out, norms[i // LANES, k, i % LANES]))


@part
def gather(factors: np.ndarray, out: np.ndarray, neurons: int) -> None:
    """From a row for each neuron to their lanes, column 0."""
    for i in range(neurons):
        out[i // LANES, 0, i % LANES] = factors[i, 0, 0]
