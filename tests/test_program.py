"""What every program begins and ends with: Ctrl-C is one line and status 130 at any moment."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("sims", "figures", "paper_checks")
PROGRAMS = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).glob("*.py")
    if '__name__ == "__main__"' in path.read_text()
)

IMPORTING = """
import twomode_program
import slow
"""
COMPUTING = """
import twomode_program
import time
import twomode as tm

def wait(_):
    print("ready", flush=True)
    time.sleep(600)

def main():
    with tm.sweeps.processes(2) as executor:
        list(executor.map(wait, range(9)))

if __name__ == "__main__":
    twomode_program.run(main)
"""


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_begins_and_ends_with_what_answers_for_interrupts(path):
    statements = ast.parse(path.read_text()).body  # the docstring, the future, ...
    assert ast.unparse(statements[2]) == "import twomode_program"
    assert ast.unparse(statements[-1].body[-1]).startswith("twomode_program.run(")


@pytest.mark.parametrize("program", [IMPORTING, COMPUTING], ids=["importing", "computing"])
def test_an_interrupt_is_one_line_and_status_130(tmp_path, program):
    """It goes to the whole group, as from a terminal: no process is left, and none has a word."""
    (tmp_path / "slow.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(600)\n")
    (tmp_path / "program.py").write_text(program)
    running = subprocess.Popen(
        [sys.executable, tmp_path / "program.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout.readline() == "ready\n"
    os.killpg(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=60)  # until everyone has closed these
    assert (running.returncode, errors) == (130, "program.py: interrupted, nothing saved\n")
