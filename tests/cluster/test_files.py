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
    """One image and a tag for both, idle nodes ended; the head alone may start machines and end them."""
    cluster = loaded(FILES[0])
    head, worker = (cluster["available_node_types"][name] for name in ("head", "worker"))
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert worker["min_workers"] == 0
    assert cluster["idle_timeout_minutes"] <= 15
    assert head["node_config"]["IamInstanceProfile"] == {"Name": "cae-study"}
    assert "IamInstanceProfile" not in worker["node_config"]
    for node in (head["node_config"], worker["node_config"]):
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
    assert group["replicas"] == group["minReplicas"] == 1, "one is there when the launch looks"
    assert "study/launch.py" in job["spec"]["entrypoint"]


def test_the_identity_policy_of_the_document_is_json_with_what_the_head_does() -> None:
    """Start and end nodes, find the image, and write to one bucket; no other machine gets a role from it."""
    (policy,) = [json.loads(block) for block in blocks("json")]
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert {
        "ec2:RunInstances",
        "ec2:TerminateInstances",
        "ssm:GetParameters",
        "s3:PutObject",
    } <= actions
    assert not [action for action in actions if action.endswith(":*") or action.startswith("iam:")]


def test_the_role_of_spot_instances_is_made_before_the_cluster() -> None:
    """Amazon makes it for an account's first spot instance, but not for the head, whose policy does not allow it."""
    section = DOCUMENT.read_text().partition("## AWS")[2].partition("\n## ")[0]
    role = "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com"
    assert role in section.partition("ray up cluster.yaml")[0]
    assert "AuthFailure.ServiceLinkedRoleCreationNotPermitted" in DOCUMENT.read_text()


def run_shell(script: str, home: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run a script of bash in ``home``, which some programs stand in for, and return what came of it."""
    (home / "bin").mkdir(parents=True, exist_ok=True)
    for name, text in programs.items():
        (home / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (home / "bin" / name).chmod(0o755)
    environment = {"HOME": str(home), "PATH": f"{home / 'bin'}:/usr/bin:/bin"}
    return subprocess.run(
        ["bash", "-c", script], cwd=home, env=environment, capture_output=True, text=True, check=False
    )


def test_the_token_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """By a Ray that makes it as everybody's umask has it; one that an earlier Ray left is closed as well."""
    shown = [block for block in blocks("sh") if "get-auth-token" in block]
    assert len(shown) == 2
    token = tmp_path / ".ray" / "auth_token"
    ray = "umask >> ~/umasks; mkdir -p ~/.ray; echo 1 >> ~/.ray/auth_token"
    for block in shown:
        lines = re.findall(r"^.*auth.token.*\n", block, flags=re.M)
        done = run_shell(f"umask 022\n{''.join(lines)}", tmp_path, ray=ray)
        assert done.returncode == 0, done.stderr
        assert token.stat().st_mode & 0o777 == 0o600
        token.chmod(0o644)
    assert (tmp_path / "umasks").read_text().split() == ["0077"] * 2, "not readable for a moment either"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_environment_that_was_half_made_is_made_again(path: Path, tmp_path: Path) -> None:
    """Debian's Python without python3-venv makes all of one but pip, and says that it failed."""
    (command,) = [command for command in loaded(path)["setup_commands"] if "-m venv" in command]
    made = tmp_path / "cae-study-venv" / "bin"
    venv = f"echo made >> ~/made; mkdir -p {made}; touch {made}/pip {made}/python; chmod 755 {made}/*"
    made.mkdir(parents=True)
    (made / "python").touch(0o755)
    for _ in range(2):
        assert run_shell(command, tmp_path, python3=venv).returncode == 0
    assert (tmp_path / "made").read_text() == "made\n"


def test_what_ray_up_wrote_into_a_home_is_taken_back(tmp_path: Path) -> None:
    """By the lines of the document, from a .bashrc that is kept elsewhere and has lines of the user's own."""
    (block,) = [block for block in blocks("sh") if ".bashrc" in block]
    own = 'export EDITOR=vi\nexport PATH="$HOME/bin:$PATH"\n'
    (tmp_path / "bashrc").write_text(own)
    (tmp_path / ".bashrc").symlink_to("bashrc")
    cluster = loaded(FILES[1])
    written = [
        command for key in ("setup_commands", "head_setup_commands") for command in cluster[key] if ".bashrc" in command
    ]
    assert len(written) == 2
    run_shell("\n".join(written), tmp_path)
    assert (tmp_path / "bashrc").read_text().count("\n") == 4
    for name in ("config.yaml", "key.pem"):
        (tmp_path / f"ray_bootstrap_{name}").touch()
    done = run_shell(block, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".bashrc").is_symlink() and (tmp_path / "bashrc").read_text() == own
    assert not list(tmp_path.glob("ray_*"))


def find_slurm_script() -> str:
    """Return the batch script of the document."""
    (found,) = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", DOCUMENT.read_text(), flags=re.S)
    return str(found)


@pytest.mark.parametrize(
    ("names", "address"),
    [
        ("echo 10.0.0.7 STREAM node", "10.0.0.7"),
        ("echo 127.0.1.1 STREAM node", "10.0.0.5"),
        ("echo 127.0.1.1 STREAM node; echo 10.0.0.7 STREAM", "10.0.0.7"),
        ("exit 2", "10.0.0.5"),
    ],
    ids=["its own", "that of Debian alone", "that of Debian first", "none"],
)
def test_a_slurm_job_names_the_first_node_by_an_address_that_the_others_reach(
    names: str, address: str, tmp_path: Path
) -> None:
    """Whatever the name of the node leads to on it; the nodes wait for each other for longer than Ray would."""
    variables = "export SLURM_JOB_ID=7 SLURM_NNODES=2 SLURM_CPUS_PER_TASK=8"
    done = run_shell(
        f"{variables}\n{find_slurm_script()}",
        tmp_path,
        python="echo trial",
        getent=names,
        hostname='[ "$*" = -I ] && echo "127.0.1.1 fe80::1 10.0.0.5 172.17.0.1 " || echo node',
        srun='echo "$RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT $RAY_AUTH_MODE"; echo "$@"\n'
        'while [ "$1" != -- ]; do shift; done; shift; "$@"',
    )
    assert done.returncode == 0, done.stderr
    environment, words, launched = done.stdout.splitlines()
    assert environment == "600 token"
    assert launched == "trial"
    assert words.count(f"--address {address}:20007 ") == 2
    assert "--num-gpus" not in words, "Slurm has several variables for them, and Ray counts what the task sees"
    assert "#SBATCH --exclusive\n" in find_slurm_script(), "a second Ray on a node would end with the first"


SYMMETRIC_RUN = """
from types import SimpleNamespace
import ray.scripts.symmetric_run as own
own.check_ray_already_started = lambda: False
own.psutil = SimpleNamespace(net_if_addrs=lambda: {"eth0": [SimpleNamespace(family=2, address="10.0.0.7")]})
own.symmetric_run()
"""
"""The pinned Ray's own command on a machine that has the address of the test and no other Ray."""


@pytest.mark.fault("Slurm: a job whose Ray does not start")
@pytest.mark.parametrize(
    ("start", "launch", "status"),
    [(0, 0, 0), (0, 3, 3), (1, 0, 1)],
    ids=["done", "a launch that fails", "no Ray"],
)
def test_a_slurm_job_fails_where_its_launch_does_or_ray_does_not_start(
    start: int, launch: int, status: int, tmp_path: Path
) -> None:
    """On a single node, of which no other tells that it waited in vain; Ray's own command ends well there."""
    done = run_shell(
        f"export SLURM_JOB_ID=7 SLURM_NNODES=1 SLURM_CPUS_PER_TASK=8 TMPDIR={tmp_path}\n{find_slurm_script()}",
        tmp_path,
        python=f'[ "${{*: -1}}" != --missing ] || exec echo trial; echo launched; exit {launch}',
        getent="echo 10.0.0.7 STREAM node",
        srun='while [ "$1" != ray ]; do shift; done; "$@"; status=$?; echo "ray $status"; exit "$status"',
        ray=f"case $1 in\nstart) exit {start} ;;\n"
        f"symmetric-run) exec {sys.executable} -c '{SYMMETRIC_RUN}' \"$@\" ;;\nesac",
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert ("\nlaunched\n" in done.stdout) == (start == 0)
    assert f"\nray {launch}\n" in done.stdout, "once Ray's command says that it did not start, the mark can go"
    assert ("error: Ray did not start" in done.stderr) == (start != 0)
    assert not list(tmp_path.glob("tmp.*"))


@pytest.mark.slow
@pytest.mark.fault("Slurm: a job with nothing left to do")
def test_a_slurm_job_with_nothing_left_to_do_starts_no_ray(tmp_path: Path) -> None:
    """The document's script without a Slurm: it ends before it asks for one, but for a study that lacks a trial."""
    config = study_config("quick", architectures=("unpool_only",))
    write_rows(config, tmp_path / "results", lambda planned, trial_config: 100.0)
    found = find_slurm_script()
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
