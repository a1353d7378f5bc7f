"""How far a long call is: what it reports, and the bar that shows it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, TypeAlias

from twomode.shown import ipython

__all__ = ["Progress", "ProgressBar", "Report", "of_task", "unreported", "watched"]


@dataclass(frozen=True)
class Progress:
    """How far a long call is."""

    done: int
    total: int
    unit: str = "it"  #: what is counted
    task: str = ""  #: which part of the call, where it has several

    @property
    def note(self) -> str:
        """What the latest of it shows."""
        return ""


#: What every long call takes as ``progress``.
Report: TypeAlias = Callable[[Progress], None]


def unreported(progress: Progress) -> None:
    """Do nothing: the `Report` of a call that nobody watches."""


def of_task(task: str, report: Report) -> Report:
    """A report of a part of a longer call, by the part's name."""
    return lambda progress: report(replace(progress, task=task))


@contextmanager
def watched(progress: Report | bool | None, name: str) -> Iterator[Report]:
    """What a long call reports to: a bar of its own for True, nobody for None or False."""
    if isinstance(progress, bool) and progress:
        with ProgressBar(name) as bar:
            yield bar
    else:
        yield progress or unreported


class ProgressBar(AbstractContextManager["ProgressBar"]):
    """A `Report` that draws: a line on a terminal, a widget in a notebook, else nothing.

    Parameters
    ----------
    name : str
        Stands before the bar of a call that does not name its parts.
    """

    def __init__(self, name: str = "") -> None:
        self._name, self._task = name, ""
        draw = _drawing()
        options = {"dynamic_ncols": True, "leave": False, "unit_scale": True}
        self._bar = None if draw is None else draw(desc=name, **options)

    def __call__(self, progress: Progress) -> None:
        """Move the bar; it starts anew with another part, or when it would go back.

        What was done before the first word of a part took no time: the rest is not faster for it.
        """
        bar = self._bar
        if bar is None:
            return
        if progress.task != self._task or progress.total != bar.total or progress.done < bar.n:
            self._task, bar.unit = progress.task, progress.unit
            bar.reset(progress.total)
            bar.n = bar.initial = progress.done
            bar.set_description(progress.task or self._name, refresh=False)
        bar.set_postfix_str(progress.note, refresh=False)
        bar.update(progress.done - bar.n)

    def tell(self, *lines: str) -> None:
        """Print lines, above the bar if there is one."""
        text = "\n".join(lines)
        if self._bar is None:
            print(text, flush=True)
        else:
            self._bar.write(text)

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _drawing() -> Callable[..., Any] | None:
    """The tqdm that suits where stderr goes; None where nobody looks."""
    shell = ipython()
    notebook = shell is not None and "IPKernelApp" in shell.config
    if not (notebook or sys.stderr.isatty()):
        return None
    import tqdm
    import tqdm.notebook

    return tqdm.notebook.tqdm if notebook and find_spec("ipywidgets") else tqdm.tqdm
