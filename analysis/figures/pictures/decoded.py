"""Decoded codes that no test image has: a walk from one image's to another's, and draws from the prior."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.codes import select_trials_with_codes
from analysis.figures.pictures.reconstructions import draw_panels
from analysis.figures.pictures.tiles import Images, explain_absence, read_pictures
from analysis.figures.style import Drawing, use_style
from analysis.results import StudyResults
from analysis.tables.table import Absent


@use_style
def code_walk(results: StudyResults) -> Drawing | Absent:
    """Draw what each model makes of the codes between those of two test images, in panels as `reconstructions`."""
    name, title = "code_walk", "A walk between two codes"
    kept, pictures = _select_decoded(results, "walk")
    if not (kept["arm"] != "control").any():
        return explain_absence(results, name, title, of_layers=False)
    switched = [name for name, row in results.models.items() if not row.through_code]
    notes = dict.fromkeys(kept.loc[kept["architecture"].isin(switched), "trial_id"], "switches\nkept")
    figure, left_out = draw_panels(results, kept, pictures, "Faded", notes)
    other = "first one of another class" if any(study.labelled for study in results.studies) else "second one"
    return Drawing(
        name,
        title,
        f"Decoded codes in equal steps from that of the first test image to that of the {other}, of "
        "one confirmed run per model (the first seed); on top, one image faded into the other, which is what a code of "
        "pixels does. A code that has learned the shapes of the data passes through shapes of their kind, where fading "
        "shows two at once. Models with switches keep those of the first image: what stays of it did not come through "
        f"the code.{left_out}",
        _settle(figure),
    )


@use_style
def prior_samples(results: StudyResults) -> Drawing | Absent:
    """Draw what models whose codes are trained towards a prior make of draws from it; most studies have none."""
    name, title = "prior_samples", "Draws from the prior"
    kept, pictures = _select_decoded(results, "sample")
    if kept.empty:
        return Absent(name, title, "")
    figure, left_out = draw_panels(results, kept, pictures, "", {})
    return Drawing(
        name,
        title,
        "Decoded draws from the prior, N(0, I), by one confirmed run (the first seed) of each model whose objective "
        "brings its codes towards it. Shapes of the kind of the data say that codes fill the prior; blots say that it "
        f"has places to which no image is encoded.{left_out}",
        _settle(figure),
    )


def _settle(figure: Figure) -> Figure:
    """Work out the layout a first time: pictures keep their shape, so that labels find their room the second time."""
    figure.get_layout_engine().execute(figure)  # type: ignore[union-attr]
    return figure


def _select_decoded(results: StudyResults, kind: str) -> tuple[pd.DataFrame, dict[str, Images]]:
    """Return the trials that keep pictures of ``kind``, and these, (pictures, side, side) in [0, 1]."""
    kept = select_trials_with_codes(results)
    kept = kept[kept["trial_id"].isin(results.pictures.loc[results.pictures["kind"] == kind, "trial_id"].unique())]
    return kept, {name: np.clip(read_pictures(results, name, kind)[""], 0, 1) for name in kept["trial_id"]}
