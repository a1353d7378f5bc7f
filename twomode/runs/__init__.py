"""One run: what determines it, what is recorded of it, and the result that it leaves."""

from twomode.runs.checkpoint import Checkpoint
from twomode.runs.play import Played, RunProgress, play
from twomode.runs.provenance import SOURCES, commit, origin, sources
from twomode.runs.replay import (
    TOLERANCE,
    VERDICTS,
    Replayable,
    Replayed,
    SavedResult,
    drawn,
    replay,
    replay_all,
    saved_results,
)
from twomode.runs.result import Result, load
from twomode.runs.run import ENGINES, Run
from twomode.runs.simulate import resume, simulate
from twomode.runs.streams import Minibatches, draw_start
from twomode.runs.trace import TRACE, Recorder, snapshot, to_host

__all__ = [
    "ENGINES",
    "SOURCES",
    "TOLERANCE",
    "TRACE",
    "VERDICTS",
    "Checkpoint",
    "Minibatches",
    "Played",
    "Recorder",
    "Replayable",
    "Replayed",
    "Result",
    "Run",
    "RunProgress",
    "SavedResult",
    "commit",
    "draw_start",
    "drawn",
    "load",
    "origin",
    "play",
    "replay",
    "replay_all",
    "resume",
    "saved_results",
    "simulate",
    "snapshot",
    "sources",
    "to_host",
]
