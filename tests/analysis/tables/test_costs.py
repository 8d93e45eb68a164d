"""What runs cost and what searches found, worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from tests.analysis.tables.cells import Tables, line, scores_of, shown


def test_cost_puts_device_seconds_beside_what_they_buy(tables: Tables) -> None:
    """Two seconds an epoch of four, and one more a seed's number."""
    row = line(tables["cost"], "model_4")
    assert row["device_seconds"] == pytest.approx(np.mean([9.0, 10.0, 11.0]))
    assert row["epochs"] == 4
    assert row["multiply_adds"] == line(tables["sizes"], "model_4")["multiply_adds"]
    assert row["linear_classifier_error"] == pytest.approx(
        scores_of("model_4", evaluator="linear_classifier", metric="error").mean()
    )


def test_hours_are_those_of_the_trials_that_are_there(tables: Tables) -> None:
    """Others may have been superseded, or belong to another report."""
    (told,) = [note for note in shown(tables["cost"]).footnotes if note.startswith("Device hours")]
    assert told.startswith("Device hours of the trials in this report: search ")


def test_search_shows_the_best_trial_and_what_tuning_gained(tables: Tables) -> None:
    """Of twelve: three pruned but one of them failed, one diverged; number 1 is the best, number 0 the published."""
    frame = shown(tables["search"]).frame
    row, other = (frame[frame["architecture"] == name].iloc[0] for name in ("model_4", "classic_autoencoder"))
    assert row[["runs", "complete", "pruned", "diverged", "failed"]].tolist() == [12, 8, 2, 1, 1]
    assert row["best_number"] == 1
    assert (row["best_validation_cross_entropy"], row["first_validation_cross_entropy"]) == (100.0, 155.0)
    assert row["best_learning_rate"] == pytest.approx(10**-2.4)
    tuned, published = scores_of("model_4"), scores_of("model_4", "published")
    expected = scipy.stats.ttest_ind(tuned, published, equal_var=False)
    assert row["tuned_minus_published"] == pytest.approx(tuned.mean() - published.mean())
    assert row["tuned_minus_published_p_value"] == pytest.approx(expected.pvalue)
    assert row["tuned_minus_published_high"] == pytest.approx(expected.confidence_interval(0.95).high)
    assert pd.isna(other["tuned_minus_published"])
