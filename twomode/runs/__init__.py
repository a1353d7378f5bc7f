"""One run: what determines it, what is recorded of it, and the result that it leaves."""

from twomode.runs.origin import commit, origin
from twomode.runs.play import Played, RunProgress, play
from twomode.runs.result import Extremes, Result, load, over_latents
from twomode.runs.run import ENGINES, Run
from twomode.runs.simulate import simulate
from twomode.runs.streams import Minibatches, draw_start
from twomode.runs.trace import TRACE, Recorder, snapshot, to_host

__all__ = [
    "ENGINES",
    "TRACE",
    "Extremes",
    "Minibatches",
    "Played",
    "Recorder",
    "Result",
    "Run",
    "RunProgress",
    "commit",
    "draw_start",
    "load",
    "origin",
    "over_latents",
    "play",
    "simulate",
    "snapshot",
    "to_host",
]
