"""How far the unadjusted chains are from p_adv*, against their step size.

    python figures/sampler_bias.py

In one dimension, from their stationary laws: no Monte Carlo.
"""

from __future__ import annotations

import twomode_program

import common
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import twomode as tm
from twomode import adversarial
from twomode.adversarial import Target

N, NOISE, EPS, LAM = 4, 0.5, 0.5, 5.0
STEPS = np.geomspace(1e-4, 0.1, 10)  #: h, in eps^2
ORDERS = {"projected": 0.5, "reflected": 1.0}
MEASURES = {"bias": r"$|$bias of $E[\ell]|$", "tv": r"total variation to $p^*_{adv}$"}


def main() -> None:
    """Solve for the laws (or load), draw, save."""
    args = common.parse(__doc__, "table to draw instead of fresh laws, .csv")
    table = common.table(args, laws, "sampler", ORDERS)
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    for axes, (measure, label) in zip(figure.subplots(1, 2), MEASURES.items(), strict=True):
        rows = table.groupby("sampler")
        errors = {
            name: (rows.get_group(name)[measure].abs(), order) for name, order in ORDERS.items()
        }
        tm.plotting.bias_orders(axes, rows.get_group("reflected")["h"], errors)
        axes.set_ylabel(label)
    figure.suptitle(
        rf"stationary laws of {N} points in d = 1, $\lambda$ = {LAM:g}, $\varepsilon$ = {EPS:g};"
        " order: fitted to the four smallest h; dashed: slopes 1/2 and 1",
        fontsize=10,
    )
    common.save(figure, args, "sampler_bias")


def laws() -> pd.DataFrame:
    """A row a sampler and step size: bias of E[l] and total variation, means over the points."""
    model, data = common.classifier("mixture", N, noise=NOISE)
    target = Target.of(model, data, EPS, LAM)
    exact = adversarial.Quadrature(target)
    rows = []
    with tm.ProgressBar("sampler_bias") as bar:
        for k, (name, h) in enumerate((name, h) for name in ORDERS for h in STEPS):
            bar(tm.Progress(k, len(ORDERS) * len(STEPS), "law"))
            sampler, bias, tv = adversarial.sampler(name, h=h), 0.0, 0.0
            for i in range(N):
                law = adversarial.stationary(target, sampler, i)
                x = np.broadcast_to(law.x[:, None, None], (len(law.x), N, 1))
                bias += (law.mass @ target.losses(x)[:, i] - exact.mean_loss[i]) / N
                tv += law.total_variation(np.exp(exact.log_density(x)[:, i])) / N
            rows.append({"sampler": name, "h": h, "bias": bias, "tv": tv})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    twomode_program.run(main)
