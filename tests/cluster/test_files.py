"""The files of clusters: what the pinned Ray accepts, shell that runs, paths that exist, and what must be in them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from study.config.presets import study_config
from tests.studies import write_rows

ROOT = Path(__file__).resolve().parents[2]
FILES = (ROOT / "cluster.yaml", ROOT / "docs" / "cluster-local.yaml")
SHELLCHECK = Path(sys.executable).parent / "shellcheck"
DOCUMENT = ROOT / "docs" / "cluster.md"


def loaded(path: Path) -> dict[str, Any]:
    """Return what a file says."""
    return dict(yaml.safe_load(path.read_text()))


def commands(cluster: dict[str, Any]) -> list[str]:
    """Return every shell command of a cluster."""
    return [command for key, value in cluster.items() if key.endswith("_commands") for command in value]


def check_shell(script: str, tmp_path: Path) -> None:
    """Fail unless bash parses ``script`` and shellcheck has nothing against it."""
    path = tmp_path / "script.sh"
    path.write_text(script if script.startswith("#!") else f"#!/bin/bash\n{script}\n")
    subprocess.run(["bash", "-n", str(path)], check=True)
    # 2016: text in single quotes is for the node's ~/.bashrc, which expands it.
    done = subprocess.run(
        [str(SHELLCHECK), "-e", "SC1091,SC2016", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_pinned_ray_accepts_the_file(path: Path) -> None:
    """As ``ray up`` does before it touches anything."""
    validate_config(prepare_config(loaded(path)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_command_is_good_shell(path: Path, tmp_path: Path) -> None:
    """Also those that come from the provider's defaults, of which none may be left."""
    cluster = loaded(path)
    assert len(commands(cluster)) >= 8
    for command in commands(cluster):
        check_shell(command, tmp_path)
    prepared = prepare_config(cluster)
    assert "ray-wheels/latest" not in str(prepared)
    assert {command for key in ("setup_commands", "worker_setup_commands") for command in prepared[key]} == set(
        cluster["setup_commands"]
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_mounted_path_exists_and_is_what_a_launch_needs(path: Path) -> None:
    """The token is made by the command that the file names."""
    mounts = loaded(path)["file_mounts"]
    assert mounts.pop("~/.ray/auth_token") == "~/.ray/auth_token"
    for remote, local in mounts.items():
        assert (ROOT / local).exists(), local
        assert remote == f"~/cae-study/{local}"
    needed = {"study", "trainables", "analysis", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    assert needed <= set(mounts.values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_node_asks_for_the_token_and_the_dashboard_stays_inside(path: Path) -> None:
    """Head and workers when they start, drivers by the shell's file; descriptors are raised with them."""
    cluster = loaded(path)
    head, worker = (cluster[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker"))
    for start in (head, worker):
        assert "RAY_AUTH_MODE=token " in start.partition("ray start")[0]
        assert start.startswith("ulimit -n 65536")
    assert "--dashboard-host=127.0.0.1" in head
    assert head.count("--dashboard-host") == 1
    assert any("export RAY_AUTH_MODE=token" in command for command in cluster["setup_commands"])
    assert any("RAY_ADDRESS=auto" in command for command in cluster["head_setup_commands"])
    assert any("constraints.txt" in command and "[cluster]" in command for command in cluster["setup_commands"])


def test_both_files_prepare_nodes_alike() -> None:
    """What is tried on hosts of this machine is what AWS runs, but for the package of venv that its image may lack."""
    amazon, own = (loaded(path) for path in FILES)
    for key in ("file_mounts", "head_setup_commands", "worker_start_ray_commands"):
        assert amazon[key] == own[key], key
    assert amazon["head_start_ray_commands"] == [
        command.replace("RAY_enable_autoscaler_v2=0 ", "") for command in own["head_start_ray_commands"]
    ]
    for ours, theirs in zip(own["setup_commands"], amazon["setup_commands"], strict=True):
        assert theirs.startswith(ours)


def test_amazon_workers_are_spot_gpus_and_the_head_runs_no_trials() -> None:
    """One image for both, a profile and a tag for each, idle nodes ended."""
    cluster = loaded(FILES[0])
    head, worker = (cluster["available_node_types"][name] for name in ("head", "worker"))
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert worker["min_workers"] == 0
    assert cluster["idle_timeout_minutes"] <= 15
    for node in (head["node_config"], worker["node_config"]):
        assert node["IamInstanceProfile"] == {"Name": "cae-study"}
        assert node["TagSpecifications"][0]["Tags"] == [{"Key": "project", "Value": "cae-study"}]
        assert node["ImageId"] == head["node_config"]["ImageId"]
    spot = [line for line in FILES[0].read_text().splitlines() if "MarketType" in line]
    assert len(spot) == 1, "on demand is one line away"


def blocks(language: str) -> list[str]:
    """Return the blocks of docs/cluster.md in a language."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), flags=re.S)


def test_every_script_of_the_document_is_good_shell(tmp_path: Path) -> None:
    """The commands and the batch script."""
    found = [*blocks("sh"), *blocks("bash")]
    assert len(found) >= 5
    for block in found:
        check_shell(block, tmp_path)


def test_the_kubernetes_job_is_whole() -> None:
    """A RayJob of the pinned Ray, with the token asked for, whose workers have the GPUs that it says."""
    (job,) = [document for block in blocks("yaml") for document in yaml.safe_load_all(block)]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]["rayClusterSpec"]
    (pin,) = re.findall(r"^ray==(.*)$", (ROOT / "constraints.txt").read_text(), flags=re.M)
    assert spec["rayVersion"] == pin
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (group,) = spec["workerGroupSpecs"]
    pods = [spec["headGroupSpec"]["template"]["spec"], group["template"]["spec"]]
    images = {container["image"] for pod in pods for container in pod["containers"]}
    assert len(images) == 1
    assert group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "study/launch.py" in job["spec"]["entrypoint"]


def test_the_identity_policy_of_the_document_is_json_with_what_the_head_does() -> None:
    """Start and end nodes, find the image, hand its profile on, and write to one bucket."""
    (policy,) = [json.loads(block) for block in blocks("json")]
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert {
        "ec2:RunInstances",
        "ec2:TerminateInstances",
        "iam:PassRole",
        "ssm:GetParameters",
        "s3:PutObject",
    } <= actions
    assert not [action for action in actions if action.endswith(":*")]


@pytest.mark.slow
@pytest.mark.fault("Slurm: a job with nothing left to do")
def test_a_slurm_job_with_nothing_left_to_do_starts_no_ray(tmp_path: Path) -> None:
    """The document's script without a Slurm: it ends before it asks for one, but for a study that lacks a trial."""
    config = study_config("quick", architectures=("unpool_only",))
    write_rows(config, tmp_path / "results", lambda planned, trial_config: 100.0)
    (found,) = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", DOCUMENT.read_text(), flags=re.S)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    for results, begun in (("results", True), ("new", False)):
        flags = f"(--preset quick --architectures unpool_only --no-report --results-dir {tmp_path / results})"
        script = found.replace("(--preset paper)", flags)
        assert script != found
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT,
            env=environment | {"PATH": path, "RAY_ADDRESS": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ("trials are done already" in done.stdout) == begun, done.stdout + done.stderr
        assert (done.returncode == 0) == begun
        assert ("SLURM_JOB_ID: unbound variable" in done.stderr) != begun
