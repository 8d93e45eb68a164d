"""A Ray of one launch on this machine: started in any environment, watched, and removed with all that it wrote."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import ray
import torch
from ray._common.utils import get_default_ray_temp_dir
from ray._private import node as node_module
from ray._private.node import Node
from ray._private.ray_constants import PROCESS_TYPE_GCS_SERVER, PROCESS_TYPE_RAYLET

from study.execution.processes import (
    RayletEnded,
    get_name,
    is_alive,
    is_rays,
    list_ray_processes,
    read_command,
    tell,
    wait_for_port,
    wait_for_raylet,
)
from study.signals import answer_sigterm, ends_process, interrupt, keeps_answer_to_sigterm, left_behind
from trainables.errors import InputError

LONGEST_FOLDER = 42
"""A socket's name has 107 bytes at most, and Ray's folder of a session and what is in it take the rest of them."""

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where Ray keeps objects, of which a study has few and small ones

UNUSED = ("start_monitor", "start_api_server")
"""Of Ray's `Node`: a cluster's scaler and a dashboard's server, without which a launch starts seconds sooner."""

HELD_BY = (PROCESS_TYPE_GCS_SERVER, PROCESS_TYPE_RAYLET)
"""Processes that hold Ray together: without one of them it is of no use."""

BOUND = HELD_BY if sys.platform.startswith("linux") else ()
"""Of these, those that the system ends with the process that started them."""

WATCH_SECONDS = 0.5

GLANCE_SECONDS = 0.02
"""How often it is seen whether Ray is there at all: once it is not, its core may end this process without a word."""

LONGEST_ANSWER = 2.0
"""Seconds to wait for what is asked of Ray in the moment in which it is stopped."""

STARTS = 3
"""Times to start it: its raylet gives up its agents after 15 s, which nobody can set (ray-project/ray#65983), and in
which a busy machine may not have read their code."""


class LocalRay:
    """From `start` to `stop` a launch is interrupted, in words, when Ray is no longer there."""

    def __init__(self) -> None:
        self._launching = threading.current_thread()
        self._node: Any = None  # once Ray is there
        self._folder = ""
        self._made: str | None = None
        self._earlier: set[Path] | None = None  # folders of sessions that were there before
        self._others: set[Any] | None = None  # Ray's processes that were there before
        self._started: dict[Any, str] = {}  # those that were seen since, with their names
        self._gave_up = threading.Event()  # Ray did not start or a process of it has ended, which its logs may explain
        self._ends_process = False  # as a command line does that gave up, a notebook not
        self._stopped = threading.Event()
        self._looks = threading.Lock()  # held while what was started is looked at, or ended to start it again
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def start(self, concurrency: int, options: dict[str, Any]) -> None:
        """Start it with a core per trial and the GPUs that PyTorch counts, which Ray does not find in every container.

        Raises:
            InputError: its processes could not talk to each other, there is no folder in which it could work, or it
                does not start for another reason.
        """
        _require_loopback()
        _provide_token()
        self._folder = str(get_default_ray_temp_dir())
        if trouble := _explain_unusable(Path(self._folder)):
            self._made = self._folder = _make_own_folder(self._folder, trouble)
        if not os.access(SHARED_MEMORY, os.W_OK):
            options = options | {"_plasma_directory": tempfile.gettempdir()}
        self._earlier = {*self._list_sessions()}
        self._others = {*list_ray_processes()}
        left_behind.append(self._kill_at_once)
        self._watcher.start()
        for further in reversed(range(STARTS)):
            try:
                self._init(concurrency, options)
                return
            except Exception as error:  # Ray has many, and plain ones: whichever it is, none of them is a study's.
                if further and isinstance(error, RayletEnded) and self._start_afresh():
                    told = f"Ray did not start, which happens on a busy machine: {error}; {further} more to try"
                    print(told, file=sys.stderr)
                    continue
                self._gave_up.set()
                raise InputError(
                    f"Ray did not start here: {' '.join(str(error).split()) or type(error).__name__}"[:500],
                    "a machine that lets Ray's processes start and stay, and has time for them",
                    f"look in {self._find_logs()} for what ended or held one of them; the same command goes on",
                ) from error

    def _init(self, concurrency: int, options: dict[str, Any]) -> None:
        start_processes: Any = getattr(Node, "start_ray_processes", None)

        def start_and_wait(node: Any) -> None:
            start_processes(node)
            wait_for_raylet(node, self._gave_up.is_set)
            self._node = node

        wait = partial(wait_for_port, given_up=self._gave_up.is_set)
        unused = (*UNUSED, *(() if options["log_to_driver"] else ("start_log_monitor",)))
        methods = dict.fromkeys(unused, lambda *_, **__: None) | {"start_ray_processes": start_and_wait}
        with replaced(Node, methods), replaced(node_module, {"wait_for_persisted_port": wait}):
            ray.init(
                address="local",
                num_cpus=concurrency,
                num_gpus=torch.cuda.device_count(),
                include_dashboard=False,
                _temp_dir=self._folder,
                # Workers that it starts beforehand have not the code of trials, and end without having run one.
                _system_config={"prestart_worker_first_driver": False},
                **options,
            )

    def _start_afresh(self) -> bool:
        """Forget and remove all of a Ray that did not start; return whether another may, as nobody was told trouble."""
        with self._looks:
            if self._gave_up.is_set():
                return False
            self._list_started()
            self._kill()
            self._others = {*(self._others or ()), *self._started, *psutil.Process().children()}
            psutil.wait_procs([*self._started], LONGEST_ANSWER)
            self._started = {}
            self._remove_sessions()
            return True

    def watch_no_more(self) -> None:
        """Let Ray end without a word."""
        self._stopped.set()
        if self._watcher.is_alive():
            self._watcher.join(LONGEST_ANSWER)

    def stop(self, on_sigterm: Any) -> None:
        """Leave Ray as `shut_down` does, and end what it leaves behind of what was started here.

        Its agents look for a raylet that has gone only once they have started themselves, and wait over a minute for a
        server that is not there: who interrupts a Ray that still starts would leave them.
        """
        if self._others is not None:
            raylets = [each for each, name in self._list_started().items() if name == PROCESS_TYPE_RAYLET]
            tell(raylets, "suspend")  # It starts the others: no more come.
            self._list_started()
            if self._ends_process and self._node is not None and self._find_ended() is None:
                self._leave_to_end()
                return
            if not ray.is_initialized():  # Ray itself does not know yet what it has to end.
                tell(self._started, "kill")
            tell(raylets, "resume")
        shut_down(on_sigterm)
        self._kill()
        if self._others is not None:
            left_behind.remove(self._kill_at_once)

    def _leave_to_end(self) -> None:
        """Let a Ray that has given up its raylet end with this process, which has to say first how to go on.

        Its core ends the process without a word, and with status 1, as soon as that raylet goes: what was kept in its
        memory is lost then, which the core writes down there.
        """
        self._kill(but=HELD_BY)  # Tune asks the server of Ray for something when the process ends.
        atexit.unregister(ray.shutdown)
        self._node.kill_all_processes = lambda *_, **__: None
        left_behind.remove(self._kill_at_once)
        if not BOUND:
            atexit.register(self._kill)

    def _kill(self, but: tuple[str, ...] = ()) -> None:
        """End what is left: also those whose raylet was killed while they started, which are below nobody any more.

        Args:
            but: names of processes that stay; a raylet of them is suspended, which would end after its agents.
        """
        tell((each for each, name in self._started.items() if name == PROCESS_TYPE_RAYLET in but), "suspend")
        tell((each for each, name in self._started.items() if name not in but), "kill")
        if (session := self._find_session()) is not None:
            named = (each for each in psutil.process_iter() if get_name(each) not in but)
            commands = ((each, read_command(each)) for each in named)
            tell((each for each, words in commands if is_rays(words) and session.name in " ".join(words)), "kill")

    def _kill_at_once(self) -> None:
        """End, as the last act of this process, what would outlive it; see `_leave_to_end` for what it must not end."""
        self._list_started()
        self._kill(but=BOUND)

    def clear(self, keep_logs: bool) -> None:
        """Remove the folder of a Ray that was stopped, also while it started, or say where its logs are."""
        if self._gave_up.is_set():
            return
        if keep_logs and (folder := self._find_session()) is not None:
            print(f"logs:   {folder / 'logs'}", file=sys.stderr)
            return
        psutil.wait_procs([*self._started], LONGEST_ANSWER)  # Who is being killed may still write to it.
        self._remove_sessions()
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)

    def _remove_sessions(self) -> None:
        if self._earlier is None:
            return
        for folder in self._list_own_sessions():
            shutil.rmtree(folder, ignore_errors=True)
        latest = Path(self._folder, "session_latest")
        if latest.is_symlink() and not latest.exists():  # Ray does not replace one that leads nowhere.
            latest.unlink(missing_ok=True)

    def _watch(self) -> None:
        """Interrupt the launch when a process that holds Ray together has ended, or is taken for dead by the others.

        Ray itself says nothing for a minute, then ends the process.
        """
        asked = -WATCH_SECONDS
        while not self._stopped.wait(GLANCE_SECONDS):
            if time.monotonic() < asked + WATCH_SECONDS and (self._node is None or self._find_ended() is None):
                continue
            asked = time.monotonic()
            with self._looks:
                trouble = None if self._stopped.is_set() else self._find_trouble()
                if trouble:
                    self._ends_process = ends_process()
                    self._gave_up.set()
            if trouble:
                print(f"error: {trouble}", file=sys.stderr, flush=True)
                if sys.stderr is sys.__stderr__:  # Ray's core repeats every second that it cannot be reached.
                    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
                    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                interrupt(self._launching)
                return

    def _list_started(self) -> dict[Any, str]:
        """Return Ray's processes that were started here by their names, those that have ended meanwhile among them."""
        for process in list_ray_processes():
            if process not in self._started and process not in (self._others or ()):
                with suppress(psutil.Error):
                    self._started[process] = process.name()
        return self._started

    def _find_logs(self) -> Path:
        return (self._find_session() or Path(self._folder, "session_latest")) / "logs"

    def _find_session(self) -> Path | None:
        """Return the folder of this Ray, which it makes before anything else of it can be asked; None before that."""
        if self._node is not None:
            return Path(self._node.get_session_dir_path())
        return max(self._list_own_sessions(), default=None)

    def _list_own_sessions(self) -> set[Path]:
        return {*self._list_sessions()} - self._earlier if self._earlier is not None else set()

    def _list_sessions(self) -> Iterable[Path]:
        return Path(self._folder).glob(f"session_*_{os.getpid()}")

    def _find_trouble(self) -> str | None:
        killed = "killed from outside, as by `ray stop`, or for want of memory or threads; its logs are in"
        if self._node is None:  # Ray still starts, and would wait for minutes for a server that has ended.
            # One that ended before it was seen is there as a zombie, which has a name and no command.
            children = [each for each in psutil.Process().children() if each not in (self._others or ())]
            ended = [get_name(each) for each in children if not is_alive(each)]
            ended += [name for process, name in self._list_started().items() if not is_alive(process)]
            if PROCESS_TYPE_GCS_SERVER in ended:
                return f"Ray's {PROCESS_TYPE_GCS_SERVER} has ended while Ray starts: {killed} {self._find_logs()}"
            return None
        if (ended_one := self._find_ended()) is not None:
            name, status = ended_one
            return f"Ray's {name} has ended (status {status}): {killed} {self._find_logs()}"
        if not ray.is_initialized():  # To be asked, it would start another.
            return None
        try:
            alive = any(node["Alive"] for node in ray.nodes())
        except Exception:  # Ray has many; whether a process of it has ended is seen above, the next time.
            return None
        if not alive:
            return "Ray gave this machine up for dead: it did not answer, as when it is suspended or out of memory"
        return None

    def _find_ended(self) -> tuple[str, int] | None:
        """Return the name and the status of a process that held Ray together, once it has started."""
        for name in HELD_BY:
            for info in self._node.all_processes.get(name, ()):
                if (status := info.process.poll()) is not None:
                    return name, status
        return None


@contextmanager
def replaced(owner: Any, functions: dict[str, Any]) -> Iterator[None]:
    """Give a class or a module of Ray other functions for the block; it has not all of them in every version."""
    usual = {name: getattr(owner, name) for name in functions if hasattr(owner, name)}
    try:
        for name in usual:
            setattr(owner, name, functions[name])
        yield
    finally:
        for name, function in usual.items():
            setattr(owner, name, function)


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
    """Give Ray a token of this process alone where the user has none: Ray would leave one that others can read."""
    if os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        return
    if not os.access(Path("~/.ray/auth_token").expanduser(), os.R_OK):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _explain_unusable(folder: Path) -> str:
    """Return why Ray cannot work in ``folder``; empty where it can."""
    if len(os.fsencode(folder)) > LONGEST_FOLDER:
        return "is too long for the names of Ray's sockets"
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return "" if os.access(there, os.W_OK | os.X_OK) else f"cannot be written: {there} is another user's"


def _make_own_folder(usual: str, trouble: str) -> str:
    """Return a new folder for Ray to work in, in the place of the usual one and its trouble.

    Raises:
        InputError: there is no short folder that can be written.
    """
    try:
        short = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    except OSError as error:
        raise InputError(
            f"{usual} {trouble}, and a folder in /tmp cannot be made: {error.strerror}",
            f"a folder whose name has at most {LONGEST_FOLDER - len('/ray')} characters",
            "set RAY_TMPDIR to a short folder that can be written",
        ) from error
    print(f"Ray works in {short}, since {usual} {trouble}", file=sys.stderr)
    return short


def shut_down(on_sigterm: Any) -> None:
    """Leave Ray, and stop it where it was started here, with SIGTERM answered by ``on_sigterm``, or not any more.

    Ray's core gives the signal back to the system when it goes, a second before the last of its processes has ended.
    """
    if signal.getsignal(signal.SIGTERM) != signal.SIG_IGN:  # as it is after the first signal
        answer_sigterm(on_sigterm)
    with keeps_answer_to_sigterm():
        ray.shutdown()
