"""How long SGDA's flow takes from its start to T_0, beside SciPy's integrator.

    python sims/bench_flow.py            # two minutes
    python sims/bench_flow.py --write    # and into sims/README.md

Milliseconds a run at rtol = 1e-6 and eta_G = eta_D ln d, of many replicas together and of one
alone, medians over rounds.  SciPy's DOP853 integrates the same gradient, as the readable engine
evaluates it, from the same start and to the same T_0, in the time of iterations; beyond d = 2^50
such a time swallows its steps.
"""

from __future__ import annotations

import twomode_program

import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import timing
from scipy.integrate import solve_ivp

import twomode as tm
from twomode.engines import FlowEngine
from twomode.game import Game, State
from twomode.progress import Progress, ProgressBar
from twomode.runs import draw_start

#: Exponent of d, neurons (None: canonical) and replicas.
CASES = (
    *((k, 9, 64) for k in (24, 50, 200)),
    *((k, 9, 1) for k in (24, 50, 200)),
    (50, None, 1),
)
SCIPY = 24  #: the largest exponent that SciPy is asked for
ROUNDS = 3
HEADS = ("d", "m", "replicas", "ms a run", "slopes a run", "SciPy's DOP853, ms")
ALIGNS = "<>>>>>"


class Timed(NamedTuple):
    """A row."""

    d: str
    m: int
    replicas: int
    ms: str
    slopes: str
    scipy: str


def problem(k: int, m: int | None, replicas: int) -> tuple[Game, float, State]:
    """A game, eta_G/eta_D and starts."""
    neurons = {} if m is None else {"m_D": m, "m_G": m}
    game = Game.preset(2**k, **neurons)
    root = np.random.SeedSequence(0)
    start = draw_start(game, tm.GaussianStart(), root, range(replicas), reduced=True)
    return game, math.log(game.d), start


def flow(game: Game, ratio: float, start: State) -> FlowEngine:
    """From the start to T_0."""
    opt = tm.optimizer("sgda", eta_D=1.0, eta_G=ratio)
    engine = FlowEngine(game, opt, start, horizon=1e300, rtol=1e-6)
    while not engine.ended.all():
        engine.advance(64 * FlowEngine.PLACES)
    return engine


def by_scipy(game: Game, ratio: float, start: State, until: float) -> None:
    """The same run of replica 0, by SciPy."""
    one = start.replica(0)
    shapes = [one.W.shape, one.V.shape]
    cut = one.W.size

    def slope(_: float, y: np.ndarray) -> np.ndarray:
        W, V = y[:cut].reshape(shapes[0]), y[cut:-1].reshape(shapes[1])
        gradient = game.evaluate(State(W, V, y[-1], one.U))
        return np.concatenate([gradient.W.ravel(), ratio * gradient.V.ravel(), [gradient.b]])

    y = np.concatenate([one.W.ravel(), one.V.ravel(), [one.b]])
    solve_ivp(slope, (0, until), y, method="DOP853", rtol=1e-6, atol=1e-6 / math.sqrt(game.d))


def milliseconds(call: Callable[[], Any]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - began)


def rows() -> list[Timed]:
    """Everything, timed round by round."""
    problems = {case: problem(*case) for case in CASES}
    found: dict[Any, list[tuple[float, float]]] = {case: [] for case in CASES}
    flow(*problem(8, 9, 1))  # compiles
    done = {}
    with ProgressBar("flows") as bar:
        for number in range(ROUNDS * len(CASES)):
            case = CASES[number % len(CASES)]
            bar(Progress(number, ROUNDS * len(CASES), "run"))
            game, ratio, start = problems[case]
            began = time.perf_counter()
            done[case] = flow(game, ratio, start)
            ours = 1e3 * (time.perf_counter() - began) / case[2]
            scipy = math.nan
            if case[0] <= SCIPY and case[2] == 1:
                until = float(done[case].take_lap()[0])
                scipy = milliseconds(lambda p=problems[case], t=until: by_scipy(*p, t))
            found[case].append((ours, scipy))
    out = []
    for (k, _, replicas), engine in zip(CASES, done.values(), strict=True):
        ours, scipy = (statistics.median(x) for x in zip(*found[k, _, replicas], strict=True))
        slopes = statistics.mean(engine.notes["right_hand_sides"])
        asked = "" if math.isnan(scipy) else f"{scipy:.0f} ({scipy / ours:.1f} times as long)"
        m = engine.game.m_D
        out.append(Timed(f"2^{k}", m, replicas, f"{ours:.1f}", f"{slopes:,.0f}", asked))
    return out


def main() -> None:
    """Time, print, write."""
    timing.show(__doc__, "flows", HEADS, ALIGNS, rows)


if __name__ == "__main__":
    twomode_program.run(main)
