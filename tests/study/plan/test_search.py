"""One Optuna study a cell: suggestions, budget, states."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.trial import TrialState

import study.plan.search
from study.config.search_space import PARAMETER_BUDGET, Cell
from study.plan.search import CellSearch
from study.plan.trials import plan_trials
from tests.studies import row_of, small_config
from trainables.models.architectures import BUILT_IN
from trainables.models.layers import count_parameters
from trainables.trial_config import TrialConfig


def searched(cell: Cell, count: int, statuses: list[str] | None = None) -> tuple[CellSearch, list[TrialConfig]]:
    """Run a search of ``count`` trials whose value grows with the learning rate."""
    config = small_config(architectures=(cell.architecture,), code_sizes=(cell.code_size,), trials=count)
    search = CellSearch(config, cell)
    suggested = []
    planned = [trial for trial in plan_trials(config) if trial.phase == "search"]
    for number in range(count):
        trial_config = search.suggest(number)
        suggested.append(trial_config)
        status = statuses[number] if statuses else "complete"
        search.tell(row_of(planned[number], trial_config, 1000 * trial_config.learning_rate, status))
    return search, suggested


@pytest.mark.parametrize("architecture", [name for name in BUILT_IN if name != "classic_autoencoder"])
@pytest.mark.parametrize("code_size", [2, 30])
def test_no_suggestion_is_over_the_parameter_budget(architecture: str, code_size: int) -> None:
    """Counted from the layers, for forty suggestions a cell."""
    _, suggested = searched(Cell(architecture, code_size), 40)
    row = BUILT_IN[architecture]
    counts = [count_parameters(row, code_size, trial_config.filters) for trial_config in suggested]
    assert max(counts) <= PARAMETER_BUDGET
    assert len({trial_config.filters for trial_config in suggested}) > 10


def test_classic_autoencoder_searches_its_learning_rate_alone() -> None:
    """It is a control: its widths stay, and no budget holds for it."""
    _, suggested = searched(Cell("classic_autoencoder", 10), 8)
    assert {trial_config.filters for trial_config in suggested} == {None}
    assert len({trial_config.learning_rate for trial_config in suggested}) == 8


def test_suggestions_lie_in_the_recipes_range_and_learn_from_rows() -> None:
    """Values grow with the learning rate, so later suggestions are lower than the random ones."""
    search, suggested = searched(Cell("model_1", 10), 30)
    low, high = search.config.tuned_recipe.learning_rate_range
    rates = [trial_config.learning_rate for trial_config in suggested]
    assert all(low <= rate <= high for rate in rates)
    assert sorted(rates[15:])[7] < sorted(rates[:5])[2]


def test_states_are_told_as_they_ended() -> None:
    """Complete, pruned, and FAIL for diverged and failed; a pruned trial keeps its last value."""
    search, suggested = searched(Cell("model_1", 10), 4, ["complete", "pruned", "diverged", "failed"])
    trials = search._study.trials
    assert [trial.state for trial in trials] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.FAIL,
    ]
    assert trials[1].value == pytest.approx(1000 * suggested[1].learning_rate)
    assert all(trial.state.is_finished() for trial in trials)


@pytest.mark.parametrize("most", [200, 3])
def test_a_search_rebuilt_from_rows_suggests_what_the_uninterrupted_one_would(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with pruned and failed trials among them, and where trials are thinned out."""
    monkeypatch.setattr(study.plan.search, "MOST_TRIALS", most)
    statuses = ["complete", "pruned", "failed", "complete", "complete", "pruned", "complete", "complete"]
    cell = Cell("model_4", 10)
    config = small_config(architectures=("model_4",), trials=12)
    live, suggested = searched(cell, 8, statuses)
    rebuilt = CellSearch(config, cell)
    planned = [trial for trial in plan_trials(config) if trial.phase == "search"]
    for number, trial_config in enumerate(suggested):
        rebuilt.tell(row_of(planned[number], trial_config, 1000 * trial_config.learning_rate, statuses[number]))
    assert rebuilt.suggest(8) == live.suggest(8)


def test_a_long_search_learns_from_a_bounded_number_of_trials_and_keeps_the_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Running trials go on, ended ones are thinned out, and the best seen so far is always among those that stay."""
    monkeypatch.setattr(study.plan.search, "MOST_TRIALS", 40)
    cell, count = Cell("model_4", 10), 150
    config = small_config(architectures=("model_4",), trials=count)
    search = CellSearch(config, cell)
    planned = [trial for trial in plan_trials(config) if trial.phase == "search"]
    running: list[tuple[int, TrialConfig]] = []
    values: list[float] = []
    for number in range(count):
        running.append((number, search.suggest(number)))
        trials = search._study.get_trials(deepcopy=False)
        assert sum(trial.state == TrialState.RUNNING for trial in trials) == len(running)
        assert sum(trial.state.is_finished() for trial in trials) <= 40
        if values:
            assert search._study.best_value == min(values)
        if len(running) > 5:
            first, trial_config = running.pop(0)
            status = ("complete", "pruned", "complete", "diverged")[first % 4]
            value = 1000 * trial_config.learning_rate
            search.tell(row_of(planned[first], trial_config, value, status))
            values += [value] if status == "complete" else []


@pytest.mark.parametrize("change", [{"seed": 1}, {"architectures": ("model_5",)}])
def test_another_seed_or_cell_suggests_other_points(change: dict[str, Any]) -> None:
    """Suggestions are seeded by (seed, cell, number)."""
    points = []
    for changes in ({"architectures": ("model_4",)}, {"architectures": ("model_4",)} | change):
        config = small_config(**changes)
        points.append(CellSearch(config, Cell(config.architectures[0], 10)).suggest(1))
    assert points[0].learning_rate != points[1].learning_rate
