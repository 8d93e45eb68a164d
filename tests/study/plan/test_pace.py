"""The trials to come take as long as those like them."""

from __future__ import annotations

from study.plan.pace import Pace
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


def test_rounds_of_a_search_are_told_apart() -> None:
    """A trial of 2 epochs says of one of 5 how long an epoch takes, and nothing else."""
    plan = Plan(small_config(architectures=("model_1",), trials=3), ())
    (first, *_) = plan_trials(plan.config)
    pace = Pace([row_of(first, None) | {"epochs": 2, "device_seconds": 6.0}])
    seconds = {group.round: pace.estimate_seconds({group: 1}) for group in plan.count_left() if group.round}
    assert seconds == {1: 6.0, 3: 15.0}
