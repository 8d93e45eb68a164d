"""How far a study is, by its rows: trials that ended by phase, cell and status, and the best of each search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from study.config.search_space import Cell
from study.config.study_config import StudyConfig
from study.plan.trials import plan_trials


class Tally:
    """Counts the trials of a study as they end.

    Args:
        config: what is planned in all.
        rows: of `trials` at hand; those that the configuration does not plan count nothing.

    Attributes:
        planned: trials planned in all, by phase and cell.
        ended: trials that ended, by phase, cell and status.
        best: lowest validation cross-entropy of a cell's search, in nats an image; of trials that trained their full
            budget, as for the choice of what is confirmed.
    """

    def __init__(self, config: StudyConfig, rows: Iterable[Mapping[str, Any]]) -> None:
        self.planned: Counter[tuple[str, Cell]] = Counter()
        self.ended: Counter[tuple[str, Cell, str]] = Counter()
        self.best: dict[Cell, float] = {}
        ids = set()
        for planned in plan_trials(config):
            self.planned[planned.phase, planned.cell] += 1
            ids.add(planned.trial_id)
        for row in rows:
            if row["trial_id"] in ids:
                self.add(row)

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a trial that ended, by its row of `trials`."""
        # A row of an ablated code size has its own; the cell is that of the configuration it was changed from.
        cell = Cell(row["architecture"], row.get("base_code_size") or row["code_size"])
        self.ended[row["phase"], cell, row["status"]] += 1
        if row["phase"] == "search" and row["status"] == "complete":
            value = row["validation_cross_entropy"]
            self.best[cell] = min(value, self.best.get(cell, value))

    def count_planned(self, phase: str) -> int:
        """Return how many trials of a phase are planned in all."""
        return sum(count for (of, _), count in self.planned.items() if of == phase)

    def count_ended(self, phase: str, status: str | None = None) -> int:
        """Return how many trials of a phase have ended, in one status or in any."""
        return sum(count for (of, _, ending), count in self.ended.items() if of == phase and status in (None, ending))
