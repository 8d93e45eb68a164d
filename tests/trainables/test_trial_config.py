"""Settings of a trial, and the recipes that give them."""

from __future__ import annotations

import dataclasses

import pytest

from trainables.models.architectures import BUILT_IN
from trainables.trial_config import RECIPES, TrialConfig


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", BUILT_IN)
def test_settings_are_the_recipes_and_the_published_ones_unless_given(name: str, recipe: str) -> None:
    """A value that is given takes their place, and nothing else changes."""
    row = BUILT_IN[name]
    plain = RECIPES[recipe].trial_config(row, 10, 33)
    assert (plain.architecture, plain.code_size, plain.epochs_planned, plain.batch_size) == (name, 10, 33, 100)
    assert plain.filters == row.published_filters
    assert plain.recipe == recipe
    given = RECIPES[recipe].trial_config(row, 10, 33, batch_size=20, learning_rate=0.5)
    changed = {field for field, value in plain.as_dict().items() if given.as_dict()[field] != value}
    assert changed == {"batch_size", "learning_rate"}
    assert (given.batch_size, given.learning_rate) == (20, 0.5)


def test_the_caffe_recipe_is_the_authors_solver() -> None:
    """Base rate 0.006, three times as fast for biases, no momentum, weight decay 0.0005."""
    trial_config = RECIPES["caffe"].trial_config(BUILT_IN["model_1"], 30, 33)
    assert trial_config == TrialConfig(
        architecture="model_1",
        code_size=30,
        filters_1=8,
        filters_2=4,
        activation="sigmoid",
        pooling="none",
        unpooling="none",
        recipe="caffe",
        loss="cross_entropy",
        optimizer="sgd",
        learning_rate=0.006,
        bias_learning_rate_factor=3.0,
        momentum=0.0,
        second_moment_decay=None,
        weight_decay=0.0005,
        schedule="constant",
        warmup_fraction=0.0,
        gradient_norm_limit=None,
        starting_weights="caffe",
        batch_size=100,
        epochs_planned=33,
    )


def test_tanh_has_a_learning_rate_of_its_own() -> None:
    """Model 5's, in the modern recipe."""
    rates = [RECIPES["modern"].trial_config(BUILT_IN[name], 10, 1).learning_rate for name in ("model_4", "model_5")]
    assert rates == [0.01, 0.003]


def test_a_variant_has_the_trials_activation_pooling_and_unpooling() -> None:
    """Of the built-in row, or of one that is given; a classic auto-encoder has an activation alone."""
    trial_config = RECIPES["modern"].trial_config(BUILT_IN["model_4"], 10, 1)
    changed = dataclasses.replace(trial_config, activation="relu", pooling="average", unpooling="tile")
    row = changed.variant()
    assert (row.activation, row.pooling, row.unpooling, row.name) == ("relu", "average", "tile", "model_4")
    own = dataclasses.replace(BUILT_IN["model_4"], name="mine", label="Mine")
    assert changed.variant(own).label == "Mine"
    classic = RECIPES["modern"].trial_config(BUILT_IN["classic_autoencoder"], 10, 1)
    assert (classic.filters, classic.pooling, classic.unpooling) == (None, None, None)
    assert dataclasses.replace(classic, activation="tanh").variant().activation == "tanh"


def test_modern_recipe_is_what_the_documents_say() -> None:
    """Every setting of our recipe; tanh has a learning rate of its own."""
    recipe = dataclasses.asdict(RECIPES["modern"])
    del recipe["source"]
    assert recipe == {
        "name": "modern",
        "learning_rate": 0.01,
        "tanh_learning_rate": 0.003,
        "learning_rate_range": (0.0003, 0.03),
        "optimizer": "adam",
        "bias_learning_rate_factor": 1.0,
        "momentum": 0.9,
        "second_moment_decay": 0.99,
        "weight_decay": 0.0,
        "schedule": "warmup_cosine",
        "warmup_fraction": 0.2,
        "gradient_norm_limit": 100.0,
        "starting_weights": "data_scaled",
        "loss": "cross_entropy",
        "batch_size": 100,
        "weight_decay_range": None,
    }
    modern = RECIPES["modern"]
    assert modern.trial_config(BUILT_IN["model_5"], 10, 4).learning_rate == 0.003
    assert modern.trial_config(BUILT_IN["model_4"], 10, 4).learning_rate == 0.01


def test_muon_recipe_is_what_the_documents_say() -> None:
    """Every setting of it; tanh has a learning rate of its own."""
    recipe = dataclasses.asdict(RECIPES["muon"])
    del recipe["source"]
    assert recipe == {
        "name": "muon",
        "learning_rate": 0.02,
        "tanh_learning_rate": 0.006,
        "learning_rate_range": (0.002, 0.06),
        "optimizer": "muon",
        "bias_learning_rate_factor": 1.0,
        "momentum": 0.95,
        "second_moment_decay": 0.99,
        "weight_decay": 0.03,
        "schedule": "warmup_linear",
        "warmup_fraction": 0.05,
        "gradient_norm_limit": None,
        "starting_weights": "data_scaled",
        "loss": "cross_entropy",
        "batch_size": 100,
        "weight_decay_range": (0.01, 0.2),
    }
