"""Early stopping of a search: its rungs worked out by hand, cell by cell, live and from rows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from study.config.search_space import Cell
from study.execution.early_stopping import CellStopping
from trainables.models.architectures import BUILT_IN
from trainables.run_trial import Trial, TrialBatch

EPOCHS = 15
"""A fifth, 3, is the grace period; by factors of 3 the rungs are at epochs 3 and 9."""


def searched(trial_id: str, architecture: str = "model_1", phase: str = "search") -> Any:
    """Return a trial of Tune's that runs a batch of one search trial."""
    batch = TrialBatch(phase, BUILT_IN[architecture], 10, None, (Trial(trial_id, 1),))
    return SimpleNamespace(trial_id=trial_id, config={"batch": batch})


def epochs_trained(stopping: CellStopping, trial: Any, value: float) -> int:
    """Report ``value`` after every epoch; return after how many the trial was stopped, or all."""
    stopping.on_trial_add(None, trial)
    for epoch in range(1, EPOCHS + 1):
        result = {"epoch": epoch, "validation_cross_entropy": value, "done": epoch == EPOCHS}
        if stopping.on_trial_result(None, trial, result) == "STOP":
            return epoch
    return EPOCHS


def test_the_best_third_of_those_that_reached_a_rung_goes_on() -> None:
    """Low values are good; the cutoff is the value below which a third of those lie that came before."""
    stopping = CellStopping(EPOCHS)
    # Before 120 the third of (90, 100) lies below 93.3 at both rungs. Before 95 that of (90, 100, 120) lies below 96.7
    # at epoch 3, which 95 passes, and that of (90, 100) below 93.3 at epoch 9, which it does not.
    trained = [epochs_trained(stopping, searched(str(value)), value) for value in (100.0, 90.0, 120.0, 95.0, 80.0)]
    assert trained == [EPOCHS, EPOCHS, 3, 9, EPOCHS]
    assert stopping.pruned == {"120.0", "95.0"}


def test_a_worse_trial_may_pass_the_first_rung_and_be_stopped_at_the_second() -> None:
    """The rung at epoch 9 compares those that came so far."""
    stopping = CellStopping(EPOCHS)
    assert epochs_trained(stopping, searched("first"), 100.0) == EPOCHS
    falling = searched("second")
    stopping.on_trial_add(None, falling)
    values = {3: 90.0, 9: 110.0}
    stopped_at = 0
    for epoch in range(1, EPOCHS + 1):
        result = {"epoch": epoch, "validation_cross_entropy": values.get(epoch, 100.0), "done": False}
        if stopping.on_trial_result(None, falling, result) == "STOP":
            stopped_at = epoch
            break
    assert stopped_at == 9


def test_cells_are_compared_with_themselves_alone() -> None:
    """A cell whose loss is ten times that of another loses none of its trials to it."""
    stopping = CellStopping(EPOCHS)
    assert [epochs_trained(stopping, searched(f"a{value}"), value) for value in (60.0, 59.0, 58.0)] == [EPOCHS] * 3
    other = [epochs_trained(stopping, searched(f"b{value}", "model_4"), value) for value in (600.0, 590.0, 580.0)]
    assert other == [EPOCHS] * 3
    assert not stopping.pruned


def test_a_trial_that_trained_its_full_budget_is_never_pruned() -> None:
    """The last epoch is its end, whatever its value."""
    stopping = CellStopping(EPOCHS)
    assert epochs_trained(stopping, searched("good"), 1.0) == EPOCHS
    late = searched("late")
    stopping.on_trial_add(None, late)
    result = {"epoch": EPOCHS, "validation_cross_entropy": 1e9, "done": True}
    assert stopping.on_trial_result(None, late, result) == "CONTINUE"
    assert "late" not in stopping.pruned


def test_no_other_phase_is_stopped() -> None:
    """Confirmed and ablated trials train to their end."""
    stopping = CellStopping(EPOCHS)
    assert epochs_trained(stopping, searched("good"), 1.0) == EPOCHS
    assert epochs_trained(stopping, searched("bad", phase="confirm"), 1e9) == EPOCHS


def test_rungs_replayed_from_rows_decide_as_those_that_were_live() -> None:
    """A resumed search stops the same trials as one that was never interrupted."""
    live, resumed = CellStopping(EPOCHS), CellStopping(EPOCHS)
    for value in (100.0, 90.0, 120.0):
        trained = epochs_trained(live, searched(str(value)), value)
        resumed.replay(Cell("model_1", 10), str(value), [value] * trained)
    for value in (96.0, 89.0, 70.0, 101.0):
        again = epochs_trained(resumed, searched(str(value)), value)
        assert again == epochs_trained(live, searched(str(value)), value)
