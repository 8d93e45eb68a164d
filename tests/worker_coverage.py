"""What Ray's workers run counts as covered, though Ray kills them: a plug-in of coverage that saves it every second."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from coverage import Coverage

SECONDS = 1.0


def save_often() -> None:
    """Save again and again until the process ends."""
    while True:
        time.sleep(SECONDS)
        if measured := Coverage.current():
            measured.save()


def coverage_init(*_: Any) -> None:
    """Coverage calls this in every process that it measures; workers of Ray begin to save."""
    if any(argument.endswith("default_worker.py") for argument in sys.orig_argv):
        threading.Thread(target=save_often, daemon=True).start()
