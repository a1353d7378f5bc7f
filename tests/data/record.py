"""Record what the optimizers of PyTorch and optax do, for `tests/test_recorded.py`.

The recordings are in the repository, so the tests need neither library.  To make them again, from
this directory, in an environment that is used for nothing else:

    pip install torch==2.13.0 jax==0.10.2 optax==0.2.8 numpy==2.4.6     # the CPU builds
    python record.py recorded.json

and in another one, for the step that optimistic gradient descent once took first:

    pip install jax==0.4.30 jaxlib==0.4.30 optax==0.2.3 numpy==1.26.4
    python record.py older.json optax.optimistic_gradient_descent

The second argument leaves out the calls that do not begin with it.  Everything is computed in
double precision on the CPU, and written with the digits that give the same numbers back.  With
other versions the numbers may change: the file says which were used.

Two players, D with (W, b) and G with V, each with an optimizer of its own; D ascends the
objective L, G descends it.  Each optimizer is recorded

- on a fixed `sequence` of gradients for D, from 0: after every iteration a row of W and b;
- in the `game` L = x^T A y, W = x and V = y (b is always 0): after every iteration a row of x and
  y.  Both gradients are taken before either player moves, unless the order is "G first".
"""

import importlib
import json
import platform
import sys
from pathlib import Path

import numpy as np

ETA = {"D": 0.3, "G": 0.2}
LAYERS = {"D": ("W", "b"), "G": ("V",)}
A = [[0.8, -0.3], [0.5, 1.1]]
START = {"W": [0.7, -0.4], "b": [0.0], "V": [-0.2, 0.9]}
GAME_ITERATIONS = 15

#: The calls, as they are evaluated for each player: `eta` is its step size.  In torch `parameters`
#: are its layers and `maximize` is whether it ascends; for optax its gradients are negated instead.
CALLS = [
    "torch.optim.SGD(parameters, lr=eta, maximize=maximize)",
    "torch.optim.SGD(parameters, lr=eta, maximize=maximize, momentum=0.8)",
    "torch.optim.Adam(parameters, lr=eta, maximize=maximize)",
    "torch.optim.Adam(parameters, lr=eta, maximize=maximize, betas=(0.5, 0.9), eps=1e-3)",
    "torch.optim.RMSprop(parameters, lr=eta, maximize=maximize, alpha=0.9)",
    "optax.sgd(eta)",
    "optax.sgd(eta, momentum=0.8)",
    "optax.adam(eta)",
    "optax.adam(eta, b1=0.5, b2=0.9, eps=1e-3)",
    "optax.adam(eta, b1=0.5, b2=0.9, eps=0.0, eps_root=1e-6)",
    "optax.rmsprop(eta, decay=0.9, eps_in_sqrt=False)",
    "optax.rmsprop(eta, decay=0.9)",
    "optax.chain(optax.ema(0.8), optax.sgd(eta))",
    "optax.chain(optax.normalize_by_update_norm(), optax.sgd(eta))",
    "optax.chain(optax.normalize_by_update_norm(), optax.optimistic_gradient_descent(eta))",
    "optax.optimistic_gradient_descent(eta)",
    "optax.optimistic_adam_v2(eta, nesterov=False)",
    "optax.optimistic_adam_v2(eta, b1=0.5, b2=0.9, eps=1e-3, nesterov=False)",
    "optax.optimistic_adam_v2(eta)",
    "optax.optimistic_adam(eta, nesterov=False)",
    "optax.optimistic_adam(eta, optimism=0.1, nesterov=False)",
    "optax.contrib.sam(optax.sgd(eta), optax.sgd(-eta))",
]
#: Played with the second player answering the first one's move; in the game only.
G_FIRST = ["optax.sgd(eta)", "optax.sgd(eta, momentum=-0.5)"]
#: Optimizers that move away and come back: one iteration is this many of their steps.
STEPS = {"optax.contrib.sam(optax.sgd(eta), optax.sgd(-eta))": 2}


def sequence():
    """Twelve gradients: coordinates and times of different scales, zeros, changes of sign.

    Returns
    -------
    dict of list
        For each layer one row a step.
    """
    rng = np.random.default_rng(20)
    scales = [1e-6, 1e-2, 1.0, 30.0]
    times = 10 ** rng.uniform(-1.5, 1.0, size=12)
    layers = {
        "W": rng.standard_normal((12, 4)) * scales * times[:, None],
        "b": rng.standard_normal((12, 1)) * times[:, None],
    }
    layers["W"][0, 1] = layers["W"][5:8, 2] = layers["b"][3] = 0
    layers["W"][9] = layers["b"][9] = 0
    return {name: [[float(f"{x:.3g}") for x in row] for row in g] for name, g in layers.items()}


class TorchPlayer:
    """Layers of double precision, and an optimizer of torch."""

    def __init__(self, call, player, start):
        torch = importlib.import_module("torch")
        self.tensor = lambda values: torch.tensor(values, dtype=torch.float64)
        self.layers = {name: self.tensor(start[name]) for name in LAYERS[player]}
        parameters = list(self.layers.values())
        names = {"parameters": parameters, "maximize": player == "D", "eta": ETA[player]}
        self.optimizer = eval(call, {"torch": torch} | names)

    def step(self, gradients):
        """One step along the objective's gradients."""
        for name, parameter in self.layers.items():
            parameter.grad = self.tensor(gradients[name])
        self.optimizer.step()

    def values(self):
        """Each layer as a list."""
        return {name: parameter.tolist() for name, parameter in self.layers.items()}


class OptaxPlayer:
    """Layers of double precision, and an optimizer of optax."""

    def __init__(self, call, player, start):
        jax = importlib.import_module("jax")
        jax.config.update("jax_enable_x64", True)
        self.optax = importlib.import_module("optax")
        importlib.import_module("optax.contrib")
        self.array = lambda values: jax.numpy.asarray(values, dtype=jax.numpy.float64)
        self.layers = {name: self.array(start[name]) for name in LAYERS[player]}
        self.optimizer = eval(call, {"optax": self.optax, "eta": ETA[player]})
        self.state = self.optimizer.init(self.layers)
        self.sign = -1.0 if player == "D" else 1.0

    def step(self, gradients):
        """One step along the objective's gradients."""
        gradients = {name: self.sign * self.array(gradients[name]) for name in self.layers}
        updates, self.state = self.optimizer.update(gradients, self.state, self.layers)
        self.layers = self.optax.apply_updates(self.layers, updates)

    def values(self):
        """Each layer as a list."""
        return {name: layer.tolist() for name, layer in self.layers.items()}


def play(call, start, gradients, iterations, order="simultaneous"):
    """Rows of W, b and V after every iteration.

    Parameters
    ----------
    call : str
    start : dict of list
    gradients : callable
        From the layers' values to the objective's gradients.
    iterations : int
    order : str
    """
    kind = TorchPlayer if call.startswith("torch") else OptaxPlayer
    players = {player: kind(call, player, start) for player in LAYERS}
    turns = [("D", "G")] if order == "simultaneous" else [("G",), ("D",)]
    rows = []
    for _ in range(iterations):
        for turn in turns * STEPS.get(call, 1):
            taken = gradients(players["D"].values() | players["G"].values())
            for player in turn:
                players[player].step(taken)
        values = players["D"].values() | players["G"].values()
        rows.append([float(x) for name in ("W", "b", "V") for x in values[name]])
    return rows


def on_the_sequence(call):
    """Rows of W and b; G stays where it is."""
    fed = sequence()
    steps = len(fed["b"])
    fed["V"] = [[0.0]] * steps
    gradients = ({name: g[step] for name, g in fed.items()} for step in range(steps))
    start = {name: [0.0] * len(g[0]) for name, g in fed.items()}
    rows = play(call, start, lambda values: next(gradients), steps // STEPS.get(call, 1))
    return [row[:-1] for row in rows]


def in_the_game(call, order):
    """Rows of x and y."""

    def gradients(values):
        x, y = np.array(values["W"]), np.array(values["V"])
        return {"W": (A @ y).tolist(), "b": [0.0], "V": (x @ A).tolist()}

    rows = play(call, START, gradients, GAME_ITERATIONS, order)
    return [row[:2] + row[3:] for row in rows]


def record(prefix):
    """Everything the file says, for the calls that begin with `prefix`."""
    recordings = [
        {"call": call, "sequence": on_the_sequence(call), "game": in_the_game(call, "simultaneous")}
        for call in CALLS
        if call.startswith(prefix)
    ] + [
        {"call": call, "order": "G first", "game": in_the_game(call, "G first")}
        for call in G_FIRST
        if call.startswith(prefix)
    ]
    used = [name for name in ("torch", "jax", "jaxlib", "optax", "numpy") if name in sys.modules]
    versions = {name: sys.modules[name].__version__ for name in used}
    return {
        "made by": "tests/data/record.py, which says how and what this means",
        "versions": {"python": platform.python_version()} | versions,
        "eta": ETA,
        "gradients": sequence(),
        "A": A,
        "x": START["W"],
        "y": START["V"],
        "recordings": recordings,
    }


def as_json(value, indent=""):
    """JSON with one row of numbers a line."""
    rows = isinstance(value, list) and value and not isinstance(value[0], float)
    if not (isinstance(value, dict) or rows):
        return json.dumps(value, allow_nan=False)
    deeper = indent + " "
    names = [f"{json.dumps(name)}: " for name in value] if isinstance(value, dict) else None
    parts = value.values() if names else value
    lines = [
        f"{deeper}{name}{as_json(part, deeper)}"
        for name, part in zip(names or [""] * len(value), parts, strict=True)
    ]
    left, right = "{}" if names else "[]"
    return f"{left}\n" + ",\n".join(lines) + f"\n{indent}{right}"


if __name__ == "__main__":
    target, prefix, *_ = [*sys.argv[1:], "", ""]
    if not target:
        sys.exit("usage: python record.py FILE [BEGINNING OF CALLS]")
    Path(target).write_text(as_json(record(prefix)) + "\n")
