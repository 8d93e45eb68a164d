"""A walk from the code of one test image to that of another, decoded at every step."""

from __future__ import annotations

import numpy as np

from analysis.figures.codes import select_trials_with_codes
from analysis.figures.pictures.reconstructions import draw_panels
from analysis.figures.pictures.tiles import explain_absence, read_pictures
from analysis.figures.style import Drawing, use_style
from analysis.results import StudyResults
from analysis.tables.table import Absent


@use_style
def code_walk(results: StudyResults) -> Drawing | Absent:
    """Draw what each model makes of the codes between those of two test images, in panels as `reconstructions`."""
    name, title = "code_walk", "A walk between two codes"
    kept = select_trials_with_codes(results)
    walked = {trial_id: read_pictures(results, trial_id, "walk").get("") for trial_id in kept["trial_id"]}
    pictures = {trial_id: np.clip(walk, 0, 1) for trial_id, walk in walked.items() if walk is not None}
    kept = kept[kept["trial_id"].isin(pictures)]
    if not (kept["arm"] != "control").any():
        return explain_absence(results, name, title)
    switched = [name for name, row in results.models.items() if not row.through_code]
    notes = dict.fromkeys(kept.loc[kept["architecture"].isin(switched), "trial_id"], "switches\nkept")
    return Drawing(
        name,
        title,
        "Decoded codes in equal steps from that of the first test image to that of the first one of another class, of "
        "one confirmed run a model (the first seed); on top, one image faded into the other, which is what a code of "
        "pixels does. A code that has learned the shapes of the data passes through shapes of their kind, where fading "
        "shows two at once. Models with switches keep those of the first image: what stays of it did not come through "
        "the code.",
        draw_panels(results, kept, pictures, "Faded", notes),
    )
