"""Every trial of a study, finished or not, as its configuration says: what the launcher runs and a report misses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from study.config.ablations import Level, explain_skip, make_factors
from study.config.search_space import Cell
from study.config.study_config import StudyConfig
from study.plan.planned_trial import PlannedTrial, keep_latest, make_trial_config
from study.plan.rates import choose_rate, plan_rates
from study.plan.rounds import find_winner, list_entrants, list_rounds, plan_round, plan_undecided
from trainables.models.architectures import CONTROLS
from trainables.training.objectives import RECONSTRUCTION


def list_cells(config: StudyConfig) -> list[Cell]:
    """Return the cells of the study, in the order of its plan."""
    return [cell for size in config.code_sizes for cell in config.list_cells(size)]


def plan_trials(
    config: StudyConfig, rows: Iterable[Mapping[str, Any]] = (), extended: Mapping[str, int] = MappingProxyType({})
) -> Iterator[PlannedTrial]:
    """Yield every trial that the study plans, finished or not, in the order of phases.

    Which trials enter later rounds of a search, and what is confirmed and ablated, follows from ``rows`` of `trials`;
    what does not yet is there, too, as undecided. ``extended`` says to how many seeds looks have brought models of the
    tuned arm, by name, at every code size; other models have the seeds of the configuration.
    """
    by_id = keep_latest(rows)
    cells = list_cells(config)
    if "search" in config.phases and "tuned" in config.arms:
        searches = [plan_search(config, cell, by_id) for cell in cells]
        for place in range(max(map(len, searches), default=0)):
            yield from (search[place] for search in searches if place < len(search))
    confirmed = find_confirmed(config, by_id) if by_id else {}
    if "confirm" in config.phases:
        planned = config.list_controls()
        fixed = [Cell(row.name, row.fixed_code_size) for row in planned if row.fixed_code_size]
        controls = fixed + [
            Cell(row.name, size) for row in planned if not row.fixed_code_size for size in config.code_sizes
        ]
        for number in range(1, config.seeds + 1):
            for cell in controls:
                epochs = config.epochs if CONTROLS[cell.architecture].trained else 0
                yield PlannedTrial("confirm", "control", cell, number, config.confirm_seed(number), epochs)
        for arm in [arm for arm in ("published", "tuned") if arm in config.arms]:
            added = extended if arm == "tuned" else {}
            seeds = {
                cell: max(config.count_seeds(arm, cell.code_size), added.get(cell.architecture, 0)) for cell in cells
            }
            for number in range(1, max(seeds.values(), default=0) + 1):
                for cell in cells:
                    seed = config.confirm_seed(number)
                    if number > seeds[cell]:
                        continue
                    if arm == "tuned":
                        found = confirmed.get(cell)
                        yield PlannedTrial("confirm", arm, cell, number, seed, config.epochs, configuration=found)
                    # The classic auto-encoder is a control: nothing of it is published by the paper's authors, nor is
                    # another objective.
                    elif config.architecture(cell.architecture).published_filters and cell.objective == RECONSTRUCTION:
                        yield PlannedTrial("confirm", arm, cell, number, seed, config.published_epochs)

    if "ablate" in config.phases and "tuned" in config.arms:
        for cell in config.ablated_cells:
            for factor, level, reason in _list_levels(config, cell):
                if reason is None:
                    yield from _plan_level(config, cell, factor, level, confirmed.get(cell), by_id)


def _plan_level(
    config: StudyConfig, cell: Cell, factor: str, level: Level, found: str | None, rows: Mapping[str, Mapping[str, Any]]
) -> Iterator[PlannedTrial]:
    rate_factor = None
    if level.retuned:
        rates = plan_rates(config, cell, factor, level, found)
        yield from rates
        rate_factor = choose_rate(rates, rows)
    for number in range(1, config.seeds + 1):
        yield PlannedTrial(
            "ablate",
            "tuned",
            cell,
            number,
            config.confirm_seed(number),
            config.epochs,
            factor,
            level,
            configuration=found,
            rate_factor=rate_factor,
        )


def plan_search(config: StudyConfig, cell: Cell, rows: Mapping[str, Mapping[str, Any]]) -> list[PlannedTrial]:
    """Return the search trials of a cell, round by round."""
    planned = []
    for each, numbers in zip(list_rounds(config), list_entrants(config, cell, rows), strict=True):
        planned += plan_undecided(config, cell, each) if numbers is None else plan_round(config, cell, each, numbers)
    return planned


def find_confirmed(config: StudyConfig, rows: Mapping[str, Mapping[str, Any]]) -> dict[Cell, str]:
    """Return the configuration that is confirmed of each cell whose search has ended with one; ``rows`` are by id."""
    winners = {cell: find_winner(config, cell, rows) for cell in list_cells(config)}
    return {cell: str(winner.row["configuration"]) for cell, winner in winners.items() if winner}


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
            "objective": cell.objective,
            "reason": reason,
        }
        for cell in config.ablated_cells
        for factor, level, reason in _list_levels(config, cell)
        if reason
    ]


def list_skipped_cells(config: StudyConfig) -> list[dict[str, Any]]:
    """Return the combinations of architecture and objective that do not fit, each with its reason."""
    return [
        {"architecture": architecture, "objective": objective, "reason": reason}
        for architecture, objective in config.list_combinations()
        if (reason := config.find_objective(objective).find_misfit(config.architecture(architecture)))
    ]


def _list_levels(config: StudyConfig, cell: Cell) -> Iterator[tuple[str, Level, str | None]]:
    """Yield factor, level and, where the level is skipped, the reason; known before the search has found the base."""
    base, row = make_trial_config(config, cell, config.recipe), config.architecture(cell.architecture)
    objectives = config.known_objectives
    factors = make_factors(objectives)
    for factor in config.factors:
        for level in factors[factor]:
            yield factor, level, explain_skip(factor, level, base, row, objectives)
