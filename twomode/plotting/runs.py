"""Figures of runs over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from twomode._typing import FloatArray
from twomode.checks import checked
from twomode.game import Outputs, mode_cosines, over_latents
from twomode.plotting._style import (
    MODE_COLOURS,
    MODE_STYLES,
    OTHERS,
    PLAYER_COLOURS,
    as_list,
    clock,
    mark_T0,
    time_axis,
    typical,
    which_replica,
    which_replicas,
)
from twomode.rules import label
from twomode.runs import Result
from twomode.tables import counted
from twomode.theory import Judgement, alignments, explain, judge, spread

__all__ = ["latent_extremes", "mode_alignment", "neuron_alignment", "pace", "update_norms"]

#: Quantiles over replicas: a band and its middle.
_BAND = (0.1, 0.5, 0.9)


@checked
def mode_alignment(
    result: Result,
    judgement: Judgement | None = None,
    *,
    closer: Result | None = None,
    replica: int | None = None,
    figure: Figure | None = None,
) -> tuple[Axes, Axes]:
    """Mode alignment over time, and below it the pace of the two players.

    Parameters
    ----------
    result : Result
    judgement : Judgement, optional
        ``judge(result)`` by default.
    closer : Result, optional
        The same replica alone, recorded more often about T_0 (see `Result.again`): a collapse
        takes some thirty iterations, which it shows beside the whole.
    replica : int, optional
        Which of the result's replicas to draw (its position); by default the median one by
        asymmetry of those with the run's verdict.  The others' pace is drawn in grey.
    figure : matplotlib.figure.Figure, optional
        A new one by default, found as ``axes.figure``.

    Returns
    -------
    (Axes, Axes)
        Above: <v_j, u_l>/norm(v_j) for every j and both modes, and the collapse cosine.  Below:
        norm(grad_W,b) / norm(grad_V).  T_0 is a dotted line in both.

    Examples
    --------
    The last line marks the T_0 of the replica drawn:

    >>> import twomode as tm
    >>> game = tm.Game.preset(d=16)
    >>> result = tm.simulate(game, *tm.recipe(game, "sgda"), replicas=3, seed=1)
    >>> above, below = tm.plotting.mode_alignment(result)
    >>> above.figure.get_suptitle().split(", ")[-1], float(above.lines[-1].get_xdata()[0])
    ('replica 2: collapsed', 79.0)
    """
    judgement = judge(result) if judgement is None else judgement
    replica = typical(judgement, replica)
    T0, columns = float(judgement.T0[replica]), 1 if closer is None else 2
    if figure is None:
        figure = Figure(figsize=(7 if closer is None else 10, 5), layout="constrained")
    axes = figure.subplots(
        *(2, columns),
        sharex="col",
        sharey="row",
        squeeze=False,
        height_ratios=(2.2, 1),
        width_ratios=(1.6, 1)[:columns],
    )
    if closer is not None:
        T0 = float(judge(closer).T0[0])
        _draw_alignment(axes[0, 1], axes[1, 1], closer, 0)
        axes[1, 1].set(xlabel="iteration, around $T_0$", xlim=(0.98 * T0, 1.01 * T0))
        for panel in axes[:, 1]:
            mark_T0(panel, T0)
    above, below = axes[:, 0]
    _draw_alignment(above, below, result, replica)
    above.set(ylim=(-1.05, 1.05), ylabel="cosine")
    below.set(
        yscale="log",
        ylabel=r"$\|\nabla_{W,b}\| \,/\, \|\nabla_V\|$",
        xlabel="iteration",
        xlim=(0, max(1, result.steps[-1])),
    )
    if result.intervals is not None:
        below.set(**time_axis(result, judgement, replica))
        T0 = math.nan  # at the right edge
    mark_T0(above, T0, -0.97)
    mark_T0(below, T0)
    above.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, frameon=False)
    if result.replicas > 1:
        below.legend(loc="upper right", frameon=False, fontsize=8)
    which = f"replica {result.provenance['replicas'][replica]}: {judgement.verdicts[replica]}"
    eta = rf"$\eta_D$ = {result.opt.eta_D:.3g}, $\eta_G$ = {result.opt.eta_G:.3g}"
    of = f"{label(result.opt)}, d = {counted(result.game.d)}"
    figure.suptitle(f"{of}, {eta}, {which}", fontsize=10)
    return above, below


def _draw_alignment(above: Axes, below: Axes, result: Result, replica: int) -> None:
    """One replica's cosines, and its pace among the others'."""
    time = clock(result, replica)
    cosines = mode_cosines(result.projections_V[replica], result.gram_V[replica])
    for mode, (colour, style) in enumerate(zip(MODE_COLOURS, MODE_STYLES, strict=True)):
        lines = above.plot(time, cosines[..., mode], color=colour, linestyle=style, linewidth=1)
        lines[0].set_label(rf"$\langle v_j, u_{mode + 1}\rangle / \|v_j\|$, each $j$")
    above.plot(
        time,
        result.collapse_cosine()[replica],
        color="black",
        linewidth=2,
        label=r"$E_{z \neq 0}\,\cos(G(z),\, u_1 + u_2)$",
    )
    above.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    pace = result.pace()
    if result.replicas > 1:
        for other in (k for k in range(result.replicas) if k != replica):
            grey = below.plot(clock(result, other), pace[other], color=OTHERS, linewidth=0.6)
        grey[0].set_label("the other replicas")
    below.plot(time, pace[replica], color="black", linewidth=1.4, label="this replica")


@checked
def neuron_alignment(
    results: Result | Sequence[Result],
    *,
    replica: int | None = None,
    figure: Figure | None = None,
) -> np.ndarray:
    """Mode alignment of a discriminator neuron and of a generator neuron, side by side for runs.

    Parameters
    ----------
    results : Result or sequence of n Result
    replica : int, optional
        Position of the replica to draw; by default the one that stands for the run.
    figure : matplotlib.figure.Figure, optional

    Returns
    -------
    ndarray of Axes, shape (2, n)
        Row 0: cosines of w_i with u_1, u_2 and u_1 + u_2.  Row 1: of v_j.  The first three lines
        are of the neuron that comes nearest to any of them before the run is judged, the faint
        ones of the others.  The view of a collapse ends at 1.3 T_0.

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=16)
    >>> result = tm.simulate(game, *tm.recipe(game, "sgda"), replicas=3, seed=1)
    >>> axes = tm.plotting.neuron_alignment(result)
    >>> axes.shape, axes[0, 0].get_title().splitlines()
    ((2, 1), ['sgda, d = 16', 'seed 1, replica 2: collapsed'])
    """
    listed = as_list(results)
    axes = _panels(figure, 2, len(listed), height=5.2)
    targets = ("$u_1$", "$u_2$", "$u_1 + u_2$")
    looks = [*zip(MODE_COLOURS, MODE_STYLES, strict=True), ("black", "-")]
    for column, result in zip(axes.T, listed, strict=True):
        judgement = judge(result)
        k = typical(judgement, replica)
        at, time = judgement.at[k], clock(result, k)
        for ax, cosines, name in zip(column, alignments(result), ("w_i", "v_j"), strict=True):
            nearest = int(np.argmax(cosines[k, : at + 1].max(axis=(0, 2))))
            for target, (colour, style) in enumerate(looks):
                look = {"color": colour, "linestyle": style}
                ax.plot(
                    time,
                    cosines[k, :, nearest, target],
                    linewidth=1.8,
                    label=f"with {targets[target]}",
                    zorder=3,
                    **look,
                )
            for target, (colour, style) in enumerate(looks):
                others = np.delete(cosines[k, :, :, target], nearest, axis=1)
                ax.plot(time, others, color=colour, linestyle=style, linewidth=0.6, alpha=0.3)
            ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
            ax.set(ylim=(-1.05, 1.05), **time_axis(result, judgement, k) | {"xlabel": ""})
            ax.set_ylabel(f"cosine of ${name}$" if column is axes.T[0] else "")
        mark_T0(column[0], judgement.T0[k])
        mark_T0(column[1], judgement.T0[k], -0.97)
        column[0].set_title(which_replica(result, judgement, k), fontsize=10)
        column[1].set_xlabel("iteration")
    for ax, player in zip(axes[:, 0], ("discriminator", "generator"), strict=True):
        ax.set_ylabel(f"{player}\n{ax.get_ylabel()}")
    _legend_below(axes, title="cosine; bold: the neuron that comes nearest, faint: the others")
    return axes


@checked
def latent_extremes(
    results: Result | Sequence[Result],
    *,
    replica: int | None = None,
    figure: Figure | None = None,
) -> np.ndarray:
    """How near the outputs come to each mode, and how far they stay, over every latent.

    Parameters
    ----------
    results : Result or sequence of n Result
    replica : int, optional
        Position of the replica to draw; by default the one that stands for the run.
    figure : matplotlib.figure.Figure, optional

    Returns
    -------
    ndarray of Axes, shape (n,)
        Maximum and minimum over all nonzero z in {0,1}^m_G (over the law's support if m_G > 20)
        of abs(<G(z), u_l>) / norm(G(z)) for l = 1 and 2, with the band between them.

    Examples
    --------
    The view of a collapse at T_0 = 42 ends at 1.3 times that:

    >>> import twomode as tm
    >>> game = tm.Game.preset(d=16)
    >>> result = tm.simulate(game, *tm.recipe(game, "sgda"), replicas=3, seed=1)
    >>> axes = tm.plotting.latent_extremes(result)
    >>> axes.shape, axes[0].get_title().splitlines()[1], round(float(axes[0].get_xlim()[1]), 1)
    ((1,), 'seed 1, replica 2: collapsed', 102.7)
    """
    listed = as_list(results)
    axes = _panels(figure, 1, len(listed), height=3.8)[0]
    for ax, result in zip(axes, listed, strict=True):
        judgement = judge(result)
        k = typical(judgement, replica)
        time, (low, high) = clock(result, k), _extremes(result, k)
        for mode, (colour, style) in enumerate(zip(MODE_COLOURS, MODE_STYLES, strict=True)):
            of = rf"$z$ of $|\langle G(z), u_{mode + 1}\rangle| \,/\, \|G(z)\|$"
            look = {"color": colour, "linestyle": style}
            ax.plot(time, high[:, mode], linewidth=1.8, label=f"max over {of}", **look)
            ax.plot(time, low[:, mode], linewidth=0.9, label=f"min over {of}", **look)
            band = {"color": colour, "alpha": 0.12, "linewidth": 0, "rasterized": True}
            ax.fill_between(time, low[:, mode], high[:, mode], **band)
        average = np.sqrt((1 + result.game.gamma) / 2)
        ax.axhline(average, color="0.4", linewidth=0.8, linestyle="-.", zorder=0)
        ax.text(
            1.01,
            average,
            "$u_1 + u_2$",
            transform=ax.get_yaxis_transform(),
            verticalalignment="center",
            fontsize=8,
        )
        ax.set(ylim=(0, 1.02), **time_axis(result, judgement, k))
        ax.set_title(which_replica(result, judgement, k), fontsize=10)
        mark_T0(ax, judgement.T0[k], 0.93)
    axes[0].set_ylabel("cosine, absolute value")
    _legend_below(axes[None], ncols=2)
    return axes


@checked
def pace(
    results: Result | Sequence[Result],
    *,
    figure: Figure | None = None,
) -> np.ndarray:
    """How fast each player moves: the norms of their gradients, and the ratio of their steps.

    Parameters
    ----------
    results : Result or sequence of n Result
    figure : matplotlib.figure.Figure, optional

    Returns
    -------
    ndarray of Axes, shape (2, n)
        Row 0: norm(grad_W,b) and norm(grad_V), of the population gradient.  Row 1: length of the
        discriminator's step over that of the generator's.  Medians over replicas, and bands from
        the 10th to the 90th percentile.  Where most replicas collapsed, time is in units of each
        one's T_0 (and only those with a T_0 count), as their peaks would else not coincide.

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=16)
    >>> result = tm.simulate(game, *tm.recipe(game, "sgda"), replicas=3, seed=1)
    >>> axes = tm.plotting.pace(result)
    >>> axes[0, 0].get_title().splitlines()[1], axes[1, 0].get_xlabel()
    ('3 replicas of seed 1, 2 with $T_0$', 'iteration / $T_0$')
    """
    listed = as_list(results)
    axes = _panels(figure, 2, len(listed), height=5.2)
    for column, result in zip(axes.T, listed, strict=True):
        judgement = judge(result)
        norms, ratio = result.grad_norms, explain(result).step_ratio
        time, label = result.steps.astype(float), "iteration"
        column[0].set_title(which_replicas(result), fontsize=10)
        if judgement.verdict == "collapsed":
            time, label = np.linspace(0, 1.3, 400), "iteration / $T_0$"
            found = np.flatnonzero(np.isfinite(judgement.T0))
            own = [result.times[k] / judgement.T0[k] for k in found]
            norms, ratio = (
                np.stack([_resample(time, s, x[k]) for s, k in zip(own, found, strict=True)])
                for x in (norms, ratio)
            )
            column[0].set_title(f"{which_replicas(result)}, {len(found)} with $T_0$", fontsize=10)
            for ax in column:
                mark_T0(ax, 1.0)
        for player, (colour, name) in enumerate(zip(PLAYER_COLOURS, ("W,b", "V"), strict=True)):
            _draw_band(column[0], time, norms[..., player], colour, rf"$\|\nabla_{{{name}}}\|$")
        _draw_band(column[1], time, ratio, "black", "step of D / step of G")
        column[1].axhline(1, color="0.6", linewidth=0.8, zorder=0)
        column[1].set(xlabel=label, xlim=(0, time[-1]))
        column[0].set_xlim(0, time[-1])
        for ax in column:
            ax.set_yscale("log")
    axes[0, 0].set_ylabel("norm of the gradient")
    axes[1, 0].set_ylabel("length of D's step\nover that of G's")
    _legend_below(axes, title="median, and band from the 10th to the 90th percentile of replicas")
    return axes


@checked
def update_norms(result: Result, *, figure: Figure | None = None) -> np.ndarray:
    """Norms of the updates over time beside those of the gradients, relative to their medians.

    Parameters
    ----------
    result : Result
        Of Adam, say.
    figure : matplotlib.figure.Figure, optional

    Returns
    -------
    ndarray of Axes, shape (2,)
        For the discriminator and the generator: norm of the update over the step size, and of the
        population gradient, each over its median in time; a line a replica.  The legend has
        `mechanism.spread`, the median over replicas.

    Examples
    --------
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=16)
    >>> result = tm.simulate(game, *tm.recipe(game, "adam"), replicas=2, seed=0)
    >>> axes = tm.plotting.update_norms(result)
    >>> [ax.get_title() for ax in axes], axes[0].get_xscale(), axes[0].get_yscale()
    (['discriminator', 'generator'], 'log', 'log')
    """
    axes = _panels(figure, 1, 2, height=3.8)[0]
    traces = (
        ("gradient", result.grad_norms, "0.45", MODE_STYLES[1], 0.9),
        ("update", result.update_norms, None, "-", 1.3),
    )
    for player, (ax, colour) in enumerate(zip(axes, PLAYER_COLOURS, strict=True)):
        for name, norms, own, style, width in traces:
            of_player = norms[..., player]
            relative = of_player / np.nanmedian(of_player, axis=1, keepdims=True)
            lines = ax.plot(
                result.steps[1:],  # no step led to the start
                relative[:, 1:].T,
                color=own or colour,
                linestyle=style,
                linewidth=width,
                alpha=0.8,
            )
            varies = spread(norms)[:, player]
            lines[0].set_label(f"norm of the {name} ({_short(float(np.median(varies)))})")
        ax.axhline(1, color="0.6", linewidth=0.8, zorder=0)
        ax.set(xscale="log", yscale="log", xlabel="iteration")
        ax.set_title(("discriminator", "generator")[player], fontsize=10)
        ax.legend(frameon=False, fontsize=8, loc="lower right")
    axes[0].set_ylabel("norm / its median over time")
    title = which_replicas(result).replace("\n", ", ")
    axes[0].figure.suptitle(
        f"{title}\nin brackets: 99th over 1st percentile in time, after the first 1 % of the run",
        fontsize=10,
    )
    return axes


def _short(value: float) -> str:
    """Two digits, or the whole number."""
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def _panels(figure: Figure | None, rows: int, columns: int, height: float) -> np.ndarray:
    """Axes of shape (rows, columns), in a new figure by default."""
    if figure is None:
        figure = Figure(figsize=(max(5.0, 4.2 * columns), height), layout="constrained")
    return np.asarray(figure.subplots(rows, columns, squeeze=False, sharey="row"))


def _legend_below(axes: np.ndarray, title: str | None = None, ncols: int = 3) -> None:
    """One legend for all the axes, below them."""
    axes[0, 0].figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=ncols,
        frameon=False,
        fontsize=9,
        title=title,
        title_fontsize=9,
    )


def _extremes(result: Result, replica: int) -> tuple[FloatArray, FloatArray]:
    """Smallest and largest abs(cos(G(z), u_l)) over the latents, each of shape (T, 2)."""

    def measure(outputs: Outputs) -> FloatArray:
        cosines = np.abs(outputs.cosines)
        return np.stack([cosines.min(axis=-2), cosines.max(axis=-2)], axis=1)

    projections, gram = result.projections_V[replica], result.gram_V[replica]
    found = over_latents(result.game, projections, gram, measure)
    return found[:, 0], found[:, 1]


def _resample(to: FloatArray, time: FloatArray, values: FloatArray) -> FloatArray:
    """Values at the last record up to each time, shape (len(to), ...); NaN past the end."""
    at = np.searchsorted(time, to * (1 + 1e-12), side="right") - 1
    chosen = values[at].copy()
    chosen[to > time[-1]] = np.nan
    return chosen


def _draw_band(ax: Axes, time: FloatArray, values: FloatArray, colour: str, label: str) -> None:
    """Median over replicas and the band about it; `values` has shape (R, T)."""
    known = np.isfinite(values).any(axis=0)
    low, middle, high = np.full((3, len(time)), np.nan)
    low[known], middle[known], high[known] = np.nanquantile(values[:, known], _BAND, axis=0)
    ax.plot(time, middle, color=colour, linewidth=1.6, label=label)
    ax.fill_between(time, low, high, color=colour, alpha=0.2, linewidth=0)
