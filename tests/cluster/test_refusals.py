"""Clusters that cannot be joined: one screen each, exit status 2, and no folder made."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.launches import assert_ended_in_words
from tests.studies import exit_status

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


def make_flags(address: str, results: Path) -> list[str]:
    """Return the flags of a launch on a cluster."""
    return ["--preset", "quick", "--results-dir", str(results), "--address", address]


def refused(address: str, results: Path, home: Path | None = None, **environment: str) -> str:
    """Launch on ``address``, which must be refused, and return what is said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, str(ROOT / "study" / "launch.py"), *make_flags(address, results)],
        capture_output=True,
        text=True,
        check=False,
        env=kept | ({"HOME": str(home)} if home else {}) | environment,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == "study quick-digits: loading libraries and data ...\n"
    check_screen(done.stderr, results)
    return done.stderr


def check_screen(shown: str, results: Path) -> None:
    """A few lines with what to do, and no folder."""
    assert_ended_in_words(shown)
    assert "accepted:" in shown
    assert len(shown.splitlines()) <= 8
    assert not results.exists()


@contextlib.contextmanager
def head(folder: Path, *patches: str, **environment: str) -> Iterator[str]:
    """Start a head of Ray with a home of its own and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    script = "\n".join([*patches, "from ray.scripts.scripts import main", "main()"])
    start = ["start", "--head", "--block", f"--port={port}", "--node-ip-address=127.0.0.1", "--num-cpus=1"]
    with open(folder / "head.log", "w+") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                script,
                *start,
                "--include-dashboard=false",
                "--object-store-memory=100000000",
                f"--temp-dir={folder}/ray",
            ],
            env=kept | {"HOME": str(folder)} | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            for _ in range(240):
                assert process.poll() is None, (folder / "head.log").read_text()
                if "Ray runtime started" in (folder / "head.log").read_text():
                    break
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
            yield f"127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room for the names of Ray's sockets."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="cae", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:1", "Connection refused"),
        ("no-such-host.invalid:6379", "no Ray cluster at"),
        ("nonsense", "HOST:PORT"),
        ("ray://127.0.0.1:10001", "ray exec, ray submit or ray job submit"),
    ],
)
def test_a_wrong_address_is_refused(
    address: str, expected: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where nothing listens, a name that is none, no port, and Ray Client: before Ray is asked, so in this process."""
    assert exit_status(make_flags(address, tmp_path / "results")) == 2
    shown = capfd.readouterr()
    assert shown.out == "study quick-digits: loading libraries and data ...\n"
    check_screen(shown.err, tmp_path / "results")
    assert expected in shown.err


def test_a_missing_and_another_token_are_refused(short_path: Path, tmp_path: Path) -> None:
    """Missing where a process does not know that there is one."""
    token = short_path / "token"
    token.write_text("a" * 64)
    other = short_path / "other"
    other.write_text("b" * 64)
    home = tmp_path / "home"
    home.mkdir()
    with head(short_path, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token)) as address:
        environments: dict[str, dict[str, str]] = {
            "another": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(other)},
            "none": {"RAY_AUTH_MODE": "disabled"},
        }
        with ThreadPoolExecutor() as threads:
            asked = [
                threads.submit(refused, address, tmp_path / name, home, **given) for name, given in environments.items()
            ]
        for message in [each.result() for each in asked]:
            assert "does not accept this process" in message
            assert "RAY_AUTH_MODE=token" in message
    said = "".join(log.read_text() for log in short_path.rglob("gcs_server.out"))
    assert said.count("Missing authorization header in request") == 1  # by the last of them, which asks once


def test_a_cluster_of_another_release_is_refused(short_path: Path, tmp_path: Path) -> None:
    """The head says that it is one."""
    with head(short_path, "import ray; ray.__version__ = '2.59.0'", RAY_AUTH_MODE="disabled") as address:
        message = refused(address, tmp_path / "results", RAY_AUTH_MODE="disabled")
        assert "Version mismatch" in message
        assert "2.59.0" in message
