"""One run: what determines it, what is recorded of it, and the result that it leaves."""

from twomode.runs.result import Extremes, Result, load, over_latents
from twomode.runs.simulate import ENGINES, Progress, checked_engine, simulate
from twomode.runs.trace import TRACE, Recorder, measure, to_host

__all__ = [
    "ENGINES",
    "TRACE",
    "Extremes",
    "Progress",
    "Recorder",
    "Result",
    "checked_engine",
    "load",
    "measure",
    "over_latents",
    "simulate",
    "to_host",
]
