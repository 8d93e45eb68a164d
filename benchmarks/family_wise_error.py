"""How often chance alone is called a difference, and how often a difference is found, by ways to compare models.

::

    python benchmarks/family_wise_error.py                       # the table of docs/protocol.md, in minutes
    python benchmarks/family_wise_error.py --simulations 2000

Six models, normal errors, variances equal or 1 : 4 (the last three models have four times that of the first three, and
the last one alone). The family-wise error is the share of simulated studies of six equal models in which any pair is
called different, with the upper end of its 95 % interval (Clopper and Pearson); of the two unequal settings the larger.
Power is the share of its five differences that are found where one model is better than five equal ones by so many
deviations. The way that reports use is `analysis.stats.ranking`'s: Holm over Welch's tests of all pairs.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import scipy.special
import scipy.stats
from numpy.typing import NDArray

from analysis.stats.contrasts import SIGNIFICANCE, Contrast, make_contrast
from analysis.stats.intervals import holm

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

MODELS = 6
SEEDS = (3, 5, 8)
GAPS = (2, 4, 8)
"""Differences in standard deviations of a run."""
PAIRS = np.array(list(itertools.combinations(range(MODELS), 2)))
EQUAL = (1.0,) * MODELS
VARIANCES = {"equal": (EQUAL,), "1 : 4": ((1.0,) * 3 + (4.0,) * 3, (1.0,) * 5 + (4.0,))}


def compare_pairs(runs: Floats) -> Contrast:
    """Return the difference of every pair of models of ``runs (simulations, models, seeds)``."""
    means, deviations = runs.mean(axis=-1), runs.std(axis=-1, ddof=1)
    return make_contrast([1.0, -1.0], means[:, PAIRS], deviations[:, PAIRS], runs.shape[-1])


def reject_by_holm(runs: Floats) -> Booleans:
    """Return which pairs Holm over Welch's tests tells apart, as the reports do."""
    return _reject(compare_pairs(runs).p_value())


def _reject(p_values: Floats) -> Booleans:
    adjusted: Floats = np.array([holm(of_simulation) for of_simulation in p_values])
    return adjusted < SIGNIFICANCE


def reject_by_games_howell(runs: Floats) -> Booleans:
    """Return which pairs Games's and Howell's test tells apart: the studentised range with Welch's freedom."""
    contrast = compare_pairs(runs)
    grid, limits = _tabulate_studentised_range()
    limit = np.interp(contrast.freedom, grid, limits)
    rejected: Booleans = np.abs(contrast.value / contrast.standard_error) * np.sqrt(2) > limit
    return rejected


def reject_by_tukey_kramer(runs: Floats) -> Booleans:
    """Return which pairs the studentised range with the pooled variance tells apart."""
    seeds = runs.shape[-1]
    means, pooled = runs.mean(axis=-1), runs.var(axis=-1, ddof=1).mean(axis=-1)
    limit = scipy.stats.studentized_range.ppf(1 - SIGNIFICANCE, MODELS, MODELS * (seeds - 1))
    rejected: Booleans = np.abs(np.diff(means[:, PAIRS])[..., 0]) > limit * np.sqrt(pooled / seeds)[:, None]
    return rejected


def reject_against_best(runs: Floats) -> Booleans:
    """Return which models tests paired by seed, Holm-adjusted, tell from the one with the lowest mean."""
    best = np.take_along_axis(runs, runs.mean(axis=-1).argmin(axis=-1)[:, None, None], axis=1)
    differences = runs - best
    others = differences[np.abs(differences).max(axis=-1) > 0].reshape(len(runs), MODELS - 1, -1)
    seeds = runs.shape[-1]
    t = others.mean(axis=-1) / others.std(axis=-1, ddof=1) * np.sqrt(seeds)
    return _reject(2 * scipy.special.stdtr(seeds - 1, -np.abs(t)))


WAYS = {
    "Holm over Welch's tests of all pairs": reject_by_holm,
    "Games-Howell": reject_by_games_howell,
    "Tukey-Kramer": reject_by_tukey_kramer,
    "against the best mean, paired": reject_against_best,
}


def measure_error(rejected: Booleans) -> tuple[float, float]:
    """Return the share of simulations in which anything is rejected, and the upper end of its 95 % interval."""
    count, simulations = int(rejected.any(axis=-1).sum()), len(rejected)
    upper = scipy.special.betaincinv(count + 1, simulations - count, 0.975) if count < simulations else 1.0
    return count / simulations, float(upper)


def draw_runs(simulations: int, seeds: int, variances: Sequence[float], gap: float = 0.0) -> Floats:
    """Return runs ``(simulations, models, seeds)`` of which the first model is better by ``gap``."""
    generator = np.random.default_rng([seeds, *(int(variance) for variance in variances)])
    runs = generator.normal(size=(simulations, MODELS, seeds)) * np.sqrt(variances)[:, None]
    runs[:, 0] -= gap
    return runs


def tabulate(simulations: int) -> str:
    """Return the Markdown table."""
    columns = ["seeds", "variances", *WAYS, *(f"power at {gap} deviations" for gap in GAPS)]
    lines = [f"| {' | '.join(columns)} |", "| --: | :-- |" + " --: |" * (len(columns) - 2)]
    for seeds, (name, settings) in itertools.product(SEEDS, VARIANCES.items()):
        cells = [str(seeds), name]
        drawn = [draw_runs(simulations, seeds, variances) for variances in settings]
        for reject in WAYS.values():
            error, upper = max(measure_error(reject(runs)) for runs in drawn)
            cells.append(f"{error:.3f} (< {upper:.3f})")
        for gap in GAPS:
            rejected = reject_by_holm(draw_runs(simulations, seeds, settings[0], gap))
            cells.append(f"{rejected[:, PAIRS[:, 0] == 0].mean():.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


@lru_cache(maxsize=1)
def _tabulate_studentised_range() -> tuple[Floats, Floats]:
    """Return its 95 % point by degrees of freedom, which no simulation has more of than 14."""
    grid = np.concatenate([np.arange(2, 6, 0.1), np.arange(6, 14.5, 0.5)])
    return grid, scipy.stats.studentized_range.ppf(1 - SIGNIFICANCE, MODELS, grid)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(description="Simulate the error rates of ways to compare six models.")
    parser.add_argument("--simulations", type=int, default=20_000, help="of a setting (default: %(default)s)")
    print(tabulate(parser.parse_args(argv).simulations))
    return 0


if __name__ == "__main__":
    sys.exit(main())
