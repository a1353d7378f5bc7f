"""What programs that sweep share: where the jobs run, what keeps them, and how to go on."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pandas as pd

import twomode as tm
from twomode import cli
from twomode.errors import InputError, require
from twomode.studies import Store


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Seeds, the store, and where the jobs run."""
    study = parser.add_argument_group("the study")
    study.add_argument("--replicas", type=cli.whole, help="seeds in each cell [16]")
    study.add_argument("--seed", type=cli.natural, help="root of all randomness [0]")
    cli.add_store_flag(study)
    study.add_argument(
        "--any-version",
        action="store_true",
        help="take what other sources have computed from the store, too",
    )
    study.add_argument("--workers", type=cli.whole, help="processes [one a core]")
    study.add_argument(
        "--scheduler", type=cli.address, help="of a Dask cluster, as tcp://10.0.0.1:8786 [none]"
    )


def sweep(
    args: argparse.Namespace,
    cells: list[dict[str, Any]],
    label: str,
    *,
    store: Path | None,
    **options: Any,
) -> pd.DataFrame:
    """The table of a study; Ctrl-C says how to go on."""
    require(store is not None or not args.any_version, "--any-version is about a --store")
    kept = None if store is None else Store(store, any_version=args.any_version)
    try:
        with executor(args) as where, tm.ProgressBar(label) as bar:
            return tm.sweep(cells, executor=where, progress=bar, store=kept, **options)
    except KeyboardInterrupt:
        if kept is None:
            raise
        raise KeyboardInterrupt(f"to go on: {shlex.join(['python', *sys.argv])}") from None


@contextlib.contextmanager
def executor(args: argparse.Namespace) -> Iterator[Executor | None]:
    """Where the jobs run: processes here, or those of a Dask cluster."""
    if args.scheduler is None:
        with tm.sweeps.processes(args.workers) as here:
            yield here
        return
    require(args.workers is None, "--workers is about processes here, without --scheduler")
    try:
        from distributed import Client
    except ImportError:
        raise InputError("--scheduler needs Dask: pip install 'twomode[dask]'") from None
    try:
        client = Client(args.scheduler, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"scheduler={args.scheduler} does not answer: {error}") from error
    with client, client.get_executor() as there:
        yield there
