"""Takes away what other systems lack, for processes that a test starts."""

from __future__ import annotations

import os
from pathlib import Path

WINDOWS = """
import importlib.abc, os, signal, sys

class _Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "grp", "pwd", "resource", "termios"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, _Absent())
for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "pthread_sigmask"):
    delattr(signal, name)
for name in ("getuid", "geteuid", "getpgid", "pread", "pwrite", "sched_getaffinity", "setsid"):
    delattr(os, name)
"""
"""Modules, signals and calls that Python lacks on Windows, but for those that NumPy and loky use on Linux."""

MACOS = """
import builtins, os

_open, _access = builtins.open, os.access

def open_what_is_there(file, *arguments, **options):
    if str(file) == "/proc/cpuinfo":
        raise FileNotFoundError(2, "No such file or directory", file)
    return _open(file, *arguments, **options)

def access(path, *arguments, **options):
    return str(path) != "/dev/shm" and _access(path, *arguments, **options)

builtins.open, os.access = open_what_is_there, access
del os.sched_getaffinity, os.sched_setaffinity
"""
"""Calls and files that Python and its programs have on Linux and not on macOS, as far as they are the product's."""


def take_away(code: str, folder: Path) -> dict[str, str]:
    """Return the environment of processes that run ``code`` first, as those do that they start."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(code)
    root = str(Path(__file__).resolve().parents[1])
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    # A processor without vectors needs no kernels, whose folder would be locked by other means than elsewhere.
    return kept | {"PYTHONPATH": os.pathsep.join((str(folder), root)), "NUMBA_CPU_NAME": "generic"}
