"""Markdown and LaTeX parse, and a value shows what is known of it."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from analysis.rendering.text import CellText, format_cell, format_latex, format_markdown
from analysis.report import comparison_tables
from analysis.results import load_study
from analysis.tables.table import Absent, Column, Table
from tests.synthetic import write_synthetic_study


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Table | Absent, ...]:
    """All tables of a study of two code sizes, with ablations."""
    folder = write_synthetic_study(tmp_path_factory.mktemp("study"), code_sizes=(10, 30), ablations=True)
    return comparison_tables(load_study(folder))


def test_markdown_tables_have_as_many_cells_in_every_line(tables: tuple[Table | Absent, ...]) -> None:
    """And one line a row of the frame."""
    for table in tables:
        if isinstance(table, Table):
            text = format_markdown(table)
            rows = [re.split(r"(?<!\\)\|", row) for row in text.splitlines() if row.startswith("|")]
            assert len(rows) == len(table.frame) + 2
            assert {len(row) for row in rows} == {len(table.sections) + len(table.columns) + 2}


def test_latex_tables_are_balanced(tables: tuple[Table | Absent, ...]) -> None:
    """Braces, environments and cells, and no character that LaTeX would take for a command."""
    for table in tables:
        if isinstance(table, Table):
            text = format_latex(table)
            plain = re.sub(r"\\[{}&%$#_]", "", text)
            assert plain.count("{") == plain.count("}")
            assert plain.count("$") % 2 == 0
            assert not set(plain) & set("%#^~")
            assert not re.search(r"_", plain.replace(f"tab:{table.name}", ""))
            assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == text.count(r"\toprule") == 1
            body = plain[plain.index(r"\toprule") : plain.index(r"\bottomrule")].splitlines()
            cells = {row.count("&") + 1 for row in body if row.endswith(r"\\") and "multicolumn" not in row}
            assert cells == {sum(column.main for column in table.columns)}
            assert plain.encode("ascii")


def test_a_value_is_shown_with_what_is_known_of_it() -> None:
    """Interval and n where there are some, marks, signs of differences, and a dash where nothing is."""
    column = Column("error", "Error", "estimate", 1)
    row = {"error": 13.64, "error_half_width": 0.42, "error_n": 3, "error_mark": "ab"}
    assert format_cell(row, column) == CellText("13.6 ± 0.4 (3)", 13.64, "ab")
    marked = CellText("13.6 ± 0.4 (3)", 13.64, "*", bold=True)
    assert format_cell(row | {"error_mark": "significant"}, column) == marked
    assert format_cell(row | {"error_half_width": float("nan"), "error_n": 1}, column).text == "13.6 (1)"
    assert format_cell(row | {"error_half_width": 31.27}, column).text == "14 ± 31 (3)"
    assert format_cell({"error": 26.71, "error_n": pd.NA}, column).text == "26.7"
    assert format_cell({"error": float("nan")}, column).text == "—"
    assert format_cell(row, Column("error", "Error", "difference", 2)).text == "+13.64 ± 0.42 (3)"
    assert format_cell({"a": 1, "b": 0, "c": 0}, Column("a/b/c", "a/b/c", "counts")).text == "1/0/0"
    assert format_cell({"a": 0, "b": 0}, Column("a/b", "a/b", "counts")).text == "0"
    assert format_cell({"a": 1604440}, Column("a", "A", "count")).text == "1,604,440"
    assert format_cell({"a": 0.00012}, Column("a", "A", "general")).text == "0.00012"
