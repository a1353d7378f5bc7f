"""One object says how far any long call is, and one bar shows it where somebody looks."""

import io
import sys
import types

import pytest
import tqdm.notebook

import twomode as tm
from twomode.progress import of_task, unreported


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("Stderr", [Terminal, io.StringIO])
def test_the_bar_counts_each_part(monkeypatch, Stderr):
    stderr = Stderr()
    monkeypatch.setattr(sys, "stderr", stderr)
    counts, began = [], []
    with tm.ProgressBar("compare") as bar:
        for total in (7, 3):
            for done in range(total + 1):
                bar(tm.Progress(done, total, "job"))
                if stderr.isatty():
                    counts.append((bar._bar.n, bar._bar.total))
                    began.append(bar._bar.start_t)
    assert counts == ([(n, m) for m in (7, 3) for n in range(m + 1)] if stderr.isatty() else [])
    assert ("compare" in stderr.getvalue()) == stderr.isatty()
    if stderr.isatty():  # and from then on each part's own time
        assert began[0] == began[7] < began[8] == began[-1]


def test_a_part_as_long_as_the_one_before_starts_anew(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with tm.ProgressBar() as bar:
        for done in (0, 1, 2, 0, 1):
            bar(tm.Progress(done, 2))
        assert (bar._bar.n, bar._bar.total) == (1, 2)


def test_the_bar_names_parts_and_shows_their_notes(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with tm.ProgressBar("all") as bar:
        bar(tm.Progress(0, 2))
        assert bar._bar.desc == "all: "
        of_task("part", bar)(tm.Progress(1, 2))
        assert bar._bar.desc == "part: "
        game = tm.Game.preset(16)
        tm.simulate(game, tm.optimizer("sgda", eta_D=0.1, eta_G=0.1), 3, progress=bar)
        assert bar._bar.postfix.startswith("cos=")
        assert (bar._bar.n, bar._bar.total) == (3, 3)


@pytest.mark.parametrize("Stderr", [Terminal, io.StringIO])
def test_lines_are_told_with_and_without_a_bar(monkeypatch, capsys, Stderr):
    monkeypatch.setattr(sys, "stderr", Stderr())
    with tm.ProgressBar("x") as bar:
        bar.tell("one", "two")
    assert capsys.readouterr().out == "one\ntwo\n"


def test_a_notebook_has_a_bar_though_its_stderr_is_no_terminal(monkeypatch):
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    fake = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr("twomode.progress.find_spec", lambda name: None)  # no widgets: in text
    with tm.ProgressBar("noted") as bar:
        bar(tm.Progress(1, 2))
    assert "noted" in sys.stderr.getvalue()
    monkeypatch.setattr("twomode.progress.find_spec", lambda name: name)
    monkeypatch.setattr(tqdm.notebook, "tqdm", lambda **options: options)
    assert tm.ProgressBar("noted")._bar["desc"] == "noted"


def test_nobody_is_told():
    assert unreported(tm.Progress(1, 2)) is None


def test_what_was_there_before_does_not_count_towards_the_speed(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with tm.ProgressBar() as bar:
        bar(tm.Progress(90, 100))
        assert (bar._bar.n, bar._bar.initial) == (90, 90)
        bar(tm.Progress(92, 100))
        assert (bar._bar.n, bar._bar.initial) == (92, 90)
        bar(tm.Progress(0, 7))
        assert (bar._bar.n, bar._bar.initial) == (0, 0)
