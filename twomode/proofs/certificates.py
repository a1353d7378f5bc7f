"""A certificate: what is proved of an instance, with all that is needed to prove it again."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from twomode._typing import JSON, Horizon, Level, Whole
from twomode.checks import checked, take
from twomode.errors import require
from twomode.io import read_json, reading, to_json
from twomode.names import save_text
from twomode.proofs.balls import Between
from twomode.proofs.instances import Instance

__all__ = ["Bits", "Certificate", "Claim", "verdict_of"]

_FORMAT = "twomode certificate, version 1"
#: Of midpoints.
Bits: TypeAlias = Annotated[int, "[24, 1000000]"]
#: What stands in files, by the names of a certificate.
_KINDS: dict[str, Any] = {
    "theorem": str,
    "steps": Horizon,
    "nu": Level,
    "T0": Whole | None,
    "until": Annotated[int, "[-1, 9e18]"],
    "undecided": str,
    "bits": Bits,
    "frame": bool,
}


@dataclass(frozen=True)
class Claim:
    """An inequality between two numbers that are known between bounds.

    Attributes
    ----------
    name, words : str
        In short, and in full.
    left, right : Between
        Floats that are proved to lie below and above.
    at_most : bool
        Whether it reads left <= right; left >= right otherwise.
    """

    name: str
    words: str
    left: Between
    right: Between
    at_most: bool

    @property
    def verdict(self) -> str:
        """``proved``, ``disproved`` or ``undecided``."""
        small, large = (self.left, self.right) if self.at_most else (self.right, self.left)
        if small.high <= large.low:
            return "proved"
        return "disproved" if small.low > large.high else "undecided"

    @property
    def margin(self) -> float:
        """A lower bound of the part of the right side by which the inequality holds."""
        part = self.left.high / self.right.low if self.at_most else self.left.low / self.right.high
        part = 1 - part if self.at_most else part - 1
        return part - 2.0**-50 if math.isfinite(part) else -math.inf

    def __str__(self) -> str:
        near, sign = (self.left.high, "<=") if self.at_most else (self.left.low, ">=")
        asked = f"{self.words}, that is {sign} {self.right.low:.4g}"
        if self.verdict != "proved":
            return f"{self.verdict}: {asked} (it is {self.left.low:.4g} to {self.left.high:.4g})"
        least = math.floor(1000 * self.margin) / 10
        return f"proved: {asked} (it is {sign} {near:.4g}, margin over {least:g} %)"


def verdict_of(claims: Iterable[Claim]) -> str:
    """``proved`` if every claim is, ``disproved`` if one is, else ``undecided``."""
    verdicts = {claim.verdict for claim in claims}
    if "disproved" in verdicts:
        return "disproved"
    return "proved" if verdicts == {"proved"} else "undecided"


@dataclass(frozen=True)
class Certificate:
    """What is proved of one run, or of all runs from a box of starts.

    It is a proof by computation: every number was enclosed in a ball, with all rounding errors.  It
    proves an instance of a theorem, never the theorem.

    Attributes
    ----------
    instance : Instance
        Game, rule and start, exact.
    theorem : str
        ``4.1`` of a rule whose step is as long as the gradient, else ``4.2``.
    steps : int
        As asked for.
    nu : float
        Of T_0: both gradient norms are at most nu times their largest so far.
    T0 : int or None
        The first such iteration, proved to be the first; None if there is none up to `until`.
    until : int
        The last iteration up to which balls told everything.
    claims : tuple of Claim
    undecided : str
        What balls did not tell at the iteration after `until`; empty if they told all.
    bits : int
        Precision of the midpoints.
    frame : bool
        Whether it was enclosed in doubles along a frame, and not in balls.
    enclosures : list of dict
        Numbers at the deciding iterations, as texts that python-flint reads.
    source : dict
        Where the start came from.
    made : dict
        Versions, commit, seconds.
    """

    instance: Instance
    theorem: str
    steps: int
    nu: float
    T0: int | None
    until: int
    claims: tuple[Claim, ...]
    undecided: str
    bits: int
    frame: bool
    enclosures: list[JSON]
    source: JSON
    made: JSON

    @property
    def verdict(self) -> str:
        """``proved`` if every claim is, ``disproved`` if one is, else ``undecided``."""
        found = verdict_of(self.claims)
        return "undecided" if found == "proved" and self.undecided else found

    def describe(self) -> str:
        """One paragraph: what is proved, of what, and what is not."""
        game, opt = self.instance.game, self.instance.opt
        radius = self.instance.radius
        start = f"every start within {radius:.3g} of it, relatively," if radius else "this start"
        source = self.source
        drawn = "an explicit start"
        if source["start"] != "explicit":
            drawn = f"seed {source['seed']}, replica {source['replicas'][0]}"
        arithmetic = "doubles along a frame" if self.frame else f"{self.bits}-bit balls"
        words = [
            f"Theorem {self.theorem}, this instance: {self.verdict} in {arithmetic}."
            f" {opt.name} with eta_D = {opt.eta_D:.4g}, eta_G = {opt.eta_G:.4g} at d ="
            f" {game.d:,} from {drawn}, for {start} as exact numbers in"
            f" R^{game.reduced_dimension}."
        ]
        if self.theorem == "4.1":
            first = f"No iteration up to {self.until:,} is one"
            if self.T0 is not None:
                first = f"T_0 = {self.T0:,} is the first iteration"
            words.append(
                f"{first} at which both gradients are at most {self.nu:g} of their largest so far."
            )
        words += [f"({n}) {claim}." for n, claim in enumerate(self.claims, start=1)]
        if self.undecided:
            words.append(
                f"At iteration {self.until + 1:,} the enclosures do not tell: {self.undecided}."
            )
        words.append(
            "That is an instance; it says nothing of other starts, and does not prove the theorem."
        )
        return " ".join(words)

    def __str__(self) -> str:
        return self.describe()

    def to_dict(self) -> JSON:
        """Plain-JSON form; `from_dict` is its inverse."""
        return {
            "format": _FORMAT,
            "statement": self.describe(),
            "verdict": self.verdict,
            "theorem": self.theorem,
            "T0": self.T0,
            "until": self.until,
            "claims": [
                {
                    "name": claim.name,
                    "words": claim.words,
                    "left": list(claim.left),
                    "right": list(claim.right),
                    "at_most": claim.at_most,
                    "verdict": claim.verdict,
                    "margin": claim.margin,
                }
                for claim in self.claims
            ],
            "undecided": self.undecided,
            "bits": self.bits,
            "frame": self.frame,
            "steps": self.steps,
            "nu": self.nu,
            "source": self.source,
            "made": self.made,
            "enclosures": self.enclosures,
            "instance": self.instance.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: JSON) -> Certificate:
        """Rebuild a certificate from `to_dict`; what it says need not be true."""
        require(values["format"] == _FORMAT, f"not of the format {_FORMAT!r}")
        claims = tuple(
            Claim(
                str(claim["name"]),
                str(claim["words"]),
                Between(*map(float, claim["left"])),
                Between(*map(float, claim["right"])),
                bool(claim["at_most"]),
            )
            for claim in values["claims"]
        )
        found = cls(
            instance=Instance.from_dict(values["instance"]),
            claims=claims,
            **{name: take(name, values[name], kind) for name, kind in _KINDS.items()},
            **{name: values[name] for name in ("enclosures", "source", "made")},
        )
        found.describe()  # raises what is wrong with the rest
        require(found.verdict == values["verdict"], "its verdict is not that of its claims")
        return found

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write it as one file of strict JSON; see `twomode.names.new_file`."""
        save_text(Path(path), to_json(self.to_dict(), indent=1) + "\n", overwrite=overwrite)

    @classmethod
    @checked
    def load(cls, path: str | Path) -> Certificate:
        """Read what `save` wrote; `verify_certificate` proves it again.

        Raises
        ------
        InputError
            If the file is missing, damaged or of another kind.
        """
        values = read_json(Path(path))
        with reading(Path(path)):
            return cls.from_dict(values)
