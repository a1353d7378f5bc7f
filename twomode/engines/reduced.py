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

from twomode.engines import _encoding as enc
from twomode.engines import _kernels as k
from twomode.engines._jit import kernel
from twomode.engines._lanes import LANES, lane_zeros
from twomode.errors import require
from twomode.game import Game
from twomode.optimizers import Optimizer
from twomode.state import State

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
        self._pace = lane_zeros((blocks, 2, 2))
        self._pace[:, :, 0] = np.nan
        self._model, self._rule = enc.encode_game(game), enc.encode_rule(game, opt)
        self._probabilities = enc.spread_probabilities(game, np.float64)
        self._blocks = [
            (
                *(enc.Neurons(*(x[block] for x in n)) for n in (self._D, self._G, self._bias)),
                self._U[block],
                enc.Work(*(x[block] for x in self._work)),
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
        turns = np.array(self.opt.turns)

        def advance_block(block: int) -> None:
            # One set of weights serves every block in a population run.
            own = [w[block % len(w)] for w in weights]
            arrays = self._blocks[block]
            _advance(steps, self.t, turns, self._model, self._rule, *own, *arrays)

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
        empty = lane_zeros((len(X), 0, 0))
        M = np.zeros_like(X) if self.opt.uses_first_moment else empty
        return enc.Neurons(X, G=lane_zeros(X.shape[:3]), M=M, S=empty)

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
    pace: Any,
) -> None:
    """All steps of LANES replicas."""
    m_D, m_G = model.m_D, model.m_G
    W, V, bias_norms = D.X, G.X, work.norms_D[m_D:]
    for n in range(steps):
        x_weights = data_weights[n % len(data_weights)]
        z_weights = latent_weights[n % len(latent_weights)]
        for turn in range(len(turns)):
            D_moves, G_moves = turns[turn, 0], turns[turn, 1]
            k.project(W, V, U, work.y, work.h)
            k.answer(model, x_weights, z_weights, bias, work)
            if D_moves:
                k.discriminator_gradient(work, V, U, D.G)
                k.direct(m_D, rule, t + n + 1, D, work.norms_D)
                k.direct(1, rule, t + n + 1, bias, bias_norms)
                k.scale_discriminator(rule, work, pace)
            if G_moves:
                k.generator_gradient(work, W, G.G)
                k.direct(m_G, rule, t + n + 1, G, work.norms_G)
                k.scale_generator(rule, work, pace)
            if D_moves:
                k.move(m_D, D, work.norms_D)
                k.move(1, bias, bias_norms)
            if G_moves:
                k.move(m_G, G, work.norms_G)
