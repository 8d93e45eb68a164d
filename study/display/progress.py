"""What the user sees while a study runs: a line for each trial that ends."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, Self, TextIO

from analysis.stats.metrics import find_search_metric
from study.config.options import Verbosity
from study.plan.pace import Pace, format_duration
from study.plan.plan import Plan
from study.plan.planned_trial import Group
from study.signals import reader_may_leave
from trainables.training.training import EpochMetrics


class Progress:
    """Prints how far the study is, what ended and about how long the rest takes.

    Args:
        plan: what is planned and what runs.
        slots: trials that run at once.
        out: where lines go.
        verbosity: how many lines.
        finished: rows of `trials` of earlier launches, by which the time left is told.
    """

    def __init__(
        self,
        plan: Plan,
        slots: int,
        out: TextIO = sys.stdout,
        verbosity: Verbosity = "normal",
        finished: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self._plan, self._slots, self._out, self._verbosity = plan, slots, out, verbosity
        self._pace = Pace(finished)
        self._started = time.monotonic()
        self._ended = 0
        self._device_seconds = 0.0  # of the trials that ended in this launch

    def __enter__(self) -> Self:
        if self._verbosity != "quiet":
            self.say("starting workers ...")  # It takes seconds until the first trial ends.
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def tick(self) -> None:
        """Take notice that time goes by; called many times a second."""

    def say(self, text: str) -> None:
        """Print a line at once, or no more where the reader of a pipe has left: the study goes on."""
        with reader_may_leave(self._out):
            print(text, file=self._out, flush=True)

    def epoch_ended(self, trial_id: str, epoch: EpochMetrics) -> None:
        """Take notice of an epoch of a trial that runs."""
        if self._verbosity == "verbose":
            value = epoch.validation_cross_entropy
            kind = "train" if value is None else "validation"
            value = epoch.train_cross_entropy if value is None else value
            reached = f"{kind} cross-entropy {value:.1f}" if math.isfinite(value) else "no cross-entropy"
            self.say(f"{trial_id} epoch {epoch.epoch}: {reached}, {epoch.seconds:.2f} s")

    def trial_ended(self, row: Mapping[str, Any], squared_error: float | None) -> None:
        """Print the trial that ended with the value that matters in its phase."""
        self._ended += 1
        self._device_seconds += row.get("device_seconds") or 0.0
        self._pace.add(row)
        if self._verbosity == "quiet" and row["status"] != "failed":
            return
        plan = self._plan
        width = len(str(plan.total))
        value = ""
        if squared_error is not None:
            value = f"test squared error {squared_error:.2f}"
        elif (reached := row[plan.config.search_column]) is not None:
            value = f"validation {find_search_metric(plan.config.search_metric).label} {reached:.1f}"
        left = self.estimate_left()
        self.say(
            f"[{plan.done:{width}}/{plan.total}] {row['trial_id']:<44} {row['status']:<9} "
            f"{row['seconds'] or 0:6.1f} s  {value or row['reason'] or ''}"
            f"{f'  (about {format_duration(left)} left)' if left else ''}"
        )

    def attempt_failed(self, trial_id: str, reason: str) -> None:
        """Print why a trial starts again."""
        self.say(f"{trial_id} starts again: {reason}")

    def group_lost(self, group: Group, row: Mapping[str, Any]) -> None:
        """Print that the tables will lack something, since the last of its trials, that of ``row``, ended as well."""
        self.say(f"warning: no trial of {group} gave a result; the last ended as {row['status']}: {row['reason']}")

    def estimate_left(self) -> float | None:
        """Return how long the rest takes, at the rate of this launch so far; None before that is known."""
        if self._ended < 2 * self._slots or not self._device_seconds:
            return None
        left = self._pace.estimate_seconds(self._plan.count_left())
        if left is None:
            return None
        return (time.monotonic() - self._started) * left / self._device_seconds
