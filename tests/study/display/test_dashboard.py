"""The searches in a storage of Optuna while a study runs."""

from __future__ import annotations

import io
import time
from pathlib import Path

import optuna
import pytest

from analysis.optuna_export import check_storage, open_storage
from study.display import dashboard as mirror
from study.display.dashboard import Mirror
from study.display.progress import Progress
from study.plan.plan import Plan
from study.storage.location import parse_location
from tests.studies import row_of, small_config, take_one
from tests.synthetic import write_synthetic_study
from trainables.errors import InputError


@pytest.mark.parametrize("url", ["sqlite:///{}/study.db", "{}/study.log"])
def test_trials_that_end_are_added_and_trouble_is_said_once(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a database as in a journal file; with no trial ended there is nothing to do."""
    monkeypatch.setattr(mirror, "PAUSE", 0.05)
    url = url.format(tmp_path)
    study = write_synthetic_study(tmp_path / "study", architectures=("model_1",), code_sizes=(10,))
    plan, out = Plan(small_config(), ()), io.StringIO()
    progress = Progress(plan, 1, out)
    check_storage(url)  # as a launch does, before anything else opens it
    with (
        Mirror(url, plan, parse_location(study), progress),
        Mirror("sqlite:///no/x.db", plan, parse_location(study), progress),
    ):
        time.sleep(0.5)
        assert optuna_trials(url) == 0
        deadline = time.monotonic() + 60
        for _ in range(2):
            taken = take_one(plan)
            assert taken is not None
            plan.finish(row_of(*taken, 100.0))
            time.sleep(0.2)
        while "Optuna storage sqlite:///no/x.db" not in out.getvalue() or optuna_trials(url) < 12:
            assert time.monotonic() < deadline, out.getvalue()
            time.sleep(0.1)
    assert optuna_trials(url) == 12
    assert out.getvalue().count("warning") == 1


def optuna_trials(url: str) -> int:
    """Return the number of trials in a storage."""
    with open_storage(url) as storage:
        return sum(summary.n_trials for summary in optuna.get_all_study_summaries(storage))


def test_a_storage_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    """Before a study starts."""
    with pytest.raises(InputError, match="Optuna storage"):
        check_storage(f"sqlite:///{tmp_path}/missing/study.db")
