"""The search space: filter counts within the parameter budget, and what early stopping leaves to every trial."""

from __future__ import annotations

import pytest

from study.config.search_space import FILTERS_RANGE, Cell, grace_period, widest, within_budget
from trainables.errors import InputError
from trainables.models.architectures import BUILT_IN
from trainables.models.layers import count_parameters


def test_widest_is_the_last_count_within_the_budget() -> None:
    """One more map is over it, or over the range."""
    for name in ("model_1", "model_2", "model_4", "unpool_only"):
        row = BUILT_IN[name]
        for first in (2, 8, widest(row, 30)):
            second = widest(row, 30, first)
            assert within_budget(row, 30, (first, second))
            assert second == FILTERS_RANGE[1] or not within_budget(row, 30, (first, second + 1))


def test_the_budget_counts_weights_and_biases() -> None:
    """Model 4 with 26 and 36 maps has 351,755 parameters at code size 30, and another 501 for each unit of the code."""
    row = BUILT_IN["model_4"]
    assert count_parameters(row, 30, (26, 36)) == 351_755
    assert within_budget(row, 30 + (360_000 - 351_755) // 501, (26, 36))
    assert not within_budget(row, 31 + (360_000 - 351_755) // 501, (26, 36))


def test_a_cell_over_the_budget_at_its_least_counts_is_refused() -> None:
    """A code of 784 units alone joins 392,000 weights."""
    with pytest.raises(InputError, match="model_4-code784 has more than 360,000"):
        widest(BUILT_IN["model_4"], 784)


@pytest.mark.parametrize(("epochs", "left"), [(1, 1), (4, 1), (10, 2), (33, 6)])
def test_a_fifth_of_the_epochs_is_left_to_every_trial(epochs: int, left: int) -> None:
    """And one epoch at least."""
    assert grace_period(epochs) == left


def test_the_name_of_a_cell_is_part_of_every_id() -> None:
    """It never changes."""
    assert str(Cell("model_1", 10)) == "model_1-code10"
