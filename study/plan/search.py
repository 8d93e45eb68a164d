"""What the search of a cell tries: Optuna's suggestions in generations, or a grid where the trials are few."""

from __future__ import annotations

import dataclasses
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from study.config.module_space import make_distributions
from study.config.search_space import (
    BUDGET_SHARE_RANGE,
    FILTERS_RATIO_RANGE,
    RATE_FACTORS,
    Cell,
    choose_filters,
    measure_filters,
    within_budget,
)
from study.config.study_config import StudyConfig
from study.plan.rounds import is_grid
from trainables.models.architectures import Filters

optuna.logging.set_verbosity(optuna.logging.WARNING)

STARTUP_TRIALS = 5
"""Trials of a cell from whose results a sampler's model begins to decide; before, it draws at random."""

MOST_TRIALS = 200
"""Results from which a suggestion is made at most, since a sampler's time grows with them; of more, the best half of so
many and an even sample of the others."""

MORE_RATE_FACTORS = (0.55, 1.7, 0.17, 0.1, 0.055, 0.75, 1.3, 2.2)
"""With what a grid goes on after `RATE_FACTORS` for a model of which nothing else is searched; others have
`GRID_FILTERS`, modules with a space random draws of it, at the recipe's rate. What a grid would try a second time has
the next of these factors instead: near the edge of a recipe's range several are one rate."""

GRID_FILTERS = ((1.0, 1.0), (0.5, 1.0), (1.0, 2.0), (1.0, 0.5), (0.75, 1.0))
"""Shares of the parameter budget, and ratios of the filter counts over the published one, at the recipe's rate."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Settings of a search trial with the coordinates from which they follow, None where no filters are searched.

    The weight decay is None where it is the recipe's own, ``settings`` of what is no module of the user's own.
    """

    learning_rate: float
    filters: Filters | None = None
    budget_share: float | None = None
    filters_ratio: float | None = None
    weight_decay: float | None = None
    settings: Mapping[str, Any] | None = None

    def trains_as(self, other: Suggestion) -> bool:
        """Whether the other has the same settings, from whichever coordinates they follow."""
        same = (self.filters, self.weight_decay, self.settings) == (other.filters, other.weight_decay, other.settings)
        return same and math.isclose(self.learning_rate, other.learning_rate)


Result = tuple[Mapping[str, Any], float]
"""The row of a trial and what the search minimises of it, infinite where it has none."""


class CellSearch:
    """The search of one cell: over share of the parameter budget, ratio of filter counts, learning rate, weight decay.

    Of a module of the user's own it is over the learning rate, the weight decay and the module's own space.

    A generation's suggestions follow from the results of earlier generations in the order of their numbers, seeded by
    (base seed, cell, number): they are the same whatever ended first, and in a study that goes on from its rows.
    """

    def __init__(self, config: StudyConfig, cell: Cell) -> None:
        self.config, self.cell = config, cell
        self._row = config.architecture(cell.architecture)
        self._recipe = recipe = config.find_recipe(cell.architecture)
        self._rate = recipe.training(self._row.activation)["learning_rate"]
        self._outputs = config.find_objective(cell.objective).outputs_per_unit
        self._choose = partial(
            choose_filters,
            self._row,
            cell.code_size,
            multiply_adds=config.multiply_adds_budget,
            outputs_per_unit=self._outputs,
        )
        self._distributions: dict[str, BaseDistribution] = {
            "learning_rate": FloatDistribution(*recipe.learning_rate_range, log=True)
        }
        if recipe.weight_decay_range:
            self._distributions["weight_decay"] = FloatDistribution(*recipe.weight_decay_range, log=True)
        if self._row.published_filters:
            self._distributions |= {
                "budget_share": FloatDistribution(*BUDGET_SHARE_RANGE),
                "filters_ratio": FloatDistribution(*FILTERS_RATIO_RANGE, log=True),
            }
        self._space = make_distributions(self._row)
        self._distributions |= self._space

    def suggest(self, numbers: Sequence[int], results: Sequence[Result]) -> dict[int, Suggestion]:
        """Return what the trials of one generation try, by number; trial 0 is the published point.

        Args:
            numbers: of the generation.
            results: of the trials of all earlier generations, by number.
        """
        if is_grid(self.config):
            grid = self._make_grid()
            return {number: grid[number] for number in numbers}
        optuna_study = optuna.create_study(direction="minimize")
        optuna_study.add_trials([self._make_trial(*result) for result in thin_out(results)])
        suggestions = {}
        for number in numbers:
            if number == 0:
                suggestions[0] = self._suggest_published()
                continue
            optuna_study.sampler = make_sampler(self.config.sampler, self._make_seed(number))
            # A trial that was asked for is taken for one that runs: the next does not come too near.
            suggestions[number] = self._make_suggestion(optuna_study.ask(self._distributions).params)
        return suggestions

    def _make_seed(self, number: int) -> int:
        entropy = [self.config.seed, zlib.crc32(str(self.cell).encode()), number]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0])

    def _make_suggestion(self, params: Mapping[str, float]) -> Suggestion:
        rate, decay = params["learning_rate"], params.get("weight_decay")
        if "budget_share" not in params:
            return Suggestion(rate, weight_decay=decay, settings=self._complete_settings(params))
        share, ratio = params["budget_share"], params["filters_ratio"]
        return Suggestion(rate, self._choose(share, ratio), share, ratio, decay)

    def _complete_settings(self, params: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return what a module is given: its first settings, but for those that ``params`` choose."""
        if self._row.settings is None:
            return None
        return {**self._row.settings, **{name: params[name] for name in self._space}}

    def _suggest_published(self) -> Suggestion:
        """Return the recipe's rate at the published filter counts, or at the widest of their ratio within budget."""
        filters = self._row.published_filters
        if filters is None:
            return Suggestion(self._rate, settings=self._row.settings)
        code_size, most = self.cell.code_size, self.config.multiply_adds_budget
        if not within_budget(self._row, code_size, filters, most, outputs_per_unit=self._outputs):
            filters = self._choose(1.0, filters[1] / filters[0])
        return Suggestion(self._rate, filters, *measure_filters(self._row, code_size, filters, self._outputs))

    def _make_grid(self) -> list[Suggestion]:
        """Return what the trials of a grid try, by number, the same whatever their count: nothing twice."""
        first, more = self._suggest_published(), iter(MORE_RATE_FACTORS)
        grid = [self._scale_rate(first, factor) for factor in RATE_FACTORS]
        for number in range(len(grid), self.config.trials):
            suggestion = self._pick_from_grid(number, first)
            while suggestion is None or any(suggestion.trains_as(earlier) for earlier in grid):
                suggestion = self._scale_rate(first, next(more))
            grid.append(suggestion)
        return grid

    def _scale_rate(self, suggestion: Suggestion, factor: float) -> Suggestion:
        rate = _clip(self._rate * factor, self._recipe.learning_rate_range)
        return dataclasses.replace(suggestion, learning_rate=rate)

    def _pick_from_grid(self, number: int, first: Suggestion) -> Suggestion | None:
        """Return what a grid tries besides learning rates, None where nothing else is searched."""
        if self._space:  # of any kind, so that there are no steps to go: drawn
            drawn = optuna.create_study(sampler=RandomSampler(self._make_seed(number))).ask(self._space)
            return Suggestion(self._rate, settings=self._complete_settings(drawn.params))
        if first.filters_ratio is None:
            return None
        share, factor = GRID_FILTERS[number - len(RATE_FACTORS)]
        ratio = _clip(first.filters_ratio * factor, FILTERS_RATIO_RANGE)
        return Suggestion(self._rate, self._choose(share, ratio), share, ratio)

    def _make_trial(self, row: Mapping[str, Any], value: float) -> FrozenTrial:
        """Return an ended trial as Optuna has it, with coordinates within the ranges, where trial 0's may not be."""
        ranges = {
            name: (each.low, each.high)  # type: ignore[attr-defined]
            for name, each in self._distributions.items()
            if name not in self._space
        }
        settings = json.loads(row["module_settings"]) if self._space else {}
        failed = math.isinf(value)
        return optuna.trial.create_trial(
            state=TrialState.FAIL if failed else TrialState.COMPLETE,
            value=None if failed else value,
            params={name: _clip(row[name], of) for name, of in ranges.items()}
            | {name: settings[name] for name in self._space},
            distributions=self._distributions,
        )


def make_sampler(name: str, seed: int) -> BaseSampler:
    """Return Optuna's sampler of that name, of `study.config.search_space.SAMPLERS`."""
    if name == "random":
        return RandomSampler(seed=seed)
    if name == "gp":
        return GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
    return TPESampler(
        seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=name == "multivariate_tpe", constant_liar=True
    )


def thin_out(results: Sequence[Result]) -> Sequence[Result]:
    """Return at most `MOST_TRIALS` results in their order: the best half of so many, and every so-many-th other."""
    if len(results) <= MOST_TRIALS:
        return results
    ranked = sorted(range(len(results)), key=lambda place: (results[place][1], place))
    best, others = ranked[: MOST_TRIALS // 2], sorted(ranked[MOST_TRIALS // 2 :])
    spread = np.linspace(0, len(others) - 1, MOST_TRIALS - len(best)).round().astype(int)
    return [results[place] for place in sorted([*best, *(others[each] for each in spread)])]


def _clip(value: float, limits: tuple[float, float]) -> float:
    return min(max(value, limits[0]), limits[1])
