"""Levels of ablations that need a learning rate of their own choose it on validation images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from study.config.ablations import FACTORS
from study.execution.recorder import make_batch
from study.plan.plan import Plan
from study.plan.planned_trial import PlannedTrial
from study.plan.rates import get_loss
from tests.studies import row_of, small_config, take_one
from trainables.trial_config import TrialConfig

Taken = tuple[PlannedTrial, Any]


def make_plan(*factors: str, **changes: Any) -> Plan:
    """Return the plan of one cell with ablations of some factors."""
    values: dict[str, Any] = {"architectures": ("model_4",), "arms": ("tuned",), "trials": 1}
    phases = ("search", "confirm", "ablate")
    return Plan(small_config(phases=phases, factors=factors, **(values | changes)), ())


def run(plan: Plan, reached: Mapping[str, tuple[float, float, float]], at_once: int = 1) -> list[Taken]:
    """Run a plan whose rates of a level reach these cross-entropies, infinite where they diverge; return the rest."""
    ablated: list[Taken] = []
    while (taken := plan.take(at_once)) is not None:
        trials, trial_config = taken
        for planned in trials:
            value = reached[planned.level.label][planned.number] if planned.level and planned.validated else 100.0
            status = "diverged" if value == float("inf") else "complete"
            plan.finish(row_of(planned, trial_config, value, status))
            ablated += [(planned, trial_config)] * (planned.phase == "ablate")
    return ablated


def test_levels_that_change_what_a_rate_means_are_retuned() -> None:
    """By factor: the others change what is trained, with the rate of the base."""
    retuned = {factor for factor, levels in FACTORS.items() if any(level.retuned for level in levels)}
    assert retuned == {"activation", "loss", "optimizer", "recipe", "pretraining", "objective"}
    assert all(level.retuned for factor in retuned for level in FACTORS[factor])


def test_every_seed_of_a_level_has_the_rate_that_reached_most_on_validation_images() -> None:
    """Of 1, .3 and 3 times the rate that the level leaves, the base's .01; they share one validation seed."""
    plan = make_plan("activation", "unpooling")
    ablated = run(plan, {"tanh": (100.0, 90.0, 95.0), "relu": (100.0, 101.0, 99.0)})
    tried = [(each.level.label, found.learning_rate) for each, found in ablated if each.level and each.validated]
    assert tried == [(name, pytest.approx(rate)) for name in ("tanh", "relu") for rate in (0.01, 0.003, 0.03)]
    assert {each.seed for each, _ in ablated if each.validated} == {plan.config.validation_seed(1)}
    rates = {(each.level.label, found.learning_rate) for each, found in ablated if each.level and not each.validated}
    assert rates == {("tanh", 0.003), ("relu", 0.03), ("tile", 0.01), ("average", 0.01), ("switches", 0.01)}
    assert [each.number for each, _ in ablated if each.level and each.level.label == "tanh"] == [0, 1, 2, 1, 2]
    assert plan.done == plan.total


def test_a_level_is_judged_by_the_loss_that_it_minimises() -> None:
    """Squared error alone where that is all it has."""
    row = {"status": "complete", "validation_cross_entropy": 90.0, "validation_squared_error": 12.0}
    assert [get_loss(row | {"loss": loss}) for loss in ("cross_entropy", "both", "euclidean")] == [90.0, 90.0, 12.0]


def test_a_level_of_which_no_rate_completes_is_trained_as_it_is() -> None:
    """That it diverges is its result; one of which some complete takes the best of these."""
    infinite = float("inf")
    ablated = run(make_plan("activation"), {"tanh": (infinite,) * 3, "relu": (infinite, infinite, 200.0)})
    rates = {each.level.label: found.learning_rate for each, found in ablated if each.level and not each.validated}
    assert rates == {"tanh": 0.01, "relu": 0.03}


def test_a_level_waits_for_all_of_its_rates_and_others_for_none() -> None:
    """The last may be the best; what needs no rate of its own goes on meanwhile, and nothing starts twice."""
    plan = make_plan("activation", "unpooling", seeds=1)
    running: list[Taken] = []
    while (taken := take_one(plan)) is not None:
        if taken[0].validated and taken[0].phase == "ablate":
            running.append(taken)
        else:
            plan.finish(row_of(*taken))
    assert [(each.level.label, each.number) for each, _ in running if each.level] == [
        (name, number) for name in ("tanh", "relu") for number in range(3)
    ]
    assert not plan.exhausted
    assert {each.level.label for each in plan.list_pending() if each.level} == {"tanh", "relu"}
    for place, each in enumerate(running[:3]):
        assert take_one(plan) is None
        plan.finish(row_of(*each, 100.0 - place))
    following = take_one(plan)
    assert following is not None
    assert (following[0].level or FACTORS["loss"][0]).label == "tanh"
    assert isinstance(following[1], TrialConfig)
    assert following[1].learning_rate == 0.03


def test_what_a_level_was_trained_with_is_part_of_its_id() -> None:
    """A row of another rate, or of the base's, is another trial's."""
    plan = make_plan("activation", seeds=1)
    unknown = {each.trial_id for each in plan.list_pending() if each.level and not each.validated}
    base = "ablate-model_4-code10-activation"
    assert unknown == {f"{base}-{level}-01-undecided-undecided" for level in ("tanh", "relu")}
    ablated = run(plan, {"tanh": (100.0, 90.0, 95.0), "relu": (100.0, 100.0, 100.0)})
    found = ablated[0][0].configuration
    assert [planned.trial_id for planned, _ in ablated] == [
        *(f"{base}-tanh-rate{number}-{found}-x{factor}" for number, factor in enumerate(("1", "0_3", "3"))),
        *(f"{base}-relu-rate{number}-{found}-x{factor}" for number, factor in enumerate(("1", "0_3", "3"))),
        f"{base}-tanh-01-{found}-x0_3",
        f"{base}-relu-01-{found}-x1",
    ]


def test_rates_are_trained_one_by_one_and_without_validation_images() -> None:
    """Where seeds are taken together: a batch has one configuration."""
    plan = make_plan("activation", seeds=3)
    sizes: dict[bool, set[int]] = {True: set(), False: set()}
    while (taken := plan.take(8)) is not None:
        trials, trial_config = taken
        if trials[0].phase == "ablate":
            sizes[trials[0].validated].add(len(trials))
            assert make_batch(trials, trial_config, plan.config).phase == (
                "search" if trials[0].validated else "ablate"
            )
        for planned in trials:
            plan.finish(row_of(planned, trial_config))
    assert sizes == {True: {1}, False: {3}}


def test_a_plan_that_goes_on_from_rows_takes_the_rate_that_was_chosen() -> None:
    """Rates that are there are not trained again, wherever it was stopped."""
    whole = make_plan("activation")
    values = {"tanh": (100.0, 90.0, 95.0), "relu": (100.0, 101.0, 99.0)}
    expected = run(whole, values)
    rows = list(whole.rows.values())
    for cut in range(len(rows)):
        resumed = Plan(whole.config, rows[:cut])
        there = {*resumed.rows}
        assert run(resumed, values) == [each for each in expected if each[0].trial_id not in there]
        assert resumed.rows.keys() == whole.rows.keys()
