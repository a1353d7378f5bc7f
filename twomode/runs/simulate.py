"""One call to a result: from a game and a rule, or from the checkpoint of a run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from twomode._typing import Count, Horizon, NotNegative, SeedNumber, Whole
from twomode.checks import checked
from twomode.errors import require
from twomode.game import Game, GaussianStart, State
from twomode.progress import Report
from twomode.rules import Optimizer
from twomode.runs.checkpoint import Checkpoint
from twomode.runs.result import Result
from twomode.runs.run import Factor, Run, Tolerance

__all__ = ["resume", "simulate"]


@checked
def simulate(
    game: Game,
    opt: Optimizer,
    steps: Horizon,
    *,
    replicas: Count | Iterable[Whole] = 1,
    seed: SeedNumber | np.random.SeedSequence | None = None,
    batch_size: Count | None = None,
    engine: str = "auto",
    record_every: Count | None = None,
    resolve: Factor | None = None,
    start: State | GaussianStart | None = None,
    dtype: str = "float64",
    rtol: Tolerance | None = None,
    progress: Report | bool | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: NotNegative | None = None,
) -> Result:
    """Run replicas of a game under one rule.

    Parameters
    ----------
    game : Game
    opt : Optimizer
    steps : int
        Iterations; those after which a flow ends that has not come to T_0.
    replicas : int or iterable of int
        How many, or which: replica k of a seed is the same run however it is asked for.
    seed : int or SeedSequence, optional
        Root of all randomness, 0 by default.  Replica k draws from streams of its own.
    batch_size : int, optional
        Points of data and of z in a minibatch, drawn anew each iteration and shared by both
        players; the population gradient by default.  The cost does not depend on it.
    engine : {"auto", "reduced", "dense", "array", "cupy", "flow"}
        ``auto`` is ``reduced`` for rotation-equivariant rules, else ``dense``.  ``array`` and
        ``cupy`` work in R^d with whole arrays.  ``flow`` is the limit of short steps, at any d:
        each replica ends at its T_0, and is recorded at times of its own (`Result.times`).
    record_every : int, optional
        Iterations between records; the first and the last iteration always are.  The default
        makes 1000 records with the reduced engine, fewer if the latent law has more than 150
        points, and 200 with the others.
    resolve : float, optional
        Record more often, up to 64 times, where a gradient norm changes by more than this factor
        between records, until its replica has come to rest for the first time (at T_0, see
        `twomode.first_stationary`).  What happens around T_0 may take some thirty iterations in
        a million.
    start : GaussianStart or State, optional
        How to draw each replica's start (the canonical one by default), or an explicit one.  The
        reduced engine draws in R^r: the same law as in R^d, not the same numbers.  The last state
        of a result is a start like any other: iterations count from 0 again, and nothing that a
        rule remembers (moments, an old step, the anchor), nor the stream of minibatches, goes on.
        `resume` does go on.
    dtype : {"float64", "float32"}
        Precision of the dense engine.  The reduced one uses float64, ``array`` and ``cupy`` that of
        the start.
    rtol : float, optional
        Of ``flow``: the largest error of a step, for each coordinate over its size; 1e-6 by
        default.
    progress : callable, optional
        True for a bar on a terminal or in a notebook; or called with a `Progress` about ten
        times a second.
    checkpoint : path, optional
        A file to keep the run in, so that `resume` can go on with it.  It is written soon after
        the start, then now and then, as a whole each time, and when the run has ended; it is
        yours to delete.
    checkpoint_every : float, optional
        Seconds of computing between two writes; 30 by default.  It is longer where writing would
        take more than a twentieth of the time.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        For an unusable value, a problem that does not fit into memory, or a checkpoint that is
        there already.

    Notes
    -----
    Results do not depend, to the last bit, on the number of threads, on how the work is cut into
    chunks, or on the other replicas; with `resolve`, the iterations that are recorded do, since
    the replicas share them.
    """
    run = Run.of(
        game,
        opt,
        steps,
        replicas=replicas,
        seed=seed,
        batch_size=batch_size,
        engine=engine,
        record_every=record_every,
        resolve=resolve,
        start=start,
        dtype=dtype,
        rtol=rtol,
    )
    require(
        checkpoint is not None or checkpoint_every is None,
        f"checkpoint_every={checkpoint_every} has no effect without a checkpoint: name a file",
    )
    kept = None if checkpoint is None else Checkpoint.new(run, Path(checkpoint), checkpoint_every)
    return Result.of(run, progress, kept)


@checked
def resume(
    path: str | Path, *, anyway: bool = False, progress: Report | bool | None = None
) -> Result:
    """Go on with a run from its checkpoint: the result is that of a run that never stopped.

    It is so to the last bit, and the file goes on being written.  Of a run that has ended the
    result is there at once.

    Parameters
    ----------
    path : path
        What `simulate` was given as ``checkpoint``.
    anyway : bool
        Go on where other sources of twomode, other versions of its libraries or another processor
        may round differently.  The result notes it (``provenance["resumed"]``).
    progress : callable, optional
        As for `simulate`.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        If the file is missing, damaged or no checkpoint, or if the last bit could differ.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import twomode as tm
    >>> game = tm.Game.preset(d=64)
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "run.checkpoint")
    ...     whole = tm.simulate(game, *tm.recipe(game, "sgda"), checkpoint=file)
    ...     again = tm.resume(file)
    >>> bool((again.bias == whole.bias).all())
    True
    """
    kept = Checkpoint.read(Path(path), anyway=anyway)
    return Result.of(kept.run, progress, kept)
