"""Pages: tables that programs wrote are as they wrote them."""

from pathlib import Path

import pytest

import twomode as tm
from twomode.pages import blocks, markdown_table, measured_by, write_block

ROOT = Path(__file__).parents[1]
PAGES = sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("[!.]*/**/README.md"))
PAGE = """before

<!-- one: written by a.py --write -->
<!-- end of one, 0 -->

<!-- two: written by b.py -->
old
<!-- end of two, 0 -->
after
"""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_written_table_was_edited(path):
    for block in blocks(path.read_text(encoding="utf-8")):
        assert block.intact, f"{block.name} was edited by hand: run {block.program}"


def test_a_block_is_written_and_an_edit_is_noticed(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(PAGE)
    assert [(b.name, b.program, b.intact) for b in blocks(PAGE)] == [
        ("one", "a.py --write", False),
        ("two", "b.py", False),
    ]
    write_block(page, "one", "| a |\n|---|\n| 1 |")
    first, second = blocks(page.read_text())
    assert (first.text, first.intact) == ("| a |\n|---|\n| 1 |\n", True)
    assert (second.text, second.intact) == ("old\n", False)
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("after\n")
    page.write_text(page.read_text().replace("| 1 |", "| 2 |"))
    assert not blocks(page.read_text())[0].intact
    write_block(page, "one", "again")
    assert blocks(page.read_text())[0].intact


def test_a_page_without_the_block_is_refused(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(PAGE)
    with pytest.raises(tm.InputError, match="has no block three"):
        write_block(page, "three", "text")
    assert page.read_text() == PAGE


def test_tables_and_their_origin():
    assert markdown_table(["a", "b"], [[1, "x|y"]]) == "| a | b |\n|---|---|\n| 1 | x\\|y |"
    assert measured_by("python x.py").endswith(": `python x.py`*")
