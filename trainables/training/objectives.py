"""Objectives as a table: what a training minimises besides the plain error of its reconstructions.

An objective is a record with a function that is given a step of training, `training.Step`, and returns its losses. The
functions below use tensors by their own methods, so that the table can be read where PyTorch is not installed. Sources
in brackets are those of `trainables.models.architectures`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from trainables.errors import InputError
from trainables.models.architectures import Architecture

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.training.training import Step, StepLosses

RECONSTRUCTION = "reconstruction"
"""The name of the objective that the others are compared with; the only one that trials of older versions have."""

Strengths = tuple[float, float, float]
"""Weakest, middle and strongest; the middle one is the default, at which settings are searched."""


def _fits_all(row: Architecture) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised, and what becomes of the code for it.

    Attributes:
        name: in rows, flags and ids.
        label: in tables and figures.
        formula: what is minimised, in words.
        strengths: the three that are studied, or a function of the code size that returns them; none of reconstruction.
        find_losses: returns the losses of a training step, averaged over its images.
        source: of the method, and of the strengths.
        code: what the code is once training is done, in words.
        explain_misfit: returns why a row of the table of architectures cannot be trained so; empty where it can.
        outputs_per_unit: of the code layer, 2 where it gives a mean and a logarithm of a variance for each unit.
        read_code: makes the code, (batch, code_size), of the code layer's outputs and the strength; None where the
            outputs are the code.
        measure_outputs: returns scores of all test images from the code layer's outputs and the strength.
        measure_images: returns values of each image of a step, (batch,), whose means over the test images are scores.
        plain: whether it needs what the engine's compiled halves do not give: derivatives of derivatives, or maps
            between layers. Then PyTorch's own layers compute it.
        shared: whether seeds can be trained as one batched model, as `batched` does.
    """

    name: str
    label: str
    formula: str
    strengths: Strengths | Callable[[int], Strengths] | None
    find_losses: Callable[[Step], StepLosses]
    source: str = ""
    code: str = "outputs of the code layer"
    explain_misfit: Callable[[Architecture], str] = _fits_all
    outputs_per_unit: int = 1
    read_code: Callable[[Tensor, float], Tensor] | None = None
    measure_outputs: Callable[[Tensor, float], Mapping[str, float]] | None = None
    measure_images: Callable[[Step], Mapping[str, Tensor]] | None = None
    plain: bool = False
    shared: bool = False

    def list_strengths(self, code_size: int) -> Strengths | tuple[()]:
        """Return the three strengths at a code size; none where there are none."""
        return (self.strengths(code_size) if callable(self.strengths) else self.strengths) or ()

    def default_strength(self, code_size: int) -> float | None:
        """Return the middle strength at a code size; None where there are none."""
        strengths = self.list_strengths(code_size)
        return strengths[1] if strengths else None


def check_objective(objective: Objective) -> None:
    """Refuse an objective of the user's own whose name is taken, or that lacks what every study needs of it.

    Raises:
        InputError: with what is accepted.
    """
    if not isinstance(objective.name, str) or not re.fullmatch("[a-z][a-z0-9_]{0,39}", objective.name):
        raise InputError(
            f"an objective called {objective.name!r:.60}",
            "small letters, digits and '_', from a letter on, at most 40",
            "give it another name",
        )
    if objective.name in OBJECTIVES:
        raise InputError(
            f"an objective called {objective.name}, which is built in",
            f"a name of its own, none of {', '.join(OBJECTIVES)}",
            "give it another name",
        )
    strengths: Any = objective.strengths
    numbers = isinstance(strengths, tuple) and all(isinstance(each, int | float) for each in strengths)
    if not numbers or len(strengths) != 3 or not strengths[0] < strengths[1] < strengths[2] < math.inf:
        raise InputError(
            f"{objective.name}: strengths {strengths!r:.60}", "three numbers, the weakest first", "correct strengths"
        )
    if not callable(objective.find_losses):
        raise InputError(
            f"{objective.name}: find_losses {objective.find_losses!r:.60}",
            "a function that returns the losses of a step",
            "see docs/extending.md",
        )
    if objective.shared or not 1 <= objective.outputs_per_unit <= 2:
        raise InputError(
            f"{objective.name}: shared {objective.shared}, outputs_per_unit {objective.outputs_per_unit}",
            "shared False, and 1 or 2 outputs for a unit",
            "see docs/extending.md",
        )


_DUMPED = ("name", "label", "formula", "strengths", "source", "code", "outputs_per_unit", "plain")


def dump_objective(objective: Objective, rows: Iterable[Architecture]) -> dict[str, Any]:
    """Return what can be said of an objective of the user's own without its functions, and which ``rows`` misfit."""
    reasons = {row.name: reason for row in rows if (reason := objective.explain_misfit(row))}
    return {name: getattr(objective, name) for name in _DUMPED} | {"misfits": reasons}


def load_objective(values: Mapping[str, Any]) -> Objective:
    """Return the objective that `dump_objective` described: it can be planned and shown, but not trained."""
    misfits: Mapping[str, str] = values["misfits"]

    def refuse(step: Step) -> StepLosses:
        raise InputError(f"objective {values['name']} without its function", "--models FILE", "give the file again")

    described = {name: values[name] for name in _DUMPED} | {"strengths": tuple(values["strengths"])}
    return Objective(find_losses=refuse, explain_misfit=lambda row: misfits.get(row.name, ""), **described)


def _reconstruct(step: Step) -> StepLosses:
    return step.compare(step.model(step.images))


def _denoise(step: Step) -> StepLosses:
    return step.compare(step.model(mask_pixels(step.images, step.strength, step.draw_uniform(step.images))))


def mask_pixels(images: Tensor, share: float, uniform: Tensor) -> Tensor:
    """Return ``images`` with about ``share`` of the pixels set to 0: those whose number of [0, 1) is below it."""
    return images * (uniform >= share)


_OBJECTIVES = (
    Objective(
        RECONSTRUCTION,
        "Reconstruction",
        "error of the reconstruction",
        None,
        _reconstruct,
        shared=True,
    ),
    Objective(
        "denoising",
        "Denoising",
        "error of the reconstruction of an image from one of whose pixels a share, the strength, was set to 0",
        (0.1, 0.25, 0.5),
        _denoise,
        "Vincent et al. (2008); strengths [ours]",
        code="code of the image as it is",
    ),
)

OBJECTIVES: Mapping[str, Objective] = MappingProxyType({each.name: each for each in _OBJECTIVES})
"""The objectives of this file by name, in the order of tables."""
