"""Which trials a study plans: from its configuration and the rows at hand, the next one to run.

All search trials that can start come first, those of the cell with the most left before others; then cells are
confirmed whose search has ended, and ablated; then controls and the published arm, which wait for nothing. The first
seeds of all cells come before the second (on a GPU the first eight, which it trains together, before the ninth), so
that of a study that is cut short all models have about as many. Resuming is the same plan over more rows.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from study.config.search_space import Cell
from study.config.study_config import PUBLISHED_RECIPE, StudyConfig
from study.plan.planned_trial import (
    Group,
    PlannedTrial,
    keep_latest,
    make_control_config,
    make_trial_config,
    split_retry,
)
from study.plan.rates import choose_rate, plan_rates
from study.plan.rounds import (
    Winner,
    average_first_round,
    find_winner,
    is_grid,
    is_search_over,
    list_entrants,
    list_rounds,
    plan_round,
)
from study.plan.search import CellSearch, Suggestion
from study.plan.trials import plan_trials
from trainables.errors import InputError
from trainables.trial_config import TrialConfig


@dataclass(slots=True)
class _CellState:
    search: CellSearch
    searched: bool  # whether the search is over
    rounds: int = 0  # that have begun
    stages: list[list[int]] = field(default_factory=list)  # numbers of the round that wait for the stage, next one last
    waiting: list[PlannedTrial] = field(default_factory=list)  # search trials of the stage, the next one last
    running: int = 0
    left: int = 0  # search trials that have not ended, of all rounds
    suggestions: dict[int, Suggestion] = field(default_factory=dict)  # of the stage, in the first round
    best: dict[int, float] = field(default_factory=dict)  # what the search minimises, the lowest of a round
    winner: Winner | None = None
    confirmations: list[PlannedTrial] = field(default_factory=list)  # and ablations of the winner, the next one last
    levels: dict[Group, list[PlannedTrial]] = field(default_factory=dict)  # that wait for their learning rate


class Plan:
    """The state of a study in memory: what is planned, what is running, what the rows say.

    The search of a cell goes on by stages, the generations of its first round and each later round: a stage begins when
    all trials of the one before have ended, so that what it tries, and who goes on, does not depend on their order.

    Args:
        config: what is planned in all.
        finished: rows of `trials` at hand.
        retry_failed: whether trials that failed are tried anew; what they end with takes the place of their rows.
        extended: to how many seeds looks have brought models of the tuned arm, by name (`plan_trials`).

    Raises:
        InputError: nothing is planned at all.
    """

    def __init__(
        self,
        config: StudyConfig,
        finished: Iterable[Mapping[str, Any]],
        retry_failed: bool = False,
        extended: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.config, self.extended = config, extended
        self.rows = keep_latest(finished)
        self._retries: dict[str, int] = {}  # by the id that the plan has
        for planned_id, row in list(self.rows.items()) if retry_failed else ():
            if row["status"] == "failed" and row["phase"] in config.phases:
                self._retries[planned_id] = split_retry(row["trial_id"])[1] + 1
                del self.rows[planned_id]
        self.done = 0
        self.running: dict[str, PlannedTrial] = {}
        self._free: list[PlannedTrial] = []
        self._cells: dict[Cell, _CellState] = {}
        self._planned: Counter[Group] = Counter()
        self._ended: dict[Group, Counter[str]] = {}  # by status
        for planned in plan_trials(config, extended=extended):
            self._planned[planned.group] += 1
            self._ended.setdefault(planned.group, Counter())
            if planned.phase == "search":
                state = self._state(planned.cell)
                state.searched = False
                state.left += 1
            elif planned.arm == "tuned":
                self._state(planned.cell).confirmations.append(planned)
            elif not self._count_ended(planned):
                self._free.append(planned)
        if not self._planned and "ablate" not in config.phases:
            raise InputError(
                f"phase {' '.join(config.phases)} of {' '.join(config.architectures)} has no trial in the arms "
                f"{' '.join(config.arms)}",
                "a search of the arm tuned and of models, not of controls alone",
                "add confirm to --phase, or give other --architectures or --arms",
            )
        if not self._planned:
            raise InputError(
                f"phase ablate has no trial: factors {' '.join(config.factors)} of {' '.join(config.architectures)}",
                f"a factor that changes something of one of {', '.join(config.ablated_architectures)}",
                "give other --factors, --architectures or --arms, or a study file with other ablated_architectures",
            )
        self._free.reverse()
        for cell, state in self._cells.items():
            if state.searched:  # since none is planned; rows say whether one is over
                state.searched = is_search_over(config, cell, self.rows)
                state.winner = find_winner(config, cell, self.rows)
                self._decide(cell, state)
            else:
                self._advance(cell, state)

    @property
    def total(self) -> int:
        """How many trials are planned, done ones included."""
        return self._planned.total()

    def take(self, at_once: int = 1) -> tuple[list[PlannedTrial], TrialConfig | None] | None:
        """Return the next trial that can start now with its settings, and count it as running; None if none can.

        Of trained ones that are not validated it brings up to ``at_once`` in all that differ from it by seed only.
        """
        waiting = self._find_waiting()
        if not waiting:
            return None
        first = waiting.pop()
        trials = [first]
        if first.phase == "search":
            self._cells[first.cell].running += 1
        elif at_once > 1 and first.arm != "control" and not first.validated:
            trials += [planned for planned in reversed(waiting) if planned.group == first.group][: at_once - 1]
            for planned in trials[1:]:
                waiting.remove(planned)
        self.running |= {planned.trial_id: planned for planned in trials}
        return [self._name_retry(planned) for planned in trials], self.resolve_config(first)

    def finish(self, row: Mapping[str, Any]) -> None:
        """Count a running trial as done and learn from its row."""
        planned_id, _ = split_retry(row["trial_id"])
        planned = self.running.pop(planned_id)
        self.rows[planned_id] = row
        self._count_ended(planned)
        if planned.phase == "search":
            state = self._state(planned.cell)
            state.running -= 1
            self._advance(planned.cell, state)
        elif planned.validated:
            self._begin_levels(planned.cell, self._cells[planned.cell])

    @property
    def exhausted(self) -> bool:
        """Whether nothing runs and nothing more can start."""
        return not self.running and not self._find_waiting()

    def list_pending(self) -> list[PlannedTrial]:
        """Return the trials that are neither done nor running, those of later rounds as undecided."""
        known = self.rows.keys() | self.running.keys()
        planned = plan_trials(self.config, self.rows.values(), self.extended)
        return [self._name_retry(each) for each in planned if each.trial_id not in known]

    def list_runnable(self) -> list[PlannedTrial]:
        """Return the trials that `list_pending` does, those left out that cannot run."""
        blocked = {planned.trial_id for planned in self.list_blocked()}
        return [planned for planned in self.list_pending() if planned.trial_id not in blocked]

    def count_left(self) -> dict[Group, int]:
        """Return how many trials of each group have not ended, running ones included, those that cannot run left out.

        It costs as much as there are groups, not trials.
        """
        without = set(self.list_cells_without_result())
        return {
            group: left
            for group, count in self._planned.items()
            if (left := count - self._ended[group].total())
            and not (group.phase != "search" and group.arm == "tuned" and group.cell in without)
        }

    def count_trials(self, part: str, cell: Cell | None = None) -> tuple[int, Counter[str]]:
        """Return how many trials a part (`Group.part`) or a cell in it plans, and how many of them ended, by status."""
        groups = [group for group in self._planned if part == group.part and cell in (None, group.cell)]
        ended = sum((self._ended[group] for group in groups), Counter())
        return sum(self._planned[group] for group in groups), ended

    def list_parts(self) -> list[tuple[str, Cell]]:
        """Return parts and cells that have trials, in the order of the plan."""
        return list(dict.fromkeys((group.part, group.cell) for group in self._planned))

    def find_best(self, cell: Cell) -> tuple[int, float] | None:
        """Return the last round of a cell's search that has results, and the lowest of what it minimises."""
        best = self._cells[cell].best if cell in self._cells else {}
        return max(best.items(), default=None)

    def find_winner(self, cell: Cell) -> Winner | None:
        """Return the search trial of a cell that is confirmed; None before its search has ended."""
        return self._cells[cell].winner if cell in self._cells else None

    def resolve_config(self, planned: PlannedTrial) -> TrialConfig | None:
        """Return the settings of a trial that `can_start`, None for a control that trains nothing."""
        if planned.arm == "control":
            return make_control_config(self.config, planned.cell)
        if planned.arm == "published":
            return make_trial_config(self.config, planned.cell, PUBLISHED_RECIPE, epochs=planned.epochs)
        state = self._cells[planned.cell]
        if planned.phase == "search":
            suggestion = self._find_suggestion(planned, state)
        else:
            assert state.winner is not None
            suggestion = _read_suggestion(state.winner.row)
        trial_config = make_trial_config(
            self.config,
            planned.cell,
            self.config.recipe,
            suggestion.learning_rate,
            suggestion.filters,
            planned.epochs,
            suggestion.weight_decay,
            suggestion.settings,
        )
        if planned.level is None:
            return trial_config
        changed = planned.level.apply(trial_config)
        factor = 1.0 if planned.rate_factor is None else planned.rate_factor
        return dataclasses.replace(changed, learning_rate=changed.learning_rate * factor)

    def list_columns(self, planned: PlannedTrial) -> dict[str, Any]:
        """Return the columns of a trial of the tuned arm that say what the search had to do with it."""
        if planned.arm != "tuned":
            return {}
        state = self._cells[planned.cell]
        if planned.phase == "search":
            suggestion = self._find_suggestion(planned, state)
            return {
                "round": planned.round,
                "sampler": "grid" if is_grid(self.config) else self.config.sampler,
                "budget_share": suggestion.budget_share,
                "filters_ratio": suggestion.filters_ratio,
            }
        winner = state.winner
        assert winner is not None
        return {"round": planned.round, "winner": winner.number, "winner_gain": winner.gain}

    def can_start(self, planned: PlannedTrial) -> bool:
        """Whether all is known that ``planned`` depends on: earlier stages of its search, who won it, its own rate."""
        if planned.arm != "tuned":
            return True
        state = self._cells[planned.cell]
        if planned.phase == "search":
            return dataclasses.replace(planned, retry=0) in state.waiting
        retuned = planned.level is not None and planned.level.retuned
        return state.winner is not None and not (retuned and planned.rate_factor is None)

    def find_lost_groups(self) -> list[Group]:
        """Return the groups whose trials have all ended without one that the tables can use.

        Those of a search without a winner, or what follows from it where it is not planned, and others whose trials all
        failed: that trials diverge is a result.
        """
        without = set(self.list_cells_without_result())
        follows = () if "search" in self.config.phases else without
        final = list_rounds(self.config)[-1].number
        return [
            group
            for group, count in self._planned.items()
            if (
                group.cell in without and group.round == final
                if group.phase == "search"
                else (group.arm == "tuned" and group.cell in follows)
                or self._ended[group].total() == self._ended[group]["failed"] == count
            )
        ]

    def list_blocked(self) -> list[PlannedTrial]:
        """Return the trials that cannot run, since the search of their cell found nothing to confirm."""
        return [planned for cell in self.list_cells_without_result() for planned in self._cells[cell].confirmations]

    def list_cells_without_result(self) -> list[Cell]:
        """Return the cells whose search is over without a winner: not confirmable."""
        return [cell for cell, state in self._cells.items() if state.searched and not state.winner]

    def list_unsearched_cells(self) -> list[Cell]:
        """Return the cells whose search is not over, whether it is planned or not."""
        return [cell for cell, state in self._cells.items() if not state.searched]

    def _name_retry(self, planned: PlannedTrial) -> PlannedTrial:
        return dataclasses.replace(planned, retry=self._retries.get(planned.trial_id, 0))

    def _state(self, cell: Cell) -> _CellState:
        if cell not in self._cells:
            self._cells[cell] = _CellState(CellSearch(self.config, cell), searched=True)
        return self._cells[cell]

    def _count_ended(self, planned: PlannedTrial) -> bool:
        """Count a planned trial as done if its row is there; return whether it is."""
        row = self.rows.get(planned.trial_id)
        if row is None:
            return False
        self.done += 1
        self._ended[planned.group][row["status"]] += 1
        if planned.phase == "search" and planned.round is not None:
            state = self._cells[planned.cell]
            state.left -= 1
            if row["status"] == "complete":
                value = row[self.config.search_column]
                state.best[planned.round] = min(value, state.best.get(planned.round, value))
        return True

    def _advance(self, cell: Cell, state: _CellState) -> None:
        """Begin the next stage of a cell's search when the one before has ended, or say who won."""
        rounds = list_rounds(self.config)
        while not (state.waiting or state.running or state.searched):
            if state.stages:
                self._begin_stage(cell, state)
            elif state.rounds < len(rounds):
                self._begin_round(cell, state)
            else:
                state.searched = True
                state.winner = find_winner(self.config, cell, self.rows)
                self._decide(cell, state)

    def _begin_round(self, cell: Cell, state: _CellState) -> None:
        each = list_rounds(self.config)[state.rounds]
        numbers = list_entrants(self.config, cell, self.rows)[state.rounds]
        assert numbers is not None
        planned = plan_round(self.config, cell, each, numbers)
        if planned:
            self._planned[planned[0].group] = len(planned)
        else:  # Nobody is left for the round: all trials of the one before diverged or failed.
            for group in [group for group in self._planned if (group.cell, group.round) == (cell, each.number)]:
                del self._planned[group]
        size = self.config.generation_size if state.rounds == 0 and not is_grid(self.config) else len(numbers) or 1
        state.stages = [numbers[start : start + size] for start in range(0, len(numbers), size)][::-1]
        state.rounds += 1

    def _begin_stage(self, cell: Cell, state: _CellState) -> None:
        numbers = state.stages.pop()
        planned = plan_round(self.config, cell, list_rounds(self.config)[state.rounds - 1], numbers)
        state.waiting = [each for each in planned if not self._count_ended(each)][::-1]
        if state.rounds == 1 and state.waiting:
            results = [average_first_round(self.config, cell, number, self.rows) for number in range(numbers[0])]
            state.suggestions = state.search.suggest(numbers, results)

    def _find_suggestion(self, planned: PlannedTrial, state: _CellState) -> Suggestion:
        """Return what a search trial tries: suggested for this stage, or in the first round, whose row says it."""
        if state.rounds == 1:
            return state.suggestions[planned.number]
        row, _ = average_first_round(self.config, planned.cell, planned.number, self.rows)
        return _read_suggestion(row)

    def _decide(self, cell: Cell, state: _CellState) -> None:
        """Say what is confirmed, once it is known, and count what the rows have of it already."""
        if state.winner is None:
            return
        found = state.winner.row["configuration"]
        named = [dataclasses.replace(planned, configuration=found) for planned in state.confirmations]
        state.confirmations = []
        for planned in named:
            if planned.level is not None and planned.level.retuned and not planned.validated:
                state.levels.setdefault(planned.group, []).append(planned)
            elif not self._count_ended(planned):
                state.confirmations.insert(0, planned)
        self._begin_levels(cell, state)

    def _begin_levels(self, cell: Cell, state: _CellState) -> None:
        """Let the levels start whose learning rate is known by now, after what can start already."""
        assert state.winner is not None
        found = state.winner.row["configuration"]
        for group, waiting in list(state.levels.items()):
            factor, level = waiting[0].factor, waiting[0].level
            assert factor is not None and level is not None
            rate_factor = choose_rate(plan_rates(self.config, cell, factor, level, found), self.rows)
            if rate_factor is None:
                continue
            del state.levels[group]
            named = [dataclasses.replace(planned, rate_factor=rate_factor) for planned in waiting]
            state.confirmations[:0] = [planned for planned in named if not self._count_ended(planned)][::-1]

    def _find_waiting(self) -> list[PlannedTrial]:
        """Return the trials of which the last is the next to start; none where none can start now."""
        able = (state for state in self._cells.values() if state.waiting)
        searching = max(able, key=lambda state: state.left - state.running, default=None)
        if searching is not None:
            return searching.waiting
        cells = [state.confirmations for state in self._cells.values() if state.confirmations and state.winner]
        return min(cells, key=lambda waiting: (waiting[-1].phase == "ablate", waiting[-1].number), default=self._free)


def _read_suggestion(row: Mapping[str, Any]) -> Suggestion:
    """Return what the search trial of a row tried."""
    filters = (row["filters_1"], row["filters_2"]) if row["filters_1"] else None
    settings = json.loads(row["module_settings"]) if row.get("module_settings") else None
    share, ratio, decay = row["budget_share"], row["filters_ratio"], row["weight_decay"]
    return Suggestion(row["learning_rate"], filters, share, ratio, decay, settings)
