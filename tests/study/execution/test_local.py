"""A Ray of one launch in the environments that people have, and what is said when it dies under a study."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

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


STALLED: dict[str, Any] = {"RAY_health_check_period_ms": "500", "RAY_health_check_initial_delay_ms": "500"}
STALLED |= {"RAY_health_check_failure_threshold": "2", "RAY_health_check_timeout_ms": "500"}


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
    """Within seconds, not after Ray's minute, and without a line of its core."""
    if process == "gcs_server" and not every_fault:
        pytest.skip("make test-faults does it: the raylet is the short version")
    launch = Launch(tmp_path / "results", *STUDY, "--concurrency", "1", **variables)
    launch.wait_for_rows(1)
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
        for logs in re.findall(r"its logs are in (\S+)", launch.said):
            assert any(Path(logs).iterdir())
            shutil.rmtree(Path(logs).parent)
    finally:
        launch.kill()
    kept = damage(launch.results / NAME, CONFIG, complete=False)
    tally.add(f"Ray: {process} {sent.name}", kept)
    assert kept == Damage()


def test_workers_that_die_while_they_start_are_no_failure_of_trials(tmp_path: Path, tally: Tally) -> None:
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
    for deaths, status in ((100, 2), (2, 0)):
        (tmp_path / "deaths").write_text(str(deaths))
        launch = Launch(tmp_path / "results", *STUDY, "--concurrency", "1", PYTHONPATH=str(tmp_path))
        said = launch.finish(status=status)
        assert_ended_in_words(said)
    assert "starts again" in said
    found = damage(tmp_path / "results" / NAME, CONFIG)
    tally.add("worker: dies while it starts", found, 2)
    assert found == Damage()
    assert set(pd.read_parquet(tmp_path / "results" / NAME / "trials").status) == {"complete"}
