"""What a step of the reduced engine is made of, and how fast this machine could do each part.

    python sims/bench_step.py            # half a minute
    python sims/bench_step.py --write    # and into sims/README.md

A step of nSGDA for a block of eight replicas on one thread, at the canonical m of some d, in
microseconds, medians over rounds.  Its parts, each timed alone, are the matrix products; the
latents (cubes, slopes, and a sigmoid for each point); and norms and moves.  Beside each stands the
least that this machine takes, from rates measured in the same round:

  products         their arithmetic, at the rate of NumPy's product of 2000 x 2000 on one thread
  latents          for each point and neuron five numbers read and three written, at the rate at
                   which arrays in the first cache are added to one another; and the sigmoids, one
                   after another
  norms and moves  a coordinate of G is read for its norm; X and G for the move, and X is written

The least of a step is their sum: what bounds one part does not hide behind another.
"""

from __future__ import annotations

import twomode_program

import os
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np
import timing
from bench import arithmetic

import twomode as tm
from twomode.engines import ReducedEngine
from twomode.engines.compiled import gradient, moves
from twomode.engines.compiled import records as enc
from twomode.engines.compiled.jit import kernel
from twomode.engines.compiled.lanes import LANES, lane_zeros, load, sigmoid, store
from twomode.progress import Progress, ProgressBar
from twomode.runs import draw_start

EXPONENTS = (12, 40, 60, 100)  #: of d
ETA = 1e-12  #: so small that a run of any length stays at its start
ROUNDS, LEAST = 5, 0.05  #: seconds that a part is timed for in a round
SIDE = 2000  #: of the matrices
CACHED = 64  #: columns of the arrays that are added: three of them are 12 KiB
HEADS = (
    *("d", "m", "points", "step", "least", "products", "least", "latents", "least"),
    *("norms and moves", "least", "% product", "at the least"),
)
ALIGNS = "<" + ">" * 12


@kernel
def products(steps: int, players: enc.Players, work: enc.Work) -> None:
    """The matrix products of a step."""
    D, G, _, U = players
    for _ in range(steps):
        gradient.project(D.X, G.X, U, work.y, work.h)
        gradient.discriminator_gradient(work.A, work.C, G.X, U, D.G)
        gradient.generator_gradient(work.C, D.X, G.G)


@kernel
def latents(
    steps: int, game: enc.GameCode, weights: enc.Weights, players: enc.Players, work: enc.Work
) -> None:
    """From inner products to coefficients."""
    for n in range(steps):
        gradient.answer(game, enc.weights_at(weights, n), players.bias, work)


@kernel
def norms_and_moves(
    steps: int,
    m_D: int,
    m_G: int,
    rule: enc.RuleCode,
    stages: tuple[enc.StageCode, ...],
    players: enc.Players,
    work: enc.Work,
    pace: np.ndarray,
) -> None:
    """From gradients to the next state."""
    D, G, bias, _ = players
    for n in range(steps):
        for stage in stages:
            moves.direct(m_D, rule, n + 1, D, work.norms_D)
            moves.direct(1, rule, n + 1, bias, work.norms_D[m_D:])
            moves.scale_discriminator(rule, work, pace)
            moves.direct(m_G, rule, n + 1, G, work.norms_G)
            moves.scale_generator(rule, work, pace)
            moves.move_discriminator(m_D, rule, stage, n + 1, D, work.norms_D)
            moves.move_discriminator(1, rule, stage, n + 1, bias, work.norms_D[m_D:])
            moves.move_generator(m_G, rule, stage, n + 1, G, work.norms_G)


@kernel
def added(steps: int, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    """out = x + y: two numbers read and one written."""
    for _ in range(steps):
        for k in range(x.shape[1]):
            store(out, 0, k, load(x, 0, k) + load(y, 0, k))


@kernel
def sigmoids(steps: int, x: np.ndarray, out: np.ndarray) -> None:
    """One sigmoid after another."""
    for _ in range(steps):
        for k in range(x.shape[1]):
            store(out, 0, k, sigmoid(load(x, 0, k)))


class Parts(NamedTuple):
    """Of one step of a block, in microseconds."""

    products: float
    latents: float
    moves: float


class Block:
    """Eight replicas at their start, and what times them."""

    def __init__(self, d: int) -> None:
        self.game = game = tm.Game.preset(d)
        opt, root = tm.optimizer("nsgda", eta_D=ETA, eta_G=ETA), np.random.SeedSequence(0)
        start = draw_start(game, tm.GaussianStart(), root, range(LANES), reduced=True)
        self.engine = engine = ReducedEngine(game, opt, start)
        players, work, _, _, pace, _ = engine._blocks[0]
        code, rule = engine._game_code, engine._rule
        weights = engine._probabilities
        stages = enc.encode_stages(opt)
        own = players, work
        self.calls: tuple[Callable[[int], None], ...] = (
            engine.advance,
            lambda n: products(n, *own),
            lambda n: latents(n, code, weights, *own),
            lambda n: norms_and_moves(n, code.m_D, code.m_G, rule, stages, *own, pace),
        )

    def least(self, product: float, three: float, one_sigmoid: float) -> Parts:
        """From GFLOP/s, and microseconds of eight additions and of eight sigmoids."""
        game, points = self.game, len(self.game.latent_points[1])
        coordinates = (game.m_D + game.m_G) * game.reduced_dimension
        return Parts(
            LANES * 6 * game.m_D * game.m_G * game.reduced_dimension / product / 1e3,
            points * (game.m_D * 3 * three + one_sigmoid),
            coordinates * 1.5 * three,
        )


def microseconds(call: Callable[[int], Any]) -> float:
    """Of one of as many repetitions as take long enough."""
    repetitions = 1
    while True:
        began = time.perf_counter()
        call(repetitions)
        taken = time.perf_counter() - began
        if taken >= LEAST:
            return 1e6 * taken / repetitions
        repetitions = 1 + int(repetitions * min(100, 1.2 * LEAST / max(taken, 1e-7)))


def rows() -> list[list[str]]:
    """Everything, timed round by round."""
    blocks = [Block(2**k) for k in EXPONENTS]
    for block in blocks:
        for call in block.calls:
            call(1)  # compiles
    matrices = np.random.default_rng(0).random((2, SIDE, SIDE))
    x, y, out = (lane_zeros((1, CACHED)) for _ in range(3))
    found: list[list[tuple[list[float], Parts, float]]] = [[] for _ in blocks]
    with ProgressBar("steps") as bar:
        for number in range(ROUNDS):
            for k, block in enumerate(blocks):
                bar(Progress(number * len(blocks) + k, ROUNDS * len(blocks), "block"))
                began = time.perf_counter()
                np.matmul(*matrices)
                product = 2e-9 * SIDE**3 / (time.perf_counter() - began)
                three = microseconds(lambda n: added(n, x, y, out)) / CACHED
                one_sigmoid = microseconds(lambda n: sigmoids(n, x, out)) / CACHED
                times = [microseconds(call) for call in block.calls]
                found[k].append((times, block.least(product, three, one_sigmoid), product))
    return [_row(k, block, seen) for k, block, seen in zip(EXPONENTS, blocks, found, strict=True)]


def _row(k: int, block: Block, seen: list[tuple[list[float], Parts, float]]) -> list[str]:
    step, *parts = (statistics.median(times) for times in zip(*(s[0] for s in seen), strict=True))
    least = Parts._make(statistics.median(x) for x in zip(*(s[1] for s in seen), strict=True))
    product = statistics.median(s[2] for s in seen)
    game, points = block.game, len(block.game.latent_points[1])
    work = LANES * arithmetic(game, game.reduced_dimension)
    share, most = (100 * work / time / 1e3 / product for time in (step, sum(least)))
    numbers = [step, sum(least)]
    for part, bound in zip(parts, least, strict=True):
        numbers += [part, bound]
    return [
        *(f"2^{k}", str(game.m_D), str(points)),
        *(f"{x:.2f}" if x < 100 else f"{x:.0f}" for x in numbers),
        *(f"{share:.0f}", f"{most:.0f}"),
    ]


def main() -> None:
    """Time, print, write."""
    timing.show(__doc__, "steps", HEADS, ALIGNS, rows)


if __name__ == "__main__":
    twomode_program.run(main)
