"""The search space: filter counts from a share of the budget and a ratio, within one budget or two."""

from __future__ import annotations

import pytest

from study.config.presets import study_config
from study.config.search_space import (
    PARAMETER_BUDGET,
    Cell,
    check_filters,
    choose_filters,
    measure_filters,
    within_budget,
)
from trainables.errors import FieldError, InputError
from trainables.models.architectures import BUILT_IN
from trainables.models.custom import dump_row, load_row
from trainables.models.layers import count_parameters


@pytest.mark.parametrize("name", [row.name for row in BUILT_IN.values() if row.ranked])
@pytest.mark.parametrize("share", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("ratio", [1 / 3, 1.0, 3.0])
def test_the_largest_counts_of_a_ratio_within_a_share_are_chosen(name: str, share: float, ratio: float) -> None:
    """A step wider, in either count or both, is over it."""
    row = BUILT_IN[name]
    first, second = choose_filters(row, 10, share, ratio)
    assert count_parameters(row, 10, (first, second)) <= share * PARAMETER_BUDGET
    assert not within_budget(row, 10, (first + 1 + first // 3, second + 1 + second // 3), share=share)
    if 2 not in (first, second):  # the least count
        assert second / first == pytest.approx(ratio, rel=0.5 / first + 0.5 / second)


def test_the_published_counts_are_found_again_from_their_coordinates() -> None:
    """To rounding: coordinates say what a model is."""
    row = BUILT_IN["model_4"]
    share, ratio = measure_filters(row, 10, (26, 36))
    assert (share, ratio) == (341_735 / 360_000, 36 / 26)
    assert choose_filters(row, 10, share, ratio) == (26, 36)


def test_a_share_that_a_large_code_leaves_nothing_of_gives_the_least_counts() -> None:
    """A code of 350 units takes half of the budget by itself."""
    assert choose_filters(BUILT_IN["model_4"], 350, 0.5, 1.0) == (2, 2)


def test_the_budget_counts_weights_and_biases() -> None:
    """Model 4 with 26 and 36 maps has 351,755 parameters at code size 30, and another 501 for each unit of the code."""
    row = BUILT_IN["model_4"]
    assert count_parameters(row, 30, (26, 36)) == 351_755
    assert within_budget(row, 30 + (360_000 - 351_755) // 501, (26, 36))
    assert not within_budget(row, 31 + (360_000 - 351_755) // 501, (26, 36))


def test_a_second_budget_holds_beside_the_first() -> None:
    """4,037,000 multiply-adds at the published counts and code size 10."""
    row = BUILT_IN["model_4"]
    assert within_budget(row, 10, (26, 36), 4_037_000)
    assert not within_budget(row, 10, (26, 36), 4_036_999)


def test_a_cell_over_a_budget_at_its_least_counts_is_refused() -> None:
    """A code of 784 units alone joins 392,000 weights; 1,000 multiply-adds make no model."""
    with pytest.raises(InputError, match="model_4-code784 has more than 360,000 parameters at"):
        choose_filters(BUILT_IN["model_4"], 784, 1.0, 1.0)
    with pytest.raises(InputError, match="or 1,000 multiply-adds,"):
        choose_filters(BUILT_IN["model_4"], 10, 1.0, 1.0, 1_000)


def test_the_name_of_a_cell_is_part_of_every_id() -> None:
    """It never changes."""
    assert str(Cell("model_1", 10)) == "model_1-code10"


@pytest.mark.parametrize("filters", [(1, 2), (2, 1), (100, 24), (2, 7), (31, 10)])
def test_published_filter_counts_that_no_search_draws_are_refused(filters: tuple[int, int]) -> None:
    """Least counts and ratios at either end are drawn; a row of a study's own is refused with it."""
    values = dump_row(BUILT_IN["model_4"]) | {"name": "own"}
    row = load_row(values | {"published_filters": filters})
    with pytest.raises(InputError, match=r"own: published_filters .*\n.* from 2, neither more than 3 times the other"):
        check_filters(row)
    with pytest.raises(FieldError, match="own: published_filters"):
        study_config("quick", models=(row,))
    for drawn in ((2, 2), (2, 6), (30, 10), (7, 21)):
        check_filters(load_row(values | {"published_filters": drawn}))
    for each in BUILT_IN.values():
        check_filters(each)
