"""Many replicas at once in R^r, whatever d: compiled, replicas in the vector lanes.

Every gradient lies in the span of the modes and the start, so a rotation-equivariant rule in R^d
*is* the same rule in R^r with r = 2 + m_D + m_G.  Blocks of LANES replicas advance independently,
each on one thread, so a replica's numbers do not depend on how many others run or on how many
threads there are.  The threads are Python's (the kernel holds no lock): they sleep when done,
where OpenMP's would spin and, on a busy machine, keep each other waiting.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

from twomode.engines.compiled import kernels as k
from twomode.engines.compiled import records as enc
from twomode.engines.compiled.jit import kernel
from twomode.engines.compiled.lanes import LANES, lane_zeros
from twomode.errors import require
from twomode.game import Game, State
from twomode.rules import Optimizer

__all__ = ["ReducedEngine"]

#: Iterations times blocks below which starting threads costs more than it saves.
WORTH_THREADS = 200


class ReducedEngine:
    """Advances replicas of a game in R^r.

    Parameters
    ----------
    game : Game
    opt : Optimizer
        Rotation-equivariant.
    start : State
        With a replica axis; in R^d (reduced here by a QR factorization) or in R^r already.

    Raises
    ------
    InputError
        If the rule depends on the choice of coordinates.
    """

    name = "reduced"

    def __init__(self, game: Game, opt: Optimizer, start: State) -> None:
        self.check(opt)
        self.game, self.opt, self.t = game, opt, 0
        if start.dimension != game.reduced_dimension or np.any(start.U[:, :, 2:]):
            start, _ = start.reduce()
        self.replicas = len(start.W)
        self._D, self._G, self._bias = (
            self._neurons(X) for X in (start.W, start.V, np.asarray(start.b)[:, None, None])
        )
        self._U = self._pack(start.U[:, :, :2])  # the other coordinates are zero
        blocks = len(self._U)
        self._work = enc.make_work(game, blocks, np.float64)
        layers = (self._D, self._bias, self._G)
        self._correction = enc.make_correction(game, opt, layers, lambda *n: lane_zeros(n))
        self._pace = lane_zeros((blocks, 2, 2))
        self._pace[:, :, 0] = np.nan
        self._model, self._rule = enc.encode_game(game), enc.encode_rule(game, opt)
        self._probabilities = enc.spread_probabilities(game, np.float64)
        self._blocks = [
            (
                *(enc.Neurons(*(x[block] for x in n)) for n in (self._D, self._G, self._bias)),
                self._U[block],
                enc.Work(*(x[block] for x in self._work)),
                self._correction and enc.Correction(*(x[block] for x in self._correction)),
                self._pace[block],
            )
            for block in range(blocks)
        ]

    @staticmethod
    def check(opt: Optimizer) -> None:
        """Raise `InputError` if the rule depends on the choice of coordinates."""
        require(
            opt.equivariant,
            f"the reduced engine cannot run {opt.name!r}: Adam's direction and magnitude act on"
            " each coordinate of R^d, which a reduction to R^r does not keep; use engine='dense'",
        )

    def advance(self, steps: int, batches: tuple[np.ndarray, np.ndarray] | None = None) -> None:
        """Take `steps` iterations.

        Parameters
        ----------
        steps : int
        batches : pair of ndarray, shapes (R, steps, S_data) and (R, steps, S_latent), optional
            Weights of the points, step by step, for minibatches.
        """
        weights: Any = self._probabilities
        if batches is not None:
            weights = tuple(self._lanes(batch)[:, :, None] for batch in batches)
        stages = enc.encode_stages(self.opt)

        def advance_block(block: int) -> None:
            # One set of weights serves every block in a population run.
            own = [w[block % len(w)] for w in weights]
            arrays = self._blocks[block]
            _advance(steps, self.t, stages, self._model, self._rule, *own, *arrays)

        blocks = range(len(self._blocks))
        threads = min(numba.get_num_threads(), len(blocks))
        if threads > 1 and steps * len(blocks) >= WORTH_THREADS:
            with ThreadPoolExecutor(threads) as pool:
                for _ in pool.map(advance_block, blocks):
                    pass
        else:
            for block in blocks:
                advance_block(block)
        self.t += steps

    @property
    def state(self) -> State:
        """The state in R^r, with a replica axis (copied)."""
        game, r = self.game, self.game.reduced_dimension
        U = np.zeros((self.replicas, 2, r))
        U[:, :, :2] = self._unpack(self._U)[:, :2, :2]
        return State(
            W=self._unpack(self._D.X)[:, : game.m_D, :r],
            V=self._unpack(self._G.X)[:, : game.m_G, :r],
            b=self._unpack(self._bias.X)[:, 0, 0],
            U=U,
        )

    @property
    def update_norms(self) -> np.ndarray:
        """Length of the last step over eta for (D, G), shape (R, 2); NaN before any step."""
        return self._unpack(self._pace)[:, :, 0]

    @property
    def peak_grad_norms(self) -> np.ndarray:
        """Largest norm of the gradient of (D, G) over all iterations so far, shape (R, 2)."""
        return self._unpack(self._pace)[:, :, 1]

    def _neurons(self, start: np.ndarray) -> enc.Neurons:
        X = self._pack(start)
        return enc.make_neurons(
            self.opt, X, lane_zeros(X.shape[:3]), lambda *shape: lane_zeros(shape)
        )

    def _pack(self, array: np.ndarray) -> np.ndarray:
        """(R, rows, columns) to (blocks, rows, columns, LANES), rows and columns padded."""
        spare = [(0, 0)] + [(0, enc.padded(size) - size) for size in array.shape[1:]]
        return self._lanes(np.pad(array, spare))

    def _lanes(self, array: np.ndarray) -> np.ndarray:
        """(R, rows, columns) to (blocks, rows, columns, LANES); spare lanes repeat replica 0."""
        blocks = -(-self.replicas // LANES)
        spare = np.broadcast_to(array[:1], (blocks * LANES - self.replicas, *array.shape[1:]))
        full = np.concatenate([array, spare]).reshape(blocks, LANES, *array.shape[1:])
        packed = lane_zeros((blocks, *array.shape[1:]))
        packed[:] = np.moveaxis(full, 1, -1)
        return packed

    def _unpack(self, packed: np.ndarray) -> np.ndarray:
        flat = np.moveaxis(packed, -1, 1).reshape(-1, *packed.shape[1:3])
        return flat[: self.replicas].copy()


@kernel(nogil=True)
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
    correction: enc.Correction | None,
    pace: Any,
) -> None:
    """All steps of LANES replicas."""
    m_D, m_G = model.m_D, model.m_G
    bias_norms = work.norms_D[m_D:]
    corrected = rule.correction != k.NONE
    for n in range(steps):
        x_weights = data_weights[n % len(data_weights)]
        z_weights = latent_weights[n % len(latent_weights)]
        eta_D, eta_G = k.step_sizes(rule, t + n + 1)
        pull_D, pull_G = k.pulls(rule, t + n + 1)
        for turn in range(len(stages)):
            stage = k.stage_at(stages, turn)
            if stage.looks:
                update = (t + n) * rule.updates + stage.update + 1
                k.project(D.X, G.X, U, work.y, work.h)
                k.answer(model, x_weights, z_weights, bias, work)
                if stage.D or corrected:
                    k.discriminator_gradient(work.A, work.C, G.X, U, D.G)
                if stage.G or corrected:
                    k.generator_gradient(work.C, D.X, G.G)
                if correction is not None:
                    _correct(
                        stage,
                        model,
                        rule,
                        x_weights,
                        z_weights,
                        D,
                        G,
                        bias,
                        U,
                        work,
                        correction,
                        pace,
                    )
                if stage.D:
                    if rule.recalls:
                        k.recall(m_D, rule, update, D)
                        k.recall(1, rule, update, bias)
                    k.direct(m_D, rule, update, D, work.norms_D)
                    k.direct(1, rule, update, bias, bias_norms)
                    k.scale_discriminator(rule, work, pace)
                if stage.G:
                    if rule.recalls:
                        k.recall(m_G, rule, update, G)
                    k.direct(m_G, rule, update, G, work.norms_G)
                    k.scale_generator(rule, work, pace)
            if rule.plain_moves:
                if stage.D:
                    k.move(m_D, eta_D, D, work.norms_D)
                    k.move(1, eta_D, bias, bias_norms)
                if stage.G:
                    k.move(m_G, eta_G, G, work.norms_G)
            else:
                if stage.D:
                    k.move_from(m_D, rule, stage, t + n + 1, eta_D, pull_D, D, work.norms_D)
                    k.move_from(1, rule, stage, t + n + 1, eta_D, pull_D, bias, bias_norms)
                if stage.G:
                    k.move_from(m_G, rule, stage, t + n + 1, eta_G, pull_G, G, work.norms_G)


@kernel(nogil=True)
def _correct(
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
    correction: enc.Correction,
    pace: Any,
) -> None:
    """Replace the gradients of both players by the corrected ones."""
    m_D, m_G = model.m_D, model.m_G
    if stage.D:
        k.gradient_norms(m_D, D, work.norms_D)
        k.gradient_norms(1, bias, work.norms_D[m_D:])
        k.raise_peak(work.norms_D, pace[0:1])
    if stage.G:
        k.gradient_norms(m_G, G, work.norms_G)
        k.raise_peak(work.norms_G, pace[1:2])
    sga = rule.correction == k.SGA
    for product in range(2 if sga else 1):
        # J^T xi = Sigma K Sigma F and J xi = K F, with K the derivative of F = -xi.
        sign_D = -1.0 if product == 0 else 1.0
        W, b, V = correction.JT_W, correction.JT_b, correction.JT_V
        if product == 1:
            W, b, V = correction.J_W, correction.J_b, correction.J_V
        k.project_derivative(sign_D, D, G, U, correction.dy, correction.dh)
        k.answer_derivative(model, data_weights, latent_weights, sign_D, bias, work, correction, b)
        k.discriminator_product(sign_D, work.C, correction, G, U, W)
        k.generator_product(sign_D, work.C, correction, D, V)
    dots = correction.dots
    if sga:
        k.clear(dots)
        k.add_alignment(m_D, D.G, correction.JT_W, correction.J_W, dots)
        k.add_alignment(1, bias.G, correction.JT_b, correction.J_b, dots)
        k.add_alignment(m_G, G.G, correction.JT_V, correction.J_V, dots)
    weight = k.correction_weight(rule, dots)
    k.correct(m_D, rule, weight, D.G, correction.JT_W, correction.J_W)
    k.correct(1, rule, weight, bias.G, correction.JT_b, correction.J_b)
    k.correct(m_G, rule, weight, G.G, correction.JT_V, correction.J_V)
