"""The Python of the pages under docs runs as it stands there, and its answers are right."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import re
import statistics
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.stats

from study.storage.schema import table_of
from tests.analysis.test_export import scalars
from tests.synthetic import CODE_IMAGES, MEAN_IMAGE_CROSS_ENTROPY, true_score, write_synthetic_study
from trainables.models.architectures import STUDIED

ROOT = Path(__file__).resolve().parents[2]
PAGES = [page.relative_to(ROOT).as_posix() for page in sorted((ROOT / "docs").glob("*.md"))]
CODE_SIZES = (2, 10)
TRAINED = 7 * len(CODE_SIZES)
"""Cells of trained models in the synthetic study."""


def blocks(page: str) -> list[tuple[int, str]]:
    """Return the fenced Python of a page, each block with the number of lines above it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]


def run(page: str, folder: Path) -> dict[str, Any]:
    """Run the blocks of a page one after the other in ``folder`` and return the variables that they leave."""
    variables: dict[str, Any] = {"__name__": page}
    with contextlib.chdir(folder):
        for above, block in blocks(page):
            # Empty lines above give a traceback the line numbers of the page.
            exec(compile("\n" * above + block, str(ROOT / page), "exec"), variables)
    return variables


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every results/NAME that a page names is a study, with leftovers of a launch that was stopped.

    Its trials went wrong as `tests.synthetic.MISHAPS` says. The leftovers are half a file of a name that starts with
    a dot, and scores and codes whose trial has no row.
    """
    top = tmp_path_factory.mktemp("docs")
    study = write_synthetic_study(top / "study", code_sizes=CODE_SIZES, codes=True, one_file_a_trial=True)
    for name in ("trials", "scores", "codes"):
        (study / name / ".confirm-half.parquet.partial").write_bytes(b"PAR1 and no more")
    for name in ("scores", "codes"):
        rows = pq.read_table(study / name / "confirm-model_4-10-tuned-1.parquet").to_pylist()
        leftover = [row | {"trial_id": "confirm-model_4-10-tuned-9"} for row in rows]
        pq.write_table(table_of(name, leftover), study / name / "confirm-model_4-10-tuned-9.parquet")
    (top / "results").mkdir()
    for page in PAGES:
        for _, block in blocks(page):
            for name in re.findall(r"results/([\w-]+)", block):
                if not (top / "results" / name).exists():
                    (top / "results" / name).symlink_to(study, target_is_directory=True)
    return top


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[str, Any]:
    """The variables that docs/analysis.md leaves."""
    return run("docs/analysis.md", folder)


def tuned_squared_errors(architecture: str, code_size: int, numbers: tuple[int, ...] = (1, 2, 3)) -> list[float]:
    """Return the squared errors that the study holds for the seeds ``numbers`` of the tuned arm."""
    return [
        true_score("reconstruction", "squared_error", architecture, code_size, "tuned", number) for number in numbers
    ]


OTHERS = [page for page in PAGES if blocks(page) and page not in ("docs/analysis.md", "docs/models.md")]


@pytest.mark.parametrize("page", OTHERS)
def test_the_python_of_a_page_runs(page: str, folder: Path) -> None:
    """Without a warning.

    That of docs/analysis.md by the tests below, of docs/models.md by `test_models_docs`, README's by `test_layout`.
    """
    run(page, folder)


def test_the_page_answers_ten_questions() -> None:
    """Each with Python of its own."""
    text = (ROOT / "docs" / "analysis.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    questions = [section for section in sections if section.partition("\n")[0].endswith("?")]
    assert [int(question.partition(".")[0]) for question in questions] == list(range(1, 11))
    assert all(question.count("```python") == 1 for question in questions)


def test_frames_hold_committed_rows_only(answers: dict[str, Any]) -> None:
    """The leftovers have no row in trials."""
    for name in ("trials", "scores", "codes"):
        assert (answers[name]["trial_id"] == "confirm-model_4-10-tuned-1").any()
        assert not (answers[name]["trial_id"] == "confirm-model_4-10-tuned-9").any()
    assert answers["results"].problems == ()


def test_endings_count_every_trial(answers: dict[str, Any]) -> None:
    """Of 12 search trials a cell, 2 were pruned and one each diverged and failed; two confirmed ones were lost."""
    endings = answers["endings"]
    assert endings.loc[("search", "model_4")].to_dict() == {"complete": 16, "pruned": 4, "diverged": 2, "failed": 2}
    assert endings.loc[("confirm", "model_1")].to_dict() == {"complete": 11, "pruned": 0, "diverged": 1, "failed": 0}
    assert endings.to_numpy().sum() == TRAINED * 12 + 13 * 2 * 3 + 3
    assert answers["reasons"].to_dict() == {
        "pruned on purpose": 2 * TRAINED,
        "diverged on purpose": TRAINED + 1,
        "failed on purpose": TRAINED + 1,
    }


def test_reconstruction_has_mean_deviation_and_interval_over_seeds(answers: dict[str, Any]) -> None:
    """By the standard library and SciPy; a control is one row without either."""
    values = tuned_squared_errors("model_4", 10)
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    assert answers["reconstruction"].loc[(10, "tuned", "model_4")].tolist() == pytest.approx([mean, deviation, 3])
    low, high = scipy.stats.t.interval(0.95, 2, mean, deviation / np.sqrt(3))
    assert answers["intervals"].loc[(10, "tuned", "model_4")].tolist() == pytest.approx([mean, low, high])
    assert answers["reconstruction"].loc[(10, "tuned", "unpool_only"), "count"] == 2  # one seed failed
    pca = answers["reconstruction"].loc[(10, "control", "pca")]
    assert pca["mean"] == true_score("reconstruction", "squared_error", "pca", 10, "control", 1)
    assert np.isnan(pca["std"])


def test_the_difference_of_two_models_is_welchs(answers: dict[str, Any]) -> None:
    """By SciPy; two seeds that are left of three are not tested."""
    difference = answers["difference"].set_index(["code_size", "arm"])
    row = difference.loc[(10, "tuned")]
    runs = (tuned_squared_errors(name, 10) for name in (row["architecture"], row["other"]))
    test = scipy.stats.ttest_ind(*runs, equal_var=False)
    assert {row["architecture"], row["other"]} == {"model_1", "model_4"}
    assert row["p_value"] == pytest.approx(test.pvalue)
    assert [row["low"], row["high"]] == pytest.approx(list(test.confidence_interval(0.95)))
    assert difference["n"].to_dict() == {(2, "tuned"): 3, (2, "published"): 3, (10, "tuned"): 3, (10, "published"): 2}
    assert math.isnan(difference.loc[(10, "published"), "p_value"])


def test_curves_have_a_row_an_epoch_and_a_column_a_seed(answers: dict[str, Any]) -> None:
    """They end at the trial's final figure."""
    curves = answers["curves"]
    assert curves.index.tolist() == [1, 2, 3, 4]
    assert curves.columns.tolist() == [1001, 1002, 1003]
    final = [true_score("reconstruction", "cross_entropy", "model_4", 10, "tuned", number) for number in (1, 2, 3)]
    assert curves.loc[4].tolist() == pytest.approx(final)


def test_the_best_of_every_search_is_its_second_trial(answers: dict[str, Any]) -> None:
    """As the synthetic study is made; its learning rate is number 7's place on the scale."""
    best = answers["best"]
    assert best[["architecture", "code_size"]].to_numpy().tolist() == [
        [name, size] for name in STUDIED for size in CODE_SIZES
    ]
    assert set(best["number"]) == {1}
    assert best["learning_rate"].tolist() == pytest.approx([10**-2.4] * TRAINED)


def test_early_stopping_is_judged_by_the_place_of_the_winners(answers: dict[str, Any]) -> None:
    """Each cell trained 8 trials for 4 epochs, 2 for 1, one for 2, and one failed in its first."""
    assert answers["saved"] == pytest.approx(1 - (8 * 4 + 2 * 1 + 2) / (12 * 4))
    assert answers["rung"] == 1
    winners = answers["winners"].set_index(["architecture", "code_size"])
    assert len(winners) == TRAINED
    # A curve falls in a straight line from the mean image's cross-entropy to its end, which those that were stopped
    # (numbers 2 and 6) reach in the first epoch. The one that diverged stays at the mean image's.
    ends = [true_score("reconstruction", "cross_entropy", "model_4", 10, "tuned", number) for number in range(10)]
    at_rung = [
        end if number in (2, 6) else end + 0.75 * (MEAN_IMAGE_CROSS_ENTROPY - end) for number, end in enumerate(ends)
    ]
    assert winners.loc[("model_4", 10), "place"] == 1 + sum(value < at_rung[1] for value in at_rung)


def test_model_3_reconstructs_best_and_has_the_worst_code(answers: dict[str, Any]) -> None:
    """The others have the same order by both figures, but for one whose mean holds a collapsed run."""
    means = answers["means"].loc[(10, "tuned")]
    assert means["squared_error"].idxmin() == "model_3"
    assert means["linear_error"].idxmax() == "model_3"
    linear = [true_score("linear_classifier", "error", "model_4", 10, "tuned", number) for number in (1, 2, 3)]
    assert means.loc["model_4", "linear_error"] == pytest.approx(statistics.mean(linear))
    correlation = answers["correlation"]["squared_error"].xs("linear_error", level=-1)
    assert correlation.loc[(10, "tuned")] == pytest.approx(1.0)
    # Linear error orders models 5, 4, 1, 2 and unpool_only so; by squared error model 2 comes last: 1 - 6 * 2 / 120.
    assert correlation.loc[(10, "published")] == pytest.approx(0.9)


def test_model_3_relies_on_its_switches(answers: dict[str, Any]) -> None:
    """83 for 1.45 with another image's switches, as the synthetic study is made; model 4 has none."""
    reliance = answers["reliance"].loc[(10, "tuned")]
    own = tuned_squared_errors("model_3", 10)
    other = [true_score("other_switches", "squared_error", "model_3", 10, "tuned", number) for number in (1, 2, 3)]
    assert reliance.loc["model_3", "other_switches"] == pytest.approx(statistics.mean(other) / statistics.mean(own))
    assert reliance.loc["model_3", "mean_code"] == pytest.approx(2.9)
    assert reliance.loc["model_4", "mean_code"] == pytest.approx(4.5)
    assert np.isnan(reliance.loc["model_4", "other_switches"])


def test_device_hours_add_up(answers: dict[str, Any], folder: Path) -> None:
    """Against the rows summed one by one, without pandas."""
    rows = [pq.read_table(file).to_pylist()[0] for file in (folder / "study" / "trials").glob("*.parquet")]
    hours = answers["hours"]
    assert hours.loc["All", "All"] == pytest.approx(sum(row["device_seconds"] or 0 for row in rows) / 3600)
    pruned = [row["device_seconds"] for row in rows if row["status"] == "pruned"]
    assert hours.loc["search", "pruned"] == pytest.approx(sum(pruned) / 3600)


def test_the_plane_holds_the_codes_of_two_units(answers: dict[str, Any]) -> None:
    """Of all models but the one whose trial is missing, with every kept image and its class."""
    plane = answers["plane"]
    assert len(plane) == CODE_IMAGES * (6 * 2 + 1 + 1)  # two arms; the classic auto-encoder has one, and so has PCA
    assert (plane["label"] == plane["image"] % 10).all()
    assert np.array_equal(np.stack(plane["code"]), plane[["x", "y"]].astype("float16"))
    assert plane[["x", "y"]].dtypes.tolist() == [np.float32, np.float32]


def test_chosen_runs_are_written_for_tensorboard(answers: dict[str, Any], folder: Path) -> None:
    """A folder a trial of that cell, with its training curve in single precision."""
    tracked = answers["tracked"]
    assert {path.name for path in (folder / "tracked").iterdir()} == set(tracked["trial_id"])
    assert len(tracked) == 2 * 3
    for trial_id in tracked["trial_id"]:
        curve = answers["epochs"][answers["epochs"]["trial_id"] == trial_id].set_index("epoch")["train_cross_entropy"]
        assert scalars(folder / "tracked" / trial_id) == {
            "train_cross_entropy": pytest.approx(curve.to_dict(), rel=1e-6)
        }


def run_tracker(library: str, answers: dict[str, Any], folder: Path) -> None:
    """Run the block of docs/analysis.md that imports ``library``; what it warns of is not ours."""
    text = (ROOT / "docs" / "analysis.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```py\n(import {library}\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(block, dict(answers))


def test_chosen_runs_are_logged_to_mlflow(answers: dict[str, Any], tmp_path: Path) -> None:
    """A run a trial with its settings, its status and every epoch, as MLflow reads them from its file."""
    run_tracker("mlflow", answers, tmp_path)
    client = importlib.import_module("mlflow").MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("cae-study")
    logged = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(logged) == set(answers["tracked"]["trial_id"])
    for row in answers["tracked"].to_dict("records"):
        run = logged[row["trial_id"]]
        assert run.data.params == {name: str(row[name]) for name in answers["settings"]}
        assert run.data.tags["status"] == "complete"
        curve = answers["curves_of"][row["trial_id"]].set_index("epoch")["train_cross_entropy"]
        history = client.get_metric_history(run.info.run_id, "train_cross_entropy")
        assert {point.step: point.value for point in history} == curve.to_dict()


def test_chosen_runs_are_logged_to_weights_and_biases(
    answers: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file a trial, without an account or the network, with its settings, epochs and status.

    No reader of such files is documented: values stand in them as JSON.
    """
    monkeypatch.setenv("WANDB_SILENT", "true")
    run_tracker("wandb", answers, tmp_path)
    importlib.import_module("wandb").teardown()  # Its service has written all when it has ended.
    files = [path.read_bytes() for path in tmp_path.glob("wandb/offline-run-*/run-*.wandb")]
    assert len(files) == len(answers["tracked"])
    for row in answers["tracked"].to_dict("records"):
        (file,) = (file for file in files if row["trial_id"].encode() in file)
        curve = answers["curves_of"][row["trial_id"]]["train_cross_entropy"]
        written = [json.dumps(value) for value in (*curve, row["learning_rate"], row["status"])]
        assert not [value for value in written if value.encode() not in file]


@pytest.mark.parametrize("reader", ["duckdb", "polars"])
def test_other_readers_give_the_same_figures(answers: dict[str, Any], reader: str) -> None:
    """Means of committed trials and codes of half precision, by DuckDB and Polars as by pandas."""
    expected = answers["reconstruction"]
    means = {tuple(row[:3]): row[3:] for row in _rows(answers[f"by_{reader}"])}
    assert len(means) == len(expected)
    for key, mean, _, count in expected.itertuples():
        assert means[key] == (pytest.approx(mean), count)
    units = {tuple(row[:2]): row[2:] for row in _rows(answers[f"units_by_{reader}"])}
    plane = answers["plane"][["trial_id", "image", "label", "x", "y"]]
    for trial_id, image, *values in plane.itertuples(index=False, name=None):
        assert units[trial_id, image] == tuple(values)


def _rows(frame: Any) -> Iterator[tuple[Any, ...]]:
    """Return the rows of a frame of pandas or Polars."""
    rows: Iterator[tuple[Any, ...]] = (
        frame.iter_rows() if hasattr(frame, "iter_rows") else frame.itertuples(index=False, name=None)
    )
    return rows
