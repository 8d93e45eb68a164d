"""Trials that die: each starts again from its beginning, then fails with its reason, and the study goes on."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from study.execution.tuner import RETRIES
from study.plan.trials import plan_trials
from tests.faults.invariants import Damage, damage, not_numbers
from tests.faults.launches import FAULTY, NAME, Launch, assert_ended_in_words, small_study, table
from tests.faults.tally import Tally

pytestmark = [pytest.mark.slow, pytest.mark.fault, pytest.mark.timeout(1800)]

STUDY, CONFIG = small_study(seeds=2)
IDS = [planned.trial_id for planned in plan_trials(CONFIG) if planned.phase == "search" or planned.arm != "tuned"]
"""Of trials that are known before the search has ended."""
REASONS = {
    "exception": "RuntimeError: injected in training (faulty.py:",
    "unpicklable": "Unpicklable: injected: this cannot be sent (faulty.py:",
    "cuda": "AcceleratorError: CUDA error: an illegal memory access was encountered (faulty.py:",
    "memory": "can't allocate memory",
    "killed": "its worker process has died",
    "exit": "its worker process has died",
    "evaluation": "ValueError: injected in evaluation (faulty.py:",
    "hang": "an epoch may take",
    "hang_in_c": "an epoch may take",
}
"""What the rows say of each fault."""

EPOCH_LIMIT = ("--epoch-limit", "0.1")
NAMES = {
    "exception": "exception in training",
    "unpicklable": "exception that cannot be sent",
    "cuda": "CUDA error (simulated)",
    "memory": "out of memory",
    "killed": "worker SIGKILLed in a step",
    "exit": "worker exits",
    "evaluation": "exception in evaluation",
    "hang": "hangs asleep",
    "hang_in_c": "hangs in C with the interpreter held",
    "diverge": "diverges",
}
"""What the table calls them."""


def launch(folder: Path, faults: dict[str, tuple[str, int]], *flags: str, **environment: str) -> Launch:
    """Start the study whose trials meet faults: of each trial, which and in how many attempts."""
    attempts = folder / "attempts"
    attempts.mkdir(parents=True, exist_ok=True)
    script = (str(FAULTY), json.dumps(faults))
    return Launch(folder / "results", *STUDY, *flags, script=script, CAE_STUDY_ATTEMPTS=str(attempts), **environment)


def attempts_of(folder: Path) -> dict[str, int]:
    """Return how often each trial was begun."""
    return {path.name: path.stat().st_size for path in (folder / "attempts").iterdir()}


def count(tally: Tally, faults: dict[str, tuple[str, int]], found: Damage) -> None:
    """Count each attempt that met a fault; what was found is counted once."""
    for number, (fault, times) in enumerate(faults.values()):
        tally.add(f"trial: {NAMES.get(fault, fault)}", found if number == 0 else Damage(), times)


@pytest.mark.slow(minutes=5)
@pytest.mark.parametrize("shift", [0, 3, 6])
def test_a_trial_that_dies_starts_again_and_ends_as_if_nothing_had_happened(
    shift: int, tmp_path: Path, tally: Tally, every_fault: bool
) -> None:
    """Every fault is met by three trials as often as there are retries, and no figure of any trial changes."""
    if not every_fault:
        pytest.skip("make test-faults does it; the next test has trials that start again too")
    launch(tmp_path / "undisturbed", {}, "--concurrency", "2").finish()
    expected = table(tmp_path / "undisturbed" / "results", "trials").set_index("trial_id")
    names, folder = list(REASONS), tmp_path / "disturbed"
    in_turn = itertools.cycle(names[shift:] + names[:shift])
    faults = {trial_id: (next(in_turn), RETRIES) for trial_id in IDS}
    # Search evaluates no code, and controls no model: they have nothing to fail in there.
    faults = {
        i: ("exit", n) if f == "evaluation" and "-published-" not in i else (f, n) for i, (f, n) in faults.items()
    }
    said = launch(folder, faults, "--concurrency", "2", *EPOCH_LIMIT).finish()
    found = damage(folder / "results" / NAME, CONFIG)
    count(tally, faults, found)
    assert found == Damage(), said
    assert {i: n for i, n in attempts_of(folder).items() if i in IDS} == dict.fromkeys(IDS, RETRIES + 1), said
    trials = table(folder / "results", "trials").set_index("trial_id")
    assert set(trials.status) == {"complete"}, said
    pd.testing.assert_frame_equal(trials, expected, check_exact=True)


def test_a_worker_that_dies_between_two_trials_costs_neither(tmp_path: Path, tally: Tally) -> None:
    """As one that waits on a node that dies, or that cannot be made ready: Tune would end the next trial at once."""
    faults = {"confirm-pca-code10": ("exit in reset", 1), "confirm-raw_pixels-code784": ("raise in reset", 1)}
    said = launch(tmp_path, faults).finish()
    reasons = ("The actor is dead because its worker process has died", "OSError: injected in reset")
    for trial_id, reason in zip(faults, reasons, strict=True):
        assert (tmp_path / "attempts" / f"reset-{trial_id}").exists()
        assert re.search(f"^{trial_id} starts again: .*{reason}", said, re.MULTILINE), said
    found = damage(tmp_path / "results" / NAME, CONFIG)
    tally.add("trial: worker exits or raises before it begins", found, len(faults))
    assert found == Damage(), said
    assert set(table(tmp_path / "results", "trials").status) == {"complete"}


def test_a_worker_that_ray_ends_for_want_of_memory_is_one_that_died(
    tmp_path: Path, tally: Tally, every_fault: bool
) -> None:
    """Its monitor ends workers where the machine has little left, whoever uses it; Tune would end with them."""
    if not every_fault:
        pytest.skip("make test-faults does it, where memory is quiet; test_tuner.py has the same error")
    hungry, used = "confirm-pca-code10", psutil.virtual_memory().percent / 100
    limits = {"RAY_memory_usage_threshold": f"{used + 0.07:.2f}", "RAY_memory_monitor_refresh_ms": "100"}
    said = launch(tmp_path, {hungry: ("more than the machine has", 1)}, **limits).finish()
    assert re.search(f"^{hungry} starts again: .*memory", said, re.MULTILINE), said
    found = damage(tmp_path / "results" / NAME, CONFIG)
    tally.add("trial: ended by Ray for want of memory", found)
    assert found == Damage(), said
    assert set(table(tmp_path / "results", "trials").status) == {"complete"}


def test_trials_that_die_every_time_are_failed_with_their_reason_and_the_study_says_what_it_lacks(
    tmp_path: Path, tally: Tally, every_fault: bool
) -> None:
    """Others start again and complete; the search, whose one trial diverges and the other fails, is named twice."""
    search, published = IDS[:4], [trial_id for trial_id in IDS if "-published-" in trial_id]
    always = RETRIES + 1
    faults = {published[0]: ("evaluation", 1)} | dict.fromkeys(search[:3], ("diverge", 1))
    faults |= {search[3]: ("exception", always)}
    faults |= {
        published[1]: ("killed", 1),
        "confirm-pca-code10": ("cuda", 1),
        "confirm-raw_pixels-code784": ("hang", 1),
    }
    if every_fault:
        faults |= dict.fromkeys(search[2:], ("exception", always)) | {published[0]: ("evaluation", always)}
        faults |= {published[1]: ("hang_in_c", always), "confirm-pca-code10": ("memory", always)}
    said = launch(tmp_path, faults, "--concurrency", "2", *EPOCH_LIMIT).finish(status=1)
    found = damage(tmp_path / "results" / NAME, CONFIG, complete=False)
    count(tally, faults, found)
    assert found == Damage()
    assert not_numbers(tmp_path / "results" / NAME) == 0
    trials = table(tmp_path / "results", "trials").set_index("trial_id")
    assert sorted(trials.index) == sorted(IDS)
    begun = attempts_of(tmp_path)
    for trial_id, (fault, times) in faults.items():
        if fault == "diverge":
            assert trials.status[trial_id] == "diverged"
            assert trials.epochs[trial_id] == 1
            assert pd.isna(trials.train_cross_entropy[trial_id])
            assert begun[trial_id] == 1
        elif times == always:
            assert trials.status[trial_id] == "failed"
            assert REASONS[fault] in trials.reason[trial_id]
            assert begun[trial_id] == always
        else:
            assert trials.status[trial_id] == "complete"
            assert begun[trial_id] == times + 1
        if fault not in ("diverge", "killed", "hang_in_c", "hang"):
            assert f"{trial_id} starts again: {REASONS[fault]}" in said.replace(
                "RuntimeError: [enforce", REASONS["memory"]
            )
    assert "warning: no trial of the search of unpool_only-code10 gave a result; the last ended as" in said
    assert "error: no trial of the search of unpool_only-code10" in said
    assert "so 2 others cannot run" in said
    assert "still pending" not in said
    assert_ended_in_words(said)
    assert not (tmp_path / "results" / NAME / "report").exists()  # it was left out
    retried = [f"{trial_id}-retry1" for trial_id in trials.index[trials.status == "failed"]]
    launch(tmp_path, {}, "--retry-failed").finish()
    again = table(tmp_path / "results", "trials").set_index("trial_id")
    assert set(again.status[retried]) == {"complete"}
    assert any(trial_id.startswith("confirm-unpool_only-code10-tuned") for trial_id in again.index)
    pd.testing.assert_frame_equal(again.loc[trials.index], trials, check_exact=True)


@pytest.mark.slow(minutes=8)
def test_workers_killed_from_outside_lose_no_trial(tmp_path: Path, tally: Tally, every_fault: bool) -> None:
    """At random moments, each trial at most as often as there are retries."""
    if not every_fault:
        pytest.skip("make test-faults does it: a trial that kills its worker is the short version")
    flags, config = small_study(seeds=8, epochs=100)
    running = Launch(tmp_path / "results", *flags)
    moments = random.Random(1)
    kills = 0
    while running.process.poll() is None:
        done, of_one = running.rows(), 0
        while running.rows() == done and running.process.poll() is None:
            time.sleep(moments.uniform(0.1, 1))
            workers = running.workers()
            if workers and of_one < RETRIES and running.rows() == done:
                os.kill(workers[0], signal.SIGKILL)
                kills, of_one = kills + 1, of_one + 1
    running.finish()
    found = damage(tmp_path / "results" / NAME, config)
    tally.add("worker: SIGKILL from outside", found, kills)
    assert found == Damage()
    assert kills >= 20
    assert set(table(tmp_path / "results", "trials").status) <= {"complete", "pruned"}
