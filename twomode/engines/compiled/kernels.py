"""The parts of a step that both compiled engines are made of.

Arrays hold lanes innermost, (rows, columns, LANES), and are padded with zeros to multiples of TILE
in rows and columns; zeros stay zeros.  In the reduced engine a lane is a replica and these
functions do a whole step; in the dense engine a lane is a coordinate, they do a slice of the
coordinates, and sums over coordinates are completed by the caller.  The formulas are those of
`twomode.game` and `twomode.optimizers`.
"""

from __future__ import annotations

from typing import Any

from twomode.engines.compiled.jit import part
from twomode.engines.compiled.lanes import (
    clamp,
    divide_or_zero,
    fill,
    larger,
    load,
    sigmoid,
    square_root,
    store,
    within,
)
from twomode.engines.compiled.records import Correction, Model, Neurons, RuleCode, StageCode, Work
from twomode.rules import ALIGNMENT, CORRECTIONS, DIRECTIONS, GRANULARITIES, MAGNITUDES

GRADIENT, MOMENTUM, ADAM = (DIRECTIONS.index(name) for name in ("gradient", "momentum", "adam"))
OWN, UNIT, CONSTANT, MOMENTUM_NORM, ADAM_NORM = (
    MAGNITUDES.index(name) for name in ("own", "unit", "constant", "momentum", "adam")
)
NEURON, LAYER = GRANULARITIES.index("neuron"), GRANULARITIES.index("layer")
NONE, SGA, CONSENSUS = (CORRECTIONS.index(name) for name in ("none", "sga", "consensus"))


@part
def neurons_at(neurons: Neurons, place: int) -> Neurons:
    """One run's share of arrays with a leading axis."""
    return Neurons(
        neurons.X[place],
        neurons.G[place],
        neurons.M[place],
        neurons.S[place],
        neurons.past[place],
        neurons.base[place],
        neurons.start[place],
    )


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
def correction_at(correction: Correction, place: int) -> Correction:
    """One run's share of arrays with a leading axis."""
    return Correction(
        correction.JT_W[place],
        correction.JT_b[place],
        correction.JT_V[place],
        correction.J_W[place],
        correction.J_b[place],
        correction.J_V[place],
        correction.dy[place],
        correction.dh[place],
        correction.dA[place],
        correction.dC[place],
        correction.slopes[place],
        correction.dots[place],
    )


@part
def stage_at(stages: Any, n: int) -> StageCode:
    """Row n of `encode_stages`."""
    row = stages[n]
    return StageCode(
        row[0] != 0.0,
        row[1] != 0.0,
        row[2] != 0.0,
        row[3],
        row[4],
        row[5] != 0.0,
        row[6] != 0.0,
        int(row[7]),
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
def discriminator_gradient(A: Any, C: Any, V: Any, U: Any, G: Any) -> None:
    """G = A X - C V, an ascent direction for W."""
    multiply(transposed(C), transposed(V), -1.0, False, G)
    multiply(transposed(A), transposed(U), 1.0, True, G[:, : U.shape[1]])


@part
def generator_gradient(C: Any, W: Any, G: Any) -> None:
    """G = C^T W, a descent direction for V."""
    multiply(C, transposed(W), 1.0, False, G)


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
    G, M, S = neurons.G, neurons.M, neurons.S
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
    layer: int,
    constant: float,
    constant_last: float,
    norms: Any,
    pace: Any,
) -> None:
    """Replace ``norms[i, 0]`` by the factor that turns row i's direction into its step Delta.

    `norms` holds the squared norms of one player's rows (see `direct`): a layer of `layer` rows
    and perhaps the bias.  ``pace[0, 0]`` becomes the length of the player's whole step, and
    ``pace[0, 1]`` is raised to the norm of its gradient (by `raise_peak` if the rule is corrected).
    """
    rows = norms.shape[0]
    norm_eps = fill(norms, rule.norm_eps)
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
            store(norms, i, 0, factor)
        begin = end
    store(pace, 0, 0, square_root(length))
    if rule.correction == NONE:
        store(pace, 0, 1, larger(load(pace, 0, 1), square_root(gradient)))


@part
def scale_discriminator(rule: RuleCode, work: Work, pace: Any) -> None:
    """`scale_blocks` for W and b."""
    layer = work.norms_D.shape[0] - 1
    scale_blocks(rule, layer, rule.constant_W, rule.constant_b, work.norms_D, pace[0:1])


@part
def scale_generator(rule: RuleCode, work: Work, pace: Any) -> None:
    """`scale_blocks` for V."""
    layer, constant = work.norms_G.shape[0], rule.constant_V
    scale_blocks(rule, layer, constant, constant, work.norms_G, pace[1:2])


@part
def step_sizes(rule: RuleCode, t: int) -> tuple[float, float]:
    """`Optimizer.step_sizes`: those of the players in iteration t, counted from 1."""
    eta_D, eta_G = rule.eta_D, rule.eta_G
    if rule.decay_D != 0.0:
        eta_D /= float(t) ** rule.decay_D
    if rule.decay_G != 0.0:
        eta_G /= float(t) ** rule.decay_G
    return eta_D, eta_G


@part
def pulls(rule: RuleCode, t: int) -> tuple[float, float]:
    """`Optimizer.pulls`: of the anchor on the players in iteration t, counted from 1."""
    return (1.0 - rule.decay_D) * rule.anchor / t, (1.0 - rule.decay_G) * rule.anchor / t


@part
def move(rows: int, eta: float, neurons: Neurons, factors: Any) -> None:
    """X[i] += eta * factors[i, 0] * direction[i]."""
    X, G = neurons.X, neurons.G
    for i in range(rows):
        factor = fill(X, eta) * load(factors, i, 0)
        for k in range(X.shape[1]):
            store(X, i, k, load(X, i, k) + factor * load(G, i, k))


@part
def move_from(
    rows: int,
    rule: RuleCode,
    stage: StageCode,
    t: int,
    eta: float,
    pull: float,
    neurons: Neurons,
    factors: Any,
) -> None:
    """X <- base + eta (new Delta + old Delta_before) + pull (start - base), Delta remembered."""
    X, G, past, base, start = neurons.X, neurons.G, neurons.past, neurons.base, neurons.start
    keeps_step, keeps_base, anchored = past.shape[1] > 0, base.shape[1] > 0, start.shape[1] > 0
    new, old, pull_lanes = fill(X, eta * stage.new), fill(X, eta * stage.old), fill(X, pull)
    without_past = t == 1 and stage.looks and rule.plain_start
    for i in range(rows):
        factor = load(factors, i, 0)
        for k in range(X.shape[1]):
            here = load(X, i, k)
            if keeps_base and stage.first:
                store(base, i, k, here)
            if stage.back:
                here = load(base, i, k)
            there, step = here, fill(X, 0.0)
            if stage.looks:
                step = factor * load(G, i, k)
                there += new * step
            if keeps_step:
                there += old * (step if without_past else load(past, i, k))
                if stage.looks:
                    store(past, i, k, step)
            if anchored:
                there += pull_lanes * (load(start, i, k) - here)
            store(X, i, k, there)


@part
def recall(rows: int, rule: RuleCode, t: int, neurons: Neurons) -> None:
    """Take the step before anew from the moments as they are, with the scales of update t."""
    M, S, past = neurons.M, neurons.S, neurons.past
    first_scale, second_scale = moment_scales(rule, t)
    m_scale, s_scale, eps = fill(M, first_scale), fill(M, second_scale), fill(M, rule.eps)
    for i in range(rows):
        for k in range(M.shape[1]):
            m = m_scale * load(M, i, k)
            if rule.second_moment:
                m = divide_or_zero(m, square_root(s_scale * load(S, i, k)) + eps)
            store(past, i, k, m)


# Corrections.  F is the gradient in the players' improving directions, -xi.


@part
def gradient_norms(rows: int, neurons: Neurons, norms: Any) -> None:
    """Column 2 of `norms`: the squared norm of each row of the gradient."""
    G = neurons.G
    for i in range(rows):
        total = fill(G, 0.0)
        for k in range(G.shape[1]):
            total += load(G, i, k) * load(G, i, k)
        store(norms, i, 2, total)


@part
def raise_peak(norms: Any, pace: Any) -> None:
    """Raise ``pace[0, 1]`` to the norm of the gradient."""
    total = fill(norms, 0.0)
    for i in range(norms.shape[0]):
        total += load(norms, i, 2)
    store(pace, 0, 1, larger(load(pace, 0, 1), square_root(total)))


@part
def project_derivative(sign_D: float, D: Neurons, G: Neurons, U: Any, dy: Any, dh: Any) -> None:
    """Derivatives of `project` along (sign_D F_D, F_G)."""
    multiply(U, D.G[:, : U.shape[1]], sign_D, False, dy)
    multiply(G.X, D.G, sign_D, False, dh)
    multiply(G.G, D.X, 1.0, True, dh)


@part
def coefficient_derivatives(
    model: Model,
    points: Any,
    weights: Any,
    sign: float,
    h: Any,
    dh: Any,
    b: Any,
    db: Any,
    slopes: Any,
    out: Any,
    wrong_sum: Any,
) -> None:
    """Derivatives of what `coefficients` returns along dh and db.  See `Game.hessian_product`."""
    clip, three_a, zero = fill(h, model.clip), fill(h, 3.0 * model.a), fill(h, 0.0)
    a, lam, plus, minus = fill(h, model.a), fill(h, model.lam), fill(h, sign), fill(h, -sign)
    total = zero
    clear(out)
    for s in range(points.shape[0]):
        cubes = d_cubes = zero
        for i in range(model.m_D):
            x = dx = zero
            for member in points[s]:
                x += load(h, member, i)
                dx += load(dh, member, i)
            c = clamp(x, clip)
            cubes += cube(x, clip, slopes, i)
            d_cubes += c * c * dx
            store(slopes, 1, i, within(x, clip, c + c) * dx)
        logit = a * cubes + lam * load(b, 0, 0)
        wrong = load(weights, 0, s) * sigmoid(minus * logit)
        d_logit = three_a * d_cubes + lam * db
        d_wrong = minus * wrong * sigmoid(plus * logit) * d_logit
        total += d_wrong
        wrong *= three_a
        d_wrong *= three_a
        for member in points[s]:
            for i in range(model.m_D):
                share = d_wrong * load(slopes, 0, i) + wrong * load(slopes, 1, i)
                store(out, member, i, load(out, member, i) + share)
    store(wrong_sum, 0, 0, total)


@part
def answer_derivative(
    model: Model,
    data_weights: Any,
    latent_weights: Any,
    sign_D: float,
    bias: Neurons,
    work: Work,
    correction: Correction,
    product: Any,
) -> None:
    """Derivatives of `answer` along (sign_D F_D, F_G); times sign_D, that of the bias."""
    b, db = bias.X, fill(bias.X, sign_D) * load(bias.G, 0, 0)
    slopes = correction.slopes
    coefficient_derivatives(
        model,
        model.data,
        data_weights,
        1.0,
        work.y,
        correction.dy,
        b,
        db,
        slopes,
        correction.dA,
        work.right,
    )
    coefficient_derivatives(
        model,
        model.latents,
        latent_weights,
        -1.0,
        work.h,
        correction.dh,
        b,
        db,
        slopes,
        correction.dC,
        work.wrong,
    )
    surplus = load(work.right, 0, 0) - load(work.wrong, 0, 0)
    store(product, 0, 0, fill(product, sign_D * model.lam) * surplus)


@part
def discriminator_product(
    sign_D: float, C: Any, correction: Correction, G: Neurons, U: Any, product: Any
) -> None:
    """sign_D (dA X - dC V - C dV) with dV = F_G."""
    multiply(transposed(correction.dC), transposed(G.X), -sign_D, False, product)
    multiply(transposed(C), transposed(G.G), -sign_D, True, product)
    multiply(transposed(correction.dA), transposed(U), sign_D, True, product[:, : U.shape[1]])


@part
def generator_product(
    sign_D: float, C: Any, correction: Correction, D: Neurons, product: Any
) -> None:
    """dC^T W + C^T dW with dW = sign_D F_D."""
    multiply(correction.dC, transposed(D.X), 1.0, False, product)
    multiply(C, transposed(D.G), sign_D, True, product)


@part
def add_alignment(rows: int, F: Any, JT: Any, J: Any, dots: Any) -> None:
    """Add a layer's share of <xi, grad H> and <A^T xi, grad H>."""
    first, second, half = load(dots, 0, 0), load(dots, 0, 1), fill(dots, 0.5)
    for i in range(rows):
        for k in range(F.shape[1]):
            grad_H = load(JT, i, k)
            first -= load(F, i, k) * grad_H
            second += half * (grad_H - load(J, i, k)) * grad_H
    store(dots, 0, 0, first)
    store(dots, 0, 1, second)


@part
def correction_weight(rule: RuleCode, dots: Any) -> Any:
    """lambda of sga, with its sign, or gamma of consensus."""
    weight = fill(dots, rule.correction_weight)
    if rule.correction == SGA and rule.aligned:
        alignment = load(dots, 0, 0) * load(dots, 0, 1) / fill(dots, rule.parameters)
        alignment += fill(dots, ALIGNMENT)
        weight *= divide_or_zero(alignment, square_root(alignment * alignment))
    return weight


@part
def correct(rows: int, rule: RuleCode, weight: Any, F: Any, JT: Any, J: Any) -> None:
    """Replace the gradient F by the corrected one; see `twomode.corrections.corrected`."""
    zero, half = fill(F, 0.0), fill(F, 0.5) * weight
    for i in range(rows):
        for k in range(F.shape[1]):
            grad_H = load(JT, i, k)
            if rule.correction == SGA:
                x = load(F, i, k) - half * (grad_H - load(J, i, k))
            elif rule.correction == CONSENSUS:
                x = load(F, i, k) - weight * grad_H
            else:
                x = zero - grad_H
            store(F, i, k, x)
