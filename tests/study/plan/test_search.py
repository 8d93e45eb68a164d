"""What a cell's search tries: within its budgets, from earlier generations, or from a grid."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from study.config.search_space import (
    BUDGET_SHARE_RANGE,
    FILTERS_RATIO_RANGE,
    PARAMETER_BUDGET,
    SAMPLERS,
    Cell,
    measure_filters,
)
from study.plan.search import MOST_TRIALS, CellSearch, Result, Suggestion, make_sampler, thin_out
from tests.studies import small_config
from trainables.models.architectures import BUILT_IN, ClassicAutoencoder, ModuleAutoencoder
from trainables.models.layers import count_multiply_adds, count_parameters
from trainables.trial_config import RECIPES

CELL = Cell("model_4", 10)


def make_search(cell: Cell = CELL, **changes: Any) -> CellSearch:
    """Return the search of a cell, of 30 trials."""
    values = {"architectures": (cell.architecture,), "code_sizes": (cell.code_size,), "trials": 30}
    return CellSearch(small_config(**(values | changes)), cell)


def make_result(suggestion: Suggestion, value: float) -> Result:
    """Return the row of a trial with these settings and its value."""
    row = {"learning_rate": suggestion.learning_rate, "weight_decay": suggestion.weight_decay or 0.03}
    return row | {"budget_share": suggestion.budget_share, "filters_ratio": suggestion.filters_ratio}, value


def run_search(search: CellSearch, count: int, generation: int = 8) -> list[Suggestion]:
    """Run so many trials whose value grows with the learning rate, and return what was tried."""
    tried: list[Suggestion] = []
    while len(tried) < count:
        results = [make_result(suggestion, 1000 * suggestion.learning_rate) for suggestion in tried]
        numbers = range(len(tried), min(count, len(tried) + generation))
        tried += search.suggest(numbers, results).values()
    return tried


@pytest.mark.parametrize("architecture", [row.name for row in BUILT_IN.values() if row.ranked])
@pytest.mark.parametrize("code_size", [2, 30])
def test_no_suggestion_is_over_the_parameter_budget(architecture: str, code_size: int) -> None:
    """Counted from the layers, for forty suggestions a cell, all of which are contenders but the published point."""
    tried = run_search(make_search(Cell(architecture, code_size)), 40)
    counts = [count_parameters(BUILT_IN[architecture], code_size, each.filters) for each in tried]
    assert max(counts) <= PARAMETER_BUDGET
    assert sorted(counts[1:])[len(counts) // 2] > 0.5 * PARAMETER_BUDGET
    assert len({each.filters for each in tried}) > 10


def test_the_weight_decay_is_searched_where_the_recipe_has_a_range_of_it() -> None:
    """From the recipe's own, of every architecture; it learns from results; a fixed one is not searched."""
    low, high = RECIPES["muon"].weight_decay_range or (0.0, 0.0)
    for name in ("model_4", "classic_autoencoder"):
        tried = run_search(make_search(Cell(name, 10), recipe="muon"), 40)
        decays = [each.weight_decay for each in tried]
        assert decays[0] is None
        assert all(decay is not None and low <= decay <= high for decay in decays[1:])
        assert len(set(decays)) == len(decays)
    search, drawn = make_search(recipe="muon"), list[Suggestion]()
    for start in range(0, 64, 8):
        results = [make_result(each, abs((each.weight_decay or 0.03) - 0.15)) for each in drawn]
        drawn += search.suggest(range(start, start + 8), results).values()
    early, late = ([each.weight_decay or 0.03 for each in part] for part in (drawn[:16], drawn[-16:]))
    assert sum(abs(decay - 0.15) for decay in late) < 0.7 * sum(abs(decay - 0.15) for decay in early)
    for fixed in ({"recipe": "modern"}, {"recipe": "muon", "weight_decay": 0.05}):
        assert {each.weight_decay for each in run_search(make_search(**fixed), 20)} == {None}


def test_a_second_budget_holds_for_every_suggestion_the_first_included() -> None:
    """Multiply-adds of a forward pass; the published point is over it, so its ratio is kept and it is made smaller."""
    search = make_search(multiply_adds_budget=2_000_000)
    tried = run_search(search, 16)
    counts = [count_multiply_adds(BUILT_IN["model_4"], 10, each.filters) for each in tried]
    assert count_multiply_adds(BUILT_IN["model_4"], 10) > 2_000_000
    assert 1_500_000 < max(counts) <= 2_000_000
    first, second = tried[0].filters or (1, 1)
    assert second / first == pytest.approx(36 / 26, rel=0.1)


def test_classic_autoencoder_searches_its_learning_rate_alone() -> None:
    """It is a control: its widths stay, and no budget holds for it."""
    for trials in (8, 30):
        tried = run_search(make_search(Cell("classic_autoencoder", 10), trials=trials), 8)
        assert {each.filters for each in tried} == {None}
        assert len({each.learning_rate for each in tried}) == 8


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_suggestions_lie_within_their_ranges_and_learn_from_rows(sampler: str) -> None:
    """Values grow with the learning rate, so that later suggestions are lower; random ones know nothing of it."""
    search = make_search(Cell("model_1", 10), sampler=sampler)
    tried = run_search(search, 32)
    low, high = search.config.tuned_recipe.learning_rate_range
    assert all(low <= each.learning_rate <= high for each in tried)
    for each in tried[1:]:
        assert BUDGET_SHARE_RANGE[0] <= (each.budget_share or 0) <= BUDGET_SHARE_RANGE[1]
        assert FILTERS_RATIO_RANGE[0] <= (each.filters_ratio or 0) <= FILTERS_RATIO_RANGE[1]
    first, last = ([each.learning_rate for each in some] for some in (tried[1:9], tried[-8:]))
    assert (sorted(last)[4] < 0.7 * sorted(first)[4]) == (sampler != "random")


def test_trial_0_is_the_published_point_of_the_recipe() -> None:
    """With the coordinates that it has, of which the share may lie below the range."""
    published = make_search().suggest(range(8), [])[0]
    assert (published.learning_rate, published.filters) == (0.01, (26, 36))
    assert published.budget_share == count_parameters(BUILT_IN["model_4"], 10) / PARAMETER_BUDGET
    assert published.filters_ratio == 36 / 26
    assert make_search(Cell("model_5", 10)).suggest(range(8), [])[0].learning_rate == 0.003
    share = make_search(Cell("unpool_only", 10)).suggest(range(8), [])[0].budget_share
    assert share is not None
    assert share < BUDGET_SHARE_RANGE[0]


def test_a_trial_below_the_ranges_and_one_that_failed_are_learned_from() -> None:
    """Neither stops the search."""
    search = make_search(Cell("unpool_only", 10))
    tried = search.suggest(range(8), [])
    results = [make_result(tried[number], float("inf") if number == 3 else 90.0) for number in range(8)]
    assert len(search.suggest(range(8, 16), results)) == 8


def test_few_trials_are_a_grid() -> None:
    """Learning rate times 1, .3 and 3 at the published filters, then filters at the recipe's rate."""
    tried = make_search(trials=8).suggest(range(8), [])
    assert [round(tried[number].learning_rate, 6) for number in range(8)] == [0.01, 0.003, 0.03, *[0.01] * 5]
    assert [tried[number].filters for number in range(3)] == [(26, 36)] * 3
    others = [tried[number].filters for number in range(3, 8)]
    assert len({(26, 36), *others}) == 6
    row = BUILT_IN["model_4"]
    for filters, (share, ratio) in zip(others, ((1, 1), (0.5, 1), (1, 2), (1, 0.5), (0.75, 1)), strict=True):
        assert filters is not None
        found_share, found_ratio = measure_filters(row, 10, filters)
        assert share - 0.06 < found_share <= share
        assert found_ratio == pytest.approx(ratio * 36 / 26, rel=0.12)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("code_size", [2, 30, 64, 100, 400])
def test_a_grid_tries_nothing_twice(code_size: int, recipe: str) -> None:
    """With large codes the widest filters within the budget are those of trial 0; rates end with the recipe's range."""
    classic = BUILT_IN["classic_autoencoder"]
    assert isinstance(classic, ClassicAutoencoder)
    tanh = dataclasses.replace(classic, name="own", activation="tanh")
    fixed = dataclasses.replace(MODULE, name="fixed", space={})
    two = dataclasses.replace(MODULE, name="two", space={"depth": SPACE["depth"]})
    for name in (*BUILT_IN, "own", "fixed", "two"):
        search = make_search(Cell(name, code_size), trials=8, recipe=recipe, models=(tanh, fixed, two))
        tried = [*search.suggest(range(8), []).values()]
        settings = {(f"{each.learning_rate:.6g}", each.filters, json.dumps(each.settings)) for each in tried}
        assert len(settings) == 8, (name, tried)


def test_what_stands_in_the_place_of_a_repeated_point_leaves_the_others_of_a_grid_at_theirs() -> None:
    """Model 4's filters at code size 30 are the widest of their ratio; ids of studies that go on mean what they did."""
    tried = make_search(Cell("model_4", 30), trials=8).suggest(range(8), [])
    assert [round(tried[number].learning_rate, 6) for number in range(8)] == [0.01, 0.003, 0.03, 0.0055, *[0.01] * 4]
    assert tried[3].filters == tried[0].filters == (26, 36)
    assert [tried[number].budget_share for number in range(4, 8)] == [0.5, 1.0, 1.0, 0.75]
    few = make_search(Cell("model_4", 30), trials=5).suggest(range(5), [])
    assert few == {number: tried[number] for number in range(5)}


@pytest.mark.parametrize("change", [{"seed": 1}, {"architectures": ("model_5",)}])
def test_another_seed_or_cell_suggests_other_points(change: dict[str, Any]) -> None:
    """Suggestions are seeded by (seed, cell, number)."""
    points = []
    for changes in ({}, change):
        search = make_search(Cell(changes.get("architectures", ("model_4",))[0], 10), **changes)
        points.append(search.suggest(range(8), []))
    assert points[0][1].learning_rate != points[1][1].learning_rate
    assert points[0][1].learning_rate != points[0][2].learning_rate


def test_suggestions_do_not_depend_on_what_is_asked_for_beside_them() -> None:
    """A generation is the same when the search is longer."""
    assert make_search().suggest(range(8), []) == make_search(trials=100).suggest(range(8), [])


def test_a_long_search_learns_from_a_bounded_number_of_trials_and_keeps_the_best() -> None:
    """The best half stay, and an even sample of the others, in their order."""
    results: list[Result] = [({"number": number}, float((number * 37) % 500)) for number in range(500)]
    kept = thin_out(results)
    assert len(kept) == MOST_TRIALS
    assert {value for _, value in kept} >= {float(value) for value in range(MOST_TRIALS // 2)}
    numbers = [row["number"] for row, _ in kept]
    assert numbers == sorted(set(numbers))
    assert thin_out(results[:MOST_TRIALS]) == results[:MOST_TRIALS]


def test_samplers_are_what_their_names_say() -> None:
    """Of Optuna's classes."""
    assert [type(make_sampler(name, 1)).__name__ for name in SAMPLERS] == [
        "RandomSampler",
        "TPESampler",
        "TPESampler",
        "GPSampler",
    ]
    assert [make_sampler(name, 1)._multivariate for name in SAMPLERS[1:3]] == [False, True]  # type: ignore[attr-defined]


SPACE: dict[str, dict[str, Any]] = {
    "width": {"distribution": "IntDistribution", "low": 8, "high": 64, "log": True},
    "depth": {"distribution": "CategoricalDistribution", "choices": [1, 2]},
}
MODULE = ModuleAutoencoder("own", "Own", "(own <-> own)", None, {"width": 16, "depth": 1, "kind": "a"}, SPACE)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_module_is_searched_in_a_space_of_its_own(sampler: str) -> None:
    """Beside rate and weight decay, from results, and the same again; what the space leaves out stays."""
    changes = {"architectures": ("own",), "models": (MODULE,), "sampler": sampler, "recipe": "muon", "trials": 30}
    search = CellSearch(small_config(**changes), Cell("own", 10))
    tried: list[Suggestion] = []
    while len(tried) < 20:
        # The more width, the worse.
        results = [
            ({**row, "module_settings": json.dumps(dict(each.settings or {}))}, float((each.settings or {})["width"]))
            for each, (row, _) in ((each, make_result(each, 0.0)) for each in tried)
        ]
        numbers = range(len(tried), len(tried) + 4)
        suggested = search.suggest(numbers, results)
        assert search.suggest(numbers, results) == suggested
        tried += suggested.values()
    assert tried[0] == Suggestion(0.02, settings=MODULE.settings)
    settings = [dict(each.settings or {}) for each in tried]
    assert all(each.weight_decay for each in tried[1:])
    assert {each["kind"] for each in settings} == {"a"}
    assert {each["depth"] for each in settings} == {1, 2}
    assert all(8 <= each["width"] <= 64 for each in settings)
    if sampler != "random":
        assert np.mean([each["width"] for each in settings[-8:]]) < np.mean([each["width"] for each in settings[1:9]])


def test_a_grid_goes_on_with_draws_of_a_modules_space() -> None:
    """At the recipe's rate, each its own; without a space it goes on with rates."""
    config = small_config(architectures=("own",), models=(MODULE,), trials=8)
    tried = list(CellSearch(config, Cell("own", 10)).suggest(range(8), []).values())
    assert [each.learning_rate for each in tried] == pytest.approx([0.01, 0.003, 0.03, *[0.01] * 5])
    assert [each.settings for each in tried[:3]] == [MODULE.settings] * 3
    assert len({json.dumps(dict(each.settings or {})) for each in tried}) > 4
    without = dataclasses.replace(MODULE, space={})
    config = small_config(architectures=("own",), models=(without,), trials=8)
    tried = list(CellSearch(config, Cell("own", 10)).suggest(range(8), []).values())
    assert len({each.learning_rate for each in tried}) == 8
    assert [each.settings for each in tried] == [MODULE.settings] * 8
