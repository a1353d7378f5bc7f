"""Prove, with ball arithmetic, that one run does what a theorem says.

    python sims/certify.py --d 4096 --opt sgda --seed 3

Encloses every number of the run in a ball, with all rounding errors, and prints what that proves:
of SGDA and its like T_0, the asymmetry of every latent up to it and the residual at it (Theorem
4.1); of a normalized rule the coverage of both modes at T_1 (Theorem 4.2).  It proves an instance,
never the theorem.  Saves certificate.json in runs/<name>.  Needs python-flint.
"""

from __future__ import annotations

import twomode_program

import argparse
import textwrap

import twomode as tm
from twomode import cli
from twomode.io import to_json


def parse() -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser(description=__doc__)
    cli.add_rule_flags(parser)
    run = parser.add_argument_group("the run")
    run.add_argument("--steps", type=cli.whole, help="iterations, at most [by rule, d and eta_D]")
    run.add_argument("--seed", type=cli.natural, default=0, help="root of all randomness [0]")
    run.add_argument("--replica", type=cli.natural, default=0, help="which start of the seed [0]")
    run.add_argument(
        "--radius", type=float, default=0.0, help="of a box of starts, relative to each number [0]"
    )
    run.add_argument("--nu", type=float, default=0.1, help="of T_0: share of the peak [0.1]")
    run.add_argument("--bits", type=cli.whole, help="of precision, at first [128]")
    run.add_argument(
        "--most-bits", type=cli.whole, default=8192, help="to which it is doubled, at most [8192]"
    )
    run.add_argument(
        "--frame",
        action="store_true",
        help="doubles and ellipsoids that follow the run, in place of balls",
    )
    cli.add_game_flags(parser)
    cli.add_output_flags(parser, "certificate-OPT-dD-seedS", plot=False)
    return parser.parse_args()


def main() -> None:
    """Parse, prove, print, save."""
    args = parse()
    game = cli.game_from(args)
    opt, steps = tm.recipe(
        game,
        args.opt,
        eta_D=args.eta_D,
        eta_G=args.eta_G,
        steps=args.steps,
        **cli.rule_changes_from(args),
    )
    with cli.run_folder(args, f"certificate-{opt.name}-d{game.d}-seed{args.seed}") as folder:
        certificate = tm.certify(
            game,
            opt,
            steps,
            seed=args.seed,
            replica=args.replica,
            start=cli.start_from(args),
            radius=args.radius,
            nu=args.nu,
            bits=args.bits,
            most_bits=args.most_bits,
            frame=args.frame,
            progress=True,
        )
        paragraph = textwrap.fill(certificate.describe(), 100, break_on_hyphens=False)
        print(to_json(certificate.to_dict(), indent=1) if args.json else paragraph, flush=True)
        certificate.save(folder / "certificate.json")
    if not args.json:
        print(cli.told())


if __name__ == "__main__":
    twomode_program.run(main)
