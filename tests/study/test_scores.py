"""The scores of a whole study, worked out again by NumPy, scikit-learn and stock layers of PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from tests.studies import run_here, small_config
from tests.tiny import write_tiny_data
from trainables.evaluation.clustering import clustering_accuracy

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model 4 on the tiny data, from the plan to the rows."""
    folder = tmp_path_factory.mktemp("tiny")
    few: dict[str, Any] = {"trials": 1, "seeds": 1, "epochs": 3, "published_epochs": 3, "architectures": ("model_4",)}
    return run_here(small_config(dataset=str(write_tiny_data(folder)), **few), folder)


def images(study: Path, split: str) -> Tensor:
    """Return the images of a split as the models see them, (n, 1, 28, 28) in [0, 1]."""
    return torch.from_numpy(np.load(study.parent / "tiny.npz")[f"{split}_images"]).unsqueeze(1).float() / 255


def scores(study: Path, trial_id: str) -> dict[tuple[str, str], float]:
    """Return the scores of a trial on test images by evaluator and metric."""
    frame = pd.read_parquet(study / "scores")
    frame = frame[(frame["trial_id"] == trial_id) & (frame["split"] == "test")]
    return dict(zip(zip(frame["evaluator"], frame["metric"], strict=True), frame["value"], strict=True))


def unpool(maps: Tensor) -> Tensor:
    """Put every value to the top-left cell of its 2x2 window, zeros elsewhere."""
    out = torch.zeros(*maps.shape[:2], 2 * maps.shape[2], 2 * maps.shape[3])
    out[:, :, ::2, ::2] = maps
    return out


def encode(state: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """The encoder of model 4 in stock layers: convolution, sigmoid and max pooling twice, then fully connected."""
    for name in ("conv1", "conv2"):
        pixels = F.max_pool2d(torch.sigmoid(F.conv2d(pixels, state[f"{name}.weight"], state[f"{name}.bias"])), 2)
    hidden = torch.sigmoid(F.linear(pixels.flatten(1), state["fc_in.weight"], state["fc_in.bias"]))
    return F.linear(hidden, state["code.weight"], state["code.bias"])


def decode(state: dict[str, Tensor], codes: Tensor) -> Tensor:
    """The decoder of model 4 in stock layers, to logits."""
    maps = torch.sigmoid(F.linear(codes, state["fc_out.weight"], state["fc_out.bias"]))[:, :, None, None]
    for name in ("deconv2", "deconv1"):
        maps = torch.sigmoid(F.conv_transpose2d(maps, state[f"{name}.weight"], state[f"{name}.bias"]))
        maps = unpool(maps)
    return F.conv_transpose2d(maps, state["output.weight"], state["output.bias"])


@pytest.mark.parametrize("arm", ["tuned", "published"])
def test_reconstruction_and_classification_of_a_confirmed_trial(study: Path, arm: str) -> None:
    """From its weights file: losses by PyTorch, the linear classifier and the clusters by scikit-learn."""
    (file,) = (study / "weights").glob(f"confirm-model_4-code10-{arm}-01*.safetensors")
    trial_id = file.stem
    state = safetensors.torch.load_file(study / "weights" / f"{trial_id}.safetensors")
    test = images(study, "test")
    with torch.no_grad():
        train_codes, codes = encode(state, images(study, "train")), encode(state, test)
        logits = decode(state, codes)
        mean_logits = decode(state, train_codes.mean(0, keepdim=True).expand_as(codes))
    found = scores(study, trial_id)

    def per_image(values: Tensor) -> float:
        return float(values.double().sum() / len(test))

    cross_entropy = F.binary_cross_entropy_with_logits(logits, test, reduction="none")
    assert found["reconstruction", "cross_entropy"] == pytest.approx(per_image(cross_entropy), rel=1e-4)
    squared_error = per_image((torch.sigmoid(logits) - test).square())
    assert found["reconstruction", "squared_error"] == pytest.approx(squared_error, rel=1e-4)
    replaced = per_image((torch.sigmoid(mean_logits) - test).square())
    assert found["mean_code", "squared_error"] == pytest.approx(replaced, rel=1e-4)

    labels = {split: np.load(study.parent / "tiny.npz")[f"{split}_labels"] for split in ("train", "test")}
    # Whitened by Cholesky's triangle, a rotation of what the study does.
    mapping = np.linalg.cholesky(np.linalg.inv(np.cov(train_codes.double().T.numpy(), bias=True)))
    train, whitened = ((part - train_codes.mean(0)).double().numpy() @ mapping for part in (train_codes, codes))
    linear = LogisticRegression(max_iter=500).fit(train, labels["train"])
    error = 100 * float(np.mean(linear.predict(whitened) != labels["test"]))
    assert found["linear_classifier", "error"] == pytest.approx(error, abs=100 / 60 + 1e-9)  # one image by rounding
    (seed,) = pd.read_parquet(study / "trials").query("trial_id == @trial_id")["seed"]
    centred = (codes - codes.mean(0)).numpy()
    clusters = KMeans(3, n_init=10, random_state=int(seed)).fit_predict(centred / np.sqrt(np.mean(centred**2)))
    accuracy = clustering_accuracy(labels["test"], clusters)
    assert found["k_means", "accuracy"] == pytest.approx(accuracy, abs=1 / 60 + 1e-9)


def test_principal_components_by_a_singular_value_decomposition(study: Path) -> None:
    """Squared error of the test images projected onto the first ten directions of the training images."""
    train, test = (images(study, split).flatten(1).double().numpy() for split in ("train", "test"))
    mean = train.mean(0)
    directions = np.linalg.svd(train - mean, full_matrices=False)[2][:10]
    left = (test - mean) - (test - mean) @ directions.T @ directions
    squared_error = float((left**2).sum() / len(test))
    found = scores(study, "confirm-pca-code10")
    assert found["reconstruction", "squared_error"] == pytest.approx(squared_error, rel=1e-4)
