"""Weighted sums of independent means, such as one model's mean less another's: their tests, and what decides them.

Models that were trained from the same seed share nothing that matters, since their weights differ in number and shape.
So runs of different models are never paired: the test is Welch's, which does not ask for equal variances either. All
functions take arrays and work along the last axis, where the means of one sum stand.

Sources: Welch, "The generalization of 'Student's' problem when several different population variances are involved",
1947; Satterthwaite, "An approximate distribution of estimates of variance components", 1946; Schuirmann, "A comparison
of the two one-sided tests procedure and the power approach", 1987.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import ArrayLike, NDArray

from analysis.stats.intervals import LEVEL, Floats, holm, summarise

Booleans = NDArray[np.bool_]

SIGNIFICANCE = 0.05
MINIMUM_SEEDS = 3
"""Runs below which a model is not compared: two deviate by chance alone so little or so much that a test misleads."""

POWER = 0.8
"""Chance that a planned number of seeds decides."""
MOST_SEEDS = 1000
"""Where planning ends."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """A weighted sum of independent means: its value, standard error and degrees of freedom, arrays of one shape."""

    value: Floats
    standard_error: Floats
    freedom: Floats

    def half_width(self, level: ArrayLike = LEVEL) -> Floats:
        """Return half the width of its t interval."""
        width: Floats = scipy.special.stdtrit(self.freedom, (1 + np.asarray(level)) / 2) * self.standard_error
        return width

    def p_value(self) -> Floats:
        """Return the two-sided p value of the test that it is 0; where nothing varies 0, or 1 if it is 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            p: Floats = 2 * scipy.special.stdtr(self.freedom, -np.abs(self.value / self.standard_error))
        return np.where(self.value == 0, 1.0, p)

    def p_equivalent(self, margin: float) -> Floats:
        """Return the p value of the two one-sided tests that it is not within ``margin`` of 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            p: Floats = scipy.special.stdtr(self.freedom, (np.abs(self.value) - margin) / self.standard_error)
        return p


def make_contrast(weights: ArrayLike, means: ArrayLike, deviations: ArrayLike, runs: ArrayLike) -> Contrast:
    """Return the sum of ``weights`` times ``means``, each of ``runs`` of sample ``deviations``, all ``(..., k)``.

    Degrees of freedom are Welch's and Satterthwaite's; where nothing varies, those of all runs together.
    """
    n = np.asarray(runs, dtype=np.float64)
    parts = np.square(np.asarray(weights) * np.asarray(deviations, dtype=np.float64)) / n
    variance = parts.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = variance**2 / (parts**2 / (n - 1)).sum(axis=-1)
    freedom = np.where(variance == 0, np.broadcast_to(n - 1, parts.shape).sum(axis=-1), freedom)
    value = (np.asarray(weights) * np.asarray(means)).sum(axis=-1)
    return Contrast(np.asarray(value), np.sqrt(variance), freedom)


def compare_means(
    first: pd.DataFrame, second: pd.DataFrame, match: Sequence[str], by: Sequence[str], value: str = "value"
) -> pd.DataFrame:
    """Return one row a group of ``by``: the mean of ``value``, less that of the rows of ``second`` of equal ``match``.

    Columns: n (of the mean that has fewer), difference, half_width, low, high, p_value. ``by`` names columns of
    ``first``, ``match`` some of them, which are columns of both. A mean of one value has no interval.

    Raises:
        ValueError: a value is not finite.
    """
    pairs = summarise(first, by, value).merge(summarise(second, match, value), on=list(match), suffixes=("", "_second"))
    parts = (pairs[[name, f"{name}_second"]].to_numpy(dtype="float64") for name in ("mean", "deviation", "n"))
    contrast = make_contrast([1.0, -1.0], *parts)
    width = contrast.half_width()
    return pairs[list(by)].assign(
        n=pairs[["n", "n_second"]].min(axis=1),
        difference=contrast.value,
        half_width=width,
        low=contrast.value - width,
        high=contrast.value + width,
        p_value=contrast.p_value(),
    )


def judge(
    p_different: ArrayLike, p_equivalent: ArrayLike, better: Booleans, equivalent: Booleans, significance: float
) -> tuple[Booleans, Booleans, Floats, Floats]:
    """Return which pairs of a family are better, which equivalent, and the Holm-adjusted p values of either.

    What earlier looks have decided stays so: it is rejected in its own family of tests, so that the others share what
    it needs no more, and in the other one it counts without being tested.

    Args:
        p_different: ``(..., pairs)`` of the tests that they do not differ.
        p_equivalent: the same of the tests that they are not equivalent.
        better: ``(..., pairs)``, found by earlier looks; nowhere at the first.
        equivalent: the same.
        significance: level of this look.
    """
    p_holm = holm(np.where(better, 0.0, np.where(equivalent, 1.0, p_different)))
    p_within = holm(np.where(equivalent, 0.0, np.where(better, 1.0, p_equivalent)))
    different = better | (~equivalent & (p_holm < significance))
    return different, equivalent | (~different & (p_within < significance)), p_holm, p_within


def count_deciding_seeds(
    contrast: Contrast,
    weights: ArrayLike,
    deviations: ArrayLike,
    margin: float,
    tests: int,
    significance: float = SIGNIFICANCE,
) -> int | None:
    """Return the least number of seeds a mean with which ``contrast (k,)`` would be decided; None beyond `MOST_SEEDS`.

    Decided is what is shown to differ or to lie within ``margin``, with a chance of `POWER` if the difference and the
    deviations are as they were seen, at ``significance`` over ``tests`` comparisons (Bonferroni).
    """
    n = np.arange(MINIMUM_SEEDS, MOST_SEEDS + 1)[:, None]
    deviations = np.asarray(deviations, dtype=np.float64)
    planned = make_contrast(
        weights, np.zeros_like(deviations), deviations, np.broadcast_to(n, (len(n), len(deviations)))
    )
    seen, error, freedom = abs(float(contrast.value)), planned.standard_error, planned.freedom
    critical = scipy.special.stdtrit(freedom, 1 - significance / tests / 2)
    one_sided = scipy.special.stdtrit(freedom, 1 - significance / tests)
    with np.errstate(divide="ignore", invalid="ignore"):
        different = 1 - scipy.special.nctdtr(freedom, seen / error, critical)
        below, above = ((margin + sign * seen) / error - one_sided for sign in (-1, 1))
        within = scipy.special.stdtr(freedom, below) + scipy.special.stdtr(freedom, above) - 1
    # Far in the tails the non-central t distribution is not computed: the normal one is as good there.
    normal = scipy.special.ndtr(seen / error - critical)
    different = np.where(np.isfinite(different), different, normal)
    deciding = n[(different >= POWER) | (within >= POWER), 0]
    return int(deciding[0]) if len(deciding) else None
