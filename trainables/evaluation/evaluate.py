"""The evaluation of a code: everything that is measured of it once training is done."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from trainables.evaluation.classification import score_classification, score_nearest_neighbours
from trainables.evaluation.clustering import require_umap, score_k_means, score_umap_gmm
from trainables.evaluation.neighbourhood import score_neighbourhood
from trainables.evaluation.scores import Score
from trainables.evaluation.sparsity import score_code
from trainables.evaluation.whitening import standardise, whiten

UNLABELLED_CLUSTERS = 10
"""Clusters where there are no labels to count classes from."""


def evaluate_codes(
    train_codes: NDArray[np.floating[Any]],
    train_labels: NDArray[np.integer[Any]] | None,
    test_codes: NDArray[np.floating[Any]],
    test_labels: NDArray[np.integer[Any]] | None,
    seed: int,
    *,
    test_pixels: NDArray[np.uint8] | None = None,
    decoder_layer: NDArray[np.float32] | None = None,
    whitened: bool = True,
    with_umap: bool = False,
) -> list[Score]:
    """Measure how well classes can be read from a code and clusters found in it, and how it uses its units.

    =========================== =================================================== ============== ================
    evaluator                   metric                                              fitted on      changed by an
                                                                                                   invertible map
    =========================== =================================================== ============== ================
    ``linear_classifier``       error (%), precision, recall, f_score               training codes no
    ``mlp_classifier``          the same, means of three                            training codes as by its seeds
    ``nearest_neighbours``      the same                                            training codes no
    ``k_means_whitened``        accuracy, nmi, ari, silhouette                      test codes     no
    ``k_means_decoder_layer``   the same, of the decoder's first layer              its outputs    no
    ``k_means``                 the same, of the code as it is                      test codes     yes
    ``umap_gmm``                the same                                            test codes     as by its seeds
    ``neighbourhood``           trustworthiness, continuity, overlap                nothing        no
    ``code``                    hoyer_sparsity, gini_index, effective_dimension,    nothing        yes
                                dead_units
    =========================== =================================================== ============== ================

    All are measured on the test codes. The code layer is linear, so an invertible map of the code changes no
    reconstruction; what it changes says nothing of the model, and only what it does not change is ranked. Without
    labels only silhouette, ``neighbourhood`` and ``code`` remain. The same arguments give the same scores on the same
    machine and libraries. A collapsed code gives the scores of a guess, never NaN.

    All of it runs on one thread, as a trial does. On MNIST, 60,000 and 10,000 codes of 10 to 30 units, it takes about
    14 s of one core (Xeon with AVX-512): neighbours and three perceptrons 3 each, clusters of the decoder's first layer
    as much, silhouettes 1 or less, neighbourhoods 0.5; of raw pixels 90 s. On the digits it takes 0.6 s.

    Args:
        train_codes: (n, code_size) float32.
        train_labels: (n,) classes, or None.
        test_codes: (m, code_size) float32.
        test_labels: (m,) classes, or None.
        seed: of k-means' starts and of the perceptrons' weights and order of images, from 0.
        test_pixels: (m, height, width) uint8, the test images; without them there is no ``neighbourhood``.
        decoder_layer: (m, units) float32, what the decoder's first layer makes of the test codes, or None.
        whitened: False for pixels, which no layer has mapped: they are measured as they are, but that each has one
            deviation for the classifiers, and there is no ``k_means_whitened``.
        with_umap: also cluster by ``umap_gmm``, which needs umap-learn and 25 s more.

    Raises:
        ValueError: a code is not finite, or shapes do not agree.
        InputError: ``with_umap`` without umap-learn.
    """
    if with_umap:
        require_umap()
    _check("training", train_codes, train_labels)
    _check("test", test_codes, test_labels)
    if train_codes.shape[1] != test_codes.shape[1]:
        raise ValueError(f"training codes have {train_codes.shape[1]} units and test codes {test_codes.shape[1]}")

    scores: list[Score] = []
    clusters = UNLABELLED_CLUSTERS if train_labels is None else len(np.unique(train_labels))
    with threadpool_limits(limits=1):
        train, test = whiten(train_codes, test_codes) if whitened else (train_codes, test_codes)
        if train_labels is not None and test_labels is not None:
            scaled = (train, test) if whitened else standardise(train_codes, test_codes)
            scores += score_classification(scaled[0], train_labels, scaled[1], test_labels, seed)
            scores += score_nearest_neighbours(train, train_labels, test, test_labels)
        clustered = {"k_means_whitened": test if whitened else None, "k_means_decoder_layer": decoder_layer}
        for evaluator, points in ({"k_means": test_codes} | clustered).items():
            if points is not None:
                scores += score_k_means(evaluator, points, test_labels, clusters, seed)
        if with_umap:
            scores += score_umap_gmm(test, test_labels, clusters, seed)
        if test_pixels is not None:
            scores += score_neighbourhood(test_pixels, test)
        scores += score_code(test_codes)
    return scores


def _check(which: str, codes: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]] | None) -> None:
    if codes.ndim != 2 or not codes.size:
        raise ValueError(f"{which} codes have shape {codes.shape}, not (images, code_size)")
    if not np.isfinite(codes).all():
        raise ValueError(f"{which} codes are not finite")
    if labels is not None and labels.shape != codes.shape[:1]:
        raise ValueError(f"{which} labels have shape {labels.shape} for {len(codes)} codes")
