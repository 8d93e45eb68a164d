"""The large study of the benchmarks is as large as asked for and reads like a real one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from analysis.provenance import list_missing
from analysis.results import StudyResults, confirmed, load_study
from study.storage.schema import TABLES

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SMALL = ["--trials", "1000", "--epochs", "12345", "--seeds", "3", "--code-sizes", "10"]


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script of the benchmarks, warnings as errors."""
    command = [sys.executable, "-W", "error", str(BENCHMARKS / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of 1,000 trials and 12,345 epochs."""
    folder = tmp_path_factory.mktemp("benchmark") / "study"
    done = run("synthetic_study.py", folder, *SMALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert "12,345 rows" in done.stdout
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> StudyResults:
    """Its frames."""
    return load_study(folder)


def test_the_study_has_the_rows_asked_for(folder: Path, results: StudyResults) -> None:
    """In one file a table, of its schema with units and all, as a study leaves them; nothing is missing."""
    assert (len(results.trials), len(results.epochs)) == (1_000, 12_345)
    assert results.problems == ()
    assert list_missing(results) == []
    for name, schema in TABLES.items():
        (file,) = (folder / name).iterdir()
        assert file.name.startswith("compacted-")
        written = pq.read_schema(file)
        assert written.equals(schema)
        for column in schema:
            assert (column.metadata or {}).items() <= (written.field(column.name).metadata or {}).items()
        pq.read_table(file).validate(full=True)


def test_its_curves_and_scores_belong_to_its_trials(results: StudyResults) -> None:
    """As many epochs as the trial says, ending at its figures; scores of complete trials outside search alone."""
    trials = results.trials.set_index("trial_id")
    curves = results.epochs.groupby("trial_id").agg({"epoch": ["min", "max", "count"], "train_cross_entropy": "last"})
    assert (curves["epoch", "min"] == 1).all()
    assert (curves["epoch", "max"] == curves["epoch", "count"]).all()
    trained = trials[trials["epochs"] > 0]
    assert curves["epoch", "count"].sort_index().tolist() == trained["epochs"].sort_index().tolist()
    ends = trained["train_cross_entropy"].dropna()
    pd.testing.assert_series_equal(curves["train_cross_entropy", "last"][ends.index], ends, check_names=False)
    scored = trials[(trials["phase"] != "search") & (trials["status"] == "complete")]
    assert set(results.scores["trial_id"]) == set(scored.index)
    assert set(results.codes["trial_id"]) <= set(confirmed(results.trials)["trial_id"])


def test_every_cell_was_searched_and_its_best_confirmed(results: StudyResults) -> None:
    """In every way that a search trial ends."""
    search = results.trials[results.trials["phase"] == "search"]
    assert set(search["status"]) == {"complete", "pruned", "diverged", "failed"}
    cell = ["architecture", "code_size"]
    complete = search[search["full_budget"]]
    best = complete.loc[complete.groupby(cell, observed=True)["validation_cross_entropy"].idxmin()]
    tuned = results.trials[(results.trials["phase"] == "confirm") & (results.trials["arm"] == "tuned")]
    pairs = tuned.merge(best, on=cell, suffixes=("", "_best"))
    assert len(pairs) == len(tuned) == 7 * 3
    for name in ("learning_rate", "filters_1", "filters_2"):
        assert pairs[name].equals(pairs[f"{name}_best"])


def test_the_same_seed_gives_the_same_study(folder: Path, tmp_path: Path) -> None:
    """And another seed another one."""
    assert run("synthetic_study.py", tmp_path / "same", *SMALL).returncode == 0
    assert run("synthetic_study.py", tmp_path / "other", *SMALL, "--seed", "1").returncode == 0
    for name in TABLES:
        same, other, first = (
            pq.read_table(next((each / name).iterdir())) for each in (tmp_path / "same", tmp_path / "other", folder)
        )
        assert same.equals(first)
        assert not other.equals(first)


def test_what_cannot_be_written_is_said_so(folder: Path, tmp_path: Path) -> None:
    """A folder that holds a study, fewer trials than the phases need, and epochs that no search makes."""
    for arguments, message in (
        ([folder, *SMALL], "holds a study already"),
        ([tmp_path / "few", *SMALL, "--trials", "100"], "one search trial a cell make"),
        ([tmp_path / "long", *SMALL, "--epochs", "1000000"], "cannot make"),
    ):
        done = run("synthetic_study.py", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ")
        assert message in done.stderr


@pytest.mark.slow
def test_the_time_of_a_report_is_told_step_by_step(folder: Path) -> None:
    """Tables, figures and files, with the slowest named; how fast depends on the machine."""
    done = run("report_time.py", "--study", folder)
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    steps = [line.strip().split("  ")[0] for line in done.stdout.splitlines()]
    for step in (
        "whole",
        "imports",
        "load_studies",
        "reconstruction",
        "architectures",
        "write_figures",
        "learning_curves",
    ):
        assert step in steps
    assert "codes_tsne" not in done.stdout
    assert "\nslowest: " in done.stdout
    assert ("met" if done.returncode == 0 else "missed") in done.stdout.splitlines()[-1]
