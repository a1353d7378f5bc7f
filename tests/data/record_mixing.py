"""How mixing.json was made: rank-normalized split R-hat, bulk and tail ESS by ArviZ.

pip install arviz==0.23.4
python tests/data/record_mixing.py
"""

import json
from pathlib import Path

import arviz
import numpy as np


def chains(phi, shift, T, count, heavy):
    """Autoregressive chains, of which the last is elsewhere, as tests/test_mixing.py draws them."""
    rng = np.random.default_rng(0)
    x = rng.standard_t(2, (T, count)) if heavy else rng.standard_normal((T, count))
    for t in range(1, T):
        x[t] += phi * x[t - 1]
    x[:, -1] += shift
    return x


CASES = [
    [phi, shift, T, count, heavy]
    for phi in (-0.5, 0.0, 0.9)
    for shift in (0.0, 1.0)
    for T, count in ((500, 4), (101, 2))
    for heavy in (False, True)
]

if __name__ == "__main__":
    recorded = []
    for case in CASES:
        f = chains(*case).T
        values = [float(arviz.rhat(f, method="rank"))]
        values += [float(arviz.ess(f, method=method)) for method in ("bulk", "tail", "mean")]
        recorded.append({"case": case, "values": values})
    text = json.dumps({"arviz": arviz.__version__, "recorded": recorded}, indent=1)
    Path(__file__).with_name("mixing.json").write_text(text + "\n")
