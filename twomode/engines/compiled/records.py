"""The game, the rule and the working space in the form that kernels take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from twomode._typing import FloatArray
from twomode.engines.compiled.lanes import lane_zeros
from twomode.engines.compiled.parts import part
from twomode.engines.compiled.products import padded
from twomode.game import Game
from twomode.rules import (
    CORRECTIONS,
    DIRECTIONS,
    GRANULARITIES,
    MAGNITUDES,
    SCHEDULES,
    Optimizer,
    Stage,
)


class GameCode(NamedTuple):
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


class Players(NamedTuple):
    """Where the players are, and the modes."""

    D: Neurons
    G: Neurons
    bias: Neurons
    U: np.ndarray  #: u_l, rows l


class Weights(NamedTuple):
    """Weights of the points, step by step."""

    data: np.ndarray  #: shape (..., steps or 1, 1, S, LANES)
    latents: np.ndarray


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
    at_data: np.ndarray  #: of each point how wrong D is, times its weight, and how right
    at_latents: np.ndarray  #: (both are empty for rules without a correction)


class Correction(NamedTuple):
    """Scratch of a correction.

    It stands apart from `Neurons` and `Work` because every array that a parallel loop is given
    costs it time, used or not.
    """

    product_W: np.ndarray  #: what corrects the gradient, before its weight
    product_b: np.ndarray
    product_V: np.ndarray
    own_W: np.ndarray  #: what a player's own gradient does to it, for sga
    own_b: np.ndarray
    own_V: np.ndarray
    dy: np.ndarray  #: derivatives of `Work.y`, h, A, C along a vector
    dh: np.ndarray
    dA: np.ndarray
    dC: np.ndarray
    slopes: np.ndarray
    dots: np.ndarray  #: <xi, grad H> and <A^T xi, grad H>


class Polar(NamedTuple):
    """Scratch of one player's polar factor; matrices of its rows, see `polars`."""

    gram: np.ndarray
    first: np.ndarray  #: eigenvectors of the Gram matrix
    second: np.ndarray  #: of that of the rows that the first have turned
    turn: np.ndarray  #: by which the rows are multiplied
    numbers: np.ndarray  #: rows of single numbers: one for each row, and `polars.SUMS`
    column: np.ndarray  #: of the rows, a copy for each slice


class Polars(NamedTuple):
    """Scratch of polar factors, apart from `Work` for the reasons of `Correction`."""

    D: Polar
    G: Polar


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
    """An `Optimizer` as numbers, under its own names where they are the same.

    None of them is a compile-time constant: all rules run the same machine code.
    """

    direction: int
    magnitude: int
    granularity: int
    uses_norms: bool
    exact_polar: bool
    uses_first_moment: bool
    uses_second_moment: bool
    eta_D: float
    eta_G: float
    beta1: float
    beta2: float
    eps: float
    norm_eps: float
    bias_correction: bool
    heavy_ball: bool
    nesterov: bool
    constant_W: float
    constant_b: float
    constant_V: float
    max_norm: float
    plain_moves: bool  #: whether every move is a step from where the players stand
    updates: int
    decay_D: float
    decay_G: float
    anchor: float
    weight_decay: float
    plain_start: bool
    recalls: bool  #: whether the old step is scaled by today's bias correction
    correction: int
    correction_weight: float
    aligned: bool
    parameters: float


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


def encode_game(game: Game, absent: int | None = None) -> GameCode:
    """The game for kernels; the absent rows are spare ones of `Work.y` and `Work.h`."""
    return GameCode(
        m_D=game.m_D,
        m_G=game.m_G,
        a=float(game.a),
        lam=float(game.lam),
        clip=float(game.clip),
        data=encode_points(game.data_points[0], absent=2),
        latents=encode_points(game.latent_points[0], absent or padded(game.m_G)),
    )


def encode_rule(game: Game, opt: Optimizer) -> RuleCode:
    """The rule's numbers for kernels."""
    sizes = opt.block_sizes(game.d, game.m_D, game.m_G)
    made: dict[str, Any] = {  # of the types that `RuleCode` says
        "direction": DIRECTIONS.index(opt.direction),
        "magnitude": MAGNITUDES.index(opt.magnitude),
        "granularity": GRANULARITIES.index(opt.granularity),
        "exact_polar": opt.polar == "exact",
        "correction": CORRECTIONS.index(opt.correction),
        "constant_W": opt.block_length(sizes["W"]),
        "constant_b": opt.block_length(sizes["b"]),
        "constant_V": opt.block_length(sizes["V"]),
        "plain_moves": not (opt.keeps_step or opt.keeps_base or opt.pulled),
        "plain_start": opt.first_step == "plain",
        "recalls": opt.past_scale == "today",
        "parameters": float(game.parameters),
    }
    same = {name: getattr(opt, name) for name in RuleCode._fields if name not in made}
    return RuleCode(**made, **same)


def encode_stages(opt: Optimizer) -> tuple[StageCode, ...]:
    """The stages of an iteration, with idle ones at the end: any schedule compiles to the same."""
    codes, updates = [], {"D": 0, "G": 0}
    idle = Stage(False, False, new=0)
    longest = max(len(stages) for stages in SCHEDULES.values())
    for n, stage in enumerate([*opt.stages, *[idle] * (longest - len(opt.stages))]):
        movers = [player for player in "DG" if getattr(stage, player)]
        codes.append(
            StageCode(
                D=stage.D,
                G=stage.G,
                looks=stage.looks,
                new=float(stage.new),
                old=float(stage.old),
                back=stage.back,
                first=n == 0,
                update=max((updates[player] for player in movers), default=0),
            )
        )
        for player in movers:
            updates[player] += stage.looks
    return tuple(codes)


def make_neurons(
    opt: Optimizer, X: np.ndarray, G: np.ndarray, zeros: Callable[..., np.ndarray]
) -> Neurons:
    """A layer at its start with the memory that the rule needs; `zeros` takes a shape."""

    def memory(used: bool) -> np.ndarray:
        return zeros(*X.shape[:3]) if used else zeros(X.shape[0], 0, 0)

    return Neurons(
        X=X,
        G=G,
        M=memory(opt.uses_first_moment),
        S=memory(opt.uses_second_moment),
        past=memory(opt.keeps_step),
        base=memory(opt.keeps_base),
        start=X.copy() if opt.anchor else memory(False),
    )


def kept(players: Players) -> dict[str, np.ndarray]:
    """What a rule needs from one iteration to the next, by name; the rest is taken anew in each."""
    layers = {"W": players.D, "V": players.G, "b": players.bias}
    names = ("X", "M", "S", "past")
    return {f"{k}_{layer}": getattr(x, k) for layer, x in layers.items() for k in names}


def make_correction(
    game: Game,
    opt: Optimizer,
    layers: tuple[np.ndarray, np.ndarray, np.ndarray],
    zeros: Callable[..., np.ndarray],
) -> Correction | None:
    """Scratch of a corrected rule, for layers W, b and V; `zeros` takes a shape.

    Kernels compile once with it and once with None, so that rules without a correction need not
    wait for that of the others.
    """
    if not opt.corrected:
        return None
    places = len(layers[0])
    rows_D, rows_U, rows_G = padded(game.m_D), padded(2), padded(game.m_G) + 1
    W, b, V = (layer.shape[:3] for layer in layers)
    own = [shape if opt.correction == "sga" else (places, 0, 0) for shape in (W, b, V)]
    return Correction(
        product_W=zeros(*W),
        product_b=zeros(*b),
        product_V=zeros(*V),
        own_W=zeros(*own[0]),
        own_b=zeros(*own[1]),
        own_V=zeros(*own[2]),
        dy=zeros(places, rows_U, rows_D),
        dh=zeros(places, rows_G, rows_D),
        dA=zeros(places, rows_U, rows_D),
        dC=zeros(places, rows_G, rows_D),
        slopes=zeros(places, 2, rows_D),
        dots=zeros(places, 1, 2),
    )


def make_polars(
    game: Game, opt: Optimizer, places: int, slices: int, zeros: Callable[..., np.ndarray]
) -> Polars | None:
    """Scratch of a spectral rule, with the leading axis of `make_work`; like `make_correction`."""
    if not opt.spectral:
        return None

    def polar(rows: int) -> Polar:
        size = padded(rows)
        gram, first, second, turn = (zeros(places, size, size) for _ in range(4))
        numbers, column = zeros(places, size + 3, 1), zeros(places, slices, size, 1)
        return Polar(gram, first, second, turn, numbers, column)

    return Polars(polar(game.m_D), polar(game.m_G))


def population_weights(game: Game, dtype: DTypeLike, factor: float) -> Weights:
    """Those of the population gradient times a factor, shapes (1, 1, 1, S, LANES): of any step."""
    weights = Weights(
        *(
            lane_zeros((1, 1, 1, len(points[1])), dtype)
            for points in (game.data_points, game.latent_points)
        )
    )
    weights.data[:] = factor * game.data_points[1][:, None]
    weights.latents[:] = factor * game.latent_points[1][:, None]
    return weights


def make_work(game: Game, opt: Optimizer, places: int, zeros: Callable[..., np.ndarray]) -> Work:
    """Scratch for `places` independent runs, the leading axis of every array."""
    rows_D, rows_U, rows_G = padded(game.m_D), padded(2), padded(game.m_G) + 1
    laws = game.data_points, game.latent_points
    at_data, at_latents = (2 * len(law[1]) if opt.corrected else 0 for law in laws)
    return Work(
        y=zeros(places, rows_U, rows_D),
        h=zeros(places, rows_G, rows_D),
        A=zeros(places, rows_U, rows_D),
        C=zeros(places, rows_G, rows_D),
        slopes=zeros(places, 1, rows_D),
        right=zeros(places, 1, 1),
        wrong=zeros(places, 1, 1),
        norms_D=zeros(places, game.m_D + 1, 3),
        norms_G=zeros(places, game.m_G, 3),
        at_data=zeros(places, 1, at_data),
        at_latents=zeros(places, 1, at_latents),
    )


def share(arrays: Any, place: int) -> Any:
    """One run's share of arrays with a leading axis, or of tuples of them; None is None's."""
    if isinstance(arrays, tuple):
        shares = [share(array, place) for array in arrays]
        return type(arrays)(*shares) if hasattr(arrays, "_fields") else tuple(shares)
    return None if arrays is None else arrays[place]


# What `share` does, for kernels, which cannot loop over the fields of a record.


@part
def neurons_at(neurons: Neurons, place: int) -> Neurons:
    """One run's share of arrays with a leading axis."""
    return Neurons(
        X=neurons.X[place],
        G=neurons.G[place],
        M=neurons.M[place],
        S=neurons.S[place],
        past=neurons.past[place],
        base=neurons.base[place],
        start=neurons.start[place],
    )


@part
def work_at(work: Work, place: int) -> Work:
    """One run's share of arrays with a leading axis."""
    return Work(
        y=work.y[place],
        h=work.h[place],
        A=work.A[place],
        C=work.C[place],
        slopes=work.slopes[place],
        right=work.right[place],
        wrong=work.wrong[place],
        norms_D=work.norms_D[place],
        norms_G=work.norms_G[place],
        at_data=work.at_data[place],
        at_latents=work.at_latents[place],
    )


@part
def correction_at(correction: Correction, place: int) -> Correction:
    """One run's share of arrays with a leading axis."""
    return Correction(
        product_W=correction.product_W[place],
        product_b=correction.product_b[place],
        product_V=correction.product_V[place],
        own_W=correction.own_W[place],
        own_b=correction.own_b[place],
        own_V=correction.own_V[place],
        dy=correction.dy[place],
        dh=correction.dh[place],
        dA=correction.dA[place],
        dC=correction.dC[place],
        slopes=correction.slopes[place],
        dots=correction.dots[place],
    )


@part
def weights_at(weights: Weights, n: int) -> Weights:
    """Those of a run or of a step; the population's serve them all."""
    data, latents = weights.data, weights.latents
    return Weights(data=data[n % len(data)], latents=latents[n % len(latents)])
