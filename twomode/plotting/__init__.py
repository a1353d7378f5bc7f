"""Figures.  Takes results and tables, returns Matplotlib axes, simulates nothing."""

from twomode.plotting.plane import animate, modes_plane, plane_coordinates
from twomode.plotting.rules import compared, factorial
from twomode.plotting.runs import (
    latent_extremes,
    mode_alignment,
    neuron_alignment,
    pace,
    update_norms,
)
from twomode.plotting.tables import fitted, phase_diagram, proportions, scaling

__all__ = [
    "animate",
    "compared",
    "factorial",
    "fitted",
    "latent_extremes",
    "mode_alignment",
    "modes_plane",
    "neuron_alignment",
    "pace",
    "phase_diagram",
    "plane_coordinates",
    "proportions",
    "scaling",
    "update_norms",
]
