"""R^d itself, for rules that see coordinates: compiled, coordinates in the vector lanes.

Each step is one pass over the coordinates (two where the rule needs norms of whole blocks): a
slice of them takes the gradient, moves, and at once adds up its share of the inner products that
the next step begins with.  Slices are fixed by d alone and their shares are added in a fixed
order, so results do not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from twomode.engines import _encoding as enc
from twomode.engines import _kernels as k
from twomode.engines._jit import kernel, part
from twomode.engines._lanes import LANES, fill, lane_sum, lane_zeros, load, store
from twomode.errors import require, require_choice
from twomode.game import Game
from twomode.optimizers import Optimizer
from twomode.state import State

__all__ = ["DenseEngine"]

#: Columns of LANES coordinates in a slice; a multiple of TILE.  A slice's share of the state and
#: of Adam's moments stays in the second-level cache while it is worked on.
SLICE = 48

#: Coordinates of all replicas below which a second thread costs more than it saves.
WORTH_THREADS = 2048


class Shares(NamedTuple):
    """What each slice adds to sums over coordinates, and a step's factors for plain rules."""

    y: np.ndarray
    h: np.ndarray
    norms_D: np.ndarray
    norms_G: np.ndarray
    plain_D: np.ndarray  #: eta_D for every row
    plain_G: np.ndarray  #: eta_G for every row


class DenseEngine:
    """Advances replicas of a game in R^d.

    Parameters
    ----------
    game : Game
    opt : Optimizer
    start : State
        In R^d, with a replica axis.
    dtype : {"float64", "float32"}
        Precision of the state and of the arithmetic.
    """

    name = "dense"

    def __init__(self, game: Game, opt: Optimizer, start: State, dtype: str = "float64") -> None:
        require_choice("dtype", dtype, ("float64", "float32"))
        require(
            start.dimension == game.d,
            f"the dense engine needs a start in R^d, d={game.d}, not in R^{start.dimension}",
        )
        self.game, self.opt, self.t, self.dtype = game, opt, 0, np.dtype(dtype)
        self.replicas = len(start.W)
        self._D, self._G = self._neurons(start.W), self._neurons(start.V)
        self._bias = self._neurons(np.asarray(start.b)[:, None, None], spread=True)
        self._U = self._pack(start.U)
        self._work = enc.make_work(game, self.replicas, self.dtype)
        self._shares = self._make_shares()
        self._pace = self._zeros(self.replicas, 2, 2)
        self._pace[:, :, 0] = np.nan
        self._model, self._rule = enc.encode_game(game), enc.encode_rule(game, opt)
        self._probabilities = enc.spread_probabilities(game, self.dtype)
        _project(self._D.X, self._G.X, self._U, self._work, self._shares)

    def advance(self, steps: int, batches: tuple[np.ndarray, np.ndarray] | None = None) -> None:
        """Take `steps` iterations; see `ReducedEngine.advance`."""
        weights: Any = self._probabilities
        if batches is not None:
            weights = tuple(self._weights(batch) for batch in batches)
        threads = numba.get_num_threads()
        if self.replicas * self.game.d < WORTH_THREADS:
            numba.set_num_threads(1)
        _advance(
            steps,
            self.t,
            np.array(self.opt.turns),
            self._model,
            self._rule,
            *weights,
            self._D,
            self._G,
            self._bias,
            self._U,
            self._work,
            self._shares,
            self._pace,
        )
        numba.set_num_threads(threads)
        self.t += steps

    @property
    def state(self) -> State:
        """The state in R^d, with a replica axis (copied)."""
        return State(
            W=self._unpack(self._D.X, self.game.m_D),
            V=self._unpack(self._G.X, self.game.m_G),
            b=self._bias.X[:, 0, 0, 0].copy(),
            U=self._unpack(self._U, 2),
        )

    @property
    def update_norms(self) -> np.ndarray:
        """Length of the last step over eta for (D, G), shape (R, 2); NaN before any step."""
        return self._pace[:, :, 0, 0].copy()

    @property
    def peak_grad_norms(self) -> np.ndarray:
        """Largest norm of the gradient of (D, G) over all iterations so far, shape (R, 2)."""
        return self._pace[:, :, 1, 0].copy()

    def _zeros(self, *shape: int) -> np.ndarray:
        return lane_zeros(shape, self.dtype)

    def _neurons(self, start: np.ndarray, spread: bool = False) -> enc.Neurons:
        X = self._pack(start)
        if spread:  # a scalar has no coordinates: the same in every lane
            X[:] = X[..., :1].copy()
        replicas, rows, columns, _ = X.shape
        # Directions of all coordinates where norms come before moves, else one slice a thread.
        whole = self.opt.uses_norms or spread
        places = replicas if whole else numba.config.NUMBA_NUM_THREADS
        G = self._zeros(places, rows, columns if whole else min(SLICE, columns))
        M, S = (
            self._zeros(replicas, rows, columns) if used else self._zeros(replicas, 0, 0)
            for used in (self.opt.uses_first_moment, self.opt.uses_second_moment)
        )
        return enc.Neurons(X, G, M, S)

    def _make_shares(self) -> Shares:
        slices = -(-self._U.shape[2] // SLICE)
        rows_D, rows_G, rows_U = (X.shape[1] for X in (self._D.X, self._G.X, self._U))
        plain_D, plain_G = self._zeros(self.game.m_D, 1), self._zeros(self.game.m_G, 1)
        plain_D[:], plain_G[:] = self.opt.eta_D, self.opt.eta_G
        return Shares(
            y=self._zeros(self.replicas, slices, rows_U, rows_D),
            h=self._zeros(self.replicas, slices, rows_G, rows_D),
            norms_D=self._zeros(self.replicas, slices, self.game.m_D, 3),
            norms_G=self._zeros(self.replicas, slices, self.game.m_G, 3),
            plain_D=plain_D,
            plain_G=plain_G,
        )

    def _pack(self, array: np.ndarray) -> np.ndarray:
        """(R, rows, d) to (R, rows, columns, LANES), padded."""
        replicas, rows, d = array.shape
        packed = self._zeros(replicas, enc.padded(rows), enc.padded(-(-d // LANES)))
        packed.reshape(replicas, enc.padded(rows), -1)[:, :rows, :d] = array
        return packed

    def _unpack(self, packed: np.ndarray, rows: int) -> np.ndarray:
        flat = packed.reshape(*packed.shape[:2], -1)
        return flat[:, :rows, : self.game.d].copy()

    def _weights(self, batch: np.ndarray) -> np.ndarray:
        """(R, steps, S) to (R, steps, 1, S, LANES), the same in every lane."""
        replicas, steps, points = batch.shape
        weights = self._zeros(replicas, steps, 1, points)
        weights[:] = batch[:, :, None, :, None]
        return weights


@part
def sliced(array: Any, first: int) -> Any:
    """The columns of the slice that begins at `first`."""
    return array[:, first : min(first + SLICE, array.shape[1])]


@part
def neurons_slice(neurons: enc.Neurons, replica: int, first: int, whole: bool) -> enc.Neurons:
    """A slice of a player; its directions lie there if kept `whole`, else with the thread."""
    X = sliced(neurons.X[replica], first)
    if whole:
        G = sliced(neurons.G[replica], first)
    else:
        G = neurons.G[numba.get_thread_id()][:, : X.shape[1]]
    return enc.Neurons(X, G, sliced(neurons.M[replica], first), sliced(neurons.S[replica], first))


@part
def add_shares(shares: Any, total: Any) -> None:
    """total = sum of `shares` over slices and lanes, the same in every lane."""
    for i in range(shares.shape[1]):
        for j in range(shares.shape[2]):
            x = fill(total, 0.0)
            for share in range(len(shares)):
                x += load(shares[share], i, j)
            store(total, i, j, lane_sum(x))


@kernel(parallel=True)
def _project(W: Any, V: Any, U: Any, work: enc.Work, shares: Shares) -> None:
    """Inner products from scratch, added in the same order as during a run."""
    slices = shares.y.shape[1]
    for task in numba.prange(len(W) * slices):
        replica, place = task // slices, task % slices
        k.project(
            sliced(W[replica], place * SLICE),
            sliced(V[replica], place * SLICE),
            sliced(U[replica], place * SLICE),
            shares.y[replica, place],
            shares.h[replica, place],
        )
    for replica in range(len(W)):
        add_shares(shares.y[replica], work.y[replica])
        add_shares(shares.h[replica], work.h[replica])


@kernel(parallel=True)
def _advance(
    steps: int,
    t: int,
    turns: Any,
    model: enc.Model,
    rule: enc.RuleCode,
    data_weights: Any,
    latent_weights: Any,
    D: enc.Neurons,
    G: enc.Neurons,
    bias: enc.Neurons,
    U: Any,
    work: enc.Work,
    shares: Shares,
    pace: Any,
) -> None:
    replicas, slices = len(U), shares.y.shape[1]
    m_D, m_G, two_passes = model.m_D, model.m_G, rule.magnitude != k.OWN
    for n in range(steps):
        for turn in range(len(turns)):
            D_moves, G_moves = turns[turn, 0], turns[turn, 1]
            for replica in range(replicas):
                x_weights = data_weights[replica % len(data_weights)]
                z_weights = latent_weights[replica % len(latent_weights)]
                own_bias, own_work = k.neurons_at(bias, replica), k.work_at(work, replica)
                k.answer(
                    model,
                    x_weights[n % len(x_weights)],
                    z_weights[n % len(z_weights)],
                    own_bias,
                    own_work,
                )
                if D_moves:
                    k.direct(1, rule, t + n + 1, own_bias, own_work.norms_D[m_D:])

            for task in numba.prange(replicas * slices):
                replica, place = task // slices, task % slices
                first, own_work = place * SLICE, k.work_at(work, replica)
                D_slice = neurons_slice(D, replica, first, two_passes)
                G_slice = neurons_slice(G, replica, first, two_passes)
                U_slice = sliced(U[replica], first)
                if D_moves:
                    k.discriminator_gradient(own_work, G_slice.X, U_slice, D_slice.G)
                    k.direct(m_D, rule, t + n + 1, D_slice, shares.norms_D[replica, place])
                if G_moves:
                    k.generator_gradient(own_work, D_slice.X, G_slice.G)
                    k.direct(m_G, rule, t + n + 1, G_slice, shares.norms_G[replica, place])
                if not two_passes:
                    if D_moves:
                        k.move(m_D, D_slice, shares.plain_D)
                    if G_moves:
                        k.move(m_G, G_slice, shares.plain_G)
                    y, h = shares.y[replica, place], shares.h[replica, place]
                    k.project(D_slice.X, G_slice.X, U_slice, y, h)

            for replica in range(replicas):
                own_work = k.work_at(work, replica)
                if D_moves:
                    add_shares(shares.norms_D[replica], own_work.norms_D)
                    k.scale_discriminator(rule, own_work, pace[replica])
                    k.move(1, k.neurons_at(bias, replica), own_work.norms_D[m_D:])
                if G_moves:
                    add_shares(shares.norms_G[replica], own_work.norms_G)
                    k.scale_generator(rule, own_work, pace[replica])

            if two_passes:
                for task in numba.prange(replicas * slices):
                    replica, place = task // slices, task % slices
                    first, own_work = place * SLICE, k.work_at(work, replica)
                    D_slice = neurons_slice(D, replica, first, True)
                    G_slice = neurons_slice(G, replica, first, True)
                    if D_moves:
                        k.move(m_D, D_slice, own_work.norms_D)
                    if G_moves:
                        k.move(m_G, G_slice, own_work.norms_G)
                    y, h = shares.y[replica, place], shares.h[replica, place]
                    k.project(D_slice.X, G_slice.X, sliced(U[replica], first), y, h)

            for replica in range(replicas):
                add_shares(shares.y[replica], work.y[replica])
                add_shares(shares.h[replica], work.h[replica])
