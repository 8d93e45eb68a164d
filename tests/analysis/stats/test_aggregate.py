"""Runs are counted and scores summarised by cell and arm, as worked out from what a synthetic study was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.results import StudyResults, load_study
from analysis.stats.aggregate import (
    CELL,
    add_labels,
    count_runs,
    estimate_means,
    join_frames,
    select_confirmed_scores,
    select_test_scores,
    summarise_groups,
)
from analysis.stats.metrics import LINEAR_ERROR, MLP_ERROR, SQUARED_ERROR, select_metric
from tests.synthetic import true_score, write_synthetic_study


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Models 1 and 2 with a diverged and a collapsed run of the published arm, and controls."""
    folder: Path = tmp_path_factory.mktemp("study")
    return load_study(write_synthetic_study(folder, architectures=("model_1", "model_2"), code_sizes=(10,)))


def test_runs_are_counted_by_how_they_ended(results: StudyResults) -> None:
    """Three a model and arm; a collapsed run is complete but has not converged, and controls are no runs."""
    counts = count_runs(results).set_index(["architecture", "arm"])
    assert list(counts.loc[("model_1", "published"), ["runs", "diverged", "converged"]]) == [3, 1, 2]
    assert list(counts.loc[("model_2", "published"), ["complete", "collapsed", "converged"]]) == [3, 1, 2]
    assert list(counts.loc[("model_1", "tuned"), ["runs", "converged"]]) == [3, 3]
    assert len(counts) == 4


def test_a_mean_is_over_seeds_and_a_control_has_no_n(results: StudyResults) -> None:
    """Under a name that its parts share; raw pixels have no such error."""
    scores = select_metric(select_confirmed_scores(results), SQUARED_ERROR)
    frame = join_frames([count_runs(results), estimate_means(scores, "error")])
    assert frame[CELL].drop_duplicates().shape[0] == len(frame) == 4 + 1
    labelled = add_labels(results, frame)
    row = labelled[(labelled["label"] == "Model 1") & (labelled["arm"] == "tuned")].iloc[0]
    values = [true_score(*SQUARED_ERROR.key, "model_1", 10, "tuned", number) for number in (1, 2, 3)]
    assert row["error"] == pytest.approx(sum(values) / 3)
    assert row["error_n"] == 3
    pca = frame[frame["architecture"] == "pca"].iloc[0]
    assert pca["error"] == pytest.approx(26.71)
    assert pd.isna(pca["error_n"])


def test_a_control_of_several_seeds_has_an_interval_where_a_seed_changes_its_value(tmp_path: Path) -> None:
    """Its perceptron is drawn; its linear classifier comes out the same, but for what another machine rounds."""
    folder = write_synthetic_study(tmp_path, architectures=("model_1",), code_sizes=(10,), control_seeds=3)
    scores = select_confirmed_scores(load_study(folder))
    scores = scores.assign(value=scores["value"] * np.where(scores["number"] == 2, 1 + 1e-15, 1.0))
    groups = {
        metric: summarise_groups(select_metric(scores, metric)).set_index("architecture").loc["pca"]
        for metric in (MLP_ERROR, LINEAR_ERROR)
    }
    values = [true_score(*MLP_ERROR.key, "pca", 10, "control", number) for number in (1, 2, 3)]
    drawn, computed = groups[MLP_ERROR], groups[LINEAR_ERROR]
    assert (drawn["n"], drawn["mean"]) == (3, pytest.approx(np.mean(values)))
    low, high = scipy.stats.t.interval(0.95, 2, np.mean(values), np.std(values, ddof=1) / np.sqrt(3))
    assert [drawn["low"], drawn["high"]] == pytest.approx([low, high])
    assert computed["mean"] == pytest.approx(true_score(*LINEAR_ERROR.key, "pca", 10, "control", 1))
    assert computed[["n", "half_width", "low", "high"]].isna().all()


def test_only_scores_of_test_images_are_averaged(results: StudyResults) -> None:
    """Joined once for all tables: the same frame again."""
    assert set(select_test_scores(results)["split"]) == {"test"}
    assert select_test_scores(results) is select_test_scores(results)
