"""One trial of a plan: what it is, and the id and the digest that say so."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from study.config.ablations import Level
from study.config.search_space import Cell
from study.config.study_config import StudyConfig
from trainables.errors import InputError
from trainables.models.architectures import CONTROLS, Filters
from trainables.training.objectives import RECONSTRUCTION
from trainables.trial_config import RECIPES, TrialConfig

UNDECIDED = "undecided"
"""Stands in an id for what the search of the cell has still to decide."""

_RETRY = re.compile(r"-retry(\d+)$")
"""Ends the id of a row whose trial failed in earlier launches and was tried anew."""


@dataclass(frozen=True, slots=True)
class Group:
    """Trials of one kind: a round of a cell's search, the rates of an ablation's level, or one row of the tables.

    Those of a row of the tables differ by number and seed only.

    ``epochs`` is what each of them trains, 0 of a control that trains nothing.
    """

    phase: str
    arm: str
    cell: Cell
    factor: str | None
    level: str | None
    round: int | None
    epochs: int

    def __str__(self) -> str:
        if self.phase == "search":
            return f"the search of {self.cell}"
        if self.round is not None:
            return f"the learning rates of {self.cell} with {self.factor} {self.level}"
        if self.factor is not None:
            return f"{self.cell} with {self.factor} {self.level}"
        return str(self.cell) if self.arm == "control" else f"{self.cell}, {self.arm}"

    @property
    def part(self) -> str:
        """The phase, and of a search its round, of an ablation what its rates are chosen by: progress is told by it."""
        if self.round is None:
            return self.phase
        return f"{self.phase}, round {self.round}" if self.phase == "search" else f"{self.phase}, rates"


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """A trial of the plan; its id says what it is and never changes.

    Attributes:
        number: of the search trial in its cell from 0, of the seed otherwise, from 1; of a trial of a later round that
            is not ``decided`` yet, its place.
        seed: of a control, that of its classifiers and clusters.
        epochs: that it trains, 0 of a control that trains nothing.
        configuration: of the tuned arm, the digest of what its search found, None before that is known: a confirmation
            of another one is another trial, as is an ablation from another one.
        rate_factor: of a level of an ablation that is retuned, its learning rate over the one that the level leaves:
            one to choose from, or the one that was chosen, None before that.
        round: of a search; of an ablation 1 where the trial is one of those by which a learning rate is chosen.
        seed_number: of a search trial that is trained with several seeds, which of them, from 1.
        grid: whether the search is one of a grid, whose numbers mean other settings than a sampler's.
        retry: how often it is tried anew, since it failed in an earlier launch.
    """

    phase: str
    arm: str
    cell: Cell
    number: int
    seed: int
    epochs: int
    factor: str | None = None
    level: Level | None = None
    configuration: str | None = None
    rate_factor: float | None = None
    round: int | None = None
    seed_number: int | None = None
    grid: bool = False
    decided: bool = True
    retry: int = 0

    @property
    def trial_id(self) -> str:
        """What names the trial's row and files."""
        return f"{self._planned_id}-retry{self.retry}" if self.retry else self._planned_id

    @property
    def _planned_id(self) -> str:
        if self.phase == "search":
            number = f"{'grid' if self.grid else ''}{self.number:04d}" if self.decided else f"{UNDECIDED}{self.number}"
            seed = "" if self.seed_number is None else f"-{self.seed_number:02d}"
            return f"search-{self.cell}-round{self.round}-{number}{seed}"
        if self.arm == "control":
            # The first has the id of the only one that earlier versions plan, so that theirs is done.
            return f"confirm-{self.cell}" if self.number == 1 else f"confirm-{self.cell}-{self.number:02d}"
        changed = f"{self.factor}-{self.level.label}" if self.level else self.arm
        found = f"-{self.configuration or UNDECIDED}" if self.arm == "tuned" else ""
        if self.level is not None and self.level.retuned:
            found += f"-{UNDECIDED}" if self.rate_factor is None else f"-x{self.rate_factor:g}"
        number = f"rate{self.number}" if self.level is not None and self.validated else f"{self.number:02d}"
        return f"{self.phase}-{self.cell}-{changed}-{number}{found}".replace(".", "_")

    @property
    def validated(self) -> bool:
        """Whether it is measured on validation images, which it does not train on: by such trials settings are chosen.

        Any other trains on all training images and is measured on the test images.
        """
        return self.round is not None

    @property
    def keep_codes(self) -> bool:
        """Whether codes and reconstructions are kept: of the first confirmation of each cell and arm."""
        return self.phase == "confirm" and self.number == 1

    @property
    def group(self) -> Group:
        """The trials among which this one is one of several."""
        level = self.level.label if self.level else None
        return Group(self.phase, self.arm, self.cell, self.factor, level, self.round, self.epochs)


def split_retry(trial_id: str) -> tuple[str, int]:
    """Return the id that the plan has for a row's trial, and how often it had been tried anew."""
    found = _RETRY.search(trial_id)
    return (trial_id[: found.start()], int(found[1])) if found else (trial_id, 0)


def keep_latest(rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return rows of `trials` by the ids of the plan: of a trial that failed and was tried anew the last one."""
    ordered = sorted(rows, key=lambda row: split_retry(row["trial_id"])[1])
    return {split_retry(row["trial_id"])[0]: row for row in ordered}


def get_cell(row: Mapping[str, Any]) -> Cell:
    """Return the cell that a row of `trials` belongs to: of an ablation, that of the configuration it starts from.

    Rows of older versions do not say their objective, which is plain reconstruction; controls have no cells by theirs.
    """
    of_model = row["arm"] == "control" or row.get("factor") == "objective"
    objective = RECONSTRUCTION if of_model else row.get("objective") or RECONSTRUCTION
    return Cell(row["architecture"], row.get("base_code_size") or row["code_size"], objective)


def complete_id(beginning: str, trial_ids: Collection[str]) -> str | None:
    """Return the id that is ``beginning``, or the only one that begins so: the digest at its end may be left out.

    Raises:
        InputError: several begin so.
    """
    if beginning in trial_ids:
        return beginning
    found = sorted(trial_id for trial_id in trial_ids if trial_id.startswith(f"{beginning}-"))
    if len(found) > 1:
        raise InputError(
            f"{len(found)} trials have an id that begins with {beginning}", ", ".join(found[:10]), "give more of it"
        )
    return found[0] if found else None


def hash_configuration(trial_config: TrialConfig) -> str:
    """Return a short digest of all settings but the epochs, which belong to the study or to a round of its search.

    Plain reconstruction, no pretraining and no module are not said, so that digests are those of versions that knew no
    other.
    """
    left_out = {"epochs_planned"}
    if trial_config.pretraining == "none":
        left_out |= {"pretraining"}
    if trial_config.objective == RECONSTRUCTION:
        left_out |= {"objective", "objective_strength"}
    if trial_config.layered:
        left_out |= {"module_settings"}
    values = {name: value for name, value in trial_config.as_dict().items() if name not in left_out}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def make_trial_config(
    config: StudyConfig,
    cell: Cell,
    recipe: str,
    learning_rate: float | None = None,
    filters: Filters | None = None,
    epochs: int | None = None,
    weight_decay: float | None = None,
    settings: Mapping[str, Any] | None = None,
) -> TrialConfig:
    """Return the settings of a trial of ``cell``; what is None is the recipe's, the row's or the study's value."""
    chosen = config.find_recipe(cell.architecture) if recipe == config.recipe else RECIPES[recipe]
    if weight_decay is not None:
        chosen = dataclasses.replace(chosen, weight_decay=weight_decay)
    return chosen.trial_config(
        config.architecture(cell.architecture),
        cell.code_size,
        epochs or config.epochs,
        batch_size=config.batch_size,
        learning_rate=learning_rate,
        filters=filters,
        settings=settings,
        objective=cell.objective,
        objective_strength=config.find_objective(cell.objective).default_strength(cell.code_size),
    )


def make_control_config(config: StudyConfig, cell: Cell) -> TrialConfig | None:
    """Return the settings of a control, by the recipe of models that are never ranked; None where it trains nothing."""
    row = CONTROLS[cell.architecture]
    if row.network is None:
        return None
    made = config.find_recipe(row.name).trial_config(
        row.network,
        cell.code_size,
        config.epochs,
        batch_size=config.batch_size,
        objective=row.objective,
        objective_strength=config.find_objective(row.objective).default_strength(cell.code_size),
    )
    return dataclasses.replace(made, loss=row.loss)
