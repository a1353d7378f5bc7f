"""Whatever is given: one line that refuses it, or a result that can be saved, loaded and repeated.

The calls are those of `calls.py`, with one or two of their arguments replaced by values that
somebody may give by mistake.
"""

import contextlib
import functools
import math
import os
import random
import re
import time
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

import numpy as np
import pandas as pd
import pytest
from calls import CALLS, CELL, PARTS, RECORDS, ROOMS, thing
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.animation import Animation

import twomode as tm
from twomode import game
from twomode.checks import checked
from twomode.errors import shown
from twomode.runs import TRACE

#: Values that somebody may give by mistake; each is made anew.
HOSTILE = [
    *(lambda v=v: v for v in (None, True, False, np.True_, 0, 1, 2, 3, -1, 2**63, 10**400)),
    *(lambda v=v: v for v in (0.0, 0.5, 1.0, 1.5, -0.5, 1e-300, 1e300, math.nan, math.inf)),
    *(lambda v=v: v for v in (-math.inf, 1j, Fraction(1, 3), Decimal("0.5"), -(10**400))),
    *(lambda v=v: v for v in ("", "0.5", "1", "False", "sgda", "two\nlines" * 20, b"x")),
    *(lambda v=v: v for v in (np.float64(0.5), np.float32(0.5), np.int64(3), np.uint8(1), pd.NA)),
    *(lambda v=v: v for v in (np.float64("nan"), np.complex128(1), np.ma.masked, range(3))),
    *(lambda a=a: np.array(a) for a in (0.5, 3, [], True, "a", None, [0.5, 1.0, 2.0], [1, 0])),
    *(lambda s=s: np.ones(s) for s in ((2, 3), (3, 3), (2, 3, 4), (2, 3, 4, 5), (3, 2), (1, 1))),
    *(lambda v=v: v.copy() for v in ([], [1, "a"], [[1, 0], [0]], [0.5, math.nan], [None], [-1])),
    *(lambda v=v: v.copy() for v in ([0, 10**9], {}, {"a": 1}, {"d": 16}, {1: 2}, {"opt": "sgda"})),
    *(object, lambda: slice(None), lambda: np.full((3, 3), np.nan), lambda: np.ones(3) * 1j),
    *(pd.DataFrame, lambda: pd.DataFrame({"d": ["a", None]})),
    lambda: tm.Game.preset(64),
    lambda: tm.optimizer("adam", eta_D=0.1, eta_G=0.1),
    *(lambda n=n: getattr(thing(), n) for n in ("state", "result", "data", "target")),
]
#: Fair values that would only take their time.
PATIENCE = {
    "cell": lambda cell: not cell,  # all at d = 256
    "lam": lambda lam: lam > 1e6,  # a quadrature tries large orders
    "eps": lambda eps: eps > 1e6,
    "learning_rate": lambda rate: rate < 1e-6,
}
ARGUMENTS = {call: [name for name in CALLS[call](thing()) if name != "self"] for call in CALLS}


def title(call):
    return f"{call.__module__}.{call.__qualname__}"


def refusal(call, arguments):
    """The message of an `InputError`, or of Python for a wrong keyword; None for a result."""
    try:
        result = call(**arguments)
        if isinstance(result, Animation):
            result._draw_was_started = True  # else it warns, some time later, that nobody drew it
    except tm.InputError as error:
        return str(error)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        return str(error)
    return None


def attempt(call, changes):
    """A call with some arguments, by their number, replaced by hostile values, by theirs."""
    arguments = dict(CALLS[call](thing()))
    for which, value in changes:
        name = ARGUMENTS[call][which % len(ARGUMENTS[call])]
        arguments[name] = HOSTILE[value % len(HOSTILE)]()
        with contextlib.suppress(TypeError, ValueError):
            if name in PATIENCE and PATIENCE[name](arguments[name]):
                return
    began = time.perf_counter()
    message = refusal(call, arguments)
    took = time.perf_counter() - began
    assert message is None or ("\n" not in message and len(message) < 1200), message
    assert message is None or took < 1, f"{took:.1f} s to refuse: {message}"


def test_everything_public_has_a_call():
    public = {
        getattr(room, name)
        for room in ROOMS
        for name in room.__all__
        if name[0].isalpha() and callable(getattr(room, name))
    }
    assert public - RECORDS - PARTS - CALLS.keys() == {game.Dimension}


@pytest.mark.parametrize("call", CALLS, ids=title)
def test_the_calls_are_accepted(call):
    arguments = CALLS[call](thing())
    nowhere = str(arguments.get("path")).startswith("nowhere")
    assert (refusal(call, arguments) is None) != nowhere


@checked
def halved(x: Annotated[float, "[0, 1]"], *more: float, digits: int = 2, **rest: float) -> object:
    return round(x / 2, digits), more, rest


def test_a_checked_call_is_as_python_makes_it():
    assert halved(np.array(0.5)) == (0.25, (), {})
    assert type(halved(np.array(0.5))[0]) is type(halved(x=np.array(0.5))[0]) is float
    assert halved(1, 2, 3, digits=np.int64(1), y=4) == (0.5, (2, 3), {"y": 4})
    assert halved(digits=0, x=0.7) == (0.0, (), {})
    for args, kwargs, words in (
        ((), {}, "missing 1 required positional argument: 'x'"),
        ((0.5,), {"x": 0.5}, "got multiple values for argument 'x'"),
    ):
        with pytest.raises(TypeError, match=words):
            halved(*args, **kwargs)
    for args, kwargs in (((2,), {}), ((), {"x": 2}), ((0.5,), {"digits": 0.5})):
        with pytest.raises(tm.InputError):
            halved(*args, **kwargs)


with_arguments = [call for call in CALLS if ARGUMENTS[call]]
one = st.tuples(st.integers(0, 11), st.integers(0, len(HOSTILE) - 1))


@settings(max_examples=500, derandomize=True, deadline=None, database=None)
@given(
    st.sampled_from(with_arguments),
    st.lists(
        st.tuples(st.integers(0, 11), st.integers(0, len(HOSTILE) - 1)), min_size=1, max_size=2
    ),
)
def test_any_value_is_refused_in_one_line_or_works(call, changes):
    attempt(call, changes)


@pytest.mark.slow
def test_any_two_values_are_refused_in_one_line_or_work():
    """10^5 calls, most of those that are soon back."""
    rng, costs = random.Random(0), []
    for call in with_arguments:
        began = time.perf_counter()
        refusal(call, CALLS[call](thing()))
        costs.append(time.perf_counter() - began)
    chosen = rng.choices(with_arguments, [1 / (0.001 + cost) for cost in costs], k=10**5)
    for call in chosen:
        attempt(call, [(rng.randrange(12), rng.randrange(len(HOSTILE))) for _ in range(2)])


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (lambda: tm.Game.preset(d=10**300), "m_G=691 makes more points than can be summed over"),
        (lambda: tm.Game.preset(16, m_G=100_000), "m_G=100000 makes more points"),
        (lambda: run(replicas=2**31), "replicas=2147483648 needs about 2.05e+03 GiB"),
        (lambda: run(steps=10**9, record_every=1), "use fewer neurons, replicas or records"),
        (lambda: run(game=tm.Game.preset(2**20, m_D=10**5)), "m_D=100000, m_G=14 with 2 replicas"),
        (lambda: thing().state.replicated(2**31), "replicas=2147483648 needs"),
        (lambda: tm.adversarial.load_data("moons", 10**10), "n=10000000000 needs"),
        (lambda: tm.adversarial.Model.random(thing().data, hidden=10**10), "hidden=10000000000"),
        (lambda: train(copies=2**31), "copies=2147483648 needs"),
        (lambda: sample(chains=2**31), "chains=2147483648 of 4 anchors"),
        (lambda: sample(steps=10**10), "9,999,999,999 states kept needs"),
        (lambda: tm.sampling.largest_loss(thing().target, 10**6), "side=1000000 needs"),
        (lambda: tm.sweep([CELL], 2**31), "replicas=2147483648 of 1 cells needs"),
        (lambda: tm.sweeps.cells(**{a: range(10**4) for a in "abc"}), "1000000000000 cells needs"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_allocated(monkeypatch, refused, message):
    thing()
    monkeypatch.setattr(os, "sysconf", lambda name: 2**16)  # 4 GiB in all
    began = time.perf_counter()
    with pytest.raises(tm.InputError, match=re.escape(message)):
        refused()
    assert time.perf_counter() - began < 1


def run(**changes):
    return tm.simulate(**(CALLS[tm.simulate](thing()) | changes))


def sample(**changes):
    options = CALLS[tm.adversarial.sample](thing()) | {"start": None, "burn": 1, "every": 1}
    return tm.adversarial.sample(**(options | changes))


def train(**changes):
    how = tm.adversarial.method("algorithm-1", **changes)
    return tm.adversarial.train(**(CALLS[tm.adversarial.train](thing()) | {"method": how}))


GAME = {"d": np.int64(16), "m_D": np.array(2), "m_G": np.uint8(2), "gamma": np.float32(0.25)}
NUMPY_SCALARS = {
    "game": (GAME | {"a": np.float64(0.5), "lam": np.array(0.25), "clip": np.float32(2)}, {}, {}),
    "sparse pairs": ({"latents": tm.SparsePairs(np.float32(0.25))}, {}, {}),
    "Bernoulli": ({"latents": tm.Bernoulli(np.array(0.25))}, {}, {}),
    "explicit": (
        {
            "m_G": 2,
            "latents": tm.ExplicitLatents(np.eye(2, dtype=np.uint8), np.float32([0.5, 0.5])),
        },
        {},
        {},
    ),
    "coefficients": ({"data": tm.CorrelatedCoefficients(np.float32(0.25))}, {}, {}),
    "steps sizes": ({}, {"eta_D": np.float32(0.125), "eta_G": np.array(1)}, {}),
    "flags": (
        {},
        {"name": "sgda-momentum", "heavy_ball": np.True_, "beta1": np.float32(0.5)},
        {"start": tm.GaussianStart(shared=np.True_)},
    ),
    "words": ({}, {"name": np.str_("nsgda"), "granularity": np.str_("layer")}, {}),
    "seed": ({}, {}, {"seed": np.int64(3), "replicas": np.array([0, 2]), "batch_size": np.int8(2)}),
    "sequence": ({}, {}, {"seed": np.random.SeedSequence(np.int64(3), spawn_key=(np.int8(1),))}),
    "sequence of many": ({}, {}, {"seed": np.random.SeedSequence(np.array([3, 4]))}),
    "start": (
        {},
        {},
        {
            "start": tm.GaussianStart(
                np.float32(0.25), np.array(0.5), np.int64(1), np.str_("random")
            )
        },
    ),
    "records": ({}, {}, {"record_every": np.int64(2), "resolve": np.float32(1.5)}),
}


@pytest.mark.parametrize("case", NUMPY_SCALARS)
def test_what_is_accepted_can_be_saved_loaded_and_repeated(tmp_path, case):
    fields, rule, options = NUMPY_SCALARS[case]
    game = tm.Game.preset(**({"d": 16} | fields))
    opt = tm.optimizer(**({"name": "sgda", "eta_D": 0.1, "eta_G": 0.1} | rule))
    result = tm.simulate(game, opt, np.int64(6), **options)
    result.save(tmp_path / "run.npz")
    loaded = tm.load(tmp_path / "run.npz")
    assert (loaded.game, loaded.opt) == (game, opt)
    assert loaded.provenance == result.provenance
    again = loaded.again()
    for name in TRACE:
        np.testing.assert_array_equal(getattr(again, name), getattr(result, name))


def test_a_state_takes_numbers_lists_and_arrays(tmp_path):
    """Of any of them, what is run is saved and repeated."""
    game = tm.Game.preset(3, m_D=1, m_G=1, gamma=0.0, latents=tm.SparsePairs(0.0))
    rows = {"W": [[1.0, 0, 0]], "V": [[0, 0, 0.5]], "U": np.eye(2, 3)}
    runs = []
    for b in (0, 0.0, np.float32(0), np.int64(0), np.array(0)):
        start = tm.State(**rows, b=b)
        runs.append(tm.simulate(game, thing().opt, 5, start=start))
        runs[-1].save(tmp_path / "run.npz", overwrite=True)
        runs.append(tm.load(tmp_path / "run.npz").again())
    assert {run.bias[0, -1] for run in runs} == {runs[0].bias[0, -1]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"opt": "sgda"}, r"opt='sgda' must be an Optimizer, like tm.optimizer\(.*\)$"),
        ({"game": 64}, r"game=64 must be a Game, like tm.Game.preset\(d=4096\)$"),
        ({"start": thing, "seed": 1}, "must be a State or be a GaussianStart"),
        ({"steps": 10**400}, r"^steps=10{20,}\.{3}0{20,} must be a whole number of at least 0"),
    ],
)
def test_a_refusal_says_what_would_do(changes, message):
    with pytest.raises(tm.InputError, match=message):
        run(**changes)


def test_a_law_of_ones_own_is_refused():
    class Mine(tm.game.Law):
        kind = "mine"

    with pytest.raises(tm.InputError, match=r"no file can name: give its points and .*ExplicitLat"):
        tm.Game.preset(16, latents=Mine())


@pytest.mark.parametrize("name", ["sgda", "nsgda", "adam"])
@pytest.mark.parametrize(
    ("field", "value", "rules"),
    [
        ("beta1", 0.5, {"adam"}),
        ("beta2", 0.5, {"adam"}),
        ("eps", 0.5, {"adam"}),
        ("bias_correction", False, {"adam"}),
        ("heavy_ball", True, {"adam"}),
        ("granularity", "layer", {"nsgda"}),
        ("norm_eps", 0.5, {"nsgda"}),
        ("constant", 2.0, set()),
    ],
)
def test_a_field_without_an_effect_is_refused(name, field, value, rules):
    call = functools.partial(tm.optimizer, name, eta_D=0.1, eta_G=0.1, **{field: value})
    if name in rules:
        call()
    else:
        with pytest.raises(tm.InputError, match=f"{field}={value!r} has no effect on '{name}': it"):
            call()


def test_arguments_of_a_run_without_an_effect_are_refused():
    axis = tm.GaussianStart(modes="axis")
    with pytest.raises(tm.InputError, match="modes='axis' has no effect on sgda in R\\^r"):
        run(start=axis)
    run(start=axis, opt=tm.optimizer("adam", eta_D=0.1, eta_G=0.1), engine="dense")
    run(start=tm.GaussianStart(modes="axis", shared=True))
    with pytest.raises(tm.InputError, match="seed=1 has no effect: an explicit start without min"):
        run(start=thing().state, batch_size=None)
    run(start=thing().state, batch_size=None, seed=None, replicas=1)


def test_bytes_are_no_list_of_numbers():
    with pytest.raises(tm.InputError, match="replicas"):
        run(replicas=b"\0\1")


def test_values_are_shown_in_one_short_line():
    class Rude:
        def __repr__(self):
            raise RuntimeError

    for value in ("x" * 10**6, list(range(10**4)), np.ones((9, 9)), 10**5000, Rude(), "two\nlines"):
        assert len(shown(value)) <= 60
        assert "\n" not in shown(value)
    assert (shown(np.float64(0.5)), shown(np.array(3)), shown([1])) == ("0.5", "3", "[1]")
