"""Reconstructions and filters are those that were kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from analysis.figures.images import learned_filters, reconstructions
from analysis.results import StudyResults, load_study
from analysis.tables.table import Absent
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


def test_without_originals_the_caption_says_so(tmp_path: Path) -> None:
    """The reconstructions are drawn all the same."""
    folder = write_synthetic_study(tmp_path, architectures=["model_4"], code_sizes=(10,), codes=True, mishaps={})
    plot = drawn(reconstructions(load_study(folder)))
    assert "The originals are left out" in plot.caption
    assert [label.get_text() for label in plot.figure.axes[0].get_yticklabels()] == ["Model 4", "PCA"]


def test_filters_come_from_the_kept_weights(results: StudyResults) -> None:
    """The largest norm first."""
    panels = titled(drawn(learned_filters(results)).figure)
    assert set(panels) == {f"Model {number}, code size {size}" for number in (1, 3, 4) for size in SIZES}
    picture = np.asarray(panels["Model 4, code size 10"].images[0].get_array())
    assert picture.shape == (6, 5 * 6)
    assert [picture[0, 6 * place] for place in range(5)] == [4, 3, 2, 1, 0]


def test_damaged_weights_are_no_figure(tmp_path: Path) -> None:
    """The sentence says where they should be."""
    folder = write_synthetic_study(tmp_path, architectures=["model_4"], code_sizes=(10,), search_trials=1, mishaps={})
    (folder / "weights").mkdir()
    (folder / "weights" / "confirm-model_4-10-tuned-1.safetensors").write_bytes(b"damaged")
    plot = learned_filters(load_study(folder))
    assert isinstance(plot, Absent)
    assert "weights" in plot.reason
