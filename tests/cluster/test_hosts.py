"""Tests that could not run are not taken for tests that passed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = ("hosts.py", "real_ray_up.py", "real_slurm.py")


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_its_packages_a_script_ends_with_a_status_of_its_own(script: str) -> None:
    """And names those that are missing, all at once."""
    path = Path(__file__).with_name(script)
    done = subprocess.run([sys.executable, path], env={"PATH": "/nowhere"}, capture_output=True, text=True)
    assert done.returncode == 77
    assert done.stderr.startswith("NOT RUN: packages are missing: apt-get install git iproute2 ")
    assert " rsync" in done.stderr
    assert (" slurm-wlm munge" in done.stderr) == (script != "real_ray_up.py")
