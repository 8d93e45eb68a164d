"""Processes of a Ray that starts: seen with their names and ends, and waited for only as long as there is hope."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray
from ray._raylet import get_port_filename  # type: ignore[attr-defined] # compiled

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

NODE = "ab" * 28
"""Of Ray's form: the hexadecimal digits of 28 bytes."""


def test_one_that_has_ended_is_not_alive_and_keeps_its_name() -> None:
    """A zombie until who started it looks; nothing raises, neither then nor after."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", ray.__file__])
    process = psutil.Process(child.pid)
    name = get_name(process)
    assert is_alive(process) and is_rays(read_command(process)) and name
    tell([process], "kill")
    deadline = time.monotonic() + 10
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (is_alive(process), read_command(process), get_name(process)) == (False, [], name)
    child.wait()
    tell([process], "kill")
    assert (is_alive(process), read_command(process)) == (False, [])


def test_a_port_is_read_as_soon_as_its_file_is_there(tmp_path: Path) -> None:
    """Other threads run meanwhile: one of them writes it here."""

    def write() -> None:
        (tmp_path / "part").write_text("6379")
        (tmp_path / "part").rename(tmp_path / get_port_filename(NODE, "gcs_server"))

    writer = threading.Timer(0.2, write)
    writer.start()
    port = None
    with suppress(RuntimeError):  # as where the file is not there yet
        port = wait_for_port(str(tmp_path), NODE, "gcs_server", 30_000, lambda: False)
    assert port == 6379
    writer.join()


def test_who_gave_up_waits_for_no_port(tmp_path: Path) -> None:
    """At once, and not for the half minute that Ray allows."""
    begun = time.monotonic()
    with pytest.raises(Exception, match="gcs_server"):
        wait_for_port(str(tmp_path), NODE, "gcs_server", 30_000, lambda: True)
    assert time.monotonic() - begun < 10


def make_node(nodes: dict[str, Any], status: int | None) -> Any:
    """Return what Ray has of a node that starts: the nodes that its server knows, and how its raylet has ended."""
    client = SimpleNamespace(get_all_node_info=lambda timeout: nodes)
    raylet = SimpleNamespace(process=SimpleNamespace(poll=lambda: status))
    return SimpleNamespace(all_processes={"raylet": [raylet]}, get_gcs_client=lambda: client)


def test_a_raylet_is_waited_for_until_it_is_ready_or_has_ended() -> None:
    """The server knows it; it has ended before; another thread has given up."""
    wait_for_raylet(make_node({NODE: "alive"}, None), lambda: False)
    with pytest.raises(RayletEnded, match=r"status -9"):
        wait_for_raylet(make_node({}, -9), lambda: False)
    with pytest.raises(TimeoutError, match="not ready"):
        wait_for_raylet(make_node({}, None), lambda: True)


PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", os.environ["OF_RAY"]])
print(child.pid, flush=True)
child.wait()
"""


def test_the_ray_of_another_study_below_this_process_is_not_of_this_one() -> None:
    """A server may run one study itself and another in a process of its own, whose Ray must live on."""
    told, parents = [], []
    for of_ray in ((ray.__file__,), ()):
        command, environment = [sys.executable, "-c", PARENT, *of_ray], os.environ | {"OF_RAY": ray.__file__}
        parents.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        assert parents[-1].stdout is not None
        told.append(int(parents[-1].stdout.readline()))
    try:
        seen = {process.pid for process in list_ray_processes()}
        assert {parents[0].pid, told[0]} <= seen
        assert not {parents[1].pid, told[1]} & seen
    finally:
        for pid in (*told, *(parent.pid for parent in parents)):
            psutil.Process(pid).kill()
        for parent in parents:
            parent.communicate()
