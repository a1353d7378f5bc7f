"""Run the default tests with the lowest and with the newest version of every dependency.

    python tests/versions.py [--only {lowest,newest}] [argument of pytest ...]

uv makes an environment of each in build/, of those versions that pyproject.toml admits and that
there are for this Python.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}


def main():
    """Make each environment, and run the tests in it; the status says whether all passed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=RESOLUTIONS, help="one of the two")
    args, of_pytest = parser.parse_known_args()
    failed = []
    for name in [args.only] if args.only else RESOLUTIONS:
        folder = ROOT / "build" / name
        python = folder / "bin" / "python"
        uv = [sys.executable, "-m", "uv"]
        run(*uv, "venv", "--clear", "--python", sys.executable, folder)
        resolution = ("--resolution", RESOLUTIONS[name])
        run(*uv, "pip", "install", "--python", python, *resolution, "-e", f"{ROOT}[test]")
        run(*uv, "pip", "list", "--python", python)
        # Kernels of its own: Numba's versions overwrite each other's.
        cache = os.environ | {"NUMBA_CACHE_DIR": f"{folder}-kernels"}
        done = subprocess.run([python, "-m", "pytest", *of_pytest], cwd=ROOT, env=cache)
        failed += [name] * (done.returncode != 0)
    print(f"failed: {', '.join(failed)}" if failed else "passed with every version")
    return len(failed)


def run(*command):
    """A command that must succeed."""
    subprocess.run(command, check=True)


if __name__ == "__main__":
    raise SystemExit(main())
