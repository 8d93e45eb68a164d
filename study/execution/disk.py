"""How much room the rows of a study take, from the sizes of the files that a trial leaves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from study.config.study_config import StudyConfig
from study.plan.plan import PlannedTrial
from trainables.models.architectures import IMAGE_SIZE, Control
from trainables.models.layers import count_parameters
from trainables.run_trial import KEPT_CODES, KEPT_RECONSTRUCTIONS

TRIAL_BYTES = 27_000
SCORES_BYTES = 5_000
EPOCHS_BYTES, EPOCH_BYTES = 4_500, 60
CODES_BYTES, IMAGE_BYTES = 3_000, 13
"""Sizes of a trial's file of each table, most of which is the schema that it carries; seen in studies of digits and
MNIST. Such files are joined when a study ends, which then takes less.
"""

WEIGHT_BYTES = 4
HALF_BYTES = 2


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of rows, and of confirmed trials' weights."""

    rows: int
    weights: int


def room(planned: Iterable[PlannedTrial], config: StudyConfig, test_images: int) -> Room:
    """Return the room that trials will take, with weights as many as at the published filter counts."""
    rows = weights = 0
    kept = min(KEPT_CODES, test_images)
    for trial in planned:
        row = config.find_row(trial.cell.architecture)
        rows += TRIAL_BYTES
        if trial.arm != "control":
            rows += EPOCHS_BYTES + config.epochs * EPOCH_BYTES
        if trial.phase != "search":
            rows += SCORES_BYTES
        if trial.keep_codes:
            codes = KEPT_RECONSTRUCTIONS if row.lossless else kept
            values = codes * trial.cell.code_size + KEPT_RECONSTRUCTIONS * IMAGE_SIZE**2
            rows += CODES_BYTES + codes * IMAGE_BYTES + HALF_BYTES * values
        if trial.phase == "confirm" and not isinstance(row, Control):
            weights += WEIGHT_BYTES * count_parameters(row, trial.cell.code_size)
    return Room(rows, weights)


def size(count: int) -> str:
    """Return bytes as a person would say them: ``340 kB``, ``12 MB``, ``3.4 GB``."""
    if count < 999_500:
        return f"{count / 1e3:.0f} kB"
    if count < 999_500_000:
        return f"{count / 1e6:.0f} MB" if count >= 9_950_000 else f"{count / 1e6:.1f} MB"
    return f"{count / 1e9:.1f} GB"
