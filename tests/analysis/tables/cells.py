"""Lines of the tables of synthetic studies, and what they should say."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.results import StudyResults, load_study
from analysis.tables.table import Absent, Table
from tests.synthetic import true_score, write_synthetic_study

Tables = dict[str, Table | Absent]

SQUARED_ERROR = ("reconstruction", "squared_error")


def made(tmp_path: Path, **arguments: Any) -> StudyResults:
    """Return a small study with other arguments."""
    defaults: dict[str, Any] = {
        "architectures": ("model_1", "model_4"),
        "code_sizes": (10,),
        "search_trials": 2,
        "mishaps": {},
    }
    return load_study(write_synthetic_study(tmp_path / "study", **(defaults | arguments)))


def look_at(results: StudyResults, level: float) -> StudyResults:
    """Return the study as one that declared two looks, of which none is taken, so that it is judged at ``level``.

    Its configuration is one of built-in models, which can be read from the synthetic study.json.
    """
    (study,) = results.studies
    looks = {"seeds": [3, 5], "levels": [level, 0.05 - level]}
    config = study.manifest["config"] | {"architectures": ["model_1", "model_4"]}
    looking = dataclasses.replace(study, manifest={**study.manifest, "config": config, "looks": looks})
    return dataclasses.replace(results, studies=(looking,))


def shown(table: Table | Absent) -> Table:
    """Return ``table``, which must not be absent."""
    assert isinstance(table, Table), table
    return table


def line(table: Table | Absent, architecture: str, arm: str = "tuned", code_size: int = 10) -> pd.Series:
    """Return the one row of a cell and arm."""
    frame = shown(table).frame
    rows = frame[(frame["architecture"] == architecture) & (frame["arm"] == arm) & (frame["code_size"] == code_size)]
    assert len(rows) == 1
    return rows.iloc[0]


def scores_of(architecture: str, arm: str = "tuned", numbers: tuple[int, ...] = (1, 2, 3), **key: str) -> np.ndarray:
    """Return what the synthetic study holds for the runs of these numbers."""
    evaluator, metric = key.get("evaluator", SQUARED_ERROR[0]), key.get("metric", SQUARED_ERROR[1])
    return np.array([true_score(evaluator, metric, architecture, 10, arm, number) for number in numbers])
