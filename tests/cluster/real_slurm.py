"""The Slurm script of docs/cluster.md on a real Slurm of two hosts of this machine: ``make test-cluster``, as root.

Two hosts (see `hosts`) with a folder in common, which is what a home is on a Slurm cluster; the script as it stands in
the document, with nothing changed but what it asks Slurm for and the study. Exit status 0 done; 1 a step failed, with
the logs of the hosts; 77 not run, with the packages that are missing. ``--short`` as in `real_ray_up`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tests.cluster.hosts import PACKAGES, SLURM_PACKAGES, USER, USER_ID, Host, Hosts, refuse  # noqa: E402
from tests.cluster.real_ray_up import NAMES, SHORT, STUDY, check, look, wheelhouse  # noqa: E402

SHARED = "/mnt/shared"
BATCH = """#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=1
#SBATCH --time=00:10:00
"""

CONFIGURATION = """
ClusterName=cae
SlurmctldHost={head.name}({head.address})
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
StateSaveLocation=/tmp/slurmctld
SlurmdSpoolDir=/tmp/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/mnt/log/slurmctld.log
SlurmdLogFile=/mnt/log/slurmd.log
{nodes}
PartitionName=all Nodes=ALL Default=YES State=UP MaxTime=INFINITE
"""

START = f"""
set -e
mkdir -p /run/munge /tmp/slurmd /tmp/slurmctld
install -m 600 {SHARED}/munge.key /run/munge/key
munged --force --key-file /run/munge/key --socket /run/munge/munge.socket.2 --pid-file /run/munge/pid \\
    --seed-file /run/munge/seed --log-file /mnt/log/munged.log
export SLURM_CONF={SHARED}/slurm.conf
[ "$(hostname)" != {NAMES[0]} ] || slurmctld
slurmd -N "$(hostname)"
"""


def main() -> int:
    """Run every step; clean up whatever happens."""
    if status := refuse(PACKAGES | SLURM_PACKAGES):
        return status
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="cae-cluster-") as folder,
        open(Path(folder) / "hosts.log", "w") as log,
        Hosts(NAMES, Path(folder) / "hosts", wheelhouse(), log) as hosts,
    ):
        try:
            submit(hosts)
        except BaseException:
            for host in hosts.hosts:
                for name in ("munged", "slurmctld", "slurmd"):
                    print(f"--- {name} of {host.name}\n{host.run(f'tail -n 20 /mnt/log/{name}.log')}")
            raise
    print(f"the Slurm script on {len(NAMES)} hosts: passed in {time.monotonic() - started:.0f} s")
    return 0


def submit(hosts: Hosts) -> None:
    """Install, start Slurm, and submit the document's script twice."""
    head, *others = hosts.hosts
    clone = hosts.shared / "cae-study"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    commit = subprocess.run(["git", "-C", str(clone), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    (clone / "study.sbatch").write_text(script())
    nodes = "\n".join(f"NodeName={host.name} NodeAddr={host.address} CPUs=2 State=UNKNOWN" for host in hosts.hosts)
    (hosts.shared / "slurm.conf").write_text(CONFIGURATION.format(head=head, nodes=nodes))
    (hosts.shared / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # it looks for one where none is used, too
    (hosts.shared / "munge.key").write_bytes(bytes(range(256)) * 4)
    for host in (*others, head):
        said = host.run(START)
        check(not said.strip(), f"Slurm starts on {host.name}{said and f': {said}'}")
    await_nodes(head)
    subprocess.run(["chown", "-R", f"{USER_ID}:{USER_ID}", str(clone)], check=True)
    began = time.monotonic()
    if SHORT:
        head.prepare(f"{SHARED}/venv")
    as_user(
        head,
        f"test -d {SHARED}/venv || python3 -m venv {SHARED}/venv\n"
        f"{SHARED}/venv/bin/pip install --quiet -c constraints.txt -e .[cluster]",
    )
    as_user(head, "ray get-auth-token --generate")
    token = (head.root / "home" / USER / ".ray" / "auth_token").read_text()
    for host in others:
        as_user(host, f"mkdir -p ~/.ray && umask 077 && printf %s '{token.strip()}' > ~/.ray/auth_token")
    print(f"installed in {time.monotonic() - began:.0f} s", flush=True)
    look(job(head, "first"), hosts, commit.stdout.strip())
    if not SHORT:
        check("trials are done already" in job(head, "again"), "submitted again, the script has nothing left to do")
    for host in hosts.hosts:
        check(not host.run("pgrep -x -l raylet").strip(), f"no Ray is left on {host.name}")


def await_nodes(head: Host) -> None:
    """Wait until every host takes jobs."""
    deadline = time.monotonic() + 60
    states = ""
    while states.split() != ["idle"] * len(NAMES):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the hosts of Slurm are {states!r} after a minute")
        time.sleep(1)
        states = head.run(f"SLURM_CONF={SHARED}/slurm.conf sinfo --noheader --Node --format %T")


def script() -> str:
    """Return the document's script with resources that there are, and the study of these tests."""
    document = (ROOT / "docs" / "cluster.md").read_text()
    found = re.search(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", document, flags=re.S)
    assert found is not None
    text = re.sub(r"(#SBATCH --(nodes|ntasks|cpus|gpus|time).*\n)+", BATCH, found[1])
    shortened = text.replace("(--preset paper)", f"({STUDY} --results-dir {SHARED}/results)")
    assert shortened != text != found[1]
    return shortened


def job(head: Host, name: str) -> str:
    """Submit the script, wait for its end, and return what it printed."""
    began = time.monotonic()
    print(f"\n$ sbatch study.sbatch  ({name})", flush=True)
    said = as_user(head, f"sbatch --wait --output={name}.out study.sbatch; s=$?; cat {name}.out; (exit $s)", limit=500)
    print(f"  done after {time.monotonic() - began:.0f} s", flush=True)
    return said


def as_user(host: Host, command: str, limit: float = 400) -> str:
    """Run a command in the checkout as the user of the hosts, with the installation active."""
    prefix = f"export SLURM_CONF={SHARED}/slurm.conf PATH={SHARED}/venv/bin:{Path(sys.base_prefix) / 'bin'}:$PATH"
    lines = f"{prefix}\ncd {SHARED}/cae-study\n{command}\nprintf '\\nstatus %s' $?"
    become = f"timeout {limit} setpriv --reuid={USER_ID} --regid={USER_ID} --clear-groups"
    said = host.run(f"export HOME=/home/{USER} USER={USER}; {become} bash <<'END'\n{lines}\nEND")
    if not said.rstrip().endswith("status 0"):
        raise RuntimeError(f"{command} on {host.name} ended badly:\n{said}")
    return said


if __name__ == "__main__":
    sys.exit(main())
