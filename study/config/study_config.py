"""A study's configuration: one frozen record, checked when it is made by what its annotations say."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, InstanceOf, StrictStr, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo

from study.config.ablations import FACTORS, USUAL
from study.config.search_space import (
    LEAST_SAMPLED_TRIALS,
    PARAMETER_BUDGET,
    SAMPLERS,
    Cell,
    check_filters,
    choose_filters,
    within_budget,
)
from study.storage.schema import PHASES
from trainables.data.datasets import DATASETS, OWN_DATA, is_own_data
from trainables.errors import FieldError, InputError
from trainables.models.architectures import BUILT_IN, CONTROLS, TRAINED_CONTROLS, Architecture, Control
from trainables.models.custom import check_row, dump_row, field_error, load_row
from trainables.training.controls import CONTROL_OBJECTIVES
from trainables.training.objectives import (
    OBJECTIVES,
    RECONSTRUCTION,
    Objective,
    check_objective,
    dump_objective,
    load_objective,
)
from trainables.trial_config import RECIPES, Recipe

PUBLISHED_RECIPE = "caffe"
"""Recipe of the published arm: a Caffe solver file's which appears to be the authors', here called so; the paper's own
tables were not seen. Source: [file]."""

TRAINED_ARMS = ("tuned", "published")

PUBLISHED_EPOCHS = 33
"""20,000 steps of 100 images, rounded down to epochs of MNIST. Source: [file], the authors' solver."""

SEARCH_METRICS = ("cross_entropy", "squared_error")
"""What a search may minimise of the validation images, columns `validation_...` of rows; by default the first."""

LOOKS = (3, 5, 8, 12)
"""Seeds at which a study that adds them until it is decided looks, from those that it begins with; fewer than the first
are never compared."""

SEEDS_OF_A_STUDY = 1_000_000
"""Seeds that belong to one base seed, so that studies of different base seeds share none."""


def _whole(least: int, most: int) -> FieldInfo:
    text = f"a whole number from {least} to {most:,}"
    return Field(strict=True, ge=least, le=most, description=text)  # type: ignore[no-any-return]


CodeSize = Annotated[int, _whole(1, 784)]
Seeds = _whole(1, 1_000)
Names = Annotated[tuple[StrictStr, ...], Field(min_length=1)]
Name = Annotated[
    str,
    Field(
        strict=True,
        pattern="^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$",
        description="letters, digits, '-', '_' and '.', not starting with '.', at most 100",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class StudyConfig:
    """What a study plans: cells, trials and seeds of each, and how they are trained.

    Attributes:
        name: of the study and of its folder.
        preset: from which the rest was taken; the name of a study file that starts from none.
        dataset: name of the data set, or the path of a file of one's own.
        architectures: models, in the order of the tables, and controls that are trained where they are asked for.
        code_sizes: units of the code; with the architectures and objectives they make the cells.
        objectives: what the tuned arm is trained by; combinations that do not fit are left out.
        objectives_at: architectures that have others, each (architecture, objectives).
        phases: search, confirm, ablate or some of them.
        arms: tuned, published or both; controls are there with either.
        recipe: how the tuned arm is trained.
        control_recipe: how models are trained in it that are never ranked, None for as the others.
        trials: search trials per cell.
        finalists: how many of them train the full budget, trial 0 always among them.
        validation_seeds: trainings of each finalist, whose mean decides.
        generation_size: search trials of a cell that are suggested from the same results.
        sampler: what suggests them, where there are enough of them.
        search_metric: of the validation images, what a search minimises, by whatever its trials are trained.
        multiply_adds_budget: most multiply-adds of a forward pass of one image in a search, None for any.
        seeds: trainings of every confirmed configuration, and of every level of an ablation.
        seeds_at: arms and code sizes whose confirmed configurations have others, each (arm, code size, seeds).
        until_decided: whether looks add seeds to models of the tuned arm whose reconstructions are undecided.
        with_umap: whether codes are clustered by N2D, too, which takes the extra umap.
        epochs: full budget of a trial of the tuned arm.
        published_epochs: the same of the published arm.
        batch_size: images per step, None for the recipe's.
        weight_decay: of the tuned arm, None for the recipe's.
        seed: base of all seeds.
        factors: what phase ablate changes, one at a time.
        ablated_architectures: models that phase ablate takes, those of them that the study has.
        ablated_code_size: the code size at which it takes them, where the study has it, else the study's first.
        models: rows of the user's own, whose names architectures may have besides those built in.
        own_objectives: objectives of the user's own, likewise.

    Raises:
        InputError: a value that is not accepted, with what is.
    """

    name: Name
    preset: Name
    dataset: Annotated[StrictStr, Field(description=f"{', '.join(DATASETS)}, or a file: {', '.join(OWN_DATA)}")]
    architectures: Annotated[
        Names, Field(description=f"a list of: {', '.join((*BUILT_IN, *TRAINED_CONTROLS))}, or models of your own")
    ]
    code_sizes: Annotated[
        tuple[CodeSize, ...], Field(min_length=1, description="a list of at least one, whole numbers from 1 to 784")
    ]
    objectives: Annotated[
        Names, Field(description=f"a list of: {', '.join(OBJECTIVES)}, or objectives of your own")
    ] = (RECONSTRUCTION,)
    objectives_at: Annotated[
        tuple[tuple[StrictStr, Names], ...],
        Field(description='a list of [architecture, objectives], such as ["model_3", ["what_where"]]'),
    ] = ()
    phases: Annotated[Names, Field(description=f"a list of: {', '.join(PHASES)}")] = ("search", "confirm")
    arms: Annotated[Names, Field(description=f"a list of: {', '.join(TRAINED_ARMS)}")] = TRAINED_ARMS
    recipe: StrictStr = "modern"
    control_recipe: Annotated[StrictStr | None, Field(description=f"one of: {', '.join(RECIPES)}")] = None
    trials: Annotated[int, _whole(1, 100_000)]
    finalists: Annotated[int, _whole(1, LEAST_SAMPLED_TRIALS - 1)] = 3
    validation_seeds: Annotated[int, _whole(1, 100)] = 3
    generation_size: Annotated[int, _whole(1, 1_000)] = 8
    sampler: StrictStr = "multivariate_tpe"
    search_metric: Annotated[StrictStr, Field(description=f"one of: {', '.join(SEARCH_METRICS)}")] = SEARCH_METRICS[0]
    multiply_adds_budget: Annotated[int | None, _whole(1, 1_000_000_000_000)] = None
    seeds: Annotated[int, Seeds]
    seeds_at: Annotated[
        tuple[tuple[Literal["tuned", "published"], CodeSize, Annotated[int, Seeds]], ...],
        Field(description='a list of [arm, code size, seeds], such as ["tuned", 10, 8]'),
    ] = ()
    until_decided: Annotated[bool, Field(strict=True, description="true or false")] = False
    with_umap: Annotated[bool, Field(strict=True, description="true or false")] = False
    epochs: Annotated[int, _whole(1, 100_000)]
    published_epochs: Annotated[int, _whole(1, 100_000)] = PUBLISHED_EPOCHS
    batch_size: Annotated[int | None, _whole(1, 1_000)] = None
    weight_decay: Annotated[
        float | None, Field(strict=True, ge=0, le=1, allow_inf_nan=False, description="a number from 0 to 1")
    ] = None
    seed: Annotated[int, _whole(0, 1_000_000_000)] = 0
    factors: Annotated[Names, Field(description=f"a list of: {', '.join(FACTORS)}")] = USUAL
    ablated_architectures: Annotated[Names, Field(description="a list of architectures")] = (
        "model_1",
        "model_3",
        "model_4",
    )
    ablated_code_size: CodeSize = 10
    models: Annotated[tuple[Architecture, ...], Field(description="rows of models, as docs/extending.md shows")] = ()
    own_objectives: Annotated[
        tuple[InstanceOf[Objective], ...], Field(description="objectives, as docs/extending.md shows")
    ] = ()

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, values: Any, handler: Callable[[Any], StudyConfig]) -> StudyConfig:
        try:
            return handler(values)
        except ValidationError as error:
            raise field_error(error, cls) from None

    def __post_init__(self) -> None:
        own = [row.name for row in self.models]
        datasets = (self.dataset,) if is_own_data(self.dataset) else (*DATASETS, *(f"FILE{end}" for end in OWN_DATA))
        _check_choices("models", own, own)
        _check_choices("dataset", (self.dataset,), datasets)
        _check_choices("architectures", self.architectures, (*BUILT_IN, *TRAINED_CONTROLS, *own))
        _check_choices("own_objectives", [each.name for each in self.own_objectives], self.known_objectives)
        _check_choices("objectives", self.objectives, self.known_objectives)
        _check_choices("objectives_at", [name for name, _ in self.objectives_at], (*BUILT_IN, *own))
        for _, names in self.objectives_at:
            _check_choices("objectives_at", names, self.known_objectives)
        _check_choices("phases", self.phases, PHASES)
        _check_choices("arms", self.arms, TRAINED_ARMS)
        _check_choices("recipe", (self.recipe,), RECIPES)
        _check_choices("control_recipe", (self.control_recipe or self.recipe,), RECIPES)
        _check_choices("sampler", (self.sampler,), SAMPLERS)
        _check_choices("search_metric", (self.search_metric,), SEARCH_METRICS)
        _check_choices("factors", self.factors, FACTORS)
        _check_choices("ablated_architectures", self.ablated_architectures, (*BUILT_IN, *own))
        _check_choices("code_sizes", self.code_sizes, self.code_sizes)
        if self.finalists == 1 < self.trials:
            raise FieldError(
                "finalists",
                f"finalists 1 of {self.trials} trials, which would be trial 0 whatever the search finds",
                f"a whole number from 2 to {LEAST_SAMPLED_TRIALS - 1}, since trial 0 is one of them",
                "give more finalists, or search 1 trial",
            )
        places = [(arm, size) for arm, size, _ in self.seeds_at]
        _check_choices("seeds_at", places, places)
        if self.until_decided and not ("tuned" in self.arms and LOOKS[0] <= self.looks[0] < LOOKS[-1]):
            raise FieldError(
                "until_decided",
                f"until_decided from {self.looks[0]} seeds, arms {' '.join(self.arms)}",
                f"the arm tuned, from {LOOKS[0]} to {LOOKS[-1] - 1} seeds",
                "choose other --seeds or --arms, or leave --until-decided out",
            )
        planned = {*self.objectives}.union(*(names for _, names in self.objectives_at))
        if self.until_decided and planned != {RECONSTRUCTION}:
            raise FieldError(
                "until_decided",
                f"until_decided with objectives {' '.join(self.objectives)}",
                f"objective {RECONSTRUCTION} alone, of which looks compare the models",
                "leave --until-decided out, or the other objectives",
            )
        if self.weight_decay is not None and self.recipe == PUBLISHED_RECIPE:
            raise FieldError(
                "weight_decay",
                f"weight_decay {self.weight_decay} with recipe {PUBLISHED_RECIPE}, which is the authors' as it is",
                f"with another recipe: {', '.join(name for name in RECIPES if name != PUBLISHED_RECIPE)}",
                "leave weight_decay out, or choose another recipe",
            )
        for row in self.models:
            self._check_row(row)
        for each in self.own_objectives:
            try:
                check_objective(each)
            except InputError as error:
                raise FieldError("own_objectives", error.received, error.accepted, error.remedy) from None
        self._check_batch_size()
        for name in dict.fromkeys(objective for _, objective in self.list_combinations()):
            rows = [self.architecture(each) for each, objective in self.list_combinations() if objective == name]
            reasons = [self.find_objective(name).find_misfit(row) for row in rows]
            if all(reasons):
                raise FieldError(
                    "objectives",
                    f"objective {name} with {' '.join(row.name for row in rows)}: {reasons[0]}",
                    "objectives that one of the architectures at least can be trained by",
                    "leave it out, or add such an architecture",
                )
            for row in (row for row, reason in zip(rows, reasons, strict=True) if row.published_filters and not reason):
                outputs = self.find_objective(name).outputs_per_unit
                try:  # refuses a cell which its search would refuse too late
                    choose_filters(row, max(self.code_sizes), 1.0, 1.0, self.multiply_adds_budget, outputs)
                except InputError as error:
                    raise FieldError("code_sizes", error.received, error.accepted, error.remedy) from None

    def _check_batch_size(self) -> None:
        """Refuse batches of one image where what is minimised compares images with each other."""
        names = [name for _, name in self.list_combinations()]
        names += [row.objective for row in self.list_controls() if row.trained]
        compared = [name for name in names if self.find_objective(name).compares_images]
        if compared and self.batch_size == 1:
            raise FieldError(
                "batch_size",
                f"batch_size 1 with objective {compared[0]}",
                "batches of two images or more, which that objective compares",
                "choose a larger batch_size, or another objective",
            )

    def _check_row(self, row: Architecture) -> None:
        """Refuse a row of the user's own whose published filter counts the search could not try."""
        try:
            check_row(row)
            check_filters(row)
        except InputError as error:
            raise FieldError("models", error.received, error.accepted, error.remedy) from None
        filters, largest = row.published_filters, max(self.code_sizes)
        if filters and row.name in self.architectures and not within_budget(row, largest, filters):
            raise FieldError(
                "models",
                f"{Cell(row.name, largest)} has more than {PARAMETER_BUDGET:,} parameters at its "
                f"published_filters {filters}",
                "rows that fit the parameter budget at every code size of the study",
                "give it fewer filters, or choose smaller code sizes",
            )

    def architecture(self, name: str) -> Architecture:
        """Return the row of the trained model called ``name``: built in, or one of the study's own."""
        return BUILT_IN.get(name) or next(row for row in self.models if row.name == name)

    @property
    def known_objectives(self) -> Mapping[str, Objective]:
        """The objectives built in and the study's own, by name, in the order of tables."""
        return {**OBJECTIVES, **{each.name: each for each in self.own_objectives}}

    def find_objective(self, name: str) -> Objective:
        """Return the objective called ``name``: built in, one of the study's own, or a control's."""
        return CONTROL_OBJECTIVES.get(name) or self.known_objectives[name]

    def find_row(self, name: str) -> Architecture | Control:
        """Return the row of the model or control called ``name``."""
        return CONTROLS.get(name) or self.architecture(name)

    @property
    def tuned_recipe(self) -> Recipe:
        """The recipe of the tuned arm, with the study's own weight decay where it has one."""
        recipe = RECIPES[self.recipe]
        if self.weight_decay is None:
            return recipe
        return dataclasses.replace(recipe, weight_decay=float(self.weight_decay), weight_decay_range=None)

    def find_recipe(self, architecture: str) -> Recipe:
        """Return the recipe of the tuned arm of a model: of one that is never ranked it may be another one."""
        if self.control_recipe is None or self.find_row(architecture).ranked:
            return self.tuned_recipe
        return RECIPES[self.control_recipe]

    @property
    def search_column(self) -> str:
        """The column of rows of which a search wants the lowest value."""
        return f"validation_{self.search_metric}"

    @property
    def searched_architectures(self) -> tuple[str, ...]:
        """The models that are searched: those asked for but controls."""
        return tuple(name for name in self.architectures if name not in TRAINED_CONTROLS)

    def list_controls(self) -> list[Control]:
        """Return the controls of the study: those that every study has, and the trained ones that it asks for."""
        return [
            row
            for row in CONTROLS.values()
            if (self.with_umap or not row.with_umap) and (not row.trained or row.name in self.architectures)
        ]

    @property
    def ablated_cells(self) -> tuple[Cell, ...]:
        """The cells that phase ablate takes."""
        size = self.ablated_code_size if self.ablated_code_size in self.code_sizes else self.code_sizes[0]
        names = [name for name in self.ablated_architectures if name in self.architectures]
        return tuple(cell for cell in self.list_cells(size) if cell.architecture in names)

    def list_own_functions(self) -> list[Callable[..., Any]]:
        """Return the functions of the user's own models and objectives, which trials call."""
        records = (*self.models, *self.own_objectives)
        values = (getattr(each, field.name) for each in records for field in dataclasses.fields(each))
        return [value for value in values if callable(value)]

    def list_combinations(self) -> list[tuple[str, str]]:
        """Return architectures and objectives that are asked for together, those that do not fit included."""
        others = dict(self.objectives_at)
        return [
            (architecture, objective)
            for architecture in self.searched_architectures
            for objective in others.get(architecture, self.objectives)
        ]

    def list_cells(self, code_size: int) -> list[Cell]:
        """Return the cells of a code size, those whose objective does not fit their architecture left out."""
        return [
            Cell(architecture, code_size, objective)
            for architecture, objective in self.list_combinations()
            if not self.find_objective(objective).find_misfit(self.architecture(architecture))
        ]

    def count_seeds(self, arm: str, code_size: int) -> int:
        """Return how often the confirmed configuration of an arm is trained at a code size."""
        return next((seeds for *place, seeds in self.seeds_at if place == [arm, code_size]), self.seeds)

    @property
    def looks(self) -> tuple[int, ...]:
        """Seeds at which a study until it is decided looks: the fewest of a code size as configured, then more."""
        first = min(self.count_seeds("tuned", size) for size in self.code_sizes)
        return (first, *(seeds for seeds in LOOKS if seeds > first))

    def confirm_seed(self, number: int) -> int:
        """Return the seed of confirmation ``number``, from 1; the same in every cell, so that cells pair by seed."""
        return self.seed * SEEDS_OF_A_STUDY + number

    def search_seed(self, number: int) -> int:
        """Return the seed of search trial ``number``, from 0; never one of a confirmation."""
        return self.seed * SEEDS_OF_A_STUDY + SEEDS_OF_A_STUDY // 2 + number

    def validation_seed(self, number: int) -> int:
        """Return the seed of training ``number`` of every finalist, from 1; never one of another trial."""
        return self.seed * SEEDS_OF_A_STUDY + SEEDS_OF_A_STUDY // 4 + number

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as plain values, for study.json."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["models"] = [dump_row(row) for row in self.models]
        rows = [self.architecture(name) for name in self.searched_architectures]
        values["own_objectives"] = [dump_objective(each, rows) for each in self.own_objectives]
        return json.loads(json.dumps(values))  # type: ignore[no-any-return]


def _check_choices(field: str, given: Collection[Any], known: Iterable[Any]) -> None:
    """Refuse what is not known, and anything that is given twice."""
    what = field.removesuffix("s").replace("_", " ")
    if wrong := [value for value in given if value not in known]:
        own = ", or give the file that defines it, --models FILE" if field in ("architectures", "objectives") else ""
        raise FieldError(field, f"unknown {what} {wrong[0]!r:.60}", ", ".join(known), f"choose from these{own}")
    if len(set(given)) < len(given):
        raise FieldError(field, f"{what} given twice: {' '.join(map(str, given))}", f"each {what} once", "remove one")


def rebuild_config(manifest: Mapping[str, Any]) -> StudyConfig | None:
    """Return the configuration of the last launch that study.json tells of; None where it tells too little.

    One that does not say what is ablated, as those of older versions, plans no ablation.
    """
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in manifest["config"].items()}
    values = {"name": manifest["name"]} | values
    if "factors" not in values:
        values["phases"] = tuple(phase for phase in values.get("phases", ()) if phase != "ablate")
    try:
        values["own_objectives"] = tuple(map(load_objective, values.get("own_objectives", ())))
        return StudyConfig(**values | {"models": tuple(map(load_row, values.get("models", ())))})
    except (InputError, TypeError, ValueError):
        return None
