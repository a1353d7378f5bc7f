"""How long a step takes: every engine, a plain NumPy step, and the machine's own limits.

    python sims/bench.py                # one table, a few minutes
    python sims/bench.py --quick        # fewer and shorter rounds, no d = 2^20 in R^d
    python sims/bench.py --threads 1    # every library on one thread
    python sims/bench.py --json         # the same rows for a program
    python sims/bench.py --write        # and into sims/README.md

Everything is timed in rounds: a round times every row once, beside the rate of a matrix product
and of a copy, and the table shows medians over rounds.  A ratio is the median of each round's own
ratio, so that what slows the whole machine for a while slows both of its sides.

The steps compared are the same computation.  Before anything is timed, NumPy, PyTorch and JAX
(where installed) and the dense engine take three steps from one start and must agree with the
array engine.
"""

from __future__ import annotations

import twomode_program

import argparse
import functools
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numba
import numpy as np
from rivals import MODULES, Jax, PlainNumPy, PyTorch, installed, parameters

from twomode import cli
from twomode.engines import ArrayEngine, DenseEngine, ReducedEngine
from twomode.game import Game, GaussianStart, State
from twomode.io import to_json
from twomode.pages import markdown_table, measured_by, require_block, write_block
from twomode.progress import Progress, ProgressBar
from twomode.rules import RULES, Optimizer, optimizer
from twomode.tables import Table

NEURONS = 9  #: m_D = m_G at every d, so that rows differ in d alone
DIMENSIONS = (2**6, 2**12, 2**16, 2**20)
FARTHEST = 2**40  #: for the reduced engine only
#: Methods that are compared with what they build on, and where.
METHODS = {
    ("reduced", 2**12, 64): ("extragradient", "optimistic", "anchored", "consensus", "sga"),
    ("dense", 2**16, 1): ("extra-adam", "optimistic-adam", "sga-adam"),
}
ETA = 1e-12  #: so small that a run of any length stays at its start
PAUSE = 0.05  #: seconds after which the waiting threads of the library timed last are asleep
#: Of Numba, OpenMP (PyTorch), the BLAS libraries that NumPy may use, and JAX.
THREAD_VARIABLES = (
    *("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NPROC"),
)

EPILOG = """\
columns:
  replicas       independent runs that advance together
  ns             nanoseconds per replica and step, lower is better
  GFLOP/s        of the arithmetic a step cannot do without: 6 m_D m_G n for three matrix
                 products (n = 2 + m_D + m_G for the reduced engine, else d), and 12 m_D + 20
                 for each point of the latent law
  % product      of the rate of a float64 matrix product, 2000 x 2000
  GB/s           of the data that must pass between memory and processor in a step of the dense
                 engine: W and V, and Adam's two moments of each, all read and written
  % copy         of the rate of copying an array far larger than any cache, bytes read plus bytes
                 written; more than 100 where a state fits into the caches
  x plain        how many times as fast as the plain NumPy step at the same d; nsgda is compared
                 with the plain step of sgda, which has no norms to take
  x sgda, adam   how many times as long a method's step takes as that of what it builds on

PyTorch (fused optimizers) and JAX (the whole loop compiled) differentiate the objective
themselves, on the CPU in float64.  The default run needs up to 7 GB of memory.
"""


# --- What is timed --------------------------------------------------------------------------------


class Runner(Protocol):
    """What is timed: an engine of the package, or a rival with one run."""

    def advance(self, steps: int) -> None:
        """Take this many steps."""


MAKERS: dict[str, Callable[[Game, Optimizer, State], Runner]] = {
    "reduced": ReducedEngine,
    "dense": DenseEngine,
    "dense float32": functools.partial(DenseEngine, dtype="float32"),
    "array": ArrayEngine,
    "plain NumPy": PlainNumPy,
    "PyTorch": PyTorch,
    "JAX": Jax,
}


def check_agreement() -> None:
    """Stop unless every way to take a float64 step in R^d takes the same one."""
    game = make_game(DIMENSIONS[0])
    start = draw_start(game.d, 1, reduced=False)
    for rule in ("adam", "sgda"):
        opt = optimizer(rule, eta_D=0.02, eta_G=0.01)
        oracle = ArrayEngine(game, opt, start)
        oracle.advance(3)
        for engine in filter(installed, ("dense", "plain NumPy", *MODULES)):
            runner = MAKERS[engine](game, opt, start)
            runner.advance(3)
            for name, ours in parameters_of(runner).items():
                wanted = getattr(oracle.state, name)[0]
                np.testing.assert_allclose(
                    ours, wanted, rtol=0, atol=1e-10, err_msg=f"{engine}, {rule}: {name}"
                )


def parameters_of(runner: Any) -> dict[str, np.ndarray]:
    """W, b and V of one run of an engine or a rival."""
    if isinstance(runner, DenseEngine):
        state = runner.state.replica(0)
        return {name: getattr(state, name) for name in ("W", "b", "V")}
    return parameters(runner)


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    engine: str
    rule: str
    d: int
    replicas: int = 1

    @property
    def base(self) -> Case | None:
        """The rule that this one builds on."""
        name = RULES[self.rule].base
        return None if name is None else replace(self, rule=name)

    @property
    def flops(self) -> float | None:
        """Arithmetic of one replica's step (see the column GFLOP/s)."""
        if self.base:
            return None
        game = make_game(self.d)
        n = game.reduced_dimension if self.engine == "reduced" else self.d
        return arithmetic(game, n)

    @property
    def traffic(self) -> float | None:
        """Bytes that one replica's step must read and write, for the dense engine."""
        if not self.engine.startswith("dense") or self.base:
            return None
        game = make_game(self.d)
        itemsize = 4 if self.engine.endswith("float32") else 8
        passes = 6 if self.rule == "adam" else 2
        return passes * (game.m_D + game.m_G) * self.d * itemsize

    @property
    def plain(self) -> Case | None:
        """The plain NumPy step that this one is compared with."""
        if self.d == FARTHEST or self.base:
            return None
        return Case("plain NumPy", "adam" if self.rule == "adam" else "sgda", self.d)


def arithmetic(game: Game, n: int) -> int:
    """Of a replica's step with neurons of length n (see the column GFLOP/s)."""
    return 6 * game.m_D * game.m_G * n + (12 * game.m_D + 20) * len(game.latent_points[1])


def make_cases(quick: bool) -> list[Case]:
    """Every row, in the table's order."""
    in_Rd = DIMENSIONS[:-1] if quick else DIMENSIONS
    reduced = [
        Case("reduced", rule, d, replicas)
        for replicas in (64, 1)
        for rule in ("nsgda", "sgda")
        for d in (*DIMENSIONS, FARTHEST)
    ]
    others = [
        Case(engine, rule, d)
        for engine in list(MAKERS)[1:]
        for rule in ("adam", "sgda")
        for d in in_Rd
        if installed(engine) and (engine, rule) != ("dense float32", "sgda")
    ]
    methods = [
        Case(engine, rule, d, replicas)
        for (engine, d, replicas), rules in METHODS.items()
        for rule in rules
    ]
    return reduced + others + methods


@functools.cache
def make_game(d: int) -> Game:
    """The canonical game at dimension d, with the same neurons at every d."""
    return Game.preset(d, m_D=NEURONS, m_G=NEURONS)


@functools.cache
def draw_start(d: int, replicas: int, reduced: bool) -> State:
    """Canonical starts with a replica axis; nobody changes them in place."""
    game, rng = make_game(d), np.random.default_rng(0)
    draw = GaussianStart().draw_reduced if reduced else GaussianStart().draw
    starts = [draw(game, rng) for _ in range(replicas)]
    names = starts[0].arrays()
    return State(**{name: np.stack([getattr(s, name) for s in starts]) for name in names})


def make_runner(case: Case) -> Runner:
    """The row's engine at its start, compiled."""
    start = draw_start(case.d, case.replicas, case.engine == "reduced")
    opt = optimizer(case.rule, eta_D=ETA, eta_G=ETA)
    runner = MAKERS[case.engine](make_game(case.d), opt, start)
    runner.advance(1)
    return runner


# --- Measuring ------------------------------------------------------------------------------------


class Round(NamedTuple):
    """One pass over everything."""

    ns: dict[Case, float]  #: per replica-step
    product: float  #: rate of the matrix product, GFLOP/s
    copies: dict[str, float]  #: rate of each way to copy, GB/s


class Stopwatch:
    """Times a runner over as many steps as take long enough to be timed."""

    def __init__(self, case: Case) -> None:
        self.replicas, self.runner, self.steps = case.replicas, make_runner(case), 1

    def ns(self, least: float) -> float:
        """Nanoseconds per replica-step, from at least this many seconds."""
        time.sleep(PAUSE)
        while (elapsed := seconds(self.runner.advance, self.steps)) < least:
            growth = 1.3 * least / max(elapsed, 1e-9)
            self.steps = math.ceil(self.steps * min(growth, 100))
        return 1e9 * elapsed / (self.steps * self.replicas)


class Machine:
    """The rates that no engine can beat for long."""

    SIDE = 2000  #: of the matrices
    LENGTH = 2**25  #: of the copied array, 256 MiB

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.matrices = rng.random((2, self.SIDE, self.SIDE))
        self.result = np.empty((self.SIDE, self.SIDE))
        self.source, self.target = np.ones(self.LENGTH), np.zeros(self.LENGTH)
        self.ways = {
            "copy, 1 thread": np.copyto,
            copy_name(numba.get_num_threads()): copy_in_threads,
        }
        for copy in self.ways.values():
            copy(self.target, self.source)  # compiles
        self.product()

    def product(self) -> float:
        """GFLOP/s of a float64 matrix product, best of three."""
        best = min(seconds(np.matmul, *self.matrices, self.result) for _ in range(3))
        return 2e-9 * self.SIDE**3 / best

    def copies(self) -> dict[str, float]:
        """GB/s of each way to copy, read plus written, best of three."""
        moved = 2e-9 * self.source.nbytes
        return {
            name: moved / min(seconds(copy, self.target, self.source) for _ in range(3))
            for name, copy in self.ways.items()
        }


def copy_name(threads: int) -> str:
    """How the threaded copy is called in the table."""
    return f"copy, {threads} Numba thread{'s' if threads > 1 else ''}"


@numba.njit(parallel=True)
def copy_in_threads(target: np.ndarray, source: np.ndarray) -> None:
    """Copy an array, a piece to each thread."""
    pieces = numba.get_num_threads()
    for piece in numba.prange(pieces):
        begin, end = piece * len(source) // pieces, (piece + 1) * len(source) // pieces
        target[begin:end] = source[begin:end]


def seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


def measure(cases: Sequence[Case], rounds: int, least: float) -> list[Round]:
    """Time every case in every round for at least `least` seconds.

    Each limit is measured just before what it is a limit of, and what is compared follows each
    other, in an order that turns around from round to round.
    """
    machine = Machine()
    reduced = [case for case in cases if case.engine == "reduced"]
    in_Rd = sorted(set(cases) - set(reduced), key=lambda case: (case.d, case.rule, case.engine))
    with ProgressBar() as bar:

        def each(cases: Sequence[Case], f: Callable[[Case], Any], stage: str) -> dict[Case, Any]:
            found = {}
            for number, case in enumerate(cases):
                bar(Progress(number, len(cases), "case", stage))
                found[case] = f(case)
            return found

        watches = each(reduced + in_Rd, Stopwatch, "compiling")

        def time_all(cases: Sequence[Case], stage: str) -> dict[Case, float]:
            return each(cases, lambda case: watches[case].ns(least), stage)

        done = []
        for number in range(1, rounds + 1):
            stage, turn = f"round {number} of {rounds}", (-1) ** number
            product = machine.product()
            ns = time_all(reduced[::turn], f"{stage}, reduced")
            copies = machine.copies()
            ns |= time_all(in_Rd[::turn], f"{stage}, in R^d")
            done.append(Round(ns, product, copies))
    return done


# --- From times to rows and targets ---------------------------------------------------------------


@dataclass
class Row:
    """A row as it is printed; None where a column has no meaning."""

    engine: str
    rule: str | None = None
    d: int | None = None
    replicas: int | None = None
    ns: float | None = None
    gflops: float | None = None
    percent_of_product: float | None = None
    gbytes: float | None = None
    percent_of_copy: float | None = None
    times_plain: float | None = None
    note: str = ""


class Target(NamedTuple):
    """What the package is meant to reach, and what was measured."""

    text: str
    measured: str
    reached: bool


class Report:
    """Medians over rounds, as rows and targets."""

    def __init__(self, rounds: Sequence[Round], cases: Sequence[Case]) -> None:
        self.rounds, self.cases = rounds, cases
        self.copy = max(rounds[0].copies, key=lambda name: self.median(lambda r: r.copies[name]))

    def median(self, quantity: Callable[[Round], float]) -> float:
        """Median over rounds of a number that each round has."""
        return statistics.median(map(quantity, self.rounds))

    def percent_of_product(self, case: Case) -> float:
        """Rate of arithmetic, in percent of the matrix product's."""
        flops = case.flops or math.nan
        return self.median(lambda r: 100 * flops / r.ns[case] / r.product)

    def percent_of_copy(self, case: Case) -> float:
        """Rate of data moved, in percent of the faster copy's."""
        traffic = case.traffic or math.nan
        return self.median(lambda r: 100 * traffic / r.ns[case] / r.copies[self.copy])

    def ratio(self, slow: Case, fast: Case) -> float:
        """How many times as long one case takes as another."""
        return self.median(lambda r: r.ns[slow] / r.ns[fast])

    def limit_rows(self) -> Iterable[Row]:
        """The machine's own rates."""
        yield Row(
            f"matrix product, {Machine.SIDE}",
            gflops=self.median(lambda r: r.product),
            percent_of_product=100.0,
        )
        for name in self.rounds[0].copies:
            yield Row(
                name,
                gbytes=self.median(lambda r, name=name: r.copies[name]),
                percent_of_copy=self.median(
                    lambda r, name=name: 100 * r.copies[name] / r.copies[self.copy]
                ),
                note="100 % of copy" if name == self.copy else "",
            )

    def row(self, case: Case) -> Row:
        """A case's row."""
        ns = self.median(lambda r: r.ns[case])
        flops, traffic, base = case.flops, case.traffic, case.base
        note = ""
        if base:
            gradients, products = RULES[case.rule].cost
            cost = f"{gradients:g} gradient{'s' if gradients > 1 else ''}"
            cost += f" and {products:g} Jacobian products" if products else ""
            note = f"{self.ratio(case, base):.2f} x {base.rule}, with {cost}"
        return Row(
            **asdict(case),
            ns=ns,
            gflops=flops / ns if flops else None,
            percent_of_product=self.percent_of_product(case) if flops else None,
            gbytes=traffic / ns if traffic else None,
            percent_of_copy=self.percent_of_copy(case) if traffic else None,
            times_plain=self.ratio(case.plain, case) if case.plain in self.cases else None,
            note=note,
        )

    def rows(self) -> list[Row]:
        """The whole table."""
        absent = [Row(name, note="not installed") for name in MODULES if not installed(name)]
        return [*self.limit_rows(), *map(self.row, self.cases), *absent]

    def targets(self) -> list[Target]:
        """The package's targets; each takes the worst of the rows it speaks of."""
        many = [c for c in self.cases if c.engine == "reduced" and c.replicas > 1 and not c.base]
        single = [c for c in self.cases if c.engine == "reduced" and c.replicas == 1]
        dense = Case("dense", "adam", 2**16)
        product = min(map(self.percent_of_product, many))
        spread = max(
            self.unevenness(near, far)
            for near in many
            for far in many
            if near.rule == far.rule and (near.d, far.d) == (DIMENSIONS[0], FARTHEST)
        )
        microseconds = max(self.median(lambda r, c=c: r.ns[c]) for c in single) / 1e3
        speedup = self.ratio(dense.plain, dense)
        copy = self.percent_of_copy(dense)
        return [
            Target(
                "reduced, 64 replicas: at least 30 % of the matrix product",
                f"{product:.1f} %",
                product >= 30,
            ),
            Target(
                "reduced, 64 replicas: d = 64 and d = 2^40 within 20 %",
                f"{100 * (spread - 1):.1f} %",
                spread <= 1.2,
            ),
            Target(
                "reduced, 1 replica: at most 2.5 us a step",
                f"{microseconds:.2f} us",
                microseconds <= 2.5,
            ),
            Target(
                "dense, adam, d = 65536: at least 4 times as fast as plain NumPy",
                f"{speedup:.1f} times",
                speedup >= 4,
            ),
            Target(
                f"dense, adam, d = 65536: at least 50 % of {self.copy}",
                f"{copy:.0f} %",
                copy >= 50,
            ),
        ]

    def unevenness(self, one: Case, other: Case) -> float:
        """How many times as long the slower of two cases takes."""
        ratio = self.ratio(one, other)
        return max(ratio, 1 / ratio)


# --- Printing -------------------------------------------------------------------------------------


def power(d: int) -> str:
    """A dimension, as a power of two where that is shorter."""
    return str(d) if d < 2**17 else f"2^{d.bit_length() - 1}"


def number(x: float | None, digits: int = 1) -> str:
    """A number with thousands separated and no decimals from a hundred, or nothing."""
    return "" if x is None else f"{x:,.{digits if abs(x) < 100 else 0}f}"


PAGE = Path(__file__).parent / "README.md"
HEADS = (
    *("engine", "rule", "d", "replicas", "ns"),
    *("GFLOP/s", "% product", "GB/s", "% copy", "x plain", ""),
)


def table(rows: Sequence[Row]) -> str:
    """The rows in aligned columns."""
    cells = [row_cells(row) for row in rows]
    layout = Table.fitted(HEADS, "<<" + ">" * 8 + "<", cells)
    return "\n".join(layout.heads + [layout.row(*row) for row in cells])


def row_cells(row: Row) -> tuple[str, ...]:
    """A row's columns as text."""
    return (
        row.engine,
        row.rule or "",
        "" if row.d is None else power(row.d),
        "" if row.replicas is None else str(row.replicas),
        number(row.ns, digits=0),
        number(row.gflops, digits=2),
        number(row.percent_of_product),
        number(row.gbytes),
        number(row.percent_of_copy),
        number(row.times_plain),
        row.note,
    )


def environment() -> str:
    """What was measured, in a line."""
    threads = numba.get_num_threads()
    return (
        f"m_D = m_G = {NEURONS}; {threads} thread{'s' if threads > 1 else ''},"
        f" Python {platform.python_version()}, NumPy {np.__version__}, Numba {numba.__version__},"
        f" {platform.machine()}"
    )


def print_report(report: Report) -> None:
    """The table, and whether the targets are reached."""
    print(environment(), table(report.rows()), sep="\n\n", end="\n\n")
    for target in report.targets():
        verdict = "reached" if target.reached else "NOT REACHED"
        print(f"{target.text}: {target.measured}, {verdict}")


def print_json(report: Report) -> None:
    """The same for a program."""
    content = {
        "environment": environment(),
        "rows": [asdict(row) for row in report.rows()],
        "targets": [target._asdict() for target in report.targets()],
    }
    print(to_json(content, indent=1))


def write_report(report: Report) -> None:
    """The same into this folder's page."""
    targets = [
        (t.text, t.measured if t.reached else f"{t.measured}, missed") for t in report.targets()
    ]
    parts = (
        environment() + ".",
        markdown_table(HEADS, map(row_cells, report.rows())),
        markdown_table(("target", "reached"), targets),
        measured_by("python sims/bench.py --write"),
    )
    write_block(PAGE, "speed", "\n\n".join(parts))


# --- The command ----------------------------------------------------------------------------------


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = cli.Parser(
        description="Time a step of every engine beside plain NumPy and the machine's own limits.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer and shorter rounds, and no d = 2^20 in R^d",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--write", action="store_true", help="put the tables into sims/README.md")
    parser.add_argument(
        "--threads",
        type=cli.whole,
        metavar="N",
        help="threads of every library (default: what each library chooses, usually all cores)",
    )
    arguments = parser.parse_args()
    cores = os.cpu_count() or 1
    if arguments.threads is not None and not 1 <= arguments.threads <= cores:
        parser.error(f"--threads {arguments.threads} must lie between 1 and {cores}")
    return arguments


def limit_threads(threads: int) -> None:
    """Start over with the variables set from which libraries take their number of threads.

    They are read when a library is imported, and the matrix product is a fair limit only on as
    many threads as the engines have.
    """
    wanted = dict.fromkeys(THREAD_VARIABLES, str(threads))
    if not wanted.items() <= os.environ.items():
        os.execve(sys.executable, sys.orig_argv, os.environ | wanted)


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    if arguments.threads is not None:
        limit_threads(arguments.threads)
    if arguments.write:
        require_block(PAGE, "speed")
    check_agreement()
    cases = make_cases(arguments.quick)
    rounds, least = (3, 0.04) if arguments.quick else (7, 0.15)
    report = Report(measure(cases, rounds, least), cases)
    (print_json if arguments.json else print_report)(report)
    if arguments.write:
        write_report(report)


if __name__ == "__main__":
    twomode_program.run(main)
