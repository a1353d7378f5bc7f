"""Affine forms in a frame: what they claim holds exactly, and ellipsoids do not wrap.

A form claims of every choice of its symbols in the unit ball that the number is within its radius
of centre + coefs e.  It is asked with exact fractions, of choices on the ball's surface.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
import test_proofs as proofs
from flint import arb

import twomode as tm
from twomode.proofs import forms, instances
from twomode.proofs.balls import Undecided, ball, bits_of_precision, exactly
from twomode.proofs.forms import Forms, forms_of, in_frame
from twomode.proofs.instances import Enclosed, Framed, Instance

LIBRARY = forms_of(0.0).__array_namespace__()
SYMBOLS = 6


def some_forms(rng, shape, centre=1.0, size=1e-3):
    """Forms about normal numbers; radii of 0 occur."""
    return Forms(
        centre * rng.standard_normal(shape),
        size / 10 * rng.random(shape) * (rng.random(shape) < 0.7),
        size * rng.standard_normal((SYMBOLS, *shape)),
    )


def direction(rng):
    """Fractions whose squares sum to at most 1, by a little."""
    e = rng.standard_normal(SYMBOLS)
    e /= np.linalg.norm(e) * (1 + 1e-12)
    fractions = [Fraction(x) for x in e]
    assert sum(x * x for x in fractions) <= 1
    return fractions


def lines(x, e):
    """centre + coefs e of each number, exactly."""
    found = np.empty(x.shape, dtype=object)
    for place in np.ndindex(x.shape):
        parts = SYMBOLS * [0.0] if x.coefs is None else x.coefs[(slice(None), *place)].tolist()
        found[place] = Fraction(float(x.centre[place])) + sum(
            (Fraction(a) * y for a, y in zip(parts, e, strict=True)), Fraction(0)
        )
    return found


def points(rng, x, e):
    """Numbers that a form stands for, with these symbols: at the ends of its radius."""
    ends = np.vectorize(Fraction, otypes=[object])(x.radius)
    return lines(x, e) + ends * rng.choice([-1, 1], x.shape)


def holds(found, e, wanted):
    """Whether every number is within the radius of its line: of balls, all that they contain."""
    with bits_of_precision(400):
        return all(
            abs(ball(value) - ball(line)) <= ball(float(radius))
            for value, line, radius in zip(
                np.ravel(wanted), np.ravel(lines(found, e)), np.ravel(found.radius), strict=True
            )
        )


EXACT = {
    "sum": lambda x, y: x + y,
    "difference": lambda x, y: x - y,
    "product": lambda x, y: x * y,
    "square": lambda x, y: x * x,
    "quotient": lambda x, y: x / y,
    "of a number": lambda x, y: 2.5 / y - 3 * x,
    "negative": lambda x, y: -x,
    "outer": lambda x, y: x[:, None, :] * y[None, :, :],
    "one row": lambda x, y: x + y[0],
}


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("size", [1e-3, 1e-15])
def test_arithmetic_holds_exactly(name, size):
    rng = np.random.default_rng(1)
    x, y = some_forms(rng, (3, 4), size=size), some_forms(rng, (3, 4), size=size)
    found = EXACT[name](x, y)
    for _ in range(4):
        e = direction(rng)
        assert holds(found, e, EXACT[name](points(rng, x, e), points(rng, y, e)))
    if name in ("sum", "negative"):
        assert (found.radius <= size).all()  # and says something


@pytest.mark.parametrize(("part", "size"), [("radius", 1e-3), ("coefs", 1e-3), ("rounding", 1e-15)])
def test_what_a_product_loses_is_noticed(monkeypatch, part, size):
    product = forms._product

    def planted(multiply, terms, x, y):
        found = product(multiply, terms, x, y)
        if part == "radius":
            return Forms(found.centre, 0 * found.radius, found.coefs)
        if part == "coefs":
            return Forms(found.centre, found.radius, 0.99 * found.coefs)
        second_order = x.radius * (abs(y.centre) + y.reach) + y.radius * abs(x.centre)
        return Forms(found.centre, second_order + x.spread * y.spread, found.coefs)

    monkeypatch.setattr(forms, "_product", planted)
    rng = np.random.default_rng(1)
    x, y = (some_forms(rng, (8, 8), size=size) for _ in "xy")
    found = x * y
    tried = [direction(rng) for _ in range(4)]
    assert not all(holds(found, e, points(rng, x, e) * points(rng, y, e)) for e in tried)


def smaller(x, low):
    return np.vectorize(lambda y: min(y, Fraction(low)), otypes=[object])(x)


def larger(x, y):
    return np.vectorize(max, otypes=[object])(x, y)


LIBRARIES = {
    "matmul": (lambda x: LIBRARY.matmul(x, x.mT), lambda x: x @ x.T),
    "sum of rows": (lambda x: LIBRARY.sum(x, axis=-1), lambda x: x.sum(axis=-1)),
    "total": (lambda x: LIBRARY.sum(x, axis=(-2, -1)), lambda x: x.sum()),
    "maximum": (lambda x: LIBRARY.maximum(x, x.mT), lambda x: larger(x, x.T)),
    "minimum": (lambda x: LIBRARY.minimum(x, 0.25), lambda x: smaller(x, 0.25)),
    "abs": (LIBRARY.abs, abs),
    "clip": (
        lambda x: LIBRARY.clip(x, -0.5, 0.5),
        lambda x: larger(smaller(x, 0.5), np.full(x.shape, Fraction(-0.5))),
    ),
    "no clip": (lambda x: LIBRARY.clip(x, -np.inf, np.inf), lambda x: x),
    "where": (
        lambda x: LIBRARY.where(x >= 0.25, x, x * x),
        lambda x: np.where((x >= Fraction(0.25)).astype(bool), x, x * x),
    ),
    "sign": (LIBRARY.sign, lambda x: np.vectorize(lambda y: Fraction((y > 0) - (y < 0)))(x)),
    "stack": (lambda x: LIBRARY.stack([x[0], x[1]], axis=-1), lambda x: x[:2].T),
    "reshape": (lambda x: LIBRARY.reshape(x, (-1, 2)), lambda x: x.reshape(-1, 2)),
    "index": (lambda x: x[..., None, 1:], lambda x: x[..., None, 1:]),
}


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("size", [0.3, 1e-3, 1e-15])
def test_functions_hold_exactly(name, size):
    """Also where kinks are within reach: of 0.3, most numbers are on both sides of one."""
    ours, theirs = LIBRARIES[name]
    rng = np.random.default_rng(2)
    x = some_forms(rng, (4, 4), size=size)
    found = ours(x)
    for _ in range(4):
        e = direction(rng)
        assert holds(found, e, theirs(points(rng, x, e)))
    if size == 1e-15:
        assert found.reach.max() < 1e-12


@pytest.mark.parametrize(
    ("function", "theirs"),
    [(LIBRARY.exp, arb.exp), (LIBRARY.log1p, arb.log1p), (LIBRARY.sqrt, arb.sqrt)],
)
@pytest.mark.parametrize("size", [0.05, 1e-3, 1e-15])
def test_smooth_functions_hold(function, theirs, size):
    rng = np.random.default_rng(3)
    x = some_forms(rng, (8,), size=size)
    x = LIBRARY.abs(x) + 0.5
    found = function(x)
    for _ in range(4):
        e = direction(rng)
        inside = points(rng, x, e)
        with bits_of_precision(400):
            for k, y in enumerate(inside):
                off = abs(theirs(ball(y)) - ball(lines(found, e)[k]))
                assert off <= ball(float(found.radius[k]))


@pytest.mark.parametrize(
    ("function", "theirs"),
    [(LIBRARY.exp, np.exp), (LIBRARY.log1p, np.log1p), (LIBRARY.sqrt, np.sqrt)],
)
def test_what_is_not_straight_is_covered_to_the_ends(function, theirs):
    """And by no more than half of the largest second derivative says: log1p's, sqrt's at 0.1."""
    x = Forms([1.0], [0.0], np.array([[0.9]]))
    found = function(x)
    for e in (-1.0, 1.0):
        off = abs(theirs(1 + 0.9 * e) - (found.centre + e * found.coefs[0]))
        assert off <= found.radius
    bent = {np.exp: np.exp(1.9), np.log1p: 1.1**-2, np.sqrt: 0.25 * 0.1**-1.5}[theirs]
    assert found.radius == pytest.approx(bent / 2 * 0.81, rel=1e-6)


def test_the_largest_of_an_array_is_enclosed():
    x = Forms([[1.0, 2.0], [-5.0, 1.9]], [[0.0, 0.1], [0.0, 0.5]])
    found = LIBRARY.max(x, axis=(-2, -1))
    assert (found.low, found.high) == (pytest.approx(1.9), pytest.approx(2.4))


def test_a_root_of_what_may_be_0_is_known_from_above():
    found = LIBRARY.sqrt(Forms([0.25, 1e-4, 0.0], [0.0, 1e-3, 0.0]))
    assert found.centre[0] == 0.5
    assert found.low[1] <= 0
    assert math.sqrt(1.1e-3) <= found.high[1] < 1.01 * math.sqrt(1.1e-3)
    assert (found.centre[2], found.reach[2]) == (0, 0)


def test_what_is_below_the_least_double_is_not_lost():
    tiny = Forms([1e-200], [0.0], np.full((1, 1), 1e-190))
    assert (tiny * tiny).radius[0] > 0
    assert tiny.spread[0] >= 1e-190
    nothing = Forms([0.0], [0.0])
    assert (nothing * tiny).reach[0] == 0  # but nothing stays nothing


def test_comparisons_are_certain_or_neither_and_know_what_is_shared():
    x = Forms([1.0, 1.0, 1.0], 0.0, np.full((1, 3), 0.5))
    assert (x >= 0.4).tolist() == [True] * 3
    assert (x > 1.6).tolist() == [False] * 3
    assert (x <= 1.2).tolist() == [None] * 3
    assert (x < x * 1.5).tolist() == [True] * 3  # where balls of the same width say nothing
    assert (forms_of(np.ones(2)) == 1.0).tolist() == [True] * 2
    assert (x == 1.0).tolist() == [None] * 3
    assert (x == 3.0).tolist() == [False] * 3
    zero = forms_of(np.zeros(1))
    for answers, wanted in (
        ((zero < 0.0, zero > 0.0, zero < zero, zero > zero), False),
        ((zero <= 0.0, zero >= 0.0, zero <= zero, zero >= zero), True),
    ):
        assert all(answer.tolist() == [wanted] for answer in answers)


def test_balls_become_forms_with_all_that_they_contain():
    with bits_of_precision(200):
        third = ball(Fraction(1, 3))
        form = forms_of(np.array([third, arb(2, 1e-20)], dtype=object))
        for found, x in zip(form.balls(), (third, arb(2, 1e-20)), strict=True):
            assert found.contains(x)
        assert 0 < form.radius[0] < 2.0**-53


# Frames


def box_and_symbols(rng, n):
    """Coefficients of very different sizes, and radii."""
    scale = 10.0 ** rng.uniform(-12, 0, n)
    M = rng.standard_normal((SYMBOLS, n)) * scale
    return Forms(rng.standard_normal(n), scale * rng.random(n) * (rng.random(n) < 0.8), M)


def within(L, inside):
    """Whether all of these vectors are L y, norm(y) <= 1, of a triangular L: y in 400 bits."""
    with bits_of_precision(400):
        for x in inside:
            y = []
            for row, value in zip(exactly(L), x, strict=True):
                known = sum((a * b for a, b in zip(row, y, strict=False)), arb(0))
                y.append((ball(value) - known) / row[len(y)])
            if not sum(z * z for z in y) <= 1:
                return False
    return True


@pytest.mark.parametrize("seed", range(5))
def test_a_frame_contains_all_errors(seed):
    rng = np.random.default_rng(seed)
    x = box_and_symbols(rng, 8)
    framed = in_frame([x])[0]
    assert not framed.radius.any()
    assert (framed.centre == x.centre).all()
    centre = np.vectorize(Fraction, otypes=[object])(x.centre)
    inside = [points(rng, x, direction(rng)) - centre for _ in range(50)]
    assert within(framed.coefs.T, inside)
    assert not within(framed.coefs.T / 4, inside)  # nor is it much too wide
    alone = in_frame([Forms(x.centre, 0.0 * x.radius, x.coefs)])[0]
    assert (alone.spread <= x.spread * (1 + 1e-6)).all()  # of symbols nothing is lost


def test_numbers_that_are_exact_have_no_part_in_a_frame():
    a, b = in_frame([forms_of(np.ones((2, 2))), Forms([1.0, 2.0], [0.0, 0.5])])
    assert a.reach.max() == 0
    assert b.reach[0] == 0
    assert 0.5 <= b.reach[1] < 0.51
    assert a.shape == (2, 2)
    nothing = in_frame([forms_of(np.ones(3))])[0]
    assert nothing.coefs is None


@pytest.mark.parametrize("planted", [0.999, float("nan")])
def test_a_wrong_factor_is_noticed(monkeypatch, planted):
    """What `numpy.linalg` says is checked, not believed."""
    plain = np.linalg.cholesky
    monkeypatch.setattr(forms.np.linalg, "cholesky", lambda S: planted * plain(S))
    with pytest.raises(Undecided, match="beyond all bounds"):
        in_frame([box_and_symbols(np.random.default_rng(0), 5)])


def test_errors_without_bounds_have_no_frame():
    with pytest.raises(Undecided, match="beyond all bounds"):
        in_frame([Forms([1.0], [np.inf])])


def test_ellipsoids_do_not_wrap():
    """A rotation by a radian, 400 times: boxes grow by 1.38 each time, which is 10^56."""
    c, s = np.cos(1.0), np.sin(1.0)
    turn = np.array([[c, -s], [s, c]])
    x = Forms(np.array([[1.0], [2.0]]), np.full((2, 1), 1e-6))
    boxed = x
    for _ in range(400):
        x = in_frame([LIBRARY.matmul(turn, x)])[0]
        boxed = forms_of(LIBRARY.matmul(turn, boxed).balls())
    assert x.reach.max() < 3e-6
    assert boxed.reach.max() > 1e40


# Runs


def framed(name, radius=0.0):
    """`test_proofs.enclosures` along a frame."""
    opt = tm.optimizer(name, eta_D=proofs.ETA_D, eta_G=proofs.ETA_G, **proofs.RULES[name][0])
    with bits_of_precision(53):
        run = Framed(Instance(proofs.GAME, opt, proofs.start_of(), radius))
        found = []
        for _ in range(proofs.STEPS + 1):
            X = {n: getattr(run.state, n).balls() for n in ("W", "V", "b")}
            found.append({"W": X["W"][0], "V": X["V"][0], "b": X["b"][:, None]})
            run.step()
        return found


def instance_of(game, opt):
    root = np.random.SeedSequence(3)
    start = tm.runs.draw_start(game, tm.GaussianStart(), root, [0], reduced=True)
    return Instance(game, opt, instances.in_reduced_form(game, start.replica(0)), 0.0)


def walk(run, steps):
    for _ in range(steps):
        run.step()


@pytest.mark.parametrize("name", proofs.RULES)
def test_frames_contain_a_loop_in_fifty_digits(name):
    found = framed(name)
    with bits_of_precision(1000):
        assert proofs.contained(found, proofs.oracles(name))
    assert max(float(x.rad()) for x in found[-1]["V"].flat) < 1e-11  # and say something


def test_a_frame_contains_the_runs_from_the_corners_of_a_box():
    radius = 1e-6
    found = framed("sgda", radius)
    for corner in proofs.corners(proofs.start_of(), radius):
        with bits_of_precision(1000):
            runs = proofs.oracles(start=corner)
            assert proofs.contained(found, runs)
    assert not proofs.contained(framed("sgda", radius / 100), runs)


@pytest.mark.parametrize("name", proofs.PROVABLE)
def test_every_equivariant_rule_runs_along_a_frame(name):
    game = tm.Game.preset(64, m_D=2, m_G=2)
    opt = tm.recipe(game, name).opt
    instance = instance_of(game, opt)
    with bits_of_precision(53):
        run = Framed(instance)
        walk(run, 2)
    with bits_of_precision(128):
        exact = Enclosed(instance)
        walk(exact, 2)
        for layer in "WV":
            found, wanted = getattr(run.state, layer).balls(), getattr(exact.state, layer)
            assert all(x.contains(y) for x, y in zip(found.flat, wanted.flat, strict=True))
            assert getattr(run.state, layer).reach.max() < 1e-7


def test_a_frame_outlasts_balls():
    """250 of the recipe's own normalized steps, 53 bits each."""
    game = tm.Game.preset(64)
    opt = tm.recipe(game, "nsgda").opt
    instance = instance_of(game, opt)
    with bits_of_precision(53):
        run = Framed(instance)
        walk(run, 250)
        balls = Enclosed(instance)
        walk(balls, 250)
        widest = max(float(x.rad()) for x in balls.state.W.flat)
        assert run.state.W.reach.max() < widest / 1000


# Certificates


@pytest.mark.parametrize(("replica", "name"), [(0, "sgda"), (1, "sgda"), (2, "nsgda")])
def test_a_frame_proves_what_balls_prove(replica, name):
    recipe = {"recipe": {"step_scale": 40}} if name == "nsgda" else {}
    one = proofs.proved(replica, name, **recipe)
    other = proofs.proved(replica, name, frame=True, **recipe)
    assert (one.verdict, one.T0, one.until) == (other.verdict, other.T0, other.until)
    assert other.verdict in ("proved", "disproved")
    assert "in doubles along a frame" in other.describe()
    for exact, claim in zip(one.claims, other.claims, strict=True):
        assert claim.left.low <= exact.left.low <= exact.left.high <= claim.left.high
        assert claim.left.high - claim.left.low < 1e-9


def test_a_certificate_of_a_frame_verifies_along_one_and_by_balls(tmp_path):
    file = tmp_path / "certificate.json"
    made = proofs.proved(1, frame=True)
    made.save(file)
    assert tm.proofs.Certificate.load(file).to_dict() == made.to_dict()
    again = tm.proofs.verify_certificate(file)
    assert (again.frame, again.bits) == (True, 53)
    by_balls = tm.proofs.verify_certificate(file, bits=128)
    assert (by_balls.frame, by_balls.bits) == (False, 128)


def test_a_box_is_wider_along_a_frame():
    game, opt, steps, options = proofs.small(1)
    boxes = [
        tm.proofs.provable_box(game, opt, steps, most=40, frame=frame, **options)
        for frame in (False, True)
    ]
    assert boxes[1].radius > 100 * boxes[0].radius
    assert boxes[1].certificate.verdict == "proved"


def test_the_program_proves_along_a_frame(play):
    flags = ("--d", 16, "--m-D", 2, "--m-G", 2, "--replica", 1, "--eta-d", 0.5, "--frame")
    status, output, errors = play("certify.py", *flags)
    assert (status, errors) == (0, "")
    assert output.startswith("Theorem 4.1, this instance: proved in doubles along a frame.")


def test_bits_are_of_balls():
    with pytest.raises(tm.InputError, match="bits=64 are of balls"):
        proofs.proved(1, frame=True, bits=64)
