"""Objectives side by side: each point, curve and interval is that of the runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from analysis.drawing import figures
from analysis.figures.codes import codes_2d
from analysis.figures.objectives import objective_codes, objective_errors, objective_strengths
from analysis.figures.style import Drawing, choose_objective_styles, choose_styles
from analysis.results import StudyResults, load_study
from analysis.tables.table import Absent
from tests.analysis.figures.panels import drawn, mean_and_half_width, series, titled
from tests.analysis.objectives.studies import BY_MODEL, FACTORS, expected, own_score, write_study
from tests.synthetic import write_synthetic_study
from trainables.training.objectives import OBJECTIVES

Draw = Callable[[StudyResults], Drawing | Absent]
NAMES = ("objective_codes", "objective_errors", "objective_strengths")


@pytest.fixture(scope="module")
def objectives(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Model 4 by four objectives, model 3 by two."""
    return load_study(write_study(tmp_path_factory.mktemp("objectives") / "study"))


def find_colour(results: StudyResults, objective: str) -> str:
    """Return the colour of an objective."""
    return choose_objective_styles(results)[objective].colour


def list_marks(axes: Axes, colour: str) -> list[tuple[float, float, float]]:
    """Return x, y and size of the single markers of a colour."""
    lines = [line for line in axes.lines if line.get_color() == colour and line.get_marker() not in ("None", "", None)]
    points = [(np.asarray(line.get_xydata(), dtype=float), line.get_markersize()) for line in lines]
    return [(xy[0, 0], xy[0, 1], size) for xy, size in points if len(xy) == 1]


def test_codes_stand_side_by_side_by_objective(objectives: StudyResults) -> None:
    """A block of panels for each model, plain reconstruction first; each holds the codes of its own run."""
    rows = objectives.codes.copy()
    moved = rows["trial_id"] == "confirm-model_4-2-tuned-1-variational-middle"
    rows.loc[moved, "code"] = rows.loc[moved, "code"].map(lambda code: code + np.float16(50))
    figure = drawn(objective_codes(dataclasses.replace(objectives, codes=rows))).figure
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        *("Model 3", "Model 3, what-where"),
        *("Model 4", "Model 4, denoising", "Model 4, variational", "Model 4, k-sparse"),
    ]
    for title, axes in titled(figure).items():
        points = np.asarray(axes.collections[0].get_offsets())
        assert len(points) == 60
        assert (points.mean() > 40) == (title == "Model 4, variational")
    places = [axes.get_subplotspec().rowspan.start for axes in figure.axes]  # type: ignore[union-attr]
    assert places == [0, 0, 1, 1, 1, 1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [str(label) for label in range(10)]


def test_what_stands_side_by_side_is_not_drawn_twice(objectives: StudyResults) -> None:
    """Codes of two units of all models are those of plain reconstruction, of PCA, and of the published arm."""
    figure = drawn(codes_2d(objectives)).figure
    assert sorted(filter(None, titled(figure))) == ["Model 3", "Model 4", "PCA"]
    assert sum(bool(axes.collections) for axes in figure.axes) == 2 * 2 + 1  # both arms of the models


def test_errors_are_points_with_intervals_joined_by_strength(objectives: StudyResults) -> None:
    """Squared error over linear error, one marker a strength, which grows with it."""
    panels = titled(drawn(objective_errors(objectives)).figure)
    assert list(panels) == [f"Model {number}, code size {size}" for number in (3, 4) for size in (2, 10)]
    for objective in BY_MODEL["model_4"]:
        axes, colour = panels["Model 4, code size 10"], find_colour(objectives, objective)
        linear, squared = (
            [expected(objective, place, *key) for place in FACTORS]
            for key in (("linear_classifier", "error"), ("reconstruction", "squared_error"))
        )
        marks = list_marks(axes, colour)
        np.testing.assert_allclose([x for x, _, _ in marks], np.mean(linear, axis=1))
        np.testing.assert_allclose([y for _, y, _ in marks], np.mean(squared, axis=1))
        sizes = [size for _, _, size in marks]
        assert sizes == sorted(sizes) and len(set(sizes)) == 3
        x, y, half_widths = series(axes, colour)
        np.testing.assert_allclose((x, y), (np.mean(linear, axis=1), np.mean(squared, axis=1)))
        np.testing.assert_allclose(half_widths, [mean_and_half_width(values)[1] for values in squared])
        (small,) = list_marks(panels["Model 4, code size 2"], colour)
        assert small[:2] == pytest.approx(
            [
                np.mean(expected(objective, "middle", *key, code_size=2))
                for key in (("linear_classifier", "error"), ("reconstruction", "squared_error"))
            ]
        )
    caption = drawn(objective_errors(objectives)).caption
    assert "With switches a low squared error says little of the code." in caption


def test_every_score_is_a_curve_over_the_strengths(objectives: StudyResults) -> None:
    """A block for each model; means, intervals, and plain reconstruction as a line with its band."""
    figure = drawn(objective_strengths(objectives)).figure
    headings = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert headings == ["Model 3, code size 10", "Model 4, code size 10"]
    titles = [axes.get_title().replace("\n", " ") for axes in figure.axes]
    both = [
        "Squared error",
        "Linear error",
        "k-means accuracy",
        "Hoyer sparsity",
        "Increase of squared error by the mean code",
    ]
    assert all(titles.count(title) == 2 for title in both), titles
    assert all(titles.count(title) == 1 for title in ("KL divergence", "Active units", "Bound", "Nonzero units"))
    axes = figure.axes[len(titles) - 1 - titles[::-1].index("Linear error")]
    for objective in BY_MODEL["model_4"]:
        x, y, half_widths = series(axes, find_colour(objectives, objective))
        runs = [expected(objective, place, "linear_classifier", "error") for place in FACTORS]
        np.testing.assert_allclose(y, np.mean(runs, axis=1))
        np.testing.assert_allclose(half_widths, [mean_and_half_width(run)[1] for run in runs])
        np.testing.assert_allclose(x, [0, 1, 2], atol=0.2)
    mean, half_width = mean_and_half_width(expected("reconstruction", "none", "linear_classifier", "error"))
    plain = [line for line in axes.lines if line.get_color() == find_colour(objectives, "reconstruction")]
    assert [line.get_ydata()[0] for line in plain] == pytest.approx([mean])  # type: ignore[index]
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (band.y0, band.y1) == pytest.approx((mean - half_width, mean + half_width))
    assert [label.get_text() for label in axes.get_xticklabels()] == list(FACTORS)
    bound = figure.axes[titles.index("Bound")]
    values = [np.mean([own_score("variational", place, "bound", number) for number in (1, 2, 3)]) for place in FACTORS]
    np.testing.assert_allclose(series(bound, find_colour(objectives, "variational"))[1], values)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["Reconstruction", "Denoising", "Variational", "k-sparse", "What-where"]


def test_an_objective_without_strengths_is_a_horizontal_line(objectives: StudyResults) -> None:
    """As one of a user's own may be: its mean with its band, like plain reconstruction, and so the caption says."""
    assert "objective without strengths" not in drawn(objective_strengths(objectives)).caption
    denoising = (objectives.trials["objective"] == "denoising").fillna(False)
    trials = objectives.trials[~(denoising & (objectives.trials["phase"] == "ablate"))]
    trials = trials.assign(objective_strength=trials["objective_strength"].mask(denoising))
    plot = drawn(objective_strengths(dataclasses.replace(objectives, trials=trials)))
    axes = [axes for axes in plot.figure.axes if axes.get_title() == "Linear error"][-1]
    colour = find_colour(objectives, "denoising")
    mean, _ = mean_and_half_width(expected("denoising", "middle", "linear_classifier", "error"))
    found = [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines if line.get_color() == colour]
    assert [values[0] for values in found] == pytest.approx([mean])
    assert len(axes.patches) == 2
    assert "Denoising" in [text.get_text() for text in plot.figure.legends[0].get_texts()]
    assert "band, and so an objective without strengths." in plot.caption


def test_strengths_that_were_not_trained_give_no_curve(objectives: StudyResults) -> None:
    """The other two figures are of the middle strength as well."""
    confirmed = dataclasses.replace(objectives, trials=objectives.trials[objectives.trials["phase"] != "ablate"])
    assert objective_strengths(confirmed) == Absent(NAMES[2], "Scores against the strength of the objective", "")
    for draw in (objective_codes, objective_errors):
        drawn(draw(confirmed))


def test_a_study_by_one_objective_has_none_of_the_figures(tmp_path: Path) -> None:
    """And lacks nothing."""
    folder = write_synthetic_study(
        tmp_path, architectures=("model_4",), code_sizes=(2, 10), codes=True, search_trials=1
    )
    found = {plot.name: plot for plot in figures(load_study(folder), tsne=False) if plot.name in NAMES}
    assert set(found) == set(NAMES)
    assert all(isinstance(plot, Absent) and plot.reason == "" for plot in found.values())


def test_data_without_classes_leave_the_figure_of_errors_out(objectives: StudyResults) -> None:
    """There is no linear classifier; curves of what there is are drawn."""
    scores = objectives.scores[
        ~objectives.scores["evaluator"].astype("str").str.contains("classifier|neighbours|k_means")
    ]
    unlabelled = dataclasses.replace(objectives, scores=scores)
    assert isinstance(objective_errors(unlabelled), Absent)
    titles = [axes.get_title() for axes in drawn(objective_strengths(unlabelled)).figure.axes]
    assert "Squared error" in titles and "Linear error" not in titles


def test_objectives_are_told_apart_by_colour_and_marker_and_models_keep_theirs(objectives: StudyResults) -> None:
    """No two objectives share one; a model by another objective has its own marker in the objective's colour."""
    styles = choose_objective_styles(objectives)
    assert list(styles) == list(OBJECTIVES)
    assert (
        len({style.colour for style in styles.values()})
        == len({style.marker for style in styles.values()})
        == len(styles)
    )
    models = choose_styles(objectives, objectives.trials)
    assert len({(style.colour, style.marker) for style in models.values()}) == len(models)
    assert models["model_4-variational"].colour == styles["variational"].colour
    assert models["model_4-variational"].marker == models["model_4"].marker
    assert models["model_4-variational"].label == "Model 4, variational"


@pytest.mark.parametrize("draw", [objective_codes, objective_errors, objective_strengths])
def test_every_axis_has_a_unit_and_every_panel_a_title(objectives: StudyResults, draw: Draw) -> None:
    """In parentheses; captions say what to see."""
    plot = drawn(draw(objectives))
    labels = [label for axes in plot.figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())]
    assert any(labels) and all("(" in label for label in labels if label)
    assert all(axes.get_title() for axes in plot.figure.axes)
    assert plot.title and plot.caption.endswith(".")
