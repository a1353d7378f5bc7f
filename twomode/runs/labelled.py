"""What a result holds as labelled arrays: the names of their axes, their units, what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from twomode._typing import JSON
from twomode.errors import InputError
from twomode.io import to_json

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["dataset"]

_D, _G, _OTHER = "discriminator_neuron", "generator_neuron", "other_generator_neuron"


class _Label(NamedTuple):
    """The axes of an array after those of replicas and records, and what it is."""

    axes: tuple[str, ...]
    meaning: str
    units: str = "1"


#: What has an entry for each replica and record.
_RECORDED = {
    "projections_V": _Label((_G, "mode"), "<v_j, u_l>"),
    "gram_V": _Label((_G, _OTHER), "<v_j, v_k>"),
    "differences_V": _Label((_G,), "<v_j, u_1 - u_2>"),
    "projections_W": _Label((_D, "mode"), "<w_i, u_l>"),
    "norms_W": _Label((_D,), "norm of w_i"),
    "bias": _Label((), "b"),
    "grad_norms": _Label(("player",), "norm of the population gradient"),
    "peak_grad_norms": _Label(("player",), "largest norm of a gradient so far"),
    "update_norms": _Label(("player",), "length of the move that led here, over eta"),
    "objective": _Label((), "objective", "nat"),
    "intervals": _Label((), "since the record before", "iterations"),
    "collapse_cosine": _Label((), "E_z cos(G(z), u_1 + u_2) over z != 0"),
    "coverage": _Label(("mode",), "Pr_z(cos(G(z), u_l) >= 0.9)"),
    "asymmetry": _Label((), "largest asymmetry of G(z) over the support of z"),
    "residual": _Label((), "largest residual of G(z) over the support of z"),
}
#: What has one for each replica.
_LAST = {
    "state_W": _Label((_D, "coordinate"), "w_i in the end"),
    "state_V": _Label((_G, "coordinate"), "v_j in the end"),
    "state_b": _Label((), "b in the end"),
    "state_U": _Label(("mode", "coordinate"), "u_l, in the coordinates of the last state"),
    "diverged_at": _Label((), "first record that was no longer finite, or -1", "iterations"),
}


def dataset(
    arrays: Mapping[str, np.ndarray],
    replicas: list[int],
    iteration: np.ndarray,
    attributes: Mapping[str, JSON],
) -> xr.Dataset:
    """Label arrays of these names.

    Parameters
    ----------
    arrays : mapping of str to ndarray
    replicas : list of int
        Their indices.
    iteration : ndarray, shape (T,) or (R, T)
    attributes : mapping
        Plain JSON, which becomes text.

    Raises
    ------
    InputError
        If xarray is not installed.
    """
    try:
        import xarray as xr
    except ImportError as error:
        raise InputError('to_xarray needs xarray: pip install "twomode[xarray]"') from error

    def labelled(name: str) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
        time = ("record",) if name in _RECORDED else ()
        label = (_RECORDED | _LAST)[name]
        about = {"long_name": label.meaning, "units": label.units}
        return ("replica", *time, *label.axes), arrays[name], about

    axes = ("replica", "record")[-iteration.ndim :]
    coordinates = {
        "replica": ("replica", replicas, {"long_name": "index of the replica"}),
        "iteration": (axes, iteration, {"long_name": "iterations so far", "units": "iterations"}),
        "mode": ("mode", ["u_1", "u_2"]),
        "player": ("player", ["D", "G"]),
    }
    texts = {name: to_json(value, sort_keys=True) for name, value in attributes.items()}
    return xr.Dataset({name: labelled(name) for name in arrays}, coordinates, texts)
