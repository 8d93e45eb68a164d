"""Differences are drawn with their intervals: from model 4, and of ablations paired by seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from matplotlib.container import ErrorbarContainer

from analysis.figures.differences import ablation_differences, model_differences
from analysis.results import StudyResults, load_study
from analysis.tables.summary import answers
from analysis.tables.table import Absent
from tests.analysis.figures.panels import (
    SIZES,
    choose,
    drawn,
    titled,
)
from tests.analysis.tables.cells import look_at
from tests.synthetic import (
    level_effect,
    true_score,
    write_synthetic_study,
)


def test_models_differ_from_model_4_by_code_size_and_metric(results: StudyResults) -> None:
    """A row a code size, a column a metric, worse to the right; model 3 has no squared error of its code."""
    figure = drawn(model_differences(results)).figure
    assert [axes.get_title() for axes in figure.axes[:4]] == [
        *("Squared error", "Linear error (%)", "MLP error (%)", "k-means accuracy"),
    ]
    *panels, _ = figure.axes
    assert [axes.get_ylabel() for axes in panels[::4]] == [f"Code size {size}" for size in SIZES]
    assert [axes.xaxis_inverted() for axes in panels] == [False, False, False, True] * len(SIZES)
    squared, linear = figure.axes[4], figure.axes[5]
    styles = choose("model_1", "model_3")
    assert [label.get_text() for label in squared.get_yticklabels()] == ["Model 1", "Model 3"]
    shown = [container for container in squared.containers if isinstance(container, ErrorbarContainer)]
    names = [container.lines[0].get_color() for container in shown]
    assert names == [styles["model_1"].colour]
    for axes, evaluator, metric, others in (
        (squared, "reconstruction", "squared_error", 1),
        (linear, "linear_classifier", "error", 2),
    ):
        runs = [
            [true_score(evaluator, metric, model, 10, "tuned", seed) for seed in (1, 2, 3)]
            for model in ("model_1", "model_4")
        ]
        interval = scipy.stats.ttest_ind(*runs, equal_var=False).confidence_interval(1 - 0.05 / others)
        container = axes.containers[0]
        assert isinstance(container, ErrorbarContainer)
        ((left, _), (right, _)) = container.lines[2][0].get_segments()[0]
        assert (left, right) == pytest.approx((interval.low, interval.high))


def test_caption_and_first_sentence_say_what_is_drawn_on_top(results: StudyResults) -> None:
    """Model 1 minus model 4 in shares of PCA's error, averaged over both code sizes, as NumPy and SciPy work it out."""
    drawing = drawn(model_differences(results))
    means, variances = [], []
    for size in SIZES:
        key = ("reconstruction", "squared_error")
        pca = true_score(*key, "pca", size, "control", 1)
        for model in ("model_1", "model_4"):
            runs = 100 * np.array([true_score(*key, model, size, "tuned", seed) for seed in (1, 2, 3)]) / pca
            means.append(runs.mean() / 2)
            variances.append(runs.var(ddof=1) / 3 / 4)
    difference = means[0] - means[1] + means[2] - means[3]
    freedom = sum(variances) ** 2 / sum(variance**2 / 2 for variance in variances)
    half = scipy.stats.t.ppf(0.975, freedom) * sum(variances) ** 0.5
    top = drawing.figure.axes[-1]
    (container,) = top.containers
    assert isinstance(container, ErrorbarContainer)
    ((left, y), (right, _)) = container.lines[2][0].get_segments()[0]
    assert top.get_yticklabels()[round(y)].get_text() == "Model 1"
    assert (left, right) == pytest.approx((difference - half, difference + half))
    said = f"Model 1 minus Model 4 is {difference:+.1f} ± {half:.1f} points (above 0: Model 4 is better)"
    shares = "PCA's (not clipped to [0, 1]), averaged over code sizes 2 and 10"
    contrast = f"squared error in % of {shares}"
    assert top.get_title().lower() == contrast.lower()
    assert f"{contrast}: {said}. " in drawing.caption
    assert f"{shares}; {said}." in answers(results)[1]


def test_without_model_4_nothing_is_missing(tmp_path: Path) -> None:
    """A study that has it alone lacks another one to compare with."""
    others = write_synthetic_study(tmp_path / "a", architectures=["model_1", "model_2"], code_sizes=(10,))
    absent = model_differences(load_study(others))
    assert isinstance(absent, Absent)
    assert absent.reason == ""
    alone = model_differences(load_study(write_synthetic_study(tmp_path / "b", architectures=["model_4"])))
    assert isinstance(alone, Absent)
    assert "no other model" in alone.reason


def test_ablation_differences_are_paired_by_seed(results: StudyResults) -> None:
    """The difference is the level's effect, the seeds' part being taken out."""
    figure = drawn(ablation_differences(results)).figure
    axes = titled(figure)["Tuned arm, code size 10"]
    names = [label.get_text() for label in axes.get_yticklabels()]
    points = {
        names[round(float(np.asarray(container.lines[0].get_ydata())[0]))]: np.asarray(container.lines[0].get_xdata())[
            0
        ]
        for container in axes.containers
        if isinstance(container, ErrorbarContainer)
    }
    assert set(names) - set(points) == {"unpooling: switches"}, "its squared error is not compared"
    for level in ("tanh", "relu"):
        expected = np.mean([level_effect(level, seed) for seed in (1, 2, 3)])
        assert points[f"activation: {level}"] == pytest.approx(expected)


def test_the_caption_says_at_which_level_ablations_are_filled(results: StudyResults) -> None:
    """That of its looks where a study has some."""
    assert "Filled: differs from 0 at 5 % (test" in drawn(ablation_differences(results)).caption
    assert "Filled: differs from 0 at 1.1 % (test" in drawn(ablation_differences(look_at(results, 0.0111))).caption


def test_intervals_of_models_are_said_to_be_of_the_level_of_their_look(results: StudyResults) -> None:
    """They hold together with 95 % where no study looks."""
    plain, looked = (drawn(model_differences(each)).caption for each in (results, look_at(results, 0.0111)))
    assert "hold together with 95 % (Welch's" in plain and "looks declared" not in plain
    assert "hold together with 98.9 % (Welch's" in looked and "at looks declared before the first" in looked


def test_the_caption_says_that_code_sizes_are_left_out(many_sizes: StudyResults, results: StudyResults) -> None:
    """Four of five have rows of panels."""
    assert drawn(model_differences(many_sizes)).caption.endswith(" Some code sizes are left out.")
    assert "left out." not in drawn(model_differences(results)).caption
