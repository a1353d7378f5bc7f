"""Imports point one way, start-up stays light, and the README's commands are the real ones."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "twomode"

#: What stands on the package's floor, from the ground up: each may import only what stands before
#: it, a room by its name alone.  Within a room, likewise, its files.
ROOMS = {
    "_typing": (),
    "errors": (),
    "checks": (),
    "functions": (),
    "names": (),
    "io": (),
    "shown": (),
    "progress": (),
    "tables": (),
    "game": (
        "state",
        "field",
        "laws",
        "two_mode",
        "starts",
        "observables",
        "every_latent",
        "bilinear",
    ),
    "rules": ("algebra", "own", "named", "polar", "recipes", "corrections"),
    "engines": ("protocol", "norms", "compiled", "array", "reduced", "dense", "flow"),
    "engines.compiled": (
        *(
            "parts",
            "lanes_numpy",
            "jit",
            "lanes_llvm",
            "lanes",
            "blocks",
            "products",
            "records",
            "gradient",
            "alone",
            "drawn",
            "networks",
            "descents",
        ),
        *(
            "moves",
            "polars",
            "corrections",
            "passes",
            "correction_passes",
            "polar_passes",
            "field",
            "observed",
            "dormand_prince",
        ),
    ),
    "runs": (
        *("run", "streams", "trace", "provenance", "checkpoint", "play", "labelled", "result"),
        *("simulate", "replay"),
    ),
    "statistics": ("levels", "proportions", "trends", "factorial"),
    "theory": ("verdicts", "mechanism", "cards", "hypotheses", "theorems"),
    "proofs": (
        *("balls", "forms", "instances", "outputs", "bounds", "certificates", "proving"),
        *("on_cards", "horizon", "boxes"),
    ),
    "studies": ("cell", "workers", "store", "replayed", "sweeps", "tuning", "comparison"),
    "adversarial": (
        *("problems", "closed_form", "walls", "samplers", "stationary_laws", "training"),
        *("sampling", "robustness"),
    ),
    "pages": (),
    "summary": (),
    "plotting": ("_style", "rules", "runs", "tables", "maps", "plane", "adversarial"),
    "displays": (),
    "cli": (),
    "__main__": (),
}
FLOOR = [name for name in ROOMS if "." not in name]


def modules(path):
    """Dotted names, relative to the package, that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("twomode"):
            base = node.module.removeprefix("twomode").lstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                place = PACKAGE / inner.replace(".", "/")
                yield inner if place.with_suffix(".py").exists() or place.is_dir() else base


def files():
    """Each file's room (its own name, on the floor), its name in it, and its path."""
    for path in sorted(PACKAGE.rglob("*.py")):
        *rooms, name = path.relative_to(PACKAGE).with_suffix("").parts
        if rooms or name != "__init__":
            yield ".".join(rooms) or name, name, path


def test_every_file_has_its_place():
    for room, name, path in files():
        assert room in ROOMS, f"{path} stands in no room"
        assert name == "__init__" or name == room or name in ROOMS[room], f"{path} has no place"
    for room, names in ROOMS.items():
        for name in names:
            place = PACKAGE / room.replace(".", "/") / name
            assert place.is_dir() or place.with_suffix(".py").exists(), place


def test_imports_between_rooms_point_one_way():
    for room, name, path in files():
        floor = room.partition(".")[0]
        for other in modules(path):
            there = other.partition(".")[0]
            if there != floor:
                assert there in FLOOR[: FLOOR.index(floor)], f"{room}/{name} imports {other}"


def test_a_room_is_entered_by_its_door():
    for room, name, path in files():
        for other in modules(path):
            there = other.partition(".")[0]
            if there != room.partition(".")[0]:
                assert other == there, f"{room}/{name} imports {other}: import it from {there}"


def test_imports_within_a_room_point_one_way():
    for room, name, path in files():
        if name in ("__init__", room):
            continue
        order = ROOMS[room]
        for other in modules(path):
            if other.startswith(f"{room}."):
                there = other.removeprefix(f"{room}.").partition(".")[0]
                assert there in order[: order.index(name)], f"{room}/{name} imports {other}"


@pytest.mark.parametrize("module", ["twomode", "twomode.adversarial"])
def test_import_is_light(module):
    heavy = {"matplotlib", "seaborn", "pandas", "xarray", "dask", "cupy", "tqdm", "flint", "numba"}
    if module == "twomode":
        heavy.add("scipy")
    code = f"import sys, {module}; print(*sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_readme_has_the_commands_that_ci_runs():
    lines = [line.strip() for line in (ROOT / "README.md").read_text().splitlines()]
    setup = "python3 -m venv .venv && .venv/bin/pip install -e "
    main = setup + ". && .venv/bin/python sims/mode_collapse.py --d 4096 --opt sgda"
    assert main in lines
    assert setup + '".[test]" && .venv/bin/python -m pytest' in lines
