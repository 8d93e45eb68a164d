"""Codes are points coloured by class."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.figures.codes import codes_2d, codes_tsne, select_trials_with_codes
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
