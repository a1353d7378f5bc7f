"""Proofs by ball arithmetic: enclosures hold, planted errors show, certificates prove again."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import proof_oracles as oracle
import pytest
from flint import arb
from scipy import stats

import twomode as tm
from twomode import theory
from twomode.__main__ import main
from twomode.game import all_latents, binary_vectors
from twomode.proofs import balls, bounds, instances, outputs
from twomode.proofs.balls import bits_of_precision, exactly, widened
from twomode.proofs.instances import Enclosed, Instance

#: Lambda is so small, and the start so large, that both parts of the activation are visited.
GAME = tm.Game(
    d=64, m_D=2, m_G=3, gamma=0.25, a=1.0, lam=0.5, clip=0.6, latents=tm.SparsePairs(0.125)
)
STEPS, ETA_D, ETA_G = 6, 0.3, 0.1
RULES = {
    "sgda": ({}, {}),
    "sgda-momentum": ({"beta1": 0.75}, {"beta": 0.75}),
    "nsgda": ({}, {"blocks": "neuron"}),
    "l-nsgda": ({}, {"blocks": "layer"}),
    "g-nsgda": ({}, {"blocks": "player"}),
    "alternating": ({}, {"schedule": "alternating"}),
    "extragradient": ({}, {"schedule": "extragradient"}),
    "past-extragradient": ({}, {"schedule": "past-extragradient"}),
    "optimistic": ({}, {"schedule": "optimistic"}),
    "optimistic-nsgda": ({}, {"schedule": "optimistic", "blocks": "neuron"}),
    "anchored": (
        {"anchor": 0.5, "decay_D": 0.25, "decay_G": 0.25},
        {"anchor": 0.5, "decay": 0.25},
    ),
}

#: All that have neither a preferred basis nor singular values, which balls have not.
PROVABLE = [
    name
    for name, rule in ((name, tm.rules.named_rule(name)) for name in tm.RULES)
    if rule.equivariant and not (rule.spectral and rule.polar == "exact")
]


def start_of(game=GAME, seed=1, std_W=0.5, std_V=0.4):
    rng = np.random.default_rng(seed)
    drawn = tm.GaussianStart(std_W, std_V, bias=0.125).draw_reduced(game, rng)
    return instances.in_reduced_form(game, drawn)


def enclosures(name="sgda", radius=0.0, bits=128, start=None):
    """The states of a run of balls, {W, b, V} as lists of rows."""
    opt = tm.optimizer(name, eta_D=ETA_D, eta_G=ETA_G, **RULES[name][0])
    with bits_of_precision(bits):
        run = Enclosed(Instance(GAME, opt, start or start_of(), radius))
        found = []
        for _ in range(STEPS + 1):
            state = run.state
            found.append({"W": state.W[0], "V": state.V[0], "b": state.b[:, None]})
            run.step()
        return found


def oracles(name="sgda", digits=50, start=None):
    start = start or start_of()
    given = {"W": start.W.tolist(), "V": start.V.tolist(), "b": [[float(start.b)]]}
    game = (GAME.gamma, GAME.a, GAME.lam, GAME.clip, GAME.latent_points, GAME.data_points)
    return oracle.run(game, given, ETA_D, ETA_G, STEPS, digits, **RULES[name][1])


def contained(found, wanted):
    """Whether every enclosure, at every iteration, contains the number of the oracle."""
    return all(
        ball.contains(balls.ball(oracle.exact(x)))
        for balls_then, then in zip(found, wanted, strict=True)
        for name in ("W", "V", "b")
        for row, numbers in zip(balls_then[name], then[name], strict=True)
        for ball, x in zip(row, numbers, strict=True)
    )


@pytest.mark.parametrize("name", RULES)
def test_enclosures_contain_a_loop_in_fifty_and_two_hundred_digits(name):
    found = enclosures(name)
    for digits in (50, 200):
        with bits_of_precision(1000):
            assert contained(found, oracles(name, digits))
    assert max(float(x.rad()) for x in found[-1]["V"].flat) < 1e-25  # and say something


def test_both_parts_of_the_activation_are_visited():
    W, V = (enclosures()[-1][name].astype(float) for name in "WV")
    z = abs(W @ V.T)
    assert z.min() < GAME.clip < z.max()


def corners(start, radius):
    """Three corners of a box."""
    rng = np.random.default_rng(0)
    for _ in range(3):
        corner = {
            name: getattr(start, name)
            * (1 + radius * rng.choice([-1, 1], getattr(start, name).shape))
            for name in ("W", "V", "b")
        }
        yield tm.State(**corner, U=start.U)


def test_a_box_contains_the_runs_from_its_corners():
    radius = 1e-6
    found = enclosures("sgda", radius)
    for corner in corners(start_of(), radius):
        with bits_of_precision(1000):
            assert contained(found, oracles(start=corner))
    assert not contained(enclosures("sgda", radius / 10), oracles(start=corner))


# Planted errors


def test_a_lost_radius_is_noticed(monkeypatch):
    product = balls._Library.matmul

    def without_radius(x, y):
        found = product(x, y)
        return balls._elementwise(lambda z: z.mid())(found)

    monkeypatch.setattr(balls._Library, "matmul", staticmethod(without_radius))
    found = enclosures()
    with bits_of_precision(1000):
        assert not contained(found, oracles(digits=200))


def hulls_hold():
    """What straddles a kink is the hull of both parts: 0.35 to 1.05 here, and 0.6 is between."""
    x = widened(exactly([0.7]), 0.5)
    library = x.__array_namespace__()
    clipped, chosen = library.clip(x, -0.6, 0.6)[0], library.where(x >= 0.6, x, -x)[0]
    return all(
        found.contains(arb(point))
        for found, point in ((clipped, 0.4), (clipped, 0.6), (chosen, -0.4), (chosen, 1.0))
    )


def test_a_choice_by_midpoints_is_noticed(monkeypatch):
    assert hulls_hold()
    for name, planted in (
        ("clip", lambda x, low, high: x if low < x.mid() < high else arb(high)),
        ("where", lambda condition, x, y: x if condition else y),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(balls._Library, name, staticmethod(balls._function(planted, 3)))
            assert not hulls_hold()
    with monkeypatch.context() as patch:
        patch.setattr(balls, "_at_most", lambda x, y: bool(arb(x).mid() <= arb(y).mid()))
        assert not hulls_hold()


@pytest.mark.parametrize("sign", [-1, 1])
def test_functions_of_balls_contain_those_of_their_points(sign):
    rng = np.random.default_rng(0)
    middle, share = sign * rng.uniform(0.1, 2, 40), 0.3
    x = widened(exactly(middle), share)
    library = x.__array_namespace__()
    points = middle * (1 + share * rng.uniform(-1, 1, 40))

    def stack(numbers):
        return numbers.reshape(5, 2, 2, 2)

    for found, exact_values in (
        (library.exp(x), np.exp(points)),
        (library.abs(x), abs(points)),
        (library.clip(x, -0.6, 0.6), np.clip(points, -0.6, 0.6)),
        (library.minimum(x, library.zeros_like(x)), np.minimum(points, 0)),
        (library.maximum(x, library.zeros_like(x)), np.maximum(points, 0)),
        (library.where(x >= 0.6, x, -x), np.where(points >= 0.6, points, -points)),
        (library.sum(x), points.sum()),
        (library.sign(x), np.sign(points)),
        (library.max(stack(x), axis=(-2, -1)), stack(points).max(axis=(-2, -1))),
        (library.matmul(x[:4].reshape(2, 2), stack(x)), points[:4].reshape(2, 2) @ stack(points)),
        (library.matmul(stack(x), x[:4].reshape(2, 2)), stack(points) @ points[:4].reshape(2, 2)),
    ):
        low, high = (np.vectorize(lambda y, k=k: balls.bounds(y)[k])(found) for k in (0, 1))
        assert (low <= exact_values + 1e-12).all()
        assert (exact_values - 1e-12 <= high).all()


def test_comparisons_are_certain_or_neither():
    x = widened(exactly([1.0, 1.0, 1.0]), 0.5)
    assert (x >= 0.4).tolist() == [True] * 3
    assert (x > 1.6).tolist() == [False] * 3
    assert (x <= 1.2).tolist() == [None] * 3
    assert (x == 1.0).tolist() == [None] * 3
    assert (exactly([1.0]) == 1.0).tolist() == [True]


# The same run as the engine's


@pytest.mark.parametrize("name", PROVABLE)
def test_every_equivariant_rule_runs_on_balls(name):
    game = tm.Game.preset(64, m_D=2, m_G=2)
    opt = tm.recipe(game, name).opt
    start = tm.runs.draw_start(
        game, tm.GaussianStart(), np.random.SeedSequence(3), [0], reduced=True
    )
    result = tm.simulate(game, opt, 4, start=start, engine="array", record_every=1)
    with bits_of_precision(128):
        run = Enclosed(Instance(game, opt, instances.in_reduced_form(game, start.replica(0)), 0.0))
        run.advance(4)
        for layer in "WV":
            found = getattr(run.state, layer).astype(float)
            assert np.allclose(found, getattr(result.state, layer), rtol=1e-9, atol=1e-15)
        peaks = run.peak_grad_norms.astype(float)
    assert np.allclose(peaks[0], result.peak_grad_norms[0, -1], rtol=1e-9)


def test_laws_are_exact():
    for law in (tm.SparsePairs(0.1), tm.Bernoulli(0.3)):
        support, probabilities = instances.exact_law(law.points(4))
        assert sum(probabilities) == 1
        assert np.allclose([float(p) for p in probabilities], law.points(4)[1], rtol=1e-15)
        assert len(support) == len(probabilities)


# Every latent


def rows_of(V, game, radius=0.0):
    with bits_of_precision(128):
        U = exactly(instances._modes(game, V.shape[1]))
        U[1, 1] = (1 - balls.ball(game.gamma) ** 2).sqrt()
        state = tm.State(U[None], widened(exactly(V), radius)[None], exactly([0.0]), U[None])
        return outputs.Rows(game, state)


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e120])
def test_the_largest_asymmetry_is_that_over_every_latent(scale):
    game = tm.Game.preset(256)
    rng = np.random.default_rng(2)
    V = scale * rng.standard_normal((5, game.m_G, 14)) * np.linspace(1, 3, 5)[:, None, None]
    V[:, :, 0] += scale * 4
    with bits_of_precision(128):
        seen, every = outputs.LargestAsymmetry(game), []
        for t, v in enumerate(V):
            rows = rows_of(v, game)
            seen.look(t, rows)
            z = all_latents(game.m_G)
            asymmetries = [rows.squared_asymmetry(np.flatnonzero(x)).sqrt() for x in z]
            every.append(max(float(x) for x in asymmetries))
    assert seen.between.low <= max(every) * (1 + 1e-15)
    assert max(every) <= seen.between.high * (1 + 1e-15)
    assert seen.between.high - seen.between.low < 1e-12
    assert seen.where[0] == int(np.argmax(every))
    if scale == 1:
        assert seen.asked < 5 * len(z) / 2  # floats excluded most


def test_what_floats_cannot_exclude_is_asked_of_balls():
    """xi is of the size of rounding: the sums of floats say nothing."""
    game = tm.Game.preset(256)
    V = np.ones((game.m_G, 1)) * instances._modes(game, 14).sum(axis=0)
    V[:, 5] += 1e-12 * np.random.default_rng(0).standard_normal(game.m_G)
    V[:, 1] += 1e-13
    with bits_of_precision(256):
        seen = outputs.LargestAsymmetry(game)
        seen.look(0, rows_of(V, game))
        at_first = seen.asked
        seen.look(1, rows_of(V, game))
    assert at_first == 2**game.m_G - 1
    assert seen.asked > at_first


def test_wide_balls_are_undecided():
    game = tm.Game.preset(64)
    V = np.random.default_rng(0).standard_normal((game.m_G, 12))
    rows, seen = rows_of(V, game, radius=0.9), outputs.LargestAsymmetry(game)
    with pytest.raises(balls.Undecided, match="xi"):
        seen.look(0, rows)


def test_residual_and_coverage_are_those_of_the_outputs():
    game = tm.Game.preset(64, m_G=3)
    rng = np.random.default_rng(1)
    U = instances._modes(game, 10)
    V = U[[0, 1, 1]] + 0.05 * rng.standard_normal((3, 10))
    rows = rows_of(V, game)
    found = tm.Outputs(V @ U.T, V @ V.T, game.gamma, game.latent_points[0])
    with bits_of_precision(128):
        covered = outputs.coverage(game, rows)
        residual = outputs.largest_residual(game, rows)
        toward = outputs.largest_residual(game, rows_of(-V, game))
    assert [low == high for low, high in covered] == [True, True]
    assert np.allclose([float(low) for low, _ in covered], found.coverage(game.latent_points[1]))
    of_all = tm.Outputs(V @ U.T, V @ V.T, game.gamma, binary_vectors(3)[1:])
    assert residual.low <= of_all.residual.max() * (1 + 1e-12)
    assert of_all.residual.max() <= residual.high * (1 + 1e-12)
    assert toward.low == np.inf


def test_bounds_are_those_of_the_cards():
    for d in (16, 4096, 2**40, 2**200):
        game = tm.Game.preset(d)
        for ratio in (0.5, 8.0, 2.0**18):
            opt = tm.optimizer("sgda", eta_D=0.25, eta_G=0.25 * ratio)
            ball, words = bounds.of_asymmetry(game, opt)
            assert float(ball) == pytest.approx(theory.ratio_bound(game, ratio), rel=1e-12)
            one = 0.5 * np.sqrt((1 - game.gamma) / 2)
            expected = {
                theory.asymmetry_bound(game): "ln(d)/sqrt(d)",
                one: "half of what one mode alone has",
            }
            nearest = min(expected, key=lambda x: abs(x - float(ball)))
            if nearest == pytest.approx(float(ball), rel=1e-9):
                assert words == expected[nearest]
            else:
                assert words.startswith("eta_G/eta_D")
        assert float(bounds.of_residual(game)[0]) == pytest.approx(theory.slow_residual_bound(game))
        assert float(bounds.of_coverage(game)[0]) == pytest.approx(theory.coverage_bound(game))
    still = tm.optimizer("sgda", eta_D=0.0, eta_G=0.25)
    assert bounds.of_asymmetry(game, still)[1] == "half of what one mode alone has"


# Certificates


def small(replica, name="sgda", **options):
    game = tm.Game.preset(16, m_D=2, m_G=2)
    opt, steps = tm.recipe(game, name, **options.pop("recipe", {"step_scale": 2.0}))
    return game, opt, options.pop("steps", steps), {"replica": replica, **options}


def proved(replica, name="sgda", **options):
    game, opt, steps, options = small(replica, name, **options)
    return tm.certify(game, opt, steps, **options)


@pytest.mark.parametrize("replica", [0, 1, 4])
def test_what_is_proved_is_what_the_card_measures(replica):
    game, opt, steps, options = small(replica)
    certificate = tm.certify(game, opt, steps, **options)
    result = tm.simulate(game, opt, steps, record_every=1, replicas=[replica])
    at = tm.first_stationary(result)
    assert result.steps[at[0]] == certificate.T0
    for claim, card in zip(
        certificate.claims,
        (theory.theorem_4_1(result), theory.theorem_4_1_collapse(result)),
        strict=True,
    ):
        largest = card.left[0][card.asked[0]].max()
        assert claim.left.low == pytest.approx(largest, rel=1e-9)
        assert claim.left.high == pytest.approx(largest, rel=1e-9)
        assert claim.right.low <= card.right * (1 + 1e-15)
        assert claim.right.high >= card.right * (1 - 1e-15)
        assert (claim.verdict == "proved") == card.held[0]
        if card.held[0]:
            assert claim.margin == pytest.approx(card.worst[0], abs=1e-9)


def test_both_answers_occur():
    assert [proved(replica).verdict for replica in (0, 1)] == ["disproved", "proved"]


@pytest.mark.parametrize("name", ["nsgda", "g-nsgda"])
def test_coverage_is_proved_exactly(name):
    game, opt, steps, options = small(2, name, recipe={"step_scale": 40})
    certificate = tm.certify(game, opt, steps, **options)
    result = tm.simulate(game, opt, steps, replicas=[2])
    for claim, measured in zip(certificate.claims, result.coverage()[0, -1], strict=True):
        assert claim.left.low == pytest.approx(measured, rel=1e-12)
        assert claim.left.high - claim.left.low < 1e-15
    assert certificate.theorem == "4.2"
    assert certificate.verdict in ("proved", "disproved")


def test_precision_is_raised_until_it_decides():
    coarse = proved(2, "nsgda", recipe={"step_scale": 40}, bits=24, most_bits=24)
    assert coarse.verdict == "undecided"
    assert coarse.undecided
    assert f"At iteration {coarse.until + 1:,} the enclosures do not tell" in coarse.describe()
    assert all(claim.verdict == "undecided" for claim in coarse.claims)
    fine = proved(2, "nsgda", recipe={"step_scale": 40}, bits=24)
    assert fine.bits > 24
    assert not fine.undecided


def test_no_T0_within_the_steps_is_no_collapse():
    certificate = proved(1, steps=9)
    asymmetry, residual = certificate.claims
    assert (certificate.T0, certificate.until) == (None, 9)
    assert (asymmetry.verdict, residual.verdict) == ("proved", "undecided")
    assert residual.left == tm.proofs.Between(0, np.inf)  # of which nothing is known
    assert certificate.verdict == "undecided"
    assert "No iteration up to 9 is one" in certificate.describe()


def test_a_player_that_never_moves_is_not_at_rest():
    game = tm.Game.preset(16, m_D=2, m_G=2)
    opt = tm.optimizer("sgda", eta_D=0.5, eta_G=0.0)
    certificate = tm.certify(game, opt, 150)
    assert certificate.T0 is None
    assert not certificate.undecided


def test_a_box_of_starts():
    exact, narrow, wide = (proved(1, radius=radius) for radius in (0.0, 1e-13, 0.5))
    assert narrow.T0 == exact.T0
    assert narrow.verdict == "proved"
    assert "every start within 1e-13" in narrow.describe()
    for one, all_of_it in zip(exact.claims, narrow.claims, strict=True):
        assert all_of_it.left.low <= one.left.low <= one.left.high <= all_of_it.left.high
    assert wide.verdict == "undecided"


def test_an_explicit_start_is_itself():
    game, opt, steps, _ = small(1)
    start = tm.simulate(game, opt, 3, replicas=[1]).state.replica(0)
    certificate = tm.certify(game, opt, steps, start=start)
    assert certificate.T0 == proved(1).T0 - 3
    in_d = tm.GaussianStart().draw(game, np.random.default_rng(0))
    result = tm.simulate(game, opt, steps, start=in_d, record_every=1)
    assert (
        result.steps[tm.first_stationary(result)[0]] == tm.certify(game, opt, steps, start=in_d).T0
    )


# Files


@pytest.fixture(scope="module")
def certificate():
    return proved(1)


def test_a_certificate_loads_as_it_was_saved(tmp_path, certificate):
    file = tmp_path / "certificate.json"
    certificate.save(file)
    loaded = tm.proofs.Certificate.load(file)
    assert loaded.to_dict() == certificate.to_dict()
    assert loaded.describe() == json.loads(file.read_text())["statement"]
    start = tm.runs.draw_start(
        certificate.instance.game, tm.GaussianStart(), np.random.SeedSequence(0), [1], reduced=True
    )
    for name in ("W", "V", "b"):
        assert (getattr(loaded.instance.start, name) == getattr(start, name)[0]).all()
    with pytest.raises(tm.InputError, match="exists"):
        certificate.save(file)


def test_a_certificate_says_how_long_its_proof_took():
    began = time.perf_counter()
    assert 0 < proved(1).made["seconds"] < time.perf_counter() - began


def test_the_command_line_proves_a_certificate_again(tmp_path, certificate, monkeypatch, capsys):
    file = tmp_path / "certificate.json"
    certificate.save(file)
    monkeypatch.setattr(sys, "argv", ["twomode", "verify", str(file)])
    assert main() == 0
    assert f"this instance: {certificate.verdict} in" in capsys.readouterr().out
    told = json.loads(file.read_text())
    told["claims"][0]["left"][1] /= 2
    told["claims"][0]["left"][0] = 0.0
    file.write_text(json.dumps(told))
    with pytest.raises(tm.InputError, match="asymmetry is said to lie within"):
        main()


def test_a_certificate_is_proved_again_with_another_precision(tmp_path, certificate):
    file = tmp_path / "certificate.json"
    certificate.save(file)
    again = tm.proofs.verify_certificate(file)
    assert again.bits != certificate.bits
    assert again.verdict == "proved"


def first_digit_of_the_start(values):
    row = values["instance"]["start"]["W"][0]
    row[0] = (float.fromhex(row[0]) * 1.01).hex()


def T0_one_later(values):
    values["T0"] += 1


def a_smaller_asymmetry(values):
    values["claims"][0]["left"] = [x / 2 for x in values["claims"][0]["left"]]


def a_larger_bound(values):
    values["claims"][0]["right"] = [x * 2 for x in values["claims"][0]["right"]]


def one_claim(values):
    values["claims"].pop()


def another_enclosure(values):
    values["enclosures"][-1]["bias"] = ["[1.5 +/- 1e-9]"]


def no_rule(values):
    del values["instance"]["rule"]


def a_verdict(values):
    values["verdict"] = "disproved"


def not_a_number(values):
    values["instance"]["start"]["b"] = "word"


def no_whole_T0(values):
    values["T0"] = "word"


def no_source(values):
    values["source"] = {}


ALTERED = [
    *(first_digit_of_the_start, T0_one_later, a_smaller_asymmetry, a_larger_bound, one_claim),
    *(another_enclosure, no_rule, a_verdict, not_a_number, no_whole_T0, no_source),
]


@pytest.mark.parametrize("alter", ALTERED)
def test_what_was_altered_does_not_verify(tmp_path, certificate, alter):
    values = certificate.to_dict()
    values = json.loads(json.dumps(values))
    alter(values)
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(values))
    with pytest.raises(tm.InputError, match=r"certificate\.json") as refused:
        tm.proofs.verify_certificate(file)
    assert "\n" not in str(refused.value)


def test_claims():
    Claim, Between = tm.proofs.Claim, tm.proofs.Between
    for left, right, at_most, verdict in (
        ((0.1, 0.2), (0.2, 0.3), True, "proved"),
        ((0.1, 0.25), (0.2, 0.3), True, "undecided"),
        ((0.31, 0.4), (0.2, 0.3), True, "disproved"),
        ((0.3, 0.4), (0.2, 0.3), False, "proved"),
        ((0.1, 0.19), (0.2, 0.3), False, "disproved"),
        ((0.1, 0.2), (0.2, 0.3), False, "undecided"),
        ((0.0, np.inf), (0.2, 0.3), True, "undecided"),
        ((np.nan, np.nan), (0.2, 0.3), True, "undecided"),
    ):
        claim = Claim("a", "a", Between(*left), Between(*right), at_most)
        assert claim.verdict == verdict
        assert (claim.margin >= -1e-12) == (verdict == "proved")


def test_a_claim_says_a_margin_that_it_has():
    claim = tm.proofs.Claim(
        "a", "b", tm.proofs.Between(0.1, 0.2), tm.proofs.Between(0.3, 0.4), True
    )
    said = float(str(claim).partition("margin over ")[2].removesuffix(" %)"))
    assert said <= 100 * claim.margin < said + 0.1


def test_only_equivariant_rules_are_proved():
    with pytest.raises(tm.InputError, match="adam"):
        proved(0, "adam")
    with pytest.raises(tm.InputError, match="most_bits"):
        proved(0, bits=256, most_bits=128)


def test_without_python_flint_there_is_one_line_and_a_remedy():
    code = "import sys; sys.modules['flint'] = None; import twomode as tm; tm.certify"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].endswith("pip install 'twomode[proof]'")
    assert "InputError" in done.stderr.splitlines()[-1]


def test_a_card_says_what_is_proved_beside_what_it_measures():
    """At d = 64 the asymmetry exceeds its bound in one of four replicas."""
    game = tm.Game.preset(64)
    result = tm.simulate(game, *tm.recipe(game, "sgda"), replicas=4)
    measured = tm.theory.theorem_4_1(result)
    card = tm.proofs.prove_card(tm.theory.theorem_4_1, result, [2, 0])
    words = {True: "proved", False: "disproved"}
    assert card.proofs == tuple((k, words[bool(measured.held[k])]) for k in (2, 0))
    assert {word for _, word in card.proofs} == {"proved", "disproved"}
    assert "proved in 1, disproved in 1 of 2 replicas tried; none measured otherwise" in str(card)
    assert measured.proved == ""
    assert replace(card, proofs=((0, "proved"),)).proved.endswith("measured otherwise in [0]")
    collapse = tm.proofs.prove_card(tm.theory.theorem_4_1_collapse, result, [0])
    assert collapse.proofs == ((0, words[bool(collapse.held[0])]),)
    wide = tm.proofs.prove_card(tm.theory.theorem_4_1, result, [2], bits=24, most_bits=24)
    assert wide.proofs == ((2, "undecided"),)
    with pytest.raises(tm.InputError, match="bits=64 are of balls"):
        tm.proofs.prove_card(tm.theory.theorem_4_1, result, [2], bits=64, frame=True)


@pytest.mark.parametrize(
    ("theorem", "rule", "words"),
    [
        (max, "sgda", "must be theorem_4_1"),
        (tm.theory.theorem_4_2, "sgda", "4.2 of the others"),
        (tm.theory.theorem_4_1, "nsgda", "4.2 of the others"),
    ],
)
def test_a_card_that_no_certificate_is_about(theorem, rule, words):
    game = tm.Game.preset(16)
    result = tm.simulate(game, tm.recipe(game, rule).opt, 4)
    with pytest.raises(tm.InputError, match=words):
        tm.proofs.prove_card(theorem, result)


# Horizons and boxes


def in_precision(dtype, steps=40):
    game, opt, _, _ = small(1)
    start = tm.runs.draw_start(
        game, tm.GaussianStart(), np.random.SeedSequence(0), [1], reduced=True
    )
    start = tm.State(**{n: x[0].astype(dtype) for n, x in start.arrays().items()})
    return tm.simulate(game, opt, steps, start=start, engine="array", record_every=1)


@pytest.mark.parametrize(("dtype", "unit"), [("float64", 2.0**-53), ("float32", 2.0**-24)])
def test_errors_are_those_of_the_precision_and_grow(dtype, unit):
    horizon = tm.precision_horizon(in_precision(dtype))
    assert horizon.errors.keys() == tm.runs.TRACE.keys()
    for name in ("projections_V", "norms_W", "objective"):
        errors = horizon.errors[name]
        assert errors[0] < 8 * unit
        assert unit < errors[-1] < 1e4 * unit
        assert horizon.lost(name) is None
        assert 0 < horizon.rate(name) < 0.5
    assert "digits to the end" in str(horizon)
    assert horizon.trusted
    assert "before any of them has lost its digits" in str(horizon)


def test_a_wrong_digit_is_seen_from_where_it_is():
    result = in_precision("float64")
    result.projections_V[0, 30:] *= 1.5
    horizon = tm.precision_horizon(result)
    assert horizon.lost("projections_V") == 30
    assert horizon.errors["projections_V"][30] == pytest.approx(0.5, rel=0.1)
    assert horizon.lost("gram_V") is None
    assert "no digit left from iteration 30" in str(horizon)
    assert horizon.judged_at == tm.judge(result).judged_at[0] > 30
    assert not horizon.trusted
    assert "past the horizon: rounding has a say in it" in str(horizon)
    assert replace(horizon, judged_at=29).trusted


def test_enclosures_that_are_too_wide_end_a_horizon():
    horizon = tm.precision_horizon(in_precision("float64"), bits=24, most_bits=24)
    assert len(horizon.steps) < 41
    assert not horizon.trusted  # nobody knows
    fine = tm.precision_horizon(in_precision("float64"), bits=24)
    assert len(fine.steps) == 41
    assert fine.bits > 24


def test_progress_of_a_horizon_counts_towards_the_last_record():
    reports, result = [], in_precision("float64")
    tm.precision_horizon(result, progress=reports.append)
    assert {report.total for report in reports} == {result.steps[-1]}
    assert 0 < reports[0].done < reports[-1].done <= result.steps[-1]


def test_the_horizon_of_a_replica_is_that_of_its_start():
    game, opt, _, _ = small(0)
    result = tm.simulate(game, opt, 20, replicas=[4, 1], record_every=1)
    one = tm.precision_horizon(result, 1)
    assert one.errors["projections_V"].max() < 1e-13


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 4}, "population gradient"),
        ({"engine": "flow"}, "population gradient"),
        ({"engine": "array"}, "R\\^d"),
    ],
)
def test_a_horizon_needs_a_run_of_R_r(options, words):
    game, opt, _, _ = small(0)
    result = tm.simulate(game, opt, 3, **options)
    with pytest.raises(tm.InputError, match=words):
        tm.precision_horizon(result)
    with pytest.raises(tm.InputError, match="replica=1"):
        tm.precision_horizon(tm.simulate(game, opt, 3), 1)


def test_the_box_is_the_largest_that_is_proved():
    game, opt, steps, options = small(1)
    box = tm.proofs.provable_box(game, opt, steps, most=40, **options)
    assert box.certificate.verdict == "proved"
    assert box.certificate.instance.radius == box.radius > 0
    assert proved(1, radius=2 * box.radius, bits=box.certificate.bits).verdict == "undecided"
    start = box.certificate.instance.start
    law = tm.GaussianStart()
    narrow = tm.proofs.boxes.log10_probability
    # Twice as wide in each of the 3 + 4 + 5 + 6 coordinates.
    wide = replace(box.certificate.instance, radius=2 * box.radius)
    std = law.scales(game)
    shares = []
    for k, row in enumerate([*(start.W / std[0]), *(start.V / std[1])]):
        laws = [stats.norm()] * (k + 2) + [stats.chi(16 - (k + 2))] * (k + 2 < 6)
        shares += [
            y.cdf(x + 1e-4 * abs(x)) - y.cdf(x - 1e-4 * abs(x))
            for x, y in zip(row, laws, strict=False)
        ]
    exactly_so = narrow(replace(box.certificate.instance, radius=1e-4), law)
    assert exactly_so == pytest.approx(np.log10(shares).sum(), rel=1e-6)
    gain = narrow(wide, law) - narrow(box.certificate.instance, law)
    assert gain == pytest.approx(18 * np.log10(2))
    # One coordinate: the density of its normal law times the width.
    other = replace(
        box.certificate.instance, start=replace(start, W=start.W * [0.5, 1, 1, 1, 1, 1])
    )
    x = start.W[:, 0] / std[0]
    expected = np.sum((x**2 - (x / 2) ** 2) / 2 - np.log(2)) / np.log(10)
    assert narrow(other, law) - narrow(box.certificate.instance, law) == pytest.approx(expected)


def test_a_start_that_is_not_proved_has_no_box():
    game, opt, steps, options = small(0)
    assert tm.proofs.provable_box(game, opt, steps, **options)[1:] == (0.0, -np.inf)


# sims/certify.py


def test_the_program_prints_a_paragraph_and_saves_what_verifies(play):
    flags = ("--d", 16, "--m-D", 2, "--m-G", 2, "--replica", 1, "--eta-d", 0.5)
    status, output, errors = play("certify.py", *flags)
    assert (status, errors) == (0, "")
    *paragraph, saved = output.splitlines()
    assert saved == "saved certificate.json in runs/certificate-sgda-d16-seed0"
    assert max(map(len, paragraph)) <= 100
    certificate = tm.proofs.Certificate.load("runs/certificate-sgda-d16-seed0/certificate.json")
    assert " ".join(paragraph) == certificate.describe()
    assert certificate.verdict == "proved"
    status, output, _ = play("certify.py", *flags, "--json")
    again = json.loads(output)
    assert again["claims"] == certificate.to_dict()["claims"]
    assert status == 0


@pytest.mark.slow
def test_sgda_at_4096_is_proved_up_to_T0_for_every_latent(tmp_path):
    game = tm.Game.preset(4096)
    certificate = tm.certify(game, *tm.recipe(game, "sgda"), seed=3)
    assert (certificate.verdict, certificate.T0, certificate.bits) == ("proved", 3426, 128)
    assert "all 511 z" in certificate.describe()
    assert 0.06892 < certificate.claims[0].left.low <= certificate.claims[0].left.high < 0.06893
    certificate.save(tmp_path / "certificate.json")
    assert tm.proofs.verify_certificate(tmp_path / "certificate.json").bits == 192


@pytest.mark.slow
def test_nsgda_at_4096_is_proved_to_cover_both_modes():
    game = tm.Game.preset(4096)
    certificate = tm.certify(game, *tm.recipe(game, "nsgda", step_scale=10.0), bits=2048)
    assert certificate.verdict == "proved"
