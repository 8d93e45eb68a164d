"""Early stopping that compares trials of the same cell only: one ASHA a cell, in search alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from study.config.search_space import REDUCTION_FACTOR, Cell, grace_period
from trainables.run_trial import TrialBatch


def make_stopper(epochs: int) -> Any:
    """Return an empty `AsyncHyperBandScheduler` for one cell."""
    return AsyncHyperBandScheduler(
        time_attr="epoch",
        metric="validation_cross_entropy",
        mode="min",
        max_t=epochs,
        grace_period=grace_period(epochs),
        reduction_factor=REDUCTION_FACTOR,
    )


def replay_epochs(stopping: Any, trial_id: str, values: Iterable[float]) -> Iterator[bool]:
    """Show a trial's validation cross-entropy to a stopper, epoch by epoch; yield whether it lets it go on."""
    trial = SimpleNamespace(trial_id=trial_id)
    stopping.on_trial_add(None, trial)
    for epoch, value in enumerate(values, start=1):
        result = {"epoch": epoch, "validation_cross_entropy": value}
        yield stopping.on_trial_result(None, trial, result) != TrialScheduler.STOP


class CellStopping(FIFOScheduler):
    """Trials in order; those of search are stopped when they fall behind their own cell's.

    ``pruned`` holds Tune's ids of the trials that it stopped before their full budget.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._stoppers: dict[Cell, Any] = defaultdict(partial(make_stopper, epochs))
        self.pruned: set[str] = set()

    def replay(self, cell: Cell, trial_id: str, values: Iterable[float]) -> None:
        """Show a finished search trial to its cell's stopper, so that a resumed study knows its rungs.

        ``values`` are its validation cross-entropies epoch by epoch.
        """
        for _ in replay_epochs(self._stoppers[cell], trial_id, values):
            pass

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Make the trial known to its cell's stopper."""
        if cell := _find_searched_cell(trial):
            self._stoppers[cell].on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether the trial goes on."""
        cell = _find_searched_cell(trial)
        if cell is None or result["done"]:
            return str(TrialScheduler.CONTINUE)
        decision = str(self._stoppers[cell].on_trial_result(tune_controller, trial, result))
        if decision == TrialScheduler.STOP:
            self.pruned.add(trial.trial_id)
        return decision

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Leave the order to the controller, which starts what waits; Tune's own choice goes through all trials ever.

        It is asked at every result, so that choice would take longer and longer.
        """


def _find_searched_cell(trial: Any) -> Cell | None:
    batch: TrialBatch = trial.config["batch"]
    return Cell(batch.row.name, batch.code_size) if batch.phase == "search" else None
