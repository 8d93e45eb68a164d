"""Error against code size and cost: means, intervals, and axes that keep what is compared in sight."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.container import ErrorbarContainer

from analysis.figures.errors import error_by_code_size, error_by_cost, fits_logarithm, limit_view
from analysis.results import StudyResults, load_study
from analysis.stats.metrics import K_MEANS_ACCURACY, LINEAR_ERROR, SQUARED_ERROR
from tests.analysis.figures.panels import (
    CONVOLUTIONAL,
    MODELS,
    SEEDS,
    SIZES,
    choose,
    drawn,
    mean_and_half_width,
    series,
    titled,
)
from tests.synthetic import (
    true_score,
    write_synthetic_study,
)


def test_error_by_code_size_shows_means_and_intervals(results: StudyResults) -> None:
    """One panel a measure and arm; each series is the mean over seeds with its t interval.

    Squared errors with switches, which would squeeze the others, have a row of their own.
    """
    figure = drawn(error_by_code_size(results)).figure
    assert [axes.get_title() for axes in figure.axes] == ["Tuned arm", "Published arm", *[""] * 6]
    apart = figure.axes[2:4]
    measures = [("reconstruction", "squared_error"), ("linear_classifier", "error"), ("k_means_whitened", "accuracy")]
    for row, (evaluator, metric) in enumerate(measures):
        for column, arm in enumerate(("tuned", "published")):
            axes = figure.axes[2 * (row + (row > 0)) + column]
            for model, style in choose(*CONVOLUTIONAL).items():
                if (model, metric) == ("model_3", "squared_error"):
                    drawn_here = [each for each in axes.containers if isinstance(each, ErrorbarContainer)]
                    assert style.colour not in [each.lines[0].get_color() for each in drawn_here]
                    axes = apart[column]
                x, y, half_widths = series(axes, style.colour)
                expected = [
                    mean_and_half_width(
                        [true_score(evaluator, metric, model, size, arm, seed) for seed in range(1, SEEDS + 1)]
                    )
                    for size in SIZES
                ]
                np.testing.assert_allclose(y, [mean for mean, _ in expected])
                np.testing.assert_allclose(half_widths, [width for _, width in expected])
                np.testing.assert_allclose(x, SIZES, rtol=0.35)  # moved aside a little
                axes = figure.axes[2 * (row + (row > 0)) + column]
            classic = series(axes, choose("classic_autoencoder")["classic_autoencoder"].colour)
            own = [
                np.mean(
                    [true_score(evaluator, metric, "classic_autoencoder", size, "tuned", seed) for seed in (1, 2, 3)]
                )
                for size in SIZES
            ]
            np.testing.assert_allclose(classic[1], own)
            pca = series(axes, choose("pca")["pca"].colour)
            np.testing.assert_allclose(pca[0], SIZES)
            np.testing.assert_allclose(
                pca[1], [true_score(evaluator, metric, "pca", size, "control", 1) for size in SIZES]
            )


def test_the_caption_says_that_pcas_images_are_not_clipped(results: StudyResults) -> None:
    """Where PCA is drawn: other parts of a report compare with its images clipped to [0, 1], whose error is lower."""
    told = "that of PCA is of its images as they are, not clipped to [0, 1]"
    assert told in drawn(error_by_code_size(results)).caption
    trials = results.trials[results.trials["architecture"] != "pca"]
    assert told not in drawn(error_by_code_size(dataclasses.replace(results, trials=trials))).caption


def test_with_one_code_size_models_stand_side_by_side(tmp_path: Path) -> None:
    """And controls are lines across the panel."""
    folder = write_synthetic_study(tmp_path, architectures=MODELS, code_sizes=(10,), search_trials=1, mishaps={})
    axes, apart, *_ = drawn(error_by_code_size(load_study(folder))).figure.axes[::2]
    places = {name: apart if name == "model_3" else axes for name in CONVOLUTIONAL}
    found = [series(places[name], style.colour)[0].item() for name, style in choose(*CONVOLUTIONAL).items()]
    assert found == [0, 1, 2]
    levels = {line.get_color(): line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1}  # type: ignore[index, arg-type]
    assert levels[choose("pca")["pca"].colour] == pytest.approx(26.71)


def test_no_interval_pushes_the_means_out_of_sight() -> None:
    """Three seeds may have an interval a hundred times as long as what is compared, or beyond what can be."""
    assert limit_view((1e-6, 500.0), pd.Series([5.0, 60.0]), LINEAR_ERROR.greatest) == (2.0, 105.0)
    assert limit_view((3.0, 20.0), pd.Series([5.0, 10.0]), SQUARED_ERROR.greatest) == (3.0, 20.0)
    assert not fits_logarithm(K_MEANS_ACCURACY, pd.Series([0.5, 0.9]))
    low, high = limit_view((-0.3, 1.4), pd.Series([0.5, 0.9]), K_MEANS_ACCURACY.greatest, logarithmic=False)
    assert -0.05 < low < 0 < 1 < high < 1.05
    perfect = pd.Series([0.0, 5.0])
    assert not fits_logarithm(LINEAR_ERROR, perfect)
    assert limit_view((-9.0, 9.0), perfect, LINEAR_ERROR.greatest, logarithmic=False) == pytest.approx((-0.1, 9.0))


def test_error_by_cost_shows_device_seconds(results: StudyResults) -> None:
    """The synthetic study takes 2 s an epoch and the number of the seed more."""
    axes = titled(drawn(error_by_cost(results)).figure)["Tuned arm"]
    x, y, _ = series(axes, choose("model_4")["model_4"].colour)
    np.testing.assert_allclose(x, 2 * 4 + np.mean([1, 2, 3]))
    squared = [true_score("reconstruction", "squared_error", "model_4", 10, "tuned", seed) for seed in (1, 2, 3)]
    assert y[1] == pytest.approx(np.mean(squared))
    points = next(each for each in axes.collections if isinstance(each, PathCollection))
    assert sorted(points.get_sizes()) == list(points.get_sizes()) == [4**2, 9**2]
    figure = axes.get_figure()
    assert figure is not None
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[-2:] == ["Code size 2", "Code size 10"]
