"""Pooling crossed with unpooling: what every combination scored, and the effects with their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.figures.style import LEGEND_HEIGHT, Drawing, ModelStyle, dodge, draw_legend, make_grid, use_style
from analysis.results import StudyResults
from analysis.stats.factorial import Factorial, collect_cells, find_factorials
from analysis.stats.intervals import summarise
from analysis.stats.metrics import LINEAR_ERROR, SQUARED_ERROR, Metric
from analysis.tables.ablations import describe_levels, factorial
from analysis.tables.table import Absent

SHOWN = (SQUARED_ERROR, LINEAR_ERROR)
_POOLINGS = {
    "max": ModelStyle("#D55E00", "D", "-", label="max pooling"),
    "average": ModelStyle("#0072B2", "o", "--", label="average pooling"),
    "stride": ModelStyle("#009E73", "^", "-.", label="stride"),
}
_FACTORS = {"pooling": "o", "unpooling": "s", "interaction": "X", "switches": "D"}
"""Markers of effects."""


@use_style
def factorial_effects(results: StudyResults) -> Drawing | Absent:
    """Draw each factorial as two rows of panels, of the cells and of the effects, a column a measure."""
    name, title = "factorial_effects", "Pooling and unpooling crossed"
    table = factorial(results)
    if isinstance(table, Absent):
        return Absent(name, title, table.reason)
    shown = [metric for metric in SHOWN if f"{metric.name}_difference" in table.frame]
    found = [each for each in find_factorials(results) if len(collect_cells(results, each, SQUARED_ERROR))]
    figure, rows = make_grid(2 * len(found), len(shown), 5.0, 3.2, below=LEGEND_HEIGHT)
    for place, each in enumerate(found):
        frame = table.frame
        effects = frame[(frame["study"] == each.study) & (frame["code_size"] == each.code_size)]
        effects = effects[effects["first"] == results.get_label(each.first)]
        for above, below, metric in zip(rows[2 * place], rows[2 * place + 1], shown, strict=True):
            draw_cells(above, collect_cells(results, each, metric), each, metric)
            draw_effects(below, effects, metric, named=below is rows[2 * place + 1][0])
        study = f"{each.study}, " if len(results.studies) > 1 else ""
        same = [(other.study, other.code_size) for other in found].count((each.study, each.code_size))
        shared = f", models as {results.get_label(each.first)}" if same > 1 else ""
        title_of_row = f"{study}Code size {each.code_size}{shared}"
        rows[2 * place][0].set_title(title_of_row.replace("$", r"\$"), loc="left")
    lines = [
        Line2D([], [], color="#333333", marker=marker, linestyle="", label=kind)
        for kind, marker in _FACTORS.items()
        if (table.frame["factor"] == kind).any()
    ]
    draw_legend(figure, [_POOLINGS[pooling] for pooling in found[0].poolings], lines)
    return Drawing(
        name,
        title,
        "Parallel lines above: no interaction; left of 0 below: better. Above: mean over seeds on the test images with "
        " the 95 % t interval of every pooling (lines) with every unpooling. Below: the effects of the table with "
        f"their intervals; filled: differs from 0 at {describe_levels(results)} (Holm-adjusted over the measure), "
        "hollow: not shown to differ, or not tested. Switches stand beside the crossing; their squared error, a number "
        "at the axis, says little of the code.",
        figure,
    )


def draw_cells(axes: Axes, cells: pd.DataFrame, found: Factorial, metric: Metric) -> Axes:
    """Draw what every combination scored, a line a pooling over the unpoolings, and return ``axes``."""
    means = summarise(cells, ["pooling", "unpooling"]).set_index(["pooling", "unpooling"])
    ticks = [*found.unpoolings, *dict.fromkeys(unpooling for _, unpooling in found.beside)]
    for offset, pooling in zip(dodge(len(found.poolings), 0.16), found.poolings, strict=True):
        style = _POOLINGS[pooling]
        for names, linestyle in ((found.unpoolings, style.line), (ticks[len(found.unpoolings) :], "")):
            places = [place for place in map(ticks.index, names) if (pooling, ticks[place]) in means.index]
            rows = means.loc[[(pooling, ticks[place]) for place in places]]
            if metric.past_code and not linestyle:
                for place, value in zip(places, rows["mean"], strict=True):
                    text = f"{value:.{metric.digits}f} †"
                    axes.annotate(text, (place, 0.02), xycoords=("data", "axes fraction"), ha="center", fontsize=8)
                continue
            axes.errorbar(
                np.array(places) + offset,
                rows["mean"],
                yerr=rows["half_width"].fillna(0.0),
                capsize=2.5,
                elinewidth=1,
                **style.line_style() | {"linestyle": linestyle},
            )
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_xlim(-0.4, len(ticks) - 0.6)
    axes.set_xlabel("Unpooling")
    axes.set_ylabel(metric.axis_label)
    return axes


def draw_effects(axes: Axes, effects: pd.DataFrame, metric: Metric, *, named: bool) -> Axes:
    """Draw the effects on a metric, one row each, and return ``axes``; the rows of those that say little stay empty."""
    name = f"{metric.name}_difference"
    rows = effects.to_dict("records")
    for place, row in enumerate(rows):
        if np.isnan(row[name]) or row[f"{name}_mark"] == "unranked":
            continue
        width, filled = row[f"{name}_half_width"], row[f"{name}_mark"] == "significant"
        axes.errorbar(
            row[name],
            place,
            xerr=None if np.isnan(width) else width,
            capsize=2.5,
            elinewidth=1,
            color="#333333",
            marker=_FACTORS[row["factor"]],
            markerfacecolor="#333333" if filled else "white",
        )
    axes.axvline(0, color="#555555", linewidth=0.9, zorder=1)
    axes.grid(visible=False, axis="y")
    labels = [row["effect"] if "(" in row["effect"] else f"{row['factor']}: {row['effect']}" for row in rows]
    axes.set_yticks(range(len(rows)), labels if named else [""] * len(rows), fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(
        f"Difference in {metric.full_label} ({'percentage points' if metric.unit == '%' else metric.shown_unit})"
    )
    return axes
