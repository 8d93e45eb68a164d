"""Codes without the scales and directions that no reconstruction depends on.

The code layer is linear: any invertible map of the code, undone by the weights that read it, leaves every image as it
is. Whitened codes then differ by a rotation alone, so what is measured of distances among them is a function of the
model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.evaluation.sparsity import ROUNDING, unit_deviations


def whiten(
    train_codes: NDArray[np.floating[Any]], test_codes: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Map both codes, (n, code_size) and (m, code_size), so that the training codes have mean 0 and covariance 1.

    A direction in which the training codes are constant but for rounding is 0 in both: nothing was learned for what
    the test codes may do there. Of a code that has collapsed all are.

    Source: Kessy, Lewin and Strimmer (2018), Optimal whitening and decorrelation, "PCA-cor" without its last rotation.
    """
    means, factors = _fit_scale(train_codes)
    train = (train_codes - means) * factors
    variances, directions = np.linalg.eigh(train.T @ train / len(train))
    # What the rounding of the units, whose deviation is 1 now but whose size may be far more, adds to a direction.
    rounding = ROUNDING**2 * ((1 + (means * factors) ** 2) @ directions**2)
    varies = variances > rounding
    mapping = directions * np.where(varies, 1 / np.sqrt(np.where(varies, variances, 1.0)), 0.0)
    return train @ mapping, (test_codes - means) * factors @ mapping


def standardise(
    train_codes: NDArray[np.floating[Any]], test_codes: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Move and scale each unit of both codes so that it has mean 0 and deviation 1 in the training codes, or is 0."""
    means, factors = _fit_scale(train_codes)

    def scale(codes: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        # Calculated in float64 but written as float32 at once, as raw pixels would take 400 MB.
        result = np.empty(codes.shape, np.float32)
        np.subtract(codes, means, out=result, casting="same_kind")
        np.multiply(result, factors, out=result, casting="same_kind")
        return result

    return scale(train_codes), scale(test_codes)


def _fit_scale(codes: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each unit's mean, and the factor that makes its deviation 1: 0, not 1, for a constant one."""
    deviations = unit_deviations(codes)
    factors = np.divide(1.0, deviations, out=np.zeros_like(deviations), where=deviations > 0)
    return codes.mean(axis=0, dtype=np.float64), factors
