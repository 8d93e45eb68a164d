"""Other systems: macOS and small containers run studies, Windows reads results, writes reports and loads models."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from study.models import train
from tests.missing import MACOS, WINDOWS, take_away
from tests.synthetic import write_synthetic_study
from tests.tiny import write_tiny_data

ROOT = Path(__file__).resolve().parents[2]

READ = """
import sys
import numpy as np
from analysis import report
from analysis.results import load_study
from study.models import load_model
assert len(load_study(sys.argv[1]).trials) > 0
assert report.main([sys.argv[1], "--output", sys.argv[3], "--no-tsne"]) == 0
model = load_model(sys.argv[2])
print(model.decode(model.encode(np.zeros((2, 28, 28), np.uint8))).shape)
"""


def run(environment: dict[str, str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with what is left."""
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_windows_reads_results_reports_and_loads_models(tmp_path: Path) -> None:
    """Without the modules, calls and signals that Python lacks there."""
    study = write_synthetic_study(tmp_path / "study", code_sizes=(10,))
    train("unpool_only", code_size=2, data="digits", epochs=1, output=tmp_path / "model")
    environment = take_away(WINDOWS, tmp_path / "windows")
    assert "ModuleNotFoundError" in run(environment, tmp_path, "-c", "import fcntl").stderr
    done = run(environment, tmp_path, "-c", READ, str(study), str(tmp_path / "model"), str(tmp_path / "report"))
    assert done.returncode == 0, done.stderr
    assert "(2, 28, 28)" in done.stdout
    assert (tmp_path / "report" / "report.html").exists()


def test_windows_says_where_a_study_runs(tmp_path: Path) -> None:
    """In three parts, before anything is written."""
    environment = take_away(WINDOWS, tmp_path / "windows")
    done = run(environment, tmp_path, "-c", RUN, str(tmp_path / "study"))
    assert done.returncode == 0, done.stderr
    assert "WSL" in done.stdout


RUN = """
import sys
from study.storage.store import Store
from trainables.errors import InputError
try:
    with Store(sys.argv[1]):
        pass
except InputError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_study_runs_on_macos_and_where_a_newcomer_may_be(tmp_path: Path) -> None:
    """Without affinity, /proc/cpuinfo and /dev/shm, in the launcher and in the workers of Ray.

    In a folder with spaces and letters beyond ASCII, with LANG=C, behind a proxy, with the ~/.ray of another Ray. The
    file of images has such a name, too, from which a name is derived that a folder can have.
    """
    folder, home = tmp_path / "my d\u00f6cs (\u00e9)", tmp_path / "home"
    folder.mkdir()
    write_tiny_data(folder).rename(folder / "meine Bilder \u00fc.npz")
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text("the token of another Ray\n")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment = take_away(MACOS, tmp_path / "macos") | nowhere | {"HOME": str(home), "LANG": "C", "LC_ALL": "C"}
    flags = ("--preset", "quick", "--dataset", "meine Bilder \u00fc.npz", "--architectures", "unpool_only")
    sizes = ("--trials", "1", "--seeds", "1", "--epochs", "1", "--concurrency", "1", "--no-report")
    done = run(environment, folder, str(ROOT / "study" / "launch.py"), *flags, *sizes)
    assert done.returncode == 0, done.stderr
    trials = pd.read_parquet(folder / "results" / "quick-meine-Bilder-u" / "trials")
    assert set(trials["status"]) == {"complete"} and trials["device"].notna().all()
    (proposed,) = (line for line in done.stdout.splitlines() if line.startswith("next:"))
    assert shlex.split(proposed)[-1] == str(folder / "results" / "quick-meine-Bilder-u")


LIMITS = {("cpu", "cpu.cfs_quota_us"): "100000", ("memory", "memory.limit_in_bytes"): str(2 * 2**30)}
IN_A_CONTAINER = """
for controller in cpu memory; do
    echo $$ > /sys/fs/cgroup/$controller/$1/cgroup.procs
    mount --bind /sys/fs/cgroup/$controller/$1 /sys/fs/cgroup/$controller
done
mount -t tmpfs -o size=64m none /dev/shm && mount -t tmpfs none "$2" && cd "$2" && shift 2 && "$@" && mv results ..
"""


@pytest.fixture
def container() -> Iterator[str]:
    """The name of control groups of version 1 with one core and 2 GiB."""
    name = f"cae-study-container-{os.getpid()}"
    made = [Path("/sys/fs/cgroup", controller, name) for controller, _ in LIMITS]
    try:
        for folder, ((_, file), limit) in zip(made, LIMITS.items(), strict=True):
            folder.mkdir()
            (folder / file).write_text(limit)
    except OSError as error:
        pytest.skip(f"needs to make control groups of version 1: {error}")
    yield name
    for folder in made:
        folder.rmdir()


@pytest.mark.slow
def test_a_study_runs_in_a_small_container(container: str, tmp_path: Path) -> None:
    """One core, 2 GiB, /dev/shm of 64 MiB as Docker has it, results on another file system than temporary files."""
    data, mounted = write_tiny_data(tmp_path), tmp_path / "mounted"
    mounted.mkdir()
    flags = ("--preset", "quick", "--dataset", str(data), "--architectures", "unpool_only", "--name", "small")
    sizes = ("--trials", "1", "--seeds", "1", "--epochs", "1", "--no-report")
    launch = (sys.executable, str(ROOT / "study" / "launch.py"), *flags, *sizes)
    script = ("unshare", "-m", "sh", "-euc", IN_A_CONTAINER, "sh", container, str(mounted), *launch)
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(pd.read_parquet(tmp_path / "results" / "small" / "trials")["status"]) == {"complete"}
    peak = Path("/sys/fs/cgroup/memory", container, "memory.max_usage_in_bytes").read_text()
    assert 500e6 < int(peak) < 2e9, "counted in this group, and not at its end"
