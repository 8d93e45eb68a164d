"""Kendall's tau is SciPy's, of the orders that the tables show."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import scipy.stats

from analysis.results import load_studies
from analysis.tables.agreement import agreement, compute_kendall_tau
from analysis.tables.table import Absent
from tests.analysis.tables.cells import made, shown
from tests.synthetic import true_score, write_synthetic_study

MODELS = ("model_1", "model_2", "model_4", "model_5", "unpool_only")


def test_tau_is_scipys_over_the_models_in_common() -> None:
    """Values without ties, and one model that the second order lacks."""
    first = pd.Series({"a": 3.0, "b": 1.0, "c": 2.0, "d": 5.0, "e": 4.0})
    second = pd.Series({"e": 1.0, "d": 2.5, "c": 3.0, "b": 0.5})
    expected = scipy.stats.kendalltau(first[second.index], second).statistic
    assert compute_kendall_tau(first, second) == pytest.approx(expected)


def test_orders_are_compared_over_code_sizes_metrics_and_arms(tmp_path: Path) -> None:
    """Of the means that the synthetic study holds; accuracy, where more is better, is turned round."""
    results = made(tmp_path, architectures=(*MODELS, "model_3"), code_sizes=(2, 10))
    frame = shown(agreement(results)).frame.set_index(["varied", "first", "second"])

    def means(*key: object) -> list[float]:
        evaluator, metric, size, arm = key
        return [
            sum(true_score(str(evaluator), str(metric), name, int(str(size)), str(arm), number) for number in (1, 2, 3))
            for name in MODELS
        ]

    squared = {size: means("reconstruction", "squared_error", size, "tuned") for size in (2, 10)}
    accuracy = [-value for value in means("k_means", "accuracy", 10, "tuned")]
    for row, orders in (
        (("code size", "squared error, 2", "squared error, 10"), (squared[2], squared[10])),
        (("metric", "squared error, 10", "k-means accuracy, 10"), (squared[10], accuracy)),
    ):
        assert frame.loc[row, "tau"] == pytest.approx(scipy.stats.kendalltau(*orders).statistic)
        assert frame.loc[row, "models"] == 5
    assert ("arm", "tuned", "published") in frame.index
    assert len(frame) == 1 + 2 * 3 + 1


def test_orders_of_two_studies_are_compared_by_the_models_that_both_have(tmp_path: Path) -> None:
    """Four of five."""
    for name, models in (("a", MODELS), ("b", MODELS[:4])):
        write_synthetic_study(tmp_path / name, name=name, architectures=models, code_sizes=(10,), mishaps={})
    frame = shown(agreement(load_studies([tmp_path / "a", tmp_path / "b"]))).frame
    (row,) = frame[frame["varied"] == "study"].to_dict("records")
    assert (row["first"], row["second"], row["models"], row["tau"]) == ("a", "b", 4, 1.0)


def test_of_two_models_no_order_is_compared(tmp_path: Path) -> None:
    """It would be 1 or -1."""
    assert isinstance(agreement(made(tmp_path)), Absent)
