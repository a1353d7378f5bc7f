"""What advances a state: three engines with one meaning (see `Engine`), and their limit, a flow.

And what else is compiled: minibatches by counting, and the gradients of small networks.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from twomode.engines.array import ArrayEngine
from twomode.engines.protocol import Batches, Engine, Flow, Observer

if TYPE_CHECKING or "pdoc" in sys.modules:  # pdoc shows what is there, and asks for nothing
    from twomode.engines.compiled.descents import Descent
    from twomode.engines.compiled.drawn import alias_table, draw_points
    from twomode.engines.compiled.networks import Network, climb, loss_and_gradient
    from twomode.engines.dense import DenseEngine
    from twomode.engines.flow import FlowEngine
    from twomode.engines.reduced import ReducedEngine

__all__ = [
    "ArrayEngine",
    "Batches",
    "DenseEngine",
    "Descent",
    "Engine",
    "Flow",
    "FlowEngine",
    "Network",
    "Observer",
    "ReducedEngine",
    "alias_table",
    "climb",
    "draw_points",
    "loss_and_gradient",
]

_COMPILED = {
    "DenseEngine": "dense",
    "Descent": "compiled.descents",
    "FlowEngine": "flow",
    "ReducedEngine": "reduced",
    "Network": "compiled.networks",
    "alias_table": "compiled.drawn",
    "climb": "compiled.networks",
    "draw_points": "compiled.drawn",
    "loss_and_gradient": "compiled.networks",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *_COMPILED})


def __getattr__(name: str) -> Any:
    """Import the compiled engines on first use: Numba takes longer than all the rest."""
    if name not in _COMPILED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(f"{__name__}.{_COMPILED[name]}"), name)
    return found
