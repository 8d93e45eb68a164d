"""Seeds trained as one batched model are trained as alone, whatever the model and the recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trainables.models.architectures import BUILT_IN, ConvolutionalAutoencoder, Decoder, Encoder
from trainables.training.batched import BatchedTraining
from trainables.training.cuda_graphs import StepRunner
from trainables.training.training import EpochMetrics, Training
from trainables.trial_config import RECIPES, TrialConfig

SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    """Blurred blobs: 100 images with something to learn."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(100, 1, 4, 4, generator=generator) ** 3
    smooth = torch.nn.functional.interpolate(coarse, size=28, mode="bilinear")
    return (smooth[:, 0] * 255).to(torch.uint8)


def make_trial_config(name: str, recipe: str = "modern", **changes: object) -> TrialConfig:
    """Return settings of a small model."""
    filters = None if name == "classic_autoencoder" else (3, 2)
    trial_config = RECIPES[recipe].trial_config(BUILT_IN[name], 4, 3, batch_size=20, filters=filters)
    return dataclasses.replace(trial_config, **changes)  # type: ignore[arg-type]


def together(trial_config: TrialConfig, pixels: Tensor, seeds: tuple[int, ...] = SEEDS) -> BatchedTraining:
    """Return the training of all seeds at once; images from the 80th on are for validation."""
    validation = pixels[80:] if len(pixels) > 80 else None
    return BatchedTraining([Training(trial_config, seed, pixels[:80], validation) for seed in seeds])


def assert_close(ours: EpochMetrics, theirs: EpochMetrics, rel: float = 1e-4) -> None:
    """Compare all figures but the time."""
    for name in EpochMetrics.__slots__:
        ours_value, theirs_value = getattr(ours, name), getattr(theirs, name)
        if name != "seconds" and theirs_value is not None:
            assert ours_value == pytest.approx(theirs_value, rel=rel), name


CASES = [
    *((name, recipe, {}) for name in BUILT_IN for recipe in RECIPES),
    ("model_4", "modern", {"unpooling": "tile"}),
    ("model_4", "modern", {"unpooling": "average"}),
    ("model_3", "modern", {"pooling": "max"}),
    ("model_2", "modern", {"pooling": "average"}),
    ("model_2", "modern", {"pooling": "stride"}),
    ("unpool_only", "modern", {"loss": "euclidean"}),
    ("unpool_only", "modern", {"loss": "both", "gradient_norm_limit": 0.5}),
    ("unpool_only", "modern", {"optimizer": "nesterov", "learning_rate": 0.006, "second_moment_decay": None}),
    ("unpool_only", "modern", {"activation": "relu", "weight_decay": 0.01, "bias_learning_rate_factor": 2.0}),
]


@pytest.mark.parametrize(("name", "recipe", "changes"), CASES, ids=str)
def test_each_seed_is_trained_as_it_is_alone(
    name: str, recipe: str, changes: dict[str, object], pixels: Tensor
) -> None:
    """Losses, gradients and weights of the first step to rounding, which training then makes larger.

    Adam moves a weight whose gradient is nothing but rounding as far as any other, so whole epochs agree less closely.
    """
    trial_config = make_trial_config(name, recipe, **changes)
    batch = together(trial_config, pixels[:20])
    alone = [Training(trial_config, seed, pixels[:20]) for seed in SEEDS]
    figures = batch.train_epoch()
    for index, (ours, training) in enumerate(zip(figures, alone, strict=True)):
        theirs = training.train_epoch()
        assert_close(ours, theirs)
        for parameter, value in training.model.named_parameters():
            gradient = batch.model.get_parameter(parameter).grad
            assert gradient is not None
            assert value.grad is not None
            difference = (gradient[index] - value.grad).norm()
            assert difference <= 1e-4 * value.grad.norm() + 1e-6, parameter
            moved = batch.trainings[index].model.get_parameter(parameter)
            assert (moved - value).abs().mean() <= 1e-4 * value.abs().mean() + 1e-6, parameter
    while not batch.done:
        figures = batch.train_epoch()
        for ours, training in zip(figures, alone, strict=True):
            assert ours.train_cross_entropy == pytest.approx(training.train_epoch().train_cross_entropy, rel=2e-3)
    assert len({figure.train_cross_entropy for figure in figures}) == len(SEEDS)
    assert all(training.done for training in batch.trainings)


def test_switches_of_maps_of_an_odd_side_are_those_of_a_seed_alone(pixels: Tensor) -> None:
    """Pooling drops their last row and column, which unpooling does not bring back."""
    odd = ConvolutionalAutoencoder(
        name="odd",
        label="Odd",
        notation="(odd)",
        encoder=Encoder("odd", kernels=(4, 2), pooled=True),  # 28 -> 25 -> 12 -> 11 -> 5
        decoder=Decoder("odd", kernels=(5, 3, 5), unpooled=True),  # 1 -> 5 -> 10 -> 12 -> 24 -> 28
        published_filters=(3, 2),
        pooling="max",
        unpooling="switches",
    )
    trial_config = RECIPES["modern"].trial_config(odd, 4, 3, batch_size=20)
    batch = BatchedTraining([Training(trial_config, seed, pixels[:20], None, odd) for seed in SEEDS])
    try:
        figures = batch.train_epoch()
    except RuntimeError as error:  # where positions lie outside of what is unpooled
        pytest.fail(str(error))
    for ours, seed in zip(figures, SEEDS, strict=True):
        assert_close(ours, Training(trial_config, seed, pixels[:20], None, odd).train_epoch())


def test_a_seed_that_diverges_disturbs_no_other(pixels: Tensor) -> None:
    """One seed's weights are made infinite; the others go on as alone."""
    trial_config = make_trial_config("model_4")
    batch = together(trial_config, pixels)
    with torch.no_grad():
        batch.trainings[1].model.get_parameter("conv1.weight").fill_(float("nan"))
    alone = {seed: Training(trial_config, seed, pixels[:80], pixels[80:]) for seed in (1, 3)}
    while not batch.done:
        first, broken, third = batch.train_epoch()
        assert not broken.finite
        assert_close(first, alone[1].train_epoch(), rel=2e-3)
        assert_close(third, alone[3].train_epoch(), rel=2e-3)


def test_a_seed_alone_in_its_batch_is_the_same(pixels: Tensor) -> None:
    """As a GPU trains a single trial."""
    trial_config = make_trial_config("model_3")
    batch, alone = together(trial_config, pixels, (7,)), Training(trial_config, 7, pixels[:80], pixels[80:])
    assert_close(batch.train_epoch()[0], alone.train_epoch())


@pytest.mark.parametrize("recipe", RECIPES)
def test_capturing_a_step_changes_nothing_that_is_trained(recipe: str, pixels: Tensor) -> None:
    """A capture runs the step a few times before; then all weights, sums and the optimizer's state are as before."""
    trial_config = make_trial_config("unpool_only", recipe)
    captured, eager = together(trial_config, pixels), together(trial_config, pixels)
    captures = []

    def capture(step: Callable[[], None]) -> Callable[[], None]:
        captures.append(step)
        for _ in range(4):
            step()
        return step

    captured._runner = StepRunner(captured._step, captured._list_changed, pixels.device, capture)
    while not eager.done:
        for ours, theirs in zip(captured.train_epoch(), eager.train_epoch(), strict=True):
            assert_close(ours, theirs, rel=1e-12)
    assert len(captures) == 1


def test_a_step_reads_everything_from_tensors_that_stay(pixels: Tensor) -> None:
    """What a graph would replay: the addresses of all tensors that a step changes are the same after an epoch."""
    batch = together(make_trial_config("model_1"), pixels)
    batch.train_epoch()
    before = [tensor.data_ptr() for tensor in batch._list_changed()]
    batch.train_epoch()
    assert [tensor.data_ptr() for tensor in batch._list_changed()] == before


def test_more_steps_than_an_epoch_has_stay_within_its_batches(pixels: Tensor) -> None:
    """A capture warms up by three, whatever the data: two batches of an epoch are trained by in turn."""
    batched = together(make_trial_config("unpool_only", batch_size=40), pixels)
    assert batched.steps_per_epoch == 2
    for _ in range(3):
        batched._step()
