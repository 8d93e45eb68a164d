"""A score: one value of a trained model, as it stands in the table ``scores``; and every metric, declared once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Direction = Literal["lower", "higher", "none"]

LARGEST_HALF = float(np.finfo(np.float16).max)
"""What is kept in half precision goes no further: 65,504."""

METRICS: Mapping[str, tuple[str, Direction]] = MappingProxyType(
    {
        "cross_entropy": ("nats/image", "lower"),
        "squared_error": ("1/image", "lower"),
        "clipped_squared_error": ("1/image", "lower"),
        "error": ("%", "lower"),
        "precision": ("", "higher"),
        "recall": ("", "higher"),
        "f_score": ("", "higher"),
        "accuracy": ("", "higher"),
        "nmi": ("", "higher"),
        "ari": ("", "higher"),
        "silhouette": ("", "higher"),
        "trustworthiness": ("", "higher"),
        "continuity": ("", "higher"),
        "overlap": ("", "higher"),
        "hoyer_sparsity": ("", "none"),
        "gini_index": ("", "none"),
        "effective_dimension": ("units", "none"),
        "dead_units": ("units", "none"),
        "kl_divergence": ("nats/image", "none"),
        "bound": ("nats/image", "lower"),
        "active_units": ("units", "none"),
        "nonzero_units": ("units", "none"),
        "mean_distance": ("", "none"),
        "covariance_distance": ("", "none"),
        "minimum": ("", "none"),
        "maximum": ("", "none"),
        "mean": ("", "none"),
        "standard_deviation": ("", "none"),
        "maps": ("maps", "none"),
        "dead_maps": ("maps", "none"),
    }
)
"""Unit and better direction of every metric; no unit for shares and indices.

The losses are summed over pixels and averaged over images, of pixels in [0, 1].
"""


@dataclass(frozen=True, slots=True)
class Score:
    """One row of the table ``scores`` of `study.storage.schema`, but for the trial it belongs to.

    Where the value is a mean over the test images, ``per_image`` has that of each of them in turn, (images,): a row of
    the table ``image_scores``.
    """

    split: str
    evaluator: str
    metric: str
    value: float
    unit: str
    direction: Direction
    per_image: NDArray[np.float16] | None = field(default=None, compare=False, repr=False)


def make_scores(evaluator: str, values: Mapping[str, float | NDArray[Any]]) -> list[Score]:
    """Return scores of the test images, one for each metric in ``values``, a key of `METRICS`.

    An array, (images,), has the value of every test image in turn: its mean is the score, and it is kept beside it.
    """
    return [_make_score(evaluator, metric, value) for metric, value in values.items()]


def _make_score(evaluator: str, metric: str, value: float | NDArray[Any]) -> Score:
    mean = float(np.mean(value, dtype=np.float64))
    # Half precision rounds an image's value by a two-thousandth at most, up as often as down; larger ones it has not.
    held = isinstance(value, np.ndarray) and np.abs(value).max(initial=0) <= LARGEST_HALF
    per_image = value.astype(np.float16) if isinstance(value, np.ndarray) and held else None
    return Score("test", evaluator, metric, mean, *METRICS[metric], per_image)
