"""What docs/findings.md says of the trainings that its numbers rest on, in numbers and words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.claims.findings import RECIPES
from analysis.results import ResultsError, StudyResults, select_confirmed, select_last_round
from analysis.stats.metrics import MEAN_CODE, SQUARED_ERROR, select_metric
from analysis.tables.ablations import ablations
from analysis.tables.costs import search
from analysis.tables.diagnostics import stability
from analysis.tables.headline import join_words
from analysis.tables.table import Absent, Table


def describe_protocol(results: StudyResults) -> str:
    """Return a table of what was trained: cells, budget of the search, epochs and seeds by arm and code size."""
    trials = results.trials.astype({"arm": "str", "architecture": "str"})
    search_trials = trials[trials["phase"] == "search"]
    confirmed = trials[(trials["phase"] == "confirm") & (trials["arm"] != "control")]
    labels = [results.get_label(name) for name in results.models if name in {*confirmed["architecture"]}]
    dataset = results.studies[0].manifest["dataset"]
    searched = search_trials.groupby(["architecture", "code_size"])
    rows = [
        ("Data", f"{dataset['name']}: {dataset['train_images']:,} training and {dataset['test_images']:,} test images"),
        ("Models", f"{join_words(labels)}, at {_name_sizes(confirmed)}"),
        (
            "Search",
            f"{count_range(searched['number'].nunique(), 'configurations')} and "
            f"{count_range(searched.size(), 'trainings per cell')}",
        ),
    ]
    for arm in RECIPES:
        own = confirmed[confirmed["arm"] == arm]
        if len(own):
            seeds = own.groupby(["architecture", "code_size"]).size()
            epochs = join_words(list_values(own["epochs_planned"]))
            told = f"{count_range(seeds, 'seeds per cell')}, {epochs} epochs, {_name_recipes(results, own)}"
            rows.append((f"Arm `{arm}`", told))
    hours = trials["device_seconds"].sum() / 3600
    rows.append(("In all", f"{len(trials):,} trials, {trials['epochs'].sum():,} epochs, {hours:,.1f} core-hours"))
    machines = trials["device"].value_counts()
    rows.append(("Machines", "; ".join(f"{name} ({count} trials)" for name, count in machines.items())))
    lines = ["| | |", "|---|---|", *(f"| {name} | {told} |" for name, told in rows)]
    return "\n".join(lines)


def _name_recipes(results: StudyResults, confirmed: pd.DataFrame) -> str:
    """Return the recipe of the ranked models, and behind it each other one with the models that had it."""
    models: dict[str, list[str]] = {}
    for (name, recipe), _ in confirmed.groupby(["architecture", "recipe"], observed=True):
        models.setdefault(str(recipe), []).append(str(name))
    usual = max(models, key=lambda recipe: sum(results.models[name].ranked for name in models[recipe]))
    others = "".join(
        f"; {join_words(map(results.get_label, names))}: `{recipe}`"
        for recipe, names in models.items()
        if recipe != usual
    )
    return f"recipe `{usual}`{others}"


def _name_sizes(trials: pd.DataFrame) -> str:
    sizes = sorted(trials["code_size"].unique())
    return f"code size{'s' if len(sizes) > 1 else ''} {join_words([str(size) for size in sizes])}"


def describe_budget(results: StudyResults) -> str:
    """Return in a sentence what the answer rests on: data, epochs, seeds and search of the tuned arm."""
    tuned = select_confirmed(results.trials)
    tuned = tuned[tuned["arm"] == "tuned"]
    searched = results.trials[results.trials["phase"] == "search"]
    cell = ["architecture", "code_size"]
    name = results.studies[0].manifest["dataset"]["name"].replace("mnist", "MNIST")
    epochs, sizes = (join_words(list_values(tuned[column])) for column in ("epochs_planned", "code_size"))
    seeds = count_range(tuned.groupby(cell, observed=True).size(), "seeds")
    tried = count_range(searched.groupby(cell, observed=True)["number"].nunique(), "configurations")
    return f"{name}, code size {sizes}, {epochs} epochs; each model with {seeds} after a search of {tried}."


def describe_search(results: StudyResults) -> str:
    """Return in how many cells the search found a better configuration than the published point, and by how much."""
    frame = require_table(search(results)).frame
    gains = frame.loc[frame["winner_gain"] > 0, "winner_gain"]
    found = f"In {len(gains)} of {len(frame)} cells the search found a better configuration than trial 0"
    gained = f", by {gains.min():.2f} to {gains.max():.2f} nats per validation image" if len(gains) else ""
    last = select_last_round(results.trials[results.trials["phase"] == "search"])
    losses = last[last["full_budget"]].groupby(["study", "architecture", "code_size", "number"], observed=True)
    spread = (losses["search_value"].max() - losses["search_value"].min())[losses.size() > 1]
    if spread.empty:
        return f"{found}{gained}."
    return (
        f"{found}{gained}. Seeds of one finalist differ by {spread.median():.2f} nats in the median of {len(spread)} "
        f"finalists, and by {spread.max():.2f} at most."
    )


def describe_stability(results: StudyResults) -> str:
    """Return how many runs of each arm diverged, failed or collapsed."""
    frame, runs = require_table(stability(results)).frame, select_confirmed(results.trials)
    runs = runs[(runs["status"] == "complete") & (runs["train_cross_entropy"] >= runs["mean_image_cross_entropy"])]
    told = []
    for arm in RECIPES:
        own, bad = frame[frame["arm"] == arm], runs[runs["arm"] == arm]
        ends = ", ".join(f"{own[name].sum()} {name}" for name in ("diverged", "failed", "collapsed"))
        still = f"; {len(bad)} ended no better than the mean image does" if len(bad) else ""
        told += [f"- Arm `{arm}`: of {own['runs'].sum()} trainings {ends}{still}."] if len(own) else []
        told += [_describe_poor_run(results, run) for run in bad[~bad["collapsed"]].to_dict("records")]
    return "\n".join([*told, "", "Collapsed: no better than the mean image, with a loss that has stopped falling."])


def _describe_poor_run(results: StudyResults, run: Mapping[Any, Any]) -> str:
    """Return what became of a run that is no better than the mean image and does not count as collapsed."""
    scores = results.scores[(results.scores["trial_id"] == run["trial_id"]) & (results.scores["split"] == "test")]
    own, replaced = (select_metric(scores, metric)["value"].mean() for metric in (SQUARED_ERROR, MEAN_CODE))
    return (
        f"  - {results.get_label(run['architecture'])}, seed {run['number']}: training cross-entropy "
        f"{run['train_cross_entropy']:.1f}, the mean image's is {run['mean_image_cross_entropy']:.1f}; squared error "
        f"{own:.1f} by its own codes and {replaced:.1f} by the mean code. Its loss still fell in the last epoch, so "
        "the rule, made before these rows, does not count it; tables and verdicts have it as any other run."
    )


def describe_last_third(results: StudyResults) -> str:
    """Return in a sentence by how much models ranked by squared error still learned in the last third of epochs."""
    runs = select_confirmed(results.trials)
    names = [name for name, row in results.models.items() if row.ranked]
    runs = runs[runs["architecture"].isin(names) & (runs["unpooling"] != "switches")]
    runs = runs[(runs["status"] == "complete") & (runs["epochs"] >= 3)]
    epochs = results.epochs.merge(runs[["trial_id", "arm", "architecture", "code_size", "epochs_planned"]])
    cell = ["arm", "architecture", "code_size"]
    ends = [(2 * epochs["epochs_planned"] / 3).round(), epochs["epochs_planned"]]
    before, after = (
        epochs[epochs["epoch"] == end].groupby(cell, observed=True)["train_squared_error"].mean() for end in ends
    )
    fell = before - after
    told = []
    for arm in RECIPES:
        if arm in fell.index.get_level_values("arm"):
            own = fell[arm]
            low, high = (results.get_label(own.index[place()][0]) for place in (own.argmin, own.argmax))
            told.append(f"by {own.min():.2f} ({low}) to {own.max():.2f} ({high}) in arm `{arm}`")
    began = "In the last third of their epochs the models' squared error on training images still fell"
    return f"{began} {join_words(told)}: longer training may order them otherwise." if told else ""


def describe_generalisation(results: StudyResults) -> str:
    """Return in a sentence by how much squared error is higher on test images than on training images, by model."""
    runs = select_confirmed(results.trials)
    runs = runs[(runs["arm"] == "tuned") & (runs["unpooling"] != "switches") & (runs["status"] == "complete")]
    scores = select_metric(results.scores[results.scores["split"] == "test"], SQUARED_ERROR)
    both = runs.merge(scores[["trial_id", "value"]], on="trial_id")
    lost = (both["value"] - both["train_squared_error"]).groupby(both["architecture"].astype("str")).mean()
    ranked = lost[[results.models[name].ranked for name in lost.index]]
    if ranked.empty:
        return ""
    told = f"Squared error is higher on test images than on training images, by {ranked.min():.1f} to "
    told += f"{ranked.max():.1f} for ranked models"
    others = [f"{lost[name]:.1f} for the {results.get_label(name).lower()}" for name in lost.index.drop(ranked.index)]
    return f"{told} and by {join_words(others)}." if others else f"{told}."


def describe_rates(results: StudyResults) -> str:
    """Return whether the levels of ablations had learning rates of their own."""
    table = ablations(results)
    if isinstance(table, Absent):
        return "None was run in this study."
    if table.frame["rates_tried"].astype(bool).any():
        return "A level that changes what a learning rate means has the best of three."
    return "In these rows every level has the learning rate of the confirmed configuration, which need not suit it."


def require_table(table: Table | Absent) -> Table:
    """Return a table of the report that the page cannot do without.

    Raises:
        ResultsError: it is not there.
    """
    if isinstance(table, Absent):
        raise ResultsError(f"no table {table.name}: {table.reason}", "a study with its rows", "finish the study first")
    return table


def list_values(values: pd.Series) -> list[str]:
    """Return the distinct values in order, without missing ones."""
    return [str(value) for value in sorted(values.dropna().unique())]


def count_range(counts: pd.Series, what: str) -> str:
    """Return the least and the most of some counts, with the name of what is counted."""
    low, high = counts.min(), counts.max()
    return f"{low} {what}" if low == high else f"{low} to {high} {what}"
