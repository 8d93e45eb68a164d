"""Data of one's own: files in their formats, with labels or without, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.claims.findings import findings
from analysis.report import comparison_tables
from analysis.results import load_study
from analysis.tables.table import Absent
from study import launch
from study.config.presets import study_config
from study.config.study_file import read_config
from study.plan.identity import make_identity
from tests.faults.launches import assert_ended_in_words
from tests.synthetic import write_synthetic_study
from trainables.data.datasets import load_dataset
from trainables.errors import InputError
from trainables.evaluation.evaluate import evaluate_codes

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (90, 28, 28), np.uint8)
LABELS = np.arange(90) % 3
ARRAYS: dict[str, Any] = {
    "train_images": PIXELS[:60],
    "train_labels": LABELS[:60],
    "test_images": PIXELS[60:],
    "test_labels": LABELS[60:],
}
UNLABELLED = {name: values for name, values in ARRAYS.items() if name.endswith("images")}


def npz(folder: Path, arrays: dict[str, Any] = ARRAYS, name: str = "mine.npz") -> str:
    """Write arrays and return the path."""
    np.savez(folder / name, **arrays)
    return str(folder / name)


def parquet(folder: Path, **changes: Any) -> str:
    """Write `PIXELS` and `LABELS` a row an image, train before test, and return the path."""
    columns = {
        "image": list(PIXELS.reshape(90, -1)),
        "label": LABELS,
        "split": ["train"] * 60 + ["test"] * 30,
    } | changes
    table = pa.table({name: values for name, values in columns.items() if values is not None})
    pq.write_table(table, folder / "mine.parquet")
    return str(folder / "mine.parquet")


def test_both_formats_give_the_same_data_set(tmp_path: Path) -> None:
    """Named after the file; the last sixth of the training images is for validation."""
    first, second = load_dataset(npz(tmp_path)), load_dataset(parquet(tmp_path))
    assert first.name == second.name == "mine"
    assert first.sha256 == second.sha256
    assert (len(first.training), len(first.validation), len(first.test)) == (60, 10, 30)
    assert np.array_equal(first.validation.pixels, PIXELS[50:60])
    assert first.test.labels is not None and np.array_equal(first.test.labels, LABELS[60:])
    assert not first.training.pixels.flags.writeable


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name")
def test_a_table_is_found_in_a_folder_whose_name_is_no_utf8(tmp_path: Path) -> None:
    """As any name is that has an umlaut, where names are read as ASCII."""
    folder = tmp_path / os.fsdecode(b"f\xfcr")
    folder.mkdir()
    found = parquet(tmp_path)
    expected = load_dataset(found).sha256
    assert load_dataset(str(shutil.move(found, folder))).sha256 == expected


def test_floats_from_0_to_1_are_pixels(tmp_path: Path) -> None:
    """Rounded to the nearest of 256 values, so that every pixel comes back."""
    arrays = ARRAYS | {name: (ARRAYS[name] / 255).astype(np.float32) for name in ("train_images", "test_images")}
    assert load_dataset(npz(tmp_path, arrays)).sha256 == load_dataset(npz(tmp_path)).sha256
    assert load_dataset(parquet(tmp_path, image=list(PIXELS.reshape(90, -1) / 255))).sha256 == (
        load_dataset(npz(tmp_path)).sha256
    )


@pytest.mark.parametrize(
    "reshape",
    [lambda images: images[..., None], lambda images: images[:, None], lambda images: images.reshape(len(images), -1)],
)
def test_an_axis_of_one_channel_and_rows_of_pixels_mean_the_same(reshape: Callable[[Any], Any], tmp_path: Path) -> None:
    """As Keras, PyTorch and scikit-learn write them."""
    arrays = ARRAYS | {name: reshape(ARRAYS[name]) for name in ("train_images", "test_images")}
    assert load_dataset(npz(tmp_path, arrays)).sha256 == load_dataset(npz(tmp_path)).sha256


def test_booleans_are_black_and_white(tmp_path: Path) -> None:
    """As 0 and 255."""
    for name in ("train_images", "test_images"):
        assert ARRAYS[name].max() > 9
    black = ARRAYS | {name: ARRAYS[name] > 9 for name in ("train_images", "test_images")}
    assert np.array_equal(load_dataset(npz(tmp_path, black)).test.pixels, (ARRAYS["test_images"] > 9) * np.uint8(255))


@pytest.mark.parametrize("kind", ["names", "bytes", "floats", "column"])
def test_labels_may_be_names_whole_floats_or_a_column(kind: str, tmp_path: Path) -> None:
    """Names are numbered in the order of the alphabet, which need not be that of their first images."""
    names, order = np.array(["ten", "one", "two"]), np.array([1, 0, 2])
    change = {"names": lambda labels: names[labels], "floats": lambda labels: labels.astype(np.float32)}
    change["column"] = lambda labels: labels[:, None]
    change["bytes"] = lambda labels: names.astype("S")[labels]
    given = {name: change[kind](ARRAYS[name]) for name in ("train_labels", "test_labels")}
    found = load_dataset(npz(tmp_path, ARRAYS | given)).test.labels
    expected = order[ARRAYS["test_labels"]] if kind in ("names", "bytes") else ARRAYS["test_labels"]
    assert found is not None and np.array_equal(found, expected)


def test_labels_may_be_left_out(tmp_path: Path) -> None:
    """What is evaluated then needs none: of clusters the silhouette alone."""
    for path in (npz(tmp_path, UNLABELLED), parquet(tmp_path, label=None)):
        dataset = load_dataset(path)
        assert dataset.training.labels is None and dataset.test.labels is None
    assert dataset.sha256 != load_dataset(npz(tmp_path)).sha256
    codes = RANDOM.normal(size=(60, 4)).astype(np.float32)
    scores = evaluate_codes(codes, None, codes[:30], None, seed=0)
    assert {(score.evaluator, score.metric) for score in scores if score.evaluator != "code"} == {
        ("k_means", "silhouette"),
        ("k_means_whitened", "silhouette"),
    }


@pytest.mark.fault("own data: wrong shapes, types, values, counts, labels")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train_images": PIXELS[:60, :, :27]}, "shape (60, 28, 27)"),
        ({"train_images": PIXELS[:60, :, :27]}, "images = numpy.pad(images, ((0, 0), (0, 0), (0, 1)))"),
        (
            {"train_images": PIXELS[:60] * 3.0},
            f"images = images.astype('float32') / {PIXELS[:60].max() * 3.0:g}, the",
        ),
        ({"train_images": PIXELS[:60, None].repeat(3, 1)}, "shape (60, 3, 28, 28)"),
        ({"train_images": PIXELS[:60].reshape(60, -1)[:, :783]}, "shape (60, 783)"),
        ({"train_images": PIXELS[:60] / 100}, "float64 from 0.0 to 2.55"),
        ({"train_images": PIXELS[:60].astype(int) - 1}, "int64 from -1 to 254"),
        ({"train_images": np.full((60, 28, 28), np.nan)}, "47040 pixels are NaN or infinite"),
        ({"train_images": PIXELS[:60].astype(str)}, "images: <U"),
        ({"train_images": PIXELS[:60, :20, :20]}, "training images of 20x20, test images of 28x28"),
        ({"train_images": PIXELS[:59]}, "59 train images"),
        ({"test_images": PIXELS[:19]}, "19 test images"),
        ({"test_images": PIXELS[:0]}, "0 test images"),
        ({"train_labels": LABELS[:59]}, "train labels are int64 of shape (59,)"),
        ({"train_labels": LABELS[:60] / 2}, "train labels are float64"),
        ({"train_labels": np.where(LABELS[:60] < 1, np.nan, LABELS[:60])}, "20 of 60 train labels are NaN"),
        ({"test_labels": np.where(np.arange(30) < 2, np.inf, LABELS[60:])}, "2 of 30 test labels are NaN, infinite"),
        ({"train_labels": LABELS[:60].astype(str)}, "train labels are <U"),
        ({"train_labels": LABELS[:60] - 1}, "whole numbers from 0"),
        ({"test_labels": LABELS[60:] + 7}, "each with training images"),
        ({"train_labels": 0 * LABELS[:60], "test_labels": 0 * LABELS[60:]}, "1 classes of training images"),
        ({"train_labels": None}, "labels of test images only"),
        ({name: ARRAYS[name] // 128 for name in UNLABELLED}, "of images of 0 and 1: images = images.astype(bool)"),
        ({"train_images": PIXELS[:60, None].repeat(3, 1)}, "images = images.mean(axis=1).astype('uint8')"),
        ({"train_images": PIXELS[:60, :, :, None].repeat(3, 3)}, "images = images.mean(axis=3).astype('uint8')"),
        ({"test_images": None}, "holds train_images, train_labels, test_labels"),
        ({"images": PIXELS}, "rename, add or remove arrays"),
        ({"train_labels": np.array(["a"] * 60, dtype=object)}, "labels = labels.astype(str)"),
    ],
    ids=str,
)
def test_arrays_that_are_no_data_set_are_refused(changes: dict[str, Any], expected: str, tmp_path: Path) -> None:
    """With what was received; a pickle inside is never loaded."""
    arrays = {name: values for name, values in (ARRAYS | changes).items() if values is not None}
    with pytest.raises(InputError) as raised:
        load_dataset(npz(tmp_path, arrays))
    assert expected in str(raised.value)
    assert "mine.npz" in str(raised.value)


@pytest.mark.fault("own data: wrong shapes, types, values, counts, labels")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"split": None}, "has columns image, label"),
        ({"split": ["train"] * 60 + ["val"] * 30}, "column split holds 'train', 'val'"),
        ({"image": [1] * 90}, "column image of type int64"),
        ({"image": [[1] * 783] * 90}, "images of 783 pixels"),
        ({"image": [[1] * 784] * 89 + [None]}, "square images of one size, none null"),
        ({"image": [[1] * 784] * 89 + [[None] * 784]}, "784 pixels are null"),
        ({"image": [["1"] * 784] * 90}, "whole numbers from 0 to 255"),
        ({"label": [None] * 90}, "60 of 60 train labels are NaN, infinite or missing"),
    ],
    ids=str,
)
def test_rows_that_are_no_data_set_are_refused(changes: dict[str, Any], expected: str, tmp_path: Path) -> None:
    """With what was received."""
    with pytest.raises(InputError) as raised:
        load_dataset(parquet(tmp_path, **changes))
    assert expected in str(raised.value)


@pytest.mark.fault("own data: missing, empty, cut off, of another kind")
@pytest.mark.parametrize("name", ["mine.npz", "mine.parquet"])
@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 and no more", pickle.dumps([1])])
def test_files_that_are_none_are_refused(
    content: bytes | None, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One screen with the path, and no folder."""
    path, results = tmp_path / name, tmp_path / "results"
    if content is not None:
        path.write_bytes(content)
    assert launch.main(["--preset", "quick", "--dataset", str(path), "--results-dir", str(results)]) == 2
    shown = capsys.readouterr().err
    assert_ended_in_words(shown)
    assert f"{path} cannot be read ({'there is no such file)' if content is None else ''}" in shown
    assert "Traceback" not in shown
    assert not results.exists()


def test_a_cut_off_archive_is_refused(tmp_path: Path) -> None:
    """Its list of arrays stands at its end."""
    path = Path(npz(tmp_path))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="cannot be read"):
        load_dataset(str(path))


def test_a_study_is_called_after_the_file_and_knows_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen from where the command is given, or from the study file that names it."""
    path = npz(tmp_path)
    monkeypatch.chdir(tmp_path)
    config = study_config("quick", dataset="mine.npz")
    assert (config.name, config.dataset) == ("quick-mine", path)
    assert make_identity(config, "sha")["dataset"] == "mine"
    (tmp_path / "below").mkdir()
    study = tmp_path / "below" / "some.toml"
    study.write_text('preset = "quick"\ndataset = "../mine.npz"\n')
    monkeypatch.chdir("/")
    assert read_config(str(study)) == study_config("quick", name="some-mine", dataset=path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert read_config(str(study), dataset="other.npz").dataset == str(tmp_path / "elsewhere" / "other.npz")


def test_tables_say_that_scores_need_labels(tmp_path: Path) -> None:
    """And no command is shown that could not make them."""
    folder = write_synthetic_study(tmp_path / "study", architectures=("model_1", "model_4"), code_sizes=(10,))
    manifest = json.loads((folder / "study.json").read_text())
    manifest["dataset"]["labelled"] = False
    (folder / "study.json").write_text(json.dumps(manifest))
    for file in (folder / "scores").glob("*.parquet"):
        table = pq.read_table(file)
        needs_labels = [
            metric in ("error", "precision", "recall", "f_score", "accuracy", "nmi", "ari")
            for evaluator, metric in zip(table["evaluator"].to_pylist(), table["metric"].to_pylist(), strict=True)
        ]
        pq.write_table(table.filter(pa.array(needs_labels).cast(pa.bool_()).to_numpy(zero_copy_only=False) == 0), file)
    results = load_study(folder)
    tables = {table.name: table for table in comparison_tables(results)}
    classification, clustering = tables["classification"], tables["clustering"]
    assert isinstance(classification, Absent) and "Without labels" in classification.reason
    assert not isinstance(clustering, Absent)
    shown = [column.name for column in clustering.columns if column.kind == "estimate"]
    assert shown == ["k_means_whitened_silhouette", "k_means_silhouette"]
    assert any("Without labels" in footnote for footnote in clustering.footnotes)
    lacking = [each for each in findings(results) if each.missing == ("labels, which the data do not have",)]
    assert lacking
    assert all(each.command == "" for each in lacking)


def test_what_a_message_says_to_do_makes_of_labels_what_they_were(tmp_path: Path) -> None:
    """Both splits are numbered together: a class that one of them lacks keeps its number."""
    names = [np.array([-3, 4, 9])[labels] for labels in (ARRAYS["train_labels"], ARRAYS["test_labels"] % 2 + 1)]
    given = dict(zip(("train_labels", "test_labels"), names, strict=True))
    with pytest.raises(InputError) as raised:
        load_dataset(npz(tmp_path, ARRAYS | given))
    advice = re.search(r"names, numbers = .*return_inverse=True\)", str(raised.value))
    assert advice is not None
    done: dict[str, Any] = {"numpy": np, **given}
    exec(advice[0], done)
    numbered = {"train_labels": done["numbers"][:60], "test_labels": done["numbers"][60:]}
    found = load_dataset(npz(tmp_path, ARRAYS | numbered)).test.labels
    assert found is not None and np.array_equal(found, ARRAYS["test_labels"] % 2 + 1)
