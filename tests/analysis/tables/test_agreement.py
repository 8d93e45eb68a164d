"""Kendall's tau is SciPy's, of the orders that the tables show."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
import scipy.stats

from analysis.results import load_studies, load_study
from analysis.tables.agreement import agreement, compute_kendall_tau
from analysis.tables.summary import answers
from analysis.tables.table import Absent
from study.plan.planned_trial import PlannedTrial
from tests.analysis.tables.cells import made, shown
from tests.studies import small_config, write_rows
from tests.synthetic import true_score, write_synthetic_study
from trainables.trial_config import TrialConfig

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
    accuracy = [-value for value in means("k_means_whitened", "accuracy", 10, "tuned")]
    for row, orders in (
        (("code size", "squared error, 2", "squared error, 10"), (squared[2], squared[10])),
        (("metric", "squared error, 10", "k-means accuracy, 10"), (squared[10], accuracy)),
    ):
        assert frame.loc[row, "tau"] == pytest.approx(scipy.stats.kendalltau(*orders).statistic)
        assert frame.loc[row, "models"] == 5
    assert ("arm", "tuned", "published") in frame.index
    assert len(frame) == 1 + 2 * 3 + 1


def test_arms_are_compared_over_the_code_sizes_that_both_have(tmp_path: Path) -> None:
    """The published arm at 10 alone, where the tuned one has another order than over both."""
    results = made(tmp_path, architectures=MODELS, code_sizes=(2, 10))
    left = (results.trials["arm"] == "published") & (results.trials["code_size"] == 2)
    turned = results.scores["trial_id"].str.contains("-2-tuned-") & (results.scores["metric"] == "squared_error")
    scores = results.scores.assign(value=results.scores["value"].mask(turned, 1000 - 20 * results.scores["value"]))
    one = dataclasses.replace(results, trials=results.trials[~left], scores=scores)
    frame = shown(agreement(one)).frame
    (row,) = frame[frame["varied"] == "arm"].to_dict("records")
    tuned, published = (
        [
            sum(true_score("reconstruction", "squared_error", name, 10, arm, number) for number in (1, 2, 3))
            for name in MODELS
        ]
        for arm in ("tuned", "published")
    )
    assert row["tau"] == pytest.approx(scipy.stats.kendalltau(tuned, published).statistic)
    assert row["tau"] > 0


def test_orders_of_two_studies_are_compared_by_the_models_that_both_have(tmp_path: Path) -> None:
    """Four of five."""
    for name, models in (("a", MODELS), ("b", MODELS[:4])):
        write_synthetic_study(tmp_path / name, name=name, architectures=models, code_sizes=(10,), mishaps={})
    frame = shown(agreement(load_studies([tmp_path / "a", tmp_path / "b"]))).frame
    (row,) = frame[frame["varied"] == "study"].to_dict("records")
    assert (row["first"], row["second"], row["models"], row["tau"]) == ("a", "b", 4, 1.0)
    (told,) = [each for each in answers(load_studies([tmp_path / "a", tmp_path / "b"])) if "Over studies" in each]
    assert told.endswith("? Over studies yes (1.00).")
    manifest = json.loads((tmp_path / "b" / "study.json").read_text())
    manifest["dataset"]["name"] = "another"
    (tmp_path / "b" / "study.json").write_text(json.dumps(manifest))
    frame = shown(agreement(load_studies([tmp_path / "a", tmp_path / "b"]))).frame
    assert (frame["varied"] == "data set").sum() == 1


def test_of_two_models_no_order_is_compared(tmp_path: Path) -> None:
    """It would be 1 or -1; no command adds a third to the study."""
    absent = agreement(made(tmp_path))
    assert isinstance(absent, Absent)
    assert "no three ranked models" in absent.reason and "--phase" not in absent.reason


def test_orders_are_compared_over_the_epochs_of_the_rounds_of_a_search(tmp_path: Path) -> None:
    """Of the trial that wins each cell, whose mean over seeds counts in the last round; switches pass the code by."""
    at_two = {"model_1": 4.0, "model_2": 3.0, "model_4": 2.0, "model_5": 1.0, "model_3": 0.5}
    at_the_end = {"model_1": 1.0, "model_2": 3.0, "model_4": 2.0, "model_5": 4.0, "model_3": 0.5}

    def find_value(planned: PlannedTrial, trial_config: TrialConfig) -> float:
        values = at_two if planned.round == 1 else at_the_end
        # The second trial wins everywhere; the others have an order that no round changes.
        return values[planned.cell.architecture] if planned.number == 1 else 9.0 + at_two[planned.cell.architecture]

    config = small_config(architectures=tuple(at_two), trials=3, epochs=18, arms=("tuned",), phases=("search",))
    rows = load_study(write_rows(config, tmp_path, find_value))
    lost = (rows.trials["architecture"] == "model_2") & (rows.trials["round"] == 1)
    squared = (rows.trials["validation_cross_entropy"] / 4).mask(lost)
    frame = shown(
        agreement(dataclasses.replace(rows, trials=rows.trials.assign(validation_squared_error=squared)))
    ).frame
    (row,) = frame[frame["varied"] == "epochs"].to_dict("records")
    assert (row["first"], row["second"], row["models"]) == ("2 epochs, 10", "18 epochs, 10", 3)
    common = ["model_1", "model_4", "model_5"]
    orders = ([values[name] for name in common] for values in (at_two, at_the_end))
    assert row["tau"] == pytest.approx(scipy.stats.kendalltau(*orders).statistic)
