"""Results on disk: the same after a round trip, never half written, refused when damaged."""

import errno
import math
import os
import pickle
import re
import stat
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import strictly

import twomode as tm
import twomode.io
import twomode.names
from twomode.io import from_json, load_arrays, save_arrays
from twomode.names import NameTakenError, new_file, new_folder, save_text
from twomode.runs import TRACE


@pytest.fixture(scope="module")
def run():
    """A small result that has everything awkward: NaN, infinity, nested laws, minibatches."""
    game = tm.Game.preset(37, clip=float("inf"), latents=tm.ExplicitLatents(np.eye(4), [0.25] * 4))
    opt = tm.optimizer("nsgda-momentum", eta_D=0.01, eta_G=0.003, beta1=-0.5)
    return tm.simulate(game, opt, 10, replicas=[5, 2], seed=3, batch_size=4, record_every=4)


@pytest.fixture
def saved(run, tmp_path):
    path = tmp_path / "run.npz"
    run.save(path)
    return path


def assert_same(a, b):
    for name in ("steps", "diverged_at", *TRACE):
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype, name
        assert np.array_equal(x, y, equal_nan=True), name
    for name, x in a.state.arrays().items():
        assert np.array_equal(x, b.state.arrays()[name], equal_nan=True), name
    assert (a.game, a.opt, a.provenance) == (b.game, b.opt, b.provenance)


def refused(path, reason):
    with pytest.raises(tm.InputError, match=reason) as refusal:
        tm.load(path)
    message = str(refusal.value)
    assert str(path) in message
    assert "\n" not in message


# Round trip


def test_round_trip(run, saved):
    assert_same(tm.load(saved), run)
    assert_same(tm.load(str(saved)), run)


def test_numbers_of_numpy_are_saved(tmp_path):
    game = tm.Game.preset(np.int64(37), gamma=np.float32(0.25))
    opt = tm.optimizer("sgda", eta_D=np.float32(0.5), eta_G=np.float64(0.25))
    seed = np.random.SeedSequence(np.array([1, 2]))
    run = tm.simulate(game, opt, np.int64(3), seed=seed, batch_size=np.int64(4))
    run.save(tmp_path / "run.npz")
    assert_same(tm.load(tmp_path / "run.npz"), run)


def test_saved_result_goes_on(run, saved):
    again = tm.load(saved)
    ends = [tm.simulate(r.game, r.opt, 5, replicas=2, start=r.state) for r in (run, again)]
    assert np.array_equal(ends[0].gram_V, ends[1].gram_V)


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
def test_round_trip_of_a_dense_result(tmp_path, dtype):
    opt = tm.optimizer("adam", eta_D=0.01, eta_G=0.01)
    run = tm.simulate(tm.Game.preset(37), opt, 3, engine="dense", dtype=dtype)
    run.save(tmp_path / "new" / "folders" / "run.npz")
    assert_same(tm.load(tmp_path / "new" / "folders" / "run.npz"), run)


def test_a_result_whose_start_is_not_finite_comes_back(run, tmp_path):
    start = replace(run.state, W=run.state.W * [[[1e200]], [[1.0]]])
    gone = tm.simulate(run.game, run.opt, 3, replicas=2, start=start)
    assert gone.diverged_at.tolist() == [0, -1]
    assert all(np.isnan(getattr(gone, name)[0]).all() for name in TRACE)
    gone.save(tmp_path / "run.npz")
    assert_same(tm.load(tmp_path / "run.npz"), gone)


@pytest.mark.parametrize("name", ["run", "run.npz", "run.v2"])
def test_the_file_has_the_name_that_was_asked_for(run, tmp_path, name):
    run.save(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_file_is_as_readable_as_any_other(run, saved, tmp_path):
    (tmp_path / "other").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (saved, tmp_path / "other")}
    assert len(modes) == 1


# Writing


def test_nothing_is_overwritten_unless_asked(run, saved):
    saved.write_text("mine")
    with pytest.raises(tm.InputError, match="exists already"):
        run.save(saved)
    assert saved.read_text() == "mine"
    run.save(saved, overwrite=True)
    assert_same(tm.load(saved), run)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ValueError])
@pytest.mark.parametrize("before", [None, "mine"])
def test_interrupted_writing_leaves_no_trace(tmp_path, error, before):
    path = tmp_path / "file"
    if before:
        path.write_text(before)

    def write_half():
        with new_file(path, overwrite=True) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert [p.read_text() for p in tmp_path.iterdir()] == ([before] if before else [])


def test_the_file_appears_when_complete(tmp_path):
    path = tmp_path / "file"
    with new_file(path) as file:
        file.write(b"all")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"all"


def test_failed_replacement_leaves_no_trace(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("disk on fire")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="disk on fire"):
        save_text(tmp_path / "file", "text")
    assert list(tmp_path.iterdir()) == []


def test_text_is_utf8(tmp_path):
    save_text(tmp_path / "file", "⟨u₁, u₂⟩ ≥ 0\n")
    assert (tmp_path / "file").read_bytes() == "⟨u₁, u₂⟩ ≥ 0\n".encode()


def test_unwritable_folder(run, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(tm.InputError, match=r"cannot write to .*Permission denied") as refusal:
        run.save(tmp_path / "run.npz")
    assert str(tmp_path) in str(refusal.value)


@pytest.mark.parametrize("below", ["run.npz", "folder/run.npz"])
def test_a_path_below_a_file(run, tmp_path, below):
    (tmp_path / "file").touch()
    with pytest.raises(tm.InputError, match=r"cannot write to .*file"):
        run.save(tmp_path / "file" / below)


@pytest.mark.parametrize("length", [250, 300])  # fits without what a temporary name adds; does not
def test_a_name_that_is_too_long(run, tmp_path, length):
    with pytest.raises(tm.InputError, match="name too long"):
        run.save(tmp_path / ("x" * length))


def test_a_folder_is_not_overwritten(run, tmp_path):
    (tmp_path / "folder").mkdir()
    for overwrite in (False, True):
        with pytest.raises(tm.InputError, match="folder"):
            run.save(tmp_path / "folder", overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


# Names and folders


@pytest.fixture
def holder(tmp_path):
    """Another process, which is writing run.npz and replacing a folder here."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a").write_text("old")
    code = """if True:
        import os, sys, time
        from pathlib import Path
        from twomode.names import _reserved, new_file, new_folder
        here = Path(sys.argv[1])
        with new_file(here / "run.npz"), _reserved(here / "old", True, folder=True) as (new, put):
            new.mkdir()
            (new / "a").write_text("new")
            (here / "old").replace(new.with_name("old"))  # half-way through putting it there
            print("ready", flush=True)
            time.sleep(600)
    """
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_a_process_holds_a_name_until_it_is_killed(run, holder, tmp_path):
    for overwrite in (False, True):
        with pytest.raises(NameTakenError, match="being written by another process"):
            run.save(tmp_path / "run.npz", overwrite=overwrite)
    os.utime(tmp_path / ".old.twomode", (0, 0))
    run.save(tmp_path / "other.npz")  # removes what is stale, which is not this, however old
    assert (tmp_path / ".old.twomode" / "new" / "a").exists()
    holder.kill()
    holder.wait()
    os.utime(tmp_path / ".old.twomode", (0, 0))
    run.save(tmp_path / "run.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "other.npz", "run.npz"]
    assert (tmp_path / "old" / "a").read_text() == "old"


@pytest.mark.parametrize("locks", [True, False])
@pytest.mark.parametrize("overwrite", [True, False])
def test_of_concurrent_saves_one_succeeds(tmp_path, monkeypatch, locks, overwrite):
    def unsupported(_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    if not locks:
        monkeypatch.setattr(twomode.names, "_lock", unsupported)
    together, done = threading.Barrier(8), threading.Barrier(8)

    def save(number):
        together.wait()
        try:
            with new_file(tmp_path / "file", overwrite=overwrite) as file:
                file.write(b"%d" % number)
                done.wait()
        except NameTakenError:
            done.wait()
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        succeeded = list(threads.map(save, range(8)))
    assert sum(succeeded) == 1
    (path,) = tmp_path.iterdir()
    assert path.read_text() == str(succeeded.index(True))


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for names in ("abc", "bd"):
        with new_folder(tmp_path / "runs" / "x", overwrite=names == "bd") as folder:
            for name in names:
                save_text(folder / name, names)
                assert not (tmp_path / "runs" / "x" / name).exists() or names == "bd"
    assert {p.name: p.read_text() for p in (tmp_path / "runs" / "x").iterdir()} == {
        "b": "bd",
        "d": "bd",
    }
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["x"]
    assert [p.name for p in twomode.names.saved() if tmp_path in p.parents] == ["b", "d"]


@pytest.mark.parametrize("complete", [[], ["a", "b"]])
def test_what_was_complete_is_kept_of_a_folder(tmp_path, complete):
    def write():
        with new_folder(tmp_path / "runs" / "x") as folder:
            for name in complete:
                save_text(folder / name, name)
            with new_file(folder / "c"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    found = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(found) == [Path("runs", "x", name) for name in complete]
    assert (tmp_path / "runs").exists() == bool(complete)
    assert [p.name for p in twomode.names.saved() if tmp_path in p.parents] == complete


def test_an_interrupted_replacement_puts_the_old_folder_back(tmp_path, monkeypatch):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a").write_text("old")
    replace = Path.replace

    def interrupt(path, target):
        if path.name == "new" and target == tmp_path / "x":
            raise KeyboardInterrupt
        return replace(path, target)

    def write():
        with new_folder(tmp_path / "x", overwrite=True) as folder:
            save_text(folder / "a", "new")

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write()
    assert [p.read_text() for p in tmp_path.rglob("*") if p.is_file()] == ["old"]
    assert tmp_path / "x" / "a" not in twomode.names.saved()


@pytest.mark.parametrize("name", ["", "..", "file", "home"])
def test_only_a_folder_of_files_is_replaced(tmp_path, name):
    (tmp_path / "runs" / "home" / "inner").mkdir(parents=True)
    (tmp_path / "runs" / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(tm.InputError), new_folder(tmp_path / "runs" / name, overwrite=True):
        raise AssertionError
    assert sorted(tmp_path.rglob("*")) == before


# Damaged files


def test_truncated_files_are_refused(saved):
    content = saved.read_bytes()
    for length in (*range(0, len(content), len(content) // 50), len(content) - 1):
        saved.write_bytes(content[:length])
        refused(saved, "damaged|altered|not a twomode result|declares more")


@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_changed_bytes_are_noticed(run, saved, mask):
    content = saved.read_bytes()
    directory = content.index(b"PK\x01\x02")  # from here on, what the archive says of its members
    places = [*range(0, directory, directory // 100), *range(directory, len(content))]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= mask
        saved.write_bytes(damaged)
        try:
            found = tm.load(saved)
        except tm.InputError:
            continue
        assert_same(found, run)  # it was a date, or other decoration of the archive


@pytest.mark.parametrize("name", ["steps", "gram_V", "bias", "state_W", "metadata"])
def test_altered_content_is_refused(saved, name):
    """In an archive that is sound in itself."""
    with np.load(saved) as archive:
        members = dict(archive)
    if name == "metadata":
        members[name] = np.array(str(members[name]).replace('"beta1": -0.5', '"beta1": -0.4'))
    else:
        members[name].flat[-1] += 1
    with saved.open("wb") as file:
        np.savez(file, **members)
    refused(saved, "altered")


@pytest.mark.parametrize("name", ["objective", "metadata", "sha256"])
def test_missing_content_is_refused(saved, name):
    with np.load(saved) as archive:
        members = dict(archive)
    del members[name]
    with saved.open("wb") as file:
        np.savez(file, **members)
    refused(saved, "altered|not a twomode result")


def resealed(path, change):
    """Change arrays and metadata, and renew the checksum, as one who tampers would."""
    arrays, metadata = load_arrays(path)
    change(arrays, metadata)
    save_arrays(path, arrays, metadata, overwrite=True)


TAMPERED = {
    "KeyError: 'game'": lambda _, notes: notes.pop("game"),
    "KeyError: 'replicas'": lambda _, notes: notes["provenance"].pop("replicas"),
    "replicas=2 is not a run's": lambda _, notes: notes["provenance"].update(replicas=2),
    "gamma=2.0 must lie": lambda _, notes: notes["game"].update(gamma=2.0),
    "TypeError": lambda _, notes: notes["opt"].update(unknown=1),
    "KeyError: 'opt'": lambda _, notes: notes.pop("opt"),
    "extra missing, or too many": lambda arrays, _: arrays.update(extra=np.zeros(1)),
    "objective missing": lambda arrays, _: arrays.pop("objective"),
    "bias is float64 of shape": lambda arrays, _: arrays.update(bias=arrays["bias"][:, :-1]),
    "gram_V is float64": lambda arrays, _: arrays.update(gram_V=arrays["gram_V"][..., :1]),
    "steps is float64": lambda arrays, _: arrays.update(steps=arrays["steps"] * 1.0),
    "norms_W is float32": lambda arrays, _: arrays.update(norms_W=np.float32(arrays["norms_W"])),
    "objective is <U": lambda arrays, _: arrays.update(objective=arrays["objective"].astype(str)),
    "steps must increase": lambda arrays, _: arrays.update(steps=arrays["steps"][::-1]),
    "not where it had not": lambda arrays, _: arrays["objective"].fill(np.nan),
    "start.W holds a NaN": lambda arrays, _: arrays["state_W"].fill(np.nan),
    "start.U must hold unit": lambda arrays, _: arrays["state_U"].fill(1.0),
    "finite where a replica had diverged": lambda arrays, _: arrays["diverged_at"].fill(4),
}


@pytest.mark.parametrize("message", TAMPERED)
def test_a_resealed_file_of_other_content_is_refused(saved, message):
    resealed(saved, TAMPERED[message])
    refused(saved, re.escape(message))


@pytest.mark.parametrize("text", ['{"format": ', "[]", "[" * 100_000, "\0"])
def test_metadata_that_is_no_json_is_refused(saved, monkeypatch, text):
    monkeypatch.setattr(twomode.io, "to_json", lambda *_, **__: text)
    resealed(saved, lambda *_: None)
    refused(saved, "damaged|no object of JSON|JSONDecodeError")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("program", [False, True])
def test_what_a_file_declares_is_checked_before_it_takes_memory(
    play, tmp_path, compression, program
):
    path = tmp_path / "law.npz"
    header = {"descr": "<f8", "fortran_order": False, "shape": (2**28,)}
    with zipfile.ZipFile(path, "w", compression) as archive, archive.open("Z.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(2**20))
    tracemalloc.start()
    try:
        if program:
            assert play("mode_collapse.py", "--latents", path)[0] == 2
        else:
            refused(path, "compressed|declares more")
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_a_missing_file(tmp_path):
    refused(tmp_path / "nothing.npz", "does not exist")


class Bomb:
    """Makes a folder when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_is_unpickled(tmp_path, saved):
    bomb, path = Bomb(tmp_path / "boom"), tmp_path / "file"
    path.write_bytes(pickle.dumps(bomb))
    refused(path, "damaged|declares more")
    with path.open("wb") as file:
        np.save(file, np.array([bomb]))
    refused(path, "damaged|declares more")
    with np.load(saved) as archive:
        members = dict(archive) | {"bias": np.array([bomb])}
    with path.open("wb") as file:
        np.savez(file, **members)
    refused(path, "damaged|declares more")
    assert not bomb.path.exists()
    with np.load(path, allow_pickle=True) as archive:
        archive["bias"]
    assert bomb.path.exists()  # it would have gone off


def write_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("metadata", "sha256", "readme.txt"):
            archive.writestr(name, "text")


def write_npy(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("hello"),
        write_npy,
        lambda path: np.savez(path, x=np.zeros(3)),
        lambda path: path.mkdir(),
        write_zip,
        lambda path: save_arrays(path, {"x": np.zeros(3)}, {"format": "something else"}),
    ],
    ids=["empty", "text", "npy", "npz", "folder", "zip", "another format"],
)
def test_other_files_are_refused(tmp_path, write):
    write(tmp_path / "file.npz")
    refused(tmp_path / "file.npz", "not a twomode result|cannot be read|altered|damaged")


def test_arrays_and_metadata_come_back(tmp_path):
    arrays = {"empty": np.zeros((0, 3)), "whole": np.arange(3), "bits": np.array([True, False])}
    metadata = {"text": "∇", "list": [1, 2.5, None, -math.inf], "infinity": {"of": math.inf}}
    save_arrays(tmp_path / "file", arrays, metadata)
    found, again = load_arrays(tmp_path / "file")
    assert again == metadata
    with np.load(tmp_path / "file") as archive:
        assert strictly(str(archive["metadata"]))["infinity"] == {"of": "inf"}
    assert found.keys() == arrays.keys()
    for name, x in arrays.items():
        assert (found[name].dtype, found[name].shape) == (x.dtype, x.shape)
        assert np.array_equal(found[name], x)


# As a table


def test_to_frame_is_tidy(run):
    frame = run.to_frame()
    R, T = run.bias.shape
    assert len(frame) == R * T == 2 * 4
    assert list(frame.columns) == [
        "replica",
        "step",
        "collapse_cosine",
        "asymmetry",
        "residual",
        "coverage_1",
        "coverage_2",
        "grad_norm_D",
        "grad_norm_G",
        "update_norm_D",
        "update_norm_G",
        "objective",
        "bias",
    ]
    assert not frame.duplicated(["replica", "step"]).any()
    assert frame["replica"].unique().tolist() == [5, 2]
    assert frame["step"].tolist() == [0, 4, 8, 10] * 2
    row = frame.set_index(["replica", "step"]).loc[(2, 8)]
    assert row["bias"] == run.bias[1, 2]
    assert row["grad_norm_D"] == run.grad_norms[1, 2, 0]
    assert row["update_norm_G"] == run.update_norms[1, 2, 1]
    assert row["coverage_2"] == run.coverage()[1, 2, 1]
    assert row["collapse_cosine"] == pytest.approx(run.collapse_cosine()[1, 2], rel=1e-14)
    assert row["asymmetry"] == run.outputs().asymmetry[1, 2].max()
    only = frame.drop(columns=["update_norm_D", "update_norm_G"])
    assert np.isfinite(only.to_numpy()).all()


# As labelled arrays


@pytest.mark.parametrize("engine", ["reduced", "flow"])
def test_to_xarray_labels_everything(engine):
    game = tm.Game.preset(37, m_D=3)
    options = {"record_every": 4} if engine == "reduced" else {"engine": engine}
    run = tm.simulate(game, *tm.recipe(game, "sgda", steps=9), replicas=[5, 2], seed=3, **options)
    labelled = run.to_xarray()
    names = {*TRACE, "diverged_at", *(f"state_{n}" for n in "WVbU")}
    names |= {"collapse_cosine", "coverage", "asymmetry", "residual"}
    names |= {"intervals", "differences_V"} if engine == "flow" else set()
    assert set(labelled.data_vars) == names
    sizes = {"replica": 2, "record": len(run.steps), "mode": 2, "player": 2}
    sizes |= {"discriminator_neuron": 3, "generator_neuron": 4, "other_generator_neuron": 4}
    assert labelled.sizes == sizes | {"coordinate": 9}
    for name, array in labelled.data_vars.items():
        assert array.dims[0] == "replica"
        assert array.attrs.keys() == {"long_name", "units"}, name
        assert not array.isnull().all()
    for name in TRACE:
        np.testing.assert_array_equal(labelled[name], getattr(run, name))
    for name in "WVbU":
        np.testing.assert_array_equal(labelled[f"state_{name}"], getattr(run.state, name))
    one = labelled.sel(replica=2, player="G", mode="u_2").isel(record=1, generator_neuron=3)
    assert one.iteration == run.times[1, 1]
    assert one.grad_norms == run.grad_norms[1, 1, 1]
    assert one.projections_V == run.projections_V[1, 1, 3, 1]
    assert one.coverage == run.coverage()[1, 1, 1]
    assert one.gram_V.isel(other_generator_neuron=0) == run.gram_V[1, 1, 3, 0]
    assert one.residual == run.outputs().residual[1, 1].max()
    assert labelled.iteration.dims == ("replica", "record")[-1 if engine == "reduced" else 0 :]
    assert (labelled.iteration.units, labelled.objective.units) == ("iterations", "nat")
    assert tm.Game.from_dict(from_json(labelled.game)) == game
    assert tm.Optimizer(**from_json(labelled.rule)) == run.opt
    assert from_json(labelled.provenance) == run.provenance
    strictly(labelled.provenance)


def test_without_xarray_one_line_says_what_to_do(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)  # importing it raises ImportError
    with pytest.raises(tm.InputError, match=r'needs xarray: pip install "twomode\[xarray\]"$'):
        run.to_xarray()
