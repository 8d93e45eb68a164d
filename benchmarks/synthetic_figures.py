"""The figures of `synthetic_study`: curves, scores, codes and filters of its trials, as columns of the tables.

Functions take the frame of trials, in which ``error`` is the squared error per image that a trial ends near.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
from numpy.typing import NDArray

from study.storage.schema import TABLES
from trainables.models.architectures import BUILT_IN, ConvolutionalAutoencoder
from trainables.models.layers import list_layers

MEAN_IMAGE_CROSS_ENTROPY = 206.0
KEPT_CODES, KEPT_RECONSTRUCTIONS = 2_000, 20
PIXELS = 784
CLASSES = 10

_UNITS = {
    "squared_error": ("1/image", "lower"),
    "cross_entropy": ("nats/image", "lower"),
    "error": ("%", "lower"),
    "effective_dimension": ("units", "none"),
    "dead_units": ("units", "none"),
    "maps": ("maps", "none"),
    "dead_maps": ("maps", "none"),
} | dict.fromkeys(("precision", "recall", "f_score", "accuracy", "nmi", "ari", "silhouette"), ("", "higher"))
"""Unit and direction of a metric; without either where it is not named."""

_CLASSIFIERS = {"linear_classifier": 1.0, "mlp_classifier": 0.6}
"""Share of the linear classifier's error."""


def write_table(folder: Path, name: str, columns: dict[str, Any]) -> None:
    """Write ``columns`` as the only file of a table; what the table has beside them is null."""
    schema, length = TABLES[name], len(next(iter(columns.values())))
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        if values is None:
            values = pa.nulls(length, field.type)
        elif not isinstance(values, pa.Array):
            values = pa.array(values, field.type, from_pandas=True)
        arrays.append(values.cast(field.type))
    table = pa.Table.from_arrays(arrays, schema=schema)
    path = folder / name / "compacted-000000000000.parquet"
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def cross_entropy(error: Any, epoch: Any) -> Any:
    """Return the training cross-entropy after ``epoch`` of trials that end near squared error ``error``."""
    end = np.minimum(48 + 3 * error, 0.98 * MEAN_IMAGE_CROSS_ENTROPY)
    return end + (MEAN_IMAGE_CROSS_ENTROPY - end) * np.exp(-0.6 * epoch)


def curves(trials: pd.DataFrame) -> dict[str, Any]:
    """Return the columns of ``epochs``."""
    trained = trials["epochs"].to_numpy()
    place = np.repeat(np.arange(len(trials)), trained)
    epoch = np.arange(len(place)) - np.repeat(trained.cumsum() - trained, trained) + 1
    train = cross_entropy(trials["error"].to_numpy()[place], epoch)
    searched = (trials["phase"] == "search").to_numpy()[place]
    return {
        "trial_id": _repeated(trials["trial_id"], place),
        "epoch": epoch,
        "learning_rate": trials["learning_rate"].to_numpy(dtype="float64")[place],
        "train_cross_entropy": train,
        "train_squared_error": train / 4,
        "validation_cross_entropy": np.where(searched, train + 1, np.nan),
        "validation_squared_error": np.where(searched, train / 4 + 0.2, np.nan),
        "seconds": np.full(len(place), 2.0),
    }


def scores(trials: pd.DataFrame, generator: np.random.Generator) -> dict[str, Any]:
    """Return the columns of ``scores``: those that a real trial of the same model has."""
    measured = trials[(trials["phase"] != "search") & (trials["status"] == "complete")]
    places, kinds, values = [], [], []
    names: dict[tuple[str, str], int] = {}
    for architecture, group in measured.groupby("architecture"):
        for key, value in _score_values(str(architecture), group).items():
            kinds.append(np.full(len(group), names.setdefault(key, len(names))))
            places.append(group.index.to_numpy())
            values.append(value * (1 + 0.01 * generator.normal(size=len(group))))
    place, kind = np.concatenate(places), np.concatenate(kinds)
    order = np.argsort(place, kind="stable")  # the rows of a trial side by side
    kind = kind[order]
    shown = pd.DataFrame(list(names), columns=["evaluator", "metric"])
    units = [_UNITS.get(metric, ("", "none")) for metric in shown["metric"]]
    return {
        "trial_id": _repeated(trials["trial_id"], place[order]),
        "split": _repeated(["test"], np.zeros(len(kind), dtype=np.int64)),
        "evaluator": _repeated(shown["evaluator"], kind),
        "metric": _repeated(shown["metric"], kind),
        "value": np.concatenate(values)[order],
        "unit": _repeated([unit for unit, _ in units], kind),
        "direction": _repeated([direction for _, direction in units], kind),
    }


def _score_values(architecture: str, group: pd.DataFrame) -> dict[tuple[str, str], Any]:
    """Return by evaluator and metric the scores of the trials of one model."""
    error, code_size = group["error"], group["code_size"].astype("float64")
    one = pd.Series(1.0, group.index)
    linear = 40.0 * one if architecture == "model_3" else 4 + error / 3
    quality = 1 / (1 + error / 30)
    found: dict[tuple[str, str], Any] = {}
    if architecture in BUILT_IN:
        found["reconstruction", "cross_entropy"] = 48 + 3 * error
        found["mean_code", "cross_entropy"] = 200 * one
        found["mean_code", "squared_error"] = 3 * error if architecture == "model_3" else 52 * one
    if architecture == "model_3":
        found["other_switches", "cross_entropy"] = 300 * one
        found["other_switches", "squared_error"] = 83 * one
    found["reconstruction", "squared_error"] = error
    if architecture in BUILT_IN:
        for layer in list_layers(BUILT_IN[architecture], 10):
            if layer.kind in ("conv", "deconv", "linear"):
                figures = {"minimum": 0.0, "maximum": 1.0, "mean": 0.4, "standard_deviation": 0.3}
                for metric, value in (figures | {"maps": layer.out_maps, "dead_maps": 0.0}).items():
                    found[f"layer_{layer.name}", metric] = value * one
    for classifier, share in _CLASSIFIERS.items():
        found[classifier, "error"] = share * linear
        for metric in ("precision", "recall", "f_score"):
            found[classifier, metric] = 1 - share * linear / 100
    for metric, share in (("accuracy", 0.8), ("nmi", 0.7), ("ari", 0.6), ("silhouette", 0.2)):
        found["k_means", metric] = share * quality
    found["code", "hoyer_sparsity"] = 0.4 * one
    found["code", "gini_index"] = 0.5 * one
    found["code", "effective_dimension"] = 0.6 * code_size
    found["code", "dead_units"] = 0 * one
    return found


def codes(kept: pd.DataFrame, generator: np.random.Generator) -> dict[str, Any]:
    """Return the columns of ``codes`` for the trials ``kept``: clusters of codes, and noise for reconstructions."""
    raw = kept["architecture"] == "raw_pixels"
    images = np.where(raw, KEPT_RECONSTRUCTIONS, KEPT_CODES)
    labels = generator.integers(CLASSES, size=KEPT_CODES)
    parts = []
    for code_size, count in zip(kept["code_size"], images, strict=True):
        centres = 3 * generator.normal(size=(CLASSES, code_size)).astype(np.float32)
        noise = generator.standard_normal((count, code_size), dtype=np.float32)
        parts.append((centres[labels[:count]] + noise).astype(np.float16).ravel())
    place = np.repeat(np.arange(len(kept)), images)
    image = np.concatenate([np.arange(count) for count in images])
    lengths = kept["code_size"].to_numpy()[place]
    pictured = image < KEPT_RECONSTRUCTIONS
    pixels = generator.random(int(pictured.sum()) * PIXELS, dtype=np.float32).astype(np.float16)
    return {
        "trial_id": _repeated(kept["trial_id"], place),
        "image": image,
        "label": labels[image],
        "code": pa.ListArray.from_arrays(_offsets(lengths), pa.array(np.concatenate(parts))),
        "reconstruction": pa.ListArray.from_arrays(
            _offsets(PIXELS * pictured), pa.array(pixels), mask=pa.array(~pictured)
        ),
    }


def write_filters(folder: Path, kept: pd.DataFrame, generator: np.random.Generator) -> None:
    """Write the first convolution of the trials ``kept`` to ``weights``; a real file has all other layers too."""
    columns = kept[["trial_id", "architecture", "filters_1"]]
    for trial_id, architecture, filters in columns.itertuples(index=False):
        row = BUILT_IN.get(architecture)
        if isinstance(row, ConvolutionalAutoencoder):
            weight = generator.standard_normal((int(filters), 1, *[row.encoder.kernels[0]] * 2), dtype=np.float32)
            safetensors.numpy.save_file({"conv1.weight": weight}, folder / "weights" / f"{trial_id}.safetensors")


def _repeated(names: Any, places: NDArray[np.int64]) -> pa.Array:
    """Return names by place as strings, without a Python object for each row."""
    return pa.DictionaryArray.from_arrays(pa.array(places), pa.array(list(names))).cast(pa.string())


def _offsets(lengths: NDArray[Any]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
