"""Codes of the test images as points in the plane, coloured by class."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib.patheffects as effects
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from analysis.figures.style import (
    Drawing,
    colour_class,
    fit_columns,
    format_label,
    list_keys,
    make_grid,
    make_heading,
    select_rows,
    spread_code_sizes,
    use_style,
    wrap_title,
)
from analysis.figures.tsne import EMBEDDED_IMAGES, PERPLEXITY, Floats, embed_codes
from analysis.objectives.runs import collect_runs
from analysis.results import StudyResults
from analysis.tables.table import Absent, make_absent
from study.storage.schema import ARMS
from trainables.training.objectives import RECONSTRUCTION

PANEL = 1.45
"""Inches of a panel's side."""
CLASS_ROW = 0.18
"""Inches of a row of the legend of classes."""
SHOWN_EMBEDDINGS = 2
"""Code sizes whose t-SNE is drawn, the smallest and the largest, where there are more."""

_OUTLINE = [effects.withStroke(linewidth=2.0, foreground="white")]


@use_style
def codes_2d(results: StudyResults) -> Drawing | Absent:
    """Draw the codes of code size 2, one panel an arm and model."""
    name, title = "codes_2d", "Codes of two units"
    kept = select_trials_with_codes(results)
    kept = kept[kept["code_size"] == 2]
    # By other objectives they stand side by side in a figure of their own.
    runs = collect_runs(results)
    compared = runs.loc[runs["objective"] != RECONSTRUCTION, "trial_id"]
    kept = kept[~kept["trial_id"].isin(compared)]
    if kept.empty:
        what = "no confirmed run of code size 2 kept its codes"
        return make_absent(results, name, title, what, "search confirm", "--code-sizes 2")
    codes, labels = read_codes(results, kept["trial_id"])
    return _panels(
        results,
        kept,
        codes,
        labels,
        "Code unit 1 (no unit)",
        name,
        title,
        "The farther the colours lie apart, the better two units tell the classes, which no model was shown. Codes of "
        f"the first {EMBEDDED_IMAGES:,} test images at most of one confirmed run per model and arm (the first seed), "
        "unit 1 to the right and unit 2 upward, each panel on its own scale; a digit stands at the median of its "
        "class.",
        rows_by="arm",
    )


@use_style
def codes_tsne(results: StudyResults, cache: Path | None = None) -> Drawing | Absent:
    """Draw the t-SNE of larger codes, one panel a model.

    Args:
        results: of which studies.
        cache: file that keeps the points; see `embedding`.
    """
    name, title = "codes_tsne", "t-SNE of larger codes"
    kept = select_trials_with_codes(results)
    # Of raw pixels the images are kept to be seen, too few for this.
    lossless = [name for name, row in results.models.items() if row.lossless]
    kept = kept[(kept["code_size"] > 2) & (kept["arm"] != "published") & ~kept["architecture"].isin(lossless)]
    sizes, left_out = spread_code_sizes(kept["code_size"], SHOWN_EMBEDDINGS)
    kept = kept[kept["code_size"].isin(sizes)]
    if kept.empty:
        return make_absent(results, name, title, "no confirmed run of the tuned arm with a larger code kept its codes")
    codes, labels = read_codes(results, kept["trial_id"])
    points = embed_codes(codes, cache)
    kept = kept[kept["trial_id"].isin(points)]
    if kept.empty:
        return make_absent(results, name, title, "the kept codes are too few, or not finite")
    return _panels(
        results,
        kept,
        points,
        labels,
        "t-SNE 1 (no unit)",
        name,
        title,
        "The farther the colours lie apart, the better a code keeps the classes; distances between clusters mean "
        f"little. t-SNE (scikit-learn, perplexity {PERPLEXITY:g}, started from principal components) of the codes of "
        f"the first {EMBEDDED_IMAGES:,} test images at most, tuned arm, first seed; a digit stands at the median of "
        f"its class.{left_out}",
        rows_by="code_size",
    )


def select_trials_with_codes(results: StudyResults) -> pd.DataFrame:
    """Return the confirmed trials whose codes are kept, one a study, arm, code size and model, in that order."""
    trials = results.trials[(results.trials["phase"] == "confirm") & (results.trials["status"] == "complete")]
    trials = trials[trials["trial_id"].isin(results.codes["trial_id"].unique())]
    key = ["study", "arm", "code_size", "architecture"]
    return trials.sort_values([*key, "number"]).drop_duplicates(key)


def read_codes(results: StudyResults, trial_ids: pd.Series[str]) -> tuple[dict[str, Floats], dict[str, NDArray[Any]]]:
    """Return by trial the codes ``(images, code_size)`` and the labels ``(images,)``, -1 where there is none."""
    rows = results.codes[results.codes["trial_id"].isin(trial_ids)].sort_values(["trial_id", "image"])
    codes: dict[str, Floats] = {}
    labels: dict[str, NDArray[Any]] = {}
    for trial_id, group in rows.groupby("trial_id", observed=True):
        group = group.head(EMBEDDED_IMAGES)
        codes[str(trial_id)] = np.stack(group["code"].to_list()).astype(np.float32)
        labels[str(trial_id)] = group["label"].fillna(-1).to_numpy(dtype=int)
    return codes, labels


def draw_points(axes: Axes, points: Floats, labels: NDArray[Any]) -> Axes:
    """Draw ``points (images, 2)`` coloured by ``labels (images,)`` and return ``axes``."""
    finite = np.isfinite(points.sum(axis=1))
    labels, points = labels[: len(points)][finite], points[finite]
    classes, places = np.unique(labels, return_inverse=True)
    colours = np.asarray([colour_class(label) for label in classes], dtype=str)[places]
    # A thousand vector circles a panel would make a file of megabytes.
    axes.scatter(points[:, 0], points[:, 1], s=3.5, c=colours, linewidths=0, rasterized=True)
    for label in np.unique(labels[labels >= 0]):
        x, y = np.median(points[labels == label], axis=0)
        axes.text(x, y, str(label), fontsize=9, weight="bold", ha="center", va="center", path_effects=_OUTLINE)
    return axes


def _panels(
    results: StudyResults,
    kept: pd.DataFrame,
    points: dict[str, Floats],
    labels: dict[str, NDArray[Any]],
    across: str,
    name: str,
    title: str,
    caption: str,
    *,
    rows_by: str,
) -> Drawing:
    """Draw a grid: a row for each value of ``rows_by`` (arm or code_size), a column for each model."""
    # Controls have no arm, and stand beside the first.
    arms = kept["arm"].astype("str")
    arms = arms.mask(arms == "control", min(arms, key=ARMS.index))
    kept = kept.assign(arm=pd.Categorical(arms, ARMS, ordered=True))
    lines = list_keys(kept, ["study", rows_by])
    models = list_keys(kept, ["architecture"])
    figure, rows = make_grid(len(lines), len(models), PANEL, PANEL)
    for place, (row, line) in enumerate(zip(rows, lines, strict=True)):
        for axes, model in zip(row, models, strict=True):
            found = select_rows(kept, line | model)["trial_id"].tolist()
            if place == 0:
                axes.set_title(wrap_title(format_label(results, str(model["architecture"])).strip(), PANEL))
            if not found:
                axes.axis("off")
                continue
            axes.set_xlabel(across if place == len(rows) - 1 else "")
            draw_points(axes, points[found[0]][:, :2], labels[found[0]][: len(points[found[0]])])
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(NullLocator())
        row[0].text(
            *(-0.06, 0.5, make_heading(results, line)),
            transform=row[0].transAxes,
            rotation="vertical",
            ha="right",
            va="center",
        )
    shown = draw_class_legend(figure, [labels[trial_id] for trial_id in kept["trial_id"]])
    return Drawing(name, title, caption if shown else f"{caption} These data have no classes.", figure)


def draw_class_legend(figure: Figure, labels: Iterable[NDArray[Any]]) -> list[int]:
    """Put the classes of ``labels``, each ``(images,)``, below the panels, and return them.

    Where they do not fit in one row, the figure becomes higher by the others.
    """
    shown = sorted({int(label) for each in labels for label in each if label >= 0})
    handles = [Line2D([], [], color=colour_class(label), marker="o", linestyle="", label=str(label)) for label in shown]
    if handles:
        columns = fit_columns([str(label) for label in shown], figure.get_figwidth(), 0.365, most=len(shown))
        figure.set_figheight(figure.get_figheight() + CLASS_ROW * ((len(shown) - 1) // columns))
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=columns,
            title="Class",
            handletextpad=0,
            columnspacing=1,
        )
    return shown
