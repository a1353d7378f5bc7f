"""Run a grid of games and rules, as one table; with --store a study that goes on after anything.

    python sims/sweep.py --d 256 4096 --opt sgda nsgda --replicas 64 --store runs/study
    python sims/sweep.py study.toml --workers 2

Every flag of the grid takes several values, and every combination is a cell.  A file of TOML has
the same names, and flags replace what it says:

    replicas = 64
    store = "runs/study"
    paired = ["ratio"]
    [grid]
    d = [256, 4096]
    opt = ["sgda", "nsgda"]
    latents = { kind = "bernoulli", p = 0.1 }

Prints how often each cell came to which verdict, with exact 95 % intervals, and saves summary.csv
and table.csv, a row a replica, in runs/sweep-seedS.  A store has each finished block of a cell's
replicas from the moment it is there: the same command goes on, whatever ended it.
"""

from __future__ import annotations

import twomode_program

import argparse
import itertools
import textwrap
import tomllib
from typing import Any

import pandas as pd
import studying

import twomode as tm
from twomode import cli
from twomode._typing import SeedNumber
from twomode.checks import take
from twomode.errors import require
from twomode.game import law_from_dict
from twomode.io import reading, to_json
from twomode.names import save_text
from twomode.statistics import Proportion
from twomode.studies import NAMES
from twomode.tables import Table
from twomode.theory import VERDICTS

#: What flags may vary; a law has several values, and is for files, as is a label.
AXES = NAMES - {"data", "latents", "label"}
#: What a file may say besides the grid.
OPTIONS = ("replicas", "seed", "paired", "store")
KEYS = ("grid", *OPTIONS)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser(description=__doc__)
    parser.add_argument("study", nargs="?", type=cli.path, help="a file of TOML [none]")
    parser.add_argument(
        "--paired",
        nargs="+",
        metavar="NAME",
        help="cells that differ only in these start alike [none]",
    )
    studying.add_flags(parser)
    cli.add_output_flags(parser, "sweep-seedS", plot=False)
    flags = {name: f"--{name.replace('_', '-')}" for name in sorted(AXES, key=str.lower)}
    grid = parser.add_argument_group(
        "the grid (of each flag, one value or more)", textwrap.fill(", ".join(flags.values()), 78)
    )
    for flag in flags.values():
        grid.add_argument(flag, nargs="+", type=cli.cell_value, metavar="X", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Parse, sweep, print, save."""
    args = parse()
    cells, options = study(args)
    with cli.run_folder(args, f"sweep-seed{options['seed']}") as folder:
        table = studying.sweep(args, cells, "sweep", **options)
        summary = summarized(table, cells)
        print(as_json(summary) if args.json else as_text(summary), flush=True)
        save_text(folder / "summary.csv", summary.to_csv(index=False))
        save_text(folder / "table.csv", table.to_csv(index=False))
    if not args.json:
        print(cli.told())


def study(args: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The cells, and replicas, seed, paired names and store, of the flags and of the file."""
    told: dict[str, Any] = {}
    if args.study is not None:
        with reading(args.study):
            told = tomllib.loads(args.study.read_text(encoding="utf-8"))
            unknown = sorted(told.keys() - {*KEYS})
            require(not unknown, f"unknown {', '.join(unknown)}: choose from {', '.join(KEYS)}")
            grid = told.pop("grid", {})
            require(isinstance(grid, dict), "grid must be a table of axes")
            axes = {name: [of_file(x) for x in listed(values)] for name, values in grid.items()}
    else:
        axes = {}
    axes |= cli.given(args, *sorted(AXES))
    options = {"replicas": 16, "seed": 0, "paired": (), "store": None} | told
    options |= cli.given(args, *OPTIONS)
    options["seed"] = take("seed", options["seed"], SeedNumber)
    require(bool(axes), "the grid has no axis: give --d and --opt, or a file")
    return tm.sweeps.cells(**axes), options


def listed(values: object) -> list[Any]:
    """An axis of a file: one value, or several."""
    return values if isinstance(values, list) else [values]


def of_file(value: object) -> object:
    """A value of a file; a table is a law."""
    return law_from_dict(value) if isinstance(value, dict) else value


def summarized(table: pd.DataFrame, cells: list[dict[str, Any]]) -> pd.DataFrame:
    """A row a cell: what it varies, replicas, and of each verdict the share and its interval."""
    replicas = len(table) // len(cells)
    names = [name for name in table.columns if name in cells[0]]
    varied = [name for name in names if table[name].nunique(dropna=False) > 1] or names
    words = [word for word in VERDICTS if (table["verdict"] == word).any()]
    rows = []
    for n in range(len(cells)):
        rows_of_it = table.iloc[n * replicas : (n + 1) * replicas]
        row = {name: rows_of_it[name].iloc[0] for name in varied} | {"replicas": replicas}
        for word in words:
            seen = Proportion.of(rows_of_it["verdict"] == word)
            row |= {word: seen.share, f"{word}_low": seen.interval[0]}
            row |= {f"{word}_high": seen.interval[1]}
        rows.append(row)
    return pd.DataFrame(rows)


def as_text(summary: pd.DataFrame) -> str:
    """The summary as a person reads it."""
    words = [word for word in VERDICTS if word in summary]
    names = list(itertools.takewhile(lambda name: name not in words, summary.columns))

    def shown(row: dict[str, Any], name: str) -> str:
        if name in words:
            low, high = (100 * row[f"{name}_{end}"] for end in ("low", "high"))
            return f"{100 * row[name]:.0f} % ({low:.0f}-{high:.0f})"
        return f"{row[name]:g}" if isinstance(row[name], float) else f"{row[name]}"

    heads = [*names, *words]
    rows = [[shown(row, name) for name in heads] for row in summary.to_dict(orient="records")]
    fitted = Table.fitted(heads, ">" * len(heads), rows)
    return "\n".join([*fitted.heads, *(fitted.row(*row) for row in rows)])


def as_json(summary: pd.DataFrame) -> str:
    """The summary, a record a cell."""
    return to_json({"cells": summary.to_dict(orient="records")}, indent=1)


if __name__ == "__main__":
    twomode_program.run(main)
