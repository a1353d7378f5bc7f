"""Figures of p_adv*: its density under a cloud of samples, losses, and how far samplers are off."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike

from twomode._typing import Count, FloatArray, Whole
from twomode.checks import checked
from twomode.errors import require, shown
from twomode.plotting._style import (
    GROUP_COLOURS,
    GROUP_MARKERS,
    MODE_COLOURS,
    OTHERS,
    PLAYER_COLOURS,
)
from twomode.plotting.tables import seed_bands

if TYPE_CHECKING:
    import pandas as pd

    from twomode.adversarial import GibbsLaw

__all__ = [
    "bias_orders",
    "face_atoms",
    "gibbs_density",
    "gibbs_map",
    "loss_histogram",
    "loss_trace",
    "regularization_path",
    "robust_errors",
]

#: Of samples, on the colours of a density too.
_CLOUD = PLAYER_COLOURS[0]
#: Of a density: nothing is white, so that the cloud is seen wherever it lies.
_DENSITY = "Blues"


#: Of a histogram.
Bins: TypeAlias = Annotated[int, "[1, 1e6]"]
Losses: TypeAlias = Mapping[str, Annotated[FloatArray, "finite"]]


def _require_samples(law: GibbsLaw, x: FloatArray | None) -> None:
    """Raise `InputError` unless it is a law and there are samples of each of its anchors."""
    gibbs = hasattr(law, "log_density")  # its class needs more of SciPy than a figure does
    require(gibbs, f"law={shown(law)} must be a GibbsLaw, like tm.adversarial.closed_form(target)")
    n = len(law.target.x)
    require(x is None or x.shape[-2] == n, f"x must hold samples of each of the {n} anchors")


@checked
def gibbs_map(
    axes: Axes,
    law: GibbsLaw,
    x: Annotated[FloatArray, "(..., n, 2)"] | None = None,
    *,
    most: Count = 600,
    resolution: Annotated[int, "[1, 4096]"] = 64,
    norm: Normalize | None = None,
) -> Axes:
    """p_adv* in two dimensions, and a cloud of samples.

    Parameters
    ----------
    axes : Axes
    law : GibbsLaw
        Of n anchors, all of which are drawn.
    x : ndarray, shape (..., n, 2), optional
        Samples of each anchor.
    most : int
        Of an anchor's samples that are drawn, evenly spaced among all.
    resolution : int
        Points of the density along a side of each box.
    norm : matplotlib.colors.Normalize, optional
        Of the colours; by default of the cube root of the density, from 0.

    Returns
    -------
    Axes
        The same.  The images are n times the density of p_adv* (where boxes overlap, the sum over
        their anchors) in units of the uniform density on a box that nothing cuts.  Samples and
        anchors have labels for a legend; none is drawn.

    Raises
    ------
    InputError
        If d is not 2.

    Examples
    --------
    In these units the mean over a box of its own is 1:

    >>> from matplotlib.figure import Figure
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("blobs", n=2, noise=0)
    >>> model = tm.adversarial.Model.random(data)
    >>> law = tm.adversarial.closed_form(tm.adversarial.Target.of(model, data, eps=0.3, lam=10))
    >>> axes = tm.plotting.gibbs_map(Figure().subplots(), law)
    >>> [round(float(image.get_array().mean()), 2) for image in axes.images]
    [1.0, 1.0]
    """
    _require_samples(law, x)
    target = law.target
    n, d = target.x.shape
    require(d == 2, f"d={d}: a map is for d = 2")
    middles = (np.arange(resolution) + 0.5) / resolution
    grid = np.array(list(itertools.product(middles, repeat=2)))[:, ::-1]  # the first varies fastest
    densities = []
    for low, high in zip(target.low, target.high, strict=True):
        points = np.broadcast_to((low + (high - low) * grid)[:, None], (len(grid), n, 2))
        density = np.exp(law.log_density(points)).sum(axis=1) * (2 * target.eps) ** 2
        densities.append(density.reshape(resolution, resolution))
    norm = PowerNorm(1 / 3, 0, np.max(densities)) if norm is None else norm
    for density, low, high in zip(densities, target.low, target.high, strict=True):
        extent = (low[0], high[0], low[1], high[1])
        axes.imshow(density, extent=extent, origin="lower", cmap=_DENSITY, norm=norm)
        axes.add_patch(Rectangle(low, *(high - low), fill=False, linewidth=0.8, edgecolor="0.3"))
    if x is not None:
        every = x.reshape(-1, n, 2)
        cloud = every[:: -(-len(every) // most)].reshape(-1, 2)
        axes.plot(*cloud.T, ".", color=_CLOUD, alpha=0.35, markersize=2.5, markeredgewidth=0)
        axes.lines[-1].set(rasterized=True, label="samples")
    for label, marker in zip(np.unique(target.y), itertools.cycle(GROUP_MARKERS), strict=False):
        mine = target.x[target.y == label]
        axes.plot(*mine.T, marker, color="white", markeredgecolor="black", markersize=5)
        axes.lines[-1].set_label(f"anchor of class {label}")
    (left, bottom), (right, top) = target.low.min(axis=0), target.high.max(axis=0)
    margin = 0.1 * target.eps
    axes.set(xlim=(left - margin, right + margin), ylim=(bottom - margin, top + margin))
    axes.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    return axes


@checked
def gibbs_density(
    axes: Axes,
    law: GibbsLaw,
    x: Annotated[FloatArray, "(..., n, 1)"] | None = None,
    *,
    points: Annotated[int, "[2, 1e6]"] = 1000,
    bins: Bins = 120,
) -> Axes:
    """p_adv* in one dimension, and a histogram of samples.

    Parameters
    ----------
    axes : Axes
    law : GibbsLaw
        Of n anchors.
    x : ndarray, shape (..., n, 1), optional
        Samples of each anchor.
    points : int
        Of the curve.
    bins : int
        Of the histogram.

    Returns
    -------
    Axes
        The same, with the anchors as marks below.

    Raises
    ------
    InputError
        If d is not 1.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("mixture", n=4)
    >>> target = tm.adversarial.Target.of(tm.adversarial.Model.random(data), data, eps=0.5, lam=10)
    >>> chains = tm.adversarial.sample(target, tm.adversarial.sampler("reflected"), 50)
    >>> law = tm.adversarial.closed_form(target)
    >>> axes = tm.plotting.gibbs_density(Figure().subplots(), law, chains.x)
    >>> axes.get_legend_handles_labels()[1]
    ['200 samples', '$p^*_{adv}$', 'anchors']
    """
    _require_samples(law, x)
    target = law.target
    n, d = target.x.shape
    require(d == 1, f"d={d}: a density on a line is for d = 1")
    at = np.linspace(target.low.min(), target.high.max(), points)
    density = np.exp(law.log_density(np.broadcast_to(at[:, None, None], (points, n, 1))))
    if x is not None:
        edges = np.linspace(at[0], at[-1], bins + 1).tolist()
        label = f"{x.size:,} samples"
        axes.hist(x.ravel(), edges, density=True, color=_CLOUD, alpha=0.5, label=label)
    axes.plot(at, density.mean(axis=1), color=MODE_COLOURS[0], linewidth=1.4, label="$p^*_{adv}$")
    axes.plot(target.x[:, 0], np.zeros(n), "|", color="black", markersize=12, label="anchors")
    axes.set(xlabel="$x$", ylabel="density")
    axes.legend(frameon=False, fontsize=8)
    return axes


@checked
def loss_histogram(
    axes: Axes, losses: Losses, marks: Mapping[str, float], *, bins: Bins = 80
) -> Axes:
    """The losses under several laws.

    Parameters
    ----------
    axes : Axes
    losses : mapping of str to ndarray
        Of each law by its name in the legend, in any shape.
    marks : mapping of str to float
        Means, drawn as dotted lines, by their names.
    bins : int

    Returns
    -------
    Axes
        The same.

    Examples
    --------
    A bar of height 0.75 at the loss that three of four samples have:

    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> import twomode as tm
    >>> losses, marks = {"chains": np.array([0.0, 1.0, 1.0, 1.0])}, {"exact": 0.8}
    >>> axes = tm.plotting.loss_histogram(Figure().subplots(), losses, marks, bins=2)
    >>> float(axes.patches[0].get_xy()[:, 1].max()), axes.lines[0].get_label()
    (0.75, 'exact')
    """
    require(bool(losses), "losses={} must hold at least one")
    ends = [f(x) for x in losses.values() for f in (np.min, np.max)]
    edges = np.linspace(min(ends), max(ends), bins + 1).tolist()
    for (label, values), colour in zip(losses.items(), GROUP_COLOURS, strict=False):
        values = np.ravel(values)
        share = np.full(len(values), 1 / len(values))
        axes.hist(values, edges, weights=share, histtype="step", color=colour, label=label)
    for (label, mark), colour in zip(marks.items(), GROUP_COLOURS[::-1], strict=False):
        axes.axvline(mark, color=colour, linestyle=":", linewidth=1.4, label=label)
    axes.set(yscale="log", xlabel=r"loss $\ell$", ylabel="share in a bin")
    axes.legend(frameon=False, fontsize=8)
    return axes


@checked
def loss_trace(
    axes: Axes,
    losses: Annotated[FloatArray, "(kept, chains, n)"],
    marks: Mapping[str, float],
    *,
    first: Whole = 0,
) -> Axes:
    """The loss along chains, step by step.

    Parameters
    ----------
    axes : Axes
    losses : ndarray, shape (kept, chains, n)
    marks : mapping of str to float
        Means, drawn as dotted lines, by their names.
    first : int
        The step of the first row.

    Returns
    -------
    Axes
        The same: the mean over chains and anchors, and each chain's mean over anchors.

    Examples
    --------
    Three chains, their mean, and a mark; 100 steps went before:

    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> import twomode as tm
    >>> losses = np.random.default_rng(0).random((50, 3, 8))
    >>> axes = tm.plotting.loss_trace(Figure().subplots(), losses, {"exact": 0.5}, first=100)
    >>> len(axes.lines), [float(end) for end in axes.get_xlim()]
    (5, [100.0, 150.0])
    """
    at = first + np.arange(len(losses))
    axes.plot(at, losses.mean(axis=2), color=OTHERS, linewidth=0.5)
    axes.plot(at, losses.mean(axis=(1, 2)), color=GROUP_COLOURS[0], linewidth=1, label="all chains")
    for (label, mark), colour in zip(marks.items(), GROUP_COLOURS[::-1], strict=False):
        axes.axhline(mark, color=colour, linestyle=":", linewidth=1.4, label=label)
    axes.set(xlabel="step", ylabel="mean loss of the anchors", xlim=(at[0], at[-1] + 1))
    axes.legend(fontsize=8, edgecolor="none")
    return axes


@checked
def bias_orders(
    axes: Axes,
    h: Annotated[ArrayLike, "(m)", "finite"],
    errors: Mapping[str, tuple[Annotated[ArrayLike, "(m)", "finite"], float]],
    *,
    fit: Annotated[int, "[2, 1e9]"] = 4,
) -> Axes:
    """Errors against step sizes on logarithmic axes, with lines of the orders that are due.

    Parameters
    ----------
    axes : Axes
    h : array_like, shape (m,)
        Increasing.
    errors : mapping of str to (array_like, float)
        By sampler: positive errors, shape (m,), and the order that is due.
    fit : int
        The smallest step sizes, from which the order in the legend is fitted.

    Returns
    -------
    Axes
        The same: a line a sampler, each followed by a dashed one of its slope through its first
        point.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> import twomode as tm
    >>> h = np.array([0.01, 0.02, 0.04, 0.08])
    >>> errors = {"reflected": (3 * h, 1.0), "projected": (np.sqrt(h), 0.5)}
    >>> axes = tm.plotting.bias_orders(Figure().subplots(), h, errors)
    >>> axes.get_legend_handles_labels()[1]
    ['reflected: order 1.000', 'projected: order 0.500']
    """
    h = np.asarray(h, dtype=float)
    require(bool(errors), "errors={} must hold at least one")
    require(bool(len(h) > 1 and (h > 0).all()), "h must hold at least two positive step sizes")
    for number, (name, (values, order)) in enumerate(errors.items()):
        e, colour = np.asarray(values, dtype=float), GROUP_COLOURS[number]
        require(bool((e > 0).all()), f"errors of {name} must be positive")
        slope = np.polyfit(np.log(h[:fit]), np.log(e[:fit]), 1)[0]
        label = f"{name}: order {slope:.3f}"
        axes.plot(h, e, GROUP_MARKERS[number] + "-", color=colour, markersize=4, label=label)
        axes.plot(h, e[0] * (h / h[0]) ** order, "--", color=colour, linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel=r"$h$, in $\varepsilon^2$")
    axes.legend(frameon=False, fontsize=8)
    return axes


@checked
def face_atoms(
    axes: tuple[Axes, Axes],
    closed: Callable[[float], float],
    exact: tuple[Annotated[ArrayLike, "(k)"], Annotated[ArrayLike, "(k)"]],
    sampled: tuple[
        Annotated[ArrayLike, "(m)"], Annotated[ArrayLike, "(m)"], Annotated[ArrayLike, "(m)"]
    ],
) -> tuple[Axes, Axes]:
    """The probability of a face under the projected chain, against its drift.

    Parameters
    ----------
    axes : (Axes, Axes)
        Of the probabilities, and of what they differ by from the closed form.
    closed : callable
        The closed form, of beta.
    exact : pair of array_like
        beta, and probabilities of stationary laws.
    sampled : triple of array_like
        beta, shares of the states of chains, and their standard errors.

    Returns
    -------
    (Axes, Axes)
        The same, the sampled with bars of two standard errors.

    Examples
    --------
    Atoms that are the closed form's differ from it by 0, in the panel below:

    >>> from matplotlib.figure import Figure
    >>> import twomode as tm
    >>> beta, closed = [0.5, 1, 2], tm.adversarial.face_atom
    >>> atoms = [closed(b) for b in beta]
    >>> panels, sampled = tuple(Figure().subplots(2)), (beta, atoms, [0.01] * 3)
    >>> above, below = tm.plotting.face_atoms(panels, closed, (beta, atoms), sampled)
    >>> below.lines[1].get_label(), below.lines[1].get_ydata().tolist()
    ('stationary law', [0.0, 0.0, 0.0])
    """
    above, below = axes
    (at, atoms), (beta, share, error) = (tuple(map(np.asarray, x)) for x in (exact, sampled))
    curve = np.geomspace(min(at.min(), beta.min()), max(at.max(), beta.max()), 200)
    above.plot(curve, [closed(x) for x in curve], color="black", linewidth=1.2, label="closed form")
    below.axhline(0, color="black", linewidth=1.2)
    for panel, minus in ((above, lambda x: 0.0), (below, closed)):
        panel.plot(
            at,
            atoms - [minus(x) for x in at],
            GROUP_MARKERS[1],
            color=GROUP_COLOURS[1],
            markersize=6,
            label="stationary law",
        )
        panel.errorbar(
            beta,
            share - [minus(x) for x in beta],
            yerr=2 * error,
            color=GROUP_COLOURS[0],
            marker=GROUP_MARKERS[0],
            linestyle="none",
            markersize=3,
            capsize=3,
            label="chains, 2 standard errors",
        )
    above.set_ylabel("probability of the face")
    below.set(xlabel=r"$\beta$ = drift / noise", ylabel="minus closed form")
    above.legend(frameon=False, fontsize=8)
    return above, below


@checked
def regularization_path(
    axes: Axes,
    lam: Annotated[ArrayLike, "(m)"],
    mean_loss: Annotated[ArrayLike, "(m)"],
    dual: Annotated[ArrayLike, "(m)"],
    *,
    uniform: float,
    largest: float,
) -> Axes:
    """From the uniform law to the worst case: E[l] and the dual value against lambda.

    Parameters
    ----------
    axes : Axes
    lam, mean_loss, dual : array_like, shape (m,)
    uniform, largest : float
        Where both begin and end.

    Returns
    -------
    Axes
        The same.

    Examples
    --------
    A loss of slope 1 on [-1, 1], whose mean under p_adv* is Langevin's function of lambda:

    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> import twomode as tm
    >>> lam = np.geomspace(0.1, 100, 20)
    >>> mean, dual = 1 / np.tanh(lam) - 1 / lam, np.log(np.sinh(lam) / lam) / lam
    >>> axes = tm.plotting.regularization_path(
    ...     Figure().subplots(), lam, mean, dual, uniform=0, largest=1
    ... )
    >>> [text.get_text() for text in axes.texts]
    ['largest loss: 1.000', 'uniform law: 0.000']
    """
    lam = np.asarray(lam, dtype=float)
    require(bool((lam > 0).all()), "lam must be positive: its axis is logarithmic")
    for height, name, end, side, shift, edge in (
        (largest, "largest loss", lam[0], "left", (4, -4), "top"),
        (uniform, "uniform law", lam[-1], "right", (-4, 4), "bottom"),
    ):
        axes.axhline(height, color="0.4", linestyle=":", linewidth=1.2)
        axes.annotate(
            f"{name}: {height:.3f}",
            (end, height),
            xytext=shift,
            textcoords="offset points",
            horizontalalignment=side,
            verticalalignment=edge,
            fontsize=8,
        )
    mean_loss, dual = np.asarray(mean_loss), np.asarray(dual)
    axes.fill_between(
        lam, dual, mean_loss, color=OTHERS, alpha=0.4, linewidth=0, label=r"KL / $\lambda$"
    )
    axes.plot(lam, mean_loss, color=MODE_COLOURS[0], label=r"$E[\ell]$ under $p^*_{adv}$")
    axes.plot(
        lam, dual, "--", color=MODE_COLOURS[1], label=r"dual value: $E[\ell]$ - KL / $\lambda$"
    )
    axes.set(xscale="log", xlabel=r"$\lambda$", ylabel="loss", xlim=(lam[0], lam[-1]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.legend(frameon=False, fontsize=8)
    return axes


@checked
def robust_errors(table: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """The robust error of each method against what its training cost.

    Parameters
    ----------
    table : DataFrame
        Of `twomode.adversarial.learning_curves`.
    axes : Axes, optional
        By default of a new figure.

    Returns
    -------
    Axes
        Medians over seeds, with the range as a band.

    Examples
    --------
    >>> import pandas as pd
    >>> import twomode as tm
    >>> rows = [(0, 100, 0.5), (0, 200, 0.2), (1, 100, 0.7), (1, 200, 0.4)]
    >>> table = pd.DataFrame(rows, columns=["seed", "gradients", "robust_error"])
    >>> axes = tm.plotting.robust_errors(table.assign(method="fgsm"))
    >>> axes.lines[0].get_ydata().round(2).tolist(), axes.get_legend_handles_labels()[1]
    ([0.6, 0.3], ['fgsm, 2 seeds'])
    """
    if axes is None:
        axes = Figure(figsize=(6.5, 4), layout="constrained").subplots()
    seed_bands(axes, table, "gradients", "robust_error", by="method")
    axes.set(xscale="log", xlabel="gradient evaluations", ylabel="error under PGD-40")
    return axes
