"""Whatever a page tells its reader to run, runs; whatever it links to is there."""

import re
import shlex
from pathlib import Path

import nbclient
import nbformat
import pytest
from helpers import run_here

ROOT = Path(__file__).parents[1]
PAGES = sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("[!.]*/**/README.md"))
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}


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


@pytest.mark.parametrize(("page", "code"), found(r"```python\n([\s\S]*?)```"))
def test_snippets_are_python(page, code):
    compile(code, page, "exec")


#: Programs with flags, as pages write them.
COMMAND = r"python ((?:sims|figures|paper_checks)/[a-z_]+\.py[^`\n#]*)"
COMMANDS = sorted({hit for _, hit in found(COMMAND)})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command, tmp_path):
    """Each program knows the flags that a page gives it: with --help it stops there."""
    program, *arguments = shlex.split(command.replace("...", ""))
    arguments = [word for word in arguments if not re.fullmatch(r"[\[\]|A-Z]+", word.strip("[]"))]
    done = run_here(ROOT / program, *arguments, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    known = set(re.findall(r"--[\w-]+", done.stdout))
    flags = {word.strip("[]") for word in arguments if word.strip("[]").startswith("--")}
    assert flags <= known, f"{program} has no {', '.join(flags - known)}"


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
