"""The folder of compiled kernels: named after everything that their machine code depends on."""

import ast
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core.caching import CacheImpl

from twomode.engines.compiled import jit

PACKAGE = Path(jit.__file__).parents[2]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package, whose kernels may be edited."""
    monkeypatch.setattr(jit.numba_config, "CACHE_DIR", "")
    return shutil.copytree(
        PACKAGE, tmp_path / "twomode", ignore=shutil.ignore_patterns("__pycache__")
    )


def kernels(tree):
    """The functions of a module that are compiled."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            marks = {getattr(getattr(d, "func", d), "id", "") for d in node.decorator_list}
            if marks & {"kernel", "part"}:
                yield node


def used_names(tree):
    """What the bodies of compiled functions name, and module constants built for them."""
    bodies = [node for kernel in kernels(tree) for node in kernel.body]
    constants = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    return {
        node.id
        for part in bodies + constants
        for node in ast.walk(part)
        if isinstance(node, ast.Name)
    }


def outside_dependencies(package):
    """Modules outside `engines` from which something enters a compiled function."""
    for path in (package / "engines").rglob("*.py"):
        tree = ast.parse(path.read_text())
        if not any(kernels(tree)):
            continue
        used = used_names(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("twomode."):
                names = {alias.asname or alias.name for alias in node.names}
                if not node.module.startswith("twomode.engines") and names & used:
                    yield path.name, node.module, names & used


def test_what_kernels_take_from_elsewhere_is_hashed(package):
    found = list(outside_dependencies(package))
    assert {module for _, module, _ in found} == {"twomode.rules"}
    algebra = ast.parse((package / "rules" / "algebra.py").read_text())
    assigned = {
        name.id
        for node in algebra.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    }
    for file, _, names in found:
        assert names <= assigned, f"{file} takes {names - assigned} from a file that is not hashed"
    assert package / "rules" / "algebra.py" in jit.kernel_sources(package)


def test_any_edit_of_the_sources_changes_their_hash(package):
    sources = jit.kernel_sources(package)
    assert {path.relative_to(package) for path in sources} >= {
        path.relative_to(package) for path in (package / "engines").rglob("*.py")
    }
    assert len(sources) > len(list((package / "engines").glob("*.py")))  # of rooms within, too
    hashes = {jit.source_hash(package)}
    for path in sources:
        path.write_bytes(path.read_bytes() + b"#")
        hashes.add(jit.source_hash(package))
    assert len(hashes) == 1 + len(sources)
    assert jit.source_hash() in hashes  # before any edit


def test_an_edit_starts_a_new_folder_and_removes_stale_ones(package):
    old = Path(jit.cache_folder(package))
    assert old == package / "engines" / "__pycache__" / f"kernels-{jit.source_hash(package)}"
    (old / "code.nbc").touch()
    assert jit.cache_folder(package) == str(old)
    assert (old / "code.nbc").exists()
    stale = old.with_name("kernels-stale")
    stale.mkdir()
    os.utime(stale, (0, 0))
    jit.kernel_sources(package)[0].write_text("# edited")
    new = Path(jit.cache_folder(package))
    assert new.is_dir()
    assert new != old
    assert old.is_dir()  # a process that started before the edit may still write there
    assert not stale.exists()


def test_numba_chooses_the_folder_where_the_package_cannot_be_written(package):
    (package / "engines" / "__pycache__").write_text("in the way")
    assert jit.cache_folder(package) == ""


@pytest.mark.slow
def test_a_second_process_does_not_compile_again(tmp_path):
    code = """if True:
        import twomode as tm
        from twomode.engines import dense, reduced
        game = tm.Game.preset(37)
        for kernels, engine in ((reduced, "reduced"), (dense, "dense")):
            tm.simulate(game, tm.optimizer("nsgda", eta_D=1, eta_G=1), 3, engine=engine)
            stats = kernels._advance.stats
            print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
    """
    first, second = (compile_in(tmp_path, code) for _ in range(2))
    assert first == ["0", "1", "0", "1"]
    assert second == ["1", "0", "1", "0"]
    assert list(tmp_path.glob("kernels-*"))


def compile_in(folder, code):
    """What a fresh process prints that keeps its kernels there."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


# A cache that is damaged, shared, or nowhere


def twice(x):
    return x + x


def made(folder, monkeypatch, x=1.0):
    """The doubled number, by a kernel that a fresh process would make; and where it came from."""
    monkeypatch.setattr(jit, "CACHE_FOLDER", str(folder))
    kernel = jit.kernel(twice)
    value = kernel(x)
    return value, kernel.stats.cache_hits.total()


@pytest.mark.parametrize(
    ("what", "how"),
    [
        *(("nbi", "truncated"), ("nbi", "emptied")),
        *(("nbc", "truncated"), ("nbc", "emptied"), ("nbc", "a flipped bit")),
    ],
)
def test_a_damaged_file_is_one_sentence_and_compiled_anew(tmp_path, monkeypatch, what, how):
    assert made(tmp_path, monkeypatch) == (2.0, 0)
    assert made(tmp_path, monkeypatch) == (2.0, 1)
    (file,) = tmp_path.rglob(f"*.{what}")
    content = file.read_bytes()
    place = len(content) // 2
    flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    file.write_bytes({"truncated": content[:place], "emptied": b"", "a flipped bit": flipped}[how])
    with pytest.warns(RuntimeWarning, match=r"damaged.*compiling anew") as warned:
        assert made(tmp_path, monkeypatch) == (2.0, 0)
    assert len(warned) == 1
    assert made(tmp_path, monkeypatch) == (2.0, 1)


def test_kernels_compile_where_nothing_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])  # as in a read-only home
    with pytest.warns(RuntimeWarning, match=r"no folder can be written: set NUMBA_CACHE_DIR"):
        assert made(tmp_path / "file", monkeypatch) == (2.0, 0)


def test_a_cache_that_cannot_be_written_any_more(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(jit._Files, "_save_index", refuse)
    with pytest.warns(RuntimeWarning, match="No space left"):
        assert made(tmp_path, monkeypatch) == (2.0, 0)


def test_processes_that_compile_at_once_write_different_files(tmp_path, monkeypatch):
    """Neither knows of the other's types: the index of one is lost, no code is mistaken."""
    monkeypatch.setattr(jit, "CACHE_FOLDER", str(tmp_path))
    monkeypatch.setattr(jit._Files, "_load_index", lambda _: {})
    one, other = jit.kernel(twice), jit.kernel(twice)
    assert (one(1.0), other(1)) == (2.0, 2)
    assert len(list(tmp_path.rglob("*.nbc"))) == 2
