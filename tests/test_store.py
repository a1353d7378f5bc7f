"""A store gives back what was put into it, to the last bit, and nothing that was not."""

import functools
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import twomode as tm
from twomode import names
from twomode.functions import identity
from twomode.game import Bernoulli
from twomode.rules import named_rule
from twomode.runs import provenance, replay
from twomode.studies import JobsFailedError, Store, store, stored_blocks, sweeps

TINY = {"d": 16, "opt": "nsgda", "steps": 4}
GRID = {"d": [16], "opt": ["sgda", "nsgda"], "steps": [4], "batch_size": [3, 8]}
same = functools.partial(assert_frame_equal, check_exact=True)


def everything(result):
    """Columns of every kind that a store keeps."""
    last, replicas = result.bias[:, -1], np.array(result.provenance["replicas"])
    texts = ["", "nan", "inf", "-inf", "two\nlines", "\ud800", "é", "\0"]
    return {
        "float": last,
        "single": last.astype(np.float32),
        "special": np.take([np.nan, np.inf, -np.inf, -0.0, 5e-324], replicas, mode="wrap"),
        "whole": replicas - 2**62,
        "byte": replicas.astype(np.uint8),
        "truth": last > 0,
        "complex": last + 1j,
        "text": [texts[k % len(texts)] for k in replicas],
        "mixed": [[None, True, 1, 2.5, np.nan, np.inf, "nan", 10**30][k % 8] for k in replicas],
        "object": pd.Series(["a"] * len(last), dtype=object),
        "one": 5,
        "nan": "for all",
        "αβ/..": 0.1,
    }


def last_bias(result):
    return {"end": helper(result)}


def helper(result):
    return FACTOR * result.bias[:, -1]


FACTOR = 2.0


@pytest.fixture
def counted(monkeypatch):
    """Which replicas of which rules were computed."""
    calls, run_cell = [], sweeps.run_cell

    def count(cell, replicas, *rest):
        calls.append((cell["opt"], list(replicas)))
        return run_cell(cell, replicas, *rest)

    monkeypatch.setattr(sweeps, "run_cell", count)
    return calls


def files(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


# The same table


@pytest.mark.parametrize("measure", [tm.sweeps.observe, everything, lambda result: {}])
def test_a_table_from_a_store_is_the_same_to_the_last_bit(tmp_path, counted, measure):
    plain = tm.sweep(GRID, 3, seed=7, measure=measure)
    assert len(counted) == 4
    for _ in range(2):
        same(tm.sweep(GRID, 3, seed=7, measure=measure, store=tmp_path), plain)
    assert len(counted) == 8
    assert len(files(tmp_path)) == 4


@pytest.mark.parametrize("counts", [(20, 40), (40, 20), (1, 17, 16, 33), (5, 40, 12)])
def test_only_missing_replicas_are_run(tmp_path, counted, counts):
    had = 0
    for count in counts:
        table = tm.sweep([TINY], count, measure=everything, store=tmp_path)
        assert sorted(k for _, block in counted for k in block) == list(range(had, max(had, count)))
        had = max(had, count)
        counted.clear()
        same(table, tm.sweep([TINY], count, measure=everything))
        counted.clear()


def test_rows_that_depend_on_what_ran_together_are_of_the_same_blocks(tmp_path, counted):
    """With `resolve`; seen here by a measure that counts."""
    cell = TINY | {"resolve": 2.0}
    for count in (20, 40, 20):
        tm.sweep([cell], count, store=tmp_path)
    blocks = [(block[0], block[-1]) for _, block in counted]
    assert blocks == [(0, 15), (16, 19), (16, 31), (32, 39)]


def test_other_cells_are_added(tmp_path, counted):
    few = tm.sweep(GRID | {"opt": ["sgda"]}, 3, store=tmp_path)
    counted.clear()
    table = tm.sweep(GRID, 3, store=tmp_path)
    assert {opt for opt, _ in counted} == {"nsgda"}
    same(table[table["opt"] == "sgda"], few)


def test_columns_are_in_the_order_of_the_cells(tmp_path):
    """Of other names each, whichever are there already."""
    grid = [TINY, TINY | {"gamma": 0.2}, {"bias": 0.1} | TINY]
    tm.sweep(grid[1:], 2, store=tmp_path)
    same(tm.sweep(grid, 2, store=tmp_path), tm.sweep(grid, 2))


def test_cells_are_spelled_as_they_were_asked_for(tmp_path, counted):
    tm.sweep([TINY | {"gamma": 0.0}], 2, store=tmp_path)
    other = [{"steps": 4.0, "opt": np.str_("nsgda"), "gamma": np.float32(0), "d": np.int64(16)}]
    found = tm.sweep(other, 2, store=tmp_path)
    assert len(counted) == 1
    same(found, tm.sweep(other, 2))


def test_one_cell_twice_is_run_once(tmp_path, counted):
    table = tm.sweep([TINY, TINY | {"d": 16.0}], 2, store=tmp_path)
    assert len(counted) == 1
    same(table, tm.sweep([TINY, TINY | {"d": 16.0}], 2))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"grid": [TINY | {"steps": 5}]},
        {"grid": [TINY | {"latents": Bernoulli(0.5)}]},
        {"grid": [TINY | {"batch_size": None}]},
        {"paired": ["d"]},
        {"measure": everything},
        {"measure": functools.partial(tm.sweeps.observe)},
    ],
    ids=["seed", "steps", "law", "batch_size", "paired", "measure", "partial"],
)
def test_what_rows_follow_from_tells_them_apart(tmp_path, counted, change):
    tm.sweep([TINY], 2, store=tmp_path)
    if isinstance(change.get("measure"), functools.partial):
        with pytest.raises(tm.InputError, match="cannot be told from another one by its source"):
            tm.sweep([TINY], 2, store=tmp_path, measure=change["measure"])
        return
    call = {"grid": [TINY], "replicas": 2} | change
    same(tm.sweep(**call, store=tmp_path), tm.sweep(**call))
    assert len(counted) == 3


def test_names_to_pair_that_a_cell_has_not_do_not_count(tmp_path, counted):
    for paired in ([], ["gamma"], ["gamma", "bias"]):
        tm.sweep([TINY], 2, store=tmp_path, paired=paired)
    assert len(counted) == 1


def test_a_measure_is_told_by_its_source_and_what_it_uses_of_its_file(monkeypatch):
    def made(k):
        return lambda result: {"x": k}

    known = [identity("measure", measure) for measure in (last_bias, made(1), made(2), everything)]
    assert known == [
        identity("measure", measure) for measure in (last_bias, made(1), made(2), everything)
    ]
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    known.append(identity("measure", last_bias))
    monkeypatch.setitem(globals(), "helper", lambda result: 0)
    known.append(identity("measure", last_bias))
    assert len({one["sha256"] for one in known}) == 6
    for measure in (made(np.ones(3)), len, functools.partial(last_bias), eval("lambda r: {}")):
        with pytest.raises(tm.InputError, match="cannot be told"):
            identity("measure", measure)


# What is refused


def test_results_of_other_sources_are_refused_in_a_line(tmp_path, counted, monkeypatch):
    table = tm.sweep([TINY], 2, store=tmp_path)
    here = store.version()
    other = here | {"sources": "0" * 12, "numpy": "1.0"}
    for module in (store, sweeps):
        monkeypatch.setattr(module, "version", lambda: other)
    said = (
        f"{tmp_path} has results of another version (sources {here['sources']}, not 000000000000,"
        f" numpy {here['numpy']}, not 1.0): use another folder, or take them as they are, by"
        " any_version"
    )
    for count in (2, 3):
        with pytest.raises(tm.InputError, match=f"^{re.escape(said)}$"):
            tm.sweep([TINY], count, store=tmp_path)
    assert len(counted) == 1
    both = Store(tmp_path, any_version=True)
    same(tm.sweep([TINY], 2, store=both), table)
    tm.sweep([TINY], 3, store=both)
    assert counted[1:] == [("nsgda", [2])]
    assert both.table()["sources"].tolist() == ["0" * 12, here["sources"]]
    tm.sweep([TINY | {"steps": 5}], 2, store=tmp_path)  # which is not there in another version


def test_an_edit_of_the_sources_is_another_version(tmp_path, monkeypatch):
    before = store.version()
    for name in ("game", "studies"):
        (tmp_path / name).mkdir()
    (tmp_path / "game" / "field.py").write_text("1")
    (tmp_path / "studies" / "cell.py").write_text("2")
    monkeypatch.setattr(provenance, "_PACKAGE", tmp_path)

    def seen():
        store.version.cache_clear()
        provenance.sources.cache_clear()
        return store.version()["sources"]

    words = set()
    for text in ("1", "11", "1"):
        (tmp_path / "game" / "field.py").write_text(text)
        words.add(seen())
    (tmp_path / "studies" / "cell.py").write_text("3")
    words.add(seen())
    assert len(words) == 3
    monkeypatch.undo()
    assert seen() == before["sources"]


def test_a_process_of_other_sources_is_refused(tmp_path, monkeypatch):
    """What it computes would be kept under a version that it is not of."""
    noted = sweeps._noted
    monkeypatch.setattr(
        *(sweeps, "_noted"),
        lambda *call: noted(*call)._replace(version=store.version() | {"numba": "0"}),
    )
    with pytest.raises(
        tm.InputError, match=r"a process of the executor has another version.*numba 0"
    ):
        tm.sweep([TINY], 2, store=tmp_path)
    assert files(tmp_path) == []


@pytest.mark.parametrize("kind", ["category", "datetime", "Int64", "set", "numbers", "name"])
def test_what_a_store_cannot_keep_is_refused(tmp_path, kind):
    values = {
        "category": pd.Categorical(["a", "b"]),
        "datetime": pd.to_datetime(["2020", "2021"]),
        "Int64": pd.array([1, None], dtype="Int64"),
        "set": [{1}, {2}],
        "numbers": pd.Series([np.float64(1), "a"], dtype=object),
        "name": ["a", "b"],
    }[kind]
    name = 3 if kind == "name" else "x"
    with pytest.raises(tm.InputError, match="what a store keeps are numbers"):
        tm.sweep([TINY], 2, measure=make(name, values), store=tmp_path)
    assert files(tmp_path) == []


def make(name, values):
    """A measure that a store can tell; what it returns is kept elsewhere."""
    make.returned = {name: values}

    def measure(result):
        return make.returned

    return measure


@pytest.mark.parametrize("place", ["a-file", "a-file/x", "/dev/null/x", "x" * 300, "a\0b"])
def test_a_folder_that_cannot_be_is_refused_before_anything_runs(tmp_path, counted, place):
    (tmp_path / "a-file").touch()
    with pytest.raises(tm.InputError, match=r"must be a folder, or a name|cannot write to"):
        tm.sweep([TINY], 2, store=tmp_path / place)
    with pytest.raises(tm.InputError, match="store='' must be a folder"):
        tm.sweep([TINY], 2, store="")
    assert counted == []


def test_a_disk_that_is_known_to_be_too_small_is_refused(tmp_path, counted, monkeypatch):
    monkeypatch.setattr(store, "_BLOCK", 2**60)
    with pytest.raises(tm.InputError, match=r"1 blocks need about .* MiB, and .* are free"):
        tm.sweep([TINY], 2, store=tmp_path)
    assert counted == []


def test_a_finished_study_is_read_where_nothing_can_be_written(tmp_path, monkeypatch):
    table = tm.sweep([TINY], 2, store=tmp_path)
    monkeypatch.setattr(store, "check_writable", None)
    monkeypatch.setattr(store, "save_arrays", None)
    same(tm.sweep([TINY], 2, store=tmp_path), table)


# Damage and failures


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other", "moved"])
def test_a_damaged_file_costs_its_block(tmp_path, counted, damage):
    table = tm.sweep(GRID, 20, store=tmp_path)
    path, other = files(tmp_path)[0], files(tmp_path)[-1]
    data = path.read_bytes()
    if damage == "bit":
        k = data.index(b"nsgda") if b"nsgda" in data else len(data) // 2
        data = data[:k] + bytes([data[k] ^ 1]) + data[k + 1 :]
    new = {"cut": data[:-9], "bit": data, "empty": b"", "other": b"hello"}
    path.write_bytes(new[damage] if damage != "moved" else other.read_bytes())
    counted.clear()
    with pytest.warns(RuntimeWarning, match=rf"{re.escape(str(path))}.*; it counts as missing$"):
        again = tm.sweep(GRID, 20, store=tmp_path)
    same(again, table)
    assert len(counted) == 1
    same(tm.sweep(GRID, 20, store=tmp_path), table)  # and it is replaced
    assert len(counted) == 1


def test_a_damaged_file_is_removed_when_a_longer_block_replaces_it(tmp_path, counted):
    tm.sweep([TINY], 20, store=tmp_path)
    (path,) = [path for path in files(tmp_path) if path.name == "16-19.npz"]
    path.write_bytes(b"")
    with pytest.warns(RuntimeWarning, match="it counts as missing"):
        tm.sweep([TINY], 32, store=tmp_path)
    assert [path.name for path in files(tmp_path)] == ["0-15.npz", "16-31.npz"]
    assert len(counted) == 3


def some_fail(result):
    if result.game.gamma == 0.4:
        raise ZeroDivisionError
    return {"end": result.bias[:, -1]}


@pytest.mark.parametrize("workers", [0, 2])
def test_what_others_finish_is_kept_where_some_fail(tmp_path, counted, workers):
    grid = [TINY | {"gamma": gamma} for gamma in (0.4, 0.2, 0.3)]
    for _ in range(2):
        with ThreadPoolExecutor(2) as executor, pytest.raises(JobsFailedError, match=r"gamma=0\.4"):
            tm.sweep(grid, 1, executor if workers else None, measure=some_fail, store=tmp_path)
    assert len(files(tmp_path)) == 2
    assert len(counted) == 4


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_was_finished_is_kept_on_an_interrupt(tmp_path, counted, monkeypatch, error):
    run_cell = sweeps.run_cell

    def interrupted(cell, *rest):
        if cell == cells[2]:
            raise error
        return run_cell(cell, *rest)

    cells = tm.sweeps.cells(**GRID)
    monkeypatch.setattr(sweeps, "run_cell", interrupted)
    with pytest.raises(error):
        tm.sweep(GRID, 2, store=tmp_path)
    assert len(files(tmp_path)) == 2
    monkeypatch.setattr(sweeps, "run_cell", run_cell)
    same(tm.sweep(GRID, 2, store=tmp_path), tm.sweep(GRID, 2))


def test_a_disk_that_fills_up_keeps_what_is_saved(tmp_path, counted, monkeypatch):
    save, saved = store.save_arrays, []

    def full(path, *rest, **options):
        if len(saved) == 2:
            raise OSError(28, "No space left on device")
        save(path, *rest, **options)
        saved.append(path)

    monkeypatch.setattr(store, "save_arrays", full)
    grid = GRID | {"steps": list(range(4, 24))}
    with pytest.raises(tm.InputError, match=f"^cannot write to {tmp_path}: No space left"):
        tm.sweep(grid, 2, store=tmp_path)
    assert files(tmp_path) == sorted(saved)
    assert len(counted) < 80  # it ends there
    monkeypatch.setattr(store, "save_arrays", save)
    same(tm.sweep(grid, 2, store=tmp_path), tm.sweep(grid, 2))


def test_two_at_once_end_with_the_same_table(tmp_path):
    with ThreadPoolExecutor(3) as executor:
        tables = list(executor.map(lambda _: tm.sweep(GRID, 20, store=tmp_path), range(3)))
    for table in tables:
        same(table, tables[0])
    assert len(files(tmp_path)) == 8
    assert not list(tmp_path.rglob("*.twomode"))


def test_whoever_comes_second_takes_what_is_there(tmp_path, monkeypatch):
    """Though it has computed, say, on another processor."""
    put = Store.put

    def second(self, block):
        ones = {name: x * 0 + 1 if name == "end" else x for name, x in block.columns.items()}
        put(self, store.Block(block.study, block.replicas, ones, block.version, 0.0))
        return put(self, block)

    monkeypatch.setattr(Store, "put", second)
    assert tm.sweep([TINY], 2, measure=last_bias, store=tmp_path)["end"].tolist() == [1, 1]


def test_a_name_that_is_being_written_is_waited_for(tmp_path, monkeypatch):
    seen = []
    save = store.save_arrays

    def busy(path, *rest, **options):
        seen.append(path)
        if len(seen) < 3:
            raise names.NameTakenError("is being written")
        save(path, *rest, **options)

    monkeypatch.setattr(store, "save_arrays", busy)
    tm.sweep([TINY], 2, store=tmp_path)
    assert len(files(tmp_path)) == 1
    monkeypatch.setattr(store, "_PATIENCE", 0.0)
    seen.clear()
    with pytest.raises(tm.InputError, match="is being written"):
        tm.sweep([TINY], 3, store=tmp_path)


def test_what_killed_processes_left_is_removed_whatever_the_clock_says(tmp_path):
    tm.sweep([TINY], 2, store=tmp_path)
    (path,) = files(tmp_path)
    for place in (path, tmp_path / "x"):
        hidden = place.with_name(f".{place.name}.twomode")
        hidden.mkdir()
        (hidden / "new").write_text("half")
        os.utime(hidden, (2**40, 2**40))
    tm.sweep([TINY], 3, store=tmp_path)
    assert not list(tmp_path.rglob("*.twomode"))


# What is in it


def test_what_is_in_a_store(tmp_path):
    tm.sweep(GRID, 20, seed=3, paired=["opt"], store=tmp_path)
    tm.sweep([TINY], 2, measure=last_bias, store=tmp_path)
    table = Store(tmp_path).table()
    assert table["replicas"].tolist() == [20, 20, 20, 20, 2]
    assert table["seed"].tolist() == [3, 3, 3, 3, 0]
    assert table["cell"].tolist()[1::3] == [
        "batch_size=3, d=16, opt='sgda', steps=4",
        "d=16, opt='nsgda', steps=4",
    ]
    assert set(table["paired"]) == {"opt", ""}
    assert set(table["measure"]) == {"twomode.studies.cell.observe", "test_store.last_bias"}
    assert (table["seconds"] > 0).all()
    with pytest.raises(tm.InputError, match="does not exist"):
        Store(tmp_path / "nowhere").table()
    (tmp_path / "empty").mkdir()
    assert len(Store(tmp_path / "empty").table()) == 0


def test_a_merge_copies_what_is_missing(tmp_path, counted):
    here, there = tmp_path / "here", tmp_path / "there"
    tm.sweep([TINY], 20, store=here)
    tm.sweep(GRID, 2, store=there)
    tm.sweep([TINY], 40, store=there)
    assert Store(here).merge(Store(there)) == 4 + 2
    assert Store(here).merge(Store(there)) == 0
    counted.clear()
    table = tm.sweep([TINY], 40, store=here)
    tm.sweep(GRID, 2, store=here)
    assert counted == []
    same(table, tm.sweep([TINY], 40))
    assert Store(tmp_path / "new").folder.exists() is False


def test_a_merge_of_another_version_is_refused(tmp_path, monkeypatch):
    tm.sweep([TINY], 2, store=tmp_path / "there")
    other = store.version() | {"numba": "0"}
    for module in (store, sweeps):
        monkeypatch.setattr(module, "version", lambda: other)
    tm.sweep([TINY], 3, store=tmp_path / "here")
    before = files(tmp_path)
    Store(tmp_path / "here").merge(Store(tmp_path / "there"))  # nothing is missing
    tm.sweep([TINY | {"d": 17}], 2, store=tmp_path / "here")
    with pytest.raises(tm.InputError, match="another version"):
        Store(tmp_path / "there").merge(Store(tmp_path / "here"))
    assert before == [path for path in files(tmp_path) if path in before]
    assert Store(tmp_path / "there", any_version=True).merge(Store(tmp_path / "here")) == 2


def test_a_comparison_and_a_tuning_from_a_store(tmp_path, counted):
    options = {"replicas": 2, "tuning": 1, "step_scales": [1], "ratios": [0.2, 1]}
    first, again = (
        tm.compare_rules(["sgda", "nsgda"], {"d": 16, "steps": 4}, **options, store=tmp_path)
        for _ in range(2)
    )
    number = len(counted)
    plain = tm.compare_rules(["sgda", "nsgda"], {"d": 16, "steps": 4}, **options)
    assert len(counted) == 2 * number
    for found in (first, again):
        same(found.runs, plain.runs)
        same(found.tuning, plain.tuning)


def test_progress_begins_with_what_is_there(tmp_path):
    tm.sweep(GRID, 3, store=tmp_path)
    seen = []
    tm.sweep(GRID | {"steps": [4, 5]}, 3, store=tmp_path, progress=seen.append)
    assert seen == [tm.Progress(n, 8, "job") for n in range(4, 9)]


def test_the_blocks_of_a_store_are_verified(tmp_path):
    rules = [named_rule("nsgda"), tm.optimizer("sgda", eta_D=0.1, eta_G=0.1)]
    grid = [TINY | {"latents": Bernoulli(0.25)}, *(TINY | {"opt": rule} for rule in rules)]
    tm.sweep(grid, 20, store=tmp_path)
    blocks = stored_blocks(tmp_path)
    assert [replay(block).verdict for block in blocks] == ["identical"] * 6
    path = blocks[0].path
    spoiled = store.read_block(path)
    spoiled.columns["residual"].iloc[3] *= 1 + 1e-15
    path.unlink()
    Store(tmp_path).put(spoiled)
    found = replay(stored_blocks(tmp_path)[0])
    assert found.verdict == "different"
    assert f"first residual, replica {spoiled.replicas[3]}" in found.reason


def test_a_measure_that_has_gone_or_changed_is_said(tmp_path):
    tm.sweep([TINY], 2, store=tmp_path, measure=residuals)
    (block,) = stored_blocks(tmp_path)
    assert replay(block).verdict == "identical"
    block._block.study["measure"]["sha256"] = "0" * 16
    with pytest.raises(tm.InputError, match="has been edited since"):
        replay(block)
    block._block.study["measure"]["name"] = "nowhere.residuals"
    with pytest.raises(tm.InputError, match=r"nowhere\.residuals cannot be imported here"):
        replay(block)


def residuals(result):
    return {"residual": result.extremes.residual[:, -1]}


def test_a_label_is_not_what_rows_follow_from(tmp_path, counted):
    one = tm.sweep([TINY | {"label": "a"}], 2, store=tmp_path)
    counted.clear()
    other = tm.sweep([TINY | {"label": "b"}], 2, store=tmp_path)
    assert counted == []
    assert (one["label"].tolist(), other["label"].tolist()) == (["a", "a"], ["b", "b"])
    same(one.drop(columns="label"), other.drop(columns="label"))
