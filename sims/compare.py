"""Run all rules from the same starts: who collapses, who recovers both modes, at what cost.

    python sims/compare.py --d 256

Each rule runs by its recipe, those with plain steps also with steps 1/64 as long, and at the best
point of a grid of step sizes that was chosen on other starts.  Prints a table and answers, and
saves table.csv, tuning.csv, runs.csv, answers.txt and comparison.png in runs/compare-dD-seedS.
"""

from __future__ import annotations

import twomode_program

import argparse
import math

import pandas as pd

import twomode as tm
from twomode import cli
from twomode.io import to_json
from twomode.names import new_file, save_text
from twomode.statistics import Proportion
from twomode.studies import STEP_SCALES
from twomode.summary import answers
from twomode.tables import Column, Table


def parse() -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser(description=__doc__)
    parser.add_argument("--d", type=cli.whole, default=256, help="dimension of the data [256]")
    parser.add_argument("--rules", nargs="+", metavar="NAME", help="[all named rules]")
    parser.add_argument(
        "--step-scales",
        nargs="+",
        type=float,
        default=list(STEP_SCALES),
        metavar="X",
        help="the grid's multiples of the recipe's steps [0.25 1 4]",
    )
    parser.add_argument(
        "--ratios",
        nargs="+",
        type=float,
        metavar="X",
        help="the grid's eta_G/eta_D [0.2, 1, ln d, sqrt(d)]",
    )
    parser.add_argument("--replicas", type=cli.whole, default=64, help="fresh starts [64]")
    parser.add_argument("--tuning", type=cli.whole, default=16, help="starts of the grid [16]")
    parser.add_argument(
        "--no-fine", dest="fine", action="store_false", help="no runs with steps 1/64 as long"
    )
    parser.add_argument("--seed", type=cli.natural, default=0, help="root of all randomness [0]")
    parser.add_argument(
        "--batch-size", type=cli.whole, help="minibatch [none: population gradient]"
    )
    parser.add_argument("--workers", type=cli.whole, help="processes [one a core]")
    cli.add_store_flag(parser)
    cli.add_output_flags(parser, "compare-dD-seedS")
    return parser.parse_args()


def main() -> None:
    """Parse, compare, print, save."""
    args = parse()
    cell = {"d": args.d} | ({} if args.batch_size is None else {"batch_size": args.batch_size})
    with cli.run_folder(args, f"compare-d{args.d}-seed{args.seed}") as folder:
        with tm.sweeps.processes(args.workers) as executor, tm.ProgressBar("compare") as bar:
            comparison = tm.compare_rules(
                tm.RULES if args.rules is None else args.rules,
                cell,
                step_scales=args.step_scales,
                ratios=args.ratios,
                replicas=args.replicas,
                tuning=args.tuning,
                fine=args.fine,
                seed=args.seed,
                executor=executor,
                store=args.store,
                progress=bar,
            )
        table, said = comparison.table(), "\n".join(answers(comparison))
        print(
            as_json(table, comparison) if args.json else f"{as_text(table)}\n\n{said}", flush=True
        )

        for name, text in (
            ("table.csv", table.to_csv(index=False)),
            ("tuning.csv", comparison.tuning.to_csv(index=False)),
            ("runs.csv", comparison.runs.to_csv(index=False)),
            ("answers.txt", said + "\n"),
        ):
            save_text(folder / name, text)
        if not args.no_plot:
            figure = tm.plotting.compared(comparison)[0].figure
            with new_file(folder / "comparison.png") as file:
                figure.savefig(file, dpi=150)
    if not args.json:
        print(cli.told())


def as_text(table: pd.DataFrame) -> str:
    """What a person reads of the table; see `Comparison.table` for all of it."""

    def number(x: float) -> str:
        return f"{x:,.0f}" if math.isfinite(x) else "-"

    def share(x: float) -> str:
        return f"{100 * x:.0f} %" if math.isfinite(x) else "-"

    layout = Table(
        Column(("rule", ""), 26, "<"),
        Column(("cost", ""), 8, "<"),
        Column(("collapsed", "by recipe"), 11),
        Column(("at T_0 =", "iteration"), 11),
        Column(("collapsed", "fine steps"), 12),
        Column(("like its", "base"), 9),
        Column(("best of the grid:", "step, ratio"), 19),
        Column(("both modes", "recovered"), 17),
        Column(("iterations", "to it"), 12),
        Column(("gradients", "to it"), 11),
        Column(("D had", "learned"), 9),
        Column(("steps", "apart"), 8),
    )
    lines = layout.heads
    for row in table.itertuples():
        low, high = (100 * x for x in row.recovered.interval)
        cells = (
            row.rule,
            cli.cost_of(row.rule),
            share(row.collapsed.share),
            number(row.T0),
            "-" if row.collapsed_fine is None else share(row.collapsed_fine.share),
            share(row.agreement),
            f"{row.step_scale:g}, {row.ratio:.3g}",
            f"{share(row.recovered.share)} ({low:.0f}-{high:.0f})",
            number(row.iterations),
            number(row.gradients),
            share(row.learned),
            number(row.apart),
        )
        lines.append(layout.row(*cells))
    return "\n".join(lines)


def as_json(table: pd.DataFrame, comparison: tm.Comparison) -> str:
    """Everything of the table and the answers."""

    def plain(value: object) -> object:
        if isinstance(value, Proportion):
            return {
                "successes": value.successes,
                "trials": value.trials,
                "interval": list(value.interval),
            }
        return None if isinstance(value, float) and math.isnan(value) else value

    rules = [{k: plain(v) for k, v in row.items()} for row in table.to_dict(orient="records")]
    return to_json({"rules": rules, "answers": answers(comparison)}, indent=1)


if __name__ == "__main__":
    twomode_program.run(main)
