"""How a code uses its units: how sparse its values are, how many dimensions they span, which units are dead.

The code layer is linear, so the decoder's weights can undo any scale of the whole code; every number here is therefore
the same for a code and for a multiple of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.evaluation.scores import Score, make_scores

DEAD_DEVIATION = 0.01
"""A unit is dead when its standard deviation is at most this share of the largest one among the units.

A fixed limit would mean something else for every model, since the code layer is not bounded; and the largest unit, not
the mean one, is the reference because it does not move with the number of dead units. Such a unit carries at most a
ten-thousandth of the largest unit's variance: of MNIST's 784 principal components, the first 527 carry more.
"""

ROUNDING = 1e-6
"""A unit is constant when its standard deviation is at most this share of its root mean square.

Equal images give float32 codes that differ by a few parts in 10 million, according to their place in a batch.
"""


def score_code(codes: NDArray[np.floating[Any]]) -> list[Score]:
    """Return the sparsity and the use of the test codes, (n, code_size). Costs below 0.1 s for 10,000 codes of 30.

    Sparsity is that of the absolute values as they are, not centred: a linear code has no zero of its own, so compare
    sparsity within one kind of model.
    """
    values = {
        "hoyer_sparsity": hoyer_sparsity(codes),
        "gini_index": gini_index(codes),
        "effective_dimension": participation_ratio(codes),
        "dead_units": count_dead_units(codes),
    }
    return make_scores("code", values)


def hoyer_sparsity(values: ArrayLike) -> float:
    """Return Hoyer's sparsity, from 0 (all values alike) to 1 (a single non-zero value), averaged over rows.

    For N values it is (sqrt(N) - l1 / l2) / (sqrt(N) - 1). Rows of zeros, and rows of one value, count as 0.

    Args:
        values: (n, N), or (N,) for one row.

    Source: Hoyer (2004), Non-negative matrix factorization with sparseness constraints, section 3.1; Hurley and
    Rickard (2009), Comparing measures of sparsity, table I.
    """
    rows = _absolute_shares(values)
    size = rows.shape[1]
    if size == 1:
        return 0.0
    # Shares sum to 1, so that l1 / l2 is 1 / l2 of the shares.
    norms = np.sqrt((rows**2).sum(axis=1))
    ratios = np.divide(1.0, norms, out=np.full_like(norms, np.sqrt(size)), where=norms > 0)
    return float(np.mean((np.sqrt(size) - ratios) / (np.sqrt(size) - 1)))


def gini_index(values: ArrayLike) -> float:
    """Return the Gini index, from 0 (all values alike) to 1 - 1/N (a single non-zero value), averaged over rows.

    For absolute values c(1) <= ... <= c(N) it is 1 - 2 sum_k c(k) / l1 * (N - k + 1/2) / N. Rows of zeros count as 0.

    Args:
        values: (n, N), or (N,) for one row.

    Source: Hurley and Rickard (2009), Comparing measures of sparsity, section II.
    """
    rows = np.sort(_absolute_shares(values), axis=1)
    size = rows.shape[1]
    weights = (size - np.arange(1, size + 1) + 0.5) / size
    return float(np.mean(np.where(rows[:, -1] > 0, 1 - 2 * rows @ weights, 0.0)))


def participation_ratio(codes: NDArray[np.floating[Any]]) -> float:
    """Return the effective dimension of ``codes``, (n, code_size): (sum of L)^2 / sum of L^2.

    L are the eigenvalues of the codes' covariance. It is code_size when all directions have equal variance, 1 when
    one direction has all of it, and 0 when no unit varies.

    Source: Gao and others (2017), A theory of multineuronal dimensionality, dynamics and measurement, equation 5.
    """
    varying = unit_deviations(codes) > 0
    if not varying.any():
        return 0.0
    centred = codes[:, varying] - codes[:, varying].mean(axis=0, dtype=np.float64)
    centred /= np.abs(centred).max()
    covariance = centred.T @ centred
    # Trace and Frobenius norm are the two sums, without the eigenvalues themselves.
    return float(np.trace(covariance) ** 2 / (covariance**2).sum())


def count_dead_units(codes: NDArray[np.floating[Any]]) -> int:
    """Return the number of units of ``codes``, (n, code_size), that hardly vary: see `DEAD_DEVIATION`."""
    deviations = unit_deviations(codes)
    return int((deviations <= DEAD_DEVIATION * deviations.max()).sum())


def unit_deviations(codes: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the standard deviation of each unit of ``codes``, (n, code_size), 0 where it is but `ROUNDING`."""
    means = codes.mean(axis=0, dtype=np.float64)
    deviations = np.array(codes.std(axis=0, dtype=np.float64), np.float64)
    deviations[deviations <= ROUNDING * np.hypot(means, deviations)] = 0.0
    return deviations


def _absolute_shares(values: ArrayLike) -> NDArray[np.float64]:
    """Return the absolute values of each row divided by their sum; zeros for a row of zeros."""
    rows = np.abs(np.atleast_2d(np.asarray(values, np.float64)))
    sums = rows.sum(axis=1, keepdims=True)
    np.divide(rows, sums, out=rows, where=sums > 0)
    return rows
