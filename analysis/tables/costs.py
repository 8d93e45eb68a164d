"""What a study cost and what its searches found."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.results import FINAL_ROUND, StudyResults, average_finalists, select_confirmed
from analysis.stats.aggregate import CELL, add_labels, count_runs, estimate_means, join_frames, select_confirmed_scores
from analysis.stats.contrasts import compare_means
from analysis.stats.metrics import (
    CROSS_ENTROPY,
    LINEAR_ERROR,
    SQUARED_ERROR,
    Metric,
    list_search_metrics,
    select_metric,
)
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
    computed = pd.Series([size["multiply_adds"] for size in sizes], first.index, "Int64")
    fixed = fixed.assign(multiply_adds=first["multiply_adds"].astype("Int64").fillna(computed))
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
    by_phase = ", ".join(f"{phase} {value:.2f}" for phase, value in hours.items())
    devices = ", ".join(str(device) for device in trials["device"].dropna().unique())
    return Table(
        "cost",
        title,
        "Device seconds of a confirmed run (wall time multiplied by the GPUs or cores held), its epochs, parameters "
        "and multiply-adds of a forward pass for one image, beside its squared error (per image) and linear classifier "
        f"error on the test images. {ESTIMATE_CAPTION}",
        add_labels(results, frame),
        (
            Column("label", "Model"),
            Column("device_seconds", "Device seconds", "estimate", 1),
            Column("epochs", "Epochs", "count", main=False),
            Column("parameters", "Parameters", "count"),
            Column("multiply_adds", "Multiply-adds", "count"),
            Column(SQUARED_ERROR.name, SQUARED_ERROR.header, "estimate", 2),
            Column(LINEAR_ERROR.name, LINEAR_ERROR.header, "estimate", 2, main=False),
        ),
        sections=list_group_sections(results),
        footnotes=(
            f"Measured on: {devices}.",
            f"Device hours of the trials in this report: {by_phase}.",
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
    finalists = average_finalists(trials)
    best = finalists.drop_duplicates(cell)
    settings = ("learning_rate", "weight_decay", "filters_1", "filters_2", "module_settings")
    kept = {name: f"best_{name}" for name in ("number", *settings)}
    rounds = count_rounds(trials, cell)
    best = best.assign(
        chosen_by=[describe_sampler(row) for row in best.to_dict("records")],
        at_edge=[find_edges(results, row) for row in best.to_dict("records")],
    )
    scores = select_metric(select_confirmed_scores(results), SQUARED_ERROR)
    tuned, published = (scores[scores["arm"] == arm] for arm in ("tuned", "published"))
    # Their starting weights are drawn by different laws, so a seed has nothing in common but its number.
    gain = compare_means(tuned, published, match=cell, by=cell)
    name = "tuned_minus_published"
    gain = gain.rename(columns={part: f"{name}_{part}" for part in gain.columns if part not in (*cell, "difference")})
    gain = gain.rename(columns={"difference": name})
    chosen = best[[*cell, *kept, "chosen_by", "at_edge"]].rename(columns=kept)
    by_study = list_search_metrics(results)
    studies = {metric: [name for name, each in by_study.items() if each == metric] for metric in by_study.values()}
    reached = [
        compute_gains(finalists[finalists["study"].isin(names)], metric, cell) for metric, names in studies.items()
    ]
    frame = join_frames([counts, rounds, chosen, *reached, gain], cell)
    of_modules = frame["best_module_settings"].astype("object")
    frame["best_module_settings"] = of_modules.where(of_modules.isna(), of_modules.astype("str").str.strip("{}"))
    told = " or ".join(
        f"{metric.label} on the validation images ({metric.shown_unit.replace('/', ' per ')})" for metric in studies
    )
    return Table(
        "search",
        title,
        "How the trials of each cell were chosen, and how many trained in each round (round 1/2/3); ended: runs that "
        "completed, were pruned, diverged, failed; the winner's number, where 0 is the published point; its "
        f"{told}, the mean over the seeds of the last round, and by "
        "how much that is lower than trial 0's (gain); its learning rate, weight decay and filter counts, with what of "
        "it lies at the edge of its range; squared error on the test images (per image) of the confirmed tuned arm "
        "minus the published one: mean ± half of Welch's 95 % interval (seeds of the arm that has fewer).",
        add_labels(results, frame),
        (
            Column("label", "Model"),
            Column("chosen_by", "Chosen by"),
            Column("round_1/round_2/round_3", "Rounds", "counts"),
            Column("complete/pruned/diverged/failed", "Ended", "counts", main=False),
            Column("best_number", "Winner", "count"),
            *(column for metric in studies for column in list_columns(metric, len(studies) > 1)),
            Column("best_learning_rate", "Learning rate", "general"),
            Column("best_weight_decay", "Weight decay", "general"),
            Column("best_filters_1/best_filters_2", "Filters", "counts"),
            *([Column("best_module_settings", "Settings")] if of_modules.notna().any() else []),
            Column("at_edge", "At the edge"),
            Column(name, "Tuned - published", "difference"),
        ),
        sections=(*list_study_sections(results), Column("code_size", "code size", "count")),
    )


def name_columns(metric: Metric) -> tuple[str, str, str]:
    """Return the columns of the winner's value, trial 0's and their difference, where searches minimise ``metric``."""
    column = f"validation_{metric.metric}"
    return f"best_{column}", f"first_{column}", "winner_gain" + ("" if metric == CROSS_ENTROPY else f"_{metric.metric}")


def compute_gains(finalists: pd.DataFrame, metric: Metric, cell: list[str]) -> pd.DataFrame:
    """Return one row a cell with what its search minimised: the winner's, trial 0's, and by how much that is lower."""
    best, first, gain = name_columns(metric)
    winners = finalists.drop_duplicates(cell)[[*cell, "search_value"]].rename(columns={"search_value": best})
    zeros = finalists.loc[finalists["number"] == 0, [*cell, "search_value"]].rename(columns={"search_value": first})
    frame = join_frames([winners, zeros], cell)
    return frame.assign(**{gain: frame[first] - frame[best]})


def list_columns(metric: Metric, several: bool) -> tuple[Column, ...]:
    """Return how the columns of `compute_gains` are shown; of ``several`` metrics each says its own."""
    best, first, gain = name_columns(metric)
    of = f", {metric.label}" if several else ""
    return (
        Column(best, f"Best{of}", "fixed"),
        Column(first, f"First{of}", "fixed", main=False),
        Column(gain, f"Gain{of}", "fixed"),
    )


EDGE_SHARE = 0.02
"""Share of a range, on its scale, within which a winner lies at its edge: a wider one might have found a better."""


def count_rounds(trials: pd.DataFrame, cell: list[str]) -> pd.DataFrame:
    """Return one row a cell with how many trials trained in each round; a search without rounds has the last alone."""
    counted = trials.assign(_round=trials["round"].fillna(FINAL_ROUND).astype("int64"))
    numbers = counted.drop_duplicates([*cell, "_round", "number"])
    names = [f"round_{number}" for number in range(1, FINAL_ROUND + 1)]
    flags = {name: numbers["_round"] == number for number, name in enumerate(names, start=1)}
    return numbers[cell].assign(**flags).groupby(cell, observed=True)[names].sum().astype("Int64").reset_index()


def describe_sampler(row: Mapping[Hashable, Any]) -> str:
    """Return what chose the settings of a search trial; searches that do not say were Optuna's TPE."""
    return "tpe" if pd.isna(row["sampler"]) else str(row["sampler"]).replace("_", " ")


def find_edges(results: StudyResults, row: Mapping[Hashable, Any]) -> str:
    """Return which searched settings of a winner lie at an end of their range; empty for none."""
    identity = next(study.manifest.get("identity", {}) for study in results.studies if study.name == row["study"])
    recipe = identity.get("recipes", {}).get(row["recipe"], {})
    ranges = {name: (recipe.get(f"{name}_range"), True) for name in ("learning_rate", "weight_decay")}
    if row["number"] != 0:
        ranges |= {
            "budget_share": (identity.get("budget_share_range"), False),
            "filters_ratio": (identity.get("filters_ratio_range"), True),
        }
    ranges |= {
        name: ((values["low"], values["high"]), bool(values.get("log")))
        for name, values in getattr(results.models.get(row["architecture"]), "space", {}).items()
        if "low" in values
    }
    row = {**row, **json.loads(row["module_settings"])} if not pd.isna(row["module_settings"]) else row
    # All of the budget is no edge that a wider range could move.
    found = [name for name, (limits, log) in ranges.items() if limits and is_at_edge(row[name], limits, log)]
    if "budget_share" in found and row["budget_share"] > 0.9:
        found.remove("budget_share")
    return ", ".join(found)


def is_at_edge(value: float | None, limits: Sequence[float], log: bool) -> bool:
    """Whether a value lies within `EDGE_SHARE` of an end of its range, or beyond."""
    if value is None or pd.isna(value):
        return False
    low, high, place = (math.log(each) if log else each for each in (*limits, value))
    return min(place - low, high - place) <= EDGE_SHARE * (high - low)
