"""The models of a study as tables: their layers, and their sizes at the filter counts that were trained."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from analysis.results import StudyResults
from analysis.stats.aggregate import label_of, study_section, with_labels
from analysis.tables.table import Column, Table
from trainables.models.architectures import ARCHITECTURES, CONTROLS, IMAGE_SIZE, ConvolutionalAutoencoder, Filters
from trainables.models.layers import Layer, count_multiply_adds, count_parameters, list_layers


def architectures(results: StudyResults) -> Table:
    """Return one row a model of the study: notation and layers at the published filter counts."""
    rows = [_described(name) for name in _names(results)]
    return Table(
        "architectures",
        "Architectures",
        "From image to output at the published filter counts: conv9 8@20 is a convolution with kernels of 9x9 that "
        "gives 8 maps of 20x20; deconv a deconvolution, pool and unpool halve and double maps, fc is fully connected.",
        pd.DataFrame(rows),
        (
            Column("label", "Model"),
            Column("notation", "Notation"),
            Column("activation", "Activation", main=False),
            Column("layers", "Layers"),
            Column("source", "Source", main=False),
        ),
        footnotes=(
            "Sources: [abstract], [file], [notes] of the paper; [similar], [rule], [ours] as the docstring of "
            "trainables/models/architectures.py says.",
        ),
    )


def sizes(results: StudyResults) -> Table:
    """Return one row a model, code size and arm: filter counts, parameters and multiply-adds.

    The published arm is worked out for every cell that the study was asked for, the others are as they were confirmed.
    """
    key = ["study", "arm", "architecture", "code_size"]
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for study in results.studies:
        config = study.manifest["config"]
        for name, code_size in itertools.product(config.get("architectures", ()), config.get("code_sizes", ())):
            record = ARCHITECTURES.get(name)
            if record is not None:
                arm = "published" if isinstance(record, ConvolutionalAutoencoder) else "tuned"
                rows[study.name, arm, name, code_size] = size_of(name, code_size)
    trials = results.trials
    confirmed = trials[(trials["phase"] == "confirm") & (trials["arm"] != "control")]
    columns = [*key, "filters_1", "filters_2", "parameters"]
    for trial in confirmed.drop_duplicates(key)[columns].to_dict("records"):
        size = size_of(trial["architecture"], trial["code_size"], filters_of(trial))
        recorded = {} if pd.isna(trial["parameters"]) else {"parameters": trial["parameters"]}
        rows[tuple(trial[name] for name in key)] = size | recorded
    frame = pd.DataFrame([dict(zip(key, cell, strict=True)) | size for cell, size in rows.items()])
    if frame.empty:
        frame = pd.DataFrame(columns=[*key, "filters_1", "filters_2", "parameters", "multiply_adds"])
    for column in ("study", "arm", "architecture"):
        frame[column] = frame[column].astype(trials[column].dtype)
    counts = ["filters_1", "filters_2", "parameters", "multiply_adds"]
    frame = frame.astype(dict.fromkeys(counts, "Int64")).sort_values(key, ignore_index=True)
    return Table(
        "sizes",
        "Sizes of the models",
        "Trained weights and biases, and multiply-adds of a forward pass for one image (biases left out, products with "
        "unpooling's zeros counted), at the published filter counts and at the tuned ones that were confirmed.",
        with_labels(frame),
        (
            Column("label", "Model"),
            Column("code_size", "Code", "count"),
            Column("filters_1/filters_2", "Filters", "counts"),
            Column("parameters", "Parameters", "count"),
            Column("multiply_adds", "Multiply-adds", "count"),
        ),
        sections=(*study_section(results), Column("arm", "arm")),
    )


def size_of(architecture: str, code_size: int, filters: Filters | None = None) -> dict[str, Any]:
    """Return filters_1, filters_2, parameters and multiply_adds; a user's own model has no counts here."""
    record = ARCHITECTURES.get(architecture)
    if isinstance(record, ConvolutionalAutoencoder):
        filters = filters or record.published_filters
    size: dict[str, Any] = dict(zip(("filters_1", "filters_2"), filters or (None, None), strict=True))
    return size | {
        "parameters": count_parameters(record, code_size, filters) if record else None,
        "multiply_adds": count_multiply_adds(record, code_size, filters) if record else None,
    }


def filters_of(trial: Mapping[Hashable, Any]) -> Filters | None:
    """Return the filter counts of a row of trials; None where the model has none."""
    return None if pd.isna(trial["filters_1"]) else (int(trial["filters_1"]), int(trial["filters_2"]))


def _described(name: str) -> dict[str, Any]:
    record = ARCHITECTURES.get(name)
    if record is None:
        control = CONTROLS.get(name)
        known = {"notation": control.notation, "source": control.source or None} if control else {}
        return {"architecture": name, "label": label_of(name)} | known
    return {
        "architecture": name,
        "label": record.label,
        "notation": record.notation,
        "activation": record.activation,
        "pooling": record.pooling or "none",
        "unpooling": record.unpooling or "none",
        "layers": ", ".join([f"1@{IMAGE_SIZE}", *(_layer_text(layer) for layer in list_layers(record, 1))]),
        "source": record.source,
    }


def _layer_text(layer: Layer) -> str:
    if layer.name == "code":
        return "code"
    if layer.kind == "linear":
        return f"fc {layer.out_maps}"
    kernel = layer.kernel if layer.kind in ("conv", "deconv") else ""
    return f"{layer.kind}{kernel} {layer.out_maps}@{layer.out_size}"


def _names(results: StudyResults) -> list[str]:
    """Return the models that the studies were asked for or have rows of, in the order of tables."""
    asked = {name for study in results.studies for name in study.manifest["config"].get("architectures", ())}
    asked |= set(results.trials["architecture"].astype("str"))
    known = [*ARCHITECTURES, *CONTROLS]
    return [name for name in known if name in asked] + sorted(asked - set(known))
