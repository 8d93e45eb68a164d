"""Clustering of the code: whether the classes show in it when nothing says what they are."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.errors import InputError
from trainables.evaluation.neighbourhood import square_distances
from trainables.evaluation.scores import Score, make_scores
from trainables.evaluation.sparsity import ROUNDING

STARTS = 10
"""Starts of k-means; the one with the least inertia counts. With 20 the accuracies below move by at most 0.003."""

SEEDS = 2**32
"""Seeds that scikit-learn and umap-learn tell apart; those of a study may be larger."""

_BLOCK = 500
"""Points whose distances from all are held at a time: 40 MB of 10,000."""


def score_k_means(
    evaluator: str,
    codes: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]] | None,
    clusters: int,
    seed: int,
) -> list[Score]:
    """Cluster the test codes, (n, units), by k-means and compare the clusters with ``labels``.

    Fitted on the codes it is measured on, as is usual for clustering, which sees no labels.

    Silhouette is over all codes, of the clusters, not of the classes; it takes n^2 distances.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    points = _scale(codes)
    model = KMeans(min(clusters, len(points)), n_init=STARTS, random_state=seed % SEEDS)
    with warnings.catch_warnings():
        # Fewer distinct codes than clusters, as after a collapse, are an answer: fewer clusters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = model.fit_predict(points)
    return _score_clusters(evaluator, labels, points, found)


def score_umap_gmm(
    codes: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]] | None, clusters: int, seed: int
) -> list[Score]:
    """Cluster the test codes, (n, code_size), by a Gaussian mixture on their UMAP embedding; compare with ``labels``.

    The embedding has as many dimensions as there are clusters, 20 neighbours and no minimal distance; the mixture has
    full covariances. Silhouette is that of the embedding. About 25 s for 10,000 codes on one core, and once a process
    80 s more, in which UMAP is compiled.

    Raises:
        InputError: umap-learn is not installed.

    Source: McConville and others (2021), N2D: (not too) deep clustering via clustering the local manifold of an
    autoencoded embedding.
    """
    require_umap()
    from sklearn.mixture import GaussianMixture

    points, seed = _scale(codes), seed % SEEDS
    clusters = min(clusters, len(points))
    with warnings.catch_warnings():
        # umap-learn warns on import that it has no TensorFlow, and of graphs in several parts, which clusters are;
        # the mixture of a limit of iterations that changes a few codes, and of fewer distinct codes than clusters.
        warnings.simplefilter("ignore")
        umap = importlib.import_module("umap")
        if points.any():
            embedding = umap.UMAP(n_neighbors=20, n_components=clusters, min_dist=0.0, random_state=seed, n_jobs=1)
            points = embedding.fit_transform(points)
        found = GaussianMixture(clusters, random_state=seed).fit_predict(points.astype(np.float64))
    return _score_clusters("umap_gmm", labels, points, found)


def require_umap() -> None:
    """Check that UMAP can be imported, without the seconds that importing it takes.

    Raises:
        InputError: it cannot.
    """
    if importlib.util.find_spec("umap") is None:
        raise InputError(
            "clustering by UMAP was asked for, and umap-learn is not installed",
            "the package umap-learn (not umap, which is another one)",
            "install the extra: pip install -e '.[umap]', or leave UMAP out",
        )


def clustering_accuracy(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Return the share of images whose cluster stands for their class, each cluster for another class, at best.

    Images in clusters beyond the number of classes count as wrong.

    Source: Kuhn (1955), The Hungarian method for the assignment problem; Yang and others (2010), Image clustering
    using local discriminant models and global integration, for its use.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix

    counts = contingency_matrix(labels, clusters)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / counts.sum())


def _score_clusters(
    evaluator: str,
    labels: NDArray[np.integer[Any]] | None,
    points: NDArray[np.floating[Any]],
    found: NDArray[np.integer[Any]],
) -> list[Score]:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    values = {}
    if labels is not None:
        values["accuracy"] = clustering_accuracy(labels, found)
        values["nmi"] = normalized_mutual_info_score(labels, found)
        values["ari"] = adjusted_rand_score(labels, found)
    return make_scores(evaluator, values | {"silhouette": measure_silhouette(points, found)})


def measure_silhouette(points: NDArray[np.floating[Any]], found: NDArray[np.integer[Any]]) -> float:
    """Return the mean silhouette; 0, between near and far, where it is not defined: one cluster, or all of one point.

    Distances to a cluster are added up by one matrix product a block, which takes a third of scikit-learn's time.

    Source: Rousseeuw (1987), Silhouettes, who sets it to 0 for a cluster of one point.
    """
    clusters, own, sizes = np.unique(found, return_inverse=True, return_counts=True)
    if not 1 < len(clusters) < len(found):
        return 0.0
    members = np.eye(len(clusters), dtype=points.dtype)[own]
    total = 0.0
    for start in range(0, len(points), _BLOCK):
        rows = slice(start, start + _BLOCK)
        distances = np.sqrt(square_distances(points[rows], points))
        # A point's distance from itself is 0 but for rounding.
        distances[np.arange(len(distances)), np.arange(len(points))[rows]] = 0
        sums = distances @ members
        each = np.arange(len(sums)), own[rows]
        inside = sums[each] / np.maximum(sizes[own[rows]] - 1, 1)
        sums /= sizes
        sums[each] = np.inf
        outside = sums.min(axis=1)
        widths = (outside - inside) / np.maximum(np.maximum(outside, inside), np.finfo(points.dtype).tiny)
        total += widths[sizes[own[rows]] > 1].sum(dtype=np.float64)
    return float(total / len(points))


def _scale(codes: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return ``codes`` moved to mean 0 and scaled by one factor to mean variance 1; zeros where they are all the same.

    No distance changes in proportion to another; but squares of very large or small codes would leave float32.
    """
    centred = codes - codes.mean(axis=0, dtype=np.float64)
    scale = np.sqrt(np.mean(centred**2))
    if scale <= ROUNDING * np.abs(codes).max():
        return np.zeros_like(codes)
    scaled: NDArray[np.floating[Any]] = (centred / scale).astype(codes.dtype)
    return scaled
