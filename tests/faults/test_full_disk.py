"""A whole study whose disk becomes full: it stops with one screen, and goes on when there is space."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.faults.invariants import Damage, damage
from tests.faults.launches import NAME, assert_ended_in_words, small_study
from tests.faults.test_storage_faults import assert_whole, disk, fill

__all__ = ["disk"]

STUDY, CONFIG = small_study(seeds=2)
IMPATIENT = """
import sys
import study.storage.store
from study import launch
study.storage.store.PATIENCE_SECONDS = 1.0
sys.exit(launch.main(sys.argv[1:]))
"""

pytestmark = [pytest.mark.slow, pytest.mark.fault("storage: disk full during a study")]


def test_a_study_whose_disk_is_full_stops_and_goes_on(disk: Path, tmp_path: Path, every_fault: bool) -> None:
    """Exit status 2, no traceback, nothing half-written; the same command ends the study."""
    if not every_fault:
        pytest.skip("make test-faults does it; test_storage_faults.py fills a disk beneath a store")
    command = [sys.executable, "-c", IMPATIENT, *STUDY, "--results-dir", str(disk)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while len(list((disk / NAME / "trials").glob("[!.]*.parquet"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    filler = fill(disk)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert "No space left on device" in err
    assert "the same command" in err
    assert_ended_in_words(err)
    before = pd.read_parquet(disk / NAME / "trials").set_index("trial_id")
    assert_whole(disk / NAME, sorted(before.index))
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    trials = pd.read_parquet(disk / NAME / "trials").set_index("trial_id")
    assert trials.index.is_unique
    assert damage(disk / NAME, CONFIG) == Damage()
    pd.testing.assert_series_equal(trials.finished_at[before.index], before.finished_at)
