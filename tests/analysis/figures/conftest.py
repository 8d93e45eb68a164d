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


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of which every figure can be drawn."""
    return full_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def results(folder: Path) -> StudyResults:
    """Its rows."""
    return load_study(folder)


@pytest.fixture(autouse=True)
def unchanged_style() -> Iterator[None]:
    """Drawing leaves matplotlib's settings as they were."""
    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before
