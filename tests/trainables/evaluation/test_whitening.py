"""Whitened codes: what of a code no invertible map changes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.trainables.evaluation.blobs import Codes
from trainables.evaluation.neighbourhood import square_distances
from trainables.evaluation.whitening import standardise, whiten

RANDOM = np.random.default_rng(0)
TRAIN: Codes = RANDOM.normal(size=(200, 3)).astype(np.float32) @ RANDOM.normal(size=(3, 3)).astype(np.float32) + 5
TEST: Codes = RANDOM.normal(size=(50, 3)).astype(np.float32)


def test_whitened_training_codes_have_no_correlation() -> None:
    """Mean 0, covariance 1; and the test codes lie as far from each other as Mahalanobis says."""
    train, test = whiten(TRAIN, TEST)
    assert train.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)
    assert np.cov(train.T, bias=True) == pytest.approx(np.eye(3), abs=1e-9)
    differences = TEST[:, None].astype(np.float64) - TEST
    mahalanobis = np.einsum("ijk,kl,ijl->ij", differences, np.linalg.inv(np.cov(TRAIN.T, bias=True)), differences)
    assert square_distances(test, test) == pytest.approx(mahalanobis, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("offset", [0.0, 100.0], ids=["small", "far from 0, with as much more rounding"])
def test_a_direction_that_is_constant_but_for_rounding_is_zero(offset: float) -> None:
    """A unit that is the sum of others says nothing new, whatever the last digits of float32 say."""
    sums = TRAIN @ np.array([0.3, 0.7, 1.1], np.float32)
    train = np.hstack([TRAIN, sums[:, None], np.full((200, 1), 0.7, np.float32)]) + np.float32(offset)
    whitened, test = whiten(train, train)
    assert np.linalg.matrix_rank(whitened) == 3
    np.testing.assert_array_equal(whitened, test)
    variances = np.sort(np.linalg.eigvalsh(np.cov(whitened.T, bias=True)))
    assert variances == pytest.approx([0, 0, 1, 1, 1], abs=1e-6)


def test_a_small_direction_that_varies_is_kept() -> None:
    """A thousandth of another is far from rounding."""
    small = TRAIN * np.array([1, 1e-3, 1e3], np.float32)
    assert np.cov(whiten(small, small)[0].T, bias=True) == pytest.approx(np.eye(3), abs=1e-6)


def test_standardised_units_have_mean_0_and_deviation_1_in_the_training_codes() -> None:
    """And a constant one is 0, in the test codes too."""
    dead = np.hstack([TRAIN, np.full((200, 1), 0.7, np.float32)])
    train, test = standardise(dead, np.ones((2, 4), np.float32))
    assert train.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-5)
    assert train.std(axis=0) == pytest.approx([1, 1, 1, 0], abs=1e-5)
    assert test[0] == pytest.approx([*(1 - TRAIN.mean(axis=0)) / TRAIN.std(axis=0), 0], abs=1e-4)
