"""Rows that support every claim."""

from __future__ import annotations

import pytest

from analysis.results import StudyResults, load_study
from tests.analysis.claims.changes import (
    GOOD,
    having,
)
from tests.synthetic import write_synthetic_study


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Three runs a model and arm at code size 10, and controls."""
    folder = tmp_path_factory.mktemp("findings") / "study"
    return having(load_study(write_synthetic_study(folder, code_sizes=(10,), search_trials=1, mishaps={})), GOOD)
