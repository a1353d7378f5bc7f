"""Every rule on L = x^T A y, where its run can be written down without the package."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import recurrences as rec
from recurrences import D_FIRST, DECAY, ROWS, VARIANTS, Variant

import twomode as tm
from twomode.engines.array import ArrayEngine
from twomode.game import Bilinear, State
from twomode.rules import corrections

STEPS = 7


class Oracle(rec.Bilinear):
    """A bilinear game with step sizes, its starts and its engines."""

    @classmethod
    def random(cls, seed, name, n=4):
        """Step sizes in the order that the rule wants, or any."""
        rng = np.random.default_rng(seed)
        eta = rng.uniform(0.05, 0.6, 2)
        eta_D, eta_G = eta if tm.RULES[name].ratio is None else (eta.max(), eta.min())
        return cls(rng.standard_normal((n, n)) / np.sqrt(n), eta_D, eta_G)

    def starts(self, replicas, seed=0):
        """Random (x, y), one a row."""
        return np.random.default_rng(seed).standard_normal((replicas, 2 * self.n))

    def engine(self, starts, name, changes=None, Engine=ArrayEngine):
        opt = tm.optimizer(name, **({"eta_D": self.eta_D, "eta_G": self.eta_G} | (changes or {})))
        return Engine(Bilinear(self.A), opt, Bilinear(self.A).state(*np.split(starts, 2, axis=1)))


def places(engine):
    """(x, y) of each replica, one a row; its unused bias must stay at 0."""
    assert (engine.state.b == 0).all()
    return np.concatenate([engine.state.W[:, 0], engine.state.V[:, 0]], axis=1)


def assert_close(found, expected, tolerance=1e-12):
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def label(row):
    return "-".join([row.name, *row.changes])


# Every rule as its recurrence


RECURRENCES = [Variant(name, {}, row) for name, row in ROWS.items()] + VARIANTS


def assert_runs_as_its_recurrence(variant, s, Engine=ArrayEngine):
    starts = s.starts(2)
    runs = [variant.row.run(s, (s.eta_D, s.eta_G), np.split(start, 2)) for start in starts]
    engine = s.engine(starts, variant.name, variant.changes, Engine)
    for iterates in itertools.islice(zip(*runs, strict=True), STEPS):
        engine.advance(1)
        assert_close(places(engine), np.stack([np.concatenate(z) for z in iterates]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("variant", RECURRENCES, ids=label)
def test_rules_are_their_recurrences(variant, seed):
    assert_runs_as_its_recurrence(variant, Oracle.random(seed, variant.name))


# Linear rules: closed-form update matrices


class Linear(NamedTuple):
    name: str  #: of a rule
    changes: dict[str, Any]
    matrix: Callable[..., np.ndarray]
    start: Callable[[Oracle], np.ndarray] = rec.alone

    def run(self, s, starts, steps):
        """The iterates of the matrices, one start a row."""
        z = self.start(s) @ starts.T
        for t in range(1, steps + 1):
            z = self.matrix(s, t) @ z
            yield z[: 2 * s.n].T


DECAYED = {"p_D": 0.5, "p_G": 0.25}
G_FIRST = {"schedule": "alternating-G-first"}
LINEAR = [Linear(name, {}, row.matrix, row.start) for name, row in ROWS.items() if row.matrix] + [
    Linear("sgda", DECAY, partial(rec.sgda, **DECAYED)),
    Linear("sgda", {"decay_D": 1, "decay_G": 0}, partial(rec.sgda, p_D=1)),
    Linear("sgda-momentum", {"beta1": -0.5}, partial(rec.heavy_ball, beta=-0.5), rec.doubled),
    Linear("sgda-momentum", {"heavy_ball": False}, partial(rec.momentum, beta=0.9), rec.with_zero),
    Linear("alternating", D_FIRST, rec.alternating_D_first),
    Linear("negative-momentum", D_FIRST, partial(rec.negative_D_first, beta=-0.5), rec.doubled),
    Linear(
        "negative-momentum", {"beta1": 0.3}, partial(rec.negative_G_first, beta=0.3), rec.doubled
    ),
    Linear(
        "negative-momentum",
        {"schedule": "simultaneous"},
        partial(rec.heavy_ball, beta=-0.5),
        rec.doubled,
    ),
    Linear(
        "extragradient",
        {"direction": "momentum"},
        partial(rec.extragradient_momentum, beta=0.9),
        rec.with_zero,
    ),
    Linear("past-extragradient", DECAY, partial(rec.past_extragradient, **DECAYED), rec.with_zero),
    Linear("optimistic", {"first_step": "double"}, rec.optimistic, rec.with_zero),
    Linear("optimistic", DECAY, partial(rec.optimistic, **DECAYED), rec.with_step),
    Linear(
        "optimistic",
        {"direction": "momentum"},
        partial(rec.optimistic_momentum, beta=0.9),
        rec.with_zero_and_step,
    ),
    Linear(
        "optimistic",
        {"direction": "momentum", "past_scale": "today", "first_step": "double"},
        partial(rec.optimistic_momentum_today, beta=0.9),
        rec.with_zero,
    ),
    Linear("sga", {"aligned": False}, partial(rec.corrected, gamma=1)),
    Linear("sga", {"correction_weight": -0.7}, partial(rec.corrected, gamma=-0.7)),
    Linear("sga", G_FIRST, partial(rec.corrected_G_first, gamma=1)),
    Linear("consensus", {"correction_weight": 0.3}, partial(rec.corrected, gamma=0.3)),
    Linear("consensus", {"correction_weight": -2.0}, partial(rec.corrected, gamma=-2)),
    Linear(
        "consensus",
        {"schedule": "extragradient", "correction_weight": 0.3},
        partial(rec.corrected_extragradient, gamma=0.3),
    ),
    Linear(
        "anchored",
        {"anchor": 3.0, "decay_D": 0.75, "decay_G": 0.55},
        partial(rec.anchored, p_D=0.75, p_G=0.55, gamma=3),
        rec.doubled,
    ),
    Linear(
        "anchored",
        {"schedule": "extragradient"},
        partial(rec.anchored_extragradient, p=0.6, gamma=2),
        rec.doubled,
    ),
]


def assert_runs_as_its_matrices(row, s, Engine=ArrayEngine, tolerance=1e-12):
    """As many random starts as z has coordinates: enough to tell any two linear maps apart."""
    starts = s.starts(2 * s.n)
    engine = s.engine(starts, row.name, row.changes, Engine)
    for z in row.run(s, starts, STEPS):
        engine.advance(1)
        assert_close(places(engine), z, tolerance)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("row", LINEAR, ids=label)
def test_linear_rules_are_their_matrices(row, seed):
    assert_runs_as_its_matrices(row, Oracle.random(seed, row.name))


def is_linear(name):
    opt = tm.Optimizer(1, 1, **tm.RULES[name].fields)
    return not (opt.uses_norms or opt.uses_second_moment)


def test_every_linear_rule_has_its_matrix():
    assert {row.name for row in LINEAR} == {name for name in ROWS if is_linear(name)}


# Convergence on L = xy, and on matrices whose largest singular value is 1


def scalar_game(eta):
    return Oracle([[1.0]], eta, eta)


def random_game(eta):
    """Singular values between 1/2 and 1, so that the slowest direction is not too slow to see."""
    rng = np.random.default_rng(3)
    left, right = (np.linalg.qr(rng.standard_normal((4, 4)))[0] for _ in range(2))
    return Oracle(left @ np.diag([1, 0.9, 0.7, 0.5]) @ right, eta, eta)


def radius(row, s):
    return np.abs(np.linalg.eigvals(row.matrix(s, 1))).max()


def growth(row, s, steps=1000):
    """Norm after a run over the norm of its start."""
    starts = s.starts(1)
    engine = s.engine(starts, row.name, row.changes)
    engine.advance(steps)
    return np.linalg.norm(places(engine)) / np.linalg.norm(starts)


def linear(name, **changes):
    """The row of the table with these changes."""
    return next(row for row in LINEAR if (row.name, row.changes) == (name, changes))


RANGES = [
    (linear("extragradient"), 1),
    (linear("past-extragradient"), 3**-0.5),
    (linear("optimistic"), 3**-0.5),
    (linear("optimistic", first_step="double"), 3**-0.5),
    (linear("negative-momentum"), 1),
    (linear("negative-momentum", **D_FIRST), 1),
    (linear("sga"), 1),
    (linear("consensus"), 1),
    (linear("hamiltonian"), 2),
]


@pytest.mark.parametrize("game", [scalar_game, random_game])
@pytest.mark.parametrize(("row", "boundary"), RANGES, ids=lambda x: getattr(x, "name", None))
def test_convergence_range(row, boundary, game):
    inside, outside = 0.1, 3.0
    assert radius(row, game(inside)) < 1 < radius(row, game(outside))
    while outside - inside > 1e-9:
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if radius(row, game(middle)) < 1 else (inside, middle)
    assert inside == pytest.approx(boundary, abs=1e-7)
    assert growth(row, game(0.99 * boundary)) < 1e-3
    assert growth(row, game(1.01 * boundary)) > 1e2


@pytest.mark.parametrize("eta", [0.01, 0.1, 0.5, 1.0, 3.0])
@pytest.mark.parametrize(
    "row",
    [
        linear("sgda"),
        linear("negative-momentum", schedule="simultaneous"),
        linear("negative-momentum", schedule="simultaneous")._replace(
            changes={"schedule": "simultaneous", "beta1": -0.9},
            matrix=partial(rec.heavy_ball, beta=-0.9),
        ),
    ],
    ids=label,
)
def test_what_never_converges(row, eta):
    s = scalar_game(eta)
    assert radius(row, s) > 1 + 1e-8
    steps = int(np.ceil(3 / np.log(radius(row, s))))  # for a growth by e^3, unless that is too far
    assert steps > 1e4 or growth(row, s, steps) > 5


@pytest.mark.parametrize("row", [linear("alternating"), linear("alternating", **D_FIRST)])
def test_alternation_stays_at_a_bounded_distance_below_eta_2(row):
    for eta in (0.1, 1.0, 1.9):
        s = scalar_game(eta)
        assert np.abs(np.linalg.eigvals(row.matrix(s, 1))) == pytest.approx(1, abs=1e-12)
        _, vectors = np.linalg.eig(row.matrix(s, 1))
        condition = np.linalg.cond(vectors)  # no power of the matrix, or of its inverse, is longer
        for steps in (10, 1000, 1777):
            assert 1 / condition <= growth(row, s, steps) * (1 + 1e-9) <= condition * (1 + 2e-9)
    assert radius(row, scalar_game(2.01)) > 1.2


@pytest.mark.parametrize("game", [scalar_game, random_game])
def test_anchoring_converges_slowly(game):
    """eta/t^p J z comes to balance (1 - p) gamma/t z_0: z falls as J^-1 z_0 / t^(1 - p)."""
    s = game(0.8)
    starts = s.starts(3)
    engine, distances = s.engine(starts, "anchored"), []
    for _ in range(3):
        engine.advance(3000)
        balance = np.linalg.solve(s.J, starts.T).T * 0.4 * 2 / (0.8 * engine.t**0.4)
        assert_close(places(engine), balance, 0.15)  # around it z turns, like t^-0.8
        distances.append(np.linalg.norm(places(engine), axis=1))
    assert (np.diff(distances, axis=0) < 0).all()
    assert (distances[-1] < 0.05 * np.linalg.norm(starts, axis=1)).all()


# Negative controls: the bugs of public codes, which the checks above must reject


class LivePast(ArrayEngine):
    """The stored step is the buffer that the new one is written to."""

    def _move(self, player, stage, base, taken):
        self._past |= taken
        super()._move(player, stage, base, taken)


class MovedDiscriminator(ArrayEngine):
    """G's gradient is taken after D has moved, in a step said to be simultaneous."""

    def _steps(self, movers, stage, weights):
        taken = super()._steps(["D"], stage, weights)
        here = dict(self._X)
        self._move("D", stage, here, taken)
        taken |= super()._steps(["G"], stage, weights)
        self._X = here
        return taken


class UpdateCountedOnce(ArrayEngine):
    """Both of an iteration's updates have the bias correction of iteration t."""

    def _steps(self, movers, stage, weights):
        self._updates = dict.fromkeys("DG", self.t - 1)
        return super()._steps(movers, stage, weights)


def rejects(check, row, s, Engine=ArrayEngine):
    check(row, s)
    with pytest.raises(AssertionError):
        check(row, s, Engine)


def recurrence(name):
    return Variant(name, {}, ROWS[name])


def test_an_aliased_past_is_rejected():
    s = Oracle.random(0, "optimistic")
    rejects(assert_runs_as_its_matrices, linear("optimistic"), s, LivePast)
    rejects(assert_runs_as_its_recurrence, recurrence("optimistic-nsgda"), s, LivePast)
    rejects(assert_runs_as_its_recurrence, recurrence("optimistic-adam"), s, LivePast)
    # with it, optimism is plain descent ascent
    disguised = linear("sgda")._replace(name="optimistic")
    assert_runs_as_its_matrices(disguised, s, LivePast)


@pytest.mark.parametrize("name", ["sgda", "extragradient", "optimistic", "anchored"])
def test_a_generator_that_answers_in_a_simultaneous_step_is_rejected(name):
    s = Oracle.random(0, name)
    rejects(assert_runs_as_its_matrices, linear(name), s, MovedDiscriminator)
    if name == "sgda":
        disguised = linear("alternating", **D_FIRST)._replace(name=name, changes={})
        assert_runs_as_its_matrices(disguised, s, MovedDiscriminator)


def test_an_alignment_without_its_constant_is_rejected(monkeypatch):
    s = scalar_game(0.5)  # on which <xi, grad H> is 0 without rounding
    assert_runs_as_its_matrices(linear("sga"), s)
    monkeypatch.setattr(corrections, "ALIGNMENT", 0.0)
    with pytest.raises(AssertionError):
        assert_runs_as_its_matrices(linear("sga"), s)
    disguised = linear("sgda")._replace(name="sga")  # lambda = 0
    assert_runs_as_its_matrices(disguised, s)


@pytest.mark.parametrize("name", ["extra-adam"])
def test_an_update_that_is_not_counted_is_rejected(name):
    rejects(
        assert_runs_as_its_recurrence, recurrence(name), Oracle.random(0, name), UpdateCountedOnce
    )


# The game itself


def test_the_oracle_is_its_formula():
    s = Oracle.random(0, "sgda")
    game, (x, y) = Bilinear(s.A), np.split(s.starts(3), 2, axis=1)
    state = game.state(x, y)
    assert (game.d, game.parameters, state.dimension) == (4, 8, 4)
    evaluation = game.evaluate(state)
    np.testing.assert_allclose(
        evaluation.objective, [a @ s.A @ b for a, b in zip(x, y, strict=True)], rtol=1e-12
    )
    for index in range(3):
        g_x, g_y = s.gradients(x[index], y[index])
        np.testing.assert_allclose(evaluation.W[index, 0], g_x, rtol=1e-12)
        np.testing.assert_allclose(evaluation.V[index, 0], g_y, rtol=1e-12)
    assert (evaluation.b == 0).all()


def test_the_oracle_takes_one_start_or_many():
    game = Bilinear([[1, 2], [3, 4]])
    one = game.state([1, 2], [3, 4])
    assert isinstance(one, State)
    for name, array in game.state([[1, 2]], [[3, 4]]).arrays().items():
        np.testing.assert_array_equal(getattr(one, name), array)


@pytest.mark.parametrize(
    ("A", "message"),
    [
        ([[1, 2]], r"must be an array of finite numbers of shape \(n, n\)"),
        ([1.0], r"A=\[1\.0\] must be an array"),
        ([[np.nan]], "must be an array of finite numbers"),
        ([[1, np.inf], [0, 1]], "must be an array of finite numbers"),
    ],
)
def test_the_oracle_refuses_what_is_no_square_matrix(A, message):
    with pytest.raises(tm.InputError, match=message):
        Bilinear(A)


@pytest.mark.parametrize(("x", "y"), [([1], [1, 2]), ([1, 2], [[1, 2]] * 2), ([1] * 3, [1] * 3)])
def test_the_oracle_refuses_starts_of_another_shape(x, y):
    with pytest.raises(tm.InputError, match=r"\(R, 2\) is needed|y=\[1, 2\] must be an array"):
        Bilinear(np.eye(2)).state(x, y)
