"""Reconstructions by every model beside the originals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from analysis.figures.codes import select_trials_with_codes
from analysis.figures.pictures.tiles import Images, fill_pictures, strip_axes, tile_pictures
from analysis.figures.style import (
    Drawing,
    choose_styles,
    format_label,
    list_controls,
    list_keys,
    make_grid,
    make_heading,
    spread_code_sizes,
    use_style,
)
from analysis.results import StudyResults
from analysis.stats.metrics import SQUARED_ERROR, select_metric
from analysis.tables.table import Absent, make_absent

SHOWN_IMAGES = 10


@use_style
def reconstructions(results: StudyResults) -> Drawing | Absent:
    """Draw the first test images and what each model makes of them: a row for each code size, a column for each arm."""
    name, title = "reconstructions", "Reconstructions"
    pictures = read_reconstructions(results)
    kept = select_trials_with_codes(results)
    kept = kept[kept["trial_id"].isin(pictures)]
    models = kept[kept["arm"] != "control"]
    if models.empty:
        return make_absent(results, name, title, "no confirmed run of a model kept its reconstructions")
    errors = _format_squared_errors(results)
    figure, left_out = draw_panels(results, kept, pictures, "Original", errors)
    for axes in figure.axes:
        axes.set_title("Error", loc="right", fontsize=8)
    originals = [name for name, row in results.models.items() if row.lossless]
    there = "" if kept["architecture"].isin(originals).any() else " The originals are left out: no run kept them."
    clipped = " PCA's images are drawn clipped to [0, 1]; its error is of them as they are, not clipped."
    clipped = clipped if (kept["architecture"] == "pca").any() else ""
    return Drawing(
        name,
        title,
        "A model with switches redraws the originals whatever its code holds: they give its decoder the places of the "
        "ink. The first test images, ink dark, and their reconstructions by one confirmed run per model (the first "
        f"seed); error: that run's squared error per image, averaged over all test images.{clipped}{there}{left_out}",
        figure,
    )


def draw_panels(
    results: StudyResults,
    kept: pd.DataFrame,
    pictures: Mapping[str, Images],
    original: str,
    notes: Mapping[str, str],
) -> tuple[Figure, str]:
    """Return a figure with a row of panels for each code size, a column for each arm, and in each a row for each model.

    With it what the caption says of code sizes that are left out; see `spread_code_sizes`.

    Args:
        results: of which studies.
        kept: their trials that are shown, one a study, arm, code size and model.
        pictures: of each of them, (pictures, side, side) in [0, 1].
        original: what the row of the pixels themselves is called.
        notes: what stands to the right of some of them.
    """
    models = kept[kept["arm"] != "control"]
    sizes, left_out = spread_code_sizes(models["code_size"])
    columns = list_keys(models, ["study", "arm"])
    originals = [name for name, row in results.models.items() if row.lossless]
    names = sorted(choose_styles(results, kept), key=lambda name: name not in originals)
    labels = [original if name in originals else format_label(results, name).strip() for name in names]
    blank = np.full_like(next(iter(pictures.values())), np.nan)
    figure, rows = make_grid(len(sizes), len(columns), 4.75, 0.35 + 0.3 * len(names), below=0)
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(w_pad=0.15)  # pictures keep their shape, which the layout does not know of when it measures labels
    for row, size in zip(rows, sizes, strict=True):
        for axes, key in zip(row, columns, strict=True):
            trials = _select_shown_trials(results, kept, key, size)
            shown = [pictures.get(trials.get(name, ""), blank) for name in names]
            told = [notes.get(trials[name], "") if name in trials else "not kept" for name in names]
            draw_pictures(axes, [each[:SHOWN_IMAGES] for each in shown], labels, told)
            axes.set_title(make_heading(results, key | {"code_size": size}), loc="left")
    return figure, left_out


def _select_shown_trials(
    results: StudyResults, kept: pd.DataFrame, key: Mapping[str, Any], code_size: int
) -> dict[str, str]:
    """Return the trial of each model in the panel of ``key`` (study, arm); what has one arm is in every panel."""
    same = kept[kept["study"] == key["study"]]
    apart = [name for name, row in results.models.items() if row.fixed_code_size]
    same = same[(same["code_size"] == code_size) | same["architecture"].isin(apart)]
    same = same[(same["arm"] == key["arm"]) | same["architecture"].isin(list_controls(results))]
    return dict(same[["architecture", "trial_id"]].astype("str").itertuples(index=False, name=None))


def read_reconstructions(results: StudyResults) -> dict[str, Images]:
    """Return by trial the reconstructions that are kept, ``(images, side, side)`` in [0, 1]."""
    rows = results.codes.dropna(subset="reconstruction").sort_values(["trial_id", "image"])
    pictures: dict[str, Images] = {}
    for trial_id, group in rows.groupby("trial_id", observed=True):
        flat = np.stack(group["reconstruction"].to_list()).astype(np.float32)
        side = math.isqrt(flat.shape[1])
        if side * side == flat.shape[1]:
            pictures[str(trial_id)] = np.clip(np.nan_to_num(flat), 0, 1).reshape(-1, side, side)
    return pictures


def draw_pictures(axes: Axes, rows: Sequence[Images], labels: Sequence[str], notes: Sequence[str]) -> Axes:
    """Draw a row of pictures for each of ``rows (images, side, side)``, named on the left, with a note on the right."""
    across = max(map(len, rows))
    tiles = tile_pictures(np.concatenate([fill_pictures(row, across) for row in rows]), across)
    axes.imshow(tiles, cmap="gray_r", vmin=0, vmax=1, interpolation="none")
    # The notes stand on white inside the axes, which the layout knows of.
    axes.set_xlim(-0.5, 1.14 * tiles.shape[1])
    pitch = tiles.shape[0] / len(rows)
    centres = [(place + 0.5) * pitch - 0.5 for place in range(len(rows))]
    strip_axes(axes)
    axes.set_yticks(centres, labels)
    for centre, note in zip(centres, notes, strict=True):
        axes.text(1.015 * tiles.shape[1], centre, note, va="center", fontsize=8)
    return axes


def _format_squared_errors(results: StudyResults) -> dict[str, str]:
    rows = select_metric(results.scores[results.scores["split"] == "test"], SQUARED_ERROR)
    rows = rows[rows["value"] > 0]  # raw pixels are what they reconstruct
    return {trial_id: f"{value:.1f}" for trial_id, value in rows[["trial_id", "value"]].itertuples(index=False)}
