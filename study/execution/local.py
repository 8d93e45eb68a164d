"""A Ray of one launch on this machine: started in any environment, watched, and removed with all that it wrote."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
import torch
from ray._common.utils import get_default_ray_temp_dir
from ray._private.ray_constants import PROCESS_TYPE_GCS_SERVER, PROCESS_TYPE_RAYLET

from study.signals import answer_sigterm, interrupt
from trainables.errors import InputError

LONGEST_FOLDER = 42
"""A socket's name has 107 bytes at most, and Ray's folder of a session and what is in it take the rest of them."""

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where Ray keeps objects, of which a study has few and small ones

WATCH_SECONDS = 0.5

LONGEST_ANSWER = 2.0
"""Seconds to wait for what is asked of Ray in the moment in which it is stopped."""


class LocalRay:
    """From `start` to `clear` a launch is interrupted, in words, when Ray is no longer there."""

    def __init__(self) -> None:
        self._node: Any = None
        self._made: str | None = None
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def start(self, concurrency: int, options: dict[str, Any]) -> None:
        """Start it with a core per trial and the GPUs that PyTorch counts, which Ray does not find in every container.

        Raises:
            InputError: its processes could not talk to each other, or there is no folder in which it could work.
        """
        _require_loopback()
        _provide_token()
        folder = str(get_default_ray_temp_dir())
        if len(os.fsencode(folder)) > LONGEST_FOLDER:
            self._made = folder = _make_short_folder(folder)
        if not os.access(SHARED_MEMORY, os.W_OK):
            options = options | {"_plasma_directory": tempfile.gettempdir()}
        ray.init(
            address="local",
            num_cpus=concurrency,
            num_gpus=torch.cuda.device_count(),
            include_dashboard=False,
            _temp_dir=folder,
            **options,
        )
        self._node = ray._private.worker._global_node
        self._watcher.start()

    def watch_no_more(self) -> None:
        """Let Ray end without a word."""
        self._stopped.set()
        if self._watcher.is_alive():
            self._watcher.join(LONGEST_ANSWER)

    def clear(self, keep_logs: bool) -> None:
        """Remove the folder of a Ray that was stopped, or say where its logs are; nothing where none was started."""
        if self._node is None:
            return
        folder = Path(self._node.get_session_dir_path())
        if keep_logs:
            print(f"logs:   {folder / 'logs'}", file=sys.stderr)
            return
        shutil.rmtree(folder, ignore_errors=True)
        latest = folder.parent / "session_latest"
        if latest.is_symlink() and not latest.exists():
            latest.unlink(missing_ok=True)
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)

    def _watch(self) -> None:
        """Interrupt the launch when a process that holds Ray together has ended, or is taken for dead by the others.

        Ray itself says nothing for a minute, then ends the process.
        """
        while not self._stopped.wait(WATCH_SECONDS):
            if (trouble := self._find_trouble()) and not self._stopped.is_set():
                print(f"error: {trouble}", file=sys.stderr, flush=True)
                if sys.stderr is sys.__stderr__:  # Ray's core repeats every second that it cannot be reached.
                    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
                    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                interrupt()
                return

    def _find_trouble(self) -> str | None:
        for name in (PROCESS_TYPE_GCS_SERVER, PROCESS_TYPE_RAYLET):
            for info in self._node.all_processes.get(name, ()):
                if (status := info.process.poll()) is not None:
                    return (
                        f"Ray's {name} has ended (status {status}): killed from outside, as by `ray stop` or for want "
                        f"of memory; its logs are in {self._node.get_session_dir_path()}/logs"
                    )
        try:
            alive = any(node["Alive"] for node in ray.nodes())
        except Exception:  # Ray has many; whether a process of it has ended is seen above, the next time.
            return None
        if not alive:
            return "Ray gave this machine up for dead: it did not answer, as when it is suspended or out of memory"
        return None


def _require_loopback() -> None:
    """Refuse what Ray would wait for a minute and say nothing of.

    Raises:
        InputError: this machine cannot reach itself by 127.0.0.1.
    """
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=LONGEST_ANSWER).close()
    except OSError as error:
        raise InputError(
            f"this machine does not reach itself by 127.0.0.1 ({error.strerror or error})",
            "a loopback interface with an IPv4 address, by which the processes of a local Ray talk",
            "`ip link set lo up`, a container with a network of its own, or --address of a Ray that runs elsewhere",
        ) from error


def _provide_token() -> None:
    """Give Ray a token of this process alone where the home folder has none and cannot be written."""
    if os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        return
    folder = Path("~/.ray").expanduser()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "auth_token").exists() and not os.access(folder, os.W_OK):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _make_short_folder(usual: str) -> str:
    """Return a new folder for Ray to work in, in the place of one that leaves no room for a socket's name.

    Raises:
        InputError: there is no short folder that can be written.
    """
    try:
        short = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    except OSError as error:
        raise InputError(
            f"{usual} is too long for the names of Ray's sockets, and /tmp cannot be written: {error.strerror}",
            f"a folder whose name has at most {LONGEST_FOLDER - len('/ray')} characters",
            "set RAY_TMPDIR to a short folder that can be written",
        ) from error
    print(f"Ray works in {short}, since {usual} is too long for the names of its sockets", file=sys.stderr)
    return short


def shut_down(on_sigterm: Any) -> None:
    """Leave Ray, and stop it where it was started here, with SIGTERM answered by ``on_sigterm``.

    Ray's core gives the signal back to the system when it goes, a second before the last of its processes has ended.
    """
    if (node := getattr(ray._private.worker, "_global_node", None)) is not None:
        end = node.kill_all_processes

        def end_and_answer(*arguments: Any, **options: Any) -> None:
            answer_sigterm(on_sigterm)
            end(*arguments, **options)

        node.kill_all_processes = end_and_answer
    ray.shutdown()
    answer_sigterm(on_sigterm)
