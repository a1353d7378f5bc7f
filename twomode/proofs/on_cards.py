"""What is proved, beside what a card measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from twomode._typing import Whole
from twomode.checks import checked
from twomode.errors import require, shown
from twomode.game import NU
from twomode.progress import Report
from twomode.proofs.certificates import Bits, Certificate, verdict_of
from twomode.proofs.instances import instance_of
from twomode.proofs.proving import MOST_BITS, first_bits, prove
from twomode.runs import Result
from twomode.theory import Card, theorem_4_1, theorem_4_1_collapse, theorem_4_2

__all__ = ["prove_card"]

#: Which claims of a certificate are what a card asks.
_CLAIMS: dict[Callable[..., Card], tuple[str, ...]] = {
    theorem_4_1: ("asymmetry",),
    theorem_4_1_collapse: ("residual",),
    theorem_4_2: ("coverage of u_1", "coverage of u_2"),
}


@checked
def prove_card(
    theorem: Callable[..., Card],
    result: Result,
    replicas: Sequence[Whole] = (0,),
    *,
    bits: Bits | None = None,
    most_bits: Bits = MOST_BITS,
    frame: bool = False,
    progress: Report | bool | None = None,
) -> Card:
    """The card of a theorem, with proofs for some of the replicas.

    The card measures at the records of a run in double precision; a proof is about every iteration
    of the exact run from the same start.

    Parameters
    ----------
    theorem : callable
        `theorem_4_1`, `theorem_4_1_collapse` or `theorem_4_2`, with its own constants.
    result : Result
        Of the population gradient in R^r, as for `precision_horizon`.
    replicas : sequence of int
        Their places in the result.
    bits, most_bits, frame, progress
        As for `certify`.

    Returns
    -------
    Card
        Its ``proofs`` name these replicas, each ``proved``, ``disproved`` or ``undecided``.

    Raises
    ------
    InputError
        For another theorem, a result that cannot be proved of, or replicas that it has not.

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=16, m_D=2, m_G=2)
    >>> result = tm.simulate(game, *tm.recipe(game, "sgda", step_scale=2.0), replicas=2)
    >>> tm.proofs.prove_card(tm.theory.theorem_4_1, result, [1]).proofs
    ((1, 'proved'),)
    """
    require(
        theorem in _CLAIMS,
        f"theorem={shown(theorem)} must be {', '.join(f.__name__ for f in _CLAIMS)}",
    )
    about = "4.2" if theorem is theorem_4_2 else "4.1"
    require(
        result.opt.as_long_as_gradient == (about == "4.1"),
        f"{result.opt.name}: certificates prove Theorem 4.1 of rules whose step is as long as the"
        " gradient, and 4.2 of the others",
    )
    first = first_bits(bits, most_bits, frame)
    instances = [instance_of(result, k) for k in replicas]
    steps, found = int(result.steps[-1]), []
    for k, instance in zip(replicas, instances, strict=True):
        certificate = prove(instance, steps, NU, {}, first, most_bits, progress, frame=frame)
        found.append((k, _verdict(certificate, _CLAIMS[theorem])))
    return replace(theorem(result), proofs=tuple(found))


def _verdict(certificate: Certificate, names: tuple[str, ...]) -> str:
    return verdict_of([claim for claim in certificate.claims if claim.name in names])
