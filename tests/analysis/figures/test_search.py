"""Search trials and what mattered among them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.figures.search import SHOWN_TRIALS, draw_learning_rate, hyperparameter_importance, learning_rate
from analysis.results import StudyResults
from analysis.stats.importance import compute_importances
from analysis.tables.table import Absent
from tests.analysis.figures.panels import (
    choose,
    drawn,
    titled,
)


def test_learning_rate_marks_the_best_trial(results: StudyResults) -> None:
    """Complete, stopped and lost trials are told apart by their markers; number 1 is the best of each cell."""
    figure = drawn(learning_rate(results)).figure
    axes = titled(figure)["Model 4, code size 10"]
    rows = results.trials[
        (results.trials["phase"] == "search")
        & (results.trials["architecture"] == "model_4")
        & (results.trials["code_size"] == 10)
    ]
    points = {line.get_marker(): np.asarray(line.get_data()) for line in axes.lines}
    for marker, statuses in {"o": ["complete"], "x": ["pruned"], "|": ["diverged", "failed"]}.items():
        assert len(points[marker][0]) == rows["status"].isin(statuses).sum()
    best = rows[rows["number"] == 1].iloc[0]
    assert (points["*"][0].item(), points["*"][1].item()) == (best["learning_rate"], best["validation_cross_entropy"])


def test_the_caption_says_that_code_sizes_are_left_out(many_sizes: StudyResults, results: StudyResults) -> None:
    """Four of five have panels."""
    assert drawn(learning_rate(many_sizes)).caption.endswith(" Some code sizes are left out.")
    assert "left out" not in drawn(learning_rate(results)).caption


def test_a_long_search_is_thinned_and_keeps_its_best(results: StudyResults) -> None:
    """Ten thousand trials of a cell give no more points than one can see."""
    rng = np.random.default_rng(0)
    one = results.trials[(results.trials["phase"] == "search") & (results.trials["status"] == "complete")].head(1)
    many = one.loc[one.index.repeat(10_000)].reset_index(drop=True)
    many = many.assign(
        number=range(len(many)),
        learning_rate=10 ** rng.uniform(-4, -1, len(many)),
        search_value=rng.random(len(many)),
    )
    axes = draw_learning_rate(Figure().subplots(), many, choose("model_1")["model_1"])
    points = {line.get_marker(): np.asarray(line.get_data()) for line in axes.lines}
    assert len(points["o"][0]) == SHOWN_TRIALS
    assert points["*"][1].item() == many["search_value"].min()


def test_importance_draws_a_bar_a_model(results: StudyResults) -> None:
    """And one for all together, beside each other; the classic auto-encoder has no filter counts."""
    axes = drawn(hyperparameter_importance(results)).figure.axes[0]
    bars = [each for each in axes.patches if isinstance(each, Rectangle)]
    frame = compute_importances(results.trials)
    assert len(bars) == len(frame) == 4 * 3
    assert sorted(bar.get_width() for bar in bars) == pytest.approx(sorted(frame["importance"]))
    assert {round(bar.get_y() + bar.get_height() / 2) for bar in bars} == {0, 1, 2}
    assert len({bar.get_y() for bar in bars}) == len(bars)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Learning rate", "Filters 1", "Filters 2"]


def test_importance_names_the_models_without_filter_counts(results: StudyResults) -> None:
    """As the classic auto-encoder and modules, whose share would be one among other hyperparameters."""
    assert drawn(hyperparameter_importance(results)).caption.endswith(
        " Models without filter counts are left out: Classic auto-encoder."
    )
    trials = results.trials
    of_module = trials.assign(filters_1=trials["filters_1"].mask(trials["architecture"] == "model_3"))
    caption = drawn(hyperparameter_importance(dataclasses.replace(results, trials=of_module))).caption
    assert caption.endswith(" Models without filter counts are left out: Model 3 and Classic auto-encoder.")
    classic = trials["architecture"] == "classic_autoencoder"
    caption = drawn(hyperparameter_importance(dataclasses.replace(results, trials=trials[~classic]))).caption
    assert "without filter counts" not in caption
    absent = hyperparameter_importance(dataclasses.replace(results, trials=trials[classic]))
    assert isinstance(absent, Absent)
    assert absent.reason == "no model with filter counts was searched", "more trials would change nothing"
