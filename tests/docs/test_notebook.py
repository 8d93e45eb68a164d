"""The notebook of the analysis runs from top to bottom and is kept without what it has shown."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from tests.synthetic import write_synthetic_study

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "analysis.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[str]:
    """Its cells of code."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    return ["".join(cell["source"]) for cell in code]


@pytest.fixture(scope="module")
def variables(cells: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What its cells leave, run in folder docs beside a synthetic study."""
    matplotlib.use("Agg")
    top = tmp_path_factory.mktemp("notebook")
    write_synthetic_study(top / "results" / "quick-digits", code_sizes=(2, 10), codes=True)
    (top / "docs").mkdir()
    left: dict[str, Any] = {"__name__": "analysis.ipynb"}
    with contextlib.chdir(top / "docs"):
        for number, cell in enumerate(cells, start=1):
            exec(compile(cell, f"cell {number}", "exec"), left)
    return left


def test_the_table_has_a_row_a_cell_and_arm(variables: dict[str, Any]) -> None:
    """With its seeds counted."""
    table = variables["table"]
    assert table.loc[(10, "tuned", "model_4"), "n"] == 3
    assert (table["low"].dropna() <= table["mean"][table["low"].notna()]).all()


def test_curves_fall_to_the_end_of_the_budget(variables: dict[str, Any]) -> None:
    """As the synthetic study is made."""
    means = variables["means"]
    assert means.index.tolist() == [1, 2, 3, 4]
    assert (means["model_4"].diff().dropna() < 0).all()


def test_the_plane_shows_a_model_of_the_largest_code(variables: dict[str, Any]) -> None:
    """Two units of every kept image."""
    assert variables["best"]["code_size"] == 10
    assert variables["best"]["unpooling"] != "switches"
    assert len(variables["plane"]) == len(variables["codes"]) > 0
    assert len(variables["axes"].collections[0].get_offsets()) == len(variables["plane"])
