"""List saved runs, say in what two of them differ, or what the store of a sweep has.

    python sims/runs.py                          # every run in runs/
    python sims/runs.py sgda-d4096-seed0 nsgda-d4096-seed0
    python sims/runs.py runs/study               # every cell that sweep.py --store runs/study has
    python sims/runs.py runs/study --merge runs/from-elsewhere

Of runs it reads the summary.json in each folder.
"""

from __future__ import annotations

import twomode_program

from pathlib import Path
from typing import Any

from twomode import cli
from twomode.errors import require
from twomode.io import read_json, reading
from twomode.studies import Store
from twomode.tables import Table

HEADS = ("run", "rule", "d", "replicas", "eta_D", "eta_G", "verdict", "share", "T_0", "commit")
ALIGNS = "<<>>>><>><"
#: What differs between any two runs, and says nothing.
NOISE = ("wall_seconds", "compile_seconds", "steps_per_second", "command", "per_replica")


def main() -> None:
    """Parse, read, print."""
    parser = cli.Parser(description=__doc__)
    parser.add_argument(
        *("names",), nargs="*", metavar="RUN", help="two runs to compare, or a store [list all]"
    )
    parser.add_argument("--merge", type=cli.path, help="a store to copy what is missing from")
    parser.add_argument("--out", type=cli.path, default=Path("runs"), help="folder of runs [runs]")
    args = parser.parse_args()
    require(args.merge is None or len(args.names) == 1, "--merge needs the name of one store")
    if len(args.names) == 1:
        there = args.names[0] if Path(args.names[0]).is_dir() else args.out / args.names[0]
        print("\n".join(contents(Store(there), args.merge)))
        return
    if args.names:
        require(len(args.names) == 2, f"{len(args.names)} runs named: two are compared, all listed")
        print("\n".join(differences(*(read(args.out / name) for name in args.names), args.names)))
        return
    found = sorted(path.parent for path in args.out.glob("*/summary.json"))
    runs = {folder.name: read(folder) for folder in found}
    rows = []
    for name, run in runs.items():
        if "per_replica" in run:
            with reading(args.out / name / "summary.json"):
                rows.append(row(name, run))
    require(bool(rows), f"no run of mode_collapse.py in {args.out}")
    table = Table.fitted(HEADS, ALIGNS, rows)
    print("\n".join([*table.heads, *(table.row(*cells) for cells in rows)]))


def contents(store: Store, merged: Path | None) -> list[str]:
    """What a store has, once it has what another one has."""
    said = []
    if merged is not None:
        said = [f"{store.merge(Store(merged))} blocks copied from {merged}", ""]
    table = store.table()
    require(len(table) > 0, f"{store.folder} has no results of a sweep; of runs, name two")
    table["seconds"] = table["seconds"].map("{:.1f}".format)
    rows = [[str(x) for x in row] for row in table.itertuples(index=False)]
    fitted = Table.fitted(list(table.columns), "<>><<><<<", rows)
    return [*said, *fitted.heads, *(fitted.row(*row) for row in rows)]


def read(folder: Path) -> dict[str, Any]:
    """A run's summary."""
    return read_json(folder / "summary.json")


def row(name: str, run: dict[str, Any]) -> tuple[str, ...]:
    """What the list says of a run."""
    T0 = run["T0"]
    return (
        name,
        run.get("label", run["opt"]),
        f"{run['d']:,}",
        str(run["replicas"]),
        f"{run['eta_D']:.4g}",
        f"{run['eta_G']:.4g}",
        run["verdict"],
        f"{100 * run['share']:.0f} %",
        "-" if T0 is None else f"{T0:,.0f}",
        run.get("provenance", {}).get("commit") or "-",
    )


def differences(one: dict[str, Any], other: dict[str, Any], names: tuple[str, str]) -> list[str]:
    """A table of what two runs do not share."""
    flat = [dict(flattened(run)) for run in (one, other)]
    keys = dict.fromkeys([*flat[0], *flat[1]])
    rows = [
        (key, *(shown(run.get(key)) for run in flat))
        for key in keys
        if flat[0].get(key) != flat[1].get(key)
    ]
    if not rows:
        return [f"{names[0]} and {names[1]} are the same, to the last bit"]
    table = Table.fitted(("", *names), "<<<", rows)
    return [*table.heads, *(table.row(*cells) for cells in rows)]


def flattened(value: dict[str, Any], prefix: str = "") -> Any:
    """Dotted names and values, noise left out."""
    for name, inner in value.items():
        if name in NOISE:
            continue
        if isinstance(inner, dict):
            yield from flattened(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


def shown(value: Any) -> str:
    """A value in at most forty characters."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


if __name__ == "__main__":
    twomode_program.run(main)
