"""Lines say what ended, as many as asked for, and how long the rest takes."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from study.config.options import Verbosity
from study.display.progress import Progress
from study.plan.plan import Plan
from tests.faults.launches import find_tiny_data
from tests.studies import row_of, small_config, take_one
from tests.study.display.test_live import FIGURES, ROOT, ended


@pytest.mark.parametrize(
    ("verbosity", "told"),
    [
        ("quiet", ["starts again", "failed"]),
        ("normal", ["starting workers", "complete", "starts again", "failed"]),
        ("verbose", ["starting workers", "epoch 1", "complete", "starts again", "failed"]),
    ],
)
def test_lines_are_as_many_as_asked_for(verbosity: Verbosity, told: list[str]) -> None:
    """Quiet leaves out what went well; verbose adds epochs; no line has codes of a terminal."""
    plan, out = Plan(small_config(), ()), io.StringIO()
    with Progress(plan, 1, out, verbosity) as progress:
        progress.tick()
        progress.epoch_ended("search-model_1-code10-0000", FIGURES)
        progress.trial_ended(ended(plan), None)
        progress.attempt_failed("search-model_4-code10-0000", "its worker died")
        progress.trial_ended(ended(plan, "failed", reason="CUDA error"), None)
    lines = out.getvalue().splitlines()
    assert len(lines) == len(told)
    assert all(word in line for word, line in zip(told, lines, strict=True))
    assert "\x1b" not in out.getvalue()


def test_a_line_has_the_value_by_which_something_is_chosen_or_the_one_on_test_images() -> None:
    """Of a search and of a rate that an ablation tries, that on validation images; nothing of what diverged."""
    config = small_config(architectures=("model_4",), arms=("tuned",), trials=1, seeds=1, factors=("activation",))
    plan, out = Plan(dataclasses.replace(config, phases=("search", "confirm", "ablate")), ()), io.StringIO()
    progress = Progress(plan, 1, out)
    while (taken := take_one(plan)) is not None:
        planned = taken[0]
        row = row_of(*taken, 111.11, "diverged" if planned.level and planned.level.label == "relu" else "complete")
        plan.finish(row)
        progress.trial_ended(row | {"seconds": 1.0, "reason": None}, None if planned.validated else 2.22)
    for line in out.getvalue().splitlines():
        search = "search-" in line or "-rate" in line
        assert ("validation cross-entropy 111.1" in line) == (search and "diverged" not in line)
        assert ("test squared error 2.22" in line) == (not search)


def test_time_left_follows_the_seconds_of_trials_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two search trials of 2 epochs took 20 s, one at a time: four more, and others of 5 epochs at 5 s an epoch."""
    plan = Plan(small_config(), ())
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress = Progress(plan, 1, io.StringIO())
    assert progress.estimate_left() is None
    for _ in range(2):
        now += 10.0
        progress.trial_ended(ended(plan) | {"device_seconds": 10.0}, None)
    # 4 searches of 10 s, 8 finalists and 8 confirmations of 25 s; of the two controls nothing is known yet.
    assert progress.estimate_left() == pytest.approx(440.0)


@pytest.mark.slow
def test_a_verbose_launch_says_more(tmp_path: Path) -> None:
    """To a file: the plan, epochs, and Ray's words; test_rounds_on_ray.py has a quiet one."""
    study = ["--preset", "quick", "--dataset", find_tiny_data(), "--architectures", "unpool_only", "--trials", "1"]
    study += ["--epochs", "3", "--concurrency", "1"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "study" / "launch.py"), *study, "--phase", "search", "--no-report", "--verbose"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("search-unpool_only-code10-round3-grid0000-01 epoch ") == 3
    loading, first, *others = done.stdout.splitlines()
    assert loading == "study quick-tiny: loading libraries and data ..."
    assert first == "starting Ray ..." and first not in others
    assert others.index("starting workers ...") > [line[:11] for line in others].index("  estimate:")
    assert "Started a local Ray instance" in done.stderr
    assert re.match(r"next:   \S*python \S*analysis/report\.py ", done.stdout.splitlines()[-1])
    assert "\x1b" not in done.stdout


def test_a_search_trial_is_shown_with_what_its_search_minimises() -> None:
    """Under its name."""
    plan, out = Plan(small_config(search_metric="squared_error"), ()), io.StringIO()
    taken = take_one(plan)
    assert taken is not None
    row = row_of(*taken, 111.1, squared_error=22.2) | {"seconds": 1.0, "reason": None}
    plan.finish(row)
    Progress(plan, 1, out).trial_ended(row, None)
    assert "validation squared error 22.2" in out.getvalue()
    assert "entropy" not in out.getvalue()


def test_a_search_trial_is_shown_with_its_cross_entropy_and_a_confirmed_one_with_its_squared_error() -> None:
    """Neither stands under the other's name."""
    plan, out = Plan(small_config(), ()), io.StringIO()
    progress = Progress(plan, 1, out)
    while taken := take_one(plan):
        planned, trial_config = taken
        row = row_of(planned, trial_config, 111.1) | {
            "validation_squared_error": 22.2,
            "train_cross_entropy": 333.3,
            "seconds": 1.0,
            "device_seconds": 1.0,
            "reason": None,
        }
        if planned.phase != "search":
            row["validation_cross_entropy"] = None
        plan.finish(row)
        progress.trial_ended(row, None if planned.phase == "search" else 44.44)
    lines = out.getvalue().splitlines()
    searched = [line for line in lines if " search-" in line]
    confirmed = [line for line in lines if " confirm-" in line]
    assert len(searched) == 14
    assert all("validation cross-entropy 111.1" in line and "squared" not in line for line in searched)
    assert all("test squared error 44.44" in line and "entropy" not in line for line in confirmed)


def test_a_reader_that_has_left_ends_no_study() -> None:
    """As `tee` that was killed: nothing more is written, and nothing raised, when Python ends neither."""
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8") as out:
        progress = Progress(Plan(small_config(), ()), 1, out)
        progress.say("heard")
        os.close(reading)
        for _ in range(2):
            progress.say("not heard")
