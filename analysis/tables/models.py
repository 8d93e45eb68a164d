"""The models of a study as tables: their layers, and their sizes at the filter counts that were trained."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from analysis.results import StudyResults
from analysis.stats.aggregate import add_labels
from analysis.tables.table import Column, Table, list_study_sections
from trainables.models.architectures import IMAGE_SIZE, Control, Filters
from trainables.models.layers import Layer, count_multiply_adds, count_parameters, list_layers


def architectures(results: StudyResults) -> Table:
    """Return one row a model of the study: notation and layers at the published filter counts."""
    rows = [_describe(results, name) for name in _list_names(results)]
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
        for name, code_size in itertools.product(study.architectures, config.get("code_sizes", ())):
            row = results.models.get(name)
            if row is not None and row.searched:
                arm = "published" if row.published_filters else "tuned"
                rows[study.name, arm, name, code_size] = compute_size(results, name, code_size)
    trials = results.trials
    confirmed = trials[(trials["phase"] == "confirm") & ((trials["arm"] != "control") | trials["parameters"].notna())]
    for trial in confirmed.drop_duplicates(key).to_dict("records"):
        size = compute_size(results, trial["architecture"], trial["code_size"], get_filters(trial))
        # What a run wrote counts what its objective adds to the code layer.
        recorded = {name: trial[name] for name in ("parameters", "multiply_adds") if not pd.isna(trial[name])}
        rows[tuple(trial[name] for name in key)] = size | recorded
    counts = ["filters_1", "filters_2", "parameters", "multiply_adds"]
    cells = [dict(zip(key, cell, strict=True)) | size for cell, size in rows.items()]
    types = trials.dtypes[["study", "arm", "architecture"]].to_dict() | dict.fromkeys(counts, "Int64")
    frame = pd.DataFrame(cells, columns=[*key, *counts]).astype(types).sort_values(key, ignore_index=True)
    return Table(
        "sizes",
        "Sizes of the models",
        "Trained weights and biases, and multiply-adds of a forward pass for one image (biases left out, products with "
        "unpooling's zeros counted), at the published filter counts and at the tuned ones that were confirmed.",
        add_labels(results, frame),
        (
            Column("label", "Model"),
            Column("code_size", "Code", "count"),
            Column("filters_1/filters_2", "Filters", "counts"),
            Column("parameters", "Parameters", "count"),
            Column("multiply_adds", "Multiply-adds", "count"),
        ),
        sections=(*list_study_sections(results), Column("arm", "arm")),
    )


def compute_size(
    results: StudyResults, architecture: str, code_size: int, filters: Filters | None = None
) -> dict[str, Any]:
    """Return filters_1, filters_2, parameters and multiply_adds; what no row describes has no counts."""
    row = results.models.get(architecture)
    filters = filters or (row.published_filters if row else None)
    size: dict[str, Any] = dict(zip(("filters_1", "filters_2"), filters or (None, None), strict=True))
    if row is None or isinstance(row, Control) or not row.layered:
        return size | {"parameters": None, "multiply_adds": None}
    return size | {
        "parameters": count_parameters(row, code_size, filters),
        "multiply_adds": count_multiply_adds(row, code_size, filters),
    }


def get_filters(trial: Mapping[Hashable, Any]) -> Filters | None:
    """Return the filter counts of a row of trials; None where the model has none."""
    return None if pd.isna(trial["filters_1"]) else (int(trial["filters_1"]), int(trial["filters_2"]))


def _describe(results: StudyResults, name: str) -> dict[str, Any]:
    row = results.models.get(name)
    if row is None:
        return {"architecture": name, "label": name}
    described: dict[str, Any] = {"architecture": name, "label": row.label, "notation": row.notation}
    if not isinstance(row, Control):
        described |= {
            "activation": row.activation,
            "pooling": row.pooling or "none",
            "unpooling": row.unpooling or "none",
            "layers": ", ".join([f"1@{IMAGE_SIZE}", *(_format_layer(layer) for layer in list_layers(row, 1))])
            if row.layered
            else "a module of its own",
        }
    return described | {"source": row.source or None}


def _format_layer(layer: Layer) -> str:
    if layer.name == "code":
        return "code"
    if layer.kind == "linear":
        return f"fc {layer.out_maps}"
    kernel = layer.kernel if layer.kind in ("conv", "deconv") else ""
    return f"{layer.kind}{kernel} {layer.out_maps}@{layer.out_size}"


def _list_names(results: StudyResults) -> list[str]:
    """Return the models that the studies were asked for or have rows of, in the order of tables."""
    asked = {name for study in results.studies for name in study.architectures}
    asked |= set(results.trials["architecture"].astype("str"))
    return [name for name in results.models if name in asked] + sorted(asked - set(results.models))
