"""Processes of a sweep: one that dies takes nothing along, none outlives its parent."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest
from helpers import alive

import twomode as tm
from twomode.studies import JobsFailedError, LostJobError, processes, workers

TINY = {"d": 16, "opt": "nsgda", "steps": 4}


class Awkward(Exception):
    """It cannot be pickled and made again."""

    def __init__(self, one, other):
        super().__init__(one)


def fail(x):
    raise {"plain": KeyError("x"), "awkward": Awkward(1, 2), "exit": SystemExit(3)}[x]


def die(x, path, times, how):
    """As often as that, die of x = 3; whatever x, note that it ran."""
    with Path(path).open("a") as log:
        log.write(f"{x}\n")
    if x == 3 and Path(path).read_text().split().count("3") <= times:
        if how < 0:
            os.kill(os.getpid(), -how)
        os._exit(how)
    time.sleep(0.05)
    return x


def runs(path):
    return sorted(Path(path).read_text().split())


@pytest.fixture(scope="module")
def pool():
    with processes(2) as executor:
        yield executor


@pytest.mark.parametrize(
    ("how", "times"), [(-signal.SIGKILL, 1), pytest.param(5, 3, marks=pytest.mark.slow)]
)
def test_a_job_whose_process_dies_is_run_again(pool, tmp_path, how, times):
    found = list(pool.map(die, range(6), [tmp_path / "log"] * 6, [times] * 6, [how] * 6))
    assert found == list(range(6))
    assert runs(tmp_path / "log") == sorted("012345" + "3" * times)  # and no other job


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "said"),
    [
        (-signal.SIGKILL, r"4 times, killed by signal 9 \(SIGKILL\), perhaps for want of memory"),
        (5, "4 times, with exit status 5"),
    ],
)
def test_a_job_whose_processes_always_die_is_named(pool, tmp_path, how, said):
    futures = [pool.submit(die, x, tmp_path / "log", 9, how) for x in range(6)]
    with pytest.raises(LostJobError, match=said):
        futures.pop(3).result()
    assert [future.result() for future in futures] == [0, 1, 2, 4, 5]
    assert runs(tmp_path / "log") == sorted("012333345")


def test_it_is_run_again_alone(monkeypatch):
    """No other job runs meanwhile: it may have been killed for the memory of all."""
    together = []
    with workers._Workers(3) as pool:

        def ask(call):
            together.append(pool._running)
            time.sleep(0.01)
            first = b"suspect" in call and together.count("died") < workers.AGAIN
            together.append("died" if first else "done")
            if b"suspect" in call and together[-2] == pool._running == 1:
                together.append("alone")
            return -9 if first else workers._answer(workers.pickle.dumps((int, (7,), {})))

        monkeypatch.setattr(pool, "_ask", ask)
        assert list(pool.map(int, [1, 2, "suspect", 3, 4, 5, 6])) == [7] * 7
    assert together.count("alone") == workers.AGAIN
    assert max(n for n in together if isinstance(n, int)) > 1


@pytest.mark.parametrize(
    ("kind", "error", "said"),
    [
        ("plain", KeyError, "'x'"),
        ("awkward", RuntimeError, "Awkward: 1"),
        ("exit", SystemExit, "3"),
    ],
)
def test_an_exception_arrives_with_its_traceback(pool, kind, error, said):
    with pytest.raises(error, match=said) as raised:
        pool.submit(fail, kind).result()
    (note,) = raised.value.__notes__
    assert "in fail" in note


def test_what_cannot_be_pickled_is_an_error_of_its_job(pool):
    future, after = pool.submit(lambda: 1), pool.submit(int, 3)
    with pytest.raises(Exception, match="pickle"):
        future.result()
    assert after.result() == 3


PROGRAM = """
import sys, time
import twomode as tm

def spin(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass

{guard}with tm.sweeps.processes(2) as executor:
    list(executor.map(spin, [0, 0]))
    waiting = [executor.submit(spin, 600) for _ in range(3)]
    print(*(process.pid for process in executor._processes), flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_processes_end_with_their_parent_however_it_ends(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(guard='if __name__ == "__main__":\n  '))
    program.write_text(program.read_text().replace("\n    ", "\n      "))
    running = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True)
    pids = list(map(int, running.stdout.readline().split()))
    assert len(pids) == 2
    assert all(map(alive, pids))
    running.kill()
    running.communicate()
    until = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, pids))


@pytest.mark.slow
def test_a_program_without_its_guard_is_told(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(guard=""))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120)
    last = done.stderr.strip().splitlines()[-1]
    assert "a process cannot start (with exit status 1)" in last
    assert '__name__ == "__main__"' in last


def test_a_pool_that_was_killed_takes_no_jobs():
    with contextlib.suppress(ZeroDivisionError), processes(1) as executor:
        running = executor.submit(time.sleep, 600)
        while not running.running():
            time.sleep(0.01)
        raise ZeroDivisionError
    assert isinstance(running.exception(), (LostJobError, BrokenExecutor))
    assert not executor._processes


# Cells that fail


def some_fail(result):
    """In two cells of three."""
    if result.game.gamma > 0.3:
        raise ZeroDivisionError(f"gamma is\n{result.game.gamma}")
    return {"end": result.bias[:, -1]}


def kills_one(result):
    if result.game.gamma > 0.5:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"end": result.bias[:, -1]}


def is_odd(result):
    return {"d": 1} if result.game.gamma == 0.4 else {"end": result.bias[:, -1]}


GRID = [TINY | {"gamma": gamma} for gamma in (0.2, 0.4, 0.6)]


def test_a_cell_that_fails_takes_no_other_along():
    calls = []
    with pytest.raises(JobsFailedError) as raised:
        tm.sweep(GRID, 20, measure=some_fail, progress=calls.append)
    assert calls[-1] == tm.Progress(6, 6, "job")
    assert str(raised.value) == (
        "4 of 6 jobs failed: cell d=16, opt='nsgda', steps=4, gamma=0.4: ZeroDivisionError: gamma"
        " is 0.4; cell d=16, opt='nsgda', steps=4, gamma=0.6: ZeroDivisionError: gamma is 0.6"
    )
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_of_many_cells_that_fail_three_are_named():
    cells = [TINY | {"gamma": 0.5 + k / 8} for k in range(4)]
    with pytest.raises(JobsFailedError, match=r"gamma=0\.75: [^;]*; and 1 more$"):
        tm.sweep(cells, 1, measure=some_fail)


@pytest.mark.slow
def test_a_cell_that_kills_its_process_is_one_line(pool):
    with pytest.raises(tm.InputError, match=r"1 of 3 jobs failed: cell .*gamma=0\.6: its process"):
        tm.sweep(GRID, 1, pool, measure=kills_one)


def test_what_is_measured_wrongly_is_bad_input():
    with pytest.raises(tm.InputError, match=r"1 of 3 jobs failed: .*gamma=0\.4: measure returns d"):
        tm.sweep(GRID, 1, measure=is_odd)
