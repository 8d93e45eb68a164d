"""Small studies and rows for the tests of the package `study`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from study.config.study_config import StudyConfig, study_config
from study.display.progress import Progress
from study.execution.recorder import Ledger, provenance_columns, spec_of
from study.plan.plan import Owed, Plan
from study.storage import provenance
from study.storage.manifest import next_manifest
from study.storage.store import Store
from study.storage.writer import Writer
from trainables.data.datasets import load_dataset
from trainables.run_trial import Outcome, run_trial
from trainables.trial_config import Settings


def small_config(**changes: Any) -> StudyConfig:
    """Return a configuration of two cells and few trials."""
    values: dict[str, Any] = {
        "architectures": ("model_1", "model_4"),
        "code_sizes": (10,),
        "trials": 3,
        "seeds": 2,
        "epochs": 5,
    }
    return study_config("quick", **(values | changes))


def row_of(owed: Owed, settings: Settings | None, value: float = 100.0, status: str = "complete") -> dict[str, Any]:
    """Return the row of ``trials`` with which ``owed`` ends, its validation cross-entropy being ``value``."""
    row: dict[str, Any] = {
        "trial_id": owed.trial_id,
        "study": "quick-digits",
        "phase": owed.phase,
        "arm": owed.arm,
        "dataset": "digits",
        "architecture": owed.cell.architecture,
        "code_size": owed.cell.code_size,
        "number": owed.number,
        "seed": owed.seed,
        "status": status,
        "filters_1": None,
        "filters_2": None,
        "epochs": 5 if status == "complete" else 1,
        "validation_cross_entropy": value if status in ("complete", "pruned") else None,
    }
    return row | (settings.as_dict() if settings else {})


def run_here(config: StudyConfig, results: Path, pruned: tuple[str, ...] = ()) -> Path:
    """Run a study trial after trial in this process, without Ray, and return its folder.

    Its rows, weights and codes are real ones. Trials ``pruned`` are stopped after their first epoch.
    """
    dataset = load_dataset(config.dataset)
    store = Store(results / config.name)
    with store:
        manifest = next_manifest(config, dataset, None, store.folder)
        store.open(manifest)
        plan = Plan(config, ())
        columns = provenance_columns(
            config.name, manifest["study_sha256"], dataset, provenance.versions(), provenance.git_state()
        )
        with Writer(store) as writer:
            ledger = Ledger(plan, writer, Progress(plan, 1, io.StringIO()), columns)
            while taken := ledger.take():
                for report in run_trial(spec_of(*taken), dataset, torch.device("cpu")):
                    ledger.receive(report)
                    if report.trial_id in pruned:
                        ledger.commit(report.trial_id, Outcome("pruned", "behind the other trials of its cell"))
                        break
    return results / config.name
