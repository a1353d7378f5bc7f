"""Whether chains agree, and Algorithm 1's step as published."""

import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from twomode import adversarial as adv

HERE = Path(__file__).parent / "data"
RECORDED = json.loads((HERE / "mixing.json").read_text())["recorded"]


@pytest.fixture
def chains(monkeypatch):
    """The recording script's, without ArviZ."""
    monkeypatch.setitem(sys.modules, "arviz", types.ModuleType("arviz"))
    spec = importlib.util.spec_from_file_location("record_mixing", HERE / "record_mixing.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.chains


@pytest.mark.parametrize("entry", RECORDED, ids=lambda entry: str(entry["case"]))
def test_r_hat_and_sizes_are_those_of_arviz(entry, chains):
    f = chains(*entry["case"])
    found = [*adv.mixing(f), adv.effective_sample_size(f)]
    np.testing.assert_allclose(found, entry["values"], rtol=1e-10)
    both = adv.mixing(np.stack([f, f[::-1]], axis=-1))  # along other axes too
    np.testing.assert_allclose([x[0] for x in both], entry["values"][:3], rtol=1e-10)


def test_the_published_step_line_by_line():
    """x + eta sign(grad) + s sqrt(2 eta) zeta, zeta uniform on (-1, 1), box, then domain."""
    eps, eta, s = 0.3, 0.01, 0.2  # as published, for MNIST
    how = adv.method("published")
    assert (how.steps, how.copies, how.start) == (1, 1, "warm")
    data = adv.load_data("moons", n=16)._replace(domain=(-1.0, 1.0))
    data = data._replace(x=np.clip(data.x, -1, 1))
    target = adv.Target.of(adv.Model.random(data, hidden=8), data, eps, 1.0)
    x, rng, again = target.x.copy(), np.random.default_rng(1), np.random.default_rng(1)
    for _ in range(50):
        gradient = target.loss_grad(x)[1]
        zeta = again.random(x.shape) * 2 - 1
        moved = x + eta * np.sign(gradient) + s * np.sqrt(2 * eta) * zeta
        moved = np.clip(moved, target.x - eps, target.x + eps)
        expected = np.clip(moved, -1, 1)
        x = adv.advance(target, how.sampler, x, 1, rng).x
        np.testing.assert_allclose(x, expected, rtol=0, atol=1e-14)
