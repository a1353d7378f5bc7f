from twomode.tables import Column, Table


def test_heads_and_rows_line_up():
    table = Table(Column(("name", ""), 6, "<"), Column(("share", "of seeds"), 10), indent=2)
    assert table.heads == ["  name       share", "          of seeds"]
    assert table.row("sgda", "3 %") == "  sgda         3 %"


def test_a_fitted_table_is_as_wide_as_its_widest_cell():
    rows = [("reduced", "1"), ("array", "1,000")]
    table = Table.fitted(("engine", "ns"), "<>", rows)
    lines = [*table.heads, *(table.row(*row) for row in rows)]
    assert lines == ["engine      ns", "reduced      1", "array    1,000"]
    assert len({len(line) for line in lines}) == 1


def test_lines_do_not_end_in_spaces():
    assert Table(Column("a", 9, "<"), Column("b", 9, "<")).row("x", "") == "x"
