"""Processes that draw the files of figures, on every core."""

from __future__ import annotations

import importlib
import os
import signal
import threading
import time
from multiprocessing import resource_tracker
from typing import Any

from loky import get_reusable_executor

MOST = 4
"""There are ten figures, and each process takes a second to start."""

_IDLE_SECONDS = 10


def drawing_processes() -> Any:
    """Return loky's executor, whose processes start at once: who draws soon calls this before what comes first."""
    executor = get_reusable_executor(
        max_workers=min(os.cpu_count() or 1, MOST), timeout=_IDLE_SECONDS, initializer=_prepare, initargs=(os.getpid(),)
    )
    # Ctrl-C reaches every process of a terminal. They inherit that it does not concern them: their parent ends them.
    resource_tracker.ensure_running()  # which lets the signal through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        executor.submit(int)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return executor


def _prepare(parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    importlib.import_module("analysis.figures")


def _end_with(parent: int) -> None:
    """End this process when its parent has ended: one that was killed had no time to do so."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
