"""Training of one model with one seed."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.data.datasets import load_dataset
from trainables.errors import InputError
from trainables.models.architectures import BUILT_IN
from trainables.models.autoencoder import Autoencoder
from trainables.models.initialization import draw_data_scaled
from trainables.training.training import (
    EpochMetrics,
    Training,
    make_optimizer,
    mean_image_cross_entropy,
    measure,
    reconstruction_losses,
    schedule_learning_rate,
)
from trainables.trial_config import RECIPES, TrialConfig


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    """Blurred blobs: 200 images with something to learn."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(200, 1, 4, 4, generator=generator) ** 3
    smooth = torch.nn.functional.interpolate(coarse, size=28, mode="bilinear")
    return (smooth[:, 0] * 255).to(torch.uint8)


def make_trial_config(
    name: str = "unpool_only", recipe: str = "modern", epochs: int = 3, **changes: object
) -> TrialConfig:
    """Return settings of a small, quick model."""
    row = BUILT_IN[name]
    filters = None if name == "classic_autoencoder" else (3, 2)
    trial_config = RECIPES[recipe].trial_config(row, 4, epochs, batch_size=20, filters=filters)
    return dataclasses.replace(trial_config, **changes)  # type: ignore[arg-type]


def trained(trial_config: TrialConfig, seed: int, pixels: Tensor) -> list[EpochMetrics]:
    """Train to the end and return the figures without their times."""
    training = Training(trial_config, seed, pixels[:160], pixels[160:])
    figures = []
    while not training.done:
        figures.append(dataclasses.replace(training.train_epoch(), seconds=0.0))
    return figures


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["engine", "plain"])
def test_losses_are_per_image_sums_over_pixels(dtype: torch.dtype) -> None:
    """Worked by hand: logit 0 against a white and a black pixel."""
    logits = torch.zeros(2, 1, 1, 2, dtype=dtype)
    images = torch.tensor([[[[1.0, 0.0]]], [[[1.0, 1.0]]]], dtype=dtype)
    cross_entropy, squared_error = reconstruction_losses(logits, images)
    assert cross_entropy.item() == pytest.approx(2 * math.log(2))
    assert squared_error.item() == pytest.approx(2 * 0.25)


def test_mean_image_cross_entropy_is_the_entropy_of_the_mean() -> None:
    """Two images: one pixel always black, one grey on average; pixels that never vary count nothing."""
    images = np.zeros((2, 1, 3), np.uint8)
    images[0, 0, 1] = 255
    images[:, 0, 2] = 255
    assert mean_image_cross_entropy(images) == pytest.approx(math.log(2))


@pytest.mark.parametrize("recipe", RECIPES)
def test_training_lowers_the_loss(recipe: str, pixels: Tensor) -> None:
    """Each recipe learns something from 160 images."""
    figures = trained(make_trial_config(recipe=recipe, epochs=4), 1, pixels)
    assert figures[-1].train_cross_entropy < figures[0].train_cross_entropy
    assert [figure.epoch for figure in figures] == [1, 2, 3, 4]


def test_the_same_seed_gives_the_same_figures_and_another_seed_others(pixels: Tensor) -> None:
    """Bit for bit on one thread of the same processor."""
    trial_config = make_trial_config()
    assert trained(trial_config, 1, pixels) == trained(trial_config, 1, pixels)
    assert trained(trial_config, 1, pixels) != trained(trial_config, 2, pixels)


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.0123},
        {"filters_1": 4},
        {"activation": "tanh"},
        {"unpooling": "tile"},
        {"loss": "both"},
        {"optimizer": "nesterov"},
        {"momentum": 0.5},
        {"second_moment_decay": 0.9},
        {"weight_decay": 0.01},
        {"bias_learning_rate_factor": 2.0},
        {"schedule": "constant"},
        {"warmup_fraction": 0.5},
        {"gradient_norm_limit": 0.1},
        {"starting_weights": "caffe"},
        {"batch_size": 40},
        {"code_size": 5},
        {"objective": "denoising", "objective_strength": 0.1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_reaches_the_training(change: dict[str, object], pixels: Tensor) -> None:
    """A changed value changes the losses: no setting is silently lost on its way."""
    base = trained(make_trial_config(epochs=2), 1, pixels)
    assert trained(dataclasses.replace(make_trial_config(epochs=2), **change), 1, pixels) != base  # type: ignore[arg-type]


def test_caffe_recipe_is_the_authors_solver() -> None:
    """Facts of the authors' file."""
    recipe = RECIPES["caffe"]
    assert (recipe.optimizer, recipe.learning_rate, recipe.momentum) == ("sgd", 0.006, 0.0)
    assert (recipe.weight_decay, recipe.bias_learning_rate_factor, recipe.batch_size) == (0.0005, 3.0, 100)
    assert (recipe.starting_weights, recipe.schedule, recipe.loss) == ("caffe", "constant", "cross_entropy")


def test_caffe_step_decays_weights_and_biases_and_moves_biases_three_times_as_fast(pixels: Tensor) -> None:
    """One step worked out from the gradient."""
    trial_config = make_trial_config(recipe="caffe", batch_size=160)
    training = Training(trial_config, 1, pixels[:160])
    before = {name: value.detach().clone() for name, value in training.model.named_parameters()}
    training.train_epoch()
    for name, value in training.model.named_parameters():
        assert value.grad is not None
        rate = 0.006 * (3 if name.endswith("bias") else 1)
        expected = before[name] - rate * (value.grad + 0.0005 * before[name])
        torch.testing.assert_close(value.detach(), expected, rtol=1e-5, atol=1e-6)


def test_schedule_warms_up_linearly_and_falls_to_zero() -> None:
    """20 % of 10 epochs of 10 steps: 20 steps up, the peak, then a cosine that halves midway."""
    trial_config = make_trial_config(epochs=10, learning_rate=1.0)
    rates = [schedule_learning_rate(trial_config, step, 10) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 21)
    assert rates[19] == pytest.approx(20 / 21)
    assert rates[20] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.5)
    assert 0 < rates[99] < 0.001
    linear = dataclasses.replace(trial_config, schedule="warmup_linear")
    rates = [schedule_learning_rate(linear, step, 10) for step in range(100)]
    assert rates[:20] == pytest.approx([(step + 1) / 21 for step in range(20)])
    assert rates[20:] == pytest.approx([(100 - step) / 80 for step in range(20, 100)])
    constant = dataclasses.replace(trial_config, schedule="constant")
    assert {schedule_learning_rate(constant, step, 10) for step in range(100)} == {1.0}


def test_divergence_shows_in_the_figures_of_its_epoch(pixels: Tensor) -> None:
    """A learning rate of a million with SGD makes the loss not finite."""
    trial_config = make_trial_config(recipe="caffe", learning_rate=1e6, epochs=5)
    figures = trained(trial_config, 1, pixels)
    assert not all(figure.finite for figure in figures)
    assert figures[0].epoch == 1


def test_validation_is_measured_on_images_that_are_not_trained(pixels: Tensor) -> None:
    """The figure after an epoch is that of measuring the model afresh."""
    training = Training(make_trial_config(), 1, pixels[:160], pixels[160:])
    figures = training.train_epoch()
    assert (figures.validation_cross_entropy, figures.validation_squared_error) == measure(training.model, pixels[160:])
    assert Training(make_trial_config(), 1, pixels[:160]).train_epoch().validation_cross_entropy is None


def test_a_batch_larger_than_the_data_is_refused(pixels: Tensor) -> None:
    """There would be no step."""
    with pytest.raises(InputError, match="batch_size 20"):
        Training(make_trial_config(), 1, pixels[:19])


def random_pixels(count: int) -> torch.Tensor:
    """Return images of noise, (count, 28, 28) uint8."""
    return torch.randint(0, 256, (count, 28, 28), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


def test_every_epoch_has_a_permutation_of_its_own() -> None:
    """Each image once an epoch, neither in the order of the file nor in that of the epoch before."""
    trial_config = RECIPES["modern"].trial_config(BUILT_IN["unpool_only"], 2, 2, batch_size=10, filters=(2, 2))
    training = Training(trial_config, 1, random_pixels(50))
    first, second = training.draw_order().tolist(), training.draw_order().tolist()
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert list(range(50)) not in (first, second)


def test_an_epoch_trains_the_images_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches the steps are the batches of the permutation."""
    trial_config = RECIPES["modern"].trial_config(BUILT_IN["unpool_only"], 2, 2, batch_size=10, filters=(2, 2))
    pixels = random_pixels(50)
    order = Training(trial_config, 1, pixels).draw_order()
    training = Training(trial_config, 1, pixels)
    seen: list[torch.Tensor] = []
    step = training._step

    def spied(images: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        seen.append(images)
        return step(images, labels)

    monkeypatch.setattr(training, "_step", spied)
    training.train_epoch()
    torch.testing.assert_close(torch.cat(seen)[:, 0], pixels[order].float() / 255)


def test_a_measured_loss_weighs_every_image_alike() -> None:
    """501 images, of which the last is a batch by itself, against PyTorch's sum over all."""
    model = Autoencoder(BUILT_IN["unpool_only"], 2, (2, 2))
    pixels = random_pixels(501)
    pixels[500] = 255
    draw_data_scaled(model, torch.Generator().manual_seed(0), pixels[:100].unsqueeze(1).float() / 255)
    images = pixels.unsqueeze(1).double() / 255
    with torch.no_grad():
        logits = model(images.float()).double()
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, images, reduction="none").sum()
    squared_error = (torch.sigmoid(logits) - images).square().sum()
    measured = measure(model, pixels)
    assert measured == pytest.approx((float(cross_entropy) / 501, float(squared_error) / 501), rel=1e-5)


def test_weights_order_of_images_and_noise_share_nothing() -> None:
    """Each has a generator of its own, seeded by words of the seed's sequence, of which two are those of two alone."""
    training = Training(make_trial_config(), 5, random_pixels(30))
    weights, order = (int(word) for word in np.random.SeedSequence(5).generate_state(2, np.uint64))
    third = int(np.random.SeedSequence(5).generate_state(3, np.uint64)[2])
    assert len({weights, order, third}) == 3
    torch.testing.assert_close(
        training.draw_order(), torch.randperm(30, generator=torch.Generator().manual_seed(order))
    )
    step = training.make_step(torch.zeros(7))
    noise = torch.rand(7, generator=torch.Generator().manual_seed(third))
    torch.testing.assert_close(step.draw_uniform(step.images), noise)


def test_reconstruction_is_what_it_was_before_there_were_other_objectives() -> None:
    """Numbers of the version before, of an epoch of two models: the same but for the rounding of processors."""
    before = {
        "model_3": (273.75487365722654, 39.524941730499265),
        "model_4": (286.10234756469725, 44.275213623046874),
    }
    pixels = torch.from_numpy(np.array(load_dataset("digits").training.pixels[:640]))
    for name, values in before.items():
        trial_config = RECIPES["modern"].trial_config(BUILT_IN[name], 10, 2, batch_size=32)
        metrics = Training(trial_config, 1, pixels).train_epoch()
        assert (metrics.train_cross_entropy, metrics.train_squared_error) == pytest.approx(values, rel=1e-3)


def test_nesterov_looks_ahead_of_its_momentum() -> None:
    """Two steps of a weight with gradient 1, worked by hand: it moves by rate x (1 + m), then rate x (1 + m + m m)."""
    trial_config = make_trial_config(optimizer="nesterov", momentum=0.9, weight_decay=0.0)
    layer = torch.nn.Linear(1, 1)
    optimizer = make_optimizer(trial_config, layer)
    weight = optimizer.groups[0].parameters[0]
    moved = []
    for _ in range(2):
        before = weight.item()
        weight.grad, layer.bias.grad = torch.ones_like(weight), torch.ones_like(layer.bias)
        optimizer.step()
        moved.append((before - weight.item()) / trial_config.learning_rate)
    assert moved == pytest.approx([1.9, 2.71], rel=1e-3)
