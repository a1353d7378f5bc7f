"""Whatever a page tells its reader to run, runs; whatever it links to is there."""

import contextlib
import re
import shlex
import shutil
from pathlib import Path

import nbclient
import nbformat
import pytest
import recurrences
from claims import Check, Claim, Finding
from helpers import run_here

import twomode as tm
from twomode.rules import named

#: A check that takes no time.
MADE_UP = Check(
    "made-up",
    lambda full: 1,
    lambda settings: Claim("t", "s", "w", [Finding("so", 1.0, (0.9, 1.0), 0.5, True, 8)]),
)

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("[!.]*/**/README.md"))]
TEXTS = {
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
    for page in PAGES
    if not page.is_relative_to(ROOT / "build")  # where tests/versions.py has its environments
}


def found(pattern):
    """(page, match) of a pattern, over all pages."""
    return [(name, hit) for name, text in TEXTS.items() for hit in re.findall(pattern, text, re.M)]


@pytest.mark.parametrize(("page", "link"), found(r"\]\(([^)#\s]+)(?:#[^)]*)?\)"))
def test_links_lead_somewhere(page, link):
    if not link.startswith("http"):
        assert ((ROOT / page).parent / link).exists(), f"{page} links to {link}"


@pytest.mark.parametrize(("page", "link"), found(r"\]\(([^)\s]*#[^)]+)\)"))
def test_anchors_are_headings(page, link):
    file, _, anchor = link.partition("#")
    target = ((ROOT / page).parent / file).resolve() if file else ROOT / page
    headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
    slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
    assert anchor in slugs, f"{page} links to {link}"


#: Each runs twice: made small, and (slow) as it is printed.
FORMS = pytest.mark.parametrize("small", [True, pytest.param(False, marks=pytest.mark.slow)])

#: What the snippets of a page stand in: CONTRIBUTING's are entries of two tables.
AROUND = {"CONTRIBUTING.md": vars(named) | vars(recurrences)}
#: Numbers of the snippets, and small ones; m_G is 7 at d = 1024.
SMALL = {
    "[256, 4096]": "[16, 64]",
    "4096": "1024",
    "all_latents(9)": "all_latents(7)",
    "replicas=64": "replicas=4",
    "steps=2000": "steps=200",
    'certify(game, *tm.recipe(game, "sgda")': 'certify(game, tm.recipe(game, "sgda").opt, 20',
}


@FORMS
@pytest.mark.parametrize("page", [name for name, text in TEXTS.items() if "```python" in text])
def test_snippets_run(page, small, tmp_path, monkeypatch):
    """A page's snippets, one after the other; a quoted comment is what its line is equal to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tm.sweeps, "processes", contextlib.nullcontext)
    names = dict(AROUND.get(page, {}))
    for code in re.findall(r"```python\n([\s\S]*?)```", TEXTS[page]):
        for printed, number in SMALL.items() if small else ():
            code = code.replace(printed, number)
        exec(compile(code, page, "exec"), names)
        for line, value in re.findall(r"^(\S.*?)  # ('.*')$", code, re.M):
            assert repr(eval(line, names)) == value, f"{page}: {line}"


#: Programs as pages write them.
COMMAND = r"python ((?:sims|figures|paper_checks)/\w+\.py[^`\n#]*)"
COMMANDS = sorted({command for _, command in found(COMMAND)})
#: What makes a program's run short: flags (a later one wins), and constants of it.
SHORT = {
    "mode_collapse": ("--d 64 --steps 20 --replicas 2", {}),
    "sweep": ("--d 16 --opt sgda --steps 4 --replicas 2", {}),
    "phase_diagram": ("--d 16 --cells 2 --replicas 2", {}),
    "runs": ("", {}),
    "certify": ("--d 16 --m-D 2 --m-G 2", {}),
    "langevin": ("--n 2 --steps 50 --chains 2", {}),
    "adversarial_training": ("--n-train 60 --n-test 20 --steps 4 --seeds 1", {}),
    "compare": ("--d 16 --rules sgda nsgda --ratios 1 --step-scales 1 --replicas 2 --tuning 2", {}),
    # Parsed only: nothing of the benchmark is short, and `test_plotting` draws the figures.
    "bench": ("--help", {}),
    "bench_flow": ("--help", {}),
    "bench_step": ("--help", {}),
    "bench_users": ("--help", {}),
    "run_all": ("--only made-up", {"CHECKS": {"made-up": MADE_UP}}),
    "pace": ("--help", {}),
    "certificates": ("--help", {}),
    "spectral": ("--help", {}),
}
#: What a page's words stand for.
FOR_INSTANCE = {"figures/NAME.py": "figures/pace.py", "runs/NAME": "runs/mine"}
#: Too long to be run as they are printed, and how long they take on two cores.
LONG = {
    "compare": "20 minutes",
    "phase_diagram": "a quarter of an hour",
    "run_all": "8 minutes",
    "bench": "4 minutes, with --quick one",
    "bench_flow": "two minutes",
    "bench_step": "half a minute",
    "bench_users": "a minute",
    "adversarial_training": "2 minutes",
    "pace": "half a minute",
    "certificates": "a minute",
    "spectral": "3 minutes",
}


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The folders that a reader's commands look into."""
    monkeypatch.setattr(tm.sweeps, "processes", lambda workers=None: contextlib.nullcontext())
    for folder in ("sims", "figures", "paper_checks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.p[nd]*"))
    (tmp_path / "study.toml").write_text("replicas = 2\n[grid]\nd = 16\nopt = 'sgda'\nsteps = 4\n")
    tm.sweep([{"opt": "sgda", "d": 16, "steps": 4}], 2, store=tmp_path / "runs" / "study")
    return tmp_path


#: How far numbers are from those that a page prints, relatively. An unadjusted chain is chaotic and
#: parts with the last bits of a matrix product, which differ from one processor to the next.
PART = {"langevin": 0.5}
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def alike(line, other, name):
    """Whether words and numbers of two lines of a program are the same."""
    numbers, others = (
        [float(n.replace(",", "")) for n in NUMBER.findall(text)] for text in (line, other)
    )
    return NUMBER.sub("", line) == NUMBER.sub("", other) and numbers == pytest.approx(
        others, rel=PART.get(name, 0), abs=0
    )


@FORMS
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command, small, clone):
    """In a copy; as printed, they print what the page says they print."""
    for words, instance in FOR_INSTANCE.items():
        command = command.replace(words, instance)
    program, *arguments = shlex.split(command)
    name = Path(program).stem
    if not small and name in LONG:
        pytest.skip(f"takes {LONG[name]}")
    flags, constants = SHORT[name] if small else ("", {})
    if "--write" in arguments:  # parsed only: into these pages, whole
        flags = "--help"
    words = [*arguments, *shlex.split(flags)]
    if "--config" in arguments:  # repeats a run as it was
        first = shlex.split(SHORT[name][0])
        run_here(clone / program, *first, "--no-plot", "--name", "mine", cwd=clone)
        words = arguments
    done = run_here(clone / program, *words, cwd=clone, **constants)
    assert (done.returncode, done.stderr) == (0, "")
    if "--help" in words:
        assert {word for word in words if word.startswith("--")} <= set(done.stdout.split())
    if not small:
        for text in TEXTS.values():
            for output in re.findall(rf"{re.escape(command)}\n[^`]*```\n([^`]*)```", text):
                for line in output.splitlines():
                    same = any(alike(line, other, name) for other in done.stdout.splitlines())
                    assert same or line.strip() == "...", f"{line}\n{done.stdout}"


@pytest.mark.slow
def test_the_tour_runs():
    notebook = nbformat.read(ROOT / "sims" / "tour.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "save it without outputs"
    resources = {"metadata": {"path": ROOT / "sims"}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output["data"] for output in outputs if "data" in output]
    pages = "".join(data.get("text/html", "") for data in shown)
    assert pages.count("<img") + sum("image/png" in data for data in shown) >= 3
    assert "Theorem 4.1" in pages
    assert "Theorem 4.2" in pages
