"""What a node of a cluster says of itself before trials go there: its versions and the GPUs that PyTorch finds."""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

TRIAL_LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "numba")
"""The libraries that decide the numbers of a trial."""

NODE_LIBRARIES = ("ray", *TRIAL_LIBRARIES)
"""Those that a node must have in the launcher's versions."""

STUDY_LIBRARIES = (*NODE_LIBRARIES, "optuna", "pandas", "pyarrow")
"""Those whose versions each row names: with what chooses and writes trials."""


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node's host name, its versions (None where a library is missing) and the models of its GPUs."""

    host: str
    versions: dict[str, str | None]
    gpus: tuple[str, ...]


def read_node_info() -> NodeInfo:
    """Return what this process finds on its node."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    return NodeInfo(
        socket.gethostname(), versions | {name: _find_version(name) for name in NODE_LIBRARIES}, _list_gpus()
    )


def _find_version(name: str) -> str | None:
    """Return a version without the name of its build: processors and GPUs have builds of their own."""
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return None


def _list_gpus() -> tuple[str, ...]:
    # Ray hides the GPUs from a task that asked for none; the question is what trials will find here.
    hidden = os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    try:
        import torch

        return tuple(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    except ImportError:
        return ()
    finally:
        if hidden is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = hidden
