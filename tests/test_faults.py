"""`faults.py`, with few moments."""

from pathlib import Path

import pytest
from faults import FAULTS, Skipped, studies

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc"),
]


@pytest.fixture(scope="module")
def make():
    with studies(0) as make:
        yield make


@pytest.mark.parametrize("name", FAULTS)
def test_a_study_survives(make, name):
    for _ in range(2):
        try:
            FAULTS[name](make())
        except Skipped as reason:
            pytest.skip(str(reason))
