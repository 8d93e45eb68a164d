"""How long the perceptron trains and which codes k-means clusters: choices of the evaluation, on validation images.

::

    python benchmarks/evaluation_choices.py --data-dir DATA    # the tables of docs/protocol.md, half an hour on a core
    python benchmarks/evaluation_choices.py --dataset digits --epochs 20 --batch-size 10    # seconds

Codes are those of principal components and of a few models, trained in short on the images that a search trains on;
what is measured is measured on the images that it validates on. No test image is read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from trainables.data.datasets import load_dataset
from trainables.data.images import Dataset
from trainables.evaluation.baselines import pca
from trainables.evaluation.classification import STAGES, predict_by_perceptrons
from trainables.evaluation.clustering import STARTS, clustering_accuracy
from trainables.evaluation.reconstruction import encode_pixels, measure_test
from trainables.evaluation.whitening import standardise, whiten
from trainables.models.architectures import BUILT_IN
from trainables.training.training import Training, move_pixels
from trainables.trial_config import RECIPES

CODES = (("pca", 10), ("pca", 30), ("model_1", 10), ("model_4", 2), ("model_4", 10), ("model_4", 30))
SHARES = (0.5, 1, 2, 4)
"""Passes of the perceptron, as shares of `STAGES`'s."""

CLUSTER_SEEDS = 3
Codes = Mapping[str, NDArray[np.floating[Any]]]
"""Of the images trained on, ``train``; of those validated on, ``validation``, and ``decoder_layer`` of models."""


def make_codes(name: str, code_size: int, dataset: Dataset, epochs: int, batch_size: int) -> Codes:
    """Return the codes of a model that is trained for ``epochs``, or of principal components."""
    train, validation = dataset.search_train.pixels, dataset.validation.pixels
    if name == "pca":
        control = pca(train, validation, code_size)
        return {"train": control.train_codes, "validation": control.test_codes}
    row, device = BUILT_IN[name], torch.device("cpu")
    trial_config = RECIPES["modern"].trial_config(row, code_size, epochs, batch_size=batch_size)
    training = Training(trial_config, 1, move_pixels(train, device))
    while not training.done:
        training.train_epoch()
    model = training.model.eval()
    codes = encode_pixels(model, training.train_pixels)
    measured = measure_test(model, move_pixels(validation, device), codes.mean(0), 1)
    assert measured.decoder_layer is not None
    return {"train": codes, "validation": measured.codes, "decoder_layer": measured.decoder_layer}


def measure_perceptrons(codes: Codes, dataset: Dataset) -> list[str]:
    """Return mean and deviation of three perceptrons' errors: standardised codes, then whitened by share of passes."""
    scaled = standardise(codes["train"], codes["validation"])
    whitened = whiten(codes["train"], codes["validation"])
    cells = [_measure_error(scaled, dataset, 1)]
    return cells + [_measure_error(whitened, dataset, share) for share in SHARES]


def _measure_error(codes: tuple[NDArray[Any], NDArray[Any]], dataset: Dataset, share: float) -> str:
    stages = [(batch_size, int(passes * share)) for batch_size, passes in STAGES]
    found = predict_by_perceptrons(codes[0], _get_labels(dataset.search_train.labels), codes[1], 1, stages)
    errors = 100 * (found != dataset.validation.labels).mean(axis=1)
    return f"{errors.mean():.2f} ± {errors.std(ddof=1):.2f}"


def measure_clusters(codes: Codes, dataset: Dataset) -> list[str]:
    """Return the accuracy of clusters of raw, standardised and whitened codes, fitted on the images that are measured.

    Then of whitened codes, fitted on the images trained on; and of the outputs of the decoder's first layer.
    """
    labels = _get_labels(dataset.validation.labels)
    whitened = whiten(codes["train"], codes["validation"])
    scaled = standardise(codes["train"], codes["validation"])
    ways = [(codes["validation"],) * 2, (scaled[1],) * 2, (whitened[1],) * 2, whitened]
    if "decoder_layer" in codes:
        ways.append((codes["decoder_layer"],) * 2)
    cells = []
    for fitted, measured in ways:
        accuracies = []
        for seed in range(CLUSTER_SEEDS):
            model = KMeans(len(np.unique(labels)), n_init=STARTS, random_state=seed).fit(fitted)
            accuracies.append(clustering_accuracy(labels, model.predict(measured)))
        cells.append(f"{np.mean(accuracies):.3f} ± {np.std(accuracies, ddof=1):.3f}")
    return cells + ["none"] * (5 - len(cells))


def _get_labels(labels: NDArray[np.integer[Any]] | None) -> NDArray[np.integer[Any]]:
    assert labels is not None
    return labels


def format_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown whose first two columns are a name and a number."""
    lines = [f"| {' | '.join(columns)} |", "| :-- |" + " --: |" * (len(columns) - 1)]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def main(argv: Sequence[str] | None = None) -> int:
    """Print both tables; return the exit status."""
    parser = argparse.ArgumentParser(description="Choose the evaluation's settings on validation images.")
    parser.add_argument("--dataset", default="mnist", help="with labels (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="where its files are, or are downloaded to")
    parser.add_argument("--epochs", type=int, default=2, help="of each training (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=100, help="of each training (default: %(default)s)")
    options = parser.parse_args(argv)
    dataset = load_dataset(options.dataset, options.data_dir)
    torch.set_num_threads(1)
    perceptrons, clusters = [], []
    with threadpool_limits(limits=1):
        for name, code_size in CODES:
            codes = make_codes(name, code_size, dataset, options.epochs, options.batch_size)
            head = [name, str(code_size)]
            perceptrons.append(head + measure_perceptrons(codes, dataset))
            clusters.append(head + measure_clusters(codes, dataset))
            print(*head, "done", file=sys.stderr, flush=True)
    shares = [f"whitened, {share:g} of the passes" for share in SHARES]
    print(format_table(["code", "size", "standardised", *shares], perceptrons), end="\n\n")
    ways = ["raw", "standardised", "whitened", "whitened, fitted on training codes", "decoder's first layer"]
    print(format_table(["code", "size", *ways], clusters))
    return 0


if __name__ == "__main__":
    sys.exit(main())
