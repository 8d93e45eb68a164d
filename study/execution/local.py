"""A Ray of one launch on this machine: started in any environment, watched, and removed with all that it wrote."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import ray
import torch
from ray._common.utils import get_default_ray_temp_dir
from ray._private.node import Node
from ray._private.ray_constants import PROCESS_TYPE_GCS_SERVER, PROCESS_TYPE_RAYLET

from study.signals import answer_sigterm, interrupt, left_behind
from trainables.errors import InputError

LONGEST_FOLDER = 42
"""A socket's name has 107 bytes at most, and Ray's folder of a session and what is in it take the rest of them."""

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where Ray keeps objects, of which a study has few and small ones

UNUSED = ("start_monitor", "start_api_server")
"""Of Ray's `Node`: a cluster's scaler and a dashboard's server, without which a launch starts seconds sooner."""

WATCH_SECONDS = 0.5

LONGEST_ANSWER = 2.0
"""Seconds to wait for what is asked of Ray in the moment in which it is stopped."""


class LocalRay:
    """From `start` to `stop` a launch is interrupted, in words, when Ray is no longer there."""

    def __init__(self) -> None:
        self._node: Any = None  # once Ray is there
        self._folder = ""
        self._made: str | None = None
        self._earlier: set[Path] | None = None  # folders of sessions that were there before
        self._others: set[Any] | None = None  # Ray's processes that were there before
        self._started: dict[Any, str] = {}  # those that were seen since, with their names
        self._troubled = False  # whether Ray did not start or a process of it has ended, which its logs may explain
        self._stopped = threading.Event()
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
        self._others = {*_list_ray_processes()}
        left_behind.append(self._kill)
        self._watcher.start()
        unused = (*UNUSED, *(() if options["log_to_driver"] else ("start_log_monitor",)))
        usual = {name: getattr(Node, name) for name in unused if hasattr(Node, name)}  # not of every version
        try:
            for name in usual:
                setattr(Node, name, lambda *_, **__: None)
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
        except Exception as error:  # Ray has many, and plain ones: whichever it is, none of them is a study's.
            self._troubled = True
            raise InputError(
                f"Ray did not start here: {' '.join(str(error).split()) or type(error).__name__}"[:500],
                "a machine that lets Ray's processes start and stay",
                f"look in {self._find_logs()} for what ended or held one of them; the same command goes on",
            ) from error
        finally:
            for name, start in usual.items():
                setattr(Node, name, start)
        self._node = ray._private.worker._global_node

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
            _tell(raylets, "suspend")  # It starts the others: no more come.
            self._list_started()
            if self._node is None:  # Ray itself does not know yet what it has to end.
                _tell(self._started, "kill")
            _tell(raylets, "resume")
        shut_down(on_sigterm)
        self._kill()
        if self._others is not None:
            left_behind.remove(self._kill)

    def _kill(self) -> None:
        """End what is left: also those whose raylet was killed while they started, which are below nobody any more."""
        _tell(self._started, "kill")
        if self._node is not None:
            session = Path(self._node.get_session_dir_path()).name
            commands = ((each, _read_command(each)) for each in psutil.process_iter())
            _tell((each for each, words in commands if _is_rays(words) and session in " ".join(words)), "kill")

    def clear(self, keep_logs: bool) -> None:
        """Remove the folder of a Ray that was stopped, also while it started, or say where its logs are."""
        folder = self._find_session()
        if folder is None or self._troubled:
            return
        if keep_logs:
            print(f"logs:   {folder / 'logs'}", file=sys.stderr)
            return
        psutil.wait_procs([*self._started], LONGEST_ANSWER)  # Who is being killed may still write to it.
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
                self._troubled = True
                print(f"error: {trouble}", file=sys.stderr, flush=True)
                if sys.stderr is sys.__stderr__:  # Ray's core repeats every second that it cannot be reached.
                    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
                    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                interrupt()
                return

    def _list_started(self) -> dict[Any, str]:
        """Return Ray's processes that were started here by their names, those that have ended meanwhile among them."""
        for process in _list_ray_processes():
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
        return None if self._earlier is None else max({*self._list_sessions()} - self._earlier, default=None)

    def _list_sessions(self) -> Iterable[Path]:
        return Path(self._folder).glob(f"session_*_{os.getpid()}")

    def _find_trouble(self) -> str | None:
        killed = "killed from outside, as by `ray stop`, or for want of memory or threads; its logs are in"
        # Ray's raylet gives up its agents after 15 s, which nobody can set (ray-project/ray#65983).
        slow = "Where the machine is so busy that Ray takes over 15 s to start, the same command works later."
        if self._node is None:  # Ray still starts, and would wait for minutes for a process that has ended.
            # One that ended before it was seen is there as a zombie, which has a name and no command.
            children = [each for each in psutil.Process().children() if each not in (self._others or ())]
            ended = [_get_name(each) for each in children if not _is_alive(each)]
            ended += [name for process, name in self._list_started().items() if not _is_alive(process)]
            for name in {PROCESS_TYPE_GCS_SERVER, PROCESS_TYPE_RAYLET} & {*ended}:
                return f"Ray's {name} has ended while Ray starts: {killed} {self._find_logs()}. {slow}"
            return None
        for name in (PROCESS_TYPE_GCS_SERVER, PROCESS_TYPE_RAYLET):
            for info in self._node.all_processes.get(name, ()):
                if (status := info.process.poll()) is not None:
                    return f"Ray's {name} has ended (status {status}): {killed} {self._find_logs()}"
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


def _list_ray_processes() -> list[Any]:
    """Return Ray's processes below this one, as psutil has them."""
    below = psutil.Process().children(recursive=True)
    return [process for process in below if _is_rays(_read_command(process))]


def _is_rays(command: list[str]) -> bool:
    package = str(Path(ray.__file__).parent)
    return any(word.startswith((package, "ray::")) for word in command)


def _read_command(process: Any) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _get_name(process: Any) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def _is_alive(process: Any) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _tell(processes: Iterable[Any], what: str) -> None:
    """Call the method ``what`` of those that are still there."""
    for process in processes:
        with suppress(psutil.Error):
            getattr(process, what)()


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
