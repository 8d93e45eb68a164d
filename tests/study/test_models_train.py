"""One model without a study: what comes out is what the parts of a trial make, and it is the same when it is loaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from study.models import ReplacementWarning, load_model, train
from tests.trainables.models.test_module import Tied
from trainables.data.datasets import load_dataset
from trainables.errors import InputError
from trainables.inference import encode
from trainables.models.architectures import BUILT_IN, Encoder, ModuleAutoencoder
from trainables.training.training import EpochMetrics, Training, move_pixels
from trainables.trial_config import RECIPES

TEST = load_dataset("digits").test.pixels
MODEL_4: Any = BUILT_IN["model_4"]


def test_a_model_is_that_of_a_training_and_is_loaded_as_it_was(tmp_path: Path) -> None:
    """On all training images, by the recipe, with the seed; its file says what it is."""
    told: list[EpochMetrics] = []
    folder = tmp_path / "new" / "mine"
    model = train("unpool_only", code_size=4, data="digits", epochs=2, seed=3, output=folder, on_epoch=told.append)
    config = RECIPES["muon"].trial_config(BUILT_IN["unpool_only"], 4, 2)
    images = move_pixels(load_dataset("digits").training.pixels, torch.device("cpu"))
    training = Training(config, 3, images)
    expected = [training.train_epoch() for _ in range(2)]
    assert [each.train_cross_entropy for each in told] == [each.train_cross_entropy for each in expected]
    codes = model.encode(TEST)
    assert codes.shape == (len(TEST), 4)
    np.testing.assert_array_equal(codes, encode(training.model.eval(), TEST))
    again = load_model(folder)
    np.testing.assert_array_equal(codes, again.encode(TEST))
    assert again.settings == model.settings
    errors = np.square(model.decode(codes).astype(np.float64) - TEST / 255).sum(axis=(1, 2))
    assert model.score(TEST) == pytest.approx(errors.mean(), rel=1e-4)
    assert model.score(TEST / np.float32(255)) == pytest.approx(errors.mean(), rel=1e-4)
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
    card = json.loads((folder / "config.json").read_text())
    assert (card["settings"]["code_size"], card["seed"], card["data"]["name"]) == (4, 3, "digits")
    assert card["test_squared_error"] == pytest.approx(errors.mean(), rel=1e-4)
    assert card["train_cross_entropy"] == expected[-1].train_cross_entropy


def test_images_of_ones_own_may_be_fewer_than_a_batch_and_have_the_size_of_the_model(tmp_path: Path) -> None:
    """Sixty are one batch; others than 28x28 are refused with the sizes that they would give."""
    pixels = np.random.default_rng(0).integers(0, 256, (80, 28, 28), np.uint8)
    np.savez(tmp_path / "few.npz", train_images=pixels[:60], test_images=pixels[60:])
    np.savez(tmp_path / "small.npz", train_images=pixels[:60, :12, :12], test_images=pixels[60:, :12, :12])
    assert train("unpool_only", code_size=2, data=tmp_path / "few.npz", epochs=1).score(pixels) > 0
    with pytest.raises(InputError, match="12x12"):
        train("unpool_only", code_size=2, data=tmp_path / "small.npz", epochs=1)


def test_what_cannot_be_written_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    """And a model that is there stays until a whole new one takes its place."""
    (tmp_path / "file").write_text("")
    told: list[EpochMetrics] = []
    with pytest.raises(InputError, match="cannot be written"):
        train("unpool_only", data="digits", epochs=1, output=tmp_path / "file" / "model", on_epoch=told.append)
    assert not told
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_text("an earlier one")
    values: dict[str, Any] = {"data": "digits", "epochs": 1, "output": tmp_path / "model"}
    with (
        pytest.warns(ReplacementWarning, match="a model without a config.json"),
        pytest.raises(InputError, match="is not finite"),
    ):
        train("unpool_only", learning_rate=1e30, recipe="modern", **values)
    assert (tmp_path / "model" / "model.safetensors").read_text() == "an earlier one"


def test_a_folder_without_a_model_is_refused_with_what_to_name(tmp_path: Path) -> None:
    """The folder of a study wants a trial or cell, too; a damaged file is named."""
    with pytest.raises(InputError, match="holds no model") as refused:
        load_model(tmp_path)
    assert "model_4-code10" in refused.value.remedy
    (tmp_path / "model.safetensors").write_text("{}")
    with pytest.raises(InputError, match="is not a weights file"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"architecture": "model_9"}, "model_4"),
        ({"architecture": {"pooling": "max"}}, "or give a row of your own"),
        ({"architecture": replace(MODEL_4, encoder=Encoder("mine", (9, 1), True))}, "which is built in"),
        (
            {"architecture": ModuleAutoencoder("model_4", "4", "()", Tied, {"maps": 3, "dropout": 0.3})},
            "which is built in",
        ),
        ({"recipe": "adam"}, "caffe, modern, muon"),
        ({"code_size": 0}, "1 to 784 units"),
        ({"epochs": 0}, "at least 1 epoch"),
        ({"seed": None}, "a seed from 0"),
        ({"device": "gpu"}, "cpu"),
        ({"architecture": replace(MODEL_4, name="MyNet")}, "name 'MyNet'"),
        ({"data": "nothing"}, "nothing"),
        ({"learning_rate": 1e30}, "is not finite"),
        ({"learning_rate": -1.0}, "above 0"),
        ({"seed": -1}, "a seed from 0"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    """In three parts, and no file is left."""
    values: dict[str, Any] = {"architecture": "unpool_only", "data": "digits", "epochs": 1, "recipe": "modern"}
    with pytest.raises(InputError, match=told):
        train(**values | changes, output=tmp_path / "model")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_home_is_meant_by_a_tilde_and_a_bucket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by `load_model`; numbers of NumPy count as numbers."""
    monkeypatch.setenv("HOME", str(tmp_path))
    settings: dict[str, Any] = {"data": "digits", "epochs": np.int64(1), "recipe": "modern", "seed": np.int64(2)}
    train("unpool_only", output="~/mine", code_size=np.int64(3), **settings)  # type: ignore[arg-type]
    assert load_model("~/mine").module.code_size == 3
    assert (tmp_path / "mine" / "model.safetensors").is_file()
    with pytest.raises(InputError, match="a folder of this machine"):
        train("unpool_only", output="s3://bucket/mine", **settings)
