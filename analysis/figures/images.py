"""Pictures side by side: reconstructions beside the originals, and the filters of the first convolution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import safetensors
import safetensors.numpy
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analysis.figures.codes import select_trials_with_codes
from analysis.figures.style import (
    Drawing,
    choose_styles,
    format_label,
    list_controls,
    list_keys,
    make_grid,
    make_heading,
    make_panels,
    select_rows,
    spread_code_sizes,
    use_style,
)
from analysis.results import StudyResults, select_confirmed
from analysis.stats.metrics import SQUARED_ERROR, select_metric
from analysis.tables.table import Absent, make_absent
from study.storage.files import Storage
from study.storage.location import parse_location

SHOWN_IMAGES = 10
SHOWN_FILTERS = 32
FILTER_COLUMNS = 8

Images = NDArray[np.floating[Any]]


@use_style
def reconstructions(results: StudyResults) -> Drawing | Absent:
    """Draw the first test images and what each model makes of them: a row for each code size, a column for each arm."""
    name, title = "reconstructions", "Reconstructions"
    pictures = read_reconstructions(results)
    kept = select_trials_with_codes(results)
    kept = kept[kept["trial_id"].isin(pictures)]
    models = kept[kept["arm"] != "control"]
    if models.empty:
        return make_absent(results, name, title, "no confirmed run kept its reconstructions")
    sizes = spread_code_sizes(models["code_size"])
    columns = list_keys(models, ["study", "arm"])
    errors = _format_squared_errors(results)
    originals = [name for name, row in results.models.items() if row.lossless]
    names = sorted(choose_styles(results, kept), key=lambda name: name not in originals)
    labels = ["Original" if name in originals else format_label(results, name).strip() for name in names]
    blank = np.full_like(next(iter(pictures.values())), np.nan)
    figure, rows = make_grid(len(sizes), len(columns), 4.75, 0.35 + 0.3 * len(names), below=0)
    for row, size in zip(rows, sizes, strict=True):
        for axes, key in zip(row, columns, strict=True):
            trials = _select_shown_trials(results, kept, key, size)
            shown = [pictures.get(trials.get(name, ""), blank) for name in names]
            notes = [errors.get(trials[name], "") if name in trials else "no run" for name in names]
            draw_pictures(axes, [each[:SHOWN_IMAGES] for each in shown], labels, notes)
            axes.set_title(make_heading(results, key | {"code_size": size}), loc="left")
            axes.set_title("squared error\n(1/image)", loc="right", fontsize=8)
    there = "" if kept["architecture"].isin(originals).any() else " The originals are left out: no run kept them."
    return Drawing(
        name,
        title,
        "The first test images, ink dark, and their reconstructions by one confirmed run a model (the first seed). To "
        f"the right that run's squared error per image, averaged over all test images.{there}",
        figure,
    )


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
    tiles = tile_pictures(np.concatenate([_fill(row, max(map(len, rows))) for row in rows]), max(map(len, rows)))
    axes.imshow(tiles, cmap="gray_r", vmin=0, vmax=1, interpolation="none")
    # The notes stand on white inside the axes, which the layout knows of.
    axes.set_xlim(-0.5, 1.14 * tiles.shape[1])
    pitch = tiles.shape[0] / len(rows)
    centres = [(place + 0.5) * pitch - 0.5 for place in range(len(rows))]
    _strip_axes(axes)
    axes.set_yticks(centres, labels)
    for centre, note in zip(centres, notes, strict=True):
        axes.text(1.015 * tiles.shape[1], centre, note, va="center", fontsize=8)
    return axes


@use_style
def learned_filters(results: StudyResults) -> Drawing | Absent:
    """Draw the filters of the first convolution: a row for each model, a column for each code size."""
    name, title = "learned_filters", "Learned filters"
    runs = select_confirmed(results.trials)
    runs = runs[(runs["arm"] != "control") & runs["filters_1"].notna()].sort_values(["arm", "number"])
    runs = runs.drop_duplicates(["study", "architecture", "code_size"])
    runs = runs[runs["code_size"].isin(spread_code_sizes(runs["code_size"], 3))]
    filters = {
        trial_id: found
        for trial_id, study in zip(runs["trial_id"], runs["study"].astype("str"), strict=True)
        if (found := read_first_filters(results, trial_id, study)) is not None
    }
    runs = runs[runs["trial_id"].isin(filters)]
    if runs.empty:
        return make_absent(results, name, title, "no weights of a confirmed run can be read from the folder weights")
    several_arms = len(list_keys(runs, ["arm"])) > 1
    cells = list_keys(runs, ["study", "architecture", "code_size", *(["arm"] if several_arms else [])])
    across = len(list_keys(runs, ["study", "code_size"]))
    figure, panels = make_panels(len(cells), across if across > 1 else 3, 2.9, 1.75, below=0)
    for axes, key in zip(panels, cells, strict=True):
        draw_filters(axes, filters[select_rows(runs, key)["trial_id"].iloc[0]])
        axes.set_title(make_heading(results, key))
    return Drawing(
        name,
        title,
        f"Filters of the first convolution of one confirmed run a model, the {SHOWN_FILTERS} of the largest norm at "
        "most, in falling order; 9x9 or 5x5 weights (dimensionless): grey is 0, white the largest positive and black "
        "the largest negative one of the panel.",
        figure,
    )


def read_first_filters(results: StudyResults, trial_id: str, study: str) -> Images | None:
    """Return the filters of a trial's first convolution, ``(filters, side, side)``, the largest norm first.

    None where its weights were not kept, cannot be read, or hold no such layer.
    """
    path = next(each.path for each in results.studies if each.name == study)
    file_name = trial_id.removeprefix(f"{study}:") if len(results.studies) > 1 else trial_id
    try:
        weights = safetensors.numpy.load(Storage(parse_location(path)).read(f"weights/{file_name}.safetensors"))
    except (OSError, pa.ArrowException, safetensors.SafetensorError):
        return None
    found = weights.get("conv1.weight")
    if found is None or found.ndim != 4 or not np.isfinite(found).all():
        return None
    filters: Images = found[:, 0]
    return filters[np.argsort(-np.linalg.norm(filters, axis=(1, 2)), kind="stable")]


def draw_filters(axes: Axes, filters: Images) -> Axes:
    """Draw ``filters (filters, side, side)``, at most `SHOWN_FILTERS`, and return ``axes``."""
    shown = filters[:SHOWN_FILTERS]
    limit = max(float(np.abs(shown).max()), 1e-30)
    columns = min(len(shown), FILTER_COLUMNS)
    shown = _fill(shown, -(-len(shown) // columns) * columns)
    axes.imshow(tile_pictures(shown, columns), cmap="gray", vmin=-limit, vmax=limit, interpolation="none")
    axes.set_anchor("N")
    _strip_axes(axes)
    return axes


def tile_pictures(pictures: Images, columns: int) -> Images:
    """Return ``pictures (n, side, side)`` as one picture, ``columns`` a row, NaN (drawn white) in the gaps."""
    count, side, _ = pictures.shape
    tiles = np.full((count, side + 1, side + 1), np.nan, dtype=np.float32)
    tiles[:, :side, :side] = pictures
    rows = count // columns
    picture: Images = tiles.reshape(rows, columns, side + 1, side + 1).swapaxes(1, 2).reshape(rows * (side + 1), -1)
    return picture


def _fill(pictures: Images, count: int) -> Images:
    missing = np.full((count - len(pictures), *pictures.shape[1:]), np.nan, dtype=np.float32)
    return np.concatenate([pictures, missing])


def _strip_axes(axes: Axes) -> None:
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _format_squared_errors(results: StudyResults) -> dict[str, str]:
    rows = select_metric(results.scores[results.scores["split"] == "test"], SQUARED_ERROR)
    rows = rows[rows["value"] > 0]  # raw pixels are what they reconstruct
    return {trial_id: f"{value:.1f}" for trial_id, value in rows[["trial_id", "value"]].itertuples(index=False)}
