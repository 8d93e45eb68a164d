"""Principal components and raw pixels, against numbers worked out by hand or by scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainables.data.datasets import load_dataset
from trainables.errors import InputError
from trainables.evaluation.baselines import pca, raw_pixels
from trainables.evaluation.whitening import whiten


def test_pca_of_two_pixels_agrees_with_hand_worked_values() -> None:
    """Training images on the diagonal of two pixels: the component is (1, 1) / sqrt 2, the mean (1/2, 1/2)."""
    train = np.array([[[0, 0]], [[255, 255]], [[51, 51]], [[204, 204]]], np.uint8)
    test = np.array([[[255, 255]], [[255, 0]]], np.uint8)
    control = pca(train, test, 1)
    assert control.train_codes == pytest.approx(np.array([[-0.5], [0.5], [-0.3], [0.3]]) * math.sqrt(2), abs=1e-6)
    assert control.test_codes == pytest.approx(np.array([[math.sqrt(0.5)], [0.0]]), abs=1e-6)
    assert control.reconstructions == pytest.approx(np.array([[[1.0, 1.0]], [[0.5, 0.5]]]), abs=1e-6)
    assert control.errors["squared_error"].tolist() == pytest.approx([0, 0.5])


def test_pca_clipped_to_what_pixels_can_be_is_nearer() -> None:
    """Of three pixels training images lie along (1, 0.4, 0), and a test image is seen as a point past the end."""
    train = np.array([[[0, 0, 102]], [[255, 102, 102]]], np.uint8)  # along (1, 0.4)
    test = np.array([[[255, 255, 102]]], np.uint8)
    control = pca(train, test, 1)
    share = (1 + 0.4) / (1 + 0.4**2)  # of the line from (0, 0) to (1, 0.4), past its end
    assert control.reconstructions[0, 0] == pytest.approx([share, 0.4 * share, 0.4], abs=1e-6)
    rest = (1 - 0.4 * share) ** 2
    assert control.errors["squared_error"].tolist() == pytest.approx([(share - 1) ** 2 + rest])
    assert control.errors["clipped_squared_error"].tolist() == pytest.approx([rest])


def test_pca_of_all_pixels_loses_nothing() -> None:
    """As many components as pixels, and codes of float32."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 3, 4), np.uint8)
    control = pca(pixels, pixels, 12)
    assert control.errors["squared_error"] == pytest.approx(np.zeros(50), abs=1e-10)
    assert control.train_codes.dtype == control.test_codes.dtype == control.reconstructions.dtype == np.float32
    assert control.reconstructions.shape == (50, 3, 4)


def test_pca_of_digits_agrees_with_scikit_learn() -> None:
    """Codes up to their signs, and the squared error."""
    from sklearn.decomposition import PCA

    digits = load_dataset("digits")
    train, test = (images.pixels.reshape(len(images), -1) / 255 for images in (digits.training, digits.test))
    model = PCA(5, svd_solver="full").fit(train)
    control = pca(digits.training.pixels, digits.test.pixels, 5)
    assert np.abs(control.test_codes) == pytest.approx(np.abs(model.transform(test)), abs=1e-3)
    expected = np.square(model.inverse_transform(model.transform(test)) - test).sum(1)
    assert control.errors["squared_error"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("code_size", [0, 7])
def test_pca_refuses_more_components_than_pixels(code_size: int) -> None:
    """A message for the user, who chose the code size."""
    pixels = np.zeros((9, 2, 3), np.uint8)
    with pytest.raises(InputError, match="1 to 6"):
        pca(pixels, pixels, code_size)


def test_raw_pixels_are_their_own_reconstruction() -> None:
    """Flat, in [0, 1], float32."""
    pixels = np.array([[[0, 51], [255, 102]]], np.uint8)
    control = raw_pixels(pixels, pixels)
    assert control.train_codes == pytest.approx(np.array([[0.0, 0.2, 1.0, 0.4]]))
    assert control.train_codes.dtype == np.float32
    assert control.errors["squared_error"].tolist() == control.errors["clipped_squared_error"].tolist() == [0.0]
    assert np.array_equal(control.reconstructions[0].ravel(), control.test_codes[0])


def test_components_along_which_images_do_not_vary_are_nothing() -> None:
    """Of fewer images than units: what rounding makes of them would be whitened to the size of the others."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
    codes = pca(pixels, pixels[:10], 64)
    assert np.all(codes.train_codes[:, 39:] == 0)
    assert np.all(codes.train_codes[:, :39].std(axis=0) > 1e-3)
    train, test = whiten(codes.train_codes, codes.test_codes)
    assert np.abs(test).max() < 10
    assert np.linalg.matrix_rank(train) == 39
