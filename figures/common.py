"""What the scripts of this folder share: flags, progress, fresh runs and sweeps, files."""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

import twomode as tm
from twomode import adversarial, cli
from twomode.adversarial import Data, Model
from twomode.errors import InputError, require
from twomode.names import check_writable, new_file, save_text

FOLDER = Path(__file__).parent
ENDS = 10**9  #: as ``record_every``: the first and the last iteration only


def parse(
    doc: str | None, source: str | None = None, full: str | None = None, *, sweeps: bool = False
) -> argparse.Namespace:
    """The command line; `source` says what --from takes, if anything, `full` what --full adds."""
    parser = cli.Parser(description=doc)
    if source is not None:
        several = "+" if source.endswith(".npz") else None
        parser.add_argument(
            "--from", dest="source", type=cli.path, nargs=several, metavar="FILE", help=source
        )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--out", type=cli.path, default=Path("runs/figures"), help="folder [runs/figures]"
    )
    where.add_argument(
        "--update",
        dest="out",
        action="store_const",
        const=FOLDER,
        help="replace the figures of this repository",
    )
    if source is not None and source.endswith(".csv"):
        parser.add_argument(
            "--save-table", type=cli.path, metavar="FILE", help="for a later --from"
        )
    if sweeps:
        cli.add_store_flag(parser)
    if full is not None:
        parser.add_argument("--full", action="store_true", help=full)
    args = parser.parse_args()
    for name in ("save_table", "full", "store"):
        given = bool(getattr(args, name, None)) and bool(args.source)
        require(not given, f"--{name.replace('_', '-')} has no effect beside --from: leave it out")
    check_writable(args.out)
    if getattr(args, "save_table", None):
        require(not args.save_table.is_dir(), f"{args.save_table} is a folder: name a file")
        check_writable(args.save_table.parent)
    return args


def save(figure: Figure, args: argparse.Namespace, name: str) -> None:
    """Write PNG (with 256 colours) and PDF, each whole or not at all, and print where they are."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=150)
    path = args.out / f"{name}.png"
    with new_file(path, overwrite=True) as file, Image.open(drawn) as image:
        few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        few.save(file, format="png", optimize=True, dpi=(150, 150))
    print(path, flush=True)
    path = path.with_suffix(".pdf")
    with new_file(path, overwrite=True) as file, rc_context({"path.simplify_threshold": 0.4}):
        figure.savefig(file, format="pdf", dpi=150, metadata={"CreationDate": None})
    print(path, flush=True)


def results(
    args: argparse.Namespace, runs: Sequence[tuple[str, int]], replicas: int, **options: Any
) -> list[tm.Result]:
    """The results named by --from, or fresh ones of rules at dimensions, with their recipes."""
    if args.source:
        few = len(args.source) <= len(runs)
        require(few, f"--from names {len(args.source)} results: {len(runs)} at most are drawn")
        return [tm.load(path) for path in args.source]
    fresh = []
    for name, d in runs:
        game = tm.Game.preset(d)
        opt, steps = tm.recipe(game, name)
        fresh.append(tm.simulate(game, opt, steps, replicas=replicas, progress=True, **options))
    return fresh


def closer(result: tm.Result, until: float = 1.05) -> tm.Result:
    """The replica that stands for a result, alone; if it collapsed, each iteration to 1.05 T_0.

    A collapse takes some thirty iterations, two or three of the usual records.
    """
    judgement = tm.judge(result)
    k = judgement.typical
    collapsed = judgement.verdicts[k] == "collapsed"
    return result.again(
        replicas=[result.provenance["replicas"][k]],
        steps=math.ceil(until * judgement.T0[k]) if collapsed else int(result.steps[-1]),
        record_every=1 if collapsed else None,
        resolve=None,
        progress=True,
    )


def table(
    args: argparse.Namespace, run: Callable[[], pd.DataFrame], column: str, values: Iterable[Any]
) -> pd.DataFrame:
    """The table named by --from, which must have these values of a column, or a fresh one."""
    if args.source:
        try:
            loaded = pd.read_csv(args.source)
        except (OSError, ValueError) as error:
            raise InputError(f"{args.source} cannot be read as a table: {error}") from error
        missing = set(values) - set(loaded.get(column, ()))
        require(not missing, f"{args.source} has no rows of {', '.join(sorted(missing))}")
        return loaded
    fresh = run()
    if args.save_table:
        save_text(args.save_table, fresh.to_csv(index=False), overwrite=True)
    return fresh


def sweep(
    args: argparse.Namespace,
    panels: Mapping[str, list[dict[str, Any]]],
    replicas: int,
    **options: Any,
) -> pd.DataFrame:
    """The table named by --from, or that of a fresh sweep, with a column ``panel``."""

    def run() -> pd.DataFrame:
        cells = [cell for listed in panels.values() for cell in listed]
        names = [name for name, listed in panels.items() for _ in listed]
        bar = tm.ProgressBar(Path(sys.argv[0]).stem)
        with tm.sweeps.processes() as executor, bar:
            fresh = tm.sweep(cells, replicas, executor, progress=bar, store=args.store, **options)
        fresh.insert(0, "panel", np.repeat(names, replicas))
        return fresh

    return table(args, run, "panel", panels)


def outcome(result: tm.Result) -> dict[str, Any]:
    """What the figures of sweeps show of each replica; numbers at T_0 are NaN without one."""
    game = result.game
    at = tm.first_stationary(result)
    found = at >= 0
    extremes = result.extremes_at(at)
    asymmetry, residual = (
        np.where(found, x, np.nan) for x in (extremes.asymmetry, extremes.residual)
    )
    cosine = result.outputs_at(at).mean_collapse_cosine(game.latent_points[1])
    return {
        "T0": np.where(found, result.times_at(at), np.nan),
        "asymmetry": asymmetry,
        "residual": residual,
        "asymmetric": found & (asymmetry > 0.3),
        "collapsed": found & (cosine >= tm.theory.NEAR),
        "recovered": tm.theory.covers_both(result)[:, -1],
        "diverged": result.diverged,
    }


def sgda_cell(d: int, eta_D: float, eta_G: float) -> dict[str, Any]:
    """A cell of SGDA with given step sizes: most replicas reach T_0, and it is seen to the step.

    With these records the shares of asymmetric replicas are those of recording each iteration, at
    d = 2^8, ..., 2^12 and ratios eta_G/eta_D from 8 to 256 (32 seeds each).
    """
    ratio = eta_G / eta_D
    time = 1.3 if ratio >= 32 else 2 if ratio >= 8 else 4 + 2 / ratio
    steps = math.ceil(time * math.sqrt(d) / (tm.Game.preset(d).a * eta_D))
    cell = {"opt": "sgda", "d": d, "eta_D": eta_D, "eta_G": eta_G, "steps": steps}
    return cell | {"record_every": max(1, steps // 150), "resolve": 1.3}


def flow_cell(k: int, ratio: float) -> dict[str, Any]:
    """A cell of SGDA's flow with m = 9 at d = 2^k, from its start to each replica's T_0."""
    run = {"eta_D": 1.0, "ratio": ratio, "steps": 10**60, "engine": "flow"}
    return {"opt": "sgda", "d": 2**k, "m_D": 9, "m_G": 9, **run}


def until_T0(result: tm.Result) -> dict[str, Any]:
    """`outcome`, and the largest asymmetry while the theorem speaks."""
    card = tm.theory.theorem_4_1(result)
    largest = np.max(np.where(card.asked, card.left, 0), axis=1)
    return outcome(result) | {"largest": largest, "exceeds": largest > 0.3}


def classifier(data: str, n: int, **options: float) -> tuple[Model, Data]:
    """A classifier with 32 tanh neurons that was trained on 500 points, and n others."""
    of_data, of_model, of_training = np.random.SeedSequence(0).spawn(3)
    pool = adversarial.load_data(data, n + 500, of_data, **options)
    model = adversarial.Model.random(pool, of_model, hidden=32)
    training, natural = pool.take(slice(n, None)), adversarial.method("natural")
    model = adversarial.fit(model, training, natural, eps=1, steps=2000, seed=of_training)
    return model, pool.take(slice(n))
