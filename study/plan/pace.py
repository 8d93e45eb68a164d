"""How long trials take, by the rows of those that ended: the others will take about as long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from study.config.search_space import Cell
from study.plan.planned_trial import Group, get_cell

ESTIMATE_RANGE = (0.8, 1.3)
"""Shares of an estimate between which studies have taken: cores are shared, and search tries wider models too."""


@dataclass(slots=True)
class _Sum:
    seconds: float = 0.0
    trials: int = 0
    epochs: int = 0


class Pace:
    """Device seconds of trials, by those like them that have ended.

    Args:
        rows: of `trials` at hand.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self._alike: dict[tuple[str, int | None, str, Cell], _Sum] = {}
        self._cells: dict[Cell, _Sum] = {}
        self._trained = _Sum()
        self._controls = _Sum()
        for row in rows:
            self.add(row)

    def add(self, row: Mapping[str, Any]) -> None:
        """Learn from a trial that ended, unless its worker died before it said how long it took."""
        seconds = row.get("device_seconds")
        if seconds is None:
            return
        cell = get_cell(row)
        alike = self._alike.setdefault((row["phase"], row.get("round"), row["arm"], cell), _Sum())
        kind = self._controls if row["arm"] == "control" and not row["epochs"] else self._trained
        for total in (alike, kind, self._cells.setdefault(cell, _Sum())):
            total.seconds += seconds
            total.trials += 1
            total.epochs += row["epochs"]

    def estimate_seconds(self, trials: Mapping[Group, int]) -> float | None:
        """Return the device seconds of ``trials``, given by group; None before a trial has trained an epoch."""
        if not self._trained.epochs:
            return None
        return sum(count * self._estimate_trial(group) for group, count in trials.items())

    def _estimate_trial(self, group: Group) -> float:
        """Return the mean of the trials of the phase, round, arm and cell, else its epochs at the speed of the cell."""
        alike = self._alike.get((group.phase, group.round, group.arm, group.cell))
        if alike:
            return alike.seconds / alike.trials
        if group.arm == "control" and not group.epochs:  # Of those none of which has ended nothing else is known.
            return self._controls.seconds / self._controls.trials if self._controls.trials else 0.0
        cell = self._cells.get(group.cell)
        speed = cell if cell and cell.epochs else self._trained
        return group.epochs * speed.seconds / speed.epochs


def format_range(seconds: float) -> str:
    """Return between what a time estimated at ``seconds`` lies mostly, as a person would say it: ``4 to 6 min``."""
    low, high = (format_duration(share * seconds) for share in ESTIMATE_RANGE)
    if low == high:
        return low
    value, unit = low.split(" ")
    return f"{value if high.endswith(f' {unit}') else low} to {high}"


def format_duration(seconds: float) -> str:
    """Return seconds as a person would say them: ``40 s``, ``12 min``, ``3.5 h``, ``2.1 days``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
