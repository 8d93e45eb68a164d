"""Neighbours by pixels and by code, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

from tests.trainables.evaluation.blobs import by_name
from trainables.evaluation.neighbourhood import score_neighbourhood

RANDOM = np.random.default_rng(0)


def test_neighbourhoods_agree_with_scikit_learn() -> None:
    """Of every other image of 4,000, flattened; continuity is the trustworthiness of the way back."""
    pixels = RANDOM.integers(0, 256, (4_000, 4, 3), np.uint8)
    codes = pixels.reshape(4_000, 12)[:, :3] + RANDOM.normal(0, 20, (4_000, 3))
    scores = by_name(score_neighbourhood(pixels, codes))
    images, few = pixels[::2].reshape(2_000, 12).astype(np.float64), codes[::2]
    near = [NearestNeighbors(n_neighbors=10).fit(points).kneighbors(return_distance=False) for points in (images, few)]
    overlap = np.mean([len(set(first) & set(second)) / 10 for first, second in zip(*near, strict=True)])
    assert scores == pytest.approx(
        {
            ("neighbourhood", "trustworthiness"): trustworthiness(images, few, n_neighbors=10),
            ("neighbourhood", "continuity"): trustworthiness(few, images, n_neighbors=10),
            ("neighbourhood", "overlap"): overlap,
        },
        abs=1e-4,  # Of images as far away as others, which are some.
    )


def test_the_pixels_themselves_keep_every_neighbour() -> None:
    """Also turned and stretched as a whole, and of fewer images than 2,000."""
    pixels = RANDOM.integers(0, 256, (60, 2, 2), np.uint8)
    turned = 3.0 * pixels.reshape(60, 4) @ np.linalg.qr(RANDOM.normal(size=(4, 4)))[0] + 1
    assert set(by_name(score_neighbourhood(pixels, turned)).values()) == {1.0}


def test_a_collapsed_code_keeps_neighbours_as_chance_does() -> None:
    """All are equally far away: neither the best nor the worst rank."""
    pixels = RANDOM.integers(0, 256, (500, 3, 3), np.uint8)
    scores = by_name(score_neighbourhood(pixels, np.zeros((500, 2))))
    assert scores["neighbourhood", "trustworthiness"] == pytest.approx(0.5, abs=0.06)
    assert scores["neighbourhood", "continuity"] == pytest.approx(0.5, abs=0.01)
    assert scores["neighbourhood", "overlap"] < 0.06


def test_few_images_have_few_neighbours() -> None:
    """Three have one each; of two there is nothing to say."""
    pixels = np.array([[[0]], [[10]], [[100]]], np.uint8)
    scores = score_neighbourhood(pixels, np.array([[0.0], [5.0], [6.0]]))
    # By code the second is next to the third, which by pixels comes after the first: one rank of three.
    assert [score.value for score in scores] == pytest.approx([2 / 3, 2 / 3, 2 / 3])
    assert score_neighbourhood(pixels[:2], np.zeros((2, 1))) == []
