"""A score: one figure of a trained model, as it stands in the table ``scores``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["lower", "higher", "none"]


@dataclass(frozen=True, slots=True)
class Score:
    """One row of the table ``scores`` of `study.storage.schema`, but for the trial it belongs to.

    Attributes:
        split: images that were measured.
        evaluator: what measured.
        metric: what was measured.
        value: the figure.
        unit: unit of the figure; empty for shares and indices.
        direction: which values are better.
    """

    split: str
    evaluator: str
    metric: str
    value: float
    unit: str
    direction: Direction


def reconstruction_scores(
    split: str, cross_entropy: float | None, squared_error: float, evaluator: str = "reconstruction"
) -> list[Score]:
    """Return the two losses of a reconstruction as scores, both summed over pixels and averaged over images.

    Args:
        split: images that were reconstructed.
        cross_entropy: in nats per image; None where the model gives no probabilities, as PCA.
        squared_error: per image, of pixels in [0, 1].
        evaluator: what the reconstruction was made from, where it is not the model's own code.
    """
    scores = [Score(split, evaluator, "squared_error", squared_error, "1/image", "lower")]
    if cross_entropy is not None:
        scores.insert(0, Score(split, evaluator, "cross_entropy", cross_entropy, "nats/image", "lower"))
    return scores
