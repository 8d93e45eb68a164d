"""Where and how a study runs, which changes nothing of what is studied."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Verbosity = Literal["quiet", "normal", "verbose"]
"""quiet: only what went wrong; verbose: every epoch as well, and what Ray has to say."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where a study runs and writes; none of it changes what is studied.

    ``time_budget`` is in hours; ``epoch_limit`` in minutes, after which an epoch is taken for one that hangs.
    With ``retry_failed`` trials that failed in earlier launches are tried anew.
    ``optuna_storage`` is a database or journal file that shows the searches to optuna-dashboard. Without ``report`` a
    launch ends with its rows, for which analysis/report.py writes one at any time. With ``ask`` a local launch that
    takes long shows its plan and asks whether to start. ``command`` is what was typed for it, if anything was.
    """

    results_dir: str = "results"
    data_dir: Path | None = None
    address: str | None = None
    concurrency: int | None = None
    gpus_per_trial: float | None = None
    time_budget: float | None = None
    epoch_limit: float | None = None
    retry_failed: bool = False
    optuna_storage: str | None = None
    report: bool = True
    ask: bool = False
    command: tuple[str, ...] = ()
    verbosity: Verbosity = "normal"
