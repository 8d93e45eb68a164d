"""Codes are points coloured by class."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.figures import codes
from analysis.figures.codes import (
    PANEL,
    codes_2d,
    codes_tsne,
    draw_class_legend,
    draw_points,
    select_trials_with_codes,
)
from analysis.figures.style import make_grid, use_style
from analysis.results import StudyResults
from tests.analysis.figures.panels import (
    drawn,
    titled,
)


def test_codes_are_points_coloured_by_class(results: StudyResults) -> None:
    """Every kept code of size 2 is there, and a digit at the median of its class."""
    figure = drawn(codes_2d(results)).figure
    names = ["Model 1", "Model 3", "Model 4", "Classic auto-encoder", "PCA"]
    assert [axes.get_title() for axes in figure.axes] == [*names, *[""] * len(names)]
    assert [figure.axes[place].texts[-1].get_text() for place in (0, 5)] == ["Tuned arm", "Published arm"]
    # Controls have one arm.
    assert [axes.axison for axes in figure.axes] == [True] * 8 + [False] * 2
    axes = figure.axes[2]
    rows = results.codes[results.codes["trial_id"] == "confirm-model_4-2-tuned-1"].sort_values("image")
    codes = np.stack(rows["code"].to_list()).astype(np.float32)
    np.testing.assert_allclose(axes.collections[0].get_offsets(), codes)  # type: ignore[arg-type]
    assert len({tuple(colour) for colour in axes.collections[0].get_facecolors()}) == 10  # type: ignore[attr-defined]
    digits = {text.get_text(): text.get_position() for text in axes.texts}
    assert digits["3"] == pytest.approx(np.median(codes[rows["label"].to_numpy() == 3], axis=0))


def test_codes_without_labels_are_drawn_in_one_colour(results: StudyResults) -> None:
    """Data may have no classes."""
    unlabelled = dataclasses.replace(
        results, codes=results.codes.assign(label=pd.array([None] * len(results.codes), "Int64"))
    )
    axes = titled(drawn(codes_2d(unlabelled)).figure)["Model 4"]
    assert len({tuple(colour) for colour in axes.collections[0].get_facecolors()}) == 1  # type: ignore[attr-defined]
    assert not axes.texts


def test_tsne_shows_the_tuned_arm(results: StudyResults, tmp_path: Path) -> None:
    """Codes of two units need none, and originals are too few."""
    figure = drawn(codes_tsne(results, tmp_path / "points.parquet")).figure
    names = ["Model 1", "Model 3", "Model 4", "Classic auto-encoder", "PCA"]
    assert [axes.get_title() for axes in figure.axes] == names
    assert figure.axes[0].texts[-1].get_text() == "Code size 10"
    assert set(select_trials_with_codes(results)["number"]) == {1}


def test_tsne_says_that_code_sizes_are_left_out(many_sizes: StudyResults, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four larger codes the smallest and the largest are drawn."""
    monkeypatch.setattr(codes, "embed_codes", lambda found, cache: {name: each[:, :2] for name, each in found.items()})
    plot = drawn(codes_tsne(many_sizes))
    assert [axes.texts[-1].get_text() for axes in plot.figure.axes[::3]] == ["Code size 3", "Code size 30"]
    assert plot.caption.endswith(" Some code sizes are left out.")


@use_style
def draw_classes(columns: int, classes: int) -> Figure:
    """Return a figure of so many panels with a legend of so many classes."""
    figure, _ = make_grid(1, columns, PANEL, PANEL)
    assert draw_class_legend(figure, [np.arange(classes)]) == [*range(classes)]
    figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize(("columns", "classes"), [(1, 10), (2, 10), (9, 10), (2, 47)])
def test_a_legend_of_classes_stays_within_its_figure_and_tells_them_apart(columns: int, classes: int) -> None:
    """In more rows where it is narrow, for which the figure grows; no two classes have one colour."""
    figure = draw_classes(columns, classes)
    (legend,), (panel, *_) = figure.legends, figure.axes
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y0 >= 0
    assert panel.get_window_extent().height > 0.9 * draw_classes(9, 10).axes[0].get_window_extent().height
    assert (legend._ncols == classes) == (columns == 9)  # type: ignore[attr-defined]
    assert len({handle.get_color() for handle in legend.get_lines()}) == classes
    points = draw_points(Figure().subplots(), np.zeros((classes, 2), np.float32), np.arange(classes)).collections[0]
    assert len({tuple(colour) for colour in points.get_facecolors()}) == classes  # type: ignore[attr-defined]


def test_a_long_name_stays_above_its_panel(results: StudyResults) -> None:
    """In lines, as a model by another objective is called."""
    row = dataclasses.replace(results.models["model_4"], label="Model 4, importance weighted")
    figure = drawn(codes_2d(dataclasses.replace(results, models={**results.models, "model_4": row}))).figure
    assert figure.axes[2].get_title() == "Model 4, importance\nweighted"
    figure.draw_without_rendering()
    titles = [axes.title.get_window_extent() for axes in figure.axes[:5]]
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(titles))
