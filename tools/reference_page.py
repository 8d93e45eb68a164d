"""What docs/reference/README.md says in numbers: its launches, cost by phase, the aims, the search begun on a GPU."""

from __future__ import annotations

import itertools

import pandas as pd

from analysis.rendering import text as rendering
from analysis.results import StudyResults
from analysis.stats.aggregate import select_confirmed_scores
from analysis.stats.metrics import (
    K_MEANS_ACCURACY,
    LINEAR_ERROR,
    MLP_ERROR,
    SQUARED_ERROR,
    Metric,
    settle_metrics,
)
from analysis.tables.summary import summary
from analysis.tables.table import Column, Table
from trainables.models.architectures import BUILT_IN, CONTROLS

LABELS = {name: row.label for name, row in {**BUILT_IN, **CONTROLS}.items()}

AIMS = (
    *((SQUARED_ERROR, size, aim) for size, aim in ((2, 26.0), (10, 7.2), (30, 2.65))),
    (LINEAR_ERROR, 10, 2.8),
    (MLP_ERROR, 10, 1.4),
    (K_MEANS_ACCURACY, 10, 0.93),
)
"""Metric, code size and what the best ranked model is to reach; set before the study, for 33 epochs."""


def tabulate_cost(results: StudyResults) -> str:
    """Return trials, epochs and hours by phase."""
    phases = results.trials.groupby("phase", observed=True)
    frame = pd.DataFrame(
        {
            "trials": phases.size(),
            "epochs": phases["epochs"].sum(),
            "hours": phases["device_seconds"].sum() / 3600,
        }
    )
    frame.loc["in all"] = frame.sum()
    columns = (
        Column("phase", "Phase"),
        Column("trials", "Trials", "count"),
        Column("epochs", "Epochs", "count"),
        Column("hours", "Core-hours", "fixed"),
    )
    counts = {"trials": "int64", "epochs": "int64"}
    return _format_frame(frame.astype(counts).rename_axis("phase").reset_index(), columns)


def list_launches(results: StudyResults) -> str:
    """Return the commands by which the study was made, as a block of Markdown."""
    (study,) = results.studies
    every = [f"python {launch['command']}" for launch in study.manifest["launches"]]
    commands = [command for command, _ in itertools.groupby(every)]
    return "\n".join(["```sh", *commands, "```"])


def tabulate_aims(results: StudyResults) -> str:
    """Return what the aims ask, what the tuned arm reached at the code sizes studied, and by how much it falls short.

    Raises:
        TypeError: the study has no confirmed trials.
    """
    table = summary(results)
    if not isinstance(table, Table):
        raise TypeError(table.reason)
    frame = table.frame.astype({"architecture": "str"}).set_index("architecture")
    rows = []
    for aimed, size, aim in AIMS:
        (metric,) = settle_metrics(select_confirmed_scores(results), [aimed])
        cells = frame[frame["code_size"] == size]
        passed = cells[cells[f"{metric.name}_mark"].notna() & (cells[f"{metric.name}_mark"] != "unranked")]
        if len(passed):
            rows.append(_judge_best(passed[metric.name], metric, size, aim))
    columns = (
        Column("what", "Tuned arm, test images"),
        Column("aim", "Aim"),
        Column("best", "Best model"),
        Column("value", "Its mean"),
        Column("short", "Falls short by"),
        Column("others", "Models that reach it"),
    )
    return _format_frame(pd.DataFrame(rows), columns)


def tabulate_begun_search(results: StudyResults) -> str:
    """Return each cell's lowest squared error on validation images."""
    errors = results.trials.pivot_table(
        index="architecture", columns="code_size", values="validation_squared_error", aggfunc="min", observed=True
    )
    frame = errors.rename(columns=str).reset_index()
    frame.insert(0, "label", [LABELS[name] for name in frame["architecture"].astype("str")])
    columns = (Column("label", "Model"), *(Column(str(size), f"Code {size}", "fixed") for size in errors.columns))
    return _format_frame(frame, columns)


def _judge_best(values: pd.Series[float], metric: Metric, size: int, aim: float) -> dict[str, str]:
    best, sign = (values.min(), 1) if metric.direction == "lower" else (values.max(), -1)
    short = sign * (best - aim)
    digits = 2 if metric.direction == "lower" else 3
    return {
        "what": f"{metric.label} at code size {size}",
        "aim": f"{aim:.{digits}f}",
        "best": LABELS[str(values.index[values == best][0])],
        "value": f"{best:.{digits}f}",
        "short": f"{short:.{digits}f}" if short > 0 else "—",
        "others": f"{(sign * values <= sign * aim).sum()} of {len(values)}",
    }


def _format_frame(frame: pd.DataFrame, columns: tuple[Column, ...]) -> str:
    return rendering.format_markdown(Table("", "", "", frame, columns)).strip()
