"""How long a study will take: what trials share that run at once, and that seeds are measured as they are trained."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from study.execution import estimate
from study.plan.plan import Plan
from tests.studies import small_config
from trainables.data.datasets import load_dataset
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
    planned = Plan(config, ()).missing()
    alone = estimate.estimate(config, planned, dataset, torch.device("cpu"))
    assert not seen
    monkeypatch.setitem(estimate.SEEDS_AT_ONCE, "cpu", 8)
    together = estimate.estimate(config, planned, dataset, torch.device("cpu"))
    assert seen
    assert set(seen) == {3}
    assert together.trials == alone.trials
    assert together.evaluation_seconds == alone.evaluation_seconds > 0
    assert 0 < together.training_seconds < 100 * alone.training_seconds
