"""A real `ray up` on hosts of this machine, as docs/cluster.md says: ``make test-cluster``, as root.

Two hosts (see `hosts`), the project's file for machines of one's own with nothing changed but addresses, user and key,
then `ray exec ... python study/launch.py`, the rows looked at, and `ray down`. Exit status 0 done; 1 a step failed,
with the logs of the hosts; 77 not run, with the packages that are missing. With ``--short`` the study has one cell, the
hosts find every dependency installed, and nothing is launched twice or waited for at the end.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from study.config.presets import study_config  # noqa: E402
from study.plan.plan import Plan  # noqa: E402
from tests.cluster.hosts import PACKAGES, USER, Hosts, refuse  # noqa: E402

BIN = Path(sys.executable).parent
NAMES = ("cae-head", "cae-worker")
SHORT = "--short" in sys.argv[1:]
# Long enough for a host to compile kernels while the other trains, and then to train as well.
CELLS, SEEDS, EPOCHS = (("unpool_only",), 1, 60) if SHORT else (("model_4", "unpool_only"), 2, 3)
STUDY = f"--preset quick --architectures {' '.join(CELLS)} --trials 3 --seeds {SEEDS} --epochs {EPOCHS}"
TRIALS = Plan(study_config("quick", architectures=CELLS, trials=3, seeds=SEEDS, epochs=EPOCHS), ()).total

RAY_DOWN_SECONDS = 180.0
"""Ray on a machine that is not the head ends by itself, once it has missed the head for a minute."""


def main() -> int:
    """Run every step; clean up whatever happens."""
    if status := refuse(PACKAGES):
        return status
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cae-cluster-") as folder:
        laptop = Path(folder) / "laptop"
        (laptop / "home").mkdir(parents=True)
        with open(Path(folder) / "hosts.log", "w") as log:
            wheels = wheelhouse()
            with Hosts(NAMES, Path(folder) / "hosts", wheels, log) as hosts:
                try:
                    ray_up(hosts, laptop)
                except BaseException:
                    show_logs(hosts, Path(folder) / "hosts.log")
                    raise
    print(f"ray up, launch and ray down on {len(NAMES)} hosts: passed in {time.monotonic() - started:.0f} s")
    return 0


def wheelhouse() -> Path:
    """Return a folder with every package that a node installs, downloaded once for each constraints.txt."""
    pins = hashlib.sha256((ROOT / "constraints.txt").read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = (
        Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
        / "cae-study"
        / f"wheels-{pins}{'-short' * SHORT}"
    )
    if not folder.exists():
        print(f"downloading the packages of a node to {folder}", flush=True)
        partial = folder.with_suffix(".partial")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "-c", str(ROOT / "constraints.txt")]
        wanted = ["hatchling", "editables"] if SHORT else [f"{ROOT}[cluster]", "hatchling", "editables"]
        subprocess.run([*pip, "-d", str(partial), *wanted], check=True)
        for own in partial.glob("cae_study-*"):
            own.unlink()
        partial.rename(folder)
    return folder


def ray_up(hosts: Hosts, laptop: Path) -> None:
    """Go through docs/cluster.md, from a fresh clone on a machine that is no node."""
    clone = laptop / "cae-study"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    commit = subprocess.run(
        ["git", "-C", str(clone), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    file = clone / "docs" / "cluster-local.yaml"
    cluster = yaml.safe_load(file.read_text())
    head, *workers = hosts.hosts
    cluster["provider"] |= {"head_ip": head.address, "worker_ips": [worker.address for worker in workers]}
    cluster["auth"] = {"ssh_user": USER, "ssh_private_key": str(hosts.key)}
    file.write_text(yaml.safe_dump(cluster, sort_keys=False))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {
        "HOME": str(laptop / "home"),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "RAY_TMPDIR": str(laptop),
    }

    def step(arguments: Sequence[str], limit: float, good: Sequence[int] = (0,)) -> str:
        print(f"\n$ {' '.join(arguments)}", flush=True)
        began = time.monotonic()
        with open(laptop / "step.log", "w+") as out:
            done = subprocess.run(
                arguments,
                cwd=clone,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=limit,
                check=False,
            )
            out.seek(0)
            said = out.read()
        print(f"  exit status {done.returncode} after {time.monotonic() - began:.0f} s", flush=True)
        if done.returncode not in good:
            raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}:\n{said[-6000:]}")
        return said

    if SHORT:
        for host in hosts.hosts:
            host.prepare(f"/home/{USER}/cae-study-venv")
    step(["ray", "get-auth-token", "--generate"], 60)
    step(["ray", "up", "-y", "docs/cluster-local.yaml"], 420)
    launch = f"cd cae-study && python study/launch.py {STUDY} --results-dir /mnt/shared/results"
    said = step(["ray", "exec", "docs/cluster-local.yaml", launch], 600)
    look(said, hosts, commit)
    if not SHORT:
        again = step(["ray", "exec", "docs/cluster-local.yaml", launch], 200)
        check("trials are done already" in again, "the same command has nothing left to do")
    check(
        "RAY_AUTH_MODE" not in hosts.hosts[0].run("ps -eo args | grep [r]aylet | head -1"),
        "no setting on a command line",
    )
    step(["ray", "rsync-down", "docs/cluster-local.yaml", "/mnt/shared/results/", "results/"], 60)
    check((clone / "results" / "quick-digits" / "study.json").exists(), "results come back to where one sits")
    step(["ray", "down", "-y", "docs/cluster-local.yaml"], 120)
    if SHORT:
        return
    began = time.monotonic()
    while left := "".join(host.run("pgrep -x -l raylet") for host in hosts.hosts):
        if time.monotonic() - began > RAY_DOWN_SECONDS:
            check(False, f"no Ray is left {RAY_DOWN_SECONDS:.0f} s after ray down: {left}")
        time.sleep(1)
    check(True, f"no Ray is left {time.monotonic() - began:.0f} s after ray down")


def look(said: str, hosts: Hosts, commit: str) -> None:
    """Print and check what the study left."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.replace("\r", ""))  # ray exec has a terminal, with its colours
    lines = [line.rstrip() for line in plain.splitlines()]
    plan = next(number for number, line in enumerate(lines) if line.startswith("cluster of"))
    print("\n".join(f"  | {line}" for line in lines[plan : plan + 10]))
    check(f"cluster of {len(NAMES)} nodes" in said, "the launch sees every host")
    folder = hosts.shared / "results" / "quick-digits"
    trials = pd.read_parquet(folder / "trials")
    print("\ntrials of each host:")
    print(trials.groupby(["host", "phase"]).size().to_string())
    check(len(trials) == TRIALS and trials.trial_id.is_unique, f"{TRIALS} trials have their row once")
    check(set(trials.status) <= {"complete", "pruned"}, "every trial ended well")
    check(set(trials.host) == set(NAMES), "trials ran on every host")
    check(set(trials.git_commit) == {commit} and not trials.git_dirty.any(), "rows name the commit of the code")
    owners = {path.stat().st_uid for path in folder.rglob("*")}
    check(len(owners) == 1, "one user wrote every file, on the head: the worker cannot write to the folder")
    table = lines.index("Summary")
    print("\nthe report begins:")
    print("\n".join(f"  | {line}" for line in lines[table : table + 12]))


def check(holds: bool, claim: str) -> None:
    """Raise unless ``claim`` holds."""
    if not holds:
        raise RuntimeError(f"does not hold: {claim}")
    print(f"holds: {claim}", flush=True)


def show_logs(hosts: Hosts, log: Path) -> None:
    """Print what explains a failure."""
    print(f"\n--- setting up\n{log.read_text()[-2000:]}")
    for host in hosts.hosts:
        print(f"--- sshd of {host.name}\n{(host.root / 'log' / 'sshd.log').read_text()[-1500:]}")
    if hosts.hosts:
        print("--- the cluster's monitor")
        print(hosts.hosts[0].run("tail -n 80 /tmp/ray/session_latest/logs/monitor*")[-8000:])


if __name__ == "__main__":
    sys.exit(main())
