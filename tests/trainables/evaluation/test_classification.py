"""Classifiers on a code, and averages over classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.cluster
import sklearn.neural_network
from sklearn.linear_model import LogisticRegression

from tests.trainables.evaluation.blobs import by_name
from trainables.evaluation.classification import macro_averages
from trainables.evaluation.evaluate import evaluate_codes


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


def test_test_codes_are_standardised_by_mean_and_deviation_of_the_training_codes() -> None:
    """Test codes that are shifted as a whole are classified where they lie, not where their own mean would put them."""
    shifted = TRAIN + np.float32(2.0)
    scores = evaluate_codes(TRAIN, TRAIN_LABELS, shifted, TRAIN_LABELS, seed=0)
    means, deviations = TRAIN.mean(0), TRAIN.std(0)
    linear = LogisticRegression(max_iter=500).fit((TRAIN - means) / deviations, TRAIN_LABELS)
    error = 100 * float(np.mean(linear.predict((shifted - means) / deviations) != TRAIN_LABELS))
    own_mean = 100 * float(np.mean(linear.predict((TRAIN - means) / deviations) != TRAIN_LABELS))
    found = {(score.evaluator, score.metric): score.value for score in scores}
    assert found["linear_classifier", "error"] == pytest.approx(error)
    assert abs(error - own_mean) > 10


def test_a_changed_seed_reaches_k_means_and_the_perceptron(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are made with the seed of the trial."""
    seeds: dict[str, list[Any]] = {"KMeans": [], "MLPClassifier": []}

    def spied(kind: Any) -> Any:
        def make(*arguments: Any, random_state: Any, **options: Any) -> Any:
            seeds[kind.__name__].append(random_state)
            return kind(*arguments, random_state=random_state, **options)

        return make

    monkeypatch.setattr(sklearn.cluster, "KMeans", spied(sklearn.cluster.KMeans))
    monkeypatch.setattr(sklearn.neural_network, "MLPClassifier", spied(sklearn.neural_network.MLPClassifier))
    for seed in (5, 6):
        evaluate_codes(TRAIN, TRAIN_LABELS, TRAIN, TRAIN_LABELS, seed=seed)
    assert seeds == {"KMeans": [5, 6], "MLPClassifier": [5, 6]}
