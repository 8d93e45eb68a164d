"""Pictures of the rows as arrays, side by side in one picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analysis.figures.codes import select_trials_with_codes
from analysis.results import StudyResults
from analysis.tables.table import Absent, make_absent
from trainables.models.architectures import CONTROLS, Control

Images = NDArray[np.floating[Any]]


def select_models(results: StudyResults, *kinds: str) -> pd.DataFrame:
    """Return of each study and model the one confirmed trial whose pictures of ``kinds`` show it.

    Of its code sizes the middle one, and of the arms the tuned one where it is there.
    """
    shown = results.pictures.loc[results.pictures["kind"].isin(kinds), "trial_id"].unique()
    kept = select_trials_with_codes(results)
    kept = kept[kept["trial_id"].isin(shown) & (kept["arm"] != "control")]
    model = ["study", "architecture"]
    kept = kept.drop_duplicates([*model, "code_size"]).sort_values([*model, "code_size"])
    sizes = kept.groupby(model, observed=True)["code_size"]
    return kept[sizes.cumcount() == sizes.transform("size") // 2]


def name_code_size(models: pd.DataFrame) -> tuple[list[str], str]:
    """Return which columns of `select_models` stand in the title of a panel, and what captions call the code size."""
    key, sizes = ["study", "architecture"], models["code_size"].unique()
    if len(sizes) > 1:
        return [*key, "code_size"], "the middle one of its code sizes"
    return key, f"code size {sizes[0]}"


def explain_absence(results: StudyResults, name: str, title: str, *, of_layers: bool = True) -> Absent:
    """Return the record of a figure whose pictures are not there: nothing is confirmed, or by an older version.

    Pictures ``of_layers`` are those of models whose layers are known, which a module's are not; the others are walks,
    of which a control's alone shows nothing of the study.
    """
    without = [
        name for name, row in results.models.items() if isinstance(row, Control) or (of_layers and not row.layered)
    ]
    if select_trials_with_codes(results)["architecture"].isin(without).all():
        asked = {model for study in results.studies for model in study.architectures}
        if asked and asked <= {*CONTROLS}:
            return Absent(name, title, "only controls were asked for: name a model, too, by --architectures")
        if of_layers and asked and asked <= {*without}:
            return Absent(name, title, "nothing is known of the layers of modules, so no filters and maps are kept")
        kept = "filters and maps" if of_layers else "walk"
        return make_absent(results, name, title, f"no confirmed run of a model kept its {kept}")
    return Absent(
        name,
        title,
        "the confirmed runs are of an older version, which kept no filters, maps and walks. To get it: the study anew "
        "under another --name",
    )


def read_pictures(results: StudyResults, trial_id: str, kind: str) -> dict[str, Images]:
    """Return the pictures of a trial, (pictures, height, width), by layer from the image on; all under "" without one.

    Those of a layer are in the order of their rows: filters the largest first, all others by their index.
    """
    rows = results.pictures
    rows = rows[(rows["trial_id"] == trial_id) & (rows["kind"] == kind)]
    rows = rows if kind == "filter" else rows.sort_values("index")
    layers = rows["layer"].astype("str").where(rows["layer"].notna(), "")
    found = {}
    for layer, group in rows.assign(layer=layers).sort_values("depth", kind="stable").groupby("layer", sort=False):
        pixels = np.stack(group["values"].to_list()).astype(np.float32)
        found[str(layer)] = np.nan_to_num(pixels).reshape(len(group), group["height"].iloc[0], group["width"].iloc[0])
    return found


def tile_pictures(pictures: Images, columns: int) -> Images:
    """Return ``pictures (n, side, side)`` as one picture, ``columns`` a row, NaN (drawn white) in the gaps."""
    count, side, _ = pictures.shape
    tiles = np.full((count, side + 1, side + 1), np.nan, dtype=np.float32)
    tiles[:, :side, :side] = pictures
    rows = count // columns
    picture: Images = tiles.reshape(rows, columns, side + 1, side + 1).swapaxes(1, 2).reshape(rows * (side + 1), -1)
    return picture


def fill_pictures(pictures: Images, count: int) -> Images:
    """Return ``pictures (n, height, width)`` with NaN in the place of those that are missing to ``count``."""
    missing = np.full((count - len(pictures), *pictures.shape[1:]), np.nan, dtype=np.float32)
    return np.concatenate([pictures, missing])


def strip_axes(axes: Axes) -> None:
    """Leave nothing of the axes but what is drawn in them."""
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
