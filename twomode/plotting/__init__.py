"""Figures.  Takes results and tables, returns Matplotlib axes, simulates nothing."""

from twomode.plotting._style import GROUP_COLOURS, GROUP_MARKERS
from twomode.plotting.adversarial import (
    bias_orders,
    face_atoms,
    gibbs_density,
    gibbs_map,
    loss_histogram,
    loss_trace,
    regularization_path,
    robust_errors,
)
from twomode.plotting.maps import phase_diagram, verdict_map
from twomode.plotting.plane import animate, modes_plane, plane_coordinates
from twomode.plotting.rules import compared, factorial
from twomode.plotting.runs import (
    latent_extremes,
    mode_alignment,
    neuron_alignment,
    pace,
    update_norms,
)
from twomode.plotting.tables import fitted, proportions, scaling, seed_bands

__all__ = [
    "GROUP_COLOURS",
    "GROUP_MARKERS",
    "animate",
    "bias_orders",
    "compared",
    "face_atoms",
    "factorial",
    "fitted",
    "gibbs_density",
    "gibbs_map",
    "latent_extremes",
    "loss_histogram",
    "loss_trace",
    "mode_alignment",
    "modes_plane",
    "neuron_alignment",
    "pace",
    "phase_diagram",
    "plane_coordinates",
    "proportions",
    "regularization_path",
    "robust_errors",
    "scaling",
    "seed_bands",
    "update_norms",
    "verdict_map",
]
