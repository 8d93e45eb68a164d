"""What the changelog says of studies begun with an earlier version."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

from analysis.report import comparison_tables
from analysis.results import load_study
from analysis.tables.table import Absent
from study import launch

ROOT = Path(__file__).resolve().parents[2]
OLD = Path(__file__).parent / "schema_1"
"""Model 4, unpool only and controls at code size 10, of a study of MNIST whose searches were stopped early."""


def test_the_version_and_its_date_are_the_same_everywhere() -> None:
    """In the changelog, in what is cited and in what is installed."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    latest = re.search(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert latest and latest.groups() == (version, str(cited["date-released"]))
    assert cited["version"] == version


def test_a_study_of_an_earlier_schema_is_read_and_going_on_with_it_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its tables are made; under a name of its own a study begins afresh."""
    shutil.copytree(OLD, tmp_path / "sample-mnist")
    results = load_study(tmp_path / "sample-mnist")
    assert len(results.trials) == 46
    told = {table.name for table in comparison_tables(results) if not isinstance(table, Absent)}
    assert told >= {"summary", "search", "stability", "reliance", "ablations", "findings"}
    assert launch.main(["--preset", "sample", "--results-dir", str(tmp_path), "--status"]) == 2
    said = capsys.readouterr().err
    assert "to do:" in said and "--name" in said
    assert launch.main(["--preset", "sample", "--results-dir", str(tmp_path), "--name", "afresh", "--missing"]) == 0
    assert capsys.readouterr().out.startswith("search-model_1-code10-round1-")


@pytest.mark.slow
def test_a_trial_of_an_earlier_schema_is_trained_again(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that was pruned after an epoch, so that it is soon done: its losses are within rounding."""
    shutil.copytree(OLD, tmp_path / "sample-mnist")
    trials = load_study(tmp_path / "sample-mnist").trials
    cheap = trials[(trials.status == "pruned") & (trials.architecture == "unpool_only")]
    trial_id = cheap.sort_values(["epochs", "multiply_adds"]).trial_id.iloc[0]
    assert launch.main(["--reproduce", trial_id, str(tmp_path / "sample-mnist"), "--data-dir", str(data_dir)]) == 0
    said = capsys.readouterr().out
    assert "DIFFERS" not in said and ("same" in said or "close to" in said)
