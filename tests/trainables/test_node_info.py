"""What a node says of itself before trials go there."""

from __future__ import annotations

import os
import platform
import socket
import sys

import numpy as np
import pytest

from trainables.node_info import NODE_LIBRARIES, read_node_info


def test_a_node_names_itself_and_the_versions_that_decide_rows() -> None:
    """Without the names of builds, which processors and GPUs have of their own."""
    info = read_node_info()
    assert info.host == socket.gethostname()
    assert set(info.versions) == {"python", *NODE_LIBRARIES}
    assert info.versions["python"] == platform.python_version()
    assert info.versions["numpy"] == np.__version__
    assert all(version and "+" not in version for version in info.versions.values())


def test_hidden_gpus_are_looked_for_and_hidden_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray hides them from a task that asked for none."""
    seen: list[str | None] = []

    class Cuda:
        """Two GPUs, for a process that is not told to see none."""

        @staticmethod
        def device_count() -> int:
            seen.append(os.environ.get("CUDA_VISIBLE_DEVICES"))
            return 2

        @staticmethod
        def get_device_name(number: int) -> str:
            return f"GPU {number}"

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setitem(sys.modules, "torch", type("torch", (), {"cuda": Cuda}))
    assert read_node_info().gpus == ("GPU 0", "GPU 1")
    assert seen == [None]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_a_node_without_pytorch_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its missing version says the rest."""
    monkeypatch.setitem(sys.modules, "torch", None)
    assert read_node_info().gpus == ()
