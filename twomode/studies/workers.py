"""Processes that jobs run in: they end with their parent, and one that dies takes no other along.

Each has one job at a time and a pipe of its own.  So where one dies it is known which job it had,
no other is lost or blamed, and that one is run again, alone, in another process: it may have been
killed for the memory that all of them took together.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection, parent_process, resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Annotated, Any

from twomode.checks import checked

__all__ = ["LostJobError", "processes"]

#: How often a job is run again whose process died.
AGAIN = 3
_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class LostJobError(RuntimeError):
    """The process of a job died, and so did those in which the job was run again."""


@contextmanager
@checked
def processes(workers: Annotated[int, "[1, 1024]"] | None = None) -> Iterator[Executor]:
    """An executor of processes for `sweep`, each with one thread; one a core by default.

    They end with this process, however it ends.  One that dies is replaced, and its job is run
    again, three times at most, while no other runs; then it fails with `LostJobError`.

    Parameters
    ----------
    workers : int, optional
        Processes.

    Yields
    ------
    Executor
        As in ``with tm.sweeps.processes() as executor: tm.sweep(grid, 64, executor)``.

    Raises
    ------
    InputError
        If `workers` is less than 1.

    Examples
    --------
    The processes inherit that BLAS has one thread too:

    >>> import os
    >>> import twomode as tm
    >>> with tm.sweeps.processes(2) as executor:
    ...     os.environ["OPENBLAS_NUM_THREADS"]
    '1'
    """
    executor = _Workers(workers or os.cpu_count() or 1)
    # They inherit these and read them with NumPy: small matrix products by several threads, each
    # of which spins while it waits, took three times as long.
    before = {name: os.environ.get(name) for name in _BLAS_THREADS}
    os.environ.update(dict.fromkeys(_BLAS_THREADS, "1"))
    try:
        yield executor
    except BaseException:
        executor.kill()  # what they compute is for nobody
        raise
    finally:
        executor.shutdown()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


class _Workers(ThreadPoolExecutor):
    """Threads, each of which has its jobs done by a process of its own.

    The process lives as long as its thread, which alone has the pipe to it: when that is closed,
    it ends.
    """

    def __init__(self, workers: int) -> None:
        super().__init__(workers, thread_name_prefix="worker")
        self._own = threading.local()
        self._processes: list[SpawnProcess] = []
        self._starting = threading.Lock()
        self._unusable = ""  # why
        self._turn = threading.Condition()
        self._running = self._to_run_alone = 0

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """As `ThreadPoolExecutor` does; the function and its arguments must be picklable."""
        return super().submit(self._have_done, function, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As `ThreadPoolExecutor` does, and wait for the processes too."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        for process in list(self._processes) if wait else ():
            self._end(process)

    def kill(self) -> None:
        """Shut down without waiting for the jobs that run."""
        super().shutdown(wait=False, cancel_futures=True)
        with self._starting:
            self._unusable = "the processes have been killed"
            for process in self._processes:
                process.kill()
        self.shutdown()

    def _have_done(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Run by a thread of the pool: what its process answers."""
        call, status = pickle.dumps((function, args, kwargs)), 0
        for attempt in range(1 + AGAIN):
            with self._turn_of(alone=attempt > 0):
                answer = self._ask(call)
            if isinstance(answer, int):
                status = answer
                continue
            done, value = pickle.loads(answer)
            if done:
                return value
            raise value
        raise LostJobError(f"its process died {1 + AGAIN} times, {_died(status)}")

    def _ask(self, call: bytes) -> bytes | int:
        """The answer, or with which status the process died.

        The pipe is in no frame that an exception keeps: it is closed when its thread ends.
        """
        if not hasattr(self._own, "process"):
            self._own.process = self._start()
        process, pipe = self._own.process
        try:
            pipe.send_bytes(call)
            answer: bytes = pipe.recv_bytes()
            return answer
        except (EOFError, OSError):
            del self._own.process
            return self._end(process)

    def _start(self) -> tuple[SpawnProcess, connection.Connection]:
        """A process that has come so far as to say that it is ready, or has been killed."""
        pipe, theirs = _Context().Pipe()
        process = _Context().Process(target=_serve, args=(theirs,))
        with self._starting:
            if not self._unusable:
                process.start()
                self._processes.append(process)
        theirs.close()  # so that ours says when theirs is
        try:
            pipe.recv_bytes()
        except (EOFError, OSError):
            if not self._unusable and (status := self._end(process)) >= 0:
                self._unusable = (
                    f"a process cannot start ({_died(status)}): what a program runs must stand"
                    ' below  if __name__ == "__main__":'
                )
        if self._unusable:
            pipe.close()
            raise BrokenExecutor(self._unusable)
        return process, pipe

    @contextmanager
    def _turn_of(self, *, alone: bool) -> Iterator[None]:
        """Wait until no other runs, or none that is to run alone waits."""
        with self._turn:
            self._to_run_alone += alone
            self._turn.wait_for(lambda: not (self._running if alone else self._to_run_alone))
            self._running += 1
        try:
            yield
        finally:
            with self._turn:
                self._running -= 1
                self._to_run_alone -= alone
                self._turn.notify_all()

    def _end(self, process: SpawnProcess) -> int:
        """Wait for a process whose pipe is closed; its exit status."""
        process.join(timeout=10)
        with self._starting:  # two that wait for one process would find it gone
            process.kill()
            process.join()
            if process in self._processes:
                self._processes.remove(process)
        return process.exitcode or 0


def _died(status: int) -> str:
    if status >= 0:
        return f"with exit status {status}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else "unknown"
    memory = ", perhaps for want of memory: use fewer workers, or smaller cells"
    return f"killed by signal {-status} ({name}){memory if status == -9 else ''}"


class _Process(SpawnProcess):
    """A process that leaves Ctrl-C, which a terminal sends to all of them, to its parent."""

    def start(self) -> None:
        """Start it with the signal blocked, so that it is from its first instruction on."""
        if not hasattr(signal, "pthread_sigmask"):  # Windows
            return super().start()
        resource_tracker.ensure_running()  # to start that would unblock the signal
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Context(SpawnContext):
    """As that of ``spawn``, with such processes."""

    Process = _Process


def _serve(pipe: connection.Connection) -> None:
    """What a process does: answer calls until its pipe is closed or its parent is no more."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import numba

    numba.set_num_threads(1)
    try:
        pipe.send_bytes(b"ready")
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes()))
    except (EOFError, OSError):
        return


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _answer(call: bytes) -> bytes:
    """Whether a call succeeded, and what it returned or raised."""
    try:
        function, args, kwargs = pickle.loads(call)
        return pickle.dumps((True, function(*args, **kwargs)))
    except BaseException as error:
        note = f"in a process of its own:\n{traceback.format_exc()}"
        try:
            pickle.loads(pickle.dumps(error)).add_note(note)
        except Exception:  # of someone else's class
            error = RuntimeError(f"{type(error).__name__}: {error}")
        error.add_note(note)
        return pickle.dumps((False, error))
