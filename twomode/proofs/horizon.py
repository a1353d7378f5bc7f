"""How long the digits of a run in floating point are those of the run that it stands for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from twomode._typing import FloatArray, IntArray, Whole
from twomode.checks import checked
from twomode.progress import Report, watched
from twomode.proofs.balls import Balls, Undecided, ball, bits_of_precision, bounds
from twomode.proofs.certificates import Bits
from twomode.proofs.instances import Enclosed, Instance, instance_of
from twomode.proofs.proving import MOST_BITS, ProofProgress
from twomode.runs import TRACE, Result, snapshot
from twomode.theory import judge

__all__ = ["PrecisionHorizon", "precision_horizon"]

#: Relative error from which on not one digit is right, and that of an enclosure that tells so.
LOST, KNOWN = 0.1, 1e-3


@dataclass(frozen=True)
class PrecisionHorizon:
    """The error of each recorded quantity against a certified enclosure.

    Attributes
    ----------
    steps : ndarray of int, shape (T,)
        The records that were compared.
    errors : dict of str to ndarray, shape (T,)
        Upper bounds of the largest error of an entry, relative to the largest entry; by the names
        that a `Result` has for what it records.
    bits : int
        Of the enclosures.
    verdict : str
        Of the replica, by `judge`.
    judged_at : int
        The iteration at which it is taken.
    """

    steps: IntArray
    errors: dict[str, FloatArray]
    bits: int
    verdict: str
    judged_at: int

    def lost(self, name: str) -> int | None:
        """The first record from which on not one digit of a quantity is right; None if none is."""
        right = np.flatnonzero(~(self.errors[name] >= LOST))
        first = 0 if len(right) == 0 else int(right[-1]) + 1
        return int(self.steps[first]) if first < len(self.steps) else None

    def rate(self, name: str) -> float:
        """Growth of the error: ln of its ratio, an iteration, until it is lost (or the end).

        A finite-time Lyapunov exponent, from the first record with an error.  NaN without two.
        """
        errors = self.errors[name]
        grows = np.flatnonzero((errors > 0) & (errors < LOST))
        if len(grows) < 2:
            return math.nan
        first, last = grows[0], grows[-1]
        growth = math.log(errors[last] / errors[first])
        return growth / float(self.steps[last] - self.steps[first])

    @property
    def trusted(self) -> bool:
        """Whether each quantity has a right digit from the start up to where the verdict is taken.

        Rounding errors have a say in the verdict where this is false.
        """
        within = self.judged_at <= self.steps[-1]
        ends = [self.lost(name) for name in self.errors]
        return bool(within and all(end is None or end > self.judged_at for end in ends))

    def __str__(self) -> str:
        lines = [f"errors against {self.bits}-bit balls, up to iteration {self.steps[-1]:,}"]
        for name, errors in self.errors.items():
            at = self.lost(name)
            when = f"no digit left from iteration {at:,}" if at is not None else "digits to the end"
            rate = f"growth {self.rate(name):.2g} an iteration"
            lines.append(f"  {name:<16} largest {np.max(errors):<9.2g} {when}, {rate}")
        taken = f"the verdict {self.verdict!r} is taken at iteration {self.judged_at:,}"
        if self.trusted:
            lines.append(f"  {taken}, before any of them has lost its digits")
        else:
            lines.append(f"  {taken}, past the horizon: rounding has a say in it")
        return "\n".join(lines)


@checked
def precision_horizon(
    result: Result,
    replica: Whole = 0,
    *,
    bits: Bits = 256,
    most_bits: Bits = MOST_BITS,
    progress: Report | bool | None = None,
) -> PrecisionHorizon:
    """From which iteration the digits of a run in floating point are no longer those of the run.

    Plays the run again with balls from the exact value of its start, and compares every record.

    Parameters
    ----------
    result : Result
        Of the population gradient in R^r: of the reduced engine, or of ``array`` from a start in
        R^r (float32, say).
    replica : int
        Its place in the result.
    bits, most_bits : int
        Precision at first, and the most to which it is doubled where enclosures are too wide.
    progress : callable, optional
        As for `twomode.simulate`.

    Returns
    -------
    PrecisionHorizon
        Up to the last record that balls enclosed.

    Raises
    ------
    InputError
        For a result of minibatches, of the flow or in R^d, or a replica that it does not have.

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=16, m_D=2, m_G=2)
    >>> horizon = tm.precision_horizon(tm.simulate(game, *tm.recipe(game, "sgda")))
    >>> horizon.lost("projections_V") is None, bool(horizon.errors["projections_V"].max() < 1e-12)
    (True, True)
    """
    instance = instance_of(result, replica)
    with watched(progress, f"horizon d={result.game.d}") as report:
        while True:
            with bits_of_precision(bits):
                found = _compared(instance, result, replica, bits, report)
            if len(found.steps) == len(result.steps) or 2 * bits > most_bits:
                return found
            bits *= 2


def _compared(
    instance: Instance, result: Result, k: int, bits: int, report: Report
) -> PrecisionHorizon:
    """Errors at the records up to the one where an enclosure is too wide to tell them."""
    run, errors = Enclosed(instance), {name: list[float]() for name in TRACE}
    sizes = {name: list[float]() for name in TRACE}
    last = int(result.steps[-1])
    for record, t in enumerate(result.steps.tolist()):
        try:
            while run.t < t:
                run.step()
                if run.t % 16 == 0:
                    report(ProofProgress(run.t, last, bits=bits))
            here = {
                name: _error(enclosed[0], np.asarray(getattr(result, name)[k, record]), sizes[name])
                for name, enclosed in snapshot(run.game, run).items()
            }
        except Undecided:
            break
        for name, error in here.items():
            errors[name].append(error)
    steps = result.steps[: len(errors["bias"])]
    judged = judge(result)
    verdict, at = judged.verdicts[k], int(judged.judged_at[k])
    return PrecisionHorizon(steps, {n: np.array(e) for n, e in errors.items()}, bits, verdict, at)


def _error(enclosed: Balls, floats: FloatArray, sizes: list[float]) -> float:
    """Largest error over largest entry; an upper bound.

    Over the largest of records before (`sizes`) where all entries are 0, as a bias can be.
    """
    pairs = list(zip(np.ravel(enclosed), np.ravel(floats).tolist(), strict=True))
    if all(math.isnan(y) for _, y in pairs):  # a move before any, or a run that diverged
        return 0.0 if all(x.is_nan() for x, _ in pairs) else math.inf
    size = max(bounds(abs(x)).high for x, _ in pairs)
    if size and not max(bounds(x.rad()).high for x, _ in pairs) <= KNOWN * size:
        raise Undecided("an enclosure is too wide")
    sizes.append(size)
    off = max(bounds(abs(x - ball(y))).high for x, y in pairs)
    return off / (size or max(sizes)) if off else 0.0
