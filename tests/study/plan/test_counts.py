"""Trials that ended are counted as the configuration plans them."""

from __future__ import annotations

from study.plan.counts import Tally
from study.plan.trials import plan_trials
from tests.studies import row_of, small_config


def test_a_tally_counts_what_is_planned_only() -> None:
    """Rows of a cell that the configuration no longer has are left out, and an ablated code size is its base's."""
    config = small_config(phases=("search", "confirm", "ablate"), ablated_architectures=("model_1",))
    rows = [row_of(planned, None) for planned in plan_trials(config)]
    foreign = [row_of(planned, None) for planned in plan_trials(small_config(architectures=("model_5",)))]
    rows = [row | ({"code_size": 99, "base_code_size": 10} if row["phase"] == "ablate" else {}) for row in rows]
    tally = Tally(config, [*rows, *(row for row in foreign if row["architecture"] == "model_5")])
    assert {(phase, cell): count for (phase, cell, _), count in tally.ended.items()} == tally.planned
