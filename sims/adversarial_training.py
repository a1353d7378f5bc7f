"""Train against an adversary: the talk's Algorithm 1 beside natural, FGSM and PGD training.

    python sims/adversarial_training.py --data moons

All methods see the same data, start and minibatches.  Prints errors and what they cost, and saves
curves.csv, summary.json and robust_error.png in runs/<name>.
"""

from __future__ import annotations

import twomode_program

import argparse
import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

import twomode as tm
from twomode import adversarial, cli
from twomode._typing import Count
from twomode.adversarial import PROBLEMS, Method, Problem, cost_to, learning_curves
from twomode.checks import take
from twomode.errors import require, require_choice
from twomode.io import to_json
from twomode.names import new_file, save_text
from twomode.tables import Column, Table

#: "Down to the level": this much above the lowest robust error of any method on the seed.
WITHIN = 0.01
OURS = "algorithm-1"


PROBLEM_HELP = {
    "n_train": "points to train on",
    "n_test": "points to evaluate on",
    "hidden": "width of the hidden layer",
    "eps": "half width of the boxes",
    "lam": "lambda; the sign step does not see it",
    "batch": "data points in a minibatch",
    "learning_rate": "of SGD",
    "steps": "of SGD",
}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser(description=__doc__)
    problem = parser.add_argument_group("the problem (defaults depend on the data)")
    problem.add_argument(
        "--data", default="moons", metavar="NAME", help=f"{', '.join(PROBLEMS)} [moons]"
    )
    cli.add_field_flags(problem, Problem, PROBLEM_HELP)
    methods = parser.add_argument_group("the methods")
    methods.add_argument(
        "--methods",
        nargs="+",
        default=["natural", "fgsm", "pgd-7", "pgd-40", OURS],
        metavar="NAME",
        help=f"from {', '.join(adversarial.METHODS)} (any K) [natural fgsm pgd-7 pgd-40 {OURS}]",
    )
    methods.add_argument(
        "--sampler",
        metavar="NAME",
        help=f"of {OURS}: {', '.join(adversarial.SAMPLERS)} [sign]",
    )
    cli.add_step_flags(methods)
    methods.add_argument("--inner-steps", type=cli.whole, help=f"T of {OURS} [1]")
    methods.add_argument("--copies", type=cli.whole, help=f"K of {OURS} [1]")
    methods.add_argument("--start", choices=adversarial.STARTS, help=f"of {OURS} [warm]")
    run = parser.add_argument_group("the runs")
    run.add_argument("--seeds", type=cli.whole, default=4, help="independent runs of each [4]")
    run.add_argument("--seed", type=cli.natural, default=0, help="the first [0]")
    run.add_argument("--evaluations", type=cli.whole, default=32, help="points of a curve [32]")
    run.add_argument("--workers", type=cli.whole, help="processes [one a core]")
    cli.add_output_flags(parser, "training-DATA-seedS")
    return parser.parse_args()


def main() -> None:
    """Parse, train, evaluate, print, save."""
    args = parse()
    problem, methods = problem_from(args), methods_from(args)
    for name in ("seeds", "evaluations"):
        take(name, getattr(args, name), Count)
    require_ready(problem, methods)
    with cli.run_folder(args, f"training-{args.data}-seed{args.seed}") as folder:
        with tm.sweeps.processes(args.workers) as executor, tm.ProgressBar("training") as bar:
            table = learning_curves(
                problem,
                methods,
                range(args.seed, args.seed + args.seeds),
                executor,
                evaluations=args.evaluations,
                progress=bar,
            )
        summary = summarize(table, problem, methods)
        text = to_json(summary, indent=1)
        print(text if args.json else tell(summary), flush=True)

        save_text(folder / "curves.csv", table.to_csv(index=False))
        save_text(folder / "summary.json", text + "\n")
        if not args.no_plot:
            figure = tm.plotting.robust_errors(table).figure
            with new_file(folder / "robust_error.png") as file:
                figure.savefig(file, dpi=150)
    if not args.json:
        print(cli.told())


def require_ready(problem: Problem, methods: dict[str, Method]) -> None:
    """Raise `InputError` here for what every run would: before there are processes."""
    data = adversarial.load_data(problem.data, problem.n_train + problem.n_test)
    model = adversarial.Model.random(data, hidden=problem.hidden)
    points = data.take(slice(problem.n_train))
    for method in methods.values():
        adversarial.fit(model, points, method, eps=problem.eps, lam=problem.lam, steps=0)


def problem_from(args: argparse.Namespace) -> Problem:
    """The data set's problem, with what the flags change."""
    require_choice("data", args.data, PROBLEMS)
    return replace(PROBLEMS[args.data], **cli.given(args, *PROBLEM_HELP))


def methods_from(args: argparse.Namespace) -> dict[str, Method]:
    """The methods by name; the flags change Algorithm 1 alone."""
    ours = cli.given(args, "sampler", *cli.STEP_SIZES, "inner_steps", "copies", "start")
    for name, value in ours.items():
        require(OURS in args.methods, f"{name}={value!r} has no effect without --methods {OURS}")
    name = "sign" if args.sampler is None else args.sampler
    require(
        args.lam is None or (OURS in args.methods and name != "sign"),
        f"lam={args.lam!r} has no effect: it needs --methods {OURS} with another --sampler than"
        " sign, as projected",
    )
    changes = {
        "sampler": adversarial.sampler(name, **cli.given(args, *cli.STEP_SIZES)),
        "steps": 1 if args.inner_steps is None else args.inner_steps,
        "copies": 1 if args.copies is None else args.copies,
        "start": "warm" if args.start is None else args.start,
    }
    chosen = dict.fromkeys(args.methods)
    require(len(chosen) == len(args.methods), f"methods={args.methods}: name each of them once")
    return {name: adversarial.method(name, **(changes if name == OURS else {})) for name in chosen}


def summarize(table: pd.DataFrame, problem: Problem, methods: dict[str, Method]) -> dict[str, Any]:
    """What `summary.json` holds: medians and ranges over seeds of what each method ended with."""
    last = table.groupby(["seed", "method"]).last().unstack()
    level = last["robust_error"].min(axis=1) + WITHIN
    last = {name: last[name] for name in last.columns.levels[0]}
    for cost in ("gradients", "seconds"):
        last[f"{cost}_to_level"] = cost_to(table, level, cost)
    columns = ("natural_error", "robust_error", "strong_error", "gradients", "seconds")
    return {
        **asdict(problem),
        "seeds": sorted(int(seed) for seed in level.index),
        "methods": {
            name: {"rule": repr(method)}
            | {
                column: over_seeds(last[column][name])
                for column in (*columns, "gradients_to_level", "seconds_to_level")
            }
            | {"reached": int(np.isfinite(last["gradients_to_level"][name]).sum())}
            for name, method in methods.items()
        },
    }


def over_seeds(values: pd.Series) -> dict[str, float | None]:
    """Median, least and largest over seeds; None for what was not reached."""
    found = {"median": values.median(), "least": values.min(), "largest": values.max()}
    return {name: float(x) if math.isfinite(x) else None for name, x in found.items()}


TABLE = Table(
    Column("method", 14, "<"),
    Column("natural", 9),
    Column("PGD-40", 9),
    Column("PGD-100x10", 14),
    Column("gradients", 14),
    Column("s", 8),
    Column("gradients", 16),
    Column("s", 8),
    Column("reached", 14),
    indent=2,
)


def tell(summary: dict[str, Any]) -> str:
    """The summary for a person."""
    count = len(summary["seeds"])
    lines = [
        f"{summary['data']}: eps = {summary['eps']:g}, {summary['steps']:,} steps of SGD at"
        f" learning rate {summary['learning_rate']:g}, batches of {summary['batch']},"
        f" {count} seed{'s' if count > 1 else ''}; medians",
        "",
        f"  {'':<14}{'error of the test points':^32}{'whole training':>22}"
        f"{f'to {WITHIN:g} above the best error':>38}",
        *TABLE.heads,
    ]

    def show(x: dict[str, float | None], form: str) -> str:
        return "-" if x["median"] is None else format(x["median"], form)

    for name, m in summary["methods"].items():
        cells = (
            show(m["natural_error"], ".3f"),
            show(m["robust_error"], ".3f"),
            show(m["strong_error"], ".3f"),
            show(m["gradients"], ",.0f"),
            show(m["seconds"], ".3g"),
            show(m["gradients_to_level"], ",.0f"),
            show(m["seconds_to_level"], ".3g"),
        )
        lines.append(TABLE.row(name, *cells, f"{m['reached']} of {count}"))
    lines.append("\n  a gradient: one forward and one backward pass of one sample")
    return "\n".join(lines)


if __name__ == "__main__":
    twomode_program.run(main)
