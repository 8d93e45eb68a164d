"""Differences with their intervals: of every model from the paper's best, and of every level of an ablated factor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures.style import (
    Drawing,
    ModelStyle,
    choose_styles,
    dodge,
    draw_legend,
    list_keys,
    make_grid,
    make_heading,
    select_rows,
    spread_code_sizes,
    use_style,
)
from analysis.results import StudyResults
from analysis.stats.aggregate import select_confirmed_scores
from analysis.stats.contrasts import SIGNIFICANCE
from analysis.stats.headline import get_levels
from analysis.stats.metrics import LINEAR_ERROR, SQUARED_ERROR, SUMMARY, Metric, select_metric, settle_metrics
from analysis.stats.ranking import compare_with, select_ranked
from analysis.tables.ablations import ablations, describe_levels
from analysis.tables.headline import (
    BASELINE,
    compare_with_baseline,
    describe_nearest,
    describe_reference,
    describe_sizes,
    list_confidences,
    list_declared_looks,
)
from analysis.tables.table import Absent, make_incomparable

_LINEAR_UP_TO = 20
"""How many times the median difference the largest may be before the axis is compressed."""


@use_style
def model_differences(results: StudyResults) -> Drawing | Absent:
    """Draw how far every ranked model is from the paper's best.

    On top by the contrast of the report's first sentence, below a row of panels a code size, a column a metric.
    """
    name, title = f"difference_from_{BASELINE}", "Difference from model 4, the paper's best"
    if not (results.trials["architecture"] == BASELINE).any():
        return Absent(name, title, "")
    scores = select_confirmed_scores(results)
    metrics = settle_metrics(scores, SUMMARY)
    rows = select_ranked(results, scores[(scores["arm"] == "tuned") & (scores["direction"] != "none")])
    levels = get_levels(results)
    frame = compare_with(rows, BASELINE, levels)
    parts = {metric: select_metric(frame, metric) for metric in metrics}
    shown = {metric: part for metric, part in parts.items() if part["half_width"].notna().any()}
    if not shown:
        what = "no other model has 3 confirmed runs at a code size where model 4 has them"
        return make_incomparable(results, name, title, what)
    everything = pd.concat(shown.values())
    keys = list_keys(everything, ["study", "arm", "code_size"])
    sizes, left_out = spread_code_sizes(everything["code_size"])
    keys = [key for key in keys if key["code_size"] in sizes]
    models = [str(model) for model in results.models if (everything["architecture"] == model).any()]
    order = pd.Categorical(models, models, ordered=True)
    styles = choose_styles(results, pd.DataFrame({"architecture": order}))
    height = 0.2 * len(models) + 0.33
    contrasts = compare_with_baseline(results)
    studies = [study.name for study in results.studies if (contrasts["study"] == study.name).any()]
    figure, panels = make_grid(len(studies) + len(keys), len(shown), 2.5, height, below=0.6, sharey="all")
    captions = []
    for row, study in zip(panels, studies, strict=False):
        own = contrasts[contrasts["study"] == study]
        axes = _span_row(figure, row)
        half_widths = own.rename(columns={"difference_half_width": "half_width"})
        draw_model_differences(axes, half_widths, styles, SQUARED_ERROR)
        contrast = f"squared error in % of {describe_reference(results)}, {describe_sizes(own['code_sizes'].iloc[0])}"
        axes.set_title(f"{contrast[0].upper()}{contrast[1:]}")
        axes.set_xlabel("Worse → (% of PCA's error)")
        axes.set_ylabel(make_heading(results, {"study": study}) or "The answer")
        where = f"{study}, " if len(studies) > 1 else ""
        captions.append(f"{where}{contrast}: {describe_nearest(results, study)}")
    for row, key in zip(panels[len(studies) :], keys, strict=True):
        for axes, (metric, part) in zip(row, shown.items(), strict=True):
            draw_model_differences(axes, select_rows(part, key), styles, metric)
            axes.set_title(metric.header if row is panels[len(studies)] else "")
            unit = "percentage points" if metric.unit == "%" else metric.shown_unit
            axes.set_xlabel(f"Worse → ({unit})" if row is panels[-1] else "")
        key.pop("arm")
        row[0].set_ylabel(make_heading(results, key))
    looks = "".join(f" {told}" for told in list_declared_looks(results))
    confidences = list_confidences(levels.get((key["study"], "tuned"), SIGNIFICANCE) for key in keys)
    above = f"On top the answer's contrast with its intervals: {'; '.join(captions)}. " if captions else ""
    return Drawing(
        name,
        title,
        f"Means minus model 4's, over seeds on the test images, tuned arm: right of 0 model 4 is better. {above}"
        f"By code size and metric the intervals of a panel hold together with {confidences} % (Welch's, "
        "Bonferroni-adjusted), so they are wider than a table's, and one that leaves out 0 is no luck. Model 3 has no "
        "squared error here: switches carry the image past its code, so it looks perfect and is not."
        f"{looks}{left_out}",
        figure,
    )


def _span_row(figure: Figure, row: Sequence[Axes]) -> Axes:
    """Put one panel in the place of a row of them, with the models of all others, and return it."""
    places = row[0].get_subplotspec()
    assert places is not None
    grid = places.get_gridspec()
    for axes in row:
        axes.remove()
    return figure.add_subplot(grid[places.rowspan.start, :])


def draw_model_differences(axes: Axes, frame: pd.DataFrame, styles: Mapping[str, ModelStyle], metric: Metric) -> Axes:
    """Draw one row of `compare_with` a model, a row each from the top, worse to the right, and return ``axes``."""
    for place, (name, style) in enumerate(styles.items()):
        for row in frame[frame["architecture"] == name].to_dict("records"):
            width = row["half_width"]
            axes.errorbar(
                row["difference"],
                place,
                xerr=None if np.isnan(width) else width,
                capsize=2.5,
                elinewidth=1.2,
                **style.line_style() | {"linestyle": ""},
            )
    axes.axvline(0, color="#555555", linewidth=0.9, zorder=1)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(range(len(styles)), [style.label for style in styles.values()])
    axes.set_ylim(len(styles) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    if metric.direction == "higher":
        axes.invert_xaxis()
    return axes


@use_style
def ablation_differences(results: StudyResults) -> Drawing | Absent:
    """Draw every level of every factor: a block of rows for each code size and arm, a column for each measure."""
    name, title = "ablation_differences", "Ablation differences"
    table = ablations(results)
    if isinstance(table, Absent):
        return Absent(name, title, table.reason)
    frame = table.frame
    columns = {f"{metric.name}_difference": metric for metric in (SQUARED_ERROR, LINEAR_ERROR)}
    shown = {column: metric for column, metric in columns.items() if column in frame and frame[column].notna().any()}
    if not shown:
        return Absent(name, title, "no ablated run has a confirmed run of the same seed to be compared with")
    frame = frame[frame[[*shown]].notna().any(axis=1)]
    blocks = list_keys(frame, ["study", "code_size", "arm"])
    counts = [len(_list_levels(select_rows(frame, key))) for key in blocks]
    styles = choose_styles(results, frame)
    height = sum(0.26 * count + 0.75 for count in counts) + 0.6
    figure = Figure(figsize=(4.3 * len(shown) + 0.8, height), layout="constrained")
    panels = figure.subplots(len(blocks), len(shown), squeeze=False, sharey="row", height_ratios=counts)
    for row, key in zip(panels, blocks, strict=True):
        for axes, (column, metric) in zip(row, shown.items(), strict=True):
            draw_differences(axes, select_rows(frame, key), column, styles)
            unit = "percentage points" if metric.unit == "%" else metric.shown_unit
            axes.set_xlabel(f"Difference in {metric.full_label} ({unit})")
        row[0].set_title(make_heading(results, key), loc="left")
    draw_legend(figure, styles.values())
    return Drawing(
        name,
        title,
        "One factor changed from the confirmed configuration: scores on the test images minus those of the confirmed "
        "runs: mean with the 95 % interval, which a single seed does not have. Left of 0 is better. "
        f"Filled: differs from 0 at {describe_levels(results)} (test of the table, Holm-adjusted over the measure); "
        "hollow: not shown to differ, or not tested. Squared errors with switches are not compared with those without, "
        "and left out. "
        f"An axis whose largest difference is more than {_LINEAR_UP_TO} times the median is compressed away from 0.",
        figure,
    )


def draw_differences(axes: Axes, frame: pd.DataFrame, column: str, styles: Mapping[str, ModelStyle]) -> Axes:
    """Draw ``column`` of ``frame``, as `ablations` gives it, one row a factor and level, and return ``axes``."""
    levels = _list_levels(frame)
    names = [name for name in styles if (frame["architecture"] == name).any()]
    for offset, name in zip(dodge(len(names), 0.5), names, strict=True):
        style = styles[name]
        drawn = frame[column].notna() & (frame[f"{column}_mark"] != "unranked")
        rows = frame[(frame["architecture"] == name) & drawn]
        places = [levels.index((factor, level)) for factor, level in zip(rows["factor"], rows["level"], strict=True)]
        for place, row in zip(places, rows.to_dict("records"), strict=True):
            half_width = row[f"{column}_half_width"]
            filled = row[f"{column}_mark"] == "significant"
            axes.errorbar(
                row[column],
                place + offset,
                xerr=None if np.isnan(half_width) else half_width,
                capsize=2.5,
                elinewidth=1,
                **style.line_style() | {"linestyle": "", "markerfacecolor": style.colour if filled else "white"},
            )
    axes.axvline(0, color="#555555", linewidth=0.9, zorder=1)
    for place in range(1, len(levels)):
        if levels[place][0] != levels[place - 1][0]:
            axes.axhline(place - 0.5, color="#bbbbbb", linewidth=0.6)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(range(len(levels)), [_format_level(factor, level) for factor, level in levels])
    axes.set_ylim(len(levels) - 0.5, -0.5)
    sizes = frame.loc[frame[f"{column}_mark"] != "unranked", column].abs().dropna()
    if len(sizes) and sizes.max() > _LINEAR_UP_TO * max(sizes.median(), 1e-9):
        # A power of ten, below which the axis has no tick but 0: they would lie upon each other.
        axes.set_xscale("symlog", linthresh=10.0 ** math.ceil(math.log10(max(2 * sizes.median(), 1e-6))))
        axes.xaxis.set_major_formatter("{x:g}")
    return axes


def _list_levels(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the factors and levels of ``frame`` in the order of its rows, which is that of the table."""
    pairs = frame[["factor", "level"]].drop_duplicates()
    first = {factor: place for place, factor in reversed(list(enumerate(pairs["factor"])))}
    return sorted(pairs.itertuples(index=False, name=None), key=lambda pair: first[pair[0]])


def _format_level(factor: str, level: str) -> str:
    return f"{factor.replace('_', ' ')}: {level.replace('_', ' ')}".replace("$", r"\$")
