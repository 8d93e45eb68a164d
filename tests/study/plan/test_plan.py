"""Which trials a study plans, and in which order."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest

from study.config.ablations import USUAL
from study.config.search_space import Cell
from study.config.study_config import StudyConfig
from study.execution.recorder import make_batch
from study.plan.identity import make_identity
from study.plan.plan import Plan
from study.plan.planned_trial import PlannedTrial, hash_configuration, make_trial_config
from study.plan.trials import plan_trials
from tests.studies import row_of, small_config, take_one
from trainables.errors import FieldError, InputError
from trainables.trial_config import TrialConfig


def run_all(
    plan: Plan, value: dict[int, float] | None = None, stop_after: int = 10_000
) -> list[tuple[PlannedTrial, Any]]:
    """Run the plan one trial at a time and return what was taken, with its settings.

    Search trials reach the ``value`` of their number, by default one that grows with it.
    """
    taken: list[tuple[PlannedTrial, Any]] = []
    while len(taken) < stop_after and (next_one := take_one(plan)) is not None:
        planned, trial_config = next_one
        taken.append((planned, trial_config))
        plan.finish(row_of(planned, trial_config, (value or {}).get(planned.number, 100.0 + planned.number)))
    return taken


def test_failed_trials_are_tried_anew_where_that_is_asked_for() -> None:
    """Each with an id of its own; what it ends with counts in the place of the failure, also in later launches."""
    config = small_config(architectures=("model_1",), trials=3)
    rows = [row_of(planned, trial_config) for planned, trial_config in run_all(Plan(config, ()))]
    failed = [row | {"status": "failed"} for row in rows[:1] + rows[-1:]]
    broken = [*rows[1:-1], *failed]
    assert Plan(config, broken).exhausted
    plan = Plan(config, broken, retry_failed=True)
    assert {each.trial_id for each in plan.list_pending()} >= {f"{row['trial_id']}-retry1" for row in failed}
    taken = run_all(plan)
    assert [planned.trial_id for planned, _ in taken] == [f"{row['trial_id']}-retry1" for row in failed]
    assert plan.exhausted and plan.done == plan.total
    again = [row_of(planned, trial_config) for planned, trial_config in taken]
    assert Plan(config, again + broken, retry_failed=True).exhausted
    twice = Plan(config, broken + [row | {"status": "failed"} for row in again], retry_failed=True)
    assert [planned.trial_id for planned, _ in run_all(twice)] == [f"{row['trial_id']}-retry2" for row in failed]


def planned_ids(plan: Plan) -> list[str]:
    """Return the ids of a plan by what its rows have decided, sorted."""
    return sorted(planned.trial_id for planned in plan_trials(plan.config, plan.rows.values()))


def test_every_planned_trial_is_taken_exactly_once() -> None:
    """And then the plan is exhausted."""
    plan = Plan(small_config(), ())
    taken = [planned.trial_id for planned, _ in run_all(plan)]
    assert sorted(taken) == planned_ids(plan)
    assert plan.exhausted
    assert plan.done == plan.total == 26


def test_cells_are_searched_evenly_and_confirmed_when_their_search_is_done() -> None:
    """No cell gets ahead, and a tuned confirmation waits for its own cell's search."""
    order = [planned for planned, _ in run_all(Plan(small_config(), ()))]
    searched = [planned.cell.architecture for planned in order if planned.phase == "search"]
    for two in zip(searched[::2], searched[1::2], strict=True):
        assert sorted(two) == ["model_1", "model_4"]
    for position, planned in enumerate(order):
        if planned.phase == "confirm" and planned.arm == "tuned":
            assert all(earlier.phase != "search" or earlier.cell != planned.cell for earlier in order[position:])


@pytest.mark.parametrize("at_once", [1, 2])
def test_the_first_seeds_of_all_models_come_before_the_second(at_once: int) -> None:
    """In either arm, ablations after all of them; where two seeds are trained at once, two by two."""
    config = small_config(phases=("search", "confirm", "ablate"), seeds=4, factors=("loss",))
    plan, order = Plan(config, ()), []
    while (taken := plan.take(at_once)) is not None:
        order += taken[0]
        for planned in taken[0]:
            plan.finish(row_of(planned, taken[1]))
    for arm in ("tuned", "published"):
        seeds = [planned.number for planned in order if (planned.phase, planned.arm) == ("confirm", arm)]
        assert seeds == [1, 1, 2, 2, 3, 3, 4, 4] if at_once == 1 else seeds == [1, 2, 1, 2, 3, 4, 3, 4]
    phases = [planned.phase for planned in order if planned.arm == "tuned" and planned.phase != "search"]
    assert phases == sorted(phases, key=("confirm", "ablate").index) and "ablate" in phases


def test_nothing_starts_that_waits_for_a_running_search() -> None:
    """With all search running, controls and the published arm go ahead; then the plan says: not now."""
    plan = Plan(small_config(trials=1), ())
    searches = [take_one(plan), take_one(plan)]
    started = []
    while (taken := take_one(plan)) is not None:
        started.append(taken[0])
    assert {planned.arm for planned in started} == {"published", "control"}
    assert not plan.exhausted
    assert searches[0] is not None
    planned, trial_config = searches[0]
    plan.finish(row_of(planned, trial_config))
    following = take_one(plan)
    assert following is not None
    assert (following[0].arm, following[0].cell) == ("tuned", planned.cell)


def test_a_cell_is_confirmed_when_the_last_trial_of_its_search_has_ended() -> None:
    """Not while one still runs, which may be the best: two finalists of one cell, all else out of the way."""
    plan = Plan(small_config(architectures=("model_1",), trials=2, seeds=1, validation_seeds=1), ())
    searches = [take_one(plan), take_one(plan)]
    while (taken := take_one(plan)) is not None:
        plan.finish(row_of(*taken))
    for search, arms in zip(searches, ([], ["tuned"]), strict=True):
        assert search is not None
        plan.finish(row_of(*search))
        taken = take_one(plan)
        assert [taken[0].arm] * bool(arms) == arms if taken else not arms


def test_confirmation_takes_the_best_configuration_with_fresh_seeds() -> None:
    """The finalist with the lowest mean decides; no seed of search is used again."""
    taken = run_all(Plan(small_config(), ()), {1: 50.0, 2: 70.0})
    (best,) = {
        trial_config
        for planned, trial_config in taken
        if (planned.cell.architecture, planned.number, planned.round) == ("model_1", 1, 3)
    }
    confirmed = [
        (planned, trial_config)
        for planned, trial_config in taken
        if planned.phase == "confirm" and planned.arm == "tuned" and planned.cell.architecture == "model_1"
    ]
    assert [trial_config for _, trial_config in confirmed] == [best, best]
    search_seeds = {planned.seed for planned, _ in taken if planned.phase == "search"}
    assert not search_seeds & {planned.seed for planned, _ in confirmed}


def test_published_arm_is_the_authors_recipe_at_the_published_point() -> None:
    """caffe, its learning rate and filter counts, whatever the search found."""
    taken = run_all(Plan(small_config(), ()))
    published = {
        trial_config
        for planned, trial_config in taken
        if planned.arm == "published" and planned.cell.architecture == "model_4"
    }
    (trial_config,) = published
    assert isinstance(trial_config, TrialConfig)
    assert (trial_config.recipe, trial_config.learning_rate, trial_config.filters) == ("caffe", 0.006, (26, 36))


def test_a_weight_decay_of_the_studys_own_is_that_of_the_tuned_arm_alone() -> None:
    """In search and confirmation, with the rest of its recipe; the published arm is the authors'."""
    taken = run_all(Plan(small_config(recipe="muon", weight_decay=0.05), ()))
    decays = {(planned.phase, planned.arm, trial.weight_decay) for planned, trial in taken if trial is not None}
    assert decays == {("search", "tuned", 0.05), ("confirm", "tuned", 0.05), ("confirm", "published", 0.0005)}
    assert {trial.optimizer for planned, trial in taken if planned.arm == "tuned" and trial is not None} == {"muon"}


def test_the_weight_decay_that_was_searched_is_trained_on_and_confirmed() -> None:
    """In the rounds after the first and in confirmation that of the number, which won, and not the recipe's."""
    config = small_config(architectures=("model_4",), recipe="muon", trials=12, finalists=2, arms=("tuned",))
    best = 7  # of all numbers this one has the lowest loss
    taken = run_all(Plan(config, ()), {best: 50.0})
    searched: dict[int, set[float]] = {}
    for planned, trial in taken:
        if planned.phase == "search" and trial is not None:
            searched.setdefault(planned.number, set()).add(trial.weight_decay)
    assert searched[0] == {0.03}
    assert all(len(decays) == 1 for decays in searched.values())
    assert len(set.union(*searched.values())) == len(searched) == 12
    confirmed = {trial.weight_decay for planned, trial in taken if planned.phase == "confirm" and trial is not None}
    assert confirmed == searched[best]


def test_a_control_that_is_trained_may_have_a_recipe_of_its_own() -> None:
    """Of the models that are ranked none has it; the study's identity says it."""
    config = small_config(
        architectures=("model_4", "classic_autoencoder"), recipe="muon", control_recipe="modern", arms=("tuned",)
    )
    taken = run_all(Plan(config, ()))
    recipes = {(planned.cell.architecture, trial.recipe) for planned, trial in taken if trial is not None}
    assert recipes == {("model_4", "muon"), ("classic_autoencoder", "modern")}
    identity = make_identity(config, "sha")
    assert identity["control_recipe"] == "modern"
    assert {*identity["recipes"]} == {"muon", "modern", "caffe"}
    with pytest.raises(FieldError, match="unknown control recipe"):
        small_config(control_recipe="nope")


def test_first_suggestion_is_the_published_point_of_the_tuned_recipe() -> None:
    """The published filter counts are tried before anything else."""
    planned, trial_config = run_all(Plan(small_config(architectures=("model_4",)), ()), stop_after=1)[0]
    assert planned.number == 0
    assert trial_config.filters == (26, 36)
    assert trial_config.learning_rate == 0.01


@pytest.mark.parametrize("cut", range(0, 26, 5))
def test_a_plan_resumed_from_rows_goes_on_exactly_as_the_uninterrupted_one(cut: int) -> None:
    """Same trials, same settings, none again."""
    config = small_config()
    whole = run_all(Plan(config, ()))
    first = run_all(Plan(config, ()), stop_after=cut)
    rows = [row_of(planned, trial_config, 100.0 + planned.number) for planned, trial_config in first]
    rest = run_all(Plan(config, rows))
    assert first + rest == whole


def test_diverged_trials_are_done_but_never_the_best() -> None:
    """Nor do they go on."""
    plan = Plan(small_config(architectures=("model_1",), trials=3), ())
    for number, (status, value) in enumerate((("complete", 90.0), ("failed", 10.0), ("diverged", 5.0))):
        taken = take_one(plan)
        assert taken is not None
        assert (taken[0].number, taken[0].round) == (number, 1)
        plan.finish(row_of(*taken, value, status))
    rest = run_all(plan)
    assert {planned.number for planned, _ in rest if planned.phase == "search"} == {0}
    assert [planned.seed_number for planned, _ in rest if planned.phase == "search"] == [1, 2]
    published = make_trial_config(plan.config, Cell("model_1", 10), "modern")
    assert [found for planned, found in rest if (planned.phase, planned.arm) == ("confirm", "tuned")] == [published] * 2
    assert plan.done == plan.total


def test_a_cell_whose_search_trials_all_failed_is_named_and_not_confirmed() -> None:
    """The rest of the study goes on."""
    plan = Plan(small_config(trials=1), ())
    taken = [take_one(plan), take_one(plan)]
    for next_one, status in zip(taken, ("failed", "complete"), strict=True):
        assert next_one is not None
        plan.finish(row_of(*next_one, status=status))
    assert taken[0] is not None
    failed = taken[0][0].cell
    assert plan.list_cells_without_result() == [failed]
    assert [(group.phase, group.cell) for group in plan.find_lost_groups()] == [("search", failed)]
    assert {planned.cell for planned in plan.list_blocked()} == {failed}
    assert len(plan.list_blocked()) == 2
    pending, runnable = ([planned.trial_id for planned in each()] for each in (plan.list_pending, plan.list_runnable))
    assert [name for name in pending if name not in runnable] == [each.trial_id for each in plan.list_blocked()]
    confirmed = {planned.cell for planned, _ in run_all(plan) if planned.arm == "tuned"}
    assert failed not in confirmed
    assert plan.exhausted


def test_a_group_is_lost_when_its_last_trial_failed_and_not_when_one_diverged() -> None:
    """That a configuration diverges is a result; that its trials fail is none."""
    config = small_config(architectures=("model_1",), trials=1)
    plan = Plan(config, ())
    statuses = {"search": "complete", "control": "failed", "published": "failed", "tuned": "diverged"}
    lost = []
    while (taken := take_one(plan)) is not None:
        planned = taken[0]
        plan.finish(row_of(*taken, status=statuses["search" if planned.phase == "search" else planned.arm]))
        lost.append(sorted(map(str, plan.find_lost_groups())))
    everything = ["model_1-code10, published", "pca-code10", "raw_pixels-code784"]
    assert lost[-1] == everything
    assert lost[0] == []
    rows = [{**row, "status": "complete" if row["phase"] == "search" else "failed"} for row in plan.rows.values()]
    resumed = Plan(config, rows)
    assert {*map(str, resumed.find_lost_groups())} == {*everything, "model_1-code10, tuned"}


@pytest.mark.parametrize(
    ("phases", "lost"), [(("confirm",), "model_1-code10, tuned"), (("search", "confirm"), "search")]
)
def test_what_a_search_without_a_winner_leaves_is_told_by_launches_without_the_search_too(
    phases: tuple[str, ...], lost: str
) -> None:
    """Else a launch that confirms nothing would end as if all were done."""
    config = small_config(architectures=("model_1",), arms=("tuned",), trials=1)
    plan = Plan(config, ())
    rows = []
    while (taken := take_one(plan)) is not None:
        rows.append(row_of(*taken, status="failed" if taken[0].phase == "search" else "complete"))
        plan.finish(rows[-1])
    told = Plan(dataclasses.replace(config, phases=phases), rows).find_lost_groups()
    assert [lost in str(group) for group in told] == [True]


@pytest.mark.parametrize("change", [{"trials": 5}, {"seeds": 3}, {"architectures": ("model_1", "model_4", "model_5")}])
def test_more_trials_seeds_or_cells_extend_a_study(change: dict[str, Any]) -> None:
    """Rows at hand keep their place; only what is new runs."""
    rows = [row_of(planned, trial_config) for planned, trial_config in run_all(Plan(small_config(), ()))]
    plan = Plan(small_config(**change), rows)
    new = {planned.trial_id for planned, _ in run_all(plan)}
    assert new == {*planned_ids(plan)} - {row["trial_id"] for row in rows}


def test_a_longer_search_that_finds_another_configuration_confirms_and_ablates_it_afresh() -> None:
    """Never one seed more of what was best before: no average may mix two configurations."""
    before = Plan(ablating(architectures=("model_4",), factors=("loss",)), ())
    rows = [row_of(*taken, 100.0 + taken[0].number) for taken in run_all(before)]
    grown = Plan(ablating(architectures=("model_4",), factors=("loss",), trials=5, seeds=3), rows)
    taken = run_all(grown, {4: 50.0})
    tuned = [(planned, found) for planned, found in taken if planned.phase != "search" and planned.arm == "tuned"]
    best = next(found for planned, found in taken if (planned.number, planned.round) == (4, 3))
    assert {planned.configuration for planned, _ in tuned} == {hash_configuration(best)}
    assert [planned.number for planned, _ in tuned if planned.phase == "confirm"] == [1, 2, 3]
    assert [found for planned, found in tuned if planned.phase == "confirm"] == [best] * 3
    levels = [planned for planned, _ in tuned if planned.phase == "ablate" and not planned.validated]
    assert sorted(planned.number for planned in levels) == [1, 1, 2, 2, 3, 3]
    assert grown.done == grown.total


def test_a_longer_search_that_finds_nothing_better_keeps_what_is_confirmed() -> None:
    """Seeds 1 and 2 are there, and seed 3 is of the same configuration."""
    before = Plan(small_config(architectures=("model_4",)), ())
    rows = [row_of(*taken, 100.0 + taken[0].number) for taken in run_all(before)]
    taken = run_all(Plan(small_config(architectures=("model_4",), trials=5, seeds=3), rows))
    assert [planned.number for planned, _ in taken if planned.phase == "confirm" and planned.arm == "tuned"] == [3]


def ablating(**changes: Any) -> StudyConfig:
    """Return a study with ablations of model 1 and model 4."""
    return small_config(phases=("search", "confirm", "ablate"), ablated_architectures=("model_1", "model_4"), **changes)


def test_ablations_change_one_setting_of_the_best_configuration() -> None:
    """Every ablated trial differs from the confirmed ones in its factor, and in what goes with it."""
    taken = run_all(Plan(ablating(), ()))
    base = {
        planned.cell: trial_config
        for planned, trial_config in taken
        if planned.phase == "confirm" and planned.arm == "tuned"
    }
    ablated = [(planned, trial_config) for planned, trial_config in taken if planned.phase == "ablate"]
    assert {planned.factor for planned, _ in ablated} == set(USUAL)
    for planned, trial_config in ablated:
        before, after = base[planned.cell].as_dict(), trial_config.as_dict()
        changed = {name for name in before if before[name] != after[name]}
        accompanying = {
            "filters": {"filters_1", "filters_2"},
            "optimizer": {"optimizer", "momentum", "second_moment_decay", "learning_rate"},
            "activation": {"activation", "learning_rate"},
            "loss": {"loss", "learning_rate"},
            "recipe": set(after),
        }
        assert changed
        assert changed <= accompanying.get(str(planned.factor), {planned.factor})


def run_in_any_order(config: StudyConfig, at_once: int, seed: int, cut: int = 10_000) -> dict[str, TrialConfig | None]:
    """Run a plan, so many trials at a time of which any ends next, and stop it ``cut`` times; return all settings."""
    random, rows = np.random.default_rng(seed), {}
    settings: dict[str, TrialConfig | None] = {}
    running: list[tuple[PlannedTrial, TrialConfig | None]] = []
    plan = Plan(config, ())
    while True:
        while len(running) < at_once and (taken := take_one(plan)) is not None:
            running.append(taken)
        if not running:
            assert plan.exhausted
            return settings
        planned, trial_config = running.pop(random.integers(len(running)))
        assert settings.setdefault(planned.trial_id, trial_config) == trial_config
        value = 100.0
        if trial_config is not None:  # a loss with a valley, and a part of the seed
            value += 20 * abs(np.log(trial_config.learning_rate / 0.004)) + (planned.seed or 0) * 7 % 5
            value += abs((trial_config.filters_1 or 0) - 15) / 3
        row = row_of(planned, trial_config, value, "diverged" if value > 150 and planned.round else "complete")
        rows[planned.trial_id] = row | plan.list_columns(planned)
        plan.finish(rows[planned.trial_id])
        if len(rows) % cut == 0:  # killed: what ran is lost
            plan, running = Plan(config, list(rows.values())), []


@pytest.mark.parametrize(
    ("at_once", "cut", "sampler"),
    [(2, 10_000, "multivariate_tpe"), (50, 10_000, "multivariate_tpe"), (3, 11, "tpe"), (7, 10_000, "gp")],
)
def test_suggestions_promotions_winners_and_rates_do_not_depend_on_what_ends_first(
    at_once: int, cut: int, sampler: str
) -> None:
    """At any concurrency, in any order, stopped or not: the same trials with the same settings."""
    trials = 10 if sampler == "gp" else 20
    config = small_config(
        architectures=("model_4",),
        trials=trials,
        epochs=33,
        generation_size=6,
        arms=("tuned",),
        sampler=sampler,
        phases=("search", "confirm", "ablate"),
        factors=("activation", "unpooling"),
    )
    assert run_in_any_order(config, at_once, seed=at_once, cut=cut) == run_in_any_order(config, 1, seed=0)


def test_a_generation_waits_for_the_one_before_and_learns_from_it() -> None:
    """Six of 20 trials can start; of which results they learn shows in the seventh."""
    config = small_config(architectures=("model_4",), trials=20, generation_size=6, arms=("tuned",), phases=("search",))
    seventh = []
    for change in (1.0, 2.0):
        plan = Plan(config, ())
        first = [take_one(plan) for _ in range(6)]
        assert take_one(plan) is None
        for place, taken in enumerate(first):
            assert taken is not None
            assert taken[0].number == place
            plan.finish(row_of(*taken, 100.0 + place**change * (-1.0) ** (change * place)))
        taken = take_one(plan)
        assert taken is not None
        assert taken[0].number == 6
        seventh.append(taken[1])
    assert seventh[0] != seventh[1]


def suggest_seventh(metric: str, cross_entropies: list[float], squared_errors: list[float]) -> TrialConfig | None:
    """Return what is tried when six trials have reached this; a plan that goes on from their rows tries the same."""
    config = small_config(
        architectures=("model_4",), trials=20, generation_size=6, phases=("search",), search_metric=metric
    )
    plan = Plan(config, ())
    for reached in zip(cross_entropies, squared_errors, strict=True):
        taken = take_one(plan)
        assert taken is not None
        plan.finish(row_of(*taken, reached[0], squared_error=reached[1]))
    minimised = cross_entropies if metric == "cross_entropy" else squared_errors
    assert plan.find_best(Cell("model_4", 10)) == (1, min(minimised))
    suggestions = [take_one(each) for each in (plan, Plan(config, list(plan.rows.values())))]
    assert all(taken is not None and taken[0].number == 6 for taken in suggestions)
    assert suggestions[0] == suggestions[1]
    return suggestions[0][1] if suggestions[0] else None


def test_a_sampler_is_told_what_the_search_minimises() -> None:
    """And nothing else: as if it were the cross-entropy, whatever that is."""
    falling, rising = [106.0, 105.0, 104.0, 103.0, 102.0, 101.0], [11.0, 12.0, 13.0, 14.0, 15.0, 16.0]
    by_squared_error = suggest_seventh("squared_error", falling, rising)
    assert by_squared_error == suggest_seventh("squared_error", rising, rising)
    assert by_squared_error == suggest_seventh("cross_entropy", rising, falling)
    assert by_squared_error != suggest_seventh("cross_entropy", falling, rising)


def test_rounds_2_and_3_train_what_round_1_tried_for_longer() -> None:
    """The same settings but for the epochs, and each round its own schedule of them."""
    config = small_config(architectures=("model_4",), trials=18, epochs=33, arms=("tuned",), finalists=3)
    taken = [each for each in run_all(Plan(config, ()), {7: 1.0}) if each[0].phase == "search"]
    of_7 = {planned.round: trial_config for planned, trial_config in taken if planned.number == 7}
    assert {number: trial_config.epochs_planned for number, trial_config in of_7.items()} == {1: 4, 2: 11, 3: 33}
    assert len({hash_configuration(trial_config) for trial_config in of_7.values()}) == 1


def test_arms_that_are_left_out_have_no_trials() -> None:
    """The tuned arm without the published one, and the published one without a search."""
    for arm in ("tuned", "published"):
        plan = Plan(small_config(arms=(arm,), phases=("search", "confirm", "ablate")), ())
        assert {planned.arm for planned, _ in run_all(plan)} == {arm, "control"}
        assert plan.exhausted


def test_the_published_arm_has_its_own_number_of_epochs() -> None:
    """Whatever the tuned arm trains."""
    taken = run_all(Plan(small_config(published_epochs=7), ()))
    epochs = {planned.arm: found.epochs_planned for planned, found in taken if planned.phase == "confirm" and found}
    assert epochs == {"published": 7, "tuned": 5}


def taken_together(plan: Plan, at_once: int) -> list[list[PlannedTrial]]:
    """Run the plan, several seeds at once, and return the trials taken at a time."""
    taken: list[list[PlannedTrial]] = []
    while (group := plan.take(at_once)) is not None:
        trials, trial_config = group
        taken.append(trials)
        for planned in trials:
            plan.finish(row_of(planned, trial_config, 100.0 + planned.number))
    return taken


@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_seeds_of_a_configuration_are_taken_together(at_once: int) -> None:
    """Five seeds of both arms and of every ablation, at most so many at a time; every planned trial once."""
    config = ablating(seeds=5)
    plan = Plan(config, ())
    taken = taken_together(plan, at_once)
    assert sorted(planned.trial_id for trials in taken for planned in trials) == planned_ids(plan)
    assert all(len({planned.group for planned in trials}) == 1 for trials in taken)
    sizes = Counter((trials[0].phase, trials[0].arm, len(trials)) for trials in taken if not trials[0].validated)
    expected = {1: {1}, 2: {1, 2}, 8: {5}}[at_once]
    for phase, arm in (("confirm", "tuned"), ("confirm", "published"), ("ablate", "tuned")):
        assert {size for other, side, size in sizes if (other, side) == (phase, arm)} == expected
    assert {size for phase, arm, size in sizes if arm == "control"} == {1}
    assert {len(trials) for trials in taken if trials[0].validated} == {1}


def test_a_resumed_plan_takes_the_seeds_together_that_are_missing() -> None:
    """Rows are one a seed: with two of five at hand, three are taken."""
    config = small_config(architectures=("model_4",), seeds=5)
    kept = [
        row_of(planned, trial_config, 100.0 + planned.number)
        for planned, trial_config in run_all(Plan(config, ()))
        if planned.phase == "search" or (planned.arm == "tuned" and planned.number in (2, 3))
    ]
    taken = taken_together(Plan(config, kept), 8)
    (group,) = [trials for trials in taken if trials[0].arm == "tuned"]
    assert [planned.number for planned in group] == [1, 4, 5]
    batch = make_batch(group, None, config)
    assert not batch.with_umap
    assert make_batch(group, None, dataclasses.replace(config, with_umap=True)).with_umap
    assert [trial.seed for trial in batch.trials] == [planned.seed for planned in group]


def test_what_is_planned_only_is_counted() -> None:
    """Rows of a cell that the configuration no longer has are left out, and an ablated code size is its base's."""
    config = small_config(phases=("search", "confirm", "ablate"), ablated_architectures=("model_1",))
    other = small_config(architectures=("model_5",))
    rows, foreign = ([row_of(*taken) for taken in run_all(Plan(own, ()))] for own in (config, other))
    rows = [row | ({"code_size": 99, "base_code_size": 10} if row["phase"] == "ablate" else {}) for row in rows]
    plan = Plan(config, [*rows, *(row for row in foreign if row["architecture"] == "model_5")])
    expected = Counter((planned.group.part, planned.cell) for planned in plan_trials(config))
    assert plan.list_parts() == list(expected)
    for (part, cell), count in expected.items():
        planned, ended = plan.count_trials(part, cell)
        assert planned == ended.total() == count
        planned, ended = plan.count_trials(part)
        assert planned == ended.total() == sum(count for (of, _), count in expected.items() if of == part)


def test_trials_of_phases_that_are_not_planned_are_not_tried_anew() -> None:
    """An ablation needs the winner of its search, whatever of that search failed."""
    plan = Plan(small_config(architectures=("model_4",), arms=("tuned",), validation_seeds=1), ())
    first = take_one(plan)
    assert first is not None
    plan.finish(row_of(*first, status="failed"))
    run_all(plan)
    config = dataclasses.replace(plan.config, phases=("ablate",), factors=("activation",))
    ablations = Plan(config, plan.rows.values(), retry_failed=True)
    assert ablations.list_cells_without_result() == []
    assert Plan(plan.config, plan.rows.values(), retry_failed=True).count_left()


@pytest.mark.parametrize(
    ("changes", "received"),
    [
        ({"arms": ("published",)}, "phase search of model_1 model_4 has no trial in the arms published"),
        ({"architectures": ("siamese",)}, "phase search of siamese has no trial in the arms tuned published"),
        (
            {"arms": ("published",), "phases": ("search", "ablate"), "factors": ("loss",)},
            "phase ablate has no trial: factors loss of model_1 model_4",
        ),
    ],
)
def test_a_study_that_plans_nothing_is_refused_with_what_was_asked_for(changes: dict[str, Any], received: str) -> None:
    """And not with an ablation that nobody asked for."""
    with pytest.raises(InputError) as raised:
        Plan(small_config(**({"phases": ("search",)} | changes)), ())
    assert raised.value.received == received
