"""The array engine on a GPU; run with ``-m gpu`` where there is one."""

import numpy as np
import pytest

import twomode as tm


@pytest.mark.gpu
@pytest.mark.parametrize("name", tm.RULES)
def test_cupy_agrees_with_numpy(name):
    game = tm.Game.preset(4096)
    opt, _ = tm.recipe(game, name)
    runs = [
        tm.simulate(game, opt, 50, replicas=3, batch_size=8, engine=engine)
        for engine in ("array", "cupy")
    ]
    for field in ("projections_V", "projections_W", "gram_V", "grad_norms", "update_norms"):
        expected, found = (getattr(run, field) for run in runs)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-14)
