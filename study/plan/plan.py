"""Which trials a study plans: from its configuration and the rows at hand, the next one to run.

All search trials come first, those of the cell with the most left before others; then cells are confirmed whose search
has ended; then controls and the published arm, which wait for nothing. Resuming is the same plan over more rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from study.config.ablations import FACTORS, Level, explain_skip
from study.config.search_space import Cell
from study.config.study_config import PUBLISHED_RECIPE, StudyConfig
from study.plan.search import CellSearch
from trainables.errors import InputError
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
            for factor, level, reason in _levels(config, cell):
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


def skipped_levels(config: StudyConfig) -> list[dict[str, Any]]:
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
        for factor, level, reason in _levels(config, cell)
        if reason
    ]


def _levels(config: StudyConfig, cell: Cell) -> Iterator[tuple[str, Level, str | None]]:
    """Yield factor, level and, where the level is skipped, the reason; known before the search has found the base."""
    base = make_trial_config(config, cell, config.recipe)
    for factor in config.factors:
        for level in FACTORS[factor]:
            yield factor, level, explain_skip(factor, level, base, config.architecture(cell.architecture))


def make_trial_config(
    config: StudyConfig,
    cell: Cell,
    recipe: str,
    learning_rate: float | None = None,
    filters: Filters | None = None,
) -> TrialConfig:
    """Return the settings of a trial of ``cell``; what is None is the recipe's or the published value."""
    return RECIPES[recipe].trial_config(
        config.architecture(cell.architecture),
        cell.code_size,
        config.epochs,
        batch_size=config.batch_size,
        learning_rate=learning_rate,
        filters=filters,
    )


@dataclass(slots=True)
class _CellState:
    search: CellSearch
    waiting: list[PlannedTrial] = field(default_factory=list)  # search trials, the next one last
    running: int = 0
    best: Mapping[str, Any] | None = None  # row of the best search trial that trained its full budget
    confirmations: list[PlannedTrial] = field(default_factory=list)  # and ablations of the best, the next one last

    @property
    def searched(self) -> bool:
        return not self.waiting and not self.running


class Plan:
    """The state of a study in memory: what is planned, what is running, what the rows say.

    Args:
        config: what is planned in all.
        finished: rows of `trials` at hand.

    Raises:
        InputError: nothing is planned at all.
    """

    def __init__(self, config: StudyConfig, finished: Iterable[Mapping[str, Any]]) -> None:
        self.config = config
        rows = {row["trial_id"]: row for row in finished}
        self.total = 0
        self.done = 0
        self.running: dict[str, PlannedTrial] = {}
        self._free: list[PlannedTrial] = []
        self._cells: dict[Cell, _CellState] = {}
        self._open: Counter[Group] = Counter()  # trials of each group that have not ended
        self._usable: set[Group] = set()
        for planned in plan_trials(config):
            self.total += 1
            self._open[planned.group] += 1
            if planned.trial_id in rows:
                self.done += 1
                self._count(planned, rows[planned.trial_id])
            elif planned.phase == "search":
                self._state(planned.cell).waiting.append(planned)
            elif planned.arm == "tuned":
                self._state(planned.cell).confirmations.append(planned)
            else:
                self._free.append(planned)
        if not self.total:
            raise InputError(
                f"phase ablate has no trial: factors {' '.join(config.factors)} of {' '.join(config.architectures)}",
                f"a factor that changes something of one of {', '.join(config.ablated_architectures)}",
                "give other --factors or --architectures",
            )
        self._free.reverse()
        for state in self._cells.values():
            state.waiting.reverse()
            state.confirmations.reverse()
        for row in sorted(rows.values(), key=lambda row: (row["number"], row["trial_id"])):
            self._learn(row)

    def take(self) -> tuple[PlannedTrial, TrialConfig | None] | None:
        """Return the next trial that can start now and its settings, and count it as running; None if none can."""
        taken = self._next()
        if taken is not None:
            self.running[taken[0].trial_id] = taken[0]
        return taken

    def take_batch(self, at_once: int) -> tuple[list[PlannedTrial], TrialConfig | None] | None:
        """Take the next trial and, outside search, up to ``at_once`` in all that differ from it by seed only."""
        taken = self.take()
        if taken is None:
            return None
        first, trial_config = taken
        trials = [first]
        if at_once > 1 and first.phase != "search" and first.seed is not None:
            waiting = self._free if first.arm == "published" else self._state(first.cell).confirmations
            alike = [planned for planned in reversed(waiting) if planned.group == first.group]
            for planned in alike[: at_once - 1]:
                waiting.remove(planned)
                self.running[planned.trial_id] = planned
                trials.append(planned)
        return trials, trial_config

    def finish(self, row: Mapping[str, Any]) -> None:
        """Count a running trial as done and learn from its row."""
        planned = self.running.pop(row["trial_id"])
        self.done += 1
        self._count(planned, row)
        if planned.phase == "search":
            self._state(planned.cell).running -= 1
        self._learn(row)

    @property
    def exhausted(self) -> bool:
        """Whether nothing runs and nothing more can start."""
        return not self.running and self._peek() is None

    def missing(self) -> list[PlannedTrial]:
        """Return the trials that are neither done nor running."""
        left = list(self._free)
        for state in self._cells.values():
            left += state.waiting + state.confirmations
        order = {planned.trial_id: position for position, planned in enumerate(plan_trials(self.config))}
        return sorted(left, key=lambda planned: order[planned.trial_id])

    def left(self) -> dict[Group, int]:
        """Return how many trials of each group have not ended, running ones included, those that cannot run left out.

        It costs as much as there are groups, not trials.
        """
        without = set(self.cells_without_result())
        return {
            group: count
            for group, count in self._open.items()
            if count and not (group.arm == "tuned" and group.cell in without)
        }

    def trial_config(self, planned: PlannedTrial) -> TrialConfig | None:
        """Return the settings of a trial that `can_start`, None for a control; a search suggests them now."""
        if planned.arm == "control":
            return None
        if planned.arm == "published":
            return make_trial_config(self.config, planned.cell, PUBLISHED_RECIPE)
        state = self._cells[planned.cell]
        if planned.phase == "search":
            return state.search.suggest(planned.number)
        best = state.best
        assert best is not None
        filters = (best["filters_1"], best["filters_2"]) if best["filters_1"] else None
        trial_config = make_trial_config(self.config, planned.cell, self.config.recipe, best["learning_rate"], filters)
        return trial_config if planned.level is None else planned.level.apply(trial_config)

    def can_start(self, planned: PlannedTrial) -> bool:
        """Whether nothing that ``planned`` depends on is still pending: the search of its cell, where it is tuned."""
        state = self._cells.get(planned.cell)
        return (
            planned.phase == "search" or state is None or planned.arm != "tuned" or bool(state.searched and state.best)
        )

    def lost(self) -> list[Group]:
        """Return the groups whose trials have all ended without one that the tables can use.

        Those of a search that never trained its full budget, and others whose trials all failed: that trials diverge
        is a result.
        """
        return [
            group
            for group, left in self._open.items()
            if not left and group not in self._usable and not (group.phase == "search" and self._state(group.cell).best)
        ]

    def blocked(self) -> list[PlannedTrial]:
        """Return the trials that cannot run, since the search of their cell found nothing to confirm."""
        return [planned for cell in self.cells_without_result() for planned in self._cells[cell].confirmations]

    def cells_without_result(self) -> list[Cell]:
        """Return the cells whose search is over without one trial that trained its full budget: not confirmable."""
        return [
            cell for cell, state in self._cells.items() if state.searched and state.confirmations and not state.best
        ]

    def _state(self, cell: Cell) -> _CellState:
        if cell not in self._cells:
            self._cells[cell] = _CellState(CellSearch(self.config, cell))
        return self._cells[cell]

    def _count(self, planned: PlannedTrial, row: Mapping[str, Any]) -> None:
        self._open[planned.group] -= 1
        if planned.phase != "search" and row["status"] != "failed":
            self._usable.add(planned.group)

    def _learn(self, row: Mapping[str, Any]) -> None:
        if row["phase"] != "search":
            return
        state = self._state(Cell(row["architecture"], row["code_size"]))
        state.search.tell(row)
        if row["status"] == "complete":
            best = state.best
            if best is None or row["validation_cross_entropy"] < best["validation_cross_entropy"]:
                state.best = row

    def _peek(self) -> PlannedTrial | None:
        searching = max(self._cells.values(), key=lambda state: len(state.waiting), default=None)
        if searching is not None and searching.waiting:
            return searching.waiting[-1]
        for state in self._cells.values():
            if state.confirmations and state.searched and state.best:
                return state.confirmations[-1]
        return self._free[-1] if self._free else None

    def _next(self) -> tuple[PlannedTrial, TrialConfig | None] | None:
        planned = self._peek()
        if planned is None:
            return None
        if planned.arm in ("control", "published"):
            self._free.pop()
        elif planned.phase == "search":
            state = self._cells[planned.cell]
            state.waiting.pop()
            state.running += 1
        else:
            self._cells[planned.cell].confirmations.pop()
        return planned, self.trial_config(planned)
