"""The trials to come take as long as those like them."""

from __future__ import annotations

from study.config.presets import study_config
from study.plan.pace import Pace
from study.plan.plan import Plan
from study.plan.trials import plan_trials
from tests.studies import row_of


def test_pace_prefers_trials_alike_then_their_cell_then_any() -> None:
    """Two cells; one has searched at 2 s an epoch, the other has not begun; full budget is 5 epochs."""
    config = study_config("quick", architectures=("model_1", "model_4"), trials=2, seeds=1, epochs=5)
    plan = Plan(config, ())
    pace = Pace(config.epochs)
    assert pace.estimate_seconds(plan.count_left()) is None
    search = next(planned for planned in plan_trials(config) if planned.cell.architecture == "model_1")
    pace.add(row_of(search, None) | {"epochs": 3, "device_seconds": 6.0})
    groups = {(group.phase, group.arm, group.cell.architecture): group for group in plan.count_left()}
    seconds = {key: pace.estimate_seconds({group: 1}) for key, group in groups.items()}
    assert seconds["search", "tuned", "model_1"] == 6.0
    assert seconds["confirm", "tuned", "model_1"] == seconds["confirm", "published", "model_1"] == 10.0
    assert seconds["search", "tuned", "model_4"] == 10.0
    assert seconds["confirm", "control", "pca"] == 0.0
