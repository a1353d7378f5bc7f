"""The first import of every program: from then on Ctrl-C is one line and status 130.

It stands beside the package, because to import anything of that takes a second.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

__all__ = ["run"]


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a program by `twomode.cli.run`, within which Ctrl-C raises KeyboardInterrupt."""
    gc.set_threshold(100_000)  # of the time to a first figure a tenth went to garbage of imports
    from twomode import cli

    def interruptible() -> int | None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return main()

    ours = signal.getsignal(signal.SIGINT) is _leave
    try:
        cli.run(interruptible if ours else main)
    finally:
        if ours:  # all is done: too late to interrupt
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        gc.freeze()  # to look for garbage among all that was imported took a fifth of the time


def _leave(*_: object) -> NoReturn:
    """End at once: what is being imported cannot be left in order, and has nothing to lose."""
    program = sys.argv[0].rpartition(os.sep)[2]
    os.write(2, f"{program}: interrupted, nothing saved\n".encode())
    os._exit(130)


def _imported_by_program() -> bool:
    """Whether the import stands in the file that is run, not in one that a test imports."""
    frame = sys._getframe(2)
    while frame.f_back is not None and "importlib" in frame.f_code.co_filename:
        frame = frame.f_back
    return bool(frame.f_globals["__name__"] == "__main__")


if signal.getsignal(signal.SIGINT) is signal.default_int_handler and _imported_by_program():
    signal.signal(signal.SIGINT, _leave)
