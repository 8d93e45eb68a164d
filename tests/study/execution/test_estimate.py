"""How long a study will take: what trials share that run at once, and that seeds are measured as they are trained."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from study.config.search_space import Cell
from study.config.study_config import StudyConfig
from study.display.progress import Progress
from study.execution import estimate
from study.execution.recorder import TrialRecorder, make_provenance_columns
from study.execution.tuner import Resources
from study.plan.plan import Plan
from study.storage.provenance import versions
from study.storage.schema import TABLES
from study.storage.store import Store
from tests.studies import row_of, small_config, take_one
from trainables.data.datasets import load_dataset
from trainables.data.images import Dataset, LabelledImages
from trainables.run_trial import run_trial
from trainables.training.batched import BatchedTraining
from trainables.training.devices import SEEDS_AT_ONCE, prepare
from trainables.training.training import EpochMetrics, Training

WORK = estimate.Estimate({}, {}, training_seconds=800.0, evaluation_seconds=200.0, epoch_seconds=1.0)


@pytest.mark.parametrize(
    ("concurrency", "gpus_per_trial", "seconds"),
    [
        (2, 0, 500.0),  # cores share everything out
        (1, 1, 1000.0),  # a trial has its GPU wait while it evaluates
        (4, 0.25, 800.0),  # four take turns on one GPU and evaluate in the meantime
        (8, 0.25, 400.0),
        (30, 0.3, 80.0),  # three hold a GPU, whose last tenth nobody has
        (4, 0.3, 400.0),  # the fourth has one for itself
        (2, 0.25, 800.0),  # two have no more than the one that they share
        (3, 1 / 3, 800.0),
        (2, 2, 500.0),  # a second GPU of a trial has nothing to do
    ],
)
def test_trials_that_share_a_gpu_take_turns(concurrency: int, gpus_per_trial: float, seconds: float) -> None:
    """What trains is shared out among GPUs, what evaluates among trials; workers start first."""
    assert WORK.wall_seconds(Resources(gpus_per_trial, concurrency)) == pytest.approx(8.0 + seconds)


def test_around_trials_ray_starts_and_a_report_is_made() -> None:
    """Most of which is t-SNE, of every model at two code sizes at most, of as many of the test images as are drawn."""
    digits = load_dataset("digits")
    config = small_config(code_sizes=(2, 5, 10, 30))
    ray = estimate.estimate_around(config, digits, report=False)
    assert ray == estimate.RAY_SECONDS
    plain = ray + estimate.REPORT_SECONDS
    assert estimate.estimate_around(small_config(code_sizes=(2,)), digits, report=True) == plain
    share, each = len(digits.test) / 1_000, estimate.EMBEDDING_SECONDS
    assert estimate.estimate_around(small_config(), digits, report=True) == pytest.approx(plain + 2 * share * each)
    assert estimate.estimate_around(config, digits, report=True) == pytest.approx(plain + 4 * share * each)
    assert estimate.estimate_around(config, DATASET, report=True) == pytest.approx(plain + 4 * each)


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
    monkeypatch.setitem(SEEDS_AT_ONCE, "cpu", 8)
    together = estimate.estimate_work(config, planned, dataset, torch.device("cpu"))
    assert seen
    assert set(seen) == {3}
    assert together.trials == alone.trials
    assert together.evaluation_seconds == alone.evaluation_seconds > 0
    assert 0 < together.training_seconds < 100 * alone.training_seconds


def test_a_level_that_pretrains_is_measured_as_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pretraining and what comes after, half and half; other levels and cells keep their own pace."""
    seen: list[tuple[str, int]] = []
    train_epoch = Training.train_epoch

    def look(training: Training) -> EpochMetrics:
        seen.append((training.trial_config.pretraining, training.epoch))
        return train_epoch(training)

    monkeypatch.setattr(Training, "train_epoch", look)
    config = dataclasses.replace(small_config(), phases=("ablate",), factors=("pretraining",))
    planned = Plan(config, ()).list_pending()
    estimate.estimate_work(config, planned, load_dataset("digits"), torch.device("cpu"))
    assert [epoch for pretraining, epoch in seen if pretraining == "layerwise"] == [0, 1, 2, 3] * 2  # two cells
    assert [epoch for pretraining, epoch in seen if pretraining == "none"] in ([], [0, 1] * 2)
    paces = {True: estimate._Pace(1e-3, 1e-3, 0.0), False: estimate._Pace(0.0, 0.0, 0.0)}
    monkeypatch.setattr(estimate, "_measure_pace", lambda _, __, ___, layerwise, *____: paces[layerwise])
    work = estimate.estimate_work(config, planned, DATASET, torch.device("cpu"))
    layerwise = [trial for trial in planned if trial.level is not None and trial.level.label == "layerwise"]
    images = sum(trial.epochs * (50_000 if trial.validated else 60_000) for trial in layerwise)
    assert work.training_seconds == pytest.approx(images * 1e-3)
    assert images > 0


def test_an_arm_and_a_level_are_measured_by_the_recipe_that_trains_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published arm of a study with muon is plain gradient descent, as is its level caffe; one measurement each."""
    seen: list[tuple[str, str]] = []
    paces = {"muon": estimate._Pace(2e-3, 2e-3, 0.0), "caffe": estimate._Pace(1e-3, 1e-3, 0.0)}

    def measure(config: StudyConfig, cell: Cell, recipe: str, *_: object) -> estimate._Pace:
        seen.append((cell.architecture, recipe))
        return paces[recipe]

    monkeypatch.setattr(estimate, "_measure_pace", measure)
    config = small_config(recipe="muon", phases=("confirm", "ablate"), factors=("recipe",), published_epochs=7)
    planned = [trial for trial in Plan(config, ()).list_pending() if not trial.level or trial.level.label == "caffe"]
    work = estimate.estimate_work(config, planned, DATASET, torch.device("cpu"))
    assert sorted(seen) == [(name, recipe) for name in ("model_1", "model_4") for recipe in ("caffe", "muon")]
    # Of two cells: two seeds of each arm, and of the level's rates three trials, of the level two.
    tuned, published, level = 2 * 5 * 60_000 * 2e-3, 2 * 7 * 60_000 * 1e-3, 5 * (3 * 50_000 + 2 * 60_000) * 1e-3
    assert work.training_seconds == pytest.approx(2 * (tuned + published + level))


@pytest.mark.parametrize(
    ("architecture", "factor", "level", "share"),
    [
        ("model_1", "filters", "x0.5", 0.339),
        ("model_4", "filters", "x4", 12.9),
        ("model_4", "pooling", "stride", 0.652),
    ],
)
def test_a_level_of_larger_or_smaller_layers_takes_time_by_their_multiply_adds(
    architecture: str, factor: str, level: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over those of its base, in its longest epoch, too."""
    monkeypatch.setattr(estimate, "_measure_pace", lambda *_: estimate._Pace(1e-3, 1e-3, 1e-4))
    config = small_config(architectures=(architecture,), phases=("confirm", "ablate"), factors=(factor,))
    trials = [trial for trial in Plan(config, ()).list_pending() if trial.arm == "tuned"]
    base, changed = (
        estimate.estimate_work(config, alike, DATASET, torch.device("cpu"))
        for alike in (
            [trial for trial in trials if trial.level is None],
            [trial for trial in trials if trial.level is not None and trial.level.label == level],
        )
    )
    assert changed.training_seconds == pytest.approx(share * base.training_seconds, rel=0.005)
    assert changed.epoch_seconds == pytest.approx(share * base.epoch_seconds, rel=0.005)


def test_what_cannot_run_takes_no_time() -> None:
    """Confirmations of a search in which nothing was found."""
    plan = Plan(small_config(architectures=("model_1",), trials=1, arms=("tuned",)), ())
    taken = take_one(plan)
    assert taken is not None
    plan.finish(row_of(*taken, status="failed"))
    before = torch.get_num_threads()
    torch.set_num_threads(2)  # of a notebook, which has its own work for them
    try:
        work = estimate.estimate_plan(plan.config, plan, load_dataset("digits"), Resources(0, 1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert work.trials == {"confirm": 4}
    assert work.training_seconds == 0.0


def test_waiting_for_a_core_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes on the core make a training last longer; an idle machine would not."""
    train_epoch = Training.train_epoch

    def wait(training: Training) -> EpochMetrics:
        time.sleep(1.0)
        return train_epoch(training)

    monkeypatch.setattr(Training, "train_epoch", wait)
    prepare(torch.device("cpu"))  # as a launch does: one thread, and kernels that are there
    dataset, config = load_dataset("digits"), small_config()
    work = estimate.estimate_work(config, Plan(config, ()).list_pending(), dataset, torch.device("cpu"))
    assert 0 < work.epoch_seconds < 4.0  # the second in three steps of 100 would make it 4.8 longer


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
        for table in (*TABLES, "weights")
    }
    assert expected.weights == pytest.approx(taken_up.pop("weights"), rel=0.2)
    assert sum(taken_up.values()) < expected.rows < 2 * sum(taken_up.values())


LABELS = np.zeros(60_000, np.int64)
DATASET = Dataset(
    "zeros",
    LabelledImages(np.zeros((60_000, 28, 28), np.uint8), LABELS),
    10_000,
    LabelledImages(np.zeros((10_000, 28, 28), np.uint8), LABELS[:10_000]),
    "0" * 64,
)


def test_an_estimate_adds_up_training_measuring_and_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cells of 3 trials for 2 epochs and 2 finalists for 5, twice; 2 seeds of both arms; by hand, round by round.

    At 1 ms an image trained and 0.1 ms measured.
    """
    monkeypatch.setattr(estimate, "_measure_pace", lambda *_: estimate._Pace(alone=1e-3, together=1e-3, measuring=1e-4))
    config = small_config()
    work = estimate.estimate_work(config, Plan(config, ()).list_pending(), DATASET, torch.device("cpu"))
    assert work.trials == {"search, round 1": 6, "search, round 3": 8, "confirm": 12}
    assert work.epochs == {"search, round 1": 6 * 2, "search, round 3": 8 * 5, "confirm": 8 * 5}
    search = (6 * 2 + 8 * 5) * (50_000 * 1e-3 + 10_000 * 1e-4)
    confirm = 8 * (5 * 60_000 * 1e-3 + (60_000 + 2 * 10_000) * 1e-4)
    assert work.training_seconds == pytest.approx(search + confirm)
    assert work.evaluation_seconds == pytest.approx(8 * (14.0 + 0.2) + 2 * 2 * (90.0 + 0.2))
    assert work.epoch_seconds == pytest.approx(60.0)
    umap = dataclasses.replace(config, with_umap=True)
    added = estimate.estimate_work(umap, Plan(umap, ()).list_pending(), DATASET, torch.device("cpu"))
    # Clusters by it of 8 models, 2 PCA, 2 raw pixels; and 2 embeddings, of which there are clusters, too.
    assert added.evaluation_seconds - work.evaluation_seconds == pytest.approx(
        12 * 25.0 + 2 * (0.2 + 90.0 + 240.0 + 25.0)
    )
