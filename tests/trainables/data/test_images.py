"""Images: of one kind, split without copies, and known by a digest."""

from __future__ import annotations

import numpy as np
import pytest

from trainables.data.images import Dataset, LabelledImages, build_dataset, freeze_images, hash_images

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 28, 28), np.uint8)
LABELS = np.arange(30, dtype=np.uint8) % 10


@pytest.fixture
def toy() -> Dataset:
    """Thirty training images, the last ten for validation, and ten test images."""
    training, test = freeze_images(PIXELS.copy(), LABELS), freeze_images(PIXELS[:10].copy(), LABELS[:10])
    return build_dataset("toy", training, 10, test)


def test_frozen_images_cannot_be_changed_by_one_trial_for_the_next(toy: Dataset) -> None:
    """Views of them neither."""
    for array in (toy.training.pixels, toy.training.labels, toy.validation.pixels, toy.test.labels):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_splits_are_views_with_validation_last(toy: Dataset) -> None:
    """Splitting costs no memory."""
    assert (toy.search_train.pixels == PIXELS[:20]).all() and (toy.validation.pixels == PIXELS[20:]).all()
    for part in (toy.search_train, toy.validation):
        assert np.shares_memory(part.pixels, toy.training.pixels)
        assert np.shares_memory(part.labels, toy.training.labels)
    assert toy.validation.labels is not None and toy.validation.labels.tolist() == list(range(10))


def test_the_digest_sees_pixels_labels_order_and_the_split(toy: Dataset) -> None:
    """Any one change gives another digest."""
    assert toy.training.labels is not None
    pixels, labels = toy.training.pixels.copy(), toy.training.labels.copy()
    pixels[3, 4, 5] ^= 1
    labels[7] += 1
    digests = {
        toy.sha256,
        hash_images(LabelledImages(pixels, toy.training.labels), 10, toy.test),
        hash_images(LabelledImages(toy.training.pixels, labels), 10, toy.test),
        hash_images(LabelledImages(toy.training.pixels), 10, toy.test),
        hash_images(toy.training, 9, toy.test),
        hash_images(toy.test, 10, toy.training),
    }
    assert len(digests) == 6


@pytest.mark.parametrize(
    ("pixels", "labels"),
    [
        (np.zeros((2, 28, 28)), None),
        (np.zeros((2, 28, 27), np.uint8), None),
        (np.zeros((28, 28, 2), np.uint8).T, None),
        (np.zeros((2, 28, 28), np.uint8), np.zeros(3, np.int64)),
        (np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.int32)),
    ],
)
def test_images_of_another_kind_are_refused(pixels: np.ndarray, labels: np.ndarray | None) -> None:
    """Types and shapes are checked when images are made."""
    with pytest.raises(ValueError, match="not"):
        LabelledImages(pixels, labels)
