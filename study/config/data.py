"""The data of a study, checked against what the study is going to train on them."""

from __future__ import annotations

from pathlib import Path

from study.config.study_config import StudyConfig
from trainables.data.datasets import load_dataset
from trainables.data.images import Dataset
from trainables.errors import InputError
from trainables.models.architectures import IMAGE_SIZE
from trainables.models.layers import list_layers


def load_study_data(config: StudyConfig, data_dir: Path | None) -> Dataset:
    """Return the images and labels of a study.

    Raises:
        InputError: they cannot be had, do not fit the models, or are too few for a batch.
    """
    dataset = load_dataset(config.dataset, data_dir)
    side = dataset.training.pixels.shape[1]
    if side != IMAGE_SIZE:
        for name in config.architectures:
            list_layers(config.architecture(name), 1, image_size=side)  # shows the sizes layer by layer
        raise InputError(
            f"{config.dataset} has images of {side}x{side}", f"{IMAGE_SIZE}x{IMAGE_SIZE} pixels", "scale or pad them"
        )
    batch_size, images = config.batch_size or config.tuned_recipe.batch_size, len(dataset.search_train)
    if batch_size > images:
        raise InputError(
            f"batch_size {batch_size} with {images} training images of the search",
            "a batch no larger than the training set",
            "choose a smaller batch_size in a study file, or give more images",
        )
    return dataset
