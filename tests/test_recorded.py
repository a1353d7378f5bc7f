"""The update code against what PyTorch and optax do, iterate by iterate, as recorded in `data/`.

`data/record.py` says how the recordings were made; neither library is needed here.  Each named
call is one rule of ours, with the fields given; where conventions differ, the other one is shown
not to agree, so a recording on which both would pass is noticed.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from twomode.engines.array import ArrayEngine
from twomode.game import Bilinear, Evaluation, State
from twomode.rules import FIRST_STEPS, PAST_SCALES, optimizer

#: Largest error of an iterate, relative to how far its coordinate has been from 0 up to then.
TOLERANCE = 1e-13
#: Another convention is off by at least this much.
APART = 1e-10


def load(file):
    recorded = json.loads((Path(__file__).parent / "data" / file).read_text())
    common = {name: value for name, value in recorded.items() if name != "recordings"}
    return [common | recording for recording in recorded["recordings"]]


def label(recording):
    """The call, without what each has in common."""
    call = recording["call"].replace("parameters, lr=eta, maximize=maximize", "eta")
    return f"{recording['order']}: {call}" if "order" in recording else call


RECORDED = {label(recording): recording for recording in load("recorded.json")} | {
    f"{recording['versions']['optax']}: {label(recording)}": recording
    for recording in load("older.json")
}

#: The call, our rule, and the fields that choose the library's conventions.
MATCHES = {
    "torch.optim.SGD(eta)": ("sgda", {}),
    "torch.optim.SGD(eta, momentum=0.8)": ("sgda-momentum", {"beta1": 0.8}),
    "torch.optim.Adam(eta)": ("adam", {}),
    "torch.optim.Adam(eta, betas=(0.5, 0.9), eps=1e-3)": (
        "adam",
        {"beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    ),
    "torch.optim.RMSprop(eta, alpha=0.9)": (
        "adam",
        {"beta1": 0, "beta2": 0.9, "bias_correction": False},
    ),
    "optax.sgd(eta)": ("sgda", {}),
    "optax.sgd(eta, momentum=0.8)": ("sgda-momentum", {"beta1": 0.8}),
    "optax.adam(eta)": ("adam", {}),
    "optax.adam(eta, b1=0.5, b2=0.9, eps=1e-3)": (
        "adam",
        {"beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    ),
    "optax.rmsprop(eta, decay=0.9, eps_in_sqrt=False)": (
        "adam",
        {"beta1": 0, "beta2": 0.9, "bias_correction": False},
    ),
    "optax.chain(optax.ema(0.8), optax.sgd(eta))": (
        "sgda",
        {"direction": "momentum", "beta1": 0.8},
    ),
    "optax.chain(optax.normalize_by_update_norm(), optax.sgd(eta))": (
        "g-nsgda",
        {"norm_eps": 1e-6},
    ),
    "optax.chain(optax.normalize_by_update_norm(), optax.optimistic_gradient_descent(eta))": (
        "optimistic-nsgda",
        {"granularity": "global", "norm_eps": 1e-6},
    ),
    "optax.optimistic_gradient_descent(eta)": ("optimistic", {}),
    "0.2.3: optax.optimistic_gradient_descent(eta)": ("optimistic", {"first_step": "double"}),
    "optax.optimistic_adam_v2(eta, nesterov=False)": ("optimistic-adam", {}),
    "optax.optimistic_adam_v2(eta, b1=0.5, b2=0.9, eps=1e-3, nesterov=False)": (
        "optimistic-adam",
        {"beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    ),
    "optax.optimistic_adam(eta, nesterov=False)": ("optimistic-adam", {}),
    "optax.contrib.sam(optax.sgd(eta), optax.sgd(-eta))": ("extragradient", {}),
    "G first: optax.sgd(eta)": ("alternating", {}),
    "G first: optax.sgd(eta, momentum=-0.5)": ("negative-momentum", {}),
}

#: Conventions that are not the call's: what it matches above with other fields on top.
OTHERS = [
    ("torch.optim.SGD(eta, momentum=0.8)", {"heavy_ball": False}),
    ("torch.optim.SGD(eta, momentum=0.8)", {"heavy_ball": False, "bias_correction": False}),
    ("torch.optim.Adam(eta)", {"bias_correction": False}),
    ("torch.optim.Adam(eta)", {"eps": 0}),
    ("torch.optim.RMSprop(eta, alpha=0.9)", {"bias_correction": True}),
    ("optax.adam(eta)", {"bias_correction": False}),
    ("optax.chain(optax.ema(0.8), optax.sgd(eta))", {"bias_correction": False}),
    ("optax.chain(optax.ema(0.8), optax.sgd(eta))", {"heavy_ball": True}),
    (
        "optax.chain(optax.normalize_by_update_norm(), optax.sgd(eta))",
        {"granularity": "neuron"},
    ),
    ("optax.chain(optax.normalize_by_update_norm(), optax.sgd(eta))", {"norm_eps": 0}),
    ("optax.optimistic_gradient_descent(eta)", {"first_step": "double"}),
    ("0.2.3: optax.optimistic_gradient_descent(eta)", {"first_step": "plain"}),
    ("optax.optimistic_adam_v2(eta, nesterov=False)", {"first_step": "double"}),
    ("optax.optimistic_adam_v2(eta, nesterov=False)", {"past_scale": "today"}),
    ("optax.optimistic_adam(eta, nesterov=False)", {"past_scale": "today"}),
    ("optax.contrib.sam(optax.sgd(eta), optax.sgd(-eta))", {"schedule": "past-extragradient"}),
    ("G first: optax.sgd(eta)", {"schedule": "simultaneous"}),
    ("G first: optax.sgd(eta)", {"schedule": "alternating-D-first"}),
    ("G first: optax.sgd(eta, momentum=-0.5)", {"schedule": "simultaneous"}),
    ("G first: optax.sgd(eta, momentum=-0.5)", {"heavy_ball": False}),
]

#: What no rule of ours is, with the nearest ones, which must disagree.
NOT_OURS = {
    # Epsilon inside the root, against the same and its root outside.
    "optax.adam(eta, b1=0.5, b2=0.9, eps=0.0, eps_root=1e-6)": [
        ("adam", {"beta1": 0.5, "beta2": 0.9, "eps": eps}) for eps in (1e-6, 1e-3)
    ],
    "optax.rmsprop(eta, decay=0.9)": [
        ("adam", {"beta1": 0, "beta2": 0.9, "eps": eps, "bias_correction": False})
        for eps in (1e-8, 1e-4)
    ],
    # The default there is Nesterov's first moment.
    "optax.optimistic_adam_v2(eta)": [
        ("optimistic-adam", {"first_step": first, "past_scale": scale})
        for first in FIRST_STEPS
        for scale in PAST_SCALES
    ],
    # Optimism that is not the step size.
    "optax.optimistic_adam(eta, optimism=0.1, nesterov=False)": [
        ("optimistic-adam", {}),
        ("adam", {}),
    ],
}


class Fed:
    """A game whose gradients are given, one each time it is asked; G's are 0."""

    m_D = m_G = 1

    def __init__(self, W, b):
        self.d, self._gradients = len(W[0]), zip(W, b, strict=True)

    def evaluate(self, state, *weights):
        W, b = (np.array(gradient) for gradient in next(self._gradients))
        return Evaluation(np.zeros(1), W[None, None], b, np.zeros_like(state.V))


def rows(game, opt, start, iterations):
    """W, b and V after every iteration."""
    engine = ArrayEngine(game, opt, start)
    path = []
    for _ in range(iterations):
        engine.advance(1)
        state = engine.state
        path.append(np.concatenate([state.W[0, 0], state.b, state.V[0, 0]]))
    return np.array(path)


def error(ours, theirs):
    """Largest difference, relative to the largest value of the coordinate so far."""
    reach = np.maximum.accumulate(np.abs(theirs), axis=0)
    difference = np.abs(ours - theirs)
    assert np.all(difference[reach == 0] == 0)
    return np.max(difference[reach > 0] / reach[reach > 0])


def errors(recording, rule, changes):
    """On the sequence (where it is recorded) and in the game, of the rule from the same start."""
    eta = recording["eta"]
    opt = optimizer(rule, eta_D=eta["D"], eta_G=eta["G"], **changes)
    result = {}
    if "sequence" in recording:
        theirs, fed = np.array(recording["sequence"]), recording["gradients"]
        d = len(fed["W"][0])
        at_0 = State(np.zeros((1, 1, d)), np.zeros((1, 1, d)), np.zeros(1), np.zeros((1, 2, d)))
        iterations = min(len(theirs), len(fed["b"]) // opt.updates)
        ours = rows(Fed(**fed), opt, at_0, iterations)
        assert not ours[:, d + 1 :].any()
        result["sequence"] = error(ours[:, : d + 1], theirs[:iterations])
    theirs, game = np.array(recording["game"]), Bilinear(recording["A"])
    ours = rows(game, opt, game.state(recording["x"], recording["y"]), len(theirs))
    assert not ours[:, game.d].any()
    result["game"] = error(np.delete(ours, game.d, axis=1), theirs)
    return result


def test_every_recording_is_used():
    assert RECORDED.keys() == MATCHES.keys() | NOT_OURS.keys()


@pytest.mark.parametrize("call", MATCHES)
def test_every_iterate_is_theirs(call):
    found = errors(RECORDED[call], *MATCHES[call])
    assert max(found.values()) <= TOLERANCE, found


@pytest.mark.parametrize(("call", "other"), OTHERS)
def test_another_convention_is_told_apart(call, other):
    rule, changes = MATCHES[call]
    found = errors(RECORDED[call], rule, changes | other)
    assert max(found.values()) > APART, found


@pytest.mark.parametrize("call", NOT_OURS)
def test_what_is_not_ours_is_told_apart(call):
    for rule, changes in NOT_OURS[call]:
        found = errors(RECORDED[call], rule, changes)
        assert max(found.values()) > APART, (rule, changes, found)
