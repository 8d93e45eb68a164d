"""A Ray of one launch in the environments that people have, and what is said when it dies under a study."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import ray

from study.execution.local import LocalRay
from study.execution.processes import is_alive, list_ray_processes
from study.signals import left_behind
from tests.documents import ROOT
from tests.faults.invariants import Damage, damage
from tests.faults.launches import NAME, Launch, assert_ended_in_words, small_study
from tests.faults.tally import Tally
from trainables.ops.compilation import find_cache

pytestmark = [pytest.mark.slow, pytest.mark.fault]

STUDY, CONFIG = small_study()
SHORT = Path("/tmp")  # noqa: S108 - where the product puts what needs a short name
IN_A_THREAD = """
import sys, threading
from study import launch
ended = []
thread = threading.Thread(target=lambda: ended.append(launch._run(launch.make_parser().parse_args(sys.argv[1:]))))
thread.start()
thread.join()
sys.exit(ended[0])
"""


MAY_UNSHARE = os.geteuid() == 0 and shutil.which("unshare") is not None
MOUNT = 'mount -t tmpfs -o ro none /dev/shm && exec "$@"'
READ_ONLY = ("unshare", "-m", "sh", "-c", MOUNT, "sh") if MAY_UNSHARE else ()


@pytest.mark.skipif(not MAY_UNSHARE, reason="needs root and unshare of util-linux")
@pytest.mark.fault("machine: does not reach itself")
@pytest.mark.parametrize("prepared", ["true", "ip link set lo up && ip address del 127.0.0.1/8 dev lo"])
def test_a_machine_that_does_not_reach_itself_is_refused_in_words(prepared: str, tmp_path: Path) -> None:
    """Without a loopback interface, and with IPv6 alone; Ray itself waits for minutes."""
    command = [sys.executable, str(ROOT / "study" / "launch.py"), *STUDY, "--results-dir", str(tmp_path / "results")]
    done = subprocess.run(
        ["timeout", "120", "unshare", "-n", "sh", "-c", f'{prepared} && exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"RAY_ADDRESS": ""},
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: this machine does not reach itself by 127.0.0.1 (")
    assert "ip link set lo up" in done.stderr
    assert_ended_in_words(done.stderr)
    assert not (tmp_path / "results").exists()


@pytest.mark.fault("machine: no home, a long TMPDIR, no shared memory, from a thread")
def test_a_study_in_a_thread_without_a_home_and_with_a_long_folder_for_temporary_files(tmp_path: Path) -> None:
    """As from a server, in a container of no user, in a job's folder; nothing of Ray is left behind.

    Where this user may mount, shared memory cannot be written either.
    """
    long = tmp_path / ("job-folder-" * 6)
    long.mkdir()
    before = set(SHORT.glob("ray-*"))
    flags = (*STUDY, "--concurrency", "1", "--results-dir", str(tmp_path / "results"))
    done = subprocess.run(
        [*READ_ONLY, sys.executable, "-c", IN_A_THREAD, *flags],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        | {"HOME": "/proc/nohome", "XDG_CACHE_HOME": str(find_cache().parents[1]), "TMPDIR": str(long)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ray works in /tmp/ray-" in done.stderr
    assert set(pd.read_parquet(tmp_path / "results" / NAME / "trials").status) == {"complete"}
    assert set(SHORT.glob("ray-*")) == before
    assert not list(long.glob("**/session_*"))


STARTED = """
import logging, os, signal
from study.execution.local import LocalRay
local = LocalRay()
try:
    local.start(1, {"log_to_driver": False, "logging_level": logging.ERROR})
    print(len(os.environ["RAY_AUTH_TOKEN"]), os.environ["RAY_AUTH_MODE"])
finally:
    answer = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a launch does at the first signal
    local.watch_no_more()
    local.stop(answer)
    os.kill(os.getpid(), signal.SIGTERM)
    local.clear(keep_logs=False)
print("ended")
"""


def test_a_local_ray_leaves_no_token_and_no_answer_to_signals(tmp_path: Path) -> None:
    """Whoever has a token can run code as this user: it is of the launch alone. Ray writes one into a home without one.

    What is ignored while Ray stops is ignored after it, too.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    done = subprocess.run(
        [sys.executable, "-c", STARTED],
        cwd=ROOT,
        env=environment | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(find_cache().parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["64", "token", "ended"]
    assert not [path for path in tmp_path.rglob("auth_token") if path.stat().st_mode & 0o077]


@pytest.mark.fault("machine: Ray's folder is another user's")
@pytest.mark.skipif(not MAY_UNSHARE, reason="needs root and unshare of util-linux")
def test_a_folder_of_ray_that_cannot_be_written_is_told() -> None:
    """As on a shared machine, where whoever came first owns it; what is not there yet is made in the folder above."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir=SHORT) as folder:
        script = "from pathlib import Path; from study.execution.local import _explain_unusable; "
        script += f"print(*(repr(_explain_unusable(Path({folder!r}, name))) for name in ('.', 'new')), sep='\\n')"
        closed = f'mount -t tmpfs -o ro none {folder} && exec "$@"'
        for prefix, usable in (((), True), (("unshare", "-m", "sh", "-c", closed, "sh"), False)):
            command = [*prefix, sys.executable, "-c", script]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            expected = "''" if usable else f'"cannot be written: {folder} is another user\'s"'
            assert done.stdout.splitlines() == [expected, expected]


ORPHAN = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL).pid)"
"""Starts a process and leaves it to the system."""


@pytest.mark.fault("Ray: GPUs that only PyTorch sees, a process below nobody")
def test_a_local_ray_has_the_gpus_of_pytorch_and_is_gone_with_what_nobody_is_above(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a container Ray may find no GPU, and agents whose raylet was killed are not found below this process."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    on_sigterm, local = signal.getsignal(signal.SIGTERM), LocalRay()
    try:
        local.start(1, {"log_to_driver": False, "logging_level": logging.ERROR})
        assert ray.cluster_resources().get("GPU") == 3
        local.watch_no_more()  # It might see the agent while who starts it is still there.
        session = Path(local._node.get_session_dir_path())
        agent = [sys.executable, "-c", "import time; time.sleep(60)", ray.__file__, f"--session-dir={session}"]
        made = subprocess.run([sys.executable, "-c", ORPHAN, *agent], stdout=subprocess.PIPE, text=True, check=True)
        orphan = psutil.Process(int(made.stdout))
        assert orphan.status() != psutil.STATUS_ZOMBIE
    finally:
        local.watch_no_more()
        local.stop(on_sigterm)
        local.clear(keep_logs=False)
    deadline = time.monotonic() + 5
    while is_alive(orphan) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_alive(orphan)
    assert not session.exists()


@pytest.mark.fault("Ray: a raylet that starts processes to the end")
def test_what_a_raylet_starts_while_it_is_ended_is_ended_too(tmp_path: Path) -> None:
    """It is suspended first: here it starts another process all the time, as Ray's own does while it starts."""
    raylet = tmp_path / "raylet"
    raylet.write_text(
        f"#!{sys.executable}\n"
        "import subprocess, time\n"
        f"agent = {[sys.executable, '-S', '-c', 'import time; time.sleep(60)', ray.__file__]!r}\n"
        "while True:\n"
        "    subprocess.Popen(agent)\n"
        "    time.sleep(0.02)\n"
    )
    raylet.chmod(0o755)
    local = LocalRay()
    local._others = {*list_ray_processes()}
    left_behind.append(local._kill_at_once)
    mark = {"CAE_STUDY_RAYLET": str(tmp_path)}
    starter = subprocess.Popen([raylet, ray.__file__], env=os.environ | mark)
    time.sleep(0.5)
    local.stop(signal.getsignal(signal.SIGTERM))
    starter.wait()
    deadline = time.monotonic() + 2
    while (left := find_marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in left:
        process.kill()
    assert not left


def find_marked(mark: dict[str, str]) -> list[Any]:
    """Return the processes that have ``mark`` in their environment and a command."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if mark.items() <= process.environ().items() and process.cmdline():
                found.append(process)
    return found


STALLED: dict[str, Any] = {"RAY_health_check_period_ms": "500", "RAY_health_check_initial_delay_ms": "500"}
STALLED |= {"RAY_health_check_failure_threshold": "2", "RAY_health_check_timeout_ms": "500"}


SLOW_DISK = """
import sys, time
from study import launch
from study.signals import leave
from study.storage.store import Store
append = Store.append
Store.append = lambda *trial: (time.sleep(1), append(*trial))
leave(launch.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("process", "sent", "variables", "said"),
    [
        ("gcs_server", signal.SIGKILL, {}, "Ray's gcs_server has ended"),
        ("raylet", signal.SIGKILL, {}, "Ray's raylet has ended"),
        ("raylet", signal.SIGSTOP, STALLED, "Ray gave this machine up for dead"),
    ],
)
def test_a_launch_whose_ray_dies_ends_in_words_and_goes_on(
    process: str,
    sent: signal.Signals,
    variables: dict[str, Any],
    said: str,
    tmp_path: Path,
    tally: Tally,
    every_fault: bool,
) -> None:
    """Within seconds, not after Ray's minute, without a line of its core, and with the rows that waited for a disk."""
    if process == "gcs_server" and not every_fault:
        pytest.skip("make test-faults does it: the raylet is the short version")
    variables = variables | {"PYTHONPATH": str(ROOT)}
    launch = Launch(tmp_path / "results", *STUDY, "--concurrency", "1", script=("-c", SLOW_DISK), **variables)
    while "] confirm-" not in launch.said and not launch.ends(0.05):
        pass
    started = launch.processes()
    (found,) = [pid for pid, command in started.items() if f"/{process} " in command]
    os.kill(found, sent)
    asked = time.monotonic()
    try:
        assert not [command for command in started.values() if "monitor.py" in command or "dashboard.py" in command]
        assert launch.ends(30), launch.said
        assert time.monotonic() - asked < 30
        assert launch.process.returncode == 130, launch.said
        assert said in launch.said
        assert_ended_in_words(launch.said, ray_was_struck=True)
        assert launch.said.count("the same command goes on") == 1
        while left := launch.processes():  # Linux ends them with their parent, in its own time.
            assert time.monotonic() - asked < 40, left
        for logs in re.findall(r"its logs are in (\S+)", launch.said):
            assert any(Path(logs).iterdir())
            shutil.rmtree(Path(logs).parent)
    finally:
        launch.kill()
    kept = damage(launch.results / NAME, CONFIG, complete=False)
    tally.add(f"Ray: {process} {sent.name}", kept)
    assert kept == Damage()
    told = set(re.findall(r"^\[ *\d+/\d+\] (\S+) +complete", launch.said, flags=re.MULTILINE))
    assert told == set(pd.read_parquet(launch.results / NAME / "trials")["trial_id"])


GIVEN_UP = """
import logging, signal, sys, time
import psutil
from study import signals
from study.execution.local import LocalRay

def show():
    raylet = next(each for each in psutil.Process().children() if each.name() == "raylet")
    print(raylet.pid, raylet.status(), flush=True)

signals.STOP_SECONDS = 1.0
with signals.interruptible():
    local = LocalRay()
    local.start(1, {"log_to_driver": False, "logging_level": logging.ERROR})
    signals.left_behind.append(show)
    try:
        local._find_trouble = lambda: "given up"
        while True:
            time.sleep(0.1)  # Another thread may be given the signal, which then wakes nobody.
    except KeyboardInterrupt:
        while sys.argv[1] == "lingers":
            time.sleep(0.1)
        local.stop(signal.getsignal(signal.SIGTERM))
show()
signals.leave(130)
"""


@pytest.mark.parametrize("launch", ["stops", "lingers"])
def test_a_raylet_that_was_given_up_ends_after_the_words_to_the_user(launch: str) -> None:
    """It stays as it is until the process has ended: Ray's core ends that without a word once a raylet has gone."""
    command = [sys.executable, "-c", GIVEN_UP, launch]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 130, done.stderr
    assert "error: given up" in done.stderr
    assert ("the same command goes on" in done.stderr) == (launch == "lingers"), "who stops leaves it to who asked"
    pid, status = done.stdout.split()
    assert status == psutil.STATUS_STOPPED
    deadline = time.monotonic() + 10
    while psutil.pid_exists(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(int(pid))


def test_workers_that_die_while_they_start_are_no_failure_of_trials(
    tmp_path: Path, tally: Tally, every_fault: bool
) -> None:
    """Two of them are started again; where all die the launch ends in words and can go on."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, pathlib, signal, sys\n"
        "deaths = pathlib.Path(__file__).with_name('deaths')\n"
        "if 'default_worker.py' in ' '.join(sys.orig_argv) and (left := int(deaths.read_text())):\n"
        "    class Dying:\n"
        "        def find_spec(self, name, path=None, target=None):\n"
        "            if name == 'torch':\n"
        "                deaths.write_text(str(left - 1))\n"
        "                os.kill(os.getpid(), signal.SIGKILL)\n"
        "    sys.meta_path.insert(0, Dying())\n"
    )
    for deaths, status in ((100, 2), (2, 0)) if every_fault else ((2, 0),):
        (tmp_path / "deaths").write_text(str(deaths))
        launch = Launch(tmp_path / "results", *STUDY, "--concurrency", "1", PYTHONPATH=str(tmp_path))
        said = launch.finish(status=status)
        assert_ended_in_words(said)
    assert "starts again" in said
    found = damage(tmp_path / "results" / NAME, CONFIG)
    tally.add("worker: dies while it starts", found, 2)
    assert found == Damage()
    assert set(pd.read_parquet(tmp_path / "results" / NAME / "trials").status) == {"complete"}
