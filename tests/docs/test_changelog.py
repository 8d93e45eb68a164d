"""What the changelog says of studies begun with an earlier version."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from publish_reference import ROWS

from analysis.results import load_study
from study import launch


def test_a_study_of_an_earlier_schema_is_read_and_going_on_with_it_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The published rows, which such a version began; under a name of its own a study begins afresh."""
    shutil.copytree(ROWS, tmp_path / "sample-mnist")
    assert len(load_study(tmp_path / "sample-mnist").trials) == 229
    assert launch.main(["--preset", "sample", "--results-dir", str(tmp_path), "--status"]) == 2
    said = capsys.readouterr().err
    assert "to do:" in said and "--name" in said
    assert launch.main(["--preset", "sample", "--results-dir", str(tmp_path), "--name", "afresh", "--missing"]) == 0
    assert capsys.readouterr().out.startswith("search-model_1-code10-round1-")
