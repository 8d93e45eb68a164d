"""`ray up cluster.yaml` against a simulated EC2, up to the head node: nothing answers SSH there."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-west-2"
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def amazon() -> Iterator[str]:
    """The address of moto's server, with the profile of docs/cluster.md, which ``ray up`` expects to be there."""
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    iam = boto3.client("iam", region_name=REGION, endpoint_url=address, **KEYS)
    iam.create_role(RoleName="cae-study", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="cae-study")
    iam.add_role_to_instance_profile(InstanceProfileName="cae-study", RoleName="cae-study")
    yield address
    server.stop()


KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


@pytest.fixture(scope="module")
def created(amazon: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``ray up`` made until it waited for SSH: instances, security groups and its own words."""
    import boto3

    ec2 = boto3.client("ec2", region_name=REGION, endpoint_url=amazon, **KEYS)
    folder = tmp_path_factory.mktemp("laptop")
    (folder / ".ray").mkdir()
    (folder / ".ray" / "auth_token").write_text("a" * 64)
    for name in (".git", "analysis", "study", "trainables"):
        (folder / name).mkdir()
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "cluster.yaml"):
        shutil.copy(ROOT / name, folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AWS_"))} | {
        "HOME": str(folder),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "RAY_TMPDIR": str(folder),
        "TMPDIR": str(folder),  # Ray keeps there what it resolved, key pair included, for the next `ray up`.
        "AWS_ENDPOINT_URL": amazon,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "no_proxy": "127.0.0.1",
    }
    with open(folder / "log", "w+") as log:
        process = subprocess.Popen(
            ["ray", "up", "-y", "cluster.yaml"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        said = ""
        while process.poll() is None and time.monotonic() < deadline and "Waiting for SSH" not in said:
            time.sleep(0.5)
            said = (folder / "log").read_text()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    said = (folder / "log").read_text()
    instances = [
        instance for reservation in ec2.describe_instances()["Reservations"] for instance in reservation["Instances"]
    ]
    return {
        "said": said,
        "instances": instances,
        "groups": ec2.describe_security_groups()["SecurityGroups"],
        "ec2": ec2,
    }


def test_the_head_is_one_instance_of_its_type_on_demand(created: dict[str, Any]) -> None:
    """With the disk that PyTorch for CUDA needs."""
    assert len(created["instances"]) == 1, created["said"]
    (head,) = created["instances"]
    assert head["InstanceType"] == "m7i.large"
    assert "InstanceLifecycle" not in head
    assert head["Placement"]["AvailabilityZone"] in ("us-west-2a", "us-west-2b", "us-west-2c")


def test_the_head_has_the_profile_and_the_tags(created: dict[str, Any]) -> None:
    """Those of the file beside those that Ray needs to find its nodes."""
    (head,) = created["instances"]
    assert head["IamInstanceProfile"]["Arn"].endswith("instance-profile/cae-study")
    tags = {tag["Key"]: tag["Value"] for tag in head["Tags"]}
    assert tags["project"] == "cae-study"
    assert tags["ray-cluster-name"] == "cae-study"
    assert tags["ray-node-type"] == "head"
    assert tags["ray-user-node-type"] == "head"


def test_only_ssh_is_open_to_the_world(created: dict[str, Any]) -> None:
    """The nodes reach each other on every port, nobody else does."""
    (head,) = created["instances"]
    used = {group["GroupId"] for group in head["SecurityGroups"]}
    groups = [group for group in created["groups"] if group["GroupId"] in used]
    assert groups
    for group in groups:
        for rule in group["IpPermissions"]:
            if rule["IpRanges"]:
                assert (rule["FromPort"], rule["ToPort"]) == (22, 22)
            else:
                assert {pair["GroupId"] for pair in rule["UserIdGroupPairs"]} <= used


def test_a_worker_is_a_spot_gpu_instance_as_ray_would_ask_for_it(
    created: dict[str, Any], amazon: str, tmp_path: Path
) -> None:
    """Ray's provider makes one, from the file as ``ray up`` resolved it, as the head's autoscaler does."""
    script = """
import sys, yaml
from ray.autoscaler._private.providers import _get_node_provider, _NODE_PROVIDERS
from ray.autoscaler._private.util import prepare_config, validate_config
config = prepare_config(yaml.safe_load(open(sys.argv[1])))
validate_config(config)
importer = _NODE_PROVIDERS["aws"](config["provider"])
config = importer.bootstrap_config(config)
config = importer.fillout_available_node_types_resources(config)
print(config["available_node_types"]["worker"]["resources"])
provider = _get_node_provider(config["provider"], config["cluster_name"])
provider.create_node(
    config["available_node_types"]["worker"]["node_config"],
    {"ray-node-type": "worker", "ray-cluster-name": "cae-study", "ray-user-node-type": "worker"},
    1,
)
"""
    environment = os.environ | {
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": amazon,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "no_proxy": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT / "cluster.yaml")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "'GPU': 1" in done.stdout
    workers = [
        instance
        for reservation in created["ec2"].describe_instances()["Reservations"]
        for instance in reservation["Instances"]
        if {"Key": "ray-node-type", "Value": "worker"} in instance["Tags"]
    ]
    assert [worker["InstanceType"] for worker in workers] == ["g6.xlarge"]
    assert workers[0]["InstanceLifecycle"] == "spot"
    assert "IamInstanceProfile" not in workers[0], "a worker needs nothing of Amazon"
    assert {"Key": "project", "Value": "cae-study"} in workers[0]["Tags"]


def test_the_file_names_the_region_that_this_test_simulates() -> None:
    """Else nothing above would be looked for where it is."""
    assert yaml.safe_load((ROOT / "cluster.yaml").read_text())["provider"]["region"] == REGION
