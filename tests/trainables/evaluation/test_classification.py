"""Classifiers on a code, and averages over classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sklearn.cluster
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from tests.trainables.evaluation.blobs import blobs, by_name
from trainables.evaluation.classification import macro_averages, predict_by_perceptrons
from trainables.evaluation.evaluate import evaluate_codes
from trainables.evaluation.whitening import whiten


def test_f_score_is_that_of_averaged_precision_and_recall() -> None:
    """Precisions 1 and 1/2, recalls 2/3 and 1: 15/19, where the classes' own F-scores have the mean 11/15."""
    precision, recall, f_score = macro_averages(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    assert (precision, recall, f_score) == pytest.approx((3 / 4, 5 / 6, 15 / 19))


def test_macro_averages_count_what_is_never_predicted_as_0() -> None:
    """Class 2 is never right; class 9 does not occur and only takes an image from class 1."""
    assert macro_averages(np.array([0, 0, 1, 1, 2]), np.array([0, 0, 1, 9, 0])) == pytest.approx(
        ((2 / 3 + 1 + 0) / 3, (1 + 1 / 2 + 0) / 3, 2 * (5 / 9) * (1 / 2) / (5 / 9 + 1 / 2))
    )
    assert macro_averages(np.array([0, 1]), np.array([1, 0])) == (0.0, 0.0, 0.0)


def test_macro_averages_agree_with_scikit_learn() -> None:
    """On labels and predictions that are drawn."""
    from sklearn.metrics import precision_score, recall_score

    labels, predictions = np.random.default_rng(0).integers(0, 7, (2, 500))
    precision, recall, _ = macro_averages(labels, predictions)
    assert precision == pytest.approx(precision_score(labels, predictions, average="macro"))
    assert recall == pytest.approx(recall_score(labels, predictions, average="macro"))


def test_the_perceptron_separates_what_no_line_does() -> None:
    """An exclusive-or: the linear classifier guesses, the perceptron does not."""
    codes = np.random.default_rng(0).uniform(-1, 1, (2_000, 2)).astype(np.float32)
    labels = (codes[:, 0] * codes[:, 1] > 0).astype(np.int64)
    scores = by_name(evaluate_codes(codes[:1_500], labels[:1_500], codes[1_500:], labels[1_500:], seed=0))
    assert scores["linear_classifier", "error"] > 35
    assert scores["mlp_classifier", "error"] < 4


RANDOM = np.random.default_rng(0)
TRAIN_LABELS = np.arange(300) % 3
TRAIN = (RANDOM.normal(size=(300, 2)) + 3 * np.eye(3)[TRAIN_LABELS][:, :2]).astype(np.float32)


def test_test_codes_are_whitened_by_the_training_codes() -> None:
    """Test codes that are shifted as a whole are classified where they lie, not where their own mean would put them.

    Whitened here by the triangle of Cholesky: a rotation of the other way, which no distance or penalty sees.
    """
    shifted = TRAIN + np.float32(2.0)
    scores = by_name(evaluate_codes(TRAIN, TRAIN_LABELS, shifted, TRAIN_LABELS, seed=0))
    mapping = np.linalg.cholesky(np.linalg.inv(np.cov(TRAIN.T, bias=True)))
    train, test, at_home = ((codes - TRAIN.mean(0)) @ mapping for codes in (TRAIN, shifted, shifted - 2))
    for evaluator, model in (
        ("linear_classifier", LogisticRegression(max_iter=500)),
        ("nearest_neighbours", KNeighborsClassifier(10)),
    ):
        model.fit(train, TRAIN_LABELS)
        error, own_mean = (100 * float(np.mean(model.predict(codes) != TRAIN_LABELS)) for codes in (test, at_home))
        assert scores[evaluator, "error"] == pytest.approx(error)
        assert abs(error - own_mean) > 10


def test_perceptrons_are_trained_as_pytorch_trains_them() -> None:
    """From the same starting weights, with the same batches: three networks of their own, by Adam."""
    codes = TRAIN.astype(np.float64)
    found = predict_by_perceptrons(codes, TRAIN_LABELS, codes, seed=5, stages=((40, 2), (150, 1)))
    for number, predictions in enumerate(found):
        np.testing.assert_array_equal(predictions, train_by_pytorch(np.random.default_rng((5, number))))
    assert len({tuple(row) for row in found}) == 3


def train_by_pytorch(random: np.random.Generator) -> NDArray[np.int64]:
    """Return the classes that a perceptron gives its own training codes after ten passes and five of larger batches."""
    bounds, shapes = [math.sqrt(6 / 102)] * 2 + [math.sqrt(6 / 103)] * 2, [(2, 100), (1, 100), (100, 3), (1, 3)]
    weights = [
        torch.tensor(random.uniform(-bound, bound, shape), dtype=torch.float32, requires_grad=True)
        for bound, shape in zip(bounds, shapes, strict=True)
    ]
    optimizer = torch.optim.Adam(weights, lr=0.006)

    def forward(inputs: torch.Tensor) -> torch.Tensor:
        first, first_bias, second, second_bias = weights
        return torch.relu(inputs @ first + first_bias) @ second + second_bias

    inputs, targets = torch.from_numpy(TRAIN), torch.from_numpy(TRAIN_LABELS)
    for batch_size, passes in ((40, 10), (150, 5)):
        for _ in range(passes):
            for batch in torch.from_numpy(random.permutation(300)).split(batch_size):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(forward(inputs[batch]), targets[batch]).backward()
                optimizer.step()
    return forward(inputs).argmax(1).numpy()


def test_the_perceptron_s_error_is_the_mean_of_three() -> None:
    """Of their errors, and of their recalls."""
    (train, train_labels), (test, test_labels) = blobs(300, spread=0.8), blobs(200, spread=0.8, seed=1)
    scores = by_name(evaluate_codes(train, train_labels, test, test_labels, seed=1))
    whitened = whiten(train, test)
    found = predict_by_perceptrons(whitened[0], train_labels, whitened[1], seed=1)
    errors = 100 * (found != test_labels).mean(axis=1)
    assert len(errors) == 3 and len(set(errors)) > 1
    assert scores["mlp_classifier", "error"] == pytest.approx(errors.mean())
    recalls = [macro_averages(test_labels, row)[1] for row in found]
    assert scores["mlp_classifier", "recall"] == pytest.approx(np.mean(recalls))


def test_a_changed_seed_reaches_k_means_and_the_perceptron(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are made with the seed of the trial."""
    seeds: dict[str, list[Any]] = {"KMeans": [], "perceptrons": []}

    def spy_k_means(*arguments: Any, random_state: Any, **options: Any) -> Any:
        seeds["KMeans"].append(random_state)
        return KMeans(*arguments, random_state=random_state, **options)

    def spy_random(seed: Any) -> Any:
        seeds["perceptrons"].append(seed)
        return default_rng(seed)

    KMeans, default_rng = sklearn.cluster.KMeans, np.random.default_rng
    monkeypatch.setattr(sklearn.cluster, "KMeans", spy_k_means)
    monkeypatch.setattr(np.random, "default_rng", spy_random)
    for seed in (5, 6):
        evaluate_codes(TRAIN, TRAIN_LABELS, TRAIN, TRAIN_LABELS, seed=seed)
    assert seeds == {"KMeans": [5, 5, 6, 6], "perceptrons": [(seed, number) for seed in (5, 6) for number in range(3)]}
