"""A study's configuration: one frozen record, checked when it is made; presets are named values of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from study.ablations import FACTORS
from study.rows import PHASES
from study.space import (
    FILTERS_RANGE,
    PARAMETER_BUDGET,
    REDUCTION_FACTOR,
    STARTUP_TRIALS,
    Cell,
    grace_period,
    published_filters,
    widest,
)
from trainables.architectures import ARCHITECTURES
from trainables.datasets import DATASETS
from trainables.errors import InputError
from trainables.settings import RECIPES, Recipe, recipe_named

PUBLISHED_RECIPE = "caffe"
"""Recipe of the published arm: the authors' own."""

SEEDS_OF_A_STUDY = 1_000_000
"""Seeds that belong to one base seed, so that studies of different base seeds share none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyConfig:
    """What a study owes: cells, trials and seeds of each, and how they are trained.

    Attributes:
        name: of the study and of its folder.
        preset: from which the rest was taken.
        dataset: name of the data set.
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

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_choices("preset", (self.preset,), tuple(PRESETS))
        _check_choices("data set", (self.dataset,), tuple(DATASETS))
        _check_choices("architecture", self.architectures, tuple(ARCHITECTURES))
        _check_choices("phase", self.phases, PHASES)
        _check_choices("recipe", (self.recipe,), tuple(RECIPES))
        _check_choices("factor", self.factors, tuple(FACTORS))
        _check_choices("ablated architecture", self.ablated_architectures, tuple(ARCHITECTURES))
        if not isinstance(self.code_sizes, tuple) or not self.code_sizes:
            raise InputError(f"code sizes {self.code_sizes!r}", "at least one", "give code sizes, separated by spaces")
        for size in self.code_sizes:
            _check_number("code size", size, 1, 784)
        if len(set(self.code_sizes)) < len(self.code_sizes):
            raise InputError(f"code sizes {self.code_sizes}", "each code size once", "remove the second")
        _check_number("ablated code size", self.ablated_code_size, 1, 784)
        _check_number("trials", self.trials, 1, 100_000)
        _check_number("seeds", self.seeds, 1, 1_000)
        _check_number("epochs", self.epochs, 1, 100_000)
        _check_number("seed", self.seed, 0, 1_000_000_000)
        if self.batch_size is not None:
            _check_number("batch_size", self.batch_size, 1, 1_000)
        for name in self.architectures:
            cell = Cell(name, max(self.code_sizes))
            if published_filters(cell):
                widest(cell)  # refuses a cell over the parameter budget, which its search would do too late

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
            "dataset": self.dataset,
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
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]


def digest_of(identity: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an identity, the same for equal values whatever their order."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # Minutes on two cores without a download; small batches, since 1,437 images make few steps.
        "quick": {
            "dataset": "digits",
            "architectures": tuple(ARCHITECTURES),
            "code_sizes": (10,),
            "trials": 3,
            "seeds": 3,
            "epochs": 10,
            "batch_size": 10,
        },
        # Within an hour on two cores.
        "sample": {
            "dataset": "mnist",
            "architectures": tuple(ARCHITECTURES),
            "code_sizes": (10,),
            "trials": 4,
            "seeds": 3,
            "epochs": 4,
        },
        # The paper's own: 20,000 iterations of 100 images are 33 epochs.
        "paper": {
            "dataset": "mnist",
            "architectures": tuple(ARCHITECTURES),
            "code_sizes": (2, 10, 30),
            "trials": 30,
            "seeds": 5,
            "epochs": 33,
        },
    }
)


def study_config(preset: str, **changes: Any) -> StudyConfig:
    """Return the configuration of ``preset`` with ``changes``; a change that is None leaves the preset's value.

    Raises:
        InputError: there is no such preset, or a value is not accepted.
    """
    _check_choices("preset", (preset,), tuple(PRESETS))
    values = dict(PRESETS[preset]) | {name: value for name, value in changes.items() if value is not None}
    values.setdefault("name", f"{preset}-{values['dataset']}")
    return StudyConfig(preset=preset, **values)


def _check_name(name: str) -> None:
    accepted = "letters, digits, '-', '_' and '.', not starting with '.', at most 100"
    if not isinstance(name, str) or not 0 < len(name) <= 100 or not all(map(_in_names, name)) or name[0] == ".":
        raise InputError(f"name {_shown(name)}", accepted, "choose another name")


def _in_names(letter: str) -> bool:
    return letter.isascii() and (letter.isalnum() or letter in "-_.")


def _check_choices(what: str, given: tuple[str, ...], accepted: tuple[str, ...]) -> None:
    if not isinstance(given, tuple) or not given:
        raise InputError(f"no {what}", ", ".join(accepted), f"give at least one {what}")
    for name in given:
        if name not in accepted:
            raise InputError(f"unknown {what} {_shown(name)}", ", ".join(accepted), "choose from these")
    if len(set(given)) < len(given):
        raise InputError(f"{what} given twice: {' '.join(given)}", f"each {what} once", "remove the second")


def _check_number(what: str, value: int, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise InputError(
            f"{what} {_shown(value)}", f"a whole number from {least} to {most:,}", f"choose another {what}"
        )


def _shown(value: object) -> str:
    """Return what was received, in at most a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
