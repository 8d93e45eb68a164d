"""Where a study runs by default, and how many trials at once."""

from __future__ import annotations

import dataclasses
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from study.config.presets import study_config
from study.execution import cluster
from study.execution.tuner import Resources
from tests.documents import ROOT
from trainables.errors import InputError
from trainables.models.architectures import ModuleAutoencoder
from trainables.training.objectives import OBJECTIVES


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of four cores without a GPU."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield


def test_without_a_gpu_a_trial_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or as many as asked for; two GPUs of which a trial holds a half make four."""
    assert cluster.find_local_resources(None, None).concurrency == 4
    assert cluster.find_local_resources(None, 7).at_once() == 7
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert cluster.find_local_resources(0.5, None).concurrency == 4
    with pytest.raises(InputError, match="no node has more than 2"):
        cluster.find_local_resources(3, None)


@pytest.fixture
def group() -> Iterator[Path]:
    """A real control group of version 1 with a quota of a core and a half."""
    made = Path("/sys/fs/cgroup/cpu", f"cae-study-{os.getpid()}")
    try:
        made.mkdir()
        (made / "cpu.cfs_quota_us").write_text("150000")
    except OSError as error:
        pytest.skip(f"needs to make a control group of version 1: {error}")
    yield made
    made.rmdir()


@pytest.fixture
def group_2(tmp_path: Path) -> Path:
    """The same as a container of version 2 sees it."""
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    return tmp_path


@pytest.mark.fault("container: quota of cores")
@pytest.mark.parametrize(
    ("made", "place"), [("group", "/sys/fs/cgroup/cpu"), ("group_2", "/sys/fs/cgroup")], ids=["cgroup v1", "cgroup v2"]
)
def test_the_quota_of_a_container_counts(made: str, place: str, request: pytest.FixtureRequest) -> None:
    """As a container sees it whose host has more cores: a core and a half are two trials."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs to be root, to mount another /sys/fs/cgroup")
    folder = request.getfixturevalue(made)
    ask = "import os; os.cpu_count = lambda: 64; os.sched_getaffinity = lambda _: set(range(64)); " + (
        "from study.execution.cluster import find_local_resources; print(find_local_resources(None, None).concurrency)"
    )
    join = 'echo $$ > "$1/cgroup.procs" && ' if made == "group" else ""
    script = f'{join}mount --bind "$1" {place} && exec "$2" -c "{ask}"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(folder), sys.executable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


def test_ray_is_a_local_one_unless_an_address_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """By flag, else by Ray's own variable."""
    assert cluster.choose_address(None) == "local"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert cluster.choose_address(None) == "10.0.0.1:6379"
    assert cluster.choose_address("auto") == "auto"


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "127.0.0.1", "127.0.0.1:1"])
def test_an_address_without_a_cluster_is_refused(address: str) -> None:
    """At once, with what an address is."""
    with pytest.raises(InputError) as raised, cluster.connect(address, None, None):
        pass
    assert "HOST:PORT" in raised.value.accepted


def test_a_file_that_ray_up_did_not_leave_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lacks what says how large the cluster may become."""
    monkeypatch.setattr(cluster, "CLUSTER_FILE", tmp_path / "cluster.yaml")
    assert cluster._read_cluster_file() is None
    (tmp_path / "cluster.yaml").write_text("max_workers: 3")
    assert cluster._read_cluster_file() is None


def test_no_more_trials_are_at_once_than_the_gpus_here_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """More that are asked for would only wait, and be counted in every estimate."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert cluster.find_local_resources(None, 4) == Resources(1, 1)
    assert cluster.find_local_resources(0.25, 3) == Resources(0.25, 3)
    assert cluster.find_local_resources(0.25, 9) == Resources(0.25, 4)
    assert cluster.find_local_resources(0, 4) == Resources(0, 4)


def test_a_process_with_a_ray_of_its_own_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused before anything of Ray is called, and told what to do."""
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "shutdown", lambda: pytest.fail("the user's Ray was ended"))
    for address in ("local", "127.0.0.1:1"):
        with (
            pytest.raises(InputError, match=r"call ray\.shutdown\(\) first"),
            cluster.connect(address, None, None, "quiet"),
        ):
            pytest.fail("it was begun")


def test_functions_of_a_users_module_reach_processes_that_lack_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a script that imports its models; what is built in goes by its name."""
    (tmp_path / "users_models.py").write_text("HIDDEN = 7\n\ndef build(code_size):\n    return code_size + HIDDEN\n")
    monkeypatch.syspath_prepend(tmp_path)
    build = importlib.import_module("users_models").build
    own = dataclasses.replace(OBJECTIVES["denoising"], name="mine")
    row = ModuleAutoencoder("users", "Users", "(own)", build)
    config = study_config("quick", models=(row,), own_objectives=(own,))
    assert build in config.list_own_functions() and own.find_losses in config.list_own_functions()
    cluster.send_by_value(config.list_own_functions())
    try:
        (tmp_path / "sent").write_bytes(ray.cloudpickle.dumps((build, own)))
    finally:
        ray.cloudpickle.unregister_pickle_by_value(sys.modules["users_models"])
    read = "import sys, ray.cloudpickle as c; f, own = c.loads(open(sys.argv[1], 'rb').read()); print(f(3), own.name)"
    done = subprocess.run(
        [sys.executable, "-c", read, str(tmp_path / "sent")], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "10 mine\n"
    assert len(ray.cloudpickle.dumps(own.find_losses)) < 200
