"""What the user sees in a terminal while a study runs: one view that is drawn again in place."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, Self, TextIO

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from analysis.stats.metrics import find_search_metric
from study.config.options import Verbosity
from study.config.search_space import Cell
from study.display.progress import Progress
from study.plan.pace import format_duration
from study.plan.plan import Plan
from study.plan.rounds import name_part
from study.storage.location import Location
from trainables.training.objectives import RECONSTRUCTION
from trainables.training.training import EpochMetrics

REFRESH_SECONDS = 0.5
"""The view is drawn no more often, however many reports come in."""

_EPOCHS = 200
"""Epochs that ended last, of which the view tells the speed."""


def choose_progress(
    plan: Plan, slots: int, folder: Location, verbosity: Verbosity, finished: Sequence[Mapping[str, Any]]
) -> Progress:
    """Return the live view where there is a terminal to draw it in, else lines; verbose is lines everywhere."""
    if verbosity == "normal" and sys.stdout.isatty() and not Console().is_dumb_terminal:
        return LiveProgress(plan, slots, folder, finished)
    return Progress(plan, slots, sys.stdout, verbosity, finished)


class LiveProgress(Progress):
    """Draws trials by phase and round, the best by cell, speed and time left; lines above it say what went wrong.

    It is drawn by `tick`, in the thread that runs the study: nothing of it can outlive a launch that is stopped.
    """

    def __init__(
        self, plan: Plan, slots: int, folder: Location, finished: Sequence[Mapping[str, Any]], out: TextIO | None = None
    ) -> None:
        super().__init__(plan, slots, out or sys.stdout, "quiet", finished)
        self._folder = folder
        self._epoch_ends: deque[float] = deque(maxlen=_EPOCHS)
        self._drawn_at = 0.0
        self._console = Console(file=self._out)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            get_renderable=self.view,
            redirect_stderr=sys.stderr.isatty(),  # Warnings stand above the view, unless they go elsewhere.
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        # A launcher that is killed could not give a hidden cursor back.
        self._console.show_cursor(True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def tick(self) -> None:
        """Draw the view again where it is old enough."""
        if time.monotonic() - self._drawn_at >= REFRESH_SECONDS:
            self._live.refresh()
            self._drawn_at = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line above the view."""
        self._console.print(Text(text), soft_wrap=True)

    def epoch_ended(self, trial_id: str, epoch: EpochMetrics) -> None:
        """Count an epoch."""
        self._epoch_ends.append(time.monotonic())

    def view(self) -> RenderableType:
        """Return what is drawn: whole at 80 columns, its tables side by side where there is room."""
        plan = self._plan
        tables = [Group(Text("trials", "bold"), self._make_phase_table())]
        if "search" in plan.config.phases and "tuned" in plan.config.arms:
            metric = find_search_metric(plan.config.search_metric)
            title = Text(f"best validation {metric.label} ({metric.shown_unit}) and its round", "bold")
            tables.append(Group(title, self._make_best_table()))
        return Group(
            "",
            Padding(ProgressBar(total=plan.total, completed=plan.done), 0),  # ends its line
            Text(", ".join(self._list_facts())),
            "",
            Columns(tables, padding=(1, 6)),
            "",
            Text(f"results: {self._folder}", overflow="fold"),
        )

    def _list_facts(self) -> list[str]:
        plan, now = self._plan, time.monotonic()
        facts = [f"{plan.done} of {plan.total} trials", f"{format_duration(now - self._started)} elapsed"]
        if left := self.estimate_left():
            facts.append(f"about {format_duration(left)} left")
        if len(self._epoch_ends) > 1:
            facts.append(f"{(len(self._epoch_ends) - 1) / (now - self._epoch_ends[0]):.2g} epochs a second")
        return facts

    def _make_phase_table(self) -> Table:
        styles = {"diverged": "yellow", "failed": "red"}
        table = _make_table("phase", "done", "running", *styles)
        running = Counter(planned.group.part for planned in self._plan.running.values())
        for part in dict.fromkeys(part for part, _ in self._plan.list_parts()):
            planned, ended = self._plan.count_trials(part)
            table.add_row(
                name_part(part, self._plan.config),
                f"{ended.total()}/{planned}",
                str(running[part]),
                *(Text(str(ended[status]), style if ended[status] else "") for status, style in styles.items()),
            )
        return table

    def _make_best_table(self) -> Table:
        config = self._plan.config
        table = _make_table("architecture", *(f"code {size}" for size in config.code_sizes))
        for architecture, objective in config.list_combinations():
            best = [self._plan.find_best(Cell(architecture, size, objective)) for size in config.code_sizes]
            name = architecture if objective == RECONSTRUCTION else f"{architecture}, {objective}"
            table.add_row(name, *(f"{each[1]:.1f} ({each[0]})" if each else "" for each in best))
        return table


def _make_table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
