"""The published study: README and the report are what its rows say."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import publish
import pytest

from analysis.report import main
from analysis.results import ResultsError, StudyResults, load_study
from analysis.tables.table import Table
from study.storage.schema import TABLES
from tests.synthetic import write_synthetic_study


@pytest.fixture(scope="module")
def results() -> StudyResults:
    """The published rows."""
    return load_study(publish.ROWS)


def test_readme_says_what_the_rows_say(results: StudyResults) -> None:
    """The answer, the table, the verdicts, cost and aims come out of the rows letter by letter."""
    for page, written in ((publish.README, publish.parts(results)), (publish.PAGE, publish.page_parts(results))):
        text = page.read_text(encoding="utf-8")
        assert publish.with_parts(text, written) == text


def test_every_mean_has_its_n_and_interval(results: StudyResults) -> None:
    """But for controls, which are computed once; what went wrong is counted for every model."""
    table = publish.summary(results)
    assert isinstance(table, Table)
    trained = table.frame[table.frame["arm"] == "tuned"]
    for column in table.columns:
        if column.kind == "estimate":
            assert (trained[f"{column.name}_n"] >= 3).all()
            assert trained[f"{column.name}_half_width"].map(math.isfinite).all()
    assert trained[["diverged", "failed", "collapsed"]].notna().all(axis=None)


def test_the_report_is_made_again_from_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables byte by byte, and the same files; without the network, which no test has."""
    monkeypatch.chdir(publish.ROOT)
    assert main(["docs/reference/rows", "--output", str(tmp_path)]) == 0
    made, kept = (
        {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path, publish.REPORT)
    )
    assert made == kept
    for path in [*(tmp_path / "tables").iterdir(), tmp_path / "report.md"]:
        same = publish.REPORT / path.relative_to(tmp_path)
        if path.suffix != ".csv":
            assert path.read_text() == same.read_text(), path.name
            continue
        for row, other in zip(*(list(csv.reader(file.read_text().splitlines())) for file in (path, same)), strict=True):
            assert len(row) == len(other)
            assert all(alike(one, two) for one, two in zip(row, other, strict=True)), path.name


def alike(one: str, two: str) -> bool:
    """Whether two values are the same, numbers but for rounding on another processor."""
    try:
        return one == two or math.isclose(float(one), float(two), rel_tol=1e-9, abs_tol=1e-12)
    except ValueError:
        return False


def test_no_folder_of_a_machine_is_published() -> None:
    """Launches are commands that anyone can give."""
    for folder in (publish.ROWS, publish.BEGUN):
        for launch in json.loads((folder / "study.json").read_text())["launches"]:
            assert "-dir" not in launch["command"]
            assert " /" not in launch["command"]
        assert not (folder / "weights").exists()


def test_a_study_is_published_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and report are replaced, README's parts written anew and the rest of it left alone."""
    study = write_synthetic_study(tmp_path / "study", codes=True, mishaps={})
    manifest = json.loads((study / "study.json").read_text())
    manifest["launches"][0]["command"] = "study/launch.py --data-dir /x --preset quick --results-dir=/y"
    (study / "study.json").write_text(json.dumps(manifest))
    for name in ("ROWS", "REPORT"):
        monkeypatch.setattr(publish, name, tmp_path / name)
    shutil.copytree(study, publish.ROWS)
    pages = {"README": ("answer", "summary", "findings"), "PAGE": ("cost", "aims", "begun search")}
    for page, names in pages.items():
        monkeypatch.setattr(publish, page, tmp_path / f"{page}.md")
        marked = "".join(f"<!-- {name} -->\nREPLACED\n<!-- end of {name} -->\n" for name in names)
        getattr(publish, page).write_text(f"before\n{marked}after\n")
    assert publish.main([str(study)]) == 0
    for page, names in pages.items():
        text = getattr(publish, page).read_text()
        assert text.startswith(f"before\n<!-- {names[0]} -->\n")
        assert text.endswith(f"<!-- end of {names[-1]} -->\nafter\n")
        assert "REPLACED" not in text
    assert "- Model 5 is" in publish.README.read_text()
    assert sorted(path.name for path in publish.ROWS.iterdir()) == sorted([*TABLES, "study.json"])
    published = json.loads((publish.ROWS / "study.json").read_text())
    assert published["launches"][0]["command"] == "study/launch.py --preset quick"
    assert (publish.REPORT / "report.html").exists()


def test_what_cannot_be_published_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Too many rows, no study, or a README without the parts."""
    study = write_synthetic_study(tmp_path / "study", code_sizes=(10,))
    monkeypatch.setattr(publish, "ROWS", tmp_path / "rows")
    assert publish.main([str(tmp_path / "nothing")]) == 2
    monkeypatch.setattr(publish, "MOST_BYTES", 1000)
    assert publish.main([str(study)]) == 2
    assert "20 MiB at most" in capsys.readouterr().err
    assert not publish.ROWS.exists()
    with pytest.raises(ValueError, match="part summary is marked 0 times"):
        publish.with_parts("", {"summary": ""})
    with pytest.raises(ResultsError, match="finish the study first"):
        publish.parts(
            load_study(write_synthetic_study(tmp_path / "other", architectures=("model_4",), arms=("published",)))
        )
