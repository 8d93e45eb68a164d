"""What must hold of a study's folder whatever happened to it: ``python -m tests.faults.invariants RESULTS/NAME``.

Every planned trial is there once, its rows too, and every Parquet file can be read.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from study.config.study_config import StudyConfig
from study.plan.trials import plan_trials
from study.storage.schema import TABLES

Seen = Mapping[str, tuple[Any, Any]]
"""When each committed trial began and ended."""


@dataclass(frozen=True)
class Damage:
    """What was found: trials lost or run again, rows there twice or unplanned, files that cannot be read."""

    lost: int = 0
    duplicated: int = 0
    unreadable: int = 0


def committed(folder: Path) -> Seen:
    """Return when each trial that is in the rows began and ended."""
    rows = _rows(folder, "trials")[0]
    return {row["trial_id"]: (row["started_at"], row["finished_at"]) for row in rows}


def damage(folder: Path, config: StudyConfig, before: Seen = {}, *, complete: bool = True) -> Damage:  # noqa: B006
    """Return what is wrong with a study.

    Args:
        folder: of the study.
        config: what it planned.
        before: trials that were committed earlier; one that is gone, or has other times, was lost.
        complete: whether every planned trial must be there; while a study is stopped a row may be there twice.
    """
    unreadable = 0
    duplicated = 0
    for name in TABLES:
        rows, failed = _rows(folder, name)
        unreadable += failed
        if complete:
            keys = Counter(_key(name, row) for row in rows)
            duplicated += sum(keys.values()) - len(keys)
    now = committed(folder)
    lost = sum(now.get(trial_id) != times for trial_id, times in before.items())
    if complete:
        ended = {row["trial_id"]: row for row in _rows(folder, "trials")[0]}
        ids = {planned.trial_id for planned in plan_trials(config, ended.values())}
        lost += len(ids - now.keys())
        duplicated += len(now.keys() - ids)
    return Damage(lost, duplicated, unreadable)


def not_numbers(folder: Path) -> int:
    """Return how many values of all tables are NaN."""
    found = 0
    for name in TABLES:
        for path in _files(folder, name):
            columns = pyarrow.parquet.read_table(path).columns
            found += sum(
                pa.compute.sum(pa.compute.is_nan(column)).as_py() or 0
                for column in columns
                if pa.types.is_floating(column.type)
            )
    return found


def _key(name: str, row: dict[str, Any]) -> tuple[Any, ...]:
    parts = {
        "trials": (),
        "epochs": ("epoch",),
        "scores": ("split", "evaluator", "metric"),
        "image_scores": ("evaluator", "metric"),
        "codes": ("image",),
        "pictures": ("kind", "layer", "index"),
    }
    return (row["trial_id"], *(row[part] for part in parts[name]))


def _files(folder: Path, name: str) -> list[Path]:
    return [path for path in sorted((folder / name).glob("*.parquet")) if not path.name.startswith(".")]


def _rows(folder: Path, name: str) -> tuple[list[dict[str, Any]], int]:
    rows: list[dict[str, Any]] = []
    failed = 0
    for path in _files(folder, name):
        try:
            rows += pyarrow.parquet.read_table(path, page_checksum_verification=True).to_pylist()
        except (pa.ArrowInvalid, OSError):
            failed += 1
    return rows, failed


def main(argv: list[str]) -> int:
    """Print the damage of each study named; return 1 where there is any."""
    found = []
    for folder in map(Path, argv):
        written = json.loads((folder / "study.json").read_text())["config"]
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in written.items()
        }
        found.append(damage(folder, StudyConfig(**values)))
        print(f"{folder}: {found[-1]}")
    return int(any(one != Damage() for one in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
