"""Every trial of a study, finished or not, as its configuration says: what the launcher runs and a report misses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from study.config.ablations import FACTORS, Level, explain_skip
from study.config.search_space import Cell
from study.config.study_config import StudyConfig
from trainables.models.architectures import CONTROLS, Filters
from trainables.trial_config import RECIPES, TrialConfig


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
    """A trial of the plan; its id says what it is and never changes."""

    trial_id: str
    phase: str
    arm: str
    cell: Cell
    number: int
    seed: int | None
    keep_codes: bool = False
    factor: str | None = None
    level: Level | None = None

    @property
    def group(self) -> Group:
        """The trials among which this one is one of several."""
        return Group(self.phase, self.arm, self.cell, self.factor, self.level.label if self.level else None)


def plan_trials(config: StudyConfig) -> Iterator[PlannedTrial]:
    """Yield every trial that the study plans, finished or not, in the order of phases."""
    cells = [Cell(architecture, size) for size in config.code_sizes for architecture in config.architectures]
    if "search" in config.phases:
        for number in range(config.trials):
            for cell in cells:
                yield PlannedTrial(
                    f"search-{cell}-{number:04d}", "search", "tuned", cell, number, config.search_seed(number)
                )
    if "confirm" in config.phases:
        fixed = [Cell(row.name, row.fixed_code_size) for row in CONTROLS.values() if row.fixed_code_size]
        for cell in [*fixed, *(Cell("pca", size) for size in config.code_sizes)]:
            yield PlannedTrial(f"confirm-{cell}", "confirm", "control", cell, 1, None, keep_codes=True)
        for arm in ("published", "tuned"):
            for number in range(1, config.seeds + 1):
                for cell in cells:
                    # The classic auto-encoder is a control: nothing of it is published by the paper's authors.
                    if arm == "tuned" or config.architecture(cell.architecture).published_filters:
                        yield PlannedTrial(
                            f"confirm-{cell}-{arm}-{number:02d}",
                            "confirm",
                            arm,
                            cell,
                            number,
                            config.confirm_seed(number),
                            keep_codes=number == 1,
                        )

    if "ablate" in config.phases:
        for cell in config.ablated_cells:
            for factor, level, reason in _list_levels(config, cell):
                for number in range(1, config.seeds + 1):
                    if reason is None:
                        yield PlannedTrial(
                            f"ablate-{cell}-{factor}-{level.label}-{number:02d}".replace(".", "_"),
                            "ablate",
                            "tuned",
                            cell,
                            number,
                            config.confirm_seed(number),
                            factor=factor,
                            level=level,
                        )


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
