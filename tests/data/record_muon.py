"""Record what optax's Muon does, for `tests/test_polar.py`, which needs no optax.

To make the recording again, from this directory, in an environment that is used for nothing else:

    pip install jax==0.10.2 optax==0.2.8 numpy==2.4.6     # the CPU builds
    python record_muon.py muon.json

Everything is computed in double precision on the CPU.  A matrix W starts at 0 and takes one step
for each of a sequence of gradients; after every step the file has W.
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import optax
from optax import contrib

ETA = 0.3
CALLS = [
    "contrib.muon(eta, beta=0.95, nesterov=True)",
    "contrib.muon(eta, beta=0.8, nesterov=False)",
    "contrib.muon(eta, beta=0.9, nesterov=True, eps=1e-2)",
    "contrib.muon(eta, beta=0.9, nesterov=True, weight_decay=0.1)",
    "contrib.muon(eta, beta=0.9, nesterov=True, consistent_rms=0.2)",
]


jax.config.update("jax_enable_x64", True)


def record(call):
    """The matrix after each step; the gradients of an ascent are those of a descent, negative."""
    rng = np.random.default_rng(7)
    gradients = rng.standard_normal((8, 5, 3)) * 10 ** rng.uniform(-3, 1, (8, 1, 1))
    W = jax.numpy.zeros((5, 3))
    optimizer = eval(call, {"contrib": contrib, "eta": ETA})
    step, state, path = jax.jit(optimizer.update), optimizer.init(W), []
    for g in gradients:
        updates, state = step(-jax.numpy.asarray(g), state, W)
        W = optax.apply_updates(W, updates)
        path.append(np.asarray(W).T.tolist())
    # optax multiplies from the other side: its columns are our rows.
    return {"call": call, "gradients": gradients.transpose(0, 2, 1).tolist(), "W": path}


if __name__ == "__main__":
    versions = {"jax": jax.__version__, "optax": optax.__version__, "numpy": np.__version__}
    found = {
        "made by": "tests/data/record_muon.py, which says how and what this means",
        "versions": versions,
        "eta": ETA,
        "recordings": [record(call) for call in CALLS],
    }
    Path(sys.argv[1]).write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
