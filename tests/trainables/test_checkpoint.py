"""Weights of a trained model as one file that says itself what it is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import safetensors
import torch

from trainables.checkpoint import load_checkpoint, pack_weights
from trainables.errors import InputError
from trainables.models import initialization
from trainables.models.architectures import BUILT_IN
from trainables.models.autoencoder import Autoencoder
from trainables.training.objectives import OBJECTIVES
from trainables.training.training import make_model
from trainables.trial_config import RECIPES

IMAGES = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def test_weights_file_gives_the_same_model_back(tmp_path: Path) -> None:
    """Architecture, sizes and every weight travel in the file, without pickle."""
    trial_config = RECIPES["modern"].trial_config(BUILT_IN["model_5"], 3, 1, filters=(5, 6))
    model = Autoencoder(trial_config.variant(), 3, trial_config.filters)
    initialization.draw_data_scaled(model, torch.Generator().manual_seed(0), IMAGES)
    path = tmp_path / "some.safetensors"
    path.write_bytes(pack_weights(model, trial_config, "some"))
    again = load_checkpoint(path)
    assert torch.equal(again(IMAGES), model(IMAGES))
    assert again.architecture == dataclasses.replace(model.architecture)


def test_weights_by_an_objective_of_ones_own_need_it_again(tmp_path: Path) -> None:
    """Its function, which says how a code is read, stands in no file."""
    own = dataclasses.replace(OBJECTIVES["k_sparse"], name="mine")
    trial_config = RECIPES["modern"].trial_config(
        BUILT_IN["model_4"], 3, 1, filters=(5, 6), objective="mine", objective_strength=2.0
    )
    model = make_model(trial_config, 28, objective=own)
    initialization.draw_data_scaled(model, torch.Generator().manual_seed(0), IMAGES)
    path = tmp_path / "some.safetensors"
    path.write_bytes(pack_weights(model, trial_config, "some"))
    assert ((load_checkpoint(path, [own]).encode(IMAGES) != 0).sum(1) == 2).all()
    with pytest.raises(InputError, match="was trained by objective mine, which is not built in"):
        load_checkpoint(path)


def test_a_file_that_is_no_weights_file_is_refused(tmp_path: Path) -> None:
    """Missing and foreign files are the user's mistakes."""
    with pytest.raises(InputError, match="no weights file"):
        load_checkpoint(tmp_path / "missing.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"not a weights file at all")
    with pytest.raises(InputError, match="not a weights file"):
        load_checkpoint(foreign)
    with pytest.raises(InputError, match="an objective or a model by itself"):
        load_checkpoint(foreign, OBJECTIVES["k_sparse"])  # type: ignore[arg-type]


def test_the_header_says_which_trial_and_which_row(tmp_path: Path) -> None:
    """As JSON, which any reader of safetensors shows."""
    trial_config = RECIPES["caffe"].trial_config(BUILT_IN["model_1"], 2, 1)
    path = tmp_path / "some.safetensors"
    path.write_bytes(pack_weights(Autoencoder(trial_config.variant(), 2), trial_config, "some-trial"))
    with safetensors.safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["cae_study"])
    assert (header["trial_id"], header["image_size"]) == ("some-trial", 28)
    assert header["settings"] == trial_config.as_dict()
    assert (header["architecture"]["name"], header["architecture"]["published_filters"]) == ("model_1", [8, 4])
