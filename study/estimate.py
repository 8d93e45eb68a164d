"""How long a study will take here, from a short measurement in this process."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from study.config import StudyConfig
from study.plan import Owed
from study.space import Cell
from study.stopping import goes_on, stopper
from trainables.architectures import architecture_named
from trainables.datasets import Dataset
from trainables.training import Training, measure

_STEPS = 4
"""Training steps timed a cell, after one that is not."""

EVALUATION_SECONDS = 5.0
"""Time to fit and measure classifiers and clusters on MNIST's 60,000 codes; it grows with the training set."""

CONTROL_SECONDS = 45.0
"""The same for the raw pixels, by far the longer of the controls."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Work of the trials still owed: epochs at most, seconds of one device, and those of the longest epoch."""

    trials: dict[str, int]
    epochs_at_most: int
    device_seconds: float
    epoch_seconds: float


def estimate(config: StudyConfig, owed: list[Owed], dataset: Dataset, device: torch.device) -> Estimate:
    """Return what ``owed`` will take on ``device``, measured at the published filter counts."""
    share = expected_search_share(config.trials, config.epochs)
    step_seconds: dict[Cell, tuple[float, float]] = {}
    trials: dict[str, int] = {}
    epochs = 0
    seconds = longest = 0.0
    for trial in owed:
        trials[trial.phase] = trials.get(trial.phase, 0) + 1
        if trial.arm == "control":
            seconds += CONTROL_SECONDS * len(dataset.training) / 60_000
            continue
        if trial.cell not in step_seconds:
            step_seconds[trial.cell] = _seconds_an_image(config, trial.cell, dataset, device)
        training, measuring = step_seconds[trial.cell]
        epochs += config.epochs
        longest = max(longest, training * len(dataset.training))
        if trial.phase == "search":
            epoch = training * len(dataset.search_train) + measuring * len(dataset.validation)
            seconds += share * config.epochs * epoch
        else:
            seconds += config.epochs * training * len(dataset.training)
            seconds += measuring * (len(dataset.training) + 2 * len(dataset.test))
            seconds += EVALUATION_SECONDS * len(dataset.training) / 60_000
    return Estimate(trials, epochs, seconds, longest)


def expected_search_share(trials: int, epochs: int) -> float:
    """Return the share of a search's epochs that early stopping leaves, for trials whose order never changes.

    Large searches are simulated by smaller ones, whose share is about the same.
    """
    random = np.random.default_rng(0)
    trials, epochs = min(trials, 1_000), min(epochs, 100)
    repetitions = max(1, min(100, 100_000 // (trials * epochs)))
    trained = 0
    for _ in range(repetitions):
        stopping = stopper(epochs)
        for number, value in enumerate(random.random(trials)):
            for going_on in goes_on(stopping, str(number), [float(value)] * epochs):
                trained += 1
                if not going_on:
                    break
    return trained / (repetitions * trials * epochs)


def _seconds_an_image(config: StudyConfig, cell: Cell, dataset: Dataset, device: torch.device) -> tuple[float, float]:
    """Return seconds an image of training and of measuring."""
    settings = config.tuned_recipe.settings(
        architecture_named(cell.architecture), cell.code_size, 1 + _STEPS, batch_size=config.batch_size
    )
    pixels = torch.from_numpy(np.array(dataset.training.pixels[: settings.batch_size])).to(device)
    training = Training(settings, 0, pixels)
    training.train_epoch()  # An epoch of one batch is a step.
    started = time.perf_counter()
    for _ in range(_STEPS):
        training.train_epoch()
    trained = time.perf_counter()
    measure(training.model, pixels)
    measured = time.perf_counter()
    return (trained - started) / (_STEPS * len(pixels)), (measured - trained) / len(pixels)
