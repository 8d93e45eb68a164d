"""Search trials and what mattered among them."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.search import SHOWN_TRIALS, draw_learning_rate, hyperparameter_importance, learning_rate
from analysis.results import StudyResults
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


def test_a_long_search_is_thinned_and_keeps_its_best(results: StudyResults) -> None:
    """Ten thousand trials of a cell give no more points than one can see."""
    rng = np.random.default_rng(0)
    one = results.trials[(results.trials["phase"] == "search") & (results.trials["status"] == "complete")].head(1)
    many = one.loc[one.index.repeat(10_000)].reset_index(drop=True)
    many = many.assign(
        number=range(len(many)),
        learning_rate=10 ** rng.uniform(-4, -1, len(many)),
        validation_cross_entropy=rng.random(len(many)),
    )
    axes = draw_learning_rate(Figure().subplots(), many, choose("model_1")["model_1"])
    points = {line.get_marker(): np.asarray(line.get_data()) for line in axes.lines}
    assert len(points["o"][0]) == SHOWN_TRIALS
    assert points["*"][1].item() == many["validation_cross_entropy"].min()


def test_importance_draws_a_marker_a_model(results: StudyResults) -> None:
    """And a star for all together; the classic auto-encoder has no filter counts."""
    axes = drawn(hyperparameter_importance(results)).figure.axes[0]
    markers = [line.get_marker() for line in axes.lines]
    assert {marker: markers.count(marker) for marker in set(markers)} == {"o": 3, "^": 3, "D": 3, "*": 3}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["learning_rate", "filters_1", "filters_2"]
