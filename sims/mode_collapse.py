"""Play the two-mode game under one rule, and say whether the generator collapsed.

    python sims/mode_collapse.py --d 4096 --opt sgda

Prints a verdict with the numbers behind it and saves result.npz, summary.json and
mode_alignment.png in runs/<name>.
"""

from __future__ import annotations

import twomode_program

import argparse
import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import twomode as tm
from twomode import cli
from twomode.errors import require
from twomode.io import read_json, reading, to_json
from twomode.names import new_file, save_text
from twomode.rules import UNTIL_T0
from twomode.runs import Checkpoint, Run
from twomode.summary import summarize, tell


def parse() -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser(description=__doc__)
    cli.add_rule_flags(parser)
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--steps", type=cli.whole, help="iterations [by rule, d and eta_D; a flow: until T_0]"
    )
    run.add_argument("--replicas", type=cli.whole, help="independent seeds [16; 4 in R^d]")
    run.add_argument("--seed", type=cli.natural, default=0, help="root of all randomness [0]")
    run.add_argument("--batch-size", type=cli.whole, help="minibatch [none: population gradient]")
    run.add_argument("--record-every", type=cli.whole, help="iterations between records")
    run.add_argument(
        "--resolve", type=float, metavar="FACTOR", help="record more where gradients change so much"
    )
    run.add_argument(
        "--engine",
        default="auto",
        metavar="NAME",
        help=f"{', '.join(tm.ENGINES)} [auto: reduced, or dense for coordinate-wise rules]",
    )
    run.add_argument("--rtol", type=float, help="largest error of a step (flow engine) [1e-6]")
    run.add_argument("--dtype", default="float64", help="float64 or float32 (dense engine)")
    run.add_argument(
        "--threads", type=cli.whole, help="threads of the compiled engines [all cores]"
    )
    run.add_argument(
        "--checkpoint", type=cli.path, metavar="FILE", help="keep the run in a file while it lasts"
    )
    run.add_argument(
        "--resume", type=cli.path, metavar="FILE", help="go on with the run of a checkpoint"
    )
    run.add_argument(
        "--config", type=cli.path, metavar="FILE", help="repeat the run of a summary.json as it was"
    )
    cli.add_game_flags(parser)
    output = cli.add_output_flags(parser, "OPT-dD-seedS")
    output.add_argument("--cards", action="store_true", help="print the theorem cards too")
    output.add_argument(
        "--list-optimizers", action="store_true", help="print the named rules and exit"
    )
    args = parser.parse_args()
    require(not (args.cards and args.json), "cards has no effect beside --json: leave one out")
    free = {"threads", *(action.dest for action in output._group_actions)}
    for flag, besides in (("resume", set()), ("config", {"checkpoint"})):
        for name, value in vars(args).items() if getattr(args, flag) is not None else ():
            require(
                name in {flag, *besides, *free} or value == parser.get_default(name),
                f"{name}={value!r} beside --{flag}: it is about a run as it was; leave {name} out",
            )
    kept = args.checkpoint or args.resume
    require(
        kept is None or args.out.absolute() not in kept.absolute().parents[1:],
        f"checkpoint={str(kept)!r} would lie in the folder of a run, which is made when it has"
        " ended: put it beside or elsewhere",
    )
    args.output = cli.words(args, output)
    return args


def repeated(path: Path) -> Run:
    """The run that a summary describes."""
    noted = read_json(path)
    with reading(path):
        game, opt = tm.Game.from_dict(noted["game"]), tm.Optimizer(**noted["rule"])
        return Run.from_provenance(game, opt, noted["provenance"], None)


def described(args: argparse.Namespace) -> Run:
    """The run that the flags describe."""
    game = cli.game_from(args)
    steps = args.steps
    if steps is None and args.engine == "flow":
        steps = UNTIL_T0
    opt, steps = tm.recipe(
        game,
        args.opt,
        eta_D=args.eta_D,
        eta_G=args.eta_G,
        steps=steps,
        **cli.rule_changes_from(args),
    )
    replicas = args.replicas
    if replicas is None:
        in_span = args.engine in ("reduced", "flow") or (args.engine == "auto" and opt.equivariant)
        replicas = 16 if in_span else 4
    return Run.of(
        game,
        opt,
        steps,
        replicas=replicas,
        seed=args.seed,
        batch_size=args.batch_size,
        engine=args.engine,
        record_every=args.record_every,
        resolve=args.resolve,
        start=cli.start_from(args),
        dtype=args.dtype,
        rtol=args.rtol,
    )


@contextlib.contextmanager
def resumable(kept: Checkpoint | None, output: list[str]) -> Iterator[None]:
    """Say on Ctrl-C how to go on; remove the checkpoint when all is saved."""
    try:
        yield
    except KeyboardInterrupt:
        if kept is None or not kept.path.exists():
            raise
        words = ["python", sys.argv[0], "--resume", str(kept.path), *output]
        raise KeyboardInterrupt(f"to go on: {shlex.join(words)}") from None
    if kept is not None:
        kept.path.unlink(missing_ok=True)


def main() -> None:
    """Parse, simulate, judge, print, save."""
    args = parse()
    if args.list_optimizers:
        print(cli.list_optimizers())
        return
    kept = None
    if args.resume is not None:
        kept = Checkpoint.read(args.resume)
        run = kept.run
    else:
        run = described(args) if args.config is None else repeated(args.config)
        if args.checkpoint is not None:
            kept = Checkpoint.new(run, args.checkpoint)
    if args.threads is not None:
        cli.use_threads(args.threads)
    seed = run.seed.entropy
    name = f"{run.opt.name}-d{run.game.d}-seed{seed}"
    with resumable(kept, args.output), cli.run_folder(args, name) as folder:
        result = tm.Result.of(run, True, kept)
        judgement = tm.judge(result)
        summary = to_json(summarize(result, judgement), indent=1)
        print(summary if args.json else tell(result, judgement), flush=True)
        if args.cards and not args.json:
            theory = tm.theory
            theorems = (theory.theorem_4_1, theory.theorem_4_1_collapse, theory.theorem_4_2)
            print("", *(theorem(result) for theorem in theorems), sep="\n\n", end="\n\n")

        result.save(folder / "result.npz")
        save_text(folder / "summary.json", summary + "\n")
        if not args.no_plot:
            above, _ = tm.plotting.mode_alignment(result, judgement)
            with new_file(folder / "mode_alignment.png") as file:
                above.figure.savefig(file, dpi=150)
    if not args.json:
        print(cli.told())


if __name__ == "__main__":
    twomode_program.run(main)
