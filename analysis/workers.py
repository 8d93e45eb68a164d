"""Processes that draw the files of figures, on every core."""

from __future__ import annotations

import importlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

from loky import get_reusable_executor

MOST = 4
"""There are ten figures, and each process takes a second to start."""


@contextmanager
def drawing_processes() -> Iterator[Any]:
    """Give loky's executor, whose processes start at once; they end with the block, whatever they are doing then.

    Who draws soon enters it before what comes first; inside another block it gives the same processes.
    """
    executor = get_reusable_executor(
        max_workers=min(os.cpu_count() or 1, MOST), timeout=None, initializer=_prepare, initargs=(os.getpid(),)
    )
    try:
        # Ctrl-C reaches every process of a terminal. They inherit that it is not for them: their parent ends them.
        resource_tracker.ensure_running()  # which lets the signal through again when it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            executor.submit(int)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield executor
    finally:
        executor.shutdown(kill_workers=True)


def _prepare(parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    importlib.import_module("analysis.drawing")


def _end_with(parent: int) -> None:
    """End this process when its parent has ended: one that was killed had no time to do so."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
