"""The evaluation of a code: everything that is measured of it once training is done."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from trainables.evaluation.classification import score_classification
from trainables.evaluation.clustering import require_umap, score_k_means, score_umap_gmm
from trainables.evaluation.scores import Score
from trainables.evaluation.sparsity import score_code

UNLABELLED_CLUSTERS = 10
"""Clusters where there are no labels to count classes from."""


def evaluate_codes(
    train_codes: NDArray[np.floating[Any]],
    train_labels: NDArray[np.integer[Any]] | None,
    test_codes: NDArray[np.floating[Any]],
    test_labels: NDArray[np.integer[Any]] | None,
    seed: int,
    *,
    with_umap: bool = False,
) -> list[Score]:
    """Measure how well classes can be read from a code and clusters found in it, and how it uses its units.

    ========================================= =================================================== ==============
    evaluator                                 metric                                              fitted on
    ========================================= =================================================== ==============
    ``linear_classifier``, ``mlp_classifier`` error (%), precision, recall, f_score               training codes
    ``k_means``, ``umap_gmm``                 accuracy, nmi, ari, silhouette                      test codes
    ``code``                                  hoyer_sparsity, gini_index, effective_dimension, nothing
                                              dead_units
    ========================================= =================================================== ==============

    All are measured on the test codes. Without labels only silhouette and ``code`` remain. The same arguments give the
    same scores on the same machine and libraries. A collapsed code gives the scores of a guess, never NaN.

    All of it runs on one thread, as a trial does. On MNIST, 60,000 and 10,000 codes, it takes about 4 s of one core
    (AMD EPYC) for code sizes 2 and 10, 5 s for 30, of which the perceptron takes 3, and 43 s for raw pixels. On the
    digits it takes half a second.

    Args:
        train_codes: (n, code_size) float32.
        train_labels: (n,) classes, or None.
        test_codes: (m, code_size) float32.
        test_labels: (m,) classes, or None.
        seed: of k-means' starts and of the perceptron's weights and order of images, from 0.
        with_umap: also cluster by ``umap_gmm``, which needs umap-learn and about a minute.

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
        if train_labels is not None and test_labels is not None:
            scores += score_classification(train_codes, train_labels, test_codes, test_labels, seed)
        scores += score_k_means(test_codes, test_labels, clusters, seed)
        if with_umap:
            scores += score_umap_gmm(test_codes, test_labels, clusters, seed)
        scores += score_code(test_codes)
    return scores


def _check(which: str, codes: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]] | None) -> None:
    if codes.ndim != 2 or not codes.size:
        raise ValueError(f"{which} codes have shape {codes.shape}, not (images, code_size)")
    if not np.isfinite(codes).all():
        raise ValueError(f"{which} codes are not finite")
    if labels is not None and labels.shape != codes.shape[:1]:
        raise ValueError(f"{which} labels have shape {labels.shape} for {len(codes)} codes")
