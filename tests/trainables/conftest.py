"""A trained model, for what is done with one."""

from __future__ import annotations

import pytest
import torch

from trainables.data.datasets import load_dataset
from trainables.data.images import Dataset
from trainables.models.architectures import BUILT_IN
from trainables.models.autoencoder import Autoencoder
from trainables.training.training import Training
from trainables.trial_config import RECIPES


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """Images of ten classes."""
    return load_dataset("digits")


@pytest.fixture(scope="session")
def model(digits: Dataset) -> Autoencoder:
    """Model 4 after two epochs."""
    trial_config = RECIPES["modern"].trial_config(BUILT_IN["model_4"], 10, 2, batch_size=100)
    training = Training(trial_config, 1, torch.tensor(digits.training.pixels))
    while not training.done:
        training.train_epoch()
    return training.model.eval()
