"""Codes with classes that are easy to find."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trainables.evaluation.scores import Score

Codes = NDArray[np.float32]
Labels = NDArray[np.int64]

CLASSES = 10


def blobs(count: int, *, size: int = 5, spread: float = 0.05, seed: int = 0) -> tuple[Codes, Labels]:
    """Return codes that lie around ten centres, the same for every seed, as many for each class."""
    centres = np.random.default_rng(99).normal(size=(CLASSES, size))
    labels = np.arange(count) % CLASSES
    codes = centres[labels] + spread * np.random.default_rng(seed).normal(size=(count, size))
    return codes.astype(np.float32), labels.astype(np.int64)


def by_name(scores: list[Score]) -> dict[tuple[str, str], float]:
    """Return the values by evaluator and metric, which must be unique and finite."""
    values = {(score.evaluator, score.metric): score.value for score in scores}
    assert len(values) == len(scores)
    assert all(type(value) is float and math.isfinite(value) for value in values.values()), values
    return values
