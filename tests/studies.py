"""Small studies and rows for the tests of the package `study`."""

from __future__ import annotations

from typing import Any

from study.config import StudyConfig, study_config
from study.plan import Owed
from trainables.settings import Settings


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
