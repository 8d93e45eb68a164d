"""The search space of a cell: coordinates in which every draw is a contender, and the budgets that bound it.

A draw is a share of the parameter budget, a ratio of the two filter counts and a learning rate: the filter counts
follow, the largest of that ratio whose parameters keep to that share. Drawn by themselves, most counts make a model of
a small part of the budget.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from trainables.errors import InputError
from trainables.models.architectures import Architecture, Filters
from trainables.models.layers import count_multiply_adds, count_parameters
from trainables.training.objectives import RECONSTRUCTION

PARAMETER_BUDGET = 360_000
"""Trained weights and biases at most, for all convolutional models: without it every search ends at the widest filters
and capacity decides the comparison."""

BUDGET_SHARE_RANGE = (0.5, 1.0)
"""Share of the parameter budget that a draw may use."""

FILTERS_RATIO_RANGE = (1 / 3, 3.0)
"""Filter count of the second convolution over that of the first, on a logarithmic scale."""

LEAST_FILTERS = 2

RATE_FACTORS = (1.0, 0.3, 3.0)
"""Learning rates of a grid, over the one in its middle, which comes first: of equals it is chosen."""

SAMPLERS = ("random", "tpe", "multivariate_tpe", "gp")
"""Optuna's samplers that a search may use, by the names that they have here."""

LEAST_SAMPLED_TRIALS = 9
"""Trials of a cell below which any sampler would be a random search with extra words: they are spent on a grid."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """An architecture at a code size, trained by an objective: what is searched on its own and compared with others."""

    architecture: str
    code_size: int
    objective: str = RECONSTRUCTION

    def __str__(self) -> str:
        objective = "" if self.objective == RECONSTRUCTION else f"-{self.objective}"
        return f"{self.architecture}-code{self.code_size}{objective}"


def within_budget(
    row: Architecture,
    code_size: int,
    filters: Filters,
    multiply_adds: int | None = None,
    share: float = 1.0,
    outputs_per_unit: int = 1,
) -> bool:
    """Whether the model with these filter counts keeps to a share of the parameter budget, and to ``multiply_adds``."""
    if count_parameters(row, code_size, filters, outputs_per_unit) > share * PARAMETER_BUDGET:
        return False
    return multiply_adds is None or count_multiply_adds(row, code_size, filters, outputs_per_unit) <= multiply_adds


@lru_cache(maxsize=100_000)
def choose_filters(
    row: Architecture,
    code_size: int,
    share: float,
    ratio: float,
    multiply_adds: int | None = None,
    outputs_per_unit: int = 1,
) -> Filters:
    """Return the largest filter counts of about ``ratio`` that keep to ``share`` of the parameter budget.

    Where even the least counts do not, as with a large code, they are returned.

    Raises:
        InputError: the least counts already exceed a whole budget.
    """
    least = (LEAST_FILTERS, LEAST_FILTERS)
    if not within_budget(row, code_size, least, multiply_adds, outputs_per_unit=outputs_per_unit):
        second = "" if multiply_adds is None else f", or {multiply_adds:,} multiply-adds,"
        raise InputError(
            f"{Cell(row.name, code_size)} has more than {PARAMETER_BUDGET:,} parameters{second} at the least filter "
            "counts",
            "cells that fit the budget",
            "choose a smaller code size",
        )

    def scale(size: float) -> Filters:
        first, second = (max(LEAST_FILTERS, round(size * part)) for part in (1 / math.sqrt(ratio), math.sqrt(ratio)))
        return first, second

    # Parameters and multiply-adds grow with the size, so halving its range finds the largest that fits.
    low, high = 0.0, float(PARAMETER_BUDGET)
    while scale(low) != scale(high) and high - low > 1e-6:
        middle = (low + high) / 2
        fits = within_budget(row, code_size, scale(middle), multiply_adds, share, outputs_per_unit)
        low, high = (middle, high) if fits else (low, middle)
    return scale(low)


def check_filters(row: Architecture) -> None:
    """Refuse a row of the user's own whose published filter counts lie where no search draws any.

    Raises:
        InputError: with the ranges.
    """
    if row.published_filters is None:
        return
    first, second = row.published_filters
    least, most = FILTERS_RATIO_RANGE
    if min(first, second) < LEAST_FILTERS or not least <= second / first <= most:
        raise InputError(
            f"{row.name}: published_filters {row.published_filters}",
            f"2 whole numbers from {LEAST_FILTERS}, neither more than {most:g} times the other, as a search draws them",
            "correct published_filters",
        )


def measure_filters(
    row: Architecture, code_size: int, filters: Filters, outputs_per_unit: int = 1
) -> tuple[float, float]:
    """Return the share of the parameter budget and the ratio of filter counts that these counts make."""
    return count_parameters(row, code_size, filters, outputs_per_unit) / PARAMETER_BUDGET, filters[1] / filters[0]
