"""Every trial of a study, finished or not, as its configuration says: what the launcher runs and a report misses."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from study.config.ablations import FACTORS, Level, explain_skip
from study.config.search_space import Cell
from study.config.study_config import StudyConfig
from trainables.errors import InputError
from trainables.models.architectures import CONTROLS, Filters
from trainables.trial_config import RECIPES, TrialConfig

UNDECIDED = "undecided"
"""Stands in an id for what the search of the cell has still to decide."""


@dataclass(frozen=True, slots=True)
class Group:
    """Trials that differ by number and seed only: a cell's search, or what becomes one row of the tables."""

    phase: str
    arm: str
    cell: Cell
    factor: str | None
    level: str | None

    def __str__(self) -> str:
        if self.phase == "search":
            return f"the search of {self.cell}"
        if self.factor is not None:
            return f"{self.cell} with {self.factor} {self.level}"
        return str(self.cell) if self.arm == "control" else f"{self.cell}, {self.arm}"


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """A trial of the plan; its id says what it is and never changes.

    The tuned arm's ``configuration`` is the digest of what its search found, None before that is known: a confirmation
    of another one is another trial, as is an ablation from another one.
    """

    phase: str
    arm: str
    cell: Cell
    number: int
    seed: int | None
    factor: str | None = None
    level: Level | None = None
    configuration: str | None = None

    @property
    def trial_id(self) -> str:
        """What names the trial's row and files."""
        if self.phase == "search":
            return f"search-{self.cell}-{self.number:04d}"
        if self.arm == "control":
            return f"confirm-{self.cell}"
        changed = f"{self.factor}-{self.level.label}" if self.level else self.arm
        found = f"-{self.configuration or UNDECIDED}" if self.arm == "tuned" else ""
        return f"{self.phase}-{self.cell}-{changed}-{self.number:02d}{found}".replace(".", "_")

    @property
    def keep_codes(self) -> bool:
        """Whether codes and reconstructions are kept: of the first confirmation of each cell and arm."""
        return self.phase == "confirm" and self.number == 1

    @property
    def group(self) -> Group:
        """The trials among which this one is one of several."""
        return Group(self.phase, self.arm, self.cell, self.factor, self.level.label if self.level else None)


def plan_trials(config: StudyConfig, rows: Iterable[Mapping[str, Any]] = ()) -> Iterator[PlannedTrial]:
    """Yield every trial that the study plans, finished or not, in the order of phases.

    What is confirmed, and with it the ids of confirmations and ablations, follows from ``rows`` of `trials`.
    """
    confirmed = find_confirmed(config, rows)
    cells = [Cell(architecture, size) for size in config.code_sizes for architecture in config.architectures]
    if "search" in config.phases:
        for number in range(config.trials):
            for cell in cells:
                yield PlannedTrial("search", "tuned", cell, number, config.search_seed(number))
    if "confirm" in config.phases:
        fixed = [Cell(row.name, row.fixed_code_size) for row in CONTROLS.values() if row.fixed_code_size]
        for cell in [*fixed, *(Cell("pca", size) for size in config.code_sizes)]:
            yield PlannedTrial("confirm", "control", cell, 1, None)
        for arm in ("published", "tuned"):
            for number in range(1, config.seeds + 1):
                for cell in cells:
                    # The classic auto-encoder is a control: nothing of it is published by the paper's authors.
                    if arm == "tuned" or config.architecture(cell.architecture).published_filters:
                        found = confirmed.get(cell) if arm == "tuned" else None
                        yield PlannedTrial(
                            "confirm", arm, cell, number, config.confirm_seed(number), configuration=found
                        )

    if "ablate" in config.phases:
        for cell in config.ablated_cells:
            for factor, level, reason in _list_levels(config, cell):
                for number in range(1, config.seeds + 1):
                    if reason is None:
                        seed = config.confirm_seed(number)
                        yield PlannedTrial("ablate", "tuned", cell, number, seed, factor, level, confirmed.get(cell))


def find_confirmed(config: StudyConfig, rows: Iterable[Mapping[str, Any]]) -> dict[Cell, str]:
    """Return the configuration that is confirmed of each cell whose search has ended with one."""
    searched: dict[Cell, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["phase"] == "search" and row["number"] < config.trials:
            searched[Cell(str(row["architecture"]), row["code_size"])].append(row)
    found = {}
    for cell, ended in searched.items():
        complete = [row for row in ended if row["status"] == "complete"]
        if len(ended) == config.trials and complete:
            best = min(complete, key=lambda row: (row["validation_cross_entropy"], row["number"]))
            if isinstance(best["configuration"], str):  # Rows of older versions have none.
                found[cell] = best["configuration"]
    return found


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
    """Return a short digest of all settings but the epochs, which belong to the study or to a round of its search."""
    values = {name: value for name, value in trial_config.as_dict().items() if name != "epochs_planned"}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def list_skipped_levels(config: StudyConfig) -> list[dict[str, Any]]:
    """Return the levels of ablations that make no sense for their architecture, each with its reason."""
    if "ablate" not in config.phases:
        return []
    return [
        {
            "factor": factor,
            "level": level.label,
            "architecture": cell.architecture,
            "code_size": cell.code_size,
            "reason": reason,
        }
        for cell in config.ablated_cells
        for factor, level, reason in _list_levels(config, cell)
        if reason
    ]


def _list_levels(config: StudyConfig, cell: Cell) -> Iterator[tuple[str, Level, str | None]]:
    """Yield factor, level and, where the level is skipped, the reason; known before the search has found the base."""
    base, row = make_trial_config(config, cell, config.recipe), config.architecture(cell.architecture)
    for factor in config.factors:
        for level in FACTORS[factor]:
            yield factor, level, explain_skip(factor, level, base, row)


def make_trial_config(
    config: StudyConfig,
    cell: Cell,
    recipe: str,
    learning_rate: float | None = None,
    filters: Filters | None = None,
) -> TrialConfig:
    """Return the settings of a trial of ``cell``; what is None is the recipe's or the published value."""
    chosen = config.tuned_recipe if recipe == config.recipe else RECIPES[recipe]
    return chosen.trial_config(
        config.architecture(cell.architecture),
        cell.code_size,
        config.epochs,
        batch_size=config.batch_size,
        learning_rate=learning_rate,
        filters=filters,
    )
