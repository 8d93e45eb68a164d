"""A study on an object store, end to end: trials on a real Ray, rows in S3, the report read from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from analysis import report
from study import launch
from study.storage.files import Storage
from study.storage.location import parse_location
from study.storage.store import Store
from tests.faults.launches import assert_ended_in_words
from tests.object_store import object_store, reached
from tests.tiny import write_tiny_data

ROOT = Path(__file__).resolve().parents[3]
TINY = (
    *("--preset", "quick", "--architectures", "unpool_only", "--trials", "2", "--seeds", "1", "--epochs", "2"),
    *("--concurrency", "1", "--no-report"),
)
TRIALS = 2 * 2 + 1 + 2
"""Two finalists with two seeds each, a confirmation, two controls."""

pytestmark = [pytest.mark.slow, pytest.mark.fault("object store: launcher killed")]


def test_a_study_on_s3_is_stopped_goes_on_and_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL after two trials, then the same command; a second launcher in between, this process, is refused."""
    monkeypatch.chdir(tmp_path)
    with object_store() as store, reached(store) as root:
        data = str(write_tiny_data(tmp_path))
        command = [sys.executable, str(ROOT / "study" / "launch.py"), *TINY, "--dataset", data, "--results-dir", root]
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        study = f"{root}/quick-tiny"

        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 300
        while len(Storage(parse_location(study)).names("trials")) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert launch.main(command[2:]) == 2
        said = capsys.readouterr().err
        assert f"in use by process {process.pid}" in said
        assert_ended_in_words(said)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = {row["trial_id"]: row["finished_at"] for row in Store(study).read_trials()}
        assert 2 <= len(kept) < TRIALS

        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"results: {study}" in done.stdout
        place = parse_location(study)
        trials = pd.read_parquet(f"{place.path}/trials", filesystem=place.filesystem)
        assert len(trials) == trials.trial_id.nunique() == TRIALS
        assert trials.set_index("trial_id").finished_at[list(kept)].tolist() == list(kept.values())
        assert set(trials.status) <= {"complete", "pruned"}
        assert report.main([study, "--no-tsne", "--output", f"{study}/report"]) == 0
        assert "Unpool only" in capsys.readouterr().out
        assert {"report.html", "report.md", "tables", "figures"} <= set(Storage(place).names("report"))
