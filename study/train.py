"""One model without a study: trained on a data set or images of one's own, kept as one file, loaded again.

::

    model = train("model_4", code_size=10, data="mnist", epochs=4, output="model_4.safetensors")
    codes = encode(model, pixels)                     # of trainables.inference, as decode
    model = load_checkpoint("model_4.safetensors")    # of trainables.checkpoint

It says nothing of which model is better: for that there are studies.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike

from trainables.checkpoint import pack_weights
from trainables.data.datasets import load_dataset
from trainables.errors import InputError
from trainables.inference import check_images
from trainables.models.architectures import BUILT_IN, Architecture, Filters
from trainables.models.autoencoder import Autoencoder
from trainables.models.layers import list_layers
from trainables.training.devices import prepare
from trainables.training.training import EpochMetrics, Training, measure, move_pixels
from trainables.trial_config import RECIPES


def train(
    architecture: str | Architecture = "model_4",
    *,
    code_size: int = 10,
    data: str | Path = "mnist",
    data_dir: Path | None = None,
    epochs: int = 12,
    seed: int = 1,
    recipe: str = "muon",
    learning_rate: float | None = None,
    filters: Filters | None = None,
    device: str | None = None,
    output: str | Path | None = None,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
) -> Autoencoder:
    """Return a model trained on all training images of a data set, in evaluation mode.

    Args:
        architecture: a built-in model by name, or a row of one's own.
        code_size: units of the code.
        data: a data set by name, or a file of images of one's own (docs/extending.md).
        data_dir: folder of the files of data sets.
        epochs: passes over the training images; the recipe's schedule of the learning rate ends with them.
        seed: of starting weights and the order of images; the same one gives the same model on the same processor.
        recipe: how it is trained: a key of `RECIPES`.
        learning_rate: None for the recipe's.
        filters: counts of the two convolutions, None for the published ones.
        device: cpu or cuda, None for a GPU where there is one.
        output: file of the weights and settings, which `trainables.checkpoint.load_checkpoint` reads.
        on_epoch: is given the losses of every epoch.

    Raises:
        InputError: a value is not accepted, the images do not fit the model, a loss is not finite, or ``output`` cannot
            be written.
    """
    row = _find_row(architecture)
    if recipe not in RECIPES:
        raise InputError(f"recipe {recipe!r}"[:80], ", ".join(RECIPES), "choose one of these")
    if not (isinstance(code_size, int) and 1 <= code_size <= 784 and isinstance(epochs, int) and epochs >= 1):
        raise InputError(
            f"code_size {code_size}, epochs {epochs}", "whole numbers: 1 to 784 units, at least 1 epoch", "change them"
        )
    if seed < 0 or not (learning_rate is None or 0 < learning_rate < math.inf):
        raise InputError(
            f"seed {seed}, learning_rate {learning_rate}", "a seed from 0, a learning rate above 0", "change them"
        )
    if output is not None:
        with _opening(Path(output)) as partial:  # refused before a model is trained for it
            partial.unlink()
    dataset = load_dataset(str(data), data_dir)
    list_layers(row, code_size, image_size=dataset.training.pixels.shape[1])  # refuses other sizes, layer by layer
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    prepare(place)
    settings = RECIPES[recipe].trial_config(row, code_size, epochs, learning_rate=learning_rate, filters=filters)
    # A data set smaller than a batch of the recipe is one batch.
    settings = dataclasses.replace(settings, batch_size=min(settings.batch_size, len(dataset.training)))
    training = Training(settings, seed, move_pixels(dataset.training.pixels, place), row=row)
    while not training.done:
        metrics = training.train_epoch()
        if on_epoch:
            on_epoch(metrics)
        if not metrics.finite:
            raise InputError(
                f"a loss of epoch {metrics.epoch} is not finite",
                f"a learning rate that suits the data; it was {settings.learning_rate:g}",
                "give a lower learning_rate, or another seed",
            )
    model = training.model.eval()
    if output is not None:
        with _opening(Path(output)) as partial:
            partial.write_bytes(pack_weights(model, settings, f"train-{row.name}-code{code_size}"))
            partial.replace(output)
    return model


def score(model: Autoencoder, images: ArrayLike) -> float:
    """Return the mean squared error of the reconstructions, summed over the pixels of an image.

    Args:
        model: a trained model.
        images: (n, side, side): uint8, or floats in [0, 1].

    Raises:
        InputError: they have another shape, kind or range.
    """
    pixels = check_images(images, model.image_size)
    whole = pixels if pixels.dtype == np.uint8 else np.rint(pixels * 255).astype(np.uint8)
    return measure(model, move_pixels(np.ascontiguousarray(whole), next(model.parameters()).device))[1]


def _find_row(architecture: str | Architecture) -> Architecture:
    if not isinstance(architecture, str):
        return architecture
    if architecture not in BUILT_IN:
        raise InputError(
            f"model {architecture!r}"[:80], ", ".join(BUILT_IN), "choose one of these, or give a row of your own"
        )
    return BUILT_IN[architecture]


@contextmanager
def _opening(path: Path) -> Iterator[Path]:
    """Give a new file beside ``path``, which takes its place once it is whole."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        yield partial
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}", "a file that this user may write", "name another one"
        ) from error
