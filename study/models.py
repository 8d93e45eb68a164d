"""Trained models: one trained without a study, those that a study or a folder keeps, and those of the package.

::

    model = train("model_4", code_size=10, data="my.npz", output="my_model")
    codes = model.encode(images)
    model = load_model("my_model")
    model = load_model("results/quick-digits", "confirm-model_4-code10-tuned-01")  # the digest may be left out
    model = load_model("results/quick-digits", "model_4-code10")  # the best of model 4 with code size 10
    model = pretrained("model_4", code_size=10)  # which comes with the package

One model says nothing of which is better: for that there are studies.
"""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from study.config.search_space import Cell
from study.config.study_config import rebuild_config
from study.plan.planned_trial import complete_id, get_cell, keep_latest
from study.plan.trials import find_confirmed
from study.storage import provenance
from study.storage.location import Location, parse_location
from study.storage.store import Store
from trainables.checkpoint import pack_weights, unpack_weights
from trainables.data.datasets import load_dataset
from trainables.data.images import Dataset
from trainables.errors import InputError
from trainables.inference import TrainedModel
from trainables.models.architectures import BUILT_IN, Architecture, Filters, ModuleAutoencoder
from trainables.models.custom import check_row, dump_row, load_row
from trainables.models.layers import list_layers
from trainables.models.module import measure_module
from trainables.training.devices import prepare
from trainables.training.objectives import Objective
from trainables.training.training import EpochMetrics, Training, move_pixels, train_to_end
from trainables.trial_config import RECIPES, TrialConfig

WEIGHTS, CARD = "model.safetensors", "config.json"
"""Files of a folder of one model: what `load_model` reads, and the same in words, with data, seed and versions."""

PRETRAINED = Path(__file__).parent / "pretrained"
"""Models that come with the package: CELL.safetensors, such as model_4-code10, and beside it the card CELL.md."""


class ReplacementWarning(UserWarning):
    """A folder holds the model of another training, in whose place a new one is written."""


def train(
    architecture: str | Architecture = "model_4",
    *,
    code_size: int = 10,
    data: str | Path = "mnist",
    data_dir: Path | None = None,
    epochs: int = 12,
    seed: int = 1,
    recipe: str = "muon",
    learning_rate: float | None = None,
    filters: Filters | None = None,
    device: str | None = None,
    output: str | Path | None = None,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
) -> TrainedModel:
    """Return a model trained on all training images of a data set.

    Args:
        architecture: a built-in model by name, or a row of one's own.
        code_size: units of the code.
        data: a data set by name, or a file of images of one's own (docs/extending.md).
        data_dir: folder of the files of data sets.
        epochs: passes over the training images; the recipe's schedule of the learning rate ends with them.
        seed: of starting weights and the order of images; the same one gives the same model on the same processor.
        recipe: how it is trained: a key of `RECIPES`.
        learning_rate: None for the recipe's.
        filters: counts of the two convolutions, None for the published ones.
        device: cpu or cuda, None for a GPU where there is one.
        output: folder of the model, which `load_model` reads. A model that is there is replaced once the new one is
            whole; where it is one of another training, a warning says so before this one begins.
        on_epoch: is given the losses of every epoch.

    Raises:
        InputError: a value is not accepted, the images do not fit the model, a loss is not finite, or ``output`` cannot
            be written.
    """
    row = _find_row(architecture)
    if recipe not in RECIPES:
        raise InputError(f"recipe {recipe!r}"[:80], ", ".join(RECIPES), "choose one of these")
    whole = all(isinstance(each, Integral) for each in (code_size, epochs, seed))
    if not (whole and 1 <= code_size <= 784 and epochs >= 1 and seed >= 0):
        raise InputError(
            f"code_size {code_size!r}, epochs {epochs!r}, seed {seed!r}",
            "whole numbers: 1 to 784 units, at least 1 epoch, a seed from 0",
            "change them",
        )
    code_size, epochs, seed = int(code_size), int(epochs), int(seed)
    if not (learning_rate is None or (isinstance(learning_rate, Real) and 0 < learning_rate < math.inf)):
        raise InputError(f"learning_rate {learning_rate!r}", "a number above 0, or None for the recipe's", "change it")
    there = ("cpu", *(("cuda",) if torch.cuda.is_available() else ()))
    if device is not None and device not in there:
        raise InputError(f"device {device!r:.60}", f"{' or '.join(there)} here, or None", "leave it out")
    if output is not None:
        if "://" in str(output):
            raise InputError(f"output {output}", "a folder of this machine", "choose one; copy it afterwards")
        output = Path(output).expanduser()
        with _opening(Path(output), WEIGHTS) as partial:  # refused before a model is trained for it
            partial.unlink()
    dataset = load_dataset(str(data), data_dir)
    if isinstance(row, ModuleAutoencoder):
        measure_module(row, code_size, row.settings, dataset.training.pixels.shape[1])
    else:
        list_layers(row, code_size, image_size=dataset.training.pixels.shape[1])  # refuses others, layer by layer
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    prepare(place)
    settings = RECIPES[recipe].trial_config(row, code_size, epochs, learning_rate=learning_rate, filters=filters)
    built, filters = BUILT_IN.get(row.name), settings.filters
    if built and not (
        row.layered and list_layers(row, code_size, filters) == list_layers(settings.variant(), code_size, filters)
    ):
        check_row(row)  # which refuses it: saved weights are read as those of the built-in row of that name
    # A data set smaller than a batch of the recipe is one batch.
    settings = dataclasses.replace(settings, batch_size=min(settings.batch_size, len(dataset.training)))
    if output is not None and (replaced := _tell_replaced(Path(output), _identify(row, settings, seed, dataset))):
        told = f"{output} holds {replaced}; it is replaced once this one is done"
        warnings.warn(told, ReplacementWarning, stacklevel=2)
    training = Training(settings, seed, move_pixels(dataset.training.pixels, place), row=row)
    metrics = train_to_end(training, on_epoch)
    model = TrainedModel(training.model.eval(), settings)
    if output is not None:
        _save(model, Path(output), dataset, seed, metrics)
    return model


def load_model(
    folder: Location | Path | str,
    which: str | None = None,
    objectives: Sequence[Objective] = (),
    models: Sequence[Architecture] = (),
) -> TrainedModel:
    """Return a trained model, on the processor.

    Args:
        folder: of one model, as `train` writes it; or folder or URI of a study.
        which: of a study: a trial, or a cell, whose best trial is taken: see `find_kept_trial`.
        objectives: the user's own, with one of which it may have been trained.
        models: the user's own, one of whose modules it may be.

    Raises:
        InputError: there is no such model or study, it has kept no such model, or the model's own objective or module
            is not given.
    """
    if which is not None:
        return find_model(Store(folder), which, objectives, models)[1]
    local = (folder if isinstance(folder, Location) else parse_location(folder)).local
    if local is None or not (local / WEIGHTS).is_file():
        raise InputError(
            f"{folder}, which holds no {WEIGHTS}",
            "a folder that train has written; or the folder of a study with a trial or cell of it",
            'check the path, or name a cell: load_model("results/quick-digits", "model_4-code10")',
        )
    return TrainedModel(*unpack_weights((local / WEIGHTS).read_bytes(), str(local / WEIGHTS), objectives, models))


def pretrained(architecture: str, code_size: int) -> TrainedModel:
    """Return a trained model that comes with the package, on the processor; its card is beside it in `PRETRAINED`.

    Args:
        architecture: its name, such as model_4.
        code_size: units of the code.

    Raises:
        InputError: no such model comes with the package.
    """
    there = {path.stem: path for path in sorted(PRETRAINED.glob("*.safetensors"))}
    which = str(Cell(architecture, code_size))
    if which not in there:
        raise InputError(
            f"no trained model {which:.80} comes with this version",
            ", ".join(there) or "none, since this version has none",
            "choose one of these, or train one: study.models.train",
        )
    return TrainedModel(*unpack_weights(there[which].read_bytes(), str(there[which])))


def find_model(
    store: Store, which: str, objectives: Sequence[Objective] = (), models: Sequence[Architecture] = ()
) -> tuple[Mapping[str, Any], TrainedModel]:
    """Return the row of a trial and its model; as `load_model`."""
    config, rows = rebuild_config(store.require_study()), store.read_trials()
    confirmed = find_confirmed(config, keep_latest(rows)) if config else {}
    row = find_kept_trial(rows, which, str(store.folder), confirmed)
    received = f"{store.folder}/weights/{row['trial_id']}.safetensors"
    return row, TrainedModel(*unpack_weights(store.read_weights(row["trial_id"]), received, objectives, models))


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


def _find_row(architecture: str | Architecture) -> Architecture:
    if isinstance(architecture, Architecture):
        return load_row(architecture)
    if not isinstance(architecture, str) or architecture not in BUILT_IN:
        raise InputError(
            f"model {architecture!r}"[:80], ", ".join(BUILT_IN), "choose one of these, or give a row of your own"
        )
    return BUILT_IN[architecture]


def _identify(row: Architecture, settings: TrialConfig, seed: int, dataset: Dataset) -> dict[str, Any]:
    """Return what makes a training the same as another: on the same processor it gives the same model."""
    return {
        "architecture": dump_row(row),
        "settings": settings.as_dict(),
        "seed": seed,
        "data": {"name": dataset.name, "sha256": dataset.sha256, "training_images": len(dataset.training)},
    }


def _tell_replaced(folder: Path, identity: Mapping[str, Any]) -> str:
    """Return what another training's model is in ``folder``, by the values that differ; nothing where there is none."""
    if not (folder / WEIGHTS).is_file():
        return ""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        there, here = (_flatten({name: each[name] for name in identity}) for each in (card, identity))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return f"a model without a {CARD} that could be read"
    changed = [name for name in here | there if there.get(name) != here.get(name)]
    told = "; ".join(f"{name} {there.get(name)}, not {here.get(name)}" for name in changed)
    return f"the model of another training ({told:.300})" if changed else ""


def _flatten(identity: Mapping[str, Any]) -> dict[str, str]:
    """Return its values by name, as JSON; a setting stands in the place of the model's own value."""
    data = {"data": identity["data"]["name"], "SHA-256 of the data": identity["data"]["sha256"]}
    values = {**identity["architecture"], **identity["settings"], "seed": identity["seed"], **data}
    return {name: json.dumps(value, sort_keys=True) for name, value in values.items()}


def _save(model: TrainedModel, folder: Path, dataset: Dataset, seed: int, metrics: EpochMetrics) -> None:
    """Write the folder of a model; the weights come last, so that a folder with weights is whole."""
    row = model.module.architecture
    card = _identify(row, model.settings, seed, dataset) | {
        "image_size": model.module.image_size,
        "train_cross_entropy": metrics.train_cross_entropy,
        "train_squared_error": metrics.train_squared_error,
        "test_squared_error": model.score(dataset.test.pixels),
        "versions": provenance.versions(),
    }
    with _opening(folder, CARD) as partial:
        partial.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        partial.replace(folder / CARD)
    trial_id = f"train-{row.name}-code{model.settings.code_size}"
    with _opening(folder, WEIGHTS) as partial:
        partial.write_bytes(pack_weights(model.module, model.settings, trial_id))
        partial.replace(folder / WEIGHTS)


@contextmanager
def _opening(folder: Path, name: str) -> Iterator[Path]:
    """Give a new file in ``folder``, which takes its place once it is whole."""
    partial = folder / f".{name}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.touch()
        yield partial
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written: {error.strerror}", "a folder that this user may write", "name another one"
        ) from error
