"""What the controls that are trained minimise: objectives of `objectives`' kind, which no auto-encoder is given.

Sources in brackets are those of `trainables.models.architectures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from trainables.training.objectives import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.training.training import Step, StepLosses

MARGIN = 1.0
"""Distance from which codes of different classes are left alone. Source: Caffe's example siamese."""

LEAST_SQUARE = 1e-12
"""Squared distance below which a distance counts as its root: the derivative of a root at 0 is infinite."""


def _contrast(step: Step) -> StepLosses:
    assert step.labels is not None
    codes = step.model.encode(step.images)
    partners, alike = draw_partners(step.labels, step.draw_uniform(codes.new_empty(len(codes), 1 + len(codes))))
    return step.lose(find_contrast(codes, codes[partners], alike, step.strength).mean())


def draw_partners(labels: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each image of a batch another one of it, and whether both have one label, (batch,) each.

    A coin decides whether the partner has the same label; all such images of the batch are equally likely. Where there
    is none, it is one of the other kind. Caffe's example draws any two images of the set, of which a tenth are alike;
    halves [ours], so that a class is drawn together as often as it is held apart.

    Args:
        labels: (batch,), at least two.
        uniform: numbers of [0, 1), (batch, 1 + batch): the coin of each image, and the lots of the others.
    """
    coins, lots = uniform[:, 0] < 0.5, uniform[:, 1:]
    same = labels[:, None] == labels[None]
    # Lots below 0 lose against all others: first those of the wrong kind, then the image itself.
    lots = lots - 1.0 * (same != coins[:, None])
    lots.fill_diagonal_(-2.0)
    partners = lots.argmax(1)
    return partners, labels == labels[partners]


def find_contrast(codes: Tensor, others: Tensor, alike: Tensor, margin: float) -> Tensor:
    """Return the contrastive loss of each pair of codes, (batch,) of (batch, code_size) both.

    Half the squared distance of those that are ``alike``, (batch,); of others half the square of what their distance
    lacks of the margin. Source: Hadsell, Chopra and LeCun (2006); Caffe's ContrastiveLoss.
    """
    squares = (codes - others).square().sum(1)
    lacking = (margin - squares.clamp_min(LEAST_SQUARE).sqrt()).clamp_min(0)
    return squares.where(alike, lacking.square()) / 2


def _reconstruct_linearly(step: Step) -> StepLosses:
    # What the last layer gives is the image itself, not the logits of one.
    squared_error = (step.model(step.images) - step.images).square().sum() / len(step.images)
    return step.lose(squared_error / 2)._replace(squared_error=squared_error)


CONTROL_OBJECTIVES: Mapping[str, Objective] = MappingProxyType(
    {
        each.name: each
        for each in (
            Objective(
                "contrastive",
                "Contrastive",
                "half the squared distance of codes of one class, or half the square of what that of codes of two "
                "classes lacks of the margin, the strength",
                (MARGIN, MARGIN, MARGIN),
                _contrast,
                "Hadsell, Chopra and LeCun (2006); margin of Caffe's example siamese",
                labelled=True,
                decodes=False,
                compares_images=True,
            ),
            Objective(
                "linear_reconstruction",
                "Linear reconstruction",
                "half the squared error of an image that is linear in its code",
                None,
                _reconstruct_linearly,
                "Baldi and Hornik (1989)",
                linear=True,
            ),
        )
    }
)
"""The objectives of this file by name."""
