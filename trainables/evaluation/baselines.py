"""Codes that need no network: principal components, UMAP and the pixels themselves, controls of the comparison."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from trainables.errors import InputError
from trainables.evaluation.clustering import SEEDS, require_umap
from trainables.evaluation.sparsity import ROUNDING

_BLOCK = 10_000
"""Images that are widened to float64 at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class ControlCodes:
    """What a control makes of the images.

    Attributes:
        train_codes: (n, code_size) float32.
        test_codes: (m, code_size) float32.
        reconstructions: of the test images, (m, height, width) float32; PCA's may leave [0, 1]; of what does not
            decode, none.
        errors: of the reconstruction of each test image, (m,), of pixels in [0, 1]: ``squared_error``, and
            ``clipped_squared_error`` of the reconstructions clipped to [0, 1], where those of a network lie.
    """

    train_codes: NDArray[np.float32]
    test_codes: NDArray[np.float32]
    reconstructions: NDArray[np.float32]
    errors: Mapping[str, NDArray[np.float32]]


def pca(train_pixels: NDArray[np.uint8], test_pixels: NDArray[np.uint8], code_size: int) -> ControlCodes:
    """Return the first ``code_size`` principal components of the training images as a code, and the decoding by them.

    Exact, from the eigenvectors of the covariance; the sign of each is such that its largest entry is positive.
    About 2.5 s on one core for the 60,000 images of MNIST.

    Args:
        train_pixels: (n, height, width) uint8.
        test_pixels: (m, height, width) uint8.
        code_size: components.

    Raises:
        InputError: there are fewer pixels than components.
    """
    train, test = _flatten(train_pixels), _flatten(test_pixels)
    if not 1 <= code_size <= train.shape[1]:
        raise InputError(
            f"{code_size} principal components of images of {train.shape[1]} pixels",
            f"1 to {train.shape[1]}",
            "give another code size",
        )
    with threadpool_limits(limits=1):  # as a trial
        mean, components = _compute_components(train, code_size)
        train_codes = np.matmul(train - mean, components)
        test_codes = np.matmul(test - mean, components)
        reconstructions = np.matmul(test_codes, components.T) + mean
    errors = measure_images(test, reconstructions)
    return ControlCodes(train_codes, test_codes, reconstructions.reshape(test_pixels.shape), errors)


def measure_images(images: NDArray[np.float32], reconstructions: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return the errors of reconstructions that may leave [0, 1], as `ControlCodes` has them."""
    given = {"squared_error": reconstructions, "clipped_squared_error": reconstructions.clip(0, 1)}
    return {name: np.square(each - images).reshape(len(images), -1).sum(axis=1) for name, each in given.items()}


def embed_pixels(
    train_pixels: NDArray[np.uint8], test_pixels: NDArray[np.uint8], code_size: int, seed: int
) -> ControlCodes:
    """Return UMAP's embedding as a code: fitted on the training images, with the test images put into it; as for `pca`.

    It is made to keep neighbours together, not to be decoded, so it has no reconstruction. All of its settings are
    umap-learn's own: 15 neighbours, Euclidean distances, a minimal distance of .1.

    Raises:
        InputError: umap-learn is not installed.

    Source: McInnes, Healy and Melville (2018), UMAP: uniform manifold approximation and projection.
    """
    require_umap()
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # It warns on import that it has no TensorFlow, and of few images that they are fewer than its neighbours.
        warnings.simplefilter("ignore")
        umap = importlib.import_module("umap")
        embedding = umap.UMAP(n_components=code_size, random_state=seed % SEEDS, n_jobs=1)
        train_codes = embedding.fit_transform(_flatten(train_pixels)).astype(np.float32)
        test_codes = embedding.transform(_flatten(test_pixels)).astype(np.float32)
    return ControlCodes(train_codes, test_codes, np.zeros((0, *test_pixels.shape[1:]), np.float32), {})


def raw_pixels(train_pixels: NDArray[np.uint8], test_pixels: NDArray[np.uint8]) -> ControlCodes:
    """Return the pixels, given as to `pca`, in [0, 1] as a code of as many units: its own reconstruction."""
    test = _flatten(test_pixels)
    errors = dict.fromkeys(("squared_error", "clipped_squared_error"), np.zeros(len(test), np.float32))
    return ControlCodes(_flatten(train_pixels), test, test.reshape(test_pixels.shape), errors)


def _flatten(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.divide(pixels.reshape(len(pixels), -1), 255, dtype=np.float32)


def _compute_components(pixels: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean, (pixels,), and the components, (pixels, count), in the order of falling variance.

    One along which the images do not vary, as of fewer images than components, is 0: there is nothing to encode.
    """
    mean = pixels.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((len(mean), len(mean)))
    for start in range(0, len(pixels), _BLOCK):
        centred = pixels[start : start + _BLOCK] - mean
        covariance += centred.T @ centred
    variances, directions = np.linalg.eigh(covariance)
    varies = variances > ROUNDING**2 * variances[-1]
    components: NDArray[np.float64] = (directions * varies)[:, ::-1][:, :count]
    largest = np.abs(components).argmax(axis=0)
    components = components * np.sign(components[largest, np.arange(count)])
    return mean.astype(np.float32), components.astype(np.float32)
