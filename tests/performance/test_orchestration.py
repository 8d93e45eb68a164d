"""What the benchmarks say of waits and of scale is what happened: real trials on Ray, simulated ones at scale."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

import orchestration
import pytest
import simulated_scale

from study.plan.plan import Plan
from study.plan.trials import plan_trials
from study.storage.schema import SCHEMA_VERSION
from study.storage.store import Store
from tests.studies import take_one
from trainables.models.architectures import BUILT_IN
from trainables.models.layers import count_multiply_adds

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_waits_are_those_between_the_trials_of_a_slot() -> None:
    """Two slots, five trials, worked by hand: the third follows the first, the fourth the second, the fifth the third.

    They wait 1, 2 and 3 s; the slots are open from 0 to 12 s.
    """
    spans = [(0.0, 3.0), (0.0, 4.0), (4.0, 6.0), (6.0, 10.0), (9.0, 12.0)]
    seen = orchestration.waits("ours", spans, 2, 300, 15.0, busy=1.5)
    assert (seen.trials, seen.between_seconds, seen.between_most_seconds) == (5, 2.0, 3.0)
    assert seen.waiting_share == pytest.approx(6 / 24)
    assert seen.busy_share == pytest.approx(1.5 / 30)
    assert seen.trials_a_minute == pytest.approx(20)


def test_the_filters_that_the_search_draws_cost_what_the_page_says() -> None:
    """Beside the published ones, which the baseline trains; of as many trials as `make bench` runs."""
    plan, row = Plan(orchestration.make_config(40), ()), BUILT_IN[orchestration.ARCHITECTURE]
    drawn = [trial_config.filters for _, trial_config in iter(lambda: take_one(plan), None) if trial_config]
    assert len(drawn) == 40
    ratio = statistics.mean(count_multiply_adds(row, 10, filters) for filters in drawn)
    ratio /= count_multiply_adds(row, 10, row.published_filters)
    said = f"{ratio:.1f} times the multiply-adds"
    assert said in (BENCHMARKS.parent / "docs" / "performance.md").read_text(encoding="utf-8")
    assert said in str(orchestration.__doc__)


@pytest.mark.slow
def test_a_simulated_study_runs_every_trial_once_by_the_real_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty slots; each planned trial ends as one row, and searches go on by rounds."""
    monkeypatch.setattr(simulated_scale, "SEEDS", 1)
    meter, done, files = simulated_scale.measure_scale(20, 240, tmp_path)
    store = Store(tmp_path / "study")
    rows = store.read_trials()
    config = simulated_scale.config_of(240, 20)
    assert sorted(row["trial_id"] for row in rows) == sorted(planned.trial_id for planned in plan_trials(config, rows))
    assert done == len(rows)
    assert files >= 2 * (done - 4) + 1
    assert {row["status"] for row in rows} == {"complete"}
    assert {1, 3} <= set(Counter(row["round"] for row in rows))
    epochs = sum(row["epochs"] for row in rows)
    assert sum(part.results for part in meter.parts) == epochs + 4  # a report for each epoch and each control
    manifest = store.require_study()
    assert (manifest["schema_version"], manifest["name"]) == (SCHEMA_VERSION, config.name)


@pytest.mark.slow
@pytest.mark.parametrize(("side", "trials"), [("ours", 4), ("stock", 2)])
def test_the_waits_of_real_trials_are_measured(side: str, trials: int) -> None:
    """A few short trials on a Ray of their own, by either side; each of the baseline's has a worker of its own."""
    script = [sys.executable, str(BENCHMARKS / "orchestration.py")]
    command = [*script, side, "--seconds", "0.2", "--trials", str(trials), "--slots", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout.splitlines()[-1])
    assert (seen["side"], seen["trials"]) == (side, trials)
    assert 0 < seen["trial_seconds"] < seen["seconds"]
    assert 0 <= seen["between_seconds"] <= seen["between_most_seconds"] < seen["seconds"]
    assert 0 < seen["busy_share"] < 1


@pytest.mark.slow
def test_the_baselines_search_ends_with_its_best() -> None:
    """Two trials of two epochs, as a user would run it."""
    script = [sys.executable, str(BENCHMARKS / "stock.py"), "--concurrency", "1"]
    command = [*script, "--architecture", "unpool_only", "--trials", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("2 trials of unpool_only in ")
