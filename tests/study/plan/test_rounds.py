"""Rounds of a search: who trains how long, who goes on, who wins, worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from study.config.search_space import Cell
from study.config.study_config import SEARCH_METRICS, StudyConfig
from study.plan.rounds import Round, find_winner, list_entrants, list_rounds, plan_round
from study.storage.schema import EPOCHS, TRIALS
from tests.studies import small_config
from trainables.evaluation.scores import METRICS

CELL = Cell("model_4", 10)


def searched(trials: int, **changes: Any) -> StudyConfig:
    """Return a configuration of one cell with so many trials and 33 epochs."""
    values: dict[str, Any] = {"architectures": ("model_4",), "trials": trials, "epochs": 33, "finalists": 3}
    return small_config(**(values | {"validation_seeds": 3} | changes))


def end_round(
    config: StudyConfig, rows: dict[str, Any], place: int, values: Mapping[int, float | tuple[float, ...]]
) -> list[int]:
    """End the trials that enter a round, each with its value, or one a seed; others with 100 and their number.

    It is their cross-entropy; by squared error they are the other way round.
    """
    numbers = list_entrants(config, CELL, rows)[place]
    assert numbers is not None
    for planned in plan_round(config, CELL, list_rounds(config)[place], numbers):
        value = values.get(planned.number, 100.0 + planned.number)
        value = value[(planned.seed_number or 1) - 1] if isinstance(value, tuple) else value
        status = "complete" if math.isfinite(value) else "diverged"
        rows[planned.trial_id] = {
            "trial_id": planned.trial_id,
            "status": status,
            "validation_cross_entropy": value if status == "complete" else None,
            "validation_squared_error": 1000.0 - value if status == "complete" else None,
            "configuration": f"of {planned.number}",
        }
    return numbers


@pytest.mark.parametrize(
    ("trials", "changes", "expected"),
    [
        (30, {}, (Round(1, 4, 30, 1), Round(2, 11, 10, 1), Round(3, 33, 3, 3))),
        (18, {"epochs": 10}, (Round(1, 2, 18, 1), Round(2, 3, 6, 1), Round(3, 10, 3, 3))),
        (30, {"epochs": 4}, (Round(1, 2, 30, 1), Round(3, 4, 3, 3))),  # a third of 4 epochs is no more than 2
        (9, {}, (Round(1, 4, 9, 1), Round(3, 33, 3, 3))),  # the best third of 9 are the finalists
        (3, {}, (Round(3, 33, 3, 3),)),
        (30, {"epochs": 2}, (Round(3, 2, 30, 3),)),
        (7, {"finalists": 2}, (Round(1, 4, 7, 1), Round(2, 11, 3, 1), Round(3, 33, 2, 3))),
        (1, {}, (Round(3, 33, 1, 1),)),
        (1, {"finalists": 1}, (Round(3, 33, 1, 1),)),
    ],
)
def test_rounds_that_decide_nothing_are_none(trials: int, changes: dict[str, Any], expected: tuple[Round, ...]) -> None:
    """A ninth of the epochs, at least 2, and a third; rounds of as many epochs are one, as are those of all trials."""
    assert list_rounds(searched(trials, **changes)) == expected


def test_the_best_third_goes_on_and_trial_0_is_a_finalist_whatever_it_did() -> None:
    """18 trials, of which 6 go on and 3 are finalists; trial 0 takes the last place, in the order of the plan."""
    config, rows = searched(18), dict[str, Any]()
    assert list_entrants(config, CELL, rows) == [list(range(18)), None, None]
    low = {17: 90.0, 16: 91.0, 3: 92.0, 4: 93.0, 15: 94.0, 2: 95.0}
    assert end_round(config, rows, 0, low | {0: 99.0}) == list(range(18))
    assert end_round(config, rows, 1, {15: 50.0, 3: 51.0, 17: 52.0}) == [2, 3, 4, 15, 16, 17]
    assert list_entrants(config, CELL, rows)[2] == [0, 3, 15]


def test_trial_0_takes_no_place_that_it_has_earned_already() -> None:
    """Among the best of round 2 it is one of three."""
    config, rows = searched(18), dict[str, Any]()
    end_round(config, rows, 0, {0: 10.0})
    assert end_round(config, rows, 1, {0: 10.0, 5: 11.0, 1: 12.0}) == [0, 1, 2, 3, 4, 5]
    assert list_entrants(config, CELL, rows)[2] == [0, 1, 5]


def test_of_equals_the_earlier_trial_goes_on() -> None:
    """Whoever ended first."""
    config, rows = searched(9), dict[str, Any]()
    end_round(config, rows, 0, dict.fromkeys(range(9), 50.0))
    assert list_entrants(config, CELL, dict(reversed(rows.items())))[1] == [0, 1, 2]


def test_a_round_waits_for_every_trial_of_the_one_before() -> None:
    """The last may be the best."""
    config, rows = searched(9), dict[str, Any]()
    end_round(config, rows, 0, {})
    del rows["search-model_4-code10-round1-0007"]
    assert list_entrants(config, CELL, rows)[1] is None


def test_what_diverged_goes_nowhere() -> None:
    """Two of nine are left, and trial 0 besides, which is a finalist also where it diverged while it was short."""
    config, rows = searched(9), dict[str, Any]()
    end_round(config, rows, 0, dict.fromkeys((0, 1, 2, 4, 5, 7, 8), math.inf))
    assert list_entrants(config, CELL, rows)[1] == [0, 3, 6]


def final(values: Mapping[int, float | tuple[float, ...]]) -> Any:
    """Return the winner of three finalists."""
    config, rows = searched(3), dict[str, Any]()
    end_round(config, rows, 0, values)
    return find_winner(config, CELL, rows)


def test_the_lowest_mean_over_validation_seeds_wins_and_says_by_how_much() -> None:
    """Not the lowest value."""
    winner = final({0: (90.0, 90.0, 90.0), 1: (60.0, 100.0, 101.0), 2: (85.0, 86.0, 84.0)})
    assert (winner.number, winner.mean, winner.gain) == (2, 85.0, 5.0)
    assert winner.row["configuration"] == "of 2"
    assert final({0: 1.0}).gain == 0.0


def test_a_finalist_of_which_a_seed_diverged_comes_behind_those_of_which_none_did() -> None:
    """However low the others are; without trial 0 there is nothing to gain over."""
    winner = final({0: math.inf, 1: (1.0, math.inf, 1.0), 2: 99.0})
    assert (winner.number, winner.gain) == (2, None)
    assert final(dict.fromkeys(range(3), math.inf)) is None


def test_what_a_search_minimises_decides_who_goes_on_and_who_wins() -> None:
    """By squared error the other end goes on; the gain stays one of cross-entropy, which the winner raises."""
    config, rows = searched(9, search_metric="squared_error"), dict[str, Any]()
    end_round(config, rows, 0, {})
    assert list_entrants(config, CELL, rows)[1] == [0, 7, 8]
    assert list_entrants(searched(9), CELL, rows)[1] == [0, 1, 2]
    end_round(config, rows, 1, {7: (120.0, 130.0, 140.0), 8: (129.0, 129.0, 129.0)})
    winner = find_winner(config, CELL, rows)
    assert winner is not None
    assert (winner.number, winner.mean, winner.gain) == (7, 870.0, -30.0)


def test_each_metric_of_a_search_is_a_column_of_rows_of_which_less_is_better() -> None:
    """A trial's and an epoch's; no search has to ask what is better."""
    for name in SEARCH_METRICS:
        column = small_config(search_metric=name).search_column
        assert METRICS[name] == (TRIALS.field(column).metadata[b"unit"].decode(), "lower")
        assert column in EPOCHS.names


def test_nobody_has_won_before_every_finalist_has_ended() -> None:
    """A seed that is missing may change the mean."""
    config, rows = searched(3), dict[str, Any]()
    end_round(config, rows, 0, {})
    del rows["search-model_4-code10-round3-grid0000-03"]
    assert find_winner(config, CELL, rows) is None


def test_finalists_pair_by_seed_and_no_seed_is_that_of_another_trial() -> None:
    """Three validation seeds, the same for each; rounds 1 and 2 have one of their own for every trial."""
    config = searched(18)
    seeds = [[planned.seed for planned in plan_round(config, CELL, each, [0, 7])] for each in list_rounds(config)]
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 2
    assert seeds[2][:3] == seeds[2][3:]
    confirmed = {config.confirm_seed(number) for number in range(1, 1_001)}
    assert len({*seeds[0], *seeds[2]}) == 5
    assert not {*seeds[0], *seeds[2]} & confirmed


def test_a_grid_and_a_sampler_share_no_id() -> None:
    """Trial 1 of the one has other settings than trial 1 of the other."""
    ids = [
        {planned.trial_id for planned in plan_round(config, CELL, each, range(3))}
        for config in (searched(8), searched(9))
        for each in list_rounds(config)
    ]
    assert not {*ids[0], *ids[1]} & {*ids[2], *ids[3]}
