"""Every table is there or says why not, study by study."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from analysis.provenance import list_missing, provenance
from analysis.report import comparison_tables
from analysis.results import load_studies, load_study
from analysis.tables.ablations import ablations
from analysis.tables.diagnostics import layer_values
from analysis.tables.models import sizes
from analysis.tables.scores import SCORE_TABLES, reconstruction, score_table
from analysis.tables.table import Absent, Table
from tests.analysis.tables.cells import line, made, shown
from tests.synthetic import write_synthetic_study


def test_several_studies_are_told_apart_in_every_table(tmp_path: Path) -> None:
    """Each is ranked by itself; the study leads the sections."""
    for name, models in (("a", ("model_1", "model_4")), ("b", ("model_4", "model_5"))):
        write_synthetic_study(tmp_path / name, name=name, architectures=models, code_sizes=(10,), seeds=5, mishaps={})
    results = load_studies([tmp_path / "a", tmp_path / "b"])
    table = shown(reconstruction(results))
    assert [column.name for column in table.sections] == ["study", "code_size", "arm"]
    found = table.frame[table.frame["arm"] == "tuned"].set_index(["study", "architecture"])
    assert found["reconstruction_squared_error_mark"].to_dict() == {
        ("a", "model_1"): "",
        ("a", "model_4"): "best",
        ("b", "model_4"): "",
        ("b", "model_5"): "best",
    }
    assert all("study" in table.frame for table in comparison_tables(results) if isinstance(table, Table)
               and table.name != "architectures")  # fmt: skip


def test_tables_without_rows_say_how_to_get_them(tmp_path: Path) -> None:
    """Reconstruction was measured, nothing else; no ablation was run."""
    results = made(tmp_path, evaluations=False)
    for absent in (*(score_table(results, spec) for spec in SCORE_TABLES[1:]), layer_values(results)):
        assert isinstance(absent, Absent)
        assert absent.reason.endswith("To get it: python study/launch.py --preset quick --phase confirm")
    absent = ablations(results)
    assert isinstance(absent, Absent)
    assert absent.reason.endswith("--phase ablate --factors FACTOR ...")


@pytest.mark.parametrize("left", [(), ("search",), ("control",)])
def test_every_table_or_its_absence_is_there_for_a_study_that_has_just_begun(
    tmp_path: Path, left: tuple[str, ...]
) -> None:
    """No rows, search alone, controls alone."""
    results = made(tmp_path)
    kept = results.trials["phase"].isin(left) | results.trials["arm"].isin(left)
    trials = results.trials[kept]
    scores = results.scores[results.scores["trial_id"].isin(trials["trial_id"])]
    tables = comparison_tables(dataclasses.replace(results, trials=trials, epochs=results.epochs[:0], scores=scores))
    names = [table.name for table in tables]
    assert names[:5] == ["headline", "summary", "architectures", "sizes", "reconstruction"]
    assert len(set(names)) == len(names)
    assert isinstance(tables[0], Absent)
    assert isinstance(tables[1], Absent)
    assert isinstance(tables[2], Table)
    assert isinstance(tables[4], Table if left == ("control",) else Absent)


def test_a_folder_without_a_configuration_still_gives_tables(tmp_path: Path) -> None:
    """study.json of another hand: only the name is needed."""
    made(tmp_path)
    (tmp_path / "study" / "study.json").write_text(json.dumps({"name": "synthetic"}))
    results = load_study(tmp_path / "study")
    assert line(sizes(results), "model_4")["parameters"] > 0
    assert isinstance(reconstruction(results), Table)
    assert list_missing(results) == []
    assert provenance(results)[0][1]["folder"] == str(tmp_path / "study")
