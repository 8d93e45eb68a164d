"""How long a study will take: what trials share that run at once, and that seeds are measured as they are trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from study.display.progress import Progress
from study.execution import estimate
from study.execution.recorder import TrialRecorder, make_provenance_columns
from study.plan.plan import Plan
from study.storage.provenance import versions
from study.storage.store import Store
from tests.studies import small_config
from trainables.data.datasets import load_dataset
from trainables.run_trial import run_trial
from trainables.training.batched import BatchedTraining

WORK = estimate.Estimate({}, 0, training_seconds=800.0, evaluation_seconds=200.0, epoch_seconds=1.0)


@pytest.mark.parametrize(
    ("concurrency", "gpus_per_trial", "seconds"),
    [
        (2, 0, 500.0),  # cores share everything out
        (1, 1, 1000.0),  # a trial has its GPU wait while it evaluates
        (4, 0.25, 800.0),  # four take turns on one GPU and evaluate in the meantime
        (8, 0.25, 400.0),
        (2, 2, 500.0),  # a second GPU of a trial has nothing to do
    ],
)
def test_trials_that_share_a_gpu_take_turns(concurrency: int, gpus_per_trial: float, seconds: float) -> None:
    """What trains is shared out among GPUs, what evaluates among trials."""
    assert WORK.wall_seconds(concurrency, gpus_per_trial) == pytest.approx(seconds)


def test_seeds_at_once_are_measured_as_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a device trains several, a confirmed trial costs its share of the batch; a search trial is alone."""
    seen: list[int] = []
    train_epoch = BatchedTraining.train_epoch
    monkeypatch.setattr(
        BatchedTraining, "train_epoch", lambda batch: seen.append(len(batch.trainings)) or train_epoch(batch)
    )
    dataset, config = load_dataset("digits"), dataclasses.replace(small_config(), seeds=3)
    planned = Plan(config, ()).list_pending()
    alone = estimate.estimate_work(config, planned, dataset, torch.device("cpu"))
    assert not seen
    monkeypatch.setitem(estimate.SEEDS_AT_ONCE, "cpu", 8)
    together = estimate.estimate_work(config, planned, dataset, torch.device("cpu"))
    assert seen
    assert set(seen) == {3}
    assert together.trials == alone.trials
    assert together.evaluation_seconds == alone.evaluation_seconds > 0
    assert 0 < together.training_seconds < 100 * alone.training_seconds


@pytest.mark.slow
def test_the_room_of_a_study_is_about_what_its_files_take(tmp_path: Path) -> None:
    """A search trial, both arms and the controls, trained and written for real; images of digits compress well."""
    config = small_config(architectures=("unpool_only",), trials=1, seeds=1, epochs=1)
    dataset = load_dataset("digits")
    plan, store = Plan(config, ()), Store(tmp_path / "study")
    expected = estimate.estimate_room(plan.list_pending(), config, len(dataset.test))
    store.open({"schema_version": 1, "name": config.name})
    columns = make_provenance_columns(config.name, "0" * 64, dataset, versions(), ("0" * 40, False))
    with store.writing():
        recorder = TrialRecorder(plan, store, Progress(plan, 1), columns)
        while (batch := recorder.take()) is not None:
            for report in run_trial(batch, dataset, torch.device("cpu")):
                recorder.receive(report)
    assert plan.done == plan.total == 5
    taken_up = {
        table: sum(path.stat().st_size for path in (tmp_path / "study" / table).iterdir())
        for table in ("trials", "epochs", "scores", "codes", "weights")
    }
    assert expected.weights == pytest.approx(taken_up.pop("weights"), rel=0.2)
    assert sum(taken_up.values()) < expected.rows < 2 * sum(taken_up.values())
