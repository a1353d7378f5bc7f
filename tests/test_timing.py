"""Programs that time: that they still run is seen on the least of what they time."""

from pathlib import Path

import pytest
from helpers import call_here, program_here

SIMS = Path(__file__).parents[1] / "sims"
LEAST = {
    "bench_step": {"EXPONENTS": (12,), "ROUNDS": 1, "LEAST": 0.001},
    "bench_flow": {"CASES": ((24, 9, 1),), "ROUNDS": 1},
    "bench_users": {
        "ROUNDS": 1,
        "RECORDED": (("sgda", 1),),
        "MINIBATCHES": (1,),
        "TRAINED": {"algorithm-1": 2},
        "CHAIN_STEPS": 2,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LEAST)
def test_programs_that_time_print_a_table(tmp_path, name):
    with program_here(SIMS / f"{name}.py", **LEAST[name]) as main:
        done = call_here(main, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = done.stdout.splitlines()[1:]
    assert rows
    assert all(any(cell.isdigit() for cell in row) for row in rows)
