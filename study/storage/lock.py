"""One writer a study: a lock in its folder that says who holds it and beats while its holder lives.

On a disk the kernel keeps the lock (`flock`): two launchers that start at the same instant cannot both have it, and it
is free when its holder has died, however. What is written in the file is for people and for other machines: there, and
in object stores, which have no such lock, a holder whose heartbeat is older than a minute is taken for dead. That is
best effort: it needs clocks that agree, and two launchers of an object store that start within a second of each other
both look again before they go on.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from study.storage.files import Storage, StorageError
from trainables.errors import InputError

try:
    import fcntl
except ImportError:  # Windows, where studies are read and reported, and models loaded
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"
HEARTBEAT_SECONDS = 10.0
OLD_SECONDS = 60.0
"""A heartbeat older than this is that of a machine that died."""

_SETTLE_SECONDS = 1.0
_BYTES = 512  # one size for all contents, so that a beat is one write in place


class Lock:
    """Held from `acquire` to `release`; both by the process that writes a study."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._handle: int | None = None
        self._mine: dict[str, Any] = {}
        self._released = threading.Event()
        self._beating: threading.Thread | None = None
        self._taken_over: dict[str, Any] | None = None

    def acquire(self) -> None:
        """Take the lock, also from a holder that has died.

        Raises:
            InputError: another launcher holds it.
            OSError: the folder cannot be written.
        """
        self._mine = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "token": uuid.uuid4().hex,
        }
        if (folder := self._storage.folder.local) is not None:
            self._handle = self._lock_file(folder / NAME)
        else:
            self._refuse_living(self._read())
            self._write()
            time.sleep(_SETTLE_SECONDS)
            if (holder := self._read()).get("token") != self._mine["token"]:
                raise self._make_refusal(holder)
        self._released.clear()
        self._beating = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._beating.start()

    def check(self) -> None:
        """Refuse to go on where another launcher took the lock over.

        Raises:
            StorageError: it did, because this one was silent for longer than `OLD_SECONDS`.
        """
        if self._taken_over is not None:
            other = _describe(self._taken_over)
            raise StorageError(
                f"{self._storage.folder} was taken over by {other} while this launcher was silent",
                "one launcher a study at a time",
                "let the other one go on: what this one had written is kept",
            )

    def release(self) -> None:
        """Give the lock up; what another launcher has taken over is left to it."""
        self._released.set()
        if self._beating is not None:
            self._beating.join()
            self._beating = None
        try:
            if self._read().get("token") == self._mine.get("token"):
                self._storage.remove([NAME])
        except OSError:
            pass  # Left to its age; the kernel's part is free with the handle.
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _lock_file(self, path: Path) -> int:
        if fcntl is None:
            raise InputError(
                f"a study in {self._storage.folder} on a system without file locks",
                "Linux or macOS to run a study; Windows reads results, writes reports and loads models",
                "run it in WSL, the Linux that comes with Windows",
            )
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    kept = True
                except BlockingIOError:
                    raise self._make_refusal(_parse(os.pread(handle, _BYTES, 0))) from None
                except OSError:
                    kept = False  # A mount without such locks: the heartbeat decides.
                if _is_at(handle, path):
                    holder = _parse(os.pread(handle, _BYTES, 0))
                    if not kept or holder.get("host") != self._mine["host"]:
                        self._refuse_living(holder)
                    os.pwrite(handle, self._make_content(), 0)
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)  # Its holder removed it in between.

    def find_holder(self) -> str | None:
        """Return who holds the lock now, by what is written in it; None for nobody, or for one that has died.

        The kernel is not asked: a launcher that begins in that instant would be refused.
        """
        holder = self._read()
        if not _lives(holder):
            return None
        return f"{_describe(holder)} (last heartbeat {_age(holder):.0f} s ago)"

    def _refuse_living(self, holder: dict[str, Any]) -> None:
        if _lives(holder):
            raise self._make_refusal(holder)

    def _make_refusal(self, holder: dict[str, Any]) -> InputError:
        if not holder:
            return InputError(
                f"{self._storage.folder} is in use by a launcher that has just begun",
                "one launcher a study at a time",
                "let it end, or choose another --name",
            )
        return InputError(
            f"{self._storage.folder} is in use by {_describe(holder)} (last heartbeat {_age(holder):.0f} s ago)",
            "one launcher a study at a time",
            "let it end or stop it, or choose another --name; the lock of a machine that died is free "
            f"{OLD_SECONDS:.0f} s after its last heartbeat",
        )

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS):
            try:
                holder = self._read()
                if not holder:  # Some stores show a file for an instant as absent or cut off while it is written.
                    self._released.wait(_SETTLE_SECONDS)
                    holder = self._read()
                if holder.get("token") != self._mine["token"]:
                    self._taken_over = holder
                    return
                self._write()
            except OSError:
                continue  # Storage in trouble: the writer of rows says so.

    def _make_content(self) -> bytes:
        beat = {"heartbeat": datetime.now(UTC).isoformat(timespec="seconds")}
        return json.dumps(self._mine | beat).encode().ljust(_BYTES - 1) + b"\n"

    def _write(self) -> None:
        if self._handle is not None:
            os.pwrite(self._handle, self._make_content(), 0)
        else:
            self._storage.write(NAME, self._make_content())

    def _read(self) -> dict[str, Any]:
        try:
            return _parse(self._storage.read(NAME))
        except FileNotFoundError:
            return {}


def _parse(content: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _lives(holder: dict[str, Any]) -> bool:
    dead_here = holder.get("host") == socket.gethostname() and not _is_running(holder.get("process", 0))
    return bool(holder) and not dead_here and _age(holder) < OLD_SECONDS


def _age(holder: dict[str, Any]) -> float:
    """Return the seconds since the last heartbeat; of a lock without one, infinitely many."""
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(holder["heartbeat"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return float("inf")


def _describe(holder: dict[str, Any]) -> str:
    return f"process {holder.get('process')} of {holder.get('host')} since {holder.get('since')}"


def _is_running(process: int) -> bool:
    import psutil  # asked of a lock that is held alone

    return bool(psutil.pid_exists(process))  # os.kill(process, 0) would be Ctrl-C on Windows


def _is_at(handle: int, path: Path) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(handle), there)
