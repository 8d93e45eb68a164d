"""Interrupted launches: whatever the moment and the signal, the same command ends with the same tables."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from ray._common.utils import get_default_ray_temp_dir

from study.execution.local import STARTS
from study.storage.schema import TABLES
from tests.faults.invariants import Damage, Seen, committed, damage
from tests.faults.launches import NAME, Launch, assert_ended_in_words, small_study, table
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

STAGES: Mapping[str, Callable[[Launch], bool]] = {
    "Python starts": lambda launch: True,
    "Ray's server starts": lambda launch: shows(launch, "gcs_server"),
    "Ray's node starts": lambda launch: shows(launch, "raylet/raylet"),
    "its agents start": lambda launch: shows(launch, "agent.py", "agent/main.py", "ray::"),
    "workers start": lambda launch: shows(launch, "ray::IDLE", "default_worker.py"),
    "a trial runs": lambda launch: bool(launch.workers()),
    "a row is written": lambda launch: any((launch.results / NAME).glob("*/.*")),
    "files are joined": lambda launch: compacted(launch.results / NAME),
}
"""What a launch goes through, however fast the machine is: how each is seen from outside."""

KILLED = {
    "Ray: gcs_server SIGKILL": ("gcs_server",),
    "Ray: raylet SIGKILL": ("raylet/raylet",),
    "worker: SIGKILL from outside": ("ray::",),
}
"""Processes of a launch that are killed beneath it, by what their command lines have."""


def shows(launch: Launch, *parts: str) -> bool:
    """Whether a process of the launch has one of ``parts`` in its command line."""
    return any(part in command for command in launch.processes().values() for part in parts)


def reaches(launch: Launch, stage: str) -> bool:
    """Wait until a launch is at a stage; return whether it came there before it ended."""
    while not STAGES[stage](launch):
        if launch.process.poll() is not None:
            return False
        time.sleep(0.005)
    return True


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
            assert_ended_in_words(launch.said)
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
    fault: str, twice: bool, tmp_path: Path, tally: Tally, every_fault: bool
) -> None:
    """With two trials at once, also when the user insists; what was committed stays."""
    if not twice and not every_fault:
        pytest.skip("make test-faults does it; SIGTERM is sent below, where it is harder to answer")
    launch = Launch(tmp_path / "results", *STUDY, "--concurrency", "2")
    launch.wait_for_rows(2)
    interrupt(launch, fault, twice, STARTING)
    assert launch.process.returncode == 130
    found = damage(launch.results / NAME, CONFIG, complete=False)
    tally.add(fault, found)
    assert found == Damage()
    assert launch.rows() >= 2


def compacted(folder: Path) -> bool:
    """Whether the files of every table are joined, after which the report is written."""
    files = [path for name in TABLES for path in (folder / name).glob("*.parquet")]
    return bool(files) and all(path.name.startswith("compacted-") for path in files)


def interrupt_while_ray_stops(results: Path, twice: bool, tally: Tally) -> None:
    """Launch the study to its end, where Ray's core gives the signal back a second before its last process has ended.

    The launch answers in words, and no row is lost.
    """
    launch = Launch(results, *STUDY)
    launch.wait_for_rows(len(list(results.glob("*/trials/[!.]*"))) + 1)
    while any("raylet" in command for command in launch.processes().values()):
        assert launch.process.poll() is None, launch.said
        time.sleep(0.005)
    interrupt(launch, "launcher: SIGTERM", twice, STARTING)
    assert launch.process.returncode == 130
    found = damage(launch.results / NAME, CONFIG)
    tally.add("launcher: SIGTERM while Ray stops", found)
    assert found == Damage()


def test_sigusr1_lets_what_runs_end_and_starts_nothing_else(tmp_path: Path, tally: Tally, every_fault: bool) -> None:
    """The trial that runs is not thrown away, as Ctrl-C does; the same command ends the study, which is stopped.

    It is stopped twice, as by a user who insists; by ``make test-faults`` once, too.
    """
    launch = Launch(tmp_path / "results", *STUDY)
    launch.wait_for_rows(1)
    launch.process.send_signal(signal.SIGUSR1)
    rows = launch.rows()
    said = launch.finish()
    assert "running trials end, no other starts" in said
    assert "trials are still pending; the same command goes on with them" in said
    assert rows <= len(table(launch.results, "trials")) <= rows + 2
    found = damage(launch.results / NAME, CONFIG, complete=False)
    tally.add("launcher: SIGUSR1", found)
    assert found == Damage()
    interrupt_while_ray_stops(launch.results, True, tally)
    if every_fault:
        interrupt_while_ray_stops(tmp_path / "once" / "results", False, tally)


def test_sigterm_while_the_report_is_written_is_answered_in_words(tmp_path: Path, tally: Tally) -> None:
    """Ray is gone by then, and with it what it had done to signals."""
    flags = [flag for flag in STUDY if flag != "--no-report"]
    launch = Launch(tmp_path / "results", *flags)
    launch.wait_for_rows(1)
    while not compacted(launch.results / NAME):
        assert launch.process.poll() is None, launch.said
        time.sleep(0.02)
    interrupt(launch, "launcher: SIGTERM", False, STARTING)
    assert launch.process.returncode == 130
    found = damage(launch.results / NAME, CONFIG)
    tally.add("launcher: SIGTERM during the report", found)
    assert found == Damage()


@pytest.mark.parametrize("stage", ["Ray's server starts", "Ray's node starts", "its agents start"])
def test_sigterm_while_ray_starts_leaves_none_of_it(stage: str, tmp_path: Path, tally: Tally) -> None:
    """Nor its folder; its agents would wait for over a minute for a raylet and a server that are gone."""
    launch = Launch(tmp_path / "results", *STUDY)
    assert reaches(launch, stage), launch.said
    interrupt(launch, "launcher: SIGTERM", False, STARTING)
    assert launch.process.returncode == 130
    assert not list(Path(get_default_ray_temp_dir()).glob(f"session_*_{launch.process.pid}"))
    found = damage(launch.results / NAME, CONFIG, complete=False)
    tally.add("launcher: SIGTERM while Ray starts", found)
    assert found == Damage()


def kill_beneath(launch: Launch, fault: str, seconds: float = 60) -> None:
    """Kill a process of the launch, which ends in words: with its study where a worker was killed, without it else.

    Where Ray was not yet there the launch was refused.
    """
    parts = KILLED[fault]
    for pid in [pid for pid, command in launch.processes().items() if any(part in command for part in parts)][-1:]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    try:
        assert launch.ends(seconds), launch.said
        assert launch.process.returncode in (0, 2, 130), launch.said
        assert_ended_in_words(launch.said, ray_was_struck=True)
        assert not launch.left_after(10), launch.said
    finally:
        launch.kill()


def test_a_ray_server_that_dies_while_it_starts_is_told(tmp_path: Path, tally: Tally) -> None:
    """Soon: Ray itself would wait for half a minute, or for more and end in a traceback; the same command goes on."""
    fault = "Ray: gcs_server SIGKILL"
    launch = Launch(tmp_path / "results", *STUDY)
    while not shows(launch, *KILLED[fault]):
        assert launch.process.poll() is None, launch.said
    kill_beneath(launch, fault, 20)
    assert launch.process.returncode in (2, 130)
    assert "Ray" in launch.said
    found = damage(launch.results / NAME, CONFIG, complete=False) if launch.results.exists() else Damage()
    tally.add(f"{fault} while Ray starts", found)
    assert found == Damage()


@pytest.mark.parametrize("deaths", [1, STARTS])
def test_a_raylet_that_dies_while_it_starts_is_started_again(deaths: int, tmp_path: Path, tally: Tally) -> None:
    """It ends by itself where a busy machine is slow to start its agents; one that never comes is told in words."""
    launch = Launch(tmp_path / "results", *STUDY)
    killed: set[int] = set()
    try:
        while len(killed) < deaths and not launch.ends(0.01):
            for pid, command in launch.processes().items():
                if "/raylet " in command and pid not in killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
        assert launch.ends(120), launch.said
        assert_ended_in_words(launch.said, ray_was_struck=True)
        assert not launch.left_after(10), launch.said
    finally:
        launch.kill()
    assert launch.process.returncode == (0 if deaths < STARTS else 2), launch.said
    assert launch.said.count("Ray did not start, which happens") == min(deaths, STARTS - 1)
    assert ("Ray did not start here: its raylet has ended" in launch.said) == (deaths == STARTS)
    latest = Path(get_default_ray_temp_dir(), "session_latest")
    assert latest.exists() or not latest.is_symlink()
    assert len(list(Path(get_default_ray_temp_dir()).glob(f"session_*_{launch.process.pid}"))) == (deaths == STARTS)
    found = damage(launch.results / NAME, CONFIG, complete=deaths < STARTS) if launch.results.exists() else Damage()
    tally.add("Ray: raylet SIGKILL while Ray starts", found)
    assert found == Damage()


@pytest.mark.slow(minutes=7)
@pytest.mark.parametrize("half", [0, 1])
def test_interrupted_at_every_stage_and_at_random_moments_the_same_command_ends_with_the_same_tables(
    half: int, tmp_path: Path, tally: Tally, every_fault: bool
) -> None:
    """Signals, also twice, and processes killed beneath it, in turn, from the first moment to the last."""
    if not every_fault:
        pytest.skip("make test-faults does it; test_rounds_on_ray.py goes on after SIGKILL")
    undisturbed = tmp_path / "undisturbed" / "results"
    undisturbed.parent.mkdir()
    started = time.monotonic()
    Launch(undisturbed, *STUDY).finish()
    duration = time.monotonic() - started

    moments = random.Random(half)
    faults = [*list(SIGNALS) * (5 + half), *list(KILLED) * 3]
    moments.shuffle(faults)
    stages = itertools.cycle(STAGES)
    folder = 0
    before: Seen = {}
    while True:
        results = tmp_path / str(folder) / "results"
        results.parent.mkdir(exist_ok=True)
        launch = Launch(results, *STUDY)
        if faults and len(faults) % 2:
            moment = moments.uniform(0, duration)
            struck = not launch.ends(moment)
        elif faults:
            begun = time.monotonic()
            struck = reaches(launch, next(stages)) and not launch.ends(moments.choice((0, 0.05, 0.3)))
            moment = time.monotonic() - begun
        if faults and struck:
            fault = faults.pop(0)
            if fault in KILLED:
                kill_beneath(launch, fault, 60 + 3 * duration)  # It may start Ray again, and go on to its end.
            else:
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
