"""What a study in a store comes to when it is disturbed at random moments.

    python tests/faults.py [--count N] [--seed S]

A study with two processes is killed, interrupted, deprived of its disk, damaged, run twice at once
and so on, and then gone on with.  Each time: no block that was reported is lost or run again, no
replica is there twice, no process is left, no hidden file, and the table is that of an undisturbed
run, to the last bit.  Prints how many of the attempts of each kind went so.  Linux; as root, disks
are small file systems in memory, else limits.
"""

import twomode_program

import argparse
import contextlib
import itertools
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from helpers import alive
from pandas.testing import assert_frame_equal

import twomode as tm
from twomode.studies import sweeps

GRID = {"d": [64], "opt": ["sgda", "nsgda"], "steps": [300], "gamma": [0.1, 0.2, 0.3, 0.4]}
REPLICAS, WORKERS = 40, 2
JOBS = 8 * 3
#: Bytes of a disk that is too small for the study.
SMALL = 100 * 1024


class Study:
    """A study in a folder, run by a process of its own."""

    def __init__(self, folder, rng, table, seconds):
        self.folder, self.rng, self.table, self.seconds = folder, rng, table, seconds
        self.store = folder / "study"

    def start(self, *flags, limit=None):
        """The process; it says how many jobs are done."""
        out = self.folder / f"table-{time.monotonic_ns()}"

        def prepare():
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        with (self.folder / "done").open("w") as done:
            running = subprocess.Popen(
                [sys.executable, __file__, "--run", self.store, out, *flags],
                stdout=done,
                stderr=subprocess.PIPE,
                text=True,
                preexec_fn=prepare,
            )
        running.out = out
        return running

    def wait_a_while(self, running, share=1.0):
        """Until some moment, or the end: after some seconds, or when some jobs are done."""
        if self.rng.random() < 0.3:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(self.rng.uniform(0, share * self.seconds))
            return
        jobs = self.reported() + self.rng.uniform(0, share * JOBS)
        while running.poll() is None and self.reported() < jobs:
            time.sleep(0.002)

    def reported(self):
        """How many jobs were said to be done."""
        lines = (self.folder / "done").read_text().split()
        return int(lines[-1]) if lines else 0

    def held(self):
        """Each replica in the store, by its folder."""
        blocks = [path.parent.name + "/" + path.stem for path in self.store.rglob("*.npz")]
        found = []
        for block in blocks:
            key, _, stem = block.partition("/")
            first, last = map(int, stem.split("-"))
            found += [(key, k) for k in range(first, last + 1)]
        assert len(found) == len(set(found)), "a replica is there twice"
        return found

    def finished(self, running):
        """A process that was not disturbed has the table."""
        _, errors = running.communicate(timeout=300)
        assert (running.returncode, errors) == (0, ""), errors
        same(pickle.loads(running.out.read_bytes()), self.table)

    def go_on(self, *, damaged=0):
        """Here, by threads: only what is missing runs, and the table is the same."""
        before, calls, run_cell = len(self.held()), [], sweeps.run_cell
        assert before >= damaged
        sweeps.run_cell = lambda cell, block, *rest: (
            calls.extend(block),
            run_cell(cell, block, *rest),
        )[1]
        try:
            with ThreadPoolExecutor(WORKERS) as executor, warnings.catch_warnings():
                warnings.simplefilter("ignore" if damaged else "error")
                found = tm.sweep(GRID, REPLICAS, executor, store=self.store)
        finally:
            sweeps.run_cell = run_cell
        same(found, self.table)
        assert len(calls) == REPLICAS * 8 - before + damaged, "something finished was run again"
        assert len(self.held()) == REPLICAS * 8
        left = [path for path in self.store.rglob("*") if path.name.startswith((".", "tmp"))]
        assert not left, f"left: {left}"

    def ended(self, running, workers, code):
        """The process and all that it had are gone; what it reported is there."""
        _, errors = running.communicate(timeout=60)
        over = running.returncode == 0
        assert over or running.returncode == code, (running.returncode, errors)
        assert over or errors.count("\n") <= (code > 0), errors
        until = time.monotonic() + 30
        while any(map(alive, workers)) and time.monotonic() < until:
            time.sleep(0.02)
        assert not any(map(alive, workers)), "a process is left"
        files = len(list(self.store.rglob("*.npz")))
        assert files >= self.reported(), f"{self.reported()} jobs reported, {files} kept"
        return errors


def same(one, other):
    assert_frame_equal(one, other, check_exact=True)


def workers_of(pid):
    """Children of any of its threads."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found


# Faults


def end_the_parent(study, sign, code):
    running = study.start()
    study.wait_a_while(running)
    workers = workers_of(running.pid) if running.poll() is None else []
    running.send_signal(sign)
    errors = study.ended(running, workers, code)
    study.go_on()
    return errors


def kill_the_parent(study):
    end_the_parent(study, signal.SIGKILL, -signal.SIGKILL)


def terminate_the_parent(study):
    end_the_parent(study, signal.SIGTERM, -signal.SIGTERM)


def interrupt_the_parent(study):
    end_the_parent(study, signal.SIGINT, 130)


def kill_workers(study):
    """Any of them, three times; as often as a job is run again at least."""
    running = study.start()
    for _ in range(3):
        study.wait_a_while(running, 0.5)
        for pid in study.rng.sample(workers := workers_of(running.pid), min(1, len(workers))):
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
    study.finished(running)
    study.go_on()


def fill_the_disk(study):
    with disk(study.store, f"size={study.rng.randrange(1, SMALL // 4096) * 4096}") as mounted:
        running = study.start(limit=None if mounted else study.rng.randrange(1, 5000))
        _, errors = running.communicate(timeout=300)
        assert running.returncode == 2, (running.returncode, errors)
        assert errors.count("\n") == 1, errors
        assert "cannot write to" in errors, errors
        kept = study.folder / "kept"
        shutil.copytree(
            study.store, kept, ignore=lambda _, names: [n for n in names if n[0] == "."]
        )
    assert len(list(kept.rglob("*.npz"))) >= study.reported()
    shutil.rmtree(study.store, ignore_errors=True)
    kept.replace(study.store)
    study.go_on()


def write_protect_the_folder(study):
    """Half-way: refused before anything runs."""
    half(study)
    kept = study.folder / "kept"
    study.store.replace(kept)
    with disk(study.store, "size=16m", "ro", of=kept) as mounted:
        if not mounted and os.geteuid() == 0:
            raise Skipped("root writes everywhere, and nothing can be mounted")
        running = study.start()
        _, errors = running.communicate(timeout=300)
        assert (running.returncode, errors.count("\n")) == (2, 1), errors
        assert "cannot write to" in errors, errors
        assert study.reported() == 0
    shutil.rmtree(study.store, ignore_errors=True)
    kept.replace(study.store)
    study.go_on()


def damage_a_file(study):
    half(study)
    path = study.rng.choice(sorted(study.store.rglob("*.npz")))
    data = bytearray(path.read_bytes())
    k = study.rng.randrange(len(data))
    if study.rng.random() < 0.5:
        del data[k:]
    else:
        data[k] ^= 1 << study.rng.randrange(8)
    path.write_bytes(data)
    first, last = map(int, path.stem.split("-"))
    try:
        study.go_on(damaged=last - first + 1)
    except AssertionError as error:
        # A bit of a ZIP file that means nothing, as a date: the block is whole.
        if "run again" not in str(error):
            raise
        study.go_on()


def run_twice_at_once(study):
    first = study.start()
    study.wait_a_while(first, 0.5)
    second = study.start()
    for running in (first, second):
        study.finished(running)
    study.go_on()


def turn_back_the_clock(study):
    """A day with each look at it; and what was left comes from the future."""
    running = study.start("--clock")
    study.wait_a_while(running)
    running.kill()
    running.communicate()
    for path in study.store.rglob(".*"):
        os.utime(path, (2**33, 2**33))
    study.finished(study.start("--clock"))
    study.go_on()


FAULTS = {
    "kill -9 of the parent": kill_the_parent,
    "kill -9 of workers": kill_workers,
    "SIGTERM of the parent": terminate_the_parent,
    "SIGINT of the parent": interrupt_the_parent,
    "a disk that is full": fill_the_disk,
    "a read-only folder": write_protect_the_folder,
    "a damaged file": damage_a_file,
    "two parents at once": run_twice_at_once,
    "a clock that goes backwards": turn_back_the_clock,
}


class Skipped(Exception):
    """It cannot be tried here."""


def half(study):
    """The first replicas of the study."""
    tm.sweep(GRID, study.rng.randrange(1, REPLICAS), store=study.store)


@contextlib.contextmanager
def disk(folder, *options, of=None):
    """A file system of its own in a folder, with the files of another one; False where none can."""
    folder.mkdir()
    kinds = [option for option in options if option != "ro"]
    mount = ["mount", "-t", "tmpfs", "-o", ",".join(kinds), "none", folder]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    if of is not None:
        shutil.copytree(of, folder, dirs_exist_ok=True)
    if "ro" in options:
        command = (
            ["mount", "-o", "remount,ro", folder] if mounted else ["chmod", "-R", "a-w", folder]
        )
        subprocess.run(command, check=True)
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)
        elif "ro" in options:
            subprocess.run(["chmod", "-R", "u+w", folder], check=True)


def run(store, out, clock):
    """What a process does: the study, telling how many jobs are done."""
    if clock:
        now, days = time.time, itertools.count()
        time.time = lambda: now() - 86400 * next(days)

    def main():
        with tm.sweeps.processes(WORKERS) as executor:
            table = tm.sweep(
                *(GRID, REPLICAS, executor),
                store=store,
                progress=lambda progress: print(progress.done, flush=True),
            )
        Path(out).write_bytes(pickle.dumps(table))

    twomode_program.run(main)


@contextlib.contextmanager
def studies(seed):
    """Makes studies, each in a folder of its own, once an undisturbed one has been timed."""
    with tempfile.TemporaryDirectory() as folder:
        first = Study(Path(folder), random.Random(seed), tm.sweep(GRID, REPLICAS), None)
        began = time.monotonic()
        first.finished(first.start())
        seconds, number = time.monotonic() - began, itertools.count()

        def make():
            place = Path(folder) / str(next(number))
            place.mkdir()
            return Study(place, first.rng, first.table, seconds)

        yield make


def main():
    """Parse, disturb, count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10, help="attempts of each kind [10]")
    parser.add_argument("--seed", type=int, default=0, help="of the moments [0]")
    parser.add_argument("--only", nargs="+", help="words of the kinds to try [all]")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--clock", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        run(*args.run, args.clock)
    failed = 0
    with studies(args.seed) as make:
        for name, fault in FAULTS.items():
            if args.only and not any(word in name for word in args.only):
                continue
            went, skipped = 0, ""
            for _ in range(args.count):
                try:
                    fault(make())
                    went += 1
                except Skipped as reason:
                    skipped = f" (skipped: {reason})"
                except Exception as error:
                    print(f"  {name}: {type(error).__name__}: {str(error)[:400]}", flush=True)
            failed += went < args.count and not skipped
            print(f"{name}: {went} of {args.count}{skipped}", flush=True)
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
