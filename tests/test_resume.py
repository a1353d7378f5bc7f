"""A run that was interrupted goes on as if it had not been, to the last bit."""

import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_engines import make_rule, make_start, minibatches

import twomode as tm
from twomode.engines import ArrayEngine, DenseEngine, FlowEngine, ReducedEngine
from twomode.io import load_arrays, save_arrays
from twomode.runs import TRACE, Checkpoint, Recorder, streams
from twomode.runs.provenance import differences
from twomode.runs.trace import OF_FLOWS

GAME = tm.Game.preset(37)


def engines_of(name):
    opt = make_rule(name, GAME.d)
    found = {"array": ArrayEngine, "dense": DenseEngine}
    found |= {"reduced": ReducedEngine} if opt.equivariant else {}
    for engine, Engine in found.items():
        yield engine, lambda Engine=Engine: Engine(GAME, opt, make_start(GAME))


def flow():
    start = streams.draw_start(
        GAME, tm.GaussianStart(), np.random.SeedSequence(0), range(3), reduced=True
    )
    return FlowEngine(GAME, tm.optimizer("sgda", eta_D=1.0, eta_G=1.0), start, 1e300, 1e-6)


def remembered(engine):
    return {name: np.array(x) for name, x in engine.memory.items()}


def assert_goes_on(make, length, at, batches=None):
    """A new engine with the memory of an old one takes its place."""

    def some(first, last):
        return batches and tuple(x[:, first:last] for x in batches)

    whole = make()
    whole.advance(at, some(0, at))
    memory = remembered(whole)
    whole.advance(length - at, some(at, length))
    second = make()
    second.restore(memory)
    second.advance(length - at, some(at, length))
    expected = remembered(whole)
    assert expected.keys() == remembered(second).keys() == memory.keys()
    for name, x in remembered(second).items():
        np.testing.assert_array_equal(x, expected[name], err_msg=name, strict=True)
    for name in ("update_norms", "peak_grad_norms"):
        np.testing.assert_array_equal(getattr(second, name), getattr(whole, name), strict=True)
    for name, x in whole.state.arrays().items():
        np.testing.assert_array_equal(second.state.arrays()[name], x, strict=True)


@pytest.mark.parametrize("name", tm.RULES)
def test_a_new_engine_goes_on_from_a_memory(name):
    batches = minibatches(GAME, 2, 12, size=4)
    for _, make in engines_of(name):
        for at in (0, 1, 7):
            assert_goes_on(make, 12, at, batches)
        assert_goes_on(make, 9, 5)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("optimistic", {"first_step": "double"}),
        ("optimistic-adam", {"past_scale": "today"}),
        ("anchored-adam", {"schedule": "past-extragradient", "correction": "sga"}),
        ("optimistic-nsgda", {"decay_D": 0.3, "decay_G": 0.6}),
    ],
)
def test_of_rules_without_a_name_too(name, changes):
    opt = make_rule(name, GAME.d, **changes)
    for Engine in (ArrayEngine, DenseEngine, ReducedEngine)[: 3 if opt.equivariant else 2]:
        for at in (1, 6):
            assert_goes_on(lambda E=Engine: E(GAME, opt, make_start(GAME)), 12, at)


@pytest.mark.slow
@pytest.mark.parametrize("name", tm.RULES)
def test_in_single_precision_too(name):
    opt, batches = make_rule(name, GAME.d), minibatches(GAME, 2, 12, size=4)
    for at in (1, 7):
        assert_goes_on(lambda: DenseEngine(GAME, opt, make_start(GAME), "float32"), 12, at, batches)


def test_a_flow_goes_on_from_within_a_step():
    for at in (0, 3, 8, 121):
        assert_goes_on(flow, 400, at)


def test_a_recorder_remembers_which_replicas_it_watches():
    """One that has come to rest is watched no more, whatever it does then."""
    opt = tm.optimizer("sgda", eta_D=1.0, eta_G=1.0)
    engine = ReducedEngine(GAME, opt, make_start(GAME, replicas=3))
    first, second = (Recorder(GAME, engine, 90, 32, 1.05) for _ in range(2))
    for _ in range(3):
        engine.advance(first.next_step - engine.t)
        first.record()
    first._watched[1] = False
    second.restore(first.memory)
    assert second._watched.tolist() == first._watched.tolist()
    for name, x in first.memory.items():
        np.testing.assert_array_equal(second.memory[name], x, strict=True)


# Whole runs


def assert_same(found, expected):
    """Every array of two results, bit for bit, and all they say of themselves but their times."""
    names = ("steps", "diverged_at", *TRACE)
    names += tuple(OF_FLOWS) if expected.intervals is not None else ()
    pairs = {name: (getattr(found, name), getattr(expected, name)) for name in names}
    pairs |= {n: (getattr(found.state, n), x) for n, x in expected.state.arrays().items()}
    if expected.start is not None:
        pairs |= {f"0{n}": (getattr(found.start, n), x) for n, x in expected.start.arrays().items()}
    for name, (x, y) in pairs.items():
        np.testing.assert_array_equal(x, y, err_msg=name, strict=True)
    times = {"wall_seconds", "compile_seconds", "steps_per_second", "command", "resumed"}
    same = expected.provenance.keys() - times
    assert {k: found.provenance.get(k) for k in same} == {k: expected.provenance[k] for k in same}


def start(replicas=None):
    rng = np.random.default_rng(0)
    drawn = tm.GaussianStart(std_V=0.2).draw(GAME, rng)
    return drawn if replicas is None else drawn.replicated(replicas)


RUNS = {
    "reduced": ("sgda-momentum", {"replicas": 9, "seed": 4}),
    "minibatches": (
        "optimistic-nsgda",
        {"seed": np.random.SeedSequence(7, spawn_key=(1, 2)), "batch_size": 3, "replicas": [5, 2]},
    ),
    "diverging": (
        "consensus",
        {"batch_size": 2, "replicas": 4, "eta_D": 100.0, "eta_G": 100.0, "record_every": 10},
    ),
    "resolved": ("sgda", {"resolve": 1.05, "record_every": 32, "replicas": 3}),
    "dense": ("past-extra-adam", {"replicas": 2, "batch_size": 1}),
    "float32": ("optimistic-adam", {"engine": "dense", "dtype": "float32"}),
    "array": ("sga-adam", {"engine": "array", "batch_size": 2}),
    "anchored": ("anchored", {"start": start()}),
    "replicas of one start": ("adam", {"start": start(2), "replicas": 2, "batch_size": 1}),
    "flow": ("sgda", {"engine": "flow", "replicas": 3, "record_every": 6}),
}


def simulated(case, **more):
    rule, options = RUNS[case]
    rates = {k: v for k, v in options.items() if k[:3] == "eta"}
    options = {k: v for k, v in options.items() if k not in rates}
    opt, steps = tm.recipe(GAME, rule, steps=10**9 if case == "flow" else 110, **rates)
    result = tm.simulate(GAME, opt, steps, **({"record_every": 60} | options | more))
    assert result.diverged.any() == (case == "diverging")
    return result


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """Run a case; what its checkpoint was whenever it could be written."""
    copies = []
    write = Checkpoint.write

    def copied(checkpoint, *arguments):
        write(checkpoint, *arguments)
        copies.append(tmp_path / f"copy-{len(copies)}")
        copies[-1].write_bytes(checkpoint.path.read_bytes())

    def run(case):
        path = tmp_path / "run.checkpoint"
        with monkeypatch.context() as patched:
            patched.setattr(Checkpoint, "write", copied)
            patched.setattr(Checkpoint, "due", True)
            simulated(case, checkpoint=path)
        return copies

    return run


@pytest.mark.parametrize(
    "case", [pytest.param(n, marks=pytest.mark.slow) if n == "float32" else n for n in RUNS]
)
def test_a_run_goes_on_from_any_of_its_checkpoints(kept, case):
    expected, copies, between = simulated(case), kept(case), 0
    for path in dict.fromkeys([*copies[:3], *copies[-2:]]):
        arrays, _ = load_arrays(path)
        at, ended = int(arrays["engine.t"]), arrays["records.next_step"] < 0
        between += at not in arrays["records.steps"]
        found = tm.resume(path)
        assert_same(found, expected)
        noted = [] if ended else [{"at": at, "different": []}]
        assert found.provenance.get("resumed", []) == noted
        assert_same(tm.resume(path), expected)  # it has been written to the end
    assert between
    assert ended  # and the last one was whole


def test_a_run_can_be_resumed_again_and_again(tmp_path, monkeypatch):
    path = tmp_path / "run.checkpoint"

    class Enough(Exception):
        pass

    write = Checkpoint.write

    def stopped(checkpoint, *arguments):
        write(checkpoint, *arguments)
        raise Enough

    monkeypatch.setattr(Checkpoint, "write", stopped)
    with pytest.raises(Enough):
        simulated("minibatches", checkpoint=path, checkpoint_every=0)
    for _ in range(2):
        with pytest.raises(Enough):
            tm.resume(path)
    monkeypatch.undo()
    found, seconds = tm.resume(path), load_arrays(path)[1]["seconds"]
    assert_same(found, simulated("minibatches"))
    places = [note["at"] for note in found.provenance["resumed"]]
    assert places == sorted(set(places))
    assert len(places) == 3
    assert found.provenance["wall_seconds"] >= seconds
    found.save(tmp_path / "run.npz")
    assert_same(tm.load(tmp_path / "run.npz").again(), found)


KILLED = """
import sys, twomode as tm
from pathlib import Path
game = tm.Game.preset(64)
opt, _ = tm.recipe(game, "nsgda-momentum")
tm.simulate(
    game, opt, 60_000, replicas=4, batch_size=2, record_every=25_000, checkpoint=sys.argv[1],
    checkpoint_every=0, progress=lambda p: print(p.done, flush=True),
)
"""


def test_a_killed_run_goes_on(tmp_path):
    path = tmp_path / "run.checkpoint"
    running = subprocess.Popen(
        [sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, text=True
    )
    running.stdout.readline()
    running.kill()
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    at = int(load_arrays(path)[0]["engine.t"])
    assert 0 < at < 60_000
    game = tm.Game.preset(64)
    opt, _ = tm.recipe(game, "nsgda-momentum")
    expected = tm.simulate(game, opt, 60_000, replicas=4, batch_size=2, record_every=25_000)
    assert_same(tm.resume(path), expected)
    assert [p.name for p in tmp_path.iterdir()] == ["run.checkpoint"]


# How often


def test_a_checkpoint_is_written_at_intervals(tmp_path, monkeypatch):
    """Of its own clock: every 30 s, more rarely where writing takes long."""
    now = [1000.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    run = tm.runs.Run.of(GAME, tm.optimizer("sgda", eta_D=0.1, eta_G=0.1), 5)
    kept = Checkpoint.new(run, tmp_path / "file")

    def saved(*_, **__):
        now[0] += costs.pop()

    monkeypatch.setattr("twomode.runs.checkpoint.save_arrays", saved)
    assert kept.due
    costs = [0.5, 10.0, 0.5]
    for pause in (30.0, 200.0, 30.0):
        kept.write({}, 0.0)
        now[0] += pause - 0.01
        assert not kept.due
        now[0] += 0.02
        assert kept.due


# Refusals


def refused(reason, call, *arguments, **options):
    with pytest.raises(tm.InputError, match=reason) as refusal:
        call(*arguments, **options)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("taken", ["mine", None])
def test_a_name_that_is_taken_is_refused_before_anything_is_computed(tmp_path, monkeypatch, taken):
    path = tmp_path / "taken"
    path.mkdir() if taken is None else path.write_text(taken)
    monkeypatch.setattr("twomode.runs.result.play", None)
    refused(r"checkpoint='.*taken' exists already: resume goes on", simulated, "reduced",
            checkpoint=path)  # fmt: skip
    assert taken is None or path.read_text() == taken


def test_what_cannot_be_written_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("twomode.runs.result.play", None)
    refused("cannot write to", simulated, "reduced", checkpoint=tmp_path / "file" / "below")
    refused("has no effect without a checkpoint", simulated, "reduced", checkpoint_every=3)
    refused("checkpoint_every=-1", simulated, "reduced", checkpoint="x", checkpoint_every=-1)


def resealed(path, change):
    arrays, notes = load_arrays(path)
    change(arrays, notes)
    save_arrays(path, arrays, notes, overwrite=True)


@pytest.fixture
def half(kept):
    return kept("minibatches")[1]


def test_other_files_are_refused(tmp_path, half):
    result = tmp_path / "result.npz"
    simulated("reduced").save(result)
    refused("not a twomode checkpoint, version 1", tm.resume, result)
    refused("not a twomode result, version 1", tm.load, half)
    refused("does not exist", tm.resume, tmp_path / "nothing")
    refused("cannot be read: Is a directory", tm.resume, tmp_path)
    whole = half.read_bytes()
    for part in (b"", whole[:1000], whole[:-1], b"hello", whole[:-3000] + bytes(3000)):
        half.write_bytes(part)
        refused("damaged|declares more|altered", tm.resume, half)


ELSEWHERE = {
    "numpy 1.0 (here ": lambda noted: noted["versions"].update(numpy="1.0"),
    "sources 0123 (here ": lambda noted: noted.update(sources="0123"),
    "cpu Z80 (here ": lambda noted: noted.update(cpu="Z80"),
    "blas not noted (here ": lambda noted: noted.pop("blas"),
}


@pytest.mark.parametrize("message", ELSEWHERE)
def test_what_was_written_elsewhere_is_refused_unless_asked_for(half, message):
    resealed(half, lambda _, notes: ELSEWHERE[message](notes["origin"]))
    refused(f"would not go on to the last bit.*{re.escape(message)}.*anyway=True", tm.resume, half)
    found = tm.resume(half, anyway=True)
    assert_same(found, simulated("minibatches"))
    (noted,) = found.provenance["resumed"]
    assert noted["different"][0].startswith(message)
    assert differences(found.provenance) == noted["different"]  # which a replay is to know
    ended = load_arrays(half)[0]["records.next_step"]
    assert ended < 0  # of a run that has ended nothing can differ
    resealed(half, lambda _, notes: ELSEWHERE[message](notes["origin"]))
    assert_same(tm.resume(half), found)


TAMPERED = {
    "not the memory of this run's engine": lambda a, _: a.pop("engine.past_W"),
    "not the memory of this run's  engine": lambda a, _: a.update({"engine.X_W": np.zeros(8)}),
    "not the records of a run": lambda a, _: a.pop("records.bias"),
    "not the records of 2": lambda a, _: a.update({"records.bias": a["records.bias"][:1]}),
    "not the records of  2": lambda a, _: a.update({"records.bias": a["records.norms_W"]}),
    "KeyError: 'every'": lambda _, notes: notes.pop("every"),
    "gamma=2.0 must lie": lambda _, notes: notes["game"].update(gamma=2.0),
    "steps=-3 must be": lambda _, notes: notes["run"].update(steps=-3),
}


@pytest.mark.parametrize("message", TAMPERED)
def test_a_resealed_file_of_other_content_is_refused(half, message):
    resealed(half, TAMPERED[message])
    refused(f"{half}.*(?:{message.replace('  ', ' ')})", tm.resume, half)


# The program

FLAGS = ("--d", 37, "--opt", "optimistic", "--steps", 90, "--replicas", 2, "--no-plot")


def test_a_program_says_how_to_go_on_and_does(play, tmp_path, monkeypatch):
    assert play("mode_collapse.py", *FLAGS, "--name", "whole")[0] == 0
    write = Checkpoint.write

    def stopped(checkpoint, *arguments):
        write(checkpoint, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "write", stopped)
        status, _, errors = play(
            "mode_collapse.py", *FLAGS, "--name", "my run", "--checkpoint", "a/file"
        )
    said, _, remedy = errors.partition("; to go on: python ")
    assert (status, said) == (130, "mode_collapse.py: interrupted, saved file in a")
    program, *words = shlex.split(remedy)
    assert program.endswith("sims/mode_collapse.py")
    assert words == ["--resume", "a/file", "--name", "my run", "--no-plot"]
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["whole"]
    copy = Path("a/file").read_bytes()
    status, output, errors = play("mode_collapse.py", *words)
    assert (status, errors) == (0, "")
    assert output.endswith("saved result.npz, summary.json in runs/my run\n")
    assert not Path("a/file").exists()
    assert_same(*(tm.load(Path("runs", name, "result.npz")) for name in ("my run", "whole")))
    Path("a/file").write_bytes(copy)
    status, output, errors = play("mode_collapse.py", *words, "--overwrite", "--steps", "90")
    assert (status, output) == (2, "")
    assert "steps=90 beside --resume: it is about a run as it was; leave steps out" in errors
    assert Path("a/file").read_bytes() == copy


def test_a_run_that_is_repeated_can_have_a_checkpoint(play):
    assert play("mode_collapse.py", *FLAGS, "--name", "a", "--checkpoint", "file")[0] == 0
    again = ("--config", "runs/a/summary.json", "--no-plot", "--checkpoint", "file")
    assert play("mode_collapse.py", *again, "--name", "b")[0] == 0
    assert not Path("file").exists()
    assert_same(*(tm.load(Path("runs", name, "result.npz")) for name in "ab"))
    status, _, errors = play("mode_collapse.py", *FLAGS, "--checkpoint", "runs/c/file")
    assert status == 2
    assert "checkpoint='runs/c/file' would lie in the folder of a run" in errors
    assert play("mode_collapse.py", *FLAGS, "--checkpoint", "runs/file")[0] == 0
    Path("file").write_text("mine")
    status, _, errors = play("mode_collapse.py", *again, "--name", "c")
    assert status == 2
    assert "checkpoint='file' exists already" in errors
    assert Path("file").read_text() == "mine"
    status, _, errors = play("mode_collapse.py", "--resume", "file")
    assert (status, errors.count("\n")) == (2, 1)
