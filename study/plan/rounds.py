"""The rounds of a search: which trials train how long, which go on, and which wins.

Round 1 trains every trial of a cell for a ninth of the epochs, round 2 the best third of them for a third, round 3 the
finalists for all, each with several validation seeds. Every training begins anew and has a whole schedule of its own,
so a short one tells what a long one would: a long one that is looked at before its learning rate has fallen does not.
What goes on depends on the rows of the round before and on nothing else: not on which ended first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study.config.search_space import LEAST_SAMPLED_TRIALS, Cell
from study.config.study_config import StudyConfig
from study.plan.planned_trial import PlannedTrial

LEAST_EPOCHS = 2
"""Epochs of round 1 at least: less than a warm-up and a decay is no training."""

FINAL = 3
"""Number of the round of the finalists, also where there is no other."""

GAIN_COLUMN = "validation_cross_entropy"
"""Of what rows say by how much a winner is better than trial 0 (`winner_gain`), in nats per image in every study."""

Rows = Mapping[str, Mapping[str, Any]]
"""Rows of `trials` by id."""


@dataclass(frozen=True, slots=True)
class Round:
    """A round of a cell's search: how many trials train how many epochs, each with how many seeds."""

    number: int
    epochs: int
    trials: int
    seeds: int


@dataclass(frozen=True, slots=True)
class Winner:
    """The trial of a search that is confirmed.

    ``mean`` is what its search minimises, over the seeds of the last round. ``gain`` is by how much its mean validation
    cross-entropy (nats/image) over them is lower than that of trial 0, whatever was minimised: below 0 where another
    metric chose a trial whose cross-entropy is higher; None where trial 0 has none.
    """

    number: int
    row: Mapping[str, Any]
    mean: float
    gain: float | None


def list_rounds(config: StudyConfig) -> tuple[Round, ...]:
    """Return the rounds of every cell's search.

    A round that would leave nobody out, or train as long as the one after it, is none: its trials go to the next.
    """
    finalists = min(config.finalists, config.trials)
    first = max(LEAST_EPOCHS, round(config.epochs / 9))
    second = max(first, round(config.epochs / 3))
    if finalists == config.trials or first >= config.epochs:
        return (_make_final(config, config.trials),)
    third = math.ceil(config.trials / 3)
    rounds = [Round(1, first, config.trials, 1)]
    if third > finalists and first < second < config.epochs:
        rounds.append(Round(2, second, third, 1))
    return (*rounds, _make_final(config, finalists))


def _make_final(config: StudyConfig, trials: int) -> Round:
    # A single finalist wins whatever its mean.
    return Round(FINAL, config.epochs, trials, config.validation_seeds if trials > 1 else 1)


def name_part(part: str, config: StudyConfig) -> str:
    """Return the name of a `Group.part` for who reads it: the last round is of the finalists, or all of a search."""
    if part != f"search, round {FINAL}":
        return part
    return "search, finalists" if len(list_rounds(config)) > 1 else "search"


def is_grid(config: StudyConfig) -> bool:
    """Whether the trials of a cell are too few for a sampler."""
    return config.trials < LEAST_SAMPLED_TRIALS


def list_entrants(config: StudyConfig, cell: Cell, rows: Rows) -> list[list[int] | None]:
    """Return for each round the numbers of the trials that enter it, in order; None where that is not known yet."""
    entrants: list[list[int] | None] = [list(range(config.trials))]
    rounds = list_rounds(config)
    for before, after in itertools.pairwise(rounds):
        numbers = entrants[-1]
        if numbers is None or not _has_ended(config, cell, before, numbers, rows):
            entrants.append(None)
            continue
        best = _rank(config, cell, before, numbers, rows)[: after.trials]
        if after.number == FINAL and 0 not in best:
            best = [0, *best[: after.trials - 1]]
        entrants.append(sorted(best))
    return entrants


def plan_round(config: StudyConfig, cell: Cell, each: Round, numbers: Sequence[int]) -> list[PlannedTrial]:
    """Return the trials of a round that these numbers enter."""
    return [
        _plan_trial(config, cell, each, number, seed_number) for number in numbers for seed_number in _list_seeds(each)
    ]


def plan_undecided(config: StudyConfig, cell: Cell, each: Round) -> list[PlannedTrial]:
    """Return as many trials as a round will have at most, of which nobody knows yet what they are."""
    return [
        _plan_trial(config, cell, each, place, seed_number, decided=False)
        for place in range(each.trials)
        for seed_number in _list_seeds(each)
    ]


def is_search_over(config: StudyConfig, cell: Cell, rows: Rows) -> bool:
    """Whether every trial of the cell's search has ended, with a result or without."""
    final, finalists = list_rounds(config)[-1], list_entrants(config, cell, rows)[-1]
    return finalists is not None and _has_ended(config, cell, final, finalists, rows)


def find_winner(config: StudyConfig, cell: Cell, rows: Rows) -> Winner | None:
    """Return the finalist with the lowest mean; None before the search has ended, or where nothing trained to its end.

    One of whose seeds some did not complete comes behind those of which all did.
    """
    if not is_search_over(config, cell, rows):
        return None
    final, finalists = list_rounds(config)[-1], list_entrants(config, cell, rows)[-1]
    ranked = _rank(config, cell, final, finalists or (), rows)
    if not ranked:
        return None
    ended = _list_rows(config, cell, final, ranked[0], rows)
    complete = [row for row in ended if row["status"] == "complete"]
    first = _compute_mean(_list_rows(config, cell, final, 0, rows), GAIN_COLUMN)
    gain = None if math.isinf(first) else first - _compute_mean(ended, GAIN_COLUMN)
    return Winner(ranked[0], complete[0], _compute_mean(ended, config.search_column), gain)


def average_first_round(config: StudyConfig, cell: Cell, number: int, rows: Rows) -> tuple[Mapping[str, Any], float]:
    """Return the row of a trial of the first round, which has ended, and what the search minimises of it.

    It is the mean over seeds, infinite where no seed completed.
    """
    ended = _list_rows(config, cell, list_rounds(config)[0], number, rows)
    return ended[0], _compute_mean(ended, config.search_column)


def _list_seeds(each: Round) -> Sequence[int | None]:
    return range(1, each.seeds + 1) if each.number == FINAL else (None,)


def _plan_trial(
    config: StudyConfig, cell: Cell, each: Round, number: int, seed_number: int | None, decided: bool = True
) -> PlannedTrial:
    seed = config.search_seed(number) if seed_number is None else config.validation_seed(seed_number)
    return PlannedTrial(
        "search",
        "tuned",
        cell,
        number,
        seed,
        each.epochs,
        round=each.number,
        seed_number=seed_number,
        grid=is_grid(config),
        decided=decided,
    )


def _has_ended(config: StudyConfig, cell: Cell, each: Round, numbers: Sequence[int], rows: Rows) -> bool:
    return all(planned.trial_id in rows for planned in plan_round(config, cell, each, numbers))


def _list_rows(config: StudyConfig, cell: Cell, each: Round, number: int, rows: Rows) -> list[Mapping[str, Any]]:
    return [rows[planned.trial_id] for planned in plan_round(config, cell, each, [number])]


def _rank(config: StudyConfig, cell: Cell, each: Round, numbers: Sequence[int], rows: Rows) -> list[int]:
    """Return the numbers that have a result, the best first: what comes first of equals has the lower number."""

    def key(number: int) -> tuple[int, float, int]:
        ended = _list_rows(config, cell, each, number, rows)
        complete = [row["status"] == "complete" for row in ended]
        return complete.count(False), _compute_mean(ended, config.search_column), number

    return sorted((number for number in numbers if math.isfinite(key(number)[1])), key=key)


def _compute_mean(ended: Sequence[Mapping[str, Any]], column: str) -> float:
    """Return the mean of a column over the seeds that completed; infinite where none did."""
    values = [float(row[column]) for row in ended if row["status"] == "complete"]
    return math.fsum(values) / len(values) if values else math.inf
