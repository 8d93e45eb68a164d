"""The models compared: tables of what confirmed runs scored on the test images, one function a table.

Each function takes `StudyResults` and returns a `Table`, or says by an `Absent` what is missing. Scores are of
complete, full-budget runs of phase confirm; runs that collapsed are among them, those that diverged or failed have no
scores; all three are counted in every table.
"""

from __future__ import annotations

from analysis.results import StudyResults
from analysis.stats.aggregate import CELL, add_labels, count_runs, estimate_means, join_frames, select_confirmed_scores
from analysis.stats.intervals import summarise
from analysis.stats.metrics import Metric, list_metrics, select_metric
from analysis.tables.scores import SCORE_TABLES
from analysis.tables.table import (
    ESTIMATE_CAPTION,
    FAILURES,
    FAILURES_CAPTION,
    Absent,
    Column,
    Table,
    list_group_sections,
    make_absent,
)

_RELIANCE_EVALUATORS = ("mean_code", "other_switches")


def reliance(results: StudyResults) -> Table | Absent:
    """Return what becomes of reconstruction when the code, or the switches, are replaced."""
    title = "Reliance on the code"
    scores = select_confirmed_scores(results)
    replaced = list_metrics(scores, _RELIANCE_EVALUATORS)
    if not replaced:
        return make_absent(results, "reliance", title, "no confirmed run was reconstructed with a replaced code")
    frames, columns = [], []
    for metric in sorted({each.metric for each in replaced}, reverse=True):  # squared error first
        main = metric == "squared_error"
        own = scores[(scores["evaluator"] == "reconstruction") & (scores["metric"] == metric)]
        by_evaluator = {name: select_metric(scores, Metric(name, metric)) for name in _RELIANCE_EVALUATORS}
        own = own[own["trial_id"].isin(by_evaluator["mean_code"]["trial_id"])]
        merged = by_evaluator["mean_code"].merge(own[["trial_id", "value"]], on="trial_id", suffixes=("", "_own"))
        increase = merged.assign(value=merged["value"] - merged["value_own"])
        text = metric.replace("_", " ")
        parts = (
            ("own_code", f"Own code: {text}", own),
            ("mean_code", "Mean code", by_evaluator["mean_code"]),
            ("increase", "Increase", increase),
            ("other_switches", "Other switches", by_evaluator["other_switches"]),
        )
        for part, header, rows in parts:
            frames.append(estimate_means(rows, f"{part}_{metric}"))
            columns.append(Column(f"{part}_{metric}", header, "estimate", 2, main and part != "increase"))
    return Table(
        "reliance",
        title,
        "Squared error (per image) and cross-entropy (nats per image) of the test images with their own code, with the "
        "mean training code in its place, the increase from the one to the other, and with their own code but another "
        f"image's switches. A small increase means that the image passes the code by. {ESTIMATE_CAPTION}",
        add_labels(results, join_frames(frames)),
        (Column("label", "Model"), *columns),
        sections=list_group_sections(results),
    )


def stability(results: StudyResults) -> Table | Absent:
    """Return the share of runs that converge, and the spread of those over seeds."""
    title = "Stability over seeds"
    counts = count_runs(results)
    if counts.empty:
        return make_absent(results, "stability", title, "no run is confirmed")
    counts["converged_share"] = counts["converged"] / counts["runs"]
    scores = select_confirmed_scores(results)
    scores = scores[~scores["collapsed"] & (scores["arm"] != "control")]
    frames, columns = [counts], [Column("label", "Model"), Column("converged/runs", "Converged", "counts"), FAILURES]
    for metric, text in (("squared_error", "Sq. error"), ("cross_entropy", "Cross-entropy")):
        name = f"reconstruction_{metric}"
        spread = summarise(select_metric(scores, Metric("reconstruction", metric)), CELL)
        kept = ("deviation", "minimum", "maximum")
        frames.append(spread[[*CELL, *kept]].rename(columns={part: f"{name}_{part}" for part in kept}))
        for part, header in (("deviation", f"SD, {text.lower()}"), ("minimum", "Lowest"), ("maximum", "Highest")):
            columns.append(Column(f"{name}_{part}", header, "fixed", 3, metric == "squared_error"))
    return Table(
        "stability",
        title,
        "Runs from different starting weights that converged, i.e. neither diverged nor failed nor collapsed, of all; "
        "standard deviation (SD), lowest and highest figure of the converged ones on the test images: squared error "
        f"(per image) and cross-entropy (nats per image). {FAILURES_CAPTION}",
        add_labels(results, join_frames(frames)),
        tuple(columns),
        sections=list_group_sections(results),
    )


def layer_values(results: StudyResults) -> Table | Absent:
    """Return the ranges of every layer's output: the paper's advice to look at intermediate values."""
    title = "Values in the layers"
    scores = select_confirmed_scores(results)
    scores = scores[scores["evaluator"].astype("str").str.startswith("layer_")]
    if scores.empty:
        return make_absent(results, "layers", title, "no confirmed run has scores of its layers")
    by = [*CELL, "evaluator"]
    means = summarise(scores, [*by, "metric"]).assign(metric=lambda frame: frame["metric"].astype("str"))
    order = list(dict.fromkeys(scores["metric"].astype("str")))
    frame = means.pivot(index=by, columns="metric", values="mean")[order].reset_index()
    frame["layer"] = frame["evaluator"].astype("str").str.removeprefix("layer_")
    # In the order in which a model's layers were measured, from image to output.
    places = scores[["architecture", "evaluator"]].drop_duplicates().reset_index(drop=True).reset_index(names="_place")
    frame = frame.merge(places, on=["architecture", "evaluator"]).sort_values([*CELL, "_place"], ignore_index=True)
    frame = frame.drop(columns=["_place", "evaluator"])
    return Table(
        "layers",
        title,
        "Range, mean and standard deviation of each layer's output over test images and positions, and its maps that "
        "hardly vary; means over seeds.",
        add_labels(results, frame),
        (
            Column("label", "Model"),
            Column("layer", "Layer"),
            *(Column(metric, metric.replace("_", " ").capitalize(), "general", 3) for metric in order),
        ),
        sections=list_group_sections(results),
        detail=True,
    )


def other_scores(results: StudyResults) -> Table | Absent:
    """Return the scores that no other table shows, so that none is lost."""
    shown = {name for spec in SCORE_TABLES for name in spec.evaluators} | set(_RELIANCE_EVALUATORS)
    scores = select_confirmed_scores(results)
    evaluators = scores["evaluator"].astype("str")
    scores = scores[~evaluators.isin(shown) & ~evaluators.str.startswith("layer_")]
    if scores.empty:
        return Absent("other_scores", "Other scores", "")
    frame = estimate_means(scores, "value", [*CELL, "evaluator", "metric", "unit"])
    return Table(
        "other_scores",
        "Other scores",
        f"Scores on the test images that no other table shows. {ESTIMATE_CAPTION}",
        add_labels(results, frame.sort_values([*CELL, "evaluator", "metric"], ignore_index=True)),
        (
            Column("label", "Model"),
            Column("evaluator", "Evaluator"),
            Column("metric", "Metric"),
            Column("value", "Value", "estimate", 3),
            Column("unit", "Unit"),
        ),
        sections=list_group_sections(results),
        detail=True,
    )
