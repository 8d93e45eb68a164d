"""The large study of the benchmarks is as large as asked for and reads like a real one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from analysis.provenance import list_missing
from analysis.results import StudyResults, load_study, select_confirmed
from study.storage.schema import TABLES

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--search-trials", "20", "--epochs", "4", "--seeds", "3", "--code-sizes", "10", "--code-images", "50"]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python in the project's folder, warnings as errors."""
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one code size, as the benchmark makes a large one."""
    folder = tmp_path_factory.mktemp("benchmark") / "study"
    done = run("-m", "tests.synthetic", folder, *SMALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert "668 rows" in done.stdout
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> StudyResults:
    """Its frames."""
    return load_study(folder)


def test_the_study_has_the_rows_asked_for(folder: Path, results: StudyResults) -> None:
    """In one file a table, of its schema with units and all, as a study leaves them; nothing is missing.

    7 searches of 20 trials: 14 whole, 4 pruned after an epoch, one diverged after 2, one failed; 13 cells and arms with
    3 seeds, of which one diverged after 2 epochs and one failed; 7 levels with 3 seeds; PCA and raw pixels.
    """
    assert len(results.trials) == 7 * 20 + 13 * 3 + 7 * 3 + 2
    assert len(results.epochs) == 7 * (14 * 4 + 4 + 2) + (13 * 3 * 4 - 2 - 4) + 7 * 3 * 4
    assert results.problems == ()
    assert list_missing(results) == []
    assert not list((folder / "image_scores").iterdir())  # which takes images to measure
    for name, schema in TABLES.items():
        if name == "image_scores":
            continue
        (file,) = (folder / name).iterdir()
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
    assert set(results.codes["trial_id"]) <= set(select_confirmed(results.trials)["trial_id"])


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
    for name in ("filters_1", "filters_2"):
        assert pairs[name].equals(pairs[f"{name}_best"])


def test_a_study_is_not_written_over(folder: Path) -> None:
    """The folder of another one is refused."""
    done = run("-m", "tests.synthetic", folder, *SMALL)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "holds a study already" in done.stderr


@pytest.mark.slow
def test_the_time_of_a_report_is_told_step_by_step(folder: Path) -> None:
    """Tables, figures and files, with the slowest named; how fast depends on the machine."""
    done = run("benchmarks/report_time.py", "--study", folder)
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


@pytest.mark.slow
def test_flushed_subnormal_numbers_change_no_loss(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs of 500 images of each configuration; how much is saved depends on what saturates."""
    monkeypatch.setenv("CAE_STUDY_DATA", str(data_dir))
    done = run("benchmarks/subnormals.py", "--images", 500)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[:3] for row in rows] == [
        [name, filters, epoch]
        for name, filters in (("unpool_only", "17, 7"), ("unpool_only", "8, 4"), ("model_4", "26, 36"))
        for epoch in "12"
    ]
    for row in rows:
        assert float(row[-1]) == pytest.approx(float(row[-2]), abs=0.01)
