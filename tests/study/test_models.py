"""Trained models: found by trial or by cell, and their codes as a file."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from study import codes, models
from study.config.search_space import Cell
from study.models import find_kept_trial, load_model
from study.storage.store import Store
from tests.studies import run_here, small_config, tuned_id, write_rows
from trainables.data.datasets import load_dataset
from trainables.data.images import Dataset
from trainables.errors import InputError

pytestmark = pytest.mark.slow

SHORT = {"trials": 1, "seeds": 2, "epochs": 2, "published_epochs": 2}
CONFIG = small_config(architectures=("model_3", "model_4"), batch_size=100, **SHORT)
TUNED = [tuned_id(CONFIG, Cell("model_4", 10), number) for number in (1, 2)]
TRIAL = TUNED[0]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of model 3 and model 4 with real weights."""
    return run_here(CONFIG, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """The study's data."""
    return load_dataset("digits")


def test_a_trial_gives_the_model_whose_codes_are_in_the_rows(study: Path, digits: Dataset) -> None:
    """Codes are kept in half precision."""
    model = load_model(study, TRIAL)
    rows = [row for row in pq.read_table(study / "codes").to_pylist() if row["trial_id"] == TRIAL]
    assert len(rows) == len(digits.test)
    made = model.encode(digits.test.pixels)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made.astype(np.float16), np.array([row["code"] for row in rows], np.float16))


def test_the_best_of_a_cell_is_the_tuned_trial_with_the_lowest_training_loss(study: Path) -> None:
    """Nothing is chosen by test images; a tie goes to the first seed."""
    rows = {row["trial_id"]: row for row in Store(study).read_trials()}
    tuned = [rows[trial_id] for trial_id in TUNED]
    lowest = min(tuned, key=lambda row: row["train_cross_entropy"])
    best = load_model(study, "model_4-code10")
    named = load_model(study, lowest["trial_id"])
    assert torch.equal(best.module.get_parameter("code.weight"), named.module.get_parameter("code.weight"))
    alike = [row | {"train_cross_entropy": 80.0} for row in reversed(tuned)]
    assert find_kept_trial(alike, "model_4-code10", "here")["number"] == 1
    other = [row | {"trial_id": "other", "configuration": "other", "train_cross_entropy": 1.0} for row in tuned[:1]]
    confirmed = {Cell("model_4", 10): tuned[0]["configuration"]}
    assert find_kept_trial([*tuned, *other], "model_4-code10", "here", confirmed) == lowest
    published = rows["confirm-model_4-code10-published-01"] | {"train_cross_entropy": 1.0}
    assert find_kept_trial([*tuned, published], "model_4-code10", "here") == lowest
    diverged = lowest | {"train_cross_entropy": 1.0, "status": "diverged", "trial_id": "another"}
    assert find_kept_trial([*tuned, diverged], "model_4-code10", "here") == lowest


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("model_1-code10", "has no trial or cell model_1-code10"),
        (
            "search-model_4-code10-round3-grid0000-01",
            "keeps no weights of search-model_4-code10-round3-grid0000-01",
        ),
        ("confirm-pca-code10", "keeps no weights of confirm-pca-code10"),
    ],
)
def test_a_model_that_was_not_kept_is_refused_with_those_that_were(study: Path, which: str, expected: str) -> None:
    """Cells are named."""
    with pytest.raises(InputError, match=expected) as refused:
        load_model(study, which)
    assert "model_3-code10, model_4-code10" in refused.value.accepted


def test_a_lost_or_damaged_weights_file_is_named(study: Path, tmp_path: Path) -> None:
    """Whatever is wrong with it: cut short, of other settings, or gone."""
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    file = copy / "weights" / f"{TRIAL}.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a weights file"):
        load_model(copy, TRIAL)
    size = int.from_bytes(whole[:8], "little")
    header = whole[8 : 8 + size].replace(b'\\"code_size\\": 10', b'\\"code_size\\": 11')
    assert len(header) == size
    file.write_bytes(whole[:8] + header + whole[8 + size :])
    with pytest.raises(InputError, match="has other weights than model_4 as it is built now"):
        load_model(copy, TRIAL)
    file.unlink()
    with pytest.raises(InputError, match=file.name):
        load_model(copy, TRIAL)


def test_codes_of_a_data_set_become_a_file(
    study: Path, digits: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every image of both splits, with its label; the file says who made it."""
    output = tmp_path / "codes.parquet"
    assert codes.main([str(study), TRIAL, "--output", str(output)]) == 0
    assert "1,797 images" in capsys.readouterr().out
    table = pq.read_table(output)
    assert table.schema.metadata[b"trial_id"].decode() == TRIAL
    assert table.schema.metadata[b"dataset_sha256"].decode() == digits.sha256
    frame = table.to_pandas()
    assert frame.columns.tolist() == ["image", "label", "split", "code"]
    for split, images in (("train", digits.training), ("test", digits.test)):
        part = frame[frame["split"] == split]
        assert part["image"].tolist() == list(range(len(images)))
        np.testing.assert_array_equal(part["label"], images.labels)
        np.testing.assert_array_equal(np.stack(part["code"]), load_model(study, TRIAL).encode(images.pixels))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["model_9-code10"], "no trial or cell model_9-code10"),
        (["model_4-code10", "--dataset", "cifar"], "unknown data set 'cifar'"),
        (["model_4-code10", "--output", "missing/codes.parquet"], "missing/codes.parquet cannot be written"),
    ],
)
def test_a_mistake_leaves_no_file(
    study: Path,
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit status 2 and one screen."""
    monkeypatch.chdir(tmp_path)
    assert codes.main([str(study), *arguments]) == 2
    assert expected in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_study_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is made there."""
    assert codes.main([str(tmp_path / "nowhere"), "model_4-code10"]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_best_of_a_cell_is_that_of_the_search_with_what_was_tried_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finalist failed, so another was confirmed; tried anew it won, and its confirmation counts."""
    config = small_config(architectures=("model_4",), arms=("tuned",), validation_seeds=1, seeds=1)
    store = Store(write_rows(config, tmp_path, lambda planned, _: 100.0 - planned.number))
    rows = store.read_trials()
    finals = [row for row in rows if row["phase"] == "search" and row["round"] == 3]
    (winner,) = [row for row in finals if row["number"] > 0]
    (confirmed,) = [row for row in rows if row["phase"] == "confirm" and row["arm"] == "tuned"]
    assert confirmed["configuration"] == winner["configuration"]
    failed = winner | {"status": "failed", "validation_cross_entropy": None}
    (first,) = [row for row in finals if row["number"] == 0]
    before = confirmed | {"trial_id": "confirm-before", "configuration": first["configuration"]}
    confirmed, before = confirmed | {"train_cross_entropy": 90.0}, before | {"train_cross_entropy": 80.0}
    kept = [row for row in rows if row["trial_id"] not in (winner["trial_id"], confirmed["trial_id"])]
    again = winner | {"trial_id": f"{winner['trial_id']}-retry1"}
    monkeypatch.setattr(Store, "read_trials", lambda _: [*kept, failed, again, before, confirmed])
    monkeypatch.setattr(Store, "read_weights", lambda _, trial_id: b"")
    monkeypatch.setattr(models, "unpack_weights", lambda *_: (torch.nn.Identity(), None))
    row, _ = models.find_model(store, "model_4-code10")
    assert row["trial_id"] == confirmed["trial_id"]
