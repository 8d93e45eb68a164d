"""Keeps a storage of Optuna up to date with the rows while a study runs, for optuna-dashboard."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Self

from study.display.progress import Progress
from study.plan.plan import Plan
from study.storage.location import Location

PAUSE = 15.0
"""Seconds between two looks at what has ended."""

MOST_OF_THE_TIME = 0.1
"""Share of the time in which rows are read again, which takes longer in a larger study."""


class Mirror:
    """Adds search trials to ``url`` as they end, from entry to exit.

    ``analysis/export.py`` does it, in a process of its own: nothing waits for it, nothing is read back, and the rows
    stay the only state. What it could not write is said, and said once.
    """

    def __init__(self, url: str, plan: Plan, folder: Location, progress: Progress) -> None:
        self._url, self._plan, self._folder, self._progress = url, plan, folder, progress
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        before, said, pause = self._count_left(), "", PAUSE
        while not self._stop.wait(pause):
            if (left := self._count_left()) == before:
                continue
            before, started = left, time.monotonic()
            trouble = self._export()
            if trouble and trouble != said and not self._stop.is_set():
                said = trouble
                self._progress.say(f"warning: {trouble}; the rows are not concerned")
            pause = max(PAUSE, (time.monotonic() - started) / MOST_OF_THE_TIME)

    def _count_left(self) -> int:
        """Return how many search trials have not ended."""
        return sum(count for group, count in self._plan.count_left().items() if group.phase == "search")

    def _export(self) -> str | None:
        """Return what went wrong, None where nothing did."""
        # Ctrl-C is not for it: this process ends it.
        export = subprocess.Popen(
            [sys.executable, "-m", "analysis.export", str(self._folder), "--optuna", self._url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        while export.poll() is None:
            if self._stop.wait(0.1):
                export.kill()
        _, errors = export.communicate()
        if export.returncode == 0:
            return None
        return next((line.removeprefix("error: ") for line in errors.splitlines() if line), f"no mirror in {self._url}")
