"""How long a study will take here, from a short trial run in this process, and how much room its rows take."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from analysis.figures.tsne import EMBEDDED_IMAGES
from study.config.search_space import Cell
from study.config.study_config import PUBLISHED_RECIPE, StudyConfig
from study.execution.tuner import Resources
from study.plan.plan import Plan
from study.plan.planned_trial import PlannedTrial, make_control_config, make_trial_config
from study.plan.trials import list_cells
from trainables.data.images import Dataset
from trainables.models.architectures import IMAGE_SIZE, Architecture, Control, ModuleAutoencoder
from trainables.models.layers import count_multiply_adds, count_parameters
from trainables.models.module import measure_module
from trainables.run_trial import KEPT_RECONSTRUCTIONS, count_kept_codes
from trainables.training.batched import BatchedTraining
from trainables.training.devices import SEEDS_AT_ONCE
from trainables.training.training import Training, measure, scale_pixels
from trainables.trial_config import LAYERWISE

_STEPS = {"cpu": 3, "cuda": 50}
"""Training steps timed a cell, after as many that are not; a GPU's are captured first."""

EVALUATION_SECONDS = 14.0
"""Time to fit and measure classifiers and clusters on MNIST's 60,000 codes; it grows with the training set."""

EVALUATION_START_SECONDS = 0.2
"""What an evaluation takes besides, however few the images: fits of many small steps, pictures, and layers looked at.

Processor time of all that follows a training of model 4, less that of its images: 0.16 s with 600, 0.17 s with 1,437
training images of the digits; the first in a worker takes 0.2 s more.
"""

START_SECONDS = 8.0
"""Until the first trials run: Ray starts their workers, which load PyTorch."""

N2D_SECONDS = 25.0
"""What UMAP and a mixture add on MNIST's 10,000 test codes."""

CONTROL_SECONDS = 90.0
"""The same for the raw pixels, the longest of the controls that are no embedding."""

UMAP_SECONDS = 240.0
"""To embed MNIST's 60,000 training images by UMAP, and to put the test images into it."""


TRIAL_BYTES = 27_000
SCORES_BYTES = 5_000
EPOCHS_BYTES, EPOCH_BYTES = 4_500, 60
CODES_BYTES, IMAGE_BYTES = 3_000, 13
IMAGE_SCORES_BYTES, IMAGE_SCORE_BYTES = 3_000, 3
PICTURES_BYTES, WALK_BYTES = 65_000, 15_000
"""Sizes of a trial's file of each table, most of which is the schema that it carries; seen in studies of digits and
MNIST. Such files are joined when a study ends, which then takes less.
"""

RAY_SECONDS = 3.0
"""To start a Ray on two idle cores, which took 2.0 to 2.3 s, and to end it; to join one is taken to last as long."""

REPORT_SECONDS = 20.0
"""What a report takes besides its t-SNE, on two idle cores 24 s of the published study; 17 s of `quick`, by its
processor time.
"""

EMBEDDING_SECONDS = 8.0
"""To embed a model's codes of `EMBEDDED_IMAGES` by t-SNE, as a report does at the smallest and largest code size.

It took 64 s of a core for the published study, 16 s for `quick`, whose test images are 360; both have 7 models and PCA.
"""

WEIGHT_BYTES = 4
HALF_BYTES = 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """Work of the trials still pending.

    Trials and epochs of each phase and round, seconds of one device that trains, of one core that evaluates, and of the
    longest epoch.
    """

    trials: dict[str, int]
    epochs: dict[str, int]
    training_seconds: float
    evaluation_seconds: float
    epoch_seconds: float

    def wall_seconds(self, resources: Resources) -> float:
        """Return how long it takes with what ``resources`` say, from the first worker's start.

        Trials that share a GPU take turns on it, as without CUDA MPS; what they evaluate goes on beside that.
        """
        together = (self.training_seconds + self.evaluation_seconds) / resources.concurrency
        gpus = resources.count_gpus()
        return START_SECONDS + max(together, self.training_seconds / gpus if gpus else 0.0)


def estimate_plan(config: StudyConfig, plan: Plan, dataset: Dataset, resources: Resources) -> Estimate:
    """Return the work that the plan still has to run, at the speed of this process."""
    device = torch.device("cuda" if resources.gpus_per_trial and torch.cuda.is_available() else "cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return estimate_work(config, plan.list_runnable(), dataset, device)
    finally:
        torch.set_num_threads(threads)  # of a notebook, which trains models of its own


def estimate_work(config: StudyConfig, planned: list[PlannedTrial], dataset: Dataset, device: torch.device) -> Estimate:
    """Return what ``planned`` will take on ``device``, measured at the published filter counts.

    Layers that an ablation makes larger or smaller take time by their multiply-adds.
    """
    at_once = min(SEEDS_AT_ONCE[device.type], config.seeds)
    paces: dict[tuple[Cell, str, bool], _Pace] = {}
    epochs: Counter[str] = Counter()
    trained = evaluated = longest = 0.0
    n2d = N2D_SECONDS * len(dataset.test) / 10_000 if config.with_umap else 0.0
    for trial in planned:
        if trial.arm == "control" and not trial.epochs:
            embedding = UMAP_SECONDS if config.find_row(trial.cell.architecture).with_umap else 0.0
            evaluated += EVALUATION_START_SECONDS + (CONTROL_SECONDS + embedding) * len(dataset.training) / 60_000 + n2d
            continue
        cell = trial.cell
        if trial.factor == "objective" and trial.level is not None:  # one that costs what the objective's cells do
            cell = dataclasses.replace(cell, objective=trial.level.label)
        layerwise = trial.factor == "pretraining" and trial.level is not None and trial.level.label == LAYERWISE
        recipe = PUBLISHED_RECIPE if trial.arm == "published" else config.recipe
        if trial.factor == "recipe" and trial.level is not None:
            recipe = trial.level.label
        if (cell, recipe, layerwise) not in paces:
            paces[cell, recipe, layerwise] = _measure_pace(config, cell, recipe, layerwise, dataset, device, at_once)
        pace, size = paces[cell, recipe, layerwise], _compare_size(config, trial)
        epochs[trial.group.part] += trial.epochs
        longest = max(longest, size * at_once * pace.together * len(dataset.training))
        if trial.validated:
            epoch = pace.alone * len(dataset.search_train) + pace.measuring * len(dataset.validation)
            trained += size * trial.epochs * epoch
        else:
            trained += size * trial.epochs * pace.together * len(dataset.training)
            trained += size * pace.measuring * (len(dataset.training) + 2 * len(dataset.test))
            evaluated += EVALUATION_START_SECONDS + EVALUATION_SECONDS * len(dataset.training) / 60_000 + n2d
    return Estimate(Counter(trial.group.part for trial in planned), epochs, trained, evaluated, longest)


def estimate_around(config: StudyConfig, dataset: Dataset, report: bool) -> float:
    """Return what a launch takes before and after its trials: Ray's start and, where there is one, the ``report``."""
    if not report:
        return RAY_SECONDS
    sizes = sorted(size for size in config.code_sizes if size > 2)  # two units are drawn as they are
    models = sum(cell.code_size in (sizes[0], sizes[-1]) for cell in list_cells(config)) if sizes else 0
    share = min(1.0, len(dataset.test) / EMBEDDED_IMAGES)
    return RAY_SECONDS + REPORT_SECONDS + EMBEDDING_SECONDS * models * share


@dataclass(frozen=True, slots=True)
class _Pace:
    """Seconds an image: trained by one seed alone, by each of several at once, and measured."""

    alone: float
    together: float
    measuring: float


def _compare_size(config: StudyConfig, trial: PlannedTrial) -> float:
    """Return the multiply-adds of a level that makes layers larger or smaller over those of its base; else 1."""
    if trial.level is None or trial.factor not in ("filters", "pooling"):
        return 1.0
    base, row = make_trial_config(config, trial.cell, config.recipe), config.architecture(trial.cell.architecture)
    outputs = config.find_objective(trial.cell.objective).outputs_per_unit
    changed, before = (
        count_multiply_adds(each.variant(row), each.code_size, each.filters, outputs)
        for each in (trial.level.apply(base), base)
    )
    return changed / before


def _measure_pace(
    config: StudyConfig, cell: Cell, recipe: str, layerwise: bool, dataset: Dataset, device: torch.device, at_once: int
) -> _Pace:
    """Train a little as a trial on ``device`` does, ``layerwise`` with layers pretrained one by one, and measure."""
    steps = _STEPS[device.type]
    # On a core the time of this thread alone, which other processes do not lengthen.
    clock = time.thread_time if device.type == "cpu" else time.perf_counter
    row = config.find_row(cell.architecture)
    if isinstance(row, Control):
        network, trial_config = row.network, make_control_config(config, cell)
    else:
        network, trial_config = row, make_trial_config(config, cell, recipe, epochs=2 * steps)
    assert trial_config is not None
    if layerwise:
        trial_config = dataclasses.replace(trial_config, pretraining=LAYERWISE, epochs_planned=4)
    objective = config.find_objective(trial_config.objective).limit(trial_config.pretraining, row.layered)
    images = trial_config.batch_size * steps
    pixels = torch.from_numpy(np.array(dataset.training.pixels[:images])).to(device)
    labels = None if dataset.training.labels is None else torch.tensor(dataset.training.labels[:images], device=device)

    def trainings(seeds: int) -> list[Training]:
        return [Training(trial_config, seed, pixels, None, network, objective, labels) for seed in range(seeds)]

    one = trainings(1)
    captured = device.type != "cpu" and objective.shared
    # Two epochs pretrain one layer after the other, two train them together.
    timed = (1, 2, 3, 4) if layerwise else (2,)
    alone = _time_epoch(BatchedTraining(one) if captured else one[0], clock, timed) / len(pixels)
    together = alone
    if at_once > 1 and objective.shared:
        together = _time_epoch(BatchedTraining(trainings(at_once)), clock) / (at_once * len(pixels))
    started = clock()
    batch, model = pixels[: trial_config.batch_size], one[0].model
    if objective.decodes:
        measure(model, batch)
    else:
        model.encode(scale_pixels(batch))
    return _Pace(alone, together, (clock() - started) / trial_config.batch_size)


def _time_epoch(training: Training | BatchedTraining, clock: Callable[[], float], timed: Sequence[int] = (2,)) -> float:
    """Train up to the last of the ``timed`` epochs and return the mean of these; the first makes things ready."""
    seconds = []
    for _ in range(max(timed)):
        started = clock()
        training.train_epoch()
        seconds.append(clock() - started)
    return sum(seconds[epoch - 1] for epoch in timed) / len(timed)


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of rows, and of confirmed trials' weights."""

    rows: int
    weights: int


def estimate_room(planned: Iterable[PlannedTrial], config: StudyConfig, test_images: int) -> Room:
    """Return the room that trials will take, with weights as many as at the published filter counts."""
    rows = weights = 0
    for trial in planned:
        row = config.find_row(trial.cell.architecture)
        rows += TRIAL_BYTES
        if trial.epochs:
            rows += EPOCHS_BYTES + trial.epochs * EPOCH_BYTES
        if not trial.validated:
            rows += SCORES_BYTES + IMAGE_SCORES_BYTES + IMAGE_SCORE_BYTES * test_images
        if trial.keep_codes:
            kept = min(count_kept_codes(trial.cell.code_size), test_images)
            codes = KEPT_RECONSTRUCTIONS if row.lossless else kept
            values = codes * trial.cell.code_size + KEPT_RECONSTRUCTIONS * IMAGE_SIZE**2
            rows += CODES_BYTES + codes * IMAGE_BYTES + HALF_BYTES * values
            rows += WALK_BYTES if isinstance(row, Control) else PICTURES_BYTES
        if trial.phase == "confirm" and not isinstance(row, Control):
            weights += WEIGHT_BYTES * _count_parameters(config, row, trial.cell)
    return Room(rows, weights)


def _count_parameters(config: StudyConfig, row: Architecture, cell: Cell) -> int:
    if isinstance(row, ModuleAutoencoder):
        return measure_module(row, cell.code_size, row.settings).parameters
    outputs = config.find_objective(cell.objective).outputs_per_unit
    return count_parameters(row, cell.code_size, outputs_per_unit=outputs)
