"""A trial from start to rows: every seed reports its epochs, ends once, and is measured as it was trained."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from trainables.data.datasets import load_dataset
from trainables.data.images import Dataset
from trainables.models.architectures import BUILT_IN, CONTROLS
from trainables.run_trial import KEPT_RECONSTRUCTIONS, Trial, TrialBatch, run_trial
from trainables.training.batched import BatchedTraining
from trainables.training.training import EpochMetrics, Training
from trainables.trial_config import RECIPES, TrialConfig

SEEDS = (1, 2, 3)


def make_trial_config(name: str) -> TrialConfig:
    """Return settings of a small model."""
    return RECIPES["modern"].trial_config(BUILT_IN[name], 4, 3, batch_size=20, filters=(3, 2))


def assert_close(ours: EpochMetrics, theirs: EpochMetrics, rel: float = 1e-4) -> None:
    """Compare all values but the time."""
    for name in EpochMetrics.__slots__:
        ours_value, theirs_value = getattr(ours, name), getattr(theirs, name)
        if name != "seconds" and theirs_value is not None:
            assert ours_value == pytest.approx(theirs_value, rel=rel), name


def spec_of(trial_config: TrialConfig) -> TrialBatch:
    """Return a confirmed trial of three seeds."""
    runs = tuple(Trial(f"confirm-{seed}", seed, keep_codes=seed == 1) for seed in SEEDS)
    return TrialBatch("confirm", BUILT_IN[trial_config.architecture], trial_config.code_size, trial_config, runs)


def few_digits() -> Dataset:
    """Return a hundred digits to train on and forty to test."""
    digits = load_dataset("digits")
    return Dataset("digits", digits.training.select(0, 100), 20, digits.test.select(0, 40), "0" * 64)


def test_seeds_of_a_trial_end_with_the_rows_that_they_have_alone() -> None:
    """One trial reports every epoch of every seed; outcomes, scores and weights are each seed's own."""
    trial_config = dataclasses.replace(make_trial_config("model_4"), epochs_planned=2)
    cpu = torch.device("cpu")
    ours = list(run_trial(spec_of(trial_config), few_digits(), cpu, at_once=3))
    theirs = list(run_trial(spec_of(trial_config), few_digits(), cpu, at_once=1))
    assert [report.trial_id for report in ours] == [f"confirm-{seed}" for seed in SEEDS] * 2
    assert [report.trial_id for report in theirs] == [f"confirm-{seed}" for seed in SEEDS for _ in range(2)]
    for report in theirs:
        (same,) = [
            other
            for other in ours
            if (other.trial_id, other.epoch and other.epoch.epoch)
            == (report.trial_id, report.epoch and report.epoch.epoch)
        ]
        assert same.epoch is not None
        assert report.epoch is not None
        assert_close(same.epoch, report.epoch, rel=2e-3)
        assert same.columns["parameters"] == report.columns["parameters"]
        assert same.columns["device_seconds"] == pytest.approx(same.columns["seconds"] / 3)
        if report.outcome is None:
            assert same.outcome is None
            continue
        assert same.outcome is not None
        assert same.outcome.status == report.outcome.status == "complete"
        assert (same.outcome.kept is None) == (report.outcome.kept is None)
        errors = [
            [score.value for score in outcome.scores if score.metric == "squared_error"]
            for outcome in (same.outcome, report.outcome)
        ]
        assert errors[0] == pytest.approx(errors[1], rel=1e-2)
        assert same.outcome.weights is not None
    weights = {report.outcome.weights for report in ours if report.outcome is not None}
    assert len(weights) == len(SEEDS)


def test_a_seed_that_diverges_ends_and_the_others_are_trained_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its report says so in its epoch, and no other report of it follows."""
    trial_config = make_trial_config("unpool_only")
    train_epoch = BatchedTraining.train_epoch

    def breaks(batch: BatchedTraining) -> list[EpochMetrics]:
        if batch.epoch == 1:
            with torch.no_grad():
                batch.trainings[2].model.get_parameter("code.weight").fill_(float("inf"))
        return train_epoch(batch)

    monkeypatch.setattr(BatchedTraining, "train_epoch", breaks)
    reports = list(run_trial(spec_of(trial_config), few_digits(), torch.device("cpu"), at_once=3))
    ends = {report.trial_id: (report.outcome.status, report.epoch.epoch) for report in reports if report.outcome}  # type: ignore[union-attr]
    assert ends == {"confirm-1": ("complete", 3), "confirm-2": ("complete", 3), "confirm-3": ("diverged", 2)}
    assert [report.trial_id for report in reports].count("confirm-3") == 2


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [("code.bias", "a code is not finite"), ("output.bias", "cross_entropy of reconstruction on test is not finite")],
)
def test_a_trial_whose_codes_or_scores_are_not_finite_is_diverged(
    parameter: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its losses were finite to the last epoch; none of its scores becomes a row."""
    trial_config = dataclasses.replace(make_trial_config("unpool_only"), epochs_planned=1)
    train_epoch = Training.train_epoch

    def breaks_after(training: Training) -> EpochMetrics:
        figures = train_epoch(training)
        with torch.no_grad():
            training.model.get_parameter(parameter).fill_(float("inf"))
        return figures

    monkeypatch.setattr(Training, "train_epoch", breaks_after)
    *_, last = run_trial(spec_of(trial_config), few_digits(), torch.device("cpu"), at_once=1)
    assert last.epoch is not None
    assert last.epoch.finite
    assert last.outcome is not None
    assert (last.outcome.status, last.outcome.reason) == ("diverged", reason)
    assert not last.outcome.scores
    assert last.outcome.weights is None


def test_a_search_trial_is_measured_on_validation_images_alone() -> None:
    """It trains without them, and leaves no scores and no weights."""
    batch = TrialBatch("search", BUILT_IN["model_1"], 4, make_trial_config("model_1"), (Trial("search-1", 1),))
    reports = list(run_trial(batch, few_digits(), torch.device("cpu")))
    assert [report.epoch.epoch for report in reports if report.epoch] == [1, 2, 3]
    assert all(report.epoch and report.epoch.validation_cross_entropy for report in reports)
    assert reports[-1].columns["train_images"] == 80
    assert reports[-1].outcome is not None
    assert (reports[-1].outcome.status, reports[-1].outcome.scores, reports[-1].outcome.weights) == (
        "complete",
        [],
        None,
    )


@pytest.mark.parametrize(("name", "code_size", "codes"), [("raw_pixels", 784, KEPT_RECONSTRUCTIONS), ("pca", 4, 40)])
def test_a_control_reports_once_and_keeps_its_codes(name: str, code_size: int, codes: int) -> None:
    """Raw pixels come back as they are, and few of them are kept, since their codes are images."""
    batch = TrialBatch("confirm", CONTROLS[name], code_size, None, (Trial("control", None, keep_codes=True),))
    (report,) = run_trial(batch, few_digits(), torch.device("cpu"))
    assert report.epoch is None
    assert report.outcome is not None
    kept = report.outcome.kept
    assert kept is not None
    assert kept.codes.shape == (codes, code_size)
    assert kept.reconstructions.shape == (KEPT_RECONSTRUCTIONS, 784)
    (error,) = [score.value for score in report.outcome.scores if score.metric == "squared_error"]
    assert error == 0 if name == "raw_pixels" else error > 0
    if name == "raw_pixels":
        originals = few_digits().test.pixels[:KEPT_RECONSTRUCTIONS].reshape(-1, 784) / 255
        np.testing.assert_allclose(kept.reconstructions, originals, atol=1e-3)


def test_a_users_own_row_is_trained_from_the_batch() -> None:
    """Its name is known nowhere else."""
    row = dataclasses.replace(BUILT_IN["model_4"], name="mine", unpooling="tile")
    trial_config = dataclasses.replace(RECIPES["modern"].trial_config(row, 4, 1, batch_size=20, filters=(3, 2)))
    (report,) = run_trial(
        TrialBatch("search", row, 4, trial_config, (Trial("search-mine", 1),)), few_digits(), torch.device("cpu")
    )
    assert report.outcome is not None
    assert report.outcome.status == "complete"
