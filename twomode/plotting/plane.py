"""Figures in the plane of the two modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from twomode._typing import Count, FloatArray
from twomode.checks import checked
from twomode.errors import require
from twomode.plotting._style import MODE_COLOURS, PLAYER_COLOURS, as_list, typical, which_replica
from twomode.runs import Result
from twomode.theory import judge

__all__ = ["animate", "modes_plane", "plane_coordinates"]

#: Area, in square points, of a marker that stands for probability 1.
_AREA = 1500.0
#: Part of the frames of an animation that is spread evenly over time, not over movement.
_EVEN = 0.15
#: Frames that repeat the last one before the animation starts again.
_HOLD = 12


@checked
def plane_coordinates(
    projections: Annotated[ArrayLike, "(..., 2)"], gamma: Annotated[float, "(-1, 1)"]
) -> FloatArray:
    """Coordinates in the plane of u_1 and u_2 from the products <x, u_1>, <x, u_2>.

    Orthonormal, and symmetric between the modes: u_1 lies next to the first axis, u_2 next to the
    second, u_1 + u_2 on the diagonal.

    Parameters
    ----------
    projections : array_like, shape (..., 2)
    gamma : float
        <u_1, u_2>, in (-1, 1).

    Returns
    -------
    ndarray, shape (..., 2)
        The projections times the inverse root of the modes' Gram matrix.

    Examples
    --------
    The modes themselves, at right angles and with a cosine of 0.6:

    >>> import twomode as tm
    >>> tm.plotting.plane_coordinates([[1, 0], [0, 1]], 0).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    >>> tm.plotting.plane_coordinates([[1, 0.6], [0.6, 1]], 0.6).round(3).tolist()
    [[0.949, 0.316], [0.316, 0.949]]
    """
    along, across = 1 / np.sqrt(1 + gamma), 1 / np.sqrt(1 - gamma)
    inverse_root = np.array([[along + across, along - across], [along - across, along + across]])
    return np.asarray(projections, dtype=float) @ (inverse_root / 2)


@checked
def modes_plane(
    axes: Axes,
    result: Result,
    *,
    record: int = -1,
    replica: int | None = None,
    directions: bool = False,
    trails: bool = True,
) -> Axes:
    """The generator's outputs G(z) in the plane of the two modes, at one recorded iteration.

    Parameters
    ----------
    axes : Axes
    result : Result
    record : int
        Index into ``result.steps``.
    replica : int, optional
        Position of the replica to draw; by default the one that stands for the run.
    directions : bool
        Whether to divide each output by its norm: it then lies in the unit disc, and on its
        border if it lies in the plane.
    trails : bool
        Whether to draw the way of G(z) for each single z (each v_j) up to then.

    Returns
    -------
    Axes
        The same.  A marker's area is the probability of its z.

    Examples
    --------
    The ways of three neurons, and the outputs for the six z of positive probability:

    >>> from matplotlib.figure import Figure
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=16)
    >>> result = tm.simulate(game, *tm.recipe(game, "sgda"), replicas=3, seed=1)
    >>> axes = tm.plotting.modes_plane(Figure().subplots(), result)
    >>> len(axes.lines), len(axes.collections[0].get_offsets())
    (3, 6)
    """
    judgement = judge(result)
    k = typical(judgement, replica)
    game = result.game
    T = len(result.steps)
    require(-T <= record < T, f"record={record} is none of the {T} recorded, from 0")
    record = range(T)[record]
    probabilities = game.latent_points[1]
    outputs = result.outputs_at(record)
    projections = outputs.projections[k]
    if directions:
        projections = outputs.cosines[k]
    points = plane_coordinates(projections, game.gamma)
    _draw_modes(axes, game.gamma, disc=directions)
    shown = [points]
    if trails:
        past = result.projections_V[k, : record + 1]
        if directions:
            past = past / _lengths_V(result, k)[: record + 1, :, None]
        ways = plane_coordinates(past, game.gamma)
        shown.append(ways.reshape(-1, 2))
        axes.plot(ways[..., 0], ways[..., 1], color=PLAYER_COLOURS[1], linewidth=0.7, alpha=0.5)
    axes.scatter(
        points[:, 0],
        points[:, 1],
        s=_AREA * probabilities,
        facecolor=PLAYER_COLOURS[1],
        edgecolor="black",
        linewidth=0.6,
        alpha=0.7,
        zorder=4,
    )
    every = np.concatenate(shown)
    low, high = np.nanmin(every, initial=-0.1), np.nanmax(every, initial=1.0)
    margin = 0.15 * (high - low)
    axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), aspect="equal")
    if directions:
        axes.set(xticks=[], yticks=[])
    axes.set_title(which_replica(result, judgement, k), fontsize=10)
    what = r"$G(z) \,/\, \|G(z)\|$" if directions else "$G(z)$"
    at = f"iteration {result.times[k, record]:,.0f}"
    if result.times[k, record] == judgement.T0[k]:
        at += " = $T_0$"
    legend = "area: probability of $z$" + ("; lines: the way of each $v_j$" if trails else "")
    axes.set_xlabel(f"{what} in the plane of $u_1$ and $u_2$, {at}\n{legend}")
    return axes


@checked
def animate(
    results: Result | Sequence[Result],
    *,
    replica: int | None = None,
    frames: Annotated[int, "[13, 100000]"] = 100,
    interval: Count = 80,
    figure: Figure | None = None,
) -> FuncAnimation:
    """The neurons of both players in the plane of the two modes, side by side for runs.

    Parameters
    ----------
    results : Result or sequence of n Result
    replica : int, optional
        Position of the replica to draw; by default the one that stands for the run.
    frames : int
        In all, more than 12: the last ones repeat the end.  They follow the movement: time slows
        down where the neurons turn.  A run ends at T_0 if it collapsed there.
    interval : int
        Milliseconds a frame.
    figure : matplotlib.figure.Figure, optional

    Returns
    -------
    FuncAnimation
        Of w_i/norm(w_i) and v_j/norm(v_j): a neuron is on the circle if it lies in the plane.
        ``animation.save(path, matplotlib.animation.PillowWriter(fps))`` writes it.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=16)
    >>> result = tm.simulate(game, *tm.recipe(game, "sgda"), replicas=3, seed=1)
    >>> figure = Figure(figsize=(3.6, 4.2), layout="constrained")
    >>> animation = tm.plotting.animate(result, frames=20, figure=figure)
    >>> figure.draw_without_rendering()
    >>> figure.axes[0].get_title().splitlines()
    ['sgda, d = 16', 'seed 1, replica 2: collapsed']
    """
    listed = as_list(results)
    if figure is None:
        figure = Figure(figsize=(3.6 * len(listed), 4.2), layout="constrained")
    axes = figure.subplots(1, len(listed), squeeze=False)[0]
    moving = []
    for ax, result in zip(axes, listed, strict=True):
        judgement = judge(result)
        k = typical(judgement, replica)
        end = int(judgement.at[k])
        w, v = (
            plane_coordinates(p[k, : end + 1] / lengths[: end + 1, :, None], result.game.gamma)
            for p, lengths in (
                (result.projections_W, result.norms_W[k]),
                (result.projections_V, _lengths_V(result, k)),
            )
        )
        shown = _frames(np.concatenate([w, v], axis=1), result.steps[: end + 1], frames - _HOLD)
        shown = np.concatenate([shown, np.full(frames - len(shown), shown[-1])])
        _draw_modes(ax, result.game.gamma, disc=True)
        ax.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal", xticks=[], yticks=[])
        ax.set_title(which_replica(result, judgement, k), fontsize=9)
        trails = ax.plot(
            v[:1, :, 0], v[:1, :, 1], color=PLAYER_COLOURS[1], linewidth=0.8, alpha=0.5
        )
        dots = [
            ax.plot([], [], color=colour, marker=marker, linestyle="none", **look)[0]
            for colour, marker, look in (
                (PLAYER_COLOURS[0], "^", {"markersize": 7, "label": r"$w_i \,/\, \|w_i\|$"}),
                (PLAYER_COLOURS[1], "o", {"markersize": 6, "label": r"$v_j \,/\, \|v_j\|$"}),
            )
        ]
        clock = ax.text(-1.25, -1.25, "", fontsize=9)
        moving.append((result.times[k], shown, w, v, trails, dots, clock))
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False
    )
    for _ in range(3):  # until the layout has settled
        figure.draw_without_rendering()
    figure.set_layout_engine("none")  # else the panels would wander from frame to frame

    def draw(frame: int) -> list[Artist]:
        """Move everything to one frame."""
        for times, shown, w, v, trails, dots, clock in moving:
            at = shown[frame]
            for j, trail in enumerate(trails):
                trail.set_data(v[: at + 1, j, 0], v[: at + 1, j, 1])
            for dot, points in zip(dots, (w, v), strict=True):
                dot.set_data(*points[at].T)
            clock.set_text(f"iteration {times[at]:,.0f}")
        return []

    return FuncAnimation(figure, draw, frames=frames, interval=interval, init_func=list)


def _draw_modes(axes: Axes, gamma: float, disc: bool) -> None:
    """The modes, their average, and the unit circle of directions."""
    modes = plane_coordinates([[1, gamma], [gamma, 1]], gamma)
    average = modes.sum(axis=0) / (np.sqrt(2 + 2 * gamma) if disc else 2)
    if disc:
        axes.add_patch(Circle((0, 0), 1, fill=False, color="0.7", linewidth=0.8))
    targets = (
        *zip(modes, MODE_COLOURS, ("$u_1$", "$u_2$"), strict=True),
        (average, "black", "$u_1 + u_2$" if disc else r"$\frac{1}{2}(u_1 + u_2)$"),
    )
    for target, colour, name in targets:
        axes.annotate(
            "",
            tuple(target),
            (0, 0),
            arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.6},
            zorder=2,
        )
        axes.annotate(
            name,
            tuple(target),
            xytext=tuple((22 if target is average else 15) * target / np.linalg.norm(target)),
            textcoords="offset points",
            color=colour,
            horizontalalignment="center",
            verticalalignment="center",
            zorder=5,
        )


def _lengths_V(result: Result, replica: int) -> FloatArray:
    """norm(v_j) over time, shape (T, m_G); 1 where v_j is 0."""
    lengths = np.sqrt(np.diagonal(result.gram_V[replica], axis1=-2, axis2=-1))
    return np.where(lengths == 0, 1.0, lengths)


def _frames(positions: FloatArray, steps: np.ndarray, count: int) -> np.ndarray:
    """Records to show, shape (count,): equally far apart by movement, and a little by time.

    A movement that takes a single record is shown once, however long it is.
    """
    moved = np.linalg.norm(np.diff(positions, axis=0), axis=-1).mean(axis=-1)
    for _ in range(100):
        moved = np.minimum(moved, moved.sum() / count)
    clocks = [np.concatenate([[0.0], np.cumsum(moved)]), (steps - steps[0]).astype(float)]
    shares = [clock / max(clock[-1], 1e-300) for clock in clocks]
    progress = (1 - _EVEN) * shares[0] + _EVEN * shares[1]
    return np.searchsorted(progress, np.linspace(0, progress[-1], count) * (1 - 1e-12))
