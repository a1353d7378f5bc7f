"""Many replicas at once in R^r, whatever d: compiled, replicas in the vector lanes.

Every gradient lies in the span of the modes and the start, so a rotation-equivariant rule in R^d
*is* the same rule in R^r with r = 2 + m_D + m_G.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from twomode._typing import FloatArray
from twomode.engines.compiled import alone as single
from twomode.engines.compiled import corrections, gradient, moves, polars
from twomode.engines.compiled import records as enc
from twomode.engines.compiled.alone import Alone
from twomode.engines.compiled.blocks import block_zeros, each_block, pack, unpack
from twomode.engines.compiled.jit import kernel
from twomode.engines.compiled.lanes import LANES
from twomode.engines.compiled.observed import Seen, observe
from twomode.engines.compiled.parts import part
from twomode.engines.compiled.products import clear, padded
from twomode.engines.norms import MovesMeasured, objective_factor
from twomode.engines.protocol import Batches, Observer
from twomode.errors import require
from twomode.game import Game, State
from twomode.rules import Optimizer

__all__ = ["ReducedEngine"]

#: No room for any record.
UNSEEN = Seen(*[np.empty((0, 0, 0, 0))] * len(Seen._fields))


class ReducedEngine(MovesMeasured, Observer):
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
    ended = False

    def __init__(self, game: Game, opt: Optimizer, start: State) -> None:
        self.check(opt)
        self.game, self.opt, self.t = game, opt, 0
        if start.dimension != game.reduced_dimension or np.any(start.U[:, :, 2:]):
            start, _ = start.reduce()
        self.replicas = len(start.W)
        self._players = enc.Players(
            D=self._neurons(start.W),
            G=self._neurons(start.V),
            bias=self._neurons(np.asarray(start.b)[:, None, None]),
            U=self._pack(start.U[:, :, :2]),  # the other coordinates are zero
        )
        blocks = len(self._players.U)
        self._work = enc.make_work(game, opt, blocks, block_zeros)
        layers = (self._players.D.X, self._players.bias.X, self._players.G.X)
        self._correction = enc.make_correction(game, opt, layers, block_zeros)
        self._pace = block_zeros(blocks, 2, 2)
        self._pace[:, :, 0] = np.nan
        self._objective_factor = objective_factor(opt, start, np.float64)
        self._game_code = enc.encode_game(game)
        self._rule = enc.encode_rule(game, opt.rescaled(self._objective_factor))
        self._stages = enc.encode_stages(opt)
        scaled = enc.population_weights(game, np.float64, self._objective_factor)
        self._probabilities = enc.share(scaled, 0)  # one set serves every block
        population = enc.population_weights(game, np.float64, 1.0)
        self._population = enc.share(enc.share(population, 0), 0)
        scratch = enc.make_polars(game, opt, blocks, 1, block_zeros)
        alone = single.suits(opt, self.replicas)
        self._alone = single.make_alone(game, opt) if alone else None
        room = block_zeros(blocks, padded(max(game.m_D, game.m_G)), padded(game.m_G))
        arrays = (self._players, self._work, self._correction, scratch, self._pace, room)
        self._blocks = [enc.share(arrays, block) for block in range(blocks)]

    @staticmethod
    def check(opt: Optimizer) -> None:
        """Raise `InputError` if the rule depends on the choice of coordinates."""
        require(
            opt.equivariant,
            f"the reduced engine cannot run {opt.name!r}: Adam's direction and magnitude act on"
            " each coordinate of R^d, which a reduction to R^r does not keep; use engine='dense'",
        )

    def _take(self, steps: int, batches: Batches | None) -> None:
        self._play(1, steps, batches, UNSEEN, 0)

    def _play(
        self, records: int, every: int, batches: Batches | None, seen: Seen, first: int
    ) -> None:
        def advance_block(block: int) -> None:
            own = self._probabilities
            if batches is not None:
                lanes = slice(block * LANES, (block + 1) * LANES)
                own = enc.Weights(*(self._packed(batch[lanes]) for batch in batches))
            shared = self._game_code, self._rule, own, self._population
            mine = *self._blocks[block], self._alone, self.replicas
            at = first, block * LANES
            _advance(records, every, self.t, self._stages, *shared, *mine, seen, *at)

        each_block(advance_block, len(self._blocks), records * max(every, 1))
        self.t += records * every

    def _packed(self, batch: FloatArray) -> FloatArray:
        """Weights of a block's replicas, as kernels take them."""
        packed: FloatArray = pack(batch)[0, :, None]
        return packed if self._objective_factor == 1 else self._objective_factor * packed

    @property
    def foresees(self) -> bool:
        """Whether no move is measured from the states before and after it."""
        return self.opt.moves_by_steps

    def observe(
        self, records: int, every: int, trace: Mapping[str, FloatArray], first: int
    ) -> None:
        """Take `every` iterations and observe, `records` times over; see `Observer.observe`."""
        require(self.foresees or every == 0, "these moves are measured one by one: every must be 0")
        times = [self.t + every * (n + 1) for n in range(records)]
        self._play(records, every, None, Seen.of(trace), first)
        moves, peaks = (
            trace[name][:, first : first + records] for name in ("update_norms", "peak_grad_norms")
        )
        peaks /= self._objective_factor
        moves[:] = self._over_eta(moves, times) if self.foresees else self.update_norms[:, None]

    @property
    def _arrays(self) -> dict[str, np.ndarray]:
        return {**enc.kept(self._players), "pace": self._pace}

    @property
    def state(self) -> State:
        """The state in R^r, with a replica axis (copied)."""
        game, r = self.game, self.game.reduced_dimension
        U = np.zeros((self.replicas, 2, r))
        U[:, :, :2] = self._unpack(self._players.U)[:, :2, :2]
        return State(
            W=self._unpack(self._players.D.X)[:, : game.m_D, :r],
            V=self._unpack(self._players.G.X)[:, : game.m_G, :r],
            b=self._unpack(self._players.bias.X)[:, 0, 0],
            U=U,
        )

    @property
    def _step_norms(self) -> np.ndarray:
        return self._unpack(self._pace)[:, :, 0]

    @property
    def peak_grad_norms(self) -> np.ndarray:
        """Largest norm of the gradient of (D, G) over all iterations so far, shape (R, 2)."""
        return self._unpack(self._pace)[:, :, 1] / self._objective_factor

    def _neurons(self, start: np.ndarray) -> enc.Neurons:
        X = self._pack(start)
        return enc.make_neurons(self.opt, X, block_zeros(*X.shape[:3]), block_zeros)

    def _pack(self, array: np.ndarray) -> np.ndarray:
        """(R, rows, columns) to (blocks, rows, columns, LANES), rows and columns padded."""
        spare = [(0, 0)] + [(0, padded(size) - size) for size in array.shape[1:]]
        return pack(np.pad(array, spare))

    def _unpack(self, packed: np.ndarray) -> np.ndarray:
        return unpack(packed, self.replicas)


@kernel(nogil=True)
def _advance(
    records: int,
    every: int,
    t: int,
    stages: tuple[enc.StageCode, ...],
    game: enc.GameCode,
    rule: enc.RuleCode,
    weights: enc.Weights,
    population: enc.Weights,
    players: enc.Players,
    work: enc.Work,
    correction: enc.Correction | None,
    scratch: enc.Polars | None,
    pace: np.ndarray,
    room: np.ndarray,
    alone: Alone | None,
    replicas: int,
    seen: Seen,
    first: int,
    replica: int,
) -> None:
    """All steps of LANES replicas, observed after each `every` of them where there is room.

    If there are only a few, one after the other, each `alone`.  What is observed fills the records
    from `first` on, of the replicas from `replica` on.
    """
    for record in range(records):
        now = t + record * every
        if alone is None:
            block = (game, players, work, correction, scratch, pace, None, 0)
            _iterate(every, now, stages, rule, weights, *block)
        else:
            for lane in range(replicas):
                single.enter(lane, players, pace, alone)
                own = (alone.game, alone.players, alone.work, None, None, alone.pace, alone, lane)
                _iterate(every, now, stages, rule, weights, *own)
                single.leave(lane, alone, players, pace)
        if first + record < seen.bias.shape[1]:
            at = first + record, replica
            observe(*at, game, population, players, work, room, pace, seen)


@part
def _iterate(
    steps: int,
    t: int,
    stages: tuple[enc.StageCode, ...],
    rule: enc.RuleCode,
    weights: enc.Weights,
    game: enc.GameCode,
    players: enc.Players,
    work: enc.Work,
    correction: enc.Correction | None,
    scratch: enc.Polars | None,
    pace: np.ndarray,
    alone: Alone | None,
    lane: int,
) -> None:
    """`steps` iterations."""
    D, G, bias, U = players
    m_D, m_G = game.m_D, game.m_G
    bias_norms = work.norms_D[m_D:]
    rows_D, rows_G, norms_D, norms_G = m_D, m_G, work.norms_D, work.norms_G
    if alone is not None:
        rows_D, rows_G, norms_D, norms_G = len(D.X), len(G.X), alone.norms_D, alone.norms_G
    corrected = rule.correction != moves.NONE
    for n in range(steps):
        batch = enc.weights_at(weights, n)
        now = t + n + 1
        for stage in stages:
            if not (stage.D or stage.G):
                continue
            if stage.looks:
                update = (now - 1) * rule.updates + stage.update + 1
                if alone is not None:
                    single.gradients(stage, batch, lane, alone)
                else:
                    gradient.project(D.X, G.X, U, work.y, work.h)
                    gradient.answer(game, batch, bias, work)
                    if stage.D or corrected:
                        gradient.discriminator_gradient(work.A, work.C, G.X, U, D.G)
                    if stage.G or corrected:
                        gradient.generator_gradient(work.C, D.X, G.G)
                if correction is not None:
                    _correct(stage, game, rule, players, work, correction, pace)
                if stage.D:
                    if rule.recalls:
                        moves.recall(rows_D, rule, update, D)
                        moves.recall(1, rule, update, bias)
                    moves.direct(rows_D, rule, update, D, norms_D)
                    moves.direct(1, rule, update, bias, bias_norms)
                    if alone is not None:
                        single.spread(norms_D, work.norms_D, m_D)
                    if scratch is not None:
                        polars.polar_factor(m_D, rule, D.G, scratch.D, work.norms_D[:m_D])
                        polars.number_factor(rule, bias.G, bias_norms)
                    moves.scale_discriminator(rule, work, pace)
                    if alone is not None:
                        single.gather(work.norms_D, norms_D, m_D)
                if stage.G:
                    if rule.recalls:
                        moves.recall(rows_G, rule, update, G)
                    moves.direct(rows_G, rule, update, G, norms_G)
                    if alone is not None:
                        single.spread(norms_G, work.norms_G, m_G)
                    if scratch is not None:
                        polars.polar_factor(m_G, rule, G.G, scratch.G, work.norms_G)
                    moves.scale_generator(rule, work, pace)
                    if alone is not None:
                        single.gather(work.norms_G, norms_G, m_G)
            moves.move_discriminator(rows_D, rule, stage, now, D, norms_D)
            moves.move_discriminator(1, rule, stage, now, bias, bias_norms)
            moves.move_generator(rows_G, rule, stage, now, G, norms_G)


@kernel(nogil=True)
def _correct(
    stage: enc.StageCode,
    game: enc.GameCode,
    rule: enc.RuleCode,
    players: enc.Players,
    work: enc.Work,
    correction: enc.Correction,
    pace: np.ndarray,
) -> None:
    """Replace the gradients of both players by the corrected ones."""
    D, G, bias, U = players
    m_D, m_G = game.m_D, game.m_G
    if stage.D:
        moves.gradient_norms(m_D, D.G, work.norms_D)
        moves.gradient_norms(1, bias.G, work.norms_D[m_D:])
        corrections.raise_peak(work.norms_D, pace[0:1])
    if stage.G:
        moves.gradient_norms(m_G, G.G, work.norms_G)
        corrections.raise_peak(work.norms_G, pace[1:2])
    sga = rule.correction == corrections.SGA
    for product in range(2 if sga else 1):
        share_D, share_G = corrections.shares(rule, product)
        W, b, V = corrections.places(correction, share_D, share_G)
        corrections.project_derivative(share_D, share_G, D, G, U, correction.dy, correction.dh)
        corrections.answer_derivative(game, share_D, bias, work, correction, b)
        corrections.discriminator_product(share_G, work.C, correction.dA, correction.dC, G, U, W)
        corrections.generator_product(share_D, work.C, correction.dC, D, V)
    dots = correction.dots
    if sga:
        clear(dots)
        corrections.add_alignment(m_D, 1.0, D.G, correction.own_W, correction.product_W, dots)
        corrections.add_alignment(1, 1.0, bias.G, correction.own_b, correction.product_b, dots)
        corrections.add_alignment(m_G, -1.0, G.G, correction.own_V, correction.product_V, dots)
    weight = corrections.correction_weight(rule, dots)
    corrections.correct(m_D, rule, 1.0, weight, D.G, correction.product_W)
    corrections.correct(1, rule, 1.0, weight, bias.G, correction.product_b)
    corrections.correct(m_G, rule, -1.0, weight, G.G, correction.product_V)
