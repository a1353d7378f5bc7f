"""The first import of every program: from then on Ctrl-C is one line and status 130.

It stands beside the package, because to import anything of that takes a second.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

__all__ = ["run"]


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a program: bad input is one line on stderr and status 2, Ctrl-C is status 130."""
    from twomode.errors import InputError

    alone = signal.getsignal(signal.SIGINT) is _leave
    try:
        if alone:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        status = main() or 0
    except InputError as error:
        sys.stderr.write(f"{_program()}: error: {' '.join(str(error).split())}\n")
        status = 2
    except KeyboardInterrupt:
        sys.stderr.write(_interrupted())
        status = 130
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        sys.stderr.close()
        status = 141
    finally:
        if alone:  # all is done: too late to interrupt
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise SystemExit(status)


def _program() -> str:
    return sys.argv[0].rpartition(os.sep)[2]


def _interrupted() -> str:
    return f"{_program()}: interrupted, nothing saved\n"


def _leave(*_: object) -> NoReturn:
    """End at once: what is being imported cannot be left in order, and has nothing to lose."""
    os.write(2, _interrupted().encode())
    os._exit(130)


def _imported_by_program() -> bool:
    """Whether the import stands in the file that is run, not in one that a test imports."""
    frame = sys._getframe(2)
    while frame.f_back is not None and "importlib" in frame.f_code.co_filename:
        frame = frame.f_back
    return bool(frame.f_globals["__name__"] == "__main__")


if signal.getsignal(signal.SIGINT) is signal.default_int_handler and _imported_by_program():
    signal.signal(signal.SIGINT, _leave)
