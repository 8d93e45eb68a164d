"""Trained models of a study, by trial or by cell.

::

    load_model("results/quick-digits", "confirm-model_4-code10-tuned-01")  # the digest at its end may be left out
    load_model("results/quick-digits", "model_4-code10")  # the best of model 4 with code size 10
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from study.config.search_space import Cell
from study.config.study_config import rebuild_config
from study.plan.planned_trial import complete_id, get_cell
from study.plan.trials import find_confirmed
from study.storage.location import Location
from study.storage.store import Store
from trainables.checkpoint import unpack_weights
from trainables.errors import InputError
from trainables.models.autoencoder import Autoencoder
from trainables.training.objectives import Objective


def load_model(results: Location | Path | str, which: str, objectives: Sequence[Objective] = ()) -> Autoencoder:
    """Return a trained module, in evaluation mode, on the processor.

    Args:
        results: folder or URI of a study.
        which: a trial, or a cell, whose best trial is taken: see `find_kept_trial`.
        objectives: the user's own, with one of which it may have been trained.

    Raises:
        InputError: there is no such study, it has kept no such model, or the model's own objective is not given.
    """
    return find_model(Store(results), which, objectives)[1]


def find_model(store: Store, which: str, objectives: Sequence[Objective] = ()) -> tuple[Mapping[str, Any], Autoencoder]:
    """Return the row of a trial and its module; as `load_model`."""
    config, rows = rebuild_config(store.require_study()), store.read_trials()
    confirmed = find_confirmed(config, {each["trial_id"]: each for each in rows}) if config else {}
    row = find_kept_trial(rows, which, str(store.folder), confirmed)
    received = f"{store.folder}/weights/{row['trial_id']}.safetensors"
    return row, unpack_weights(store.read_weights(row["trial_id"]), received, objectives)


def find_kept_trial(
    rows: list[dict[str, Any]], which: str, received: str, confirmed: Mapping[Cell, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Return the row of the trial called ``which``, or of the best trial of the cell of that name.

    Weights are kept of the trained trials of phase confirm that completed. The best of a cell is the one of its tuned
    arm with the lowest training cross-entropy: test images choose nothing.

    Args:
        rows: of `trials`.
        which: ``confirm-model_4-code10-tuned-01`` or ``model_4-code10``.
        received: what the user calls the study.
        confirmed: the configuration that the search of a cell ended with, where it is known.

    Raises:
        InputError: there is no such trial or cell, or its weights were not kept.
    """
    kept = {row["trial_id"]: row for row in rows if row["phase"] == "confirm" and row["status"] == "complete"}
    kept = {trial_id: row for trial_id, row in kept.items() if row["arm"] != "control"}
    if trial_id := complete_id(which, kept):
        return kept[trial_id]
    tuned = [row for row in kept.values() if row["arm"] == "tuned" and str(get_cell(row)) == which]
    of_cell = [row for row in tuned if row["configuration"] == confirmed.get(get_cell(row), row["configuration"])]
    if of_cell:
        return min(of_cell, key=lambda row: (row["train_cross_entropy"], row["number"]))
    known = any(row["trial_id"] == which for row in rows)
    cells = sorted({str(get_cell(row)) for row in kept.values()})
    raise InputError(
        f"{received} keeps no weights of {which}" if known else f"{received} has no trial or cell {which}",
        "a trained trial of phase confirm that completed, or a cell, whose best one is taken: "
        + (", ".join(cells) or "none yet"),
        "choose from column trial_id of trials, or confirm the study first",
    )
