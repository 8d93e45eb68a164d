"""A study has one writer: the second launcher is refused, and a dead one's lock is free."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from study import launch
from study.storage import lock
from study.storage.files import Storage, StorageError
from study.storage.location import parse_location
from study.storage.lock import Lock
from study.storage.store import Store
from tests.faults.launches import assert_ended_in_words
from tests.object_store import FaultyStore, object_store, reached
from tests.study.storage.test_store import append
from trainables.errors import InputError

MANIFEST = {"schema_version": 1, "name": "some"}
HOLD = """
import sys, time
from study.storage.store import Store
from trainables.errors import InputError
store = Store(sys.argv[1])
print("ready", flush=True)
start = float(sys.stdin.readline())
while time.time() < start:
    pass
try:
    with store:
        print("held", flush=True)
        sys.stdin.readline()
except InputError as error:
    print("refused", flush=True)
"""


def launcher(folder: Path) -> subprocess.Popen[str]:
    """Start a process that takes the study's lock at the time it is told, and holds it until it is told again."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def told(process: subprocess.Popen[str], line: str) -> None:
    """Send a line."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def says(process: subprocess.Popen[str]) -> str:
    """Return the next line of a process."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyStore]:
    """An S3 server for the tests of this module."""
    with object_store() as store:
        yield store


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second is waited for another launcher of the object store."""
    monkeypatch.setattr(lock, "_SETTLE_SECONDS", 0.05)


@pytest.fixture(params=["disk", "object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder of either kind."""
    if request.param == "disk":
        yield str(tmp_path / "study")
    else:
        with reached(request.getfixturevalue("server")) as root:
            yield f"{root}/{request.node.name[:40].replace('[', '-')}"


def holder(folder: str, age: float, **changes: Any) -> None:
    """Write the lock of another launcher, whose last heartbeat was ``age`` seconds ago."""
    storage = Storage(parse_location(folder))
    storage.make()
    beat = datetime.now(UTC) - timedelta(seconds=age)
    content = {
        "host": "elsewhere",
        "process": 4711,
        "since": "2026-01-02T03:04:05+00:00",
        "token": "theirs",
        "heartbeat": beat.isoformat(),
    }
    storage.write(lock.NAME, json.dumps(content | changes).encode())


def dead_process() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.fault("lock: second launcher")
def test_the_second_launcher_is_refused_with_who_holds_the_study(folder: str) -> None:
    """Host, process, since when; and the study is free when the first has ended."""
    with Store(folder) as store:
        store.open(MANIFEST)
        with pytest.raises(InputError) as refused, Store(folder):
            pass
        assert f"process {os.getpid()} of {socket.gethostname()} since 20" in str(refused.value)
    with Store(folder) as store:
        append(store, "a")
    assert not Storage(parse_location(folder)).exists(lock.NAME)


def test_a_launcher_elsewhere_is_believed_while_its_heart_beats(folder: str) -> None:
    """And taken for dead a minute after its last beat."""
    holder(folder, lock.OLD_SECONDS - 20)
    with pytest.raises(InputError, match="process 4711 of elsewhere since 2026-01-02"), Store(folder):
        pass
    holder(folder, lock.OLD_SECONDS + 1)
    with Store(folder) as store:
        store.open(MANIFEST)


@pytest.mark.fault("lock: holder died")
def test_the_lock_of_a_process_that_died_here_is_free_at_once(folder: str) -> None:
    """Its heartbeat may be young: the machine knows that it is dead."""
    holder(folder, 0, host=socket.gethostname(), process=dead_process())
    with Store(folder):
        pass


@pytest.mark.fault("lock: damaged")
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"heartbeat": 1}'])
def test_a_damaged_lock_is_free(folder: str, content: bytes) -> None:
    """It says of no one that he lives."""
    storage = Storage(parse_location(folder))
    storage.make()
    storage.write(lock.NAME, content)
    with Store(folder):
        pass


@pytest.mark.slow
@pytest.mark.fault("lock: second launcher")
@pytest.mark.fault("lock: launchers at the same instant")
def test_of_launchers_that_start_at_the_same_instant_one_holds_the_study(tmp_path: Path) -> None:
    """Four processes, several times over, also while an earlier holder removes its lock."""
    for repetition in range(3):
        racing = [launcher(tmp_path / str(repetition // 2)) for _ in range(4)]
        assert [says(process) for process in racing] == ["ready"] * 4
        start = str(time.time() + 0.2)
        for process in racing:
            told(process, start)
        assert sorted(says(process) for process in racing) == ["held", "refused", "refused", "refused"]
        for process in racing:
            process.communicate("\n", timeout=60)


@pytest.mark.fault("lock: holder died")
@pytest.mark.fault("lock: holder killed")
def test_sigkill_frees_the_lock_also_of_a_suspended_process(tmp_path: Path) -> None:
    """While it is suspended it is alive: it may go on to write at any time."""
    process = launcher(tmp_path / "study")
    told(process, "0")
    assert [says(process), says(process)] == ["ready", "held"]
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(InputError, match=f"process {process.pid}"), Store(tmp_path / "study"):
        pass
    process.kill()
    process.communicate()
    with Store(tmp_path / "study"):
        pass


def test_a_heart_beats_and_notices_that_the_study_was_taken_over(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher that was silent for long must not write what the other one plans."""
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.05)
    with pytest.raises(StorageError, match="taken over by process 4711 of elsewhere"), Store(folder) as store:
        store.open(MANIFEST)
        storage = Storage(parse_location(folder))
        first = storage.read(lock.NAME)
        deadline = time.monotonic() + 30
        while storage.read(lock.NAME) == first:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        beating = store._lock._beating
        assert beating is not None
        while beating.is_alive():  # The other one beats as well: one write may fall between a look and a beat of ours.
            assert time.monotonic() < deadline
            holder(folder, 0)
            beating.join(0.1)
        with pytest.raises(StorageError, match="taken over by process 4711 of elsewhere"):
            store.check()  # as at every epoch that a trial reports
        append(store, "a")
    assert json.loads(Storage(parse_location(folder)).read(lock.NAME))["token"] == "theirs"
    assert Store(folder).read_trials() == []


def test_a_lock_that_is_shown_as_absent_for_an_instant_is_still_held(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a store may show a file while it is written; the launcher goes on."""
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.05)
    with Store(folder) as store:
        store.open(MANIFEST)
        looks: list[dict[str, Any]] = []
        read = store._lock._read

        def read_once_nothing() -> dict[str, Any]:
            looks.append(read() if looks else {})
            return looks[-1]

        monkeypatch.setattr(store._lock, "_read", read_once_nothing)
        deadline = time.monotonic() + 30
        while len(looks) < 3 and store._lock._beating and store._lock._beating.is_alive():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert store._lock._taken_over is None
        append(store, "a")
    assert [row["trial_id"] for row in Store(folder).read_trials()] == ["a"]


@pytest.mark.fault("lock: second launcher")
def test_the_command_line_is_refused_while_another_launcher_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One screen, exit status 2, and nothing of the first is touched."""
    with Store(tmp_path / "quick-digits"):
        before = sorted(tmp_path.rglob("*"))
        assert launch.main(["--preset", "quick", "--results-dir", str(tmp_path)]) == 2
        assert sorted(tmp_path.rglob("*")) == before
    said = capsys.readouterr().err
    assert f"process {os.getpid()}" in said
    assert_ended_in_words(said)


def test_an_interrupted_launcher_gives_its_lock_up(folder: str) -> None:
    """Ctrl-C and SIGTERM arrive as KeyboardInterrupt, which leaves the store like any other exception."""
    with pytest.raises(KeyboardInterrupt), Store(folder) as store:
        store.open(MANIFEST)
        raise KeyboardInterrupt
    assert not Storage(parse_location(folder)).exists(lock.NAME)


def test_a_launch_that_is_refused_leaves_no_folder_behind(tmp_path: Path) -> None:
    """Folders that were made for the lock go with it."""
    with Store(tmp_path / "new" / "study"):
        assert (tmp_path / "new" / "study" / lock.NAME).exists()
    assert list(tmp_path.iterdir()) == []


def test_a_mount_without_locks_falls_back_on_the_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some network file systems."""

    def unsupported(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("study.storage.lock.fcntl.flock", unsupported)
    first, second = Lock(Storage(parse_location(tmp_path))), Lock(Storage(parse_location(tmp_path)))
    first.acquire()
    with pytest.raises(InputError, match=f"process {os.getpid()}"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()
