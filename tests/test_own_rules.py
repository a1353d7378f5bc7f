"""Rules that are a function of the user's."""

import numpy as np
import pytest

import twomode as tm
from twomode.rules import RULES, OwnRule, rule_from_dict
from twomode.runs import replay
from twomode.studies import cell_key, stored_blocks

GAME = tm.Game.preset(64)


def per_neuron(gradient, state, memory):
    return {n: g / (abs(g) if g.ndim == 1 else norms(g)) for n, g in gradient.items()}


def norms(g):
    return np.sqrt((g * g).sum(axis=-1, keepdims=True))


def momentum(gradient, state, memory):
    for name, g in gradient.items():
        memory[name] = 0.9 * memory.get(name, 0) + g
    return dict(memory)


def signs(gradient, state, memory):
    return {name: np.sign(g) for name, g in gradient.items()}


def decayed(gradient, state, memory):
    return {name: g - 0.1 * state[name] for name, g in gradient.items()}


SAME = {"nsgda": per_neuron, "sgda-momentum": momentum}


@pytest.mark.parametrize(
    "schedule", ["simultaneous", "alternating-D-first", "extragradient", "optimistic"]
)
@pytest.mark.parametrize("name", SAME)
def test_a_step_that_is_a_named_rules_makes_the_same_run(name, schedule):
    options = {"eta_D": 0.01, "eta_G": 0.005, "schedule": schedule}
    own = OwnRule(step=SAME[name], equivariant=True, **options)
    opt = tm.optimizer(name, **options)
    one = tm.simulate(GAME, own, 50, replicas=3, record_every=10)
    assert own.name == SAME[name].__name__
    assert one.state.dimension == GAME.reduced_dimension
    other = tm.simulate(GAME, opt, 50, replicas=3, start=one.starts, record_every=10)
    for number in ("projections_V", "bias", "update_norms", "peak_grad_norms"):
        np.testing.assert_allclose(
            getattr(one, number), getattr(other, number), rtol=1e-9, atol=1e-12
        )


def test_one_that_knows_coordinates_runs_in_R_d():
    result = tm.simulate(GAME, OwnRule(1e-3, 1e-3, signs), 20)
    assert result.state.dimension == GAME.d
    moved = result.state.W - result.starts.W
    assert np.abs(moved).max() <= 20e-3 + 1e-12
    assert not tm.theory.theorem_4_2(result).hypotheses[0].met


def test_it_sees_where_the_player_is():
    opt = OwnRule(0.1, 0.1, decayed, equivariant=True, as_long_as_gradient=True)
    result = tm.simulate(GAME, opt, 1, replicas=2)
    start = result.starts
    gradient = GAME.evaluate(start)
    np.testing.assert_allclose(
        result.state.V, start.V + 0.1 * (gradient.V - 0.1 * start.V), rtol=1e-12
    )
    assert not tm.theory.theorem_4_1(result).hypotheses[0].met  # no SGDA
    assert tm.recipe(GAME, opt).steps == tm.recipe(GAME, "sgda", eta_D=0.1).steps


def test_it_is_saved_loaded_resumed_swept_and_verified(tmp_path):
    opt = OwnRule(0.01, 0.005, momentum, equivariant=True)
    whole = tm.simulate(GAME, opt, 40, replicas=2, checkpoint=tmp_path / "a", record_every=4)
    again = tm.resume(tmp_path / "a")
    assert np.array_equal(again.projections_V, whole.projections_V)
    half = tm.simulate(GAME, opt, 20, replicas=2)
    from twomode.engines import ArrayEngine

    engines = [ArrayEngine(GAME, opt, whole.starts) for _ in range(2)]
    engines[0].advance(20)
    memory = {name: np.array(x) for name, x in engines[0].memory.items()}
    engines[1].restore(memory)
    for engine in engines:
        engine.advance(20)
    assert np.array_equal(engines[0].state.V, engines[1].state.V)
    assert np.array_equal(engines[0].state.V, whole.state.V)
    half.save(tmp_path / "b.npz")
    loaded = tm.load(tmp_path / "b.npz")
    assert loaded.opt == opt
    assert np.array_equal(loaded.again().projections_V, half.projections_V)
    grid = {"opt": [opt, OwnRule(0.01, 0.005, signs)], "d": [16], "steps": [10]}
    table = tm.sweep(grid, 2, store=tmp_path / "study")
    assert table["opt"].tolist() == ["momentum"] * 2 + ["signs"] * 2
    blocks = stored_blocks(tmp_path / "study")
    assert [replay(block).verdict for block in blocks] == ["identical"] * 2
    one, other = ({"opt": rule, "d": 16} for rule in grid["opt"])
    assert cell_key(one) != cell_key(other)


def fails(gradient, state, memory):
    raise ZeroDivisionError("so")


BAD = {
    "no function": (3, "step=3 must be callable"),
    "raises": (fails, "step of 'fails' fails on W, b: ZeroDivisionError: so"),
    "no dict": (lambda g, x, m: g["V"] if "V" in g else g["W"], "returns <array of shape"),
    "a name": (lambda g, x, m: {"W": g.get("W")}, "returns {'W': .2, 3, 5.}: it must return {'W'"),
    "a shape": (lambda g, x, m: {n: y.sum() for n, y in g.items()}, "returns {'W': .., 'b': ..}"),
    "memory": (
        lambda g, x, m: m.update(n=3.0) or dict(g),
        "keeps n without a replica axis in front",
    ),
    "replicas": (
        lambda g, x, m: {n: y / np.abs(y).max() for n, y in g.items()},
        "mixes replicas: alone, the first one's differs by",
    ),
    "rotations": (signs, "is not equivariant: a rotation of R.5 changes it by"),
    "not a number": (lambda g, x, m: {n: y * np.nan for n, y in g.items()}, "differs by inf"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_step_that_is_not_what_it_must_be_is_refused_at_once(case):
    step, words = BAD[case]
    with pytest.raises(tm.InputError, match=words):
        OwnRule(0.1, 0.1, step, equivariant=True)


def test_a_rotation_is_seen_in_the_memory_too():
    def late(gradient, state, memory):
        taken = {n: g + np.sign(memory.get(n, 0 * g)) for n, g in gradient.items()}
        memory.update(gradient)
        return taken

    with pytest.raises(tm.InputError, match="not equivariant"):
        OwnRule(0.1, 0.1, late, equivariant=True)
    OwnRule(0.1, 0.1, late)


@pytest.mark.parametrize("engine", ["reduced", "dense", "flow"])
def test_other_engines_refuse_it(engine):
    opt = OwnRule(0.1, 0.1, per_neuron, equivariant=True)
    with pytest.raises(tm.InputError, match="does not know the step of 'per_neuron'"):
        tm.simulate(GAME, opt, 3, engine=engine)


def test_fields_of_a_step_have_no_effect_and_a_rule_that_has_gone_is_said():
    with pytest.raises(tm.InputError, match=r"beta1=0\.5 has no effect on 'momentum'"):
        OwnRule(0.1, 0.1, momentum, beta1=0.5)
    with pytest.raises(tm.InputError, match="granularity='layer' has no effect"):
        OwnRule(0.1, 0.1, momentum, granularity="layer")
    saved = OwnRule(0.1, 0.1, momentum).to_dict()
    assert rule_from_dict(saved) == OwnRule(0.1, 0.1, momentum)
    saved["step"]["name"] = "test_own_rules.gone"
    with pytest.raises(tm.InputError, match=r"its step test_own_rules\.gone cannot"):
        rule_from_dict(saved)
    assert rule_from_dict(tm.optimizer("sgda", eta_D=1, eta_G=1).to_dict()).name in RULES
