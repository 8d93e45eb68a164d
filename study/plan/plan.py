"""Which trials a study plans: from its configuration and the rows at hand, the next one to run.

All search trials come first, those of the cell with the most left before others; then cells are confirmed whose search
has ended; then controls and the published arm, which wait for nothing. Resuming is the same plan over more rows.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from study.config.search_space import Cell
from study.config.study_config import PUBLISHED_RECIPE, StudyConfig
from study.plan.search import CellSearch
from study.plan.trials import Group, PlannedTrial, make_trial_config, plan_trials
from trainables.errors import InputError
from trainables.trial_config import TrialConfig


@dataclass(slots=True)
class _CellState:
    search: CellSearch
    waiting: list[PlannedTrial] = field(default_factory=list)  # search trials, the next one last
    running: int = 0
    best: Mapping[str, Any] | None = None  # row of the best search trial that trained its full budget
    confirmations: list[PlannedTrial] = field(default_factory=list)  # and ablations of the best, the next one last
    decided: bool = False  # whether confirmations are those of the best, which the rows may hold already

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
        self.rows = rows = {row["trial_id"]: row for row in finished}
        self.total = 0
        self.done = 0
        self.running: dict[str, PlannedTrial] = {}
        self._free: list[PlannedTrial] = []
        self._cells: dict[Cell, _CellState] = {}
        self._planned: Counter[Group] = Counter()
        self._ended: dict[Group, Counter[str]] = {}  # by status
        for planned in plan_trials(config):
            self.total += 1
            self._planned[planned.group] += 1
            ended = self._ended.setdefault(planned.group, Counter())
            if planned.trial_id in rows:
                self.done += 1
                ended[rows[planned.trial_id]["status"]] += 1
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
        for state in self._cells.values():
            self._decide(state)

    def take(self, at_once: int = 1) -> tuple[list[PlannedTrial], TrialConfig | None] | None:
        """Return the next trial that can start now with its settings, and count it as running; None if none can.

        Outside search it brings up to ``at_once`` in all that differ from it by seed only.
        """
        waiting = self._find_waiting()
        if not waiting:
            return None
        first = waiting.pop()
        trials = [first]
        if first.phase == "search":
            self._cells[first.cell].running += 1
        elif at_once > 1 and first.seed is not None:
            trials += [planned for planned in reversed(waiting) if planned.group == first.group][: at_once - 1]
            for planned in trials[1:]:
                waiting.remove(planned)
        self.running |= {planned.trial_id: planned for planned in trials}
        return trials, self.resolve_config(first)

    def finish(self, row: Mapping[str, Any]) -> None:
        """Count a running trial as done and learn from its row."""
        planned = self.running.pop(row["trial_id"])
        self.done += 1
        self.rows[row["trial_id"]] = row
        self._ended[planned.group][row["status"]] += 1
        if planned.phase == "search":
            self._state(planned.cell).running -= 1
        self._learn(row)
        if planned.phase == "search":
            self._decide(self._state(planned.cell))

    @property
    def exhausted(self) -> bool:
        """Whether nothing runs and nothing more can start."""
        return not self.running and not self._find_waiting()

    def list_pending(self) -> list[PlannedTrial]:
        """Return the trials that are neither done nor running."""
        pending = {planned.trial_id for planned in self._free}
        for state in self._cells.values():
            pending |= {planned.trial_id for planned in state.waiting + state.confirmations}
        rows = self.rows.values()
        return [planned for planned in plan_trials(self.config, rows) if planned.trial_id in pending]

    def count_left(self) -> dict[Group, int]:
        """Return how many trials of each group have not ended, running ones included, those that cannot run left out.

        It costs as much as there are groups, not trials.
        """
        without = set(self.list_cells_without_result())
        return {
            group: left
            for group, count in self._planned.items()
            if (left := count - self._ended[group].total()) and not (group.arm == "tuned" and group.cell in without)
        }

    def count_trials(self, phase: str, cell: Cell | None = None) -> tuple[int, Counter[str]]:
        """Return how many trials of a phase, or of a cell in it, are planned in all, and how many ended by status."""
        groups = [group for group in self._planned if group.phase == phase and cell in (None, group.cell)]
        ended = sum((self._ended[group] for group in groups), Counter())
        return sum(self._planned[group] for group in groups), ended

    def list_cells(self) -> list[tuple[str, Cell]]:
        """Return phases and cells that have trials, in the order of the plan."""
        return list(dict.fromkeys((group.phase, group.cell) for group in self._planned))

    def find_best(self, cell: Cell) -> Mapping[str, Any] | None:
        """Return the row of the best search trial of a cell that trained its full budget: what is confirmed."""
        return self._cells[cell].best if cell in self._cells else None

    def resolve_config(self, planned: PlannedTrial) -> TrialConfig | None:
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
        if planned.phase == "search" or planned.arm != "tuned":
            return True
        state = self._cells[planned.cell]
        return bool(state.searched and state.best)

    def find_lost_groups(self) -> list[Group]:
        """Return the groups whose trials have all ended without one that the tables can use.

        Those of a search that never trained its full budget, and others whose trials all failed: that trials diverge
        is a result.
        """
        return [
            group
            for group, count in self._planned.items()
            if self._ended[group].total() == count
            and (not self._state(group.cell).best if group.phase == "search" else self._ended[group]["failed"] == count)
        ]

    def list_blocked(self) -> list[PlannedTrial]:
        """Return the trials that cannot run, since the search of their cell found nothing to confirm."""
        return [planned for cell in self.list_cells_without_result() for planned in self._cells[cell].confirmations]

    def list_cells_without_result(self) -> list[Cell]:
        """Return the cells whose search is over without one trial that trained its full budget: not confirmable."""
        return [
            cell for cell, state in self._cells.items() if state.searched and state.confirmations and not state.best
        ]

    def _state(self, cell: Cell) -> _CellState:
        if cell not in self._cells:
            self._cells[cell] = _CellState(CellSearch(self.config, cell))
        return self._cells[cell]

    def _learn(self, row: Mapping[str, Any]) -> None:
        if row["phase"] != "search":
            return
        state = self._state(Cell(row["architecture"], row["code_size"]))
        state.search.tell(row)
        if row["status"] == "complete":
            best = state.best
            if best is None or row["validation_cross_entropy"] < best["validation_cross_entropy"]:
                state.best = row

    def _decide(self, state: _CellState) -> None:
        """Say what is confirmed once the search of a cell has ended, and count what the rows have of it already."""
        if state.decided or not state.searched or not state.best:
            return
        state.decided = True
        undecided, state.confirmations = state.confirmations, []
        for each in undecided:
            planned = dataclasses.replace(each, configuration=state.best["configuration"])
            if (row := self.rows.get(planned.trial_id)) is None:
                state.confirmations.append(planned)
            else:
                self.done += 1
                self._ended[planned.group][row["status"]] += 1

    def _find_waiting(self) -> list[PlannedTrial]:
        """Return the trials of which the last is the next to start; none where none can start now."""
        searching = max(self._cells.values(), key=lambda state: len(state.waiting), default=None)
        if searching is not None and searching.waiting:
            return searching.waiting
        for state in self._cells.values():
            if state.confirmations and state.searched and state.best:
                return state.confirmations
        return self._free
