"""Which trials' pictures are shown, and how they are read from rows without an order."""

from __future__ import annotations

import dataclasses

import numpy as np

from analysis.figures.pictures.tiles import read_pictures, select_models
from analysis.results import StudyResults
from tests.analysis.figures.panels import MODELS


def test_one_trial_a_model_is_shown_of_the_middle_code_size_and_the_tuned_arm(results: StudyResults) -> None:
    """Of two code sizes the larger; the published arm where the tuned one has no pictures."""
    assert [*select_models(results, "map")["trial_id"]] == [f"confirm-{model}-10-tuned-1" for model in MODELS]
    rows = results.pictures[results.pictures["trial_id"] != "confirm-model_3-10-tuned-1"]
    shown = select_models(dataclasses.replace(results, pictures=rows), "map")["trial_id"]
    assert shown.iloc[1] == "confirm-model_3-10-published-1"


def test_pictures_come_by_layer_from_the_image_on(results: StudyResults) -> None:
    """However the rows lie; each at its index."""
    mixed = dataclasses.replace(results, pictures=results.pictures.sample(frac=1, random_state=1))
    trial_id = "confirm-model_3-10-tuned-1"
    maps = read_pictures(mixed, trial_id, "map")
    assert [*maps][:4] == ["image", "conv1", "pool1", "conv2"] and [*maps][-1] == "output"
    assert maps["pool1"].shape == (16, 12, 12)
    rows = results.pictures.query("trial_id == @trial_id and kind == 'map' and layer == 'pool1' and index == 5")
    np.testing.assert_array_equal(maps["pool1"][5].ravel(), rows["values"].iloc[0])
    assert {*read_pictures(mixed, trial_id, "switch")} == {"pool1", "pool2"}
    assert read_pictures(mixed, "confirm-pca-10-control-1", "walk")[""].shape == (10, 28, 28)
    assert read_pictures(mixed, trial_id, "sample") == {}
