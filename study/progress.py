"""What the user sees while a study runs: a line for each trial that ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from study.plan import Group, Plan


class Progress:
    """Prints how far the study is, what ended and about how long the rest takes."""

    def __init__(self, plan: Plan, slots: int, out: TextIO = sys.stdout) -> None:
        self._plan, self._slots, self._out = plan, slots, out
        self._started = time.monotonic()
        self._ended = 0

    def say(self, text: str) -> None:
        """Print a line at once."""
        print(text, file=self._out, flush=True)

    def trial_ended(self, row: Mapping[str, Any], squared_error: float | None) -> None:
        """Print the trial that ended with the figure that matters in its phase."""
        self._ended += 1
        plan = self._plan
        width = len(str(plan.total))
        figure = ""
        if row["phase"] == "search" and row["validation_cross_entropy"] is not None:
            figure = f"validation cross-entropy {row['validation_cross_entropy']:.1f}"
        elif squared_error is not None:
            figure = f"test squared error {squared_error:.2f}"
        self.say(
            f"[{plan.done:{width}}/{plan.total}] {row['trial_id']:<44} {row['status']:<9} "
            f"{row['seconds'] or 0:6.1f} s  {figure or row['reason'] or ''}{self._left()}"
        )

    def attempt_failed(self, trial_id: str, reason: str) -> None:
        """Print why a trial starts again."""
        self.say(f"{trial_id} starts again: {reason}")

    def group_lost(self, group: Group, row: Mapping[str, Any]) -> None:
        """Print that the tables will lack something, since the last of its trials, that of ``row``, ended as well."""
        self.say(f"warning: no trial of {group} gave a result; the last ended as {row['status']}: {row['reason']}")

    def _left(self) -> str:
        left = self._plan.total - self._plan.done
        if not left or self._ended < 2 * self._slots:
            return ""
        seconds = (time.monotonic() - self._started) / self._ended * left
        return f"  (about {duration(seconds)} left)"


def duration(seconds: float) -> str:
    """Return seconds as a person would say them: ``40 s``, ``12 min``, ``3.5 h``, ``2.1 days``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
