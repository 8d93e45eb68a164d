"""The trials to come take as long as those like them."""

from __future__ import annotations

import pytest

from study.plan.pace import Pace, format_range
from study.plan.plan import Plan
from study.plan.trials import plan_trials
from tests.studies import row_of, small_config


def test_pace_prefers_trials_alike_then_their_cell_then_any() -> None:
    """Two cells; one has searched at 2 s an epoch, the other has not begun; full budget is 5 epochs."""
    config = small_config(trials=2, seeds=1)
    plan = Plan(config, ())
    pace = Pace()
    assert pace.estimate_seconds(plan.count_left()) is None
    search = next(planned for planned in plan_trials(config) if planned.cell.architecture == "model_1")
    pace.add(row_of(search, None) | {"epochs": 3, "device_seconds": 6.0})
    groups = {(group.phase, group.arm, group.cell.architecture): group for group in plan.count_left()}
    seconds = {key: pace.estimate_seconds({group: 1}) for key, group in groups.items()}
    assert seconds["search", "tuned", "model_1"] == 6.0
    assert seconds["confirm", "tuned", "model_1"] == seconds["confirm", "published", "model_1"] == 10.0
    assert seconds["search", "tuned", "model_4"] == 10.0
    assert seconds["confirm", "control", "pca"] == 0.0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.5, "0 to 1 s"),
        (20.0, "16 to 26 s"),
        (100.0, "80 s to 2 min"),
        (300.0, "4 to 6 min"),
        (3600.0, "48 to 78 min"),
        (77_000.0, "17.1 to 27.8 h"),
        (0.0, "0 s"),
    ],
)
def test_an_estimate_is_a_range(seconds: float, said: str) -> None:
    """From four fifths to a third more, with the unit once where it is the same."""
    assert format_range(seconds) == said


def test_rounds_of_a_search_are_told_apart() -> None:
    """A trial of 2 epochs says of one of 5 how long an epoch takes, and nothing else."""
    plan = Plan(small_config(architectures=("model_1",), trials=3), ())
    (first, *_) = plan_trials(plan.config)
    pace = Pace([row_of(first, None) | {"epochs": 2, "device_seconds": 6.0}])
    seconds = {group.round: pace.estimate_seconds({group: 1}) for group in plan.count_left() if group.round}
    assert seconds == {1: 6.0, 3: 15.0}
