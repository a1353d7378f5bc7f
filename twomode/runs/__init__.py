"""One run: what determines it, what is recorded of it, and the result that it leaves."""

from twomode.runs.checkpoint import Checkpoint
from twomode.runs.play import Played, RunProgress, play
from twomode.runs.provenance import commit, origin
from twomode.runs.result import Result, load
from twomode.runs.run import ENGINES, Run
from twomode.runs.simulate import resume, simulate
from twomode.runs.streams import Minibatches, draw_start
from twomode.runs.trace import TRACE, Recorder, snapshot, to_host

__all__ = [
    "ENGINES",
    "TRACE",
    "Checkpoint",
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
    "play",
    "resume",
    "simulate",
    "snapshot",
    "to_host",
]
