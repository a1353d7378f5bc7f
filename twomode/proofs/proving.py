"""Proving an instance of a theorem, and proving it again from its certificate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

import numpy as np

from twomode._typing import JSON, Horizon, Level, SeedNumber, Whole
from twomode.checks import checked
from twomode.errors import require, shown
from twomode.game import NU, Game, GaussianStart, State
from twomode.io import reading
from twomode.progress import Progress, Report, watched
from twomode.proofs.balls import (
    Between,
    Undecided,
    arithmetic,
    ball,
    bits_of_precision,
    bounds,
    digits,
    overlap,
)
from twomode.proofs.bounds import of_asymmetry, of_coverage, of_residual
from twomode.proofs.certificates import Bits, Certificate, Claim
from twomode.proofs.instances import Enclosed, Framed, Instance, in_reduced_form
from twomode.proofs.outputs import LargestAsymmetry, Rows, coverage, largest_residual, latents_of
from twomode.rules import Optimizer
from twomode.runs import Run, draw_start, origin
from twomode.theory import HORIZON

__all__ = [
    *("MOST_BITS", "ProofProgress", "Share", "certify", "first_bits", "prove"),
    "verify_certificate",
]

#: Of a number, by which it may be off.
Share: TypeAlias = Annotated[float, "[0, 1)"]
#: Where precision begins, and the most that is tried.
BITS, MOST_BITS = 128, 8192
#: Of doubles.
DOUBLE = 53
UNKNOWN = Between(0.0, np.inf)
#: Takes the iteration that a proof has come to.
Tell: TypeAlias = Callable[[int], None]


@dataclass(frozen=True)
class ProofProgress(Progress):
    """How far a proof is."""

    bits: int = 0

    @property
    def note(self) -> str:
        """The precision."""
        return f"{self.bits} bits"


@checked
def certify(
    game: Game,
    opt: Optimizer,
    steps: Horizon,
    *,
    seed: SeedNumber | np.random.SeedSequence | None = None,
    replica: Whole = 0,
    start: State | GaussianStart | None = None,
    radius: Share = 0.0,
    nu: Level = NU,
    bits: Bits | None = None,
    most_bits: Bits = MOST_BITS,
    frame: bool = False,
    progress: Report | bool | None = None,
) -> Certificate:
    """Prove, with ball arithmetic, that a run does what a theorem says.

    Of a rule whose step is as long as the gradient (SGDA, momentum, extragradient, ...), Theorem
    4.1: which iteration is T_0; at every t <= T_0 and every z the asymmetry is at most its card's
    bound; and at T_0 so is the residual.  Of one that is normalized, Theorem 4.2: at T_1 both modes
    are covered.

    Parameters
    ----------
    game, opt, steps, seed, start
        As for `twomode.simulate`.  The rule must be rotation-equivariant.
    replica : int
        Which replica of the seed: the proof is about the start that `simulate` gives it.
    radius : float
        Prove it for all starts whose coordinates are off by at most this share of themselves.
    nu : float
        Of T_0.
    bits, most_bits : int
        Precision at first (128 by default), and the most to which it is doubled where balls do not
        tell.
    frame : bool
        Enclose it in doubles and ellipsoids that follow the run instead, which do not wrap: for
        long runs, and for boxes of starts.
    progress : callable, optional
        As for `twomode.simulate`.

    Returns
    -------
    Certificate
        Its `verdict` is ``undecided`` where balls did not tell.

    Raises
    ------
    InputError
        For an unusable value, or a rule that is not rotation-equivariant.

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=16, m_D=2, m_G=2)
    >>> certificate = tm.certify(game, *tm.recipe(game, "sgda", step_scale=2.0), replica=1)
    >>> certificate.verdict, certificate.T0
    ('proved', 32)
    """
    run = Run.of(game, opt, steps, replicas=[replica], seed=seed, start=start, engine="reduced")
    first = first_bits(bits, most_bits, frame)
    drawn = draw_start(game, run.start, run.seed, run.replicas, reduced=True).replica(0)
    instance = Instance(game, opt, in_reduced_form(game, drawn), radius)
    source = {"seed": None, "start": "explicit"}
    if isinstance(run.start, GaussianStart):
        names = ("seed", "spawn_key", "replicas", "start")
        source = {name: run.provenance()[name] for name in names}
    return prove(instance, steps, nu, source, first, most_bits, progress, frame=frame)


def first_bits(bits: int | None, most_bits: int, frame: bool) -> int:
    """Where precision begins, if it is given or not; raises `InputError` for what cannot be."""
    if frame:
        require(bits is None, f"bits={bits} are of balls: leave it out with frame=True")
        return DOUBLE
    first = bits or min(BITS, most_bits)
    require(first <= most_bits, f"bits={bits} must not exceed most_bits={most_bits}")
    return first


def prove(
    instance: Instance,
    steps: int,
    nu: float,
    source: JSON,
    bits: int,
    most_bits: int,
    progress: Report | bool | None = None,
    *,
    frame: bool = False,
) -> Certificate:
    """As `certify`, of an instance; precision is doubled as long as that decides more."""
    began, found = time.perf_counter(), None
    enclosed, most_bits = (Framed, bits) if frame else (Enclosed, most_bits)
    about = _theorem_4_1 if instance.opt.as_long_as_gradient else _theorem_4_2
    with watched(progress, f"proof d={instance.game.d}") as report:
        while True:
            before = found
            with bits_of_precision(bits):
                told = partial(_tell, report, steps, bits)
                found = about(instance, enclosed, steps, nu, told)
            gained = before is None or found.until > before.until
            if not found.undecided or not gained or 2 * bits > most_bits:
                break
            bits *= 2
    made = {**origin(), "arithmetic": arithmetic(), "seconds": time.perf_counter() - began}
    return Certificate(
        instance,
        steps=steps,
        nu=nu,
        bits=bits,
        frame=frame,
        source=source,
        made=made,
        **found._asdict(),
    )


@checked
def verify_certificate(
    path: str | Path, *, bits: Bits | None = None, progress: Report | bool | None = None
) -> Certificate:
    """Prove a certificate again, from nothing but its instance, with another precision.

    Parameters
    ----------
    path : str or Path
        What `Certificate.save` wrote.
    bits : int, optional
        Of the new proof, in balls; by default half as many again as the certificate's, or along a
        frame what was proved so.
    progress : callable, optional
        As for `twomode.simulate`.

    Returns
    -------
    Certificate
        The new one.

    Raises
    ------
    InputError
        If the file is damaged, or says anything that the new proof does not find so.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=16, m_D=2, m_G=2)
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "certificate.json")
    ...     tm.certify(game, *tm.recipe(game, "sgda", step_scale=2.0), replica=1).save(file)
    ...     tm.proofs.verify_certificate(file).verdict
    'proved'
    """
    old = Certificate.load(path)
    frame = old.frame and bits is None
    first = DOUBLE if frame else bits or old.bits * 3 // 2
    most = max(4 * first, MOST_BITS)
    new = prove(old.instance, old.steps, old.nu, old.source, first, most, progress, frame=frame)
    for name in ("theorem", "T0", "until", "verdict"):
        said, found = getattr(old, name), getattr(new, name)
        require(said == found, f"{path}: {name} is {shown(said)}, but it is proved to be {found!r}")
    require(
        [(c.name, c.words, c.at_most) for c in old.claims]
        == [(c.name, c.words, c.at_most) for c in new.claims],
        f"{path}: its claims are not those of its instance",
    )
    for said, found in zip(old.claims, new.claims, strict=True):
        for side in ("left", "right"):
            x, y = getattr(said, side), getattr(found, side)
            require(
                x.low <= y.high and y.low <= x.high,
                f"{path}: {said.name} is said to lie within {x.low!r} and {x.high!r}, but it lies"
                f" within {y.low!r} and {y.high!r}",
            )
    with reading(Path(path)):
        agree = all(_agree(x, y) for x, y in zip(old.enclosures, new.enclosures, strict=True))
        require(agree, "its enclosures do not overlap those that are found")
    return new


def _tell(report: Report, steps: int, bits: int, t: int) -> None:
    if t % 16 == 0:
        report(ProofProgress(t, steps, bits=bits))


def _agree(old: JSON, new: JSON) -> bool:
    return old["t"] == new["t"] and all(
        overlap(x, y)
        for name in new
        if name != "t"
        for x, y in zip(old[name], new[name], strict=True)
    )


class _Found(NamedTuple):
    """What one precision proves."""

    theorem: str
    T0: int | None
    until: int
    claims: tuple[Claim, ...]
    undecided: str
    enclosures: list[JSON]


def _theorem_4_1(
    instance: Instance, enclosed: type[Enclosed], steps: int, nu: float, tell: Tell
) -> _Found:
    """T_0, the asymmetry up to it, and the residual at it."""
    game, run = instance.game, enclosed(instance)
    asymmetry, residual = LargestAsymmetry(game), UNKNOWN
    T0, until, undecided = None, -1, ""
    seen: list[dict[str, Any]] = []
    try:
        while T0 is None and run.t <= steps:
            rows = Rows(game, run.state)
            seen = [*seen[-1:], run.numbers(rows.projections)]
            asymmetry.look(run.t, rows)
            if run.at_rest(nu):
                T0 = run.t
            until = run.t
            tell(until)
            if T0 is None:
                run.step()
        if T0 is not None:
            residual = largest_residual(game, rows)
    except Undecided as why:
        undecided = str(why)
    z, when = (
        f"all {len(latents_of(game)):,} z",
        "T_0" if T0 is not None else f"iteration {until:,}",
    )
    left = asymmetry.between if T0 is not None or until == steps else UNKNOWN
    left = Between(asymmetry.between.low, left.high)
    (far, far_words), (near, near_words) = of_asymmetry(game, instance.opt), of_residual(game)
    words = f"largest asymmetry of {z}, up to {when}, <= {far_words}"
    claims = (
        Claim("asymmetry", words, left, bounds(far), at_most=True),
        Claim(
            "residual",
            f"largest residual of {z}, at T_0, <= {near_words}",
            residual,
            bounds(near),
            True,
        ),
    )
    return _Found("4.1", T0, until, claims, undecided, [_written(x) for x in seen])


def _theorem_4_2(
    instance: Instance, enclosed: type[Enclosed], steps: int, nu: float, tell: Tell
) -> _Found:
    """The coverage of both modes at T_1."""
    game, opt, run = instance.game, instance.opt, enclosed(instance)
    T1 = min(steps, math.floor(HORIZON * (1 + 1e-9) / opt.eta_D)) if opt.eta_D else steps
    undecided, seen = "", []
    covered: tuple[tuple[Fraction, Fraction], ...] = ((Fraction(0), Fraction(1)),) * 2
    try:
        while run.t < T1:
            run.step()
            tell(run.t)
        rows = Rows(game, run.state)
        covered, seen = coverage(game, rows), [run.numbers(rows.projections)]
    except Undecided as why:
        undecided = str(why)
    right, words = of_coverage(game)
    claims = tuple(
        Claim(
            f"coverage of u_{mode}",
            f"Pr_z(cos(G(z), u_{mode}) >= 0.9), at T_1 = {T1:,}, >= {words}",
            Between(bounds(ball(low)).low, bounds(ball(high)).high),
            bounds(right),
            at_most=False,
        )
        for mode, (low, high) in enumerate(covered, start=1)
    )
    return _Found(
        "4.2", None, run.t - bool(undecided), claims, undecided, [_written(x) for x in seen]
    )


def _written(numbers: dict[str, Any]) -> JSON:
    return {
        name: x if isinstance(x, int) else [digits(y) for y in x.flat]
        for name, x in numbers.items()
    }
