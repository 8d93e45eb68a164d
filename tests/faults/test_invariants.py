"""The check of a study's folder finds each kind of damage, so that its zeros mean something."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from study.config.study_config import StudyConfig
from study.plan.identity import next_manifest
from study.plan.plan import Plan
from study.storage.store import Store
from tests.faults.invariants import Damage, committed, damage, main
from tests.studies import row_of, small_config, take_one
from trainables.data.datasets import load_dataset

CONFIG: StudyConfig = small_config(architectures=("model_1",), trials=1, seeds=1)
FIRST = "confirm-model_1-code10-published-01"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete study of rows that nothing trained."""
    with Store(tmp_path / "study") as store:
        store.open(next_manifest(CONFIG, load_dataset("digits"), None, store.folder))
        plan = Plan(CONFIG, ())
        while taken := take_one(plan):
            plan.finish(row_of(*taken))
            store.append({**plan.rows[taken[0].trial_id], "study_sha256": "made up"}, {}, None)
    return tmp_path / "study"


def test_a_whole_study_has_no_damage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor has it by the command that docs/reliability.md shows."""
    assert damage(folder, CONFIG, committed(folder)) == Damage()
    assert main([str(folder)]) == 0
    assert "lost=0" in capsys.readouterr().out


def test_a_trial_that_is_missing_or_was_run_again_is_lost(folder: Path) -> None:
    """By its id, and by its times."""
    before = dict(committed(folder))
    before[FIRST] = ("another", "time")
    assert damage(folder, CONFIG, before) == Damage(lost=1)
    (folder / "trials" / f"{FIRST}.parquet").unlink()
    assert damage(folder, CONFIG) == Damage(lost=1)
    assert main([str(folder)]) == 1
    assert damage(folder, CONFIG, complete=False) == Damage()


def test_a_row_that_is_there_twice_is_counted(folder: Path) -> None:
    """In whichever files."""
    shutil.copy(folder / "trials" / f"{FIRST}.parquet", folder / "trials" / "again.parquet")
    assert damage(folder, CONFIG) == Damage(duplicated=1)


def test_a_file_with_a_flipped_bit_is_unreadable(folder: Path) -> None:
    """Page checksums see it."""
    path = folder / "trials" / f"{FIRST}.parquet"
    content = bytearray(path.read_bytes())
    content[16] ^= 1
    path.write_bytes(bytes(content))
    assert damage(folder, CONFIG) == Damage(lost=1, unreadable=1)
