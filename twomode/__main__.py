"""What `python -m twomode` does: it verifies saved runs by running them again."""

from __future__ import annotations

import twomode_program

import sys
from collections import Counter

from twomode import cli
from twomode.errors import require
from twomode.progress import ProgressBar
from twomode.runs import VERDICTS, Replayable, drawn, replay_all, saved_results
from twomode.studies import stored_blocks

_VERIFY = """Run saved results, or the blocks of a store, again, and compare all numbers.

They are run from what they say of themselves.  One is identical (to the last bit), equal (within
a tolerance, where something is different that the last bit depends on, as another processor) or
different, with the first quantity and record that is.  The status is 0, 1 if one is different, 2 if
one cannot be used.

A certificate (.json) is proved again, with another precision; one that does not hold cannot be
used."""


def main() -> int:
    """Parse, and do what is asked."""
    about = "An exact simulator of the two-mode GAN game.  The programs in sims/ run it."
    parser = cli.Parser(prog="twomode", description=about)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    verify = commands.add_parser(
        "verify", description=_VERIFY, help="run saved results again, and compare"
    )
    verify.add_argument(
        "path",
        type=cli.path,
        metavar="FILE|FOLDER",
        help="a result, a folder of them, a store, a certificate",
    )
    verify.add_argument("--sample", type=cli.whole, metavar="N", help="so many, at random [all]")
    verify.add_argument("--seed", type=cli.natural, help="of the sample [0]")
    args = parser.parse_args()
    require(args.command is not None, "no command: verify runs saved results again; see --help")
    require(
        args.seed is None or args.sample is not None,
        f"seed={args.seed} has no effect without --sample: it draws the sample",
    )
    if args.path.suffix == ".json":
        require(args.sample is None, f"sample={args.sample} has no effect on one certificate")
        from twomode.proofs import verify_certificate  # needs python-flint

        with ProgressBar("verify") as bar:
            print(verify_certificate(args.path, progress=bar))
        return 0
    items: list[Replayable] = [*stored_blocks(args.path)] or [*saved_results(args.path)]
    chosen = drawn(items, args.sample, args.seed or 0)
    found: Counter[str] = Counter()
    with ProgressBar("verify") as bar:
        for replayed in replay_all(chosen, bar):
            bar.tell(str(replayed))
            found[replayed.verdict] += 1
    if len(items) > 1:
        of = f" of {len(items)}, drawn with seed {args.seed or 0}" if args.sample else ""
        counts = ", ".join(f"{found[verdict]} {verdict}" for verdict in VERDICTS if found[verdict])
        print(f"{len(chosen)}{of}: {counts}")
    return 1 if found["different"] else 2 if found["unusable"] else 0


if __name__ == "__main__":
    sys.argv[0] = "twomode"
    twomode_program.run(main)
