"""Which code, libraries and machine make the rows."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "ray", "optuna", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow")
"""The libraries that decide the numbers."""

_ROOT = Path(__file__).resolve().parent.parent


def versions() -> dict[str, str]:
    """Return the versions of Python, of the libraries that decide the numbers and of this project."""
    found = {"python": platform.python_version(), "cae-study": version("cae-study")}
    return found | {name: version(name) for name in LIBRARIES}


def git_state() -> tuple[str | None, bool | None]:
    """Return the commit of the code and whether tracked files differ from it; (None, None) outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit, bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def machine() -> dict[str, Any]:
    """Return the host, its system and its cores."""
    return {"host": socket.gethostname(), "system": platform.platform(), "cores": os.cpu_count()}


def _git(*arguments: str) -> str:
    # The git of whoever runs the study, wherever it is.
    done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, check=True)  # noqa: S607
    return done.stdout.strip()
