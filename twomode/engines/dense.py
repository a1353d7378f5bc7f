"""R^d itself, for rules that see coordinates: compiled, coordinates in the vector lanes.

Each step is one pass over the coordinates (two where the rule needs norms of whole blocks): a
slice of them takes the gradient, moves, and at once adds up its share of the inner products that
the next step begins with.  Slices are fixed by d alone and their shares are added in a fixed
order, so results do not depend on the number of threads.
"""

from __future__ import annotations

import numba
import numpy as np

from twomode.engines.compiled import passes
from twomode.engines.compiled import records as enc
from twomode.engines.compiled.correction_passes import correct
from twomode.engines.compiled.jit import kernel
from twomode.engines.compiled.lanes import LANES, lane_zeros
from twomode.engines.compiled.polar_passes import polar_factors
from twomode.engines.compiled.products import padded
from twomode.engines.norms import MovesMeasured, objective_factor
from twomode.engines.protocol import Batches
from twomode.errors import require, require_choice
from twomode.game import Game, State
from twomode.rules import Optimizer

__all__ = ["DenseEngine"]

#: Coordinates of all replicas below which a second thread costs more than it saves.
WORTH_THREADS = 2048


class DenseEngine(MovesMeasured):
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
    ended = False

    def __init__(self, game: Game, opt: Optimizer, start: State, dtype: str = "float64") -> None:
        require_choice("dtype", dtype, ("float64", "float32"))
        require(
            start.dimension == game.d,
            f"the dense engine needs a start in R^d, d={game.d}, not in R^{start.dimension}",
        )
        self.game, self.opt, self.t, self.dtype = game, opt, 0, np.dtype(dtype)
        self.replicas = len(start.W)
        self._players = enc.Players(
            D=self._neurons(start.W),
            G=self._neurons(start.V),
            bias=self._neurons(np.asarray(start.b)[:, None, None], spread=True),
            U=self._pack(start.U),
        )
        self._work = enc.make_work(game, opt, self.replicas, self._zeros)
        layers = (self._players.D.X, self._players.bias.X, self._players.G.X)
        self._correction = enc.make_correction(game, opt, layers, self._zeros)
        self._shares, self._derivative_shares = self._make_shares()
        slices = self._shares.y.shape[1]
        self._polars = enc.make_polars(game, opt, self.replicas, slices, self._zeros)
        rows = (padded(game.m_D), padded(game.m_G)) if opt.spectral else ()
        self._grams = tuple(self._zeros(self.replicas, slices, n, n) for n in rows) or None
        self._pace = self._zeros(self.replicas, 2, 2)
        self._pace[:, :, 0] = np.nan
        self._objective_factor = objective_factor(opt, start, self.dtype)
        self._game_code = enc.encode_game(game)
        self._rule = enc.encode_rule(game, opt.rescaled(self._objective_factor))
        self._probabilities = enc.population_weights(game, self.dtype, self._objective_factor)
        D, G, _, U = self._players
        passes.project(D.X, G.X, U, self._shares, self._work)

    def _take(self, steps: int, batches: Batches | None) -> None:
        weights = self._probabilities
        if batches is not None:
            weights = enc.Weights(
                *(self._weights(self._objective_factor * batch) for batch in batches)
            )
        threads = numba.get_num_threads()
        if self.replicas * self.game.d < WORTH_THREADS:
            numba.set_num_threads(1)
        try:
            _advance(
                steps,
                self.t,
                enc.encode_stages(self.opt),
                self._game_code,
                self._rule,
                weights,
                self._players,
                self._work,
                self._shares,
                self._correction,
                self._derivative_shares,
                self._polars,
                self._grams,
                self._pace,
            )
        finally:
            numba.set_num_threads(threads)
        self.t += steps

    @property
    def _arrays(self) -> dict[str, np.ndarray]:
        # The inner products that the next step begins with are added up by the move before it.
        products = {"y": self._work.y, "h": self._work.h}
        return {**enc.kept(self._players), **products, "pace": self._pace}

    @property
    def state(self) -> State:
        """The state in R^d, with a replica axis (copied)."""
        D, G, bias, U = self._players
        return State(
            W=self._unpack(D.X, self.game.m_D),
            V=self._unpack(G.X, self.game.m_G),
            b=bias.X[:, 0, 0, 0].copy(),
            U=self._unpack(U, 2),
        )

    @property
    def _step_norms(self) -> np.ndarray:
        return self._pace[:, :, 0, 0]

    @property
    def peak_grad_norms(self) -> np.ndarray:
        """Largest norm of the gradient of (D, G) over all iterations so far, shape (R, 2)."""
        return self._pace[:, :, 1, 0] / self._objective_factor

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
        G = self._zeros(places, rows, columns if whole else min(passes.SLICE, columns))
        return enc.make_neurons(self.opt, X, G, self._zeros)

    def _make_shares(self) -> tuple[passes.Shares, passes.DerivativeShares | None]:
        D, G, _, U = self._players
        slices = -(-U.shape[2] // passes.SLICE)
        rows_D, rows_G, rows_U = (X.shape[1] for X in (D.X, G.X, U))
        plain_D, plain_G = self._zeros(self.game.m_D, 1), self._zeros(self.game.m_G, 1)
        plain_D[:] = plain_G[:] = 1
        shares = passes.Shares(
            y=self._zeros(self.replicas, slices, rows_U, rows_D),
            h=self._zeros(self.replicas, slices, rows_G, rows_D),
            norms_D=self._zeros(self.replicas, slices, self.game.m_D, 3),
            norms_G=self._zeros(self.replicas, slices, self.game.m_G, 3),
            plain_D=plain_D,
            plain_G=plain_G,
        )
        if not self.opt.corrected:
            return shares, None
        return shares, passes.DerivativeShares(
            dy=self._zeros(self.replicas, slices, rows_U, rows_D),
            dh=self._zeros(self.replicas, slices, rows_G, rows_D),
            dots=self._zeros(self.replicas, slices, 1, 2),
        )

    def _pack(self, array: np.ndarray) -> np.ndarray:
        """(R, rows, d) to (R, rows, columns, LANES), padded."""
        replicas, rows, d = array.shape
        packed = self._zeros(replicas, padded(rows), padded(-(-d // LANES)))
        packed.reshape(replicas, padded(rows), -1)[:, :rows, :d] = array
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


@kernel
def _advance(
    steps: int,
    t: int,
    stages: tuple[enc.StageCode, ...],
    game: enc.GameCode,
    rule: enc.RuleCode,
    weights: enc.Weights,
    players: enc.Players,
    work: enc.Work,
    shares: passes.Shares,
    correction: enc.Correction | None,
    derivative_shares: passes.DerivativeShares | None,
    polars: enc.Polars | None,
    grams: tuple[np.ndarray, np.ndarray] | None,
    pace: np.ndarray,
) -> None:
    """All steps of all replicas."""
    D, G, bias, U = players
    y, h, factors_D, factors_G = shares.y, shares.h, work.norms_D, work.norms_G
    for n in range(steps):
        now = t + n + 1
        for stage in stages:
            if not (stage.D or stage.G):
                continue
            if stage.looks:
                update = (now - 1) * rule.updates + stage.update + 1
                passes.answer(n, game, weights, bias, work)
                if correction is not None:
                    correct(
                        stage,
                        game,
                        rule,
                        players,
                        work,
                        shares,
                        correction,
                        derivative_shares,
                        pace,
                    )
                passes.direct(stage, rule, update, now, D, G, U, work.A, work.C, shares)
                if polars is not None and grams is not None:
                    if stage.D:
                        polar_factors(game.m_D, rule, D.G, polars.D, grams[0])
                    if stage.G:
                        polar_factors(game.m_G, rule, G.G, polars.G, grams[1])
                passes.scale(stage, rule, update, bias, work, shares, polars, pace)
            passes.move_bias(stage, rule, now, bias, factors_D)
            if rule.uses_norms or not stage.looks:
                passes.move(stage, rule, now, D, G, U, factors_D, factors_G, y, h)
            passes.gather(shares, work)
