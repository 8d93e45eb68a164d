"""Hosts on one machine: each has a network, processes, mounts, a name, an SSH server, a user and a home of its own.

As a script it says whether they can be made here: exit status 0, or 77 with the Debian packages that are missing;
``--packages`` prints all packages that these tests want.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

USER = "cae"
USER_ID = 4242
BRIDGE = "cae-test0"
NETWORK = "10.77.61"
SSHD = "/usr/sbin/sshd"

# Runs as root in the new namespaces, before the SSH server takes its place.
SETUP = r"""
set -euo pipefail
hostname "$NAME"
mount --make-rprivate /
cp /etc/passwd /etc/group /etc/shadow "$ROOT/etc/"
echo "$USER_NAME:x:$USER_ID:$USER_ID::/home/$USER_NAME:/bin/bash" >> "$ROOT/etc/passwd"
echo "$USER_NAME:x:$USER_ID:" >> "$ROOT/etc/group"
echo "$USER_NAME:*:19000:0:99999:7:::" >> "$ROOT/etc/shadow"
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$NAME" > "$ROOT/etc/hosts"  # as Debian writes it
for other in $HOSTS; do echo "${other#*=} ${other%=*}" >> "$ROOT/etc/hosts"; done
for file in passwd group shadow hosts; do mount --bind "$ROOT/etc/$file" "/etc/$file"; done
mount --bind "$PYTHON_PREFIX" "$ROOT/python"
mount --bind "$WHEELS" "$ROOT/wheels"
mount --bind "$LIBRARY" "$ROOT/library"
mount --bind "$SHARED" "$ROOT/shared"
[ "$SHARED_MODE" = rw ] || mount -o remount,bind,ro "$ROOT/shared"
mount --bind "$ROOT/home" /home
# Above everything that hosts share: nothing of the machine's own /root, /tmp, /run and shared memory is seen.
mount -t tmpfs -o mode=755 none /mnt
mkdir -p /mnt/python /mnt/wheels /mnt/library /mnt/shared
for name in python wheels library shared; do mount --move "$ROOT/$name" "/mnt/$name"; done
mkdir -p /mnt/log && mount --bind "$ROOT/log" /mnt/log
cp "$ROOT"/sshd/* /mnt/ && chmod 600 /mnt/hostkey
case "$PYTHON_PREFIX" in
    /usr) ;;
    /*) # Python finds its own library by its path, which may lie where the user cannot go.
        mount -t tmpfs -o mode=755 none "/$(echo "$PYTHON_PREFIX" | cut -d/ -f2)"
        mkdir -p "$PYTHON_PREFIX"
        mount --move /mnt/python "$PYTHON_PREFIX" ;;
esac
mount -t tmpfs -o mode=1777 none /tmp
mount -t tmpfs -o mode=1777,size=8g none /dev/shm
mount -t tmpfs -o mode=755 none /run
mkdir -p /run/sshd
exec "$SSHD" -D -E /mnt/log/sshd.log -f /mnt/sshd_config
"""

SSHD_CONFIG = """
Port 22
ListenAddress {address}
HostKey /mnt/hostkey
AuthorizedKeysFile /mnt/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
MaxStartups 100
PidFile none
Subsystem sftp internal-sftp
"""


# A virtual environment of the user's that lacks the project alone; of commands it has those that a node calls.
PREPARE = r"""
set -e
python3 -m venv --without-pip "$1"
echo /mnt/library > "$(echo "$1"/lib/python3*/site-packages)/library.pth"
for command in pip=pip ray=ray.scripts.scripts; do
    printf '#!/bin/sh\nexec %s/bin/python -m %s "$@"\n' "$1" "${command#*=}" > "$1/bin/${command%=*}"
    chmod 755 "$1/bin/${command%=*}"
done
chown -R "$2:$2" "$1"
"""

NOT_RUN = 77
"""Exit status of a script that could not begin: neither passed nor failed."""
PACKAGES = {
    "git": "git",
    "ip": "iproute2",
    "unshare": "util-linux",
    "pgrep": "procps",
    "ssh": "openssh-client",
    SSHD: "openssh-server",
    "rsync": "rsync",
}
"""What hosts need: programs, and the Debian packages that have them."""
SLURM_PACKAGES = {"slurmctld": "slurm-wlm", "slurmd": "slurm-wlm", "munged": "munge"}


def find_obstacle(packages: Mapping[str, str]) -> str | None:
    """Return why hosts cannot be made here, or lack what ``packages`` names; None if all is there."""
    missing = dict.fromkeys(package for program, package in packages.items() if shutil.which(program) is None)
    if missing:
        return f"packages are missing: apt-get install {' '.join(missing)}"
    if os.geteuid() != 0:
        return "making hosts needs root"
    tried = subprocess.run(
        [
            "unshare",
            "--net",
            "--pid",
            "--mount",
            "--uts",
            "--fork",
            "--mount-proc",
            "mount",
            "-t",
            "tmpfs",
            "none",
            "/mnt",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"namespaces are not allowed here ({tried.stderr.strip()})" if tried.returncode else None


@dataclass
class Host:
    """One host; its files lie under ``root``."""

    name: str
    address: str
    root: Path
    process: subprocess.Popen[bytes] | None = None

    def run(self, command: str) -> str:
        """Run a command as root in the host's namespaces and return what it prints."""
        assert self.process is not None
        children = subprocess.run(
            ["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
        done = subprocess.run(
            ["nsenter", "-t", children[0], "--net", "--pid", "--mount", "--uts", "bash", "-c", command],
            env={"PATH": os.environ["PATH"]},  # not where this machine's pip looks, and the like
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout

    def prepare(self, environment: str) -> None:
        """Make a virtual environment of the user's that has every dependency already.

        Raises:
            RuntimeError: with what was said.
        """
        path = f"export PATH={sys.base_prefix}/bin:$PATH"
        said = self.run(f"{path}; bash -s {environment} {USER_ID} <<'END' && echo prepared\n{PREPARE}\nEND")
        if not said.endswith("prepared\n"):
            raise RuntimeError(f"{environment} on {self.name}: {said}")


@dataclass
class Hosts:
    """Hosts on one bridge, made on entry and removed on exit, with the key that opens them all.

    ``wheels`` is where pip of each host installs from; /mnt/library has the packages of this script's Python, for
    `Host.prepare`, so that little is left to install; ``shared`` is a folder that the first host may write and the
    others may read.
    """

    names: tuple[str, ...]
    folder: Path
    wheels: Path
    log: IO[str]
    hosts: list[Host] = field(default_factory=list)

    @property
    def key(self) -> Path:
        """The private key of the user on all hosts."""
        return self.folder / "key"

    @property
    def shared(self) -> Path:
        """The shared folder, as this machine sees it."""
        return self.folder / "shared"

    def __enter__(self) -> Hosts:
        """Make the hosts and wait for their SSH servers."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that they are removed then, too
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        self.shared.mkdir()
        os.chown(self.shared, USER_ID, USER_ID)
        self._command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key))
        try:
            self._command("ip", "link", "add", BRIDGE, "type", "bridge")
            self._command("ip", "addr", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
            self._command("ip", "link", "set", BRIDGE, "up")
            addresses = {name: f"{NETWORK}.{10 + number}" for number, name in enumerate(self.names)}
            for number, name in enumerate(self.names):
                self.hosts.append(self._host(number, name, addresses))
            for host in self.hosts:
                self._await_ssh(host)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End every process of every host and remove what was made."""
        for host in self.hosts:
            if host.process is not None and host.process.poll() is None:
                host.process.send_signal(signal.SIGKILL)  # unshare takes the host's first process, and so all, with it
                host.process.wait()
        for number, name in enumerate(self.names):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
            subprocess.run(["ip", "link", "del", f"cae-v{number}"], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _host(self, number: int, name: str, addresses: dict[str, str]) -> Host:
        host = Host(name, addresses[name], self.folder / name)
        for part in ("etc", "home", "python", "wheels", "library", "shared", "log", "sshd"):
            (host.root / part).mkdir(parents=True)
        home = host.root / "home" / USER
        (home / ".config" / "pip").mkdir(parents=True)
        # What a machine of one's own has already: a shell that finds Python, and an index that pip installs from.
        (home / ".config" / "pip" / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /mnt/wheels\n")
        (home / ".bashrc").write_text(f'export PATH="{sys.base_prefix}/bin:$PATH"\n')
        (home / ".bash_profile").write_text("source ~/.bashrc\n")
        self._command("chown", "-R", f"{USER_ID}:{USER_ID}", str(home))
        self._command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host.root / "sshd" / "hostkey"))
        shutil.copy(self.key.with_suffix(".pub"), host.root / "sshd" / "authorized_keys")
        (host.root / "sshd" / "sshd_config").write_text(SSHD_CONFIG.format(address=host.address))
        self._command("ip", "netns", "add", name)
        self._command("ip", "link", "add", f"cae-v{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
        self._command("ip", "link", "set", f"cae-v{number}", "master", BRIDGE, "up")
        for arguments in (
            ("addr", "add", f"{host.address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
            ("route", "add", "default", "via", f"{NETWORK}.1"),  # without which Ray takes what the name leads to
        ):
            self._command("ip", "-n", name, *arguments)
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "NAME": name,
            "ROOT": str(host.root),
            "USER_NAME": USER,
            "USER_ID": str(USER_ID),
            "HOSTS": " ".join(f"{other}={address}" for other, address in addresses.items()),
            "PYTHON_PREFIX": sys.base_prefix,
            "WHEELS": str(self.wheels),
            "LIBRARY": sysconfig.get_path("purelib"),
            "SHARED": str(self.shared),
            "SHARED_MODE": "ro" if number else "rw",
            "SSHD": SSHD,
        }
        isolated = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        host.process = subprocess.Popen(
            ["ip", "netns", "exec", name, *isolated, "bash", "-c", SETUP],
            env=environment,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        return host

    def _await_ssh(self, host: Host) -> None:
        deadline = time.monotonic() + 30
        while True:
            done = subprocess.run([*self.ssh(host), "hostname"], capture_output=True, text=True, check=False)
            if done.returncode == 0 and done.stdout.strip() == host.name:
                return
            assert host.process is not None
            if host.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no SSH server on {host.name}: {done.stderr}; see the log")
            time.sleep(0.3)

    def ssh(self, host: Host) -> list[str]:
        """Return the beginning of a command that runs on ``host`` as its user."""
        quiet = [
            f"-o{option}" for option in ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        ]
        return [
            "ssh",
            "-i",
            str(self.key),
            *quiet,
            "-oIdentitiesOnly=yes",
            "-oConnectTimeout=5",
            f"{USER}@{host.address}",
        ]

    def _command(self, *arguments: str) -> None:
        subprocess.run(arguments, check=True, stdout=self.log, stderr=self.log)


def refuse(packages: Mapping[str, str]) -> int:
    """Return `NOT_RUN`, with the reason printed, where a script cannot begin; 0 where it can."""
    reason = find_obstacle(packages)
    if reason:
        print(f"NOT RUN: {reason}", file=sys.stderr)
    return NOT_RUN if reason else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--packages"]:
        sys.exit(print(*dict.fromkeys((PACKAGES | SLURM_PACKAGES).values())))
    sys.exit(refuse(PACKAGES | SLURM_PACKAGES))
