"""One trial from start to rows: train one configuration with each of its seeds, measure it, report as it goes.

Ray is not known here: `trial` wraps these reports for Ray Tune, and anything else may iterate over them as well.
"""

from __future__ import annotations

import math
import platform
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.data.images import Dataset
from trainables.evaluation.scores import LARGEST_HALF, Score, make_scores
from trainables.models.architectures import Architecture, Control
from trainables.models.module import seeded
from trainables.models.pictures import Picture, blend_images, choose_ends, draw_samples, take_pictures
from trainables.training.batched import BatchedTraining
from trainables.training.devices import SEEDS_AT_ONCE, name_engine
from trainables.training.objectives import OBJECTIVES, Objective
from trainables.training.training import (
    EpochMetrics,
    Training,
    mean_image_cross_entropy,
    move_pixels,
    scale_pixels,
)
from trainables.trial_config import TrialConfig

if TYPE_CHECKING:
    from trainables.evaluation.baselines import ControlCodes

KEPT_CODES = 2_000
"""Test images, from the first, whose codes are kept of the trials with ``keep_codes``, where codes are large."""

SMALL_CODE = 10
"""Units of a code that is kept of five times as many: of all of MNIST's test images."""

KEPT_RECONSTRUCTIONS = 20
"""Test images, from the first, whose reconstructions are kept of the same trials."""

KEPT_SAMPLES = 10
"""Draws from the prior that are decoded of the same trials, where their objective has one."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One training of a configuration: its identity in the rows and its seed, of a control that of its evaluation.

    Controls of earlier versions had none: it was 0.
    """

    trial_id: str
    seed: int | None
    keep_codes: bool = False


@dataclass(frozen=True, slots=True)
class TrialBatch:
    """What a worker needs to know of a trial: one configuration and the trials that share it.

    ``objective`` is None where it is the built-in one that the configuration names. ``trial_config`` is None for a
    control that trains nothing. A trial of phase search, as is here any by which settings are chosen, trains without
    the validation images and is measured on them; any other trains on all training images and is measured, once, on the
    test images, ``with_umap`` by N2D, too.
    """

    phase: str
    row: Architecture | Control
    code_size: int
    trial_config: TrialConfig | None
    trials: tuple[Trial, ...]
    with_umap: bool = False
    objective: Objective | None = None


@dataclass(frozen=True, slots=True)
class KeptCodes:
    """Codes of the first test images, (images, code_size), and the first reconstructions, (images, pixels)."""

    codes: NDArray[np.float16]
    reconstructions: NDArray[np.float16]
    labels: NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended; its ``repr`` leaves arrays out, since Tune puts every report into words that nobody reads."""

    status: str
    reason: str | None = None
    scores: list[Score] = field(default_factory=list, repr=False)
    kept: KeptCodes | None = field(default=None, repr=False)
    pictures: list[Picture] = field(default_factory=list, repr=False)
    weights: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker says of a trial after each epoch; ``columns`` are those of `trials` that only the worker knows."""

    trial_id: str
    columns: dict[str, Any]
    epoch: EpochMetrics | None
    outcome: Outcome | None


def run_trial(
    batch: TrialBatch, dataset: Dataset, device: torch.device, devices_held: float = 1.0, at_once: int | None = None
) -> Iterator[Report]:
    """Train and measure every trial of ``batch`` and yield a report after each epoch of each.

    ``devices_held`` is the share of a GPU, or the cores, that the batch occupies: the factor of ``device_seconds``,
    shared among the seeds that are trained ``at_once``, by default as many as the device decides.
    """
    at_once = at_once or SEEDS_AT_ONCE[device.type]
    if batch.trial_config is not None and not _find_objective(batch, batch.trial_config).shared:
        at_once = 1
    for first in range(0, len(batch.trials), at_once):
        trials = batch.trials[first : first + at_once]
        clock = _Clock(device, devices_held / len(trials))
        if isinstance(batch.row, Control):
            for trial in trials:
                yield from _run_control(batch.row, batch, trial, dataset, clock)
        elif batch.trial_config is not None:
            yield from _train(batch.trial_config, batch, trials, dataset, clock)


def _find_objective(batch: TrialBatch, trial_config: TrialConfig) -> Objective:
    objective = batch.objective or OBJECTIVES[trial_config.objective]
    return objective.limit(trial_config.pretraining, batch.row.layered)


def _train(
    trial_config: TrialConfig, batch: TrialBatch, trials: tuple[Trial, ...], dataset: Dataset, clock: _Clock
) -> Iterator[Report]:
    assert not isinstance(batch.row, Control)
    searching, objective = batch.phase == "search", _find_objective(batch, trial_config)
    train_images = dataset.search_train if searching else dataset.training
    train_pixels = move_pixels(train_images.pixels, clock.device)
    validation_pixels = move_pixels(dataset.validation.pixels, clock.device) if searching else None
    trainings = [
        Training(trial_config, trial.seed, train_pixels, validation_pixels, batch.row, objective)
        for trial in trials
        if trial.seed is not None
    ]
    # On a GPU a single seed as well, whose steps are captured so, where the objective allows it.
    together = objective.shared and (len(trainings) > 1 or clock.device.type != "cpu")
    batched = BatchedTraining(trainings) if together else None
    columns = {
        "train_images": len(train_pixels),
        "engine": name_engine(clock.device, objective),
        "parameters": sum(each.numel() for each in trainings[0].model.parameters() if each.requires_grad),
        "multiply_adds": trainings[0].model.count_multiply_adds(),
        "mean_image_cross_entropy": mean_image_cross_entropy(train_images.pixels),
    }
    going = dict(zip(trials, trainings, strict=True))
    while going:
        epoch = batched.train_epoch() if batched else [trainings[0].train_epoch()]
        for trial, metrics in zip(trials, epoch, strict=True):
            if trial not in going:
                continue
            training, outcome = going[trial], None
            if not metrics.finite:
                outcome = Outcome("diverged", f"a loss of epoch {metrics.epoch} is not finite")
            elif training.done:
                # A module of the user's own may draw where it is measured, too.
                with nullcontext() if trial_config.layered or searching else seeded(trial.seed or 0, clock.device):
                    outcome = Outcome("complete") if searching else _measure_test(training, batch, trial, dataset)
            yield Report(trial.trial_id, columns | clock.columns(), metrics, outcome)
            if outcome is not None:
                del going[trial]


def _measure_test(training: Training, batch: TrialBatch, trial: Trial, dataset: Dataset) -> Outcome:
    # Imported here because scikit-learn takes a second that search trials need not wait for.
    from trainables.checkpoint import pack_weights
    from trainables.evaluation.evaluate import evaluate_codes
    from trainables.evaluation.reconstruction import (
        encode_pixels,
        measure_layers,
        measure_objective,
        measure_test,
    )

    model = training.model.eval()
    test_pixels = move_pixels(dataset.test.pixels, training.train_pixels.device)
    train_codes = encode_pixels(model, training.train_pixels)
    test = measure_test(model, test_pixels, train_codes.mean(0), KEPT_RECONSTRUCTIONS)
    scores = test.scores + measure_layers(model, test_pixels)
    scores += measure_objective(training, test_pixels)
    if not (np.isfinite(train_codes).all() and np.isfinite(test.codes).all()):
        return Outcome("diverged", "a code is not finite")
    scores += evaluate_codes(
        *(train_codes, dataset.training.labels, test.codes, dataset.test.labels, trial.seed or 0),
        test_pixels=dataset.test.pixels,
        decoder_layer=test.decoder_layer,
        with_umap=batch.with_umap,
    )
    if diverged := _find_infinite(scores):
        return diverged
    pictures: list[Picture] = []
    if trial.keep_codes:
        ends = list(choose_ends(dataset.test.labels, len(test_pixels)))
        pictures = take_pictures(model, scale_pixels(test_pixels[ends]))
        if _find_objective(batch, training.trial_config).prior and model.unpooling != "switches":
            pictures += draw_samples(model, KEPT_SAMPLES, trial.seed or 0)
    return Outcome(
        "complete",
        scores=scores,
        kept=_keep_codes(test.codes, test.reconstructions, dataset) if trial.keep_codes else None,
        pictures=pictures,
        weights=pack_weights(model, training.trial_config, trial.trial_id) if batch.phase == "confirm" else None,
    )


def _find_infinite(scores: Iterable[Score]) -> Outcome | None:
    """Return the outcome of a trial of which a score is not finite; None where all are."""
    for score in scores:
        if not math.isfinite(score.value):
            return Outcome("diverged", f"{score.metric} of {score.evaluator} on {score.split} is not finite")
    return None


def _run_control(row: Control, batch: TrialBatch, trial: Trial, dataset: Dataset, clock: _Clock) -> Iterator[Report]:
    from trainables.evaluation.baselines import embed_pixels, pca, raw_pixels

    pixels = dataset.training.pixels, dataset.test.pixels
    columns: dict[str, Any] = {"train_images": len(dataset.training)}
    if row.network is not None:
        from trainables.evaluation.reconstruction import encode_control

        assert batch.trial_config is not None
        training = _make_control_training(row.network, batch.trial_config, batch, trial, dataset, clock.device)
        columns |= {
            "engine": name_engine(clock.device, training.objective),
            "parameters": sum(parameter.numel() for parameter in training.model.parameters()),
            "multiply_adds": training.model.count_multiply_adds(),
        }
        while not training.done:
            yield Report(trial.trial_id, columns | clock.columns(), training.train_epoch(), None)
        tested = move_pixels(dataset.test.pixels, clock.device)
        control = encode_control(training.model.eval(), training.train_pixels, tested)
    elif row.lossless:
        control = raw_pixels(*pixels)
    elif row.name == "umap":
        control = embed_pixels(*pixels, batch.code_size, trial.seed or 0)
    else:
        control = pca(*pixels, batch.code_size)
    if np.isfinite(control.train_codes).all() and np.isfinite(control.test_codes).all():
        outcome = _measure_control(control, batch, trial, dataset)
    else:
        outcome = Outcome("diverged", "a code is not finite")
    yield Report(trial.trial_id, columns | clock.columns(), None, outcome)


def _make_control_training(
    network: Architecture,
    trial_config: TrialConfig,
    batch: TrialBatch,
    trial: Trial,
    dataset: Dataset,
    device: torch.device,
) -> Training:
    labels = dataset.training.labels
    return Training(
        trial_config,
        trial.seed or 0,
        move_pixels(dataset.training.pixels, device),
        row=network,
        objective=_find_objective(batch, trial_config),
        train_labels=None if labels is None else torch.tensor(labels, device=device),
    )


def _measure_control(control: ControlCodes, batch: TrialBatch, trial: Trial, dataset: Dataset) -> Outcome:
    from trainables.evaluation.evaluate import evaluate_codes

    scores = make_scores("reconstruction", control.errors)
    # Without `decoder_layer`: that of principal components is their only one, whose output is the image.
    scores += evaluate_codes(
        *(control.train_codes, dataset.training.labels, control.test_codes, dataset.test.labels, trial.seed or 0),
        test_pixels=dataset.test.pixels,
        whitened=not batch.row.lossless,
        with_umap=batch.with_umap,
    )
    if diverged := _find_infinite(scores):
        return diverged
    # Lossless codes are the images, which stand beside the reconstructions in figures; a few are enough.
    codes = control.test_codes[:KEPT_RECONSTRUCTIONS] if batch.row.lossless else control.test_codes
    kept = _keep_codes(codes, control.reconstructions, dataset) if trial.keep_codes else None
    ends = list(choose_ends(dataset.test.labels, len(dataset.test)))
    shown = trial.keep_codes and len(control.reconstructions) > 0
    pictures = list(blend_images(control.reconstructions[ends])) if shown else []
    return Outcome("complete", scores=scores, kept=kept, pictures=pictures)


def _halve(values: NDArray[np.floating[Any]]) -> NDArray[np.float16]:
    """Return values in half precision, those beyond its range at its ends."""
    halved: NDArray[np.float16] = np.clip(values, -LARGEST_HALF, LARGEST_HALF).astype(np.float16)
    return halved


def _keep_codes(codes: NDArray[np.float32], reconstructions: NDArray[np.floating[Any]], dataset: Dataset) -> KeptCodes:
    labels = dataset.test.labels
    kept = count_kept_codes(codes.shape[1])
    return KeptCodes(
        _halve(codes[:kept]),
        _halve(reconstructions[:KEPT_RECONSTRUCTIONS].reshape(-1, dataset.test.pixels[0].size)),
        None if labels is None else labels[:kept],
    )


def count_kept_codes(code_size: int) -> int:
    """Return the test images, from the first, whose codes are kept of a trial with ``keep_codes``."""
    return KEPT_CODES if code_size > SMALL_CODE else 5 * KEPT_CODES


class _Clock:
    """Where and how long a trial has been going on."""

    def __init__(self, device: torch.device, devices_held: float) -> None:
        self.device, self.devices_held = device, devices_held
        self.started_at = datetime.now(UTC)
        self.started = time.perf_counter()

    def columns(self) -> dict[str, Any]:
        seconds = time.perf_counter() - self.started
        return {
            "started_at": self.started_at,
            "seconds": seconds,
            "device_seconds": seconds * self.devices_held,
            "device": describe_device(self.device),
            "host": socket.gethostname(),
        }


def describe_device(device: torch.device) -> str:
    """Return the model of the GPU or processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
