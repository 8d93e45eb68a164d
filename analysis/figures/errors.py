"""Error against what is paid for it: the size of the code, and the time of the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from analysis.figures.plots import (
    Plot,
    dodge,
    draw_legend,
    format_log_axis,
    list_keys,
    make_grid,
    make_heading,
    scale_code_sizes,
    select_rows,
    sort_names,
    use_style,
)
from analysis.figures.style import ModelStyle, choose_styles, is_control, shown_label
from analysis.provenance import absent
from analysis.results import StudyResults
from analysis.stats.aggregate import Measure, estimate_means, select, select_confirmed_scores
from analysis.tables.costs import cost
from analysis.tables.table import Absent


@dataclass(frozen=True, slots=True)
class Axis:
    """A measure as an axis: its label with unit, its greatest possible value, and whether it is logarithmic."""

    measure: Measure
    label: str
    greatest: float = float("inf")
    logarithmic: bool = True

    def fitting(self, values: pd.Series[float]) -> Axis:
        """Return this axis, linear where one of the models' ``values`` has no place on a logarithmic one."""
        return dataclasses.replace(self, logarithmic=self.logarithmic and bool((values > 0).all()))

    def limits(self, view: tuple[float, float], values: pd.Series[float]) -> tuple[float, float]:
        """Return ``view`` without what cannot be, and without what intervals many times as wide as ``values`` add."""
        low, high = view
        if self.logarithmic:
            return max(low, _IN_SIGHT[0] * values.min()), min(high, _IN_SIGHT[1] * values.max(), 1.05 * self.greatest)
        margin = 0.02 * values.max()
        return max(low, -margin), min(high, self.greatest + margin)


SQUARED_ERROR = Axis(Measure("reconstruction", "squared_error", "1/image", "lower"), "Squared error (1/image)")
LINEAR_ERROR = Axis(Measure("linear_classifier", "error", "%", "lower"), "Linear classifier error (%)", 100)
K_MEANS_ACCURACY = Axis(Measure("k_means", "accuracy", "", "higher"), "k-means accuracy (0 to 1)", 1, logarithmic=False)
AXES = (SQUARED_ERROR, LINEAR_ERROR, K_MEANS_ACCURACY)

_SECONDS = Axis(Measure("", "device_seconds", "s", "lower"), "Device seconds of a run (s)")
_IN_SIGHT = (0.4, 2.5)
"""What a logarithmic axis shows at least: so many times the lowest mean and the highest; longer intervals are cut."""


@use_style
def error_by_code_size(results: StudyResults) -> Plot | Absent:
    """Draw what confirmed runs scored against their code size, one panel a measure and arm."""
    name, title = "error_by_code_size", "Error against code size"
    scores = select_confirmed_scores(results)
    shown: dict[Axis, pd.DataFrame] = {}
    for axis in AXES:
        frame = estimate_means(select(scores, axis.measure), "value")
        fitting = axis.fitting(frame.loc[frame["arm"] != "control", "value"])
        # Raw pixels reconstruct themselves, and 0 has no place on a logarithmic axis.
        frame = frame[(frame["value"] > 0) | (not fitting.logarithmic)]
        if (frame["arm"] != "control").any():
            shown[fitting] = frame
    if not shown:
        return absent(results, name, title, "no confirmed run has scores")
    everything = pd.concat(shown.values())
    models = everything[everything["arm"] != "control"]
    panels = list_keys(models, ["study", "arm"])
    sizes = sorted(models["code_size"].unique())
    styles = choose_styles(sort_names(everything))
    figure, rows = make_grid(len(shown), len(panels), 4.2, 2.7, sharex="all", sharey="row")
    for row, (axis, frame) in zip(rows, shown.items(), strict=True):
        for axes, key in zip(row, panels, strict=True):
            draw_error_by_code_size(axes, select_panel_rows(frame, key), styles, axis, sizes)
            axes.set_title(make_heading(key, several_studies=len(results.studies) > 1) if row is rows[0] else "")
            axes.label_outer()
        row[0].set_ylim(axis.limits(row[0].get_ylim(), frame["value"]))
    single = len(sizes) == 1
    # Side by side the models are named below the axis.
    draw_legend(figure, {name: look for name, look in styles.items() if is_control(name) or not single})
    place = (
        "With one code size the models stand side by side"
        if single
        else "Points are moved aside a little so that intervals do not hide each other"
    )
    return Plot(
        name,
        title,
        "Mean over seeds on the test images with the 95 % t interval, by architecture; one column an arm. An interval "
        "that is much longer than the others, or leaves what can be, is cut. "
        f"{place}. Lines without filled markers are controls and the same in every column: the classic auto-encoder, "
        "which is outside the parameter budget, PCA and raw pixels. Squared error is summed over the pixels of an "
        "image. Not every lower squared error is a better code: switches carry the image past it.",
        figure,
    )


def select_panel_rows(frame: pd.DataFrame, key: Mapping[str, object]) -> pd.DataFrame:
    """Return the rows of the panel ``key`` (study, arm), and the controls of its study, which have no such arm."""
    same_study = frame["study"] == key["study"]
    return frame[same_study & ((frame["arm"] == key["arm"]) | frame["architecture"].map(is_control).astype(bool))]


def draw_error_by_code_size(
    axes: Axes, frame: pd.DataFrame, styles: Mapping[str, ModelStyle], axis: Axis, sizes: Sequence[int]
) -> Axes:
    """Draw ``frame`` (architecture, code_size, value, value_half_width) and return ``axes``.

    Models are lines with intervals over the code ``sizes``. With a single size they stand side by side instead.
    """
    models = [name for name in styles if not is_control(name)]
    several = len(sizes) > 1
    if several:
        span = 0.35 * min(np.diff(np.log2(sizes)))
        offsets = dict(zip(models, dodge(len(models), float(span)), strict=True))
        scale_code_sizes(axes, sizes)
    else:
        offsets = {name: float(place) for place, name in enumerate(models)}
        axes.set_xticks(range(len(models)), [shown_label(name) for name in models], rotation=30, ha="right")
        axes.set_xlabel(f"Model, at code size {sizes[0]} (units)")
        axes.set_xlim(-0.6, len(models) - 0.4)
    for name, look in styles.items():
        rows = frame[frame["architecture"] == name].sort_values("code_size")
        own_sizes = rows["code_size"].isin(sizes)
        if name not in models and not (several and own_sizes.any()):
            # A control without a code size, as raw pixels, or beside a single one: it holds for the whole panel.
            for value in rows.loc[own_sizes | (len(rows) == 1), "value"]:
                axes.axhline(value, color=look.colour, linestyle=look.line, zorder=1)
        elif several:
            place = rows["code_size"] * 2 ** offsets.get(name, 0.0)
            draw_intervals(axes, place, rows, look.line_style())
        else:
            draw_intervals(axes, [offsets[name]] * len(rows), rows, look.line_style() | {"linestyle": ""})
    axes.set_ylabel(axis.label)
    if axis.logarithmic:
        _logarithmic_y(axes)
    return axes


def draw_intervals(axes: Axes, place: ArrayLike, rows: pd.DataFrame, style: Mapping[str, Any]) -> None:
    """Draw the means of ``rows`` at x ``place``, each with its interval where it has one."""
    spread = np.nan_to_num(rows["value_half_width"].to_numpy(dtype=float))
    axes.errorbar(place, rows["value"], yerr=spread, capsize=2.5, elinewidth=1, **style)


@use_style
def error_by_cost(results: StudyResults) -> Plot | Absent:
    """Draw what confirmed runs scored against their device seconds, one panel a measure and arm."""
    name, title = "error_by_cost", "Error against cost"
    table = cost(results)
    if isinstance(table, Absent):
        return Absent(name, title, table.reason)
    frame = table.frame
    frame = frame[frame["device_seconds"] > 0]
    shown = [axis for axis in (SQUARED_ERROR, LINEAR_ERROR) if frame[axis.measure.name].notna().any()]
    if frame.empty or not shown:
        return absent(results, name, title, "no confirmed run has both device seconds and scores")
    panels = list_keys(frame, ["study", "arm"])
    styles = choose_styles(sort_names(frame))
    figure, rows = make_grid(len(shown), len(panels), 4.2, 2.9, sharex="all", sharey="row")
    for row, axis in zip(rows, (axis.fitting(frame[axis.measure.name].dropna()) for axis in shown), strict=True):
        for axes, key in zip(row, panels, strict=True):
            draw_error_by_cost(axes, select_rows(frame, key), styles, axis)
            axes.set_title(make_heading(key, several_studies=len(results.studies) > 1) if row is rows[0] else "")
            axes.label_outer()
        row[0].set_ylim(axis.limits(row[0].get_ylim(), frame[axis.measure.name]))
    rows[0][0].set_xlim(_SECONDS.limits(rows[0][0].get_xlim(), frame["device_seconds"]))
    draw_legend(figure, styles)
    return Plot(
        name,
        title,
        "Mean over seeds with 95 % t intervals in both directions; the number beside a point is its code size. "
        "Device seconds are wall time multiplied by the GPUs or cores held. Down and to the left is better. An "
        "interval that is much longer than the others, or leaves what can be, is cut. " + " ".join(table.footnotes),
        figure,
    )


def draw_error_by_cost(axes: Axes, frame: pd.DataFrame, styles: Mapping[str, ModelStyle], axis: Axis) -> Axes:
    """Draw one point a cell of ``frame``, as `cost` gives it, and return ``axes``."""
    column = axis.measure.name
    several = len(frame["code_size"].unique()) > 1
    for name, look in styles.items():
        rows = frame[(frame["architecture"] == name) & frame[column].notna()].sort_values("code_size")
        if rows.empty:
            continue
        spreads = [
            np.nan_to_num(rows[f"{part}_half_width"].to_numpy(dtype=float)) for part in ("device_seconds", column)
        ]
        style = look.line_style() | {"linestyle": ""}
        axes.errorbar(rows["device_seconds"], rows[column], xerr=spreads[0], yerr=spreads[1], elinewidth=0.8, **style)
        for size, x, y in zip(rows["code_size"], rows["device_seconds"], rows[column], strict=True):
            if several:
                axes.annotate(f"{size}", (x, y), (4, 4), textcoords="offset points", fontsize=7, color=look.colour)
    axes.set_xscale("log")
    format_log_axis(axes.xaxis)
    axes.set_xlabel(_SECONDS.label)
    axes.set_ylabel(axis.label)
    if axis.logarithmic:
        _logarithmic_y(axes)
    return axes


def _logarithmic_y(axes: Axes) -> None:
    axes.set_yscale("log")
    format_log_axis(axes.yaxis, sparse_from=500)
