"""Rows name the code, libraries and machine that made them."""

from __future__ import annotations

import platform
import re
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
