"""Figures of results.  Takes results, returns Matplotlib axes, simulates nothing."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from twomode.observables import mode_cosines
from twomode.result import Result
from twomode.verdicts import Judgement, judge

__all__ = ["mode_alignment"]

#: Colours of modes 1 and 2 that differ in lightness too (Okabe and Ito 2008).
MODE_COLOURS = ("#0072B2", "#E69F00")
MODE_STYLES = ("-", (0, (4, 1.5)))
OTHERS = "0.75"


def mode_alignment(
    result: Result,
    judgement: Judgement | None = None,
    *,
    replica: int | None = None,
    figure: Figure | None = None,
) -> tuple[Axes, Axes]:
    """Mode alignment over time, and below it the pace of the two players.

    Parameters
    ----------
    result : Result
    judgement : Judgement, optional
        ``judge(result)`` by default.
    replica : int, optional
        Which of the result's replicas to draw (its position); by default the first one whose
        verdict is that of the run.  The others' pace is drawn in grey.
    figure : matplotlib.figure.Figure, optional
        A new one by default, found as ``axes.figure``.

    Returns
    -------
    (Axes, Axes)
        Above: <v_j, u_l>/norm(v_j) for every j and both modes, and the collapse cosine.  Below:
        norm(grad_W,b) / norm(grad_V).  T_0 is a dotted line in both.
    """
    judgement = judge(result) if judgement is None else judgement
    if replica is None:
        typical = [k for k, word in enumerate(judgement.verdicts) if word == judgement.verdict]
        replica = typical[0] if typical else 0
    figure = Figure(figsize=(7, 5), layout="constrained") if figure is None else figure
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))

    cosines = mode_cosines(result.projections_V[replica], result.gram_V[replica])
    for mode, (colour, style) in enumerate(zip(MODE_COLOURS, MODE_STYLES, strict=True)):
        lines = above.plot(
            result.steps, cosines[..., mode], color=colour, linestyle=style, linewidth=1
        )
        lines[0].set_label(rf"$\langle v_j, u_{mode + 1}\rangle / \|v_j\|$, each $j$")
    above.plot(
        result.steps,
        result.collapse_cosine()[replica],
        color="black",
        linewidth=2,
        label=r"$E_z\,\cos(G(z),\, u_1 + u_2)$",
    )
    above.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    above.set(ylim=(-1.05, 1.05), ylabel="cosine")

    pace = result.pace()
    if result.replicas > 1:
        others = np.delete(pace, replica, axis=0)
        below.plot(result.steps, others.T, color=OTHERS, linewidth=0.6)
    below.plot(result.steps, pace[replica], color="black", linewidth=1.4)
    below.set(
        yscale="log",
        ylabel=r"$\|\nabla_{W,b}\| \,/\, \|\nabla_V\|$",
        xlabel="iteration",
        xlim=(0, max(1, result.steps[-1])),
    )
    T0 = judgement.T0[replica]
    if np.isfinite(T0):
        for axes in (above, below):
            axes.axvline(T0, color="black", linestyle=":", linewidth=1.2)
        above.annotate(
            rf"$T_0$ = {T0:,.0f}",
            (T0, -1.0),
            xytext=(4, 0),
            textcoords="offset points",
            backgroundcolor=(1, 1, 1, 0.8),
        )
    above.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, frameon=False)
    which = f"replica {result.provenance['replicas'][replica]}: {judgement.verdicts[replica]}"
    eta = rf"$\eta_D$ = {result.opt.eta_D:.3g}, $\eta_G$ = {result.opt.eta_G:.3g}"
    figure.suptitle(f"{result.opt.name}, d = {result.game.d:,}, {eta}, {which}", fontsize=10)
    return above, below
