"""How often intervals over seeds and test images hold the mean, by ways to make them.

::

    python benchmarks/crossed_intervals.py    # the table of docs/protocol.md, in minutes

Normal effects of a seed, of an image and of a seed on an image; what varies is how far the seeds, and how far the
images, move a mean. ``analysis.stats.crossed`` has the way that reports use.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.stats.crossed import cross_intervals
from analysis.stats.intervals import LEVEL, half_width

Floats = NDArray[np.float64]
Ends = tuple[Floats, Floats]

IMAGES = 400
REPLICATES = 1_000
SEEDS = (3, 5, 8)
RATIOS = {"images alone": (0.0, 1.0), "1 : 3": (1.0, 3.0), "1 : 1": (1.0, 1.0), "3 : 1": (3.0, 1.0)}
"""Deviations of a mean by its seeds and by its images, in any unit."""


def draw_values(simulations: int, seeds: int, ratio: tuple[float, float]) -> Floats:
    """Return values ``(simulations, seeds, images)`` whose true mean is 0; an image differs by run as by image."""
    generator = np.random.default_rng([seeds, *(int(part) for part in ratio)])
    of_seeds, of_images = ratio[0] * np.sqrt(seeds), ratio[1] * np.sqrt(IMAGES)
    values: Floats = generator.normal(size=(simulations, seeds, IMAGES)) * of_images
    values += generator.normal(size=(simulations, 1, IMAGES)) * of_images
    values += generator.normal(size=(simulations, seeds, 1)) * of_seeds
    return values


def cross(values: Floats) -> Ends:
    """Return the intervals as the reports make them."""
    runs = values.mean(axis=-1)
    return cross_intervals(
        values.mean(axis=1), runs.mean(axis=1), runs.std(axis=1, ddof=1), [values.shape[1]] * len(values), REPLICATES
    )


def resample_both(values: Floats) -> Ends:
    """Return the percentiles of means of seeds and images drawn anew, Owen's pigeonhole bootstrap."""
    generator = np.random.default_rng(0)
    _, seeds, images = values.shape
    ends = []
    for each in values:
        of_seeds = generator.multinomial(seeds, [1 / seeds] * seeds, REPLICATES)
        of_images = generator.multinomial(images, [1 / images] * images, REPLICATES)
        means = ((of_seeds @ each) * of_images).sum(axis=1) / (seeds * images)
        ends.append(np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)))
    low, high = np.transpose(ends)
    return low, high


def ignore_images(values: Floats) -> Ends:
    """Return the t intervals over seeds."""
    runs = values.mean(axis=-1)
    width = half_width(runs.std(axis=1, ddof=1), values.shape[1])
    return runs.mean(axis=1) - width, runs.mean(axis=1) + width


WAYS = {"seeds by t, images resampled": cross, "both resampled": resample_both, "seeds alone, by t": ignore_images}


def measure_coverage(ends: Ends) -> float:
    """Return the share of intervals that hold 0."""
    return float(np.mean((ends[0] <= 0) & (ends[1] >= 0)))


def tabulate(simulations: int) -> str:
    """Return the Markdown table."""
    lines = [f"| seeds | deviation by seeds : images | {' | '.join(WAYS)} |", "| --: | :-- |" + " --: |" * len(WAYS)]
    for seeds, (name, ratio) in itertools.product(SEEDS, RATIOS.items()):
        values = draw_values(simulations, seeds, ratio)
        cells = [f"{measure_coverage(way(values)):.3f}" for way in WAYS.values()]
        lines.append(f"| {seeds} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(description="Simulate how often intervals over seeds and images hold the mean.")
    parser.add_argument("--simulations", type=int, default=300, help="of a setting (default: %(default)s)")
    print(tabulate(parser.parse_args(argv).simulations))
    return 0


if __name__ == "__main__":
    sys.exit(main())
