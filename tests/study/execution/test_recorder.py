"""What workers report becomes rows, and whoever listens is told."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.execution.recorder import TrialRecorder
from study.plan.plan import Plan
from study.plan.planned_trial import Group
from study.storage.store import Store
from tests.studies import small_config
from trainables.evaluation.scores import make_scores
from trainables.models.pictures import Picture
from trainables.run_trial import Outcome, Report
from trainables.training.training import EpochMetrics

PROVENANCE = {"study": "some", "dataset": "digits", "git_commit": "c" * 40}


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def tick(self) -> None:
        """Keep nothing."""

    def epoch_ended(self, trial_id: str, figures: EpochMetrics) -> None:
        """Keep the epoch."""
        self.told.append(("epoch", figures.epoch))

    def trial_ended(self, row: Mapping[str, Any], squared_error: float | None) -> None:
        """Keep the trial's status and error."""
        self.told.append((row["status"], squared_error))

    def attempt_failed(self, trial_id: str, reason: str) -> None:
        """Keep the reason."""
        self.told.append(("again", reason))

    def group_lost(self, group: Group, row: Mapping[str, Any]) -> None:
        """Keep the group."""
        self.told.append(("lost", str(group)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The store of a new study."""
    store = Store(tmp_path / "study")
    store.open({"schema_version": 1, "name": "some"})
    return store


def make_epoch(number: int, value: float = 190.0) -> EpochMetrics:
    """Return what a worker says of an epoch."""
    return EpochMetrics(number, 0.01, 210.0, 30.0, value, 28.0, 0.5)


def test_a_trial_that_ends_is_a_row_with_its_epochs_scores_and_provenance(store: Store) -> None:
    """A value that is not finite is null; the test images' squared error is told."""
    listener = Listener()
    recorder = TrialRecorder(Plan(small_config(), ()), store, listener, PROVENANCE)
    batch = recorder.take()
    assert batch is not None
    (trial,) = batch.trials
    (score,) = make_scores("reconstruction", {"squared_error": np.array([25.0, 0.0])})
    picture = Picture("map", "conv1", 1, 3, np.array([[1, 2, 3], [4, 5, 6]], np.float16))
    outcome = Outcome("complete", scores=[score], pictures=[picture])
    with store.writing():
        recorder.receive(Report(trial.trial_id, {"host": "here"}, make_epoch(1, float("nan")), None))
        recorder.receive(Report(trial.trial_id, {"host": "here"}, make_epoch(2), None))
        recorder.receive(Report(trial.trial_id, {"host": "here"}, None, outcome))
    (row,) = store.read_trials()
    assert (row["trial_id"], row["status"], row["epochs"], row["host"]) == (trial.trial_id, "complete", 2, "here")
    assert (row["train_cross_entropy"], row["validation_cross_entropy"]) == (210.0, 190.0)
    assert row["git_commit"] == "c" * 40
    curve = store.read_curves({trial.trial_id})[trial.trial_id]
    assert [epoch["validation_cross_entropy"] for epoch in curve] == [None, 190.0]
    assert [row["value"] for row in store.read_rows("scores", trial.trial_id)] == [12.5]
    assert [row["values"] for row in store.read_rows("image_scores", trial.trial_id)] == [[25.0, 0.0]]
    assert store.read_rows("pictures", trial.trial_id) == [
        {"trial_id": trial.trial_id, "kind": "map", "layer": "conv1", "depth": 1, "index": 3}
        | {"height": 2, "width": 3, "values": [1, 2, 3, 4, 5, 6]}
    ]
    assert listener.told == [("epoch", 1), ("epoch", 2), ("complete", 12.5)]
    assert not recorder.holds(trial.trial_id)


def test_a_trial_that_starts_again_keeps_the_epochs_of_its_last_attempt(store: Store) -> None:
    """It starts from its beginning; what another seed of its batch repeats is ignored once it has ended."""
    recorder = TrialRecorder(Plan(small_config(), ()), store, Listener(), PROVENANCE)
    batch = recorder.take()
    assert batch is not None
    (trial,) = batch.trials
    with store.writing():
        for number in (1, 2, 3, 1):
            recorder.receive(Report(trial.trial_id, {}, make_epoch(number, 100.0 - number), None))
        recorder.commit(trial.trial_id, Outcome("pruned", "behind"))
        recorder.receive(Report(trial.trial_id, {}, make_epoch(1), None))
    (row,) = store.read_trials()
    assert (row["status"], row["epochs"], row["validation_cross_entropy"]) == ("pruned", 1, 99.0)


def test_the_last_trial_of_a_group_without_a_result_is_told(store: Store) -> None:
    """As soon as it has failed."""
    listener = Listener()
    config = small_config(architectures=("model_1",), phases=("search",), trials=2)
    recorder = TrialRecorder(Plan(config, ()), store, listener, PROVENANCE)
    with store.writing():
        while (batch := recorder.take()) is not None:
            recorder.commit(batch.trials[0].trial_id, Outcome("failed", "on purpose"))
    assert listener.told == [*[("failed", None)] * 4, ("lost", "the search of model_1-code10")]


def test_what_is_given_back_is_handed_out_once_more(store: Store) -> None:
    """Before what the plan has next, and once."""
    recorder = TrialRecorder(Plan(small_config(), ()), store, Listener(), PROVENANCE)
    batches = [recorder.take() for _ in range(2)]
    assert batches[1] is not None
    recorder.give_back(batches[1])
    assert recorder.take() is batches[1]
    assert recorder.take() not in batches


def test_tune_may_pickle_a_recorder_while_rows_are_written(store: Store) -> None:
    """With the callbacks and the searcher that hold it, to a file that nothing reads."""
    recorder = TrialRecorder(Plan(small_config(), ()), store, Listener(), PROVENANCE)
    with store, store.writing():
        assert len(pickle.dumps(recorder)) < 100
