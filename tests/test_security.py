"""Safe by construction: nothing that could run a stranger's code is read, and nothing but data is written."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
import ray

from study.execution import cluster

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = sorted(path for package in ("study", "trainables", "analysis") for path in (ROOT / package).glob("*.py"))
LOADS_CODE = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
"""Modules that run code while they read a file."""


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: f"{path.parent.name}/{path.name}")
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


def test_ray_is_started_here_without_a_dashboard_that_others_could_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local launch opens no web page at all."""
    asked: dict[str, object] = {}
    monkeypatch.setattr(ray, "init", lambda **options: asked.update(options) or sys.exit())
    with pytest.raises(KeyboardInterrupt), cluster.connect("local", None, 1):
        pass
    assert asked["address"] == "local"
    assert asked["include_dashboard"] is False
