"""The named rules: each entry's fields, words and cost."""

from dataclasses import fields, replace

import pytest
from recurrences import ROWS

import twomode as tm
from twomode.rules import Cost, NamedRule

#: The methods for games, each with its name on normalized gradients and with Adam.
METHODS = {
    "alternating": ("alternating-nsgda", "alternating-adam"),
    "ttur": ("ttur-nsgda", "ttur-adam"),
    "extragradient": ("extragradient-nsgda", "extra-adam"),
    "past-extragradient": ("past-extragradient-nsgda", "past-extra-adam"),
    "optimistic": ("optimistic-nsgda", "optimistic-adam"),
    "negative-momentum": ("negative-momentum-nsgda", "negative-momentum-adam"),
    "sga": ("sga-nsgda", "sga-adam"),
    "consensus": ("consensus-nsgda", "consensus-adam"),
    "hamiltonian": ("hamiltonian-nsgda", "hamiltonian-adam"),
    "anchored": ("anchored-nsgda", "anchored-adam"),
}
#: The talk's own rules: direction, magnitude and, where the rule has norms, granularity.
TALK = {
    "sgda": ("gradient", "own", None),
    "sgda-momentum": ("momentum", "own", None),
    "nsgda": ("gradient", "unit", "neuron"),
    "l-nsgda": ("gradient", "unit", "layer"),
    "g-nsgda": ("gradient", "unit", "global"),
    "nsgda-momentum": ("momentum", "unit", "neuron"),
    "adam": ("adam", "own", None),
    "adalr": ("momentum", "adam", "layer"),
    "adadir": ("adam", "momentum", "layer"),
    "ada-nsgda": ("gradient", "constant", "layer"),
}
#: Every row that the tables above name: what is said of rules in general is said of these.
LISTED = {*TALK, *METHODS, *(name for rows in METHODS.values() for name in rows)}


def make(name, **changes):
    """A rule with step sizes that every rule takes."""
    return tm.optimizer(name, eta_D=0.2, eta_G=0.1, **changes)


def test_the_talks_methods_are_there():
    assert tm.RULES.keys() >= LISTED


def test_every_rule_has_its_recurrence():
    """The one table of the tests that holds all rules: a new rule needs its row there."""
    missing, unknown = tm.RULES.keys() - ROWS.keys(), ROWS.keys() - tm.RULES.keys()
    assert not missing, f"ROWS of tests/recurrences.py needs a row for {', '.join(missing)}"
    assert not unknown, f"ROWS of tests/recurrences.py has rows for no rule: {', '.join(unknown)}"


@pytest.mark.parametrize("name", tm.RULES)
def test_every_rule_builds_and_names_its_formula_and_source(name):
    rule, opt = tm.RULES[name], make(name)
    assert (opt.name, opt.eta_D, opt.eta_G) == (name, 0.2, 0.1)
    assert {field: getattr(opt, field) for field in rule.fields} == rule.fields
    default = tm.Optimizer(0.2, 0.1, name=name)
    others = [f.name for f in fields(opt) if f.name not in rule.fields]
    assert all(getattr(opt, field) == getattr(default, field) for field in others)
    for words in (rule.formula, rule.source):
        assert words == words.strip() != ""
        assert "\n" not in words
    assert tm.Optimizer(**opt.to_dict()) == opt


def test_no_two_rules_are_the_same():
    """But for the ratio of their step sizes."""
    rules = [(replace(make(name), name="any"), rule.ratio) for name, rule in tm.RULES.items()]
    assert len(set(rules)) == len(rules)
    for name, base in {"ttur": "sgda", "ttur-nsgda": "nsgda", "ttur-adam": "adam"}.items():
        assert replace(make(name), name="any") == replace(make(base), name="any")


@pytest.mark.parametrize(("name", "expected"), TALK.items())
def test_rules_are_the_talks(name, expected):
    opt, (direction, magnitude, granularity) = make(name), expected
    assert (opt.direction, opt.magnitude) == (direction, magnitude)
    assert granularity in (None, opt.granularity)  # a step of its own length has no blocks
    assert opt.plain


@pytest.mark.parametrize("method", METHODS)
def test_methods_have_their_normalized_and_their_adam_row(method):
    normalized, adam = (make(name) for name in METHODS[method])
    plain = make(method)
    momentum = method == "negative-momentum"
    assert (plain.direction, plain.magnitude) == ("momentum" if momentum else "gradient", "own")
    assert (normalized.direction, normalized.magnitude) == (plain.direction, "unit")
    assert normalized.granularity == "neuron"
    assert (adam.direction, adam.magnitude) == ("adam", "own")
    kept = ("schedule", "correction", "anchor", "decay_D", "decay_G", "beta1")
    for field in kept:
        assert getattr(normalized, field) == getattr(adam, field) == getattr(plain, field)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("alternating", {"schedule": "alternating-G-first"}),
        ("extragradient", {"schedule": "extragradient"}),
        ("past-extragradient", {"schedule": "past-extragradient"}),
        ("optimistic", {"schedule": "optimistic", "first_step": "plain", "past_scale": "own"}),
        ("negative-momentum", {"schedule": "alternating-G-first", "beta1": -0.5}),
        ("sga", {"correction": "sga", "correction_weight": 1, "aligned": True}),
        ("consensus", {"correction": "consensus", "correction_weight": 1}),
        ("hamiltonian", {"correction": "hamiltonian"}),
        ("anchored", {"anchor": 2, "decay_D": 0.6, "decay_G": 0.6}),  # p in (1/2, 1), gamma >= 2
    ],
)
def test_methods_have_their_defaults(method, expected):
    for name in (method, *METHODS[method]):
        opt = make(name)
        assert {field: getattr(opt, field) for field in expected} == expected


def test_negative_momentum_is_a_heavy_ball():
    assert make("negative-momentum").heavy_ball
    assert not make("negative-momentum-adam").heavy_ball


@pytest.mark.parametrize("name", ROWS)
def test_cost(name):
    assert tm.RULES[name].cost == make(name).cost == Cost(*ROWS[name].cost)


@pytest.mark.parametrize(
    ("flag", "names"),
    [
        (
            "uses_first_moment",
            {
                *("sgda-momentum", "nsgda-momentum", "adam", "adalr", "adadir"),
                *("negative-momentum", "negative-momentum-nsgda"),
                *(adam for _, adam in METHODS.values()),
            },
        ),
        (
            "uses_second_moment",
            {"adam", "adalr", "adadir", *(adam for _, adam in METHODS.values())},
        ),
        (
            "uses_norms",
            {
                *("nsgda", "l-nsgda", "g-nsgda", "nsgda-momentum"),
                *("adalr", "adadir", "ada-nsgda"),
                *(normalized for normalized, _ in METHODS.values()),
            },
        ),
    ],
)
def test_flags(flag, names):
    assert {name for name in LISTED if getattr(make(name), flag)} == names


@pytest.mark.parametrize("name", tm.RULES)
def test_rules_without_second_moments_are_equivariant(name):
    assert make(name).equivariant == (not make(name).uses_second_moment)


# Two time-scale updates


@pytest.mark.parametrize("name", ["ttur", *METHODS["ttur"]])
@pytest.mark.parametrize(("eta_D", "eta_G"), [(0.1, 0.1), (0.1, 0.2), (0.0, 0.1)])
def test_ttur_refuses_a_discriminator_that_is_not_faster(name, eta_D, eta_G):
    message = f"{name} needs eta_D > eta_G, and eta_D={eta_D!r}, eta_G={eta_G!r}"
    with pytest.raises(tm.InputError, match=message) as refusal:
        tm.optimizer(name, eta_D=eta_D, eta_G=eta_G)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["ttur", *METHODS["ttur"]])
def test_ttur_has_a_ratio_below_one(name):
    assert 0 < tm.RULES[name].ratio < 1
    assert tm.optimizer(name, eta_D=0.1, eta_G=0.0999).eta_G == 0.0999


def test_only_ttur_has_a_time_scale_of_its_own():
    timed = {name for name in LISTED if tm.RULES[name].ratio is not None}
    assert timed == {"ttur", *METHODS["ttur"]}
    assert NamedRule({}, "formula", "source").ratio is None


# Names and changes


def test_any_rule_takes_any_schedule():
    opt = make("consensus-adam", schedule="extragradient", correction_weight=0.5, beta1=-0.5)
    assert (opt.direction, opt.correction, opt.schedule) == ("adam", "consensus", "extragradient")
    assert opt.cost == (2, 2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("extraadam", "did you mean extra-adam"),
        ("ogda", "unknown optimizer 'ogda': did you mean"),
        ("past_extragradient", "did you mean past-extragradient"),
        ("optimistic_adam", "did you mean optimistic-adam"),
    ],
)
def test_unknown_methods_name_the_nearest_ones(name, message):
    with pytest.raises(tm.InputError, match=message):
        tm.optimizer(name, eta_D=1, eta_G=1)
