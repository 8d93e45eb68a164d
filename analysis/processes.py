"""Processes that draw the files of figures, on every core."""

from __future__ import annotations

import importlib
import os
from concurrent.futures import Executor

from loky import get_reusable_executor

MOST = 4
"""There are ten figures, and each process takes a second to start."""

_IDLE_SECONDS = 10


def drawing_processes() -> Executor:
    """Return the processes, which start at once: who is going to draw soon calls this before what comes first."""
    executor: Executor = get_reusable_executor(
        max_workers=min(os.cpu_count() or 1, MOST), timeout=_IDLE_SECONDS, initializer=_prepare
    )
    executor.submit(_prepare)
    return executor


def _prepare() -> None:
    importlib.import_module("analysis.figures")
