"""Interrupted launches: whatever the moment and the signal, the same command ends with the same tables."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pandas as pd
import pytest

from study.storage.schema import TABLES
from tests.faults.invariants import Damage, Seen, committed, damage
from tests.faults.launches import NAME, Launch, small_study, table
from tests.faults.tally import Tally

pytestmark = [pytest.mark.slow, pytest.mark.fault, pytest.mark.timeout(3600)]

STUDY, CONFIG = small_study()
SIGNALS = {
    "launcher: SIGKILL": signal.SIGKILL,
    "launcher: SIGTERM": signal.SIGTERM,
    "launcher: Ctrl-C": signal.SIGINT,
    "launcher: SIGHUP": signal.SIGHUP,
}
STARTING = 4.0
"""Seconds in which Python may still load the command line and answer a signal in its own way."""


def interrupt(launch: Launch, fault: str, twice: bool, seconds_in: float) -> None:
    """Send the signal and check how the launch ends: soon, in words, and without a process left."""
    sent = SIGNALS[fault]
    if sent == signal.SIGINT:
        os.killpg(launch.process.pid, sent)  # as a terminal does
    else:
        launch.process.send_signal(sent)
    asked = time.monotonic()
    if twice:
        time.sleep(0.3)
        launch.process.send_signal(sent)
    try:
        assert launch.ends(10), launch.said
        if sent != signal.SIGKILL and not (seconds_in < STARTING and launch.process.returncode in (-sent, 128 + sent)):
            assert launch.process.returncode in (130, 0), launch.said
            if launch.process.returncode:
                assert "the same command goes on" in launch.said
            assert "Traceback" not in launch.said
            assert "Exception ignored" not in launch.said
        assert time.monotonic() - asked < 10
        # After SIGKILL two agents of Ray's may wait for over a minute for a server that is gone, before they go too.
        assert not launch.left_after(150 if sent == signal.SIGKILL else 10), launch.said
    finally:
        launch.kill()


def assert_same_tables(results: Path, undisturbed: Path) -> None:
    """Nothing but times may differ: with one trial at a time every suggestion is the same too."""
    for name in ("trials", "epochs", "scores", "codes"):
        ours, theirs = table(results, name), table(undisturbed, name)
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


@pytest.mark.parametrize(("fault", "twice"), [("launcher: SIGTERM", False), ("launcher: Ctrl-C", True)])
def test_interrupting_ends_soon_says_how_to_go_on_and_leaves_no_process(
    fault: str, twice: bool, tmp_path: Path, tally: Tally
) -> None:
    """With two trials at once, also when the user insists; what was committed stays."""
    launch = Launch(tmp_path / "results", *STUDY, "--concurrency", "2")
    launch.wait_for_rows(2)
    interrupt(launch, fault, twice, STARTING)
    assert launch.process.returncode == 130
    found = damage(launch.results / NAME, CONFIG, complete=False)
    tally.add(fault, found)
    assert found == Damage()
    assert launch.rows() >= 2


def test_sigusr1_lets_what_runs_end_and_starts_nothing_else(tmp_path: Path, tally: Tally) -> None:
    """The trial that runs is not thrown away, as Ctrl-C does; the same command ends the study."""
    launch = Launch(tmp_path / "results", *STUDY, "--concurrency", "1")
    launch.wait_for_rows(1)
    launch.process.send_signal(signal.SIGUSR1)
    rows = launch.rows()
    said = launch.finish()
    assert "running trials end, no other starts" in said
    assert "trials are still pending; the same command goes on with them" in said
    assert rows <= len(table(launch.results, "trials")) <= rows + 2
    Launch(launch.results, *STUDY, "--concurrency", "2").finish()
    found = damage(launch.results / NAME, CONFIG)
    tally.add("launcher: SIGUSR1", found)
    assert found == Damage()


def compacted(folder: Path) -> bool:
    """Whether the files of every table are joined, after which the report is written."""
    files = [path for name in TABLES for path in (folder / name).glob("*.parquet")]
    return bool(files) and all(path.name.startswith("compacted-") for path in files)


@pytest.mark.parametrize("twice", [False, True])
def test_sigterm_while_ray_stops_is_answered_in_words(twice: bool, tmp_path: Path, tally: Tally) -> None:
    """Ray's core gives the signal back to the system a second before the last of its processes has ended."""
    launch = Launch(tmp_path / "results", *STUDY, "--concurrency", "2")
    launch.wait_for_rows(1)
    while any("raylet" in command for command in launch.processes().values()):
        assert launch.process.poll() is None, launch.said
        time.sleep(0.005)
    interrupt(launch, "launcher: SIGTERM", twice, STARTING)
    assert launch.process.returncode == 130
    found = damage(launch.results / NAME, CONFIG)
    tally.add("launcher: SIGTERM while Ray stops", found)
    assert found == Damage()


def test_sigterm_while_the_report_is_written_is_answered_in_words(tmp_path: Path, tally: Tally) -> None:
    """Ray is gone by then, and with it what it had done to signals."""
    flags = [flag for flag in STUDY if flag != "--no-report"]
    launch = Launch(tmp_path / "results", *flags, "--concurrency", "2")
    launch.wait_for_rows(1)
    while not compacted(launch.results / NAME):
        assert launch.process.poll() is None, launch.said
        time.sleep(0.02)
    interrupt(launch, "launcher: SIGTERM", False, STARTING)
    assert launch.process.returncode == 130
    found = damage(launch.results / NAME, CONFIG)
    tally.add("launcher: SIGTERM during the report", found)
    assert found == Damage()


def test_interrupted_at_random_moments_the_same_command_ends_with_the_same_tables(
    tmp_path: Path, tally: Tally, every_fault: bool
) -> None:
    """SIGKILL, SIGTERM, Ctrl-C and SIGHUP in turn, also twice, from the first moment to the last."""
    if not every_fault:
        pytest.skip("make test-faults does it; test_study.py goes on after SIGKILL")
    undisturbed = tmp_path / "undisturbed" / "results"
    undisturbed.parent.mkdir()
    started = time.monotonic()
    Launch(undisturbed, *STUDY, "--concurrency", "1").finish()
    duration = time.monotonic() - started

    moments = random.Random(0)
    faults = list(SIGNALS) * 6
    folder = 0
    before: Seen = {}
    while True:
        results = tmp_path / str(folder) / "results"
        results.parent.mkdir(exist_ok=True)
        launch = Launch(results, *STUDY, "--concurrency", "1")
        moment = moments.uniform(0, duration)
        if faults and not launch.ends(moment):
            fault = faults.pop(0)
            interrupt(launch, fault, moments.random() < 0.5, moment)
            found = damage(results / NAME, CONFIG, before, complete=False)
            before = committed(results / NAME)
            tally.add(fault, found)
            assert found == Damage(), launch.said
            continue
        launch.finish()
        found = damage(results / NAME, CONFIG, before)
        tally.add("launcher: the same command, to the end", found)
        assert found == Damage()
        assert_same_tables(results, undisturbed)
        if not faults:
            return
        folder, before = folder + 1, {}
