"""Walks and draws from a prior are drawn in their order, as they were kept."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from analysis.figures.pictures.decoded import code_walk, prior_samples
from analysis.results import StudyResults
from analysis.tables.table import Absent
from tests.analysis.figures.panels import MODELS, SIZES, drawn, make_modules, titled


def test_a_walk_is_a_row_of_steps_and_says_whose_switches_were_kept(results: StudyResults) -> None:
    """In panels of code sizes and arms; what is beyond [0, 1] is drawn as its end."""
    rows = results.pictures.sample(frac=1, random_state=0)  # rows have no order
    mine = (rows["trial_id"] == "confirm-model_4-10-tuned-1") & (rows["kind"] == "walk")
    rows.loc[mine, "values"] = rows.loc[mine, "values"].map(lambda values: values * 2 - np.float16(0.5))
    panels = titled(drawn(code_walk(dataclasses.replace(results, pictures=rows))).figure)
    assert list(panels) == [f"{arm} arm, code size {size}" for size in SIZES for arm in ("Tuned", "Published")]
    axes = panels["Tuned arm, code size 10"]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        *("Faded", "Model 1", "Model 3", "Model 4", "Classic auto-encoder", "PCA")
    ]
    assert [text.get_text() for text in axes.texts] == ["", "", "switches\nkept", "", "", ""]
    picture = np.asarray(axes.images[0].get_array())
    for step, values in rows[mine].set_index("index")["values"].items():
        expected = np.clip(values.reshape(28, 28), 0, 1)
        np.testing.assert_array_equal(picture[3 * 29 : 3 * 29 + 28, 29 * int(str(step)) :][:, :28], expected)
    np.testing.assert_allclose(picture[:28, 9 * 29 : 9 * 29 + 28], 1)


def test_without_walks_of_models_there_is_no_figure(results: StudyResults) -> None:
    """A control's alone shows nothing of the study."""
    of_control = results.pictures["trial_id"].str.contains("-control-")
    assert isinstance(code_walk(dataclasses.replace(results, pictures=results.pictures[of_control])), Absent)


def test_modules_keep_walks_whose_rows_may_be_of_an_older_version(results: StudyResults) -> None:
    """Though nothing is known of their layers."""
    modules = make_modules(results, *MODELS)
    assert len(drawn(code_walk(modules)).figure.axes) == 4
    absent = code_walk(dataclasses.replace(modules, pictures=results.pictures[:0]))
    assert isinstance(absent, Absent) and "older version" in absent.reason


def test_captions_say_that_code_sizes_are_left_out(many_sizes: StudyResults, results: StudyResults) -> None:
    """Four of five have rows of panels."""
    assert drawn(code_walk(many_sizes)).caption.endswith(" Some code sizes are left out.")
    assert "left out" not in drawn(code_walk(results)).caption
    walks = many_sizes.pictures[many_sizes.pictures["kind"] == "walk"]
    samples = dataclasses.replace(many_sizes, pictures=walks.assign(kind="sample"))
    assert drawn(prior_samples(samples)).caption.endswith(" Some code sizes are left out.")


def test_draws_from_the_prior_are_of_the_models_that_have_some(results: StudyResults) -> None:
    """Model 4 has three here; no other is in the figure, and a study without any says nothing of it."""
    assert prior_samples(results) == Absent("prior_samples", "Draws from the prior", "")
    one = {"trial_id": "confirm-model_4-10-tuned-1", "kind": "sample", "height": 28, "width": 28}
    drawn_codes = [one | {"index": index, "values": np.full(784, index / 4, np.float16)} for index in (2, 0, 1)]
    rows = pd.concat([results.pictures.astype({"kind": "str"}), pd.DataFrame(drawn_codes)], ignore_index=True)
    (axes,) = drawn(prior_samples(dataclasses.replace(results, pictures=rows))).figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Model 4"]
    assert np.asarray(axes.images[0].get_array())[14, [14, 43, 72]].tolist() == [0, 0.25, 0.5]
