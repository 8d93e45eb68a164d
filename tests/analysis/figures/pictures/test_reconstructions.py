"""Reconstructions are those that were kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from analysis.figures.pictures.reconstructions import reconstructions
from analysis.results import StudyResults, load_study
from tests.analysis.figures.panels import (
    SIZES,
    drawn,
    titled,
)
from tests.synthetic import (
    RECONSTRUCTED_IMAGES,
    true_score,
    write_synthetic_study,
)


def test_reconstructions_stand_below_the_originals(results: StudyResults) -> None:
    """The same row is the same model in every panel; what has one arm is in both."""
    panels = titled(drawn(reconstructions(results)).figure)
    assert list(panels) == [f"{arm} arm, code size {size}" for size in SIZES for arm in ("Tuned", "Published")]
    axes = panels["Published arm, code size 10"]
    names = ["Original", "Model 1", "Model 3", "Model 4", "Classic auto-encoder", "PCA"]
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    picture = np.asarray(axes.images[0].get_array())
    for image in range(RECONSTRUCTED_IMAGES):
        np.testing.assert_allclose(picture[:28, 29 * image : 29 * image + 28], image / 10, atol=1e-3)
    kept = results.codes[results.codes["trial_id"] == "confirm-model_4-10-published-1"].sort_values("image")
    expected = np.asarray(kept["reconstruction"].iloc[1], dtype=np.float32).reshape(28, 28)
    np.testing.assert_allclose(picture[3 * 29 : 3 * 29 + 28, 29 : 29 + 28], expected)
    error = true_score("reconstruction", "squared_error", "model_4", 10, "published", 1)
    assert [text.get_text() for text in axes.texts][3] == f"{error:.1f}"


def test_the_caption_says_that_code_sizes_are_left_out(many_sizes: StudyResults, results: StudyResults) -> None:
    """Four of five have rows of panels."""
    plot = drawn(reconstructions(many_sizes))
    assert len(plot.figure.axes) == 4 and plot.caption.endswith(" Some code sizes are left out.")
    assert "left out" not in drawn(reconstructions(results)).caption


def test_the_caption_says_of_which_images_of_pca_the_error_is(results: StudyResults) -> None:
    """They are drawn clipped to [0, 1]; nothing is said of PCA where it is not drawn."""
    told = "PCA's images are drawn clipped to [0, 1]; its error is of them as they are, not clipped."
    assert told in drawn(reconstructions(results)).caption
    trials = results.trials[results.trials["architecture"] != "pca"]
    assert "PCA" not in drawn(reconstructions(dataclasses.replace(results, trials=trials))).caption


def test_without_originals_the_caption_says_so(tmp_path: Path) -> None:
    """The reconstructions are drawn all the same."""
    folder = write_synthetic_study(tmp_path, architectures=["model_4"], code_sizes=(10,), codes=True, mishaps={})
    plot = drawn(reconstructions(load_study(folder)))
    assert "The originals are left out" in plot.caption
    assert [label.get_text() for label in plot.figure.axes[0].get_yticklabels()] == ["Model 4", "PCA"]
