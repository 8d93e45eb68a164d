"""Which trials a study owes, and in which order."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from study.config.ablations import FACTORS
from study.config.search_space import Cell
from study.config.study_config import StudyConfig
from study.execution.recorder import spec_of
from study.plan.plan import Owed, Plan, planned, skipped_levels
from tests.studies import row_of, small_config
from trainables.trial_config import Settings


def run_all(plan: Plan, value: dict[str, float] | None = None, stop_after: int = 10_000) -> list[tuple[Owed, Any]]:
    """Run the plan one trial at a time and return what was taken, with its settings."""
    taken = []
    while len(taken) < stop_after and (next_one := plan.take()) is not None:
        owed, settings = next_one
        taken.append((owed, settings))
        plan.finish(row_of(owed, settings, (value or {}).get(owed.trial_id, 100.0 + owed.number)))
    return taken


def test_a_study_owes_search_confirmation_of_both_arms_and_controls() -> None:
    """Two cells: 3 search trials each, 2 seeds of 2 arms each, PCA and raw pixels once."""
    counts = Counter((owed.phase, owed.arm) for owed in planned(small_config()))
    assert counts == {
        ("search", "tuned"): 6,
        ("confirm", "published"): 4,
        ("confirm", "tuned"): 4,
        ("confirm", "control"): 2,
    }


def test_classic_autoencoder_has_no_published_arm() -> None:
    """Nothing of it is published by the paper's authors."""
    config = small_config(architectures=("classic_autoencoder",))
    assert {owed.arm for owed in planned(config) if owed.phase == "confirm"} == {"tuned", "control"}


def test_every_planned_trial_is_taken_exactly_once() -> None:
    """And then the plan is exhausted."""
    plan = Plan(small_config(), ())
    taken = [owed.trial_id for owed, _ in run_all(plan)]
    assert sorted(taken) == sorted(owed.trial_id for owed in planned(small_config()))
    assert plan.exhausted
    assert plan.done == plan.total == 16


def test_cells_are_searched_evenly_and_confirmed_when_their_search_is_done() -> None:
    """No cell gets ahead, and a tuned confirmation waits for its own cell's search."""
    order = [owed for owed, _ in run_all(Plan(small_config(), ()))]
    searched = [owed.cell.architecture for owed in order if owed.phase == "search"]
    assert sorted(searched[:2]) == sorted(searched[2:4]) == sorted(searched[4:]) == ["model_1", "model_4"]
    for position, owed in enumerate(order):
        if owed.phase == "confirm" and owed.arm == "tuned":
            assert all(earlier.phase != "search" or earlier.cell != owed.cell for earlier in order[position:])


def test_nothing_starts_that_waits_for_a_running_search() -> None:
    """With all search running, controls and the published arm go ahead; then the plan says: not now."""
    plan = Plan(small_config(trials=1), ())
    searches = [plan.take(), plan.take()]
    started = []
    while (taken := plan.take()) is not None:
        started.append(taken[0])
    assert {owed.arm for owed in started} == {"published", "control"}
    assert not plan.exhausted
    assert searches[0] is not None
    owed, settings = searches[0]
    plan.finish(row_of(owed, settings))
    following = plan.take()
    assert following is not None
    assert (following[0].arm, following[0].cell) == ("tuned", owed.cell)


def test_confirmation_takes_the_best_configuration_with_fresh_seeds() -> None:
    """The lowest validation cross-entropy of a full-budget trial decides; no seed of search is used again."""
    values = {"search-model_1-code10-0001": 50.0, "search-model_1-code10-0002": 70.0}
    taken = run_all(Plan(small_config(), ()), values)
    best = next(settings for owed, settings in taken if owed.trial_id == "search-model_1-code10-0001")
    confirmed = [
        (owed, settings)
        for owed, settings in taken
        if owed.phase == "confirm" and owed.arm == "tuned" and owed.cell.architecture == "model_1"
    ]
    assert [settings for _, settings in confirmed] == [best, best]
    search_seeds = {owed.seed for owed, _ in taken if owed.phase == "search"}
    assert not search_seeds & {owed.seed for owed, _ in confirmed}


def test_cells_pair_by_seed() -> None:
    """Confirmation number k has the same seed in every cell and arm."""
    seeds: dict[int, set[int | None]] = {}
    for owed in planned(small_config(seeds=3)):
        if owed.phase == "confirm" and owed.arm != "control":
            seeds.setdefault(owed.number, set()).add(owed.seed)
    assert {number: len(found) for number, found in seeds.items()} == {1: 1, 2: 1, 3: 1}


def test_published_arm_is_the_authors_recipe_at_the_published_point() -> None:
    """caffe, its learning rate and filter counts, whatever the search found."""
    taken = run_all(Plan(small_config(), ()))
    published = {
        settings for owed, settings in taken if owed.arm == "published" and owed.cell.architecture == "model_4"
    }
    (settings,) = published
    assert isinstance(settings, Settings)
    assert (settings.recipe, settings.learning_rate, settings.filters) == ("caffe", 0.006, (26, 36))


def test_first_suggestion_is_the_published_point_of_the_tuned_recipe() -> None:
    """The published filter counts are tried before anything else."""
    owed, settings = run_all(Plan(small_config(architectures=("model_4",)), ()), stop_after=1)[0]
    assert owed.number == 0
    assert settings.filters == (26, 36)
    assert settings.learning_rate == 0.01


@pytest.mark.parametrize("cut", range(0, 17, 4))
def test_a_plan_resumed_from_rows_goes_on_exactly_as_the_uninterrupted_one(cut: int) -> None:
    """Same trials, same settings, none again."""
    config = small_config()
    whole = run_all(Plan(config, ()))
    first = run_all(Plan(config, ()), stop_after=cut)
    rows = [row_of(owed, settings, 100.0 + owed.number) for owed, settings in first]
    rest = run_all(Plan(config, rows))
    assert first + rest == whole


def test_pruned_and_diverged_trials_are_done_but_never_the_best() -> None:
    """A pruned trial's early value does not win."""
    plan = Plan(small_config(architectures=("model_1",), trials=3), ())
    best_settings = None
    for status, value in (("complete", 90.0), ("pruned", 10.0), ("diverged", 5.0)):
        taken = plan.take()
        assert taken is not None
        plan.finish(row_of(*taken, value, status))
        if status == "complete":
            best_settings = taken[1]
    confirmed = [settings for owed, settings in run_all(plan) if owed.arm == "tuned"]
    assert confirmed == [best_settings, best_settings]


def test_a_cell_whose_search_trials_all_failed_is_named_and_not_confirmed() -> None:
    """The rest of the study goes on."""
    plan = Plan(small_config(trials=1), ())
    taken = [plan.take(), plan.take()]
    for next_one, status in zip(taken, ("failed", "complete"), strict=True):
        assert next_one is not None
        plan.finish(row_of(*next_one, status=status))
    assert taken[0] is not None
    failed = taken[0][0].cell
    assert plan.cells_without_result() == [failed]
    assert [(group.phase, group.cell) for group in plan.lost()] == [("search", failed)]
    assert {owed.cell for owed in plan.blocked()} == {failed}
    assert len(plan.blocked()) == 2
    confirmed = {owed.cell for owed, _ in run_all(plan) if owed.arm == "tuned"}
    assert failed not in confirmed
    assert plan.exhausted


def test_a_group_is_lost_when_its_last_trial_failed_and_not_when_one_diverged() -> None:
    """That a configuration diverges is a result; that its trials fail is none."""
    config = small_config(architectures=("model_1",), trials=1)
    plan = Plan(config, ())
    statuses = {"search": "complete", "control": "failed", "published": "failed", "tuned": "diverged"}
    lost = []
    while (taken := plan.take()) is not None:
        owed = taken[0]
        plan.finish(row_of(*taken, status=statuses["search" if owed.phase == "search" else owed.arm]))
        lost.append(sorted(map(str, plan.lost())))
    everything = ["model_1-code10, published", "pca-code10", "raw_pixels-code784"]
    assert lost[-1] == everything
    assert lost[0] == []
    rows = [row_of(owed, None, status=statuses.get(owed.phase, "failed")) for owed in planned(config)]
    resumed = Plan(config, [row | {"learning_rate": 0.01} for row in rows])
    assert {*map(str, resumed.lost())} == {*everything, "model_1-code10, tuned"}


@pytest.mark.parametrize("change", [{"trials": 5}, {"seeds": 3}, {"architectures": ("model_1", "model_4", "model_5")}])
def test_more_trials_seeds_or_cells_extend_a_study(change: dict[str, Any]) -> None:
    """Rows at hand keep their place; only what is new runs."""
    rows = [row_of(owed, settings) for owed, settings in run_all(Plan(small_config(), ()))]
    grown = small_config(**change)
    new = {owed.trial_id for owed, _ in run_all(Plan(grown, rows))}
    assert new == {owed.trial_id for owed in planned(grown)} - {row["trial_id"] for row in rows}


def ablating(**changes: Any) -> StudyConfig:
    """Return a study with ablations of model 1 and model 4."""
    return small_config(phases=("search", "confirm", "ablate"), ablated_architectures=("model_1", "model_4"), **changes)


def test_ablations_change_one_setting_of_the_best_configuration() -> None:
    """Every ablated trial differs from the confirmed ones in its factor; an optimiser brings its learning rate."""
    taken = run_all(Plan(ablating(), ()))
    base = {owed.cell: settings for owed, settings in taken if owed.phase == "confirm" and owed.arm == "tuned"}
    ablated = [(owed, settings) for owed, settings in taken if owed.phase == "ablate"]
    assert {owed.factor for owed, _ in ablated} == set(FACTORS)
    for owed, settings in ablated:
        before, after = base[owed.cell].as_dict(), settings.as_dict()
        changed = {name for name in before if before[name] != after[name]}
        accompanying = {
            "filters": {"filters_1", "filters_2"},
            "optimizer": {"optimizer", "momentum", "second_moment_decay", "learning_rate"},
            "recipe": set(after),
        }
        assert changed
        assert changed <= accompanying.get(str(owed.factor), {owed.factor})


def test_levels_that_make_no_sense_are_left_out_with_their_reason() -> None:
    """Model 1 neither pools nor unpools; the base's own level is no ablation and needs no reason."""
    skipped = skipped_levels(ablating())
    assert {(level["architecture"], level["factor"]) for level in skipped} == {
        ("model_1", "pooling"),
        ("model_1", "unpooling"),
    }
    assert all(level["reason"] for level in skipped)
    levels = {(owed.factor, owed.level.label) for owed in planned(ablating()) if owed.level}
    assert ("activation", "sigmoid") not in levels
    assert {("unpooling", "switches"), ("pooling", "stride"), ("code_size", "64")} <= levels


def test_ablations_pair_with_confirmations_by_seed() -> None:
    """Seed k of an ablation is seed k of the base."""
    config = ablating()
    seeds = {
        (owed.phase, owed.number): owed.seed
        for owed in planned(config)
        if owed.phase == "ablate" or (owed.phase == "confirm" and owed.arm == "tuned")
    }
    assert seeds["ablate", 1] == seeds["confirm", 1] != seeds["ablate", 2] == seeds["confirm", 2]


def taken_together(plan: Plan, at_once: int) -> list[list[Owed]]:
    """Run the plan, several seeds at once, and return the trials taken at a time."""
    taken = []
    while (group := plan.take_together(at_once)) is not None:
        trials, settings = group
        taken.append(trials)
        for owed in trials:
            plan.finish(row_of(owed, settings, 100.0 + owed.number))
    return taken


@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_seeds_of_a_configuration_are_taken_together(at_once: int) -> None:
    """Five seeds of both arms and of every ablation, at most so many at a time; every planned trial once."""
    config = ablating(seeds=5)
    taken = taken_together(Plan(config, ()), at_once)
    assert sorted(owed.trial_id for trials in taken for owed in trials) == sorted(
        owed.trial_id for owed in planned(config)
    )
    assert all(len({owed.group for owed in trials}) == 1 for trials in taken)
    sizes = Counter((trials[0].phase, trials[0].arm, len(trials)) for trials in taken)
    expected = {1: {1}, 2: {1, 2}, 8: {5}}[at_once]
    for phase, arm in (("confirm", "tuned"), ("confirm", "published"), ("ablate", "tuned")):
        assert {size for other, side, size in sizes if (other, side) == (phase, arm)} == expected
    assert {size for phase, arm, size in sizes if phase == "search" or arm == "control"} == {1}


def test_a_resumed_plan_takes_the_seeds_together_that_are_missing() -> None:
    """Rows are one a seed: with two of five at hand, three are taken."""
    config = small_config(architectures=("model_4",), seeds=5)
    kept = [
        row_of(owed, settings, 100.0 + owed.number)
        for owed, settings in run_all(Plan(config, ()))
        if owed.phase == "search" or owed.trial_id.endswith(("tuned-02", "tuned-03"))
    ]
    taken = taken_together(Plan(config, kept), 8)
    (group,) = [trials for trials in taken if trials[0].arm == "tuned"]
    assert [owed.number for owed in group] == [1, 4, 5]
    spec = spec_of(group, None)
    assert [run.seed for run in spec.runs] == [owed.seed for owed in group]


def test_ids_are_unique_file_names() -> None:
    """Letters, digits, '-' and '_' alone."""
    ids = [owed.trial_id for owed in planned(ablating(code_sizes=(2, 10)))]
    assert len(set(ids)) == len(ids)
    assert all(letter.isalnum() or letter in "-_" for trial_id in ids for letter in trial_id)


def test_cell_order_is_stable() -> None:
    """A cell's name is part of every id."""
    assert str(Cell("model_1", 10)) == "model_1-code10"
