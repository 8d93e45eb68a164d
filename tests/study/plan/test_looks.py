"""Looks: what each spends, against published boundaries, and when one is taken."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import scipy.stats

from study.plan.looks import check_looks, declare_looks, has_look_ended, share_level, spend
from study.plan.plan import Plan
from study.plan.trials import plan_trials
from study.storage.location import parse_location
from tests.studies import row_of, small_config, take_one
from trainables.errors import FieldError, InputError

PUBLISHED = {
    3: (3.7103, 2.5114, 1.9930),
    5: (4.8769, 3.3569, 2.6803, 2.2898, 2.0310),
}
"""Two-sided boundaries at 5 % of Lan and DeMets's O'Brien-Fleming-like function for so many equally spaced looks.

Source: Jennison and Turnbull, "Group Sequential Methods", 1999, and the tables of R's package ldbounds."""


@pytest.mark.parametrize("looks", PUBLISHED)
def test_the_published_boundaries_are_crossed_as_often_as_is_spent(looks: int) -> None:
    """By SciPy's multivariate normal distribution of the looks' statistics: what a look adds is its level."""
    times = np.arange(1, looks + 1) / looks
    correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    bounds, inside = np.array(PUBLISHED[looks]), [1.0]
    for count in range(1, looks + 1):
        normal = scipy.stats.multivariate_normal(np.zeros(count), correlation[:count, :count])
        inside.append(float(normal.cdf(bounds[:count], lower_limit=-bounds[:count])))
    levels = share_level(range(1, looks + 1))
    assert np.allclose(levels, -np.diff(inside), rtol=0, atol=5e-5)
    assert sum(levels) == pytest.approx(0.05)


def test_cumulative_spending_is_as_published() -> None:
    """At fifths of the information, ldbounds has 0.00079, 0.00762, 0.02442 and 0.05."""
    spent = [spend(share) for share in (0.4, 0.6, 0.8, 1.0)]
    assert spent == pytest.approx([0.00079, 0.00762, 0.02442, 0.05], abs=5e-6)


@pytest.mark.parametrize(
    ("changes", "looks"),
    [
        ({"seeds": 3}, (3, 5, 8, 12)),
        ({"seeds": 5}, (5, 8, 12)),
        ({"seeds": 8, "seeds_at": (("tuned", 10, 6), ("published", 10, 3))}, (6, 8, 12)),
        ({"seeds": 9}, (9, 12)),
    ],
)
def test_looks_begin_with_the_fewest_seeds_as_configured(changes: dict[str, Any], looks: tuple[int, ...]) -> None:
    """And go on among 5, 8 and 12."""
    assert small_config(until_decided=True, **changes).looks == looks


@pytest.mark.parametrize("changes", [{"seeds": 2}, {"seeds": 12}, {"seeds": 5, "arms": ("published",)}])
def test_what_cannot_be_looked_at_is_refused(changes: dict[str, Any]) -> None:
    """Two runs are never compared, there is no look beyond twelve, and the headline is of the tuned arm."""
    with pytest.raises(FieldError, match="until_decided from") as raised:
        small_config(until_decided=True, **changes)
    assert raised.value.accepted == "the arm tuned, from 3 to 11 seeds"
    with pytest.raises(FieldError, match="until_decided with objectives"):
        small_config(until_decided=True, seeds=3, objectives=("reconstruction", "denoising"))
    with pytest.raises(FieldError, match="until_decided with objectives variational"):
        small_config(until_decided=True, seeds=3, objectives=("variational",))


def test_looks_are_declared_before_confirmed_runs_and_never_changed() -> None:
    """A launch with others, or none, is refused; so is one that comes to look when there is something to be seen."""
    config, folder = small_config(until_decided=True, seeds=3), parse_location("results")
    declared = {"looks": declare_looks(config)}
    assert declared["looks"] is not None
    confirmed = [{"phase": "confirm", "arm": "tuned"}]
    check_looks(config, declared, confirmed, folder)
    check_looks(config, {}, [{"phase": "search", "arm": "tuned"}, {"phase": "confirm", "arm": "published"}], folder)
    check_looks(dataclasses.replace(config, until_decided=False), {}, confirmed, folder)
    with pytest.raises(InputError, match="1 confirmed runs can be seen already"):
        check_looks(config, {}, confirmed, folder)
    for changes in ({"until_decided": False}, {"seeds": 5}, {"architectures": ("model_1",)}, {"code_sizes": (2, 10)}):
        with pytest.raises(InputError, match="looks at 3, 5, 8, 12 seeds of model_1, model_4 at code sizes 10"):
            check_looks(dataclasses.replace(config, **changes), declared, (), folder)


def test_looks_at_the_same_cells_in_another_order_are_those_that_were_declared() -> None:
    """As study.json has them; a code size that has the seeds of the other is another plan."""
    config = small_config(until_decided=True, seeds=3, code_sizes=(2, 10), seeds_at=(("tuned", 10, 4),))
    declared, folder = json.loads(json.dumps({"looks": declare_looks(config)})), parse_location("results")
    for order in ({"code_sizes": (10, 2)}, {"architectures": ("model_4", "model_1")}):
        check_looks(dataclasses.replace(config, **order), declared, (), folder)
    declared["looks"]["levels"][0] += 1e-15  # as another version of Python works it out
    check_looks(config, declared, (), folder)
    with pytest.raises(InputError, match="was begun with looks at 3, 5, 8, 12 seeds"):
        check_looks(dataclasses.replace(config, seeds_at=(("tuned", 2, 4),)), declared, (), folder)


def test_only_the_headlines_arm_of_a_model_is_brought_to_more_seeds() -> None:
    """At every code size; the other model, the published arm and controls keep theirs."""
    config = small_config(code_sizes=(2, 10), seeds=3, seeds_at=(("tuned", 10, 4),))
    plain, more = ({each.trial_id for each in plan_trials(config, (), also)} for also in ({}, {"model_4": 5}))
    assert more - plain == {
        *(f"confirm-model_4-code2-tuned-{number:02d}-undecided" for number in (4, 5)),
        "confirm-model_4-code10-tuned-05-undecided",
    }
    assert not plain - more


@pytest.mark.parametrize(("lost", "ended"), [(None, True), ("tuned", False), ("control", False), ("published", True)])
def test_a_look_waits_for_what_it_judges(lost: str | None, ended: bool) -> None:
    """One run of the tuned arm or one control that has not ended, but not for the published arm."""
    plan = Plan(small_config(trials=1, seeds=3, until_decided=True), ())
    while (taken := take_one(plan)) is not None:
        plan.finish(row_of(*taken, status="failed" if taken[0].number == 2 else "complete"))
    rows = dict(plan.rows)
    if lost is not None:
        del rows[next(name for name, row in rows.items() if row["phase"] == "confirm" and row["arm"] == lost)]
    assert has_look_ended(plan.config, rows, {}) == ended
    assert not has_look_ended(plan.config, plan.rows, {"model_1": 5})


def test_a_look_does_not_wait_for_a_cell_whose_search_found_nothing() -> None:
    """All of whose trials diverged; while the search still runs it waits."""
    plan = Plan(small_config(trials=1, seeds=3, until_decided=True), ())
    while (taken := take_one(plan)) is not None:
        lost = taken[0].phase == "search" and taken[0].cell.architecture == "model_1"
        plan.finish(row_of(*taken, status="diverged" if lost else "complete"))
    assert not [name for name in plan.rows if "confirm-model_1-code10-tuned" in name]
    assert has_look_ended(plan.config, plan.rows, {})
    searching = {name: row for name, row in plan.rows.items() if not name.startswith("search-model_1")}
    assert not has_look_ended(plan.config, searching, {})
