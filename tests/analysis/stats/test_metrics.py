"""A metric is called, written and bounded in one way everywhere, whether it is known here or not."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis.stats.metrics import (
    K_MEANS_ACCURACY,
    LINEAR_ERROR,
    MLP_ERROR,
    NEIGHBOUR_OVERLAP,
    OTHER_SWITCHES,
    RAW_K_MEANS_ACCURACY,
    SQUARED_ERROR,
    Metric,
    is_past_code,
    list_metrics,
    select_metric,
    settle_metrics,
)

NOVEL = Metric("umap_gmm", "nmi", "", "higher")


@pytest.mark.parametrize(
    ("metric", "label", "header", "short_header", "axis_label", "digits"),
    [
        (SQUARED_ERROR, "squared error", "Squared error", "Squared error", "Squared error (per image)", 2),
        (LINEAR_ERROR, "linear error (%)", "Linear error (%)", "Error (%)", "Linear classifier error (%)", 2),
        (MLP_ERROR, "MLP error (%)", "MLP error (%)", "Error (%)", "MLP classifier error (%)", 2),
        (K_MEANS_ACCURACY, "k-means accuracy", "k-means accuracy", "Accuracy", "k-means accuracy (0 to 1)", 3),
        (RAW_K_MEANS_ACCURACY, "k-means accuracy (raw code)", "k-means accuracy (raw code)", "Accuracy",
         "k-means accuracy (raw code) (0 to 1)", 3),
        (NEIGHBOUR_OVERLAP, "overlap of neighbours", "Overlap of neighbours", "Overlap of neighbours",
         "Overlap of neighbours (0 to 1)", 3),
        (NOVEL, "UMAP + mixture NMI", "UMAP + mixture NMI", "NMI", "UMAP + mixture NMI (0 to 1)", 3),
        (Metric("other", "pace", "s"), "other pace", "Other pace", "Pace", "Other pace (s)", 3),
    ],
)  # fmt: skip
def test_a_metric_is_called_in_one_way(
    metric: Metric, label: str, header: str, short_header: str, axis_label: str, digits: int
) -> None:
    """Within a sentence, at the head of a column, and beside an axis."""
    assert (metric.label, metric.header, metric.short_header) == (label, header, short_header)
    assert (metric.axis_label, metric.digits) == (axis_label, digits)


def test_reconstruction_alone_can_go_past_the_code() -> None:
    """Squared error with another image's switches has been robbed of that way."""
    assert [metric.past_code for metric in (SQUARED_ERROR, OTHER_SWITCHES, LINEAR_ERROR)] == [True, False, False]
    scores = pd.DataFrame(
        {
            "evaluator": ["reconstruction", "reconstruction", "linear_classifier", "reconstruction"],
            "unpooling": ["switches", "corner", "switches", None],
        }
    )
    assert is_past_code(scores).tolist() == [True, False, False, False]


def test_metrics_of_rows_come_main_ones_first_and_with_their_own_unit() -> None:
    """Then evaluators in the order asked for, and metrics as they were written; others are left out."""
    rows = [
        ("k_means", "nmi", "", "higher"),
        ("linear_classifier", "recall", "", "higher"),
        ("linear_classifier", "error", "permille", "lower"),
        ("linear_classifier", "recall", "", "higher"),
        ("code", "dead_units", "units", "none"),
    ]
    scores = pd.DataFrame(rows, columns=["evaluator", "metric", "unit", "direction"])
    found = list_metrics(scores, ("linear_classifier", "k_means"), (LINEAR_ERROR,))
    assert [metric.name for metric in found] == ["linear_classifier_error", "linear_classifier_recall", "k_means_nmi"]
    assert (found[0].unit, found[0].label) == ("permille", "linear error")
    assert len(select_metric(scores, found[1])) == 2


def test_an_older_metric_stands_in_where_a_trained_run_has_no_other() -> None:
    """Not where a control has no other: pixels are never whitened."""
    rows = [("k_means", "tuned"), ("k_means_whitened", "tuned"), ("k_means", "control"), ("k_means", "tuned")]
    scores = pd.DataFrame(rows, columns=["evaluator", "arm"]).assign(metric="accuracy")
    metrics = (LINEAR_ERROR, K_MEANS_ACCURACY)
    assert settle_metrics(scores, metrics) == (LINEAR_ERROR, RAW_K_MEANS_ACCURACY)
    assert settle_metrics(scores[:3], metrics) == metrics
    assert settle_metrics(scores[:0], metrics) == metrics
