"""The baseline of the benchmarks is honest: it trains the same models by the same rules, from stock parts."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from earlier import start_earlier
from stock_model import StockAutoencoder, StockTraining
from training_speed import measure_speed, useful_multiply_adds

from trainables.models.architectures import BUILT_IN
from trainables.models.autoencoder import Autoencoder
from trainables.training.training import Training, scale_pixels, schedule_learning_rate
from trainables.trial_config import RECIPES


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_stock_model_computes_what_ours_computes(name: str) -> None:
    """The same weights by the same names give the same logits."""
    torch.manual_seed(0)
    trial_config = RECIPES["modern"].trial_config(BUILT_IN[name], 10, 1)
    stock = StockAutoencoder(trial_config)
    ours = Autoencoder(trial_config.variant(), 10, trial_config.filters)
    ours.load_state_dict(stock.state_dict())
    images = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(ours(images), stock(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("recipe", ["modern", "caffe"])  # PyTorch has no Muon for kernels
def test_the_baseline_follows_the_recipe(recipe: str) -> None:
    """One step from our starting weights ends at our weights, and its schedule is ours."""
    pixels = torch.randint(0, 256, (20, 28, 28), dtype=torch.uint8)
    trial_config = RECIPES[recipe].trial_config(BUILT_IN["unpool_only"], 4, 5, batch_size=20, filters=(3, 2))
    trial_config = dataclasses.replace(trial_config, gradient_norm_limit=trial_config.gradient_norm_limit and 1.0)
    ours = Training(trial_config, 1, pixels)
    stock = StockTraining(trial_config, scale_pixels(pixels), scale_pixels(pixels))
    stock.model.load_state_dict(ours.model.state_dict())
    for step in range(5):
        assert stock.schedule.get_last_lr()[0] == pytest.approx(schedule_learning_rate(trial_config, step, 1))
        loss = stock.train_epoch()
        assert loss == pytest.approx(ours.train_epoch().train_cross_entropy, rel=1e-4)
    for name, value in ours.model.named_parameters():
        torch.testing.assert_close(stock.model.get_parameter(name), value, rtol=1e-3, atol=1e-4)
    assert stock.validate() < loss * 1.5


def test_products_with_zeros_are_not_counted_as_useful() -> None:
    """The figures of the table of models at code size 30: 2,643,000 of 4,047,000 and 849,048 of 973,848."""
    assert useful_multiply_adds("model_4", 30) == useful_multiply_adds("model_3", 30) == 2_643_000
    assert useful_multiply_adds("unpool_only", 30) == 849_048
    assert useful_multiply_adds("model_1", 30) == 1_604_440


def test_both_are_timed_in_one_run() -> None:
    """Every figure is positive and the ratio is theirs."""
    pixels = torch.randint(0, 256, (200, 28, 28), dtype=torch.uint8)
    speed = measure_speed("unpool_only", "modern", pixels, repetitions=1)
    assert min(speed.stock, speed.ours, speed.product) > 0
    assert speed.ratio == pytest.approx(speed.ours / speed.stock)
    assert speed.share(speed.ours) > 0


@pytest.mark.slow
def test_the_commit_before_the_engine_trains_in_a_process_of_its_own() -> None:
    """An epoch of a hundred digits takes a positive time; a clone without the commit has none."""
    with start_earlier("modern", 100) as earlier:
        assert earlier is None or earlier.train_epoch("unpool_only") > 0
