import math
from dataclasses import replace

import pytest

import twomode as tm
from twomode.rules import SCHEDULES, Stage

GAME = tm.Game.preset(256)


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
        ({"anchor": -1}, "anchor=-1 must be a finite number and at least 0"),
        ({"anchor": math.nan}, "anchor=nan must be a finite number"),
        ({"correction": "SGA"}, "unknown correction 'SGA': did you mean sga"),
        ({"correction_weight": math.inf}, "correction_weight=inf must be a finite number"),
        ({"decay_D": -0.1}, r"decay_D=-0\.1 must lie in \[0, 1\]"),
        ({"decay_G": 1.5}, r"decay_G=1\.5 must lie in \[0, 1\]"),
        ({"decay_D": math.nan}, r"decay_D=nan must lie in \[0, 1\]"),
        ({"first_step": "twice"}, "unknown first_step 'twice': choose from plain, double"),
        ({"max_norm": 0}, "max_norm=0 must be"),
        ({"weight_decay": -1}, "weight_decay=-1 must be a finite number and at least 0"),
        ({"polar": "exactly"}, "unknown polar 'exactly': did you mean exact"),
        ({"past_scale": "yesterday"}, "unknown past_scale 'yesterday': did you mean today"),
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
        ("????", "choose from .*ada-nsgda"),
    ],
)
def test_unknown_rule_names_the_nearest_ones(name, message):
    with pytest.raises(tm.InputError, match=message):
        tm.optimizer(name, eta_D=1, eta_G=1)


ADAM = {"schedule": "optimistic", "direction": "adam", "past_scale": "today"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"correction_weight": 0.5}, r"correction_weight=0\.5 needs a correction .*, not none"),
        (
            {"correction": "hamiltonian", "correction_weight": 2},
            r"correction_weight=2\.0 needs .*, sga or consensus, not hamiltonian",
        ),
        ({"aligned": False}, "aligned=False .* sga's lambda, and the correction is none"),
        ({"correction": "consensus", "aligned": False}, "the correction is consensus"),
        ({"anchor": 2, "decay_D": 1}, r"anchor=2\.0 pulls .* which is 0 for decay_D=1"),
        ({"anchor": 2, "decay_G": 1}, r"anchor=2\.0 pulls .* which is 0 for decay_G=1"),
        ({"first_step": "double"}, "'double' is about the optimistic schedule, not simultaneous"),
        (
            {"first_step": "double", "schedule": "past-extragradient"},
            "the optimistic schedule, not past-extragradient",
        ),
        ({"past_scale": "today"}, "past_scale='today' .*, not of simultaneous gradient"),
        (ADAM | {"direction": "gradient"}, "not of optimistic gradient with magnitude own"),
        (ADAM | {"schedule": "extragradient"}, "not of extragradient adam with magnitude own"),
        (ADAM | {"nesterov": True}, "past_scale='today' rescales moments, and nesterov=True"),
        ({"nesterov": True}, "nesterov=True has no effect on 'custom': it needs direction"),
        ({"polar": "newton-schulz"}, "polar='newton-schulz' has no effect .* spectral, as muon"),
        ({"max_norm": 2.0}, "max_norm=2.0 has no effect .* clipped, as clipped-sgda has"),
        (ADAM | {"magnitude": "unit"}, "not of optimistic adam with magnitude unit"),
    ],
)
def test_fields_without_an_effect_are_refused(changes, message):
    with pytest.raises(tm.InputError, match=message) as refusal:
        tm.Optimizer(1, 1, **changes)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"correction": "sga", "correction_weight": -0.5, "aligned": False},
        {"correction": "consensus", "correction_weight": 0},
        {"anchor": 2, "decay_D": 0.99},
        {"decay_D": 1, "decay_G": 0},
        {"schedule": "optimistic", "first_step": "double", "magnitude": "unit"},
        ADAM,
        ADAM | {"direction": "momentum"},
    ],
)
def test_fields_with_an_effect_are_accepted(changes):
    opt = tm.Optimizer(1, 1, **changes)
    assert {name: getattr(opt, name) for name in changes} == changes
    assert tm.Optimizer(**opt.to_dict()) == opt


@pytest.mark.parametrize("moment", ["momentum", "adam"])
def test_a_magnitude_needs_its_moments_whatever_the_direction(moment):
    opt = tm.optimizer("sgda", eta_D=1, eta_G=1, magnitude=moment)
    assert opt.uses_first_moment
    assert opt.uses_second_moment == (not opt.equivariant) == (moment == "adam")


BOTH, D, G = (True, True), (True, False), (False, True)


@pytest.mark.parametrize(
    ("schedule", "stages", "updates", "keeps_step", "keeps_base"),
    [
        ("simultaneous", (Stage(*BOTH),), 1, False, False),
        ("alternating-D-first", (Stage(*D), Stage(*G)), 1, False, False),
        ("alternating-G-first", (Stage(*G), Stage(*D)), 1, False, False),
        ("extragradient", (Stage(*BOTH), Stage(*BOTH, back=True)), 2, False, True),
        (
            "past-extragradient",
            (Stage(*BOTH, new=0, old=1), Stage(*BOTH, new=1, back=True)),
            *(1, True, True),
        ),
        ("optimistic", (Stage(*BOTH, new=2, old=-1),), 1, True, False),
    ],
)
def test_stages(schedule, stages, updates, keeps_step, keeps_base):
    opt = tm.Optimizer(1, 1, schedule=schedule)
    assert opt.stages == stages
    assert (opt.updates, opt.keeps_step, opt.keeps_base) == (updates, keeps_step, keeps_base)
    assert sum(stage.looks and stage.G for stage in stages) == updates  # G's moments likewise


def test_only_a_stage_with_a_new_step_looks():
    assert Stage(*BOTH).looks
    assert Stage(*BOTH, new=-1).looks
    assert not Stage(*BOTH, new=0, old=1).looks


@pytest.mark.parametrize(
    ("schedule", "plain", "consensus", "sga"),
    [
        ("simultaneous", (1, 0), (1, 1), (1, 2)),
        # a correction needs both players' gradients for each of the two moves
        ("alternating-D-first", (1, 0), (2, 2), (2, 4)),
        ("alternating-G-first", (1, 0), (2, 2), (2, 4)),
        ("extragradient", (2, 0), (2, 2), (2, 4)),
        ("past-extragradient", (1, 0), (1, 1), (1, 2)),
        ("optimistic", (1, 0), (1, 1), (1, 2)),
    ],
)
def test_cost(schedule, plain, consensus, sga):
    expected = {"none": plain, "consensus": consensus, "hamiltonian": consensus, "sga": sga}
    for correction, cost in expected.items():
        opt = tm.Optimizer(1, 1, schedule=schedule, correction=correction)
        assert opt.cost == cost
        assert (opt.cost.gradients, opt.cost.jacobian_products) == cost
        assert opt.corrected == (correction != "none")


def test_every_schedule_is_tested_here():
    for test in (test_stages, test_cost):
        (table,) = test.pytestmark
        assert [row[0] for row in table.args[1]] == list(SCHEDULES)


def test_step_sizes_decay_by_their_own_powers():
    opt = tm.Optimizer(0.3, 0.2, decay_D=0.5, decay_G=1)
    assert opt.step_sizes(1) == {"D": 0.3, "G": 0.2}
    assert opt.step_sizes(4) == pytest.approx({"D": 0.15, "G": 0.05}, rel=1e-15)
    assert tm.Optimizer(0.3, 0.2).step_sizes(1000) == {"D": 0.3, "G": 0.2}


def test_pulls_of_the_anchor():
    opt = tm.Optimizer(0.3, 0.2, anchor=2, decay_D=0.6, decay_G=0.75)
    assert opt.pulls(1) == pytest.approx({"D": 0.8, "G": 0.5}, rel=1e-15)
    assert opt.pulls(10) == pytest.approx({"D": 0.08, "G": 0.05}, rel=1e-15)
    assert tm.Optimizer(0.3, 0.2, decay_D=0.6).pulls(1) == {"D": 0, "G": 0}
    assert tm.Optimizer(0.3, 0.2, anchor=3).pulls(2) == {"D": 1.5, "G": 1.5}


@pytest.mark.parametrize(
    ("changes", "plain"),
    [
        ({}, True),
        ({"direction": "adam"}, True),
        ({"magnitude": "unit"}, True),
        *(({"schedule": schedule}, schedule == "simultaneous") for schedule in SCHEDULES),
        ({"correction": "sga"}, False),
        ({"anchor": 1}, False),
        ({"decay_D": 0.1}, False),
        ({"decay_G": 0.1}, False),
    ],
)
def test_plain_rules_have_one_stage_and_nothing_else(changes, plain):
    assert tm.Optimizer(1, 1, **changes).plain is plain


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
    longer = 4 ** (1 / (1 - opt.decay_D))  # the sum of eta/t^p over t grows as t^(1-p)
    assert more == pytest.approx(longer * steps, abs=2 * longer)


def distance(opt, steps, player):
    """How far steps of length 1 get, as the sum over all iterations."""
    eta, p = getattr(opt, f"eta_{player}"), getattr(opt, f"decay_{player}")
    return eta * math.fsum(t**-p for t in range(1, steps + 1))


@pytest.mark.parametrize("scale", [0.25, 4.0])
@pytest.mark.parametrize("name", tm.RULES)
def test_longer_steps_are_fewer(name, scale):
    opt, steps = tm.recipe(GAME, name)
    other, number = tm.recipe(GAME, name, step_scale=scale)
    assert number == pytest.approx(steps / scale, abs=5)  # both are rounded up
    assert other.eta_G / other.eta_D == pytest.approx(opt.eta_G / opt.eta_D, rel=1e-12)
    for player, p in (("D", opt.decay_D), ("G", opt.decay_G)):
        before, after = (getattr(x, f"eta_{player}") for x in (opt, other))
        assert after == pytest.approx(scale ** (1 - p) * before, rel=1e-12)
        # all of them together lead as far, but for the rounding of their number
        rounding = 3 / min(steps, number) ** (1 - p)
        assert distance(other, number, player) == pytest.approx(
            distance(opt, steps, player), rel=rounding
        )
    assert replace(other, eta_D=opt.eta_D, eta_G=opt.eta_G) == opt


def test_step_scale_is_about_defaults():
    assert tm.recipe(GAME, "nsgda", step_scale=1.0) == tm.recipe(GAME, "nsgda")
    given = {"eta_D": 0.1, "eta_G": 0.3, "steps": 7}
    assert tm.recipe(GAME, "nsgda", step_scale=4.0, **given) == tm.recipe(GAME, "nsgda", **given)
    opt, steps = tm.recipe(GAME, "nsgda", step_scale=4.0, steps=7)
    assert (opt.eta_D, opt.eta_G, steps) == pytest.approx((0.02, 0.004, 7))


@pytest.mark.parametrize("scale", [0, -1.0, math.nan, math.inf])
def test_unusable_step_scales(scale):
    with pytest.raises(tm.InputError, match=r"step_scale=.* must be positive"):
        tm.recipe(GAME, "sgda", step_scale=scale)


@pytest.mark.parametrize("p", [0.25, 0.6, 0.9])
@pytest.mark.parametrize("name", ["sgda", "nsgda", "adam"])
def test_decaying_steps_lead_as_far_as_constant_ones(name, p):
    opt, steps = tm.recipe(GAME, name)
    both, number = tm.recipe(GAME, name, decay_D=p, decay_G=p)
    assert number == pytest.approx(steps, abs=2)
    assert both.eta_G / both.eta_D == pytest.approx(opt.eta_G / opt.eta_D, rel=1e-12)
    # a sum over t of t^-p is zeta(p) away from its integral
    away = 10 * steps ** (p - 1)
    for player in "DG":
        assert distance(both, number, player) == pytest.approx(
            distance(opt, steps, player), rel=min(0.9, away)
        )
    # eta (1 + 2^-p + ...) ~ eta T^(1-p)/(1-p)
    assert both.eta_D == pytest.approx(opt.eta_D * (1 - p) * number**p, rel=1e-2)


@pytest.mark.parametrize("player", "DG")
def test_one_player_may_decay_alone(player):
    opt, steps = tm.recipe(GAME, "nsgda")
    other, number = tm.recipe(GAME, "nsgda", **{f"decay_{player}": 0.5})
    assert number == pytest.approx(steps, abs=2)
    still = "G" if player == "D" else "D"
    assert getattr(other, f"eta_{still}") == getattr(opt, f"eta_{still}")
    assert distance(other, number, player) == pytest.approx(distance(opt, steps, player), rel=0.05)
    assert getattr(other, f"eta_{player}") > 10 * getattr(opt, f"eta_{player}")


@pytest.mark.parametrize("name", ["sgda", "nsgda"])
@pytest.mark.parametrize("players", ["D", "G", "DG"])
def test_steps_that_decay_as_1_over_t_lead_as_far(name, players):
    opt, steps = tm.recipe(GAME, name)
    other, number = tm.recipe(GAME, name, **{f"decay_{player}": 1.0 for player in players})
    assert number == pytest.approx(steps, rel=2e-3)
    for player in "DG":
        assert distance(other, number, player) == pytest.approx(
            distance(opt, steps, player), rel=2e-3
        )


def test_anchored_rules_have_decaying_steps():
    opt, steps = tm.recipe(GAME, "anchored")
    plain, same = tm.recipe(GAME, "sgda")
    assert (opt.decay_D, opt.decay_G, opt.anchor) == (0.6, 0.6, 2.0)
    assert steps == pytest.approx(same, abs=2)
    assert opt.eta_D == pytest.approx(plain.eta_D * 0.4 * same**0.6, rel=1e-2)


@pytest.mark.parametrize("beta1", [-0.5, -0.9, 0.0, 0.5, 0.9])
def test_heavy_balls(beta1):
    """Its steps add up to 1/(1 - beta1) of a plain one; only a positive beta1 shortens them."""
    opt, steps = tm.recipe(GAME, "sgda-momentum", beta1=beta1)
    plain, same = tm.recipe(GAME, "sgda")
    assert opt.eta_D == pytest.approx(plain.eta_D * (1 - max(0, beta1)) ** 2, rel=1e-12)
    assert opt.eta_G / opt.eta_D == pytest.approx(math.log(256), rel=1e-12)
    led = opt.eta_D * steps / (1 - beta1)  # as far as plain steps
    assert led == pytest.approx(plain.eta_D * same, rel=2 / same)


@pytest.mark.parametrize("name", ["negative-momentum", "negative-momentum-nsgda"])
def test_negative_momentum_has_the_steps_of_its_base(name):
    opt, steps = tm.recipe(GAME, name)
    base, same = tm.recipe(GAME, tm.RULES[name].base)
    assert opt.beta1 == -0.5
    assert (opt.eta_D, opt.eta_G) == (base.eta_D, base.eta_G)
    assert steps == pytest.approx((1.5 if opt.heavy_ball else 1) * same, abs=2)


@pytest.mark.parametrize("name", ["ttur", "ttur-nsgda", "ttur-adam"])
@pytest.mark.parametrize("d", [16, 256, 2**20])
def test_a_rule_about_the_ratio_has_its_own(name, d):
    game, base = tm.Game.preset(d), tm.RULES[name].base
    opt, steps = tm.recipe(game, name)
    assert opt.eta_G == pytest.approx(tm.RULES[name].ratio * opt.eta_D, rel=1e-14)
    assert 0 < opt.eta_G < opt.eta_D
    assert (opt.eta_D, steps) == (tm.recipe(game, base).opt.eta_D, tm.recipe(game, base).steps)
    with pytest.raises(tm.InputError, match=f"{name} needs eta_D > eta_G"):
        tm.recipe(game, name, eta_G=2 * opt.eta_D)
    assert {n for n, rule in tm.RULES.items() if rule.ratio} == {"ttur", "ttur-nsgda", "ttur-adam"}


def test_recipe_keeps_what_is_given():
    opt, steps = tm.recipe(GAME, "nsgda", eta_D=0.1, eta_G=0.3, steps=7, granularity="layer")
    assert (opt.eta_D, opt.eta_G, steps, opt.granularity) == (0.1, 0.3, 7, "layer")
    assert tm.recipe(GAME, "nsgda", eta_G=0.3).opt.eta_D == 0.005


def test_recipe_without_a_time_scale_asks_for_steps():
    flat = tm.Game.preset(256, a=0)
    with pytest.raises(tm.InputError, match=r"a=0.0 leaves no time scale.*give steps"):
        tm.recipe(flat, "sgda")
    with pytest.raises(tm.InputError, match=r"eta_D=0.0 with .*give steps"):
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
