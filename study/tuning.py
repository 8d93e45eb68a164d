"""One Tuner runs the plan: it is asked for the next trial owed and writes the rows of each that ends."""

from __future__ import annotations

import json
import math
import os
import pickle
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from study.plan import Owed, Plan
from study.progress import Progress
from study.stopping import CellStopping
from study.store import Store
from trainables.datasets import Dataset
from trainables.run import Outcome, Report
from trainables.settings import Settings
from trainables.training import EpochFigures
from trainables.trial import Trial

RETRIES = 2
"""Times that a trial whose worker died is started again, from its beginning, before it is `failed`."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What one trial holds and how many run at once."""

    gpus_per_trial: float
    concurrency: int


@dataclass(slots=True)
class _Running:
    """A trial in Tune and what its worker has said so far."""

    owed: Owed
    settings: Settings | None
    columns: dict[str, Any] = field(default_factory=dict)
    epochs: list[EpochFigures] = field(default_factory=list)


class Ledger:
    """Hands out the trials that the plan owes and turns what comes back into committed rows.

    Args:
        plan: what is owed.
        store: where rows go.
        progress: what the user sees.
        provenance: columns that are the same in every row of this launch.
    """

    def __init__(self, plan: Plan, store: Store, progress: Progress, provenance: Mapping[str, Any]) -> None:
        self.plan = plan
        self._store, self._progress, self._provenance = store, progress, dict(provenance)
        self._running: dict[str, _Running] = {}

    def take(self) -> tuple[Owed, Settings | None] | None:
        """Return the next trial owed and its settings; None if none can start now."""
        taken = self.plan.take()
        if taken is not None:
            self._running[taken[0].trial_id] = _Running(*taken)
        return taken

    def receive(self, report: Report) -> None:
        """Keep what a worker reports; commit the trial when it has ended."""
        running = self._running[report.trial_id]
        running.columns = report.columns
        if report.epoch is not None:
            if report.epoch.epoch == 1:
                running.epochs.clear()  # A retried trial starts from its beginning.
            running.epochs.append(report.epoch)
        if report.outcome is not None:
            self.commit(report.trial_id, report.outcome)

    def commit(self, trial_id: str, outcome: Outcome) -> None:
        """Write the rows of a trial that ended, then tell the plan."""
        running = self._running.pop(trial_id)
        row = self._trial_row(running, outcome)
        epochs = [{"trial_id": trial_id} | _columns(figures) for figures in running.epochs]
        scores = [{"trial_id": trial_id} | _columns(score) for score in outcome.scores]
        others = {"epochs": epochs, "scores": scores, "codes": _code_rows(trial_id, outcome)}
        self._store.append(row, others, outcome.weights)
        self.plan.finish(row)
        errors = [
            score.value
            for score in outcome.scores
            if (score.split, score.evaluator, score.metric) == ("test", "reconstruction", "squared_error")
        ]
        self._progress.trial_ended(row, errors[0] if errors else None)

    def holds(self, trial_id: str) -> bool:
        """Whether the trial was handed out and has not ended."""
        return trial_id in self._running

    def _trial_row(self, running: _Running, outcome: Outcome) -> dict[str, Any]:
        owed = running.owed
        row: dict[str, Any] = {
            "trial_id": owed.trial_id,
            "phase": owed.phase,
            "arm": owed.arm,
            "architecture": owed.cell.architecture,
            "code_size": owed.cell.code_size,
            "number": owed.number,
            "factor": owed.factor,
            "level": owed.level.label if owed.level else None,
            "base_code_size": owed.cell.code_size if owed.level else None,
            "seed": owed.seed,
            "status": outcome.status,
            "reason": outcome.reason,
            "epochs": len(running.epochs),
            "finished_at": datetime.now(UTC),
            "train_images": None,
            "seconds": None,
        }
        if running.settings is not None:
            row |= running.settings.as_dict()
        last = running.epochs[-1] if running.epochs else None
        for name in (
            "train_cross_entropy",
            "train_squared_error",
            "validation_cross_entropy",
            "validation_squared_error",
        ):
            row[name] = _finite(getattr(last, name)) if last else None
        return row | running.columns | self._provenance


class PlanSearcher(Searcher):
    """Gives Tune the next trial that the ledger owes; Optuna is asked inside, one study a cell."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()  # no metric: controls report none, and Optuna is told by rows
        self._ledger = ledger

    def suggest(self, trial_id: str) -> Any:
        """Return the configuration of the next trial, None to be asked later, or FINISHED."""
        taken = self._ledger.take()
        if taken is None:
            return str(Searcher.FINISHED) if self._ledger.plan.exhausted else None
        owed, settings = taken
        return {"spec": owed.spec(settings)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Do nothing: the ledger learned from the rows when they were committed."""


class RowWriter(tune.Callback):
    """Takes the reports out of Tune's results and commits trials that end, in whichever way."""

    def __init__(self, ledger: Ledger, stopping: CellStopping) -> None:
        self._ledger, self._stopping = ledger, stopping

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Pass the report on; a trial that early stopping ended has no outcome of its own."""
        report: Report = result.pop("report")
        self._ledger.receive(report)
        if trial.trial_id in self._stopping.pruned and self._ledger.holds(report.trial_id):
            self._ledger.commit(report.trial_id, Outcome("pruned", "behind the other trials of its cell"))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Commit as failed what the trial still owed, with the worker's error as reason."""
        for run in trial.config["spec"].runs:
            if self._ledger.holds(run.trial_id):
                self._ledger.commit(run.trial_id, Outcome("failed", _reason(trial)))


def run_plan(
    ledger: Ledger, stopping: CellStopping, dataset: Dataset, resources: Resources, time_budget: float | None
) -> None:
    """Run what the ledger owes on the Ray that this process is connected to, until it is done or time is up.

    Args:
        ledger: what is owed.
        stopping: early stopping, shown the search trials that are done already.
        dataset: put into Ray's object store once.
        resources: of a trial.
        time_budget: seconds after which no trial goes on, or None; a trial that is cut off is owed again.
    """
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # Rows are written by RowWriter alone.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Ctrl-C ends at once: what is not written is owed again.
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # Progress is shown by `progress` alone.
    gpus = resources.gpus_per_trial
    trainable = tune.with_resources(
        tune.with_parameters(Trial, dataset=dataset), {"cpu": 1, "gpu": gpus} if gpus else {"cpu": 1}
    )
    with tempfile.TemporaryDirectory(prefix="cae-study-") as folder:
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=PlanSearcher(ledger),
                scheduler=stopping,
                num_samples=-1,
                max_concurrent_trials=resources.concurrency,
                reuse_actors=True,
                time_budget_s=time_budget,
                trial_dirname_creator=lambda trial: trial.trial_id,
                trial_name_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                # Tune wants a folder of its own; nothing in it is ever read.
                storage_path=folder,
                verbose=0,
                callbacks=[RowWriter(ledger, stopping)],
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        tuner.fit()


def _reason(trial: Any) -> str:
    """Return the kind and the first line of what the worker raised.

    Tune keeps the error in a file of this process; its copy in Tune's storage, which `Trial.get_error` reads, may come
    later than the trial's end.
    """
    if trial.pickled_error_file is None:
        return Path(trial.error_file).read_text().strip().splitlines()[-1][:500]
    error = pickle.loads(Path(trial.pickled_error_file).read_bytes())
    cause = getattr(error, "cause", None) or error  # what the worker raised, inside what Ray made of it
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0] if lines else 'no message'}"[:500]


def _columns(record: Any) -> dict[str, Any]:
    return {
        name: _finite(value) if isinstance(value, float) else value
        for name in record.__slots__
        for value in (getattr(record, name),)
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _code_rows(trial_id: str, outcome: Outcome) -> list[dict[str, Any]]:
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


def provenance_columns(
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
