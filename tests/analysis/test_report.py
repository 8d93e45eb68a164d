"""The report is written, parses, says what is missing, and never ends in a traceback."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from analysis.provenance import provenance
from analysis.report import BRIEF, PRINTED, choose_output, comparison_tables, main, print_report, write_report
from analysis.results import ResultsError, StudyResults, load_study
from analysis.tables.summary import answers
from analysis.tables.table import Absent, Table
from tests.analysis.tables.cells import look_at
from tests.synthetic import write_synthetic_study

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Two code sizes, every table but other scores."""
    folder = write_synthetic_study(tmp_path_factory.mktemp("study"), code_sizes=(10, 30), ablations=True)
    return load_study(folder)


@pytest.fixture(scope="module")
def tables(results: StudyResults) -> tuple[Table | Absent, ...]:
    """All tables of that study."""
    return comparison_tables(results)


@pytest.fixture(scope="module")
def report(results: StudyResults, tables: tuple[Table | Absent, ...]) -> Path:
    """The written report.md."""
    return write_report(results, Path(results.path) / "report", tables)


def small(folder: Path, **arguments: object) -> Path:
    """Write a small study without mishaps."""
    defaults = {"architectures": ("model_1", "model_4"), "code_sizes": (10,), "search_trials": 2, "mishaps": {}}
    return write_synthetic_study(folder, **(defaults | arguments))  # type: ignore[arg-type]


def test_reading_a_report_needs_neither_ray_nor_torch() -> None:
    """Tables are made where neither is installed; nor what only figures, exports and tests of rows need."""
    slow = {"ray", "torch", "scipy.stats", "matplotlib", "optuna"}
    code = f"import analysis.report, sys; assert not {slow} & set(sys.modules), sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_script_runs_from_any_folder(tmp_path: Path) -> None:
    """As ``python analysis/report.py``, which puts analysis/ first on the path."""
    small(tmp_path / "study")
    command = [sys.executable, "-W", "error", str(ROOT / "analysis" / "report.py"), "study", "--tables"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("report: study/report/report.md\n")
    assert "Reconstruction of the test images" in done.stdout
    assert (tmp_path / "study" / "report" / "report.md").is_file()


def test_numbers_in_csv_are_those_of_the_frames(report: Path, tables: tuple[Table | Absent, ...]) -> None:
    """Full precision, nothing formatted."""
    for table in tables:
        if isinstance(table, Table):
            with open(report.parent / "tables" / f"{table.name}.csv", newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            assert len(rows) == len(table.frame)
            for column in table.frame.select_dtypes("number"):
                read = [float(row[column] or "nan") for row in rows]
                np.testing.assert_array_equal(read, table.frame[column].astype("float64").to_numpy(na_value=np.nan))


def test_the_report_says_where_its_figures_come_from(report: Path) -> None:
    """Data, code, versions, hardware, dates, seeds."""
    text = report.read_text(encoding="utf-8")
    for fact in (
        "data: digits (1,077 training, 360 of them for validation in a search, 360 test images), SHA-256 dddddddddddd",
        "seeds of confirmed trials: 1001, 1002, 1003",
        "code: cccccccccccc",
        "torch 2.13.0",
        "hardware: synthetic: system Linux, cores 2, Synthetic processor",
        "dates: 2026-03-01 00:00 to 2026-03-01 00:12 UTC",
        "launches: python study/launch.py --preset quick",
    ):
        assert f"- {fact}" in text or fact in text
    assert "What is missing" not in text
    linked = re.findall(r"\]\(([^)]+)\)", text)
    assert linked
    assert all((report.parent / link).is_file() for link in linked)


def test_code_with_local_changes_is_named_as_such(tmp_path: Path) -> None:
    """A commit alone would promise too much."""
    results = load_study(small(tmp_path))
    for dirty, text in ((True, "cccccccccccc (with local changes)"), (False, "cccccccccccc"), (pd.NA, "cccccccccccc")):
        trials = results.trials.assign(git_dirty=pd.array([dirty] * len(results.trials), dtype="boolean"))
        changed = dataclasses.replace(results, trials=trials)
        assert provenance(changed)[0][1]["code"] == text


def test_a_partial_study_gives_a_partial_report_that_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the confirmed runs and one damaged file; nothing but reconstruction was measured."""
    folder = small(tmp_path / "study", one_file_a_trial=True, evaluations=False)
    for number in (2, 3):
        for arm in ("tuned", "published"):
            (folder / "trials" / f"confirm-model_4-10-{arm}-{number}.parquet").unlink()
    (folder / "scores" / "confirm-model_1-10-tuned-1.parquet").write_bytes(b"damaged")
    assert main([str(folder), "--no-tsne"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    text = (folder / "report" / "report.md").read_text(encoding="utf-8")
    for sentence in (
        "synthetic: 4 of 12 trials of phase confirm are not there: model_4 at code size 10 (tuned: 2), model_4 at code "
        "size 10 (published: 2). To run them: python study/launch.py --preset quick --phase confirm",
        "scores/confirm-model_1-10-tuned-1.parquet: cannot be read",
    ):
        assert sentence in text
        assert sentence in printed
    assert "Classification from the code: no confirmed run has scores of linear_classifier" in text
    assert "| 10 | tuned | Model 4 |" in text
    first = answers(load_study(folder))[0]
    assert text.index(first) < text.index("## What is missing") < text.index("- synthetic: 4 of 12 trials")
    assert not (folder / "report" / "tables" / "classification.csv").exists()


def test_a_table_of_an_earlier_report_does_not_outlive_its_rows(
    results: StudyResults, tables: tuple[Table | Absent, ...], tmp_path: Path
) -> None:
    """Otherwise old numbers would stand beside new ones."""
    write_report(results, tmp_path, tables)
    assert (tmp_path / "tables" / "clustering.csv").is_file()
    now = [Absent("clustering", "Clustering", "gone") if table.name == "clustering" else table for table in tables]
    text = write_report(results, tmp_path, now).read_text(encoding="utf-8")
    assert "- Clustering: gone\n" in text
    assert not list((tmp_path / "tables").glob("clustering.*"))
    assert (tmp_path / "tables" / "stability.csv").is_file()


def test_mistakes_end_in_one_screen_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was received, what is accepted, what to do; no traceback."""
    folder = small(tmp_path / "study")
    (tmp_path / "file").write_text("")
    newer = small(tmp_path / "newer")
    (newer / "study.json").write_text(json.dumps({"name": "synthetic", "schema_version": 99}))
    for arguments, received in (
        ([tmp_path / "nowhere"], "there is no such folder"),
        ([tmp_path], "holds no study.json"),
        ([newer], "schema version 99"),
        ([folder, tmp_path / "nowhere"], "there is no such folder"),
        ([folder, "--output", tmp_path / "file" / "report"], "cannot be written"),
    ):
        assert main([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert received in error
        assert "\n  accepted: " in error
        assert "\n  to do:    " in error
        assert error.count("\n") == 3


def test_flags_that_do_not_exist_end_with_status_2() -> None:
    """By the parser itself."""
    with pytest.raises(SystemExit) as raised:
        main(["results", "--no-such-flag"])
    assert raised.value.code == 2


def test_the_terminal_shows_the_answer_and_one_table_unless_asked_for_more(
    results: StudyResults, tables: tuple[Table | Absent, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """In at most 60 lines of 80 characters, the paths and the next step included."""

    def show(*printed: str) -> str:
        console = Console(width=80)
        if printed:
            print_report(results, tables, console, printed)
        else:
            print_report(results, tables, console)
        return capsys.readouterr().out

    brief = show()
    assert brief.count("\n") <= 60 - 6
    assert brief.startswith("Summary\n")
    assert brief.count("code size 10\n") == 1 and "code size 30\n" not in brief
    assert "--tables summary" in brief
    assert " ".join(brief.split()).count("Failed runs: diverged/failed/collapsed.") == 1
    assert all(f"- {sentence[:40]}" in brief for sentence in answers(results))
    assert "code size 30\n" in show("summary")
    assert show("ablations").startswith("Ablations")
    every = show(*PRINTED)
    assert all(title in every for title in ("Architectures", "Reconstruction of the test images", "Findings"))
    with pytest.raises(ResultsError, match="no table is called nope"):
        show("nope")


def test_the_terminal_says_once_how_a_study_looked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the answer: the note of the summary's letters is the same sentence."""
    looked = look_at(load_study(small(tmp_path)), 0.0111)
    tables = comparison_tables(looked)
    (told,) = (sentence for sentence in answers(looked) if "looks declared before the first" in sentence)
    for printed, count in ((("summary",), 2), (BRIEF, 1)):
        print_report(looked, tables, Console(width=80), printed)
        assert " ".join(capsys.readouterr().out.split()).count(told) == count


def test_a_folder_that_cannot_be_written_is_an_error_of_results(
    results: StudyResults, tables: tuple[Table | Absent, ...], tmp_path: Path
) -> None:
    """So that a launch can say it, too."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="cannot be written"):
        write_report(results, tmp_path / "file", tables)


@pytest.mark.slow
def test_the_report_of_a_study_in_an_object_store_is_written_here() -> None:
    """Where it would lie in a folder is a bucket, in which a reader of rows may not write."""
    assert choose_output(["s3://bucket/studies/mine"]) == Path("report-mine")


def test_two_studies_are_compared_in_a_folder_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither study's own report is touched."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        small(tmp_path / name, name=name)
    assert main(["a", "b", "--no-tsne"]) == 0
    assert capsys.readouterr().out.endswith("report: report-a-b/report.md\n")
    with open(tmp_path / "report-a-b" / "tables" / "reconstruction.csv", newline="") as file:
        assert {row["study"] for row in csv.DictReader(file)} == {"a", "b"}
    text = (tmp_path / "report-a-b" / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# Report of a and b\n")
    assert "| b | 10 | tuned | Model 4 |" in text
    assert not (tmp_path / "a" / "report").exists()
