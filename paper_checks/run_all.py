"""Every paper check: a table of claims and verdicts, and a report that opens in any browser.

    python paper_checks/run_all.py [--full] [--part PART | --only NAME ...]
    python paper_checks/run_all.py --full --part game --write

Takes about 3.5 minutes on two cores, with --full 45, the proofs an hour and a half more.  All
intervals of a run hold together with probability 0.95 (Bonferroni over the findings that the
checks declare).  Writes report.html, and each figure and table, into runs/paper_checks; --write
puts the claims of a part into the pages of this repository, each part a family of its own.
--store keeps the rows of the sweeps, from which a run that was ended goes on.
"""

from __future__ import annotations

import twomode_program

import argparse
import time
from pathlib import Path

import adalr_adadir
import adam_norm
import any_step_size
import certificates
import claims
import continuous_time
import correlated_coefficients
import granularity
import langevin_samples_p_adv
import langevin_speed_up
import minibatch_size
import one_langevin_step
import pace
import pages
import principled_methods
import published_speed_up
import report
import spectral
import theorem_4_1
import theorem_4_1_collapse
import theorem_4_2
import warm_start
import wide_enough

import twomode as tm
from twomode.errors import require, require_choice
from twomode.names import check_writable, save_text

PARTS = {
    "game": (
        theorem_4_1,
        theorem_4_1_collapse,
        any_step_size,
        theorem_4_2,
        wide_enough,
        granularity,
        pace,
        adam_norm,
        adalr_adadir,
        principled_methods,
        minibatch_size,
        correlated_coefficients,
    ),
    "flow": (continuous_time,),
    "proofs": (certificates,),
    "spectral": (spectral,),
    "adversary": (
        langevin_samples_p_adv,
        one_langevin_step,
        langevin_speed_up,
        warm_start,
    ),
    "published": (published_speed_up,),
}
CHECKS = {module.CHECK.name: module.CHECK for part in PARTS.values() for module in part}


def main() -> int:
    """Run the checks, print the table, write the report."""
    parser = claims.parser(__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"from: {', '.join(CHECKS)}")
    parser.add_argument("--part", choices=PARTS, help="the checks of one part")
    parser.add_argument(
        "--write", action="store_true", help="put the claims of --part into the pages, with --full"
    )
    args = parser.parse_args()
    chosen = chosen_checks(args)
    require(
        not args.write or (args.full and args.part is not None),
        "--write puts a whole part, at full length, into the pages: add --full and --part",
    )
    if args.write:
        pages.require_blocks(args.part)
    folder = args.out or Path("runs/paper_checks")
    check_writable(folder)
    for check in chosen.values():
        check.require_ready()
    count = sum(check.findings(args.full) for check in chosen.values())
    began = time.perf_counter()
    done: dict[str, claims.Claim] = {}
    with tm.sweeps.processes() as executor, tm.ProgressBar() as bar:
        settings = claims.Settings(
            args.full, args.seed, claims.family_confidence(count), executor, bar, args.store
        )
        bar.tell(*claims.TABLE.heads)
        for name, check in chosen.items():
            bar(tm.Progress(0, 1, "part", name))
            done[name] = check(settings)
            claims.save(done[name], name, folder)
            bar.tell(*claims.table_lines(name, done[name]))
    seconds = time.perf_counter() - began
    path = folder / "report.html"
    save_text(path, report.page(done, settings, count, seconds), overwrite=True)
    print(
        f"\n{count} findings, each at {100 * settings.confidence:.2f} % confidence, together 95 %;"
        f" {seconds:.0f} s\n{path}"
    )
    if args.write:
        pages.write(args.part, done)
    return int(any(claim.verdict == "broken check" for claim in done.values()))


def chosen_checks(args: argparse.Namespace) -> dict[str, claims.Check]:
    """The checks that --part or --only name; all of them by default."""
    require(args.only is None or args.part is None, "--only and --part exclude each other")
    for name in args.only or ():
        require_choice("check", name, CHECKS)
    names = args.only or [module.CHECK.name for module in PARTS.get(args.part, ())] or CHECKS
    return {name: check for name, check in CHECKS.items() if name in names}


if __name__ == "__main__":
    twomode_program.run(main)
