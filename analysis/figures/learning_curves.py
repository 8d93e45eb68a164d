"""Learning curves: how cross-entropy falls over the epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.figures.style import (
    Drawing,
    ModelStyle,
    choose_styles,
    draw_legend,
    list_keys,
    make_grid,
    make_heading,
    select_rows,
    spread_code_sizes,
    use_style,
)
from analysis.results import StudyResults, select_confirmed, select_last_round
from analysis.tables.table import Absent, make_absent

SHOWN_EPOCHS = 200
"""Epochs of a curve that are drawn, evenly spaced, where there are more."""

_CURVE = ["study", "code_size", "run", "architecture"]
_RUNS = ("tuned", "published", "search")
_TITLES = {
    "tuned": "Tuned arm, training",
    "published": "Published arm, training",
    "search": "Best of search, validation",
}
_MEAN_IMAGE: dict[str, Any] = {"color": "#555555", "linestyle": (0, (1, 2)), "linewidth": 1.1}
_HIGHEST = 1.3
"""Times the mean image's cross-entropy up to which curves are in sight before their last epoch."""


@use_style
def learning_curves(results: StudyResults) -> Drawing | Absent:
    """Draw cross-entropy over epochs: a row for each code size, a column for each arm and one for the search."""
    name, title = "learning_curves", "Learning curves"
    curves = average_curves(results)
    if curves.empty:
        return make_absent(results, name, title, "no confirmed run, and no complete search trial, has rows of epochs")
    sizes, left_out = spread_code_sizes(curves["code_size"])
    columns = list_keys(curves, ["study", "run"])
    styles = choose_styles(results, curves)
    levels = results.trials.groupby("study", observed=True)["mean_image_cross_entropy"].mean()
    figure, rows = make_grid(len(sizes), len(columns), 3.3, 2.7, sharex="all")
    for row, size in zip(rows, sizes, strict=True):
        for axes, key in zip(row, columns, strict=True):
            shown = select_rows(curves, key | {"code_size": size})
            draw_learning_curves(axes, shown, styles)
            level = float(levels[key["study"]])
            axes.axhline(level, **_MEAN_IMAGE)
            # First epochs may lie far above all that follows; where curves end is always in sight.
            ends = shown.sort_values("epoch").groupby(_CURVE, observed=True).last()[["mean", "validation"]]
            highest = np.nanmax([_HIGHEST * level, *(1.1 * ends.to_numpy(dtype=float).ravel())])
            axes.set_ylim(top=min(axes.get_ylim()[1], float(highest)))
            study = make_heading(results, {"study": key["study"]})
            axes.set_title(f"{study}\n{_TITLES[key['run']]}".strip() if row is rows[0] else "")
            axes.set_ylabel(f"Code size {size}\n{axes.get_ylabel()}" if axes is row[0] else "")
            axes.set_xlabel(axes.get_xlabel() if row is rows[-1] else "")
    draw_legend(figure, styles.values(), [Line2D([], [], label="Mean image", **_MEAN_IMAGE)])
    return Drawing(
        name,
        title,
        "A model with switches falls at once because they hand the image on; the others are still falling where their "
        "curves slope at the end. Hollow: the classic auto-encoder, a control. Cross-entropy per image after each "
        "epoch. Of confirmed runs: on the training images as they went, mean over seeds, with a band "
        "from the lowest seed to the highest; they train on the validation images too, so "
        "there is no validation curve. Of the search: the best trial of each cell's last round on the validation "
        "images, with its training curve thin and pale. Dotted: what predicting the mean image costs; first epochs "
        f"far above it are cut. Each panel has its own vertical axis.{left_out}",
        figure,
    )


def average_curves(results: StudyResults) -> pd.DataFrame:
    """Return one row a curve and epoch: study, code_size, run, architecture, epoch, mean, minimum, maximum, validation.

    Mean, minimum and maximum are of the training cross-entropy over seeds. ``run`` is the arm of confirmed full-budget
    runs, or search for the best complete trial of the last round of a cell's search.
    """
    runs = select_confirmed(results.trials)
    runs = runs[runs["arm"] != "control"].assign(run=lambda frame: frame["arm"].astype("str"))
    searched = results.trials[(results.trials["phase"] == "search") & results.trials["full_budget"]]
    searched = select_last_round(searched).dropna(subset="search_value").sort_values(["search_value", "number"])
    best = searched.drop_duplicates(["study", "code_size", "architecture"]).assign(run="search")
    chosen = pd.concat([runs, best])[["trial_id", *_CURVE]]
    chosen["run"] = pd.Categorical(chosen["run"], _RUNS, ordered=True)
    columns = ["trial_id", "epoch", "train_cross_entropy", "validation_cross_entropy"]
    epochs = results.epochs.loc[results.epochs["trial_id"].isin(chosen["trial_id"]), columns]
    grouped = chosen.merge(epochs, on="trial_id").groupby([*_CURVE, "epoch"], observed=True)
    return grouped.agg(
        mean=("train_cross_entropy", "mean"),
        minimum=("train_cross_entropy", "min"),
        maximum=("train_cross_entropy", "max"),
        validation=("validation_cross_entropy", "mean"),
    ).reset_index()


def draw_learning_curves(axes: Axes, frame: pd.DataFrame, styles: Mapping[str, ModelStyle]) -> Axes:
    """Draw the curves of one panel, rows of `average_curves`, and return ``axes``."""
    for place, (name, style) in enumerate(styles.items()):
        rows = frame[frame["architecture"] == name].sort_values("epoch")
        if rows.empty:
            continue
        rows = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, SHOWN_EPOCHS).round().astype(int))]
        step = max(1, len(rows) // 5)
        line = style.line_style() | {"markevery": (place * step // len(styles), step), "markersize": 4}
        validated = rows["validation"].notna().any()
        if validated:
            axes.plot(rows["epoch"], rows["mean"], color=style.colour, linestyle=style.line, linewidth=0.7, alpha=0.6)
        else:
            axes.fill_between(
                rows["epoch"], rows["minimum"], rows["maximum"], color=style.colour, alpha=0.15, linewidth=0
            )
        axes.plot(rows["epoch"], rows["validation" if validated else "mean"], **line)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("Epoch (passes over the images)")
    axes.set_ylabel("Cross-entropy (nats/image)")
    return axes
