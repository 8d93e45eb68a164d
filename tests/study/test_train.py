"""One model without a study: what comes out is what the parts of a trial make, and it is the same when it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from study.train import score, train
from trainables.checkpoint import load_checkpoint
from trainables.data.datasets import load_dataset
from trainables.errors import InputError
from trainables.inference import decode, encode
from trainables.models.architectures import BUILT_IN
from trainables.training.training import EpochMetrics, Training, move_pixels
from trainables.trial_config import RECIPES

TEST = load_dataset("digits").test.pixels


def test_a_model_is_that_of_a_training_and_is_loaded_as_it_was(tmp_path: Path) -> None:
    """On all training images, by the recipe, with the seed; its file says what it is."""
    told: list[EpochMetrics] = []
    path = tmp_path / "new" / "mine.safetensors"
    model = train("unpool_only", code_size=4, data="digits", epochs=2, seed=3, output=path, on_epoch=told.append)
    config = RECIPES["muon"].trial_config(BUILT_IN["unpool_only"], 4, 2)
    images = move_pixels(load_dataset("digits").training.pixels, torch.device("cpu"))
    training = Training(config, 3, images)
    expected = [training.train_epoch() for _ in range(2)]
    assert [each.train_cross_entropy for each in told] == [each.train_cross_entropy for each in expected]
    codes = encode(model, TEST)
    assert codes.shape == (len(TEST), 4)
    np.testing.assert_array_equal(codes, encode(training.model.eval(), TEST))
    np.testing.assert_array_equal(codes, encode(load_checkpoint(path), TEST))
    errors = np.square(decode(model, codes).astype(np.float64) - TEST / 255).sum(axis=(1, 2))
    assert score(model, TEST) == pytest.approx(errors.mean(), rel=1e-4)
    assert score(model, TEST / np.float32(255)) == pytest.approx(errors.mean(), rel=1e-4)
    assert [file.name for file in path.parent.iterdir()] == ["mine.safetensors"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"architecture": "model_9"}, "model_4"),
        ({"recipe": "adam"}, "caffe, modern, muon"),
        ({"code_size": 0}, "1 to 784 units"),
        ({"epochs": 0}, "at least 1 epoch"),
        ({"data": "nothing"}, "nothing"),
        ({"learning_rate": 1e30}, "is not finite"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    """In three parts, and no file is left."""
    values: dict[str, Any] = {"architecture": "unpool_only", "data": "digits", "epochs": 1, "recipe": "modern"}
    with pytest.raises(InputError, match=told):
        train(**values | changes, output=tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())
