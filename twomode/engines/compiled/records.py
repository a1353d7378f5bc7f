"""The game, the rule and the working space in the form that kernels take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from twomode._typing import FloatArray
from twomode.engines.compiled.lanes import lane_zeros
from twomode.game import Game
from twomode.rules import CORRECTIONS, DIRECTIONS, GRANULARITIES, MAGNITUDES, Optimizer

#: Rows and columns of the block of a matrix product that is held in registers.
TILE = 3


class Model(NamedTuple):
    """The game's numbers and the supports of its laws (see `encode_points`)."""

    m_D: int
    m_G: int
    a: float
    lam: float
    clip: float
    data: np.ndarray
    latents: np.ndarray


class Neurons(NamedTuple):
    """A player's neurons, or the bias as a layer of its own, with the optimizer's memory."""

    X: np.ndarray  #: w_i, v_j or b, shape (..., rows, columns, LANES)
    G: np.ndarray  #: improving gradient, turned into the rule's direction
    M: np.ndarray  #: first moment; empty if the rule has none, and so are all that follow
    S: np.ndarray  #: second moment
    past: np.ndarray  #: the step of the iteration before
    base: np.ndarray  #: where the iteration began
    start: np.ndarray  #: where the anchor is


class Work(NamedTuple):
    """Scratch of one step; all of it follows from the state.

    The bias is the last row of D's norms (see `direct`).
    """

    y: np.ndarray  #: <u_l, w_i>, rows l
    h: np.ndarray  #: <v_j, w_i>, rows j and one of zeros
    A: np.ndarray  #: coefficients of u_l in the gradient for w_i, rows l
    C: np.ndarray  #: coefficients of v_j (negative) there, and of w_i in that for v_j, rows j
    slopes: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
    norms_D: np.ndarray
    norms_G: np.ndarray


class Correction(NamedTuple):
    """Scratch of a correction.

    It stands apart from `Neurons` and `Work` because every array that a parallel loop is given
    costs it time, used or not.
    """

    JT_W: Any  #: J^T xi
    JT_b: Any
    JT_V: Any
    J_W: Any  #: J xi, for sga
    J_b: Any
    J_V: Any
    dy: Any  #: derivatives of `Work.y`, h, A, C along a vector
    dh: Any
    dA: Any
    dC: Any
    slopes: Any
    dots: Any  #: <xi, grad H> and <A^T xi, grad H>


class StageCode(NamedTuple):
    """A `Stage` as kernels see it."""

    D: bool
    G: bool
    looks: bool
    new: float
    old: float
    back: bool
    first: bool  #: whether it is the first of its iteration
    update: int  #: how many updates the moments have had before it in its iteration


class RuleCode(NamedTuple):
    """An `Optimizer` as numbers: none of them is a compile-time constant."""

    direction: int
    magnitude: int
    granularity: int
    first_moment: bool
    second_moment: bool
    eta_D: float
    eta_G: float
    beta1: float
    beta2: float
    eps: float
    norm_eps: float
    bias_correction: bool
    heavy_ball: bool
    constant_W: float
    constant_b: float
    constant_V: float
    plain_moves: bool  #: whether every move is a step from where the players stand
    updates: int
    decay_D: float
    decay_G: float
    anchor: float
    plain_start: bool
    recalls: bool  #: whether the old step is scaled by today's bias correction
    correction: int
    correction_weight: float
    aligned: bool
    parameters: float


def padded(size: int) -> int:
    """The least multiple of TILE that is at least `size`."""
    return -(-size // TILE) * TILE


def encode_points(support: FloatArray, absent: int) -> np.ndarray:
    """The ones of each point, shape (S, width >= 2), short rows filled up with `absent`.

    `absent` is a row of `h` that is always zero and a row of `out` that nobody reads (see
    `coefficients`), so that singles, pairs and larger points take the same branch-free path.
    """
    width = max(2, int(support.sum(axis=1).max()))
    members = np.full((len(support), width), absent)
    for row, point in zip(members, support, strict=True):
        ones = np.flatnonzero(point)
        row[: len(ones)] = ones
    return members


def encode_game(game: Game) -> Model:
    """The game for kernels; the absent rows are spare ones of `Work.y` and `Work.h`."""
    return Model(
        game.m_D,
        game.m_G,
        float(game.a),
        float(game.lam),
        float(game.clip),
        encode_points(game.data_points[0], absent=2),
        encode_points(game.latent_points[0], absent=padded(game.m_G)),
    )


def encode_rule(game: Game, opt: Optimizer) -> RuleCode:
    """The rule's numbers for kernels."""
    sizes = opt.block_sizes(game.d, game.m_D, game.m_G)
    return RuleCode(
        DIRECTIONS.index(opt.direction),
        MAGNITUDES.index(opt.magnitude),
        GRANULARITIES.index(opt.granularity),
        opt.uses_first_moment,
        opt.uses_second_moment,
        float(opt.eta_D),
        float(opt.eta_G),
        float(opt.beta1),
        float(opt.beta2),
        float(opt.eps),
        float(opt.norm_eps),
        opt.bias_correction,
        opt.heavy_ball,
        opt.block_length(sizes["W"]),
        opt.block_length(sizes["b"]),
        opt.block_length(sizes["V"]),
        not (opt.keeps_step or opt.keeps_base or opt.anchor),
        opt.updates,
        opt.decay_D,
        opt.decay_G,
        opt.anchor,
        opt.first_step == "plain",
        opt.past_scale == "today",
        CORRECTIONS.index(opt.correction),
        opt.correction_weight,
        opt.aligned,
        float(game.parameters),
    )


def encode_stages(opt: Optimizer) -> np.ndarray:
    """The stages of an iteration, a row each; `stage_at` reads them."""
    rows, updates = [], {"D": 0, "G": 0}
    for n, stage in enumerate(opt.stages):
        movers = [player for player in "DG" if getattr(stage, player)]
        update = updates[movers[0]]
        rows.append(
            [stage.D, stage.G, stage.looks, stage.new, stage.old, stage.back, n == 0, update]
        )
        for player in movers:
            updates[player] += stage.looks
    return np.array(rows, dtype=float)


def make_neurons(
    opt: Optimizer, X: np.ndarray, G: np.ndarray, zeros: Callable[..., np.ndarray]
) -> Neurons:
    """A layer at its start with the memory that the rule needs; `zeros` takes a shape."""

    def memory(used: bool) -> np.ndarray:
        return zeros(*X.shape[:3]) if used else zeros(X.shape[0], 0, 0)

    return Neurons(
        X,
        G,
        M=memory(opt.uses_first_moment),
        S=memory(opt.uses_second_moment),
        past=memory(opt.keeps_step),
        base=memory(opt.keeps_base),
        start=X.copy() if opt.anchor else memory(False),
    )


def make_correction(
    game: Game, opt: Optimizer, layers: Sequence[Neurons], zeros: Callable[..., np.ndarray]
) -> Correction | None:
    """Scratch for the layers W, b, V of a corrected rule; `zeros` takes a shape.

    Kernels compile once with it and once with None, so that rules without a correction need not
    wait for that of the others.
    """
    if not opt.corrected:
        return None
    places = len(layers[0].X)
    rows_D, rows_U, rows_G = padded(game.m_D), padded(2), padded(game.m_G) + 1
    W, b, V = (layer.X.shape[:3] for layer in layers)
    J = [shape if opt.correction == "sga" else (places, 0, 0) for shape in (W, b, V)]
    shapes = Correction(
        JT_W=W,
        JT_b=b,
        JT_V=V,
        J_W=J[0],
        J_b=J[1],
        J_V=J[2],
        dy=(places, rows_U, rows_D),
        dh=(places, rows_G, rows_D),
        dA=(places, rows_U, rows_D),
        dC=(places, rows_G, rows_D),
        slopes=(places, 2, rows_D),
        dots=(places, 1, 2),
    )
    return Correction(*(zeros(*shape) for shape in shapes))


def spread_probabilities(game: Game, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the population gradient, shapes (1, 1, 1, S, LANES): any run, any step."""
    data, latents = (
        lane_zeros((1, 1, 1, len(points[1])), dtype)
        for points in (game.data_points, game.latent_points)
    )
    data[:] = game.data_points[1][:, None]
    latents[:] = game.latent_points[1][:, None]
    return data, latents


def make_work(game: Game, places: int, dtype: Any) -> Work:
    """Scratch for `places` independent runs, the leading axis of every array."""

    def zeros(*shape: int) -> np.ndarray:
        return lane_zeros((places, *shape), dtype)

    rows_D, rows_U, rows_G = padded(game.m_D), padded(2), padded(game.m_G) + 1
    return Work(
        y=zeros(rows_U, rows_D),
        h=zeros(rows_G, rows_D),
        A=zeros(rows_U, rows_D),
        C=zeros(rows_G, rows_D),
        slopes=zeros(1, rows_D),
        right=zeros(1, 1),
        wrong=zeros(1, 1),
        norms_D=zeros(game.m_D + 1, 3),
        norms_G=zeros(game.m_G, 3),
    )
