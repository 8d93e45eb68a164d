"""What docs/reference/README.md says in numbers: cost by phase, the aims set beforehand, the search begun on a GPU."""

from __future__ import annotations

import pandas as pd

from analysis.rendering import text as rendering
from analysis.results import StudyResults
from analysis.stats.aggregate import select_confirmed_scores
from analysis.stats.metrics import K_MEANS_ACCURACY, LINEAR_ERROR, MLP_ERROR, SQUARED_ERROR, settle_metrics
from analysis.tables.summary import summary
from analysis.tables.table import Column, Table
from trainables.models.architectures import BUILT_IN, CONTROLS

LABELS = {name: row.label for name, row in {**BUILT_IN, **CONTROLS}.items()}

ERROR, LINEAR, MLP = SQUARED_ERROR.name, LINEAR_ERROR.name, MLP_ERROR.name
SQUARED_ERRORS = {2: 28.0, 10: 10.5, 30: 3.5}
"""By code size, aims of the best ranked model, 1/image, set for 33 epochs."""
K_MEANS_PUBLISHED = 0.79
"""Accuracy of k-means on auto-encoder codes, the lower end of what is published; set for 33 epochs."""


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


def describe_machines(results: StudyResults) -> str:
    """Say how many trials ran on a core or GPU of which kind."""
    trials = results.trials["device"].value_counts()
    told = "; ".join(f"{count} of {trials.sum()} trials on a core of {name}" for name, count in trials.items())
    return f"By the rows: {told}."


def tabulate_aims(results: StudyResults) -> str:
    """Return what the aims ask, what the tuned arm reached, and by how much it falls short.

    Raises:
        TypeError: the study has no confirmed trials.
    """
    table = summary(results)
    if not isinstance(table, Table):
        raise TypeError(table.reason)
    frame = table.frame.astype({"architecture": "str"}).set_index("architecture")
    (k_means,) = settle_metrics(select_confirmed_scores(results), [K_MEANS_ACCURACY])
    rows = []
    for size, aim in SQUARED_ERRORS.items():
        cells = frame[frame["code_size"] == size]
        ranked = cells[cells[f"{LINEAR}_mark"].notna()]
        passed = ranked[ranked[f"{ERROR}_mark"] != "unranked"]
        rows.append(_judge_best(passed[ERROR], f"squared error at code size {size}", aim, lower=True))
        for name, what in ((LINEAR, "linear"), (MLP, "MLP")):
            below = float(cells[name]["pca"])
            rows.append(
                _judge_best(ranked[name], f"{what} error (%) at code size {size}, below PCA's", below, lower=True)
            )
        rows.append(
            _judge_best(
                ranked[k_means.name], f"{k_means.label} at code size {size}", K_MEANS_PUBLISHED, lower=False, digits=3
            )
        )
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


def _judge_best(values: pd.Series[float], what: str, aim: float, *, lower: bool, digits: int = 2) -> dict[str, str]:
    value, name = (values.min(), values.idxmin()) if lower else (values.max(), values.idxmax())
    short = value - aim if lower else aim - value
    reached = values <= aim if lower else values >= aim
    return {
        "what": what,
        "aim": f"{aim:.{digits}f}",
        "best": LABELS[str(name)],
        "value": f"{value:.{digits}f}",
        "short": f"{short:.{digits}f}" if short > 0 else "—",
        "others": f"{reached.sum()} of {len(values)}",
    }


def _format_frame(frame: pd.DataFrame, columns: tuple[Column, ...]) -> str:
    return rendering.format_markdown(Table("", "", "", frame, columns)).strip()
