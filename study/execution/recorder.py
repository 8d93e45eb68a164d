"""Hands out the trials that a study plans and turns what their workers report into committed rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from study.config.study_config import StudyConfig
from study.plan.plan import Plan
from study.plan.planned_trial import Group, PlannedTrial, hash_configuration
from study.storage.schema import LOSSES, TABLES
from study.storage.store import Store
from trainables.data.images import Dataset
from trainables.run_trial import Outcome, Report, Trial, TrialBatch
from trainables.training.training import EpochMetrics
from trainables.trial_config import TrialConfig


def make_batch(trials: Sequence[PlannedTrial], trial_config: TrialConfig | None, config: StudyConfig) -> TrialBatch:
    """Return what a worker needs to run trials of one group with ``trial_config``, None for a control."""
    first = trials[0]
    batch = tuple(Trial(planned.trial_id, planned.seed, planned.keep_codes) for planned in trials)
    code_size = first.cell.code_size if trial_config is None else trial_config.code_size
    # By which settings are chosen is trained as a search is, whatever the phase.
    phase = "search" if first.validated else first.phase
    row = config.find_row(first.cell.architecture)
    objective = config.find_objective(trial_config.objective) if trial_config else None
    return TrialBatch(phase, row, code_size, trial_config, batch, config.with_umap, objective)


class ProgressListener(Protocol):
    """Is told what happens while a study runs."""

    def tick(self) -> None:
        """Take notice that time goes by; called many times a second."""

    def epoch_ended(self, trial_id: str, epoch: EpochMetrics) -> None:
        """Take notice of an epoch of a trial that runs."""

    def trial_ended(self, row: Mapping[str, Any], squared_error: float | None) -> None:
        """Take notice of a trial that ended: its row of `trials`, and its squared error on test images."""

    def attempt_failed(self, trial_id: str, reason: str) -> None:
        """Take notice that a trial starts again from its beginning."""

    def group_lost(self, group: Group, row: Mapping[str, Any]) -> None:
        """Take notice that the last trial of a group ended, that of ``row``, and none gave a result."""


@dataclass(slots=True)
class _Running:
    """A trial in Tune and what its worker has said so far."""

    planned: PlannedTrial
    trial_config: TrialConfig | None
    columns: dict[str, Any] = field(default_factory=dict)
    epochs: list[EpochMetrics] = field(default_factory=list)


class TrialRecorder:
    """Hands out the trials of the plan and turns what comes back into committed rows.

    Args:
        plan: what is planned.
        store: where rows go, while there is `Store.writing`.
        progress: what tells the user.
        provenance: columns that are the same in every row of this launch.
    """

    def __init__(self, plan: Plan, store: Store, progress: ProgressListener, provenance: Mapping[str, Any]) -> None:
        self.plan, self.progress = plan, progress
        self._store, self._provenance = store, dict(provenance)
        self._running: dict[str, _Running] = {}
        self._given_back: list[TrialBatch] = []

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        # Tune pickles what it is given, and what that holds, to a file that nothing reads.
        return object, ()

    def take(self, at_once: int = 1) -> TrialBatch | None:
        """Return the next pending trials, of one group, as a worker needs them; None if none can start now."""
        if self._given_back:
            return self._given_back.pop(0)
        if (taken := self.plan.take(at_once)) is None:
            return None
        trials, trial_config = taken
        self._running |= {planned.trial_id: _Running(planned, trial_config) for planned in trials}
        return make_batch(trials, trial_config, self.plan.config)

    def give_back(self, batch: TrialBatch) -> None:
        """Let trials be taken again that were and have not begun."""
        self._given_back.append(batch)

    def receive(self, report: Report) -> None:
        """Keep what a worker reports; commit the trial when it has ended.

        Raises:
            StorageError: an earlier trial could not be written, so that the study must stop.
        """
        self._store.check()
        if report.trial_id not in self._running:
            return  # A worker that was started again repeats what other seeds of its trial had ended with.
        running = self._running[report.trial_id]
        running.columns = report.columns
        if report.epoch is not None:
            if report.epoch.epoch == 1:
                running.epochs.clear()  # A retried trial starts from its beginning.
            running.epochs.append(report.epoch)
            self.progress.epoch_ended(report.trial_id, report.epoch)
        if report.outcome is not None:
            self.commit(report.trial_id, report.outcome)

    def commit(self, trial_id: str, outcome: Outcome) -> None:
        """Hand the rows of a trial that ended to the store and tell the plan."""
        running = self._running.pop(trial_id)
        row = self._make_trial_row(running, outcome)
        others = {
            "epochs": [_make_row("epochs", trial_id, epoch) for epoch in running.epochs],
            "scores": [_make_row("scores", trial_id, score) for score in outcome.scores],
            "image_scores": _make_image_rows(trial_id, outcome),
            "codes": _make_code_rows(trial_id, outcome),
            "pictures": [_make_row("pictures", trial_id, picture) for picture in outcome.pictures],
        }
        self._store.hand_over(row, others, outcome.weights)
        self.plan.finish(row)
        errors = [
            score.value
            for score in outcome.scores
            if (score.split, score.evaluator, score.metric) == ("test", "reconstruction", "squared_error")
        ]
        self.progress.trial_ended(row, errors[0] if errors else None)
        if (group := running.planned.group) in self.plan.find_lost_groups():
            self.progress.group_lost(group, row)

    def holds(self, trial_id: str) -> bool:
        """Whether the trial was handed out and has not ended."""
        return trial_id in self._running

    def _make_trial_row(self, running: _Running, outcome: Outcome) -> dict[str, Any]:
        planned = running.planned
        row: dict[str, Any] = {
            "trial_id": planned.trial_id,
            "phase": planned.phase,
            "arm": planned.arm,
            "architecture": planned.cell.architecture,
            "code_size": planned.cell.code_size,
            "number": planned.number,
            "factor": planned.factor,
            "level": planned.level.label if planned.level else None,
            "base_code_size": planned.cell.code_size if planned.level else None,
            "configuration": planned.configuration,
            "seed": planned.seed,
            "status": outcome.status,
            "reason": outcome.reason,
            "epochs": len(running.epochs),
            "finished_at": datetime.now(UTC),
            "train_images": None,
            "seconds": None,
        }
        if running.trial_config is not None:
            row |= running.trial_config.as_dict()
            row |= self.plan.list_columns(planned)
            row["configuration"] = planned.configuration or hash_configuration(running.trial_config)
        last = running.epochs[-1] if running.epochs else None
        for name in LOSSES:
            row[name] = _drop_infinite(getattr(last, name)) if last else None
        return row | running.columns | self._provenance


def make_provenance_columns(
    study: str, study_sha256: str, dataset: Dataset, versions: Mapping[str, str], git: tuple[str | None, bool | None]
) -> dict[str, Any]:
    """Return the columns that are the same in every row of a launch."""
    return {
        "study": study,
        "study_sha256": study_sha256,
        "dataset": dataset.name,
        "dataset_sha256": dataset.sha256,
        "git_commit": git[0],
        "git_dirty": git[1],
        "versions": json.dumps(dict(versions)),
    }


def _make_row(table: str, trial_id: str, record: Any) -> dict[str, Any]:
    """Return the row of ``record``, whose attributes are called as the columns of ``table``."""
    values = {name: getattr(record, name) for name in TABLES[table].names if name != "trial_id"}
    finite = {name: _drop_infinite(value) if isinstance(value, float) else value for name, value in values.items()}
    return {"trial_id": trial_id} | finite


def _make_image_rows(trial_id: str, outcome: Outcome) -> list[dict[str, Any]]:
    return [
        {
            "trial_id": trial_id,
            "evaluator": score.evaluator,
            "metric": score.metric,
            "unit": score.unit,
            "values": score.per_image,
        }
        for score in outcome.scores
        if score.per_image is not None
    ]


def _drop_infinite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _make_code_rows(trial_id: str, outcome: Outcome) -> list[dict[str, Any]]:
    kept = outcome.kept
    if kept is None:
        return []
    return [
        {
            "trial_id": trial_id,
            "image": image,
            "label": None if kept.labels is None else int(kept.labels[image]),
            "code": code,
            "reconstruction": kept.reconstructions[image] if image < len(kept.reconstructions) else None,
        }
        for image, code in enumerate(kept.codes)
    ]
