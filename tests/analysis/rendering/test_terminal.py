"""Tables fit the terminal, and lose columns rather than digits."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from analysis.rendering import text as rendering
from analysis.rendering.terminal import print_table
from analysis.report import PRINTED, comparison_tables, print_report
from analysis.results import load_study
from analysis.tables.table import Absent, Table
from tests.synthetic import write_synthetic_study


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Table | Absent, ...]:
    """All tables of a study of two code sizes, with ablations."""
    folder = write_synthetic_study(tmp_path_factory.mktemp("study"), code_sizes=(10, 30), ablations=True)
    return comparison_tables(load_study(folder))


def printed(table: Table, width: int, encoding: str = "utf-8") -> str:
    """Return what a terminal of this width shows."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    print_table(table, Console(file=stream, width=width))
    stream.seek(0)
    return stream.read()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_terminal_tables_cut_no_number_off(tables: tuple[Table | Absent, ...], width: int) -> None:
    """What there is no room for is left out as a column, and named."""
    for table in tables:
        if isinstance(table, Table):
            text = printed(table, width)
            assert max(len(line) for line in text.splitlines() if "python " not in line) <= width
            assert "…" not in text
            left_out = " ".join(text.split()).partition("Hidden (narrow terminal): ")[2].split(".")[0].split(", ")
            columns = [column for column in table.columns if column.main and column.header not in left_out]
            assert columns
            for line in rendering.format_lines(table, [column for column in columns if column.kind != "text"]):
                assert all(f"{cell.text} {cell.mark}".rstrip() in text for cell in line.cells), (table.name, line)


def test_reconstruction_and_classification_fit_80_columns_whole(tables: tuple[Table | Absent, ...]) -> None:
    """The tables that a reader looks at first."""
    for table in tables:
        if table.name in ("reconstruction", "classification"):
            assert isinstance(table, Table)
            text = printed(table, 80)
            left_out = re.findall(r"Hidden \(narrow terminal\): (.*)\.", text)
            assert left_out == ["Nearest-neighbour error (%)"] * (table.name == "classification")
            # Numbers end in one place, whatever letters follow.
            assert len({line.index(" (3)") for line in text.splitlines() if " (3)" in line}) == 1
            assert re.search(r"^Model 5 +\d+\.\d\d ± \d+\.\d\d \(3\) a +\d+\.\d\d ± ", text, re.MULTILINE)


def test_text_wraps_so_that_nothing_beside_it_is_lost(tables: tuple[Table | Absent, ...]) -> None:
    """A claim's whole text and its verdicts; a model's share of PCA's error and whom it is better than."""
    shown = {table.name: printed(table, 80) for table in tables if isinstance(table, Table)}
    findings = shown["findings"].partition("What the paper claims")[0]
    assert {"deconvolution", "intermediate", "filters."} <= set(findings.split())
    assert len(re.findall("supported|contradicted|not decided|not testable", findings)) >= 9 + 8
    headline = shown["headline"].partition("Squared error")[0]
    assert re.search(r"^Model 5 +\d+\.\d ± \d+\.\d \(3\) a ", headline, re.MULTILINE)


def test_a_terminal_that_lacks_a_character_shows_a_question_mark(tables: tuple[Table | Absent, ...]) -> None:
    """Instead of ending the report."""
    table = next(table for table in tables if table.name == "reconstruction")
    assert isinstance(table, Table)
    assert "14.72 ? 1.13 (3)" in printed(table, 80, "ascii")


@pytest.mark.fault("commands on a narrow terminal")
def test_a_command_is_never_folded(tmp_path: Path) -> None:
    """Whoever pastes a line that was, runs what stands on its first half: another study."""
    results = load_study(write_synthetic_study(tmp_path, code_sizes=(10,)))
    stream = io.StringIO()
    print_report(results, comparison_tables(results), Console(file=stream, width=60), PRINTED)
    commands = re.findall(r"python study/launch.py.*", stream.getvalue())
    assert commands
    assert all("--phase" in command for command in commands)
