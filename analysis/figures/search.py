"""What the searches tried: learning rate against loss, and which hyperparameter mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    format_log_axis,
    list_keys,
    make_grid,
    make_heading,
    make_panels,
    select_rows,
    spread_code_sizes,
    use_style,
    wrap_title,
)
from analysis.results import StudyResults, average_finalists, select_last_round
from analysis.stats.importance import (
    HYPERPARAMETERS,
    MINIMUM_TRIALS,
    TARGET_QUANTILE,
    compute_importances,
    list_left_out,
)
from analysis.stats.metrics import list_search_metrics
from analysis.tables.headline import join_labels
from analysis.tables.table import Absent, make_absent

SHOWN_TRIALS = 150
"""Trials of a cell that are drawn, its best ones among them, where there are more."""

_COLUMNS = 4
_DRAWN = [
    "study",
    "architecture",
    "code_size",
    "number",
    "configuration",
    "round",
    "status",
    "full_budget",
    "learning_rate",
    "search_value",
]
_LOSS = "search_value"
_ALL_COLOUR = "#333333"
"""Of all models together."""


@use_style
def learning_rate(results: StudyResults) -> Drawing | Absent:
    """Draw what searches minimise against the learning rate of their trials, one panel a cell, the best marked."""
    name, title = "learning_rate", "Learning rate against loss"
    trials = results.trials.loc[(results.trials["phase"] == "search") & (results.trials["learning_rate"] > 0), _DRAWN]
    if not (trials["full_budget"] & trials[_LOSS].notna()).any():
        return make_absent(results, name, title, "no search trial is complete", "search")
    sizes, left_out = spread_code_sizes(trials["code_size"])
    trials = trials[trials["code_size"].isin(sizes)]
    cells = list_keys(trials, ["study", "architecture", "code_size"])
    styles, metrics = choose_styles(results, trials), list_search_metrics(results)
    several = len(set(metrics.values())) > 1
    across = len(list_keys(trials, ["study", "code_size"]))
    figure, panels = make_panels(len(cells), across if across > 1 else _COLUMNS, 2.8, 1.9, sharex=True)
    for place, (axes, key) in enumerate(zip(panels, cells, strict=True)):
        draw_learning_rate(axes, select_rows(trials, key), styles[str(key["architecture"])])
        axes.set_title(wrap_title(make_heading(results, key), 2.8))
        columns = axes.get_gridspec().ncols  # type: ignore[union-attr]
        last = place + columns >= len(panels)
        axes.set_xlabel("Learning rate (dimensionless)" if last else "")
        axes.tick_params(labelbottom=last, which="both")
        axes.set_ylabel(metrics[str(key["study"])].axis_label if several or place % columns == 0 else "")
    grey: dict[str, Any] = {"linestyle": "", "color": "#555555", "markersize": 6}
    handles = [
        Line2D([], [], marker="o", label="Complete", **grey),
        Line2D([], [], marker="x", label="Trained for less", **grey),
        Line2D([], [], marker="|", label="Diverged or failed", **grey),
        Line2D([], [], marker="*", label="Best", **grey | {"markersize": 11, "markeredgecolor": "black"}),
    ]
    draw_legend(figure, (), handles)
    told = " or ".join(metric.label for metric in dict.fromkeys(metrics.values()))
    thinned = trials.groupby(["study", "architecture", "code_size"], observed=True).size().max() > SHOWN_TRIALS
    return Drawing(
        name,
        title,
        "Where the star stands at an edge of the points, the range of the search may have been too narrow. Search "
        f"trials of each cell: {told} per image on the validation images after the last epoch "
        "that a trial trained. Trials of short rounds, and those that were stopped early, trained fewer epochs, so "
        "their loss is not comparable; ticks at the top are trials that diverged or failed. The star is the "
        "configuration that was confirmed, at the mean over its seeds. Each panel has its own vertical axis."
        + (f" Of cells with more than {SHOWN_TRIALS:,} trials the best and a sample are drawn." if thinned else "")
        + left_out,
        figure,
    )


def draw_learning_rate(axes: Axes, frame: pd.DataFrame, style: ModelStyle) -> Axes:
    """Draw the search trials of one cell and return ``axes``."""
    finalists = average_finalists(frame)
    if len(frame) > SHOWN_TRIALS:
        best = select_last_round(frame[frame["full_budget"]]).nsmallest(SHOWN_TRIALS // 5, _LOSS)
        others = frame.drop(best.index).sample(SHOWN_TRIALS - len(best), random_state=0)
        frame = pd.concat([best, others])
    complete = select_last_round(frame[frame["full_budget"] & frame[_LOSS].notna()])
    trained = frame["status"].isin(["complete", "pruned"]) & frame[_LOSS].notna()
    pruned = frame[trained & ~frame.index.isin(complete.index)]
    lost = frame[frame["status"].isin(["diverged", "failed"])]
    many = len(frame) > 60
    points: dict[str, Any] = {"linestyle": "", "color": style.colour}
    axes.plot(pruned["learning_rate"], pruned[_LOSS], marker="x", markersize=4, alpha=0.6, **points)
    axes.plot(complete["learning_rate"], complete[_LOSS], marker="o", markersize=3 if many else 4.5, **points)
    top = np.full(len(lost), 0.97)
    axes.plot(lost["learning_rate"], top, marker="|", transform=axes.get_xaxis_transform(), markersize=7, **points)
    best = finalists.head(1)
    axes.plot(
        best["learning_rate"],
        best[_LOSS],
        marker="*",
        markersize=12,
        linestyle="",
        color=style.colour,
        markeredgecolor="black",
    )
    axes.set_xscale("log")
    format_log_axis(axes.xaxis)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.margins(y=0.12)
    return axes


@use_style
def hyperparameter_importance(results: StudyResults) -> Drawing | Absent:
    """Draw how much each searched hyperparameter decided whether a trial was among the best."""
    name, title = "importance", "Importance of the hyperparameters"
    frame, left_out = compute_importances(results.trials), list_left_out(results.trials)
    if frame.empty:
        searched = results.trials.loc[results.trials["phase"] == "search", "architecture"]
        if left_out and searched.isin(left_out).all():
            return Absent(name, title, "no model with filter counts was searched")
        what = f"no model has {MINIMUM_TRIALS} search trials that can be compared"
        return make_absent(results, name, title, what, "search", f"--trials {MINIMUM_TRIALS}")
    panels = list_keys(frame, ["study"])
    styles = choose_styles(results, results.trials[results.trials["architecture"].isin(frame["architecture"])])
    figure, (row,) = make_grid(1, len(panels), 6.4 if len(panels) == 1 else 4.6, 3.2, sharey="row")
    names = [each for each in HYPERPARAMETERS if (frame["hyperparameter"] == each).any()]
    for axes, key in zip(row, panels, strict=True):
        draw_importance(axes, select_rows(frame, key), styles, names)
        axes.set_title(make_heading(results, key))
        axes.label_outer()
    together = frame.loc[frame["architecture"] == "", "n"]
    if len(together):
        counts = " + ".join(f"{n:,}" for n in together.groupby(frame["study"], observed=True).first())
        label = f"All models ({counts} trials)"
        bars = [(style.colour, style.label) for style in styles.values()] + [(_ALL_COLOUR, label)]
        handles = [Line2D([], [], color=colour, linewidth=7, label=name) for colour, name in bars]
        draw_legend(figure, (), handles)
    without = join_labels(map(results.get_label, left_out)) if left_out else ""
    return Drawing(
        name,
        title,
        "The longer a bar, the more that hyperparameter decided which trials were best. PED-ANOVA (Watanabe, "
        "Bansal and Hutter, 2023, as implemented in Optuna): how far the distribution of a "
        f"hyperparameter among the best {100 * TARGET_QUANTILE:.0f} % of search trials differs from that among all, as "
        "a share of the sum over hyperparameters. Trials are ranked within their cell, those that were stopped early "
        "behind complete ones, diverged ones last; a bar puts the ranks of a model's code sizes together, the dark "
        "one those of all models, whose ranges are laid over each other. Of a search by rounds the first counts; "
        "trial 0 and grids are left out, since nobody drew them. Drawn where there are "
        f"{MINIMUM_TRIALS} trials or more; under a hundred it is a hint. What a search hardly varied cannot show as "
        f"important.{f' Models without filter counts are left out: {without}.' if without else ''}",
        figure,
    )


def draw_importance(
    axes: Axes, frame: pd.DataFrame, styles: Mapping[str, ModelStyle], hyperparameters: Sequence[str]
) -> Axes:
    """Draw rows of `compute_importances` (architecture, empty for all; hyperparameter; importance), return ``axes``."""
    bars = [(name, style.colour) for name, style in styles.items()] + [("", _ALL_COLOUR)]
    bars = [(name, colour) for name, colour in bars if (frame["architecture"] == name).any()]
    thickness = 0.8 / len(bars)
    for number, (name, colour) in enumerate(bars):
        rows = frame[frame["architecture"] == name]
        places = np.array([hyperparameters.index(each) for each in rows["hyperparameter"]])
        axes.barh(places + (number + 0.5) * thickness - 0.4, rows["importance"], 0.9 * thickness, color=colour)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(range(len(hyperparameters)), [each.replace("_", " ").capitalize() for each in hyperparameters])
    axes.set_ylim(len(hyperparameters) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xlabel("Importance (share of 1)")
    axes.set_ylabel("Hyperparameter")
    return axes
