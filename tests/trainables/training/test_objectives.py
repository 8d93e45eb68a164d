"""Objectives: each in the limits where it is something that is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.models.architectures import BUILT_IN
from trainables.training.objectives import OBJECTIVES, RECONSTRUCTION, mask_pixels
from trainables.training.training import Training
from trainables.trial_config import RECIPES, TrialConfig


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    """Blurred blobs: 40 images with something to learn."""
    coarse = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0)) ** 3
    smooth = torch.nn.functional.interpolate(coarse, size=28, mode="bilinear")
    return (smooth[:, 0] * 255).to(torch.uint8)


def make_trial_config(name: str = "model_4", objective: str = RECONSTRUCTION, strength: float = 0.0) -> TrialConfig:
    """Return settings of a small model, trained by an objective of that strength."""
    filters = None if name == "classic_autoencoder" else (3, 2)
    trial_config = RECIPES["modern"].trial_config(BUILT_IN[name], 4, 2, batch_size=20, filters=filters)
    return dataclasses.replace(trial_config, objective=objective, objective_strength=strength)


def train(trial_config: TrialConfig, pixels: Tensor, *, plain: bool = False) -> list[Tensor]:
    """Train two epochs and return the weights."""
    training = Training(trial_config, 1, pixels)
    training.model.plain |= plain
    for _ in range(2):
        assert training.train_epoch().finite
    return [parameter.detach() for parameter in training.model.parameters()]


@pytest.mark.parametrize(
    ("name", "objective", "strength"), [("model_4", "denoising", 0.0)], ids=lambda value: str(value)
)
def test_without_its_strength_an_objective_is_reconstruction(
    name: str, objective: str, strength: float, pixels: Tensor
) -> None:
    """Bit for bit, through the same layers."""
    plain = OBJECTIVES[objective].plain
    base = train(make_trial_config(name), pixels, plain=plain)
    for one, other in zip(train(make_trial_config(name, objective, strength), pixels), base, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name != RECONSTRUCTION])
@pytest.mark.parametrize("name", BUILT_IN)
def test_every_objective_trains_every_architecture_that_it_fits(name: str, objective: str, pixels: Tensor) -> None:
    """With finite losses at its default strength, and otherwise than reconstruction does."""
    if OBJECTIVES[objective].explain_misfit(BUILT_IN[name]):
        pytest.skip("does not fit")
    strength = OBJECTIVES[objective].default_strength(4)
    assert strength is not None
    weights = train(make_trial_config(name, objective, strength), pixels)
    base = train(make_trial_config(name), pixels)
    assert all(weight.isfinite().all() for weight in weights)
    assert not torch.equal(weights[0], base[0])


def test_a_linear_model_of_masked_images_is_a_ridge_regression_with_a_diagonal_penalty() -> None:
    """Least squares from masked to clean values: (1 - p) S ((1 - p)^2 S + p (1 - p) diag S)^-1 of their products S."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(50, 4, generator=generator, dtype=torch.float64).cumsum(1)
    many, share = images.repeat(4000, 1), 0.3
    masked = mask_pixels(many, share, torch.rand(many.shape, generator=generator, dtype=torch.float64))
    fitted = torch.linalg.lstsq(masked, many).solution.T
    products = images.T @ images
    kept = 1 - share
    expected = kept * products @ torch.linalg.inv(kept**2 * products + share * kept * products.diag().diag())
    np.testing.assert_allclose(fitted, expected, atol=0.01)
