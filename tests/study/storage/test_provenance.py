"""Rows name the code, libraries and machine that made them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from study.storage import provenance


def test_versions_name_python_this_project_and_nine_libraries() -> None:
    """The keys of column `versions`, which earlier rows have as well."""
    found = provenance.versions()
    libraries = {"torch", "ray", "optuna", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "numba"}
    assert set(found) == {"python", "cae-study"} | libraries
    assert found["python"] == platform.python_version()
    assert torch.__version__.startswith(found["torch"].partition("+")[0])


def test_a_folder_outside_a_checkout_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an installed wheel; a checkout has one of 40 digits."""
    commit, dirty = provenance.git_state()
    assert (commit is None) == (dirty is None)
    assert commit is None or re.fullmatch("[0-9a-f]{40}", commit)
    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.git_state() == (None, None)


@pytest.mark.fault("git: a checkout of another user")
def test_a_checkout_that_git_does_not_trust_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another user's, as it is when mounted into a container; the command that is printed makes it trusted."""
    if os.geteuid():
        pytest.skip("needs to be root, to give a checkout to another user")
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "check out")], check=True)
    checkout, home = tmp_path / "check out", tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("user.name", "user.email"):
        subprocess.run(["git", "config", "--global", name, "somebody"], check=True)
    (checkout / "pyproject.toml").touch()
    subprocess.run(["git", "-C", str(checkout), "add", "pyproject.toml"], check=True)
    subprocess.run(["git", "-C", str(checkout), "commit", "--quiet", "-m", "first"], check=True)
    for path in (checkout, checkout / ".git"):
        shutil.chown(path, 12345)
    monkeypatch.setattr(provenance, "_ROOT", checkout)
    assert provenance.git_state() == (None, None)
    _, remedy = capfd.readouterr().err.split("to allow it: ")
    subprocess.run(remedy, shell=True, check=True)  # noqa: S602 - what the user is told to type
    commit, dirty = provenance.git_state()
    assert commit and not dirty
    assert not capfd.readouterr().err


def test_the_commit_of_somebody_elses_repository_is_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a project in whose folder the environment lies that this is installed in."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=somebody", "-c", "user.email=somebody"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "theirs"], check=True)
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "pyproject.toml").touch()
    monkeypatch.setattr(provenance, "_ROOT", installed)
    assert provenance.git_state() == (None, None)
