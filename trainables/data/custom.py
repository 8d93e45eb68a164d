"""Images of one's own: a file with the suffix .npz or .parquet in the place of a data set's name.

========== ============================================================================================================
.npz       arrays ``train_images`` and ``test_images``, (n, side, side); ``train_labels`` and ``test_labels``, (n,), or
           neither
.parquet   a row an image: ``image``, the list of its pixels row by row; ``split``, train or test; ``label``, or no such
           column
========== ============================================================================================================

Pixels are whole numbers from 0 to 255, floats from 0 to 1, or booleans; a single channel may have an axis of its own,
and an image may be a row of pixels. Labels are whole numbers from 0, or names, which are numbered in the order of the
alphabet. The last sixth of the training images, in the order of the file, is for validation: MNIST's own share.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainables.data.images import Dataset, build_dataset, freeze_images
from trainables.errors import InputError, explain_unreadable

LEAST_IMAGES = {"train": 60, "test": 20}
"""Images of each split at least: ten for validation, and more than the ten clusters of data without labels."""

VALIDATION_SHARE = 6

_SEE = "see docs/extending.md"
Array = NDArray[Any]


def load_custom(path: Path) -> Dataset:
    """Return the data set in the file ``path``, which is called as the file is.

    Raises:
        InputError: the file cannot be read, or does not hold what is described above.
    """
    try:
        arrays = _read_npz(path) if path.suffix == ".npz" else _read_parquet(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, pa.ArrowException) as error:
        if "Object arrays" in str(error):  # as pandas gives columns of text
            raise InputError(
                f"{path}: an array of Python objects, which would have to be run to be read",
                "arrays of numbers, and labels that are numbers or text",
                "labels = labels.astype(str); images = numpy.stack(images)",
            ) from None
        raise InputError(
            f"data set {path} cannot be read ({explain_unreadable(error)})",
            "a whole .npz or .parquet file of images, without pickled objects",
            "check the path" if isinstance(error, FileNotFoundError) else _SEE,
        ) from None
    pixels = {split: _check_pixels(f"{path}: {split} images", arrays[f"{split}_images"]) for split in LEAST_IMAGES}
    if max(int(found.max(initial=0)) for found in pixels.values()) == 1:
        raise InputError(
            f"{path}: no pixel is above 1 of 255, so that all images are black",
            "whole numbers from 0 to 255, floats from 0 to 1, or booleans",
            "of images of 0 and 1: images = images.astype(bool)",
        )
    if pixels["train"].shape[1:] != pixels["test"].shape[1:]:
        raise InputError(
            "{}: training images of {}x{}, test images of {}x{}".format(
                path, *pixels["train"].shape[1:], *pixels["test"].shape[1:]
            ),
            "images of one size",
            "scale or pad them",
        )
    for split, least in LEAST_IMAGES.items():
        if len(pixels[split]) < least:
            raise InputError(f"{path}: {len(pixels[split])} {split} images", f"at least {least}", "add images")
    labels = _check_labels(path, arrays, {split: len(found) for split, found in pixels.items()})
    training, test = (freeze_images(pixels[split], labels.get(split)) for split in ("train", "test"))
    held_out = len(training) // VALIDATION_SHARE
    return build_dataset(path.stem, training, held_out, test)


def _read_npz(path: Path) -> dict[str, Array]:
    images, labels = {"train_images", "test_images"}, {"train_labels", "test_labels"}
    with path.open("rb") as stream:  # np.load leaves a file open that it cannot read
        file = np.load(stream, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array, as .npy files hold")
        if not images <= set(file.files) <= images | labels:
            raise InputError(
                f"{path} holds {', '.join(file.files) or 'nothing'}",
                "arrays train_images and test_images, with train_labels and test_labels or without",
                "rename, add or remove arrays",
            )
        return {name: file[name] for name in file.files}


def _read_parquet(path: Path) -> dict[str, Array]:
    with path.open("rb") as stream:  # Arrow itself finds no name that is not UTF-8
        table = pq.read_table(stream)
    if not {"image", "split"} <= set(table.column_names):
        raise InputError(
            f"{path} has columns {', '.join(table.column_names) or 'none'}",
            "columns image, split and, where there are classes, label",
            "rename or add columns",
        )
    splits = set(table["split"].to_pylist())
    if splits != set(LEAST_IMAGES):
        raise InputError(
            f"{path}: column split holds {', '.join(sorted(map(repr, splits)))[:60]}", "train and test", "correct it"
        )
    arrays: dict[str, Array] = {}
    for split in LEAST_IMAGES:
        rows = table.filter(pc.equal(table["split"], split))
        arrays[f"{split}_images"] = _read_squares(path, rows["image"])
        if "label" in table.column_names:
            arrays[f"{split}_labels"] = rows["label"].to_numpy()
    return arrays


def _read_squares(path: Path, column: pa.ChunkedArray) -> Array:
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise InputError(f"{path}: column image of type {kind}", "lists of numbers, one an image", _SEE)
    lengths = set(pc.list_value_length(column).to_pylist())
    side = math.isqrt(max((length or 0 for length in lengths), default=0))
    if lengths != {side * side}:
        shown = ", ".join(str(length) for length in list(lengths)[:5])
        raise InputError(f"{path}: images of {shown} pixels", "square images of one size, none null", "correct them")
    flat = pc.list_flatten(column)
    if flat.null_count:
        raise InputError(f"{path}: {flat.null_count} pixels are null", "a value for each pixel", "correct them")
    return flat.to_numpy().reshape(-1, side, side)  # type: ignore[no-any-return]


def _check_pixels(what: str, images: Array) -> NDArray[np.uint8]:
    """Return images as uint8; one grey channel and images written as rows of pixels mean what they can only mean."""
    images = images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images
    images = images[:, 0] if images.ndim == 4 and images.shape[1] == 1 else images
    side = math.isqrt(images.shape[1]) if images.ndim == 2 else 0
    images = images.reshape(-1, side, side) if side and side * side == images.shape[1] else images
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise InputError(
            f"{what}: an array of shape {images.shape}",
            "(n, side, side), grey and square, also as (n, side, side, 1), (n, 1, side, side) or (n, side * side)",
            _convert_to_squares(images.shape),
        )
    if images.dtype == bool:
        return np.array(images, np.uint8, order="C") * np.uint8(255)
    whole, broken = np.issubdtype(images.dtype, np.integer), np.issubdtype(images.dtype, np.floating)
    if broken and (wrong := int((~np.isfinite(images)).sum())):
        raise InputError(f"{what}: {wrong} pixels are NaN or infinite", "a number for each pixel", "correct them")
    least, most = (images.min(), images.max()) if images.size and (whole or broken) else (0, 0)
    if not (whole and least >= 0 and most <= 255) and not (broken and least >= 0 and most <= 1):
        shifted = f"(images.astype('float32') - {least:g})" if least else "images.astype('float32')"
        raise InputError(
            f"{what}: {images.dtype} from {least} to {most}",
            "whole numbers from 0 to 255, as uint8, floats from 0 to 1, or booleans",
            f"images = {shifted} / {most - least:g}, the images of both splits alike"
            if whole or broken
            else "convert them: images = images.astype('float32')",
        )
    return np.array(images if whole else np.rint(images * 255), np.uint8, order="C")


def _convert_to_squares(shape: tuple[int, ...]) -> str:
    """Return the lines of NumPy that make square grey images of such an array, as far as it is of images."""
    if len(shape) == 4:
        return f"take the mean of colours: images = images.mean(axis={1 if shape[1] in (3, 4) else 3}).astype('uint8')"
    if len(shape) == 3:
        side = max(shape[1:])
        return f"images = numpy.pad(images, ((0, 0), (0, {side - shape[1]}), (0, {side - shape[2]})))"
    return "images = images.reshape(-1, HEIGHT, WIDTH), then cut or pad them to squares"


def _check_labels(path: Path, arrays: Mapping[str, Array], counts: Mapping[str, int]) -> dict[str, NDArray[np.int64]]:
    """Return the labels by split; none where the file has none."""
    given = {split: arrays[f"{split}_labels"] for split in counts if f"{split}_labels" in arrays}
    if not given:
        return {}
    if len(given) < len(counts):
        raise InputError(f"{path}: labels of {', '.join(given)} images only", "labels of both splits, or of none", _SEE)
    given = {split: np.char.decode(values) if values.dtype.kind == "S" else values for split, values in given.items()}
    given = {split: values[:, 0] if values.shape == (counts[split], 1) else values for split, values in given.items()}
    for split, values in given.items():
        # Only NaN is not equal to itself; a table that lacks a name has None.
        if missing := sum(label in (None, math.inf) or label != label for label in values.ravel().tolist()):
            raise InputError(
                f"{path}: {missing} of {len(values)} {split} labels are NaN, infinite or missing",
                "a label for each image",
                "remove the images without a label, or leave all labels out",
            )
    if all(isinstance(name, str) for values in given.values() for name in values.ravel().tolist()):
        given = _number_names(given)
    labels: dict[str, NDArray[np.int64]] = {}
    for split, values in given.items():
        # Floats that are whole numbers come from tables that had gaps.
        whole = values.dtype.kind in "iub" or (values.dtype.kind == "f" and bool((values == np.floor(values)).all()))
        if values.shape != (counts[split],) or not whole or values.min() < 0:
            raise InputError(
                f"{path}: {split} labels are {values.dtype} of shape {values.shape}",
                f"({counts[split]},) whole numbers from 0, or names",
                "number those of both splits together, names, numbers = numpy.unique(numpy.concatenate([train_labels, "
                "test_labels]), return_inverse=True), or leave the labels out",
            )
        labels[split] = values.astype(np.int64)
    classes = set(np.unique(labels["train"]).tolist())
    if len(classes) < 2 or not classes >= set(np.unique(labels["test"]).tolist()) or len(classes) >= counts["test"]:
        raise InputError(
            f"{path}: {len(classes)} classes of training images, {len(np.unique(labels['test']))} of test images",
            "at least 2 classes, fewer than test images, each with training images",
            "correct the labels, or leave them out",
        )
    return labels


def _number_names(given: Mapping[str, Array]) -> dict[str, Array]:
    """Return labels that are names as their places in the order of the alphabet, the same in both splits."""
    names = sorted({str(name) for values in given.values() for name in values.ravel()})
    places = {name: place for place, name in enumerate(names)}
    return {
        split: np.array([places[str(name)] for name in values.ravel()]).reshape(values.shape)
        for split, values in given.items()
    }
