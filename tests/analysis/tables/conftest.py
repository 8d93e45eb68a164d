"""A synthetic study with mishaps and ablations, and its tables."""

from __future__ import annotations

import pytest

from analysis.report import comparison_tables
from analysis.results import StudyResults, load_study
from tests.analysis.tables.cells import Tables
from tests.synthetic import write_synthetic_study


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """All architectures at code size 10, three seeds, with the mishaps of `tests.synthetic.MISHAPS` and ablations."""
    folder = write_synthetic_study(tmp_path_factory.mktemp("study"), code_sizes=(10,), ablations=True)
    return load_study(folder)


@pytest.fixture(scope="session")
def tables(results: StudyResults) -> Tables:
    """Every table of that study, by name."""
    return {table.name: table for table in comparison_tables(results)}
