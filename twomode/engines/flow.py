"""The limit of short steps: a flow in R^r, followed by an adaptive integrator at any d.

SGDA's plateau lasts sqrt(d)/(a eta_D) iterations, and a stepping engine takes each of them.  In the
limit of short steps the rule is a flow, whose integrator crosses the plateau in a number of steps
that is linear in ln d.  Replicas are in the vector lanes, as in `ReducedEngine`, each with steps of
its own length and an end of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from twomode._typing import JSON, FloatArray
from twomode.engines.compiled import alone as single
from twomode.engines.compiled import dormand_prince as pair
from twomode.engines.compiled import field
from twomode.engines.compiled import records as enc
from twomode.engines.compiled.alone import Alone
from twomode.engines.compiled.blocks import block_zeros, each_block, pack, unpack
from twomode.engines.compiled.jit import kernel
from twomode.engines.compiled.lanes import LANES, fill, lane_zeros, load, store
from twomode.engines.compiled.parts import part
from twomode.engines.compiled.products import padded
from twomode.engines.protocol import Batches, Flow
from twomode.errors import require
from twomode.game import NU, Game, State
from twomode.rules import Optimizer

__all__ = ["ENDS", "FlowEngine"]

#: Places in a step at which a replica can be recorded; all but the last are interpolated.
PLACES = 4
#: Why a replica has ended.
ENDS = ("running", "at rest", "horizon", "stalled", "too many steps")
RUNNING, AT_REST, HORIZON, STALLED, TOO_MANY = range(5)
#: Attempts rejected in a row after which a replica has stalled, and attempts after which it ends.
MOST_REJECTED, MOST_STEPS = 60, 20_000
#: Length of the first step, in units in which a state changes by its own size.
FIRST = 0.01
#: Points of the grid on which a peak is sought, between two places.
FINE = 32
#: Halvings of the part of a step in which a replica ends.
HALVINGS = 40


class Problem(NamedTuple):
    """What all replicas have in common."""

    game: enc.GameCode
    code: field.FieldCode
    rule: enc.RuleCode
    latents: np.ndarray  #: their probabilities
    horizon: float
    rtol: float
    nu: float  #: of `at_rest`


class Course(NamedTuple):
    """How far each replica is; arrays of shape (..., 1, columns, LANES)."""

    x: np.ndarray  #: the share of the step to look at, and a bracket of the end's
    passed: np.ndarray  #: iterations from the step's beginning to there, and to the place before
    lap: np.ndarray  #: iterations since they were last asked for
    norms: np.ndarray  #: of the gradients of (D, G) at the last place, and of the moves
    peaks: np.ndarray  #: their largest so far
    tops: np.ndarray  #: where in the step each is highest, and how high, shape (..., 2, 2, LANES)
    nodes: np.ndarray  #: as `norms`, at the step's beginning and its places, (..., 5, 4, LANES)
    tried: np.ndarray  #: as `norms`, where it looks
    moving: np.ndarray  #: 1 where the last place is a new one
    end: np.ndarray  #: which of `ENDS`


class Replicas(NamedTuple):
    """Everything that changes, of LANES replicas, or of one."""

    state: np.ndarray  #: at the last place: W, V and b one below the other, t beside b
    steps: pair.Steps
    course: Course
    work: enc.Work
    correction: enc.Correction | None
    alone: Alone | None


class FlowEngine(Flow):
    """Advances replicas of a game along the flow that a rule discretizes.

    Its `t` counts places, `PLACES` to an attempted step; a replica whose step was rejected, or
    that has ended, stays where it is.

    Parameters
    ----------
    game : Game
    opt : Optimizer
        With a flow (see `Optimizer.flow_speeds`); only the ratio of its step sizes changes the
        path.
    start : State
        With a replica axis; in R^d (reduced here by a QR factorization) or in R^r already.
    horizon : float
        Iterations after which a replica ends, if it has not come to rest (at T_0) before.
    rtol : float
        Largest error of a step, for each coordinate over its size.

    Raises
    ------
    InputError
        If the rule has no flow, or minibatches are asked for.

    Notes
    -----
    The basis has e_1 along u_1 + u_2 and e_2 along u_1 - u_2 (see `compiled.field`).  The absolute
    tolerance of a coordinate is rtol/sqrt(d) times the largest entry of its row at the start.
    """

    name = "flow"
    PLACES = PLACES
    USUAL = 4000  #: places that a run has, at most a few times

    def __init__(
        self, game: Game, opt: Optimizer, start: State, horizon: float, rtol: float
    ) -> None:
        self.check(opt)
        self.game, self.opt, self.t = game, opt, 0
        if start.dimension != game.reduced_dimension or np.any(start.U[:, :, 2:]):
            start, _ = start.reduce()
        self.replicas = len(start.W)
        self._over_lanes = single.suits(opt, self.replicas)
        self._problem = Problem(
            enc.encode_game(game),
            field.encode_field(game, *opt.flow_speeds(), self._over_lanes),
            enc.encode_rule(game, opt),
            enc.population_weights(game, np.float64, 1.0).latents[0, 0],
            float(horizon),
            rtol,
            NU * (1 - 1e-9),  # so that no rounding puts T_0 above it
        )
        state, floor = self._stacked(start)
        blocks, (at_V, at_b) = len(state), field.places(game, False)
        layers = (state[:, :at_V], state[:, at_b:], state[:, at_V:at_b])
        columns = {"x": 3, "passed": 2, "norms": 4, "peaks": 2, "tops": 2, "nodes": 4, "tried": 4}
        rows = {"tops": 2, "nodes": PLACES + 1}
        course = (
            block_zeros(blocks, rows.get(name, 1), columns.get(name, 1)) for name in Course._fields
        )
        self._all = Replicas(
            state,
            pair.make_steps(state.copy(), floor),
            Course(*course),
            field.field_work(enc.make_work(game, opt, blocks, block_zeros)),
            enc.make_correction(game, opt, layers, block_zeros),
            None,
        )
        self._blocks = [enc.share(self._all, block) for block in range(blocks)]
        if self._over_lanes:
            each = [single.make_alone(game, opt) for _ in self._blocks]
            self._blocks = [
                block._replace(alone=alone, work=field.field_work(alone.work))
                for block, alone in zip(self._blocks, each, strict=True)
            ]
        self.advance(0)

    @staticmethod
    def check(opt: Optimizer) -> None:
        """Raise `InputError` if the rule has no flow, or not both of its players move."""
        for name, eta in (("eta_D", opt.eta_D), ("eta_G", opt.eta_G)):
            require(eta > 0, f"{name}={eta!r}: a flow needs two players that move")
        opt.flow_speeds()

    def _stacked(self, start: State) -> tuple[np.ndarray, np.ndarray]:
        """The state in the modes' basis, and the size below which no error of a row counts."""
        game, (at_V, at_b) = self.game, field.places(self.game, False)
        Y = np.zeros((self.replicas, at_b + 1, padded(game.reduced_dimension)))
        for first, X in ((0, start.W), (at_V, start.V)):
            Y[:, first : first + X.shape[1], : X.shape[2]] = X
        Y[:, :, :2] = Y[:, :, :2] @ field.turn(game, start.U[:, :, :2])
        floor = np.abs(Y).max(axis=2, keepdims=True) / math.sqrt(game.d)
        Y[:, at_b, 0], floor[:, at_b] = start.b, 1
        return self._pack(Y), self._pack(floor)

    def _pack(self, Y: np.ndarray) -> np.ndarray:
        """Rows of W, V and b, shape (R, rows, columns), to lanes: of replicas or of neurons."""
        if not self._over_lanes:
            return pack(Y)
        game, (at_V, at_b) = self.game, field.places(self.game, False)
        W, V = Y[:, : game.m_D], Y[:, at_V : at_V + game.m_G]
        packed = lane_zeros((len(Y), field.places(game, True)[1] + 1, Y.shape[2]))
        packed[:, :-1] = np.concatenate([single.pack(W), single.pack(V)], axis=1)
        packed[:, -1] = Y[:, at_b, :, None]
        return packed

    def advance(self, steps: int, batches: Batches | None = None) -> None:
        """Go on by so many places."""
        require(batches is None, "a flow has no minibatches: use engine='reduced'")

        def advance_block(block: int) -> None:
            _advance(steps, self.t, self._problem, self._blocks[block])

        each_block(advance_block, len(self._blocks), steps)
        self.t += steps

    @property
    def memory(self) -> dict[str, np.ndarray]:
        """All that going on depends on besides game, rule and start; see `Engine.memory`."""
        return {"t": np.array(self.t), **self._arrays}

    def restore(self, memory: Mapping[str, np.ndarray]) -> None:
        """Go on from where an engine of the same making had this memory."""
        self.t = int(memory["t"])
        for name, array in self._arrays.items():
            array[...] = memory[name]

    @property
    def _arrays(self) -> dict[str, np.ndarray]:
        """All but what a slope works with."""
        steps, course = self._all.steps._asdict(), self._all.course._asdict()
        return {"state": self._all.state, **{f"step_{n}": x for n, x in steps.items()}, **course}

    @property
    def state(self) -> State:
        """The state in R^r, in the basis of the modes' sum and difference (copied)."""
        game, r, Y = self.game, self.game.reduced_dimension, self._all.state
        at_V, at_b = field.places(game, self._over_lanes)
        if self._over_lanes:
            W, V = single.unpack(Y[:, :at_V]), single.unpack(Y[:, at_V:at_b])
        else:
            rows = unpack(Y, self.replicas)
            W, V = rows[:, :at_V], rows[:, at_V:at_b]
        b = self._numbers(Y[:, at_b:])[:, 0, 0]
        U = np.zeros((self.replicas, 2, r))
        U[:, :, :2] = np.array([[1, 1], [1, -1]]) * field.halves(game)
        return State(W=W[:, : game.m_D, :r], V=V[:, : game.m_G, :r], b=b, U=U)

    @property
    def ended(self) -> np.ndarray:
        """Which replicas have come to an end, shape (R,)."""
        return self._column(self._all.course.end) != RUNNING

    @property
    def notes(self) -> JSON:
        """What it took, and why it ended, replica by replica.

        Besides the right-hand sides counted here, peaks cost one each and the end some forty.
        """
        steps = self._all.steps
        accepted, rejected = (
            self._column(count).astype(int) for count in (steps.accepted, steps.rejected)
        )
        each = pair.SLOPES - 1 + PLACES
        return {
            "accepted": accepted.tolist(),
            "rejected": rejected.tolist(),
            "right_hand_sides": (1 + each * (accepted + rejected)).tolist(),
            "ended": [ENDS[int(end)] for end in self._column(self._all.course.end)],
        }

    @property
    def update_norms(self) -> FloatArray:
        """Norms of a flow's steps, (corrected) gradients of (D, G), shape (R, 2)."""
        return self._numbers(self._all.course.norms)[:, 0, 2:]

    @property
    def peak_grad_norms(self) -> FloatArray:
        """Largest norm of the gradient of (D, G) at all places so far, shape (R, 2)."""
        return self._numbers(self._all.course.peaks)[:, 0]

    def take_lap(self) -> FloatArray:
        """Iterations of each replica since the last call, shape (R,).

        SGDA's plateau is so long that times, other than differences of times, could not tell what
        comes after it apart.
        """
        lap = self._column(self._all.course.lap)
        self._all.course.lap[:] = 0
        return lap

    def _column(self, packed: np.ndarray) -> FloatArray:
        return self._numbers(packed)[:, 0, 0]

    def _numbers(self, packed: np.ndarray) -> FloatArray:
        """What each replica has one of, shape (R, rows, columns)."""
        return packed[..., 0].copy() if self._over_lanes else unpack(packed, self.replicas)


@part(forceinline=False)
def _begin(problem: Problem, replicas: Replicas) -> None:
    """The first slope, and a first step, short."""
    steps, course = replicas.steps, replicas.course
    _slope(problem, steps.base, replicas, steps.K[0])
    store(steps.next_h, 0, 0, fill(steps.h, FIRST))
    for column in range(4):
        norm = load(course.tried, 0, column)
        store(course.norms, 0, column, norm)
        store(course.nodes, 0, column, norm)
    for player in range(2):
        store(course.peaks, 0, player, load(course.tried, 0, player))


@kernel(nogil=True)
def _advance(places: int, t: int, problem: Problem, replicas: Replicas) -> None:
    """From place to place, LANES replicas; of none, what the first step needs."""
    if t == 0 and places == 0:
        _begin(problem, replicas)
    for n in range(places):
        place = (t + n) % PLACES
        if place == 0:
            _attempt(problem, replicas)
        _go_to(place + 1, problem, replicas)


@part(forceinline=False)
def _slope(problem: Problem, Y: np.ndarray, replicas: Replicas, K: np.ndarray) -> None:
    """K = dY/ds."""
    field.velocities(
        problem.game,
        problem.code,
        problem.latents,
        problem.rule,
        replicas.work,
        replicas.correction,
        replicas.alone,
        Y,
        replicas.course.tried,
        K,
    )
    pair.change_time(replicas.steps, problem.code.over_lanes, Y, K)


@part(forceinline=False)
def _attempt(problem: Problem, replicas: Replicas) -> None:
    """A step from where the last one that was accepted ended; of length 0 after the end."""
    steps, course = replicas.steps, replicas.course
    pair.choose(steps.taken, steps.after, steps.base)
    pair.choose(steps.taken, steps.K[pair.STAGES], steps.K[0])
    pair.choose(steps.taken, course.nodes[PLACES:], course.nodes[:1])
    for lane in range(LANES):
        if course.end[0, 0, lane] == RUNNING:
            attempts = steps.accepted[0, 0, lane] + steps.rejected[0, 0, lane]
            if steps.in_a_row[0, 0, lane] >= MOST_REJECTED:
                course.end[0, 0, lane] = STALLED
            elif attempts >= MOST_STEPS:
                course.end[0, 0, lane] = TOO_MANY
        running = course.end[0, 0, lane] == RUNNING
        steps.h[0, 0, lane] = steps.next_h[0, 0, lane] if running else 0.0
    for s in range(1, pair.STAGES + 1):
        argument = steps.after if s == pair.STAGES else steps.point
        pair.combine_row(steps, s, argument)
        _slope(problem, argument, replicas, steps.K[s])
    pair.measure(steps, problem.code.over_lanes, problem.rtol)
    pair.decide(steps)
    for s in range(pair.STAGES + 1, pair.SLOPES):  # for the interpolant
        pair.combine_row(steps, s, steps.point)
        _slope(problem, steps.point, replicas, steps.K[s])
    _survey(problem, replicas)


@part(forceinline=False)
def _survey(problem: Problem, replicas: Replicas) -> None:
    """The gradients' norms at the step's places, and where they are highest between them."""
    course = replicas.course
    for place in range(1, PLACES + 1):
        store(course.x, 0, 0, fill(course.x, place / PLACES))
        _look(problem, replicas)
        for column in range(4):
            store(course.nodes, place, column, load(course.tried, 0, column))
    for player in range(2):
        someone_peaks = False
        for lane in range(LANES):
            course.x[0, 0, lane] = _top(course.nodes, player, lane)
            someone_peaks = someone_peaks or course.x[0, 0, lane] > 0.0
        if someone_peaks:
            _look(problem, replicas)
        store(course.tops, 0, player, load(course.x, 0, 0))
        store(course.tops, 1, player, load(course.tried, 0, player))


@part
def _top(nodes: np.ndarray, player: int, lane: int) -> float:
    """Where the quartic through the logarithms of the norms is highest; 0 at an end of the step."""
    a, b, c, d, e = (
        math.log(nodes[0, player, lane]),
        math.log(nodes[1, player, lane]),
        math.log(nodes[2, player, lane]),
        math.log(nodes[3, player, lane]),
        math.log(nodes[4, player, lane]),
    )
    highest = max(a, b, c, d, e)
    rises = -25 * a + 48 * b - 36 * c + 16 * d - 3 * e > 0
    falls = 3 * a - 16 * b + 36 * c - 48 * d + 25 * e < 0
    if (highest == a and not rises) or (highest == e and not falls):
        return 0.0
    # Newton's forward differences.
    first, second, third = b - a, a - 2 * b + c, -a + 3 * b - 3 * c + d
    fourth = a - 4 * b + 6 * c - 4 * d + e
    top, at = a, 0.0
    for n in range(1, FINE * PLACES + 1):
        value = _quartic(n / FINE, a, first, second, third, fourth)
        if value > top:
            top, at = value, n / FINE
    before = _quartic(at - 1 / FINE, a, first, second, third, fourth) - top
    after = _quartic(at + 1 / FINE, a, first, second, third, fourth) - top
    if before + after < 0:  # a parabola
        at += (before - after) / (before + after) / (2 * FINE)
    return min(max(at / PLACES, 0.0), 1.0)


@part
def _quartic(
    u: float, value: float, first: float, second: float, third: float, fourth: float
) -> float:
    """The quartic with these forward differences, at u in units of their distance."""
    tail = second / 2 + (u - 2) * (third / 6 + (u - 3) * fourth / 24)
    return value + u * first + u * (u - 1) * tail


@part(forceinline=False)
def _go_to(place: int, problem: Problem, replicas: Replicas) -> None:
    """To a place of the step, or to the end, where it was passed on the way."""
    steps, course, x = replicas.steps, replicas.course, place / PLACES
    someone_ends = False
    for lane in range(LANES):
        running = course.end[0, 0, lane] == RUNNING
        course.moving[0, 0, lane] = running and steps.taken[0, 0, lane] == 1.0
        course.x[0, 0, lane] = x
        course.passed[0, 1, lane] = 0.0 if place == 1 else course.passed[0, 0, lane]
    _interpolate(replicas)
    for column in range(4):
        store(course.tried, 0, column, load(course.nodes, place, column))
    for lane in range(LANES):
        if course.moving[0, 0, lane] == 1.0:
            for player in range(2):
                peak = max(course.peaks[0, player, lane], course.nodes[place, player, lane])
                if 0.0 < course.tops[0, player, lane] <= x:
                    peak = max(peak, course.tops[1, player, lane])
                course.peaks[0, player, lane] = peak
            course.end[0, 0, lane] = _end(problem, replicas, lane)
            someone_ends = someone_ends or course.end[0, 0, lane] != RUNNING
    if someone_ends:
        _find_end(x, problem, replicas)
    for lane in range(LANES):
        if course.moving[0, 0, lane] == 1.0:
            course.lap[0, 0, lane] += course.passed[0, 0, lane] - course.passed[0, 1, lane]
    pair.choose(course.moving, steps.point, replicas.state)
    pair.choose(course.moving, course.tried, course.norms)


@part(forceinline=False)
def _interpolate(replicas: Replicas) -> None:
    """The state at each lane's share of its step, and how long it took."""
    steps, course = replicas.steps, replicas.course
    pair.interpolate(steps, course.x)
    pair.combine(steps, pair.SLOPES, steps.point)
    last = steps.base.shape[0] - 1
    store(course.passed, 0, 0, pair.combination(steps, pair.SLOPES, 0, last, 1))


@part(forceinline=False)
def _look(problem: Problem, replicas: Replicas) -> None:
    """`_interpolate`, and the norms there."""
    _interpolate(replicas)
    steps, course = replicas.steps, replicas.course
    field.velocities(
        problem.game,
        problem.code,
        problem.latents,
        problem.rule,
        replicas.work,
        replicas.correction,
        replicas.alone,
        steps.point,
        course.tried,
        steps.slope,
    )


@part
def _end(problem: Problem, replicas: Replicas, lane: int) -> int:
    """Which end the state that was looked at is beyond, if any: `at_rest`, or the horizon."""
    tried, peaks, point = replicas.course.tried, replicas.course.peaks, replicas.steps.point
    if (
        tried[0, 0, lane] <= problem.nu * peaks[0, 0, lane]
        and tried[0, 1, lane] <= problem.nu * peaks[0, 1, lane]
    ):
        return AT_REST
    return HORIZON if point[-1, 1, lane] >= problem.horizon else RUNNING


@part(forceinline=False)
def _find_end(x: float, problem: Problem, replicas: Replicas) -> None:
    """Look just beyond the end, in the lanes that have passed it since the place before x."""
    course = replicas.course
    for lane in range(LANES):
        course.x[0, 1, lane] = x - 1 / PLACES
        for player in range(2):  # it comes after a peak that it is measured by
            if course.tops[0, player, lane] <= x:
                course.x[0, 1, lane] = max(course.x[0, 1, lane], course.tops[0, player, lane])
        course.x[0, 2, lane] = x
    for n in range(HALVINGS + 1):
        for lane in range(LANES):
            if course.moving[0, 0, lane] == 1.0 and course.end[0, 0, lane] != RUNNING:
                middle = 0.5 * (course.x[0, 1, lane] + course.x[0, 2, lane])
                course.x[0, 0, lane] = middle if n < HALVINGS else course.x[0, 2, lane]
        _look(problem, replicas)
        for lane in range(LANES):
            beyond = _end(problem, replicas, lane) != RUNNING
            course.x[0, 2 if beyond else 1, lane] = course.x[0, 0, lane]
