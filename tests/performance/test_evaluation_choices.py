"""The choices of the evaluation are measured on validation images."""

from __future__ import annotations

import dataclasses
from typing import Any

import evaluation_choices as choices
import numpy as np
import pytest
from sklearn.cluster import KMeans

from trainables.data.datasets import load_dataset
from trainables.evaluation.clustering import clustering_accuracy


@pytest.mark.slow  # perceptrons, eight times over
def test_codes_are_of_images_that_a_search_has() -> None:
    """Without any test image; whitened components are standardised ones, and clusters are scikit-learn's."""
    nothing: Any = None
    digits = dataclasses.replace(load_dataset("digits"), test=nothing)
    codes = choices.make_codes("pca", 10, digits, epochs=1, batch_size=10)
    assert (len(codes["train"]), len(codes["validation"])) == (len(digits.search_train), len(digits.validation))
    errors = [float(cell.split(" ± ")[0]) for cell in choices.measure_perceptrons(codes, digits)]
    assert len(errors) == 1 + len(choices.SHARES)
    assert all(0 < error < 10 for error in errors)
    labels = digits.validation.labels
    assert labels is not None
    found = [KMeans(10, n_init=10, random_state=seed).fit_predict(codes["validation"]) for seed in range(3)]
    raw, scaled, whitened, *_, layer = choices.measure_clusters(codes, digits)
    accuracies = [clustering_accuracy(labels, each) for each in found]
    assert raw == f"{np.mean(accuracies):.3f} ± {np.std(accuracies, ddof=1):.3f}"
    assert (scaled, layer) == (whitened, "none")
