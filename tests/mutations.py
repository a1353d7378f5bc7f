"""Break the package on purpose, one line at a time, and see whether the tests notice.

    python tests/mutations.py [--count 150] [--seed 0] [--only twomode/statistics]

Each mutant is one operator, comparison, number, condition or truth value of `twomode/` that is
another one, in a copy of the checkout in build/mutants.  The tests of its room run until one fails,
or for `ENOUGH` seconds: those files first that have noticed most in the least time.  A mutant is
a fork of this process, which has imported the libraries; kernels are compiled once in the copy, and
anew only for what is broken in them.  Prints what survives.  Not a test itself: a mutant takes some
ten seconds of a processor, one in a kernel a minute.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "mutants"
#: The tests that are asked about a file, by the longest path that it begins with; quick ones first.
TESTS = {
    "twomode": [
        *("progress", "tables", "io", "inputs", "pages", "simulate", "cli", "comparison"),
        *("paper_checks", "examples"),
    ],
    "twomode/game": ["laws", "game", "observables", "starts", "bilinear", "simulate", "examples"],
    "twomode/rules": ["rules", "optimizers", "formulas", "recorded", "corrections", "bilinear"],
    "twomode/engines": ["engines"],
    "twomode/engines/compiled/observed.py": ["observed"],
    "twomode/engines/reduced.py": ["observed", "engines"],
    "twomode/engines/flow.py": ["flow"],
    "twomode/engines/compiled/dormand_prince.py": ["flow"],
    "twomode/engines/compiled/jit.py": ["kernel_cache"],
    "twomode/engines/compiled/parts.py": ["kernel_cache"],
    "twomode/engines/array.py": ["bilinear", "recorded", "engines"],
    "twomode/runs": [
        *("again", "starts", "io", "simulate", "observed", "verdicts", "replay", "resume", "flow"),
        *("progress", "inputs"),
    ],
    "twomode/statistics": ["statistics", "comparison", "examples"],
    "twomode/theory": ["theorems", "verdicts", "mechanism", "theory", "flow", "examples", "proofs"],
    "twomode/proofs": ["proofs", "forms", "examples"],
    "twomode/proofs/forms.py": ["forms", "proofs"],
    "twomode/studies": ["sweeps", "comparison", "examples"],
    "twomode/adversarial": [
        *("adversarial_problems", "sampling", "adversarial_training", "adversarial_samplers"),
        *("robustness", "adversarial_closed_form", "cli_langevin", "examples"),
    ],
    "twomode/plotting": ["plotting", "plotting_adversarial", "examples"],
}
#: What is imported once, for all mutants.
LIBRARIES = ("scipy.stats", "scipy.optimize", "numba", "pandas", "matplotlib.figure")
#: Of the many tests of kernels, which each mutant compiles anew, the quickest that compare states.
OF_KERNELS = "one_step_to_rounding or numpy_does or whole_move or powers_of or chunks"
ENOUGH = 120.0  #: seconds of a processor after which a mutant that nothing has noticed survives
ENDLESS = 600  #: seconds after which it hangs, which somebody would notice
MEMORY = 16 * 2**30  #: bytes that it may not take, likewise

SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def mutate(node: ast.AST) -> Callable[[], None] | None:
    """What turns a node into its mutant, in place; None where there is nothing to turn."""
    if isinstance(node, ast.Compare):
        return _swap(node.ops, 0)
    if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPS:
        return lambda: setattr(node, "op", SWAPS[type(node.op)]())
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        return lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.UnaryOp):  # twice is not at all
        return lambda: setattr(node, "operand", ast.UnaryOp(node.op, node.operand))
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return lambda: setattr(node, "value", not node.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return lambda: setattr(node, "value", node.value + 1)
    return None


def _swap(ops: list[ast.cmpop], n: int) -> Callable[[], None] | None:
    if type(ops[n]) not in SWAPS:
        return None
    return lambda: ops.__setitem__(n, SWAPS[type(ops[n])]())


def places(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that have a mutant and run: nothing in annotations, decorators or messages."""
    if mutate(node) is not None:
        yield node
    for name, below in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list") or isinstance(node, ast.JoinedStr):
            continue
        for child in below if isinstance(below, list) else [below]:
            if isinstance(child, ast.AST):
                yield from places(child)


def mutant(source: str, n: int) -> tuple[int, str, str]:
    """The n-th of a file: its line, the change, the whole source."""
    tree = ast.parse(source)
    node = list(places(tree))[n]
    before = ast.unparse(node)
    change = mutate(node)
    assert change is not None
    change()
    text = ast.unparse(ast.fix_missing_locations(tree))
    after = ast.unparse(ast.fix_missing_locations(copy.deepcopy(node)))
    return getattr(node, "lineno", 0), f"{before}  ->  {after}", text


# What notices a mutant


@dataclass(eq=False)
class Watch:
    """What the tests of one mutant did, as a plugin of pytest in its process."""

    began: float = field(default_factory=time.process_time)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: str = ""

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Note what the file has taken so far, of all that this process has."""
        self.seconds[nodeid.partition("::")[0]] = time.process_time() - self.began

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note what failed."""
        self.failed = report.nodeid if report.failed else self.failed

    def pytest_collectreport(self, report: Any) -> None:
        """Note what could not even be imported."""
        self.failed = report.nodeid if report.failed else self.failed

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Stop when it is enough."""
        if time.process_time() - self.began > ENOUGH:
            item.session.shouldstop = "enough"


def ask(tests: list[str], told: Path) -> None:
    """Run tests in the copy, in this process, and write what they did."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.alarm(ENDLESS)
    os.chdir(FOLDER)
    os.environ["PYTHONPATH"] = sys.path[0] = str(FOLDER)
    # two mutants of one file may have one size and, to the second, one age
    sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    watch = Watch()
    chosen = ["-k", OF_KERNELS] if tests == ["tests/test_engines.py"] else []
    status = pytest.main(["-x", "-q", "-n0", "-p", "no:cacheprovider", *chosen, *tests], [watch])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.INTERRUPTED):
        watch.failed = watch.failed or f"pytest: {status}"
    told.write_text(json.dumps([watch.failed, watch.seconds]), encoding="utf-8")


def noticed(path: str, source: str, tests: list[str]) -> tuple[str, dict[str, float]]:
    """The test that fails with another source at `path`, or ""; and seconds of each file."""
    file = FOLDER / path
    before, ages = file.read_bytes(), file.stat()
    file.write_text(source, encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told"
        try:
            child = os.fork()
            if child == 0:
                with contextlib.suppress(BaseException):
                    ask(tests, told)
                os._exit(0)
            os.waitpid(child, 0)
        finally:
            file.write_bytes(before)
            os.utime(file, ns=(ages.st_atime_ns, ages.st_mtime_ns))  # the age its kernels know
        if not told.exists():
            return "the process died", {}
        failed, ends = json.loads(told.read_text(encoding="utf-8"))
    ordered = sorted(ends.items(), key=lambda item: item[1])
    starts = [0.0, *(end for _, end in ordered)]
    return failed, {name: end - start for (name, end), start in zip(ordered, starts, strict=False)}


def make_copy() -> None:
    """The checkout, as it is, in FOLDER, which keeps its kernels: their files have their ages."""
    kernels, kept = FOLDER / "twomode" / "engines" / "__pycache__", FOLDER.with_suffix(".kernels")
    if kernels.is_dir():
        shutil.rmtree(kept, ignore_errors=True)
        kernels.rename(kept)
    shutil.rmtree(FOLDER, ignore_errors=True)

    def left_out(folder: str, names: list[str]) -> list[str]:
        above = {"build", "runs"} if Path(folder) == ROOT else set()
        return [n for n in names if n in above | {"__pycache__"} or n.startswith(".")]

    shutil.copytree(ROOT, FOLDER, ignore=left_out)
    if kept.is_dir():
        kept.rename(kernels)


def main() -> None:
    """Draw mutants, try them, print what survives and the share that is caught."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="twomode", help="a file or folder")
    args = parser.parse_args()
    make_copy()
    files = sorted(str(p.relative_to(FOLDER)) for p in (FOLDER / "twomode").rglob("*.py"))
    sources = {file: (FOLDER / file).read_text(encoding="utf-8") for file in files}
    everything = [
        (path, n)
        for path in files
        if path.startswith(args.only)
        for n in range(sum(1 for _ in places(ast.parse(sources[path]))))
    ]
    chosen = random.Random(args.seed).sample(everything, min(args.count, len(everything)))
    took: dict[str, float] = defaultdict(float)
    found: dict[str, int] = defaultdict(int)
    trusted, survivors = {""}, []
    for name in LIBRARIES:
        importlib.import_module(name)
    # in the order drawn, so that a part is a sample, too; those of the engines last
    for n, place in enumerate(sorted(chosen, key=lambda place: "engines" in place[0]), start=1):
        path = place[0]
        line, change, source = mutant(sources[path], place[1])
        room = max((room for room in TESTS if path.startswith(room)), key=len)
        asked = [f"tests/test_{name}.py" for name in TESTS[room]]
        asked.sort(key=lambda name: took[name] / (1 + found[name]))  # as listed, at first
        failed, seconds = noticed(path, source, asked)
        for name, each in seconds.items():
            took[name] += each
        by_file = failed.partition("::")[0]
        found[by_file] += 1
        if by_file not in trusted:
            if noticed(path, sources[path], [failed] if "::" in failed else asked[:1])[0]:
                sys.exit(f"{failed}: unbroken, too")
            trusted.add(by_file)
        word, by = ("caught", f"  ({failed})") if failed else ("SURVIVES", "")
        print(f"{n}/{len(chosen)} {word:<9} {path}:{line}: {change}{by}", flush=True)
        survivors += [] if failed else [f"{path}:{line}: {change}"]
    caught = len(chosen) - len(survivors)
    print(
        f"\n{caught} of {len(chosen)} caught; of {len(everything)} possible", *survivors, sep="\n"
    )


if __name__ == "__main__":
    main()
