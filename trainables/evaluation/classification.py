"""Classifiers on the code: how well the classes can be read from it, in a straight line and otherwise."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.evaluation.scores import Score, make_scores

LINEAR_ITERATIONS = 500
"""Most iterations of the linear classifier; codes of MNIST took 35 to 110, raw pixels 190."""

HIDDEN_UNITS = 100
"""Width of the perceptron's one hidden layer (rectified linear)."""

PERCEPTRONS = 3
"""Whose mean is taken: by its starting weights alone the error of one spreads by 0.03 to 0.18 points."""

LEARNING_RATE, DECAYS = 0.006, (0.9, 0.999)
"""Adam's, for the perceptron."""

NEIGHBOURS = 10
"""Training codes that vote on a test code; of classes with as many votes the first."""

STAGES = ((200, 12), (800, 4), (3_200, 4))
"""Batch size and passes over the training codes of each stage of the perceptron's training.

Batches grow where a schedule would lower the learning rate, which takes the noise of the last steps out (Smith and
others, 2018, Don't decay the learning rate, increase the batch size). On validation images twice or four times the
passes are better by 0.3 points at most, and worse for large codes: docs/protocol.md has the figures.
"""

FEW_CODES = 5_000
"""Fewer training codes than this are passed over more often, up to five times, so that the steps suffice.

On the validation images of the digits (1,077 training codes of 10 / 30 components) half of the passes that this gives,
all, twice and four times as many err by 4.6, 4.5, 4.4, 4.6 / 2.4, 2.5, 2.4, 2.4 %; one image is 0.3 points.
"""


def score_classification(
    train_codes: NDArray[np.floating[Any]],
    train_labels: NDArray[np.integer[Any]],
    test_codes: NDArray[np.floating[Any]],
    test_labels: NDArray[np.integer[Any]],
    seed: int,
) -> list[Score]:
    """Fit a line and perceptrons on the training codes and measure them on the test codes.

    Both codes are to be whitened, or standardised, by the training codes. Scores of the perceptron are means over
    `PERCEPTRONS` that start from other weights.

    Raises:
        ValueError: the training labels are all of one class.
    """
    # Here, as scikit-learn takes a second to import and most trials are not evaluated.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # The seed is not used: the loss is convex. It has a weak L2 penalty (C = 1), hence a minimum even where the
    # classes are separable; of whitened codes it is the same whatever map the code has gone through.
    linear = LogisticRegression(max_iter=LINEAR_ITERATIONS)
    with warnings.catch_warnings():
        # Cut off at the limit, or where float32 allows no further descent, the error is right to its second digit:
        # that of raw pixels is 7.6 % after 50 iterations and 7.8 % after 188, at convergence.
        warnings.simplefilter("ignore", ConvergenceWarning)
        linear.fit(train_codes, train_labels)
    by_perceptrons = predict_by_perceptrons(train_codes, train_labels, test_codes, seed)
    return [
        *_score_predictions("linear_classifier", test_labels, linear.predict(test_codes)[None]),
        *_score_predictions("mlp_classifier", test_labels, by_perceptrons),
    ]


def score_nearest_neighbours(
    train_codes: NDArray[np.floating[Any]],
    train_labels: NDArray[np.integer[Any]],
    test_codes: NDArray[np.floating[Any]],
    test_labels: NDArray[np.integer[Any]],
) -> list[Score]:
    """Give each test code the class of most of its `NEIGHBOURS` training codes, by distances as they are."""
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(min(NEIGHBOURS, len(train_codes)), algorithm="brute").fit(train_codes, train_labels)
    return _score_predictions("nearest_neighbours", test_labels, model.predict(test_codes)[None])


def predict_by_perceptrons(
    train_codes: NDArray[np.floating[Any]],
    train_labels: NDArray[np.integer[Any]],
    test_codes: NDArray[np.floating[Any]],
    seed: int,
    stages: Sequence[tuple[int, int]] = STAGES,
) -> NDArray[np.integer[Any]]:
    """Train `PERCEPTRONS` side by side and return the class that each gives each test code, (perceptrons, m).

    One hidden layer, softmax, no penalty; each has starting weights and orders of images of its own, and the three
    take little more time than one of scikit-learn's.

    Source: Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward neural networks, for
    the starting weights; Kingma and Ba (2015), Adam, algorithm 1 with the bias corrections in the step's size.
    """
    classes, targets = np.unique(train_labels, return_inverse=True)
    codes, one_hot = train_codes.astype(np.float32), np.eye(len(classes), dtype=np.float32)
    randoms = [np.random.default_rng((seed, number)) for number in range(PERCEPTRONS)]
    shapes = [(codes.shape[1], HIDDEN_UNITS), (1, HIDDEN_UNITS), (HIDDEN_UNITS, len(classes)), (1, len(classes))]
    bounds = [math.sqrt(6 / sum(shape)) for shape in (shapes[0], shapes[0], shapes[2], shapes[2])]
    starts = [
        np.stack([random.uniform(-bound, bound, shape) for random in randoms])
        for shape, bound in zip(shapes, bounds, strict=True)
    ]
    # Of one piece of memory, so that a step of Adam is a few operations, however many weights there are.
    weights = np.concatenate([start.ravel() for start in starts]).astype(np.float32)
    gradient, mean, square = np.zeros_like(weights), np.zeros_like(weights), np.zeros_like(weights)
    ends = np.cumsum([start.size for start in starts])[:-1]

    def split(values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [part.reshape(start.shape) for part, start in zip(np.split(values, ends), starts, strict=True)]

    (first, first_bias, second, second_bias), gradients = split(weights), split(gradient)
    steps = 0
    for batch_size, passes in stages:
        for _ in range(passes * min(5, math.ceil(FEW_CODES / len(codes)))):
            orders = np.stack([random.permutation(len(codes)) for random in randoms])
            for start in range(0, len(codes), batch_size):
                batch = orders[:, start : start + batch_size]
                inputs = codes[batch]
                hidden = np.maximum(inputs @ first + first_bias, 0)
                errors = _softmax(hidden @ second + second_bias)
                errors -= one_hot[targets[batch]]
                errors /= batch.shape[1]
                backwards = errors @ second.transpose(0, 2, 1)
                backwards *= hidden > 0
                for index, (below, above) in enumerate([(inputs, backwards), (hidden, errors)]):
                    np.matmul(below.transpose(0, 2, 1), above, out=gradients[2 * index])
                    above.sum(axis=1, keepdims=True, out=gradients[2 * index + 1])
                steps += 1
                mean += (1 - DECAYS[0]) * (gradient - mean)
                square += (1 - DECAYS[1]) * (gradient**2 - square)
                size = LEARNING_RATE * math.sqrt(1 - DECAYS[1] ** steps) / (1 - DECAYS[0] ** steps)
                weights -= size * mean / (np.sqrt(square) + 1e-8)
    hidden = np.maximum(test_codes.astype(np.float32) @ first + first_bias, 0)
    found: NDArray[np.integer[Any]] = classes[(hidden @ second + second_bias).argmax(axis=2)]
    return found


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    shares: NDArray[np.float32] = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return shares


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
    """Return error and averages over classes, each averaged over the rows of ``predictions``, (classifiers, m)."""
    precision, recall, f_score = np.mean([macro_averages(labels, each) for each in predictions], axis=0)
    errors = 100 * np.mean(predictions != labels, axis=0)  # of each image; 0 or 100 % by a single classifier
    return make_scores(evaluator, {"error": errors, "precision": precision, "recall": recall, "f_score": f_score})
