"""Error against what is paid for it: the size of the code, and the time of the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from analysis.figures.style import (
    Drawing,
    ModelStyle,
    choose_styles,
    dodge,
    draw_legend,
    format_log_axis,
    list_controls,
    list_keys,
    make_grid,
    make_heading,
    scale_code_sizes,
    select_rows,
    use_style,
)
from analysis.results import StudyResults
from analysis.stats.aggregate import estimate_means, select_confirmed_scores
from analysis.stats.metrics import (
    K_MEANS_ACCURACY,
    LINEAR_ERROR,
    SQUARED_ERROR,
    Metric,
    is_past_code,
    select_metric,
    settle_metrics,
)
from analysis.tables.costs import cost
from analysis.tables.table import Absent, make_absent

SHOWN = (SQUARED_ERROR, LINEAR_ERROR, K_MEANS_ACCURACY)
_APART = 0.6
"""Height of a row of models with switches, beside that of others."""
_IN_SIGHT = (0.4, 2.5)
"""What a logarithmic axis shows at least: so many times the lowest mean and the highest; longer intervals are cut."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of panels: means of a metric, of models with ``switches`` alone or without them."""

    metric: Metric
    frame: pd.DataFrame
    logarithmic: bool
    switches: bool


@use_style
def error_by_code_size(results: StudyResults) -> Drawing | Absent:
    """Draw what confirmed runs scored against their code size, one panel a measure and arm."""
    name, title = "error_by_code_size", "Error against code size"
    scores = select_confirmed_scores(results)
    shown: list[_Row] = []
    for metric in settle_metrics(scores, SHOWN):
        rows_of_metric = select_metric(scores, metric)
        means = estimate_means(rows_of_metric, "value")
        apart = means["architecture"].isin(rows_of_metric.loc[is_past_code(rows_of_metric), "architecture"])
        for frame, switches in ((means[~apart], False), (means[apart], True)):
            logarithmic = fits_logarithm(metric, frame.loc[frame["arm"] != "control", "value"])
            # Raw pixels reconstruct themselves, and 0 has no place on a logarithmic axis.
            frame = frame[(frame["value"] > 0) | (not logarithmic)]
            if (frame["arm"] != "control").any():
                shown.append(_Row(metric, frame, logarithmic, switches))
    if not shown:
        return make_absent(results, name, title, "no confirmed run has scores")
    everything = pd.concat(each.frame for each in shown)
    models = everything[everything["arm"] != "control"]
    panels = list_keys(models, ["study", "arm"])
    sizes = sorted(models["code_size"].unique())
    styles = choose_styles(results, everything)
    heights = [_APART if each.switches else 1.0 for each in shown]
    height = 2.7 * sum(heights) / len(heights)
    figure, rows = make_grid(len(shown), len(panels), 4.2, height, sharex="all", sharey="row", height_ratios=heights)
    for row, each in zip(rows, shown, strict=True):
        metric, logarithmic = each.metric, each.logarithmic
        for axes, key in zip(row, panels, strict=True):
            draw_error_by_code_size(
                axes, select_panel_rows(results, each.frame, key), styles, metric, sizes, logarithmic=logarithmic
            )
            axes.set_title(make_heading(results, key) if row is rows[0] else "")
            if each.switches:
                axes.set_ylabel(f"With switches ({metric.shown_unit})")
            axes.label_outer()
        row[0].set_ylim(limit_view(row[0].get_ylim(), each.frame["value"], metric.greatest, logarithmic=logarithmic))
    single = len(sizes) == 1
    # Side by side the models are named below the axis.
    draw_legend(figure, [style for style in styles.values() if style.control or not single])
    of_pca = select_metric(scores[scores["architecture"] == "pca"], SQUARED_ERROR)
    place = (
        "With one code size the models stand side by side"
        if single
        else "Points are moved aside a little so that intervals do not hide each other"
    )
    return Drawing(
        name,
        title,
        "Down is better in rows of errors, up in those of accuracy. Models with switches stand apart: these carry the "
        "image past the code, so their squared error looks perfect; what their code is worth, the other rows "
        "say. Means over seeds on the test images with 95 % t intervals, of which those that are much longer than the "
        f"others are cut; one column per arm. {place}. Hollow: controls, the same in every column (the classic "
        "auto-encoder, which is outside the parameter budget, PCA, raw pixels). Squared error is summed over an image"
        f"{'; that of PCA is of its images as they are, not clipped to [0, 1]' if len(of_pca) else ''}.",
        figure,
    )


def select_panel_rows(results: StudyResults, frame: pd.DataFrame, key: Mapping[str, object]) -> pd.DataFrame:
    """Return the rows of the panel ``key`` (study, arm), and the controls of its study, which have no such arm."""
    same_study = frame["study"] == key["study"]
    return frame[same_study & ((frame["arm"] == key["arm"]) | frame["architecture"].isin(list_controls(results)))]


def draw_error_by_code_size(
    axes: Axes,
    frame: pd.DataFrame,
    styles: Mapping[str, ModelStyle],
    metric: Metric,
    sizes: Sequence[int],
    *,
    logarithmic: bool,
) -> Axes:
    """Draw ``frame`` (architecture, code_size, value, value_half_width) and return ``axes``.

    Models are lines with intervals over the code ``sizes``. With a single size they stand side by side instead.
    """
    models = [name for name, style in styles.items() if not style.control]
    several = len(sizes) > 1
    if several:
        span = 0.35 * min(np.diff(np.log2(sizes)))
        offsets = dict(zip(models, dodge(len(models), float(span)), strict=True))
        scale_code_sizes(axes, sizes)
    else:
        offsets = {name: float(place) for place, name in enumerate(models)}
        axes.set_xticks(range(len(models)), [styles[name].label for name in models], rotation=30, ha="right")
        axes.set_xlabel(f"Model, at code size {sizes[0]} (units)")
        axes.set_xlim(-0.6, len(models) - 0.4)
    for name, style in styles.items():
        rows = frame[frame["architecture"] == name].sort_values("code_size")
        if rows.empty:
            continue
        own_sizes = rows["code_size"].isin(sizes)
        if name not in models and not (several and own_sizes.any()):
            # A control without a code size, as raw pixels, or beside a single one: it holds for the whole panel.
            for value in rows.loc[own_sizes | (len(rows) == 1), "value"]:
                axes.axhline(value, color=style.colour, linestyle=style.line, zorder=1)
        elif several:
            place = rows["code_size"] * 2 ** offsets.get(name, 0.0)
            draw_intervals(axes, place, rows, style.line_style())
        else:
            draw_intervals(axes, [offsets[name]] * len(rows), rows, style.line_style() | {"linestyle": ""})
    axes.set_ylabel(metric.axis_label)
    if logarithmic:
        scale_logarithmically(axes)
    return axes


def draw_intervals(axes: Axes, place: ArrayLike, rows: pd.DataFrame, style: Mapping[str, Any]) -> None:
    """Draw the means of ``rows`` at x ``place``, each with its interval where it has one."""
    spread = np.nan_to_num(rows["value_half_width"].to_numpy(dtype=float))
    axes.errorbar(place, rows["value"], yerr=spread, capsize=2.5, elinewidth=1, **style)


@use_style
def error_by_cost(results: StudyResults) -> Drawing | Absent:
    """Draw what confirmed runs scored against their device seconds, one panel a measure and arm."""
    name, title = "error_by_cost", "Error against cost"
    table = cost(results)
    if isinstance(table, Absent):
        return Absent(name, title, table.reason)
    frame = table.frame
    frame = frame[frame["device_seconds"] > 0]
    shown = [metric for metric in (SQUARED_ERROR, LINEAR_ERROR) if frame[metric.name].notna().any()]
    if frame.empty or not shown:
        return make_absent(results, name, title, "no confirmed run has both device seconds and scores")
    panels = list_keys(frame, ["study", "arm"])
    styles = choose_styles(results, frame)
    figure, rows = make_grid(len(shown), len(panels), 4.2, 2.9, sharex="all", sharey="row")
    for row, metric in zip(rows, shown, strict=True):
        values = frame[metric.name]
        logarithmic = fits_logarithm(metric, values.dropna())
        for axes, key in zip(row, panels, strict=True):
            draw_error_by_cost(axes, select_rows(frame, key), styles, metric, logarithmic=logarithmic)
            axes.set_title(make_heading(results, key) if row is rows[0] else "")
            axes.label_outer()
        row[0].set_ylim(limit_view(row[0].get_ylim(), values, metric.greatest, logarithmic=logarithmic))
    rows[0][0].set_xlim(limit_view(rows[0][0].get_xlim(), frame["device_seconds"]))
    points = scale_points(frame["code_size"])
    grey: dict[str, Any] = {"linestyle": "", "color": "#555555", "marker": "o"}
    codes = [Line2D([], [], label=f"Code size {size}", markersize=side, **grey) for size, side in points.items()]
    draw_legend(figure, styles.values(), codes if len(codes) > 1 else ())
    return Drawing(
        name,
        title,
        "Down and to the left is better; the larger the symbol, the larger the code, and the codes of a model are "
        "joined. A low squared error of a model with switches is no good code: see the row below. Hollow: a control. "
        "Means over seeds with 95 % t intervals in both directions, of which those that are much longer than the "
        "others are cut. Device seconds are wall time multiplied by the GPUs or cores held. "
        + " ".join(table.footnotes),
        figure,
    )


def scale_points(code_sizes: pd.Series[int]) -> dict[int, float]:
    """Return the side of a symbol, in points, by code size: the larger the code, the larger the symbol."""
    sizes = sorted({int(size) for size in code_sizes})
    return dict(zip(sizes, np.linspace(4.0, 9.0, len(sizes)) if len(sizes) > 1 else [6.0], strict=True))


def draw_error_by_cost(
    axes: Axes, frame: pd.DataFrame, styles: Mapping[str, ModelStyle], metric: Metric, *, logarithmic: bool
) -> Axes:
    """Draw one point a cell of ``frame``, as `cost` gives it, and return ``axes``."""
    column = metric.name
    points = scale_points(frame["code_size"])
    for name, style in styles.items():
        rows = frame[(frame["architecture"] == name) & frame[column].notna()].sort_values("code_size")
        if rows.empty:
            continue
        x, y = rows["device_seconds"], rows[column]
        spreads = [np.nan_to_num(rows[f"{part}_half_width"].to_numpy(dtype=float)) for part in (x.name, column)]
        line: dict[str, Any] = {"color": style.colour, "linestyle": style.line, "linewidth": 0.8}
        axes.errorbar(x, y, xerr=spreads[0], yerr=spreads[1], elinewidth=0.5, **line)
        areas = [points[int(size)] ** 2 for size in rows["code_size"]]
        face = style.colour if style.filled else "white"
        axes.scatter(x, y, areas, marker=style.marker, facecolors=face, edgecolors=style.colour, zorder=3)
    axes.set_xscale("log")
    format_log_axis(axes.xaxis)
    axes.set_xlabel("Device seconds of a run (s)")
    axes.set_ylabel(metric.axis_label)
    if logarithmic:
        scale_logarithmically(axes)
    return axes


def fits_logarithm(metric: Metric, values: pd.Series[float]) -> bool:
    """Whether ``metric``, an error, goes on a logarithmic axis: all ``values`` of the models have a place there."""
    return metric.direction == "lower" and bool((values > 0).all())


def limit_view(
    view: tuple[float, float], values: pd.Series[float], greatest: float = float("inf"), *, logarithmic: bool = True
) -> tuple[float, float]:
    """Return ``view`` without what cannot be, and without what intervals many times as wide as ``values`` add."""
    low, high = view
    if logarithmic:
        return max(low, _IN_SIGHT[0] * values.min()), min(high, _IN_SIGHT[1] * values.max(), 1.05 * greatest)
    margin = 0.02 * values.max()
    return max(low, -margin), min(high, greatest + margin)


def scale_logarithmically(axes: Axes) -> None:
    """Give y a logarithmic axis whose ticks are plain numbers."""
    axes.set_yscale("log")
    format_log_axis(axes.yaxis, sparse_from=500)
