"""Trained models of a study, by trial or by cell.

::

    load_model("results/quick-digits", "confirm-model_4-code10-tuned-01")
    load_model("results/quick-digits", "model_4-code10")  # the best of model 4 with code size 10
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.config.search_space import Cell
from study.storage.location import Location
from study.storage.store import Store
from trainables.checkpoint import unpack_weights
from trainables.errors import InputError
from trainables.models.autoencoder import Autoencoder


def load_model(results: Location | Path | str, which: str) -> Autoencoder:
    """Return a trained module, in evaluation mode, on the processor.

    Args:
        results: folder or URI of a study.
        which: a trial, or a cell, whose best trial is taken: see `find_kept_trial`.

    Raises:
        InputError: there is no such study, or it has kept no such model.
    """
    return find_model(Store(results), which)[1]


def find_model(store: Store, which: str) -> tuple[Mapping[str, Any], Autoencoder]:
    """Return the row of a trial and its module; as `load_model`."""
    store.require_study()
    row = find_kept_trial(store.read_trials(), which, str(store.folder))
    received = f"{store.folder}/weights/{row['trial_id']}.safetensors"
    return row, unpack_weights(store.read_weights(row["trial_id"]), received)


def find_kept_trial(rows: list[dict[str, Any]], which: str, received: str) -> dict[str, Any]:
    """Return the row of the trial called ``which``, or of the best trial of the cell of that name.

    Weights are kept of the trained trials of phase confirm that completed. The best of a cell is the one of its tuned
    arm with the lowest training cross-entropy: test images choose nothing.

    Args:
        rows: of `trials`.
        which: ``confirm-model_4-code10-tuned-01`` or ``model_4-code10``.
        received: what the user calls the study.

    Raises:
        InputError: there is no such trial or cell, or its weights were not kept.
    """
    kept = {row["trial_id"]: row for row in rows if row["phase"] == "confirm" and row["status"] == "complete"}
    kept = {trial_id: row for trial_id, row in kept.items() if row["arm"] != "control"}
    if which in kept:
        return kept[which]
    of_cell = [row for row in kept.values() if row["arm"] == "tuned" and _name_cell(row) == which]
    if of_cell:
        return min(of_cell, key=lambda row: (row["train_cross_entropy"], row["number"]))
    known = any(row["trial_id"] == which for row in rows)
    cells = sorted({_name_cell(row) for row in kept.values()})
    raise InputError(
        f"{received} keeps no weights of {which}" if known else f"{received} has no trial or cell {which}",
        "a trained trial of phase confirm that completed, or a cell, whose best one is taken: "
        + (", ".join(cells) or "none yet"),
        "choose from column trial_id of trials, or confirm the study first",
    )


def _name_cell(row: Mapping[str, Any]) -> str:
    return str(Cell(row["architecture"], row["code_size"]))
