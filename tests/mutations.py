"""Break the package on purpose, one line at a time, and see whether the tests notice.

    python tests/mutations.py [--count 150] [--seed 0] [--only twomode/statistics]

Each mutant is a copy of the checkout in which one operator, comparison, number, condition or
truth value of `twomode/` is another one; the tests of its room run on it until one fails.  Prints
the mutants that survive.  Not a test itself: a mutant takes some ten seconds, one in a kernel a
minute.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: The tests that are asked about a file, by the longest path it begins with.
TESTS = {
    "twomode": ["io", "cli", "progress", "tables", "pages", "simulate", "comparison", "examples"],
    "twomode/game": ["game", "laws", "starts", "observables", "bilinear", "simulate", "examples"],
    "twomode/rules": ["optimizers", "rules", "formulas", "corrections", "bilinear", "recorded"],
    "twomode/engines": ["engines", "resume", "corrections", "rules", "simulate", "kernel_cache"],
    "twomode/runs": ["simulate", "again", "resume", "io", "verdicts", "starts", "progress"],
    "twomode/statistics": ["statistics", "comparison"],
    "twomode/theory": ["verdicts", "theory", "theorems", "mechanism", "simulate"],
    "twomode/studies": ["sweeps", "comparison"],
    "twomode/adversarial": [
        *("adversarial_closed_form", "adversarial_problems", "adversarial_samplers"),
        *("adversarial_training", "sampling", "robustness"),
    ],
    "twomode/plotting": ["plotting", "plotting_adversarial"],
}
SLOWEST = 600  #: seconds for the tests of a mutant: one that never ends is noticed, too

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


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """Of a file: the line, what stood there, and the whole source with another thing there."""
    for n in range(len(list(places(ast.parse(source))))):
        tree = ast.parse(source)
        node = list(places(tree))[n]
        before = ast.unparse(node)
        change = mutate(node)
        assert change is not None
        change()
        text = ast.unparse(ast.fix_missing_locations(tree))
        after = ast.unparse(ast.fix_missing_locations(copy.deepcopy(node)))
        yield getattr(node, "lineno", 0), f"{before}  ->  {after}", text


def tests_of(path: str) -> list[str]:
    """Files of tests for a source."""
    room = max((room for room in TESTS if path.startswith(room)), key=len)
    return [f"tests/test_{name}.py" for name in TESTS[room]]


def survives(folder: Path, path: str, source: str) -> bool:
    """Whether all tests pass on the checkout in `folder` with another source at `path`."""
    before = (folder / path).read_text(encoding="utf-8")
    (folder / path).write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, *tests_of(path)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},
            capture_output=True,
            timeout=SLOWEST,
            check=False,
        )
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        (folder / path).write_text(before, encoding="utf-8")


def main() -> None:
    """Draw mutants, try them, print what survives and the share that is caught."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="twomode", help="a file or folder")
    args = parser.parse_args()
    files = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "twomode").rglob("*.py"))
    everything = [
        (path, *mutant)
        for path in files
        if path.startswith(args.only)
        for mutant in mutants((ROOT / path).read_text(encoding="utf-8"))
    ]
    chosen = random.Random(args.seed).sample(everything, min(args.count, len(everything)))
    survivors = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "checkout"
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "build", "runs"))
        for n, (path, line, change, source) in enumerate(sorted(chosen), start=1):
            alive = survives(folder, path, source)
            word = "SURVIVES" if alive else "caught"
            print(f"{n}/{len(chosen)} {word:<9} {path}:{line}: {change}", flush=True)
            survivors += [(path, line, change)] * alive
    print(
        f"\n{len(chosen) - len(survivors)} of {len(chosen)} caught; of {len(everything)} possible"
    )
    for path, line, change in survivors:
        print(f"{path}:{line}: {change}")


if __name__ == "__main__":
    main()
