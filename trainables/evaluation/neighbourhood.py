"""Whether images that lie together lie together in the code: what dimensionality reduction is to keep."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.evaluation.scores import Score, make_scores

IMAGES = 2_000
"""Test images that are compared, evenly spaced: of MNIST's 10,000 every fifth from the first, the same in every trial.

Evenly, since the first half of MNIST's test images is known to be cleaner than the second.
"""

NEIGHBOURS = 10


def score_neighbourhood(pixels: NDArray[np.uint8], codes: NDArray[np.floating[Any]]) -> list[Score]:
    """Compare who the nearest neighbours of an image are among `IMAGES` test images, by its pixels and by its code.

    Trustworthiness falls by how far away by pixels the neighbours by code are, continuity by how far away by code the
    neighbours by pixels are: both are 1 where none is beyond the first ten, and about 0.5 by chance. Overlap is the
    share of neighbours by pixels that are neighbours by code. Of fewer than three images there is nothing to say.

    Args:
        pixels: (m, height, width) uint8, the test images.
        codes: (m, code_size), their codes; distances are taken as they are.

    Source: Venna and Kaski (2001), Neighborhood preservation in nonlinear projection methods: an experimental study.
    """
    chosen = np.unique(np.arange(IMAGES) * len(codes) // IMAGES)
    neighbours = min(NEIGHBOURS, (len(chosen) - 1) // 2)
    if neighbours < 1:
        return []
    by_pixels, by_code = (_measure_distances(points[chosen]) for points in (pixels.reshape(len(pixels), -1), codes))
    near_by_pixels, near_by_code = (
        np.argpartition(distances, neighbours - 1)[:, :neighbours] for distances in (by_pixels, by_code)
    )
    shared = near_by_pixels[:, :, None] == near_by_code[:, None]
    values = {
        "trustworthiness": _rate_ranks(by_pixels, near_by_code),
        "continuity": _rate_ranks(by_code, near_by_pixels),
        "overlap": shared.sum() / near_by_pixels.size,
    }
    return make_scores("neighbourhood", values)


def square_distances(points: NDArray[np.floating[Any]], others: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return the squared distances of ``points``, (n, size), from ``others``, (m, size), as (n, m)."""
    squares = [np.einsum("ij,ij->i", each, each) for each in (points, others)]
    distances: NDArray[np.floating[Any]] = points @ others.T
    distances *= -2
    distances += squares[0][:, None]
    distances += squares[1]
    np.maximum(distances, 0, out=distances)
    return distances


def _measure_distances(points: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Return the squared distances among ``points``, infinite from each to itself, which is no neighbour."""
    points = points.astype(np.float64)
    distances = square_distances(points, points)
    np.fill_diagonal(distances, np.inf)
    return distances


def _rate_ranks(distances: NDArray[np.floating[Any]], neighbours: NDArray[np.integer[Any]]) -> float:
    """Return 1, less what each of ``neighbours``, (n, k), is further away than the k nearest, in ranks.

    Those equally far away share their mean rank, so that points that are all the same are rated as by chance.
    """
    images, count = neighbours.shape
    excess = 0.0
    for column in neighbours.T:
        own = np.take_along_axis(distances, column[:, None], axis=1)
        ranks = 0.5 * ((distances < own).sum(axis=1) + (distances <= own).sum(axis=1) + 1)
        excess += np.maximum(ranks - count, 0).sum()
    return float(1 - 2 * excess / (images * count * (2 * images - 3 * count - 1)))
