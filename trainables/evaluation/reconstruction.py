"""What is measured of a trained model itself: its codes, its reconstructions, its reliance on the code, its layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.evaluation.baselines import ControlCodes, measure_images
from trainables.evaluation.scores import Score, make_scores
from trainables.models.autoencoder import Autoencoder, Switches
from trainables.training.training import MEASURING_BATCH, Training, reconstruction_losses, scale_pixels

LAYER_IMAGES = 1_000
"""Test images on which the layers' ranges are taken."""

DEAD_DEVIATION = 0.01
"""A map is dead when its activations' standard deviation over images and positions is below this.

Activations of sigmoid and tanh span 1 and 2, so a dead map carries under one part in a hundred of its range.
"""


@dataclass(frozen=True, slots=True)
class TestImagesResult:
    """What a model makes of the test images.

    Attributes:
        codes: (images, code_size).
        decoder_layer: (images, units), what the decoder's first layer makes of the codes: as much a function of the
            model as its reconstructions are, since switches come in later. None where its layers are not known.
        reconstructions: the first, (kept, pixels) in [0, 1].
        scores: of reconstruction.
    """

    codes: NDArray[np.float32]
    decoder_layer: NDArray[np.float32] | None
    reconstructions: NDArray[np.float16]
    scores: list[Score]


@torch.inference_mode()
def encode_pixels(model: Autoencoder, pixels: Tensor) -> NDArray[np.float32]:
    """Return the codes of ``pixels``, (images, side, side) uint8, as (images, code_size) float32."""
    codes = [model.encode(scale_pixels(batch)) for batch in pixels.split(MEASURING_BATCH)]
    return torch.cat(codes).cpu().numpy()


@torch.inference_mode()
def measure_test(
    model: Autoencoder, pixels: Tensor, mean_code: NDArray[np.float32], kept_reconstructions: int
) -> TestImagesResult:
    """Measure reconstruction of the test images and its reliance on the code.

    Reliance is the loss when every code is replaced by ``mean_code``, (code_size,), of the training images, and, where
    the model unpools with switches, when the switches are those of another image (the next one of the batch): an image
    that passes the code by shows up as a small loss in the first and a large one in the second.
    """
    mean = torch.from_numpy(mean_code).to(pixels.device)
    sums: dict[str, Tensor] = {}
    codes: list[Tensor] = []
    reconstructions: list[Tensor] = []
    squared_errors: list[Tensor] = []

    def add(evaluator: str, logits: Tensor, images: Tensor) -> None:
        losses = torch.stack(reconstruction_losses(logits, images)).double() * len(images)
        sums[evaluator] = sums.get(evaluator, torch.zeros_like(losses)) + losses

    for batch in pixels.split(MEASURING_BATCH):
        images = scale_pixels(batch)
        code, switches = model.encode_with_switches(images)
        logits = model.decode(code, switches)
        codes.append(code)
        if sum(map(len, reconstructions)) < kept_reconstructions:
            reconstructions.append(torch.sigmoid(logits).flatten(1))
        add("reconstruction", logits, images)
        squared_errors.append((torch.sigmoid(logits) - images).square().flatten(1).sum(1))
        add("mean_code", model.decode(mean.expand(len(images), -1), switches), images)
        if switches:
            next_image = {level: position.roll(1, dims=0) for level, position in switches.items()}
            add("other_switches", model.decode(code, next_image), images)

    scores: list[Score] = []
    for evaluator, total in sums.items():
        cross_entropy, mean = (total / len(pixels)).tolist()
        of_images = torch.cat(squared_errors).cpu().numpy()
        squared_error = of_images if evaluator == "reconstruction" else mean
        scores += make_scores(evaluator, {"cross_entropy": cross_entropy, "squared_error": squared_error})
    kept = torch.cat(reconstructions)[:kept_reconstructions]
    code, layer = torch.cat(codes), None
    if model.architecture.layered:
        first = model.decoder_stages[0]
        layer = model.activate(first, model.preactivate(first, code, {})).cpu().numpy()
    return TestImagesResult(code.cpu().numpy(), layer, kept.half().cpu().numpy(), scores)


def encode_control(model: Autoencoder, train_pixels: Tensor, test_pixels: Tensor) -> ControlCodes:
    """Return what a trained control makes of images, (images, side, side) uint8.

    Without a decoder there are codes alone; what one gives is the image, as linear in its code as PCA's.
    """
    train_codes, test_codes = (encode_pixels(model, pixels) for pixels in (train_pixels, test_pixels))
    if not model.decoder_stages:
        return ControlCodes(train_codes, test_codes, np.zeros((0, *test_pixels.shape[1:]), np.float32), {})
    with torch.inference_mode():
        decoded = model.decode(torch.from_numpy(test_codes).to(test_pixels.device))[:, 0].cpu().numpy()
    images = scale_pixels(test_pixels)[:, 0].cpu().numpy()
    return ControlCodes(train_codes, test_codes, decoded, measure_images(images, decoded))


@torch.inference_mode()
def measure_objective(training: Training, pixels: Tensor) -> list[Score]:
    """Return the scores of the test images that the objective of a training alone has; evaluator is ``objective``.

    ``pixels`` are (images, side, side) uint8. Noise is drawn where the training left off.
    """
    objective = training.objective
    outputs: list[Tensor] = []
    of_images: dict[str, list[Tensor]] = {}
    for batch in pixels.split(MEASURING_BATCH):
        step = training.make_step(scale_pixels(batch))
        if objective.measure_outputs is not None:
            outputs.append(training.model.compute_outputs(step.images)[0])
        if objective.measure_images is not None:
            for metric, values in objective.measure_images(step).items():
                of_images.setdefault(metric, []).append(values)
    scores = {metric: float(torch.cat(values).double().mean()) for metric, values in of_images.items()}
    if objective.measure_outputs is not None:
        scores |= objective.measure_outputs(torch.cat(outputs), step.strength)
    return make_scores("objective", scores)


@torch.inference_mode()
def measure_layers(model: Autoencoder, pixels: Tensor) -> list[Score]:
    """Return range, mean and deviation of every layer's output on the first test images, and its dead maps.

    There are none of a module of the user's own.

    The paper's advice is to look at intermediate values; evaluator is ``layer_`` and the layer's name.
    """
    scores: list[Score] = []
    if not model.architecture.layered:
        return scores
    switches: Switches = {}
    maps = scale_pixels(pixels[:LAYER_IMAGES])
    for stage in model.stages:
        maps = model.activate(stage, model.preactivate(stage, maps, switches))
        axes = tuple(axis for axis in range(maps.dim()) if axis != 1)
        dead = (maps.std(axes) < DEAD_DEVIATION).sum()
        values = {
            "minimum": float(maps.min()),
            "maximum": float(maps.max()),
            "mean": float(maps.mean()),
            "standard_deviation": float(maps.std()),
            "maps": maps.shape[1],
            "dead_maps": int(dead),
        }
        scores += make_scores(f"layer_{stage.layer.name}", values)
    return scores
