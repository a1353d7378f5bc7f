"""p_adv* of a classifier of two moons, and what four samplers make of it.

    python figures/p_adv_samples.py

The sign step of the talk's Algorithm 1 gathers in corners; the projected chain has atoms there and
on the faces, which p_adv* has not.
"""

from __future__ import annotations

import twomode_program

import itertools

import common
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import twomode as tm
from twomode import adversarial
from twomode.adversarial import Data, Target

EPS, LAM, H = 0.3, 3.0, 0.01
STEPS, BURN, CHAINS, SHOWN = 2000, 400, 32, 1200
SAMPLERS = {
    "sign": adversarial.sampler("sign", eta=0.5, sigma=0.3),
    **{name: adversarial.sampler(name, h=H) for name in ("projected", "reflected", "mala-folded")},
}
TIPS = Data(np.array([[0.0, 0.5], [1.0, 0.0]]), np.array([1, 0]))  #: of the two moons


def main() -> None:
    """Train, sample, draw, save."""
    args = common.parse(__doc__)
    model, others = common.classifier("moons", 300)
    target = Target.of(model, TIPS, EPS, LAM)
    law = adversarial.Quadrature(target)
    start = np.random.default_rng(0).uniform(target.low, target.high, (CHAINS, *target.x.shape))
    figure = Figure(figsize=(9, 6.2), layout="compressed")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    with tm.ProgressBar("p_adv_samples") as bar:
        for axes, (name, sampler) in zip(panels.flat, SAMPLERS.items(), strict=True):
            options = {"chains": CHAINS, "burn": BURN, "start": start, "progress": bar}
            chains = adversarial.sample(target, sampler, STEPS, **options)
            tm.plotting.gibbs_map(axes, law, chains.x, most=SHOWN)
            for label, marker in enumerate("os"):
                mine = others.x[others.y == label]
                style = {"color": "0.85", "markersize": 3, "zorder": -1}
                axes.plot(*mine.T, marker, label=f"data of class {label}", **style)
            name_atoms(axes, target, chains.x)
            axes.set(xlim=(-0.55, 1.6), ylim=(-0.45, 0.95))
            axes.label_outer()
            error = np.sqrt((chains.losses.var(axis=(0, 1)) / chains.ess).sum()) / len(target.x)
            mean = rf"$E[\ell]$ = {chains.losses.mean():.3f} $\pm$ {error:.3f}"
            axes.set_title(f"{name}: {mean}", fontsize=10)
    label = r"density of $p^*_{adv}$ / uniform density"
    figure.colorbar(panels[0, 0].images[0], ax=panels, label=label, shrink=0.6)
    named = panels[0, 0].get_legend_handles_labels()
    style = {"ncols": 5, "fontsize": 8, "frameon": False, "markerscale": 2}
    figure.legend(*named, loc="outside lower center", **style)
    size = f"{chains.losses[..., 0].size:,} samples of each, {SHOWN:,} drawn"
    figure.suptitle(
        rf"$p^*_{{adv}}$ of two points, d = 2, $\lambda$ = {LAM:g}, $\varepsilon$ = {EPS:g}:"
        rf" $E[\ell]$ = {law.mean_loss.mean():.3f}.  {size}, $\pm$: standard error"
        "\n"
        rf"h = {H:g} $\varepsilon^2$, sign step with $\eta$ = 0.5 $\varepsilon$, $\sigma$ = 0.3"
        r" $\varepsilon$; beside a box: share of its samples on that face or corner",
        fontsize=10,
    )
    common.save(figure, args, "p_adv_samples")


def name_atoms(axes: Axes, target: Target, x: np.ndarray) -> None:
    """Write beside each corner and face what share of the samples lies on it, from 1 % on."""
    at = np.where(x == target.low, -1, np.where(x == target.high, 1, 0))
    for k, anchor in enumerate(target.x):
        for side in itertools.product((-1, 0, 1), repeat=2):
            share = (at[:, :, k] == side).all(axis=-1).mean()
            if any(side) and share >= 0.01:
                axes.annotate(
                    f"{100 * share:.0f} %",
                    anchor + EPS * np.array(side),
                    xytext=4 * np.array(side),
                    textcoords="offset points",
                    horizontalalignment=("right", "center", "left")[side[0] + 1],
                    verticalalignment=("top", "center", "bottom")[side[1] + 1],
                    fontsize=8,
                    bbox={"color": (1, 1, 1, 0.8), "pad": 0.5},
                )


if __name__ == "__main__":
    twomode_program.run(main)
