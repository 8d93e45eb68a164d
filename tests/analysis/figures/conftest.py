"""A study of which every figure can be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest

from analysis.results import StudyResults, load_study
from tests.analysis.figures.panels import (
    full_study,
)
from tests.synthetic import write_synthetic_study


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of which every figure can be drawn."""
    return full_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def results(folder: Path) -> StudyResults:
    """Its rows."""
    return load_study(folder)


@pytest.fixture(scope="session")
def many_sizes(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Two models at five code sizes, one more than figures with a row of panels for each show."""
    folder = tmp_path_factory.mktemp("sizes")
    write_synthetic_study(
        folder,
        architectures=("model_1", "model_4"),
        code_sizes=(2, 3, 5, 10, 30),
        arms=("tuned",),
        search_trials=2,
        codes=True,
        pictures=True,
        mishaps={},
    )
    return load_study(folder)


@pytest.fixture(autouse=True)
def unchanged_style() -> Iterator[None]:
    """Drawing leaves matplotlib's settings as they were."""
    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before
