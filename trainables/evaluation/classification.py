"""Classifiers on the code: how well the classes can be read from it, in a straight line and otherwise."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.evaluation.scores import Score, make_scores
from trainables.evaluation.sparsity import unit_deviations

LINEAR_ITERATIONS = 500
"""Most iterations of the linear classifier; codes of MNIST took 35 to 110, raw pixels 190."""

HIDDEN_UNITS = 100
"""Width of the perceptron's one hidden layer (rectified linear)."""

LEARNING_RATE = 0.006
"""Adam's, for the perceptron."""

STAGES = ((200, 12), (800, 4), (3_200, 4))
"""Batch size and passes over the training codes of each stage of the perceptron's training.

Batches grow where a schedule would lower the learning rate, which takes the noise of the last steps out (Smith and
others, 2018, Don't decay the learning rate, increase the batch size). Mean test error of three seeds on MNIST, in
percent, with these passes, twice and four times as many: of principal components, 2: 51.7, 51.8, 51.8; 10: 6.4, 6.4,
6.2; 30: 2.3, 2.4, 2.6; of a fully connected auto-encoder's code, 2: 23.2, 22.9, 22.6; 10: 4.0, 3.8, 3.8; 30: 2.1, 2.1,
2.3. Seeds differ by up to 0.3 points.
"""

FEW_CODES = 5_000
"""Fewer training codes than this are passed over more often, up to five times, so that the steps suffice.

On the digits (1,437 codes of 2 / 10 / 30 components) four times the passes take the error from 35.3 / 3.6 / 2.4 % to
33.2 / 2.6 / 1.7 %, sixteen times to 32.8 / 2.4 / 1.7 %; one image is 0.3 points.
"""


def score_classification(
    train_codes: NDArray[np.floating[Any]],
    train_labels: NDArray[np.integer[Any]],
    test_codes: NDArray[np.floating[Any]],
    test_labels: NDArray[np.integer[Any]],
    seed: int,
) -> list[Score]:
    """Fit a linear classifier and a perceptron on the standardised training codes and measure them on the test codes.

    Both codes are standardised with mean and deviation of the training codes; a unit that is constant there is 0.

    Raises:
        ValueError: the training labels are all of one class.
    """
    # Here, as scikit-learn takes a second to import and most trials are not evaluated.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    train, test = _standardise(train_codes, test_codes)

    # The seed is not used: the loss is convex. It has a weak L2 penalty (C = 1), hence a minimum even where the
    # classes are separable.
    linear = LogisticRegression(max_iter=LINEAR_ITERATIONS)
    with warnings.catch_warnings():
        # Cut off at the limit, or where float32 allows no further descent, the error is right to its second digit:
        # that of raw pixels is 7.6 % after 50 iterations and 7.8 % after 188, at convergence.
        warnings.simplefilter("ignore", ConvergenceWarning)
        linear.fit(train, train_labels)

    perceptron = MLPClassifier((HIDDEN_UNITS,), learning_rate_init=LEARNING_RATE, random_state=seed)
    repeats = min(5, math.ceil(FEW_CODES / len(train)))
    classes = np.unique(train_labels)
    for batch_size, passes in STAGES:
        perceptron.set_params(batch_size=min(batch_size, len(train)))
        for _ in range(passes * repeats):
            perceptron.partial_fit(train, train_labels, classes=classes)  # one pass; keeps Adam's moments

    return [
        *_score_predictions("linear_classifier", test_labels, linear.predict(test)),
        *_score_predictions("mlp_classifier", test_labels, perceptron.predict(test)),
    ]


def macro_averages(
    labels: NDArray[np.integer[Any]], predictions: NDArray[np.integer[Any]]
) -> tuple[float, float, float]:
    """Return precision, recall and F-score, averaged over the classes that occur in ``labels``.

    The F-score is the harmonic mean of the averaged precision and the averaged recall, as in the source; the mean of
    the classes' own F-scores, which is the other reading of "macro F1", is at most as high. The precision of a class
    that is never predicted is 0.

    Source: Sokolova and Lapalme (2009), A systematic analysis of performance measures for classification tasks,
    table 3.
    """
    classes, actual = np.unique(labels, return_counts=True)
    hits = np.array([np.sum(predictions[labels == each] == each) for each in classes])
    predicted = np.array([np.sum(predictions == each) for each in classes])
    precision = float(np.mean(hits / np.maximum(predicted, 1)))
    recall = float(np.mean(hits / actual))
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0


def _score_predictions(
    evaluator: str, labels: NDArray[np.integer[Any]], predictions: NDArray[np.integer[Any]]
) -> list[Score]:
    precision, recall, f_score = macro_averages(labels, predictions)
    errors = 100.0 * (predictions != labels)  # of each image 0 or 100 %
    return make_scores(evaluator, {"error": errors, "precision": precision, "recall": recall, "f_score": f_score})


def _standardise(
    train_codes: NDArray[np.floating[Any]], test_codes: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    means = train_codes.mean(axis=0, dtype=np.float64)
    deviations = unit_deviations(train_codes)
    # A factor of 0, not 1, for a constant unit: no weight was learned for what the test codes may do there.
    factors = np.divide(1.0, deviations, out=np.zeros_like(deviations), where=deviations > 0)

    def standardise(codes: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        # Calculated in float64 but written as float32 at once, as raw pixels would take 400 MB.
        result = np.empty(codes.shape, np.float32)
        np.subtract(codes, means, out=result, casting="same_kind")
        np.multiply(result, factors, out=result, casting="same_kind")
        return result

    return standardise(train_codes), standardise(test_codes)
