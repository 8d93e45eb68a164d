"""Every model has a style of its own, and every figure can be read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd

from analysis.drawing import figures
from analysis.figures.codes import codes_2d
from analysis.figures.errors import error_by_code_size
from analysis.figures.pictures.reconstructions import reconstructions
from analysis.figures.style import ModelStyle, choose_styles, draw_legend, make_grid, use_style, wrap_title
from analysis.results import StudyResults, load_study
from analysis.tables.table import Absent
from tests.analysis.figures.panels import (
    choose,
    drawn,
)
from tests.synthetic import (
    write_synthetic_study,
)
from trainables.models.architectures import BUILT_IN, CONTROLS


def test_no_two_models_look_the_same_in_colour_or_in_grey() -> None:
    """Marker, filling and line tell models apart without colour, and each has a colour of its own."""
    known = [*BUILT_IN, *CONTROLS]
    assert set(choose(*known)) == set(known)
    styles = choose(*known, "own_b", "own_a")
    assert len({style.colour for style in styles.values()}) == len(styles)
    assert len({(style.marker, style.filled) for style in styles.values()}) == len(styles)
    assert choose("own_a", "own_b") == {name: styles[name] for name in ("own_a", "own_b")}
    many = choose(*known, *(f"own_{place:02d}" for place in range(30)))
    assert len({(style.colour, style.marker, style.filled) for style in many.values()}) == len(known) + 30


def test_a_model_looks_the_same_in_every_figure(results: StudyResults) -> None:
    """Whichever of the added ones a figure shows, by whatever objective others were trained."""
    names = [f"own_{place:02d}" for place in range(30)]
    rows = {
        name: dataclasses.replace(BUILT_IN["model_4"], name=name, label=name) for name in [*names, "own_00-k_sparse"]
    }
    report = dataclasses.replace(results, models={**results.models, **rows})
    together = choose_styles(report, pd.DataFrame({"architecture": names}))
    for name in names:
        assert choose_styles(report, pd.DataFrame({"architecture": [name]})) == {name: together[name]}
    assert {name: dataclasses.replace(style, label="") for name, style in together.items()} == {
        name: dataclasses.replace(style, label="") for name, style in choose(*names).items()
    }


def test_a_model_by_an_objective_that_no_study_tells_of_has_its_own_colour(results: StudyResults) -> None:
    """As rows of a study whose file of objectives is gone."""
    styles = choose_styles(results, pd.DataFrame({"architecture": ["model_4", "model_4-unheard_of"]}))
    assert styles["model_4-unheard_of"].colour == styles["model_4"].colour


def test_names_of_models_are_drawn_as_they_are(tmp_path: Path) -> None:
    """A dollar sign is no mathematics, and a leading underscore no reason to leave the legend."""
    names = ["_own", r"$\frac{1}{2$ & <b>"]
    folder = write_synthetic_study(tmp_path, architectures=names, code_sizes=(2, 10), search_trials=1, codes=True)
    results = load_study(folder)
    for draw in (error_by_code_size, reconstructions, codes_2d):
        drawn(draw(results)).figure.draw_without_rendering()
    legend = drawn(error_by_code_size(results)).figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()][-2:] == [r"\$\frac{1}{2\$ & <b>", " _own"]


def test_every_axis_has_a_unit(results: StudyResults, tmp_path: Path) -> None:
    """A label with a unit in parentheses, but for pictures and for axes of names."""
    for plot in figures(results, tmp_path / "points.parquet"):
        if isinstance(plot, Absent) and not plot.reason:  # Of what this study has not done.
            continue
        figure = drawn(plot).figure
        assert plot.title and plot.caption.endswith(".")  # type: ignore[union-attr]
        pictures = plot.name in ("reconstructions", "code_walk", "learned_filters", "layer_maps")
        labels = [axes.get_xlabel() for axes in figure.axes] + [axes.get_ylabel() for axes in figure.axes]
        for label in filter(None, labels):
            assert "(" in label or label in ("Hyperparameter", "The answer") or label.startswith("Code size"), plot.name
        assert pictures or any(axes.get_xlabel() for axes in figure.axes), plot.name
        assert (
            pictures
            or any(axes.get_ylabel() for axes in figure.axes)
            or plot.name in ("ablation_differences", "codes_2d", "codes_tsne")
        )


@use_style
def measure_legend(label: str) -> tuple[bool, int]:
    """Return whether a legend of eight such names keeps within its figure, and how many columns it has."""
    figure, _ = make_grid(1, 2, 3.3, 2.7)
    draw_legend(figure, [ModelStyle("#000000", "o", "-", label=label) for _ in range(8)])
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    return box.x0 >= 0 and box.x1 <= figure.bbox.width, figure.legends[0]._ncols  # type: ignore[attr-defined]


def test_a_legend_of_long_names_stays_within_its_figure() -> None:
    """It has fewer columns; that of short names has as many as the panels are wide."""
    assert measure_legend("Model 4") == (True, 4)
    assert measure_legend("Model 4, importance weighted") == (True, 2)


def test_a_title_is_broken_where_its_panel_ends() -> None:
    """Line by line, so that the name of a study stays above."""
    assert wrap_title("Model 4, code size 10", 2.5) == "Model 4, code size 10"
    broken = wrap_title("study\nModel 4, importance weighted, code size 10", 2.5)
    assert broken == "study\nModel 4, importance weighted, code\nsize 10"
