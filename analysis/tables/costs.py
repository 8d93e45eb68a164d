"""What a study cost and what its searches found."""

from __future__ import annotations

import pandas as pd

from analysis.results import StudyResults, select_confirmed
from analysis.stats.aggregate import CELL, add_labels, count_runs, estimate_means, join_frames, select_confirmed_scores
from analysis.stats.intervals import compare_pairs
from analysis.stats.metrics import LINEAR_ERROR, SQUARED_ERROR, select_metric
from analysis.tables.models import compute_size, get_filters
from analysis.tables.table import (
    ESTIMATE_CAPTION,
    Absent,
    Column,
    Table,
    list_group_sections,
    list_study_sections,
    make_absent,
)


def cost(results: StudyResults) -> Table | Absent:
    """Return what a confirmed run takes, and what it reaches."""
    title = "Cost"
    trials = select_confirmed(results.trials)
    trials = trials[trials["arm"] != "control"]
    if trials.empty:
        return make_absent(results, "cost", title, "no run is confirmed")
    first = trials.drop_duplicates(CELL).sort_values(CELL, ignore_index=True)
    sizes = [
        compute_size(results, trial["architecture"], trial["code_size"], get_filters(trial))
        for trial in first[["architecture", "code_size", "filters_1", "filters_2"]].to_dict("records")
    ]
    fixed = first[[*CELL, "epochs", "train_images", "parameters"]]
    fixed = fixed.assign(multiply_adds=pd.array([size["multiply_adds"] for size in sizes], dtype="Int64"))
    scores = select_confirmed_scores(results)
    scores = scores[scores["arm"] != "control"]
    frame = join_frames(
        [
            fixed,
            estimate_means(trials.dropna(subset=["device_seconds"]), "device_seconds", value="device_seconds"),
            *(estimate_means(select_metric(scores, metric), metric.name) for metric in (SQUARED_ERROR, LINEAR_ERROR)),
        ]
    )
    hours = results.trials.groupby("phase", observed=True)["device_seconds"].sum() / 3600
    devices = ", ".join(str(device) for device in trials["device"].dropna().unique())
    return Table(
        "cost",
        title,
        "Device seconds of a confirmed run (wall time multiplied by the GPUs or cores held), its epochs, parameters "
        "and multiply-adds of a forward pass for one image, beside its squared error (1/image) and linear classifier "
        f"error on the test images. {ESTIMATE_CAPTION}",
        add_labels(results, frame),
        (
            Column("label", "Model"),
            Column("device_seconds", "Device seconds", "estimate", 1),
            Column("epochs", "Epochs", "count", main=False),
            Column("parameters", "Parameters", "count", main=False),
            Column("multiply_adds", "Multiply-adds", "count"),
            Column(SQUARED_ERROR.name, SQUARED_ERROR.header, "estimate", 2),
            Column(LINEAR_ERROR.name, LINEAR_ERROR.header, "estimate", 2, main=False),
        ),
        sections=list_group_sections(results),
        footnotes=(
            f"Measured on: {devices}.",
            "Device hours in all: " + ", ".join(f"{phase} {value:.2f}" for phase, value in hours.items()) + ".",
        ),
    )


def search(results: StudyResults) -> Table | Absent:
    """Return each cell's search: how its trials ended, the best one, and the tuned arm against the published one."""
    title = "Search"
    trials = results.trials[results.trials["phase"] == "search"]
    if trials.empty:
        return make_absent(results, "search", title, "no search trial is there", "search")
    cell = ["study", "code_size", "architecture"]
    counts = count_runs(results, "search").drop(columns=["arm", "collapsed", "converged"])
    value = "validation_cross_entropy"
    complete = trials[(trials["status"] == "complete") & trials[value].notna()]
    best = complete.sort_values([value, "number"]).drop_duplicates(cell)
    first = complete.loc[complete["number"] == 0, [*cell, value]].rename(columns={value: f"first_{value}"})
    kept = {name: f"best_{name}" for name in ("number", value, "learning_rate", "filters_1", "filters_2")}
    scores = select_metric(select_confirmed_scores(results), SQUARED_ERROR)
    tuned, published = (scores[scores["arm"] == arm] for arm in ("tuned", "published"))
    gain = compare_pairs(tuned, published, pair=[*cell, "seed"], by=cell)
    name = "tuned_minus_published"
    gain = gain.rename(columns={part: f"{name}_{part}" for part in gain.columns if part not in (*cell, "difference")})
    gain = gain.rename(columns={"difference": name})
    frame = join_frames([counts, best[[*cell, *kept]].rename(columns=kept), first, gain], cell)
    return Table(
        "search",
        title,
        "c/p/d/f: search trials that completed, were pruned, diverged, failed; lowest cross-entropy on the validation "
        "images (nats/image) of a trial of the full budget, with its learning rate and filter counts, and that of the "
        "first trial, which has the published filter counts; squared error on the test images (1/image) of the "
        "confirmed tuned arm minus the published one, paired by seed: mean ± half of the 95 % t interval (pairs).",
        add_labels(results, frame),
        (
            Column("label", "Model"),
            Column("complete/pruned/diverged/failed", "c/p/d/f", "counts"),
            Column(f"best_{value}", "Best", "fixed"),
            Column(f"first_{value}", "First", "fixed", main=False),
            Column("best_learning_rate", "Learning rate", "general"),
            Column("best_filters_1/best_filters_2", "Filters", "counts"),
            Column(name, "Tuned - published", "difference"),
        ),
        sections=(*list_study_sections(results), Column("code_size", "code size", "count")),
    )
