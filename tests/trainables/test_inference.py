"""Arrays through a trained model: images to codes and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.data.images import Dataset
from trainables.errors import InputError
from trainables.inference import decode, encode
from trainables.models.architectures import BUILT_IN
from trainables.models.autoencoder import Autoencoder


def test_bytes_and_fractions_give_the_same_codes(model: Autoencoder, digits: Dataset) -> None:
    """uint8 and the same pixels as float64; more images than a batch holds, and none."""
    pixels = digits.training.pixels[:1100]
    made = encode(model, pixels)
    np.testing.assert_allclose(encode(model, pixels / 255), made, atol=1e-5)
    np.testing.assert_allclose(encode(model, pixels[1000:]), made[1000:], atol=1e-5)
    assert encode(model, pixels[:0]).shape == (0, 10)


def test_images_as_rows_of_pixels_have_the_same_codes(model: Autoencoder, digits: Dataset) -> None:
    """As scikit-learn has them, and as files of one's own may."""
    images = digits.test.pixels[:7]
    np.testing.assert_array_equal(encode(model, images.reshape(7, -1)), encode(model, images))


def test_codes_become_the_images_of_the_model(model: Autoencoder, digits: Dataset) -> None:
    """The sigmoid of its logits, within [0, 1]."""
    images = decode(model, encode(model, digits.test.pixels[:7]))
    assert images.shape == (7, 28, 28)
    assert images.dtype == np.float32
    with torch.inference_mode():
        direct = torch.sigmoid(model(torch.tensor(digits.test.pixels[:7, None] / 255, dtype=torch.float32)))
    np.testing.assert_allclose(images, direct[:, 0].numpy(), atol=1e-5)
    assert ((images >= 0) & (images <= 1)).all()


def test_a_code_without_switches_is_not_decoded() -> None:
    """Model 3 needs those of an image."""
    with pytest.raises(InputError, match="switches of an image"):
        decode(Autoencoder(BUILT_IN["model_3"], 10), np.zeros((1, 10)))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((28, 28), np.uint8),
        np.zeros((2, 1, 28, 28), np.uint8),
        np.zeros((2, 8, 8)),
        np.zeros((2, 28, 28), np.int64),
        np.full((2, 28, 28), 255.0),
        np.full((2, 28, 28), np.nan),
        [["a"]],
    ],
    ids=["one image", "channel", "side", "integers", "0 to 255", "NaN", "text"],
)
def test_images_of_another_kind_are_refused(images: object) -> None:
    """What is accepted is said."""
    with pytest.raises(InputError, match=r"\(n, 28, 28\): uint8, or floats in \[0, 1\]"):
        encode(Autoencoder(BUILT_IN["model_4"], 10), images)  # type: ignore[arg-type]


def test_pixels_that_are_no_numbers_are_not_to_be_divided() -> None:
    """What helps against a range does not help against NaN."""
    images = np.zeros((2, 28, 28))
    images[1, 0, :3] = np.nan, np.inf, 300
    with pytest.raises(InputError) as raised:
        encode(Autoencoder(BUILT_IN["model_4"], 10), images)
    told = "images with 2 pixels that are NaN or infinite", "correct them"
    assert (raised.value.received, raised.value.remedy) == told


@pytest.mark.parametrize("given", [np.zeros(10), np.zeros((2, 9)), np.zeros((2, 10), int), np.full((2, 10), np.inf)])
def test_codes_of_another_kind_are_refused(given: object) -> None:
    """What is accepted is said."""
    with pytest.raises(InputError, match=r"\(n, 10\), finite floats"):
        decode(Autoencoder(BUILT_IN["model_4"], 10), given)  # type: ignore[arg-type]
