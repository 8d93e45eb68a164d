"""Small studies and rows for the tests of the package `study`."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from study import launch
from study.config.presets import study_config
from study.config.search_space import Cell, measure_filters
from study.config.study_config import StudyConfig
from study.display.progress import Progress
from study.execution.recorder import TrialRecorder, make_provenance_columns
from study.plan.identity import next_manifest
from study.plan.plan import Plan
from study.plan.planned_trial import PlannedTrial, hash_configuration, make_trial_config
from study.storage import provenance
from study.storage.store import Store
from trainables.data.datasets import load_dataset
from trainables.models.architectures import BUILT_IN
from trainables.run_trial import run_trial
from trainables.trial_config import TrialConfig


def exit_status(arguments: Sequence[str]) -> int | str | None:
    """Return how the command line ends, whether the launch or argparse ends it."""
    try:
        return launch.main(arguments)
    except SystemExit as stopped:
        return stopped.code


def small_config(**changes: Any) -> StudyConfig:
    """Return a configuration of two cells, few trials and both arms.

    By default 3 trials a cell are trained for 2 epochs, and 2 of them for 5 with 2 seeds: 7 rows of search.
    """
    values: dict[str, Any] = {
        "architectures": ("model_1", "model_4"),
        "code_sizes": (10,),
        "arms": ("tuned", "published"),
        "published_epochs": 5,
        "trials": 3,
        "seeds": 2,
        "epochs": 5,
    }
    return study_config("quick", **(values | changes))


def tuned_id(config: StudyConfig, cell: Cell, number: int = 1) -> str:
    """Return the id of a confirmation where trial 0, the published point of the tuned recipe, won its search."""
    found = hash_configuration(make_trial_config(config, cell, config.recipe))
    return PlannedTrial("confirm", "tuned", cell, number, 0, config.epochs, configuration=found).trial_id


def row_of(
    planned: PlannedTrial,
    trial_config: TrialConfig | None,
    value: float = 100.0,
    status: str = "complete",
    squared_error: float | None = None,
) -> dict[str, Any]:
    """Return the row of ``trials`` with which ``planned`` ends, its validation cross-entropy being ``value``.

    The validation squared error is a quarter of it, unless it is given.
    """
    row: dict[str, Any] = {
        "trial_id": planned.trial_id,
        "study": "quick-digits",
        "phase": planned.phase,
        "round": planned.round,
        "arm": planned.arm,
        "dataset": "digits",
        "architecture": planned.cell.architecture,
        "code_size": planned.cell.code_size,
        "number": planned.number,
        "factor": planned.factor,
        "level": planned.level.label if planned.level else None,
        "base_code_size": planned.cell.code_size if planned.level else None,
        "seed": planned.seed,
        "status": status,
        "filters_1": None,
        "filters_2": None,
        "epochs": planned.epochs if status == "complete" else 1,
        "budget_share": None,
        "filters_ratio": None,
        "validation_cross_entropy": value if status in ("complete", "pruned") else None,
        "validation_squared_error": None,
    }
    if status in ("complete", "pruned"):
        row["validation_squared_error"] = value / 4 if squared_error is None else squared_error
    if trial_config is None:
        return row
    built_in = BUILT_IN.get(planned.cell.architecture)
    if trial_config.filters and planned.phase == "search" and built_in:
        measured = measure_filters(built_in, planned.cell.code_size, trial_config.filters)
        row |= dict(zip(("budget_share", "filters_ratio"), measured, strict=True))
    return row | trial_config.as_dict() | {"configuration": planned.configuration or hash_configuration(trial_config)}


def take_one(plan: Plan) -> tuple[PlannedTrial, TrialConfig | None] | None:
    """Take the next trial of a plan, alone, and return it with its settings."""
    if (taken := plan.take()) is None:
        return None
    ((planned,), trial_config) = taken
    return planned, trial_config


def write_rows(
    config: StudyConfig,
    results: Path,
    value: Callable[[PlannedTrial, TrialConfig], float | tuple[float, float]],
    stop_after: int = 100_000,
) -> Path:
    """Write the rows of a study without training: search trials reach the ``value`` of their settings.

    It is their validation cross-entropy, or that and the squared error.
    """
    store = Store(results / config.name)
    with store:
        earlier = store.read_manifest()
        manifest = next_manifest(config, load_dataset(config.dataset), earlier, store.folder)
        store.open(manifest)
        plan = Plan(config, store.read_trials() if earlier else ())
        for _ in range(stop_after):
            if (taken := take_one(plan)) is None:
                break
            planned, trial_config = taken
            reached = 100.0 if trial_config is None else value(planned, trial_config)
            losses = reached if isinstance(reached, tuple) else (reached, None)
            row = row_of(planned, trial_config, losses[0], squared_error=losses[1]) | plan.list_columns(planned)
            row |= {"started_at": datetime.now(UTC), "finished_at": datetime.now(UTC)}
            plan.finish(row | {"study": config.name, "study_sha256": manifest["study_sha256"]})
            store.append(plan.rows[planned.trial_id], {}, None)
    return results / config.name


def run_here(config: StudyConfig, results: Path) -> Path:
    """Run a study trial after trial in this process, without Ray, and return its folder.

    Its rows, weights and codes are real ones.
    """
    dataset = load_dataset(config.dataset)
    store = Store(results / config.name)
    with store:
        manifest = next_manifest(config, dataset, None, store.folder)
        store.open(manifest)
        plan = Plan(config, ())
        columns = make_provenance_columns(
            config.name, manifest["study_sha256"], dataset, provenance.versions(), provenance.git_state()
        )
        with store.writing():
            recorder = TrialRecorder(plan, store, Progress(plan, 1, io.StringIO()), columns)
            while batch := recorder.take():
                for report in run_trial(batch, dataset, torch.device("cpu")):
                    recorder.receive(report)
    return results / config.name
