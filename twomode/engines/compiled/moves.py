"""From gradients to moves: directions, lengths over blocks, schedules, as in `twomode.rules`."""

from __future__ import annotations

import numpy as np

from twomode.engines.compiled.lanes import (
    divide_or_zero,
    fill,
    larger,
    load,
    square_root,
    store,
    where_less,
)
from twomode.engines.compiled.parts import part
from twomode.engines.compiled.records import Neurons, RuleCode, StageCode, Work
from twomode.rules import CORRECTIONS, DIRECTIONS, GRANULARITIES, MAGNITUDES

GRADIENT, MOMENTUM, ADAM = (DIRECTIONS.index(name) for name in ("gradient", "momentum", "adam"))
OWN, UNIT, CONSTANT, CLIPPED, MOMENTUM_NORM, ADAM_NORM = (
    MAGNITUDES.index(name) for name in ("own", "unit", "constant", "clipped", "momentum", "adam")
)
NEURON, GLOBAL, SPECTRAL = (GRANULARITIES.index(n) for n in ("neuron", "global", "spectral"))
NONE = CORRECTIONS.index("none")


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
def recall(rows: int, rule: RuleCode, t: int, neurons: Neurons) -> None:
    """Take the step before anew from the moments as they are, with the scales of update t."""
    M, S, past = neurons.M, neurons.S, neurons.past
    first_scale, second_scale = moment_scales(rule, t)
    m_scale, s_scale, eps = fill(M, first_scale), fill(M, second_scale), fill(M, rule.eps)
    for i in range(rows):
        for k in range(M.shape[1]):
            m = m_scale * load(M, i, k)
            if rule.uses_second_moment:
                m = divide_or_zero(m, square_root(s_scale * load(S, i, k)) + eps)
            store(past, i, k, m)


@part
def direct(rows: int, rule: RuleCode, t: int, neurons: Neurons, norms: np.ndarray) -> None:
    """Turn the gradient into the rule's direction in place, and advance the moments.

    Columns 0, 1 and 2 of `norms` become the squared norms of each row of the direction, of the
    vector that gives the magnitude, and of the gradient.
    """
    if not rule.uses_first_moment and rule.direction == GRADIENT:
        gradient_norms(rows, neurons.G, norms)
        return
    G, M, S = neurons.G, neurons.M, neurons.S
    first_scale, second_scale = moment_scales(rule, t)
    m_scale, s_scale, eps = fill(G, first_scale), fill(G, second_scale), fill(G, rule.eps)
    beta1, rest1 = fill(G, rule.beta1), fill(G, 1.0 - rule.beta1)
    beta2, rest2 = fill(G, rule.beta2), fill(G, 1.0 - rule.beta2)
    ahead, _ = moment_scales(rule, t + 1)
    old, new = fill(G, rule.beta1 * ahead), fill(G, (1.0 - rule.beta1) * first_scale)
    for i in range(rows):
        direction_norm = magnitude_norm = gradient_norm = fill(G, 0.0)
        for k in range(G.shape[1]):
            g = load(G, i, k)
            direction = magnitude = g
            if rule.uses_first_moment:
                m = beta1 * load(M, i, k) + rest1 * g
                store(M, i, k, m)
                m = old * m + new * g if rule.nesterov else m * m_scale
                if rule.direction == MOMENTUM:
                    direction = m
                if rule.magnitude == MOMENTUM_NORM:
                    magnitude = m
                if rule.uses_second_moment:
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
def gradient_norms(rows: int, G: np.ndarray, norms: np.ndarray) -> None:
    """The squared norms of `direct` where the gradient itself is direction and magnitude."""
    for i in range(rows):
        square = fill(G, 0.0)
        for k in range(G.shape[1]):
            g = load(G, i, k)
            square += g * g
        for column in range(3):
            store(norms, i, column, square)


@part
def block_end(granularity: int, begin: int, layer: int, rows: int) -> int:
    """Where the block of rows that begins at `begin` ends; the first layer has `layer` rows."""
    if granularity == NEURON:
        return begin + 1
    if granularity != GLOBAL and begin < layer:
        return layer
    return rows


@part
def scale_blocks(
    rule: RuleCode,
    layer: int,
    constant: float,
    constant_last: float,
    norms: np.ndarray,
    pace: np.ndarray,
) -> None:
    """Replace ``norms[i, 0]`` by the factor that turns row i's direction into its step Delta.

    `norms` holds the squared norms of one player's rows (see `direct`): a layer of `layer` rows
    and perhaps the bias.  ``pace[0, 0]`` becomes the length of the player's whole step, and
    ``pace[0, 1]`` is raised to the norm of its gradient (by `raise_peak` if the rule is corrected).
    """
    rows, spectral = norms.shape[0], rule.granularity == SPECTRAL
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
        if rule.uses_norms:
            if rule.magnitude == CONSTANT:
                factor = fill(norms, constant if begin < layer else constant_last)
            elif rule.magnitude == CLIPPED:
                norm = square_root(magnitude if spectral else direction)
                longest = fill(norms, rule.max_norm)
                factor = where_less(longest, norm, longest, norm)
            elif rule.magnitude != UNIT:
                factor = square_root(magnitude)
            if not spectral:  # whose directions are polar factors already
                factor = divide_or_zero(factor, square_root(direction) + norm_eps)
        length += factor * factor * direction
        for i in range(begin, end):
            store(norms, i, 0, factor)
        begin = end
    store(pace, 0, 0, square_root(length))
    if rule.correction == NONE:
        store(pace, 0, 1, larger(load(pace, 0, 1), square_root(gradient)))


@part
def scale_discriminator(rule: RuleCode, work: Work, pace: np.ndarray) -> None:
    """`scale_blocks` for W and b."""
    layer = work.norms_D.shape[0] - 1
    scale_blocks(rule, layer, rule.constant_W, rule.constant_b, work.norms_D, pace[0:1])


@part
def scale_generator(rule: RuleCode, work: Work, pace: np.ndarray) -> None:
    """`scale_blocks` for V."""
    layer, constant = work.norms_G.shape[0], rule.constant_V
    scale_blocks(rule, layer, constant, constant, work.norms_G, pace[1:2])


@part
def add_steps(rows: int, eta: float, neurons: Neurons, factors: np.ndarray) -> None:
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
    factors: np.ndarray,
) -> None:
    """X <- base + eta (new Delta + old Delta_before) + pull (start - base) - decay base.

    Delta is remembered.
    """
    X, G, past, base, start = neurons.X, neurons.G, neurons.past, neurons.base, neurons.start
    keeps_step, keeps_base, anchored = past.shape[1] > 0, base.shape[1] > 0, start.shape[1] > 0
    new, old, pull_lanes = fill(X, eta * stage.new), fill(X, eta * stage.old), fill(X, pull)
    decay = fill(X, eta * rule.weight_decay)
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
            if rule.weight_decay != 0.0:
                there -= decay * here
            store(X, i, k, there)


@part
def move(
    rows: int,
    rule: RuleCode,
    stage: StageCode,
    t: int,
    eta: float,
    decay: float,
    neurons: Neurons,
    factors: np.ndarray,
) -> None:
    """Move in iteration t, counted from 1; see `Optimizer.step_sizes` and `Rule.pulls`."""
    if decay != 0.0:
        eta /= float(t) ** decay
    if rule.plain_moves:
        add_steps(rows, eta, neurons, factors)
    else:
        pull = (1.0 - decay) * rule.anchor / t
        move_from(rows, rule, stage, t, eta, pull, neurons, factors)


@part
def move_discriminator(
    rows: int, rule: RuleCode, stage: StageCode, t: int, neurons: Neurons, factors: np.ndarray
) -> None:
    """`move` W or b, if it is their turn."""
    if stage.D:
        move(rows, rule, stage, t, rule.eta_D, rule.decay_D, neurons, factors)


@part
def move_generator(
    rows: int, rule: RuleCode, stage: StageCode, t: int, neurons: Neurons, factors: np.ndarray
) -> None:
    """`move` V, if it is its turn."""
    if stage.G:
        move(rows, rule, stage, t, rule.eta_G, rule.decay_G, neurons, factors)
