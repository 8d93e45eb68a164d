"""What a launch asks of the tuner."""

from __future__ import annotations

import inspect
import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from analysis.claims.rules import DIGEST, digest_rules
from study import driver, launch
from study.driver import EPOCH_LIMIT_FACTOR, LEAST_EPOCH_LIMIT
from study.execution import cluster
from study.execution.estimate import Estimate
from study.execution.tuner import Resources, run_plan


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What a launch hands to the tuner, which runs nothing."""
    handed: dict[str, object] = {}
    signature = inspect.signature(run_plan)

    def spy(*arguments: object, **named: object) -> None:
        handed.update(signature.bind(*arguments, **named).arguments)

    monkeypatch.setattr(driver, "run_plan", spy)
    monkeypatch.setattr(driver, "estimate_plan", lambda *_: Estimate({}, {}, 1.0, 1.0, epoch_seconds=7.0))
    monkeypatch.setattr(cluster, "connect", lambda *_, **__: nullcontext(Resources(0, 1)))
    return handed


@pytest.mark.parametrize(
    ("flags", "epoch_limit", "time_budget"),
    [
        (["--epoch-limit", "3", "--time-budget", "0.5"], 180.0, 1800.0),
        ([], LEAST_EPOCH_LIMIT + EPOCH_LIMIT_FACTOR * 7.0, None),
    ],
)
def test_limits_reach_the_tuner_in_seconds(
    flags: list[str], epoch_limit: float, time_budget: float | None, tmp_path: Path, seen: dict[str, object]
) -> None:
    """Minutes of an epoch, hours of a launch; by default half an hour and twenty times the longest epoch expected."""
    command = ["--preset", "quick", "--quiet", "--results-dir", str(tmp_path), *flags]
    assert launch.main(command) == 0
    assert seen["epoch_limit"] == epoch_limit
    assert seen["time_budget"] == time_budget


def test_the_rules_of_judging_are_declared_when_a_study_begins_and_at_no_later_launch(
    tmp_path: Path, seen: dict[str, object]
) -> None:
    """Others, of the code that began it, stay; a study begun without any has none."""
    path, command = (
        tmp_path / "quick-digits" / "study.json",
        ["--preset", "quick", "--quiet", "--results-dir", str(tmp_path)],
    )
    assert launch.main(command) == 0
    manifest = json.loads(path.read_text())
    assert manifest[DIGEST] == digest_rules()
    assert [launched["seeds"] for launched in manifest["launches"]] == [3]
    earlier = manifest | {DIGEST: "0" * 64}
    for before in (earlier, {name: value for name, value in manifest.items() if name != DIGEST}):
        path.write_text(json.dumps(before))
        assert launch.main(command) == 0
        after = json.loads(path.read_text())
        assert after.get(DIGEST) == before.get(DIGEST)
        assert len(after["launches"]) == len(before["launches"]) + 1
