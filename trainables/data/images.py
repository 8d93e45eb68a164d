"""Images and how they are split, of whatever origin: what a trial is given."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImages:
    """Grey images on a background of 0, with their classes where these are known.

    Attributes:
        pixels: (n, side, side) uint8, C-contiguous; 28x28 in the data sets of `datasets.DATASETS`.
        labels: (n,) int64, or None.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        pixels, labels = self.pixels, self.labels
        square = pixels.ndim == 3 and pixels.shape[1] == pixels.shape[2]
        if pixels.dtype != np.uint8 or not square or not pixels.flags.c_contiguous:
            raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}, not C-contiguous uint8 (n, side, side)")
        if labels is not None and (labels.dtype != np.int64 or labels.shape != pixels.shape[:1]):
            raise ValueError(f"labels are {labels.dtype} {labels.shape} for {len(pixels)} images, not int64 (n,)")

    def __len__(self) -> int:
        return len(self.pixels)

    def select(self, start: int, stop: int) -> LabelledImages:
        """Return the images from ``start`` up to ``stop`` as a view."""
        return LabelledImages(self.pixels[start:stop], None if self.labels is None else self.labels[start:stop])


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Training and test images; the arrays are read-only, as they are after Ray's object store.

    Attributes:
        name: key of `datasets.DATASETS`, or that of a file of one's own.
        training: all training images, those for validation last.
        validation_size: how many of them are for validation.
        test: read after training only; nothing is chosen by it.
        sha256: see `hash_images`.
    """

    name: str
    training: LabelledImages
    validation_size: int
    test: LabelledImages
    sha256: str

    @property
    def search_train(self) -> LabelledImages:
        """The training images of the search: all but those for validation, as a view."""
        return self.training.select(0, len(self.training) - self.validation_size)

    @property
    def validation(self) -> LabelledImages:
        """The images whose loss the search minimises, as a view."""
        return self.training.select(len(self.training) - self.validation_size, len(self.training))


def freeze_images(pixels: NDArray[np.uint8], labels: NDArray[np.integer] | None) -> LabelledImages:
    """Return images whose arrays nobody can change; of ``pixels`` and of int64 labels no copy is made."""
    wide = None if labels is None else labels.astype(np.int64, copy=False)
    for array in (pixels, wide):
        if array is not None:
            array.setflags(write=False)
    return LabelledImages(pixels, wide)


def build_dataset(name: str, training: LabelledImages, validation_size: int, test: LabelledImages) -> Dataset:
    """Return the data set, with the digest of its images."""
    return Dataset(name, training, validation_size, test, hash_images(training, validation_size, test))


def hash_images(training: LabelledImages, validation_size: int, test: LabelledImages) -> str:
    """Return one SHA-256 over all pixels, labels and the start of validation, the same on every machine."""
    total = hashlib.sha256()
    for images, held_out in ((training, validation_size), (test, 0)):
        total.update(f"{len(images) - held_out}+{held_out} {images.labels is not None};".encode())
        total.update(images.pixels.reshape(-1).data)
        if images.labels is not None:
            total.update(np.ascontiguousarray(images.labels, "<i8").data)
    return total.hexdigest()
