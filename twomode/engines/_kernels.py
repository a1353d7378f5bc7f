"""The parts of a step that both compiled engines are made of.

Arrays hold lanes innermost, (rows, columns, LANES), and are padded with zeros to multiples of TILE
in rows and columns; zeros stay zeros.  In the reduced engine a lane is a replica and these
functions do a whole step; in the dense engine a lane is a coordinate, they do a slice of the
coordinates, and sums over coordinates are completed by the caller.  The formulas are those of
`twomode.game` and `twomode.optimizers`.
"""

from __future__ import annotations

from typing import Any

from twomode.engines._encoding import Model, Neurons, RuleCode, Work
from twomode.engines._jit import part
from twomode.engines._lanes import (
    clamp,
    divide_or_zero,
    fill,
    larger,
    load,
    sigmoid,
    square_root,
    store,
)
from twomode.optimizers import DIRECTIONS, GRANULARITIES, MAGNITUDES

GRADIENT, MOMENTUM, ADAM = (DIRECTIONS.index(name) for name in ("gradient", "momentum", "adam"))
OWN, UNIT, CONSTANT, MOMENTUM_NORM, ADAM_NORM = (
    MAGNITUDES.index(name) for name in ("own", "unit", "constant", "momentum", "adam")
)
NEURON, LAYER = GRANULARITIES.index("neuron"), GRANULARITIES.index("layer")


@part
def neurons_at(neurons: Neurons, place: int) -> Neurons:
    """One run's share of arrays with a leading axis."""
    return Neurons(neurons.X[place], neurons.G[place], neurons.M[place], neurons.S[place])


@part
def work_at(work: Work, place: int) -> Work:
    """One run's share of arrays with a leading axis."""
    return Work(
        work.y[place],
        work.h[place],
        work.A[place],
        work.C[place],
        work.slopes[place],
        work.right[place],
        work.wrong[place],
        work.norms_D[place],
        work.norms_G[place],
    )


@part
def clear(array: Any) -> None:
    """Set an array of lanes to zero."""
    zero = fill(array, 0.0)
    for i in range(array.shape[0]):
        for j in range(array.shape[1]):
            store(array, i, j, zero)


@part
def transposed(array: Any) -> Any:
    """View with rows and columns exchanged."""
    return array.transpose(1, 0, 2)


@part
def put(out: Any, i: int, j: int, x: Any, add: bool) -> None:
    """out[i, j] = x, or += x."""
    store(out, i, j, load(out, i, j) + x if add else x)


@part
def multiply(X: Any, Y: Any, alpha: float, add: bool, out: Any) -> None:
    """out[i, j] = alpha * sum_k X[i, k] Y[j, k], or += to `add`, in blocks of TILE x TILE.

    Rows and columns that only one of the arrays has are left alone.
    """
    scale = fill(out, alpha)
    for i in range(0, min(X.shape[0], out.shape[0]), 3):
        for j in range(0, min(Y.shape[0], out.shape[1]), 3):
            s00 = s01 = s02 = s10 = s11 = s12 = s20 = s21 = s22 = fill(out, 0.0)
            for k in range(min(X.shape[1], Y.shape[1])):
                x0, x1, x2 = load(X, i, k), load(X, i + 1, k), load(X, i + 2, k)
                y0, y1, y2 = load(Y, j, k), load(Y, j + 1, k), load(Y, j + 2, k)
                s00 += x0 * y0
                s01 += x0 * y1
                s02 += x0 * y2
                s10 += x1 * y0
                s11 += x1 * y1
                s12 += x1 * y2
                s20 += x2 * y0
                s21 += x2 * y1
                s22 += x2 * y2
            put(out, i, j, scale * s00, add)
            put(out, i, j + 1, scale * s01, add)
            put(out, i, j + 2, scale * s02, add)
            put(out, i + 1, j, scale * s10, add)
            put(out, i + 1, j + 1, scale * s11, add)
            put(out, i + 1, j + 2, scale * s12, add)
            put(out, i + 2, j, scale * s20, add)
            put(out, i + 2, j + 1, scale * s21, add)
            put(out, i + 2, j + 2, scale * s22, add)


@part
def cube(x: Any, clip: Any, slopes: Any, i: int) -> Any:
    """The clipped cubic of x; a third of its slope goes to ``slopes[0, i]``."""
    c = clamp(x, clip)
    square = c * c
    store(slopes, 0, i, square)
    return square * (fill(slopes, 3.0) * x - (c + c))


@part
def pair_cubes(m_D: int, h: Any, first: int, second: int, clip: Any, slopes: Any) -> Any:
    """Sum over neurons of the clipped cubic at a point with ones at `first` and `second`."""
    total = fill(h, 0.0)
    for i in range(m_D):
        total += cube(load(h, first, i) + load(h, second, i), clip, slopes, i)
    return total


@part
def point_cubes(m_D: int, h: Any, members: Any, clip: Any, slopes: Any) -> Any:
    """`pair_cubes` for a point with any number of ones."""
    total = zero = fill(h, 0.0)
    for i in range(m_D):
        x = zero
        for member in members:
            x += load(h, member, i)
        total += cube(x, clip, slopes, i)
    return total


@part
def spread(m_D: int, wrong: Any, slopes: Any, member: int, out: Any) -> None:
    """Add a point's wrongness times its slopes to the row of one of its ones."""
    for i in range(m_D):
        store(out, member, i, load(out, member, i) + wrong * load(slopes, 0, i))


@part
def spread_over_pair(m_D: int, wrong: Any, slopes: Any, first: int, second: int, out: Any) -> None:
    """`spread` over a point's two ones at once."""
    for i in range(m_D):
        share = wrong * load(slopes, 0, i)
        store(out, first, i, load(out, first, i) + share)
        store(out, second, i, load(out, second, i) + share)


@part
def coefficients(
    model: Model,
    points: Any,
    weights: Any,
    sign: float,
    h: Any,
    b: Any,
    slopes: Any,
    out: Any,
    wrong_sum: Any,
) -> None:
    """One half of the objective: A and its share of the bias gradient, or C and its share.

    ``h[j, i]`` is <basis vector j, w_i>, ``weights[0, s]`` the weight of point s, ``sign`` +1 for
    data and -1 for generated points.  ``out[j, i]`` becomes A or C transposed.  See
    `Game.evaluate`.
    """
    clip, a, three = fill(h, model.clip), fill(h, model.a), fill(h, 3.0)
    offset, minus_sign = fill(h, model.lam) * load(b, 0, 0), fill(h, -sign)
    total = fill(h, 0.0)
    clear(out)
    at_most_pairs = points.shape[1] == 2
    for s in range(points.shape[0]):
        if at_most_pairs:
            cubes = pair_cubes(model.m_D, h, points[s, 0], points[s, 1], clip, slopes)
        else:
            cubes = point_cubes(model.m_D, h, points[s], clip, slopes)
        wrong = load(weights, 0, s) * sigmoid(minus_sign * (a * cubes + offset))
        total += wrong
        wrong *= three * a
        if at_most_pairs:
            spread_over_pair(model.m_D, wrong, slopes, points[s, 0], points[s, 1], out)
        else:
            for member in points[s]:
                spread(model.m_D, wrong, slopes, member, out)
    store(wrong_sum, 0, 0, total)


@part
def project(W: Any, V: Any, U: Any, y: Any, h: Any) -> None:
    """<u_l, w_i> and <v_j, w_i>; U may stop at the last column in which it is not zero."""
    multiply(U, W[:, : U.shape[1]], 1.0, False, y)
    multiply(V, W, 1.0, False, h)


@part
def answer(model: Model, data_weights: Any, latent_weights: Any, bias: Neurons, work: Work) -> None:
    """From the projections to A, C and the gradient of the bias."""
    coefficients(
        model, model.data, data_weights, 1.0, work.y, bias.X, work.slopes, work.A, work.right
    )
    coefficients(
        model, model.latents, latent_weights, -1.0, work.h, bias.X, work.slopes, work.C, work.wrong
    )
    surplus = load(work.right, 0, 0) - load(work.wrong, 0, 0)
    store(bias.G, 0, 0, fill(bias.G, model.lam) * surplus)


@part
def discriminator_gradient(work: Work, V: Any, U: Any, G: Any) -> None:
    """G = A X - C V, an ascent direction for W."""
    multiply(transposed(work.C), transposed(V), -1.0, False, G)
    multiply(transposed(work.A), transposed(U), 1.0, True, G[:, : U.shape[1]])


@part
def generator_gradient(work: Work, W: Any, G: Any) -> None:
    """G = C^T W, a descent direction for V."""
    multiply(work.C, transposed(W), 1.0, False, G)


@part
def moment_scales(rule: RuleCode, t: int) -> tuple[float, float]:
    """`Optimizer.moment_scales`: factors of M and S in update t, counted from 1."""
    first = second = 1.0
    if rule.bias_correction:
        first = 1.0 / (1.0 - rule.beta1**t)
        second = 1.0 / (1.0 - rule.beta2**t)
    if rule.heavy_ball:
        first = 1.0 / (1.0 - rule.beta1)
    return first, second


@part
def direct(rows: int, rule: RuleCode, t: int, neurons: Neurons, norms: Any) -> None:
    """Turn the gradient into the rule's direction in place, and advance the moments.

    Columns 0, 1 and 2 of `norms` become the squared norms of each row of the direction, of the
    vector that gives the magnitude, and of the gradient.
    """
    _, G, M, S = neurons
    first_scale, second_scale = moment_scales(rule, t)
    m_scale, s_scale, eps = fill(G, first_scale), fill(G, second_scale), fill(G, rule.eps)
    beta1, rest1 = fill(G, rule.beta1), fill(G, 1.0 - rule.beta1)
    beta2, rest2 = fill(G, rule.beta2), fill(G, 1.0 - rule.beta2)
    for i in range(rows):
        direction_norm = magnitude_norm = gradient_norm = fill(G, 0.0)
        for k in range(G.shape[1]):
            g = load(G, i, k)
            direction = magnitude = g
            if rule.first_moment:
                m = beta1 * load(M, i, k) + rest1 * g
                store(M, i, k, m)
                m *= m_scale
                if rule.direction == MOMENTUM:
                    direction = m
                if rule.magnitude == MOMENTUM_NORM:
                    magnitude = m
                if rule.second_moment:
                    s = beta2 * load(S, i, k) + rest2 * (g * g)
                    store(S, i, k, s)
                    adam = divide_or_zero(m, square_root(s * s_scale) + eps)
                    if rule.direction == ADAM:
                        direction = adam
                    if rule.magnitude == ADAM_NORM:
                        magnitude = adam
            if rule.direction != GRADIENT:
                store(G, i, k, direction)
            direction_norm += direction * direction
            magnitude_norm += magnitude * magnitude
            gradient_norm += g * g
        store(norms, i, 0, direction_norm)
        store(norms, i, 1, magnitude_norm)
        store(norms, i, 2, gradient_norm)


@part
def block_end(granularity: int, begin: int, layer: int, rows: int) -> int:
    """Where the block of rows that begins at `begin` ends; the first layer has `layer` rows."""
    if granularity == NEURON:
        return begin + 1
    if granularity == LAYER and begin < layer:
        return layer
    return rows


@part
def scale_blocks(
    rule: RuleCode,
    eta: float,
    layer: int,
    constant: float,
    constant_last: float,
    norms: Any,
    pace: Any,
) -> None:
    """Replace ``norms[i, 0]`` by the number that multiplies row i's direction in the step.

    `norms` holds the squared norms of one player's rows (see `direct`): a layer of `layer` rows
    and perhaps the bias.  ``pace[0, 0]`` becomes the length of the player's whole step over eta,
    and ``pace[0, 1]`` is raised to the norm of its gradient.
    """
    rows = norms.shape[0]
    eta_lanes, norm_eps = fill(norms, eta), fill(norms, rule.norm_eps)
    length = gradient = zero = fill(norms, 0.0)
    begin = 0
    while begin < rows:
        end = block_end(rule.granularity, begin, layer, rows)
        direction = magnitude = zero
        for i in range(begin, end):
            direction += load(norms, i, 0)
            magnitude += load(norms, i, 1)
            gradient += load(norms, i, 2)
        factor = fill(norms, 1.0)
        if rule.magnitude != OWN:
            if rule.magnitude == CONSTANT:
                factor = fill(norms, constant if begin < layer else constant_last)
            elif rule.magnitude != UNIT:
                factor = square_root(magnitude)
            factor = divide_or_zero(factor, square_root(direction) + norm_eps)
        length += factor * factor * direction
        for i in range(begin, end):
            store(norms, i, 0, eta_lanes * factor)
        begin = end
    store(pace, 0, 0, square_root(length))
    store(pace, 0, 1, larger(load(pace, 0, 1), square_root(gradient)))


@part
def scale_discriminator(rule: RuleCode, work: Work, pace: Any) -> None:
    """`scale_blocks` for W and b."""
    layer = work.norms_D.shape[0] - 1
    scale_blocks(rule, rule.eta_D, layer, rule.constant_W, rule.constant_b, work.norms_D, pace[0:1])


@part
def scale_generator(rule: RuleCode, work: Work, pace: Any) -> None:
    """`scale_blocks` for V."""
    layer, constant = work.norms_G.shape[0], rule.constant_V
    scale_blocks(rule, rule.eta_G, layer, constant, constant, work.norms_G, pace[1:2])


@part
def move(rows: int, neurons: Neurons, factors: Any) -> None:
    """X[i] += factors[i, 0] * direction[i]."""
    X, G = neurons.X, neurons.G
    for i in range(rows):
        factor = load(factors, i, 0)
        for k in range(X.shape[1]):
            store(X, i, k, load(X, i, k) + factor * load(G, i, k))
