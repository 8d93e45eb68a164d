"""Ablations as a table: factors, and the levels that each gives to one setting of the confirmed configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from trainables.errors import InputError
from trainables.models.architectures import Architecture
from trainables.models.layers import list_layers
from trainables.training.objectives import OBJECTIVES, RECONSTRUCTION, Objective
from trainables.trial_config import LAYERWISE, RECIPES, Optimizer, TrialConfig


@dataclass(frozen=True, slots=True)
class Level:
    """One value of a factor: its label in the tables and what it makes of the base configuration.

    A level that is ``retuned`` changes what a learning rate means: it is trained with one of its own, chosen on
    validation images around the rate that ``apply`` leaves.
    """

    label: str
    apply: Callable[[TrialConfig], TrialConfig]
    retuned: bool = False


def _set(label: str, retuned: bool, **values: Any) -> Level:
    return Level(label, lambda base: dataclasses.replace(base, **values), retuned)


def _set_to(name: str, *values: Any, retuned: bool = False) -> tuple[Level, ...]:
    return tuple(_set(str(value), retuned, **{name: value}) for value in values)


def _scale_learning_rate(factor: float) -> Level:
    return Level(f"x{factor:g}", lambda base: dataclasses.replace(base, learning_rate=base.learning_rate * factor))


def _scale_filters(factor: float) -> Level:
    def change(base: TrialConfig) -> TrialConfig:
        assert base.filters is not None
        first, second = (max(1, round(count * factor)) for count in base.filters)
        return dataclasses.replace(base, filters_1=first, filters_2=second)

    return Level(f"x{factor:g}", change)


def _set_optimizer(name: Optimizer, momentum: float, second: float | None, learning_rate: float) -> Level:
    def change(base: TrialConfig) -> TrialConfig:
        # Muon's weight decay is a share of the weights; as the others' L2 penalty the same number would be another.
        decay = 0.0 if base.optimizer == "muon" else base.weight_decay
        if (base.optimizer, base.momentum, base.second_moment_decay) == (name, momentum, second):
            return base  # It has its own learning rate, as models with tanh do.
        values: dict[str, Any] = {"momentum": momentum, "second_moment_decay": second, "learning_rate": learning_rate}
        return dataclasses.replace(base, optimizer=name, weight_decay=decay, **values)

    return Level(name, change, retuned=True)


def _change_recipe(name: str) -> Level:
    def change(base: TrialConfig) -> TrialConfig:
        return dataclasses.replace(base, **RECIPES[name].training(base.activation, base.layered))

    return Level(name, change, retuned=True)


def _set_objective(objective: Objective) -> Level:
    def change(base: TrialConfig) -> TrialConfig:
        strength = objective.default_strength(base.code_size)
        return dataclasses.replace(base, objective=objective.name, objective_strength=strength)

    return Level(objective.name, change, retuned=True)


def _set_code_size(size: int, objectives: Mapping[str, Objective]) -> Level:
    def change(base: TrialConfig) -> TrialConfig:
        # Of a sparse code so many units are a share of its own.
        strength = objectives[base.objective].default_strength(size)
        return dataclasses.replace(base, code_size=size, objective_strength=strength)

    return Level(str(size), change)


def _set_strength(place: int, label: str, objectives: Mapping[str, Objective]) -> Level:
    def change(base: TrialConfig) -> TrialConfig:
        strengths = objectives[base.objective].list_strengths(base.code_size)
        return dataclasses.replace(base, objective_strength=strengths[place] if strengths else None)

    return Level(label, change)


_OF_ALL: Mapping[str, tuple[Level, ...]] = MappingProxyType(
    {
        "learning_rate": tuple(_scale_learning_rate(factor) for factor in (0.1, 0.3, 3.0, 10.0)),
        "filters": tuple(_scale_filters(factor) for factor in (0.5, 2.0, 4.0)),
        "activation": _set_to("activation", "sigmoid", "tanh", "relu", retuned=True),
        "loss": _set_to("loss", "cross_entropy", "euclidean", "both", retuned=True),
        "starting_weights": _set_to("starting_weights", "caffe", "data_scaled"),
        # What their own rates are chosen around: one that suits Adam leaves plain gradient descent where it started.
        "optimizer": (
            _set_optimizer("sgd", 0.0, None, 0.006),
            _set_optimizer("nesterov", 0.9, None, 0.006),
            _set_optimizer("adam", 0.9, 0.99, 0.01),
        ),
        "unpooling": _set_to("unpooling", "corner", "tile", "average", "switches"),
        "pooling": _set_to("pooling", "max", "average", "stride"),
        "recipe": (_change_recipe("caffe"), _change_recipe("modern")),
        "pretraining": _set_to("pretraining", "none", LAYERWISE, retuned=True),
    }
)


def make_factors(objectives: Mapping[str, Objective]) -> Mapping[str, tuple[Level, ...]]:
    """Return every factor that can be ablated, with its levels, where these objectives are known.

    Filter counts may leave the parameter budget, which only the search keeps to.
    """
    strengths = enumerate(("weak", "middle", "strong"))
    learning_rate, *others = _OF_ALL
    return {
        learning_rate: _OF_ALL[learning_rate],
        "code_size": tuple(_set_code_size(size, objectives) for size in (2, 4, 10, 16, 30, 64)),
        **{name: _OF_ALL[name] for name in others},
        "objective": tuple(map(_set_objective, objectives.values())),
        "objective_strength": tuple(_set_strength(place, label, objectives) for place, label in strengths),
    }


FACTORS = make_factors(OBJECTIVES)

_OF_LAYERS = ("filters", "activation", "starting_weights", "unpooling", "pooling", "pretraining")
"""Factors that change layers, or weights layer by layer."""

USUAL = tuple(name for name in FACTORS if name not in ("pretraining", "objective", "objective_strength"))
"""Factors that are ablated unless others are asked for: an objective is a model's worth of trials, and pretraining, of
which recipes make no use, is history."""


def explain_skip(
    factor: str, level: Level, base: TrialConfig, row: Architecture, objectives: Mapping[str, Objective] = OBJECTIVES
) -> str | None:
    """Return why ``level`` makes no sense from ``base``, a trial of model ``row``, or None where it does.

    The base's own level is no ablation and is skipped with an empty reason.
    """
    if not row.layered and factor in _OF_LAYERS:
        return f"{row.name} is a module of its own, of which its factory alone decides layers and starting weights"
    if row.published_filters is None and factor in ("filters", "pooling", "unpooling"):
        return f"{row.name} has no convolutions"
    if factor == "pooling" and base.pooling == "none":
        return f"the encoder of {row.name} does not pool"
    if factor == "unpooling" and base.unpooling == "none":
        return f"the decoder of {row.name} does not unpool"
    if factor == "objective" and base.objective != RECONSTRUCTION:
        return "objectives are changed from reconstruction"
    if factor == "objective_strength" and base.objective == RECONSTRUCTION:
        return "reconstruction has no strength"
    if factor == "pretraining" and base.objective != RECONSTRUCTION:
        return "layers are pretrained by reconstruction"
    changed = level.apply(base)
    if changed == base:
        return ""
    try:
        variant = changed.variant(row)
        if variant.layered:
            list_layers(variant, changed.code_size, changed.filters)
    except InputError as error:
        return error.received
    return objectives[changed.objective].find_misfit(variant) or None
