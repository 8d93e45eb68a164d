"""A score: one value of a trained model, as it stands in the table ``scores``; and every metric, declared once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Direction = Literal["lower", "higher", "none"]

METRICS: Mapping[str, tuple[str, Direction]] = MappingProxyType(
    {
        "cross_entropy": ("nats/image", "lower"),
        "squared_error": ("1/image", "lower"),
        "error": ("%", "lower"),
        "precision": ("", "higher"),
        "recall": ("", "higher"),
        "f_score": ("", "higher"),
        "accuracy": ("", "higher"),
        "nmi": ("", "higher"),
        "ari": ("", "higher"),
        "silhouette": ("", "higher"),
        "hoyer_sparsity": ("", "none"),
        "gini_index": ("", "none"),
        "effective_dimension": ("units", "none"),
        "dead_units": ("units", "none"),
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
    """One row of the table ``scores`` of `study.storage.schema`, but for the trial it belongs to."""

    split: str
    evaluator: str
    metric: str
    value: float
    unit: str
    direction: Direction


def make_scores(evaluator: str, values: Mapping[str, float]) -> list[Score]:
    """Return scores of the test images, one for each metric in ``values``, a key of `METRICS`."""
    return [Score("test", evaluator, metric, float(value), *METRICS[metric]) for metric, value in values.items()]
