"""Connects to Ray: a local one by default, a running cluster on request; follows how many trials it holds at once."""

from __future__ import annotations

import inspect
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import loky
import ray
import torch
import yaml
from ray.exceptions import AuthenticationError

import trainables
from study.config.options import Verbosity
from study.execution.capacity import (
    choose_gpus,
    count_possible_slots,
    count_slots,
    count_slots_now,
    count_unseen_machines,
    find_most_gpus,
)
from study.execution.local import LocalRay
from study.execution.nodes import ask_nodes, check_gpus, check_versions, list_alive_nodes, print_nodes
from study.execution.tuner import MOST_TRIALS_AT_ONCE, Resources
from study.signals import answer_sigterm, interrupt
from study.storage.location import require_utf8
from trainables.errors import InputError

CLUSTER_FILE = Path("~/ray_bootstrap_config.yaml")
"""Where ``ray up`` leaves the cluster's file on the head."""

WAIT_SECONDS = 900.0
"""How long a launch waits for machines of one's own on which ``ray up`` still installs."""

_REACH_SECONDS = 5.0
_FOLLOW_SECONDS = 5.0
_ATTEMPTS = "RAY_gcs_server_port_wait_time_s"
"""Ray's variable, whose number is how often a driver tries to reach a head."""

_CACHE_CAPACITY = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
KEPT_PRIMITIVES = "32"
"""Kernels for convolutions that PyTorch keeps in a worker, by default 1,024, for as many shapes of layers.

Every trial has filter counts of its own, and a worker trains hundreds: after 60 trials of model 4 it held 900
MiB of them, with so few 160. The plain path trains as fast, since all layers of a model need fewer.
"""


class NoClusterError(InputError):
    """No Ray answers at an address."""


def find_local_resources(gpus_per_trial: float | None, concurrency: int | None) -> Resources:
    """Return how many trials run at once on this machine; by default what its GPUs hold, or one per core without.

    Raises:
        InputError: GPUs are asked for and there is none.
    """
    gpus = torch.cuda.device_count()
    share = choose_gpus(gpus_per_trial, gpus)
    # GPUs are what trials share out; their cores are counted where there is none.
    cores = MOST_TRIALS_AT_ONCE if share else count_cores()
    slots = count_slots({"CPU": cores, "GPU": gpus}, share)
    return Resources(share, min(concurrency or slots, slots) if share else concurrency or slots)


def count_cores() -> int:
    """Return the cores that this process may use, by its affinity and by the quota of its container."""
    return int(loky.cpu_count())


def choose_address(requested: str | None) -> str:
    """Return the address of the Ray to use: ``local`` unless one is requested by flag or by RAY_ADDRESS."""
    return requested or os.environ.get("RAY_ADDRESS") or "local"


@contextmanager
def connect(
    address: str,
    gpus_per_trial: float | None,
    concurrency: int | None,
    verbosity: Verbosity = "normal",
    wait: bool = True,
) -> Iterator[Resources]:
    """Start or join Ray for the block and give how many trials run at once on it; of a cluster, say which nodes it has.

    A Ray that was started here ends with the block, and its logs with it unless an error ended it. SIGTERM is answered
    as before all the time. With ``wait`` machines are waited for that ``ray up`` still prepares.

    Raises:
        NoClusterError: no Ray answers at the address.
        InputError: the process is connected to a Ray already; the one that it joins refuses this driver, its nodes have
            other versions, or it lacks the GPUs asked for; or the working directory or a word of the command line,
            which Ray is told, is no UTF-8.
    """
    if ray.is_initialized():  # To leave it in the end would end what else the process does there.
        raise InputError(
            "this process has begun a Ray of its own, or joined one",
            "a process that is connected to none: a launch starts or joins its own and leaves it in the end",
            "call ray.shutdown() first, or launch the study in another process",
        )
    for name in (os.getcwd(), *sys.argv):
        require_utf8(name)
    options: dict[str, Any] = {
        "log_to_driver": verbosity == "verbose",
        "logging_level": logging.INFO if verbosity == "verbose" else logging.ERROR,
        # The code that trials run is the code as it is now, whatever is edited while the study runs.
        "runtime_env": {
            "py_modules": [str(Path(trainables.__file__).parent)],
            "env_vars": {_CACHE_CAPACITY: os.environ.get(_CACHE_CAPACITY, KEPT_PRIMITIVES)},
        },
    }
    on_sigterm = signal.getsignal(signal.SIGTERM)
    local, failed = LocalRay(), True
    # What Ray has to say of the end of a node or a worker comes in words of ours; its own are pages of a log.
    ray._private.worker._worker_logs_enabled = verbosity == "verbose"
    try:
        if address == "local":
            resources = find_local_resources(gpus_per_trial, concurrency)
            if verbosity != "quiet":
                print("starting Ray ...", flush=True)  # It takes seconds in which nothing else is said.
            local.start(max(resources.concurrency, 1), options)
        else:
            _join(address, options)
            resources = _find_resources(gpus_per_trial, concurrency, verbosity, wait)
        answer_sigterm(on_sigterm)  # Ray put its own in its place, which ends without a word.
        yield resources
        failed = False
    except (KeyboardInterrupt, InputError):
        failed = False
        raise
    except SystemExit:  # While Ray starts, this is its answer to SIGTERM.
        failed = False
        if threading.current_thread() is threading.main_thread():
            interrupt(threading.main_thread())  # From here on further signals change nothing.
        raise KeyboardInterrupt from None
    finally:
        local.watch_no_more()
        local.stop(on_sigterm)
        ray._private.worker._worker_logs_enabled = True
        local.clear(keep_logs=failed)


def send_by_value(functions: Iterable[Callable[..., Any]]) -> None:
    """Have functions of the user's own reach trials as they are; nodes need not have the modules that define them.

    Those of this package, which nodes have, and of installed ones are sent by name.
    """
    for module in filter(None, map(inspect.getmodule, functions)):
        path = Path(getattr(module, "__file__", None) or "")
        own = path.is_relative_to(Path(trainables.__file__).parent) or "site-packages" in path.parts
        if path.suffix == ".py" and not own and module.__name__ in sys.modules and module.__name__ != "__main__":
            ray.cloudpickle.register_pickle_by_value(module)


def _join(address: str, options: dict[str, Any]) -> None:
    start_one = "start one (ray up cluster.yaml), or leave --address and RAY_ADDRESS out to run here"
    if "://" in address:
        raise InputError(
            f"address {address!r}",
            "HOST:PORT of the head, or 'auto' on one of its nodes",
            "run the study on a node of the cluster: ray exec, ray submit or ray job submit bring it there",
        )
    told: list[str] = []
    try:
        if address != "auto":
            _reach(address)
        with _keep_quiet(told), _ask_once():
            ray.init(address=address, **options)
    except (AuthenticationError, ConnectionError, OSError, ValueError, RuntimeError) as error:
        message = " ".join(str(error).split())
        if isinstance(error, AuthenticationError) or "InvalidAuthToken" in "".join(told):
            raise InputError(
                f"the cluster at {address!r} does not accept this process: its token is missing here or another one",
                "the cluster's token, in ~/.ray/auth_token or in the file named by RAY_AUTH_TOKEN_PATH",
                "export RAY_AUTH_MODE=token, and copy the token file from the head",
            ) from error
        if "Version mismatch" in message:
            raise InputError(
                message,
                "the same versions of Ray and Python, to the last digit, on every node and here",
                "install with -c constraints.txt, with one Python, on every node; see docs/cluster.md",
            ) from error
        raise NoClusterError(
            f"no Ray cluster at {address!r} ({message[:300]})",
            "HOST:PORT of the head of a running cluster, or 'auto' on one of its nodes",
            start_one,
        ) from error


def _reach(address: str) -> None:
    """Raise what the network says, at once: Ray would go on trying for a minute."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("not of the form HOST:PORT")
    socket.create_connection((host, int(port)), timeout=_REACH_SECONDS).close()


@contextmanager
def _ask_once() -> Iterator[None]:
    """Let Ray ask the head once, unless the user says otherwise.

    It would ask twenty times, also a head that refuses it; one that is silent, for which it waits a minute each time.
    """
    if _ATTEMPTS in os.environ:
        yield
        return
    os.environ[_ATTEMPTS] = "1"
    try:
        yield
    finally:
        del os.environ[_ATTEMPTS]


@contextmanager
def _keep_quiet(told: list[str]) -> Iterator[None]:
    """Keep what Ray's core writes to the terminal, a line a second while it tries, and append it to ``told``."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            kept.seek(0)
            told.append(kept.read().decode(errors="replace"))


def _find_resources(
    gpus_per_trial: float | None, concurrency: int | None, verbosity: Verbosity, wait: bool
) -> Resources:
    cluster_file = _read_cluster_file()
    if cluster_file is not None and wait:
        _await_machines(cluster_file)
    nodes = list_alive_nodes()
    share = choose_gpus(gpus_per_trial, find_most_gpus(cluster_file, [node["Resources"] for node in nodes]))
    found = ask_nodes(nodes)
    check_versions(found)
    check_gpus(nodes, found, share)
    follow = _make_follower(cluster_file, share)
    holds = follow()
    if not holds:
        raise InputError(
            "a cluster without a node for a trial",
            "nodes with a free core" + (f" and {share:g} GPU" if share else ""),
            "start workers, or give the head cores (resources in cluster.yaml, --num-cpus of ray start)",
        )
    if verbosity != "quiet":
        print_nodes(nodes, found, share, holds)
    if concurrency is not None:
        return Resources(share, concurrency)
    return Resources(share, holds, follow)


def _read_cluster_file() -> dict[str, Any] | None:
    """Return the file that the cluster was made by; None where ``ray up`` did not make it or this is not its head."""
    path = CLUSTER_FILE.expanduser()
    if not path.exists():
        return None
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found if {"available_node_types", "head_node_type", "max_workers"} <= found.keys() else None


def _await_machines(cluster_file: Mapping[str, Any]) -> None:
    """Wait for machines whose cores and GPUs nobody knows before they are there."""
    deadline = time.monotonic() + WAIT_SECONDS
    said = -1
    while (unseen := count_unseen_machines(cluster_file, len(list_alive_nodes()))) and time.monotonic() < deadline:
        if unseen != said:
            print(f"waiting for {unseen} more machines, which ray up still prepares", flush=True)
            said = unseen
        time.sleep(2)
    if unseen:
        print(
            f"warning: {unseen} machines did not come; see `ray exec FILE 'tail /tmp/ray/session_latest/logs/monitor*'`"
        )


def _make_follower(cluster_file: Mapping[str, Any] | None, gpus_per_trial: float) -> Callable[[], int]:
    """Return a function that says how many trials to keep going, as nodes come and go.

    As many as the cluster may become by its file, since trials that wait are what makes it grow; else what is there.
    """
    asked_at = -_FOLLOW_SECONDS
    holds = 0

    def follow() -> int:
        nonlocal asked_at, holds
        if time.monotonic() - asked_at >= _FOLLOW_SECONDS:
            there = [node["Resources"] for node in list_alive_nodes()]
            holds = count_slots_now(there, gpus_per_trial)
            if cluster_file is not None:
                holds = max(holds, count_possible_slots(cluster_file, there, gpus_per_trial))
            asked_at = time.monotonic()
        return holds

    return follow
