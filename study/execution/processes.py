"""Processes of Ray on this machine: which there are below this one, what they are told, and when they are ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private.ray_constants import PROCESS_TYPE_RAYLET
from ray.exceptions import RpcError

LONGEST_START = 120.0
"""Seconds to wait for a process of Ray that is there and does not say that it is ready."""

LONGEST_QUESTION = 2.0
"""Seconds to wait for the answer of Ray's server; no signal is heard meanwhile."""


class RayletEnded(Exception):
    """Ray's raylet has ended while it started."""


def list_ray_processes() -> list[Any]:
    """Return Ray's processes that this one has started, and those below them, as psutil has them.

    Another study may run below this process, too: its Ray is below a process that is none of Ray's.
    """
    started = [process for process in psutil.Process().children() if is_rays(read_command(process))]
    below = [process for parent in started for process in _list_below(parent)]
    return [process for process in (*started, *below) if is_rays(read_command(process))]


def _list_below(parent: Any) -> list[Any]:
    try:
        return list(parent.children(recursive=True))
    except psutil.Error:
        return []


def is_rays(command: list[str]) -> bool:
    """Return whether Ray's package or its name for a worker is in a command."""
    package = str(Path(ray.__file__).parent)
    return any(word.startswith((package, "ray::")) for word in command)


def read_command(process: Any) -> list[str]:
    """Return the words of a process's command; none of one that has ended."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def get_name(process: Any) -> str:
    """Return a process's name, which it keeps until who started it has seen its end."""
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def is_alive(process: Any) -> bool:
    """Return whether a process is there and has not ended."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def tell(processes: Iterable[Any], what: str) -> None:
    """Call the method ``what`` of those that are still there."""
    for process in processes:
        with suppress(psutil.Error):
            getattr(process, what)()


def wait_for_port(folder: str, node_id: str, name: str, timeout_ms: int, given_up: Callable[[], bool]) -> int:
    """Wait for the file with a port, or until another thread has ``given_up``, and read it as Ray does.

    Ray's own wait holds Python's lock: no signal is heard, no thread runs. It is left with nothing to wait for.
    """
    from ray._raylet import (  # type: ignore[attr-defined] # compiled; of versions that write such a file
        get_port_filename,
        wait_for_persisted_port,
    )

    file, end = Path(folder, get_port_filename(node_id, name)), time.monotonic() + max(LONGEST_START, timeout_ms / 1000)
    while not file.exists() and time.monotonic() < end and not given_up():
        time.sleep(0.02)
    return int(wait_for_persisted_port(folder, node_id, name, timeout_ms=0))


def wait_for_raylet(node: Any, given_up: Callable[[], bool]) -> None:
    """Wait until the raylet that ``node`` has started is ready; Ray itself would wait on for one that has ended.

    Raises:
        RayletEnded: it has.
        TimeoutError: it is not ready for long, or another thread has ``given_up``.
    """
    (raylet,) = node.all_processes[PROCESS_TYPE_RAYLET]
    end = time.monotonic() + LONGEST_START
    while time.monotonic() < end and not given_up():
        with suppress(RpcError):  # Whether the server has ended is seen elsewhere.
            # Ray's own question, `get_node`, waits for the answer with signals unheard.
            if node.get_gcs_client().get_all_node_info(timeout=LONGEST_QUESTION):
                return
        if (status := raylet.process.poll()) is not None:
            raise RayletEnded(f"its raylet has ended while it started (status {status})")
        time.sleep(0.1)
    raise TimeoutError("its raylet was not ready in time")
