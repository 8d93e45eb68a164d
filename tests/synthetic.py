"""Plausible results folders with known numbers, for tests and benchmarks of what reads them.

::

    python -m tests.synthetic FOLDER    # a study of 100,000 trials and 1,000,000 epochs

Every figure follows from `true_score` and from the mishaps that the caller names, so a test works its expectations out
by hand. Nothing is trained and nothing is random but for the seeds given.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from study.storage.schema import SCHEMA_VERSION, table_of
from trainables.models.architectures import BUILT_IN, STUDIED, ConvolutionalAutoencoder
from trainables.models.layers import count_parameters, list_layers

MEAN_IMAGE_CROSS_ENTROPY = 206.0
DIGEST = "5" * 64
CODE_IMAGES = 60
RECONSTRUCTED_IMAGES = 8

SQUARED_ERROR = {
    "model_1": 14.6,
    "model_2": 14.5,
    "model_3": 1.4,
    "model_4": 13.6,
    "model_5": 12.0,
    "unpool_only": 16.4,
    "classic_autoencoder": 9.0,
    "pca": 26.71,
}
"""Squared error per test image of the tuned arm at code size 10, without a seed's part."""
SEED_EFFECT = (0.0, 0.5, -0.4, 0.2, -0.3, 0.6, -0.1, 0.3, -0.5, 0.1)
"""Part of a seed, by number from 1, shared by all cells: what pairing by seed takes out."""

MISHAPS: Mapping[tuple[str, int, str, int], str] = {
    ("model_1", 10, "published", 2): "diverged",
    ("model_2", 10, "published", 3): "collapsed",
    ("unpool_only", 10, "tuned", 1): "failed",
}
"""Confirmed trials (architecture, code size, arm, number) that do not go well, and how."""

LEVELS: Mapping[str, tuple[str, ...]] = {
    "activation": ("tanh", "relu"),
    "learning_rate": ("x0.1", "x3"),
    "unpooling": ("tile", "average", "switches"),
}
LEVEL_EFFECT = {"tanh": -1.5, "relu": 0.02, "x0.1": 3.0, "x3": 1.0, "tile": 0.4, "average": 0.5, "switches": -12.0}
"""What an ablation's level adds to the squared error, but for a little noise (`level_effect`)."""

_UNITS = {
    "squared_error": ("1/image", "lower"),
    "cross_entropy": ("nats/image", "lower"),
    "error": ("%", "lower"),
    "precision": ("", "higher"),
    "recall": ("", "higher"),
    "f_score": ("", "higher"),
    "accuracy": ("", "higher"),
    "nmi": ("", "higher"),
    "ari": ("", "higher"),
    "silhouette": ("", "higher"),
    "trustworthiness": ("", "higher"),
    "continuity": ("", "higher"),
    "overlap": ("", "higher"),
    "hoyer_sparsity": ("", "none"),
    "gini_index": ("", "none"),
    "effective_dimension": ("units", "none"),
    "dead_units": ("units", "none"),
    "maximum": ("", "none"),
    "dead_maps": ("maps", "none"),
}
_START = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)


def noise(*key: object) -> float:
    """Return a number in [-1, 1) that depends on ``key`` alone."""
    return zlib.crc32(repr(key).encode()) / 2**31 - 1


def level_effect(level: str, number: int) -> float:
    """Return what an ablation's level adds to the squared error of the run of seed ``number``."""
    return LEVEL_EFFECT[level] + 0.05 * noise(level, number)


def true_score(
    evaluator: str, metric: str, architecture: str, code_size: int, arm: str, number: int, split: str = "test"
) -> float:
    """Return the score that the folder holds for a trial that went well (and without a level of an ablation)."""
    base = SQUARED_ERROR.get(architecture, 15.0) * {2: 2.3, 10: 1.0, 30: 0.5}.get(code_size, 10 / code_size)
    own = SEED_EFFECT[(number - 1) % len(SEED_EFFECT)] + 0.1 * noise(architecture, code_size, arm, number)
    own = 0.0 if arm == "control" else own
    squared_error = base * {"published": 1.3}.get(arm, 1.0) + own - (0.2 if split == "train" else 0.0)
    quality = 1 / (1 + squared_error / 30)
    linear_error = 40.0 + own if architecture == "model_3" else 5.0 + squared_error / 3
    values = {
        ("reconstruction", "squared_error"): squared_error,
        ("reconstruction", "cross_entropy"): 48 + 3.0 * squared_error,
        ("mean_code", "squared_error"): squared_error * (2.9 if architecture == "model_3" else 4.5),
        ("mean_code", "cross_entropy"): 48 + 12.0 * squared_error,
        ("other_switches", "squared_error"): 83.0 + own if architecture == "model_3" else squared_error,
        ("other_switches", "cross_entropy"): 300.0 + own if architecture == "model_3" else 48 + 3.0 * squared_error,
        ("linear_classifier", "error"): linear_error,
        ("mlp_classifier", "error"): linear_error / 2,
        ("nearest_neighbours", "error"): linear_error / 3,
        ("layer_conv1", "maximum"): 1.0 + own / 10,
        ("layer_conv1", "dead_maps"): 0.0,
        ("layer_code", "maximum"): 4.0 + own,
        ("layer_code", "dead_maps"): float(architecture == "model_3"),
        ("code", "effective_dimension"): code_size * 0.6,
        ("code", "dead_units"): float(architecture == "model_3"),
    }
    for classifier, share in (("linear_classifier", 1.0), ("mlp_classifier", 0.5), ("nearest_neighbours", 1 / 3)):
        for metric_name in ("precision", "recall", "f_score"):
            values[classifier, metric_name] = 1 - share * linear_error / 100
    for metric_name in ("accuracy", "nmi", "ari", "silhouette"):
        values["k_means", metric_name] = quality * (0.5 if metric_name == "silhouette" else 1.0)
    if arm == "control":  # Its code is computed, its perceptron and its clusters are drawn.
        values["mlp_classifier", "error"] += SEED_EFFECT[(number - 1) % len(SEED_EFFECT)]
        values["k_means", "accuracy"] += SEED_EFFECT[(number - 1) % len(SEED_EFFECT)] / 100
    for metric_name in ("accuracy", "nmi", "ari", "silhouette"):
        values["k_means_whitened", metric_name] = 0.9 * values["k_means", metric_name]
    for metric_name in ("trustworthiness", "continuity", "overlap"):
        values["neighbourhood", metric_name] = quality * (0.5 if metric_name == "overlap" else 1.0)
    for metric_name in ("hoyer_sparsity", "gini_index"):
        values["code", metric_name] = 0.3 + 0.01 * noise(architecture, metric_name)
    return values[evaluator, metric]


def write_synthetic_study(
    folder: Path,
    *,
    name: str = "synthetic",
    architectures: Iterable[str] = STUDIED,
    code_sizes: Sequence[int] = (2, 10, 30),
    arms: Sequence[str] = ("tuned", "published"),
    seeds: int = 3,
    search_trials: int = 12,
    epochs: int = 4,
    ablations: bool = False,
    evaluations: bool = True,
    controls: bool = True,
    control_seeds: int = 1,
    codes: bool = False,
    code_images: int = CODE_IMAGES,
    test_images: int = 0,
    pictures: bool = False,
    mishaps: Mapping[tuple[str, int, str, int], str] = MISHAPS,
    one_file_a_trial: bool = False,
) -> Path:
    """Write a study to ``folder`` and return it.

    Args:
        folder: written anew; made where it is missing.
        name: name of the study.
        architectures: names of trained models; one that `BUILT_IN` lacks is a user's own.
        code_sizes: code sizes of the cells.
        arms: arms of confirm; the classic auto-encoder has ``tuned`` only.
        seeds: confirmed trials a cell and arm; the part of a seed comes again after ten.
        search_trials: search trials a cell: the first complete, of each following four one pruned; with six or more
            the last two are diverged and failed. The best is number 1,
            whose filter counts are the tuned arm's.
        epochs: full budget.
        ablations: whether ablations of model 4 at the first code size but one are there.
        evaluations: whether anything but reconstruction was measured.
        controls: whether PCA and raw pixels are there.
        control_seeds: trials of each of them; a single one has no seed, as in studies of older versions.
        codes: whether codes of the first seed of each cell and arm are there.
        code_images: of how many images.
        test_images: how many there are, whose scores of reconstruction and classification are there; 0 as in studies
            of older versions, which kept none. Their mean is the score, but for the rounding of half precision and, of
            errors, that of a count.
        pictures: whether filters, maps and a walk of the trials with codes are there.
        mishaps: confirmed trials that went wrong: ``diverged``, ``failed`` or ``collapsed``.
        one_file_a_trial: files as trials write them, instead of compacted ones.
    """
    architectures = tuple(architectures)
    trials: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    for architecture in architectures:
        for code_size in code_sizes:
            for number in range(search_trials):
                trials.append(_search_trial(name, architecture, code_size, number, search_trials, epochs))
            for arm in arms if architecture != "classic_autoencoder" else ("tuned",):
                for number in range(1, seeds + 1):
                    fate = mishaps.get((architecture, code_size, arm, number), "complete")
                    trial = _trial(name, "confirm", arm, architecture, code_size, number, epochs, fate)
                    trials.append(trial)
                    if trial["status"] == "complete":
                        scores += _scores(trial, evaluations, collapsed=fate == "collapsed")
    if controls:
        for architecture, size in [("pca", size) for size in code_sizes] + [("raw_pixels", 784)]:
            for number in range(1, control_seeds + 1):
                trial = _control(name, architecture, size, number)
                trial |= {"seed": 1000 + number} if control_seeds > 1 else {}
                trials.append(trial)
                scores += _scores(trial, evaluations)
    if ablations:
        for factor, levels in LEVELS.items():
            for level in levels:
                for number in range(1, seeds + 1):
                    trial = _ablation(name, _ablated_code_size(code_sizes), number, epochs, factor, level)
                    trials.append(trial)
                    scores += _scores(trial, evaluations, shift=level_effect(level, number))
    rows = {
        "trials": trials,
        "epochs": _epochs(trials),
        "scores": scores,
        "image_scores": _image_scores(scores, test_images) if test_images else [],
        "codes": _codes(trials, code_images) if codes else [],
        "pictures": _pictures(trials) if pictures else [],
    }
    for table, table_rows in rows.items():
        _write(folder / table, table, table_rows, one_file_a_trial)
    manifest = _manifest(name, architectures, code_sizes, search_trials, seeds, epochs, ablations)
    (folder / "study.json").write_text(json.dumps(manifest, indent=2))
    return folder


def _ablated_code_size(code_sizes: Sequence[int]) -> int:
    return code_sizes[min(1, len(code_sizes) - 1)]


def _write(folder: Path, table: str, rows: list[dict[str, Any]], one_file_a_trial: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        files.setdefault(row["trial_id"] if one_file_a_trial else "compacted", []).append(row)
    for stem, some in files.items():
        pq.write_table(table_of(table, some), folder / f"{stem}.parquet", write_page_checksum=True)


def _trial(
    study: str, phase: str, arm: str, architecture: str, code_size: int, number: int, epochs: int, fate: str
) -> dict[str, Any]:
    row = BUILT_IN.get(architecture)
    filters = row.published_filters if isinstance(row, ConvolutionalAutoencoder) else (26, 36)
    if arm == "tuned" and (phase, number) != ("search", 0):
        filters = (filters[0] - 1, filters[1] - 1) if phase != "search" else (filters[0] - number % 7, filters[1] - 1)
    convolutional = architecture != "classic_autoencoder"
    status = "complete" if fate == "collapsed" else fate
    cross_entropy = true_score("reconstruction", "cross_entropy", architecture, code_size, arm, number)
    if fate == "collapsed":
        cross_entropy = MEAN_IMAGE_CROSS_ENTROPY * 0.98
    trained = {"complete": epochs, "pruned": 1, "diverged": 2, "failed": 0}[status]
    parameters = count_parameters(row, code_size, filters if convolutional else None) if row is not None else 100_000
    return {
        "trial_id": f"{phase}-{architecture}-{code_size}-{arm}-{number}",
        "study": study,
        "phase": phase,
        "arm": arm,
        "dataset": "digits",
        "architecture": architecture,
        "code_size": code_size,
        "number": number,
        "seed": 1000 + number,
        "status": status,
        "reason": None if status == "complete" else f"{status} on purpose",
        "recipe": "caffe" if arm == "published" else "modern",
        "filters_1": filters[0] if convolutional else None,
        "filters_2": filters[1] if convolutional else None,
        "activation": getattr(row, "activation", "sigmoid"),
        "pooling": getattr(row, "pooling", "none"),
        "unpooling": getattr(row, "unpooling", "none"),
        "loss": "cross_entropy",
        "optimizer": "sgd" if arm == "published" else "adam",
        "learning_rate": 0.006 if arm == "published" else 0.01,
        "bias_learning_rate_factor": 1.0,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "schedule": "constant",
        "starting_weights": "caffe",
        "batch_size": 20,
        "epochs_planned": epochs,
        "epochs": trained,
        # The published arm has the authors' 20,000 steps of 100 images.
        "train_images": 2_000_000 // max(1, epochs) if arm == "published" else 1437,
        "parameters": parameters,
        "train_cross_entropy": cross_entropy if status in ("complete", "pruned") else None,
        "train_squared_error": cross_entropy / 4 if status in ("complete", "pruned") else None,
        "mean_image_cross_entropy": MEAN_IMAGE_CROSS_ENTROPY,
        "seconds": 2.0 * trained + number,
        "device_seconds": 2.0 * trained + number,
        "device": "Synthetic processor",
        "host": "synthetic",
        "started_at": _START,
        "finished_at": _START + datetime.timedelta(seconds=60 * (number + 1)),
        "dataset_sha256": "d" * 64,
        "study_sha256": DIGEST,
        "git_commit": "c" * 40,
        "git_dirty": False,
        "versions": json.dumps({"python": "3.11.7", "torch": "2.13.0"}),
    }


def _search_trial(
    study: str, architecture: str, code_size: int, number: int, trials: int, epochs: int
) -> dict[str, Any]:
    fate = "pruned" if number % 4 == 2 else "complete"
    if trials >= 6 and number >= trials - 2:
        fate = "diverged" if number == trials - 2 else "failed"
    trial = _trial(study, "search", "tuned", architecture, code_size, number, epochs, fate)
    validation = 100.0 + 5.0 * ((number + trials - 1) % trials)
    trial["seed"] = 7
    trial["learning_rate"] = 10 ** (-1 - 2 * ((number * 7) % 10) / 10)
    if fate in ("complete", "pruned"):
        trial["validation_cross_entropy"], trial["validation_squared_error"] = validation, validation / 4
    return trial


def _control(study: str, architecture: str, code_size: int, number: int) -> dict[str, Any]:
    whole = _trial(study, "confirm", "control", architecture, code_size, number, 0, "complete")
    # What asks for no training has no settings and no epochs.
    trained = {key for key in whole if "epochs" in key or "cross_entropy" in key or "squared_error" in key}
    settings = set(list(whole)[list(whole).index("recipe") : list(whole).index("epochs_planned")])
    return whole | dict.fromkeys({"seed", "parameters", "device_seconds"} | trained | settings)


def _ablation(study: str, code_size: int, number: int, epochs: int, factor: str, level: str) -> dict[str, Any]:
    trial = _trial(study, "ablate", "tuned", "model_4", code_size, number, epochs, "complete")
    value = trial["learning_rate"] * float(level[1:]) if factor == "learning_rate" else level
    trial |= {"factor": factor, "level": level, "base_code_size": code_size, factor: value}
    trial["trial_id"] = f"ablate-model_4-{code_size}-{factor}-{level}-{number}"
    return trial


def _scores(
    trial: Mapping[str, Any], evaluations: bool, *, collapsed: bool = False, shift: float = 0.0
) -> list[dict[str, Any]]:
    architecture, metrics = trial["architecture"], []
    if architecture != "raw_pixels":
        metrics.append(("reconstruction", "squared_error"))
        if architecture != "pca":
            metrics.append(("reconstruction", "cross_entropy"))
    if evaluations:
        classifiers = ("linear_classifier", "mlp_classifier", "nearest_neighbours")
        metrics += [(who, what) for who in classifiers for what in _CLASSIFIER_METRICS]
        clustered = ("k_means",) if architecture == "raw_pixels" else ("k_means", "k_means_whitened")
        metrics += [(who, what) for who in clustered for what in ("accuracy", "nmi", "ari", "silhouette")]
        metrics += [("neighbourhood", what) for what in ("trustworthiness", "continuity", "overlap")]
        metrics += [("code", what) for what in ("hoyer_sparsity", "gini_index", "effective_dimension", "dead_units")]
        if trial["arm"] != "control":
            metrics += [(who, what) for who in ("layer_conv1", "layer_code") for what in ("maximum", "dead_maps")]
            metrics += [("mean_code", what) for what in ("squared_error", "cross_entropy")]
        if trial.get("unpooling") == "switches":
            metrics += [("other_switches", what) for what in ("squared_error", "cross_entropy")]
    rows = []
    for evaluator, metric in metrics:
        for split in ("train", "test") if evaluator == "reconstruction" else ("test",):
            number, size, arm = trial["number"], trial["code_size"], trial["arm"]
            value = true_score(evaluator, metric, architecture, size, arm, number, split)
            if evaluator == "reconstruction":
                value += shift * (3.0 if metric == "cross_entropy" else 1.0)
                if collapsed:
                    value = MEAN_IMAGE_CROSS_ENTROPY * (1.0 if metric == "cross_entropy" else 0.25)
            unit, direction = _UNITS[metric]
            labels = {"trial_id": trial["trial_id"], "split": split, "evaluator": evaluator, "metric": metric}
            rows.append(labels | {"value": value, "unit": unit, "direction": direction})
    return rows


def _image_scores(scores: Iterable[Mapping[str, Any]], images: int) -> list[dict[str, Any]]:
    """Return what the test images have where ``scores`` are means over them; images are alike hard for all trials."""
    difficulty = np.random.default_rng(8).permuted(np.linspace(0.5, 1.5, images))
    rows = []
    for score in scores:
        key = score["evaluator"], score["metric"]
        if score["split"] != "test" or (key[1] != "error" and key != ("reconstruction", "squared_error")):
            continue
        if key[1] == "error":
            hardest = np.argsort(-difficulty)[: round(score["value"] / 100 * images)]
            values = 100.0 * np.isin(np.arange(images), hardest)
        else:
            values = score["value"] * difficulty
        labels = {name: score[name] for name in ("trial_id", "evaluator", "metric", "unit")}
        rows.append(labels | {"values": values.astype(np.float16)})
    return rows


_CLASSIFIER_METRICS = ("error", "precision", "recall", "f_score")


def _epochs(trials: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for trial in trials:
        final = trial.get("train_cross_entropy") or MEAN_IMAGE_CROSS_ENTROPY
        for epoch in range(1, (trial.get("epochs") or 0) + 1):
            share = (trial["epochs"] - epoch) / max(1, trial["epochs_planned"])
            share = 0.0 if final > 0.97 * MEAN_IMAGE_CROSS_ENTROPY else share  # A collapsed run's curve is flat.
            value = final + (MEAN_IMAGE_CROSS_ENTROPY - final) * share
            rows.append(
                {
                    "trial_id": trial["trial_id"],
                    "epoch": epoch,
                    "learning_rate": trial["learning_rate"],
                    "train_cross_entropy": value,
                    "train_squared_error": value / 4,
                    "validation_cross_entropy": value + 1 if trial["phase"] == "search" else None,
                    "validation_squared_error": value / 4 + 0.25 if trial["phase"] == "search" else None,
                    "seconds": 2.0,
                }
            )
    return rows


def _is_kept(trial: Mapping[str, Any]) -> bool:
    first = trial["phase"] == "confirm" and trial["number"] == 1 and trial["status"] == "complete"
    return bool(first) and trial["architecture"] != "raw_pixels"


def _pictures(trials: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return as many pictures of as many sides as the models have, of made-up values; of PCA a walk."""
    rows = []
    for trial in filter(_is_kept, trials):
        generator = np.random.default_rng(zlib.crc32(trial["trial_id"].encode()))
        for kind, layer, depth, count, height, width in _list_pictures(trial):
            for index in range(count):
                values = (
                    generator.random(height * width) if kind != "switch" else generator.integers(4, size=height * width)
                )
                labels = {"trial_id": trial["trial_id"], "kind": kind, "layer": layer, "depth": depth, "index": index}
                rows.append(labels | {"height": height, "width": width, "values": values.astype(np.float16)})
    return rows


def _list_pictures(trial: Mapping[str, Any]) -> Iterator[tuple[str, str | None, int | None, int, int, int]]:
    """Yield kind, layer, depth, count, height and width."""
    yield "walk", None, None, 10, 28, 28
    row = BUILT_IN.get(trial["architecture"])
    if row is None:
        return
    convolutional = isinstance(row, ConvolutionalAutoencoder)
    layers = list_layers(row, trial["code_size"], (trial["filters_1"], trial["filters_2"]) if convolutional else None)
    names = ["image", *(layer.name for layer in layers)]
    yield "map", "image", 0, 1, 28, 28
    for depth, layer in enumerate(layers, 1):
        side, units = layer.out_size, layer.out_maps
        shape = (1, 28, 28) if layer.name == "output" else (min(16, units), side, side) if side > 1 else (1, 1, units)
        yield "map", layer.name, depth, *shape
        if layer.kind == "pool" and row.unpooling == "switches":
            yield "switch", layer.name, depth, *shape
    last = next(layer for layer in reversed(layers) if layer.kind == "linear" or layer.kernel > 2)
    pairs = last.in_maps * (last.out_maps if convolutional else 1)
    for layer, count in ((layers[0], layers[0].out_maps), (last, pairs)):
        side = layer.kernel if convolutional else 28
        yield "filter", layer.name, names.index(layer.name), min(32, count), side, side


def _codes(trials: Iterable[Mapping[str, Any]], images: int) -> list[dict[str, Any]]:
    rows = []
    for trial in filter(_is_kept, trials):
        generator = np.random.default_rng(zlib.crc32(trial["trial_id"].encode()))
        for image in range(images):
            label = image % 10
            code = generator.normal(size=trial["code_size"]) + 3 * np.cos(label + np.arange(trial["code_size"]))
            pixels = generator.random(784).astype(np.float16) if image < RECONSTRUCTED_IMAGES else None
            rows.append(
                {
                    "trial_id": trial["trial_id"],
                    "image": image,
                    "label": label,
                    "code": code.astype(np.float16),
                    "reconstruction": pixels,
                }
            )
    return rows


def _manifest(
    name: str,
    architectures: Sequence[str],
    code_sizes: Sequence[int],
    trials: int,
    seeds: int,
    epochs: int,
    ablations: bool,
) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "identity": {"dataset": "digits", "recipe": "modern", "epochs": epochs},
        "study_sha256": DIGEST,
        "config": {
            "preset": "quick",
            "dataset": "digits",
            "architectures": list(architectures),
            "code_sizes": list(code_sizes),
            "phases": ["search", "confirm"] + ["ablate"] * ablations,
            "trials": trials,
            "seeds": seeds,
            "epochs": epochs,
            "recipe": "modern",
            "seed": 0,
        },
        "dataset": {
            "name": "digits",
            "sha256": "d" * 64,
            "train_images": 1077,
            "validation_images": 360,
            "test_images": 360,
        },
        "launches": [
            {
                "started_at": _START.isoformat(),
                "command": "python study/launch.py --preset quick",
                "git_commit": "c" * 40,
                "git_dirty": False,
                "versions": {"python": "3.11.7", "ray": "2.60.0", "torch": "2.13.0"},
                "host": "synthetic",
                "system": "Linux",
                "cores": 2,
            }
        ],
        "skipped_levels": [
            {
                "factor": "unpooling",
                "level": "tile",
                "architecture": "model_1",
                "code_size": 10,
                "reason": "its decoder has no unpooling",
            }
        ],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Write a large study of every model and say how large it is; return the exit status."""
    parser = argparse.ArgumentParser(description="Write a study of made-up numbers, large as it stands.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="made where it is missing; must hold no study")
    parser.add_argument("--code-sizes", type=int, nargs="+", default=(2, 4, 6, 8, 10, 16, 24, 30, 48, 64))
    parser.add_argument("--search-trials", type=int, default=1_350, help="of a cell (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=40, help="of a confirmed configuration (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=13, help="of a whole trial (default: %(default)s)")
    parser.add_argument("--code-images", type=int, default=2_000, help="with codes (default: %(default)s)")
    arguments = parser.parse_args(argv)
    if (arguments.folder / "study.json").exists():
        print(f"error: {arguments.folder} holds a study already: choose another folder", file=sys.stderr)
        return 2
    write_synthetic_study(**vars(arguments), ablations=True, codes=True, pictures=True)
    for path in sorted(arguments.folder.glob("*/*.parquet")):
        rows, size = pq.read_metadata(path).num_rows, path.stat().st_size
        print(f"{path.parent.name:>6} {rows:>9,} rows {size / 2**20:6.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
