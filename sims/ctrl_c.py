"""Ctrl-C while a program is imported is one line, as it is later on (`twomode.cli.run`).

The programs import this before anything else: libraries turn the exception into others.
"""

import os
import signal
import sys


def leave(*_: object) -> None:
    """Say so and end: nothing has begun that could be left half-done."""
    program = sys.argv[0].rpartition(os.sep)[2]  # pathlib takes its time to import
    sys.stderr.write(f"{program}: interrupted, nothing saved\n")
    sys.stderr.flush()
    os._exit(130)


of_a_worker = "__mp_main__" in sys.modules  # which multiprocessing ends by itself
if not of_a_worker and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, leave)
