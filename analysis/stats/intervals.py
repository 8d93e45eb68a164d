"""Means, paired differences and their uncertainty, for the few runs that a study affords.

Intervals are Student's t at 95 %. In simulation their coverage at n = 3, 5, 10 is .95, .94, .97, where the BCa
bootstrap gave .72, .84, .93: resampling three values cannot show how far the fourth might lie. Of values spread evenly,
far from normal, three cover .92. One value has no interval, and none is made up: it is NaN.

Numbers that are not finite are refused: a diverged run is counted, never averaged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95


def holm(p_values: ArrayLike) -> Floats:
    """Return ``p_values (..., m)`` adjusted for being m tests of one family, each family's in the given order.

    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.

    Raises:
        ValueError: a value is not finite or not within [0, 1].
    """
    given = np.asarray(p_values, dtype=np.float64)
    if given.ndim == 0 or not bool(np.all((given >= 0) & (given <= 1))):
        raise ValueError(f"p values are numbers within [0, 1] along the last axis, got {given}")
    order = np.argsort(given, kind="stable", axis=-1)
    factors = np.arange(given.shape[-1], 0, -1)
    largest = np.maximum.accumulate(np.take_along_axis(given, order, axis=-1) * factors, axis=-1)
    adjusted = np.empty_like(given)
    np.put_along_axis(adjusted, order, np.minimum(1.0, largest), axis=-1)
    return adjusted


def half_width(deviation: ArrayLike, n: ArrayLike, level: float = LEVEL) -> Floats:
    """Return half the width of the t interval of a mean of ``n (...)`` values of sample ``deviation (...)``."""
    runs = np.asarray(n, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        width: Floats = scipy.special.stdtrit(runs - 1, (1 + level) / 2) * np.asarray(deviation) / np.sqrt(runs)
    return width


def p_value(mean: ArrayLike, deviation: ArrayLike, n: ArrayLike) -> Floats:
    """Return the two-sided p value of the t test that a mean is 0; NaN where there is one run.

    Differences that do not vary at all give 0, or 1 where they are all 0.
    """
    means, runs = np.asarray(mean, dtype=np.float64), np.asarray(n, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.abs(means) / (np.asarray(deviation) / np.sqrt(runs))
    p: Floats = 2 * scipy.special.stdtr(runs - 1, -statistic)
    return np.where((runs > 1) & (means == 0), 1.0, p)[()]


def effect_size(mean: ArrayLike, deviation: ArrayLike, n: ArrayLike) -> Floats:
    """Return Cohen's d_z, the mean difference over the differences' deviation, with Hedges's factor for small n.

    The factor takes out the bias of d_z, which is 77 % upward at n = 3; it exists from n = 3. NaN below, and where the
    differences do not vary. Source: Hedges, "Distribution theory for Glass's estimator of effect size", 1981.
    """
    freedom = np.asarray(n, dtype=np.float64) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm = scipy.special.gammaln(freedom / 2) - scipy.special.gammaln((freedom - 1) / 2)
        effect = np.asarray(mean) / np.asarray(deviation) * np.exp(logarithm) / np.sqrt(freedom / 2)
    return np.where((freedom >= 2) & (np.asarray(deviation) > 0), effect, np.nan)[()]


def summarise(frame: pd.DataFrame, by: Sequence[str], value: str = "value") -> pd.DataFrame:
    """Return one row a group of ``by``: n, mean, deviation, half_width, low, high, minimum, maximum of ``value``.

    Raises:
        ValueError: a value is not finite.
    """
    infinite = int((~np.isfinite(frame[value].to_numpy(dtype=np.float64))).sum())
    if infinite:
        raise ValueError(f"{infinite} of {len(frame)} values are not finite")
    grouped = frame.groupby(list(by), observed=True, dropna=False)[value]
    aggregates = grouped.agg(["count", "mean", "std", "min", "max"]).reset_index()
    groups = aggregates.rename(columns={"count": "n", "std": "deviation", "min": "minimum", "max": "maximum"})
    width = half_width(groups["deviation"], groups["n"])
    return groups.assign(half_width=width, low=groups["mean"] - width, high=groups["mean"] + width)


def compare_pairs(
    first: pd.DataFrame, second: pd.DataFrame, pair: Sequence[str], by: Sequence[str], value: str = "value"
) -> pd.DataFrame:
    """Return one row a group of ``by``: the difference of ``value``, first minus second, over rows of equal ``pair``.

    Columns: n (pairs), difference, deviation, half_width, low, high, p_value, effect_size. Rows without a partner, or
    without a seed, take no part. ``by`` names columns of ``first``; ``pair`` names columns of both.

    Raises:
        ValueError: a value is not finite.
        pandas.errors.MergeError: ``second`` has several rows for one pair.
    """
    right = second[[*pair, value]].dropna(subset=list(pair)).rename(columns={value: "_second"})
    joined = first.merge(right, on=list(pair), validate="many_to_one")
    differences = joined.assign(difference=joined[value] - joined["_second"])
    groups = summarise(differences, by, "difference").rename(columns={"mean": "difference"})
    statistics = (groups["difference"], groups["deviation"], groups["n"])
    groups = groups.assign(p_value=p_value(*statistics), effect_size=effect_size(*statistics))
    return groups.drop(columns=["minimum", "maximum"])
