"""Curves are means over seeds, cut and thinned where that hides nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.learning_curves import SHOWN_EPOCHS, average_curves, draw_learning_curves, learning_curves
from analysis.results import StudyResults
from tests.analysis.figures.panels import (
    MODELS,
    choose,
    drawn,
)
from tests.synthetic import (
    MEAN_IMAGE_CROSS_ENTROPY,
    true_score,
)


def test_first_epochs_far_above_the_mean_image_are_cut_and_ends_are_not(results: StudyResults) -> None:
    """The range of what is compared decides the axis."""
    first = results.epochs["epoch"] == 1
    worse = results.epochs.assign(train_cross_entropy=results.epochs["train_cross_entropy"].mask(first, 1e6))
    for axes in drawn(learning_curves(dataclasses.replace(results, epochs=worse))).figure.axes:
        assert 150 < axes.get_ylim()[1] < 300  # the mean image's is 206
    flat = dataclasses.replace(results, epochs=worse.assign(train_cross_entropy=900.0))
    assert drawn(learning_curves(flat)).figure.axes[0].get_ylim()[1] > 900


def test_learning_curves_are_means_over_seeds(results: StudyResults) -> None:
    """Confirmed runs by arm, and the best search trial on the validation images."""
    figure = drawn(learning_curves(results)).figure
    assert [axes.get_title() for axes in figure.axes[:3]] == [
        "Tuned arm, training",
        "Published arm, training",
        "Best of search, validation",
    ]
    axes = figure.axes[3]  # code size 10, tuned
    line = next(line for line in axes.lines if line.get_color() == choose("model_4")["model_4"].colour)
    finals = [true_score("reconstruction", "cross_entropy", "model_4", 10, "tuned", seed) for seed in (1, 2, 3)]
    share = (4 - np.arange(1, 5)) / 4
    expected = np.mean(finals) + (MEAN_IMAGE_CROSS_ENTROPY - np.mean(finals)) * share
    np.testing.assert_allclose(line.get_ydata(), expected)  # type: ignore[arg-type]
    assert len(axes.lines) == len(MODELS) + 1  # and the mean image
    validation = figure.axes[5]
    lines = [line for line in validation.lines if line.get_color() == choose("model_4")["model_4"].colour]
    train, validated = (np.asarray(line.get_ydata()) for line in lines)
    np.testing.assert_allclose(validated, train + 1)


def test_the_curve_of_a_search_is_that_of_the_lowest_value_of_what_it_minimised(results: StudyResults) -> None:
    """Cross-entropy in this study; by the opposite the highest is drawn, which is cross-entropy as well."""
    search = results.trials.query("phase == 'search' and full_budget and architecture == 'model_4' and code_size == 10")
    assert (search["search_value"] == search["validation_cross_entropy"]).all()
    opposite = results.trials.assign(search_value=-results.trials["search_value"])
    for trials, expected in (
        (results.trials, search.nsmallest(1, "search_value")),
        (opposite, search.nlargest(1, "search_value")),
    ):
        curves = average_curves(dataclasses.replace(results, trials=trials))
        curve = curves.query("run == 'search' and architecture == 'model_4' and code_size == 10").sort_values("epoch")
        own = results.epochs[results.epochs["trial_id"] == expected["trial_id"].item()].sort_values("epoch")
        assert curve["validation"].tolist() == own["validation_cross_entropy"].tolist()


def test_the_curve_of_a_search_by_rounds_is_one_of_its_last_round(results: StudyResults) -> None:
    """Trials of earlier rounds have fewer epochs, in which their loss may be lower by luck."""
    search = results.trials.query("phase == 'search' and full_budget and architecture == 'model_4' and code_size == 10")
    first, second = search.nsmallest(2, "search_value")["trial_id"]
    rounds = results.trials["trial_id"].map({first: 1, second: 3}).astype("Int8")
    curves = average_curves(dataclasses.replace(results, trials=results.trials.assign(round=rounds)))
    curve = curves.query("run == 'search' and architecture == 'model_4' and code_size == 10").sort_values("epoch")
    own = results.epochs[results.epochs["trial_id"] == second].sort_values("epoch")
    assert curve["validation"].tolist() == own["validation_cross_entropy"].tolist()


def test_the_caption_says_that_code_sizes_are_left_out(many_sizes: StudyResults, results: StudyResults) -> None:
    """Four of five have rows of panels."""
    assert drawn(learning_curves(many_sizes)).caption.endswith(" Some code sizes are left out.")
    assert "left out" not in drawn(learning_curves(results)).caption


def test_long_curves_are_thinned_and_keep_their_last_epoch() -> None:
    """The eye sees no more points than that, and the file stays small."""
    epochs = np.arange(1, 5_001)
    frame = pd.DataFrame({"architecture": "model_1", "epoch": epochs, "mean": 1.0, "minimum": 1.0, "maximum": 1.0})
    axes = draw_learning_curves(Figure().subplots(), frame.assign(validation=np.nan), choose("model_1"))
    shown = np.asarray(axes.lines[0].get_xdata())
    assert (len(shown), shown[0], shown[-1]) == (SHOWN_EPOCHS, 1, 5_000)
