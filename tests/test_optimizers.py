import math
from dataclasses import replace

import pytest

import twomode as tm

GAME = tm.Game.preset(256)


@pytest.mark.parametrize("name", tm.RULES)
def test_every_rule_builds_and_names_its_formula_and_source(name):
    rule = tm.RULES[name]
    opt = tm.optimizer(name, eta_D=0.1, eta_G=0.2)
    assert (opt.name, opt.eta_D, opt.eta_G) == (name, 0.1, 0.2)
    assert {field: getattr(opt, field) for field in rule.fields} == rule.fields
    assert rule.formula
    assert rule.source
    assert tm.Optimizer(**opt.to_dict()) == opt


@pytest.mark.parametrize(
    ("name", "direction", "magnitude", "granularity"),
    [
        ("sgda", "gradient", "own", None),
        ("sgda-momentum", "momentum", "own", None),
        ("nsgda", "gradient", "unit", "neuron"),
        ("l-nsgda", "gradient", "unit", "layer"),
        ("g-nsgda", "gradient", "unit", "global"),
        ("nsgda-momentum", "momentum", "unit", "neuron"),
        ("adam", "adam", "own", None),
        ("adalr", "momentum", "adam", "layer"),
        ("adadir", "adam", "momentum", "layer"),
        ("ada-nsgda", "gradient", "constant", "layer"),
    ],
)
def test_rules_are_the_talks(name, direction, magnitude, granularity):
    opt = tm.optimizer(name, eta_D=1, eta_G=1)
    assert (opt.direction, opt.magnitude) == (direction, magnitude)
    if granularity:  # a rule with its own length has no blocks
        assert opt.granularity == granularity


def test_rule_fields_can_be_replaced():
    opt = tm.optimizer("adam", eta_D=1, eta_G=1, beta1=0.5, schedule="alternating-D-first")
    assert (opt.direction, opt.beta1, opt.schedule) == ("adam", 0.5, "alternating-D-first")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eta_D": -1}, "eta_D=-1 must be a finite number and at least 0"),
        ({"eta_G": math.inf}, "eta_G=inf must be a finite number"),
        ({"eps": math.nan}, "eps=nan must be a finite number"),
        ({"norm_eps": -0.5}, r"norm_eps=-0\.5 must be a finite number"),
        ({"constant": -2}, "constant=-2 must be a finite number"),
        ({"beta1": 1}, r"beta1=1 must lie in \(-1, 1\)"),
        ({"beta1": -1.0}, r"beta1=-1\.0 must lie in \(-1, 1\)"),
        ({"beta2": 1.0}, r"beta2=1\.0 must lie in \[0, 1\)"),
        ({"beta2": -0.1}, r"beta2=-0\.1 must lie in \[0, 1\)"),
        ({"direction": "gradients"}, "unknown direction 'gradients': did you mean gradient"),
        ({"magnitude": "units"}, "unknown magnitude 'units': did you mean unit"),
        ({"granularity": "neurons"}, "unknown granularity 'neurons': did you mean neuron"),
        ({"schedule": "alternating"}, "unknown schedule 'alternating': did you mean alternating-"),
        ({"momentum": 0.9}, "Optimizer has no field momentum"),
    ],
)
def test_bad_fields_are_refused_by_name(changes, message):
    with pytest.raises(tm.InputError, match=message):
        tm.optimizer("sgda", **({"eta_D": 1, "eta_G": 1} | changes))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("adma", "unknown optimizer 'adma': did you mean adam"),
        ("nsgd", "unknown optimizer 'nsgd': did you mean .*nsgda"),
        ("????", "choose from sgda, .*ada-nsgda"),
    ],
)
def test_unknown_rule_names_the_nearest_ones(name, message):
    with pytest.raises(tm.InputError, match=message):
        tm.optimizer(name, eta_D=1, eta_G=1)


@pytest.mark.parametrize(
    ("flag", "names"),
    [
        ("uses_first_moment", {"sgda-momentum", "nsgda-momentum", "adam", "adalr", "adadir"}),
        ("uses_second_moment", {"adam", "adalr", "adadir"}),
        ("equivariant", tm.RULES.keys() - {"adam", "adalr", "adadir"}),
        ("uses_norms", tm.RULES.keys() - {"sgda", "sgda-momentum", "adam"}),
    ],
)
def test_flags(flag, names):
    assert {name for name in tm.RULES if getattr(tm.optimizer(name, eta_D=1, eta_G=1), flag)} == (
        names
    )


@pytest.mark.parametrize("moment", ["momentum", "adam"])
def test_a_magnitude_needs_its_moments_whatever_the_direction(moment):
    opt = tm.optimizer("sgda", eta_D=1, eta_G=1, magnitude=moment)
    assert opt.uses_first_moment
    assert opt.uses_second_moment == (not opt.equivariant) == (moment == "adam")


@pytest.mark.parametrize(
    ("schedule", "turns"),
    [
        ("simultaneous", ("DG",)),
        ("alternating-D-first", ("D", "G")),
        ("alternating-G-first", ("G", "D")),
    ],
)
def test_turns(schedule, turns):
    opt = tm.optimizer("sgda", eta_D=1, eta_G=1, schedule=schedule)
    assert opt.turns == tuple(("D" in players, "G" in players) for players in turns)


@pytest.mark.parametrize(
    ("granularity", "sizes"),
    [
        ("neuron", {"W": 10, "b": 1, "V": 10}),
        ("layer", {"W": 30, "b": 1, "V": 20}),
        ("global", {"W": 31, "b": 31, "V": 20}),
    ],
)
def test_block_sizes(granularity, sizes):
    opt = tm.optimizer("ada-nsgda", eta_D=1, eta_G=1, granularity=granularity, constant=0.5)
    assert opt.block_sizes(d=10, m_D=3, m_G=2) == sizes
    assert opt.block_length(16) == 2


@pytest.mark.parametrize("t", [1, 2, 10, 1000])
@pytest.mark.parametrize("beta1", [0.9, 0.0, -0.5])
def test_moment_scales(t, beta1):
    def scales(**switches):
        opt = tm.optimizer("adam", eta_D=1, eta_G=1, beta1=beta1, beta2=0.99, **switches)
        return opt.moment_scales(t)

    second = 1 / (1 - 0.99**t)
    assert scales() == pytest.approx((1 / (1 - beta1**t), second), rel=1e-14)
    assert scales(heavy_ball=True) == pytest.approx((1 / (1 - beta1), second), rel=1e-14)
    assert scales(bias_correction=False) == (1, 1)
    assert scales(bias_correction=False, heavy_ball=True)[1] == 1


def test_scaled_moments_of_known_gradients():
    gradients = [1.0, -2.0, 0.5, 3.0]
    unbiased = tm.optimizer("adam", eta_D=1, eta_G=1)
    polyak = tm.optimizer("sgda-momentum", eta_D=1, eta_G=1)
    M = S = constant = velocity = 0.0
    for t, g in enumerate(gradients, start=1):
        M = 0.9 * M + 0.1 * g
        S = 0.999 * S + 0.001 * g**2
        constant = 0.9 * constant + 0.1 * 7.0
        velocity = g + 0.9 * velocity  # (theta - theta_before)/eta of a heavy ball
        mean, mean_square = unbiased.moment_scales(t)
        assert mean * constant == pytest.approx(7, rel=1e-13)
        weights = [0.999 ** (t - k) for k in range(1, t + 1)]
        weighted = sum(w * x**2 for w, x in zip(weights, gradients[:t], strict=True))
        assert mean_square * S == pytest.approx(weighted / sum(weights), rel=1e-12)
        assert polyak.moment_scales(t)[0] * M == pytest.approx(velocity, rel=1e-13)


@pytest.mark.parametrize(
    ("name", "eta_D", "ratio", "steps"),
    [
        ("sgda", 0.2, math.log(256), math.ceil(3 * 16 * math.log(256) / 0.2)),
        ("sgda-momentum", 0.002, math.log(256), math.ceil(0.3 * 16 * math.log(256) / 0.002)),
        ("adadir", 0.2, math.log(256), math.ceil(3 * 16 * math.log(256) / 0.2)),
        ("nsgda", 0.005, 0.2, 5000),
        ("g-nsgda", 0.005, 0.2, 5000),
        ("nsgda-momentum", 0.005, 0.2, 5000),
        ("adam", 0.005 / 16, 0.2, 5000),
        ("adalr", 0.005 / 16, 0.2, 5000),
        ("ada-nsgda", 0.005 / 16, 0.2, 5000),
    ],
)
def test_recipe_follows_its_table(name, eta_D, ratio, steps):
    opt, chosen_steps = tm.recipe(GAME, name)
    assert (opt.eta_D, opt.eta_G) == pytest.approx((eta_D, ratio * eta_D), rel=1e-14)
    assert chosen_steps == pytest.approx(steps, abs=1)  # rounding may carry over a whole number
    assert replace(opt, eta_D=1, eta_G=1) == tm.optimizer(name, eta_D=1, eta_G=1)


@pytest.mark.parametrize(
    ("name", "eta_D", "ratio"),
    [
        ("sgda", 0.2 / math.sqrt(2), math.log(4096)),
        ("nsgda", 0.005, 0.2),
        ("adam", 0.005 / 64, 0.2),
    ],
)
def test_recipe_scales_with_d(name, eta_D, ratio):
    opt, _ = tm.recipe(tm.Game.preset(4096), name)
    assert (opt.eta_D, opt.eta_G) == pytest.approx((eta_D, ratio * eta_D), rel=1e-14)


@pytest.mark.parametrize("name", tm.RULES)
def test_recipe_follows_a_given_eta_D(name):
    opt, steps = tm.recipe(GAME, name)
    slower, more = tm.recipe(GAME, name, eta_D=opt.eta_D / 4)
    assert slower.eta_D == opt.eta_D / 4
    assert slower.eta_G == pytest.approx(opt.eta_G / 4, rel=1e-14)
    assert more == pytest.approx(4 * steps, abs=4)


def test_recipe_keeps_what_is_given():
    opt, steps = tm.recipe(GAME, "nsgda", eta_D=0.1, eta_G=0.3, steps=7, granularity="layer")
    assert (opt.eta_D, opt.eta_G, steps, opt.granularity) == (0.1, 0.3, 7, "layer")
    assert tm.recipe(GAME, "nsgda", eta_G=0.3).opt.eta_D == 0.005


def test_recipe_without_a_time_scale_asks_for_steps():
    flat = tm.Game.preset(256, a=0)
    with pytest.raises(tm.InputError, match=r"a=0.0 leaves no time scale.*give steps"):
        tm.recipe(flat, "sgda")
    with pytest.raises(tm.InputError, match=r"eta_D=0 with .*give steps"):
        tm.recipe(GAME, "nsgda", eta_D=0)
    assert tm.recipe(flat, "sgda", steps=3).steps == 3
    assert tm.recipe(GAME, "nsgda", eta_D=0, steps=3).opt.eta_D == 0
    assert tm.recipe(flat, "nsgda").steps == 5000  # unit steps take their time whatever a is


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "sdga"}, "unknown optimizer 'sdga': did you mean .*sgda"),
        ({"name": "sgda", "momentum": 1}, "no field momentum"),
        ({"name": "sgda", "eta_D": -1.0}, r"eta_D=-1\.0 must be a finite number"),
    ],
)
def test_recipe_refuses_what_the_optimizer_refuses(arguments, message):
    with pytest.raises(tm.InputError, match=message):
        tm.recipe(GAME, **arguments)
