"""How statistics.json was made: logistic trends and proportions by statsmodels, ESS by ArviZ.

    pip install statsmodels==0.15.0 arviz==0.23.4
    python tests/data/record_statistics.py

The ends of an interval of a coefficient are where twice the deviance lost by holding it there (as
an offset of a fit without it) is the quantile of chi squared: statsmodels has the fits only.
"""

import json
from pathlib import Path

import arviz
import numpy as np
import statsmodels.api as sm
from scipy.optimize import brentq
from scipy.stats import chi2
from statsmodels.stats.proportion import proportion_confint

TRENDS = [
    {"x": [8, 10, 12, 14, 16], "successes": [1, 5, 30, 50, 64], "trials": [64] * 5},
    {"x": [0.5, 2, 7], "successes": [30, 12, 3], "trials": [31, 40, 9]},
    {"x": [4.2, 5.5, 8.3, 11.1], "successes": [363, 481, 507, 512], "trials": [512] * 4},
]


def fit(x, k, n, offset=None):
    """A binomial fit on the columns of x."""
    model = sm.GLM(np.column_stack([k, n - k]), x, sm.families.Binomial(), offset=offset)
    return model.fit(tol=1e-12, maxiter=200)


def ends(kept, other, k, n, confidence):
    """Estimate and profile interval of the coefficient of `kept`."""
    free = fit(np.column_stack([kept, other]), k, n)
    asked = chi2.ppf(confidence, 1)

    def lost(value):
        return fit(other[:, None], k, n, value * kept).deviance - free.deviance - asked

    at, width = free.params[0], 10 * free.bse[0]
    return [at, brentq(lost, at - width, at), brentq(lost, at, at + width)]


def trend(x, successes, trials, confidence):
    """What fit_logistic gives: the slope, and the level at the first x."""
    x, k, n = (np.array(values, dtype=float) for values in (x, successes, trials))
    one = np.ones_like(x)
    return {
        "slope": ends(x, one, k, n, confidence),
        "level": ends(one, x - x[0], k, n, confidence),
    }


def chains(rho, length=2000, count=4):
    """Autoregressive chains, as tests/test_statistics.py draws them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(length, count))
    for t in range(1, length):
        x[t] = rho * x[t - 1] + np.sqrt(1 - rho**2) * x[t]
    return x


if __name__ == "__main__":
    recorded = {
        "trends": [
            {**data, "confidence": confidence, **trend(**data, confidence=confidence)}
            for data in TRENDS
            for confidence in (0.5, 0.95, 0.9995)
        ],
        "proportions": [
            [k, n, c, *map(float, proportion_confint(k, n, 1 - c, method="beta"))]
            for k, n in [(0, 1), (3, 10), (61, 64), (1, 5000)]
            for c in (0.5, 0.95, 0.9995)
        ],
        "ess": [
            [rho, float(arviz.ess(chains(rho).T, method="mean"))] for rho in (0.0, 0.5, 0.9, -0.5)
        ],
    }
    path = Path(__file__).with_name("statistics.json")
    path.write_text(json.dumps(recorded) + "\n", encoding="utf-8")
