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

from twomode.engines.compiled import kernels as k
from twomode.engines.compiled import records as enc
from twomode.engines.compiled.jit import kernel, part
from twomode.engines.compiled.lanes import LANES, fill, lane_sum, lane_zeros, load, store
from twomode.errors import require, require_choice
from twomode.game import Game, State
from twomode.rules import Optimizer

__all__ = ["DenseEngine"]

#: Columns of LANES coordinates in a slice; a multiple of TILE.  A slice's share of the state and
#: of Adam's moments stays in the second-level cache while it is worked on.
SLICE = 48

#: Coordinates of all replicas below which a second thread costs more than it saves.
WORTH_THREADS = 2048


class Shares(NamedTuple):
    """What each slice adds to sums over coordinates, and the factors of rules without norms."""

    y: np.ndarray
    h: np.ndarray
    norms_D: np.ndarray
    norms_G: np.ndarray
    plain_D: np.ndarray  #: 1 for every row
    plain_G: np.ndarray  #: 1 for every row


class DerivativeShares(NamedTuple):
    """What each slice adds to the sums of a correction."""

    dy: np.ndarray
    dh: np.ndarray
    dots: np.ndarray


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
        layers = (self._D, self._bias, self._G)
        self._correction = enc.make_correction(game, opt, layers, self._zeros)
        self._shares, self._derivative_shares = self._make_shares()
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
            enc.encode_stages(self.opt),
            self._model,
            self._rule,
            *weights,
            self._D,
            self._G,
            self._bias,
            self._U,
            self._work,
            self._shares,
            self._correction,
            self._derivative_shares,
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
        # Directions of all coordinates where they are needed again, else one slice a thread.
        whole = self.opt.uses_norms or self.opt.corrected or spread
        places = replicas if whole else numba.config.NUMBA_NUM_THREADS
        G = self._zeros(places, rows, columns if whole else min(SLICE, columns))
        return enc.make_neurons(self.opt, X, G, self._zeros)

    def _make_shares(self) -> tuple[Shares, DerivativeShares | None]:
        slices = -(-self._U.shape[2] // SLICE)
        rows_D, rows_G, rows_U = (X.shape[1] for X in (self._D.X, self._G.X, self._U))
        plain_D, plain_G = self._zeros(self.game.m_D, 1), self._zeros(self.game.m_G, 1)
        plain_D[:] = plain_G[:] = 1
        shares = Shares(
            y=self._zeros(self.replicas, slices, rows_U, rows_D),
            h=self._zeros(self.replicas, slices, rows_G, rows_D),
            norms_D=self._zeros(self.replicas, slices, self.game.m_D, 3),
            norms_G=self._zeros(self.replicas, slices, self.game.m_G, 3),
            plain_D=plain_D,
            plain_G=plain_G,
        )
        if not self.opt.corrected:
            return shares, None
        return shares, DerivativeShares(
            dy=self._zeros(self.replicas, slices, rows_U, rows_D),
            dh=self._zeros(self.replicas, slices, rows_G, rows_D),
            dots=self._zeros(self.replicas, slices, 1, 2),
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
    return enc.Neurons(
        X,
        G,
        sliced(neurons.M[replica], first),
        sliced(neurons.S[replica], first),
        sliced(neurons.past[replica], first),
        sliced(neurons.base[replica], first),
        sliced(neurons.start[replica], first),
    )


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


@part
def move_slice(
    model: enc.Model,
    rule: enc.RuleCode,
    stage: enc.StageCode,
    t: int,
    D: enc.Neurons,
    G: enc.Neurons,
    U: Any,
    factors_D: Any,
    factors_G: Any,
    y: Any,
    h: Any,
) -> None:
    """Move a slice of both players in iteration t, and share what the next look begins with."""
    eta_D, eta_G = k.step_sizes(rule, t)
    pull_D, pull_G = k.pulls(rule, t)
    if rule.plain_moves:
        if stage.D:
            k.move(model.m_D, eta_D, D, factors_D)
        if stage.G:
            k.move(model.m_G, eta_G, G, factors_G)
    else:
        if stage.D:
            k.move_from(model.m_D, rule, stage, t, eta_D, pull_D, D, factors_D)
        if stage.G:
            k.move_from(model.m_G, rule, stage, t, eta_G, pull_G, G, factors_G)
    k.project(D.X, G.X, U, y, h)


@kernel(parallel=True)
def _advance(
    steps: int,
    t: int,
    stages: Any,
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
    correction: enc.Correction | None,
    derivative_shares: DerivativeShares | None,
    pace: Any,
) -> None:
    replicas, slices = len(U), shares.y.shape[1]
    m_D, m_G, corrected = model.m_D, model.m_G, rule.correction != k.NONE
    # Parallel loops are given the arrays that they use, not the tuples that hold them: each costs.
    A, C, factors_D, factors_G = work.A, work.C, work.norms_D, work.norms_G
    y, h, norms_D, norms_G = shares.y, shares.h, shares.norms_D, shares.norms_G
    plain_D, plain_G = shares.plain_D, shares.plain_G
    for n in range(steps):
        iteration = t + n + 1
        for turn in range(len(stages)):
            stage = k.stage_at(stages, turn)
            update = (t + n) * rule.updates + stage.update + 1
            two_passes = rule.magnitude != k.OWN or not stage.looks
            if stage.looks:
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
                if correction is not None:
                    _correct(
                        n,
                        stage,
                        model,
                        rule,
                        data_weights,
                        latent_weights,
                        D,
                        G,
                        bias,
                        U,
                        work,
                        shares,
                        correction,
                        derivative_shares,
                        pace,
                    )
                if stage.D:
                    for replica in range(replicas):
                        own_bias = k.neurons_at(bias, replica)
                        if rule.recalls:
                            k.recall(1, rule, update, own_bias)
                        k.direct(1, rule, update, own_bias, work.norms_D[replica, m_D:])

                for task in numba.prange(replicas * slices):
                    here = k.stage_at(stages, turn)  # Numba cannot bring a made-up tuple in
                    replica, place = task // slices, task % slices
                    first = place * SLICE
                    whole = two_passes or corrected
                    D_slice = neurons_slice(D, replica, first, whole)
                    G_slice = neurons_slice(G, replica, first, whole)
                    U_slice = sliced(U[replica], first)
                    if here.D:
                        if not corrected:
                            k.discriminator_gradient(
                                A[replica], C[replica], G_slice.X, U_slice, D_slice.G
                            )
                        if rule.recalls:
                            k.recall(m_D, rule, update, D_slice)
                        k.direct(m_D, rule, update, D_slice, norms_D[replica, place])
                    if here.G:
                        if not corrected:
                            k.generator_gradient(C[replica], D_slice.X, G_slice.G)
                        if rule.recalls:
                            k.recall(m_G, rule, update, G_slice)
                        k.direct(m_G, rule, update, G_slice, norms_G[replica, place])
                    if not two_passes:
                        move_slice(
                            model,
                            rule,
                            here,
                            iteration,
                            D_slice,
                            G_slice,
                            U_slice,
                            plain_D,
                            plain_G,
                            y[replica, place],
                            h[replica, place],
                        )

                for replica in range(replicas):
                    own_work = k.work_at(work, replica)
                    if stage.D:
                        add_shares(shares.norms_D[replica], own_work.norms_D)
                        k.scale_discriminator(rule, own_work, pace[replica])
                    if stage.G:
                        add_shares(shares.norms_G[replica], own_work.norms_G)
                        k.scale_generator(rule, own_work, pace[replica])

            if stage.D:
                eta_D, _ = k.step_sizes(rule, iteration)
                pull_D, _ = k.pulls(rule, iteration)
                for replica in range(replicas):
                    own_bias, norms = k.neurons_at(bias, replica), work.norms_D[replica, m_D:]
                    if rule.plain_moves:
                        k.move(1, eta_D, own_bias, norms)
                    else:
                        k.move_from(1, rule, stage, iteration, eta_D, pull_D, own_bias, norms)

            if two_passes:
                for task in numba.prange(replicas * slices):
                    here = k.stage_at(stages, turn)  # Numba cannot bring a made-up tuple in
                    replica, place = task // slices, task % slices
                    first = place * SLICE
                    whole = rule.magnitude != k.OWN or corrected
                    move_slice(
                        model,
                        rule,
                        here,
                        iteration,
                        neurons_slice(D, replica, first, whole),
                        neurons_slice(G, replica, first, whole),
                        sliced(U[replica], first),
                        factors_D[replica],
                        factors_G[replica],
                        y[replica, place],
                        h[replica, place],
                    )

            for replica in range(replicas):
                add_shares(shares.y[replica], work.y[replica])
                add_shares(shares.h[replica], work.h[replica])


@kernel(parallel=True)
def _correct(
    n: int,
    stage: enc.StageCode,
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
    correction: enc.Correction,
    derivative_shares: DerivativeShares,
    pace: Any,
) -> None:
    """Leave the corrected gradients of both players, as `twomode.engines.reduced` does."""
    replicas, slices = len(U), shares.y.shape[1]
    m_D, m_G, sga = model.m_D, model.m_G, rule.correction == k.SGA
    A, C = work.A, work.C
    for product in range(2 if sga else 1):
        sign_D = -1.0 if product == 0 else 1.0
        for task in numba.prange(replicas * slices):
            replica, place = task // slices, task % slices
            first = place * SLICE
            D_slice = neurons_slice(D, replica, first, True)
            G_slice = neurons_slice(G, replica, first, True)
            U_slice = sliced(U[replica], first)
            if product == 0:
                k.discriminator_gradient(A[replica], C[replica], G_slice.X, U_slice, D_slice.G)
                k.generator_gradient(C[replica], D_slice.X, G_slice.G)
                k.gradient_norms(m_D, D_slice, shares.norms_D[replica, place])
                k.gradient_norms(m_G, G_slice, shares.norms_G[replica, place])
            dy, dh = derivative_shares.dy[replica, place], derivative_shares.dh[replica, place]
            k.project_derivative(sign_D, D_slice, G_slice, U_slice, dy, dh)

        for replica in range(replicas):
            x_weights = data_weights[replica % len(data_weights)]
            z_weights = latent_weights[replica % len(latent_weights)]
            own_bias, own_work = k.neurons_at(bias, replica), k.work_at(work, replica)
            own = k.correction_at(correction, replica)
            if product == 0:
                add_shares(shares.norms_D[replica], own_work.norms_D)
                add_shares(shares.norms_G[replica], own_work.norms_G)
                k.gradient_norms(1, own_bias, own_work.norms_D[m_D:])
                if stage.D:
                    k.raise_peak(own_work.norms_D, pace[replica, 0:1])
                if stage.G:
                    k.raise_peak(own_work.norms_G, pace[replica, 1:2])
            add_shares(derivative_shares.dy[replica], own.dy)
            add_shares(derivative_shares.dh[replica], own.dh)
            k.answer_derivative(
                model,
                x_weights[n % len(x_weights)],
                z_weights[n % len(z_weights)],
                sign_D,
                own_bias,
                own_work,
                own,
                own.JT_b if product == 0 else own.J_b,
            )

        for task in numba.prange(replicas * slices):
            replica, place = task // slices, task % slices
            first, own = place * SLICE, k.correction_at(correction, replica)
            D_slice = neurons_slice(D, replica, first, True)
            G_slice = neurons_slice(G, replica, first, True)
            W = sliced(own.JT_W if product == 0 else own.J_W, first)
            V = sliced(own.JT_V if product == 0 else own.J_V, first)
            U_slice = sliced(U[replica], first)
            k.discriminator_product(sign_D, C[replica], own, G_slice, U_slice, W)
            k.generator_product(sign_D, C[replica], own, D_slice, V)

    if sga:
        for task in numba.prange(replicas * slices):
            replica, place = task // slices, task % slices
            first, own = place * SLICE, k.correction_at(correction, replica)
            dots = derivative_shares.dots[replica, place]
            W, V = sliced(D.G[replica], first), sliced(G.G[replica], first)
            JT_W, J_W = sliced(own.JT_W, first), sliced(own.J_W, first)
            JT_V, J_V = sliced(own.JT_V, first), sliced(own.J_V, first)
            k.clear(dots)
            k.add_alignment(m_D, W, JT_W, J_W, dots)
            k.add_alignment(m_G, V, JT_V, J_V, dots)
        for replica in range(replicas):
            own, dots = k.correction_at(correction, replica), correction.dots[replica]
            add_shares(derivative_shares.dots[replica], dots)
            k.add_alignment(1, bias.G[replica], own.JT_b, own.J_b, dots)

    for task in numba.prange(replicas * slices):
        replica, place = task // slices, task % slices
        first, own = place * SLICE, k.correction_at(correction, replica)
        weight = k.correction_weight(rule, own.dots)
        W, V = sliced(D.G[replica], first), sliced(G.G[replica], first)
        JT_W, J_W = sliced(own.JT_W, first), sliced(own.J_W, first)
        JT_V, J_V = sliced(own.JT_V, first), sliced(own.J_V, first)
        k.correct(m_D, rule, weight, W, JT_W, J_W)
        k.correct(m_G, rule, weight, V, JT_V, J_V)
    for replica in range(replicas):
        own = k.correction_at(correction, replica)
        weight = k.correction_weight(rule, own.dots)
        k.correct(1, rule, weight, bias.G[replica], own.JT_b, own.J_b)
