"""Filters are those of the rows."""

from __future__ import annotations

import dataclasses

import numpy as np

from analysis.figures.pictures.filters import learned_filters
from analysis.results import StudyResults
from analysis.tables.table import Absent
from tests.analysis.figures.panels import MODELS, drawn


def test_filters_of_the_first_and_the_last_layer_stand_in_their_order(results: StudyResults) -> None:
    """Of the middle code size and the tuned arm, sixteen in a row, each in a place of its side and one; grey is 0."""
    axes = drawn(learned_filters(results)).figure.axes
    assert len(axes) == 2 * len(MODELS)
    labels = [panel.get_yticklabels()[0].get_text() for panel in axes[::2]]
    assert labels == ["Model 1", "Model 3", "Model 4", "Classic auto-encoder"]
    titles = {
        label: [panel.get_title(loc="left") for panel in axes[2 * row : 2 * row + 2]]
        for row, label in enumerate(labels)
    }
    assert titles["Model 1"] == ["First layer: conv1, 7 of 9x9", "Last layer: deconv1, 12 of 17x17"]
    assert titles["Model 4"] == ["First layer: conv1, 25 of 5x5", "Last layer: output, 25 of 5x5"]
    rows = results.pictures[results.pictures["trial_id"] == "confirm-model_4-10-tuned-1"]
    output = rows[(rows["kind"] == "filter") & (rows["layer"] == "output")]
    image = axes[5].images[0]
    picture = np.asarray(image.get_array())
    assert picture.shape == (2 * 6, 16 * 6)
    for place, values in enumerate(output["values"]):
        top, left = 6 * (place // 16), 6 * (place % 16)
        np.testing.assert_array_equal(picture[top : top + 5, left : left + 5], values.reshape(5, 5))
    assert np.isnan(picture[6:, 9 * 6 :]).all()
    largest = max(np.abs(values).max() for values in output["values"])
    assert image.get_clim() == (-largest, largest)


def test_rows_of_an_older_version_have_no_pictures_and_say_so(results: StudyResults) -> None:
    """Its codes are there; the same study would not train again what it has."""
    found = learned_filters(dataclasses.replace(results, pictures=results.pictures[:0]))
    assert isinstance(found, Absent)
    assert "older version" in found.reason and "--name" in found.reason


def test_code_sizes_that_differ_are_said_in_titles(results: StudyResults) -> None:
    """Model 1 is not confirmed at the code size of the others yet."""
    rest = results.trials[~results.trials["trial_id"].str.startswith("confirm-model_1-10-")]
    plot = drawn(learned_filters(dataclasses.replace(results, trials=rest)))
    assert plot.figure.axes[0].get_yticklabels()[0].get_text() == "Model 1, code size 2"
    assert "(the middle one of its code sizes, first seed)" in plot.caption
    assert "(code size 10, first seed)" in drawn(learned_filters(results)).caption
