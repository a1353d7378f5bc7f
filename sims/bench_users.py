"""What users wait for: starts, the main job, records, minibatches, an adversary, chains.

    python sims/bench_users.py            # a minute
    python sims/bench_users.py --write    # and into sims/README.md

Each command is a process of its own, in rounds; medians, of seconds by the clock and of processor
time.  The first start has an empty cache of kernels.  Training and chains are held against their
arithmetic: multiplications at a matrix product's rate, exponentials and normal draws at NumPy's.
"""

from __future__ import annotations

import twomode_program

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from timeit import repeat, timeit
from typing import NamedTuple

import numpy as np
import timing

import twomode as tm
from twomode.progress import Progress, ProgressBar

ROUNDS = 5
JOB = ("mode_collapse.py", "--d", "4096", "--opt", "sgda")
#: Rule and replicas of the runs whose records are timed, at d = 4096.
RECORDED = (("sgda", 1), ("sgda", 16), ("sgda", 64), ("nsgda", 16))
#: Sizes of minibatches, of SGDA with 64 replicas at d = 4096.
MINIBATCHES = (1, 64, 512)
#: Of training on digits, each for some steps of SGD.
TRAINED = {"natural": 500, "algorithm-1": 500, "pgd-7": 200, "pgd-40": 100}
#: Steps of chains on digits, and what else these take: exponentials of each coordinate, which sum
#: the densities of two folded steps over six images.
CHAIN_STEPS = 50
SAMPLED = {"sign": 0, "reflected": 0, "mala-folded": 12}
#: What the main job imports of others, which it cannot take less than.
LIBRARIES = "import numpy, numba, matplotlib.figure, matplotlib.backends.backend_agg"
HEADS = ("", "s", "CPU s", "")
ALIGNS = "<>><"


class Timed(NamedTuple):
    """A row."""

    what: str
    seconds: str
    cpu: str
    note: str


def command(*words: str, **environment: str) -> tuple[float, float]:
    """How long a Python command takes, by the clock and the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, *words]
        if words[0] != "-c":
            run += ["--out", str(Path(folder, "run"))]
        subprocess.run(
            run, cwd=Path(__file__).parent, env=os.environ | environment, check=True,
            capture_output=True,
        )  # fmt: skip
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, sum(after[:2]) - sum(before[:2])


def first_start() -> tuple[float, float]:
    """The main job without kernels, to its verdict."""
    with tempfile.TemporaryDirectory() as folder:
        return command(*JOB, "--no-plot", NUMBA_CACHE_DIR=folder)


def recording(name: str, replicas: int) -> tuple[float, float]:
    """A run with the default records, and one with none but the first and the last: processor.

    The least of three, since what ran before has left its traces in caches and memory.
    """
    game = tm.Game.preset(4096)
    opt, steps = tm.recipe(game, name)

    def took(every: int | None) -> float:
        run = partial(tm.simulate, game, opt, steps, replicas=replicas, record_every=every)
        return min(repeat(run, timer=time.process_time, number=1, repeat=3))

    return took(None), took(steps)


def drawing(size: int) -> tuple[float, float]:
    """A run with minibatches, and one without: by the clock."""
    game = tm.Game.preset(4096)
    opt, steps = tm.recipe(game, "sgda", steps=4000)
    took = []
    for batch in (size, None):
        began = time.perf_counter()
        tm.simulate(game, opt, steps, replicas=64, record_every=steps, batch_size=batch)
        took.append(time.perf_counter() - began)
    return took[0], took[1]


def training(name: str) -> tuple[float, float]:
    """A step of SGD on digits, and what its arithmetic takes: processor time."""
    problem, data, model = digits()
    how = tm.adversarial.method(name)
    options = {"eps": problem.eps, "batch": problem.batch, "learning_rate": problem.learning_rate}
    began = time.thread_time()  # BLAS's threads spin for a while after a product
    for _ in tm.adversarial.train(model, data, how, steps=TRAINED[name], **options):
        pass
    took = (time.thread_time() - began) / TRAINED[name]
    (h, d), k, n, costs = model.B.shape, len(model.c), problem.batch, Costs.measured()
    descent = n * (4 * d * h + 6 * h * k) * costs.product + n * (h + k) * costs.exp
    return took, descent + how.steps * costs.of_step(model, n, noisy=how.sampler.sigma > 0)


def sampling(name: str) -> tuple[float, float]:
    """A step of a chain from every one of the digits, likewise."""
    problem, data, model = digits()
    target = tm.adversarial.Target.of(model, data, problem.eps, problem.lam)
    sampler, rng = tm.adversarial.sampler(name), np.random.default_rng(0)
    chains = partial(tm.adversarial.advance, target, sampler, target.x, CHAIN_STEPS, rng)
    took = timeit(chains, timer=time.thread_time, number=1) / CHAIN_STEPS
    costs = Costs.measured()
    least = costs.of_step(model, len(target.x), noisy=True)
    return took, least + target.x.size * SAMPLED[name] * costs.exp


def digits() -> tuple[tm.robustness.Problem, tm.adversarial.Data, tm.adversarial.Model]:
    """The problem, its points and a model to start from."""
    problem = tm.robustness.PROBLEMS["digits"]
    data = tm.adversarial.load_data("digits", problem.n_train)
    return problem, data, tm.adversarial.Model.random(data, hidden=problem.hidden)


class Costs(NamedTuple):
    """Processor time of a multiplication or addition in a product, an exponential, a draw."""

    product: float
    exp: float
    normal: float

    @classmethod
    def measured(cls) -> Costs:
        """By NumPy."""
        rng, size = np.random.default_rng(0), 1000
        X, x = rng.standard_normal((size, size)), rng.standard_normal(size)
        return cls(
            timeit(lambda: X @ X, timer=time.process_time, number=3) / (3 * 2 * size**3),
            timeit(lambda: np.exp(x), timer=time.thread_time, number=1000) / (1000 * size),
            timeit(lambda: rng.standard_normal(size), timer=time.thread_time, number=1000)
            / (1000 * size),
        )

    def of_step(self, model: tm.adversarial.Model, n: int, *, noisy: bool) -> float:
        """Of a step in x of `n` points: a gradient, and noise."""
        (h, d), k = model.B.shape, len(model.c)
        gradient = 4 * (d * h + h * k) * self.product + (h + k) * self.exp
        return n * (gradient + d * noisy * self.normal)


CASES: dict[str, Callable[[], tuple[float, float]]] = {
    "import numpy": lambda: command("-c", "import numpy"),
    "import numpy, numba, matplotlib": lambda: command("-c", LIBRARIES),
    "import twomode": lambda: command("-c", "import twomode"),
    "mode_collapse.py --d 4096 --opt sgda": lambda: command(*JOB),
    "the same, --no-plot": lambda: command(*JOB, "--no-plot"),
    "the same, --no-plot, first start": first_start,
}


def rows() -> Iterator[Timed]:
    """Everything, timed round by round."""
    tm.adversarial.load_data("digits", 1)  # if scikit-learn is missing, that is said at once
    runs = {f"{n} x {r}": (n, r) for n, r in RECORDED}
    compared = {
        **{name: partial(recording, *run) for name, run in runs.items()},
        **{f"of {size}": partial(drawing, size) for size in MINIBATCHES},
        **{name: partial(training, name) for name in TRAINED},
        **{name: partial(sampling, name) for name in SAMPLED},
    }
    timed = CASES | compared
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in timed}
    command(*JOB)  # compiles
    for run in compared.values():
        run()
    with ProgressBar("users") as bar:
        for n in range(ROUNDS * len(found)):
            name = list(found)[n % len(found)]
            bar(Progress(n, ROUNDS * len(found), "command"))
            found[name].append(timed[name]())
    for name in CASES:
        seconds, cpu = (statistics.median(x) for x in zip(*found[name], strict=True))
        yield Timed(name, f"{seconds:.2f}", f"{cpu:.2f}", "")
    for name in runs:
        share = statistics.median(bare / full for full, bare in found[name])
        full = statistics.median(full for full, _ in found[name])
        note = f"{100 * share:.0f} % of the rate without records"
        yield Timed(f"simulate, default records, {name}", "", f"{full:.2f}", note)
    for size in MINIBATCHES:
        ratio = statistics.median(drawn / bare for drawn, bare in found[f"of {size}"])
        seconds = statistics.median(drawn for drawn, _ in found[f"of {size}"])
        note = f"{ratio:.1f} steps of the population"
        yield Timed(f"simulate, minibatches of {size}, sgda x 64", f"{seconds:.2f}", "", note)
    steps = {name: f"a step of SGD on digits, {name}" for name in TRAINED}
    chains = f"{tm.robustness.PROBLEMS['digits'].n_train:,} chains on digits"
    steps |= {name: f"a step of {chains}, {name}" for name in SAMPLED}
    for name, words in steps.items():
        ratio = statistics.median(took / least for took, least in found[name])
        took = statistics.median(took for took, _ in found[name])
        yield Timed(words, "", "", f"{1e6 * took:.0f} us, {ratio:.1f} times its arithmetic")


def main() -> None:
    """Time, print, write."""
    timing.show(__doc__, "users", HEADS, ALIGNS, rows)


if __name__ == "__main__":
    twomode_program.run(main)
