"""Where in the plane of step sizes a rule collapses, recovers both modes, or does neither.

    python sims/phase_diagram.py --d 4096 --opt sgda nsgda --store runs/phase

A panel a rule: eta_D by eta_G, about the rule's own, the most frequent verdict of each cell, paler
the fewer seeds share it, and the lines that the theory draws: for rules that follow SGDA's flow the
ratio beyond which the generator moves first (its median over starts, and the middle 80 %), and
eta_G = sqrt(d) eta_D/ln d; for normalized rules eta_G = eta_D.

Prints how many cells came to which verdict, and saves table.csv, a row a replica, and
phase_diagram.png in runs/phase-dD-seedS.
"""

from __future__ import annotations

import twomode_program

import argparse
import math
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pandas as pd
import studying
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import twomode as tm
from twomode import cli
from twomode.errors import require, require_choice
from twomode.names import new_file, save_text
from twomode.tables import Table
from twomode.theory import VERDICTS, critical_ratio

#: Starts over which the critical ratio is summed up, of a stream of their own.
STARTS = 400
#: Records of a run, and the factor by which gradients may change between two.
RECORDS, RESOLVE = 150, 1.3


def parse() -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser(description=__doc__)
    plane = parser.add_argument_group("the plane")
    plane.add_argument("--opt", nargs="+", default=["sgda", "nsgda"], metavar="RULE", help="rules")
    plane.add_argument(
        "--cells", type=cli.whole, default=24, metavar="N", help="step sizes on each axis [24]"
    )
    plane.add_argument(
        "--span",
        type=float,
        default=32.0,
        metavar="X",
        help="from 1/X to X times the rule's own step sizes [32]",
    )
    studying.add_flags(parser)
    cli.add_game_flags(parser)
    cli.add_output_flags(parser, "phase-dD-seedS", plot=False)
    args = parser.parse_args()
    for rule in args.opt:
        require_choice("opt", rule, tm.RULES)
    require(len(set(args.opt)) == len(args.opt), f"opt={args.opt} names a rule twice")
    require(args.cells >= 2, f"cells={args.cells} must be at least 2")
    require(1 < args.span < math.inf, f"span={args.span:g} must be above 1, and finite")
    return args


def grid(game: tm.Game, rule: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """The cells of a panel."""
    own = tm.recipe(game, rule).opt
    factors = np.geomspace(1 / args.span, args.span, args.cells)
    cells = []
    for eta_D in (own.eta_D * factors).tolist():
        steps = tm.recipe(game, rule, eta_D=eta_D).steps
        run = {"steps": steps, "record_every": max(1, steps // RECORDS), "resolve": RESOLVE}
        cells += [
            {"opt": rule, "eta_D": eta_D, "eta_G": eta_G} | run
            for eta_G in (own.eta_G * factors).tolist()
        ]
    return cells


def lines(game: tm.Game, rule: str, start: tm.GaussianStart, seed: int) -> list[tuple[Any, ...]]:
    """What the theory says of eta_G/eta_D: ratios, each with a style and words."""
    opt = tm.recipe(game, rule).opt
    if opt.magnitude == "unit":
        return [(1.0, "-", r"$\eta_G = \eta_D$")]
    if not opt.discretizes_flow:
        return []
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STARTS,)))
    ratios = [critical_ratio(start.draw_reduced(game, rng)) for _ in range(STARTS)]
    low, middle, high = np.quantile(ratios, (0.1, 0.5, 0.9))
    near = math.sqrt(game.d) / math.log(game.d)
    return [
        (middle, "-", "generator first above"),
        (low, ":", ""),
        (high, ":", ""),
        (near, "--", r"$\eta_G = \sqrt{d}\,\eta_D / \ln d$"),
    ]


def draw(axes: Axes, ratios: list[tuple[Any, ...]]) -> None:
    """Lines of constant eta_G/eta_D over a map of verdicts, and one legend of both."""
    limits = {"xlim": axes.get_xlim(), "ylim": axes.get_ylim()}
    legend = axes.get_legend()
    handles, words = [*legend.get_patches()], [text.get_text() for text in legend.get_texts()]
    for ratio, style, name in ratios:
        eta_D = np.array(limits["xlim"])
        (line,) = axes.plot(eta_D, ratio * eta_D, style, color="black", linewidth=1.2)
        handles += [line] * bool(name)
        words += [name] * bool(name)
    axes.set(**limits)
    axes.legend(handles, words, fontsize=7, loc="lower right", framealpha=0.9)


def picture(
    table: pd.DataFrame, game: tm.Game, rules: list[str], start: tm.GaussianStart, seed: int
) -> Figure:
    """A panel a rule."""
    figure = Figure(figsize=(1 + 4.6 * len(rules), 4.6), layout="constrained")
    panels = figure.subplots(1, len(rules), squeeze=False)[0]
    for axes, rule in zip(panels, rules, strict=True):
        tm.plotting.verdict_map(axes, table[table["opt"] == rule], "eta_D", "eta_G")
        draw(axes, lines(game, rule, start, seed))
        axes.set(xlabel=r"$\eta_D$", ylabel=r"$\eta_G$", title=f"{rule}, d = {game.d:,}")
    return figure


def counted(table: pd.DataFrame) -> str:
    """In how many cells of each rule which verdict is the most frequent."""
    most = table.groupby(["opt", "eta_D", "eta_G"], sort=False)["verdict"].agg(
        lambda words: words.value_counts().idxmax()
    )
    counts = most.groupby("opt", sort=False).value_counts().unstack(fill_value=0)
    words = [word for word in VERDICTS if word in counts]
    rows = [(str(rule), *(str(counts.loc[rule, w]) for w in words)) for rule in counts.index]
    fitted = Table.fitted(("cells", *words), "<" + ">" * len(words), rows)
    return "\n".join([*fitted.heads, *(fitted.row(*row) for row in rows)])


def main() -> None:
    """Parse, sweep, draw, save."""
    args = parse()
    game, start = cli.game_from(args), cli.start_from(args)
    fixed = {f.name: getattr(game, f.name) for f in fields(game)} | asdict(start)
    cells = [fixed | cell for rule in args.opt for cell in grid(game, rule, args)]
    replicas = 16 if args.replicas is None else args.replicas
    seed = args.seed or 0
    with cli.run_folder(args, f"phase-d{game.d}-seed{seed}") as folder:
        options = {"store": args.store, "replicas": replicas, "seed": seed}
        table = studying.sweep(args, cells, "phase diagram", **options)
        print(counted(table), flush=True)
        save_text(folder / "table.csv", table.to_csv(index=False))
        with new_file(folder / "phase_diagram.png") as file:
            picture(table, game, args.opt, start, seed).savefig(file, dpi=150)
    print(cli.told())


if __name__ == "__main__":
    twomode_program.run(main)
