"""Trials of search are stopped by those of their own cell alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import TrialScheduler

from study.config.search_space import Cell, grace_period
from study.execution.early_stopping import CellStopping
from trainables.models.architectures import BUILT_IN

EPOCHS = 10
CELL = Cell("model_1", 10)


def make_trial(trial_id: str, phase: str = "search", architecture: str = "model_1") -> Any:
    """Return what of Tune's trial is asked for."""
    batch = SimpleNamespace(phase=phase, row=BUILT_IN[architecture], code_size=10)
    return SimpleNamespace(trial_id=trial_id, config={"batch": batch})


def train(stopping: CellStopping, trial: Any, value: float) -> int:
    """Report ``value`` epoch after epoch and return how many there were."""
    stopping.on_trial_add(None, trial)
    for epoch in range(1, EPOCHS + 1):
        result = {"epoch": epoch, "validation_cross_entropy": value, "done": epoch == EPOCHS}
        if stopping.on_trial_result(None, trial, result) == TrialScheduler.STOP:
            return epoch
    return EPOCHS


def test_a_trial_behind_those_of_its_cell_is_stopped_at_the_first_rung() -> None:
    """Which is after a fifth of ten epochs; three good trials are there to compare with."""
    stopping = CellStopping(EPOCHS)
    for number in range(3):
        stopping.replay(CELL, f"good-{number}", [100.0] * EPOCHS)
    assert grace_period(EPOCHS) == 2
    assert train(stopping, make_trial("bad"), 200.0) == 2
    assert stopping.pruned == {"bad"}


def test_another_cell_or_phase_is_not_compared_with() -> None:
    """A worse value of another model, and of a confirmation, goes on to the end."""
    stopping = CellStopping(EPOCHS)
    for number in range(3):
        stopping.replay(CELL, f"good-{number}", [100.0] * EPOCHS)
    assert train(stopping, make_trial("other", architecture="model_4"), 200.0) == EPOCHS
    assert train(stopping, make_trial("confirmed", phase="confirm"), 200.0) == EPOCHS
    assert stopping.pruned == set()
