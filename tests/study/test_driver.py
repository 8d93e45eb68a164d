"""What a launch asks of the tuner."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from pathlib import Path

import pytest

from study import driver, launch
from study.driver import EPOCH_LIMIT_FACTOR, LEAST_EPOCH_LIMIT
from study.execution import cluster
from study.execution.estimate import Estimate
from study.execution.tuner import Resources, run_plan


@pytest.mark.parametrize(
    ("flags", "epoch_limit", "time_budget"),
    [
        (["--epoch-limit", "3", "--time-budget", "0.5"], 180.0, 1800.0),
        ([], LEAST_EPOCH_LIMIT + EPOCH_LIMIT_FACTOR * 7.0, None),
    ],
)
def test_limits_reach_the_tuner_in_seconds(
    flags: list[str],
    epoch_limit: float,
    time_budget: float | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Minutes of an epoch, hours of a launch; by default half an hour and twenty times the longest epoch expected."""
    seen: dict[str, object] = {}
    signature = inspect.signature(run_plan)

    def spy(*arguments: object, **named: object) -> None:
        seen.update(signature.bind(*arguments, **named).arguments)

    monkeypatch.setattr(driver, "run_plan", spy)
    monkeypatch.setattr(driver, "estimate_plan", lambda *_: Estimate({}, {}, 1.0, 1.0, epoch_seconds=7.0))
    monkeypatch.setattr(cluster, "connect", lambda *_, **__: nullcontext(Resources(0, 1)))
    command = ["--preset", "quick", "--quiet", "--results-dir", str(tmp_path), *flags]
    assert launch.main(command) == 0
    assert seen["epoch_limit"] == epoch_limit
    assert seen["time_budget"] == time_budget
