"""What a run leaves behind: the recorded trace, the last state, and where it came from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, TypedDict, Unpack

import numpy as np

from twomode._typing import JSON, FloatArray, IntArray
from twomode.checks import checked
from twomode.errors import InputError, require, shown
from twomode.game import Extremes, Game, Outputs, State, extremes
from twomode.io import load_arrays, reading, save_arrays
from twomode.progress import Report
from twomode.rules import Optimizer, label, rule_from_dict
from twomode.runs.checkpoint import Checkpoint
from twomode.runs.labelled import dataset
from twomode.runs.play import play
from twomode.runs.provenance import origin
from twomode.runs.run import Run
from twomode.runs.streams import draw_start
from twomode.runs.trace import is_finite, recorded, to_host
from twomode.shown import Shown, figure
from twomode.tables import counted

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["Result", "load"]

_FORMAT = "twomode result, version 1"
#: Shapes of a state's arrays, after the replica axis.
_STATE: dict[str, tuple[str | int, ...]] = {
    "W": ("m_D", "n"),
    "V": ("m_G", "n"),
    "b": (),
    "U": (2, "n"),
}
#: What is asked of a result's provenance, whichever version has noted it.
_NOTED = {"replicas": (list,), "engine": (str,), "start": (dict, str)}
#: Fields of a rule that version 0.1 let pass where they have no effect, in the order in which one
#: decides about the next; and a rule on which all of them have one.
_ONCE_IDLE = (
    *("heavy_ball", "bias_correction", "beta1", "beta2", "eps"),
    *("granularity", "norm_eps", "constant"),
)
_BUSY = Optimizer(0.0, 0.0, direction="adam", magnitude="constant")


#: One record for all replicas, or one of each.
Records: TypeAlias = int | Annotated[IntArray, "(R)"]


class Changes(TypedDict, total=False):
    """What `Result.again` can change: no number of the run, only what is seen of it."""

    steps: int
    replicas: int | Iterable[int]
    record_every: int | None
    resolve: float | None


@dataclass(frozen=True, repr=False)
class Result(Shown):
    """A finished run of R replicas, recorded at T iterations.

    Attributes
    ----------
    game, opt : Game, Optimizer
        What was run.
    steps : ndarray of int, shape (T,)
        Recorded iterations, from 0; of a flow, places of its integrator (see `times`).
    projections_V : ndarray, shape (R, T, m_G, 2)
        <v_j, u_l>.
    gram_V : ndarray, shape (R, T, m_G, m_G)
        <v_j, v_k>.
    projections_W : ndarray, shape (R, T, m_D, 2)
        <w_i, u_l>.
    norms_W : ndarray, shape (R, T, m_D)
        norm(w_i).
    bias : ndarray, shape (R, T)
        b.
    grad_norms : ndarray, shape (R, T, 2)
        Norms of the population gradient in (W, b) and in V.
    peak_grad_norms : ndarray, shape (R, T, 2)
        Largest norms of the gradients that the rule was given at any iteration before this one.
    update_norms : ndarray, shape (R, T, 2)
        Length of the move that led here, over eta_D and over eta_G; NaN at iteration 0.
    objective : ndarray, shape (R, T)
        In nats.
    state : State
        The last state, with a replica axis, in R^d or reduced to R^r.
    diverged_at : ndarray of int, shape (R,)
        First recorded iteration at which a replica was no longer finite, or -1.  From there on
        its trace is NaN.
    provenance : dict
        ``seed``, ``replicas`` (their indices), ``steps``, ``batch_size``, ``engine``, ``dtype``,
        ``record_every``, ``resolve``, ``start``, ``wall_seconds``, ``steps_per_second``
        (iterations of all replicas together), ``resumed`` (at which iterations, if it was, and
        what was different there), and where it was made: ``command``, ``commit`` (None outside a
        checkout), ``sources`` (a hash), ``versions``, ``cpu``, ``cores``, ``blas``.
    start : State or None
        The explicit start, if it was one.
    intervals : ndarray, shape (R, T), or None
        Of a flow, the iterations since the record before: times near the end of a plateau could
        not be told apart.
    differences_V : ndarray, shape (R, T, m_G), or None
        Of a flow, <v_j, u_1 - u_2>, which may be far smaller than the rounding of either.
    """

    EXAMPLE: ClassVar[str] = "tm.simulate(game, opt, steps)"

    game: Game
    opt: Optimizer
    steps: np.ndarray
    projections_V: FloatArray
    gram_V: FloatArray
    projections_W: FloatArray
    norms_W: FloatArray
    bias: FloatArray
    grad_norms: FloatArray
    peak_grad_norms: FloatArray
    update_norms: FloatArray
    objective: FloatArray
    state: State
    diverged_at: np.ndarray
    provenance: JSON
    start: State | None = None
    intervals: FloatArray | None = None
    differences_V: FloatArray | None = None

    @classmethod
    def of(
        cls,
        run: Run,
        progress: Report | bool | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Result:
        """What a run leaves behind, once it is played."""
        played = play(run, progress, checkpoint)
        resumed = [] if checkpoint is None else checkpoint.resumed
        done, ran = int(played.steps[-1]), played.wall_seconds - played.compile_seconds
        return cls(
            game=run.game,
            opt=run.opt,
            steps=played.steps,
            **played.trace,
            state=State(**{name: to_host(x) for name, x in played.state.arrays().items()}),
            diverged_at=played.diverged_at,
            provenance={
                **run.provenance(),
                "dtype": str(played.state.b.dtype),
                "wall_seconds": played.wall_seconds,
                "compile_seconds": played.compile_seconds,
                "steps_per_second": done * len(run.replicas) / max(ran, 1e-9),
                **origin(),
                **({"flow": played.notes} if played.notes else {}),
                **({"resumed": resumed} if resumed else {}),
            },
            start=run.start if isinstance(run.start, State) else None,
        )

    @checked
    def again(self, *, progress: Report | bool | None = None, **changes: Unpack[Changes]) -> Result:
        """Play the run again: the same numbers, to the last bit on the same machine.

        Parameters
        ----------
        progress : callable, optional
            As for `simulate`.
        **changes
            What is recorded of it: ``record_every``, ``resolve``; how long: ``steps``; of which
            replicas: ``replicas``, as indices.  None is the default of `simulate`.

        Raises
        ------
        InputError
            If the file that the result came from does not say enough, or a value is unusable.

        Examples
        --------
        >>> import twomode as tm
        >>> game = tm.Game.preset(d=64)
        >>> result = tm.simulate(game, *tm.recipe(game, "sgda"), replicas=4, seed=0)
        >>> closer = result.again(replicas=[2], steps=50, record_every=1)
        >>> len(closer.steps), bool(closer.bias[0, 0] == result.bias[2, 0])
        (51, True)
        """
        unknown = changes.keys() - Changes.__optional_keys__
        require(
            not unknown,
            f"{', '.join(sorted(unknown))} would make another run: again() can change"
            f" {', '.join(sorted(Changes.__optional_keys__))}",
        )
        return Result.of(self._run().changed(**changes), progress)

    @cached_property
    def starts(self) -> State:
        """Where the replicas started, drawn again, in R^d or reduced to R^r as the run was.

        Examples
        --------
        >>> import twomode as tm
        >>> game = tm.Game.preset(d=64)
        >>> result = tm.simulate(game, *tm.recipe(game, "sgda"), replicas=4, seed=0)
        >>> start = result.starts
        >>> bool(((start.W @ start.U.mT)[1] == result.projections_W[1, 0]).all())
        True
        """
        run = self._run()
        return draw_start(run.game, run.start, run.seed, run.replicas, reduced=run.in_span)

    def _run(self) -> Run:
        """What was run."""
        noted = self.provenance
        explicit = noted["start"] == "explicit"
        require(
            "record_every" in noted and not (explicit and self.start is None),
            "this result was saved by a version that did not note"
            f" {'its explicit start' if explicit else 'record_every'}: simulate again",
        )
        return Run.from_provenance(self.game, self.opt, noted, self.start)

    def __repr__(self) -> str:
        R, T = self.bias.shape
        d, engine = counted(self.game.d), self.provenance["engine"]
        length = f"{int(self.steps[-1]):,} iterations" if engine != "flow" else "a flow"
        return (
            f"<Result: {label(self.opt)} at d = {d}, {R} replica{'s' * (R > 1)} x {length},"
            f" {T:,} recorded; {engine}>"
        )

    def plot(self, **options: Any) -> Figure:
        """The result's picture: `twomode.plotting.mode_alignment`, which takes the options."""
        return figure(self, **options)

    @property
    def replicas(self) -> int:
        """R, the number of replicas."""
        return len(self.bias)

    @cached_property
    def times(self) -> FloatArray | IntArray:
        """Iterations at each record, shape (R, T): `steps`, or in a flow each replica's own.

        A replica that has ended stays where it is, and so does its time.
        """
        if self.intervals is None:
            return np.broadcast_to(self.steps, self.bias.shape)
        return np.cumsum(self.intervals, axis=1)

    @checked
    def times_at(self, records: Records) -> FloatArray | IntArray:
        """`times` at one record a replica, shape (R,); `records` as in `outputs_at`."""
        self.require_records(records)
        return self.times[np.arange(self.replicas), records]

    @property
    def diverged(self) -> np.ndarray:
        """Which replicas diverged, shape (R,)."""
        return self.diverged_at >= 0

    @checked
    def outputs(self, latents: Annotated[FloatArray, "(S, m_G)"] | None = None) -> Outputs:
        """The generator's outputs at every recorded iteration.

        Parameters
        ----------
        latents : ndarray, shape (S, m_G), optional
            The support of the game's latent law by default.
        """
        if latents is None:
            latents = self.game.latent_points[0]
        known = (self.projections_V, self.gram_V, self.game.gamma)
        return Outputs(*known, latents, self.differences_V)

    @checked
    def outputs_at(self, records: Records) -> Outputs:
        """The generator's outputs at one record a replica, on the support of the latent law.

        Parameters
        ----------
        records : ndarray of int, shape (R,), or int
            Indices into the T recorded iterations; one for all replicas if it is a number.
        """
        projections, gram, differences = self._generators_at(records)
        support = self.game.latent_points[0]
        return Outputs(projections, gram, self.game.gamma, support, differences)

    @cached_property
    def extremes(self) -> Extremes:
        """Extremes over every nonzero z in {0,1}^m_G at every record, each of shape (R, T).

        Where m_G > 20, the support of the latent law stands for all z.
        """
        return extremes(self.game, self.projections_V, self.gram_V, self.differences_V)

    @checked
    def extremes_at(self, records: Records) -> Extremes:
        """`extremes` at one record a replica, each of shape (R,); `records` as in `outputs_at`."""
        return extremes(self.game, *self._generators_at(records))

    def require_records(self, records: IntArray | int) -> None:
        """Raise `InputError` unless the indices are of records, one or one a replica."""
        R, T = self.replicas, len(self.steps)
        require(
            np.shape(records) in ((), (R,)) and bool(np.isin(records, np.arange(-T, T)).all()),
            f"records={shown(records)} must be among the {T} recorded, one or one a replica",
        )

    def _generators_at(
        self, records: IntArray | int
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Projections, Gram matrices and differences at one record a replica."""
        self.require_records(records)
        k = np.arange(self.replicas)
        apart = None if self.differences_V is None else self.differences_V[k, records]
        return self.projections_V[k, records], self.gram_V[k, records], apart

    def collapse_cosine(self) -> FloatArray:
        """E_z over z != 0 of the cosine between G(z) and u_1 + u_2, shape (R, T)."""
        return self.outputs().mean_collapse_cosine(self.game.latent_points[1])

    def coverage(self) -> FloatArray:
        """P_1 and P_2 at delta = sqrt(0.2), shape (R, T, 2)."""
        return self.outputs().coverage(self.game.latent_points[1])

    def pace(self) -> FloatArray:
        """norm(grad_W,b) / norm(grad_V), shape (R, T)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.grad_norms[..., 0] / self.grad_norms[..., 1]

    def to_frame(self) -> pd.DataFrame:
        """One tidy row for each replica and recorded iteration."""
        import pandas as pd

        measured, T = self._measured(), len(self.steps)
        coverage = measured.pop("coverage")
        columns = {
            "replica": np.repeat(self.provenance["replicas"], T),
            "step": np.ravel(self.times),
            **measured,
            "coverage_1": coverage[..., 0],
            "coverage_2": coverage[..., 1],
            "grad_norm_D": self.grad_norms[..., 0],
            "grad_norm_G": self.grad_norms[..., 1],
            "update_norm_D": self.update_norms[..., 0],
            "update_norm_G": self.update_norms[..., 1],
            "objective": self.objective,
            "bias": self.bias,
        }
        return pd.DataFrame({name: np.ravel(values) for name, values in columns.items()})

    def to_xarray(self) -> xr.Dataset:
        """Everything recorded and measured, as labelled arrays.

        Returns
        -------
        xarray.Dataset
            Dimensions ``replica``, ``record``, ``generator_neuron``, ``discriminator_neuron``,
            ``mode``, ``player``, and ``coordinate`` of the last state; ``iteration`` is a
            coordinate of records, in a flow of each replica's.  Every array has ``long_name`` and
            ``units``; game, rule and provenance are attributes, as JSON.

        Raises
        ------
        InputError
            If xarray is not installed.

        Examples
        --------
        >>> import twomode as tm
        >>> game = tm.Game.preset(d=64)
        >>> result = tm.simulate(game, *tm.recipe(game, "sgda"), replicas=4, seed=0)
        >>> labelled = result.to_xarray()
        >>> labelled.grad_norms.sel(player="G").dims, labelled.objective.units
        (('replica', 'record'), 'nat')
        """
        names = (*recorded(self.intervals is not None), "diverged_at")
        arrays = {name: getattr(self, name) for name in names} | self._measured()
        arrays |= {f"state_{name}": array for name, array in self.state.arrays().items()}
        about = {"game": self.game.to_dict(), "rule": self.opt.to_dict()}
        return dataset(
            arrays,
            self.provenance["replicas"],
            self.steps if self.intervals is None else self.times,
            about | {"provenance": self.provenance},
        )

    def _measured(self) -> dict[str, FloatArray]:
        """Of the outputs on the support of z, at every record."""
        outputs, probabilities = self.outputs(), self.game.latent_points[1]
        return {
            "collapse_cosine": outputs.mean_collapse_cosine(probabilities),
            "asymmetry": outputs.asymmetry.max(axis=-1),
            "residual": outputs.residual.max(axis=-1),
            "coverage": outputs.coverage(probabilities),
        }

    @checked
    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write everything to one ``.npz``; whole or not at all, and refused if `path` exists.

        Raises
        ------
        InputError
            If the file exists and `overwrite` is false, or it cannot be written.
        """
        names = ("steps", "diverged_at", *recorded(self.intervals is not None))
        arrays = {name: getattr(self, name) for name in names}
        arrays |= {f"state_{name}": array for name, array in self.state.arrays().items()}
        if self.start is not None:
            start = self.start.arrays().items()
            arrays |= {f"start_{name}": to_host(array, array.dtype) for name, array in start}
        notes = {
            "format": _FORMAT,
            "game": self.game.to_dict(),
            "opt": self.opt.to_dict(),
            "provenance": self.provenance,
        }
        save_arrays(Path(path), arrays, notes, overwrite=overwrite)


@checked
def load(path: str | Path) -> Result:
    """Read a result that `Result.save` wrote.

    Raises
    ------
    InputError
        If the file is missing, damaged, or holds anything but a result: arrays of other names,
        shapes or types, or numbers that are not finite of a replica that had not diverged.

    Notes
    -----
    Fields of the rule that have no effect on it, which version 0.1 let pass, are left out.

    Its checksum tells of damage; that nobody has changed the numbers and renewed it, it cannot.
    """
    arrays, notes = load_arrays(Path(path))
    with reading(Path(path)):
        require(notes.get("format") == _FORMAT, f"not a {_FORMAT}")
        game, source = Game.from_dict(notes["game"]), notes["provenance"]
        explicit = "start_W" in arrays
        start = {name: arrays.pop(f"start_{name}") for name in _STATE} if explicit else {}
        _require_sound(arrays, game, source)
        result = Result(
            game=game,
            opt=_saved_rule(notes["opt"]),
            state=State(**{name: arrays.pop(f"state_{name}") for name in _STATE}),
            provenance=source,
            start=State(**start) if start else None,
            **arrays,
        )
        if result.start is not None:
            game.check(result.start)
        return result


def _saved_rule(saved: JSON) -> Optimizer:
    """The rule of a file, without what has no effect on it."""
    if "step" in saved:
        return rule_from_dict(saved)
    opt = Optimizer(**{name: x for name, x in saved.items() if name not in _ONCE_IDLE})
    for name in (name for name in _ONCE_IDLE if name in saved):
        replace(_BUSY, **{name: saved[name]})  # refuses what has no meaning to any rule
        with contextlib.suppress(InputError):
            opt = replace(opt, **{name: saved[name]})
    return opt


def _require_sound(arrays: Mapping[str, np.ndarray], game: Game, source: JSON) -> None:
    """Raise `InputError` unless the arrays are those that a run of this game leaves behind."""
    for name, kinds in _NOTED.items():
        require(isinstance(source[name], kinds), f"{name}={source[name]!r} is not a run's")
    shapes: dict[str, tuple[str | int, ...]] = {"steps": ("T",), "diverged_at": ("R",)}
    trace = recorded(source["engine"] == "flow")
    shapes |= {name: ("R", "T", *rest) for name, rest in trace.items()}
    shapes |= {f"state_{name}": ("R", *rest) for name, rest in _STATE.items()}
    other = ", ".join(sorted(shapes.keys() ^ arrays.keys()))
    require(not other, f"not the arrays of a result: {other} missing, or too many")
    sizes: dict[str | int, int] = {"m_D": game.m_D, "m_G": game.m_G, 2: 2}
    sizes |= {"R": len(source["replicas"]), "T": arrays["steps"].size}
    sizes |= {"n": arrays["state_W"].shape[-1]}
    for name, shape in shapes.items():
        found, wanted = arrays[name], tuple(sizes[n] for n in shape)
        kind = np.dtype(int if name in ("steps", "diverged_at") else float)
        require(
            (found.shape, found.dtype) == (wanted, kind),
            f"{name} is {found.dtype} of shape {found.shape}, not {kind} of shape {wanted}",
        )
    steps, ends = arrays["steps"], arrays["diverged_at"][:, None]
    require(steps[0] == 0 and bool((np.diff(steps) > 0).all()), "steps must increase from 0")
    lasts = ends < 0
    sound = bool((is_finite(arrays) == (lasts | (steps < ends))).all())
    require(sound, "numbers are finite where a replica had diverged, or not where it had not")
    if lasts.any():
        alive = {name: arrays[f"state_{name}"][lasts[:, 0]] for name in _STATE}
        game.check(State(**alive))
