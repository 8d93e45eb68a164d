"""A table by objective: what a model scored trained by each of several, at each strength."""

from __future__ import annotations

from functools import reduce

import pandas as pd

from analysis.objectives.runs import FIRST, OF_OBJECTIVES, RUN, collect_runs, collect_scores
from analysis.results import StudyResults, list_objectives
from analysis.stats.aggregate import estimate_means
from analysis.stats.metrics import (
    HOYER_SPARSITY,
    K_MEANS_ACCURACY,
    LINEAR_ERROR,
    SQUARED_ERROR,
    list_metrics,
    select_metric,
    settle_metrics,
)
from analysis.tables.table import (
    ESTIMATE_CAPTION,
    FAILURES,
    FAILURES_CAPTION,
    SWITCHES_FOOTNOTE,
    Absent,
    Column,
    Table,
    list_study_sections,
)

SHOWN = (SQUARED_ERROR, LINEAR_ERROR, K_MEANS_ACCURACY, HOYER_SPARSITY)


def compare_objectives(results: StudyResults) -> Table | Absent:
    """Return one row an objective and strength of each model that has several objectives; else nothing is missing."""
    name, title = "objectives", "Scores by objective"
    runs, scores = collect_runs(results), collect_scores(results)
    if scores.empty:
        return Absent(name, title, "")
    # Confirmed runs decide which metric is shown, so that a column holds one thing.
    metrics = [metric for metric in settle_metrics(scores, SHOWN) if len(select_metric(scores, metric))]
    own = list_metrics(scores, (OF_OBJECTIVES,), FIRST)
    main = [metric.key for metric in FIRST]
    estimates = [estimate_means(select_metric(scores, metric), metric.name, RUN) for metric in (*metrics, *own)]
    frame = reduce(lambda left, right: left.merge(right, on=RUN, how="left"), [_count_runs(runs), *estimates])
    switched = [model for model, row in results.models.items() if not row.through_code]
    past_code = frame["model"].isin(switched) & frame[SQUARED_ERROR.name].notna()
    labels = {name: each.label for name, each in list_objectives(results).items()}
    frame = frame.sort_values(RUN, ignore_index=True).assign(
        label=lambda rows: rows["model"].astype("str").map(results.get_label),
        objective_label=lambda rows: rows["objective"].astype("str").map(labels),
        **{f"{SQUARED_ERROR.name}_mark": past_code.map({True: "unranked", False: ""})},
    )
    return Table(
        name,
        title,
        "One model by each of its objectives, on the test images: squared error per image, error of a linear "
        "classifier given the code, accuracy of k-means clusters of codes (whitened, unless it says raw), Hoyer "
        "sparsity of the codes from 0 (dense) to 1, and what some objectives have alone: divergence of the codes from "
        "the prior and bound on the likelihood in nats per image, units that are active, or not 0, and how far mean "
        "and covariance of the codes are from those of N(0, I); a dash where an objective has no such score. At its "
        "middle strength an objective is searched and confirmed; the weak and the strong one train what was confirmed. "
        f"{ESTIMATE_CAPTION} {FAILURES_CAPTION}",
        frame,
        (
            Column("objective_label", "Objective"),
            Column("strength", "Strength", "general", 3),
            *(Column(metric.name, metric.header, "estimate", metric.digits) for metric in metrics),
            *(Column(each.name, each.header, "estimate", each.digits, each.key in main) for each in own),
            FAILURES,
        ),
        sections=(
            *list_study_sections(results),
            Column("label", "model"),
            Column("code_size", "code size", "count"),
        ),
        footnotes=(
            "Tests of the pairs at the middle strength stand in the table of differences; the strengths, which nothing "
            "chooses, are not tested.",
            *((SWITCHES_FOOTNOTE,) if past_code.any() else ()),
        ),
    )


def _count_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row a `RUN` with its strength, and how many of its trials diverged, failed and collapsed."""
    flags = runs[[*RUN, "strength"]].assign(
        diverged=runs["status"] == "diverged",
        failed=runs["status"] == "failed",
        collapsed=runs["collapsed"],
    )
    counts = flags.groupby([*RUN, "strength"], observed=True, dropna=False).sum().astype("Int64")
    return counts.reset_index()
