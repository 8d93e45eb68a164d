"""What tests share: one thread, as a trial has, and where the real MNIST lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

pytest_plugins = ["tests.faults.tally"]

torch.set_num_threads(1)

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests, the slowest first, so that quick ones fill up the cores at the end."""

    def rank(item: pytest.Item) -> float:
        slow = item.get_closest_marker("slow")
        return 0 if slow is None else -float(slow.kwargs.get("minutes", 1))

    items.sort(key=rank)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder that holds mnist/: CAE_STUDY_DATA, or shared/data beside the checkout; the test is skipped without."""
    folder = Path(os.environ["CAE_STUDY_DATA"]) if "CAE_STUDY_DATA" in os.environ else BESIDE
    if not (folder / "mnist").is_dir():
        pytest.skip("needs the files of MNIST: set CAE_STUDY_DATA to the folder that holds mnist/")
    return folder
