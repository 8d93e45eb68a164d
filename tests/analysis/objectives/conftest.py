"""A study by several objectives."""

from __future__ import annotations

import pytest

from analysis.results import StudyResults, load_study
from tests.analysis.objectives.studies import write_study


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Model 4 by four objectives and model 3 by two, code sizes 2 and 10, strengths at 10, three seeds."""
    return load_study(write_study(tmp_path_factory.mktemp("objectives") / "study"))
