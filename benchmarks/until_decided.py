"""How often a study that adds seeds until it is decided calls chance a difference, and how many seeds that saves.

::

    python benchmarks/until_decided.py                       # the table of docs/protocol.md, in minutes
    python benchmarks/until_decided.py --simulations 2000

Six models, normal errors, variances as in `family_wise_error`; of the unequal ones the worse. False differences are
simulated studies in which any of six equal models is called better, where none can be called equivalent, so that every
look is taken. False equivalences are those in which any of three models is called equivalent to one of three others
that differ from it by exactly the margin, `AT_MARGIN` deviations. Power is the share of the differences found of one
model that is better than five equal ones by so many deviations, seeds are the mean of a model. Judged is by
`analysis.stats.contrasts.judge`, as reports do; looks spend as studies do (`study.plan.looks`), or as Pocock's boundary
does, for comparison.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Callable, Sequence

import numpy as np
from family_wise_error import MODELS, PAIRS, VARIANCES, Booleans, Floats, compare_pairs, draw_runs, measure_error

from analysis.stats.contrasts import judge
from study.plan.looks import LEVEL, spend

PLANS = ((3, 5, 8, 12), (5, 8, 12), (12,))
AT_MARGIN = 3.0
GAPS = ((0, 4.0), (2, 0.0), (4, 4.0))
"""Differences of which power is shown, and the margins within which models are equivalent meanwhile."""


def spend_like_pocock(share: float, level: float = LEVEL) -> float:
    """Return how much of ``level`` has been spent at a ``share`` of the seeds. Source: Lan and DeMets, 1983."""
    return level * math.log(1 + (math.e - 1) * share)


SPENDING: dict[str, Callable[[float], float]] = {"O'Brien-Fleming": spend, "Pocock": spend_like_pocock}


def take_looks(
    runs: Floats, looks: Sequence[int], levels: Sequence[float], margin: float
) -> tuple[Booleans, Booleans, Floats]:
    """Return which pairs are called better, which equivalent, ``(simulations, pairs)``, and the seeds of models.

    Args:
        runs: ``(simulations, models, seeds)`` of the last look; of models that need no more the rest is not looked at.
        looks: numbers of seeds.
        levels: of each look.
        margin: of equivalence.
    """
    better = equivalent = np.zeros((len(runs), len(PAIRS)), dtype=bool)
    used = np.full(runs.shape[:2], float(looks[0]))
    for seeds, level in zip(looks, levels, strict=True):
        undecided = ~(better | equivalent)
        for model in range(MODELS):
            of_model = np.equal(PAIRS, model).any(axis=1)
            used[undecided[:, of_model].any(axis=1), model] = seeds
        contrast = compare_pairs(runs[..., :seeds])
        better, equivalent, *_ = judge(contrast.p_value(), contrast.p_equivalent(margin), better, equivalent, level)
    return better, equivalent, used


def measure(
    simulations: int, looks: Sequence[int], levels: Sequence[float], settings: Sequence[Sequence[float]]
) -> list[str]:
    """Return the cells of a row of the table."""
    false_differences, false_equivalences = [], []
    for variances in settings:
        runs = draw_runs(simulations, looks[-1], variances)
        false_differences.append(measure_error(take_looks(runs, looks, levels, 0.0)[0]))
        apart = np.tile([0.0, AT_MARGIN], MODELS // 2)
        differing = apart[PAIRS[:, 0]] != apart[PAIRS[:, 1]]
        equivalent = take_looks(runs + apart[:, None], looks, levels, AT_MARGIN)[1]
        false_equivalences.append(measure_error(equivalent[:, differing]))
    cells = [f"{error:.3f} (< {upper:.3f})" for error, upper in (max(false_differences), max(false_equivalences))]
    for gap, margin in GAPS:
        better, _, used = take_looks(draw_runs(simulations, looks[-1], settings[0], gap), looks, levels, margin)
        power = f"{better[:, PAIRS[:, 0] == 0].mean():.2f}, " if gap else ""
        cells.append(f"{power}{used.mean():.1f}")
    return cells


def tabulate(simulations: int) -> str:
    """Return the Markdown table."""
    columns = ["looks at seeds", "spending", "variances", "false differences", "false equivalences"]
    columns += ["seeds if all are equal", *(f"power, seeds at {gap} deviations" for gap, _ in GAPS[1:])]
    lines = [f"| {' | '.join(columns)} |", "| :-- | :-- | :-- |" + " --: |" * (len(columns) - 3)]
    for looks, (spending, function) in itertools.product(PLANS, SPENDING.items()):
        if len(looks) == 1 and spending != "Pocock":
            continue
        spent = [0.0, *(function(seeds / looks[-1]) for seeds in looks)]
        levels = [after - before for before, after in itertools.pairwise(spent)]
        for name, settings in VARIANCES.items():
            row = measure(simulations, looks, levels, settings)
            label = spending if len(looks) > 1 else "one look"
            lines.append(f"| {' | '.join([', '.join(map(str, looks)), label, name, *row])} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(description="Simulate studies that add seeds until they are decided.")
    parser.add_argument("--simulations", type=int, default=20_000, help="of a setting (default: %(default)s)")
    print(tabulate(parser.parse_args(argv).simulations))
    return 0


if __name__ == "__main__":
    sys.exit(main())
