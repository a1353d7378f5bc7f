"""Imports point one way, start-up stays light, and the README's commands are the real ones."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "twomode"

#: Each module may import only those above it.
ORDER = [
    "errors",
    "laws",
    "state",
    "game",
    "starts",
    "observables",
    "optimizers",
    "rules",
    "corrections",
    "bilinear",
    "engines",
    "engines._lanes_numpy",
    "engines._jit",
    "engines._lanes_llvm",
    "engines._lanes",
    "engines._encoding",
    "engines._kernels",
    "engines.array",
    "engines.reduced",
    "engines.dense",
    "statistics",
    "io",
    "trace",
    "result",
    "recipes",
    "simulate",
    "verdicts",
    "cards",
    "theory",
    "mechanism",
    "sweeps",
    "tuning",
    "comparison",
    "summary",
    "adversarial.problems",
    "adversarial.closed_form",
    "adversarial.samplers",
    "adversarial.training",
    "adversarial",
    "robustness",
    "sampling",
    "plotting._style",
    "plotting.rules",
    "plotting.runs",
    "plotting.tables",
    "plotting.plane",
    "plotting.adversarial",
    "plotting",
    "cli",
]


def imported(path):
    """Modules of the package that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("twomode"):
            base = node.module.removeprefix("twomode").lstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                yield inner if (PACKAGE / f"{inner.replace('.', '/')}.py").exists() else base


def test_every_module_has_its_place():
    modules = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        for path in PACKAGE.rglob("*.py")
    }
    assert modules - {"__init__"} == set(ORDER)


def test_imports_point_one_way():
    for position, module in enumerate(ORDER):
        path = PACKAGE / f"{module.replace('.', '/')}.py"
        path = path if path.exists() else PACKAGE / module / "__init__.py"
        for other in imported(path):
            assert other in ORDER[:position], f"{module} imports {other}"


def test_import_is_light():
    heavy = "{'matplotlib', 'seaborn', 'pandas', 'dask', 'cupy', 'tqdm'}"
    code = f"import sys, twomode; print(*sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_readme_has_the_commands_that_ci_runs():
    lines = [line.strip() for line in (ROOT / "README.md").read_text().splitlines()]
    setup = "python3 -m venv .venv && .venv/bin/pip install -e "
    main = setup + ". && .venv/bin/python sims/mode_collapse.py --d 4096 --opt sgda"
    assert main in lines
    assert setup + '".[test]" && .venv/bin/python -m pytest' in lines
