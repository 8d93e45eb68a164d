"""A study's configuration: one frozen record, checked when it is made; presets are named values of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from study.config.ablations import FACTORS
from study.config.search_space import (
    FILTERS_RANGE,
    PARAMETER_BUDGET,
    REDUCTION_FACTOR,
    STARTUP_TRIALS,
    Cell,
    grace_period,
    widest,
    within_budget,
)
from study.storage.schema import PHASES
from trainables.data.datasets import DATASETS, OWN_DATA, data_name, is_own_data
from trainables.errors import FieldError, InputError
from trainables.models.architectures import (
    BUILT_IN,
    CONTROLS,
    Architecture,
    ClassicAutoencoder,
    Control,
    ConvolutionalAutoencoder,
)
from trainables.models.custom import check_row, values_of
from trainables.trial_config import RECIPES, Recipe, recipe_named

PUBLISHED_RECIPE = "caffe"
"""Recipe of the published arm: the authors' own."""

SEEDS_OF_A_STUDY = 1_000_000
"""Seeds that belong to one base seed, so that studies of different base seeds share none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyConfig:
    """What a study plans: cells, trials and seeds of each, and how they are trained.

    Attributes:
        name: of the study and of its folder.
        preset: from which the rest was taken; the name of a study file that starts from none.
        dataset: name of the data set, or the path of a file of one's own.
        architectures: models, in the order of the tables.
        code_sizes: units of the code; with the architectures they make the cells.
        phases: search, confirm, ablate or some of them.
        recipe: how the tuned arm is trained.
        trials: search trials a cell.
        seeds: trainings of every confirmed configuration.
        epochs: full budget of a trial.
        batch_size: images a step, None for the recipe's.
        seed: base of all seeds.
        factors: what phase ablate changes, one at a time.
        ablated_architectures: models that phase ablate takes, those of them that the study has.
        ablated_code_size: the code size at which it takes them, where the study has it, else the study's first.
        models: rows of the user's own, whose names architectures may have besides those built in.

    Raises:
        InputError: a value that is not accepted, with what is.
    """

    name: str
    preset: str
    dataset: str
    architectures: tuple[str, ...]
    code_sizes: tuple[int, ...]
    phases: tuple[str, ...] = ("search", "confirm")
    recipe: str = "modern"
    trials: int
    seeds: int
    epochs: int
    batch_size: int | None = None
    seed: int = 0
    factors: tuple[str, ...] = tuple(FACTORS)
    ablated_architectures: tuple[str, ...] = ("model_1", "model_3", "model_4")
    ablated_code_size: int = 10
    models: tuple[Architecture, ...] = ()

    def __post_init__(self) -> None:
        _check_models(self.models)
        if not is_own_data(self.dataset):
            _check_choices("dataset", "data set", (self.dataset,), (*DATASETS, *(f"FILE{end}" for end in OWN_DATA)))
        _check_name("name", self.name)
        _check_name("preset", self.preset)
        known = (*BUILT_IN, *names_of(self.models))
        _check_choices("architectures", "architecture", self.architectures, known)
        _check_choices("phases", "phase", self.phases, PHASES)
        _check_choices("recipe", "recipe", (self.recipe,), tuple(RECIPES))
        _check_choices("factors", "factor", self.factors, tuple(FACTORS))
        _check_choices("ablated_architectures", "ablated architecture", self.ablated_architectures, known)
        if not isinstance(self.code_sizes, tuple) or not self.code_sizes:
            raise FieldError(
                "code_sizes", f"code sizes {_shown(self.code_sizes)}", "a list of at least one", "give code sizes"
            )
        for size in self.code_sizes:
            _check_number("code_sizes", size, 1, 784, "code size")
        if len(set(self.code_sizes)) < len(self.code_sizes):
            raise FieldError(
                "code_sizes", f"code sizes {_shown(self.code_sizes)}", "each code size once", "remove the second"
            )
        _check_number("ablated_code_size", self.ablated_code_size, 1, 784, "ablated code size")
        _check_number("trials", self.trials, 1, 100_000)
        _check_number("seeds", self.seeds, 1, 1_000)
        _check_number("epochs", self.epochs, 1, 100_000)
        _check_number("seed", self.seed, 0, 1_000_000_000)
        if self.batch_size is not None:
            _check_number("batch_size", self.batch_size, 1, 1_000)
        for name in self.architectures:
            row, largest = self.architecture(name), max(self.code_sizes)
            if filters := row.published_filters:
                try:
                    widest(row, largest)  # refuses a cell over the parameter budget, which its search would do too late
                except InputError as error:
                    raise FieldError("code_sizes", error.received, error.accepted, error.remedy) from None
                if name not in BUILT_IN and not within_budget(row, largest, filters):
                    raise FieldError(
                        "models",
                        f"{Cell(name, largest)} has more than {PARAMETER_BUDGET:,} parameters at its "
                        f"published_filters {filters}",
                        "rows that fit the parameter budget at every code size of the study",
                        "give it fewer filters, or choose smaller code sizes",
                    )

    def architecture(self, name: str) -> Architecture:
        """Return the row of the trained model called ``name``: built in, or one of the study's own."""
        return BUILT_IN.get(name) or next(row for row in self.models if row.name == name)

    def find_row(self, name: str) -> Architecture | Control:
        """Return the row of the model or control called ``name``."""
        return CONTROLS.get(name) or self.architecture(name)

    @property
    def tuned_recipe(self) -> Recipe:
        """The recipe of the tuned arm."""
        return recipe_named(self.recipe)

    @property
    def ablated_cells(self) -> tuple[Cell, ...]:
        """The cells that phase ablate takes."""
        size = self.ablated_code_size if self.ablated_code_size in self.code_sizes else self.code_sizes[0]
        return tuple(Cell(name, size) for name in self.ablated_architectures if name in self.architectures)

    def confirm_seed(self, number: int) -> int:
        """Return the seed of confirmation ``number``, from 1; the same in every cell, so that cells pair by seed."""
        return self.seed * SEEDS_OF_A_STUDY + number

    def search_seed(self, number: int) -> int:
        """Return the seed of search trial ``number``, from 0; never one of a confirmation."""
        return self.seed * SEEDS_OF_A_STUDY + SEEDS_OF_A_STUDY // 2 + number

    def identity(self, dataset_sha256: str) -> dict[str, Any]:
        """Return what may not change under the same name: data, splits, recipe, space, epochs and base seed.

        Budgets, seeds, cells and phases may grow: their trials keep their ids.
        """
        return {
            "dataset": data_name(self.dataset),
            "dataset_sha256": dataset_sha256,
            "recipes": {name: dataclasses.asdict(recipe_named(name)) for name in (self.recipe, PUBLISHED_RECIPE)},
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "filters_range": list(FILTERS_RANGE),
            "parameter_budget": PARAMETER_BUDGET,
            "startup_trials": STARTUP_TRIALS,
            "grace_period": grace_period(self.epochs),
            "reduction_factor": REDUCTION_FACTOR,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as plain values, for study.json."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["models"] = [values_of(row) for row in self.models]
        return json.loads(json.dumps(values))  # type: ignore[no-any-return]


def digest_of(identity: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an identity, the same for equal values whatever their order."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # Minutes on two cores without a download; small batches, since 1,437 images make few steps.
        "quick": {
            "dataset": "digits",
            "architectures": tuple(BUILT_IN),
            "code_sizes": (10,),
            "trials": 3,
            "seeds": 3,
            "epochs": 10,
            "batch_size": 10,
        },
        # Within an hour on two cores.
        "sample": {
            "dataset": "mnist",
            "architectures": tuple(BUILT_IN),
            "code_sizes": (10,),
            "trials": 4,
            "seeds": 3,
            "epochs": 4,
        },
        # The paper's own: 20,000 iterations of 100 images are 33 epochs.
        "paper": {
            "dataset": "mnist",
            "architectures": tuple(BUILT_IN),
            "code_sizes": (2, 10, 30),
            "trials": 30,
            "seeds": 5,
            "epochs": 33,
        },
        # The paper's epochs in all three phases, with a search of a GPU's few hours.
        "reference": {
            "dataset": "mnist",
            "architectures": tuple(BUILT_IN),
            "code_sizes": (2, 10, 30),
            "phases": PHASES,
            "trials": 10,
            "seeds": 5,
            "epochs": 33,
        },
    }
)


def study_config(preset: str, **changes: Any) -> StudyConfig:
    """Return the configuration of ``preset`` with ``changes``; a change that is None leaves the preset's value.

    Models of one's own join those of the preset, unless ``architectures`` says which are meant.

    Raises:
        InputError: there is no such preset, or a value is not accepted.
    """
    _check_choices("preset", "preset", (preset,), tuple(PRESETS))
    given = {name: value for name, value in changes.items() if value is not None}
    values = dict(PRESETS[preset]) | given
    if "architectures" not in given:
        values["architectures"] += names_of(values.get("models", ()))
    values["dataset"] = placed(values["dataset"], Path())
    values.setdefault("name", f"{preset}-{data_name(values['dataset'])}")
    return StudyConfig(preset=preset, **values)


def placed(dataset: Any, folder: Path) -> Any:
    """Return a data set's name as it is, and the path of a file of one's own, seen from ``folder``, from the root."""
    return os.path.abspath(folder / dataset) if is_own_data(dataset) else dataset


def names_of(models: Iterable[Architecture]) -> tuple[str, ...]:
    """Return the names of rows."""
    return tuple(row.name for row in models)


def _check_models(models: tuple[Architecture, ...]) -> None:
    kinds = (ConvolutionalAutoencoder, ClassicAutoencoder)
    if not isinstance(models, tuple) or not all(isinstance(row, kinds) for row in models):
        raise FieldError("models", f"models {_shown(models)}", "rows of models", "see docs/extending.md")
    names = names_of(models)
    if len(set(names)) < len(names):
        raise FieldError("models", f"models {' '.join(names)}", "each name once", "give one of them another name")
    least, most = FILTERS_RANGE
    for row in models:
        try:
            check_row(row)
        except InputError as error:
            raise FieldError("models", error.received, error.accepted, error.remedy) from None
        filters = row.published_filters
        if not all(least <= count <= most for count in filters or ()):
            raise FieldError(
                "models",
                f"{row.name}: published_filters {filters}",
                f"counts from {least} to {most}, the range of the search",
                "change them",
            )


def _check_name(field: str, name: str) -> None:
    accepted = "letters, digits, '-', '_' and '.', not starting with '.', at most 100"
    if not isinstance(name, str) or not 0 < len(name) <= 100 or not all(map(_in_names, name)) or name[0] == ".":
        raise FieldError(field, f"{field} {_shown(name)}", accepted, f"choose another {field}")


def _in_names(letter: str) -> bool:
    return letter.isascii() and (letter.isalnum() or letter in "-_.")


def _check_choices(field: str, what: str, given: tuple[str, ...], accepted: tuple[str, ...]) -> None:
    if not isinstance(given, tuple):
        raise FieldError(field, f"{what} {_shown(given)}", f"a list of: {', '.join(accepted)}", "give a list")
    if not given:
        raise FieldError(field, f"no {what}", ", ".join(accepted), f"give at least one {what}")
    for name in given:
        if name not in accepted:
            raise FieldError(field, f"unknown {what} {_shown(name)}", ", ".join(accepted), "choose from these")
    if len(set(given)) < len(given):
        raise FieldError(field, f"{what} given twice: {' '.join(given)}", f"each {what} once", "remove the second")


def _check_number(field: str, value: int, least: int, most: int, what: str = "") -> None:
    what = what or field
    if type(value) is not int or not least <= value <= most:
        raise FieldError(
            field, f"{what} {_shown(value)}", f"a whole number from {least} to {most:,}", f"choose another {what}"
        )


def _shown(value: object) -> str:
    """Return what was received, in at most a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
