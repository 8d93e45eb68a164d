"""One Optuna study a cell: suggests its search trials and learns from their rows."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from study.config.search_space import FILTERS_RANGE, STARTUP_TRIALS, Cell, widest, within_budget
from study.config.study_config import StudyConfig
from study.plan.trials import make_trial_config
from study.storage.schema import OPTUNA_STATES
from trainables.trial_config import TrialConfig

optuna.logging.set_verbosity(optuna.logging.WARNING)

_RANKED = (TrialState.COMPLETE, TrialState.PRUNED)

MOST_TRIALS = 200
"""Ended trials from which a suggestion is made at most, since TPE's time grows with them; more are thinned out."""

BEST_TRIALS = 25
"""The best of them, which always stay: TPE's model of what is good has no more. Of the others every second stays."""


class CellSearch:
    """The search of one cell: TPE over learning rate and, within the parameter budget, filter counts.

    A suggestion is seeded by (base seed, cell, number) and made from the rows known by then, so a search that is
    rebuilt from rows goes on where it was.
    """

    def __init__(self, config: StudyConfig, cell: Cell) -> None:
        self.config, self.cell = config, cell
        self._row = config.architecture(cell.architecture)
        self._recipe = config.tuned_recipe
        self._make_config = partial(make_trial_config, config, cell, config.recipe)
        self._study = optuna.create_study(direction="minimize")
        self._asked: dict[int, optuna.Trial] = {}
        self._ended = 0

    def suggest(self, number: int) -> TrialConfig:
        """Return the settings of search trial ``number``, from 0; the first is the published point."""
        entropy = [self.config.seed, zlib.crc32(str(self.cell).encode()), number]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=False, constant_liar=True
        )
        published = self._row.published_filters
        if number == 0:
            point: dict[str, Any] = {"learning_rate": self._make_config().learning_rate}
            if published and within_budget(self._row, self.cell.code_size, published):
                point |= {"filters_1": published[0], "filters_2": published[1]}
            self._study.enqueue_trial(point)
        trial = self._study.ask()
        self._asked[number] = trial
        learning_rate = trial.suggest_float("learning_rate", *self._recipe.learning_rate_range, log=True)
        if published is None:
            return self._make_config(learning_rate)
        filters_1 = trial.suggest_int("filters_1", *self._filters_range(), log=True)
        filters_2 = trial.suggest_int("filters_2", *self._filters_range(filters_1), log=True)
        return self._make_config(learning_rate, (filters_1, filters_2))

    def tell(self, row: Mapping[str, Any]) -> None:
        """Learn how a search trial of this cell ended, from its row of `trials`."""
        state = TrialState[OPTUNA_STATES[row["status"]]]
        value = row["validation_cross_entropy"]
        known = value is not None and state != TrialState.FAIL
        trial = self._asked.pop(row["number"], None)
        if trial is None:
            distributions = self._make_distributions(row)
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=state,
                    value=value if known else None,  # Optuna gives a pruned trial its last value, too.
                    params={name: row[name] for name in distributions},
                    distributions=distributions,
                    intermediate_values={row["epochs"]: value} if known else {},
                )
            )
        else:
            if known:
                trial.report(value, row["epochs"])
            self._study.tell(trial, value if state == TrialState.COMPLETE else None, state=state)
        self._ended += 1
        if self._ended > MOST_TRIALS:
            self._thin_out()

    def _thin_out(self) -> None:
        """Go on with a new Optuna study of the best trials, every second of the others, and those that run."""
        trials = self._study.get_trials(deepcopy=False)
        ended = sorted((trial for trial in trials if trial.state in _RANKED), key=_rank)
        self._study = optuna.create_study(direction="minimize")
        self._study.add_trials(sorted(ended[:BEST_TRIALS] + ended[BEST_TRIALS::2], key=lambda trial: trial.number))
        self._ended = len(self._study.get_trials(deepcopy=False))
        for number, trial in self._asked.items():
            self._study.add_trial(trials[trial.number])
            self._asked[number] = optuna.Trial(self._study, self._study.get_trials(deepcopy=False)[-1]._trial_id)

    def _make_distributions(self, row: Mapping[str, Any]) -> dict[str, BaseDistribution]:
        distributions: dict[str, BaseDistribution] = {
            "learning_rate": FloatDistribution(*self._recipe.learning_rate_range, log=True)
        }
        if row["filters_1"] is not None:
            distributions["filters_1"] = IntDistribution(*self._filters_range(), log=True)
            distributions["filters_2"] = IntDistribution(*self._filters_range(row["filters_1"]), log=True)
        return distributions

    def _filters_range(self, filters_1: int | None = None) -> tuple[int, int]:
        """Return the range of the first count, or of the second, in which no suggestion is over the budget."""
        return FILTERS_RANGE[0], widest(self._row, self.cell.code_size, filters_1)


def _rank(trial: optuna.trial.FrozenTrial) -> tuple[bool, int, float]:
    """Order trials as TPE does: complete ones by value, then pruned ones, those first that came farthest."""
    if trial.state == TrialState.COMPLETE:
        assert trial.value is not None
        return (False, 0, trial.value)
    step = trial.last_step
    return (True, 0, float("inf")) if step is None else (True, -step, trial.intermediate_values[step])
