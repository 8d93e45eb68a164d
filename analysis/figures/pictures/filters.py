"""The filters of each model's first and last layer."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from analysis.figures.pictures.tiles import (
    Images,
    explain_absence,
    fill_pictures,
    name_code_size,
    read_pictures,
    select_models,
    strip_axes,
    tile_pictures,
)
from analysis.figures.style import Drawing, make_grid, make_heading, use_style
from analysis.results import StudyResults
from analysis.tables.table import Absent

COLUMNS, ROWS = 16, 2
"""Places for filters in a panel."""


@use_style
def learned_filters(results: StudyResults) -> Drawing | Absent:
    """Draw a row for each model, with the filters of its first layer on the left and of its last on the right."""
    name, title = "learned_filters", "Learned filters"
    models = select_models(results, "filter")
    if models.empty:
        return explain_absence(results, name, title)
    columns, code_size = name_code_size(models)
    figure, rows = make_grid(len(models), 2, 4.75, 0.87, below=0)
    for panels, model in zip(rows, models.to_dict("records"), strict=True):
        filters = read_pictures(results, model["trial_id"], "filter")
        for axes, place, layer in zip(panels, ("First", "Last"), filters, strict=True):
            draw_filters(axes, filters[layer])
            count, side, _ = filters[layer].shape
            axes.set_title(f"{place} layer: {layer}, {count} of {side}x{side}", loc="left", fontsize=8)
        key = {name: model[name] for name in columns}
        panels[0].set_yticks([max(panels[0].get_ylim()) / 4], [make_heading(results, key)])
    return Drawing(
        name,
        title,
        f"Filters of the first and the last layer of one confirmed run per model ({code_size}, first seed): "
        f"the {COLUMNS * ROWS} of the largest norm at most, in falling order (dimensionless weights). Grey is 0, white "
        "the largest positive and black the largest negative weight of the layer. A last layer of 1x1 weights only "
        "mixes maps; in its place stands the one before it. Filters that have learned are smooth and differ; noise, or "
        "one pattern over and over, says that a layer has not, and grey that a filter is unused.",
        figure,
    )


def draw_filters(axes: Axes, filters: Images) -> Axes:
    """Draw ``filters (filters, side, side)``, as many as there are places, and return ``axes``."""
    shown = filters[: COLUMNS * ROWS]
    limit = max(float(np.abs(shown).max()), 1e-30)
    tiles = tile_pictures(fill_pictures(shown, COLUMNS * ROWS), COLUMNS)
    axes.imshow(tiles, cmap="gray", vmin=-limit, vmax=limit, interpolation="none")
    axes.set_anchor("NW")
    strip_axes(axes)
    return axes
