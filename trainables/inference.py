"""A trained model on arrays: images to codes and codes to images, batch by batch, wherever the model is.

::

    model = load_model("results/quick-digits", "model_4-code10")  # of study.models
    codes = model.encode(images)
    images = model.decode(codes)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from trainables.errors import InputError
from trainables.models.autoencoder import Autoencoder
from trainables.training.training import MEASURING_BATCH, measure, move_pixels, scale_pixels
from trainables.trial_config import TrialConfig


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """A trained auto-encoder that takes and gives arrays.

    Attributes:
        module: an nn.Module in evaluation mode, from images, (n, 1, side, side) in [0, 1], to logits, whose sigmoid is
            the reconstruction; ``module.to("cuda")`` moves it.
        settings: what it was trained with.
    """

    module: Autoencoder
    settings: TrialConfig

    def encode(self, images: ArrayLike) -> NDArray[np.float32]:
        """Return the codes of images, (n, code_size) float32; as `encode`."""
        return encode(self.module, images)

    def decode(self, codes: ArrayLike) -> NDArray[np.float32]:
        """Return the images that codes stand for, (n, side, side) float32 in [0, 1]; as `decode`."""
        return decode(self.module, codes)

    def score(self, images: ArrayLike) -> float:
        """Return the mean squared error of the reconstructions, summed over the pixels of an image: less is better.

        Args:
            images: (n, side, side): uint8, or floats in [0, 1].

        Raises:
            InputError: they have another shape, kind or range.
        """
        pixels = check_images(images, self.module.image_size)
        whole = pixels if pixels.dtype == np.uint8 else np.rint(pixels * 255).astype(np.uint8)
        device = next(self.module.parameters()).device
        return measure(self.module, move_pixels(np.ascontiguousarray(whole), device))[1]


@torch.inference_mode()
def encode(model: Autoencoder, images: ArrayLike) -> NDArray[np.float32]:
    """Return the codes of images, (n, code_size) float32.

    Args:
        model: a trained model.
        images: (n, side, side) or (n, side * side): uint8, or floats in [0, 1].

    Raises:
        InputError: they have another shape, kind or range.
    """
    pixels = check_images(images, model.image_size)
    codes = np.empty((len(pixels), model.code_size), np.float32)
    for first in range(0, len(pixels), MEASURING_BATCH):
        batch = _copy_to_device(model, pixels[first : first + MEASURING_BATCH])
        maps = scale_pixels(batch) if batch.dtype == torch.uint8 else batch.unsqueeze(1).float()
        codes[first : first + MEASURING_BATCH] = model.encode(maps).cpu().numpy()
    return codes


@torch.inference_mode()
def decode(model: Autoencoder, codes: ArrayLike) -> NDArray[np.float32]:
    """Return the images that codes stand for, (n, side, side) float32 in [0, 1].

    Args:
        model: a trained model that unpools without switches: a code alone does not say where these lie.
        codes: (n, code_size) finite floats, as `encode` returns them.

    Raises:
        InputError: the model needs switches, or the codes have another shape or are not finite.
    """
    if model.unpooling == "switches":
        raise InputError(
            f"{model.architecture.name} cannot decode a code alone: it unpools with the switches of an image",
            "a model that unpools without them, as model_4",
            "choose another model, or take torch.sigmoid(module(images)), which goes from image to image",
        )
    given = np.asarray(codes)
    accepted = f"codes of shape (n, {model.code_size}), finite floats"
    if given.dtype.kind != "f" or given.ndim != 2 or given.shape[1] != model.code_size:
        raise InputError(f"codes of shape {given.shape}, {given.dtype}", accepted, "give codes as encode returns them")
    if not np.isfinite(given).all():
        raise InputError("codes with infinities or NaN", accepted, "remove them")
    side = model.image_size
    images = np.empty((len(given), side, side), np.float32)
    for first in range(0, len(given), MEASURING_BATCH):
        logits = model.decode(_copy_to_device(model, given[first : first + MEASURING_BATCH]).float())
        images[first : first + MEASURING_BATCH] = torch.sigmoid(logits)[:, 0].cpu().numpy()
    return images


def check_images(images: ArrayLike, side: int) -> NDArray[Any]:
    """Return images as an array.

    Raises:
        InputError: they are not (n, side, side) or (n, side * side), uint8 or floats in [0, 1].
    """
    pixels = np.asarray(images)
    accepted = f"images of shape (n, {side * side}) or (n, {side}, {side}): uint8, or floats in [0, 1]"
    if pixels.ndim == 2 and pixels.shape[1] == side * side:
        pixels = pixels.reshape(-1, side, side)
    if pixels.shape[1:] != (side, side) or not (pixels.dtype == np.uint8 or pixels.dtype.kind == "f"):
        raise InputError(
            f"images of shape {pixels.shape}, {pixels.dtype}", accepted, "reshape them, or convert with .astype"
        )
    if pixels.dtype.kind == "f" and (wrong := int((~np.isfinite(pixels)).sum())):
        raise InputError(f"images with {wrong} pixels that are NaN or infinite", accepted, "correct them")
    if pixels.dtype.kind == "f" and not ((pixels >= 0) & (pixels <= 1)).all():
        raise InputError("images with pixels below 0 or above 1", accepted, "divide pixels of 0 to 255 by 255")
    return pixels


def _copy_to_device(model: Autoencoder, array: NDArray[Any]) -> Tensor:
    # A copy, since PyTorch takes neither read-only arrays in silence nor all strides.
    return torch.tensor(array, device=next(model.parameters()).device)
