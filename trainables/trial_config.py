"""Settings of a trial as one flat record, and recipes: named sets of the training part of them.

The names are those of the columns of the table `trials`, of the search space and of the tables of the report.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from trainables.models.architectures import (
    BUILT_IN,
    Activation,
    Architecture,
    Filters,
    Pooling,
    Unpooling,
    with_variant,
)

Optimizer = Literal["sgd", "nesterov", "adam", "muon"]
Loss = Literal["cross_entropy", "euclidean", "both"]
Schedule = Literal["constant", "warmup_cosine", "warmup_linear"]
StartingWeights = Literal["caffe", "data_scaled", "module"]
Pretraining = Literal["none", "layerwise"]
LAYERWISE: Final = "layerwise"


@dataclass(frozen=True, slots=True)
class TrialConfig:
    """Everything that decides a trial but its data and its seed."""

    architecture: str
    code_size: int
    filters_1: int | None
    filters_2: int | None
    activation: Activation | None
    pooling: Pooling | None
    unpooling: Unpooling | None
    recipe: str
    loss: Loss | None
    optimizer: Optimizer
    learning_rate: float
    bias_learning_rate_factor: float
    momentum: float
    second_moment_decay: float | None
    weight_decay: float
    schedule: Schedule
    warmup_fraction: float
    gradient_norm_limit: float | None
    starting_weights: StartingWeights
    batch_size: int
    epochs_planned: int
    # Rows and weights of older versions say none of these.
    objective: str = "reconstruction"
    objective_strength: float | None = None
    pretraining: Pretraining = "none"
    module_settings: str | None = None  # JSON; None of a model that is no module of the user's own

    @property
    def layered(self) -> bool:
        """Whether the model's layers are known: those of a module of the user's own are not."""
        return self.module_settings is None

    @property
    def settings(self) -> dict[str, Any]:
        """What the factory of a module of the user's own is given besides the code size."""
        return json.loads(self.module_settings or "{}")  # type: ignore[no-any-return]

    @property
    def filters(self) -> Filters | None:
        """Filter counts of the two convolutions; None for an architecture without."""
        if self.filters_1 is None or self.filters_2 is None:
            return None
        return self.filters_1, self.filters_2

    def variant(self, row: Architecture | None = None) -> Architecture:
        """Return ``row``, by default the built-in one, with this trial's activation, pooling and unpooling."""
        return with_variant(row or BUILT_IN[self.architecture], self.activation, self.pooling, self.unpooling)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as columns."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How models are trained: the settings that are not the model's own, with their source.

    A search chooses the learning rate within ``learning_rate_range`` and, where there is one, the weight decay within
    ``weight_decay_range``.
    """

    name: str
    source: str
    learning_rate: float
    tanh_learning_rate: float
    learning_rate_range: tuple[float, float]
    optimizer: Optimizer
    bias_learning_rate_factor: float
    momentum: float
    second_moment_decay: float | None
    weight_decay: float
    schedule: Schedule
    warmup_fraction: float
    gradient_norm_limit: float | None
    starting_weights: StartingWeights
    loss: Loss = "cross_entropy"
    batch_size: int = 100
    weight_decay_range: tuple[float, float] | None = None

    def trial_config(
        self,
        architecture: Architecture,
        code_size: int,
        epochs: int,
        *,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        filters: Filters | None = None,
        settings: Mapping[str, Any] | None = None,
        objective: str = "reconstruction",
        objective_strength: float | None = None,
    ) -> TrialConfig:
        """Return the settings of one trial; what is None is the recipe's, the published or the row's own value."""
        filters_1, filters_2 = filters or architecture.published_filters or (None, None)
        training = self.training(architecture.activation, architecture.layered)
        settings = architecture.settings if settings is None else settings
        if learning_rate is not None:
            training["learning_rate"] = learning_rate
        return TrialConfig(
            architecture=architecture.name,
            code_size=code_size,
            filters_1=filters_1,
            filters_2=filters_2,
            activation=architecture.activation,
            pooling=architecture.pooling,
            unpooling=architecture.unpooling,
            batch_size=batch_size or self.batch_size,
            epochs_planned=epochs,
            objective=objective,
            objective_strength=objective_strength,
            module_settings=None if settings is None else json.dumps(dict(settings), sort_keys=True),
            **training,
        )

    def training(self, activation: Activation | None, layered: bool = True) -> dict[str, Any]:
        """Return the settings of a trial that are the recipe's own whatever is trained, but for the batch size.

        A module of the user's own, which is not ``layered``, has the starting weights that its factory gives it.
        """
        shared = {field.name for field in dataclasses.fields(TrialConfig)} - {"batch_size"}
        values = {name: value for name, value in dataclasses.asdict(self).items() if name in shared}
        rate = self.tanh_learning_rate if activation == "tanh" else self.learning_rate
        values |= {"recipe": self.name, "learning_rate": rate}
        return values if layered else values | {"starting_weights": "module"}


_CAFFE = Recipe(
    name="caffe",
    source="[file]: solver of the authors' network file, 20,000 iterations",
    learning_rate=0.006,
    tanh_learning_rate=0.006,
    learning_rate_range=(0.0006, 0.06),
    optimizer="sgd",
    bias_learning_rate_factor=3.0,
    momentum=0.0,
    second_moment_decay=None,
    weight_decay=0.0005,
    schedule="constant",
    warmup_fraction=0.0,
    gradient_norm_limit=None,
    starting_weights="caffe",
)

_MODERN = Recipe(
    name="modern",
    source="[ours]: trains every model at code sizes 2, 10 and 30 without a collapse, see docs/training.md",
    learning_rate=0.01,
    tanh_learning_rate=0.003,
    learning_rate_range=(0.0003, 0.03),
    optimizer="adam",
    bias_learning_rate_factor=1.0,
    momentum=0.9,
    second_moment_decay=0.99,
    weight_decay=0.0,
    schedule="warmup_cosine",
    warmup_fraction=0.2,
    gradient_norm_limit=100.0,
    starting_weights="data_scaled",
)

_MUON = Recipe(
    name="muon",
    source="[ours]: reaches in a third of the epochs or less what modern reaches, see docs/training.md",
    learning_rate=0.02,
    tanh_learning_rate=0.006,
    learning_rate_range=(0.002, 0.06),
    optimizer="muon",
    bias_learning_rate_factor=1.0,
    momentum=0.95,
    second_moment_decay=0.99,
    weight_decay=0.03,
    schedule="warmup_linear",
    warmup_fraction=0.05,
    gradient_norm_limit=None,
    starting_weights="data_scaled",
    weight_decay_range=(0.01, 0.2),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in (_CAFFE, _MODERN, _MUON)})
