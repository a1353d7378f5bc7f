"""What advances a state: three engines with one meaning (see `Engine`), and their limit, a flow."""

from twomode.engines.array import ArrayEngine
from twomode.engines.dense import DenseEngine
from twomode.engines.flow import FlowEngine
from twomode.engines.protocol import Batches, Engine
from twomode.engines.reduced import ReducedEngine

__all__ = [
    "ArrayEngine",
    "Batches",
    "DenseEngine",
    "Engine",
    "FlowEngine",
    "ReducedEngine",
]
