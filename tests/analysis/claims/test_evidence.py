"""Comparisons are those of SciPy, and say why there is none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from analysis.claims.findings import findings
from analysis.results import StudyResults, load_study
from tests.analysis.claims.changes import (
    ACCURACY,
    GOOD,
    LINEAR,
    MEAN_CODE,
    OTHER,
    RAW_ACCURACY,
    SQUARED,
    finding,
    with_ended,
)
from tests.synthetic import true_score, write_synthetic_study

CELLS = (("model_1", 10, "published"), ("pca", 10, "control"))


def test_models_are_compared_by_welchs_test(rows: StudyResults) -> None:
    """Model 4 against model 1, as SciPy does it."""
    found = finding(rows, 5)
    (test,) = [
        each
        for each in found.evidence
        if (each.arm, each.reference, each.measure) == ("published", "Model 1", "squared error")
    ]
    expected = scipy.stats.ttest_ind(GOOD["model_4", SQUARED], GOOD["model_1", SQUARED], equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert (test.n, test.outcome) == (3, "holds")
    assert test.difference == pytest.approx((interval.low + interval.high) / 2)
    assert test.half_width == pytest.approx((interval.high - interval.low) / 2)
    assert test.p_value == pytest.approx(expected.pvalue)
    assert found.reason.startswith("The authors' recipe: 8 of 8 comparisons hold; least certain: ")


def test_a_control_is_the_one_value_that_it_has(rows: StudyResults) -> None:
    """Model 1 against PCA's 26.71, as SciPy's test of one sample does it."""
    (test,) = [each for each in finding(rows, 2).evidence if (each.arm, each.subject) == ("published", "Model 1")]
    expected = scipy.stats.ttest_1samp(GOOD["model_1", SQUARED], 26.71)
    assert test.p_value == pytest.approx(expected.pvalue)
    assert test.difference - test.half_width == pytest.approx(expected.confidence_interval(0.95).low - 26.71)


def test_a_control_whose_value_a_seed_changes_is_a_sample(tmp_path: Path) -> None:
    """PCA's perceptron by Welch's test, as SciPy does it; its linear error by the one value that all seeds have."""
    folder = write_synthetic_study(
        tmp_path, architectures=("model_1",), code_sizes=(10,), search_trials=1, mishaps={}, control_seeds=3
    )
    tests = {
        each.measure: each
        for each in finding(load_study(folder), 4).evidence
        if (each.arm, each.subject) == ("published", "Model 1")
    }
    mlp, linear = (
        [[true_score(metric, "error", *cell, number) for number in (1, 2, 3)] for cell in CELLS]
        for metric in ("mlp_classifier", "linear_classifier")
    )
    assert tests["MLP error (%)"].p_value == pytest.approx(scipy.stats.ttest_ind(*mlp, equal_var=False).pvalue)
    assert tests["linear error (%)"].p_value == pytest.approx(scipy.stats.ttest_1samp(linear[0], linear[1][0]).pvalue)


@pytest.mark.parametrize(
    ("number", "subject", "reference", "measure", "first", "second"),
    [
        (3, "Model 1", "Raw pixels", "k-means", ("model_1", ACCURACY), ("raw_pixels", RAW_ACCURACY)),
        (4, "Model 2", "PCA", "linear", ("model_2", LINEAR), ("pca", LINEAR)),
        (6, "Model 3", "Model 4", "linear", ("model_3", LINEAR), ("model_4", LINEAR)),
        (6, "Model 3", "Model 4", "squared error with another", ("model_3", OTHER), ("model_4", SQUARED)),
        (6, "Model 3", "Model 4", "increase", ("model_3", MEAN_CODE), ("model_4", MEAN_CODE)),
    ],
)
def test_every_other_claim_has_the_test_of_scipy(
    rows: StudyResults,
    number: int,
    subject: str,
    reference: str,
    measure: str,
    first: tuple[str, str],
    second: tuple[str, str],
) -> None:
    """Against the one value of a control, or between models; the increase is over each run's own squared error."""
    (test,) = [
        each
        for each in finding(rows, number).evidence
        if (each.arm, each.subject, each.reference) == ("published", subject, reference)
        and each.measure.startswith(measure)
    ]
    own, other = np.array(GOOD[first]), np.array(GOOD[second])
    if measure == "increase":
        own, other = own - GOOD[first[0], SQUARED], other - GOOD[second[0], SQUARED]
    alone = len(other) == 1
    expected = scipy.stats.ttest_1samp(own, other[0]) if alone else scipy.stats.ttest_ind(own, other, equal_var=False)
    assert test.p_value == pytest.approx(expected.pvalue)
    assert test.difference == pytest.approx(own.mean() - other.mean())


@pytest.mark.parametrize("seeds", [1, 2])
def test_under_three_runs_nothing_is_decided(rows: StudyResults, seeds: int) -> None:
    """Stability asks for three runs, the command for them."""
    few = dataclasses.replace(rows, trials=rows.trials[rows.trials["number"] <= seeds])
    found = findings(few)
    assert [each.verdict for each in found] == ["not testable"] + 6 * ["not decided"] + 2 * ["not testable"]
    assert f"({seeds} of 3 seeds)" in found[1].reason
    assert found[7].missing[0] == "3 runs of Model 1 at code size 10 (published)"
    assert "--seeds 3 --architectures model_1 model_2 model_3 model_4" in found[7].command


def test_a_model_without_one_completed_run_leaves_claims_open(rows: StudyResults) -> None:
    """Its rows are not missing: no command would bring another outcome."""
    results = rows
    for number in (1, 2, 3):
        results = with_ended(results, f"confirm-model_1-10-tuned-{number}", "diverged")
    found = finding(results, 2)
    assert (found.arms["tuned"], found.missing) == ("not decided", ())
    assert "(no run of Model 1 completed)" in found.reason
    assert finding(results, 7).verdict == "supported"
