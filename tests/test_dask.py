"""Executors of other libraries: a Dask cluster of processes, and loky's where it is there."""

import functools
import os
import signal
import sys
from pathlib import Path

import pytest
from helpers import run_here
from pandas.testing import assert_frame_equal
from test_cli_sweep import SWEEP

import twomode as tm
from twomode.studies import Store

GRID = {"d": [16], "opt": ["sgda", "nsgda"], "steps": [40], "gamma": [0.2, 0.3]}
same = functools.partial(assert_frame_equal, check_exact=True)


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(n_workers=2, **options) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    from distributed import Client

    with Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2)
        yield client


@pytest.mark.slow
def test_a_dask_cluster_makes_the_same_table(client, tmp_path):
    plain = tm.sweep(GRID, 20, seed=7)
    with client.get_executor() as executor:
        same(tm.sweep(GRID, 3, executor, seed=7, store=tmp_path), tm.sweep(GRID, 3, seed=7))
        same(tm.sweep(GRID, 20, executor, seed=7, store=tmp_path), plain)
        same(tm.sweep(GRID, 20, executor, seed=7), plain)
    assert Store(tmp_path).table()["replicas"].tolist() == [20] * 4


def dies_once(path):
    """Run by a worker: it takes the worker along, the first time."""
    if not os.path.lexists(path):
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return tm.sweep(GRID, 2, seed=7)


@pytest.mark.slow
def test_a_worker_of_dask_that_dies_is_replaced(client, tmp_path):
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with client.get_executor() as executor:
        found = executor.submit(dies_once, str(tmp_path / "died")).result()
        same(found, tm.sweep(GRID, 2, seed=7))
        same(tm.sweep(GRID, 3, executor, seed=7), tm.sweep(GRID, 3, seed=7))


@pytest.mark.slow
def test_a_program_on_a_dask_cluster(cluster, client, tmp_path):
    flags = ("--d", 16, "--opt", "sgda", "nsgda", "--steps", 40, "--gamma", 0.2, 0.3, "--json")
    call = functools.partial(run_here, SWEEP, *flags, cwd=tmp_path)
    done = call("--scheduler", cluster.scheduler_address, "--store", "study")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(Store(tmp_path / "study").table()) == 4
    done = call("--scheduler", "tcp://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sweep.py: error: scheduler=tcp://127.0.0.1:9 does not answer: ")
    assert done.stderr.count("\n") == 1


def test_without_dask_a_scheduler_is_refused(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "distributed", None)
    flags = ("--d", 16, "--opt", "sgda", "--scheduler", "tcp://127.0.0.1:9")
    done = run_here(SWEEP, *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "sweep.py: error: --scheduler needs Dask: pip install 'twomode[dask]'\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_processes_of_loky_make_the_same_table(tmp_path):
    loky = pytest.importorskip("loky")
    with loky.ProcessPoolExecutor(2) as executor:
        found = tm.sweep(GRID, 3, executor, seed=7, store=tmp_path)
    same(found, tm.sweep(GRID, 3, seed=7))
