"""A model by objective: its codes side by side, its two errors against each other, its scores against the strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.figures.codes import draw_class_legend, draw_points, read_codes, select_trials_with_codes
from analysis.figures.errors import draw_intervals, fits_logarithm, limit_view, scale_logarithmically
from analysis.figures.style import (
    Drawing,
    ModelStyle,
    choose_objective_styles,
    dodge,
    draw_legend,
    escape_label,
    format_log_axis,
    list_keys,
    make_blocks,
    make_heading,
    select_rows,
    use_style,
    wrap_title,
)
from analysis.objectives.runs import (
    FIRST,
    MODEL,
    NO_STRENGTH,
    OF_OBJECTIVES,
    RUN,
    STRENGTHS,
    collect_runs,
    collect_scores,
)
from analysis.results import StudyResults
from analysis.stats.aggregate import estimate_means
from analysis.stats.metrics import (
    INCREASE,
    LINEAR_ERROR,
    SQUARED_ERROR,
    Metric,
    list_metrics,
    select_metric,
    settle_metrics,
)
from analysis.tables.scores import SCORE_TABLES
from analysis.tables.table import Absent
from trainables.training.objectives import RECONSTRUCTION

COLUMNS = 4
_SIZES = dict(zip((NO_STRENGTH, *STRENGTHS), (6.5, 4.0, 6.5, 9.0), strict=True))
"""Of the marker of each strength."""


@use_style
def objective_codes(results: StudyResults) -> Drawing | Absent:
    """Draw the codes of two units of each model that has several objectives, one panel an objective."""
    name, title = "objective_codes", "Codes of two units by objective"
    kept = select_trials_with_codes(results)
    runs = collect_runs(results)
    kept = runs[runs["trial_id"].isin(kept["trial_id"]) & (runs["code_size"] == 2)].sort_values(RUN)
    kept = kept[kept.groupby(MODEL, observed=True)["objective"].transform("nunique") > 1]
    if kept.empty:
        return Absent(name, title, "")
    codes, labels = read_codes(results, kept["trial_id"])
    keys = list_keys(kept, MODEL)
    figure, blocks = make_blocks([len(select_rows(kept, key)) for key in keys], COLUMNS, 2.4, 2.3)
    for key, panels in zip(keys, blocks, strict=True):
        rows = select_rows(kept, key)[["study", "architecture", "trial_id"]].to_dict("records")
        for axes, row in zip(panels, rows, strict=True):
            draw_points(axes, codes[row["trial_id"]], labels[row["trial_id"]])
            axes.set_title(
                wrap_title(make_heading(results, {name: row[name] for name in ("study", "architecture")}), 2.3)
            )
            axes.locator_params(nbins=4)
        for place, axes in enumerate(panels):
            axes.set_xlabel("Code unit 1 (dimensionless)" if place + COLUMNS >= len(panels) else "")
            axes.set_ylabel("Code unit 2 (dimensionless)" if place % COLUMNS == 0 else "")
    draw_class_legend(figure, labels.values())
    return Drawing(
        name,
        title,
        "Codes of the test images by the same model trained by each objective at its middle strength (one confirmed "
        "run, the first seed), coloured by class, which no model has seen; a digit stands at the median of its class. "
        "Look at the scales of the axes and at what is empty between the classes: an objective with a prior is to "
        "gather codes around 0 with a deviation of about 1, without gaps; plain reconstruction asks for no scale; of a "
        "sparse code that keeps one unit every point lies on an axis.",
        figure,
    )


@use_style
def objective_errors(results: StudyResults) -> Drawing | Absent:
    """Draw squared error against the linear classifier's, one panel a model and code size, one colour an objective."""
    name, title = "objective_errors", "Squared error against linear error by objective"
    scores = collect_scores(results)
    first, second = (estimate_means(select_metric(scores, metric), "value", RUN) for metric in _ERRORS)
    points = first.merge(second, on=RUN, suffixes=("_squared", "_linear"))
    points = points[points.groupby(MODEL, observed=True)["objective"].transform("nunique") > 1].sort_values(RUN)
    if points.empty:
        return Absent(name, title, "")
    styles = _choose_styles(results, points)
    keys = list_keys(points, MODEL)
    figure, (panels,) = make_blocks([len(keys)], 2, 4.6, 3.8)
    for axes, key in zip(panels, keys, strict=True):
        draw_objective_errors(axes, select_rows(points, key), styles)
        axes.set_title(_head(results, key))
    draw_legend(figure, styles.values(), _list_size_handles(points))
    return Drawing(
        name,
        title,
        "Mean over seeds on the test images with 95 % t intervals in both directions, cut where they are much longer "
        "than the others; a single seed has none. A line joins the strengths of an objective, its marker grows with "
        "them. Down and to the left of plain reconstruction is better in both; up and to the left a code tells more of "
        "the classes and less of the pixels. "
        + ("With switches a low squared error says little of the code. " if _has_switches(results, keys) else "")
        + "Each panel has its own axes.",
        figure,
    )


_ERRORS = (SQUARED_ERROR, LINEAR_ERROR)


def draw_objective_errors(axes: Axes, points: pd.DataFrame, styles: Mapping[str, ModelStyle]) -> Axes:
    """Draw the rows of one model: value_squared over value_linear with half widths, and return ``axes``."""
    for name, style in styles.items():
        rows = points[points["objective"] == name]
        x, y = (rows[f"value_{part}"].to_numpy(dtype=float) for part in ("linear", "squared"))
        spreads = [
            np.nan_to_num(rows[f"value_half_width_{part}"].to_numpy(dtype=float)) for part in ("linear", "squared")
        ]
        # Pale, so that the points of many objectives are seen among their intervals.
        axes.errorbar(x, y, *spreads[::-1], color=style.colour, linestyle="", elinewidth=0.8, alpha=0.4)
        axes.plot(x, y, color=style.colour, linewidth=0.9)
        for place, one, other in zip(rows["place"], x, y, strict=True):
            mark = {"linestyle": "", "markersize": _SIZES[place], "markeredgecolor": "white", "markeredgewidth": 0.6}
            # The small before the large, and what all are compared with before everything.
            front = 5.0 if name == RECONSTRUCTION else 4.0 - _SIZES[place] / 10
            axes.plot(one, other, **style.line_style() | mark, zorder=front, clip_on=False)  # an error of 0 is seen
    for axis, metric, part in ((axes.xaxis, LINEAR_ERROR, "linear"), (axes.yaxis, SQUARED_ERROR, "squared")):
        values, greatest = points[f"value_{part}"], metric.greatest
        logarithmic = bool((values > 0).all())
        if logarithmic:
            (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
            format_log_axis(axis)
        low, high = axis.get_view_interval()
        axis.set_view_interval(*limit_view((low, high), values, greatest, logarithmic=logarithmic), ignore=True)
    axes.set_xlabel(LINEAR_ERROR.axis_label)
    axes.set_ylabel(SQUARED_ERROR.axis_label)
    return axes


@use_style
def objective_strengths(results: StudyResults) -> Drawing | Absent:
    """Draw every score against the strength of each objective: a block of panels for each model, one curve each."""
    name, title = "objective_strengths", "Scores against the strength of the objective"
    scores = collect_scores(results)
    varied = scores["place"].isin(("weak", "strong")).groupby([scores[column] for column in MODEL], observed=True)
    scores = scores[varied.transform("any")]
    if scores.empty:
        return Absent(name, title, "")
    styles = _choose_styles(results, scores)
    keys, sparse = list_keys(scores, MODEL), "k_sparse" in styles
    metrics = [_list_metrics(select_rows(scores, key)) for key in keys]
    figure, blocks = make_blocks([len(each) for each in metrics], COLUMNS, 2.7, 2.2)
    for key, shown, panels in zip(keys, metrics, blocks, strict=True):
        rows = select_rows(scores, key)
        for axes, metric in zip(panels, shown, strict=True):
            draw_strengths(axes, estimate_means(select_metric(rows, metric), "value", RUN), styles, metric)
            axes.set_xlabel("Strength (its own unit)" if shown.index(metric) + COLUMNS >= len(shown) else "")
            axes.set_title(wrap_title(escape_label(metric.header.removesuffix(" (%)")), 2.3))
        panels[0].annotate(
            _head(results, key),
            (0, 1),
            (-30, 20),
            "axes fraction",
            "offset points",
            weight="bold",
            annotation_clip=False,
        )
    draw_legend(figure, styles.values())
    fixed = {*scores.loc[scores["place"] == NO_STRENGTH, "objective"].astype("str")} - {RECONSTRUCTION}
    also = ", and so an objective without strengths" if fixed else ""
    return Drawing(
        name,
        title,
        "Every score by which tables rank models, or that some objectives have alone, of the test images at the weak, "
        "middle and strong strength of each objective (their values stand in the table by objective): mean over seeds "
        "with the 95 % t interval. Horizontal: plain reconstruction, which has no strength, with its interval as a "
        f"band{also}. A curve that leaves the band shows what the objective does, and the way it goes whether more of "
        "it does more; where all stay inside, it does nothing that these seeds show. Strengths of different objectives "
        "have nothing in common but their order"
        + (
            ": of k-sparse, whose strength is how many units it keeps, the weak end is the sparsest." if sparse else "."
        ),
        figure,
    )


def draw_strengths(axes: Axes, frame: pd.DataFrame, styles: Mapping[str, ModelStyle], metric: Metric) -> Axes:
    """Draw the rows of one model, `RUN` with the estimate ``value``, over their strengths, and return ``axes``."""
    varied = frame[frame["place"] != NO_STRENGTH]
    curves = [name for name in styles if (varied["objective"] == name).any()]
    for offset, name in zip(dodge(len(curves), 0.3), curves, strict=True):
        rows = varied[varied["objective"] == name].sort_values("place")
        places = np.array([STRENGTHS.index(place) for place in rows["place"].astype(str)])
        draw_intervals(axes, places + offset, rows, styles[name].line_style() | {"markersize": 4})
    for row in frame[frame["place"] == NO_STRENGTH].to_dict("records"):
        style = styles[row["objective"]]
        axes.axhline(row["value"], color=style.colour, linestyle=style.line, linewidth=1.0, zorder=1)
        if np.isfinite(row["value_half_width"]):
            axes.axhspan(row["value_low"], row["value_high"], color=style.colour, alpha=0.12, linewidth=0, zorder=0)
    axes.set_xticks(range(len(STRENGTHS)), STRENGTHS)
    axes.set_xlim(-0.4, len(STRENGTHS) - 0.6)
    logarithmic = fits_logarithm(metric, frame["value"])
    if logarithmic:
        scale_logarithmically(axes)
    axes.set_ylim(limit_view(axes.get_ylim(), frame["value"], metric.greatest, logarithmic=logarithmic))
    axes.set_ylabel(f"({metric.shown_unit})")
    return axes


def _list_metrics(scores: pd.DataFrame) -> list[Metric]:
    """Return those of ``scores`` that tables rank, reliance on the code, and what the objectives have alone."""
    ranked = [metric for spec in SCORE_TABLES for metric in settle_metrics(scores, spec.main)]
    own = list_metrics(scores, (OF_OBJECTIVES,), FIRST)
    return [metric for metric in (*ranked, INCREASE, *own) if len(select_metric(scores, metric))]


def _choose_styles(results: StudyResults, frame: pd.DataFrame) -> dict[str, ModelStyle]:
    shown = {*frame["objective"].astype("str")}
    return {name: style for name, style in choose_objective_styles(results).items() if name in shown}


def _head(results: StudyResults, key: Mapping[str, object]) -> str:
    return make_heading(results, {"architecture": key["model"], "code_size": key["code_size"], "study": key["study"]})


def _list_size_handles(points: pd.DataFrame) -> list[Line2D]:
    """Return what the legend shows of the strengths that there are."""
    there = [place for place in STRENGTHS if (points["place"] == place).any()]
    return [
        Line2D([], [], color="#888888", marker="o", linestyle="", markersize=_SIZES[place], label=f"{place} strength")
        for place in there
    ]


def _has_switches(results: StudyResults, keys: Sequence[Mapping[str, object]]) -> bool:
    models = {str(key["model"]) for key in keys}
    return any(not row.through_code for name, row in results.models.items() if name in models)
