"""Safe by construction: nothing that could run a stranger's code is read, and nothing but data is written."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
import ray

from study.execution import cluster

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = sorted(path for package in ("study", "trainables", "analysis") for path in (ROOT / package).rglob("*.py"))
LOADS_CODE = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
"""Modules that run code while they read a file."""


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_of_the_product_reads_pickles(path: Path) -> None:
    """Not by a library of pickles, nor by `torch.load`, `numpy.load` or `pandas.read_pickle`, nor by `eval`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {name.name.split(".")[0] for name in node.names} & LOADS_CODE
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in LOADS_CODE
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "torch.load", "numpy.load"), f"line {node.lineno}"
            assert called != "np.load" or "allow_pickle=False" in ast.unparse(node), f"line {node.lineno}"
            assert not called.endswith(".read_pickle"), f"line {node.lineno}"


def ask_for_ray(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what a local launch asks Ray for, which is not started."""
    asked: dict[str, Any] = {}
    monkeypatch.setattr(ray, "init", lambda **options: asked.update(options) or sys.exit())
    with pytest.raises(KeyboardInterrupt), cluster.connect("local", None, 1):
        pass
    return asked


def test_ray_is_started_here_without_a_dashboard_that_others_could_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local launch opens no web page at all."""
    asked = ask_for_ray(monkeypatch)
    assert asked["address"] == "local"
    assert asked["include_dashboard"] is False


@pytest.mark.parametrize("wanted", [None, "7"])
def test_workers_keep_few_kernels_unless_the_user_says_how_many(
    wanted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the environment of the job, which Ray gives every worker on every node."""
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    if wanted is not None:
        monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", wanted)
    environment = ask_for_ray(monkeypatch)["runtime_env"]["env_vars"]
    assert environment == {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": wanted or "32"}
