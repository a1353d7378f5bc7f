"""Polar factors and Muon, against SciPy, against optax (recorded), and where ranks are not full."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import linalg

import twomode as tm
from twomode.engines.array import ArrayEngine
from twomode.game import Evaluation
from twomode.rules import Rule, polar_factor

EXACT = Rule(granularity="spectral")


def matrix(values, rows, columns, seed=0):
    """With these singular values."""
    rng = np.random.default_rng(seed)
    n = len(values)
    P, Q = (np.linalg.qr(rng.standard_normal((m, n)))[0] for m in (rows, columns))
    return P * values @ Q.T, P @ Q.T


@pytest.mark.parametrize("shape", [(3, 7), (5, 5), (6, 2), (1, 4)])
def test_exact_factors_are_scipys(shape):
    for X in np.random.default_rng(0).standard_normal((5, *shape)):
        found, norm = polar_factor(X[None], EXACT)
        np.testing.assert_allclose(found[0], linalg.polar(X)[0], atol=1e-12)
        np.testing.assert_allclose(norm.item(), np.linalg.norm(X, "nuc"), rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-100, 1.0, 1e100])
def test_a_factor_is_on_the_range_only(scale):
    X, factor = matrix([3.0, 2.0, 1e-3], 5, 7)
    np.testing.assert_allclose(polar_factor(scale * X, EXACT)[0], factor, atol=1e-11)
    X, factor = matrix([3.0, 2.0, 1e-15], 5, 7)
    P, _, Q = np.linalg.svd(X)
    np.testing.assert_allclose(polar_factor(X, EXACT)[0], P[:, :2] @ Q[:2], atol=1e-12)
    assert not polar_factor(0 * X, EXACT)[0].any()


def test_norm_eps_is_added_to_singular_values():
    X, _ = matrix([3.0, 1.0], 4, 6)
    found, _ = polar_factor(X, Rule(granularity="spectral", norm_eps=1.0))
    np.testing.assert_allclose(np.linalg.svd(found)[1][:2], [0.75, 0.5], rtol=1e-12)


def test_what_diverged_stays_so_and_disturbs_nobody():
    X = np.ones((2, 2, 3))
    X[0, 0, 0] = np.inf
    found, norm = polar_factor(X, EXACT)
    assert np.isnan(found[0]).all()
    assert np.isnan(norm[0]).all()
    np.testing.assert_allclose(found[1], X[1] / 6**0.5, atol=1e-12)


class Fed:
    """A game whose gradients for W are given, one after the other; b and V stay at 0."""

    def __init__(self, gradients):
        self.m_D, self.d = np.shape(gradients)[1:]
        self.m_G, self._gradients = 1, iter(gradients)

    def evaluate(self, state, *weights):
        W = np.array(next(self._gradients))[None]
        return Evaluation(np.zeros(1), W, np.zeros(1), np.zeros_like(state.V))


FILE = json.loads((Path(__file__).parent / "data" / "muon.json").read_text())
#: The call, and our fields.  optax corrects the bias of a look ahead, Jordan et al. do not.
MATCHES = {
    "contrib.muon(eta, beta=0.95, nesterov=True)": {"bias_correction": True, "norm_eps": 1e-8},
    "contrib.muon(eta, beta=0.8, nesterov=False)": {
        "beta1": 0.8,
        "nesterov": False,
        "bias_correction": True,
        "norm_eps": 1e-8,
    },
    "contrib.muon(eta, beta=0.9, nesterov=True, eps=1e-2)": {
        "beta1": 0.9,
        "bias_correction": True,
        "norm_eps": 1e-2,
    },
    "contrib.muon(eta, beta=0.9, nesterov=True, weight_decay=0.1)": {
        "beta1": 0.9,
        "bias_correction": True,
        "norm_eps": 1e-8,
        "weight_decay": 0.1,
    },
    "contrib.muon(eta, beta=0.9, nesterov=True, consistent_rms=0.2)": {
        "beta1": 0.9,
        "bias_correction": True,
        "norm_eps": 1e-8,
        "magnitude": "constant",
        "constant": 0.2,
    },
}
RECORDED = {recording["call"]: recording for recording in FILE["recordings"]}


def error(call, **changes):
    """The largest difference of an iterate from optax's."""
    recording = RECORDED[call]
    game, theirs = Fed(recording["gradients"]), np.array(recording["W"])
    opt = tm.optimizer("muon", eta_D=FILE["eta"], eta_G=0, **MATCHES[call] | changes)
    zeros = np.zeros((1, game.m_D, game.d))
    engine = ArrayEngine(game, opt, tm.State(zeros, zeros[:, :1], np.zeros(1), zeros[:, :2]))
    differences = []
    for there in theirs:
        engine.advance(1)
        differences.append(np.abs(engine.state.W[0] - there).max())
    return max(differences) / np.abs(theirs).max()


def test_every_recording_is_used():
    assert RECORDED.keys() == MATCHES.keys()


@pytest.mark.parametrize("call", MATCHES)
def test_muon_is_optaxs(call):
    assert error(call) < 1e-12


@pytest.mark.parametrize(
    ("call", "other"),
    [
        (next(iter(MATCHES)), {"bias_correction": False}),
        (next(iter(MATCHES)), {"nesterov": False}),
        (next(iter(MATCHES)), {"polar": "exact"}),
        ("contrib.muon(eta, beta=0.9, nesterov=True, eps=1e-2)", {"norm_eps": 1e-8}),
        ("contrib.muon(eta, beta=0.9, nesterov=True, weight_decay=0.1)", {"weight_decay": 0.0}),
    ],
)
def test_another_convention_is_told_apart(call, other):
    assert error(call, **other) > 1e-6
