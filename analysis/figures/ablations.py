"""Ablations: what each level of a factor changes, with its interval around the paired difference."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import (
    Drawing,
    ModelStyle,
    choose_styles,
    dodge,
    draw_legend,
    list_keys,
    make_heading,
    select_rows,
    use_style,
)
from analysis.results import StudyResults
from analysis.stats.metrics import LINEAR_ERROR, SQUARED_ERROR
from analysis.tables.ablations import ablations
from analysis.tables.table import Absent

_LINEAR_UP_TO = 20
"""How many times the median difference the largest may be before the axis is compressed."""


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
            unit = "percentage points" if metric.unit == "%" else metric.unit
            axes.set_xlabel(f"Difference in {metric.full_label} ({unit})")
        row[0].set_title(make_heading(results, key), loc="left")
    draw_legend(figure, styles.values())
    return Drawing(
        name,
        title,
        "One factor changed from the confirmed configuration: scores on the test images minus those of the confirmed "
        "runs: mean with the 95 % interval, which a single seed does not have. Left of 0 is better. "
        "Filled: differs from 0 at 5 % (test of the table, Holm-adjusted over the measure); squared errors with and "
        "without switches are not compared. "
        f"An axis whose largest difference is more than {_LINEAR_UP_TO} times the median is compressed away from 0.",
        figure,
    )


def draw_differences(axes: Axes, frame: pd.DataFrame, column: str, styles: Mapping[str, ModelStyle]) -> Axes:
    """Draw ``column`` of ``frame``, as `ablations` gives it, one row a factor and level, and return ``axes``."""
    levels = _list_levels(frame)
    names = [name for name in styles if (frame["architecture"] == name).any()]
    for offset, name in zip(dodge(len(names), 0.5), names, strict=True):
        style = styles[name]
        rows = frame[(frame["architecture"] == name) & frame[column].notna()]
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
    sizes = frame[column].abs().dropna()
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
