"""Intervals over seeds and test images: what a mean could have been with other seeds trained and other images drawn.

Both are samples, and crossed: every run is measured on the same images. The images are many and resampled as in a
crossed bootstrap, the same draws for all models. The seeds are few: three values resampled cannot show how far the
fourth might lie, so each replicate draws the seeds' part from Student's t distribution instead, and where the images
change nothing the interval is the t interval over seeds. In simulation that covers what it says, where resampling both
does not (`benchmarks/crossed_intervals.py`).

Source: Owen, "The pigeonhole bootstrap", 2007, resamples both.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from analysis.results import StudyResults, select_confirmed
from analysis.stats.aggregate import CELL, select_confirmed_scores
from analysis.stats.intervals import LEVEL, Floats, summarise

REPLICATES = 2_000
_AT_ONCE = 100
"""Replicates whose draws are counted at a time, some megabytes for 10,000 images."""

_KEY = ["evaluator", "metric", *CELL]
_COMPUTED_CODES = ("pca", "raw_pixels")
_COMPUTED_SCORES = ("reconstruction", "linear_classifier", "nearest_neighbours")
"""Codes that no seed changes, and evaluators that draw nothing: what a single run gives is what any would."""


def resample_images(values: Floats, generator: np.random.Generator, replicates: int = REPLICATES) -> Floats:
    """Return by how much the means of ``values (means, images)`` move with images drawn anew, ``(replicates, means)``.

    The same images are drawn for all means.
    """
    images = values.shape[1]
    # Single precision, twice as fast: what is added up is centred, and draws differ by far more.
    centred = (values - values.mean(axis=1, keepdims=True)).T.astype(np.float32)
    moves = []
    with threadpool_limits(1):  # Threads would wait for each other for longer than these products take.
        for first in range(0, replicates, _AT_ONCE):
            rows = min(_AT_ONCE, replicates - first)
            drawn = generator.integers(images, size=(rows, images)) + images * np.arange(rows)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images)
            moves.append(counts.astype(np.float32) @ centred)
    moved: Floats = np.concatenate(moves).astype(np.float64) / images
    return moved


def cross_intervals(
    values: Floats, means: ArrayLike, deviations: ArrayLike, runs: ArrayLike, replicates: int = REPLICATES
) -> tuple[Floats, Floats]:
    """Return the lower and the upper ends, ``(means,)``, of 95 % intervals over seeds and images.

    Args:
        values: ``(means, images)``, each image's mean over runs.
        means: ``(means,)`` over runs and images.
        deviations: ``(means,)``, sample deviations of the runs; 0 where no seed changes anything.
        runs: ``(means,)``; one run has an interval only where its deviation is 0, else NaN.
        replicates: draws.
    """
    generator = np.random.default_rng(0)
    moves = resample_images(values, generator, replicates)
    n, spread = np.asarray(runs, dtype=np.float64), np.asarray(deviations, dtype=np.float64)
    freedom = np.maximum(n - 1, 1)  # a deviation of one run is NaN or 0 whatever it is multiplied by
    of_seeds = generator.standard_t(freedom, moves.shape) * (spread / np.sqrt(n))
    tails = np.quantile(moves + of_seeds, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
    low, high = np.asarray(means) + tails
    return low, high


@lru_cache(maxsize=2)  # drawn once for all tables
def cross_confirmed(results: StudyResults) -> pd.DataFrame:
    """Return one row a metric and `CELL` whose runs all keep scores of images: ``images_low``, ``images_high``."""
    trials = select_confirmed(results.trials)[["trial_id", *CELL]]
    kept = results.image_scores.merge(trials, on="trial_id")
    columns = [*_KEY, "images_low", "images_high"]
    images = kept.groupby(_KEY, observed=True)["values"].agg(["size", _average]).reset_index()
    cells = summarise(select_confirmed_scores(results), _KEY).merge(images, on=_KEY)
    cells = cells[cells["size"] == cells["n"]]
    if cells.empty:  # As where seeds were added to a study of an older version, of which no run keeps its images.
        return pd.DataFrame(columns=columns)
    computed = cells["architecture"].isin(_COMPUTED_CODES) & cells["evaluator"].isin(_COMPUTED_SCORES)
    once = computed & (cells["n"] == 1)  # by images alone
    cells = cells.assign(deviation=cells["deviation"].mask(once, 0.0))
    parts = []
    for _, group in cells.groupby("study", observed=True):  # whose test images are its own
        values = np.stack(list(group["_average"]))
        ends = cross_intervals(values, group["mean"], group["deviation"], group["n"])
        parts.append(group.assign(images_low=ends[0], images_high=ends[1]))
    return pd.concat(parts, ignore_index=True)[columns]


def _average(values: pd.Series[float]) -> Floats:
    mean: Floats = np.mean(np.stack(list(values)), axis=0, dtype=np.float64)
    return mean
