"""What a run leaves behind: the recorded trace, the last state, and where it came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from twomode._typing import FloatArray
from twomode.errors import require
from twomode.game import LARGEST_CHECKED, EveryOutput, Game, Outputs, State
from twomode.io import load_arrays, save_arrays
from twomode.rules import Optimizer
from twomode.runs.trace import TRACE

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Extremes", "Result", "load", "over_latents"]

_FORMAT = "twomode result, version 1"

#: Outputs G(z) that are measured together, for speed and within memory.
_OUTPUTS_AT_ONCE = 2**17


class Extremes(NamedTuple):
    """What bounds a generator's outputs over all latents z."""

    asymmetry: FloatArray  #: the largest
    residual: FloatArray  #: the largest
    alpha: FloatArray  #: the smallest, negative if any output points away from u_1 + u_2


@dataclass(frozen=True)
class Result:
    """A finished run of R replicas, recorded at T iterations.

    Attributes
    ----------
    game, opt : Game, Optimizer
        What was run.
    steps : ndarray of int, shape (T,)
        Recorded iterations, from 0.
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
        Length of the step that led here, over eta_D and over eta_G; NaN at iteration 0.
    objective : ndarray, shape (R, T)
        In nats.
    state : State
        The last state, with a replica axis, in R^d or reduced to R^r.
    diverged_at : ndarray of int, shape (R,)
        First recorded iteration at which a replica was no longer finite, or -1.  From there on
        its trace is NaN.
    provenance : dict
        ``seed``, ``replicas`` (their indices), ``batch_size``, ``engine``, ``dtype``, ``start``,
        ``wall_seconds``, ``steps_per_second`` (iterations of all replicas together), ``versions``.
    """

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
    provenance: dict[str, Any]

    @property
    def replicas(self) -> int:
        """R, the number of replicas."""
        return len(self.bias)

    @property
    def diverged(self) -> np.ndarray:
        """Which replicas diverged, shape (R,)."""
        return self.diverged_at >= 0

    def outputs(self, latents: FloatArray | None = None, at: Any = slice(None)) -> Outputs:
        """The generator's outputs at recorded iterations.

        Parameters
        ----------
        latents : ndarray, shape (S, m_G), optional
            The support of the game's latent law by default.
        at : index into the T recorded iterations
            All of them by default; an array of R indices picks one iteration a replica.
        """
        if latents is None:
            latents = self.game.latent_points[0]
        rows = self._rows(at)
        return Outputs(self.projections_V[rows], self.gram_V[rows], self.game.gamma, latents)

    @cached_property
    def extremes(self) -> Extremes:
        """Extremes over every nonzero z in {0,1}^m_G at every record, each of shape (R, T).

        Where m_G > 20, the support of the latent law stands for all z.
        """
        return _extremes(self.game, self.projections_V, self.gram_V)

    def extremes_at(self, records: np.ndarray) -> Extremes:
        """`extremes` at one recorded iteration a replica; indices and shapes (R,)."""
        rows = self._rows(records)
        return _extremes(self.game, self.projections_V[rows], self.gram_V[rows])

    def _rows(self, at: Any) -> Any:
        """Index of the trace's first two axes."""
        return (np.arange(self.replicas) if isinstance(at, np.ndarray) else slice(None), at)

    def collapse_cosine(self) -> FloatArray:
        """E_z of the cosine between G(z) and u_1 + u_2, shape (R, T)."""
        return self.outputs().collapse_cosine @ self.game.latent_points[1]

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

        outputs, probabilities = self.outputs(), self.game.latent_points[1]
        coverage = outputs.coverage(probabilities)
        R, T = self.bias.shape
        columns = {
            "replica": np.repeat(self.provenance["replicas"], T),
            "step": np.tile(self.steps, R),
            "collapse_cosine": outputs.collapse_cosine @ probabilities,
            "asymmetry": outputs.asymmetry.max(axis=-1),
            "residual": outputs.residual.max(axis=-1),
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

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write everything to one ``.npz``; atomic, and refused if `path` exists.

        Raises
        ------
        InputError
            If the file exists and `overwrite` is false, or it cannot be written.
        """
        arrays = {name: getattr(self, name) for name in ("steps", "diverged_at", *TRACE)}
        arrays |= {f"state_{name}": array for name, array in self.state.arrays().items()}
        metadata = {
            "format": _FORMAT,
            "game": self.game.to_dict(),
            "opt": self.opt.to_dict(),
            "provenance": self.provenance,
        }
        save_arrays(Path(path), arrays, metadata, overwrite=overwrite)


def over_latents(
    game: Game,
    projections_V: FloatArray,
    gram_V: FloatArray,
    measure: Callable[[Outputs], FloatArray],
) -> FloatArray:
    """Measure generators at every nonzero z, at the law's support if m_G > 20.

    Parameters
    ----------
    game : Game
    projections_V, gram_V : ndarray, shapes (..., m_G, 2) and (..., m_G, m_G)
    measure : callable
        Takes the outputs of n generators, returns an array of shape (n, ...) without the latents.

    Returns
    -------
    ndarray, shape (..., ...)
        The generators' axes, then those of the measure.
    """
    shape = gram_V.shape[:-2]
    projections = projections_V.reshape(-1, *projections_V.shape[-2:])
    gram = gram_V.reshape(-1, *gram_V.shape[-2:])
    every = game.m_G <= LARGEST_CHECKED
    support = game.latent_points[0]
    at_once = max(1, _OUTPUTS_AT_ONCE // (2**game.m_G if every else len(support)))
    measured = []
    for begin in range(0, len(gram), at_once):
        piece = slice(begin, begin + at_once)
        outputs = (
            EveryOutput(projections[piece], gram[piece], game.gamma)
            if every
            else Outputs(projections[piece], gram[piece], game.gamma, support)
        )
        measured.append(measure(outputs))
    found = np.concatenate(measured)
    return found.reshape(*shape, *found.shape[1:])


def _extremes(game: Game, projections_V: FloatArray, gram_V: FloatArray) -> Extremes:
    """Extremes over the latents, with the leading axes of the arguments."""

    def measure(outputs: Outputs) -> FloatArray:
        found = outputs.asymmetry.max(-1), outputs.residual.max(-1), outputs.alpha.min(-1)
        return np.stack(found, axis=-1)

    return Extremes(*np.moveaxis(over_latents(game, projections_V, gram_V, measure), -1, 0))


def load(path: str | Path) -> Result:
    """Read a result that `Result.save` wrote.

    Raises
    ------
    InputError
        If the file is missing, truncated, altered or of another kind.
    """
    arrays, metadata = load_arrays(Path(path))
    require(metadata.get("format") == _FORMAT, f"{path} is not a {_FORMAT}")
    state = {name: arrays.pop(f"state_{name}") for name in ("W", "V", "b", "U")}
    return Result(
        game=Game.from_dict(metadata["game"]),
        opt=Optimizer(**metadata["opt"]),
        state=State(**state),
        provenance=metadata["provenance"],
        **arrays,
    )
