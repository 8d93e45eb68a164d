"""A trial is trained again from its row and compared value by value."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from study import launch
from study import reproduce as reproduction
from study.config.search_space import Cell
from study.config.study_file import read_config
from study.storage import provenance
from study.storage.schema import table_of
from tests.faults.launches import find_tiny_data
from tests.studies import run_here, small_config, tuned_id
from tests.tiny import write_tiny_data
from trainables.run_trial import TrialBatch
from trainables.training.objectives import OBJECTIVES, RECONSTRUCTION

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CONFIG = small_config(
    dataset=find_tiny_data(),
    architectures=("model_4",),
    trials=1,
    seeds=1,
    epochs=2,
    batch_size=50,
    phases=("search", "confirm", "ablate"),
    factors=("loss",),
    published_epochs=2,
)
TRIAL = tuned_id(CONFIG, Cell("model_4", 10))


@pytest.fixture(scope="module", autouse=True)
def clean_checkout() -> Any:
    """A commit without changes, as for whoever does not work on the code."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(provenance, "git_state", lambda: ("c" * 40, False))
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, clean_checkout: None) -> Path:
    """A study of one cell."""
    return run_here(CONFIG, tmp_path_factory.mktemp("reproduction"))


def reproduced(capsys: pytest.CaptureFixture[str], trial_id: str, results: Path) -> tuple[int, str]:
    """Return the exit status of the command line and what it printed."""
    status = launch.main(["--reproduce", trial_id, str(results)])
    return status, "".join(capsys.readouterr())


def edit(study: Path, table: str, trial_id: str, change: Any) -> None:
    """Change the rows of a trial in their file."""
    file = study / table / f"{trial_id}.parquet"
    pq.write_table(table_of(table, [change(row) for row in pq.read_table(file).to_pylist()]), file)


@pytest.mark.parametrize(
    ("trial_id", "count"),
    [
        (TRIAL, 2 * 2 + 1),
        ("search-model_4-code10-round3-grid0000-01", 2 * 4 + 1),
        ("ablate-model_4-code10-loss-both-01", 2 * 2 + 1),
        ("ablate-model_4-code10-loss-both-rate1", 2 * 4 + 1),
        ("confirm-model_4-code10-published-01", 2 * 2 + 1),
        ("confirm-pca-code10", 1),
        ("confirm-raw_pixels-code784", 1),
    ],
)
def test_a_trial_comes_out_the_same_in_every_bit(
    trial_id: str, count: int, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training and, outside search, validation figures of every epoch, the status, and every score."""
    before = sorted(path for path in study.rglob("*"))
    status, shown = reproduced(capsys, trial_id, study)
    assert status == 0, shown
    rows = pq.read_table(study / "scores").to_pylist() if (study / "scores").exists() else []
    rows += pq.read_table(study / "image_scores").to_pylist() if (study / "image_scores").exists() else []
    count += sum(row["trial_id"].startswith(trial_id) for row in rows)
    assert shown.splitlines()[-1] == f"{count} of {count} values came out the same, {count} of them bit for bit"
    assert "the same bits are expected" in shown
    assert sorted(path for path in study.rglob("*")) == before


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory, clean_checkout: None) -> Path:
    """A study of the tiny data by every objective but reconstruction: two seeds, and what-where's strengths."""
    folder = tmp_path_factory.mktemp("objectives")
    file = folder / "by_objective.toml"
    others = [name for name in OBJECTIVES if name not in (RECONSTRUCTION, "what_where")]
    file.write_text(
        f'''preset = "quick"
dataset = "{write_tiny_data(folder)}"
architectures = ["model_4", "model_3"]
objectives = {json.dumps(others)}
objectives_at = [["model_3", ["what_where"]]]
ablated_architectures = ["model_3"]
phases = ["search", "confirm", "ablate"]
factors = ["objective_strength"]
trials = 1
seeds = 2
epochs = 1
'''
    )
    return run_here(read_config(str(file)), folder)


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name != RECONSTRUCTION])
def test_a_trial_by_another_objective_comes_out_the_same_in_every_bit(
    objective: str, launched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Noise, masks and draws are those of its seed, the second here, which is trained again without the first."""
    architecture = "model_3" if objective == "what_where" else "model_4"
    trials = [f"confirm-{architecture}-code10-{objective}-tuned-02"]
    if objective == "what_where":
        trials += [f"ablate-model_3-code10-what_where-objective_strength-{label}-01" for label in ("weak", "strong")]
    for trial_id in trials:
        status, shown = reproduced(capsys, trial_id, launched)
        assert status == 0, shown
        rows = [row for table in ("scores", "image_scores") for row in pq.read_table(launched / table).to_pylist()]
        count = 2 * 1 + 1 + sum(row["trial_id"].startswith(trial_id) for row in rows)
        assert shown.splitlines()[-1] == f"{count} of {count} values came out the same, {count} of them bit for bit"


def test_the_least_difference_is_shown(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A loss and a score that are off by a part in a million, where bits must agree."""
    copy = copied(study, tmp_path)

    def nudged(row: dict[str, Any]) -> dict[str, Any]:
        if row.get("epoch") == 2:
            return row | {"train_cross_entropy": row["train_cross_entropy"] * (1 + 1e-6)}
        if (row.get("evaluator"), row.get("metric")) == ("k_means", "silhouette"):
            return row | {"value": row["value"] * (1 + 1e-6)}
        return row

    def moved(row: dict[str, Any]) -> dict[str, Any]:
        first, *others = row["values"]
        return row | {"values": [first + 1 if row["metric"] == "squared_error" else first, *others]}

    edit(copy, "epochs", TRIAL, nudged)
    edit(copy, "scores", TRIAL, nudged)
    edit(copy, "image_scores", TRIAL, moved)
    status, shown = reproduced(capsys, TRIAL, copy)
    assert status == 1
    assert len(re.findall("DIFFERS", shown)) == 3
    assert "test images reconstruction: squared_error of 60 DIFFERS: 59 same" in shown
    assert re.search(r"^epoch 2: train_cross_entropy \S+ DIFFERS from", shown, re.MULTILINE)
    assert re.search(r"^test k_means: .*silhouette \S+ DIFFERS from", shown, re.MULTILINE)


def test_another_version_loosens_the_comparison_and_is_named(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Figures within the tolerance are close, others differ."""
    copy = copied(study, tmp_path)
    edit(copy, "trials", TRIAL, lambda row: row | {"device": "Another 9000", "git_commit": "d" * 40})
    edit(copy, "epochs", TRIAL, lambda row: row | {"train_squared_error": row["train_squared_error"] * 1.01})
    status, shown = reproduced(capsys, TRIAL, copy)
    assert status == 0, shown
    assert "device was Another 9000, is" in shown
    assert f"git commit was {'d' * 40}, is {'c' * 40}" in shown
    assert len(re.findall("close to", shown)) == 2
    edit(copy, "epochs", TRIAL, lambda row: row | {"train_squared_error": row["train_squared_error"] * 1.1})
    status, shown = reproduced(capsys, TRIAL, copy)
    assert status == 1
    assert len(re.findall("DIFFERS", shown)) == 2


def test_changes_that_no_commit_holds_are_named(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the row and here."""
    row = pq.read_table(study / "trials" / f"{TRIAL}.parquet").to_pylist()[0]
    device = torch.device("cpu")
    assert reproduction.find_differences(row, device) == []
    monkeypatch.setattr(provenance, "git_state", lambda: ("c" * 40, True))
    assert len(reproduction.find_differences(row | {"git_dirty": True}, device)) == 2


def test_a_trial_that_ends_otherwise_differs(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row that says diverged where nothing diverges; its scores were none."""
    copy = copied(study, tmp_path)
    edit(copy, "trials", TRIAL, lambda row: row | {"status": "diverged", "reason": "a loss is not finite"})
    status, shown = reproduced(capsys, TRIAL, copy)
    assert status == 1
    assert "status: complete DIFFERS from diverged" in shown


def test_the_settings_are_those_that_the_trial_had(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, from the columns, for a trial of an ablation."""
    seen: list[TrialBatch] = []

    def spied(batch: TrialBatch, *_: Any) -> Any:
        seen.append(batch)
        return iter(())

    monkeypatch.setattr(reproduction, "run_trial", spied)
    with pytest.raises(AssertionError):
        reproduction.reproduce("ablate-model_4-code10-loss-euclidean-01", str(study))
    batch = seen[0]
    assert batch.trial_config is not None
    assert batch.trial_config.loss == "euclidean"
    assert batch.trial_config.batch_size == 50
    (trial,) = batch.trials
    assert trial.trial_id.startswith("ablate-model_4-code10-loss-euclidean-01-")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"status": "failed", "reason": "its worker died"}, "failed: its worker died"),
        ({"dataset_sha256": "0" * 64}, "was trained on tiny of SHA-256 000"),
        ({"architecture": "model_9"}, "model_9"),
    ],
)
def test_a_row_that_cannot_be_reproduced_is_refused(
    change: dict[str, Any], expected: str, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One screen with exit status 2, and nothing trained."""
    copy = copied(study, tmp_path)
    edit(copy, "trials", TRIAL, lambda row: row | change)
    status, shown = reproduced(capsys, TRIAL, copy)
    assert status == 2
    assert expected in shown
    assert len(shown.splitlines()) == 3


def test_a_trial_that_is_not_there_is_refused_with_its_like(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing mistake is near one of them."""
    status, shown = reproduced(capsys, "confirm-model_4-code10-tuned-1", study)
    assert status == 2
    assert "has no trial confirm-model_4-code10-tuned-1\n" in shown
    assert TRIAL in shown


def test_a_folder_without_a_study_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is made there."""
    status, shown = reproduced(capsys, TRIAL, tmp_path / "nowhere")
    assert status == 2
    assert "there is no such folder" in shown
    assert list(tmp_path.iterdir()) == []


def test_ray_is_not_needed() -> None:
    """A trial is trained in this process."""
    code = "import study.reproduce, sys; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def copied(study: Path, tmp_path: Path) -> Path:
    """Return a copy of the study that a test may change."""
    return Path(shutil.copytree(study, tmp_path / "copy"))
