"""Launches of a small study in processes of their own, and what is left of them in the process table."""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import pandas as pd

from study.config.presets import study_config
from study.config.study_config import StudyConfig
from tests.tiny import write_tiny_data

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # for what is launched by whoever runs these tests under nohup

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "study" / "launch.py"
FAULTY = ROOT / "tests" / "faults" / "faulty.py"
MARK = "CAE_STUDY_LAUNCH_OF_A_TEST"
NAME = "quick-tiny"


@functools.cache
def find_tiny_data() -> str:
    """Return the file of the tiny data set of this process, gone when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="cae-study-tiny-"))
    atexit.register(shutil.rmtree, folder)
    return str(write_tiny_data(folder))


def small_study(seeds: int = 1, epochs: int = 2) -> tuple[tuple[str, ...], StudyConfig]:
    """Return the flags of a study of one cell that takes seconds and ends with its rows, and its configuration.

    An epoch takes about 15 ms.
    """
    data, told = find_tiny_data(), str(epochs)
    flags = ("--preset", "quick", "--dataset", data, "--architectures", "unpool_only", "--trials", "2")
    both = ("--epochs", told, "--arms", "tuned", "published", "--published-epochs", told)
    arms: dict[str, Any] = {"arms": ("tuned", "published"), "published_epochs": epochs}
    shared: dict[str, Any] = {"dataset": data, "architectures": ("unpool_only",), "trials": 2, "epochs": epochs}
    config = study_config("quick", seeds=seeds, **shared, **arms)
    return (*flags, *both, "--seeds", str(seeds), "--concurrency", "1", "--no-report"), config


CORE_LINE = re.compile(r"^.{0,40}\[[-:, 0-9]+ [A-Z] \d+ \d+\] ", re.MULTILINE)
"""A line of the logger of Ray's C++ core: ``[2026-01-02 03:04:05,678 E 123 456] raylet.cc:1: ...``."""


FATAL_LINE = re.compile(r"^.{0,40}\[[-:, 0-9]+ [CF] \d+ \d+\] ", re.MULTILINE)


TOLD = ("  to do:", "next:", "then:", "launch.py: error: ")
"""What the last line may begin with, where it does not say that the same command goes on."""


def assert_ended_in_words(said: str, ray_was_struck: bool = False) -> None:
    """Whatever ended it early: no traceback, no line of Ray's core, and a last line that says what to do.

    A mistake in a flag is told by the parser of the command line, which names the flag and what it takes.
    Where Ray's own processes were struck, its core may have said that it lost something in the half second before the
    launch saw it; a fatal line, which ends the process, it may not.
    """
    assert "Traceback" not in said, said
    assert "Exception ignored" not in said, said
    assert not (FATAL_LINE if ray_was_struck else CORE_LINE).search(said), said
    last = said.rstrip().splitlines()[-1]
    remedies = ("the same command goes on", "the same command makes the report", "--retry-failed tries them anew")
    assert any(words in last for words in remedies) or last.startswith(TOLD), said


class Launch:
    """The command line in a session of its own; all processes that it starts carry its mark in their environment."""

    def __init__(self, results: Path, *flags: str, script: tuple[str, ...] = (str(LAUNCH),), **extra: str) -> None:
        self.results, self._mark = results, uuid.uuid4().hex
        self._log = results.parent / f"{self._mark}.log"
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        results.parent.mkdir(parents=True, exist_ok=True)
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *script, *flags, "--results-dir", str(results)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=results.parent,
                env=environment | {MARK: self._mark} | extra,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """What the launch has printed so far."""
        return self._log.read_text()

    def processes(self) -> dict[int, str]:
        """Return the command lines of the processes of this launch, by process."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self._mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except OSError:
                continue  # it ended while it was looked at, or is another user's
        return {pid: command for pid, command in found.items() if command}  # a zombie has no command line

    def workers(self) -> list[int]:
        """Return the processes in which trials run."""
        return [pid for pid, command in self.processes().items() if command.startswith("ray::") and "Train" in command]

    def rows(self) -> int:
        """Return the number of committed trials."""
        folder = self.results / NAME / "trials"
        return len([path for path in folder.glob("*.parquet") if not path.name.startswith(".")])

    def ends(self, seconds: float) -> bool:
        """Wait; return whether the launch has ended."""
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def wait_for_rows(self, count: int, seconds: float = 300) -> None:
        """Return when ``count`` trials are committed and the study still runs."""
        deadline = time.monotonic() + seconds
        while self.rows() < count:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def finish(self, status: int = 0, seconds: float = 600) -> str:
        """Wait for the end, which must have this exit status and leave no process; return what was printed."""
        try:
            assert self.ends(seconds), self.said
            assert self.process.returncode == status, self.said
            assert not self.left_after(10)
        finally:
            self.kill()
        return self.said

    def left_after(self, seconds: float) -> dict[int, str]:
        """Return the processes that are still there after so long."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def kill(self) -> None:
        """Leave nothing behind, whatever a test has found."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


def children(pid: int) -> dict[int, str]:
    """Return the command lines of the processes that a process has started, by process."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue  # it ended while it was looked at
    return found


TIMES = ["started_at", "finished_at", "seconds", "device_seconds", "git_dirty", "git_commit"]
KEYS = {"trials": ["trial_id"], "epochs": ["trial_id", "epoch"], "codes": ["trial_id", "image"]}
KEYS |= {"scores": ["trial_id", "split", "evaluator", "metric"]}


def table(results: Path, name: str) -> pd.DataFrame:
    """Return a table of the study in a fixed order, without what differs from launch to launch."""
    frame = pd.read_parquet(results / NAME / name, dtype_backend="pyarrow")
    frame = frame.drop(columns=[column for column in TIMES if column in frame])
    return frame.sort_values(KEYS[name]).reset_index(drop=True)
