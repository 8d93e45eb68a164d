"""Factors of ablations and what each level makes of a configuration."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from study.config.ablations import FACTORS, USUAL, explain_skip
from study.plan.planned_trial import hash_configuration
from trainables.models.architectures import BUILT_IN, ConvolutionalAutoencoder, ModuleAutoencoder
from trainables.models.layers import list_layers
from trainables.trial_config import RECIPES, TrialConfig


def make_base(name: str = "model_4", recipe: str = "modern") -> TrialConfig:
    """Return the published point, trained by small batches."""
    return RECIPES[recipe].trial_config(BUILT_IN[name], 10, 33, batch_size=20)


def change(factor: str, label: str, base: TrialConfig) -> dict[str, tuple[object, object]]:
    """Return the settings that a level changes, before and after."""
    (level,) = [level for level in FACTORS[factor] if level.label == label]
    before, after = base.as_dict(), level.apply(base).as_dict()
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def test_the_protocol_shows_every_factor_with_its_levels() -> None:
    """One table of docs/protocol.md."""
    shown = (Path(__file__).resolve().parents[3] / "docs" / "protocol.md").read_text(encoding="utf-8")
    for name, levels in FACTORS.items():
        assert f"| `{name}` | {', '.join(f'`{level.label}`' for level in levels)} |" in shown


@pytest.mark.parametrize(
    ("factor", "label", "changed"),
    [
        ("learning_rate", "x0.3", {"learning_rate": (0.01, 0.003)}),
        ("code_size", "64", {"code_size": (10, 64)}),
        ("filters", "x0.5", {"filters_1": (26, 13), "filters_2": (36, 18)}),
        ("unpooling", "tile", {"unpooling": ("corner", "tile")}),
        (
            "optimizer",
            "nesterov",
            {"optimizer": ("adam", "nesterov"), "second_moment_decay": (0.99, None), "learning_rate": (0.01, 0.006)},
        ),
    ],
)
def test_a_level_changes_its_factor_alone(factor: str, label: str, changed: dict[str, tuple[object, object]]) -> None:
    """An optimizer brings its own learning rate."""
    found = change(factor, label, make_base())
    assert {name: pair for name, pair in found.items() if name != "learning_rate"} == {
        name: pair for name, pair in changed.items() if name != "learning_rate"
    }
    if "learning_rate" in changed:
        assert found["learning_rate"] == pytest.approx(changed["learning_rate"])


def test_a_recipe_is_changed_as_a_whole_but_for_the_model_and_the_budget() -> None:
    """What it gives is what that recipe gives itself."""
    (caffe,) = [level for level in FACTORS["recipe"] if level.label == "caffe"]
    assert caffe.apply(make_base()) == make_base(recipe="caffe")
    assert caffe.apply(make_base("model_5")).learning_rate == 0.006


def test_another_optimizer_does_not_take_muons_weight_decay_for_its_penalty() -> None:
    """It has none then; a penalty of the base stays, and Muon's own recipe can be ablated to the others."""
    base = make_base(recipe="muon")
    (adam,) = [level for level in FACTORS["optimizer"] if level.label == "adam"]
    changed = adam.apply(base)
    assert (changed.optimizer, changed.weight_decay, changed.learning_rate) == ("adam", 0.0, 0.01)
    assert adam.apply(make_base(recipe="caffe")).weight_decay == 0.0005
    (modern,) = [level for level in FACTORS["recipe"] if level.label == "modern"]
    assert modern.apply(base) == make_base(recipe="modern")


@pytest.mark.parametrize(
    ("name", "factor", "label", "reason"),
    [
        ("model_4", "pooling", "max", ""),
        ("model_4", "pooling", "stride", None),
        ("model_1", "pooling", "max", "the encoder of model_1 does not pool"),
        ("model_2", "unpooling", "tile", "the decoder of model_2 does not unpool"),
        ("unpool_only", "unpooling", "switches", "unpool_only: switches are the positions of maxima"),
        ("classic_autoencoder", "filters", "x2", "classic_autoencoder has no convolutions"),
        ("classic_autoencoder", "activation", "tanh", None),
        ("classic_autoencoder", "pretraining", "layerwise", None),
        ("model_1", "pretraining", "none", ""),
    ],
)
def test_a_level_that_makes_no_sense_is_skipped_with_its_reason(
    name: str, factor: str, label: str, reason: str | None
) -> None:
    """The base's own level has an empty one."""
    (level,) = [level for level in FACTORS[factor] if level.label == label]
    explained = explain_skip(factor, level, make_base(name), BUILT_IN[name])
    assert (explained or "").startswith(reason or "") and (explained is None) == (reason is None)
    assert explained != "" or reason == ""


def test_pretraining_is_of_plain_reconstruction_and_asked_for() -> None:
    """Its level changes that alone, which the digest of every other configuration does not say."""
    layerwise = FACTORS["pretraining"][1]
    assert layerwise.retuned
    assert "pretraining" not in USUAL
    base = make_base()
    assert layerwise.apply(base) == dataclasses.replace(base, pretraining="layerwise")
    assert hash_configuration(RECIPES["modern"].trial_config(BUILT_IN["model_4"], 10, 33)) == "b07a6832"
    assert hash_configuration(layerwise.apply(base)) != hash_configuration(base)
    denoising = dataclasses.replace(base, objective="denoising", objective_strength=0.25)
    assert explain_skip("pretraining", layerwise, denoising, BUILT_IN["model_4"]) == (
        "layers are pretrained by reconstruction"
    )


def test_of_a_module_its_own_layers_and_starting_weights_are_left_as_they_are() -> None:
    """With the reason; objectives that need layers are, too, and another recipe changes no starting weights."""
    row = ModuleAutoencoder("own", "Own", "(own <-> own)", None, {"width": 3})
    base = RECIPES["modern"].trial_config(row, 10, 33)
    assert (base.starting_weights, base.module_settings) == ("module", '{"width": 3}')
    skipped = {
        (factor, level.label): reason
        for factor, levels in FACTORS.items()
        for level in levels
        if (reason := explain_skip(factor, level, base, row)) or reason is None
    }
    left_out = {factor for (factor, _), reason in skipped.items() if reason and "its factory alone decides" in reason}
    assert left_out == {"filters", "activation", "starting_weights", "unpooling", "pooling", "pretraining"}
    by_objective = {label: reason for (factor, label), reason in skipped.items() if factor == "objective"}
    assert [name for name, reason in by_objective.items() if reason] == [
        "variational",
        "importance_weighted",
        "dropout",
        "what_where",
    ]
    assert by_objective["dropout"] == "own is a module of its own, and dropout needs its layers one by one"
    (caffe,) = [level.apply(base) for level in FACTORS["recipe"] if level.label == "caffe"]
    assert (caffe.recipe, caffe.optimizer, caffe.starting_weights) == ("caffe", "sgd", "module")
    other = dataclasses.replace(base, module_settings='{"width": 4}')
    assert hash_configuration(other) != hash_configuration(base)


def test_a_level_whose_layers_do_not_meet_is_skipped_with_their_sizes() -> None:
    """Switches of an encoder with maps of 8 and 4, for a decoder that unpools to others."""
    model_4 = BUILT_IN["model_4"]
    assert isinstance(model_4, ConvolutionalAutoencoder)
    decoder = dataclasses.replace(model_4.decoder, kernels=(3, 7, 5))
    row = dataclasses.replace(model_4, name="mine", decoder=decoder, unpooling="tile")
    list_layers(row, 10)
    (level,) = [level for level in FACTORS["unpooling"] if level.label == "switches"]
    base = RECIPES["modern"].trial_config(row, 10, 33)
    assert "unpool2 takes maps of" in (explain_skip("unpooling", level, base, row) or "")
    assert explain_skip("unpooling", level, make_base(), BUILT_IN["model_4"]) is None


def test_the_optimizer_that_a_base_has_is_no_level_of_it() -> None:
    """Models with tanh have a learning rate of their own by the same optimizer."""
    (adam,) = [level for level in FACTORS["optimizer"] if level.label == "adam"]
    base = make_base("model_5")
    assert adam.apply(base) == base
    assert explain_skip("optimizer", adam, base, BUILT_IN["model_5"]) == ""
