"""Clusters of a code and their agreement with classes."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from tests.trainables.evaluation.blobs import CLASSES, blobs, by_name
from trainables.errors import InputError
from trainables.evaluation.clustering import (
    clustering_accuracy,
    measure_silhouette,
    require_umap,
    score_k_means,
    score_umap_gmm,
)
from trainables.evaluation.evaluate import evaluate_codes


@pytest.mark.parametrize(
    ("labels", "clusters", "expected"),
    [
        ([0, 0, 0, 1, 1, 2], [5, 5, 7, 7, 7, 5], 4 / 6),  # 5 for 0, 7 for 1, none is left for 2
        ([0, 0, 1, 1], [1, 1, 0, 0], 1.0),
        ([0, 0, 0, 0], [0, 0, 1, 2], 0.5),  # one cluster a class
        ([0, 0, 1, 1, 1], [0, 0, 0, 0, 0], 3 / 5),
        # The larger overlap, 3 images of class 0 in cluster 0, is not taken: 2 + 2 beats 3 + 0.
        ([0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0, 0], 4 / 7),
    ],
)
def test_clustering_accuracy_assigns_clusters_at_best(labels: list[int], clusters: list[int], expected: float) -> None:
    """The names of clusters do not matter, and each stands for another class."""
    assert clustering_accuracy(labels, clusters) == pytest.approx(expected)


def test_silhouettes_agree_with_scikit_learn() -> None:
    """In blocks, with a cluster of one point, and points that lie on each other."""
    points = np.random.default_rng(0).normal(size=(1_200, 3))
    points[1] = points[0]
    found = np.append(np.random.default_rng(1).integers(0, 4, 1_199), 9)
    assert measure_silhouette(points, found) == pytest.approx(silhouette_score(points, found), abs=1e-9)
    assert measure_silhouette(np.zeros((4, 2)), np.array([0, 0, 1, 1])) == 0


def test_fewer_distinct_codes_than_clusters_are_as_many_clusters() -> None:
    """Ten classes on three points: 3 of 10 classes can be right."""
    labels = np.arange(60) % CLASSES
    codes = np.array([[0, 0], [1, 0], [0, 1]], np.float32)[np.minimum(labels, 2)]
    scores = by_name(score_k_means("k_means", codes, labels, clusters=CLASSES, seed=0))
    assert scores["k_means", "accuracy"] == pytest.approx(0.3)
    assert scores["k_means", "silhouette"] == pytest.approx(1.0)


def test_fewer_codes_than_clusters_are_clustered() -> None:
    """Each its own cluster, for which silhouette is not defined."""
    codes, labels = blobs(4)
    scores = by_name(score_k_means("k_means", codes, labels, clusters=CLASSES, seed=0))
    assert scores["k_means", "accuracy"] == 1.0
    assert scores["k_means", "silhouette"] == 0.0


def test_umap_without_the_extra_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything is computed, with what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[umap\]'"):
        evaluate_codes(*blobs(50), *blobs(50), seed=0, with_umap=True)
    with pytest.raises(InputError):
        require_umap()


def test_seeds_of_any_study_are_accepted() -> None:
    """They go to a thousand million millions; the libraries tell 2^32 apart."""
    codes = np.random.default_rng(0).normal(size=(40, 3))
    labels = np.arange(40) % 2
    seed = 10**15 + 7
    for score in (
        lambda seed: score_k_means("k_means", codes, labels, 2, seed),
        lambda seed: score_umap_gmm(np.zeros((40, 3)), labels, 2, seed),  # Of a point UMAP is left out.
    ):
        assert score(seed) == score(seed % 2**32)
