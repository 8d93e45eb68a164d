"""What a dry run shows of configurations and of the room that rows take."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from study.display.dry_run import (
    SHOWN,
    describe_ablated,
    describe_search,
    format_size,
    format_work,
    print_first_configurations,
    print_plan,
)
from study.execution.estimate import Estimate
from study.execution.tuner import Resources
from study.plan.plan import Plan
from study.storage.location import parse_location
from tests.studies import row_of, small_config, take_one
from trainables.data.datasets import load_dataset
from trainables.models.architectures import STUDIED


def preview(plan: Plan, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what is printed of a plan, without the ends of its lines."""
    print_first_configurations(plan)
    printed = capsys.readouterr().out
    assert all(len(line) <= 80 for line in printed.splitlines())
    return " ".join(printed.split())


def test_first_configurations_are_those_that_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The published point first in search, the authors' recipe in the published arm; the tuned arm is not known yet."""
    shown = preview(Plan(small_config(), ()), capsys)
    plan = Plan(small_config(), ())
    for _ in range(2):
        taken = take_one(plan)
        assert taken is not None
        planned, trial_config = taken
        assert trial_config is not None
        assert f"{planned.trial_id}, seed {planned.seed}" in shown
        assert (
            f"filters_1={trial_config.as_dict()['filters_1']} filters_2={trial_config.as_dict()['filters_2']}" in shown
        )
    assert "recipe=caffe" in shown
    assert "learning_rate=0.006" in shown
    assert "best of search-model_1-code10: not known yet" in shown
    assert "confirm-pca-code10, seed 1 trains nothing" in shown


def test_the_tuned_arm_is_resolved_once_its_search_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    """With the learning rate of the best trial; finished phases are not shown."""
    plan = Plan(small_config(), ())
    rows = []
    for number in range(6 + 8):
        taken = take_one(plan)
        assert taken is not None
        rows.append(row_of(*taken, value=100.0 - number))
        plan.finish(rows[-1])
    shown = preview(Plan(small_config(), rows), capsys)
    assert "not known yet" not in shown
    assert "search-" not in shown
    best = next(row for row in reversed(rows) if row["architecture"] == "model_1")
    assert f"learning_rate={best['learning_rate']:.4g}" in shown.split("confirm-model_1-code10-tuned-01-")[1]


def test_a_search_says_what_it_minimises_where_it_is_not_cross_entropy() -> None:
    """The plan of any other study keeps its words."""
    told = "3 configurations per cell by a grid, for the lowest validation squared error: 3 for 2 epochs, then"
    assert describe_search(small_config(search_metric="squared_error")).startswith(told)
    assert describe_search(small_config()).startswith("3 configurations per cell by a grid: 3 for 2 epochs, then")
    one = describe_search(small_config(trials=1, epochs=1))
    assert one.startswith("1 configuration per cell by a grid: 1 for 1 epoch")


def test_many_cells_are_shown_by_a_few(capsys: pytest.CaptureFixture[str]) -> None:
    """Seven searches: three are shown and four counted; ablations say what they change."""
    config = small_config(architectures=STUDIED, phases=("search", "ablate"))
    shown = preview(Plan(config, ()), capsys)
    assert shown.count("search-model_") - shown.count("best of search-model_") == SHOWN
    assert "and 11 more like these" in shown
    assert "best of search-model_1-code10 with learning_rate" in shown


def show_plan(plan: Plan, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return the facts that are printed of a plan, by name, of work that takes no time."""
    left = Counter(planned.group.part for planned in plan.list_runnable())
    work, resources = Estimate(dict(left), {}, 0.0, 0.0, 0.0), Resources(0, 1)
    print_plan(plan.config, plan, load_dataset("digits"), work, 0.0, resources, 1.0, parse_location("there"))
    _, *lines = re.sub(r"\n {13}", " ", capsys.readouterr().out).splitlines()
    return {name.strip(): fact.strip() for name, _, fact in (line.partition(":") for line in lines)}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, {"search", "ablated"}),
        ({"arms": ("published",)}, set()),
        ({"architectures": ("siamese",)}, set()),
        ({"phases": ("confirm",)}, set()),
        ({"phases": ("search", "confirm")}, {"search"}),
    ],
)
def test_a_plan_tells_of_searches_and_ablations_that_it_has(
    changes: dict[str, Any], told: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The published arm is not searched, nor are controls."""
    config = small_config(**({"phases": ("search", "confirm", "ablate"), "factors": ("loss",)} | changes))
    assert {*show_plan(Plan(config, ()), capsys)} & {"search", "ablated"} == told


def test_what_cannot_run_is_told_apart_and_not_previewed(capsys: pytest.CaptureFixture[str]) -> None:
    """Two confirmations of a cell whose search failed; their disk is not counted."""
    plan = Plan(small_config(architectures=("model_1",), trials=1, arms=("tuned",)), ())
    taken = take_one(plan)
    assert taken is not None
    before = show_plan(plan, capsys)
    plan.finish(row_of(*taken, status="failed"))
    facts = show_plan(plan, capsys)
    assert facts["trials"] == "7 in all, 1 done, to run: 4 confirm, 2 cannot run"
    assert before["trials"] == "7 in all, 0 done, to run: 6 confirm"
    assert re.search("[1-9].* of them weights", before["disk"])
    assert ", 0 kB of them weights" in facts["disk"]
    assert "tuned" not in preview(plan, capsys)


def test_a_search_trial_that_is_tried_anew_has_known_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """It follows from nothing that is not there."""
    config = small_config(architectures=("model_1",), trials=1, phases=("search",))
    taken = take_one(Plan(config, ()))
    assert taken is not None
    shown = preview(Plan(config, [row_of(*taken, status="failed")], retry_failed=True), capsys)
    assert "search-model_1-code10-round3-grid0000-01-retry1" in shown
    assert "learning_rate=0.01" in shown
    assert "not known yet" not in shown


def test_who_is_not_ablated_is_said() -> None:
    """With the field that changes it: nothing is left out in silence."""
    config = small_config(architectures=("model_1", "model_2"), ablated_architectures=("model_1", "model_4"))
    assert describe_ablated(config) == "model_1 at code size 10; not model_2: ablated_architectures of a study file"
    assert describe_ablated(small_config(architectures=("model_4",))) == "model_4 at code size 10"
    none = describe_ablated(small_config(architectures=("model_2",)))
    assert none == "none; not model_2: ablated_architectures of a study file"


def test_what_no_trial_takes_is_part_of_the_time_but_not_of_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    """Ray's start and the report hold no core; shares of 0.3 leave a tenth of a GPU to nobody."""
    plan, dataset = Plan(small_config(), ()), load_dataset("digits")
    work = Estimate({}, {}, 2 * 36_000.0 - 2 * 8.0, 0.0, 0.0)
    for around in (0.0, 36_000.0):
        print_plan(plan.config, plan, dataset, work, around, Resources(0.3, 6), 1.0, parse_location("there"))
        told = " ".join(capsys.readouterr().out.split())
        assert f"{'16.0 to 26.0' if around else '8.0 to 13.0'} h (20.0 GPU-hours)" in told


@pytest.mark.parametrize(
    ("count", "said"), [(340_000, "340 kB"), (1_250_000, "1.2 MB"), (12_300_000, "12 MB"), (3_400_000_000, "3.4 GB")]
)
def test_sizes_are_said_as_a_person_would(count: int, said: str) -> None:
    """Two digits are enough."""
    assert format_size(count) == said


@pytest.mark.parametrize(
    ("hours", "said"), [(6.66, "6.7 core-hours"), (0.1, "0.1 core-hours"), (0.09, "5.4 core-minutes"), (1e-3, "0.06")]
)
def test_work_of_less_than_a_tenth_of_an_hour_is_said_in_minutes(hours: float, said: str) -> None:
    """No estimate is one of nothing."""
    assert format_work(hours, "core").startswith(said)
