"""Which code, libraries and machine make the rows."""

from __future__ import annotations

import os
import platform
import shlex
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trainables.node_info import STUDY_LIBRARIES

_MADE_BY = ("study", "trainables", "analysis", "pyproject.toml", "constraints.txt")
_ROOT = Path(__file__).resolve().parents[2]


def versions() -> dict[str, str]:
    """Return the versions of Python, of the libraries that decide the numbers and of this project."""
    found = {"python": platform.python_version(), "cae-study": version("cae-study")}
    return found | {name: version(name) for name in STUDY_LIBRARIES}


def git_state() -> tuple[str | None, bool | None]:
    """Return the commit of the code and whether what makes rows differs from it; (None, None) outside a checkout.

    Only what a cluster's nodes have counts, so that a head without tests and documents is no changed checkout. Where
    git does not trust the checkout because it is another user's, as one that a container mounts, a warning says so.
    """
    try:
        _git("ls-files", "--error-unmatch", "pyproject.toml")  # not somebody's repository that this lies in
        commit = _git("rev-parse", "HEAD")
        return commit, bool(_git("status", "--porcelain", "--untracked-files=no", "--", *_MADE_BY))
    except (OSError, subprocess.CalledProcessError) as error:
        if "safe.directory" in (getattr(error, "stderr", None) or ""):
            print(
                f"warning: rows will not say which commit made them, since {_ROOT} belongs to another user, whom git\n"
                f"  does not trust; to allow it: git config --global --add safe.directory {shlex.quote(str(_ROOT))}",
                file=sys.stderr,
            )
        return None, None


def machine() -> dict[str, Any]:
    """Return the host, its system and its cores."""
    return {"host": socket.gethostname(), "system": platform.platform(), "cores": os.cpu_count()}


def _git(*arguments: str) -> str:
    # The git of whoever runs the study, wherever it is; it only asks, and writes to no checkout that others may read.
    command = ["git", "--no-optional-locks", "-C", str(_ROOT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()
