"""The search space of a cell: every tunable of the study, its range, and the parameter budget that bounds it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from trainables.errors import InputError
from trainables.models.architectures import Architecture, Filters
from trainables.models.layers import count_parameters

FILTERS_RANGE = (2, 64)
"""Filter counts of either convolution, searched on a logarithmic scale."""

PARAMETER_BUDGET = 360_000
"""Trained weights and biases at most, for all convolutional models: without it every search ends at the widest filters
and capacity decides the comparison."""

STARTUP_TRIALS = 5
"""Trials of a cell drawn at random before TPE's model of the cell decides."""


REDUCTION_FACTOR = 3
"""Of the trials of a cell that reach a rung of early stopping, the best of every three go on."""


def grace_period(epochs: int) -> int:
    """Return the epochs that early stopping leaves to every trial: a fifth, in which the learning rate warms up."""
    return max(1, epochs // 5)


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """An architecture at a code size: what is searched on its own and compared with the others."""

    architecture: str
    code_size: int

    def __str__(self) -> str:
        return f"{self.architecture}-code{self.code_size}"


def within_budget(row: Architecture, code_size: int, filters: Filters) -> bool:
    """Whether the model with these filter counts keeps to the parameter budget."""
    return count_parameters(row, code_size, filters) <= PARAMETER_BUDGET


@lru_cache(maxsize=100_000)
def widest(row: Architecture, code_size: int, filters_1: int | None = None) -> int:
    """Return the largest filter count of the second convolution beside ``filters_1``, or of the first beside the least.

    Parameters grow with either count, so halving the range finds it.

    Raises:
        InputError: the least counts already exceed the budget.
    """
    least, most = FILTERS_RANGE

    def fits(count: int) -> bool:
        return within_budget(row, code_size, (count, least) if filters_1 is None else (filters_1, count))

    if not fits(least):
        raise InputError(
            f"{Cell(row.name, code_size)} has more than {PARAMETER_BUDGET:,} parameters at the least filter counts",
            "cells that fit the parameter budget",
            "choose a smaller code size",
        )
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if fits(middle) else (least, middle - 1)
    return least
